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

use crate::bank::{BankBucket, Recall, Standing};
use crate::bytes::{Bad, In, Out, Stored};
use crate::finding::Vote;
use crate::names::{BankName, BankNumber, Epoch, GroupId, KeyId, NodeNumber, SessionId};
use crate::order::{Order, Pair, Party, PaymentId, Side};
use crate::outcome::{Reason, Verdict};
use crate::payment::{Cause, OperatorName, Origin, Owed, put_owed, take_owed};
use crate::position::PositionKey;
use crate::seed::Seed;
use crate::settings::SettingChange;
use ledger::{RECORD_BYTES, RecordBytes, RecordKey};

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
        /// In records of before: since when banks were asked, by their clocks. Written as zero, and read by nobody.
        since_ms: u64,
    },
    /// Before an incarnation begins: where a bank's answer ends when it is asked what it holds.
    BankToRecall {
        number: BankNumber,
        recall: Recall,
    },
    BankRegistered {
        number: BankNumber,
        name: BankName,
        group: GroupId,
        epoch: Epoch,
        standing: Standing,
        /// The gateway's incarnation then.
        registered_in: Epoch,
    },
    /// Tokens were taken from a bucket of a bank's.
    BankCharged {
        number: BankNumber,
        bucket: BankBucket,
        full_at_us: u64,
    },
    BankCaughtUp {
        number: BankNumber,
    },
    BankRecalled {
        number: BankNumber,
        epoch: Epoch,
    },
    /// A bank is to be asked by itself for what it set aside with one other bank.
    BankToRecallWith {
        number: BankNumber,
        other: BankNumber,
        recall: Recall,
    },
    BankRecalledWith {
        number: BankNumber,
        other: BankNumber,
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
    /// The bank of that side says that it has posted what an operator voided at that risk. It is told nothing more of it, and the
    /// payment is listed. What is still owed then, and the decision again, as with an acknowledgement.
    Contradicted {
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
    KeyClaimed {
        key: u128,
        digest: u128,
        base: u128,
    },
    /// What the ids behind idempotency keys are made of from now on.
    SeedKept {
        seed: Seed,
    },
    /// A payment of theirs was refused: when their bucket is full again. The bucket of another, which is full by now, is
    /// forgotten with it.
    PayerCharged {
        payer: Party,
        full_at_us: u64,
        forgotten: Option<Party>,
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
    pub const BANK_TO_RECALL: u16 = 19;
    pub const KEY_CLAIMED: u16 = 30;
    pub const PAYER_CHARGED: u16 = 31;
    pub const SEED_KEPT: u16 = 32;
    pub const BANK_CHARGED: u16 = 33;
    pub const CONTRADICTED: u16 = 34;
    pub const BANK_TO_RECALL_WITH: u16 = 35;
    pub const BANK_RECALLED_WITH: u16 = 36;
}

/// Why bytes are not a record of the gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecordError {
    #[error("kind {kind} is none of the gateway's")]
    Kind { kind: u16 },
    #[error("a record of kind {kind} has a {bad}")]
    Field { kind: u16, bad: Bad },
}

/// Numbers of the kinds of keys of a gateway's journal. They are in the index: keep them stable.
mod key_kind {
    pub(super) const PAYMENT: u8 = 0;
    pub(super) const DECISION: u8 = 1;
    pub(super) const IDEMPOTENCY: u8 = 2;
}

/// Where a payment's first record is found: that it was taken, or refused at once.
pub fn payment_key(payment: PaymentId) -> RecordKey {
    RecordKey::new(key_kind::PAYMENT, payment.get())
}

/// Where a payment's decision is found.
pub fn decision_key(payment: PaymentId) -> RecordKey {
    RecordKey::new(key_kind::DECISION, payment.get())
}

/// Where it is found what an idempotency key stands for.
pub(crate) fn idempotency_key(key: u128) -> RecordKey {
    RecordKey::new(key_kind::IDEMPOTENCY, key)
}

/// The key under which the index leads to this record, or `None` if nobody will ever look for it.
#[expect(clippy::expect_used, reason = "a slice of sixteen bytes is sixteen bytes")]
pub fn record_key(bytes: &RecordBytes) -> Option<RecordKey> {
    let id = || u128::from_le_bytes(bytes[BODY..BODY + 16].try_into().expect("sixteen bytes"));
    let key: fn(PaymentId) -> RecordKey = match u16::from_le_bytes([bytes[0], bytes[1]]) {
        kind::PAYMENT_TAKEN | kind::PAYMENT_REFUSED => payment_key,
        kind::PAYMENT_DECIDED => decision_key,
        kind::KEY_CLAIMED => return Some(idempotency_key(id())),
        _ => return None,
    };
    PaymentId::new(id()).map(key)
}

/// Where a kind's own fields begin.
const BODY: usize = 20;

impl Record {
    /// Panics if slot, time or place is past the bounds that the rules keep.
    #[expect(clippy::expect_used, reason = "the bytes were just made as long as a record")]
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
            Body::BankCharged { .. } => kind::BANK_CHARGED,
            Body::BankCaughtUp { .. } => kind::BANK_CAUGHT_UP,
            Body::BankRecalled { .. } => kind::BANK_RECALLED,
            Body::BankToRecall { .. } => kind::BANK_TO_RECALL,
            Body::BankToRecallWith { .. } => kind::BANK_TO_RECALL_WITH,
            Body::BankRecalledWith { .. } => kind::BANK_RECALLED_WITH,
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
            Body::Contradicted { .. } => kind::CONTRADICTED,
            Body::Acknowledged { .. } => kind::ACKNOWLEDGED,
            Body::SettingChanged { .. } => kind::SETTING_CHANGED,
            Body::KeyClaimed { .. } => kind::KEY_CLAIMED,
            Body::PayerCharged { .. } => kind::PAYER_CHARGED,
            Body::SeedKept { .. } => kind::SEED_KEPT,
        }
    }

    fn put(&self, out: &mut Out) {
        match self {
            Body::EpochBegan { epoch, since_ms } => {
                out.value(epoch);
                out.u48(*since_ms);
            }
            Body::BankToRecall { number, recall } => {
                out.value(number);
                out.value(recall);
            }
            Body::BankToRecallWith { number, other, recall } => {
                out.value(number);
                out.value(other);
                out.value(recall);
            }
            Body::BankRecalledWith { number, other } => {
                out.value(number);
                out.value(other);
            }
            Body::BankRegistered { number, name, group, epoch, standing, registered_in } => {
                out.value(number);
                out.value(name);
                out.value(group);
                out.value(epoch);
                out.value(standing);
                put_registered_in(*registered_in, out);
            }
            Body::BankCharged { number, bucket, full_at_us } => {
                out.value(number);
                out.value(bucket);
                out.u64(*full_at_us);
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
            Body::SideDelivered { id, side, left, verdict, decided_ms }
            | Body::Contradicted { id, side, left, verdict, decided_ms } => {
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
            Body::KeyClaimed { key, digest, base } => {
                out.u128(*key);
                out.u128(*digest);
                out.u128(*base);
            }
            Body::SeedKept { seed } => out.value(seed),
            Body::PayerCharged { payer, full_at_us, forgotten } => {
                out.value(payer);
                out.u64(*full_at_us);
                out.value(forgotten);
            }
        }
    }

    /// `None` for a kind that is not known.
    fn take(kind: u16, from: &mut In<'_>) -> Result<Option<Body>, Bad> {
        Ok(Some(match kind {
            kind::EPOCH_BEGAN => Body::EpochBegan { epoch: from.value()?, since_ms: from.u48("time")? },
            kind::BANK_TO_RECALL => Body::BankToRecall { number: from.value()?, recall: from.value()? },
            kind::BANK_TO_RECALL_WITH => {
                Body::BankToRecallWith { number: from.value()?, other: from.value()?, recall: from.value()? }
            }
            kind::BANK_RECALLED_WITH => Body::BankRecalledWith { number: from.value()?, other: from.value()? },
            kind::BANK_REGISTERED => Body::BankRegistered {
                number: from.value()?,
                name: from.value()?,
                group: from.value()?,
                epoch: from.value()?,
                standing: from.value()?,
                registered_in: take_registered_in(from)?,
            },
            kind::KEY_CLAIMED => {
                Body::KeyClaimed { key: from.u128("key")?, digest: from.u128("digest")?, base: from.u128("base")? }
            }
            kind::SEED_KEPT => Body::SeedKept { seed: from.value()? },
            kind::BANK_CHARGED => {
                Body::BankCharged { number: from.value()?, bucket: from.value()?, full_at_us: from.u64("time")? }
            }
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
            kind::CONTRADICTED => Body::Contradicted {
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
            kind::PAYER_CHARGED => {
                Body::PayerCharged { payer: from.value()?, full_at_us: from.u64("time")?, forgotten: from.value()? }
            }
            _ => return Ok(None),
        }))
    }
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

/// Left out for the first incarnation, as in records of before it was kept.
pub(crate) fn put_registered_in(epoch: Epoch, out: &mut Out) {
    if epoch > Epoch::FIRST {
        out.value(&epoch);
    }
}

pub(crate) fn take_registered_in(from: &mut In<'_>) -> Result<Epoch, Bad> {
    if from.rest.iter().all(|byte| *byte == 0) {
        return Ok(Epoch::FIRST);
    }
    let epoch: Epoch = from.value()?;
    if epoch > Epoch::FIRST { Ok(epoch) } else { Err(Bad { field: "epoch" }) }
}
