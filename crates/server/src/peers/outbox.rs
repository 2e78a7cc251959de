//! What waits to be written to one peer: bounded, and thrown away while there is no connection.
//!
//! Throwing away is safe: Paxos says again what matters. Holding back is not: the replica's thread must never wait for
//! a peer that is slow or gone.

use super::frame::Frame;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most bytes that wait for one peer; what comes beyond is dropped.
const BYTES_MAX: usize = 64 << 20;

#[derive(Debug, Default)]
struct State {
    frames: Vec<Frame>,
    bytes: usize,
    connected: bool,
    closed: bool,
}

/// Frames on their way to one peer's writer.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    filled: Condvar,
}

/// What the writer finds.
pub(crate) enum Taken {
    /// To be written, in this order.
    Frames(Vec<Frame>),
    /// Nothing came in time.
    Nothing,
    /// The node stops.
    Closed,
}

impl Outbox {
    /// Adds a frame, unless the peer is not connected or too far behind.
    pub(crate) fn push(&self, frame: Frame) {
        let mut state = self.lock();
        if !state.connected || state.bytes + frame.len() > BYTES_MAX {
            return;
        }
        state.bytes += frame.len();
        state.frames.push(frame);
        if state.frames.len() == 1 {
            self.filled.notify_one();
        }
    }

    /// Takes all that waits; waits for something at most `patience`.
    pub(crate) fn take(&self, patience: Duration) -> Taken {
        let (mut state, _) = self
            .filled
            .wait_timeout_while(self.lock(), patience, |state| state.frames.is_empty() && !state.closed)
            .unwrap_or_else(PoisonError::into_inner);
        if state.closed && state.frames.is_empty() {
            return Taken::Closed;
        }
        state.bytes = 0;
        match std::mem::take(&mut state.frames) {
            frames if frames.is_empty() => Taken::Nothing,
            frames => Taken::Frames(frames),
        }
    }

    /// A connection stands, or no longer does; then what waits is dropped.
    pub(crate) fn set_connected(&self, connected: bool) {
        let mut state = self.lock();
        state.connected = connected;
        if !connected {
            state.frames.clear();
            state.bytes = 0;
        }
    }

    /// The node stops: the writer may end when it has written what waits.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// A panic while the lock was held leaves frames as they were: whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn frame() -> Frame {
        Frame::new(b"said", Bytes::new())
    }

    #[test]
    fn what_is_said_to_nobody_is_dropped() {
        let outbox = Outbox::default();
        outbox.push(frame());
        assert!(matches!(outbox.take(Duration::ZERO), Taken::Nothing));
        outbox.set_connected(true);
        outbox.push(frame());
        assert!(matches!(outbox.take(Duration::ZERO), Taken::Frames(frames) if frames.len() == 1));
        outbox.push(frame());
        outbox.set_connected(false);
        outbox.set_connected(true);
        assert!(matches!(outbox.take(Duration::ZERO), Taken::Nothing));
    }

    #[test]
    fn what_waits_is_bounded() {
        let outbox = Outbox::default();
        outbox.set_connected(true);
        let large = Frame::new(b"", Bytes::from(vec![0; BYTES_MAX / 2]));
        for _ in 0..3 {
            outbox.push(large.clone());
        }
        assert!(matches!(outbox.take(Duration::ZERO), Taken::Frames(frames) if frames.len() == 1));
    }
}
