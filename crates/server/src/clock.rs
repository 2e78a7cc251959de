//! The one place that asks the machine for the time.

use paxos::Now;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Monotonic time since the node's start, and the wall's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub(crate) fn now(&self) -> Now {
        Now { mono_us: self.mono_us(), wall_ms: wall_ms() }
    }

    /// Microseconds since the node's start.
    pub(crate) fn mono_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).expect("half a million years fit")
    }
}

/// Unix milliseconds; 0 on a machine whose clock stands before 1970.
pub(crate) fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
