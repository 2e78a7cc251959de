//! The nouns that everything else is said with: nodes, slots, ballots, batches.
//!
//! Their fields are private or ordered on purpose: a `NodeId` is never 0, a `Slot` is never mixed up with a count,
//! and ballots compare by round first and node second, so that two nodes can never use the same one.

use bytes::Bytes;
use std::fmt;

/// A node of the group, 1..=65535. Numbers are never reused within a group.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u16);

impl NodeId {
    /// `None` for 0, which stands for "nobody" in stored and sent ballots.
    pub const fn new(number: u16) -> Option<NodeId> {
        if number == 0 { None } else { Some(NodeId(number)) }
    }

    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A place in the group's log. The first is 1; `Slot::ZERO` means "before the first".
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u64);

impl Slot {
    pub const ZERO: Slot = Slot(0);

    pub const fn new(number: u64) -> Slot {
        Slot(number)
    }

    pub const fn get(self) -> u64 {
        self.0
    }

    pub const fn next(self) -> Slot {
        Slot(self.0.saturating_add(1))
    }

    /// The slot before; before the first there is only `Slot::ZERO`.
    pub const fn prev(self) -> Slot {
        Slot(self.0.saturating_sub(1))
    }

    pub(crate) const fn plus(self, slots: u64) -> Slot {
        Slot(self.0.saturating_add(slots))
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A proposer's number: ordered by round, then by node, so no two nodes share one.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ballot {
    pub round: u64,
    /// 0 only in `Ballot::ZERO`.
    pub node: u16,
}

impl Ballot {
    /// Lower than every ballot that anyone proposes with.
    pub const ZERO: Ballot = Ballot { round: 0, node: 0 };

    /// Rounds from here on are nonsense: a group that spent a million of them a second would need a hundred thousand
    /// years to get here. They are ignored, so that one absurd message cannot use up all ballots.
    pub(crate) const ROUND_LIMIT: u64 = 1 << 62;

    /// Whether somebody could propose with it.
    pub(crate) const fn is_possible(self) -> bool {
        self.round > 0 && self.round < Ballot::ROUND_LIMIT && self.node > 0
    }

    /// Whose ballot it is; `None` for `Ballot::ZERO`.
    pub const fn owner(self) -> Option<NodeId> {
        NodeId::new(self.node)
    }
}

impl fmt::Debug for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b{}.{}", self.round, self.node)
    }
}

impl fmt::Display for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.round, self.node)
    }
}

/// What one slot holds: bytes that only the state machine understands. Empty means no-op.
/// A clone shares the bytes.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Batch(Bytes);

impl Batch {
    pub const fn new(bytes: Bytes) -> Batch {
        Batch(bytes)
    }

    /// Fills a gap in the log and changes nothing.
    pub const fn noop() -> Batch {
        Batch(Bytes::new())
    }

    pub const fn bytes(&self) -> &Bytes {
        &self.0
    }

    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    pub const fn is_noop(&self) -> bool {
        self.0.is_empty()
    }

    /// Computed anew at every call: only promises need it, never the way of a request.
    pub fn digest(&self) -> Digest {
        Digest(*blake3::hash(&self.0).as_bytes())
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(&self.0) {
            Ok("") => f.write_str("noop"),
            Ok(text) if text.len() <= 32 && !text.contains(char::is_control) => write!(f, "{text:?}"),
            Ok(_) | Err(_) => write!(f, "{} bytes", self.0.len()),
        }
    }
}

/// The BLAKE3 hash of a batch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:02x}{:02x}{:02x}{:02x}", self.0[0], self.0[1], self.0[2], self.0[3])
    }
}
