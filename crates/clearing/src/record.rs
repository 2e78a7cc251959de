//! The journal's record of one outcome or change: 256 bytes, written and read by hand.
//!
//! A record alone says what it changed, so state is made again from records, and tells whether a retry has the same
//! content. Layout, little endian, fields one behind the other, zeros to the end:
//!
//! ```text
//!   0 kind u16   2 time ms u48   8 slot u48   14 place u48   20 the kind's fields, in the order of its variant
//! ```
//!
//! The longest is a payment that was taken. Each bank's payments are linked by place, newest first, so that those after
//! a number are found without an index when the bank comes back from a backup.

use crate::bank::{Recall, Standing};
use crate::bytes::{Bad, In, Out, Stored};
use crate::finding::Vote;
use crate::names::{BankName, BankNumber, Epoch, GroupId, KeyId, NodeNumber, SessionId};
use crate::order::{Order, Pair, Party, PaymentId, Side};
use crate::outcome::{Reason, Verdict};
use crate::payment::{Cause, OperatorName, Origin, Owed, put_owed, take_owed};
use crate::position::PositionKey;
use crate::settings::SettingChange;
use ledger::{RECORD_BYTES, RecordBytes};

/// One outcome or change, with all that is kept of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    pub time_ms: u64,
    pub slot: u64,
    pub place: u64,
    pub body: Body,
}

/// What happened. One variant per kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Body {
    EpochBegan {
        epoch: Epoch,
        /// Banks are asked for what they set aside since then; none in records of before banks were asked.
        recall: Option<Recall>,
    },
    BankRegistered {
        number: BankNumber,
        name: BankName,
        group: GroupId,
        epoch: Epoch,
        standing: Standing,
    },
    BankCaughtUp {
        number: BankNumber,
    },
    BankRecalled {
        number: BankNumber,
        epoch: Epoch,
    },
    SessionOpened {
        session: SessionId,
        customer: Party,
        expires_ms: u64,
    },
    SessionEnded {
        session: SessionId,
    },
    SessionForgotten {
        session: SessionId,
    },
    KeyKept {
        key: KeyId,
        node: NodeNumber,
        public: [u8; 32],
        expires_ms: u64,
    },
    KeyRetired {
        key: KeyId,
    },
    KeyForgotten {
        key: KeyId,
    },
    PaymentTaken(Taken),
    /// Refused at once, or voided before it came: the content only as its digest.
    PaymentRefused {
        id: PaymentId,
        payer: Party,
        digest: u128,
        reason: Reason,
    },
    VoteRecorded {
        id: PaymentId,
        side: Side,
        vote: Vote,
    },
    VoidWanted {
        id: PaymentId,
        cause: Cause,
    },
    PaymentDecided(Decided),
    /// What is still owed then, and the decision again, so that the record alone gives the checkpoint's entry.
    SideDelivered {
        id: PaymentId,
        side: Side,
        left: Option<Owed>,
        verdict: Verdict,
        decided_ms: u64,
    },
    Acknowledged {
        id: PaymentId,
    },
    SettingChanged {
        replaced_version: u64,
        change: SettingChange,
    },
}

/// A payment that entered the log whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Taken {
    pub order: Order,
    pub origin: Origin,
    pub numbers: Pair<u64>,
    /// Places of the payments before this one at its banks.
    pub previous: Pair<Option<u64>>,
    pub epoch: Epoch,
    pub taker: NodeNumber,
    pub vote_by_ms: u64,
}

/// The moment of truth of a payment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decided {
    pub id: PaymentId,
    pub verdict: Verdict,
    /// To whom the decision is still to be delivered.
    pub owed: Option<Owed>,
    /// The position between its banks after it, if it moved one.
    pub position: Option<(PositionKey, i128)>,
    /// For an operator to look at: decided without knowing what was decided before.
    pub listed: bool,
    /// Who decided by hand.
    pub operator: Option<OperatorName>,
}

/// Numbers of the kinds. They are in journals: keep them stable.
pub mod kind {
    pub const EPOCH_BEGAN: u16 = 1;
    pub const BANK_REGISTERED: u16 = 2;
    pub const BANK_CAUGHT_UP: u16 = 3;
    pub const SESSION_OPENED: u16 = 4;
    pub const SESSION_ENDED: u16 = 5;
    pub const SESSION_FORGOTTEN: u16 = 6;
    pub const KEY_KEPT: u16 = 7;
    pub const KEY_RETIRED: u16 = 8;
    pub const KEY_FORGOTTEN: u16 = 9;
    pub const PAYMENT_TAKEN: u16 = 10;
    pub const PAYMENT_REFUSED: u16 = 11;
    pub const VOTE_RECORDED: u16 = 12;
    pub const VOID_WANTED: u16 = 13;
    pub const PAYMENT_DECIDED: u16 = 14;
    pub const SIDE_DELIVERED: u16 = 15;
    pub const ACKNOWLEDGED: u16 = 16;
    pub const SETTING_CHANGED: u16 = 17;
    pub const BANK_RECALLED: u16 = 18;
}

/// Why bytes are not a record of the gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecordError {
    #[error("kind {kind} is none of the gateway's")]
    Kind { kind: u16 },
    #[error("a record of kind {kind} has a {bad}")]
    Field { kind: u16, bad: Bad },
}

/// The id under which a payment's decision is found. A payment has two outcomes in the journal, its taking and its
/// decision, and an id leads to one place only. A hash, so that no client can choose an id to stand in its way.
pub fn decision_id(payment: PaymentId) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"rialto decision on payment");
    hasher.update(&payment.get().to_le_bytes());
    u128::from_le_bytes(hasher.finalize().as_bytes()[..16].try_into().expect("sixteen bytes of thirty-two"))
}

/// The id under which the index leads to this record, or `None` if nobody will ever look for it.
pub fn record_id(bytes: &RecordBytes) -> Option<u128> {
    let id = || PaymentId::new(u128::from_le_bytes(bytes[BODY..BODY + 16].try_into().expect("sixteen bytes")));
    match u16::from_le_bytes([bytes[0], bytes[1]]) {
        kind::PAYMENT_TAKEN | kind::PAYMENT_REFUSED => id().map(PaymentId::get),
        kind::PAYMENT_DECIDED => id().map(decision_id),
        _ => None,
    }
}

/// Where a kind's own fields begin.
const BODY: usize = 20;

impl Record {
    /// Panics if slot, time or place is past the bounds that the rules keep.
    pub fn encode(&self) -> RecordBytes {
        let mut out = Out::default();
        out.u16(self.body.kind());
        out.u48(self.time_ms);
        out.u48(self.slot);
        out.u48(self.place);
        self.body.put(&mut out);
        assert!(out.bytes.len() <= RECORD_BYTES - 4, "the longest record fits; the last four bytes are the journal's");
        out.bytes.resize(RECORD_BYTES, 0);
        out.bytes.try_into().expect("as many bytes as a record has")
    }

    /// Reads a record back.
    ///
    /// # Errors
    /// When the bytes are none of the gateway's.
    pub fn decode(bytes: &RecordBytes) -> Result<Record, RecordError> {
        let kind = u16::from_le_bytes([bytes[0], bytes[1]]);
        let mut from = In::new(&bytes[2..]);
        let field = |bad| RecordError::Field { kind, bad };
        let time_ms = from.u48("time").map_err(field)?;
        let slot = from.u48("slot").map_err(field)?;
        let place = from.u48("place").map_err(field)?;
        let body = Body::take(kind, &mut from).map_err(field)?.ok_or(RecordError::Kind { kind })?;
        match from.rest.iter().all(|byte| *byte == 0) {
            true => Ok(Record { time_ms, slot, place, body }),
            false => Err(field(Bad { field: "padding" })),
        }
    }
}

impl Body {
    pub fn kind(&self) -> u16 {
        match self {
            Body::EpochBegan { .. } => kind::EPOCH_BEGAN,
            Body::BankRegistered { .. } => kind::BANK_REGISTERED,
            Body::BankCaughtUp { .. } => kind::BANK_CAUGHT_UP,
            Body::BankRecalled { .. } => kind::BANK_RECALLED,
            Body::SessionOpened { .. } => kind::SESSION_OPENED,
            Body::SessionEnded { .. } => kind::SESSION_ENDED,
            Body::SessionForgotten { .. } => kind::SESSION_FORGOTTEN,
            Body::KeyKept { .. } => kind::KEY_KEPT,
            Body::KeyRetired { .. } => kind::KEY_RETIRED,
            Body::KeyForgotten { .. } => kind::KEY_FORGOTTEN,
            Body::PaymentTaken(_) => kind::PAYMENT_TAKEN,
            Body::PaymentRefused { .. } => kind::PAYMENT_REFUSED,
            Body::VoteRecorded { .. } => kind::VOTE_RECORDED,
            Body::VoidWanted { .. } => kind::VOID_WANTED,
            Body::PaymentDecided(_) => kind::PAYMENT_DECIDED,
            Body::SideDelivered { .. } => kind::SIDE_DELIVERED,
            Body::Acknowledged { .. } => kind::ACKNOWLEDGED,
            Body::SettingChanged { .. } => kind::SETTING_CHANGED,
        }
    }

    fn put(&self, out: &mut Out) {
        match self {
            Body::EpochBegan { epoch, recall } => {
                out.value(epoch);
                put_recall(*recall, out);
            }
            Body::BankRegistered { number, name, group, epoch, standing } => {
                out.value(number);
                out.value(name);
                out.value(group);
                out.value(epoch);
                out.value(standing);
            }
            Body::BankCaughtUp { number } => out.value(number),
            Body::BankRecalled { number, epoch } => {
                out.value(number);
                out.value(epoch);
            }
            Body::SessionOpened { session, customer, expires_ms } => {
                out.value(session);
                out.value(customer);
                out.u64(*expires_ms);
            }
            Body::SessionEnded { session } | Body::SessionForgotten { session } => out.value(session),
            Body::KeyKept { key, node, public, expires_ms } => {
                out.value(key);
                out.value(node);
                out.array(public);
                out.u64(*expires_ms);
            }
            Body::KeyRetired { key } | Body::KeyForgotten { key } => out.value(key),
            Body::PaymentTaken(taken) => out.value(taken),
            Body::PaymentRefused { id, payer, digest, reason } => {
                out.value(id);
                out.value(payer);
                out.u128(*digest);
                out.value(reason);
            }
            Body::VoteRecorded { id, side, vote } => {
                out.value(id);
                out.value(side);
                out.value(vote);
            }
            Body::VoidWanted { id, cause } => {
                out.value(id);
                out.value(cause);
            }
            Body::PaymentDecided(decided) => out.value(decided),
            Body::SideDelivered { id, side, left, verdict, decided_ms } => {
                out.value(id);
                out.value(side);
                put_owed(*left, out);
                out.value(verdict);
                out.u48(*decided_ms);
            }
            Body::Acknowledged { id } => out.value(id),
            Body::SettingChanged { replaced_version, change } => {
                out.u64(*replaced_version);
                out.value(change);
            }
        }
    }

    /// `None` for a kind that is not known.
    fn take(kind: u16, from: &mut In<'_>) -> Result<Option<Body>, Bad> {
        Ok(Some(match kind {
            kind::EPOCH_BEGAN => Body::EpochBegan { epoch: from.value()?, recall: take_recall(from)? },
            kind::BANK_REGISTERED => Body::BankRegistered {
                number: from.value()?,
                name: from.value()?,
                group: from.value()?,
                epoch: from.value()?,
                standing: from.value()?,
            },
            kind::BANK_CAUGHT_UP => Body::BankCaughtUp { number: from.value()? },
            kind::BANK_RECALLED => Body::BankRecalled { number: from.value()?, epoch: from.value()? },
            kind::SESSION_OPENED => {
                Body::SessionOpened { session: from.value()?, customer: from.value()?, expires_ms: from.u64("expiry")? }
            }
            kind::SESSION_ENDED => Body::SessionEnded { session: from.value()? },
            kind::SESSION_FORGOTTEN => Body::SessionForgotten { session: from.value()? },
            kind::KEY_KEPT => Body::KeyKept {
                key: from.value()?,
                node: from.value()?,
                public: from.array("public key")?,
                expires_ms: from.u64("expiry")?,
            },
            kind::KEY_RETIRED => Body::KeyRetired { key: from.value()? },
            kind::KEY_FORGOTTEN => Body::KeyForgotten { key: from.value()? },
            kind::PAYMENT_TAKEN => Body::PaymentTaken(from.value()?),
            kind::PAYMENT_REFUSED => Body::PaymentRefused {
                id: from.value()?,
                payer: from.value()?,
                digest: from.u128("digest")?,
                reason: from.value()?,
            },
            kind::VOTE_RECORDED => Body::VoteRecorded { id: from.value()?, side: from.value()?, vote: from.value()? },
            kind::VOID_WANTED => Body::VoidWanted { id: from.value()?, cause: from.value()? },
            kind::PAYMENT_DECIDED => Body::PaymentDecided(from.value()?),
            kind::SIDE_DELIVERED => Body::SideDelivered {
                id: from.value()?,
                side: from.value()?,
                left: take_owed(from)?,
                verdict: from.value()?,
                decided_ms: from.u48("time")?,
            },
            kind::ACKNOWLEDGED => Body::Acknowledged { id: from.value()? },
            kind::SETTING_CHANGED => {
                Body::SettingChanged { replaced_version: from.u64("version")?, change: from.value()? }
            }
            _ => return Ok(None),
        }))
    }
}

/// Zero, which is also what follows an older record, stands for "nothing to recall".
pub(crate) fn put_recall(recall: Option<Recall>, out: &mut Out) {
    out.u48(recall.map_or(0, |recall| recall.since_ms));
}

pub(crate) fn take_recall(from: &mut In<'_>) -> Result<Option<Recall>, Bad> {
    let since_ms = from.u48("time")?;
    Ok((since_ms > 0).then_some(Recall { since_ms }))
}

/// All ones stand for "no place", as in the ledger's records.
pub(crate) fn put_place(place: Option<u64>, out: &mut Out) {
    out.u48(place.unwrap_or(crate::bytes::U48_MAX));
}

pub(crate) fn take_place(from: &mut In<'_>) -> Result<Option<u64>, Bad> {
    Ok(Some(from.u48("place")?).filter(|place| *place != crate::bytes::U48_MAX))
}

impl Stored for Taken {
    fn put(&self, out: &mut Out) {
        out.value(&self.order);
        out.value(&self.origin);
        out.u64(self.numbers.debit);
        out.u64(self.numbers.credit);
        put_place(self.previous.debit, out);
        put_place(self.previous.credit, out);
        out.value(&self.epoch);
        out.value(&self.taker);
        out.u64(self.vote_by_ms);
    }

    fn take(from: &mut In<'_>) -> Result<Taken, Bad> {
        Ok(Taken {
            order: from.value()?,
            origin: from.value()?,
            numbers: Pair { debit: from.u64("number")?, credit: from.u64("number")? },
            previous: Pair { debit: take_place(from)?, credit: take_place(from)? },
            epoch: from.value()?,
            taker: from.value()?,
            vote_by_ms: from.u64("time")?,
        })
    }
}

impl Stored for Decided {
    fn put(&self, out: &mut Out) {
        out.value(&self.id);
        out.value(&self.verdict);
        put_owed(self.owed, out);
        match &self.position {
            None => out.u8(0),
            Some((key, low_owes)) => {
                out.u8(1);
                out.value(key);
                out.i128(*low_owes);
            }
        }
        out.u8(u8::from(self.listed));
        out.value(&self.operator);
    }

    fn take(from: &mut In<'_>) -> Result<Decided, Bad> {
        Ok(Decided {
            id: from.value()?,
            verdict: from.value()?,
            owed: take_owed(from)?,
            position: match from.u8("position")? {
                0 => None,
                1 => Some((from.value()?, from.i128("position")?)),
                _ => return Err(Bad { field: "position" }),
            },
            listed: match from.u8("listing")? {
                0 => false,
                1 => true,
                _ => return Err(Bad { field: "listing" }),
            },
            operator: from.value()?,
        })
    }
}
