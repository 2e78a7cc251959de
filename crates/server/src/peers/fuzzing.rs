//! Bytes of an input as what a peer says: see [`crate::fuzzing`].

#![allow(clippy::expect_used, reason = "it is run by tests and fuzz targets, which find what is wrong by a panic")]

use super::frame::{Frame, Greeting, Reply, read_frame, write_frames};
use super::known::{members_of, text_of};
use bytes::Bytes;

/// As a peer that has been welcomed may send them; a bound of the test's own, for memory is counted.
const BODY_MAX: usize = 64 << 10;

/// The bytes as they came, and what is in a frame whose checksum is right.
pub(crate) fn frames(bytes: &[u8]) {
    let mut stream = bytes;
    while let Ok(Some(body)) = read_frame(&mut stream, BODY_MAX) {
        assert!(body.len() <= bytes.len());
    }
    let framed = framed(bytes);
    let mut stream = framed.as_slice();
    let body = read_frame(&mut stream, bytes.len()).expect("a whole frame").expect("a frame");
    assert!(body == bytes && stream.is_empty());
    if let Ok(message) = replica::wire::decode(body) {
        let (head, tail) = replica::wire::encode(&message);
        assert!([&head[..], &tail[..]].concat() == bytes, "one message, two ways to write it");
    }
}

pub(crate) fn greeting(bytes: &[u8]) {
    if let Ok(greeting) = Greeting::read(&mut framed(bytes).as_slice()) {
        let mut again = Vec::new();
        greeting.write(&mut again).expect("a vector takes all");
        assert!(again == framed(bytes), "one greeting, two ways to write it: {greeting:?}");
    }
}

pub(crate) fn reply(bytes: &[u8]) {
    if let Ok(reply) = Reply::read(&mut framed(bytes).as_slice()) {
        let mut again = Vec::new();
        reply.write(&mut again).expect("a vector takes all");
        let again = Reply::read(&mut again.as_slice()).expect("what we write we read");
        assert_eq!(again, reply);
    }
}

/// The disks that members were first met with: what is read is written as it is read again, with no line rotten.
pub(crate) fn members_file(bytes: &[u8]) {
    let (disks, _) = members_of(bytes);
    assert_eq!(members_of(text_of(&disks).as_bytes()), (disks, 0));
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_frames(&mut out, &[Frame::new(bytes, Bytes::new())]).expect("a vector takes all");
    out
}
