//! Frames between members: length, checksum, body; and the greeting that opens every connection.
//!
//! ```text
//! frame    = length u32 | xxh3 u64 of the body | body                    (little-endian)
//! greeting = "rialto-peer" | version u8 = 2 | cluster u128 | from u16 | to u16 | disk u64 | group (rest, UTF-8)
//! reply    = 0 | disk u64 | group     welcome; the answering node's own disk, and the group as it knows it (`welcome`)
//!          | 1 | sentence       not welcome
//!          | 2 | sentence       never welcome: the caller holds another disk than the member that is known here
//!          | 3 | sentence       never welcome: the caller was removed from the group, which needs nothing of it any more
//! ```
//!
//! TCP's own checksum is weak, and a batch becomes part of a ledger: so each frame carries a strong one.

use super::welcome;
use bytes::{Bytes, BytesMut};
use replica::group::Group;
use std::io::{self, IoSlice, Read, Write};
use xxhash_rust::xxh3::Xxh3;

/// Largest body: a batch at the log's own bound, and its head.
pub(crate) const FRAME_BYTES_MAX: usize = 16 << 20;
const MAGIC: &[u8; 11] = b"rialto-peer";
const VERSION: u8 = 2;
const GREETING_BYTES_MAX: usize = 512;
/// A welcome holds the whole group.
const REPLY_BYTES_MAX: usize = 8 << 10;
/// Of what a peer says in words: it stands in this node's log, again and again, and need not even be text.
const SAID_CHARACTERS_MAX: usize = 500;

/// A message ready to be written: its head, and the batch behind it, shared and not copied.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    head: Bytes,
    tail: Bytes,
}

impl Frame {
    #[expect(clippy::expect_used, reason = "messages are bounded far below 4 GiB where they are made")]
    pub(crate) fn new(body_head: &[u8], tail: Bytes) -> Self {
        let length = u32::try_from(body_head.len() + tail.len()).expect("messages are bounded far below 4 GiB");
        let mut hash = Xxh3::new();
        hash.update(body_head);
        hash.update(&tail);
        let mut head = Vec::with_capacity(12 + body_head.len());
        head.extend_from_slice(&length.to_le_bytes());
        head.extend_from_slice(&hash.digest().to_le_bytes());
        head.extend_from_slice(body_head);
        Self { head: head.into(), tail }
    }

    pub(crate) fn len(&self) -> usize {
        self.head.len() + self.tail.len()
    }
}

/// Writes all frames with as few system calls as the kernel allows.
pub(crate) fn write_frames(to: &mut impl Write, frames: &[Frame]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> =
        frames.iter().flat_map(|frame| [IoSlice::new(&frame.head), IoSlice::new(&frame.tail)]).collect();
    let mut left = slices.as_mut_slice();
    while !left.is_empty() {
        let written = to.write_vectored(&left[..left.len().min(512)])?;
        if written == 0 && left.iter().any(|slice| !slice.is_empty()) {
            return Err(io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut left, written);
        if written == 0 {
            break;
        }
    }
    Ok(())
}

/// Reads the next frame's body; none at an orderly end.
#[expect(clippy::expect_used, reason = "slices of a fixed length have it")]
pub(crate) fn read_frame(from: &mut impl Read, bytes_max: usize) -> io::Result<Option<Bytes>> {
    let mut head = [0; 12];
    match from.read(&mut head)? {
        0 => return Ok(None),
        read => from.read_exact(&mut head[read..])?,
    }
    let (length, checksum) = head.split_at(4);
    let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
    let checksum = u64::from_le_bytes(checksum.try_into().expect("eight bytes"));
    if length > bytes_max {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes")));
    }
    let mut body = BytesMut::zeroed(length);
    from.read_exact(&mut body)?;
    if xxhash_rust::xxh3::xxh3_64(&body) != checksum {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame whose checksum is wrong"));
    }
    Ok(Some(body.freeze()))
}

/// Who calls whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Greeting {
    pub(crate) cluster: u128,
    pub(crate) group: String,
    pub(crate) from: u16,
    pub(crate) to: u16,
    /// Tells the caller's disk from any other that was made for the same node.
    pub(crate) disk: u64,
}

/// What a greeting is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Welcome {
        /// The answering node's own disk.
        disk: u64,
        /// The group as it knows it.
        group: Box<Group>,
    },
    /// Not now, or not here.
    Refused(String),
    /// The member that is known here had another disk: this caller must not vote in its place.
    OtherDisk(String),
    /// The caller is a member no more, and a majority of those that are has all that it had.
    Removed(String),
}

impl Greeting {
    pub(crate) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let mut body = MAGIC.to_vec();
        body.push(VERSION);
        body.extend_from_slice(&self.cluster.to_le_bytes());
        body.extend_from_slice(&self.from.to_le_bytes());
        body.extend_from_slice(&self.to.to_le_bytes());
        body.extend_from_slice(&self.disk.to_le_bytes());
        body.extend_from_slice(self.group.as_bytes());
        write_frames(to, &[Frame::new(&body, Bytes::new())])
    }

    /// # Errors
    /// Whatever is not a greeting: a stranger's bytes, or another version's.
    pub(crate) fn read(from: &mut impl Read) -> io::Result<Self> {
        let not_ours = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let body = read_frame(from, GREETING_BYTES_MAX).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => not_ours("a greeting cut short"),
            _ => error,
        })?;
        let body = body.ok_or_else(|| not_ours("nothing was said"))?;
        let rest = body.strip_prefix(MAGIC.as_slice()).ok_or_else(|| not_ours("not a Rialto node"))?;
        let (version, rest) = rest.split_first().ok_or_else(|| not_ours("a greeting cut short"))?;
        if *version != VERSION {
            return Err(not_ours("a node that speaks another version"));
        }
        let (cluster, rest) = rest.split_first_chunk().ok_or_else(|| not_ours("a greeting cut short"))?;
        let (from, rest) = rest.split_first_chunk().ok_or_else(|| not_ours("a greeting cut short"))?;
        let (to, rest) = rest.split_first_chunk().ok_or_else(|| not_ours("a greeting cut short"))?;
        let (disk, rest) = rest.split_first_chunk().ok_or_else(|| not_ours("a greeting cut short"))?;
        let group = String::from_utf8(rest.to_vec()).map_err(|_| not_ours("a group name that is not UTF-8"))?;
        let (from, to) = (u16::from_le_bytes(*from), u16::from_le_bytes(*to));
        Ok(Self { cluster: u128::from_le_bytes(*cluster), group, from, to, disk: u64::from_le_bytes(*disk) })
    }
}

impl Reply {
    pub(crate) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let mut body = Vec::new();
        match self {
            Self::Welcome { disk, group } => {
                body.push(0);
                body.extend_from_slice(&disk.to_le_bytes());
                body.extend_from_slice(&welcome::encode(group));
            }
            Self::Refused(why) => {
                body.push(1);
                body.extend_from_slice(why.as_bytes());
            }
            Self::OtherDisk(why) => {
                body.push(2);
                body.extend_from_slice(why.as_bytes());
            }
            Self::Removed(why) => {
                body.push(3);
                body.extend_from_slice(why.as_bytes());
            }
        }
        write_frames(to, &[Frame::new(&body, Bytes::new())])
    }

    pub(crate) fn read(from: &mut impl Read) -> io::Result<Self> {
        let body = read_frame(from, REPLY_BYTES_MAX)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let said = || String::from_utf8_lossy(&body[1..]).chars().take(SAID_CHARACTERS_MAX).collect();
        match body.first() {
            Some(0) => {
                let (disk, _) = body[1..].split_first_chunk().ok_or(io::ErrorKind::InvalidData)?;
                let group = welcome::decode(body.slice(9..)).ok_or(io::ErrorKind::InvalidData)?;
                Ok(Self::Welcome { disk: u64::from_le_bytes(*disk), group: Box::new(group) })
            }
            Some(1) => Ok(Self::Refused(said())),
            Some(2) => Ok(Self::OtherDisk(said())),
            Some(3) => Ok(Self::Removed(said())),
            Some(_) | None => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_read_back_in_order() {
        let mut wire = Vec::new();
        let frames = [Frame::new(b"head", Bytes::from_static(b"tail")), Frame::new(b"", Bytes::new())];
        write_frames(&mut wire, &frames).expect("a vector takes all");
        let mut reader = wire.as_slice();
        let mut next = || read_frame(&mut reader, 100).expect("whole frames");
        assert_eq!(next().as_deref(), Some(b"headtail".as_slice()));
        assert_eq!(next().as_deref(), Some(b"".as_slice()));
        assert_eq!(next(), None);
    }

    #[test]
    fn what_a_peer_says_in_words_is_kept_in_part_only() {
        let mut wire = Vec::new();
        write_frames(&mut wire, &[Frame::new(&[1], Bytes::from(vec![0xff; REPLY_BYTES_MAX - 1]))]).expect("a vector");
        let Ok(Reply::Refused(said)) = Reply::read(&mut wire.as_slice()) else { panic!("it is a refusal") };
        assert_eq!(said.chars().count(), SAID_CHARACTERS_MAX);
    }

    #[test]
    fn a_flipped_bit_is_noticed() {
        let mut wire = Vec::new();
        write_frames(&mut wire, &[Frame::new(b"pay 10", Bytes::new())]).expect("a vector takes all");
        for byte in 4..wire.len() {
            let mut broken = wire.clone();
            broken[byte] ^= 1;
            assert!(read_frame(&mut broken.as_slice(), 100).is_err(), "byte {byte}");
        }
    }

    #[test]
    fn a_greeting_reads_back_and_garbage_does_not() {
        let greeting = Greeting { cluster: 7, group: "alpha".to_owned(), from: 1, to: 2, disk: 9 };
        let mut wire = Vec::new();
        greeting.write(&mut wire).expect("a vector takes all");
        assert_eq!(Greeting::read(&mut wire.as_slice()).expect("just written"), greeting);
        assert!(Greeting::read(&mut b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".as_slice()).is_err());
        assert!(Greeting::read(&mut [0; 12].as_slice()).is_err());
    }

    #[test]
    fn a_reply_reads_back_as_it_was_written() {
        let said = str::to_owned;
        for reply in [
            Reply::Welcome { disk: 9, group: Box::new(Group::unknown()) },
            Reply::Refused(said("no")),
            Reply::OtherDisk(said("never")),
            Reply::Removed(said("no more")),
        ] {
            let mut wire = Vec::new();
            reply.write(&mut wire).expect("a vector takes all");
            assert_eq!(Reply::read(&mut wire.as_slice()).expect("just written"), reply);
        }
    }
}
