//! How a payment enters the log, or is refused there.

use super::{Rules, Ruling, done, replay};
use crate::bank::Standing;
use crate::command::{Command, PaymentRequest};
use crate::control::Control;
use crate::names::{BankName, BankNumber, Epoch, NodeNumber};
use crate::order::{Holder, Order, Pair, Party, PaymentId, Side, Terms};
use crate::outcome::{Answer, Delivery, Outcome, Reason, Refusal, Status, Verdict};
use crate::payment::{Cause, Origin, Payment};
use crate::position::PositionKey;
use crate::record::{Body, Taken, decision_id};
use ledger::{Amount, Currency, JournalPort, Reference};

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
}

impl Known {
    pub(super) fn status(&self) -> Option<Status> {
        match self {
            Known::Nothing => None,
            Known::Live(payment) => Some(payment.status()),
            Known::Finished { verdict, .. } => Some(verdict.status(Delivery::Done)),
            Known::Refused { reason, .. } => Some(Status::Refused { reason: *reason, delivery: Delivery::Done }),
        }
    }
}

impl<J: JournalPort + ?Sized> Rules<'_, J> {
    pub(super) fn known(&self, id: PaymentId) -> Known {
        if let Some(payment) = self.state.payments.get(&id) {
            return Known::Live(*payment);
        }
        match self.find(id.get()) {
            None => Known::Nothing,
            Some(Body::PaymentRefused { digest, reason, .. }) => Known::Refused { digest, reason },
            Some(Body::PaymentTaken(taken)) => match self.find(decision_id(id)) {
                Some(Body::PaymentDecided(decided)) => Known::Finished { order: taken.order, verdict: decided.verdict },
                other => panic!("payment {id} was taken and is not on its way, but has no decision: {other:?}"),
            },
            Some(other) => panic!("no payment's id leads to {other:?}"),
        }
    }

    /// Whether an id that is known was used for the same content.
    pub(super) fn is_same(&self, known: &Known, terms: &Terms) -> bool {
        match known {
            Known::Nothing => true,
            Known::Live(Payment { order, .. }) | Known::Finished { order, .. } => self.state.terms(order) == *terms,
            Known::Refused { digest, .. } => *digest == terms.digest(),
        }
    }

    /// The earlier outcome of a payment, if its id was used before.
    fn earlier(&self, terms: &Terms) -> Result<Option<Answer>, Refusal> {
        let known = self.known(terms.id);
        if !self.is_same(&known, terms) {
            return Err(Refusal::IdReused);
        }
        Ok(known.status().map(|status| replay(Outcome::Payment(status))))
    }

    pub(super) fn take(&mut self, request: &PaymentRequest, deadline_ms: u64, taker: NodeNumber) -> Ruling {
        let payer = self.customer_of(request.session)?;
        let terms = request.terms(self.state.named(&payer));
        if let Some(first) = self.earlier(&terms)? {
            return Ok(first);
        }
        if deadline_ms <= self.now_ms {
            return Err(Refusal::DeadlinePassed);
        }
        let Some(order) = self.state.order(&terms) else {
            self.check_bank_has_room(payer.bank)?;
            let may_presume = self.may_presume();
            return if may_presume {
                Ok(self.refuse(&terms, payer, Reason::UnknownBank))
            } else {
                Err(Refusal::UnknownBank)
            };
        };
        self.check_banks_are_recalled(&order)?;
        self.check_banks_have_room(&order)?;
        if self.state.open_of.get(&payer).copied().unwrap_or(0) >= self.state.settings.open_per_customer {
            return Err(Refusal::PayerBusy);
        }
        match self.check_order(&order) {
            Ok(()) => Ok(self.admit(order, Origin::Customer { session: request.session }, taker)),
            Err(reason) if reason == Reason::OwnAccount || self.may_presume() => Ok(self.refuse(&terms, payer, reason)),
            // It may have been paid before the restore: to refuse it now would be a second outcome.
            Err(_) => self.ask(order, Cause::Bank, taker),
        }
    }

    /// Everything that is refused on record, in order.
    fn check_order(&self, order: &Order) -> Result<(), Reason> {
        if order.payer == order.payee {
            return Err(Reason::OwnAccount);
        }
        let limit = self.state.settings.payment_limit(order.currency);
        if let Some(limit) = limit.filter(|limit| order.amount > *limit) {
            return Err(Reason::LimitExceeded { limit });
        }
        if order.is_within_one_bank() {
            return Ok(());
        }
        let (key, direction) = PositionKey::of(order);
        let position = self.state.positions.get(&key).copied().unwrap_or_default();
        let owed = position.owed_at_worst(direction);
        let cap = self.state.settings.pair_cap(order.payer.bank, order.payee.bank, order.currency);
        match cap.filter(|cap| owed + order.amount.minor() > cap.minor()) {
            Some(cap) => Err(Reason::CapExceeded { cap, owed }),
            None if self.has_room_between(order) => Ok(()),
            None => Err(Reason::CapExceeded { cap: Amount::MAX, owed }),
        }
    }

    /// What they owe each other has to be known before more is added to it.
    fn check_banks_are_recalled(&self, order: &Order) -> Result<(), Refusal> {
        let unrecalled =
            Side::BOTH.into_iter().map(|side| order.bank(side)).find(|bank| self.state.unrecalled(*bank).is_some());
        unrecalled.map_or(Ok(()), |bank| Err(Refusal::BankRestoring { bank }))
    }

    fn check_banks_have_room(&self, order: &Order) -> Result<(), Refusal> {
        self.check_bank_has_room(order.payer.bank)?;
        self.check_bank_has_room(order.payee.bank)
    }

    /// Whether more may be asked of a bank. Nothing was sent, so nothing is burnt.
    fn check_bank_has_room(&self, bank: BankNumber) -> Result<(), Refusal> {
        let known = self.state.bank(bank);
        if let Standing::Restored { .. } = known.standing {
            return Err(Refusal::BankRestoring { bank });
        }
        if known.open >= self.state.settings.open_per_bank {
            return Err(Refusal::BankBusy { bank });
        }
        Ok(())
    }

    fn refuse(&mut self, terms: &Terms, payer: Party, reason: Reason) -> Answer {
        self.write(Body::PaymentRefused { id: terms.id, payer, digest: terms.digest(), reason });
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
        self.check_banks_have_room(&order)?;
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
    pub(super) fn settle(&mut self, command: &Command) -> Ruling {
        let Command::Settle { id, debtor, creditor, amount, currency, taker } = *command else {
            unreachable!("the caller matched it")
        };
        let order = self.settlement(id, (&debtor, &creditor), amount, currency)?;
        if let Some(first) = self.earlier(&self.state.terms(&order))? {
            return Ok(first);
        }
        self.check_banks_are_recalled(&order)?;
        self.check_banks_have_room(&order)?;
        let (key, direction) = PositionKey::between(order.payee.bank, order.payer.bank, currency);
        let position = self.state.positions.get(&key).copied().unwrap_or_default();
        let (_, back) = PositionKey::of(&order);
        let owed = position.owed(direction).saturating_sub(position.reserved(back));
        if amount.minor() > owed {
            return Err(Refusal::MoreThanOwed { owed });
        }
        Ok(self.admit(order, Origin::Settlement, taker))
    }

    fn settlement(
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
        let payer = self.customer_of(request.session)?;
        let terms = request.terms(self.state.named(&payer));
        let known = self.known(terms.id);
        if !self.is_same(&known, &terms) {
            return Err(Refusal::IdReused);
        }
        match known {
            Known::Live(payment) => Ok(self.want_void(&payment, Cause::Payer)),
            Known::Finished { .. } | Known::Refused { .. } => {
                Ok(replay(Outcome::Payment(known.status().expect("it is known"))))
            }
            Known::Nothing if self.may_presume() => Ok(self.refuse(&terms, payer, Reason::VoidedByPayer)),
            Known::Nothing => {
                let order = self.state.order(&terms).ok_or(Refusal::UnknownBank)?;
                // The content alone says that this never moved anything.
                if order.payer == order.payee {
                    return Ok(self.refuse(&terms, payer, Reason::OwnAccount));
                }
                self.ask(order, Cause::Payer, taker)
            }
        }
    }

    /// Only a gateway that was never restored knows that what it does not know never was.
    pub(super) fn may_presume(&self) -> bool {
        self.state.epoch == Epoch::FIRST || self.state.is_off(Control::PresumeAfterRestore)
    }

    /// A bank asks what is to become of an old hold.
    pub(super) fn resolve(&mut self, bank: &BankName, terms: &Terms, taker: NodeNumber) -> Ruling {
        let order = self.state.order(terms).ok_or(Refusal::UnknownBank)?;
        if order.is_within_one_bank() || Side::BOTH.iter().all(|side| terms.party(*side).bank != *bank) {
            return Err(Refusal::NotYours);
        }
        let known = self.known(terms.id);
        if !self.is_same(&known, terms) {
            return Err(Refusal::IdReused);
        }
        match known {
            Known::Live(payment) => Ok(self.want_void(&payment, Cause::TimedOut)),
            Known::Finished { .. } | Known::Refused { .. } => {
                Ok(replay(Outcome::Payment(known.status().expect("it is known"))))
            }
            Known::Nothing if self.state.is_off(Control::PresumeAfterRestore) => {
                Ok(self.refuse(terms, order.payer, Reason::NotHeldAtBoth))
            }
            Known::Nothing => self.ask(order, Cause::Bank, taker),
        }
    }
}
