//! From the node's loop to the open pages: the newest snapshot, ready as text, and nothing older.
//!
//! The one [`Publisher`] belongs to the loop; the [`Feed`] is cloned into the routes. Between them are two `watch`
//! channels, which hold one value each, so a page that does not read costs no memory.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::{Semaphore, watch};

use super::history::History;
use super::snapshot::Snapshot;

/// Pages that may be open on one node at a time.
pub const STREAMS_MAX: usize = 256;
/// Transfers and changed accounts of one snapshot: more than a screen shows, and an event stays a few kilobytes.
pub(super) const LATEST_MAX: usize = 20;
pub(super) const CHANGED_MAX: usize = 64;

/// Makes both ends.
pub fn feed() -> (Publisher, Feed) {
    let streams = Arc::new(Semaphore::new(STREAMS_MAX));
    let history = History::default();
    let (seconds, seconds_read) = watch::channel(seconds_event(&history));
    let (snapshots, snapshots_read) = watch::channel(Bytes::new());
    let feed = Feed { seconds: seconds_read, snapshots: snapshots_read, streams: streams.clone() };
    (Publisher { seconds, snapshots, streams, history, sequence: 0 }, feed)
}

/// The writing end. All streams end when it is dropped.
#[derive(Debug)]
pub struct Publisher {
    seconds: watch::Sender<Bytes>,
    snapshots: watch::Sender<Bytes>,
    streams: Arc<Semaphore>,
    history: History,
    sequence: u64,
}

impl Publisher {
    /// Whether any page is open. If not, [`count`](Publisher::count) alone keeps the curve, and no snapshot need be made.
    pub fn watched(&self) -> bool {
        self.streams.available_permits() < STREAMS_MAX
    }

    /// Notes how many transfers were ever posted, at a moment of a monotonic clock; to be called about twice a second.
    pub fn count(&mut self, now_ms: u64, transfers: u64) {
        if self.history.note(now_ms, transfers) {
            self.seconds.send_replace(seconds_event(&self.history));
        }
    }

    /// Notes the count and sends the snapshot to every open page, in place of one that was not read yet.
    pub fn publish(&mut self, now_ms: u64, mut snapshot: Snapshot) {
        self.count(now_ms, snapshot.transfers);
        self.sequence += 1;
        snapshot.latest.truncate(LATEST_MAX);
        if snapshot.changed.accounts.len() > CHANGED_MAX {
            snapshot.changed.accounts.truncate(CHANGED_MAX);
            snapshot.changed.more = true;
        }
        let sent = Sent { sequence: self.sequence, transfers_per_second: self.history.rate(), snapshot: &snapshot };
        self.snapshots.send_replace(event("snapshot", &sent));
    }
}

/// The reading end.
#[derive(Debug, Clone)]
pub struct Feed {
    pub(super) seconds: watch::Receiver<Bytes>,
    pub(super) snapshots: watch::Receiver<Bytes>,
    pub(super) streams: Arc<Semaphore>,
}

/// A snapshot with what the publisher knows. A page that sees a gap in the sequence missed what changed meanwhile.
#[derive(Serialize)]
struct Sent<'a> {
    sequence: u64,
    transfers_per_second: u64,
    #[serde(flatten)]
    snapshot: &'a Snapshot,
}

#[derive(Serialize)]
struct Seconds {
    /// Two minutes of rates, oldest first.
    per_second: Vec<u64>,
}

fn seconds_event(history: &History) -> Bytes {
    event("history", &Seconds { per_second: history.per_second() })
}

/// One server-sent event. JSON has no bare line feeds, so one `data` line holds it.
#[expect(clippy::expect_used, reason = "our shapes have text keys and no failing writers")]
fn event(name: &str, data: &impl Serialize) -> Bytes {
    let data = serde_json::to_string(data).expect("our shapes have text keys and no failing writers");
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}
