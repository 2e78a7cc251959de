//! Bytes in flight: what the requests that are being read and answered may hold at once, of one connection, of one source, and
//! of the node.
//!
//! A request counts from its head on until its answer has left, with at least what `bounds::request_bytes` says: a message over
//! gRPC with the length that it declares, before it is read; a body over HTTP with what of it is there; an answer over HTTP
//! with its length. What does not fit is refused and changes nothing. An answer is never refused: by then the work is done.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use api::code::Code;
use api::problem::Problem;

/// One bound, and how much of it is taken.
#[derive(Debug)]
pub(crate) struct Level {
    of: Of,
    held: AtomicUsize,
    max: usize,
}

/// Whose bytes a level counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    Connection,
    Source,
    Node,
}

impl Level {
    pub(crate) fn new(of: Of, max: usize) -> Arc<Level> {
        Arc::new(Level { of, held: AtomicUsize::new(0), max })
    }

    fn add(&self, bytes: usize) -> Result<(), Full> {
        let held = self.held.fetch_add(bytes, Ordering::Relaxed);
        if held.saturating_add(bytes) <= self.max {
            return Ok(());
        }
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        Err(Full { of: self.of, max: self.max })
    }

    /// Bytes that are counted now.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

/// A bound that a request would have gone over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full {
    of: Of,
    max: usize,
}

/// Long enough for requests of a usual size to be answered.
const RETRY_MS: u64 = 200;

impl Full {
    pub(crate) fn problem(self) -> Problem {
        let whose = match self.of {
            Of::Connection => "the requests of this connection",
            Of::Source => "your requests",
            Of::Node => "the requests of all callers",
        };
        let detail = format!(
            "{whose} hold as much memory as they may ({} KiB); wait for answers before sending more, nothing was changed",
            self.max >> 10
        );
        Problem::new(Code::Overloaded, detail).retry_after_ms(RETRY_MS)
    }
}

/// What one request counts for, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    levels: [Arc<Level>; 3],
    bytes: AtomicUsize,
}

impl Charge {
    /// For a request that has begun: from the narrowest level to the widest.
    pub(crate) fn begin(levels: [Arc<Level>; 3], bytes: usize) -> Result<Charge, Full> {
        let charge = Charge { levels, bytes: AtomicUsize::new(0) };
        charge.grow(bytes)?;
        Ok(charge)
    }

    /// Counts more, or nothing.
    pub(crate) fn grow(&self, bytes: usize) -> Result<(), Full> {
        for (at, level) in self.levels.iter().enumerate() {
            if let Err(full) = level.add(bytes) {
                for level in &self.levels[..at] {
                    level.held.fetch_sub(bytes, Ordering::Relaxed);
                }
                return Err(full);
            }
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Counts what is there already, over the bound too: what comes next is refused then.
    pub(crate) fn force(&self, bytes: usize) {
        for level in &self.levels {
            level.held.fetch_add(bytes, Ordering::Relaxed);
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let bytes = *self.bytes.get_mut();
        for level in &self.levels {
            level.held.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::bounds::REQUEST_BYTES_MIN;

    #[test]
    fn the_narrowest_bound_refuses_and_nothing_is_left_counted() {
        let node = Level::new(Of::Node, 8 * REQUEST_BYTES_MIN);
        let source = Level::new(Of::Source, 4 * REQUEST_BYTES_MIN);
        let connection = || Level::new(Of::Connection, 2 * REQUEST_BYTES_MIN);
        let (one, two, three) = (connection(), connection(), connection());
        let begin = |connection: &Arc<Level>| {
            Charge::begin([Arc::clone(connection), Arc::clone(&source), Arc::clone(&node)], REQUEST_BYTES_MIN)
        };
        let first = begin(&one).expect("there is room");
        first.grow(REQUEST_BYTES_MIN).expect("there is room");
        assert_eq!(first.grow(1).map_err(|full| full.of), Err(Of::Connection));
        let others = [begin(&two).expect("there is room"), begin(&two).expect("there is room")];
        assert_eq!(begin(&three).map_err(|full| full.of).expect_err("the source has all it may"), Of::Source);
        assert_eq!((three.held(), source.held(), node.held()), (0, 4 * REQUEST_BYTES_MIN, 4 * REQUEST_BYTES_MIN));
        first.force(100 * REQUEST_BYTES_MIN);
        drop((first, others));
        assert_eq!((one.held(), two.held(), source.held(), node.held()), (0, 0, 0, 0));
    }
}
