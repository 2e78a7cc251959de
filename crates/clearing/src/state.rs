//! All that the gateway has in memory, and the one way in which it changes: by the records of what happened.
//!
//! The rules decide what the record says; [`State::absorb`] does it. So a state that is made again from the journal went
//! through the very same code as the one that lived through it.

use crate::bank::{Bank, BankBucket, BankBuckets, Recall, SigningKey, Standing};
use crate::charge::Charges;
use crate::control::Control;
use crate::finding::Vote;
use crate::names::{BankName, BankNumber, Epoch, KeyId, SessionId};
use crate::order::{Holder, NamedParty, Order, Party, PaymentId, Side, Terms};
use crate::outcome::{Refusal, Verdict};
use crate::payment::{Owed, Payment, Phase};
use crate::position::{Position, PositionKey};
use crate::record::{Body, Decided, Record, Taken};
use crate::seed::Seed;
use crate::session::{Session, Sessions};
use crate::settings::{SettingEntry, Settings};
use ledger::Lost;
use std::collections::{BTreeMap, BTreeSet};

/// The gateway's state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct State {
    pub(crate) epoch: Epoch,
    pub(crate) time_ms: u64,
    /// By number, from 1.
    pub(crate) banks: Vec<Bank>,
    pub(crate) bank_names: BTreeMap<BankName, BankNumber>,
    pub(crate) sessions: Sessions,
    pub(crate) keys: BTreeMap<KeyId, SigningKey>,
    /// What the ids behind idempotency keys are made of.
    pub(crate) seed: Option<Seed>,
    /// Undecided, or not delivered.
    pub(crate) payments: BTreeMap<PaymentId, Payment>,
    /// How many of them are open at the bank of each payer.
    pub(crate) open_of: BTreeMap<Party, u64>,
    /// The numbers of those at the banks where they are open.
    pub(crate) open_numbers: BTreeSet<(BankNumber, u64)>,
    pub(crate) positions: BTreeMap<PositionKey, Position>,
    /// What payers have had refused lately.
    pub(crate) charges: Charges,
    /// What banks are to be asked for that they set aside with one other bank: where that one was not known, or took no more,
    /// when they told of everything. Until then the two take part in nothing new with each other.
    pub(crate) recall_with: BTreeMap<(BankNumber, BankNumber), Recall>,
    /// Payments for an operator to look at.
    pub(crate) listed: BTreeSet<PaymentId>,
    /// Of those, which were voided at a risk, and the side whose bank says that it has posted.
    pub(crate) contradicted: BTreeSet<(PaymentId, Side)>,
    pub(crate) settings: Settings,
    #[cfg(feature = "controls")]
    pub(crate) control: Option<Control>,
}

impl State {
    pub(crate) fn new() -> State {
        State {
            epoch: Epoch::FIRST,
            time_ms: 0,
            banks: Vec::new(),
            bank_names: BTreeMap::new(),
            sessions: Sessions::default(),
            keys: BTreeMap::new(),
            seed: None,
            payments: BTreeMap::new(),
            open_of: BTreeMap::new(),
            open_numbers: BTreeSet::new(),
            positions: BTreeMap::new(),
            charges: Charges::default(),
            recall_with: BTreeMap::new(),
            listed: BTreeSet::new(),
            contradicted: BTreeSet::new(),
            settings: Settings::default(),
            #[cfg(feature = "controls")]
            control: None,
        }
    }

    /// Whether that rule is switched off.
    #[cfg(feature = "controls")]
    pub(crate) fn is_off(&self, rule: Control) -> bool {
        self.control == Some(rule)
    }

    /// Without the feature there is no switch: every rule holds, and the question is answered at compile time.
    #[cfg(not(feature = "controls"))]
    #[inline(always)]
    #[expect(clippy::unused_self, reason = "the same question as with the feature")]
    pub(crate) fn is_off(&self, _rule: Control) -> bool {
        false
    }

    pub(crate) fn bank(&self, number: BankNumber) -> &Bank {
        &self.banks[usize::from(number.get()) - 1]
    }

    pub(crate) fn bank_mut(&mut self, number: BankNumber) -> &mut Bank {
        &mut self.banks[usize::from(number.get()) - 1]
    }

    pub(crate) fn bank_named(&self, name: &BankName) -> Option<&Bank> {
        self.bank_names.get(name).map(|number| self.bank(*number))
    }

    pub(crate) fn party(&self, named: &NamedParty) -> Option<Party> {
        Some(Party { bank: *self.bank_names.get(&named.bank)?, holder: named.holder })
    }

    pub(crate) fn named(&self, party: &Party) -> NamedParty {
        NamedParty { bank: self.bank(party.bank).name, holder: party.holder }
    }

    /// `None` when a bank of it is not known.
    pub(crate) fn order(&self, terms: &Terms) -> Option<Order> {
        let Terms { id, payer, payee, amount, currency, reference } = *terms;
        Some(Order { id, payer: self.party(&payer)?, payee: self.party(&payee)?, amount, currency, reference })
    }

    pub(crate) fn terms(&self, order: &Order) -> Terms {
        let Order { id, payer, payee, amount, currency, reference } = *order;
        Terms { id, payer: self.named(&payer), payee: self.named(&payee), amount, currency, reference }
    }

    /// Only a gateway that was never restored knows that what it does not know never was.
    pub(crate) fn may_presume(&self) -> bool {
        self.epoch == Epoch::FIRST || self.is_off(Control::PresumeAfterRestore)
    }

    /// A payment that a bank speaks of; it has to be one of its own.
    pub(crate) fn order_of_bank(&self, bank: &BankName, terms: &Terms) -> Result<Order, Refusal> {
        let order = self.order(terms).ok_or(Refusal::UnknownBank)?;
        let is_anothers = Side::BOTH.iter().all(|side| terms.party(*side).bank != *bank);
        // From an account to the same one no bank moves anything, so there is nothing to ask about.
        if is_anothers || order.payer == order.payee { Err(Refusal::NotYours) } else { Ok(order) }
    }

    /// Whose live session that is.
    pub(crate) fn customer_of(&self, session: SessionId, now_ms: u64) -> Result<Party, Refusal> {
        let known = self.sessions.of(session).ok_or(Refusal::NoSession)?;
        if known.ended {
            return Err(Refusal::SessionEnded);
        }
        if known.expires_ms <= now_ms {
            return Err(Refusal::SessionExpired);
        }
        Ok(known.customer)
    }

    /// Whether one more payment of theirs may be refused, and so whether one more is taken.
    pub(crate) fn check_may_be_refused(&self, payer: &Party, now_us: u64) -> Result<(), Refusal> {
        let bucket = self.settings.refused_bucket();
        let open = self.open_of.get(payer).copied().unwrap_or(0);
        if open >= bucket.tokens {
            // Time alone brings none back: some of them have to end.
            return Err(Refusal::PayerBusy);
        }
        let wait_ms = bucket.wait_ms(self.charges.full_at_us(payer), now_us, open);
        wait_ms.map_or(Ok(()), |retry_after_ms| Err(Refusal::TooManyRefused { retry_after_ms }))
    }

    /// What they owe each other has to be known before more is added to it.
    pub(crate) fn check_banks_are_recalled(&self, order: &Order) -> Result<(), Refusal> {
        let unrecalled =
            Side::BOTH.into_iter().map(|side| order.bank(side)).find(|bank| self.unrecalled(*bank).is_some());
        let [payer, payee] = [order.payer.bank, order.payee.bank];
        let with_the_other =
            || [(payer, payee), (payee, payer)].into_iter().find(|pair| self.is_unrecalled_with(*pair));
        let waited_for = unrecalled.or_else(|| with_the_other().map(|(teller, _)| teller));
        waited_for.map_or(Ok(()), |bank| Err(Refusal::BankRestoring { bank }))
    }

    /// Whether the first of them has yet to tell what it set aside with the other.
    pub(crate) fn is_unrecalled_with(&self, pair: (BankNumber, BankNumber)) -> bool {
        self.recall_with.contains_key(&pair)
    }

    pub(crate) fn check_banks_have_room(&self, order: &Order, now_us: u64) -> Result<(), Refusal> {
        self.check_bank_has_room(order.payer.bank, now_us)?;
        self.check_bank_has_room(order.payee.bank, now_us)
    }

    /// Whether more may be asked of a bank. Nothing was sent, so nothing is burnt.
    pub(crate) fn check_bank_has_room(&self, bank: BankNumber, now_us: u64) -> Result<(), Refusal> {
        let known = self.bank(bank);
        if let Standing::Restored { .. } = known.standing {
            return Err(Refusal::BankRestoring { bank });
        }
        let may_contradict = known.has_tokens(BankBucket::Contradictions, now_us, 1);
        if known.open >= self.settings.open_per_bank || !may_contradict {
            return Err(Refusal::BankBusy { bank });
        }
        Ok(())
    }

    /// Whether one more payment that they alone tell of may be posted and listed.
    pub(crate) fn check_banks_may_be_listed(&self, order: &Order, now_us: u64) -> Result<(), Refusal> {
        let banks = Side::BOTH.map(|side| order.bank(side));
        let without = banks.into_iter().find(|bank| !self.bank(*bank).has_tokens(BankBucket::Listed, now_us, 1));
        without.map_or(Ok(()), |bank| Err(Refusal::BankBusy { bank }))
    }

    /// All payments of a bank up to this number have come to their end there.
    pub(crate) fn complete_through(&self, bank: BankNumber) -> u64 {
        let first_open = self.open_numbers.range((bank, 0)..=(bank, u64::MAX)).next();
        first_open.map_or(self.bank(bank).last_number, |(_, number)| number - 1)
    }

    /// What a bank has yet to be asked for since the gateway was restored. Also a bank that registers only now may have been
    /// known before.
    pub(crate) fn unrecalled(&self, bank: BankNumber) -> Option<Recall> {
        let bank = self.bank(bank);
        let is_asked = bank.recalled == self.epoch || self.is_off(Control::RecallNothing);
        (!is_asked).then_some(bank.recall)
    }

    /// Whether both the bank and this gateway may have lost a payment: the bank came back from a backup after the gateway had,
    /// and the gateway does not know what it decided. Then only the other bank can tell.
    pub(crate) fn both_may_have_lost(&self, payment: &Payment, bank: BankNumber) -> bool {
        let bank = self.bank(bank);
        let after_the_gateway = bank.epoch > Epoch::FIRST && bank.registered_in > Epoch::FIRST;
        after_the_gateway && payment.may_be_forgotten(self.epoch)
    }

    /// Whether a vote still speaks of the present: see [`Vote`].
    pub(crate) fn counts(&self, bank: BankNumber, vote: &Vote) -> bool {
        vote.gateway == self.epoch && vote.reported.epoch == self.bank(bank).epoch
    }

    /// Does what the record says.
    pub(crate) fn absorb(&mut self, record: &Record) {
        assert!(record.time_ms >= self.time_ms, "the gateway's time never goes back");
        self.time_ms = record.time_ms;
        match record.body {
            Body::EpochBegan { epoch, since_ms: _ } => self.begin_epoch(epoch),
            Body::BankToRecall { number, recall } => self.bank_mut(number).recall = recall,
            Body::BankRegistered { number, name, group, epoch, standing, registered_in } => {
                self.put_bank(number, name, |bank| {
                    (bank.group, bank.epoch) = (group, epoch);
                    bank.registered_as(standing, registered_in);
                });
            }
            Body::BankCharged { number, bucket, full_at_us } => {
                *self.bank_mut(number).full_at_us.of_mut(bucket) = full_at_us;
            }
            Body::BankCaughtUp { number } => self.bank_mut(number).standing = Standing::Live,
            Body::BankRecalled { number, epoch } => self.bank_mut(number).recalled = epoch,
            Body::BankToRecallWith { number, other, recall } => drop(self.recall_with.insert((number, other), recall)),
            Body::BankRecalledWith { number, other } => drop(self.recall_with.remove(&(number, other))),
            Body::SessionOpened { session, customer, expires_ms } => {
                let opened_ms = record.time_ms;
                self.sessions.put(session, Session { customer, opened_ms, expires_ms, ended: false });
            }
            Body::SessionEnded { session } => {
                assert!(self.sessions.end(session), "only a known session is ended");
            }
            Body::SessionForgotten { session } => self.sessions.forget(session),
            Body::KeyKept { key, node, public, expires_ms } => {
                self.keys.insert(key, SigningKey { id: key, node, public, expires_ms, retired: false });
            }
            Body::KeyRetired { key } => {
                self.key(key).retired = true;
            }
            Body::KeyForgotten { key } => drop(self.keys.remove(&key)),
            Body::SeedKept { seed } => self.seed = Some(seed),
            Body::PaymentTaken(taken) => self.take(record, &taken),
            Body::PaymentRefused { .. } | Body::KeyClaimed { .. } => {}
            Body::VoteRecorded { id, side, vote } => self.record_vote(id, side, vote),
            Body::VoidWanted { id, cause } => self.live(id).want_void(cause),
            Body::PaymentDecided(decided) => self.decide(record, &decided),
            Body::SideDelivered { id, left, verdict, decided_ms, .. } => {
                self.side_ended(id, left, (verdict, decided_ms));
            }
            Body::Contradicted { id, side, left, verdict, decided_ms } => {
                self.listed.insert(id);
                self.contradicted.insert((id, side));
                self.side_ended(id, left, (verdict, decided_ms));
            }
            Body::Acknowledged { id } => {
                self.listed.remove(&id);
                self.contradicted.retain(|(of, _)| *of != id);
            }
            Body::SettingChanged { replaced_version, change } => {
                assert_eq!(replaced_version, self.settings.version(), "settings change in order");
                self.settings.push(SettingEntry { change, time_ms: record.time_ms, place: record.place });
            }
            Body::PayerCharged { payer, full_at_us, forgotten } => {
                forgotten.iter().for_each(|other| self.charges.forget(other));
                self.charges.put(payer, full_at_us);
            }
        }
    }

    pub(crate) fn begin_epoch(&mut self, epoch: Epoch) {
        assert!(epoch > self.epoch, "incarnations only rise");
        self.epoch = epoch;
        if !self.is_off(Control::PresumeAfterRestore) {
            self.payments.values_mut().for_each(Payment::doubt);
        }
    }

    /// Changes a bank, or adds it under the next number.
    #[expect(clippy::expect_used, reason = "one is not zero")]
    pub(crate) fn put_bank(&mut self, number: BankNumber, name: BankName, change: impl FnOnce(&mut Bank)) {
        let index = usize::from(number.get()) - 1;
        assert!(index <= self.banks.len(), "banks are numbered in order");
        if index == self.banks.len() {
            self.banks.push(Bank {
                number,
                name,
                group: crate::names::GroupId::new(1).expect("not zero"),
                epoch: Epoch::FIRST,
                recalled: Epoch::FIRST,
                recall: Recall::WHOLE,
                standing: Standing::Live,
                lost: Lost::default(),
                registered_in: Epoch::FIRST,
                full_at_us: BankBuckets::default(),
                last_number: 0,
                last_place: None,
                open: 0,
            });
            self.bank_names.insert(name, number);
        }
        assert_eq!(self.banks[index].name, name, "a bank keeps its name");
        change(&mut self.banks[index]);
    }

    fn take(&mut self, record: &Record, taken: &Taken) {
        let Taken { order, origin, numbers, previous: _, epoch, taker, vote_by_ms } = *taken;
        let phase = Payment::first_phase(&order, origin);
        let (taken_ms, place) = (record.time_ms, record.place);
        let payment = Payment { order, origin, numbers, epoch, taker, taken_ms, vote_by_ms, place, phase };
        for side in payment.sides() {
            let bank = self.bank_mut(order.bank(*side));
            assert!(*numbers.of(*side) > bank.last_number, "a bank's payments are numbered in order");
            bank.last_number = *numbers.of(*side);
            bank.last_place = Some(place);
        }
        self.admit(payment);
    }

    /// Puts a payment among the live ones and counts it.
    pub(crate) fn admit(&mut self, payment: Payment) {
        Side::BOTH.into_iter().filter(|side| payment.is_open_at(*side)).for_each(|side| self.open_at(&payment, side));
        if payment.reserves() {
            *self.reservation(&payment.order) += payment.order.amount.minor();
        }
        let before = self.payments.insert(payment.order.id, payment);
        assert!(before.is_none(), "one id is one payment");
    }

    #[expect(
        clippy::panic,
        reason = "the rules record votes of payments that they have found undecided between two banks"
    )]
    fn record_vote(&mut self, id: PaymentId, of: Side, vote: Vote) {
        match &mut self.live(id).phase {
            Phase::Voting(votes) | Phase::Asking { found: votes, .. } => *votes.of_mut(of) = Some(vote),
            Phase::AtBank(_) | Phase::Delivering { .. } => {
                panic!("votes are of payments between banks, before a decision")
            }
        }
    }

    #[expect(
        clippy::expect_used,
        reason = "what a payment reserves is counted when it is taken and when it is restored"
    )]
    fn decide(&mut self, record: &Record, decided: &Decided) {
        let payment = self.payments[&decided.id];
        if payment.reserves() {
            let reservation = self.reservation(&payment.order);
            *reservation = reservation.checked_sub(payment.order.amount.minor()).expect("it was reserved when taken");
        }
        if let Some((key, low_owes)) = decided.position {
            self.positions.entry(key).or_default().low_owes = low_owes;
        }
        if decided.listed {
            self.listed.insert(decided.id);
        }
        match decided.owed {
            Some(owed) => {
                let (verdict, decided_ms) = (decided.verdict, record.time_ms);
                self.deliver(decided.id, Phase::Delivering { verdict, decided_ms, owed });
            }
            None => self.finish(decided.id),
        }
    }

    /// A bank is told nothing more of the decision.
    fn side_ended(&mut self, id: PaymentId, left: Option<Owed>, (verdict, decided_ms): (Verdict, u64)) {
        match left {
            Some(owed) => self.deliver(id, Phase::Delivering { verdict, decided_ms, owed }),
            None => self.finish(id),
        }
    }

    /// The decision is known, and who has yet to acknowledge it: a bank that has nothing to do any more has room again.
    fn deliver(&mut self, id: PaymentId, phase: Phase) {
        let before = self.payments[&id];
        let payment = self.live(id);
        payment.phase = phase;
        let after = *payment;
        let is_closed = |side: &Side| before.is_open_at(*side) && !after.is_open_at(*side);
        Side::BOTH.into_iter().filter(is_closed).for_each(|side| self.close_at(&after, side));
    }

    /// From now on the journal alone knows the payment.
    #[expect(
        clippy::expect_used,
        reason = "what a payment counts for is counted when it is taken and when it is restored"
    )]
    fn finish(&mut self, id: PaymentId) {
        let payment = self.payments.remove(&id).expect("only a live payment comes to its end");
        Side::BOTH.into_iter().filter(|side| payment.is_open_at(*side)).for_each(|side| self.close_at(&payment, side));
    }

    fn open_at(&mut self, payment: &Payment, side: Side) {
        let bank = payment.order.bank(side);
        self.bank_mut(bank).open += 1;
        self.open_numbers.insert((bank, *payment.numbers.of(side)));
        if side == Side::Debit {
            *self.open_of.entry(payment.order.payer).or_default() += 1;
        }
    }

    #[expect(
        clippy::expect_used,
        reason = "what a payment counts for is counted when it is taken and when it is restored"
    )]
    fn close_at(&mut self, payment: &Payment, side: Side) {
        let number = payment.order.bank(side);
        let bank = self.bank_mut(number);
        bank.open = bank.open.checked_sub(1).expect("it was counted when taken");
        self.open_numbers.remove(&(number, *payment.numbers.of(side)));
        if side == Side::Debit {
            let of_payer = self.open_of.get_mut(&payment.order.payer).expect("it was counted when taken");
            *of_payer -= 1;
            if *of_payer == 0 {
                self.open_of.remove(&payment.order.payer);
            }
        }
    }

    fn reservation(&mut self, order: &Order) -> &mut u128 {
        let (key, direction) = PositionKey::of(order);
        self.positions.entry(key).or_default().reserved_mut(direction)
    }

    #[expect(clippy::expect_used, reason = "the rules write that a key is retired after they have found it")]
    fn key(&mut self, key: KeyId) -> &mut SigningKey {
        self.keys.get_mut(&key).expect("only a known key is retired")
    }

    #[expect(clippy::expect_used, reason = "the rules look a payment up before they write of it")]
    fn live(&mut self, id: PaymentId) -> &mut Payment {
        self.payments.get_mut(&id).expect("the rules speak of live payments only")
    }
}

/// The holder of a session is always a customer; the bank itself signs in nowhere.
pub(crate) fn is_customer(party: &NamedParty) -> bool {
    match party.holder {
        Holder::Customer(_) => true,
        Holder::House => false,
    }
}
