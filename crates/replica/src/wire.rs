//! How messages between members look on the wire, written by hand.
//!
//! ```text
//! body = kind u8 | fields, little-endian, in the order of the type | the batch, if any, to the end
//! ```
//!
//! The kinds are numbered in `kind`; the numbers are stable. A batch is never copied: it is the body's tail, written
//! from the proposer's memory and read as a slice of the frame. The bytes may come from anybody: reading never panics,
//! and a count is believed only as far as there are bytes for it.

use crate::group;
use crate::message::{ForwardRefusal, Forwarded, ForwardedChange, JOURNAL_BYTES_MAX, Message, RefusedForward};
use crate::request::{Tag, Tagged};
use bytes::{Buf, BufMut, Bytes};
use paxos::{Ballot, Batch, ChosenMark, Digest, Message as Paxos, Pulse, Report, Slot};
use storage::JournalMark;

/// Numbers of the kinds of messages: never changed, only added to.
mod kind {
    pub(super) const PREPARE: u8 = 1;
    pub(super) const PROMISE: u8 = 2;
    pub(super) const REFUSED: u8 = 3;
    pub(super) const FETCH_BATCH: u8 = 4;
    pub(super) const FETCHED_BATCH: u8 = 5;
    pub(super) const ACCEPT: u8 = 6;
    pub(super) const ACCEPTED: u8 = 7;
    pub(super) const CHOSEN: u8 = 8;
    pub(super) const LEARN: u8 = 9;
    pub(super) const LEARNED: u8 = 10;
    // 11 and 12 were heartbeats that did not tell what is on the sender's disk.
    pub(super) const READ_QUERY: u8 = 13;
    pub(super) const READ_REPLY: u8 = 14;
    // 15 and 16 were heartbeats with the sender's wall clock, whether or not that had jumped.
    pub(super) const REMEMBER: u8 = 17;
    pub(super) const MEMORY: u8 = 18;
    pub(super) const NOT_MEMBER: u8 = 19;
    pub(super) const BEHIND: u8 = 20;
    pub(super) const HEARTBEAT: u8 = 21;
    pub(super) const HEARTBEAT_REPLY: u8 = 22;
    pub(super) const FORWARD: u8 = 32;
    // 33 were refusals that did not say whose request it was.
    pub(super) const NUDGE: u8 = 34;
    pub(super) const FORWARD_CHANGE: u8 = 35;
    pub(super) const DIGEST: u8 = 36;
    pub(super) const FETCH_JOURNAL: u8 = 37;
    pub(super) const JOURNAL: u8 = 38;
    pub(super) const FORWARD_REFUSED: u8 = 39;
}

/// Bytes that are no message of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A kind that this version does not know.
    #[error("a message of unknown kind {0}")]
    Kind(u8),
    /// Fewer bytes than the kind needs.
    #[error("a message cut short")]
    Short,
    /// Bytes behind the last field.
    #[error("a message with bytes behind its end")]
    Long,
    /// A field with an impossible value.
    #[error("a message with an impossible {0}")]
    Field(&'static str),
}

/// Writes a message: its head, and the batch that follows it.
pub fn encode(message: &Message) -> (Vec<u8>, Bytes) {
    let mut head = Vec::with_capacity(96);
    let mut tail = Bytes::new();
    match message {
        Message::Paxos(message) => encode_paxos(message, &mut head, &mut tail),
        Message::Forward(requests) => {
            head.put_u8(kind::FORWARD);
            put_count(&mut head, requests.len());
            for Forwarded { request: Tagged { tag, request }, attempt } in requests {
                put_tag(&mut head, *tag);
                head.put_u32_le(*attempt);
                put_bytes(&mut head, request);
            }
        }
        Message::ForwardRefused(refused) => {
            head.put_u8(kind::FORWARD_REFUSED);
            put_count(&mut head, refused.len());
            for RefusedForward { origin, seq, boot, attempt, why } in refused {
                head.put_u16_le(*origin);
                head.put_u64_le(*seq);
                head.put_u64_le(*boot);
                head.put_u32_le(*attempt);
                head.put_u8(match why {
                    ForwardRefusal::NotProposer => 1,
                    ForwardRefusal::Full => 2,
                });
            }
        }
        Message::Nudge(through) => {
            head.put_u8(kind::NUDGE);
            head.put_u64_le(through.get());
        }
        Message::ForwardChange(ForwardedChange { tag, attempt, change }) => {
            head.put_u8(kind::FORWARD_CHANGE);
            put_tag(&mut head, *tag);
            head.put_u32_le(*attempt);
            tail = group::encode(change);
        }
        Message::Digest { slot, digest } => {
            head.put_u8(kind::DIGEST);
            head.put_u64_le(slot.get());
            head.put_slice(digest);
        }
        Message::FetchJournal { from_place } => {
            head.put_u8(kind::FETCH_JOURNAL);
            head.put_u64_le(*from_place);
        }
        Message::Journal { from_place, mark, records } => {
            head.put_u8(kind::JOURNAL);
            head.put_u64_le(*from_place);
            head.put_u64_le(mark.slot);
            head.put_u64_le(mark.places);
            head.put_slice(&mark.chain);
            tail = records.clone();
        }
    }
    (head, tail)
}

fn encode_paxos(message: &Paxos, head: &mut Vec<u8>, tail: &mut Bytes) {
    match message {
        Paxos::Prepare { ballot } => {
            head.put_u8(kind::PREPARE);
            put_ballot(head, *ballot);
        }
        Paxos::Promise { ballot, floor, accepted } => {
            head.put_u8(kind::PROMISE);
            put_ballot(head, *ballot);
            head.put_u64_le(floor.get());
            put_count(head, accepted.len());
            for Report { slot, ballot, digest } in accepted {
                head.put_u64_le(slot.get());
                put_ballot(head, *ballot);
                head.put_slice(&digest.0);
            }
        }
        Paxos::Refused { ballot, promised } => {
            head.put_u8(kind::REFUSED);
            put_ballot(head, *ballot);
            put_ballot(head, *promised);
        }
        Paxos::FetchBatch { slot, ballot } => {
            head.put_u8(kind::FETCH_BATCH);
            head.put_u64_le(slot.get());
            put_ballot(head, *ballot);
        }
        Paxos::FetchedBatch { slot, ballot, batch } => {
            head.put_u8(kind::FETCHED_BATCH);
            head.put_u64_le(slot.get());
            put_ballot(head, *ballot);
            *tail = batch.bytes().clone();
        }
        Paxos::Accept { ballot, slot, batch, chosen } => {
            head.put_u8(kind::ACCEPT);
            put_ballot(head, *ballot);
            head.put_u64_le(slot.get());
            head.put_u8(u8::from(chosen.is_some()));
            if let Some(mark) = chosen {
                put_mark(head, *mark);
            }
            *tail = batch.bytes().clone();
        }
        Paxos::Accepted { ballot, slot } => {
            head.put_u8(kind::ACCEPTED);
            put_ballot(head, *ballot);
            head.put_u64_le(slot.get());
        }
        Paxos::Chosen(mark) => {
            head.put_u8(kind::CHOSEN);
            put_mark(head, *mark);
        }
        Paxos::Learn { from } => {
            head.put_u8(kind::LEARN);
            head.put_u64_le(from.get());
        }
        Paxos::Learned { from, batches } => {
            head.put_u8(kind::LEARNED);
            head.put_u64_le(from.get());
            put_count(head, batches.len());
            for batch in batches {
                put_bytes(head, batch.bytes());
            }
        }
        Paxos::Heartbeat { round, pulse } => {
            head.put_u8(kind::HEARTBEAT);
            head.put_u64_le(*round);
            put_pulse(head, pulse);
        }
        Paxos::HeartbeatReply { round, pulse } => {
            head.put_u8(kind::HEARTBEAT_REPLY);
            head.put_u64_le(*round);
            put_pulse(head, pulse);
        }
        Paxos::ReadQuery { read } => {
            head.put_u8(kind::READ_QUERY);
            head.put_u64_le(*read);
        }
        Paxos::ReadReply { read, accepted } => {
            head.put_u8(kind::READ_REPLY);
            head.put_u64_le(*read);
            head.put_u64_le(accepted.get());
        }
        Paxos::Remember => head.put_u8(kind::REMEMBER),
        Paxos::Memory { promised, accepted } => {
            head.put_u8(kind::MEMORY);
            put_ballot(head, *promised);
            head.put_u64_le(accepted.get());
        }
        Paxos::NotMember { floor, version } => {
            head.put_u8(kind::NOT_MEMBER);
            head.put_u64_le(floor.get());
            head.put_u64_le(*version);
        }
        Paxos::Behind { from, first } => {
            head.put_u8(kind::BEHIND);
            head.put_u64_le(from.get());
            head.put_u64_le(first.get());
        }
    }
}

/// Reads a message. Its batches share the frame's memory.
///
/// # Errors
/// When the bytes are not exactly one message of this version.
pub fn decode(mut body: Bytes) -> Result<Message, WireError> {
    let from = &mut body;
    let message = match take_u8(from)? {
        kind::FORWARD => Message::Forward(take_list(from, 26, |from| {
            let tag = take_tag(from)?;
            let attempt = take_u32(from)?;
            Ok(Forwarded { request: Tagged { tag, request: take_bytes(from)? }, attempt })
        })?),
        kind::FORWARD_REFUSED => Message::ForwardRefused(take_list(from, 23, |from| {
            let origin = take_u16(from)?;
            let (seq, boot, attempt) = (take_u64(from)?, take_u64(from)?, take_u32(from)?);
            let why = match take_u8(from)? {
                1 => ForwardRefusal::NotProposer,
                2 => ForwardRefusal::Full,
                _ => return Err(WireError::Field("reason")),
            };
            Ok(RefusedForward { origin, seq, boot, attempt, why })
        })?),
        kind::NUDGE => Message::Nudge(take_slot(from)?),
        kind::FORWARD_CHANGE => {
            let (tag, attempt) = (take_tag(from)?, take_u32(from)?);
            let change = group::decode(std::mem::take(from)).ok_or(WireError::Field("change"))?;
            Message::ForwardChange(ForwardedChange { tag, attempt, change })
        }
        kind::DIGEST => Message::Digest { slot: take_slot(from)?, digest: take_array(from)? },
        kind::FETCH_JOURNAL => Message::FetchJournal { from_place: take_u64(from)? },
        kind::JOURNAL => {
            let from_place = take_u64(from)?;
            let (slot, places) = (take_u64(from)?, take_u64(from)?);
            let mark = JournalMark { slot, places, chain: take_array(from)? };
            let records = std::mem::take(from);
            if records.len() > JOURNAL_BYTES_MAX || !records.len().is_multiple_of(storage::RECORD) {
                return Err(WireError::Field("piece of the journal"));
            }
            Message::Journal { from_place, mark, records }
        }
        paxos => Message::Paxos(decode_paxos(paxos, from)?),
    };
    if body.is_empty() { Ok(message) } else { Err(WireError::Long) }
}

fn decode_paxos(kind: u8, from: &mut Bytes) -> Result<Paxos, WireError> {
    Ok(match kind {
        kind::PREPARE => Paxos::Prepare { ballot: take_ballot(from)? },
        kind::PROMISE => Paxos::Promise {
            ballot: take_ballot(from)?,
            floor: take_slot(from)?,
            accepted: take_list(from, 50, |from| {
                Ok(Report { slot: take_slot(from)?, ballot: take_ballot(from)?, digest: Digest(take_array(from)?) })
            })?,
        },
        kind::REFUSED => Paxos::Refused { ballot: take_ballot(from)?, promised: take_ballot(from)? },
        kind::FETCH_BATCH => Paxos::FetchBatch { slot: take_slot(from)?, ballot: take_ballot(from)? },
        kind::FETCHED_BATCH => {
            let (slot, ballot) = (take_slot(from)?, take_ballot(from)?);
            Paxos::FetchedBatch { slot, ballot, batch: take_rest(from) }
        }
        kind::ACCEPT => {
            let (ballot, slot) = (take_ballot(from)?, take_slot(from)?);
            let chosen = if take_flag(from)? { Some(take_mark(from)?) } else { None };
            Paxos::Accept { ballot, slot, chosen, batch: take_rest(from) }
        }
        kind::ACCEPTED => Paxos::Accepted { ballot: take_ballot(from)?, slot: take_slot(from)? },
        kind::CHOSEN => Paxos::Chosen(take_mark(from)?),
        kind::LEARN => Paxos::Learn { from: take_slot(from)? },
        kind::LEARNED => Paxos::Learned {
            from: take_slot(from)?,
            batches: take_list(from, 4, |from| take_bytes(from).map(Batch::new))?,
        },
        kind::HEARTBEAT => Paxos::Heartbeat { round: take_u64(from)?, pulse: take_pulse(from)? },
        kind::HEARTBEAT_REPLY => Paxos::HeartbeatReply { round: take_u64(from)?, pulse: take_pulse(from)? },
        kind::READ_QUERY => Paxos::ReadQuery { read: take_u64(from)? },
        kind::READ_REPLY => Paxos::ReadReply { read: take_u64(from)?, accepted: take_slot(from)? },
        kind::REMEMBER => Paxos::Remember,
        kind::MEMORY => Paxos::Memory { promised: take_ballot(from)?, accepted: take_slot(from)? },
        kind::NOT_MEMBER => Paxos::NotMember { floor: take_slot(from)?, version: take_u64(from)? },
        kind::BEHIND => Paxos::Behind { from: take_slot(from)?, first: take_slot(from)? },
        unknown => return Err(WireError::Kind(unknown)),
    })
}

#[expect(clippy::expect_used, reason = "lists in messages that this node writes are bounded by their bytes")]
fn put_count(out: &mut Vec<u8>, count: usize) {
    out.put_u32_le(u32::try_from(count).expect("lists in messages are bounded by their bytes"));
}

fn put_bytes(out: &mut Vec<u8>, bytes: &Bytes) {
    put_count(out, bytes.len());
    out.put_slice(bytes);
}

fn put_ballot(out: &mut Vec<u8>, ballot: Ballot) {
    out.put_u64_le(ballot.round);
    out.put_u16_le(ballot.node);
}

fn put_mark(out: &mut Vec<u8>, mark: ChosenMark) {
    out.put_u64_le(mark.through.get());
    put_ballot(out, mark.ballot);
}

fn put_pulse(out: &mut Vec<u8>, pulse: &Pulse) {
    out.put_u64_le(pulse.clock_ms);
    out.put_u8(u8::from(pulse.clock_jumped));
    put_ballot(out, pulse.promised);
    out.put_u64_le(pulse.accepted.get());
    put_ballot(out, pulse.leader);
    out.put_u8(u8::from(pulse.happy));
    out.put_u64_le(pulse.chosen.get());
    out.put_u64_le(pulse.kept.get());
    out.put_u64_le(pulse.checkpoint.get());
}

fn put_tag(out: &mut Vec<u8>, tag: Tag) {
    out.put_u16_le(tag.origin);
    out.put_u64_le(tag.boot);
    out.put_u64_le(tag.seq);
}

fn take_u8(from: &mut Bytes) -> Result<u8, WireError> {
    from.try_get_u8().map_err(|_| WireError::Short)
}

fn take_u16(from: &mut Bytes) -> Result<u16, WireError> {
    from.try_get_u16_le().map_err(|_| WireError::Short)
}

fn take_u32(from: &mut Bytes) -> Result<u32, WireError> {
    from.try_get_u32_le().map_err(|_| WireError::Short)
}

fn take_u64(from: &mut Bytes) -> Result<u64, WireError> {
    from.try_get_u64_le().map_err(|_| WireError::Short)
}

fn take_flag(from: &mut Bytes) -> Result<bool, WireError> {
    match take_u8(from)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(WireError::Field("flag")),
    }
}

fn take_array<const N: usize>(from: &mut Bytes) -> Result<[u8; N], WireError> {
    let mut array = [0; N];
    from.try_copy_to_slice(&mut array).map_err(|_| WireError::Short)?;
    Ok(array)
}

fn take_slot(from: &mut Bytes) -> Result<Slot, WireError> {
    take_u64(from).map(Slot::new)
}

fn take_ballot(from: &mut Bytes) -> Result<Ballot, WireError> {
    Ok(Ballot { round: take_u64(from)?, node: take_u16(from)? })
}

fn take_mark(from: &mut Bytes) -> Result<ChosenMark, WireError> {
    Ok(ChosenMark { through: take_slot(from)?, ballot: take_ballot(from)? })
}

fn take_pulse(from: &mut Bytes) -> Result<Pulse, WireError> {
    Ok(Pulse {
        clock_ms: take_u64(from)?,
        clock_jumped: take_flag(from)?,
        promised: take_ballot(from)?,
        accepted: take_slot(from)?,
        leader: take_ballot(from)?,
        happy: take_flag(from)?,
        chosen: take_slot(from)?,
        kept: take_slot(from)?,
        checkpoint: take_slot(from)?,
    })
}

fn take_tag(from: &mut Bytes) -> Result<Tag, WireError> {
    Ok(Tag { origin: take_u16(from)?, boot: take_u64(from)?, seq: take_u64(from)? })
}

fn take_bytes(from: &mut Bytes) -> Result<Bytes, WireError> {
    let length = take_u32(from)? as usize;
    if length > from.len() {
        return Err(WireError::Short);
    }
    Ok(from.split_to(length))
}

fn take_rest(from: &mut Bytes) -> Batch {
    Batch::new(std::mem::take(from))
}

/// A list whose items take at least `item_bytes_min` bytes each: a count beyond what is there is not believed.
fn take_list<T>(
    from: &mut Bytes,
    item_bytes_min: usize,
    mut item: impl FnMut(&mut Bytes) -> Result<T, WireError>,
) -> Result<Vec<T>, WireError> {
    let count = take_u32(from)? as usize;
    if count > from.len() / item_bytes_min {
        return Err(WireError::Short);
    }
    (0..count).map(|_| item(from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::{Change, Mode, Op};
    use proptest::prelude::*;

    fn ballot() -> Ballot {
        Ballot { round: 7, node: 2 }
    }

    fn batch() -> Batch {
        Batch::new(Bytes::from_static(b"a batch"))
    }

    fn one_of_each() -> Vec<Message> {
        let slot = Slot::new(9);
        let mark = ChosenMark { through: slot, ballot: ballot() };
        let pulse = Pulse {
            clock_ms: 1,
            clock_jumped: true,
            promised: ballot(),
            accepted: Slot::new(8),
            leader: ballot(),
            happy: true,
            chosen: slot,
            kept: Slot::new(7),
            checkpoint: Slot::new(6),
        };
        let tag = Tag { origin: 1, boot: 2, seq: 3 };
        let report = Report { slot, ballot: ballot(), digest: batch().digest() };
        let paxos = [
            Paxos::Prepare { ballot: ballot() },
            Paxos::Promise { ballot: ballot(), floor: slot, accepted: vec![report; 3] },
            Paxos::Refused { ballot: ballot(), promised: ballot() },
            Paxos::FetchBatch { slot, ballot: ballot() },
            Paxos::FetchedBatch { slot, ballot: ballot(), batch: batch() },
            Paxos::Accept { ballot: ballot(), slot, batch: batch(), chosen: Some(mark) },
            Paxos::Accept { ballot: ballot(), slot, batch: Batch::noop(), chosen: None },
            Paxos::Accepted { ballot: ballot(), slot },
            Paxos::Chosen(mark),
            Paxos::Learn { from: slot },
            Paxos::Learned { from: slot, batches: vec![batch(), Batch::noop()] },
            Paxos::Heartbeat { round: 4, pulse },
            Paxos::HeartbeatReply { round: 5, pulse },
            Paxos::ReadQuery { read: 6 },
            Paxos::ReadReply { read: 6, accepted: slot },
            Paxos::Remember,
            Paxos::Memory { promised: ballot(), accepted: slot },
            Paxos::NotMember { floor: slot, version: 3 },
            Paxos::Behind { from: slot, first: Slot::new(20) },
        ];
        let request = Tagged { tag, request: Bytes::from_static(b"pay") };
        let refused = |why| RefusedForward { origin: 1, seq: 3, boot: 2, attempt: 1, why };
        let mut all: Vec<Message> = paxos.into_iter().map(Message::Paxos).collect();
        all.push(Message::Forward(vec![Forwarded { request, attempt: 1 }]));
        all.push(Message::ForwardRefused(vec![refused(ForwardRefusal::NotProposer), refused(ForwardRefusal::Full)]));
        all.push(Message::Nudge(slot));
        let change = Change { expected_version: 3, op: Op::SetMode { mode: Mode::Leaderless } };
        all.push(Message::ForwardChange(ForwardedChange { tag, attempt: 2, change }));
        all.push(Message::Digest { slot, digest: [7; 32] });
        all.push(Message::FetchJournal { from_place: 11 });
        let mark = JournalMark { slot: 9, places: 12, chain: [1; 32] };
        let records = Bytes::from(vec![5; 2 * storage::RECORD]);
        all.push(Message::Journal { from_place: 10, mark, records });
        all.push(Message::Journal { from_place: 12, mark, records: Bytes::new() });
        all
    }

    fn body(message: &Message) -> Bytes {
        let (head, tail) = encode(message);
        [head, tail.to_vec()].concat().into()
    }

    #[test]
    fn every_message_reads_back_as_it_was_written() {
        for message in one_of_each() {
            assert_eq!(decode(body(&message)), Ok(message));
        }
    }

    #[test]
    fn a_message_cut_anywhere_before_its_batch_is_refused() {
        for message in one_of_each() {
            let (head, _) = encode(&message);
            for cut in 0..head.len() {
                assert!(decode(Bytes::copy_from_slice(&head[..cut])).is_err(), "{message:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_count_without_bytes_behind_it_is_not_believed() {
        let mut huge = vec![kind::LEARNED];
        huge.put_u64_le(1);
        huge.put_u32_le(u32::MAX);
        assert_eq!(decode(huge.into()), Err(WireError::Short));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(bytes.into());
        }
    }
}
