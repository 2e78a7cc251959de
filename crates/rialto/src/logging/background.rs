//! Writes lines in a thread of its own, many at once. Who logs never waits, and wakes nobody: lines lie in memory for a twentieth of
//! a second, and those that find no room are dropped and counted.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes that wait to be written.
const WAITING_MAX: usize = 1 << 20;
const PERIOD: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct Background {
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// Lines that found no room since the last write.
    dropped: u64,
}

impl Background {
    pub(super) fn start(to: impl Write + Send + 'static) -> Background {
        let waiting = Arc::<Mutex<Waiting>>::default();
        let shared = Arc::clone(&waiting);
        // Without the thread, lines are dropped: a node is not stopped for want of a log.
        let _ = std::thread::Builder::new().name("requests".to_owned()).spawn(move || write_all(&shared, to));
        Background { waiting }
    }
}

impl Write for Background {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = lock(&self.waiting);
        if waiting.bytes.len() + line.len() > WAITING_MAX {
            waiting.dropped += 1;
        } else {
            waiting.bytes.extend_from_slice(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Ends when nobody is left who logs.
fn write_all(waiting: &Arc<Mutex<Waiting>>, mut to: impl Write) {
    let mut bytes = Vec::new();
    loop {
        let is_last = Arc::strong_count(waiting) == 1;
        let dropped = {
            let mut waiting = lock(waiting);
            std::mem::swap(&mut bytes, &mut waiting.bytes);
            std::mem::take(&mut waiting.dropped)
        };
        if dropped > 0 {
            bytes.extend_from_slice(format!("# {dropped} requests have no line here\n").as_bytes());
        }
        if !bytes.is_empty() {
            // A full disk must not stop the node, nor this thread: there may be room again.
            let _ = to.write_all(&bytes);
            bytes.clear();
        }
        if is_last {
            return;
        }
        std::thread::sleep(PERIOD);
    }
}

/// Whole lines or none are in it, whatever happened to who held it.
fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// Hands on what is written, once it is let.
    struct Gate {
        open: Receiver<()>,
        written: Sender<String>,
    }

    impl Write for Gate {
        fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
            // A sender that is gone lets everything through.
            let _ = self.open.recv();
            let _ = self.written.send(String::from_utf8_lossy(lines).into_owned());
            Ok(lines.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_logs_never_waits_and_what_was_dropped_is_told() {
        let ((let_through, open), (written, seen)) = (channel(), channel());
        let mut log = Background::start(Gate { open, written });
        // Far more than there is room for.
        let lines = 4 * WAITING_MAX / 10;
        for _ in 0..lines {
            log.write_all(b"123456789\n").expect("it never fails");
        }
        drop((let_through, log));
        let all: String = seen.iter().collect();
        let told =
            |line: &str| line.strip_prefix("# ")?.strip_suffix(" requests have no line here")?.parse::<usize>().ok();
        let dropped: usize = all.lines().filter_map(told).sum();
        let kept = all.lines().filter(|line| *line == "123456789").count();
        assert!(dropped > 0, "there was room for all");
        assert_eq!(kept + dropped, lines);
    }
}
