//! Writes lines in a thread of its own. Who logs never waits: lines that find no room are dropped, and their number is told.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

/// Lines that wait to be written.
const WAITING_MAX: usize = 8_192;

#[derive(Debug)]
pub(super) struct Background {
    lines: SyncSender<Vec<u8>>,
    dropped: u64,
}

impl Background {
    pub(super) fn start(to: impl Write + Send + 'static) -> Background {
        let (lines, queue) = sync_channel(WAITING_MAX);
        // Without the thread, lines are dropped: a node is not stopped for want of a log.
        let _ = std::thread::Builder::new().name("requests".to_owned()).spawn(move || write_all(&queue, to));
        Background { lines, dropped: 0 }
    }

    fn send(&mut self, line: Vec<u8>) -> bool {
        match self.lines.try_send(line) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}

impl Write for Background {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.dropped > 0 && self.send(format!("# {} requests have no line here\n", self.dropped).into_bytes()) {
            self.dropped = 0;
        }
        if !self.send(line.to_vec()) {
            self.dropped += 1;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_all(queue: &Receiver<Vec<u8>>, mut to: impl Write) {
    while let Ok(line) = queue.recv() {
        // A full disk must not stop the node, nor this thread: there may be room again.
        let _ = to.write_all(&line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};

    /// Hands on what is written, once it is let.
    struct Gate {
        open: Receiver<()>,
        written: Sender<String>,
    }

    impl Write for Gate {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            // A sender that is gone lets everything through.
            let _ = self.open.recv();
            let _ = self.written.send(String::from_utf8_lossy(line).into_owned());
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_logs_never_waits_and_what_was_dropped_is_told() {
        let ((let_through, open), (written, seen)) = (channel(), channel());
        let mut log = Background::start(Gate { open, written });
        let lines = WAITING_MAX + 100;
        for number in 0..lines {
            writeln!(log, "line {number}").expect("it never fails");
        }
        drop(let_through);
        assert_eq!(seen.recv().expect("it is written"), "line 0\n");
        let mut last = String::new();
        crate::test_dir::until("what was dropped is told", || {
            writeln!(log, "after").expect("it never fails");
            seen.try_iter().any(|line| {
                let told = line.starts_with("# ") && line.ends_with("requests have no line here\n");
                last = line;
                told
            })
        });
        assert!(last.starts_with("# "), "{last}");
    }
}
