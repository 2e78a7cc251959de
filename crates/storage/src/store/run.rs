//! One immutable sorted run: key (id, kind) → place in the journal.
//!
//! ```text
//!   blocks of 4096: sum │ 170 × (id u128, place u48, kind u8, zero)     one read each when a key is looked up
//!   first id of every block                      kept in memory: 16 bytes for 170 keys
//!   filter                                       kept in memory: 2 bytes a key
//!   footer of 64: counts, largest id, sums
//! ```
//!
//! Most ids never get as far as a read: v7 ids are younger than every run's largest id, v4 ids are stopped by the
//! filter, and what is left costs one read of one block.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::filter::Filter;
use super::key::IndexKey;
use super::writer::{FileWriter, open_listed, read_exactly};
use crate::checksum::{FileKind, Seal};
use crate::{Disk, OpenError, Owner, Part, StorageError};

const BLOCK: usize = 4096;
const ENTRY: usize = 24;
const PER_BLOCK: usize = (BLOCK - 8) / ENTRY;
const FOOTER: usize = 64;
/// A run of an older format is not one: it is made again from the journal, as one that has rotted.
const MAGIC: &[u8; 8] = b"RialtoI2";
/// Blocks per read when a run is merged: 256 KiB.
const BLOCKS_PER_READ: usize = 64;

/// A finished run.
pub(super) struct Run<D: Disk> {
    pub(super) path: PathBuf,
    pub(super) number: u64,
    pub(super) len: u64,
    pub(super) ids: u64,
    file: Arc<D::File>,
    seal: Seal,
    first_of_block: Vec<u128>,
    largest: u128,
    filter: Filter,
}

pub(super) fn run_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("run-{number:06}"))
}

impl<D: Disk> Run<D> {
    pub(super) fn open(disk: &D, dir: &Path, number: u64, owner: Owner, len: u64) -> Result<Run<D>, OpenError> {
        let path = run_path(dir, number);
        let file = Arc::new(open_listed(disk, (Part::Ids, &path))?);
        let seal = Seal::new(owner, FileKind::Run, number);
        let footer_at = len.saturating_sub(FOOTER as u64);
        let mut footer = [0; FOOTER];
        read_exactly(&*file, (Part::Ids, &path), footer_at, &mut footer)?;
        let u64_at = |at: usize| u64::from_le_bytes(footer[at..at + 8].try_into().expect("eight bytes were taken"));
        if &footer[..8] != MAGIC || seal.sum(footer_at, &footer[..56]) != u64_at(56) {
            return Err(StorageError::rot(Part::Ids, &path, footer_at, "the footer is not whole").into());
        }
        let (ids, index_at) = (u64_at(8), u64_at(16));
        let largest = u128::from_le_bytes(footer[32..48].try_into().expect("16 bytes were taken"));
        let blocks = ids.div_ceil(PER_BLOCK as u64);
        // Whatever the numbers are, the sum was right: so they are looked at before anything is believed of them.
        let fits = ids > 0
            && index_at == blocks.saturating_mul(BLOCK as u64)
            && index_at.saturating_add(16 * blocks + Filter::BYTES_MIN) <= footer_at;
        if !fits {
            return Err(
                StorageError::rot(Part::Ids, &path, footer_at, "the footer's numbers do not fit together").into()
            );
        }
        let mut index = vec![0; (footer_at - index_at) as usize];
        read_exactly(&*file, (Part::Ids, &path), index_at, &mut index)?;
        if seal.sum(index_at, &index) != u64_at(24) {
            return Err(StorageError::rot(
                Part::Ids,
                &path,
                index_at,
                "the checksum of index and filter does not match",
            )
            .into());
        }
        let (firsts, filter) = index.split_at(blocks as usize * 16);
        let first_of_block = firsts.as_chunks::<16>().0.iter().map(|id| u128::from_le_bytes(*id)).collect();
        let filter = Filter::from_bytes(filter);
        Ok(Run { path, number, len, ids, file, seal, first_of_block, largest, filter })
    }

    pub(super) fn maybe_contains(&self, key: IndexKey) -> bool {
        let id = key.id();
        id <= self.largest && self.first_of_block[0] <= id && self.filter.maybe_contains(key)
    }

    /// The place of a key for which [`Run::maybe_contains`] said yes.
    pub(super) fn find(&self, key: IndexKey) -> Result<Option<u64>, StorageError> {
        // The keys of one id stand side by side, and a block may end between them.
        let before = self.first_of_block.partition_point(|first| *first < key.id()).saturating_sub(1);
        let may_hold = |number: &usize| self.first_of_block.get(*number).is_some_and(|first| *first <= key.id());
        for number in (before..).take_while(may_hold) {
            let mut block = [0; BLOCK];
            self.read_blocks(number, &mut block)?;
            let entries = self.entries_of(number, &block);
            if let Ok(at) = entries.binary_search_by_key(&key, |entry| split(entry).0) {
                return Ok(Some(split(&entries[at]).1));
            }
        }
        Ok(None)
    }

    fn read_blocks(&self, first: usize, blocks: &mut [u8]) -> Result<(), StorageError> {
        let offset = (first * BLOCK) as u64;
        read_exactly(&*self.file, (Part::Ids, &self.path), offset, blocks)?;
        for (n, block) in blocks.as_chunks::<BLOCK>().0.iter().enumerate() {
            let offset = offset + (n * BLOCK) as u64;
            let sum = u64::from_le_bytes(*block.first_chunk().expect("a block is longer than a sum"));
            if self.seal.sum(offset, &block[8..]) != sum {
                let what = "the checksum of the block there does not match";
                return Err(StorageError::rot(Part::Ids, &self.path, offset, what));
            }
        }
        Ok(())
    }

    fn entries_of<'a>(&self, number: usize, block: &'a [u8]) -> &'a [[u8; ENTRY]] {
        let entries = (self.ids as usize - number * PER_BLOCK).min(PER_BLOCK);
        &block[8..].as_chunks::<ENTRY>().0[..entries]
    }
}

/// Eight bits of kind stand above the 48 of a place.
const KIND_SHIFT: u32 = 48;

fn split(entry: &[u8; ENTRY]) -> (IndexKey, u64) {
    let id = u128::from_le_bytes(*entry.first_chunk().expect("an entry is longer than an id"));
    let rest = u64::from_le_bytes(*entry.last_chunk().expect("an entry ends with place and kind"));
    (IndexKey::new((rest >> KIND_SHIFT) as u8, id), rest & ((1 << KIND_SHIFT) - 1))
}

/// Writes a run; the keys come sorted and each once.
pub(super) struct RunWriter<D: Disk> {
    writer: FileWriter<D>,
    path: PathBuf,
    number: u64,
    seal: Seal,
    block: Vec<u8>,
    ids: u64,
    first_of_block: Vec<u128>,
    largest: u128,
    last: Option<IndexKey>,
    filter: Filter,
}

impl<D: Disk> RunWriter<D> {
    /// For at most about `expected` ids.
    pub(super) fn create(
        disk: &D,
        dir: &Path,
        number: u64,
        owner: Owner,
        expected: u64,
    ) -> Result<RunWriter<D>, StorageError> {
        let path = run_path(dir, number);
        Ok(RunWriter {
            writer: FileWriter::create(disk, &path)?,
            path,
            number,
            seal: Seal::new(owner, FileKind::Run, number),
            block: Vec::with_capacity(BLOCK),
            ids: 0,
            first_of_block: Vec::new(),
            largest: 0,
            last: None,
            filter: Filter::for_ids(expected),
        })
    }

    pub(super) fn put(&mut self, key: IndexKey, place: u64) -> Result<(), StorageError> {
        assert!(self.last < Some(key), "the keys of a run come sorted and each once");
        assert!(place >> KIND_SHIFT == 0, "a place is a number of 48 bits, as in every record");
        if self.block.is_empty() {
            self.block.resize(8, 0);
            self.first_of_block.push(key.id());
        }
        self.block.extend_from_slice(&key.id().to_le_bytes());
        self.block.extend_from_slice(&(place | u64::from(key.kind()) << KIND_SHIFT).to_le_bytes());
        (self.largest, self.last) = (key.id(), Some(key));
        self.ids += 1;
        self.filter.insert(key);
        if self.block.len() == 8 + PER_BLOCK * ENTRY { self.end_block() } else { Ok(()) }
    }

    pub(super) fn finish(mut self) -> Result<Run<D>, StorageError> {
        assert!(self.ids > 0, "a run holds something");
        if !self.block.is_empty() {
            self.end_block()?;
        }
        let index_at = self.writer.position();
        let mut index: Vec<u8> = self.first_of_block.iter().flat_map(|id| id.to_le_bytes()).collect();
        index.extend_from_slice(&self.filter.to_bytes());
        self.writer.write(&index)?;
        let footer_at = self.writer.position();
        let mut footer = [0; FOOTER];
        footer[..8].copy_from_slice(MAGIC);
        footer[8..16].copy_from_slice(&self.ids.to_le_bytes());
        footer[16..24].copy_from_slice(&index_at.to_le_bytes());
        footer[24..32].copy_from_slice(&self.seal.sum(index_at, &index).to_le_bytes());
        footer[32..48].copy_from_slice(&self.largest.to_le_bytes());
        let sum = self.seal.sum(footer_at, &footer[..56]);
        footer[56..].copy_from_slice(&sum.to_le_bytes());
        self.writer.write(&footer)?;
        let (file, len) = self.writer.finish()?;
        Ok(Run {
            path: self.path,
            number: self.number,
            len,
            ids: self.ids,
            file,
            seal: self.seal,
            first_of_block: self.first_of_block,
            largest: self.largest,
            filter: self.filter,
        })
    }

    fn end_block(&mut self) -> Result<(), StorageError> {
        self.block.resize(BLOCK, 0);
        let sum = self.seal.sum(self.writer.position(), &self.block[8..]);
        self.block[..8].copy_from_slice(&sum.to_le_bytes());
        self.writer.write(&self.block)?;
        self.block.clear();
        Ok(())
    }
}

/// Goes through a run, key by key.
pub(super) struct RunCursor<D: Disk> {
    run: Arc<Run<D>>,
    blocks: Vec<u8>,
    /// Number of the first block in `blocks`.
    first: usize,
    next: u64,
}

impl<D: Disk> RunCursor<D> {
    pub(super) fn new(run: Arc<Run<D>>) -> RunCursor<D> {
        RunCursor { run, blocks: Vec::new(), first: 0, next: 0 }
    }

    pub(super) fn next(&mut self) -> Result<Option<(IndexKey, u64)>, StorageError> {
        if self.next == self.run.ids {
            return Ok(None);
        }
        let number = self.next as usize / PER_BLOCK;
        if number >= self.first + self.blocks.len() / BLOCK {
            let blocks = BLOCKS_PER_READ.min(self.run.first_of_block.len() - number);
            self.blocks.resize(blocks * BLOCK, 0);
            self.run.read_blocks(number, &mut self.blocks)?;
            self.first = number;
        }
        let block = &self.blocks[(number - self.first) * BLOCK..][..BLOCK];
        let entry = &self.run.entries_of(number, block)[self.next as usize % PER_BLOCK];
        self.next += 1;
        Ok(Some(split(entry)))
    }
}
