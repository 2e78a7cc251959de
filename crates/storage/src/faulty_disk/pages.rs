//! The bytes of one file: what readers see, what is on the disk, and the changes between the two.

use super::CrashReport;
use super::rng::Rng;

/// A disk writes sectors; a write may be torn between any two of them as well as at any byte.
const SECTOR: usize = 512;

#[derive(Default)]
pub(super) struct Pages {
    seen: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

pub(super) enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    Extend { from: u64, len: u64 },
    Truncate { len: u64 },
}

impl Pages {
    /// Bytes that are all on the disk.
    pub(super) fn holding(bytes: &[u8]) -> Pages {
        Pages { seen: bytes.to_vec(), durable: bytes.to_vec(), unsynced: Vec::new() }
    }

    /// What readers see.
    pub(super) fn seen(&self) -> &[u8] {
        &self.seen
    }

    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }

    /// What readers see.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.seen
    }

    pub(super) fn read(&self, offset: usize, buf: &mut [u8]) -> usize {
        let from = offset.min(self.seen.len());
        let read = buf.len().min(self.seen.len() - from);
        buf[..read].copy_from_slice(&self.seen[from..from + read]);
        read
    }

    pub(super) fn change(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.unsynced.push(change);
    }

    pub(super) fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// Some of the changes reach the disk, the rest never will, and readers cannot tell.
    pub(super) fn fail_sync(&mut self, rng: &mut Rng) {
        self.resolve(rng, &mut CrashReport::default());
    }

    pub(super) fn crash(&mut self, rng: &mut Rng, report: &mut CrashReport) {
        self.resolve(rng, report);
        self.seen.clone_from(&self.durable);
    }

    pub(super) fn flip(&mut self, offset: usize) {
        self.seen[offset] ^= 0x10;
        if let Some(byte) = self.durable.get_mut(offset) {
            *byte ^= 0x10;
        }
    }

    fn resolve(&mut self, rng: &mut Rng, report: &mut CrashReport) {
        for change in self.unsynced.drain(..) {
            match rng.below(3) {
                0 => report.lost += 1,
                1 => {
                    report.kept += 1;
                    change.apply(&mut self.durable);
                }
                _ => {
                    report.torn += 1;
                    change.tear(rng, &mut self.durable);
                }
            }
        }
    }
}

impl Change {
    /// The length that the file has at least after this.
    pub(super) fn end(&self) -> u64 {
        match self {
            Change::Write { offset, bytes } => offset + bytes.len() as u64,
            Change::Extend { len, .. } | Change::Truncate { len } => *len,
        }
    }

    /// The part of it that keeps the file at `len` bytes or less.
    pub(super) fn cut(self, len: u64) -> Change {
        match self {
            Change::Write { offset, mut bytes } => {
                bytes.truncate(len.saturating_sub(offset) as usize);
                Change::Write { offset, bytes }
            }
            Change::Extend { from, len: whole } => Change::Extend { from, len: whole.min(len).max(from) },
            Change::Truncate { len } => Change::Truncate { len },
        }
    }

    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Change::Write { offset, bytes: written } => put(bytes, *offset as usize, written),
            Change::Extend { len, .. } => {
                if bytes.len() < *len as usize {
                    bytes.resize(*len as usize, 0);
                }
            }
            Change::Truncate { len } => bytes.resize(*len as usize, 0),
        }
    }

    fn tear(&self, rng: &mut Rng, durable: &mut Vec<u8>) {
        match self {
            Change::Write { offset, bytes } => tear_write(rng, durable, *offset as usize, bytes),
            Change::Extend { from, len } => {
                let part = from + rng.below(len - from + 1);
                Change::Extend { from: *from, len: part }.apply(durable);
            }
            Change::Truncate { .. } => {
                if rng.coin() {
                    self.apply(durable);
                }
            }
        }
    }
}

fn tear_write(rng: &mut Rng, durable: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let cut = rng.below(bytes.len() as u64 + 1) as usize;
    match rng.below(3) {
        0 => put(durable, offset, &bytes[..cut]),
        1 => put(durable, offset + cut, &bytes[cut..]),
        _ => {
            for (n, sector) in bytes.chunks(SECTOR).enumerate() {
                if rng.coin() {
                    put(durable, offset + n * SECTOR, sector);
                }
            }
        }
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, written: &[u8]) {
    if written.is_empty() {
        return;
    }
    let end = offset + written.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(written);
}
