//! The way that customers' reads take to a bank: a connection of their own, and a bounded number of reads on it.
//!
//! A list of what moved is a look at up to thousands of records, at the bank and here; a balance waits for what is pending.
//! Payments, and the looks that tell whether the bank is there, have another connection, and a bank that is slow keeps no
//! customer of another one waiting. Whoever asks for more at once is told to come back.

use super::places::{Place, Places};
use api::client::Client;
use api::code::Code;
use api::problem::Problem;
use std::sync::Arc;

/// Lists that are read at once. With the balances they are fewer than a connection carries calls.
const LISTS_MAX: usize = 64;
const LISTS_OF_ONE_CUSTOMER_MAX: usize = 4;
const BALANCES_MAX: usize = 128;
const BALANCES_OF_ONE_CUSTOMER_MAX: usize = 8;
/// A read usually takes less.
const RETRY_MS: u64 = 300;

/// What is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    List,
    Balance,
}

/// One bank's.
#[derive(Debug)]
pub(super) struct CustomerReads {
    client: Client,
    lists: Bounds,
    balances: Bounds,
}

/// How many of one kind are read at once.
#[derive(Clone, Debug)]
struct Bounds {
    of_customers: Arc<Places>,
    of_sources: Arc<Places>,
}

impl Bounds {
    fn new(max: usize, of_one_customer_max: usize) -> Bounds {
        // Of places for twice as many one source alone may have a quarter: many customers may share an address.
        Bounds { of_customers: Places::with_most(max, of_one_customer_max), of_sources: Places::new(2 * max) }
    }
}

impl CustomerReads {
    /// The client's connections must be nobody else's.
    pub(super) fn new(client: Client) -> CustomerReads {
        CustomerReads {
            client,
            lists: Bounds::new(LISTS_MAX, LISTS_OF_ONE_CUSTOMER_MAX),
            balances: Bounds::new(BALANCES_MAX, BALANCES_OF_ONE_CUSTOMER_MAX),
        }
    }

    /// The same bank at other addresses: what is under way counts on.
    pub(super) fn instead_of(self, before: &CustomerReads) -> CustomerReads {
        CustomerReads { client: self.client, lists: before.lists.clone(), balances: before.balances.clone() }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// A place for one more of that customer and that source.
    ///
    /// # Errors
    /// When there are too many.
    pub(super) fn take(&self, kind: Kind, customer: u64, source: u64) -> Result<[Place; 2], Problem> {
        let (bounds, what) = match kind {
            Kind::List => (&self.lists, "lists"),
            Kind::Balance => (&self.balances, "balances"),
        };
        let places = bounds.of_customers.take(customer).zip(bounds.of_sources.take(source));
        places.map(<[Place; 2]>::from).ok_or_else(|| {
            let detail =
                format!("as many {what} are being read for you as may be at once; wait for one, and ask again");
            Problem::new(Code::Overloaded, detail).retry_after_ms(RETRY_MS)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::banks::Banks;
    use super::super::slow_bank::slow_bank;
    use super::*;
    use clearing::BankName;
    use std::sync::atomic::Ordering;
    use std::time::{Duration, Instant};
    use tokio::sync::mpsc;

    #[tokio::test]
    async fn nobody_has_many_reads_at_once_and_others_have_theirs() {
        let reads = CustomerReads::new(Client::connect(["127.0.0.1:1"]).expect("an address"));
        let kinds = [
            (Kind::List, LISTS_MAX, LISTS_OF_ONE_CUSTOMER_MAX),
            (Kind::Balance, BALANCES_MAX, BALANCES_OF_ONE_CUSTOMER_MAX),
        ];
        for (kind, max, of_one_max) in kinds {
            let own: Vec<_> = (0..1_000).filter_map(|_| reads.take(kind, 1, 1).ok()).collect();
            assert_eq!(own.len(), of_one_max);
            let refused = reads.take(kind, 1, 2).map(drop).expect_err("from another place neither");
            assert!(refused.code == Code::Overloaded && refused.retry_after_s().is_some());
            let crowd: Vec<_> = (2..1_000).filter_map(|customer| reads.take(kind, customer, 1).ok()).collect();
            assert_eq!(own.len() + crowd.len(), max / 2, "of one source half of all");
            assert!(reads.take(kind, 1_000, 2).is_ok(), "another source");
            drop((own, crowd));
        }
        for bounds in [&reads.lists, &reads.balances] {
            assert_eq!((bounds.of_customers.count(), bounds.of_sources.count()), (0, 0));
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn balances_that_a_bank_never_tells_keep_no_payment_waiting() {
        let (address, most) = slow_bank("ViewBalance").await;
        let bank = BankName::new("alpha").expect("a name");
        let banks = Arc::new(Banks::new(mpsc::channel(1).0, None));
        banks.know(&[(bank, vec![address])]);
        let link = banks.link(&bank).expect("it was named");
        let crowd: Vec<_> = (0..1_000_u64)
            .filter_map(|customer| {
                let places = link.customer_reads().take(Kind::Balance, customer, customer).ok()?;
                let client = link.customer_reads().client().clone();
                Some(tokio::spawn(async move { (client.customer_balance("bob").await.map(drop), places) }))
            })
            .collect();
        assert!(crowd.len() > 100 && crowd.len() <= BALANCES_MAX, "{} have a place", crowd.len());
        while most.load(Ordering::Relaxed) < 100 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let began = Instant::now();
        let status = link.client().with_deadline(Duration::from_secs(1)).status().await;
        assert!(status.is_ok(), "no answer after {:?}: {status:?}", began.elapsed());
        for read in crowd {
            let (answered, _places) = read.await.expect("nothing panics");
            assert!(answered.is_err(), "that bank tells no balance");
        }
    }
}
