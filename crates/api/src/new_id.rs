//! New ids.

use std::time::{SystemTime, UNIX_EPOCH};

use uuid::{NoContext, Timestamp, Uuid};

/// A new UUID of version 7 (RFC 9562), never nil: those made about the same time lie together. A clock that stands before
/// 1970 counts as 1970; the other 74 bits are random.
pub fn new_id() -> u128 {
    at(SystemTime::now())
}

fn at(now: SystemTime) -> u128 {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    Uuid::new_v7(Timestamp::from_unix(NoContext, since.as_secs(), since.subsec_nanos())).as_u128()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn ids_are_of_version_7_and_differ_whatever_the_clock_says() {
        let year = Duration::from_secs(365 * 86_400);
        for now in [UNIX_EPOCH - 100 * year, UNIX_EPOCH, UNIX_EPOCH + 56 * year, UNIX_EPOCH + 9_000 * year] {
            let (one, other) = (at(now), at(now));
            assert_ne!(one, other);
            assert_eq!(Uuid::from_u128(one).get_version_num(), 7, "{now:?}");
        }
        assert!(at(UNIX_EPOCH + year) < at(UNIX_EPOCH + 2 * year));
    }
}
