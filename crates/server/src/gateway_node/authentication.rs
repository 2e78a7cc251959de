//! The way that sign-ins take to a bank: a connection of their own, and a bounded number of questions on it.
//!
//! A wrong sign-in stays at the bank for half a second, and a connection carries 256 calls at once. So whoever keeps some
//! hundred sign-ins under way fills a connection, and what comes then waits. Payments, and the looks that tell whether the
//! bank is there, have another one. What does not fit here is refused at once, before anything is known of the name: real
//! and invented names are told the same.
//!
//! A source may have as many under way as are free then (see `places`). Customers who show a token of an earlier sign-in have
//! places that no stranger takes, and each customer is a source there.

use super::places::{Place, Places, to_the_end};
use api::client::{Client, ClientError};
use api::code::Code;
use api::problem::Problem;
use api::proto;
use clearing::BankName;
use std::sync::Arc;

/// Questions that are under way to one bank, of strangers and of known customers. Together they leave room on a connection
/// for the looks of the client.
const STRANGERS_MAX: usize = 208;
const KNOWN_MAX: usize = 32;
/// Most sign-ins that fail take that long.
const RETRY_MS: u64 = 1_000;

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asker {
    /// A customer who shows a token of an earlier sign-in.
    Known(u64),
    /// Anybody else, by where the call comes from.
    Stranger(u64),
}

/// One bank's.
#[derive(Debug)]
pub(super) struct Authentication {
    client: Client,
    strangers: Arc<Places>,
    known: Arc<Places>,
}

impl Authentication {
    /// The client's connections must be nobody else's.
    pub(super) fn new(client: Client) -> Authentication {
        Authentication { client, strangers: Places::new(STRANGERS_MAX), known: Places::new(KNOWN_MAX) }
    }

    /// The same bank at other addresses: what is under way counts on.
    pub(super) fn instead_of(self, before: &Authentication) -> Authentication {
        let (strangers, known) = (Arc::clone(&before.strangers), Arc::clone(&before.known));
        Authentication { strangers, known, ..self }
    }

    fn take(&self, asker: Asker) -> Option<Place> {
        match asker {
            Asker::Known(customer) => self.known.take(customer),
            Asker::Stranger(source) => self.strangers.take(source),
        }
    }

    /// Asks the bank, if there is a place. It is asked to the end also for a caller who hangs up, so that nobody has more under
    /// way by hanging up, and no connection breaks for the calls that are given up on it.
    ///
    /// # Errors
    /// When there are too many, before anything is asked.
    pub(super) async fn ask(
        &self,
        bank: &BankName,
        asker: Asker,
        question: proto::AuthenticateRequest,
    ) -> Result<Result<proto::AuthenticateResponse, ClientError>, Problem> {
        let place = self.take(asker).ok_or_else(|| too_many(bank))?;
        let client = self.client.clone();
        let asked = to_the_end(place, async move { client.authenticate(&question).await }).await;
        Ok(asked.unwrap_or_else(|ended| Err(ClientError::Unavailable { last: ended.to_string() })))
    }
}

fn too_many(bank: &BankName) -> Problem {
    let detail = format!("this node asks bank {bank} about as many sign-ins as it may; sign in again later");
    Problem::new(Code::TooManySignIns, detail).retry_after_ms(RETRY_MS)
}

#[cfg(test)]
mod tests {
    use super::super::banks::Banks;
    use super::super::slow_bank::slow_bank;
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};
    use tokio::sync::mpsc;

    fn question(number: usize) -> proto::AuthenticateRequest {
        let (username, password) = (format!("invented-{number}"), "a guess".to_owned());
        proto::AuthenticateRequest { username, password, source: 7, earlier: None }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn fifteen_hundred_sign_ins_under_way_keep_nothing_else_waiting_that_a_bank_is_asked() {
        let (address, most) = slow_bank("Authenticate").await;
        let bank = BankName::new("alpha").expect("a name");
        let banks = Arc::new(Banks::new(mpsc::channel(1).0, None));
        banks.know(&[(bank, vec![address])]);
        let link = banks.link(&bank).expect("it was named");
        let stop = Arc::new(AtomicBool::new(false));
        let strangers = (0..1_500).map(|number| {
            let (link, stop) = (Arc::clone(&link), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut refused = 0;
                while !stop.load(Ordering::Relaxed) {
                    let asker = Asker::Stranger(number as u64 % 120);
                    match link.authentication().ask(&bank, asker, question(number)).await {
                        Ok(answered) => assert!(answered.is_err(), "nobody has that password"),
                        Err(problem) => {
                            assert_eq!(problem.code, Code::TooManySignIns);
                            assert!(problem.retry_after_s().is_some_and(|wait_s| wait_s > 0));
                            refused += 1;
                            tokio::time::sleep(Duration::from_millis(100)).await;
                        }
                    }
                }
                refused
            })
        });
        let strangers: Vec<_> = strangers.collect();
        while most.load(Ordering::Relaxed) < 100 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for look in 0..10 {
            let began = Instant::now();
            let status = link.client().with_deadline(Duration::from_secs(1)).status().await;
            assert!(status.is_ok(), "look {look} had no answer after {:?}: {status:?}", began.elapsed());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let known = link.authentication().ask(&bank, Asker::Known(1), question(0)).await;
        assert!(known.is_ok(), "no stranger takes the place of a customer with a token");
        stop.store(true, Ordering::Relaxed);
        let mut refused = 0;
        for stranger in strangers {
            refused += stranger.await.expect("nothing panics");
        }
        assert!(refused > 1_000, "only {refused} were told to come back");
        let most = most.load(Ordering::Relaxed);
        assert!(most <= STRANGERS_MAX + KNOWN_MAX, "the bank was asked about {most} at once");
    }

    #[tokio::test]
    async fn a_caller_who_hangs_up_has_the_place_until_the_bank_has_answered() {
        let (address, _) = slow_bank("Authenticate").await;
        let authentication = Authentication::new(Client::connect([address]).expect("an address"));
        let bank = BankName::new("alpha").expect("a name");
        let asked = authentication.ask(&bank, Asker::Stranger(1), question(0));
        assert!(tokio::time::timeout(Duration::from_millis(50), asked).await.is_err(), "it hangs up");
        assert_eq!(authentication.strangers.count(), 1);
        while authentication.strangers.count() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
