//! The first part of each rule that callers reach: what is answered without a record.
//!
//! It needs no more than the state and the journal's records, so a node also asks it before it proposes anything. Whatever is
//! proposed costs every node an entry of the log, also when it changes nothing: a payment that is sent again, a used id with
//! another content, a session that is over, a payer who had too much refused.

use super::payments::{Known, held_by_nobody};
use super::{lift, replay};
use crate::bank::{BankBucket, Standing};
use crate::clearing::Clearing;
use crate::command::{Command, PaymentRequest};
use crate::control::Control;
use crate::names::{BankName, Epoch, GroupId, SessionId};
use crate::order::Terms;
use crate::outcome::{Answer, Outcome, Refusal};
use crate::payment::{Cause, Payment, Phase, Wish};
use crate::record::{Body, idempotency_key};
use crate::state::State;
use ledger::RecordKey;

/// A look at state and journal at one moment.
pub(super) struct Look<'a, F> {
    pub(super) state: &'a State,
    pub(super) now_ms: u64,
    /// The record that the journal has under a key.
    pub(super) find: F,
}

/// The answer, where there is one without a record. Otherwise the rule goes on, and may write.
type Seen = Result<Option<Answer>, Refusal>;

impl Command {
    /// Whether [`Clearing::settled`] ever has an answer to it: to what callers can send again and again.
    pub fn may_be_settled(&self) -> bool {
        match self {
            Command::Take { .. }
            | Command::Cancel { .. }
            | Command::ClaimKey { .. }
            | Command::EndSession { .. }
            | Command::Resolve { .. }
            | Command::RegisterBank { .. }
            | Command::BankCaughtUp { .. } => true,
            Command::BeginEpoch { .. }
            | Command::BankRecalled { .. }
            | Command::RecallWith { .. }
            | Command::BankRecalledWith { .. }
            | Command::OpenSession { .. }
            | Command::AddKey { .. }
            | Command::KeepSeed { .. }
            | Command::RetireKey { .. }
            | Command::Settle { .. }
            | Command::Report { .. }
            | Command::TimeOut { .. }
            | Command::VoidByHand { .. }
            | Command::Delivered { .. }
            | Command::Acknowledge { .. }
            | Command::ChangeSetting { .. } => false,
        }
    }
}

impl Clearing {
    /// What the command would be answered at that time (milliseconds since 1970 UTC), if it would leave no record; none where
    /// it might leave one. `find` gives the record that the journal has under a key.
    pub fn settled(
        &self,
        command: &Command,
        now_ms: u64,
        find: impl FnMut(RecordKey) -> Option<Body>,
    ) -> Option<Answer> {
        let state = &self.state;
        let mut look = Look { state, now_ms: now_ms.max(state.time_ms), find };
        let seen = match command {
            Command::Take { request, deadline_ms, .. } => look.take(request, *deadline_ms),
            Command::Cancel { request, .. } => look.cancel(request),
            Command::ClaimKey { session, key, digest, .. } => look.claim_key(*session, *key, *digest),
            Command::EndSession { session } => look.end_session(*session),
            Command::Resolve { bank, terms, .. } => look.resolve(bank, terms),
            Command::RegisterBank { name, group, epoch, .. } => look.register_bank(name, *group, *epoch),
            Command::BankCaughtUp { name, epoch } => look.bank_caught_up(name, *epoch),
            _ => Ok(None),
        };
        seen.unwrap_or_else(|refusal| Some(Answer::Refused(refusal)))
    }
}

impl<F: FnMut(RecordKey) -> Option<Body>> Look<'_, F> {
    /// What is known of an id, which must stand for these terms.
    fn known(&mut self, terms: &Terms) -> Result<Known, Refusal> {
        let known = Known::of(self.state, terms.id, &mut self.find);
        known.check_is(self.state, terms)?;
        Ok(known)
    }

    /// The earlier outcome of a payment, if its id was used before.
    pub(super) fn earlier(&mut self, terms: &Terms) -> Seen {
        Ok(self.known(terms)?.status().map(|status| replay(Outcome::Payment(status))))
    }

    pub(super) fn take(&mut self, request: &PaymentRequest, deadline_ms: u64) -> Seen {
        let state = self.state;
        let payer = state.customer_of(request.session, self.now_ms)?;
        let terms = request.terms(state.named(&payer));
        if let Some(first) = self.earlier(&terms)? {
            return Ok(Some(first));
        }
        if deadline_ms <= self.now_ms {
            return Err(Refusal::DeadlinePassed);
        }
        state.check_may_be_refused(&payer, self.now_us())?;
        let Some(order) = state.order(&terms) else {
            state.check_bank_has_room(payer.bank, self.now_us())?;
            return if state.may_presume() { Ok(None) } else { Err(Refusal::UnknownBank) };
        };
        state.check_banks_are_recalled(&order)?;
        state.check_banks_have_room(&order, self.now_us())?;
        let open = state.open_of.get(&payer).copied().unwrap_or(0);
        if open >= state.settings.open_per_customer { Err(Refusal::PayerBusy) } else { Ok(None) }
    }

    pub(super) fn cancel(&mut self, request: &PaymentRequest) -> Seen {
        let state = self.state;
        let payer = state.customer_of(request.session, self.now_ms)?;
        let terms = request.terms(state.named(&payer));
        match self.known(&terms)? {
            Known::Live(payment) => Ok(self.void(&payment, Cause::Payer)),
            Known::Nothing => {
                state.check_may_be_refused(&payer, self.now_us())?;
                let Some(order) = state.order(&terms) else {
                    return if state.may_presume() { Ok(None) } else { Err(Refusal::UnknownBank) };
                };
                // Until then nobody can tell what was never seen from what was forgotten, and the id may be another's payment.
                if !state.is_off(Control::CancelBeforeRecall) {
                    state.check_banks_are_recalled(&order)?;
                }
                Ok(None)
            }
            known => known.answer().map(Some),
        }
    }

    /// A payment on its way that somebody wants void, where nothing comes of that.
    pub(super) fn void(&self, payment: &Payment, cause: Cause) -> Option<Answer> {
        let in_time = cause == Cause::TimedOut && self.now_ms < payment.vote_by_ms;
        let may_be_void = match payment.phase {
            Phase::Voting(_) | Phase::AtBank(Wish::Transfer) => true,
            Phase::Delivering { .. } => self.state.is_off(Control::AbortAfterCommit),
            // Asking ends when both banks have spoken, and not before.
            Phase::AtBank(Wish::Void(_)) | Phase::Asking { .. } => false,
        };
        (in_time || !may_be_void).then(|| replay(Outcome::Payment(payment.status())))
    }

    pub(super) fn resolve(&mut self, bank: &BankName, terms: &Terms) -> Seen {
        let state = self.state;
        state.order_of_bank(bank, terms)?;
        match self.known(terms)? {
            Known::Live(payment) => Ok(self.void(&payment, Cause::TimedOut)),
            // Whoever was never restored knows every payment that was ever ordered: this hold is nobody's. Nothing is kept
            // of it, so no bank's claims grow the journal; the bank keeps the void.
            Known::Nothing if state.may_presume() && !state.is_off(Control::BankOrdersPayments) => {
                Ok(Some(held_by_nobody()))
            }
            Known::Nothing => Ok(None),
            known => known.answer().map(Some),
        }
    }

    /// What an idempotency key stands for already.
    pub(super) fn claim_key(&mut self, session: SessionId, key: u128, digest: u128) -> Seen {
        self.state.customer_of(session, self.now_ms)?;
        match (self.find)(idempotency_key(key)) {
            Some(Body::KeyClaimed { digest: kept, base, .. }) if kept == digest => {
                Ok(Some(replay(Outcome::KeyClaimed { base })))
            }
            Some(_) => Err(Refusal::KeyReused),
            None => Ok(None),
        }
    }

    pub(super) fn end_session(&self, session: SessionId) -> Seen {
        let known = self.state.sessions.of(session).ok_or(Refusal::NoSession)?;
        Ok(known.ended.then(|| replay(Outcome::SessionEnded)))
    }

    pub(super) fn register_bank(&self, name: &BankName, group: GroupId, epoch: Epoch) -> Seen {
        let Some(bank) = self.state.bank_named(name) else { return Ok(None) };
        if bank.group != group {
            return Err(Refusal::NameTaken);
        }
        let known = bank.epoch;
        if epoch < known {
            return Err(Refusal::StaleEpoch { known });
        }
        if epoch == known {
            return Ok(Some(replay(Outcome::BankRegistered { number: bank.number, epoch })));
        }
        let may_lift = bank.has_tokens(BankBucket::Lifts, self.now_us(), lift(bank, epoch));
        if may_lift { Ok(None) } else { Err(Refusal::EpochTooFar { known }) }
    }

    pub(super) fn bank_caught_up(&self, name: &BankName, epoch: Epoch) -> Seen {
        let bank = self.state.bank_named(name).ok_or(Refusal::UnknownBank)?;
        if bank.epoch != epoch {
            return Err(Refusal::StaleEpoch { known: bank.epoch });
        }
        Ok((bank.standing == Standing::Live).then(|| replay(Outcome::BankCaughtUp)))
    }

    /// A record's time has 48 bits, so this has 58.
    fn now_us(&self) -> u64 {
        self.now_ms * 1_000
    }
}
