//! What this node's log gives to a member that lacks chosen batches.
//!
//! What has left the log the member gets as state, from somebody; what has rotted here it gets from another node, because
//! it never asks the same one twice in a row without an answer. Rot in what others lack takes nothing from this node, which has
//! applied those batches: it goes on, and the next start mends its log.

use paxos::{Batch, Message, Slot};
use storage::{Disk, Log, LogError, StorageError};

const LEARNED_BYTES_MAX: usize = 1 << 20;

/// What becomes of a question for chosen batches.
#[derive(Debug)]
pub(crate) enum Lent {
    Answer(Message),
    /// Nothing is answered: just the batch that was asked for has rotted.
    Rotten(StorageError),
}

/// Chosen batches from that slot on.
pub(crate) fn lend<D: Disk>(log: &Log<D>, from: Slot) -> Result<Lent, LogError> {
    match log.read_chosen(from.get(), LEARNED_BYTES_MAX) {
        Ok(batches) => {
            let batches = batches.into_iter().map(Batch::new).collect();
            Ok(Lent::Answer(Message::Learned { from, batches }))
        }
        Err(StorageError::Absent { .. }) => {
            Ok(Lent::Answer(Message::Behind { from, first: Slot::new(log.first_slot()) }))
        }
        Err(error) if error.is_rot() => Ok(Lent::Rotten(error)),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::path::Path;
    use storage::{DiskFile, FaultyDisk, LogOptions, LogRecord, Owner, Unsynced};

    /// Three slots, chosen and synced, and where in the only segment each batch lies.
    fn log_of_three(disk: &FaultyDisk) -> (Log<FaultyDisk>, [u64; 3]) {
        let options = LogOptions { segment_bytes: 64 << 10 };
        let owner = Owner { cluster: 5, node: 1 };
        let (mut log, _) = Log::open(disk.clone(), Path::new("alpha/1"), owner, options).expect("it opens");
        let batch = |slot: u8| Bytes::from(vec![0xA0 + slot; 700]);
        for slot in 1..=3 {
            let accepted = LogRecord::Accepted { slot: u64::from(slot), round: 1, node: 1, batch: batch(slot) };
            let _ = log.append(Unsynced::new(vec![accepted], ())).expect("the disk is sound");
        }
        let _ = log.append(Unsynced::new(vec![LogRecord::Chosen { through: 3 }], ())).expect("the disk is sound");
        log.sync().expect("the disk is sound");
        let file = disk.open(Path::new("alpha/1/log/000001")).expect("the segment is there");
        let mut bytes = vec![0; 32 << 10];
        file.read_at(0, &mut bytes).expect("the disk is sound");
        let place = |slot: u8| bytes.windows(700).position(|window| window == &batch(slot)[..]);
        (log, [1, 2, 3].map(|slot| place(slot).expect("it is there") as u64))
    }

    fn lent(log: &Log<FaultyDisk>, from: u64) -> Option<usize> {
        match lend(log, Slot::new(from)).expect("the node goes on") {
            Lent::Answer(Message::Learned { batches, .. }) => Some(batches.len()),
            Lent::Answer(other) => panic!("{other:?}"),
            Lent::Rotten(_) => None,
        }
    }

    #[test]
    fn a_rotten_batch_is_not_given_out_and_what_is_around_it_is() {
        let disk = FaultyDisk::new(1);
        let (log, places) = log_of_three(&disk);
        assert_eq!(lent(&log, 1), Some(3));
        disk.flip(Path::new("alpha/1/log/000001"), places[1] + 100);
        assert_eq!([1, 2, 3].map(|from| lent(&log, from)), [Some(1), None, Some(1)]);
    }
}
