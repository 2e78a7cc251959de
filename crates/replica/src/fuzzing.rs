//! What must hold of any bytes that this crate is given to read: for cargo-fuzz, and for the inputs that are kept.

use crate::group::{self, Group};
use crate::request::{self, Content};
use crate::wire;
use bytes::{BufMut, Bytes, BytesMut};
use paxos::Batch;
use storage::RECORD;

/// A message of a peer that is read is written as the same bytes.
pub fn message(bytes: &[u8]) {
    match wire::decode(Bytes::copy_from_slice(bytes)) {
        Ok(message) => {
            let (head, tail) = wire::encode(&message);
            assert!([&head[..], &tail[..]].concat() == bytes, "one message, two ways to write it: {message:?}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A batch that is read is written as the same bytes, and its tags are found without reading it.
pub fn batch(bytes: &[u8]) {
    let batch = Batch::new(Bytes::copy_from_slice(bytes));
    let mut tags = Vec::new();
    request::for_each_tag(&batch, |tag| tags.push(tag));
    match request::decode(&batch) {
        Ok(Content::Requests(requests)) => {
            assert_eq!(tags, requests.requests.iter().map(|tagged| tagged.tag).collect::<Vec<_>>());
            if !batch.is_noop() {
                assert!(request::encode(requests.clock_ms, &requests.requests) == batch, "two ways to write it");
            }
        }
        Ok(Content::Control(control)) => {
            assert_eq!(tags, [control.tag]);
            let again = request::encode_control(control.clock_ms, control.tag, &control.change);
            assert!(again == batch, "two ways to write it: {control:?}");
            let _ = Group::unknown().apply(paxos::Slot::new(1), &control.change, group::Rules::default());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// What another node's journal says of the group becomes entries of a checkpoint, and those a group, or are refused.
pub fn group(bytes: &[u8]) {
    let mut restored = group::Restored::default();
    let mut is_good = true;
    for record in bytes.chunks(RECORD) {
        let mut whole = [0; RECORD];
        whole[..record.len()].copy_from_slice(record);
        whole[..2].copy_from_slice(&group::CONTROL_KIND.to_le_bytes());
        group::effects(&whole, &mut |key, value| {
            if let Some(value) = value {
                is_good &= restored.entry(key, value).is_ok();
            }
        });
    }
    if is_good && let Ok(Some(group)) = restored.finish() {
        let _ = (group.epochs(), group.membership());
    }
}

/// A change that is read is written as the same bytes, also where it stands alone.
pub fn change(bytes: &[u8]) {
    if let Some(change) = group::decode(Bytes::copy_from_slice(bytes)) {
        let mut again = BytesMut::new();
        again.put_slice(&group::encode(&change));
        assert!(again == bytes, "one change, two ways to write it: {change:?}");
    }
}

#[cfg(test)]
mod tests {
    use corpora::DECODER;

    #[test]
    fn fuzz_corpora_of_the_replica() {
        corpora::run("replica_message", DECODER, super::message);
        corpora::run("replica_batch", DECODER, super::batch);
        corpora::run("replica_group", DECODER, super::group);
        corpora::run("replica_change", DECODER, super::change);
    }
}
