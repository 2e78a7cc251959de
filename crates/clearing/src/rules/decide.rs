//! The moment of truth: what the banks say becomes a decision, and the first decision stands.
//!
//! ```text
//! posted at a bank                        post, whatever else is known
//! voided or refused at a bank             void
//! held at both, present incarnations      post
//! not all votes there in time             void; of a gateway that was restored: both banks are asked first
//! asked because nobody knew:  held at both → post, listed for the operator; anything less → void
//! within one bank:            what the bank says
//! ```

use super::payments::Known;
use super::{Rules, Ruling, done, replay};
use crate::control::Control;
use crate::finding::{Finding, Reported, Vote};
use crate::names::Epoch;
use crate::order::{Pair, PaymentId, Side};
use crate::outcome::{Answer, Delivery, Outcome, Reason, Refusal, Status, Verdict};
use crate::payment::{Cause, OperatorName, Owed, Payment, Phase, Wish};
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
            known => return answer_known(&known),
        };
        let fresh = self.fresh(&payment, found)?;
        match payment.phase {
            Phase::Voting(votes) => Ok(self.count(&payment, &votes, &fresh)),
            Phase::AtBank(wish) => Ok(self.take_banks_word(&payment, wish, fresh.debit)),
            Phase::Asking { cause, found } => Ok(self.weigh(&payment, cause, &found, &fresh)),
            Phase::Delivering { .. } => Ok(replay(Outcome::Payment(payment.status()))),
        }
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
        if let Some((verdict, owed)) = forced(fresh) {
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

    /// Words about a payment that nobody here knew: only when both banks have spoken is anything said.
    fn weigh(
        &mut self,
        payment: &Payment,
        cause: Cause,
        before: &Pair<Option<Vote>>,
        fresh: &Pair<Option<Finding>>,
    ) -> Answer {
        if let Some((verdict, owed)) = forced(fresh).filter(|(verdict, _)| is_of_the_past(verdict)) {
            return self.decide(payment, verdict, owed, Mark::None);
        }
        let word = |side: Side| {
            let recorded = before.of(side).filter(|vote| self.state.counts(payment.order.bank(side), vote));
            fresh.of(side).or(recorded.map(|vote| vote.reported.finding))
        };
        match (word(Side::Debit), word(Side::Credit)) {
            (Some(Finding::Held), Some(Finding::Held)) => {
                self.decide(payment, Verdict::Post, Some(Owed::Both), Mark::Listed)
            }
            (Some(_), Some(_)) => self.decide(payment, Verdict::Void(cause.reason()), Some(Owed::Both), Mark::None),
            (_, _) => self.record(payment, before, fresh, Option::is_some),
        }
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
            known => return answer_known(&known),
        };
        if payment.is_undecided() && self.now_ms < payment.vote_by_ms {
            return Err(Refusal::TooEarly { vote_by_ms: payment.vote_by_ms });
        }
        Ok(self.want_void(&payment, Cause::TimedOut))
    }

    pub(super) fn void_by_hand(&mut self, id: PaymentId, operator: OperatorName) -> Ruling {
        match self.known(id) {
            Known::Live(payment) => Ok(self.want_void(&payment, Cause::Operator(operator))),
            known => answer_known(&known),
        }
    }

    /// Voids what is undecided, or does what there is to do toward it; the first decision stands.
    pub(super) fn want_void(&mut self, payment: &Payment, cause: Cause) -> Answer {
        let in_time = cause == Cause::TimedOut && self.now_ms < payment.vote_by_ms;
        let mark = match cause {
            Cause::Operator(name) => Mark::ByHand(name),
            Cause::TimedOut | Cause::Payer | Cause::Bank => Mark::None,
        };
        let void = Verdict::Void(cause.reason());
        match payment.phase {
            Phase::Voting(_) if !in_time && self.may_presume() => self.decide(payment, void, Some(Owed::Both), mark),
            // A payment that was taken anew after a restore may have been decided before it.
            Phase::Voting(_) if !in_time => {
                self.write(Body::VoidWanted { id: payment.order.id, cause });
                done(Outcome::Payment(Status::Undecided))
            }
            Phase::AtBank(Wish::Transfer) if !in_time && self.state.is_off(Control::VoidWithinBankUnasked) => {
                self.decide(payment, void, None, mark)
            }
            Phase::AtBank(Wish::Transfer) if !in_time => {
                self.write(Body::VoidWanted { id: payment.order.id, cause });
                done(Outcome::Payment(Status::Undecided))
            }
            Phase::Delivering { verdict: Verdict::Post, owed, .. }
                if self.state.is_off(Control::AbortAfterCommit) && !in_time =>
            {
                self.decide(payment, void, Some(owed), mark)
            }
            // Asking ends when both banks have spoken, and not before.
            Phase::Voting(_) | Phase::AtBank(_) | Phase::Asking { .. } | Phase::Delivering { .. } => {
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
        let delivery = if owed.is_none() { Delivery::Done } else { Delivery::Pending };
        done(Outcome::Payment(verdict.status(delivery)))
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

fn answer_known(known: &Known) -> Ruling {
    known.status().map(|status| replay(Outcome::Payment(status))).ok_or(Refusal::UnknownPayment)
}

/// What a single word decides, and who is still to be told then: a bank that refused has its outcome already.
fn forced(found: &Pair<Option<Finding>>) -> Option<(Verdict, Option<Owed>)> {
    let with =
        |wanted: fn(&Finding) -> bool| Side::BOTH.into_iter().find(|side| found.of(*side).as_ref().is_some_and(wanted));
    if with(|finding| *finding == Finding::Posted).is_some() {
        return Some((Verdict::Post, Some(Owed::Both)));
    }
    if let Some(side) = with(|finding| *finding == Finding::Voided) {
        return Some((Verdict::Void(Reason::VoidedAtBank { side }), Some(Owed::Both)));
    }
    match (found.debit, found.credit) {
        (Some(Finding::Refused(reason)), Some(Finding::Refused(_))) => Some((Verdict::Void(reason), None)),
        (Some(Finding::Refused(reason)), _) => Some((Verdict::Void(reason), Some(Owed::Only(Side::Credit)))),
        (_, Some(Finding::Refused(reason))) => Some((Verdict::Void(reason), Some(Owed::Only(Side::Debit)))),
        (_, _) => None,
    }
}

/// Whether a bank has it ended already. A mere refusal is weighed with the other bank's word.
fn is_of_the_past(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Post | Verdict::Void(Reason::VoidedAtBank { .. }))
}
