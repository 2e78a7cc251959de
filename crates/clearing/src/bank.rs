//! Banks as the gateway knows them.

use crate::bytes::{Bad, In, Out, Stored};
use crate::names::{BankName, BankNumber, Epoch, GroupId, KeyId, NodeNumber};

/// A bank that registered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bank {
    pub number: BankNumber,
    pub name: BankName,
    /// What the name is pinned to.
    pub group: GroupId,
    /// The bank's newest incarnation; what an older one says does not count.
    pub epoch: Epoch,
    pub standing: Standing,
    /// The number of its newest payment, and the place of that one's record.
    pub last_number: u64,
    pub last_place: Option<u64>,
    /// The gateway's incarnation in which it was last asked for all that it holds or held: see [`Recall`].
    pub(crate) recalled: Epoch,
    /// Its payments that are undecided, or owe it an acknowledgement or wait for another's.
    pub open: u64,
}

/// What a gateway that came back from a backup has yet to hear: everything that banks set aside for it since that moment,
/// ended or not, for it may have forgotten any of it. A bank that has not been asked takes part in nothing new: what it and
/// another owe each other is not known here so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Recall {
    /// Milliseconds since the Unix epoch, by the banks' clocks.
    pub since_ms: u64,
}

/// Whether a bank takes part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    Live,
    /// It came back from a backup and lacks the payments with numbers in `after + 1 ..= through`. Until it has them it is
    /// asked for nothing else.
    Restored {
        after: u64,
        through: u64,
    },
}

impl Bank {
    /// The number of its next payment. Each incarnation of the gateway counts in a range of its own, for a restored one does
    /// not know which numbers it gave away before.
    pub(crate) fn next_number(&self, gateway: Epoch) -> u64 {
        self.last_number.max(u64::from(gateway.get() - 1) << 40) + 1
    }
}

impl Stored for Standing {
    fn put(&self, out: &mut Out) {
        match self {
            Standing::Live => out.u8(1),
            Standing::Restored { after, through } => {
                out.u8(2);
                out.u64(*after);
                out.u64(*through);
            }
        }
    }

    fn take(from: &mut In<'_>) -> Result<Standing, Bad> {
        match from.u8("standing")? {
            1 => Ok(Standing::Live),
            2 => Ok(Standing::Restored { after: from.u64("number")?, through: from.u64("number")? }),
            _ => Err(Bad { field: "standing" }),
        }
    }
}

/// The public half of a key that a node of the gateway signs tokens with. It stays until its time is over, also when it
/// was retired, so that a late repetition cannot bring it back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SigningKey {
    pub id: KeyId,
    pub node: NodeNumber,
    pub public: [u8; 32],
    pub expires_ms: u64,
    pub retired: bool,
}
