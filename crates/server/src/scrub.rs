//! Reads the journal from its first record to its last, again and again, and checks it beside payments: what lies below the
//! checkpoint is read by nobody for years, and rot in it is mended only as long as another node has those records.
//!
//! ```text
//!   pass: a piece ─► checked ─► pause ─► a piece … through what is written ─► rest ─► next pass
//!                       │ rot
//!                       └─► the node opens its files anew: the bad batch comes from a peer
//! ```
//!
//! The thread gives way to every other and reads no faster than [`BYTES_PER_S`]. What the page cache holds is read from
//! there: that is the newest records, as [`RECENT`] says, which the next pass finds on the disk.
//!
//! What becomes of what is found, `mending` says.

use crate::config::NodeError;
use crate::gauges::Gauges;
use crate::library;
use crate::mending::Mending;
use crate::writeback::RECENT;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;
use storage::{Disk, JournalMark, JournalReader, RECORD, StorageError};
use tracing::error;

/// Records between two pauses: 256 KiB, or one batch where that is more.
const PIECE: u64 = 1_024;
/// A journal of ten million records is read in ten minutes.
const BYTES_PER_S: u64 = 4 << 20;
/// Between two passes.
const REST: Duration = Duration::from_secs(5);

/// The thread's life: it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Scrub {
    _alive: SyncSender<()>,
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Piece,
    End,
}

impl Scrub {
    /// Starts the thread; what it finds is told to `mending`.
    pub(crate) fn start<D: Disk>(
        journal: JournalReader<D>,
        gauges: Arc<Gauges>,
        mending: Mending,
    ) -> Result<Self, NodeError> {
        let (alive, ended) = sync_channel(0);
        let run = move || {
            library::give_way();
            if let Err(found) = passes(&journal, &gauges, &ended) {
                error!(event = "scrub", found = %found);
                mending.must(&found);
            }
        };
        thread::Builder::new().name("scrub".to_owned()).spawn(run).map_err(NodeError::system("starting a thread"))?;
        Ok(Self { _alive: alive })
    }
}

/// Pass after pass, until the node ends or something is found.
fn passes<D: Disk>(journal: &JournalReader<D>, gauges: &Gauges, ended: &Receiver<()>) -> Result<(), StorageError> {
    loop {
        if pass(journal, gauges.books().mark, |checked| sleep(ended, time_for(checked)))? == Next::End {
            return Ok(());
        }
        if sleep(ended, REST) == Next::End {
            return Ok(());
        }
    }
}

/// The whole journal through `to`, piece by piece; `pause` is told the records of each.
fn pass<D: Disk>(
    journal: &JournalReader<D>,
    to: JournalMark,
    mut pause: impl FnMut(u64) -> Next,
) -> Result<Next, StorageError> {
    let mut at = JournalMark::START;
    while at.places < to.places {
        let next = journal.check_some(at, to, PIECE)?;
        journal.forget(at.places, next.places.min(to.places.saturating_sub(RECENT)));
        if pause(next.places - at.places) == Next::End {
            return Ok(Next::End);
        }
        at = next;
    }
    Ok(Next::Piece)
}

fn time_for(records: u64) -> Duration {
    Duration::from_micros(records * RECORD as u64 * 1_000_000 / BYTES_PER_S)
}

fn sleep(ended: &Receiver<()>, pause: Duration) -> Next {
    match ended.recv_timeout(pause) {
        Err(RecvTimeoutError::Timeout) => Next::Piece,
        Ok(()) | Err(RecvTimeoutError::Disconnected) => Next::End,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use storage::{FaultyDisk, Journal, Owner, Part, RECORD_BODY};

    const OWNER: Owner = Owner { cluster: 5, node: 1 };

    fn journal(disk: &FaultyDisk, batches: u64) -> Journal<FaultyDisk> {
        let mut journal =
            Journal::open(disk.clone(), Path::new("alpha/1"), OWNER, JournalMark::START).expect("it opens");
        for slot in 1..=batches {
            journal.begin(slot);
            for at in 0..99 {
                let mut record = [at; RECORD];
                record[RECORD_BODY..].fill(0);
                journal.push(&record);
            }
            journal.finish().expect("the disk is sound");
        }
        journal
    }

    #[test]
    fn a_pass_reads_all_of_a_journal_in_pieces_and_finds_one_bad_byte_anywhere() {
        let disk = FaultyDisk::new(1);
        let journal = journal(&disk, 40);
        let mut pieces = Vec::new();
        let whole = pass(&journal.reader(), journal.mark(), |records| {
            pieces.push(records);
            Next::Piece
        });
        assert_eq!(whole.expect("it is sound"), Next::Piece);
        assert_eq!(pieces, [1_100, 1_100, 1_100, 700], "whole batches, as many as a piece needs");
        for byte in [3, 256 + 7, 2_000 * 256, 4_000 * 256 - 1] {
            let file = Path::new("alpha/1/journal/000000");
            disk.flip(file, byte);
            let found = pass(&journal.reader(), journal.mark(), |_| Next::Piece).expect_err("there is rot");
            assert_eq!(found.rotten_part(), Some(Part::Journal), "byte {byte}");
            disk.flip(file, byte);
        }
    }

    #[test]
    fn a_pass_ends_with_its_node() {
        let disk = FaultyDisk::new(1);
        let journal = journal(&disk, 40);
        let mut pieces = 0;
        let ended = pass(&journal.reader(), journal.mark(), |_| {
            pieces += 1;
            Next::End
        });
        assert_eq!((ended.expect("it is sound"), pieces), (Next::End, 1));
    }

    #[test]
    fn ten_million_records_take_ten_minutes() {
        assert_eq!(time_for(10_000_000).as_secs() / 60, 10);
    }
}
