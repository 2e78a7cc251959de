//! Banks as the gateway knows them.

use crate::bytes::{Bad, In, Out, Stored};
use crate::charge::Bucket;
use crate::names::{BankName, BankNumber, Epoch, GroupId, KeyId, NodeNumber};
use ledger::Lost;

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
    /// The payments, by number, that its newest incarnation came without.
    pub lost: Lost,
    /// The gateway's incarnation in which that one registered.
    pub(crate) registered_in: Epoch,
    /// When its buckets are full again.
    pub(crate) full_at_us: BankBuckets,
    /// The number of its newest payment, and the place of that one's record.
    pub last_number: u64,
    pub last_place: Option<u64>,
    /// The gateway's incarnation in which it was last asked for all that it holds or held, and where that ends when it is
    /// asked next.
    pub(crate) recalled: Epoch,
    pub(crate) recall: Recall,
    /// Its payments that are undecided, or whose decision it has yet to acknowledge.
    pub open: u64,
}

/// What a gateway that came back from a backup has yet to hear of a bank: everything that it set aside for the gateway since
/// the state that came back, ended or not, for the gateway may have forgotten any of it. A bank that has not been asked takes
/// part in nothing new: what it and another owe each other is not known here so far.
///
/// No clock says since when, because the bank's log has another time than the gateway's. The bank walks its journal back to
/// a fence of the gateway's that knows less than this: see [`ledger::Fence::ends_recall`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Recall {
    /// The newest incarnation of the gateway whose payments are known here, up to the state that came back.
    pub epoch: Epoch,
    /// The bank's payments up to this number had come to their end in that state. 0 where nothing was known of the bank.
    pub complete_through: u64,
}

impl Recall {
    /// Of a bank that nothing is known of.
    pub(crate) const WHOLE: Recall = Recall { epoch: Epoch::FIRST, complete_through: 0 };
}

/// What a bank has a bucket of tokens for (`charge.rs`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum BankBucket {
    /// Incarnations that it goes on by. A restore begins the one after the newest that was begun, and some may fail before one
    /// is heard of here. A bank that names one further ahead locks out all that come before it, and one that lifts it again
    /// and again would come to the last number.
    Lifts,
    /// Payments of which it said "posted" before anybody had decided. Each stays listed until an operator has seen it.
    Contradictions,
    /// Payments that nobody here knew and that were posted by its word and another bank's. They stay listed as well.
    Listed,
}

impl BankBucket {
    pub(crate) const ALL: [BankBucket; 3] = [BankBucket::Lifts, BankBucket::Contradictions, BankBucket::Listed];

    pub(crate) fn bucket(self) -> Bucket {
        match self {
            BankBucket::Lifts => Bucket { token_us: 3_600_000_000, tokens: 16 },
            BankBucket::Contradictions | BankBucket::Listed => Bucket { token_us: 10_000_000, tokens: 10_000 },
        }
    }
}

/// When each bucket of a bank is full again, in microseconds of the log's time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct BankBuckets {
    lifts: u64,
    contradictions: u64,
    listed: u64,
}

impl BankBuckets {
    pub(crate) fn of(self, bucket: BankBucket) -> u64 {
        match bucket {
            BankBucket::Lifts => self.lifts,
            BankBucket::Contradictions => self.contradictions,
            BankBucket::Listed => self.listed,
        }
    }

    pub(crate) fn of_mut(&mut self, bucket: BankBucket) -> &mut u64 {
        match bucket {
            BankBucket::Lifts => &mut self.lifts,
            BankBucket::Contradictions => &mut self.contradictions,
            BankBucket::Listed => &mut self.listed,
        }
    }
}

impl Stored for BankBucket {
    fn put(&self, out: &mut Out) {
        out.u8(match self {
            BankBucket::Lifts => 1,
            BankBucket::Contradictions => 2,
            BankBucket::Listed => 3,
        });
    }

    fn take(from: &mut In<'_>) -> Result<BankBucket, Bad> {
        match from.u8("bucket")? {
            1 => Ok(BankBucket::Lifts),
            2 => Ok(BankBucket::Contradictions),
            3 => Ok(BankBucket::Listed),
            _ => Err(Bad { field: "bucket" }),
        }
    }
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
    /// Whether so many tokens are in one of its buckets.
    pub(crate) fn has_tokens(&self, of: BankBucket, now_us: u64, tokens: u64) -> bool {
        of.bucket().has(self.full_at_us.of(of), now_us, tokens)
    }

    /// A newer incarnation registered, or the first.
    pub(crate) fn registered_as(&mut self, standing: Standing, registered_in: Epoch) {
        self.standing = standing;
        self.registered_in = registered_in;
        self.lost = match standing {
            Standing::Live => Lost::default(),
            Standing::Restored { after, through } => Lost { after, through },
        };
    }

    /// The standing that its newest incarnation registered with.
    pub(crate) fn as_registered(&self) -> Standing {
        let Lost { after, through } = self.lost;
        if self.lost == Lost::default() { Standing::Live } else { Standing::Restored { after, through } }
    }

    /// The number of its next payment. Each incarnation of the gateway counts in a range of its own, for a restored one does
    /// not know which numbers it gave away before.
    pub(crate) fn next_number(&self, gateway: Epoch) -> u64 {
        self.last_number.max(u64::from(gateway.get() - 1) << 40) + 1
    }
}

impl Stored for Recall {
    fn put(&self, out: &mut Out) {
        out.value(&self.epoch);
        out.u64(self.complete_through);
    }

    fn take(from: &mut In<'_>) -> Result<Recall, Bad> {
        Ok(Recall { epoch: from.value()?, complete_through: from.u64("number")? })
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
