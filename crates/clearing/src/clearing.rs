//! The gateway's state machine, and the questions that can be asked of it.
//!
//! Told the same requests in the same order, two of them are equal, and leave the same journal.

use crate::bank::{Bank, Recall, SigningKey};
use crate::checkpoint::{self, Slice};
use crate::command::Command;
use crate::names::{BankName, BankNumber, Epoch, KeyId, SessionId};
use crate::order::{Order, Party, PaymentId, Side, Terms};
use crate::outcome::Answer;
use crate::payment::Payment;
use crate::position::{Position, PositionKey};
use crate::record::{decision_key, idempotency_key, payment_key};
use crate::request::{Malformed, Request};
use crate::rules::Rules;
use crate::session::Session;
use crate::settings::Settings;
use crate::state::State;
use ledger::{Context, JournalPort, RecordKey};

/// Payments between banks, sessions, keys, positions, settings: all that the gateway's group replicates.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Clearing {
    pub(crate) state: State,
}

impl Default for Clearing {
    fn default() -> Clearing {
        Clearing::new()
    }
}

impl Clearing {
    /// A network without banks, in its first incarnation.
    pub fn new() -> Clearing {
        Clearing { state: State::new() }
    }

    /// Switches one rule off, or all on again.
    #[cfg(feature = "controls")]
    pub fn set_control(&mut self, control: Option<crate::control::Control>) {
        self.state.control = control;
    }

    /// Names the keys whose records must be at hand when the request is applied. Repetitions are possible.
    ///
    /// # Errors
    /// When the bytes are no request.
    pub fn keys_of_request(request: &[u8], mut name: impl FnMut(RecordKey)) -> Result<(), Malformed> {
        for command in &Request::decode(request)?.commands {
            Clearing::keys_of(command, &mut name);
        }
        Ok(())
    }

    /// Acknowledgements, nearly half of all commands, need only what is in memory.
    fn keys_of(command: &Command, name: &mut impl FnMut(RecordKey)) {
        let needs_none = matches!(command, Command::Delivered { .. } | Command::Acknowledge { .. });
        if let Command::ClaimKey { key, .. } = command {
            name(idempotency_key(*key));
        }
        if let Some(id) = command.payment().filter(|_| !needs_none) {
            name(payment_key(id));
            name(decision_key(id));
        }
    }

    /// Carries out an encoded request. Bytes that are no request change nothing.
    ///
    /// # Errors
    /// When the bytes are no request.
    pub fn apply<J: JournalPort + ?Sized>(
        &mut self,
        context: Context,
        request: &[u8],
        journal: &mut J,
    ) -> Result<Vec<Answer>, Malformed> {
        Ok(self.apply_request(context, &Request::decode(request)?, journal))
    }

    /// Carries out a request: one answer for each command, in order.
    pub fn apply_request<J: JournalPort + ?Sized>(
        &mut self,
        context: Context,
        request: &Request,
        journal: &mut J,
    ) -> Vec<Answer> {
        let mut rules = Rules::new(&mut self.state, context, journal);
        request.commands.iter().map(|command| rules.carry_out(command)).collect()
    }

    /// The gateway's incarnation.
    pub fn epoch(&self) -> Epoch {
        self.state.epoch
    }

    /// Time of the newest record, milliseconds since 1970 UTC.
    pub fn time_ms(&self) -> u64 {
        self.state.time_ms
    }

    pub fn settings(&self) -> &Settings {
        &self.state.settings
    }

    /// Banks in the order of their registration.
    pub fn banks(&self) -> &[Bank] {
        &self.state.banks
    }

    pub fn bank(&self, number: BankNumber) -> Option<&Bank> {
        self.state.banks.get(usize::from(number.get()) - 1)
    }

    pub fn bank_named(&self, name: &BankName) -> Option<&Bank> {
        self.state.bank_named(name)
    }

    /// The banks that a restored gateway has yet to ask, and what for.
    pub fn to_recall(&self) -> impl Iterator<Item = (&Bank, Recall)> {
        self.state.banks.iter().filter_map(|bank| Some((bank, self.state.unrecalled(bank.number)?)))
    }

    /// The banks that it has yet to ask for what they set aside with one other bank, that other one, and what for.
    pub fn to_recall_with(&self) -> impl Iterator<Item = (&Bank, &Bank, Recall)> {
        let bank = |number| self.state.bank(number);
        self.state.recall_with.iter().map(move |((number, other), recall)| (bank(*number), bank(*other), *recall))
    }

    /// A session, ended or not; expired ones may be forgotten.
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.state.sessions.of(id)
    }

    /// The sessions of a customer that are good now.
    pub fn live_sessions(&self, customer: &Party, now_ms: u64) -> impl Iterator<Item = (SessionId, &Session)> {
        self.state.sessions.of_customer(customer).filter(move |(_, session)| session.is_live(now_ms))
    }

    /// The public keys that tokens may be signed with now.
    pub fn keys(&self, now_ms: u64) -> impl Iterator<Item = &SigningKey> {
        self.state.keys.values().filter(move |key| !key.retired && now_ms < key.expires_ms)
    }

    /// Whether there is what the ids behind idempotency keys are made of.
    pub fn has_seed(&self) -> bool {
        self.state.seed.is_some()
    }

    /// A public key that is kept, also one that was retired.
    pub fn kept_key(&self, id: KeyId) -> Option<&SigningKey> {
        self.state.keys.get(&id)
    }

    /// Whether an operator has still to look at that payment.
    pub fn is_listed(&self, id: PaymentId) -> bool {
        self.state.listed.contains(&id)
    }

    /// A payment that is on its way.
    pub fn payment(&self, id: PaymentId) -> Option<&Payment> {
        self.state.payments.get(&id)
    }

    /// Payments on their way, by id.
    pub fn payments(&self) -> impl Iterator<Item = &Payment> {
        self.state.payments.values()
    }

    pub fn payment_count(&self) -> u64 {
        self.state.payments.len() as u64
    }

    /// Payments that were decided without knowing what had been decided before, and that no operator has seen yet.
    pub fn listed(&self) -> impl Iterator<Item = PaymentId> {
        self.state.listed.iter().copied()
    }

    /// How many those are.
    pub fn listed_count(&self) -> usize {
        self.state.listed.len()
    }

    /// Payments that an operator voided at the risk that they are paid, with the side whose bank says that it has posted, until an
    /// operator has seen them.
    pub fn contradicted(&self) -> impl Iterator<Item = (PaymentId, Side)> {
        self.state.contradicted.iter().copied()
    }

    /// What two banks owe each other, by pair and currency.
    pub fn positions(&self) -> impl Iterator<Item = (&PositionKey, &Position)> {
        self.state.positions.iter()
    }

    /// The payment as the world names it, as it travels with every call.
    pub fn terms(&self, order: &Order) -> Terms {
        self.state.terms(order)
    }

    /// A digest of the whole state: equal in every node that applied the same slots.
    pub fn digest(&self) -> [u8; 32] {
        self.digest_of(Slice::WHOLE)
    }

    /// A digest of one of `of` slices of the state; all slices together leave nothing out.
    pub fn slice_digest(&self, slice: u64, of: u64) -> [u8; 32] {
        assert!(slice < of, "there are {of} slices, numbered from 0");
        self.digest_of(Slice { slice, of })
    }

    fn digest_of(&self, slice: Slice) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        checkpoint::entries(self, slice, &mut |key, value| feed(&mut hasher, key, value));
        *hasher.finalize().as_bytes()
    }
}

/// Lengths go first, so that no two sequences of entries are hashed alike.
fn feed(hasher: &mut blake3::Hasher, key: &[u8], value: &[u8]) {
    for bytes in [key, value] {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    }
}
