//! How many files and sockets this process may have open.
//!
//! Shells often allow 1,024, which ten thousand idle callers would use up; what the system allows at most is taken.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const FALLBACK: u64 = 1_024;

/// Raises the limit as far as it goes; says what it is now.
pub(crate) fn raise() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    match raised {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    }
    .unwrap_or(FALLBACK)
}
