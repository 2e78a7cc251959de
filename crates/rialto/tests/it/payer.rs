//! Somebody who pays again and again: deposits of 1.00, each under an id of its own that is repeated until it has an outcome.
//!
//! So in the end the balance must be exactly what was acknowledged: less is money lost, more is money made.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::http::Request;
use crate::network::until;

/// A payer breathes between two payments, so that many of them do not keep the machine busy.
const BREATH: Duration = Duration::from_millis(4);
/// Part of the ids of each payer's payments, so that no two of a run ever use the same.
static NEXT: AtomicU16 = AtomicU16::new(0);
/// Nodes answer within two seconds; a busy machine may take its time with that.
const PATIENCE: Duration = Duration::from_secs(10);

/// When each payment of one payer had its outcome.
#[derive(Debug)]
pub(crate) struct Paid {
    pub(crate) at: Vec<Instant>,
    /// Answers other than an outcome: the payment was then asked for again.
    pub(crate) refusals: Vec<(u16, String)>,
    /// Connections that broke.
    pub(crate) broken: usize,
    began: Instant,
}

impl Paid {
    /// The longest time without an outcome between two moments.
    pub(crate) fn longest_pause(&self, from: Instant, to: Instant) -> Duration {
        let mut last = self.at.iter().copied().filter(|at| *at <= from).max().unwrap_or(self.began).max(from);
        let mut longest = Duration::ZERO;
        for at in self.at.iter().copied().filter(|at| *at > from && *at <= to) {
            longest = longest.max(at - last);
            last = at;
        }
        longest.max(to.saturating_duration_since(last))
    }
}

/// Pays at one node until told to stop, and then until its last payment has its outcome.
#[derive(Debug)]
pub(crate) struct Payer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Paid>,
}

impl Payer {
    /// Pays into the account at this address.
    pub(crate) fn start(url: &str, token: Option<&'static str>, account: &str) -> Payer {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let stop = Arc::new(AtomicBool::new(false));
        let (told, account, url) = (Arc::clone(&stop), account.to_owned(), format!("{url}/deposit_money"));
        let thread = std::thread::spawn(move || {
            let mut paid = Paid { at: Vec::new(), refusals: Vec::new(), broken: 0, began: Instant::now() };
            while !told.load(Ordering::Relaxed) {
                let id = format!("01900000-0000-7000-8000-{number:04}{:08}", paid.at.len());
                let body = json!({"account_id": account, "amount": "1", "transfer_id": id});
                let order =
                    Request { method: "POST", url: &url, body: Some(&body), token, key: None, patience: PATIENCE };
                until(&format!("payment {id} has its outcome"), || {
                    match order.send() {
                        Ok((200, _)) => return Some(()),
                        Ok(refused) => paid.refusals.push(refused),
                        // The node is gone, and nobody knows what became of it: asked again, with the same id.
                        Err(_) => paid.broken += 1,
                    }
                    None
                });
                paid.at.push(Instant::now());
                std::thread::sleep(BREATH);
            }
            paid
        });
        Payer { stop, thread }
    }

    /// It begins no other payment.
    pub(crate) fn tell(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(crate) fn stop(self) -> Paid {
        self.tell();
        self.thread.join().expect("payers wait for every outcome")
    }
}
