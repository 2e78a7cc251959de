//! How many lists of what moved are read at once for customers. Each is a look at up to thousands of records, at a bank and here,
//! and keeps other looks waiting. Whoever asks for more at once is told to come back.

use super::places::{Place, Places};
use api::code::Code;
use api::problem::Problem;
use std::sync::Arc;

/// On this node.
const AT_ONCE_MAX: usize = 64;
const OF_ONE_CUSTOMER_MAX: usize = 4;
/// A read usually takes less.
const RETRY_MS: u64 = 300;

/// Those that are read now.
#[derive(Debug)]
pub(super) struct ListReads {
    customers: Arc<Places>,
    sources: Arc<Places>,
}

impl Default for ListReads {
    fn default() -> ListReads {
        ListReads { customers: Places::with_most(AT_ONCE_MAX, OF_ONE_CUSTOMER_MAX), sources: Places::new(AT_ONCE_MAX) }
    }
}

impl ListReads {
    /// A place for one more of that customer and that source.
    ///
    /// # Errors
    /// When there are too many.
    pub(super) fn take(&self, customer: u64, source: u64) -> Result<[Place; 2], Problem> {
        let places = self.customers.take(customer).zip(self.sources.take(source));
        places.map(<[Place; 2]>::from).ok_or_else(|| {
            let detail = "as many lists are being read for you as may be at once; wait for one, and ask again";
            Problem::new(Code::Overloaded, detail).retry_after_ms(RETRY_MS)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_many_lists_read_at_once_and_others_have_theirs() {
        let reads = ListReads::default();
        let own: Vec<_> = (0..100).filter_map(|_| reads.take(1, 1).ok()).collect();
        assert_eq!(own.len(), OF_ONE_CUSTOMER_MAX);
        let refused = reads.take(1, 2).map(drop).expect_err("from another place neither");
        assert!(refused.code == Code::Overloaded && refused.retry_after_s().is_some());
        let crowd: Vec<_> = (2..100).filter_map(|customer| reads.take(customer, 1).ok()).collect();
        assert_eq!(own.len() + crowd.len(), AT_ONCE_MAX / 2, "of one source half of all");
        assert!(reads.take(100, 2).is_ok(), "another source");
        drop((own, crowd));
        assert_eq!((reads.customers.count(), reads.sources.count()), (0, 0));
    }
}
