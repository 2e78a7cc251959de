//! How a payment enters the log, or is refused there.

use super::{Rules, Ruling, done, replay};
use crate::command::PaymentRequest;
use crate::control::Control;
use crate::names::{BankName, NodeNumber};
use crate::order::{Holder, Order, Pair, Party, PaymentId, Side, Terms};
use crate::outcome::{Answer, Delivery, Outcome, Reason, Refusal, Status, Verdict};
use crate::payment::{Cause, Origin, Payment};
use crate::position::PositionKey;
use crate::record::{Body, Taken, decision_key, payment_key};
use crate::state::State;
use ledger::{Amount, Currency, JournalPort, RecordKey, Reference};

/// What is known of a payment's id.
#[expect(clippy::large_enum_variant, reason = "it lives on the stack, for the length of one command")]
pub(super) enum Known {
    Nothing,
    Live(Payment),
    Finished {
        order: Order,
        verdict: Verdict,
    },
    /// Refused at once, or voided before it came.
    Refused {
        digest: u128,
        reason: Reason,
    },
    /// Taken, not on its way any more, and without a decision. This program writes no such journal. What became of it is not
    /// known then, so nothing else is said of it: to call it void, or to take it again, could be a second outcome.
    Lost {
        order: Order,
    },
    /// The id leads to a record that is none of a payment's beginning, which this program writes as little.
    Foreign,
}

impl Known {
    /// What a state knows of an id, with the records that the journal has under a key.
    pub(super) fn of(state: &State, id: PaymentId, mut find: impl FnMut(RecordKey) -> Option<Body>) -> Known {
        if let Some(payment) = state.payments.get(&id) {
            return Known::Live(*payment);
        }
        match find(payment_key(id)) {
            None => Known::Nothing,
            Some(Body::PaymentRefused { digest, reason, .. }) => Known::Refused { digest, reason },
            Some(Body::PaymentTaken(taken)) => match find(decision_key(id)) {
                Some(Body::PaymentDecided(decided)) => Known::Finished { order: taken.order, verdict: decided.verdict },
                Some(_) | None => Known::Lost { order: taken.order },
            },
            Some(_) => Known::Foreign,
        }
    }

    /// Whether an id that is known was used for the same content.
    pub(super) fn check_is(&self, state: &State, terms: &Terms) -> Result<(), Refusal> {
        let is_same = match self {
            Known::Nothing => true,
            Known::Live(Payment { order, .. }) | Known::Finished { order, .. } | Known::Lost { order } => {
                state.terms(order) == *terms
            }
            Known::Foreign => false,
            Known::Refused { digest, .. } => *digest == terms.digest(),
        };
        if is_same { Ok(()) } else { Err(Refusal::IdReused) }
    }

    /// Says again what is known.
    pub(super) fn answer(&self) -> Ruling {
        self.status().map(|status| replay(Outcome::Payment(status))).ok_or(Refusal::UnknownPayment)
    }

    pub(super) fn status(&self) -> Option<Status> {
        match self {
            Known::Nothing => None,
            Known::Live(payment) => Some(payment.status()),
            Known::Finished { verdict, .. } => Some(verdict.status(Delivery::Done)),
            Known::Refused { reason, .. } => Some(Status::Refused { reason: *reason, delivery: Delivery::Done }),
            Known::Lost { .. } => Some(Status::Undecided),
            Known::Foreign => None,
        }
    }
}

impl<J: JournalPort + ?Sized> Rules<'_, J> {
    pub(super) fn known(&self, id: PaymentId) -> Known {
        Known::of(self.state, id, |key| self.find(key))
    }

    pub(super) fn take(&mut self, request: &PaymentRequest, deadline_ms: u64, taker: NodeNumber) -> Ruling {
        if let Some(answer) = self.look().take(request, deadline_ms)? {
            return Ok(answer);
        }
        let payer = self.state.customer_of(request.session, self.now_ms)?;
        let terms = request.terms(self.state.named(&payer));
        let Some(order) = self.state.order(&terms) else {
            return Ok(self.refuse(&terms, payer, Reason::UnknownBank));
        };
        match self.check_order(&order) {
            Ok(()) => Ok(self.admit(order, Origin::Customer { session: request.session }, taker)),
            Err(reason) if reason == Reason::OwnAccount || self.state.may_presume() => {
                Ok(self.refuse(&terms, payer, reason))
            }
            // It may have been paid before the restore: to refuse it now would be a second outcome. It is on record like one
            // that is refused, so it costs as much.
            Err(reason) => {
                let asked = self.ask(order, Cause::Bank, taker)?;
                self.charge(payer, &reason);
                Ok(asked)
            }
        }
    }

    /// Everything that is refused on record, in order.
    fn check_order(&self, order: &Order) -> Result<(), Reason> {
        if order.payer == order.payee {
            return Err(Reason::OwnAccount);
        }
        self.check_limits(order, 0)
    }

    /// The limit of one payment, and what one bank may owe the other, of which the payment itself has that much reserved.
    pub(super) fn check_limits(&self, order: &Order, reserved: u128) -> Result<(), Reason> {
        let limit = self.state.settings.payment_limit(order.currency);
        if let Some(limit) = limit.filter(|limit| order.amount > *limit) {
            return Err(Reason::LimitExceeded { limit });
        }
        if order.is_within_one_bank() {
            return Ok(());
        }
        let (key, direction) = PositionKey::of(order);
        let position = self.state.positions.get(&key).copied().unwrap_or_default();
        let owed = position.owed_at_worst(direction).saturating_sub(reserved);
        let cap = self.state.settings.pair_cap(order.payer.bank, order.payee.bank, order.currency);
        match cap.filter(|cap| owed + order.amount.minor() > cap.minor()) {
            Some(cap) => Err(Reason::CapExceeded { cap, owed }),
            None if self.has_room_between(order) => Ok(()),
            None => Err(Reason::CapExceeded { cap: Amount::MAX, owed }),
        }
    }

    fn refuse(&mut self, terms: &Terms, payer: Party, reason: Reason) -> Answer {
        self.write(Body::PaymentRefused { id: terms.id, payer, digest: terms.digest(), reason });
        self.charge(payer, &reason);
        done(Outcome::Payment(Status::Refused { reason, delivery: Delivery::Done }))
    }

    /// Enters a payment whole. From here on it goes to its end, whatever becomes of its session.
    pub(super) fn admit(&mut self, order: Order, origin: Origin, taker: NodeNumber) -> Answer {
        let at = |side: Side| self.state.bank(order.bank(side));
        let epoch = self.state.epoch;
        let numbers = Pair { debit: at(Side::Debit).next_number(epoch), credit: at(Side::Credit).next_number(epoch) };
        let previous = Pair { debit: at(Side::Debit).last_place, credit: at(Side::Credit).last_place };
        let vote_by_ms = self.now_ms + self.state.settings.vote_timeout_ms;
        self.write(Body::PaymentTaken(Taken { order, origin, numbers, previous, epoch, taker, vote_by_ms }));
        done(Outcome::Payment(Status::Undecided))
    }

    /// Enters a payment that nobody here knows, for its banks to be asked about. Somebody else's word must not grow what is
    /// kept here without bound, so it needs room like any other; whoever asked will ask again.
    fn ask(&mut self, order: Order, cause: Cause, taker: NodeNumber) -> Ruling {
        self.state.check_banks_have_room(&order, self.now_us())?;
        if !self.has_room_between(&order) {
            return Err(Refusal::Full);
        }
        Ok(self.admit(order, Origin::Asked(cause), taker))
    }

    /// Whether the position can bear one more, however the others end.
    fn has_room_between(&self, order: &Order) -> bool {
        if order.is_within_one_bank() {
            return true;
        }
        let (key, direction) = PositionKey::of(order);
        let position = self.state.positions.get(&key).copied().unwrap_or_default();
        position.has_room(direction, order.amount.minor())
    }

    /// A payment from the creditor's vault to the debtor's: cash goes the other way, and what is owed goes down. It makes
    /// no new debt, so no cap can refuse it.
    pub(super) fn settle(&mut self, order: &Order, taker: NodeNumber) -> Ruling {
        if let Some(first) = self.look().earlier(&self.state.terms(order))? {
            return Ok(first);
        }
        self.state.check_banks_are_recalled(order)?;
        self.state.check_banks_have_room(order, self.now_us())?;
        let (key, direction) = PositionKey::between(order.payee.bank, order.payer.bank, order.currency);
        let position = self.state.positions.get(&key).copied().unwrap_or_default();
        let (_, back) = PositionKey::of(order);
        let owed = position.owed(direction).saturating_sub(position.reserved(back));
        if order.amount.minor() > owed {
            return Err(Refusal::MoreThanOwed { owed });
        }
        Ok(self.admit(*order, Origin::Settlement, taker))
    }

    /// The payment that a settlement is.
    pub(super) fn settlement(
        &self,
        id: PaymentId,
        (debtor, creditor): (&BankName, &BankName),
        amount: Amount,
        currency: Currency,
    ) -> Result<Order, Refusal> {
        let house = |name: &BankName| {
            let bank = self.state.bank_named(name).ok_or(Refusal::UnknownBank)?;
            Ok(Party { bank: bank.number, holder: Holder::House })
        };
        let (payer, payee) = (house(creditor)?, house(debtor)?);
        if payer == payee {
            return Err(Refusal::MoreThanOwed { owed: 0 });
        }
        Ok(Order { id, payer, payee, amount, currency, reference: Reference::EMPTY })
    }

    /// The payer asks for void. An id that is not known gets a tombstone, unless this gateway may have forgotten it.
    pub(super) fn cancel(&mut self, request: &PaymentRequest, taker: NodeNumber) -> Ruling {
        if let Some(answer) = self.look().cancel(request)? {
            return Ok(answer);
        }
        let payer = self.state.customer_of(request.session, self.now_ms)?;
        let terms = request.terms(self.state.named(&payer));
        if let Some(payment) = self.state.payments.get(&terms.id).copied() {
            return Ok(self.want_void(&payment, Cause::Payer));
        }
        let Some(order) = self.state.order(&terms) else {
            return Ok(self.refuse(&terms, payer, Reason::UnknownBank));
        };
        // The content alone says that this never moved anything.
        if order.payer == order.payee {
            return Ok(self.refuse(&terms, payer, Reason::OwnAccount));
        }
        if order.is_within_one_bank() || !self.state.may_presume() {
            return self.ask(order, Cause::Payer, taker);
        }
        self.void_unseen(order, taker)
    }

    /// Voids a payment that was never seen. The void is delivered to the payer's bank, which keeps it for good: a gateway that
    /// is put back from a backup finds it there, so what was said to be void stays void.
    fn void_unseen(&mut self, order: Order, taker: NodeNumber) -> Ruling {
        if self.state.is_off(Control::CancelLeavesNoTombstone) {
            let terms = self.state.terms(&order);
            return Ok(self.refuse(&terms, order.payer, Reason::VoidedByPayer));
        }
        self.state.check_bank_has_room(order.payer.bank, self.now_us())?;
        if !self.has_room_between(&order) {
            return Err(Refusal::Full);
        }
        self.admit(order, Origin::Asked(Cause::Payer), taker);
        let payment = self.state.payments[&order.id];
        Ok(self.void_at_payers_bank(&payment))
    }

    /// A bank asks what is to become of an old hold, or tells a restored gateway of what it has of it.
    pub(super) fn resolve(&mut self, bank: &BankName, terms: &Terms, taker: NodeNumber) -> Ruling {
        if let Some(answer) = self.look().resolve(bank, terms)? {
            return Ok(answer);
        }
        if let Some(payment) = self.state.payments.get(&terms.id).copied() {
            return Ok(self.want_void(&payment, Cause::TimedOut));
        }
        let order = self.state.order_of_bank(bank, terms)?;
        let teller = self.state.bank_named(bank).ok_or(Refusal::UnknownBank)?.number;
        let other = if order.payer.bank == teller { order.payee.bank } else { order.payer.bank };
        let is_recalled = self.state.unrecalled(teller).is_none() && !self.state.is_unrecalled_with((teller, other));
        if !is_recalled {
            // What a bank tells when it is asked for everything has an end.
            return self.ask(order, Cause::Recall, taker);
        }
        self.state.check_banks_may_be_listed(&order, self.now_us())?;
        self.ask(order, Cause::Bank, taker)
    }
}

/// What a bank is told of a hold that no order is known of.
pub(super) fn held_by_nobody() -> Answer {
    let (reason, delivery) = (Reason::NotHeldAtBoth, Delivery::Done);
    replay(Outcome::Payment(Status::Refused { reason, delivery }))
}
