//! A bank as the gateway sees it: a real ledger behind the calls, and its present incarnation. The newest incarnation of the
//! gateway that it has heard of is the ledger's own to keep.

use clearing::agenda::Booking;
use clearing::control::Control;
use clearing::{
    BankName, Call, CallKind, CustomerName, Epoch, Finding, Holder, NamedParty, PaymentId, Recall, Reply, Reported,
    Side, Terms,
};
use ledger::{
    AccountId, Amount, Answer, Body, Command, Context, Currency, Fence, HoldState, JournalPort, Ledger, Lost, Movement,
    OrderEnd, Outcome, Owner, Placer, Record, RecordBytes, RecordKey, Reference, Rejected, Request, TransferId,
};
use std::collections::BTreeMap;
use std::num::NonZeroU64;

use crate::desk::Journal;

#[derive(Clone)]
pub(crate) struct SimBank {
    pub(crate) name: BankName,
    pub(crate) epoch: Epoch,
    pub(crate) ledger: Ledger,
    journal: Journal,
    slot: u64,
    /// What holds and transfers belong to, for asking about old ones and for telling a restored gateway.
    asked: BTreeMap<PaymentId, Terms>,
    lot: Lot,
    control: Option<Control>,
}

/// In what a simulated bank differs from others.
#[derive(Clone, Copy)]
pub(crate) struct Lot {
    /// How far the time of its log is off.
    pub(crate) clock_off_ms: i64,
    /// It counts each payment as so many, so that a run of few payments passes [`Fence::STEP`] as well.
    pub(crate) numbers_apart: u64,
}

/// When a run begins, by the clock of a bank that is right: so that others can be behind it.
const BEGIN_MS: u64 = 30 * 86_400_000;

/// What a restored gateway asks a bank for.
#[derive(Clone, Copy)]
pub(crate) struct Recalled {
    pub(crate) recall: Recall,
    /// A control: since when, by the gateway's clock.
    pub(crate) since_ms: u64,
    pub(crate) gateway: Epoch,
}

/// The ledger keeps its journal by its own ids.
struct Port<'a>(&'a mut Journal);

impl JournalPort for Port<'_> {
    fn find(&self, key: RecordKey) -> Option<RecordBytes> {
        self.0.find(key)
    }

    fn push(&mut self, key: Option<RecordKey>, record: &RecordBytes) -> u64 {
        self.0.push(key, record)
    }

    fn next_place(&self) -> u64 {
        self.0.next_place()
    }
}

pub(crate) const OPENING: u128 = 1_000;

impl SimBank {
    pub(crate) fn new(name: BankName, customers: &[&str], lot: Lot, control: Option<Control>) -> SimBank {
        let mut bank = SimBank {
            name,
            epoch: Epoch::FIRST,
            ledger: Ledger::new(7),
            journal: Journal { one_id_space: control == Some(Control::OneIdSpace), ..Journal::default() },
            slot: 0,
            asked: BTreeMap::new(),
            lot,
            control,
        };
        for (number, customer) in (1u128..).zip(customers) {
            let account = account(&CustomerName::new(customer).expect("a good name"));
            let currency = Currency::EUR;
            bank.apply(Command::OpenAccount { id: account, owner: Owner::EMPTY, currency }, 0);
            bank.apply(
                Command::Transfer {
                    id: TransferId::new((1 << 100) + number).expect("not nil"),
                    placer: None,
                    debit: AccountId::vault(currency),
                    credit: account,
                    amount: Amount::new(OPENING).expect("in range"),
                    currency,
                    reference: Reference::EMPTY,
                },
                0,
            );
        }
        bank
    }

    fn log_time_ms(&self, now_ms: u64) -> u64 {
        (BEGIN_MS + now_ms).saturating_add_signed(self.lot.clock_off_ms)
    }

    fn apply(&mut self, command: Command, now_ms: u64) -> Answer {
        self.apply_all(vec![command], now_ms)[0]
    }

    fn apply_all(&mut self, commands: Vec<Command>, now_ms: u64) -> Vec<Answer> {
        self.slot += 1;
        let context = Context { slot: self.slot, time_ms: self.log_time_ms(now_ms) };
        let request = Request { linked: false, commands };
        let answers = self.ledger.apply_request(context, &request, &mut Port(&mut self.journal));
        ledger::invariant::check(&self.ledger).expect("the books are sound");
        answers
    }

    /// As a bank's node does: in one request with what the gateway says of itself. None from an older incarnation.
    fn apply_for(&mut self, call: &Call, command: Command, now_ms: u64) -> Option<Answer> {
        let epoch = if self.control == Some(Control::AnyIncarnation) { u32::MAX } else { call.gateway.get() };
        // What a restored bank lacks lies behind the number that its books end with, not behind what others had by then.
        let complete_through = if self.is_restoring() { 0 } else { call.complete_through * self.lot.numbers_apart };
        let fence = Fence { epoch, complete_through, ..Fence::default() };
        let answers = self.apply_all(vec![Command::Fence { placer: placer(), fence }, command], now_ms);
        match answers[0].outcome.rejection() {
            Some(Rejected::StaleFence { .. }) => None,
            Some(other) => panic!("a fence is stale or stands: {other:?}"),
            None => Some(answers[1]),
        }
    }

    /// Every payment up to this number is in the books, to its end, as far as they know.
    pub(crate) fn complete_through(&self) -> u64 {
        self.ledger.fence(placer()).complete_through / self.lot.numbers_apart
    }

    /// It came back from a backup, and waits for what the gateway has of it.
    pub(crate) fn is_restoring(&self) -> bool {
        self.epoch > Epoch::FIRST && self.ledger.fence(placer()).caught_up < self.epoch.get()
    }

    /// The gateway says that it has all its payments again.
    pub(crate) fn catch_up(&mut self, gateway: Epoch, lost: Lost, now_ms: u64) -> bool {
        let lost = Lost { after: lost.after * self.lot.numbers_apart, through: lost.through * self.lot.numbers_apart };
        let fence = Fence { epoch: gateway.get(), complete_through: 0, caught_up: self.epoch.get(), lost };
        self.apply(Command::Fence { placer: placer(), fence }, now_ms).outcome.rejection().is_none()
    }

    /// Answers a call, unless the gateway that sent it is an older incarnation than one heard before.
    pub(crate) fn answer(&mut self, call: &Call, now_ms: u64) -> Option<Reply> {
        if self.is_restoring() && self.control != Some(Control::RestoredBankAnswers) {
            return None;
        }
        let finding = self.carry_out(call, now_ms)?;
        Some(Reply { kind: call.kind, gateway: call.gateway, said: Reported { epoch: self.epoch, finding } })
    }

    fn carry_out(&mut self, call: &Call, now_ms: u64) -> Option<Finding> {
        let id = call.terms.id;
        let command = match call.kind {
            CallKind::PrepareDebit | CallKind::PrepareCredit => {
                self.asked.insert(id, call.terms);
                let hold = self.hold(&call.terms, call.kind.side());
                let outcome = self.apply_for(call, hold, now_ms)?.outcome;
                return Some(match self.control {
                    #[cfg(feature = "controls")]
                    Some(Control::ReplayedHeldCounts) => Finding::of_first_answer(&outcome),
                    _ => Finding::of(&outcome),
                });
            }
            // A restored bank may lack the hold, and what was decided is decided.
            CallKind::CommitDebit | CallKind::CommitCredit
                if self.epoch > Epoch::FIRST && self.control != Some(Control::RestoredBankNeedsHold) =>
            {
                self.asked.insert(id, call.terms);
                self.replay_of(call)
            }
            CallKind::CommitDebit | CallKind::CommitCredit => self.end_of(call, OrderEnd::Post),
            CallKind::AbortDebit | CallKind::AbortCredit => {
                if self.control == Some(Control::NoTombstone) && self.status(id) == Finding::NotFound {
                    return Some(Finding::Voided);
                }
                self.end_of(call, OrderEnd::Void)
            }
            CallKind::Transfer => {
                self.asked.insert(id, call.terms);
                self.movement(&call.terms, party(&call.terms.payer), party(&call.terms.payee))
            }
            CallKind::VoidTransfer => self.end_of(call, OrderEnd::Void),
            // What is said now must stay so: nothing that an older incarnation still has on its way may come after it.
            CallKind::HoldStatus(_) if self.control == Some(Control::LookRaisesNoFence) => {
                let is_stale = call.gateway.get() < self.ledger.fence(placer()).epoch;
                return (!is_stale).then(|| self.status(id));
            }
            CallKind::HoldStatus(_) if self.control == Some(Control::AnyIncarnation) => return Some(self.status(id)),
            CallKind::HoldStatus(_) => {
                let fence = Fence { epoch: call.gateway.get(), ..Fence::default() };
                let answer = self.apply(Command::Fence { placer: placer(), fence }, now_ms);
                return answer.outcome.rejection().is_none().then(|| self.status(id));
            }
        };
        Some(Finding::of(&self.apply_for(call, command, now_ms)?.outcome))
    }

    fn hold(&self, terms: &Terms, side: Side) -> Command {
        let (debit, credit) = match side {
            Side::Debit => (party(&terms.payer), AccountId::interbank(terms.payee.bank.as_str(), terms.currency)),
            Side::Credit => (AccountId::interbank(terms.payer.bank.as_str(), terms.currency), party(&terms.payee)),
        };
        let Terms { id, amount, currency, reference, .. } = *terms;
        Command::PlaceHold { id, placer: placer(), debit, credit, amount, currency, reference }
    }

    fn movement(&self, terms: &Terms, debit: AccountId, credit: AccountId) -> Command {
        let Terms { id, amount, currency, reference, .. } = *terms;
        Command::Transfer { id, placer: Some(placer()), debit, credit, amount, currency, reference }
    }

    /// What has become of an id here, by the journal.
    pub(crate) fn status(&self, id: PaymentId) -> Finding {
        let Some(bytes) = self.journal.find(RecordKey::outcome(id)) else { return Finding::NotFound };
        let first = Record::decode(&bytes).expect("the ledger wrote it");
        let end = self.journal.find(RecordKey::hold_end(id)).map(|end| Record::decode(&end).expect("it wrote it"));
        match end {
            Some(end) => Finding::of(&end.outcome(HoldState::Held)),
            None => Finding::of(&first.outcome(HoldState::Held)),
        }
    }

    /// Brings a restored bank a payment that was decided: a post needs no hold, and what the payer lacks is suspended.
    pub(crate) fn replay(&mut self, call: &Call, now_ms: u64) -> bool {
        let terms = call.terms;
        let replay = match call.kind {
            CallKind::Transfer => {
                self.asked.insert(terms.id, terms);
                replayed((None, None), self.movement(&terms, party(&terms.payer), party(&terms.payee)))
            }
            CallKind::CommitDebit | CallKind::CommitCredit => {
                self.asked.insert(terms.id, terms);
                self.replay_of(call)
            }
            _ => {
                return self.carry_out(call, now_ms).is_some();
            }
        };
        let Some(answer) = self.apply_for(call, replay, now_ms) else { return false };
        assert_eq!(Finding::of(&answer.outcome), Finding::Posted, "a replayed post cannot be refused");
        true
    }

    fn replay_of(&self, call: &Call) -> Command {
        let number = match call.booking {
            Booking::Held => NonZeroU64::new(call.number * self.lot.numbers_apart),
            Booking::Replayed => None,
        };
        replayed((Some(placer()), number), self.hold(&call.terms, call.kind.side()))
    }

    /// The end of the whole order, or within one bank of the transfer.
    fn end_of(&self, call: &Call, end: OrderEnd) -> Command {
        let (placer, ordered) = match call.kind {
            CallKind::VoidTransfer => {
                (None, self.movement(&call.terms, party(&call.terms.payer), party(&call.terms.payee)))
            }
            _ => (Some(placer()), self.hold(&call.terms, call.kind.side())),
        };
        let Movement { id, debit, credit, amount, currency, reference } = ordered.movement().expect("it moves money");
        Command::EndOrder { end, id, placer, debit, credit, amount, currency, reference }
    }

    /// Everything that was set aside or moved for the gateway and that a restored gateway may not know of, ended or not; none to a gateway that is not
    /// the present one.
    pub(crate) fn recall(&mut self, asked: Recalled, now_ms: u64) -> Option<Vec<Terms>> {
        if self.control != Some(Control::LookRaisesNoFence) {
            let fence = Fence { epoch: asked.gateway.get(), ..Fence::default() };
            let answer = self.apply(Command::Fence { placer: placer(), fence }, now_ms);
            answer.outcome.rejection().is_none().then_some(())?;
        }
        let newest_first = self.journal.records.iter().rev();
        let records = newest_first.map(|bytes| Record::decode(bytes).expect("the ledger wrote it"));
        let placed = |record: Record| match record.body {
            Body::HoldPlaced { movement, .. } => Some(self.asked[&movement.id]),
            Body::TransferPosted { placer, movement, flags, .. }
                if (placer.is_some() || flags.replayed) && self.control != Some(Control::RecallHoldsOnly) =>
            {
                Some(self.asked[&movement.id])
            }
            _ => None,
        };
        Some(records.take_while(|record| !self.ends_recall(record, asked)).filter_map(placed).collect())
    }

    /// The payment that a hold or a transfer here is of.
    pub(crate) fn told(&self, id: PaymentId) -> Terms {
        self.asked[&id]
    }

    fn ends_recall(&self, record: &Record, asked: Recalled) -> bool {
        let Recall { epoch, complete_through } = asked.recall;
        let complete_through = complete_through * self.lot.numbers_apart;
        match (self.control, record.body) {
            (Some(Control::RecallByClock), _) => record.time_ms < BEGIN_MS + asked.since_ms,
            (Some(Control::RecallToLowerFence), Body::FenceRaised { fence, .. }) => {
                fence.complete_through < complete_through
            }
            (Some(Control::RecallPastCopies), Body::FenceRaised { fence, .. }) => {
                fence.ends_recall(u32::MAX, complete_through)
            }
            (Some(Control::RecallPastReplays), Body::FenceRaised { fence, .. }) => {
                Fence { caught_up: 0, ..fence }.ends_recall(epoch.get(), complete_through)
            }
            (_, Body::FenceRaised { fence, .. }) => fence.ends_recall(epoch.get(), complete_through),
            (_, _) => false,
        }
    }

    /// Holds of at least that age, for asking the gateway.
    pub(crate) fn old_holds(&self, age_ms: u64, now_ms: u64) -> Vec<Terms> {
        let now_ms = match self.control {
            Some(Control::OldHoldsByTime) => BEGIN_MS + now_ms,
            Some(_) | None => self.log_time_ms(now_ms),
        };
        self.ledger
            .holds(None)
            .filter(|hold| hold.time_ms.saturating_add(age_ms) <= now_ms)
            .map(|hold| self.asked[&hold.movement.id])
            .collect()
    }

    /// What the gateway answered to the question about an old hold.
    pub(crate) fn end(&mut self, id: PaymentId, post: bool, now_ms: u64) {
        let end =
            if post { Command::PostHold { id, placer: placer() } } else { Command::VoidHold { id, placer: placer() } };
        let outcome = self.apply(end, now_ms).outcome;
        let ended_otherwise = matches!(
            outcome.rejection(),
            Some(Rejected::HoldAlreadyPosted | Rejected::HoldAlreadyVoided | Rejected::HoldNotFound)
        );
        assert!(!ended_otherwise || !matches!(outcome, Outcome::HoldPosted { .. }));
    }

    /// What its customers and `suspense` have together: money that is somebody's.
    pub(crate) fn money(&self) -> i128 {
        let is_somebodys =
            |account: &ledger::AccountView<'_>| matches!(account.internal, None | Some(ledger::Internal::Suspense));
        self.ledger.accounts(0).filter(is_somebodys).map(|account| account.balances.balance()).sum()
    }

    /// What was debited from a customer's account, for good: ids and amounts; and the account, for messages.
    pub(crate) fn debits(&self, customer: &str) -> (String, Vec<(PaymentId, Amount)>) {
        let account = account(&CustomerName::new(customer).expect("a good name"));
        let debit = |bytes: &RecordBytes| match Record::decode(bytes).expect("the ledger wrote it").body {
            Body::TransferPosted { movement, .. } | Body::HoldPosted { movement, .. } if movement.debit == account => {
                Some((movement.id, movement.amount))
            }
            _ => None,
        };
        let debits = self.journal.records.iter().filter_map(debit).collect();
        (crate::sim::account_text(account, self.name.as_str()), debits)
    }

    /// What it owes another bank.
    pub(crate) fn owes(&self, other: &BankName) -> i128 {
        let account = self.ledger.account(AccountId::interbank(other.as_str(), Currency::EUR));
        account.map_or(0, |account| account.balances.balance())
    }
}

fn replayed((placer, number): (Option<Placer>, Option<NonZeroU64>), command: Command) -> Command {
    let Movement { id, debit, credit, amount, currency, reference } = command.movement().expect("it moves money");
    Command::Replay { id, placer, number, debit, credit, amount, currency, reference }
}

fn placer() -> Placer {
    Placer::named("gateway")
}

fn party(party: &NamedParty) -> AccountId {
    match &party.holder {
        Holder::Customer(name) => account(name),
        Holder::House => AccountId::vault(Currency::EUR),
    }
}

fn account(name: &CustomerName) -> AccountId {
    let id = name.as_str().bytes().fold(1u128, |id, byte| id << 8 | u128::from(byte));
    AccountId::new(id | 1 << 120).expect("not nil")
}
