//! Receiving the state from another node: of all its files only the journal travels, the rest is made from it.
//!
//! ```text
//! begin ─► FetchJournal ─► Journal(piece, mark) ─► journal_write ─► Receiving(mark) ─► … as far as the sender's mark
//!             ▲                                          │ refused: another sender       │ or a bounded stretch
//!             └── next stretch ◄── Installed ◄───────────┴──────────────── finish_transfer
//! ```
//!
//! The journals of all nodes are the same bytes, so whoever has more can send what lacks, and whoever sends can be changed
//! in the middle. What comes is checked batch by batch where it is written. A sender offers all that it has applied, which
//! is chosen and will be so whatever becomes of it; so what is missing behind it is still in its log.
//!
//! Nothing is asked of two nodes at once. A sender that grows while it sends is followed as far as it was when it sent the
//! last piece, so that a transfer ends under load, too.

use crate::message::{JOURNAL_BYTES_MAX, Message};
use crate::output::Output;
use bytes::Bytes;
use paxos::NodeId;
use std::collections::BTreeSet;
use storage::{Disk, JournalMark, JournalReader, RECORD, StorageError};

/// Records of a whole piece.
const PIECE: u64 = (JOURNAL_BYTES_MAX / RECORD) as u64;
/// Pieces asked for and not yet come, at most.
const PIECES_ASKED: u64 = 4;
/// Pieces come and not yet written, at most.
const PIECES_HANDED: u64 = 8;
/// A sender from whom nothing came for so long is left for another one.
const PATIENCE_US: u64 = 2_000_000;

/// The answer to `FetchJournal`: records from that place on, as far as `mark`, which is where the sender's journal stands
/// between two batches. It holds none when the sender has no more.
///
/// # Errors
/// When the disk fails, or has rotted there.
pub fn journal_piece<D: Disk>(
    reader: &JournalReader<D>,
    mark: JournalMark,
    from_place: u64,
) -> Result<Message, StorageError> {
    let places = mark.places.saturating_sub(from_place).min(PIECE);
    let bytes = usize::try_from(places).unwrap_or(0) * RECORD;
    let records = if bytes == 0 { Vec::new() } else { reader.read_bytes(from_place, bytes)? };
    Ok(Message::Journal { from_place, mark, records: records.into() })
}

/// A transfer under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Transfer {
    /// The state must reach this slot at least: all through it is chosen here, and lacks.
    through: u64,
    /// Places in one stretch, at most.
    stretch: u64,
    sender: Option<NodeId>,
    /// Senders that did not answer, or whose journal does not continue this one.
    failed: BTreeSet<NodeId>,
    refused_by: BTreeSet<NodeId>,
    /// What the sender says that it has.
    offered: Option<JournalMark>,
    /// Where the own journal stands; none until everything handed over before is applied.
    written: Option<JournalMark>,
    /// Places before this one were handed over to be written.
    handed: u64,
    /// Places before this one were asked for.
    asked: u64,
    /// Pieces handed over and not yet answered.
    unwritten: u64,
    /// Answers still to come for pieces behind a refused one: they say nothing new.
    stale: u64,
    /// Places before this one are in the checkpoint.
    installed: u64,
    finishing: bool,
    progress_us: u64,
}

/// How far a transfer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// More is to come.
    More,
    /// Enough others say that this journal is not the beginning of theirs.
    Contradicted,
}

impl Transfer {
    /// The state is to be brought to slot `through` at least, in stretches of so many places.
    pub(crate) fn new(now_us: u64, through: u64, stretch: u64) -> Self {
        Self {
            through,
            stretch: stretch.max(1),
            sender: None,
            failed: BTreeSet::new(),
            refused_by: BTreeSet::new(),
            offered: None,
            written: None,
            handed: 0,
            asked: 0,
            unwritten: 0,
            stale: 0,
            installed: 0,
            finishing: false,
            progress_us: now_us,
        }
    }

    /// Who sends.
    pub(crate) fn sender(&self) -> Option<NodeId> {
        self.sender
    }

    /// Places here and places in all, as far as known.
    pub(crate) fn progress(&self) -> (u64, u64) {
        let done = self.written.map_or(0, |mark| mark.places);
        (done, self.offered.map_or(done, |offered| offered.places.max(done)))
    }

    /// Chooses a sender: the first of `able` that has not failed, or anyone again when all have.
    pub(crate) fn choose(&mut self, now_us: u64, able: &[NodeId], out: &mut Output) {
        let is_able = self.sender.is_some_and(|sender| able.contains(&sender));
        let is_busy = self.written.is_none() || self.finishing || self.unwritten + self.stale > 0;
        if is_able && (is_busy || now_us.saturating_sub(self.progress_us) < PATIENCE_US) {
            return;
        }
        self.failed.extend(self.sender.take());
        if able.iter().all(|node| self.failed.contains(node)) {
            self.failed.clear();
        }
        self.sender = able.iter().find(|node| !self.failed.contains(node)).copied();
        (self.offered, self.progress_us) = (None, now_us);
        // What was asked of another does not come any more.
        self.asked = self.handed;
        self.ask(out);
    }

    /// The own journal stands here: the answer to the beginning, and to every piece that was handed over.
    pub(crate) fn on_written(&mut self, now_us: u64, mark: JournalMark, out: &mut Output) {
        match self.written {
            None => self.stand_at(mark),
            Some(_) if self.stale > 0 => self.stale -= 1,
            Some(_) => self.unwritten = self.unwritten.saturating_sub(1),
        }
        if mark.places > self.handed {
            // More was found here, behind what had lacked.
            (self.handed, self.asked) = (mark.places, mark.places);
        }
        self.written = Some(mark);
        self.progress_us = now_us;
        self.go_on(out);
    }

    fn stand_at(&mut self, mark: JournalMark) {
        self.written = Some(mark);
        (self.handed, self.asked, self.installed) = (mark.places, mark.places, mark.places);
    }

    /// A piece of somebody's journal.
    pub(crate) fn on_piece(&mut self, now_us: u64, from: NodeId, piece: (u64, JournalMark, Bytes), out: &mut Output) {
        let (from_place, mark, records) = piece;
        if self.sender != Some(from) || from_place != self.handed || self.written.is_none() {
            return;
        }
        self.progress_us = now_us;
        self.offered = Some(mark);
        let places = (records.len() / RECORD) as u64;
        if places > 0 {
            out.journal_write.push((from_place, records));
            self.handed += places;
            self.unwritten += 1;
        } else if mark.slot < self.through {
            // It lacks the same: another one, soon.
            self.progress_us = now_us.saturating_sub(PATIENCE_US);
        }
        if places < PIECE {
            // The sender had no more: what was asked behind it will not come from there.
            self.asked = self.handed;
        }
        self.go_on(out);
    }

    /// What was handed over does not continue the own journal, which stands at `mark`.
    pub(crate) fn on_refused(&mut self, now_us: u64, mark: JournalMark, voters: usize) -> Next {
        if self.stale > 0 {
            self.stale -= 1;
            return Next::More;
        }
        self.written = Some(mark);
        (self.handed, self.asked) = (mark.places, mark.places);
        (self.stale, self.unwritten) = (self.unwritten.saturating_sub(1), 0);
        self.progress_us = now_us;
        self.offered = None;
        if let Some(sender) = self.sender.take() {
            self.failed.insert(sender);
            self.refused_by.insert(sender);
        }
        if self.refused_by.len() > voters / 2 { Next::Contradicted } else { Next::More }
    }

    /// Everything through `mark` is in the checkpoint. Is the transfer over?
    pub(crate) fn on_installed(&mut self, now_us: u64, mark: JournalMark, out: &mut Output) -> bool {
        self.finishing = false;
        self.stand_at(mark);
        self.progress_us = now_us;
        self.refused_by.clear();
        let is_over = self.has_all_offered(mark);
        if !is_over {
            self.ask(out);
        }
        is_over
    }

    /// Asks for the next pieces, or has what is written made into a checkpoint.
    fn go_on(&mut self, out: &mut Output) {
        let Some(written) = self.written else { return };
        let is_written = self.unwritten + self.stale == 0 && !self.finishing;
        if is_written && (self.is_long(written) || self.has_all_offered(written)) {
            self.finishing = true;
            out.finish_transfer = Some(written);
        }
        self.ask(out);
    }

    /// Enough for one stretch; at least one batch, however long.
    fn is_long(&self, written: JournalMark) -> bool {
        written.places > self.installed && self.handed - self.installed >= self.stretch
    }

    fn has_all_offered(&self, mark: JournalMark) -> bool {
        mark.slot >= self.through && self.offered.is_none_or(|offered| mark.places >= offered.places)
    }

    fn ask(&mut self, out: &mut Output) {
        let (Some(sender), Some(written)) = (self.sender, self.written) else { return };
        while !self.finishing
            && !self.is_long(written)
            && self.asked < self.handed + PIECES_ASKED * PIECE
            && self.handed < written.places + PIECES_HANDED * PIECE
            && self.offered.is_none_or(|offered| self.asked < offered.places)
        {
            out.send.push((sender, Message::FetchJournal { from_place: self.asked }));
            self.asked += PIECE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::tests::node;

    fn mark(slot: u64, places: u64) -> JournalMark {
        JournalMark { slot, places, chain: [1; 32] }
    }

    fn records(places: u64) -> Bytes {
        vec![0; usize::try_from(places).expect("few") * RECORD].into()
    }

    /// A transfer of node 2's journal, of so many places, into one that stands at place 10, slot 3.
    fn under_way(through: u64, stretch: u64) -> Transfer {
        let mut transfer = Transfer::new(0, through, stretch);
        let mut out = Output::default();
        transfer.choose(0, &[node(2), node(3)], &mut out);
        assert_eq!(asked(&out), [], "nothing is asked before it is known from where on");
        transfer.on_written(0, mark(3, 10), &mut out);
        transfer
    }

    fn asked(out: &Output) -> Vec<(u16, u64)> {
        let place = |(to, message): &(NodeId, Message)| match message {
            Message::FetchJournal { from_place } => Some((to.get(), *from_place)),
            _ => None,
        };
        out.send.iter().filter_map(place).collect()
    }

    /// The sender answers what it was asked until it has no more; everything is written at once. Returns the mark at
    /// which the transfer asks for a checkpoint.
    fn run(transfer: &mut Transfer, sender: &mut impl FnMut() -> JournalMark) -> Option<JournalMark> {
        let mut next = transfer.handed;
        for _ in 0..1_000 {
            let (has, mut out) = (sender(), Output::default());
            let places = has.places.saturating_sub(next).min(PIECE);
            transfer.on_piece(5, node(2), (next, has, records(places)), &mut out);
            next += places;
            for (from, bytes) in std::mem::take(&mut out.journal_write) {
                let end = from + (bytes.len() / RECORD) as u64;
                transfer.on_written(5, mark(end / 3, end), &mut out);
            }
            if out.finish_transfer.is_some() {
                return out.finish_transfer;
            }
        }
        None
    }

    #[test]
    fn what_lacks_is_asked_for_piece_by_piece_a_few_at_a_time() {
        let mut transfer = Transfer::new(0, 50, 1 << 20);
        let mut out = Output::default();
        transfer.on_written(0, mark(3, 10), &mut out);
        transfer.choose(0, &[node(2)], &mut out);
        assert_eq!(asked(&out), (0..PIECES_ASKED).map(|piece| (2, 10 + piece * PIECE)).collect::<Vec<_>>());
        let mut out = Output::default();
        let end = 10 + 2 * PIECE + 5;
        transfer.on_piece(1, node(2), (10 + PIECE, mark(90, end), records(PIECE)), &mut out);
        transfer.on_piece(1, node(3), (10, mark(90, end), records(PIECE)), &mut out);
        assert_eq!(out.journal_write, [], "out of turn, or not asked");
        transfer.on_piece(1, node(2), (10, mark(90, end), records(PIECE)), &mut out);
        assert_eq!(out.journal_write.len(), 1);
        assert_eq!(asked(&out), [], "all that there is was asked for");
        assert_eq!(transfer.progress(), (10, end));
    }

    #[test]
    fn a_transfer_ends_where_the_sender_stood() {
        let mut transfer = under_way(50, 1 << 40);
        let end = 10 + 3 * PIECE + 7;
        assert_eq!(run(&mut transfer, &mut || mark(end / 3, end)), Some(mark(end / 3, end)));
        assert!(transfer.on_installed(9, mark(end / 3, end), &mut Output::default()));
    }

    #[test]
    fn a_sender_that_grows_is_caught_up_with() {
        let mut transfer = under_way(50, 1 << 40);
        let mut end = 10 + 3 * PIECE;
        let mut grows = || {
            end += PIECE / 2;
            mark(end / 3, end)
        };
        assert!(run(&mut transfer, &mut grows).is_some());
    }

    #[test]
    fn a_long_journal_comes_in_stretches() {
        let mut transfer = under_way(50, 2 * PIECE);
        let end = 10 + 5 * PIECE;
        let mut stretches = Vec::new();
        while let Some(done) = run(&mut transfer, &mut || mark(end / 3, end)) {
            stretches.push(done.places);
            if transfer.on_installed(9, done, &mut Output::default()) {
                break;
            }
        }
        assert_eq!(stretches, [10 + 2 * PIECE, 10 + 4 * PIECE, end]);
    }

    #[test]
    fn what_is_here_already_needs_no_sender() {
        let mut transfer = Transfer::new(0, 3, 1 << 20);
        let mut out = Output::default();
        transfer.on_written(0, mark(3, 10), &mut out);
        assert_eq!(out.finish_transfer, Some(mark(3, 10)));
        assert!(transfer.on_installed(1, mark(3, 10), &mut out));
    }

    #[test]
    fn a_silent_or_useless_sender_is_left_for_another() {
        let able = [node(2), node(3)];
        let mut transfer = under_way(50, 1 << 20);
        let mut out = Output::default();
        transfer.choose(PATIENCE_US - 1, &able, &mut out);
        assert_eq!((transfer.sender(), asked(&out)), (Some(node(2)), vec![]));
        transfer.choose(PATIENCE_US, &able, &mut out);
        assert_eq!((transfer.sender(), asked(&out)[0]), (Some(node(3)), (3, 10)));
        transfer.on_piece(PATIENCE_US, node(3), (10, mark(4, 10), Bytes::new()), &mut out);
        transfer.choose(PATIENCE_US, &able, &mut out);
        assert_eq!(transfer.sender(), Some(node(2)), "all have failed once: from the beginning");
        transfer.choose(PATIENCE_US, &[node(4)], &mut out);
        assert_eq!(transfer.sender(), Some(node(4)), "it is not connected any more");
    }

    #[test]
    fn when_most_say_otherwise_this_journal_is_the_wrong_one() {
        let mut transfer = under_way(50, 1 << 20);
        let mut out = Output::default();
        for piece in 0..3 {
            transfer.on_piece(1, node(2), (10 + piece * PIECE, mark(90, 1 << 20), records(PIECE)), &mut out);
        }
        assert_eq!(out.journal_write.len(), 3);
        for _ in 0..3 {
            assert_eq!(transfer.on_refused(2, mark(3, 10), 3), Next::More, "one refusal and two that follow from it");
            transfer.choose(2, &[node(2), node(3)], &mut out);
        }
        assert_eq!(transfer.sender(), Some(node(3)));
        transfer.on_piece(3, node(3), (10, mark(90, 1 << 20), records(PIECE)), &mut out);
        assert_eq!(transfer.on_refused(4, mark(3, 10), 3), Next::Contradicted);
    }
}
