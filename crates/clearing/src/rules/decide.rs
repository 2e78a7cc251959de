//! The moment of truth: what the banks say becomes a decision, and the first decision stands.
//!
//! ```text
//! voided or refused at a bank             void
//! held at both, present incarnations      post
//! posted at a bank, and nobody decided    void, listed: no bank moves money before it is told to, so it lies or is broken
//! not all votes there in time             void; of a gateway that was restored: both banks are asked first
//!
//! a restored gateway, of what it may have decided before:
//!   held or posted at both                post; listed for the operator unless a bank had been told so
//!   posted at one, unknown at the other   void, listed; post only if the other bank was restored after this gateway was
//!   anything less                         void, also by the word of one bank alone: it holds nothing, and cannot have lost it
//!   not yet enough, and by hand           void only if the operator takes the risk that it is paid
//!     and then posted at a bank           it stays void; on record, listed, and the bank is told no more of it
//! within one bank                         what the bank says
//! ```
//!
//! So the word of one bank never moves another bank's money: its own hold does, which an order of its own customer placed.

use super::payments::Known;
use super::{Rules, Ruling, done, replay};
use crate::bank::BankBucket;
use crate::control::Control;
use crate::finding::{Finding, Reported, Vote, Word};
use crate::names::Epoch;
use crate::order::{Holder, Pair, PaymentId, Side};
use crate::outcome::{Answer, Delivery, Outcome, Reason, Refusal, Status, Verdict};
use crate::payment::{Cause, OperatorName, Origin, Owed, Payment, Phase, Risk, Wish};
use crate::position::PositionKey;
use crate::record::{Body, Decided};
use ledger::JournalPort;

/// Who, if anybody, is to look at a decision, or made it.
enum Mark {
    None,
    Listed,
    ByHand(OperatorName),
}

impl<J: JournalPort + ?Sized> Rules<'_, J> {
    pub(super) fn report(&mut self, id: PaymentId, gateway: Epoch, found: &Pair<Option<Reported>>) -> Ruling {
        let known = self.state.epoch;
        if gateway != known {
            return Err(Refusal::StaleEpoch { known });
        }
        let payment = match self.known(id) {
            Known::Live(payment) => payment,
            known => return known.answer(),
        };
        let fresh = self.fresh(&payment, found)?;
        match payment.phase {
            Phase::Voting(votes) => Ok(self.count(&payment, &votes, &fresh)),
            Phase::AtBank(wish) => Ok(self.take_banks_word(&payment, wish, fresh.debit)),
            Phase::Asking { cause, found } => Ok(self.weigh(&payment, cause, &found, &fresh)),
            Phase::Delivering { verdict: Verdict::Void(Reason::VoidedAtRisk), owed, .. } => {
                Ok(self.hear_after_void_at_risk(&payment, owed, &fresh))
            }
            Phase::Delivering { .. } => Ok(replay(Outcome::Payment(payment.status()))),
        }
    }

    /// An operator voided the payment while a bank had not said whether it had posted it. The first decision stands: a bank that
    /// says now that it had is put on record against it.
    fn hear_after_void_at_risk(&mut self, payment: &Payment, owed: Owed, fresh: &Pair<Option<Finding>>) -> Answer {
        let id = payment.order.id;
        if self.state.is_off(Control::ContradictionCounts) && posted(fresh).is_some() {
            return self.decide(payment, Verdict::Post, Some(owed), Mark::None);
        }
        let mut replayed = true;
        for side in Side::BOTH.into_iter().filter(|side| *fresh.of(*side) == Some(Finding::Posted)) {
            // What is owed to the other side may have ended just now.
            let Some(Payment { phase: Phase::Delivering { verdict, decided_ms, owed }, .. }) =
                self.state.payments.get(&id).copied()
            else {
                break;
            };
            if owed.has(side) {
                self.write(Body::Contradicted { id, side, left: owed.without(side), verdict, decided_ms });
                replayed = false;
            }
        }
        let over = Verdict::Void(Reason::VoidedAtRisk).status(Delivery::Done);
        let status = self.state.payments.get(&id).map_or(over, Payment::status);
        Answer::Done { outcome: Outcome::Payment(status), replay: replayed }
    }

    /// What comes from the present incarnations of the banks.
    fn fresh(&self, payment: &Payment, found: &Pair<Option<Reported>>) -> Result<Pair<Option<Finding>>, Refusal> {
        let epoch = |side: Side| self.state.bank(payment.order.bank(side)).epoch;
        let of = |side: Side| found.of(side).filter(|reported| reported.epoch == epoch(side));
        let fresh = Pair { debit: of(Side::Debit), credit: of(Side::Credit) };
        let stale = Side::BOTH.into_iter().find(|side| found.of(*side).is_some());
        match (fresh.debit, fresh.credit, stale) {
            (None, None, Some(side)) => Err(Refusal::StaleEpoch { known: epoch(side) }),
            (debit, credit, _) => Ok(Pair { debit: debit.map(|it| it.finding), credit: credit.map(|it| it.finding) }),
        }
    }

    /// Votes of a payment between banks.
    fn count(&mut self, payment: &Payment, votes: &Pair<Option<Vote>>, fresh: &Pair<Option<Finding>>) -> Answer {
        if self.state.is_off(Control::BelievePosted) && posted(fresh).is_some() {
            return self.decide(payment, Verdict::Post, Some(Owed::Both), Mark::None);
        }
        if let Some(side) = posted(fresh) {
            return if self.state.may_presume() {
                self.contradict(payment, side)
            } else {
                self.weigh(payment, Cause::Bank, votes, fresh)
            };
        }
        if let Some((verdict, owed)) = refused(fresh) {
            return self.decide(payment, verdict, owed, Mark::None);
        }
        let voted = |side: Side| {
            let recorded = votes.of(side).is_some_and(|vote| self.state.counts(payment.order.bank(side), &vote));
            recorded || *fresh.of(side) == Some(Finding::Held)
        };
        if Side::BOTH.into_iter().all(voted) {
            return self.decide(payment, Verdict::Post, Some(Owed::Both), Mark::None);
        }
        let held = |finding: &Option<Finding>| *finding == Some(Finding::Held);
        self.record(payment, votes, fresh, held)
    }

    /// Words about a payment that nobody here knew: when both banks have spoken, or one has said that nothing can come of it.
    fn weigh(
        &mut self,
        payment: &Payment,
        cause: Cause,
        before: &Pair<Option<Vote>>,
        fresh: &Pair<Option<Finding>>,
    ) -> Answer {
        let word = |side: Side| {
            let recorded = before.of(side).filter(|vote| self.state.counts(payment.order.bank(side), vote));
            fresh.of(side).or(recorded.map(|vote| vote.reported.finding))
        };
        let (debit, credit) = match (word(Side::Debit), word(Side::Credit)) {
            (Some(debit), Some(credit)) => (debit, credit),
            (Some(_), None) | (None, Some(_)) | (None, None) => {
                let alone = Side::BOTH.into_iter().find_map(|side| Some((side, word(side)?)));
                let void = alone.and_then(|(side, finding)| self.void_by(payment, cause, side, finding));
                return match void {
                    Some(reason) => self.decide(payment, Verdict::Void(reason), Some(Owed::Both), Mark::None),
                    None => self.record(payment, before, fresh, Option::is_some),
                };
            }
        };
        if self.state.is_off(Control::BelievePosted) && (debit == Finding::Posted || credit == Finding::Posted) {
            return self.decide(payment, Verdict::Post, Some(Owed::Both), Mark::None);
        }
        let is_backed = |finding: Finding| matches!(finding, Finding::Held | Finding::Posted);
        match (debit, credit) {
            (Finding::Held, Finding::Held) => self.post_listed(payment),
            (debit, credit) if is_backed(debit) && is_backed(credit) => {
                self.decide(payment, Verdict::Post, Some(Owed::Both), Mark::None)
            }
            (Finding::Posted, other) => self.weigh_posted(payment, Side::Debit, other),
            (other, Finding::Posted) => self.weigh_posted(payment, Side::Credit, other),
            (Finding::Voided, _) => self.void_as_at_bank(payment, Side::Debit),
            (_, Finding::Voided) => self.void_as_at_bank(payment, Side::Credit),
            (_, _) => self.decide(payment, Verdict::Void(cause.reason()), Some(Owed::Both), Mark::None),
        }
    }

    /// Why a payment is void by what that side's bank says, whatever the other one may say: it has neither moved nor set aside
    /// anything, and cannot have lost it. So nobody waits for a bank that stays silent about what it made up.
    fn void_by(&self, payment: &Payment, cause: Cause, side: Side, finding: Finding) -> Option<Reason> {
        match finding {
            Finding::Held | Finding::Posted => None,
            Finding::NotFound if self.state.both_may_have_lost(payment, payment.order.bank(side)) => None,
            Finding::NotFound | Finding::Refused(_) => Some(cause.reason()),
            Finding::Voided => Some(Reason::VoidedAtBank { side }),
        }
    }

    fn void_as_at_bank(&mut self, payment: &Payment, side: Side) -> Answer {
        self.decide(payment, Verdict::Void(Reason::VoidedAtBank { side }), Some(Owed::Both), Mark::None)
    }

    /// One bank says that it posted, and the other has neither moved nor set aside anything. An honest bank posts only what both
    /// had set aside; so one of them lies, or the other has lost its hold, which only one can that was restored when this
    /// gateway had been. What is believed then passes the checks that every payment passes.
    fn weigh_posted(&mut self, payment: &Payment, side: Side, other: Finding) -> Answer {
        let may_be_lost =
            other == Finding::NotFound && self.state.both_may_have_lost(payment, payment.order.bank(side.other()));
        if may_be_lost && self.is_within_bounds(payment) {
            return self.post_listed(payment);
        }
        self.contradict(payment, side)
    }

    /// Posts what nobody here knew, and lists it. What a bank told when it was asked for everything costs nothing.
    fn post_listed(&mut self, payment: &Payment) -> Answer {
        if payment.origin == Origin::Asked(Cause::Bank) {
            for side in payment.sides() {
                self.charge_bank(payment.order.bank(*side), BankBucket::Listed, 1);
            }
        }
        self.decide(payment, Verdict::Post, Some(Owed::Both), Mark::Listed)
    }

    /// Whether a payment that one bank alone tells of could have been taken: within the limits, and of a bank's own money only
    /// what that settles.
    fn is_within_bounds(&self, payment: &Payment) -> bool {
        let (order, minor) = (&payment.order, payment.order.amount.minor());
        if self.check_limits(order, minor).is_err() {
            return false;
        }
        match (order.payer.holder, order.payee.holder) {
            (Holder::Customer(_), Holder::Customer(_)) => true,
            (Holder::House, Holder::House) => {
                let (key, direction) = PositionKey::between(order.payee.bank, order.payer.bank, order.currency);
                self.state.positions.get(&key).is_some_and(|position| position.owed(direction) >= minor)
            }
            (Holder::House, Holder::Customer(_)) | (Holder::Customer(_), Holder::House) => false,
        }
    }

    /// The bank of that side said that the money had moved, and nobody had decided so.
    fn contradict(&mut self, payment: &Payment, side: Side) -> Answer {
        let verdict = Verdict::Void(Reason::ContradictedByBank { side });
        self.charge_bank(payment.order.bank(side), BankBucket::Contradictions, 1);
        self.decide(payment, verdict, Some(Owed::Both), Mark::Listed)
    }

    /// Keeps what is not enough, so that whoever takes over need not ask again.
    fn record(
        &mut self,
        payment: &Payment,
        before: &Pair<Option<Vote>>,
        fresh: &Pair<Option<Finding>>,
        is_kept: impl Fn(&Option<Finding>) -> bool,
    ) -> Answer {
        let mut replayed = true;
        for side in Side::BOTH {
            let Some(finding) = fresh.of(side).filter(|finding| is_kept(&Some(*finding))) else { continue };
            let bank = self.state.bank(payment.order.bank(side));
            let vote = Vote { gateway: self.state.epoch, reported: Reported { epoch: bank.epoch, finding } };
            if *before.of(side) != Some(vote) {
                self.write(Body::VoteRecorded { id: payment.order.id, side, vote });
                replayed = false;
            }
        }
        Answer::Done { outcome: Outcome::Payment(Status::Undecided), replay: replayed }
    }

    fn take_banks_word(&mut self, payment: &Payment, wish: Wish, finding: Option<Finding>) -> Answer {
        let verdict = match finding {
            Some(Finding::Posted) => Verdict::Post,
            Some(Finding::Refused(reason)) => Verdict::Void(reason),
            Some(Finding::Voided) => Verdict::Void(match wish {
                Wish::Void(cause) => cause.reason(),
                Wish::Transfer => Reason::VoidedAtBank { side: Side::Debit },
            }),
            Some(Finding::Held | Finding::NotFound) | None => return replay(Outcome::Payment(Status::Undecided)),
        };
        let mark = match (verdict, wish) {
            (Verdict::Void(Reason::VoidedByOperator), Wish::Void(Cause::Operator(name))) => Mark::ByHand(name),
            (Verdict::Post | Verdict::Void(_), Wish::Void(_) | Wish::Transfer) => Mark::None,
        };
        self.decide(payment, verdict, None, mark)
    }

    pub(super) fn time_out(&mut self, id: PaymentId) -> Ruling {
        let payment = match self.known(id) {
            Known::Live(payment) => payment,
            known => return known.answer(),
        };
        if payment.is_undecided() && self.now_ms < payment.vote_by_ms {
            return Err(Refusal::TooEarly { vote_by_ms: payment.vote_by_ms });
        }
        Ok(self.want_void(&payment, Cause::TimedOut))
    }

    /// What this gateway may have decided to post before it was restored is void by hand only if the operator says that the risk
    /// is taken, and then that is on record. Anything else goes the same way whether it is said or not.
    pub(super) fn void_by_hand(&mut self, id: PaymentId, operator: OperatorName, risk: Risk) -> Ruling {
        let payment = match self.known(id) {
            Known::Live(payment) => payment,
            known => return known.answer(),
        };
        let Phase::Asking { found, .. } = payment.phase else {
            return Ok(self.want_void(&payment, Cause::Operator(operator)));
        };
        let reason = match risk {
            Risk::Taken => Reason::VoidedAtRisk,
            Risk::NotTaken if self.state.is_off(Control::VoidWithoutRisk) => Reason::VoidedByOperator,
            Risk::NotTaken => return Err(Refusal::MayBePaid { said: self.words(&payment, &found) }),
        };
        Ok(self.decide(&payment, Verdict::Void(reason), Some(Owed::Both), Mark::ByHand(operator)))
    }

    /// What each side's bank has said that counts.
    fn words(&self, payment: &Payment, found: &Pair<Option<Vote>>) -> Pair<Word> {
        let of = |side: Side| {
            let vote = found.of(side).filter(|vote| self.state.counts(payment.order.bank(side), vote));
            Word::of(vote.map(|vote| vote.reported.finding))
        };
        Pair { debit: of(Side::Debit), credit: of(Side::Credit) }
    }

    /// Voids what is undecided, or does what there is to do toward it; the first decision stands.
    pub(super) fn want_void(&mut self, payment: &Payment, cause: Cause) -> Answer {
        if let Some(answer) = self.look().void(payment, cause) {
            return answer;
        }
        let mark = match cause {
            Cause::Operator(name) => Mark::ByHand(name),
            Cause::TimedOut | Cause::Payer | Cause::Bank | Cause::Recall => Mark::None,
        };
        let void = Verdict::Void(cause.reason());
        match payment.phase {
            // Whoever was restored took it when both banks had told what may have been decided before: nobody has decided it.
            Phase::Voting(_) => self.decide(payment, void, Some(Owed::Both), mark),
            Phase::AtBank(Wish::Transfer) if self.state.is_off(Control::VoidWithinBankUnasked) => {
                self.decide(payment, void, None, mark)
            }
            Phase::AtBank(Wish::Transfer) => {
                self.write(Body::VoidWanted { id: payment.order.id, cause });
                done(Outcome::Payment(Status::Undecided))
            }
            Phase::Delivering { verdict: Verdict::Post, owed, .. } if self.state.is_off(Control::AbortAfterCommit) => {
                self.decide(payment, void, Some(owed), mark)
            }
            // Asking ends when both banks have spoken, and not before; or by hand, at a risk.
            Phase::AtBank(Wish::Void(_)) | Phase::Asking { .. } | Phase::Delivering { .. } => {
                replay(Outcome::Payment(payment.status()))
            }
        }
    }

    fn decide(&mut self, payment: &Payment, verdict: Verdict, owed: Option<Owed>, mark: Mark) -> Answer {
        let position = match verdict {
            Verdict::Post if !payment.order.is_within_one_bank() => {
                let (key, direction) = PositionKey::of(&payment.order);
                Some((key, self.state.positions[&key].paid(direction, payment.order.amount.minor())))
            }
            Verdict::Post | Verdict::Void(_) => None,
        };
        let (listed, operator) = match mark {
            Mark::None => (false, None),
            Mark::Listed => (true, None),
            Mark::ByHand(name) => (false, Some(name)),
        };
        let id = payment.order.id;
        self.write(Body::PaymentDecided(Decided { id, verdict, owed, position, listed, operator }));
        if let (Verdict::Void(reason), true) = (verdict, payment.origin.is_of_payer()) {
            self.charge(payment.order.payer, &reason);
        }
        let delivery = if owed.is_none() { Delivery::Done } else { Delivery::Pending };
        done(Outcome::Payment(verdict.status(delivery)))
    }

    pub(super) fn void_at_payers_bank(&mut self, payment: &Payment) -> Answer {
        let verdict = Verdict::Void(Cause::Payer.reason());
        self.decide(payment, verdict, Some(Owed::Only(Side::Debit)), Mark::None)
    }

    /// An acknowledgement of a bank's present incarnation: one of an older may have been undone.
    pub(super) fn delivered(&mut self, id: PaymentId, side: Side, epoch: Epoch) -> Ruling {
        let Some(payment) = self.state.payments.get(&id).copied() else { return Ok(replay(Outcome::Delivered)) };
        let known = self.state.bank(payment.order.bank(side)).epoch;
        if epoch != known {
            return Err(Refusal::StaleEpoch { known });
        }
        let Phase::Delivering { verdict, decided_ms, owed } = payment.phase else { return Err(Refusal::NotDecided) };
        if !owed.has(side) {
            return Ok(replay(Outcome::Delivered));
        }
        self.write(Body::SideDelivered { id, side, left: owed.without(side), verdict, decided_ms });
        Ok(done(Outcome::Delivered))
    }
}

/// The bank that says that it has posted.
fn posted(found: &Pair<Option<Finding>>) -> Option<Side> {
    Side::BOTH.into_iter().find(|side| *found.of(*side) == Some(Finding::Posted))
}

/// A single word that is enough for void, and who is still to be told then: a bank that refused has its outcome already.
fn refused(found: &Pair<Option<Finding>>) -> Option<(Verdict, Option<Owed>)> {
    if let Some(side) = Side::BOTH.into_iter().find(|side| *found.of(*side) == Some(Finding::Voided)) {
        return Some((Verdict::Void(Reason::VoidedAtBank { side }), Some(Owed::Both)));
    }
    match (found.debit, found.credit) {
        (Some(Finding::Refused(reason)), Some(Finding::Refused(_))) => Some((Verdict::Void(reason), None)),
        (Some(Finding::Refused(reason)), _) => Some((Verdict::Void(reason), Some(Owed::Only(Side::Credit)))),
        (_, Some(Finding::Refused(reason))) => Some((Verdict::Void(reason), Some(Owed::Only(Side::Debit)))),
        (_, _) => None,
    }
}
