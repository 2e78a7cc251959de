//! Brings the journal to the disk little by little.
//!
//! Nothing waits for that: the log has made every outcome durable. But a checkpoint must sync the journal first, and if
//! all of it is still in the page cache by then, hundreds of megabytes leave at once and the log's sync, which payments
//! do wait for, queues behind them. So a thread syncs every few megabytes.
//!
//! What the next checkpoints do not need any more leaves the page cache behind that. A journal only grows, so without it
//! every batch is written into memory that the system has to find first: on a virtual machine, whose host gives memory
//! page by page, that took a fifth of both cores under full load (see ARCHITECTURE.md).

use crate::config::NodeError;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use storage::{Disk, JournalReader};

/// Records between two syncs: 8 MiB.
const RECORDS: u64 = 32_768;
/// So many of the newest records stay in memory (256 MiB): checkpoints read them, and so do statements.
pub(crate) const RECENT: u64 = 1 << 20;

/// The apply thread's end.
#[derive(Debug)]
pub(crate) struct Writeback {
    wanted: SyncSender<u64>,
    asked: u64,
}

impl Writeback {
    /// Starts the thread, which ends when this value is dropped.
    pub(crate) fn start<D: Disk>(journal: JournalReader<D>) -> Result<Self, NodeError> {
        let (wanted, places) = sync_channel(1);
        let asked = journal.written();
        thread::Builder::new()
            .name("writeback".to_owned())
            .spawn(move || run(&journal, asked, &places))
            .map_err(NodeError::system("starting a thread"))?;
        Ok(Self { wanted, asked })
    }

    /// So many records are written; a thread that is still busy is asked again later.
    pub(crate) fn written(&mut self, places: u64) {
        if places >= self.asked + RECORDS && self.wanted.try_send(places).is_ok() {
            self.asked = places;
        }
    }
}

fn run<D: Disk>(journal: &JournalReader<D>, start: u64, places: &Receiver<u64>) {
    let mut forgotten = start.saturating_sub(RECENT);
    while let Ok(places) = places.recv() {
        // A failure closes the journal to this process: the next batch cannot be written, and that ends the node and
        // says why.
        if journal.sync(places).is_err() {
            return;
        }
        let old = places.saturating_sub(RECENT);
        journal.forget(forgotten, old);
        forgotten = old.max(forgotten);
    }
}
