//! One segment as it was read, seen through both its places.

use std::collections::BTreeMap;
use std::ops::Range;

use super::record::{HEADER, Header, Kind, Position, Written, batch_at, encode, header_at};
use super::second::{ENTRY, Entry};
use super::{Digest, PAGE};
use crate::checksum::{FileKind, Seal};
use crate::{LogPlace, Owner};

/// The bytes of a segment and the entries of its second place.
pub(super) struct Places<'a> {
    bytes: &'a [u8],
    seal: &'a Seal,
    /// By the place of the record that they speak of: where the entry lies, and the entry of the latest epoch.
    entries: BTreeMap<u32, (u32, Entry)>,
}

/// What the first place holds of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    Whole,
    /// It was not, but what it was is known: by its entry, and a word of the batch that could be set right.
    Mended,
    /// The header is whole, the batch is not.
    HeaderOnly,
    Bad,
}

/// A record that is known from at least one place.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) header: Header,
    pub(super) offset: u32,
    pub(super) first: First,
    /// Where its entry lies, if that is whole.
    pub(super) entry_at: Option<u32>,
    pub(super) digest: Option<Digest>,
    /// The bytes to be written over a record that was mended.
    pub(super) mended: Option<Vec<u8>>,
}

impl Seen {
    pub(super) fn end(&self) -> u32 {
        self.offset + self.header.size() as u32
    }

    /// Whole in every place that it was written to.
    pub(super) fn is_whole(&self) -> bool {
        self.first == First::Whole && (self.entry_at.is_some() || self.header.written == Written::Once)
    }

    /// All of it is known, so it stands. Of a batch that is neither whole nor to be mended only a statement can tell whether
    /// it ever was: in the last group it is taken for torn.
    pub(super) fn stands(&self) -> bool {
        let is_all = !matches!(self.header.kind, Kind::Accepted | Kind::Learned);
        self.has_batch() || (self.entry_at.is_some() && is_all)
    }

    pub(super) fn has_batch(&self) -> bool {
        matches!(self.first, First::Whole | First::Mended)
    }
}

/// How a record must follow on the one before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Follows {
    /// Where that one ends; None if nobody knows.
    pub(super) previous_end: Option<u32>,
    pub(super) epoch: u32,
}

/// Whether a record with that header can lie there: no log writes another, however right its sum may be. It is as long as its
/// kind allows and ends in the segment, and a head, only a head, is first in it.
fn fits(header: &Header, offset: u32, capacity: usize) -> bool {
    let has_len = match header.kind {
        Kind::Accepted | Kind::Learned => true,
        Kind::Voted => header.len as usize == size_of::<Digest>(),
        Kind::Head
        | Kind::Opened
        | Kind::Promised
        | Kind::Chosen
        | Kind::Trimmed
        | Kind::Lowered
        | Kind::Voteless
        | Kind::Restated => header.len == 0,
    };
    let head_first = (header.kind == Kind::Head) == (offset == 0);
    has_len && head_first && u64::from(offset) + header.size() <= capacity as u64
}

impl Follows {
    fn admits(self, header: &Header) -> bool {
        let continues = self.previous_end.is_none_or(|end| header.previous_end == end);
        continues && header.epoch >= self.epoch
    }
}

impl<'a> Places<'a> {
    pub(super) fn new(bytes: &'a [u8], seal: &'a Seal) -> Places<'a> {
        let mut entries: BTreeMap<u32, (u32, Entry)> = BTreeMap::new();
        for offset in (0..bytes.len()).step_by(ENTRY) {
            let Some(entry) = Entry::decode(&bytes[offset..], seal, offset as u64) else { continue };
            if !fits(&entry.header, entry.place, bytes.len()) {
                continue;
            }
            let known = entries.get(&entry.place);
            if known.is_none_or(|(_, known)| known.header.epoch < entry.header.epoch) {
                entries.insert(entry.place, (offset as u32, entry));
            }
        }
        Places { bytes, seal, entries }
    }

    /// The record that begins at `offset`, from whichever place knows it.
    pub(super) fn at(&self, offset: u32, follows: Follows) -> Option<Seen> {
        let bytes = self.bytes.get(offset as usize..)?;
        let mut header = self.header_at(offset).filter(|header| follows.admits(header));
        let mut entry = self.entries.get(&offset).filter(|(_, entry)| follows.admits(&entry.header));
        if let (Some(first), Some((_, second))) = (header, entry) {
            // One of an earlier epoch is what is left of a dropped tail.
            if first.epoch < second.header.epoch {
                header = None;
            } else if first.epoch > second.header.epoch {
                entry = None;
            }
        }
        let whole = |header: &Header| batch_at(bytes, header, self.seal, u64::from(offset)).is_some();
        let mut first = match &header {
            None => First::Bad,
            Some(header) if whole(header) => First::Whole,
            Some(_) => First::HeaderOnly,
        };
        let mended = entry.filter(|_| first != First::Whole).and_then(|(_, entry)| self.mend(entry));
        if mended.is_some() {
            first = First::Mended;
        }
        let header = header.or(entry.map(|(_, entry)| entry.header))?;
        let entry_at = entry.map(|(at, _)| *at);
        let digest = entry.map(|(_, entry)| entry.digest).or_else(|| {
            let is_digest = header.kind == Kind::Voted && first == First::Whole;
            is_digest.then(|| *bytes[HEADER..].first_chunk().expect("a whole vote has a digest"))
        });
        Some(Seen { header, offset, first, entry_at, digest, mended })
    }

    /// The header in the first place at `offset`.
    fn header_at(&self, offset: u32) -> Option<Header> {
        let header = header_at(self.bytes.get(offset as usize..)?, self.seal, u64::from(offset))?;
        fits(&header, offset, self.bytes.len()).then_some(header)
    }

    /// The record as it was, from its entry and what is left of it.
    fn mend(&self, entry: &Entry) -> Option<Vec<u8>> {
        let header = &entry.header;
        let from = entry.place as usize + HEADER;
        let batch = match header.kind {
            Kind::Voted => entry.digest.to_vec(),
            Kind::Accepted | Kind::Learned => {
                let left = self.bytes.get(from..from + header.len as usize)?;
                entry.parity.mend(left, &entry.digest)?
            }
            _ => Vec::new(),
        };
        let mut record = Vec::new();
        encode(header, &batch, self.seal, u64::from(entry.place), &mut record);
        Some(record)
    }

    /// The record behind one that ends at `end`: right there, or on the next page if a group begins with it.
    pub(super) fn behind(&self, end: u32, epoch: u32) -> Option<Seen> {
        let page = u64::from(end).next_multiple_of(PAGE) as u32;
        let follows = Follows { previous_end: Some(end), epoch };
        [end, page].into_iter().find_map(|offset| self.at(offset, follows))
    }

    /// The first record beyond a place of which nothing is known, wherever it says that the one before it ended.
    pub(super) fn resume_after(&self, offset: u32, epoch: u32) -> Option<Seen> {
        let follows = Follows { previous_end: None, epoch };
        let step = HEADER as u32;
        let first = (offset.next_multiple_of(step)..self.bytes.len() as u32).step_by(step as usize);
        let by_header = first.skip_while(|at| *at == offset).find(|at| {
            let header = self.header_at(*at);
            header.is_some_and(|header| follows.admits(&header))
        });
        let by_entry = self.entries.range(offset + 1..).find(|(_, (_, entry))| follows.admits(&entry.header));
        let at = [by_header, by_entry.map(|(at, _)| *at)].into_iter().flatten().min()?;
        self.at(at, follows)
    }

    /// What all that can still be read of this segment says was synced when it was written, and the latest epoch in it.
    pub(super) fn stated(&self) -> Stated {
        let mut stated = Stated::default();
        self.headers_from(0).for_each(|(_, header)| stated.note(&header));
        self.entries.values().for_each(|(_, entry)| stated.note(&entry.header));
        stated
    }

    /// Every whole header from `offset` on, records of dropped tails among them.
    pub(super) fn headers_from(&self, offset: u32) -> impl Iterator<Item = (u32, Header)> + '_ {
        let places = (offset as usize..self.bytes.len()).step_by(HEADER);
        places.filter_map(|at| Some((at as u32, self.header_at(at as u32)?)))
    }
}

/// What records say of the log as it was when they were written. That stays true also of records that were dropped.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stated {
    pub(super) synced: Option<Position>,
    pub(super) epoch: u32,
}

impl Stated {
    fn note(&mut self, header: &Header) {
        self.synced = self.synced.max(Some(header.synced));
        self.epoch = self.epoch.max(header.epoch);
    }

    pub(super) fn merge(&mut self, other: Stated) {
        self.synced = self.synced.max(other.synced);
        self.epoch = self.epoch.max(other.epoch);
    }
}

/// Where a record stands in one of its places.
pub(crate) struct Standing {
    pub(crate) place: LogPlace,
    pub(crate) bytes: Range<u64>,
    pub(crate) record_at: u64,
    pub(crate) slot: u64,
}

/// All records in the bytes of a segment, in both places, whether they still count or not.
pub(crate) fn records_in(bytes: &[u8], owner: Owner, number: u64) -> Vec<Standing> {
    let seal = Seal::new(owner, FileKind::Log, number);
    let places = Places::new(bytes, &seal);
    let firsts = places.headers_from(0).map(|(at, header)| {
        let at = u64::from(at);
        let bytes = at..at + HEADER as u64 + u64::from(header.len);
        Standing { place: LogPlace::First, bytes, record_at: at, slot: header.slot }
    });
    let seconds = places.entries.iter().map(|(place, (at, entry))| {
        let bytes = u64::from(*at)..u64::from(*at) + ENTRY as u64;
        Standing { place: LogPlace::Second, bytes, record_at: u64::from(*place), slot: entry.header.slot }
    });
    firsts.chain(seconds).collect()
}
