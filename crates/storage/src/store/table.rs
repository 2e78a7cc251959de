//! The checkpoint: one immutable file of keys and values, sorted by key.
//!
//! ```text
//!   block of at most 64 KiB:  sum of the rest │ bytes used │ { key length u8, value length u16, key, value } …
//! ```
//!
//! Every block but the last is filled up to 64 KiB, so block `n` begins at `n` × 64 KiB. A table is only ever read from
//! its beginning to its end: at start, and when the next one is made from it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::changes::LONGEST_KEY;
use super::writer::{FileWriter, open_listed, read_exactly};
use crate::checksum::{FileKind, Seal};
use crate::{Disk, DiskFile, OpenError, Owner, Part, StorageError};

const BLOCK: usize = 64 << 10;
const BLOCK_HEAD: usize = 12;
const LONGEST_VALUE: usize = 1024;

/// A finished table.
pub(super) struct Table<D: Disk> {
    pub(super) file: Arc<D::File>,
    pub(super) path: PathBuf,
    seal: Seal,
    pub(super) len: u64,
}

pub(super) fn table_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("table-{number:06}"))
}

impl<D: Disk> Table<D> {
    pub(super) fn open(disk: &D, dir: &Path, number: u64, owner: Owner, len: u64) -> Result<Table<D>, OpenError> {
        let path = table_path(dir, number);
        let file = open_listed(disk, (Part::Store, &path))?;
        let found = file.len().map_err(StorageError::io("measuring", &path, None))?;
        if found != len {
            let what = format!("it is {found} bytes long and should be {len}");
            return Err(StorageError::rot(Part::Store, &path, found.min(len), what).into());
        }
        Ok(Table { file: Arc::new(file), path, seal: Seal::new(owner, FileKind::Table, number), len })
    }
}

/// Writes a table; the keys come sorted.
pub(super) struct TableWriter<D: Disk> {
    writer: FileWriter<D>,
    path: PathBuf,
    seal: Seal,
    block: Vec<u8>,
}

impl<D: Disk> TableWriter<D> {
    pub(super) fn create(disk: &D, dir: &Path, number: u64, owner: Owner) -> Result<TableWriter<D>, StorageError> {
        let path = table_path(dir, number);
        let writer = FileWriter::create(disk, &path)?;
        let mut block = Vec::with_capacity(BLOCK);
        block.resize(BLOCK_HEAD, 0);
        Ok(TableWriter { writer, path, seal: Seal::new(owner, FileKind::Table, number), block })
    }

    pub(super) fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        assert!(key.len() <= LONGEST_KEY && value.len() <= LONGEST_VALUE, "a key has at most 23 bytes, a value 1024");
        if self.block.len() + 3 + key.len() + value.len() > BLOCK {
            self.end_block(BLOCK)?;
        }
        self.block.push(key.len() as u8);
        self.block.extend_from_slice(&(value.len() as u16).to_le_bytes());
        self.block.extend_from_slice(key);
        self.block.extend_from_slice(value);
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Table<D>, StorageError> {
        if self.block.len() > BLOCK_HEAD {
            self.end_block(0)?;
        }
        let (file, len) = self.writer.finish()?;
        Ok(Table { file, path: self.path, seal: self.seal, len })
    }

    fn end_block(&mut self, fill_to: usize) -> Result<(), StorageError> {
        let used = self.block.len() as u32;
        self.block[8..12].copy_from_slice(&used.to_le_bytes());
        if self.block.len() < fill_to {
            self.block.resize(fill_to, 0);
        }
        let sum = self.seal.sum(self.writer.position(), &self.block[8..]);
        self.block[..8].copy_from_slice(&sum.to_le_bytes());
        self.writer.write(&self.block)?;
        self.block.clear();
        self.block.resize(BLOCK_HEAD, 0);
        Ok(())
    }
}

/// Goes through a table, entry by entry, without a copy.
pub(super) struct TableCursor<D: Disk> {
    table: Option<Arc<Table<D>>>,
    next_block: u64,
    block: Vec<u8>,
    /// The current entry in the block: where it begins; key and value follow three bytes of lengths.
    at: usize,
    used: usize,
}

impl<D: Disk> TableCursor<D> {
    /// Before the first entry; no table is an empty one.
    pub(super) fn new(table: Option<Arc<Table<D>>>) -> Result<TableCursor<D>, StorageError> {
        let mut cursor = TableCursor { table, next_block: 0, block: Vec::new(), at: 0, used: 0 };
        cursor.fill()?;
        Ok(cursor)
    }

    pub(super) fn current(&self) -> Option<(&[u8], &[u8])> {
        if self.at >= self.used {
            return None;
        }
        let (key, value) = self.lengths();
        let start = self.at + 3;
        Some((&self.block[start..start + key], &self.block[start + key..start + key + value]))
    }

    pub(super) fn advance(&mut self) -> Result<(), StorageError> {
        let (key, value) = self.lengths();
        self.at += 3 + key + value;
        self.fill()
    }

    fn lengths(&self) -> (usize, usize) {
        let value = u16::from_le_bytes([self.block[self.at + 1], self.block[self.at + 2]]);
        (self.block[self.at] as usize, value as usize)
    }

    /// Reads the next block if this one is done.
    fn fill(&mut self) -> Result<(), StorageError> {
        let Some(table) = &self.table else { return Ok(()) };
        if self.at < self.used {
            return self.check_entry(table);
        }
        let offset = self.next_block * BLOCK as u64;
        if offset >= table.len {
            return Ok(());
        }
        self.block.resize(BLOCK.min((table.len - offset) as usize), 0);
        read_exactly(&*table.file, (Part::Store, &table.path), offset, &mut self.block)?;
        let damaged =
            || StorageError::rot(Part::Store, &table.path, offset, "the checksum of the block there does not match");
        if self.block.len() < BLOCK_HEAD {
            return Err(damaged());
        }
        let sum = self.block.first_chunk::<8>().ok_or_else(damaged)?;
        if table.seal.sum(offset, &self.block[8..]) != u64::from_le_bytes(*sum) {
            return Err(damaged());
        }
        let used = u32::from_le_bytes(self.block[8..12].try_into().expect("four bytes were taken"));
        (self.at, self.used) = (BLOCK_HEAD, used as usize);
        self.next_block += 1;
        if self.used > self.block.len() {
            return Err(self.misfit(table, BLOCK_HEAD));
        }
        if self.at < self.used { self.check_entry(table) } else { Ok(()) }
    }

    /// The sum of the block is right, and its lengths may be anything all the same.
    fn check_entry(&self, table: &Table<D>) -> Result<(), StorageError> {
        let fits = self.at + 3 <= self.used && {
            let (key, value) = self.lengths();
            self.at + 3 + key + value <= self.used
        };
        if fits { Ok(()) } else { Err(self.misfit(table, self.at)) }
    }

    fn misfit(&self, table: &Table<D>, at: usize) -> StorageError {
        let offset = (self.next_block - 1) * BLOCK as u64 + at as u64;
        StorageError::rot(Part::Store, &table.path, offset, "the lengths there reach past the block's end")
    }
}
