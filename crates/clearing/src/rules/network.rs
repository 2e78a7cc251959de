//! Incarnations, banks, keys and settings.

use super::{Rules, Ruling, done, replay};
use crate::bank::{Bank, BankBucket, Recall, SigningKey, Standing};
use crate::names::{BankName, BankNumber, Epoch, GroupId, KeyId};
use crate::order::PaymentId;
use crate::outcome::{Answer, Outcome, Refusal};
use crate::record::Body;
use crate::settings::{SettingChange, Settings};
use ledger::JournalPort;

/// Every node of the gateway looks at every bank now and then.
const BANKS_MAX: usize = 1_000;
/// A handful of nodes, each with a key in use, one to come and some that are running out.
const KEYS_MAX: usize = 64;

impl<J: JournalPort + ?Sized> Rules<'_, J> {
    pub(super) fn begin_epoch(&mut self, epoch: Epoch) -> Ruling {
        let known = self.state.epoch;
        if epoch == known {
            return Ok(replay(Outcome::EpochBegan { epoch }));
        }
        if epoch < known {
            return Err(Refusal::StaleEpoch { known });
        }
        // What is complete rises while banks are asked, so it is kept as it is now. Who was not asked yet in the incarnation
        // before is asked for as much.
        let asked = self.state.banks.iter().filter(|bank| self.state.unrecalled(bank.number).is_none());
        let recall = |bank: &Bank| Recall { epoch: known, complete_through: self.state.complete_through(bank.number) };
        let changed: Vec<_> =
            asked.filter(|bank| bank.recall != recall(bank)).map(|bank| (bank.number, recall(bank))).collect();
        for (number, recall) in changed {
            self.write(Body::BankToRecall { number, recall });
        }
        self.write(Body::EpochBegan { epoch, since_ms: 0 });
        Ok(done(Outcome::EpochBegan { epoch }))
    }

    pub(super) fn register_bank(&mut self, name: BankName, group: GroupId, epoch: Epoch, last_number: u64) -> Ruling {
        if let Some(answer) = self.look().register_bank(&name, group, epoch)? {
            return Ok(answer);
        }
        let (number, standing) = match self.state.bank_named(&name) {
            None if self.state.banks.len() == BANKS_MAX => return Err(Refusal::Full),
            None => (self.next_bank()?, Standing::Live),
            Some(bank) if last_number >= bank.last_number => (bank.number, Standing::Live),
            Some(bank) => (bank.number, Standing::Restored { after: last_number, through: bank.last_number }),
        };
        let lifted = self.state.bank_named(&name).map(|bank| lift(bank, epoch));
        let registered_in = self.state.epoch;
        self.write(Body::BankRegistered { number, name, group, epoch, standing, registered_in });
        match lifted {
            Some(tokens) => self.charge_bank(number, BankBucket::Lifts, tokens),
            None => self.ask_others_about(number),
        }
        Ok(done(Outcome::BankRegistered { number, epoch }))
    }

    /// A bank that was restored, and that this gateway does not know, may have lost what the others told of it, and no state of
    /// the gateway's ever had anything of that: they are asked for all of it, now that it has a number. One that was never
    /// restored tells of everything itself.
    fn ask_others_about(&mut self, newcomer: BankNumber) {
        if self.state.epoch == Epoch::FIRST || self.state.bank(newcomer).epoch == Epoch::FIRST {
            return;
        }
        let others: Vec<BankNumber> =
            self.state.banks.iter().map(|bank| bank.number).filter(|number| *number != newcomer).collect();
        for number in others {
            self.write(Body::BankToRecallWith { number, other: newcomer, recall: Recall::WHOLE });
        }
    }

    /// The banks of a pair, in the gateway's present incarnation.
    fn pair(&self, (name, other): (&BankName, &BankName), epoch: Epoch) -> Result<(BankNumber, BankNumber), Refusal> {
        let number = |name: &BankName| Ok(self.state.bank_named(name).ok_or(Refusal::UnknownBank)?.number);
        let pair = (number(name)?, number(other)?);
        if epoch == self.state.epoch { Ok(pair) } else { Err(Refusal::StaleEpoch { known: self.state.epoch }) }
    }

    pub(super) fn recall_with(&mut self, names: (&BankName, &BankName), epoch: Epoch) -> Ruling {
        let (number, other) = self.pair(names, epoch)?;
        // Of whoever was asked for everything nothing is left to be told later.
        let is_over = self.state.unrecalled(number).is_none() || number == other;
        if is_over || self.state.is_unrecalled_with((number, other)) {
            return Ok(replay(Outcome::BankRecalled));
        }
        let recall = self.state.bank(number).recall;
        self.write(Body::BankToRecallWith { number, other, recall });
        Ok(done(Outcome::BankRecalled))
    }

    pub(super) fn bank_recalled_with(&mut self, names: (&BankName, &BankName), epoch: Epoch) -> Ruling {
        let (number, other) = self.pair(names, epoch)?;
        if !self.state.is_unrecalled_with((number, other)) {
            return Ok(replay(Outcome::BankRecalled));
        }
        self.write(Body::BankRecalledWith { number, other });
        Ok(done(Outcome::BankRecalled))
    }

    /// The number of the next bank; none is left when there are as many as numbers.
    fn next_bank(&self) -> Result<BankNumber, Refusal> {
        let number = u16::try_from(self.state.banks.len().saturating_add(1)).ok();
        number.and_then(BankNumber::new).ok_or(Refusal::Full)
    }

    pub(super) fn bank_caught_up(&mut self, name: &BankName, epoch: Epoch) -> Ruling {
        if let Some(answer) = self.look().bank_caught_up(name, epoch)? {
            return Ok(answer);
        }
        let number = self.state.bank_named(name).ok_or(Refusal::UnknownBank)?.number;
        self.write(Body::BankCaughtUp { number });
        Ok(done(Outcome::BankCaughtUp))
    }

    pub(super) fn bank_recalled(&mut self, name: &BankName, epoch: Epoch) -> Ruling {
        let number = self.state.bank_named(name).ok_or(Refusal::UnknownBank)?.number;
        if epoch != self.state.epoch {
            return Err(Refusal::StaleEpoch { known: self.state.epoch });
        }
        if self.state.unrecalled(number).is_none() {
            return Ok(replay(Outcome::BankRecalled));
        }
        self.write(Body::BankRecalled { number, epoch });
        Ok(done(Outcome::BankRecalled))
    }

    pub(super) fn add_key(&mut self, new: SigningKey) -> Ruling {
        let SigningKey { id: key, node, public, expires_ms, retired: _ } = new;
        if let Some(known) = self.state.keys.get(&key) {
            let is_same = (known.node, known.public, known.expires_ms) == (node, public, expires_ms);
            return if is_same { Ok(replay(Outcome::KeyKept)) } else { Err(Refusal::IdReused) };
        }
        if expires_ms <= self.now_ms {
            return Err(Refusal::Expired);
        }
        self.forget_keys();
        if self.state.keys.len() >= KEYS_MAX {
            return Err(Refusal::Full);
        }
        self.write(Body::KeyKept { key, node, public, expires_ms });
        Ok(done(Outcome::KeyKept))
    }

    fn forget_keys(&mut self) {
        let now_ms = self.now_ms;
        let over: Vec<KeyId> =
            self.state.keys.values().filter(|key| key.expires_ms <= now_ms).map(|key| key.id).collect();
        for key in over {
            self.write(Body::KeyForgotten { key });
        }
    }

    pub(super) fn retire_key(&mut self, key: KeyId) -> Ruling {
        match self.state.keys.get(&key) {
            Some(known) if !known.retired => {
                self.write(Body::KeyRetired { key });
                Ok(done(Outcome::KeyRetired))
            }
            // What is not known has run out, or never was: nothing is signed with it either way.
            Some(_) | None => Ok(replay(Outcome::KeyRetired)),
        }
    }

    pub(super) fn change_setting(&mut self, expected: u64, change: SettingChange) -> Ruling {
        if self.state.settings.entry(expected).is_some_and(|entry| entry.change == change) {
            return Ok(replay(Outcome::SettingChanged { version: expected + 1 }));
        }
        let actual = self.state.settings.version();
        if expected != actual {
            return Err(Refusal::VersionMismatch { actual });
        }
        if actual >= Settings::ENTRIES_MAX {
            return Err(Refusal::Full);
        }
        if !change.is_in_range() {
            return Err(Refusal::OutOfRange);
        }
        self.write(Body::SettingChanged { replaced_version: actual, change });
        Ok(done(Outcome::SettingChanged { version: actual + 1 }))
    }

    pub(super) fn acknowledge(&mut self, id: PaymentId) -> Answer {
        if !self.state.listed.contains(&id) {
            return replay(Outcome::Acknowledged);
        }
        self.write(Body::Acknowledged { id });
        done(Outcome::Acknowledged)
    }
}

/// How many incarnations a bank that registers anew goes on.
pub(super) fn lift(bank: &Bank, epoch: Epoch) -> u64 {
    u64::from(epoch.get().saturating_sub(bank.epoch.get()))
}
