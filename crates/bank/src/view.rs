//! The books between two batches, as a question sees them: the present in memory, the past in the journal.

use crate::machine::{Machine, index_key};
use crate::recount::Mismatch;
use ledger::record::Record;
use ledger::{AccountId, Ledger, RecordKey, StatementLine, TransferId};
use paxos::Slot;
use replica::group::Group;
use replica::{Applier, group};
use storage::{Disk, JournalMark, JournalReader, JournalRecord, StorageError};

/// A look at one node's books. Nothing changes while it exists.
#[derive(Debug)]
pub struct BankView<'a, D: Disk> {
    applier: &'a Applier<Machine, D>,
}

/// Why a question to the past has no answer.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("the journal holds something unreadable at {place}: {source}")]
    Record { place: u64, source: ledger::record::RecordError },
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
}

impl<'a, D: Disk> BankView<'a, D> {
    /// A view of the books as they are now.
    pub fn new(applier: &'a Applier<Machine, D>) -> Self {
        Self { applier }
    }

    /// Accounts, holds, settings, totals: all that is in memory.
    pub fn ledger(&self) -> &'a Ledger {
        self.applier.machine().ledger()
    }

    /// The last slot that these books contain.
    pub fn applied(&self) -> Slot {
        self.applier.applied()
    }

    /// Who belongs to the group, and its mode, after that slot.
    pub fn group(&self) -> &'a Group {
        self.applier.group()
    }

    /// Where the journal stands: slot, number of records, head of the hash chain.
    pub fn mark(&self) -> JournalMark {
        self.applier.mark()
    }

    /// The head of the hash chain after `slot`, if that is not too long ago.
    pub fn chain_at(&self, slot: Slot) -> Option<[u8; 32]> {
        self.applier.chain_at(slot)
    }

    /// Reads the journal from another thread.
    pub fn reader(&self) -> JournalReader<D> {
        self.applier.reader()
    }

    /// The record of the outcome of a transfer or hold.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn outcome(&self, id: TransferId) -> Result<Option<Record>, HistoryError> {
        self.applier.find(index_key(RecordKey::outcome(id)))?.map(|record| decode(&record, 0)).transpose()
    }

    /// The bytes of the record found under a key.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn find(&self, key: RecordKey) -> Result<Option<JournalRecord>, StorageError> {
        self.applier.find(index_key(key))
    }

    /// The bytes of the record at a place of the journal.
    ///
    /// # Errors
    /// When the journal cannot be read, or has no such place.
    pub fn record_bytes(&self, place: u64) -> Result<JournalRecord, StorageError> {
        self.applier.record(place)
    }

    /// The record at a place of the journal; none for a batch's header, or a change of the group.
    ///
    /// # Errors
    /// When the journal cannot be read, or has no such place.
    pub fn record(&self, place: u64) -> Result<Option<Record>, HistoryError> {
        let record = self.applier.record(place)?;
        if !is_of_ledger(&record) { Ok(None) } else { decode(&record, place).map(Some) }
    }

    /// The newest records, at most `count`, newest first, looking back over at most `look_back` places.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn latest(&self, count: usize, look_back: u64) -> Result<Vec<Record>, HistoryError> {
        let end = self.applier.places();
        let mut latest = Vec::new();
        for place in (end.saturating_sub(look_back)..end).rev() {
            latest.extend(self.record(place)?);
            if latest.len() >= count {
                break;
            }
        }
        Ok(latest)
    }

    /// An account's records that changed its balances, newest first, at most `limit`, from the place `from` on or from
    /// the newest. Each names the place of the one before it, to go on from.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn statement(
        &self,
        account: AccountId,
        from: Option<u64>,
        limit: usize,
    ) -> Result<Vec<StatementLine>, HistoryError> {
        let newest = self.ledger().account(account).and_then(|account| account.last_place);
        let mut next = from.or(newest);
        let mut lines = Vec::new();
        while let Some(place) = next
            && lines.len() < limit
        {
            let Some(record) = self.record(place)? else { break };
            let Some(line) = record.statement_line(account) else { break };
            next = line.previous;
            lines.push(line);
        }
        Ok(lines)
    }
}

/// Whether the ledger wrote it, and not the journal or the group.
fn is_of_ledger(record: &JournalRecord) -> bool {
    record[..2] != storage::HEADER_KIND.to_le_bytes() && !group::is_control(record)
}

pub(crate) fn decode(record: &JournalRecord, place: u64) -> Result<Record, HistoryError> {
    Record::decode(record).map_err(|source| HistoryError::Record { place, source })
}
