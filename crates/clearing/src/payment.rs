//! A payment on its way, from its taking to the last acknowledgement. Before and after, the journal alone knows it.
//!
//! ```text
//! take ─► Voting ──both held──► Delivering { Post } ──both acknowledged──► (journal)
//!           │  └─any refuses, voided, too late, operator──► Delivering { Void } ──┘
//!           └─ void is wanted, but this gateway was restored ──► Asking
//! take ─► AtBank (one bank: its outcome is the decision) ──► (journal)
//! ask  ─► Asking (nobody here knows it: what do both banks say?) ──► Delivering
//! ```

use crate::bytes::{Bad, In, Out, Stored};
use crate::finding::Vote;
use crate::names::{Epoch, NodeNumber, SessionId};
use crate::order::{Order, Pair, Party, Side};
use crate::outcome::{Delivery, Reason, Status, Verdict};
use ledger::text::Line;

/// A payment that is undecided, or whose decision somebody has yet to acknowledge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Payment {
    pub order: Order,
    pub origin: Origin,
    /// Its numbers at its two banks: each bank's payments are numbered from 1. One bank, one number.
    pub numbers: Pair<u64>,
    /// The gateway's incarnation that took it.
    pub epoch: Epoch,
    /// The gateway's node that took the request, and drives it as long as it can.
    pub taker: NodeNumber,
    pub taken_ms: u64,
    /// A vote that is missing then voids it.
    pub vote_by_ms: u64,
    pub place: u64,
    pub phase: Phase,
}

/// How the gateway came to know of a payment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// A customer ordered it.
    Customer { session: SessionId },
    /// The operator has two banks settle.
    Settlement,
    /// Somebody asked about an id that is not known here, so its banks are asked before anything is said.
    Asked(Cause),
}

/// What holds in each phase and only there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Between two banks and undecided, with the votes that are on record.
    Voting(Pair<Option<Vote>>),
    /// Within one bank and undecided.
    AtBank(Wish),
    /// Between two banks and unknown: nobody asks for holds, both are asked what they have.
    Asking { cause: Cause, found: Pair<Option<Vote>> },
    /// Decided.
    Delivering { verdict: Verdict, decided_ms: u64, owed: Owed },
}

/// What the one bank of a payment is asked to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wish {
    Transfer,
    /// To void the id if it has not seen it, and in any case to say what became of it.
    Void(Cause),
}

/// Which banks have yet to acknowledge the decision.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owed {
    Both,
    Only(Side),
}

/// Who wants a payment void, or asks about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// A vote is missing.
    TimedOut,
    /// The payer asked.
    Payer,
    /// A bank asked about an old hold.
    Bank,
    /// A bank told of it when a restored gateway asked for what it may have forgotten.
    Recall,
    /// An operator of that name, on record.
    Operator(OperatorName),
}

/// Whether an operator's void of what may be paid goes through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Risk {
    /// It is refused.
    NotTaken,
    /// It does: if a bank that is silent has posted, the two banks differ by that payment.
    Taken,
}

/// Who of the gateway's operators did something by hand.
pub type OperatorName = Line<32>;

impl Origin {
    /// Whether the payer brought it here: what a bank or an operator brings is not the payer's doing.
    pub(crate) fn is_of_payer(self) -> bool {
        match self {
            Origin::Customer { .. } | Origin::Asked(Cause::Payer) => true,
            Origin::Settlement | Origin::Asked(Cause::TimedOut | Cause::Bank | Cause::Recall | Cause::Operator(_)) => {
                false
            }
        }
    }
}

impl Payment {
    /// Where a payment begins.
    pub(crate) fn first_phase(order: &Order, origin: Origin) -> Phase {
        match (origin, order.is_within_one_bank()) {
            (Origin::Asked(cause), true) => Phase::AtBank(Wish::Void(cause)),
            (Origin::Asked(cause), false) => Phase::Asking { cause, found: Pair::default() },
            (Origin::Customer { .. } | Origin::Settlement, true) => Phase::AtBank(Wish::Transfer),
            (Origin::Customer { .. } | Origin::Settlement, false) => Phase::Voting(Pair::default()),
        }
    }

    /// From now on void is wanted, and the banks have the word.
    #[expect(
        clippy::panic,
        reason = "the rules want no void of what is decided, and a restore looks at the phase before"
    )]
    pub(crate) fn want_void(&mut self, cause: Cause) {
        self.phase = match self.phase {
            Phase::AtBank(_) => Phase::AtBank(Wish::Void(cause)),
            Phase::Voting(found) | Phase::Asking { found, .. } => Phase::Asking { cause, found },
            Phase::Delivering { .. } => panic!("what is decided is wanted no other way"),
        };
    }

    /// A restored gateway does not know whether it had decided, and told so, before it fell back: from then on the banks
    /// are asked, and no missing vote voids.
    pub(crate) fn doubt(&mut self) {
        if let Phase::Voting(_) = self.phase {
            self.phase = Phase::Asking { cause: Cause::TimedOut, found: Pair::default() };
        } else if let Phase::Asking { cause, .. } = self.phase {
            self.phase = Phase::Asking { cause, found: Pair::default() };
        }
    }

    /// The same for a payment that comes from a checkpoint, which may hold votes of before and after the restore.
    pub(crate) fn forget_old_votes(&mut self, gateway: Epoch) {
        let keep = |vote: Option<Vote>| vote.filter(|vote| vote.gateway == gateway);
        let (cause, votes) = match self.phase {
            Phase::Voting(votes) => (Cause::TimedOut, votes),
            Phase::Asking { cause, found } => (cause, found),
            Phase::AtBank(_) | Phase::Delivering { .. } => return,
        };
        let found = Pair { debit: keep(votes.debit), credit: keep(votes.credit) };
        self.phase = Phase::Asking { cause, found };
    }

    pub fn status(&self) -> Status {
        match self.phase {
            Phase::Voting(_) | Phase::AtBank(_) | Phase::Asking { .. } => Status::Undecided,
            Phase::Delivering { verdict, .. } => verdict.status(Delivery::Pending),
        }
    }

    pub fn is_undecided(&self) -> bool {
        match self.phase {
            Phase::Voting(_) | Phase::AtBank(_) | Phase::Asking { .. } => true,
            Phase::Delivering { .. } => false,
        }
    }

    /// Whether the decision is still to be delivered to that party's bank.
    pub fn is_owed_to(&self, party: &Party) -> bool {
        match self.phase {
            Phase::Delivering { owed, .. } => {
                Side::BOTH.into_iter().any(|side| owed.has(side) && self.order.party(side) == party)
            }
            Phase::Voting(_) | Phase::AtBank(_) | Phase::Asking { .. } => false,
        }
    }

    /// Since when the taker has been the one to do what is to be done now.
    pub fn phase_since_ms(&self) -> u64 {
        match self.phase {
            Phase::Voting(_) | Phase::AtBank(_) | Phase::Asking { .. } => self.taken_ms,
            Phase::Delivering { decided_ms, .. } => decided_ms,
        }
    }

    /// Whether this gateway may have decided it before it was restored: it was ordered before, or told of in answer to the
    /// question what was forgotten.
    pub(crate) fn may_be_forgotten(&self, gateway: Epoch) -> bool {
        self.epoch < gateway || self.origin == Origin::Asked(Cause::Recall)
    }

    /// Whether it keeps an amount reserved between two banks.
    pub(crate) fn reserves(&self) -> bool {
        self.is_undecided() && !self.order.is_within_one_bank()
    }

    /// The banks it has a number at, each once.
    pub(crate) fn sides(&self) -> &'static [Side] {
        if self.order.is_within_one_bank() { &[Side::Debit] } else { &Side::BOTH }
    }

    /// Whether it still waits for that side's bank: both are needed for a decision, and then each has to acknowledge it. Who
    /// has done so is not kept busy by a bank that never does.
    pub fn is_open_at(&self, side: Side) -> bool {
        match self.phase {
            Phase::Voting(_) | Phase::AtBank(_) | Phase::Asking { .. } => self.sides().contains(&side),
            Phase::Delivering { owed, .. } => owed.has(side),
        }
    }
}

impl Cause {
    /// What the customer is told when nothing moved because of it.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Cause::TimedOut => Reason::BankUnavailable,
            Cause::Payer => Reason::VoidedByPayer,
            Cause::Bank | Cause::Recall => Reason::NotHeldAtBoth,
            Cause::Operator(_) => Reason::VoidedByOperator,
        }
    }
}

impl Owed {
    pub fn has(self, side: Side) -> bool {
        match self {
            Owed::Both => true,
            Owed::Only(owed) => owed == side,
        }
    }

    /// What is left when that side has acknowledged; nothing when it was the last.
    pub(crate) fn without(self, side: Side) -> Option<Owed> {
        match self {
            Owed::Both => Some(Owed::Only(side.other())),
            Owed::Only(owed) if owed == side => None,
            Owed::Only(_) => Some(self),
        }
    }
}

impl Stored for Origin {
    fn put(&self, out: &mut Out) {
        match self {
            Origin::Customer { session } => {
                out.u8(1);
                out.value(session);
            }
            Origin::Settlement => out.u8(2),
            Origin::Asked(cause) => {
                out.u8(3);
                out.value(cause);
            }
        }
    }

    fn take(from: &mut In<'_>) -> Result<Origin, Bad> {
        Ok(match from.u8("origin")? {
            1 => Origin::Customer { session: from.value()? },
            2 => Origin::Settlement,
            3 => Origin::Asked(from.value()?),
            _ => return Err(Bad { field: "origin" }),
        })
    }
}

impl Stored for Cause {
    fn put(&self, out: &mut Out) {
        match self {
            Cause::TimedOut => out.u8(1),
            Cause::Payer => out.u8(2),
            Cause::Bank => out.u8(3),
            Cause::Operator(name) => {
                out.u8(4);
                out.value(name);
            }
            Cause::Recall => out.u8(5),
        }
    }

    fn take(from: &mut In<'_>) -> Result<Cause, Bad> {
        Ok(match from.u8("cause")? {
            1 => Cause::TimedOut,
            2 => Cause::Payer,
            3 => Cause::Bank,
            4 => Cause::Operator(from.value()?),
            5 => Cause::Recall,
            _ => return Err(Bad { field: "cause" }),
        })
    }
}

/// With nothing owed as its own number, for an owed side is stored where there may be none.
pub(crate) fn put_owed(owed: Option<Owed>, out: &mut Out) {
    out.u8(match owed {
        None => 0,
        Some(Owed::Only(Side::Debit)) => 1,
        Some(Owed::Only(Side::Credit)) => 2,
        Some(Owed::Both) => 3,
    });
}

pub(crate) fn take_owed(from: &mut In<'_>) -> Result<Option<Owed>, Bad> {
    Ok(match from.u8("owed")? {
        0 => None,
        1 => Some(Owed::Only(Side::Debit)),
        2 => Some(Owed::Only(Side::Credit)),
        3 => Some(Owed::Both),
        _ => return Err(Bad { field: "owed" }),
    })
}
