//! Where the records of a node's files lie, so that a test can damage any one of them.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::{FaultyDisk, pages_of};
use crate::log::records_in;
use crate::{Owner, Part, RECORD};

/// Pieces of files that have no records of their own: about a block of a run.
const PIECE: u64 = 4096;

/// Which of its two places a record of the log stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogPlace {
    First,
    Second,
}

/// One record, or a piece of a file that is checked as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub part: Part,
    /// For the log: which of the two.
    pub place: Option<LogPlace>,
    pub path: PathBuf,
    /// The bytes of it; damage to any of them is damage to it.
    pub bytes: Range<u64>,
    /// Where the record begins; the same for both places of one in the log.
    pub record_at: u64,
    /// The slot that a record of the log speaks of, 0 if of none.
    pub slot: Option<u64>,
}

impl FaultyDisk {
    /// All records in the files of the node whose directory is `dir`, in the order of their paths and places: those of
    /// dropped tails and of files that are about to be removed among them.
    pub fn targets(&self, dir: &Path, owner: Owner) -> Vec<Target> {
        let mut targets = Vec::new();
        for part in [Part::Log, Part::Journal, Part::Store, Part::Ids] {
            let inside = dir.join(part.name());
            let files: Vec<(PathBuf, Vec<u8>)> = {
                let state = self.lock();
                let names = state.names.list(&inside).unwrap_or_default();
                let paths = names.into_iter().map(|name| inside.join(name));
                paths
                    .filter_map(|path| state.names.file(&path).map(|file| (path, pages_of(&file).bytes().to_vec())))
                    .collect()
            };
            for (path, bytes) in files {
                match part {
                    Part::Log => targets.extend(in_segment(&path, &bytes, owner)),
                    Part::Journal => targets.extend(in_pieces(part, &path, bytes.len() as u64, RECORD as u64)),
                    Part::Store | Part::Ids | Part::Identity => {
                        targets.extend(in_pieces(part, &path, bytes.len() as u64, PIECE));
                    }
                }
            }
        }
        targets
    }
}

fn in_segment(path: &Path, bytes: &[u8], owner: Owner) -> Vec<Target> {
    let number = path.file_name().and_then(|name| name.to_str()?.parse::<u64>().ok());
    let Some(number) = number else { return Vec::new() };
    let records = records_in(bytes, owner, number).into_iter();
    records
        .map(|record| Target {
            part: Part::Log,
            place: Some(record.place),
            path: path.to_path_buf(),
            bytes: record.bytes,
            record_at: record.record_at,
            slot: Some(record.slot),
        })
        .collect()
}

fn in_pieces(part: Part, path: &Path, len: u64, piece: u64) -> impl Iterator<Item = Target> {
    (0..len.div_ceil(piece)).map(move |n| {
        let bytes = n * piece..len.min((n + 1) * piece);
        Target { part, place: None, path: path.to_path_buf(), record_at: bytes.start, bytes, slot: None }
    })
}
