//! A listing that is read page by page, from a bank that may give out pages without end.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::cmd::user::path_of;

/// A cursor of ours has fewer than a hundred.
const CURSOR_BYTES_MAX: usize = 256;

/// Ten million transfers are told in some minutes.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// The cursors that a bank has given out so far.
#[derive(Debug)]
pub(super) struct Pages {
    until: Instant,
    /// A part of each one's hash: sixteen bytes a page.
    seen: BTreeSet<u128>,
}

impl Pages {
    pub(super) fn begin() -> Pages {
        Pages { until: Instant::now() + PATIENCE, seen: BTreeSet::new() }
    }

    /// The cursor as it stands in a query.
    ///
    /// # Errors
    /// When the bank named that page before, so that what it tells has no end, when it is none, or when the bank has told for an
    /// hour.
    pub(super) fn turn_to(&mut self, cursor: &str, bank: &str) -> Result<String, String> {
        if cursor.is_empty() || cursor.len() > CURSOR_BYTES_MAX {
            return Err(format!("bank {bank} names a next page that is none, so what it tells has no end"));
        }
        let hash = blake3::hash(cursor.as_bytes());
        let part = u128::from_le_bytes(hash.as_bytes()[..16].try_into().expect("sixteen bytes of thirty-two"));
        if !self.seen.insert(part) {
            return Err(format!("bank {bank} names a page again that it named before, so what it tells has no end"));
        }
        if Instant::now() >= self.until {
            return Err(format!("bank {bank} has told for an hour, and names more: what it tells may have no end"));
        }
        Ok(path_of(cursor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_comes_again_ends_it_and_a_cursor_is_safe_in_a_query() {
        let mut pages = Pages::begin();
        assert_eq!(pages.turn_to("p17~5f0c2a91", "evil").as_deref(), Ok("p17~5f0c2a91"));
        assert_eq!(pages.turn_to("a b&cursor=c", "evil").as_deref(), Ok("a%20b%26cursor%3Dc"));
        assert!(pages.turn_to("p17~5f0c2a91", "evil").is_err_and(|why| why.contains("has no end")));
        assert!(pages.turn_to("", "evil").is_err());
        assert!(pages.turn_to(&"x".repeat(CURSOR_BYTES_MAX + 1), "evil").is_err());
    }

    #[test]
    fn pages_that_are_new_each_time_end_as_well() {
        let mut pages = Pages { until: Instant::now() + Duration::from_millis(50), ..Pages::begin() };
        let last = (0_u64..).find_map(|page| pages.turn_to(&page.to_string(), "evil").err());
        assert!(last.is_some_and(|why| why.contains("has told for an hour")));
    }
}
