//! What the disk does beside the measurement: a virtual one may stop for a tenth of a second whoever writes, and a tail of
//! latencies cannot be judged by who does not know that.

use hdrhistogram::Histogram;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Between two syncs: a stop that is longer is seen, and the nodes, which sync a thousand times a second, hardly notice.
const EVERY: Duration = Duration::from_millis(20);
/// A sync that takes longer is a stop.
const STOP: Duration = Duration::from_millis(10);
const BYTES: usize = 4_096;
/// What takes longer counts as this: a minute.
const LONGEST_US: u64 = 60_000_000;

/// Syncs of 4 KiB, one every 20 ms, while this lives.
#[derive(Debug)]
pub(super) struct Disk {
    thread: JoinHandle<io::Result<Syncs>>,
    end: Sender<()>,
    longest: Longest,
}

/// The longest sync since somebody looked, in microseconds.
#[derive(Debug, Clone, Default)]
pub(super) struct Longest(Arc<AtomicU64>);

impl Longest {
    pub(super) fn take_us(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

/// How long the syncs took.
#[derive(Debug)]
pub(super) struct Syncs {
    /// Microseconds.
    pub(super) latencies: Histogram<u64>,
    /// In syncs that took longer than 10 ms.
    pub(super) stopped: Duration,
    pub(super) took: Duration,
}

impl Disk {
    /// In a file of its own in this directory, which is removed at the end.
    pub(super) fn watch(dir: &Path) -> Disk {
        let path = dir.join("bench-disk");
        let (end, ended) = channel();
        let longest = Longest::default();
        let noted = longest.clone();
        let thread = thread::spawn(move || {
            let syncs = watched(&path, &ended, &noted);
            // If it could not be made there is nothing to remove.
            let _ = fs::remove_file(&path);
            syncs
        });
        Disk { thread, end, longest }
    }

    pub(super) fn longest(&self) -> Longest {
        self.longest.clone()
    }

    /// None if the file could not be written: the bank's own figures stand without it.
    pub(super) fn end(self) -> Option<Syncs> {
        drop(self.end);
        self.thread.join().ok()?.ok()
    }
}

fn watched(path: &Path, ended: &Receiver<()>, longest: &Longest) -> io::Result<Syncs> {
    let file = File::create(path)?;
    file.write_all_at(&[0; BYTES], 0)?;
    file.sync_all()?;
    let mut latencies = Histogram::new_with_bounds(1, LONGEST_US, 3).expect("three digits between one and a minute");
    let (begun, mut stopped) = (Instant::now(), Duration::ZERO);
    for bytes in (1..=u8::MAX).cycle().map(|at| [at; BYTES]) {
        if ended.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout) {
            break;
        }
        let sync = Instant::now();
        file.write_all_at(&bytes, 0)?;
        file.sync_data()?;
        let took = sync.elapsed();
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        latencies.saturating_record(took_us);
        longest.0.fetch_max(took_us, Ordering::Relaxed);
        stopped += if took > STOP { took } else { Duration::ZERO };
    }
    Ok(Syncs { latencies, stopped, took: begun.elapsed() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_dir::{TestDir, until};

    #[test]
    fn syncs_are_measured_and_leave_nothing_behind() {
        let dir = TestDir::new();
        let disk = Disk::watch(dir.path());
        let written = || fs::read(dir.path().join("bench-disk")).unwrap_or_default();
        until("a first sync has begun", || written().first().is_some_and(|byte| *byte > 0));
        let longest = disk.longest();
        let syncs = disk.end().expect("a temporary directory can be written");
        assert!(!syncs.latencies.is_empty(), "the sync that had begun counts");
        assert!(syncs.latencies.max() > 0 && syncs.stopped <= syncs.took);
        assert!(longest.take_us() > 0);
        assert_eq!(longest.take_us(), 0, "it was looked at");
        assert_eq!(fs::read_dir(dir.path()).expect("it can be listed").count(), 0);
        assert!(Disk::watch(&dir.path().join("gone")).end().is_none());
    }
}
