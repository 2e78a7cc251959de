//! The rules of the gateway: what becomes of each command.
//!
//! Every command goes the same way: what had its outcome before is answered with it; otherwise the checks run, in the
//! order of their precedence, and then a record says what happened. The tables, first check first:
//!
//! ```text
//! take    NoSession · SessionEnded · SessionExpired · (replay, IdReused) · DeadlinePassed · TooManyRefused
//!         · BankRestoring (payer's, payee's; also of a bank that has yet to be asked what it holds since the gateway was
//!         restored)
//!         · BankBusy (payer's, payee's) · PayerBusy           leave no record
//!         then UnknownBank · OwnAccount · LimitExceeded · CapExceeded     are on record and stay
//! cancel  NoSession · SessionEnded · SessionExpired · IdReused · TooManyRefused (of an id that is not known)
//!         · UnknownBank · BankRestoring · BankBusy · Full
//! report  StaleEpoch (gateway's, then each bank's) · UnknownPayment
//! void    UnknownPayment · MayBePaid (by hand, of a payment that a restored gateway may have decided to post, unless the
//!         operator takes that risk)
//! resolve UnknownBank · NotYours · IdReused · BankRestoring · BankBusy · Full
//! key     NoSession · SessionEnded · SessionExpired · KeyReused
//! ```
//!
//! A record is the only thing that changes state, and the only thing that moves time: a batch that leaves no record does
//! not, so a node made again from records agrees with one that never stopped.

mod charges;
mod decide;
mod look;
mod network;
mod payments;
mod sessions;

use crate::bank::SigningKey;
use crate::bytes::U48_MAX;
use crate::command::Command;
use crate::outcome::{Answer, Outcome, Refusal};
use crate::record::{Body, Record, record_key};
use crate::state::State;
use ledger::{Context, JournalPort, RecordKey};
use look::Look;
use network::lift;
use sessions::Until;

/// One batch's look at state and journal.
pub(crate) struct Rules<'a, J: JournalPort + ?Sized> {
    state: &'a mut State,
    journal: &'a mut J,
    slot: u64,
    now_ms: u64,
}

/// What a rule comes to: an outcome, new or repeated, or a refusal.
type Ruling = Result<Answer, Refusal>;

impl<'a, J: JournalPort + ?Sized> Rules<'a, J> {
    pub(crate) fn new(state: &'a mut State, context: Context, journal: &'a mut J) -> Rules<'a, J> {
        // A clock is somebody's word: past what a record can hold it counts as the last moment that one can.
        let now_ms = state.time_ms.max(context.time_ms.min(U48_MAX));
        Rules { state, journal, slot: context.slot, now_ms }
    }

    pub(crate) fn carry_out(&mut self, command: &Command) -> Answer {
        let ruling = match command {
            Command::BeginEpoch { epoch } => self.begin_epoch(*epoch),
            Command::RegisterBank { name, group, epoch, last_number } => {
                self.register_bank(*name, *group, *epoch, *last_number)
            }
            Command::BankCaughtUp { name, epoch } => self.bank_caught_up(name, *epoch),
            Command::BankRecalled { name, epoch } => self.bank_recalled(name, *epoch),
            Command::RecallWith { name, other, epoch } => self.recall_with((name, other), *epoch),
            Command::BankRecalledWith { name, other, epoch } => self.bank_recalled_with((name, other), *epoch),
            Command::OpenSession { session, customer, expires_ms, open_by_ms } => {
                let until = Until { open_by_ms: *open_by_ms, expires_ms: *expires_ms };
                self.open_session(*session, customer, until)
            }
            Command::EndSession { session } => self.end_session(*session),
            Command::AddKey { key, node, public, expires_ms } => self.add_key(SigningKey {
                id: *key,
                node: *node,
                public: *public,
                expires_ms: *expires_ms,
                retired: false,
            }),
            Command::KeepSeed { seed } => Ok(self.keep_seed(*seed)),
            Command::RetireKey { key } => self.retire_key(*key),
            Command::Take { request, deadline_ms, taker } => self.take(request, *deadline_ms, *taker),
            Command::Cancel { request, taker } => self.cancel(request, *taker),
            Command::Settle { id, debtor, creditor, amount, currency, taker } => {
                let order = self.settlement(*id, (debtor, creditor), *amount, *currency);
                order.and_then(|order| self.settle(&order, *taker))
            }
            Command::Report { id, gateway, found } => self.report(*id, *gateway, found),
            Command::TimeOut { id } => self.time_out(*id),
            Command::VoidByHand { id, operator, risk } => self.void_by_hand(*id, *operator, *risk),
            Command::Delivered { id, side, epoch } => self.delivered(*id, *side, *epoch),
            Command::Resolve { bank, terms, taker } => self.resolve(bank, terms, *taker),
            Command::Acknowledge { id } => Ok(self.acknowledge(*id)),
            Command::ClaimKey { session, key, digest, base } => self.claim_key(*session, *key, (*digest, *base)),
            Command::ChangeSetting { expected_version, change } => self.change_setting(*expected_version, *change),
        };
        ruling.unwrap_or_else(Answer::Refused)
    }

    /// Puts a record into the journal and does what it says.
    fn write(&mut self, body: Body) {
        let place = self.journal.next_place();
        let record = Record { time_ms: self.now_ms, slot: self.slot, place, body };
        let bytes = record.encode();
        let pushed = self.journal.push(record_key(&bytes), &bytes);
        assert_eq!(pushed, place, "a record goes to the place that it names");
        self.state.absorb(&record);
    }

    #[expect(
        clippy::expect_used,
        reason = "the applier hands out only records that decode: StateMachine::check_record"
    )]
    fn find(&self, key: RecordKey) -> Option<Body> {
        let bytes = self.journal.find(key)?;
        Some(Record::decode(&bytes).expect("the journal returns what the gateway wrote").body)
    }

    /// What is answered without a record.
    fn look(&self) -> Look<'_, impl FnMut(RecordKey) -> Option<Body>> {
        Look { state: self.state, now_ms: self.now_ms, find: |key| self.find(key) }
    }
}

fn done(outcome: Outcome) -> Answer {
    Answer::Done { outcome, replay: false }
}

fn replay(outcome: Outcome) -> Answer {
    Answer::Done { outcome, replay: true }
}
