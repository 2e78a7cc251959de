//! The one place that asks the machine for the time.

use paxos::Now;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Monotonic time since the node's start, and the wall's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Duration,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: since_boot() }
    }

    pub(crate) fn now(&self) -> Now {
        Now { mono_us: self.mono_us(), wall_ms: wall_ms() }
    }

    /// Microseconds since the node's start.
    #[expect(clippy::expect_used, reason = "half a million years fit")]
    pub(crate) fn mono_us(&self) -> u64 {
        u64::try_from(since_boot().saturating_sub(self.start).as_micros()).expect("half a million years fit")
    }
}

/// Monotonic time that goes on while the machine sleeps: a laptop that wakes up has not had its clock set.
#[cfg(target_os = "linux")]
fn since_boot() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let (seconds, nanoseconds) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or_default(), nanoseconds.unwrap_or_default())
}

#[cfg(not(target_os = "linux"))]
fn since_boot() -> Duration {
    use std::sync::LazyLock;
    use std::time::Instant;

    static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
    FIRST.elapsed()
}

/// Unix milliseconds; 0 on a machine whose clock stands before 1970.
fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let wall_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    #[cfg(debug_assertions)]
    let wall_ms = wall_ms.saturating_add_signed(wrong::by_ms());
    wall_ms
}

/// Wrong clocks for tests of real processes, in builds that nobody ships: `RIALTO_TEST_CLOCK` names a file with lines such
/// as `--name gateway --node 2 = 7200000`: the wall clock of the process with these arguments is so many milliseconds ahead.
#[cfg(debug_assertions)]
mod wrong {
    use std::path::PathBuf;
    use std::sync::LazyLock;

    static FILE: LazyLock<Option<PathBuf>> = LazyLock::new(|| std::env::var_os("RIALTO_TEST_CLOCK").map(PathBuf::from));
    static ARGUMENTS: LazyLock<String> = LazyLock::new(|| {
        std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    });

    pub(super) fn by_ms() -> i64 {
        let Some(file) = &*FILE else { return 0 };
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let of_this = text.lines().filter_map(|line| line.split_once('=')).find(|(whose, _)| is_mine(whose.trim()));
        of_this.and_then(|(_, ms)| ms.trim().parse().ok()).unwrap_or(0)
    }

    fn is_mine(whose: &str) -> bool {
        ARGUMENTS.contains(whose)
    }
}
