//! Incarnations, banks, keys and settings.

use super::{Rules, Ruling, done, replay};
use crate::bank::{Recall, Standing};
use crate::command::Command;
use crate::names::{BankName, BankNumber, Epoch, GroupId, KeyId};
use crate::order::PaymentId;
use crate::outcome::{Answer, Outcome, Refusal};
use crate::record::Body;
use crate::settings::{SettingChange, Settings};
use ledger::JournalPort;

/// Every node of the gateway looks at every bank now and then.
const BANKS_MAX: usize = 1_000;
/// Clocks of banks and gateway differ by less.
const CLOCKS_DIFFER_MS: u64 = 60_000;
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
        // Who was not asked yet in the incarnation before is asked for as much now.
        let before = self.state.banks.iter().find_map(|bank| self.state.unrecalled(bank.number));
        let newest_ms = self.state.time_ms.saturating_sub(CLOCKS_DIFFER_MS).max(1);
        let since_ms = before.map_or(newest_ms, |recall| recall.since_ms.min(newest_ms));
        self.write(Body::EpochBegan { epoch, recall: Some(Recall { since_ms }) });
        Ok(done(Outcome::EpochBegan { epoch }))
    }

    pub(super) fn register_bank(&mut self, name: BankName, group: GroupId, epoch: Epoch, last_number: u64) -> Ruling {
        let (number, standing) = match self.state.bank_named(&name) {
            None if self.state.banks.len() == BANKS_MAX => return Err(Refusal::Full),
            None => (self.next_bank(), Standing::Live),
            Some(bank) if bank.group != group => return Err(Refusal::NameTaken),
            Some(bank) if epoch < bank.epoch => return Err(Refusal::StaleEpoch { known: bank.epoch }),
            Some(bank) if epoch == bank.epoch => {
                return Ok(replay(Outcome::BankRegistered { number: bank.number, epoch }));
            }
            Some(bank) if last_number >= bank.last_number => (bank.number, Standing::Live),
            Some(bank) => (bank.number, Standing::Restored { after: last_number, through: bank.last_number }),
        };
        self.write(Body::BankRegistered { number, name, group, epoch, standing });
        Ok(done(Outcome::BankRegistered { number, epoch }))
    }

    fn next_bank(&self) -> BankNumber {
        let number = u16::try_from(self.state.banks.len() + 1).expect("there are few banks");
        BankNumber::new(number).expect("counted from one")
    }

    pub(super) fn bank_caught_up(&mut self, name: &BankName, epoch: Epoch) -> Ruling {
        let bank = *self.state.bank_named(name).ok_or(Refusal::UnknownBank)?;
        if bank.epoch != epoch {
            return Err(Refusal::StaleEpoch { known: bank.epoch });
        }
        if bank.standing == Standing::Live {
            return Ok(replay(Outcome::BankCaughtUp));
        }
        self.write(Body::BankCaughtUp { number: bank.number });
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

    pub(super) fn add_key(&mut self, command: &Command) -> Ruling {
        let Command::AddKey { key, node, public, expires_ms } = *command else { unreachable!("the caller matched it") };
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
