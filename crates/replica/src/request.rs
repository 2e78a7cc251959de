//! What one slot of the log holds: the requests of many callers, each with the tag of who waits for it, or one change
//! of the group, and the log's time.
//!
//! ```text
//! batch   = version u8 = 1 | clock_ms u64 | count u32 | request*        (all numbers little-endian)
//! request = origin u16 | boot u64 | seq u64 | length u32 | bytes
//! control = version u8 = 2 | clock_ms u64 | origin u16 | boot u64 | seq u64 | change
//! ```
//!
//! A change stands alone in its batch, so that what it changes holds for whole slots.
//! The empty batch is Paxos's no-op and holds nothing at all. The format is stored in logs: it is never changed, only
//! followed by another version.

use crate::group::{self, Change};
use bytes::{BufMut, Bytes, BytesMut};
use paxos::Batch;

/// The format of a batch of requests.
const VERSION: u8 = 1;
/// The format of a batch that holds a change of the group.
const CONTROL_VERSION: u8 = 2;
const HEAD: usize = 1 + 8 + 4;
const TAG: usize = 2 + 8 + 8;
const REQUEST_HEAD: usize = TAG + 4;
const CONTROL_HEAD: usize = 1 + 8 + TAG;

/// Who waits for the outcome of a request: a node, one start of its process, and that process's own number.
///
/// A tag routes an answer, nothing more: that a request sent twice acts once is the state machine's business, by the
/// ids inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag {
    /// Number of the node that the caller spoke to.
    pub origin: u16,
    /// Distinguishes one start of that node from the next.
    pub boot: u64,
    /// Counts that node's requests since its start.
    pub seq: u64,
}

/// A request on its way: opaque bytes for the state machine, and who waits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tagged {
    /// Who waits.
    pub tag: Tag,
    /// What the state machine will be given.
    pub request: Bytes,
}

/// The parsed content of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Requests for the state machine; none in a no-op.
    Requests(Requests),
    /// A change of the group.
    Control(Control),
}

/// A change of the group in its batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// The log's time when it was proposed, in Unix milliseconds.
    pub clock_ms: u64,
    /// Who waits.
    pub tag: Tag,
    /// What is to change.
    pub change: Change,
}

/// The requests of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requests {
    /// The log's time when they were proposed, in Unix milliseconds; zero in a no-op.
    pub clock_ms: u64,
    /// The requests in their order.
    pub requests: Vec<Tagged>,
}

/// A batch that is not of a known format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a batch of the log has an unknown format ({0})")]
pub struct UnknownBatch(pub &'static str);

/// Bytes that `request` takes inside a batch.
pub fn encoded_len(request: &Bytes) -> usize {
    REQUEST_HEAD + request.len()
}

/// Writes requests into a batch.
#[expect(clippy::expect_used, reason = "the size of a batch is bounded before it is written")]
pub fn encode(clock_ms: u64, requests: &[Tagged]) -> Batch {
    let bytes: usize = HEAD + requests.iter().map(|tagged| encoded_len(&tagged.request)).sum::<usize>();
    let mut out = BytesMut::with_capacity(bytes);
    out.put_u8(VERSION);
    out.put_u64_le(clock_ms);
    out.put_u32_le(u32::try_from(requests.len()).expect("a batch is bounded by its bytes"));
    for Tagged { tag, request } in requests {
        out.put_u16_le(tag.origin);
        out.put_u64_le(tag.boot);
        out.put_u64_le(tag.seq);
        out.put_u32_le(u32::try_from(request.len()).expect("a request is bounded far below 4 GiB"));
        out.put_slice(request);
    }
    Batch::new(out.freeze())
}

/// Writes a change into a batch of its own.
pub fn encode_control(clock_ms: u64, tag: Tag, change: &Change) -> Batch {
    encode_control_bytes(clock_ms, &Tagged { tag, request: group::encode(change) })
}

/// As [`encode_control`], with the change as bytes.
pub(crate) fn encode_control_bytes(clock_ms: u64, Tagged { tag, request: change }: &Tagged) -> Batch {
    let mut out = BytesMut::with_capacity(CONTROL_HEAD + change.len());
    out.put_u8(CONTROL_VERSION);
    out.put_u64_le(clock_ms);
    out.put_u16_le(tag.origin);
    out.put_u64_le(tag.boot);
    out.put_u64_le(tag.seq);
    out.put_slice(change);
    Batch::new(out.freeze())
}

/// Reads a batch. The requests share the batch's memory.
///
/// # Errors
/// When the bytes are not a batch of a known version.
pub fn decode(batch: &Batch) -> Result<Content, UnknownBatch> {
    if batch.is_noop() {
        return Ok(Content::Requests(Requests { clock_ms: 0, requests: Vec::new() }));
    }
    let mut reader = Reader { bytes: batch.bytes().clone() };
    match reader.u8()? {
        VERSION => decode_requests(reader).map(Content::Requests),
        CONTROL_VERSION => {
            let clock_ms = reader.u64()?;
            let tag = Tag { origin: reader.u16()?, boot: reader.u64()?, seq: reader.u64()? };
            let change = group::decode(reader.bytes).ok_or(UnknownBatch("change"))?;
            Ok(Content::Control(Control { clock_ms, tag, change }))
        }
        _ => Err(UnknownBatch("version")),
    }
}

/// The change that a batch holds, if it holds one.
pub(crate) fn control(batch: &Batch) -> Option<Control> {
    if batch.bytes().first() != Some(&CONTROL_VERSION) {
        return None;
    }
    match decode(batch) {
        Ok(Content::Control(control)) => Some(control),
        Ok(Content::Requests(_)) | Err(_) => None,
    }
}

/// The time of a batch, in Unix milliseconds; none of a no-op or of an unknown format.
pub(crate) fn clock_ms(batch: &Batch) -> Option<u64> {
    let (version, rest) = batch.bytes().split_first()?;
    let is_known = matches!(*version, VERSION | CONTROL_VERSION);
    let (clock_ms, _) = rest.split_first_chunk::<8>().filter(|_| is_known)?;
    Some(u64::from_le_bytes(*clock_ms))
}

/// Calls `f` for the tag of everything in a batch; for none, if the batch is of an unknown format: then the node stops
/// when it applies it, and says so.
pub(crate) fn for_each_tag(batch: &Batch, mut f: impl FnMut(Tag)) {
    let bytes = batch.bytes().as_ref();
    let (first, heads) = match bytes.first() {
        Some(&VERSION) => (HEAD, usize::MAX),
        Some(&CONTROL_VERSION) => (1 + 8, 1),
        Some(_) | None => return,
    };
    let mut rest = bytes.get(first..).unwrap_or_default();
    for _ in 0..heads {
        let Some((tag, behind)) = rest.split_first_chunk::<TAG>() else { return };
        f(tag_of(tag));
        let Some((length, behind)) = behind.split_first_chunk::<4>() else { return };
        rest = behind.get(u32::from_le_bytes(*length) as usize..).unwrap_or_default();
    }
}

#[expect(clippy::expect_used, reason = "slices of eight bytes are eight bytes")]
fn tag_of(bytes: &[u8; TAG]) -> Tag {
    let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes were taken"));
    Tag { origin: u16::from_le_bytes([bytes[0], bytes[1]]), boot: u64_at(2), seq: u64_at(10) }
}

fn decode_requests(mut reader: Reader) -> Result<Requests, UnknownBatch> {
    let clock_ms = reader.u64()?;
    let count = reader.u32()? as usize;
    if count > reader.bytes.len() / REQUEST_HEAD {
        return Err(UnknownBatch("count"));
    }
    let mut requests = Vec::with_capacity(count);
    for _ in 0..count {
        let tag = Tag { origin: reader.u16()?, boot: reader.u64()?, seq: reader.u64()? };
        let length = reader.u32()? as usize;
        requests.push(Tagged { tag, request: reader.take(length)? });
    }
    if !reader.bytes.is_empty() {
        return Err(UnknownBatch("bytes behind the last request"));
    }
    Ok(Requests { clock_ms, requests })
}

/// Takes little-endian fields off the front of shared bytes.
struct Reader {
    bytes: Bytes,
}

impl Reader {
    fn take(&mut self, length: usize) -> Result<Bytes, UnknownBatch> {
        if length > self.bytes.len() {
            return Err(UnknownBatch("cut short"));
        }
        Ok(self.bytes.split_to(length))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], UnknownBatch> {
        let (head, _) = self.bytes.split_first_chunk::<N>().ok_or(UnknownBatch("cut short"))?;
        let head = *head;
        let _ = self.bytes.split_to(N);
        Ok(head)
    }

    fn u8(&mut self) -> Result<u8, UnknownBatch> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Result<u16, UnknownBatch> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, UnknownBatch> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, UnknownBatch> {
        self.array().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::tests_change::any_change;
    use proptest::prelude::*;

    fn tagged() -> impl Strategy<Value = Tagged> {
        (any::<u16>(), any::<u64>(), any::<u64>(), proptest::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(origin, boot, seq, request)| Tagged { tag: Tag { origin, boot, seq }, request: request.into() })
    }

    proptest! {
        #[test]
        fn a_batch_reads_back_as_it_was_written(clock_ms: u64, requests in proptest::collection::vec(tagged(), 0..20)) {
            let batch = encode(clock_ms, &requests);
            let mut tags = Vec::new();
            for_each_tag(&batch, |tag| tags.push(tag));
            prop_assert_eq!(super::clock_ms(&batch), Some(clock_ms));
            prop_assert_eq!(tags, requests.iter().map(|tagged| tagged.tag).collect::<Vec<_>>());
            prop_assert_eq!(decode(&batch), Ok(Content::Requests(Requests { clock_ms, requests })));
        }

        #[test]
        fn a_control_batch_reads_back_as_it_was_written(clock_ms: u64, tagged in tagged(), change in any_change()) {
            let batch = encode_control(clock_ms, tagged.tag, &change);
            let mut tags = Vec::new();
            for_each_tag(&batch, |tag| tags.push(tag));
            prop_assert_eq!(super::clock_ms(&batch), Some(clock_ms));
            prop_assert_eq!(tags, vec![tagged.tag]);
            prop_assert_eq!(decode(&batch), Ok(Content::Control(Control { clock_ms, tag: tagged.tag, change })));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let batch = Batch::new(bytes.into());
            for_each_tag(&batch, |_| ());
            let _ = super::clock_ms(&batch);
            let _ = decode(&batch);
        }
    }

    #[test]
    fn a_noop_holds_nothing() {
        let nothing = Requests { clock_ms: 0, requests: Vec::new() };
        assert_eq!(decode(&Batch::noop()), Ok(Content::Requests(nothing)));
    }

    #[test]
    fn a_batch_cut_anywhere_is_refused() {
        let tag = Tag { origin: 1, boot: 2, seq: 3 };
        let whole = encode(9, &[Tagged { tag, request: Bytes::from_static(b"pay") }]);
        for cut in 1..whole.bytes().len() {
            assert!(decode(&Batch::new(whole.bytes().slice(..cut))).is_err(), "cut at {cut}");
        }
    }
}
