//! What the gateway's state machine can be told. Each command carries an id, an incarnation or the version that it
//! expects, so that sending it twice is always safe.
//!
//! Who may send what is for the edge to see to; here a payment's payer is whoever the session says, so nobody pays from
//! another's account.

use crate::bytes::{Bad, In, Out, Stored};
use crate::finding::Reported;
use crate::names::{BankName, Epoch, GroupId, KeyId, NodeNumber, SessionId};
use crate::order::{Holder, NamedParty, Pair, PaymentId, Side, Terms};
use crate::payment::{OperatorName, Risk};
use crate::seed::Seed;
use crate::settings::SettingChange;
use ledger::{Amount, Currency, Reference};

/// One order to the gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// A restored gateway begins its next incarnation.
    BeginEpoch {
        epoch: Epoch,
    },
    /// A bank joins, or comes back as its next incarnation, whose books have every payment through that number: the
    /// largest [`crate::Call::complete_through`] that they have heard of.
    RegisterBank {
        name: BankName,
        group: GroupId,
        epoch: Epoch,
        last_number: u64,
    },
    /// A restored bank has got every payment that its books lacked.
    BankCaughtUp {
        name: BankName,
        epoch: Epoch,
    },
    /// A bank has told everything that it set aside since a restored gateway's backup, and all of it is here: in the gateway's
    /// incarnation that asked.
    BankRecalled {
        name: BankName,
        epoch: Epoch,
    },
    /// What a bank tells of payments with one other bank finds no room there: it is told anew later, by itself, so that the rest
    /// does not wait for that.
    RecallWith {
        name: BankName,
        other: BankName,
        epoch: Epoch,
    },
    /// As [`Command::BankRecalled`], of the payments with one other bank.
    BankRecalledWith {
        name: BankName,
        other: BankName,
        epoch: Epoch,
    },
    /// A customer has shown a password. Not opened any more from `open_by_ms` on: a repetition that comes later than
    /// that opens nothing, also where the session that it speaks of is forgotten.
    OpenSession {
        session: SessionId,
        customer: NamedParty,
        expires_ms: u64,
        open_by_ms: u64,
    },
    EndSession {
        session: SessionId,
    },
    /// The public half of a key that a node signs tokens with.
    AddKey {
        key: KeyId,
        node: NodeNumber,
        public: [u8; 32],
        expires_ms: u64,
    },
    RetireKey {
        key: KeyId,
    },
    /// A customer pays.
    Take {
        request: PaymentRequest,
        deadline_ms: u64,
        taker: NodeNumber,
    },
    /// The customer asks for it to be void, if it is not decided otherwise, and to be told in any case.
    Cancel {
        request: PaymentRequest,
        taker: NodeNumber,
    },
    /// An operator has the debtor pay back what it owes the creditor, by a payment between the banks themselves.
    Settle {
        id: PaymentId,
        debtor: BankName,
        creditor: BankName,
        amount: Amount,
        currency: Currency,
        taker: NodeNumber,
    },
    /// What banks say, for the gateway of that incarnation that asked them. Decides, as soon as it suffices.
    Report {
        id: PaymentId,
        gateway: Epoch,
        found: Pair<Option<Reported>>,
    },
    /// A vote is missing and the time is over.
    TimeOut {
        id: PaymentId,
    },
    /// By hand, only what is undecided. What may be paid only if the operator takes that risk.
    VoidByHand {
        id: PaymentId,
        operator: OperatorName,
        risk: Risk,
    },
    /// A bank of that incarnation has acknowledged the decision.
    Delivered {
        id: PaymentId,
        side: Side,
        epoch: Epoch,
    },
    /// A bank asks about a hold that has grown old.
    Resolve {
        bank: BankName,
        terms: Terms,
        taker: NodeNumber,
    },
    /// The operator has seen a payment that was listed.
    Acknowledge {
        id: PaymentId,
    },
    ChangeSetting {
        expected_version: u64,
        change: SettingChange,
    },
    /// Keeps the secret that the ids behind idempotency keys are made of, unless there is one.
    KeepSeed {
        seed: Seed,
    },
    /// Keeps what an idempotency key of a customer stands for: see `ledger::Command::ClaimKey`. The ids follow from the
    /// gateway's seed and the key; `base` stands in for that in a gateway that has no seed yet.
    ClaimKey {
        session: SessionId,
        key: u128,
        digest: u128,
        base: u128,
    },
}

/// A payment as its payer orders it; who that is, the session says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PaymentRequest {
    pub id: PaymentId,
    pub session: SessionId,
    pub payee: NamedParty,
    pub amount: Amount,
    pub currency: Currency,
    pub reference: Reference,
}

impl PaymentRequest {
    pub(crate) fn terms(&self, payer: NamedParty) -> Terms {
        let PaymentRequest { id, session: _, payee, amount, currency, reference } = *self;
        Terms { id, payer, payee, amount, currency, reference }
    }
}

impl Command {
    /// The payment that the command is about.
    pub fn payment(&self) -> Option<PaymentId> {
        match self {
            Command::Take { request, .. } | Command::Cancel { request, .. } => Some(request.id),
            Command::Settle { id, .. }
            | Command::Report { id, .. }
            | Command::TimeOut { id }
            | Command::VoidByHand { id, .. }
            | Command::Delivered { id, .. }
            | Command::Acknowledge { id } => Some(*id),
            Command::Resolve { terms, .. } => Some(terms.id),
            Command::BeginEpoch { .. }
            | Command::RegisterBank { .. }
            | Command::BankCaughtUp { .. }
            | Command::BankRecalled { .. }
            | Command::RecallWith { .. }
            | Command::BankRecalledWith { .. }
            | Command::OpenSession { .. }
            | Command::EndSession { .. }
            | Command::AddKey { .. }
            | Command::RetireKey { .. }
            | Command::KeepSeed { .. }
            | Command::ClaimKey { .. }
            | Command::ChangeSetting { .. } => None,
        }
    }
}

/// Numbers of the kinds of command. They are in logs: keep them stable.
mod kind {
    pub(super) const BEGIN_EPOCH: u8 = 1;
    pub(super) const REGISTER_BANK: u8 = 2;
    pub(super) const BANK_CAUGHT_UP: u8 = 3;
    /// Without a time by which it is to be opened; read from older logs, and not written any more.
    pub(super) const OPEN_SESSION_ANY_TIME: u8 = 4;
    pub(super) const END_SESSION: u8 = 5;
    pub(super) const ADD_KEY: u8 = 6;
    pub(super) const RETIRE_KEY: u8 = 7;
    pub(super) const TAKE: u8 = 8;
    pub(super) const CANCEL: u8 = 9;
    pub(super) const SETTLE: u8 = 10;
    pub(super) const REPORT: u8 = 11;
    pub(super) const TIME_OUT: u8 = 12;
    pub(super) const VOID_BY_HAND: u8 = 13;
    pub(super) const DELIVERED: u8 = 14;
    pub(super) const RESOLVE: u8 = 15;
    pub(super) const ACKNOWLEDGE: u8 = 16;
    pub(super) const CHANGE_SETTING: u8 = 17;
    pub(super) const BANK_RECALLED: u8 = 18;
    pub(super) const CLAIM_KEY: u8 = 30;
    pub(super) const KEEP_SEED: u8 = 31;
    pub(super) const OPEN_SESSION: u8 = 19;
    pub(super) const VOID_AT_RISK: u8 = 33;
    pub(super) const RECALL_WITH: u8 = 34;
    pub(super) const BANK_RECALLED_WITH: u8 = 35;
}

impl Stored for PaymentRequest {
    fn put(&self, out: &mut Out) {
        out.value(&self.id);
        out.value(&self.session);
        out.value(&self.payee);
        out.value(&self.amount);
        out.value(&self.currency);
        out.value(&self.reference);
    }

    /// A customer pays customers: the bank's own vault is reached by a settlement only.
    fn take(from: &mut In<'_>) -> Result<PaymentRequest, Bad> {
        let request = PaymentRequest {
            id: from.value()?,
            session: from.value()?,
            payee: from.value()?,
            amount: from.value()?,
            currency: from.value()?,
            reference: from.value()?,
        };
        match request.payee.holder {
            Holder::Customer(_) => Ok(request),
            Holder::House => Err(Bad { field: "payee" }),
        }
    }
}

impl Stored for Command {
    fn put(&self, out: &mut Out) {
        match self {
            Command::BeginEpoch { epoch } => {
                out.u8(kind::BEGIN_EPOCH);
                out.value(epoch);
            }
            Command::RegisterBank { name, group, epoch, last_number } => {
                out.u8(kind::REGISTER_BANK);
                out.value(name);
                out.value(group);
                out.value(epoch);
                out.u64(*last_number);
            }
            Command::BankCaughtUp { name, epoch } => {
                out.u8(kind::BANK_CAUGHT_UP);
                out.value(name);
                out.value(epoch);
            }
            Command::BankRecalled { name, epoch } => {
                out.u8(kind::BANK_RECALLED);
                out.value(name);
                out.value(epoch);
            }
            Command::RecallWith { name, other, epoch } | Command::BankRecalledWith { name, other, epoch } => {
                out.u8(match self {
                    Command::RecallWith { .. } => kind::RECALL_WITH,
                    _ => kind::BANK_RECALLED_WITH,
                });
                out.value(name);
                out.value(other);
                out.value(epoch);
            }
            Command::OpenSession { session, customer, expires_ms, open_by_ms } => {
                out.u8(kind::OPEN_SESSION);
                out.value(session);
                out.value(customer);
                out.u64(*expires_ms);
                out.u64(*open_by_ms);
            }
            Command::EndSession { session } => {
                out.u8(kind::END_SESSION);
                out.value(session);
            }
            Command::AddKey { key, node, public, expires_ms } => {
                out.u8(kind::ADD_KEY);
                out.value(key);
                out.value(node);
                out.array(public);
                out.u64(*expires_ms);
            }
            Command::KeepSeed { seed } => {
                out.u8(kind::KEEP_SEED);
                out.value(seed);
            }
            Command::RetireKey { key } => {
                out.u8(kind::RETIRE_KEY);
                out.value(key);
            }
            Command::Take { request, deadline_ms, taker } => {
                out.u8(kind::TAKE);
                out.value(request);
                out.u64(*deadline_ms);
                out.value(taker);
            }
            Command::Cancel { request, taker } => {
                out.u8(kind::CANCEL);
                out.value(request);
                out.value(taker);
            }
            Command::Settle { id, debtor, creditor, amount, currency, taker } => {
                out.u8(kind::SETTLE);
                out.value(id);
                out.value(debtor);
                out.value(creditor);
                out.value(amount);
                out.value(currency);
                out.value(taker);
            }
            Command::Report { id, gateway, found } => {
                out.u8(kind::REPORT);
                out.value(id);
                out.value(gateway);
                out.value(found);
            }
            Command::TimeOut { id } => {
                out.u8(kind::TIME_OUT);
                out.value(id);
            }
            Command::VoidByHand { id, operator, risk } => {
                out.u8(match risk {
                    Risk::NotTaken => kind::VOID_BY_HAND,
                    Risk::Taken => kind::VOID_AT_RISK,
                });
                out.value(id);
                out.value(operator);
            }
            Command::Delivered { id, side, epoch } => {
                out.u8(kind::DELIVERED);
                out.value(id);
                out.value(side);
                out.value(epoch);
            }
            Command::Resolve { bank, terms, taker } => {
                out.u8(kind::RESOLVE);
                out.value(bank);
                out.value(terms);
                out.value(taker);
            }
            Command::Acknowledge { id } => {
                out.u8(kind::ACKNOWLEDGE);
                out.value(id);
            }
            Command::ChangeSetting { expected_version, change } => {
                out.u8(kind::CHANGE_SETTING);
                out.u64(*expected_version);
                out.value(change);
            }
            Command::ClaimKey { session, key, digest, base } => {
                out.u8(kind::CLAIM_KEY);
                out.value(session);
                out.u128(*key);
                out.u128(*digest);
                out.u128(*base);
            }
        }
    }

    fn take(from: &mut In<'_>) -> Result<Command, Bad> {
        Ok(match from.u8("kind of command")? {
            kind::BEGIN_EPOCH => Command::BeginEpoch { epoch: from.value()? },
            kind::REGISTER_BANK => Command::RegisterBank {
                name: from.value()?,
                group: from.value()?,
                epoch: from.value()?,
                last_number: from.u64("number")?,
            },
            kind::CLAIM_KEY => Command::ClaimKey {
                session: from.value()?,
                key: from.u128("key")?,
                digest: from.u128("digest")?,
                base: from.u128("base")?,
            },
            kind::BANK_CAUGHT_UP => Command::BankCaughtUp { name: from.value()?, epoch: from.value()? },
            kind::BANK_RECALLED => Command::BankRecalled { name: from.value()?, epoch: from.value()? },
            kind::RECALL_WITH => {
                Command::RecallWith { name: from.value()?, other: from.value()?, epoch: from.value()? }
            }
            kind::BANK_RECALLED_WITH => {
                Command::BankRecalledWith { name: from.value()?, other: from.value()?, epoch: from.value()? }
            }
            kind::OPEN_SESSION_ANY_TIME => Command::OpenSession {
                session: from.value()?,
                customer: from.value()?,
                expires_ms: from.u64("expiry")?,
                open_by_ms: u64::MAX,
            },
            kind::OPEN_SESSION => Command::OpenSession {
                session: from.value()?,
                customer: from.value()?,
                expires_ms: from.u64("expiry")?,
                open_by_ms: from.u64("deadline")?,
            },
            kind::END_SESSION => Command::EndSession { session: from.value()? },
            kind::ADD_KEY => Command::AddKey {
                key: from.value()?,
                node: from.value()?,
                public: from.array("public key")?,
                expires_ms: from.u64("expiry")?,
            },
            kind::KEEP_SEED => Command::KeepSeed { seed: from.value()? },
            kind::RETIRE_KEY => Command::RetireKey { key: from.value()? },
            kind::TAKE => {
                Command::Take { request: from.value()?, deadline_ms: from.u64("deadline")?, taker: from.value()? }
            }
            kind::CANCEL => Command::Cancel { request: from.value()?, taker: from.value()? },
            kind::SETTLE => Command::Settle {
                id: from.value()?,
                debtor: from.value()?,
                creditor: from.value()?,
                amount: from.value()?,
                currency: from.value()?,
                taker: from.value()?,
            },
            kind::REPORT => Command::Report { id: from.value()?, gateway: from.value()?, found: from.value()? },
            kind::TIME_OUT => Command::TimeOut { id: from.value()? },
            kind::VOID_BY_HAND => {
                Command::VoidByHand { id: from.value()?, operator: from.value()?, risk: Risk::NotTaken }
            }
            kind::VOID_AT_RISK => Command::VoidByHand { id: from.value()?, operator: from.value()?, risk: Risk::Taken },
            kind::DELIVERED => Command::Delivered { id: from.value()?, side: from.value()?, epoch: from.value()? },
            kind::RESOLVE => Command::Resolve { bank: from.value()?, terms: from.value()?, taker: from.value()? },
            kind::ACKNOWLEDGE => Command::Acknowledge { id: from.value()? },
            kind::CHANGE_SETTING => {
                Command::ChangeSetting { expected_version: from.u64("version")?, change: from.value()? }
            }
            _ => return Err(Bad { field: "kind of command" }),
        })
    }
}
