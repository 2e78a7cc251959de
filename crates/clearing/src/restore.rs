//! A state made of a checkpoint's entries: see [`crate::checkpoint`] for what they are.

use crate::bank::{Bank, BankBucket, SigningKey, Standing};
use crate::bytes::{Bad, In, Stored};
use crate::checkpoint::VERSION;
use crate::clearing::Clearing;
use crate::control::Control;
use crate::finding::Vote;
use crate::invariant::Broken;
use crate::names::{BankName, BankNumber, KeyId, SessionId};
use crate::order::{Order, Pair, Party, PaymentId, Side};
use crate::payment::{Cause, Origin, Payment, Phase, take_owed};
use crate::position::PositionKey;
use crate::record::take_registered_in;
use crate::session::Session;
use crate::settings::SettingEntry;

/// Why a checkpoint's entries are no state of the gateway.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("the checkpoint has an entry of unknown kind {kind:#04x}")]
    Kind { kind: u8 },
    #[error("an entry of kind {kind} has a {bad}")]
    Field { kind: char, bad: Bad },
    #[error("an entry of kind {kind} comes out of order, or one before it is missing")]
    Order { kind: char },
    #[error("the checkpoint's state is not sound: {broken}")]
    Unsound { broken: Broken },
}

impl Clearing {
    /// Takes the next entry into a state that is being restored; entries come sorted by key.
    ///
    /// # Errors
    /// When it is none of the gateway's, or comes out of order.
    pub fn restore_entry(&mut self, key: &[u8], value: &[u8]) -> Result<(), RestoreError> {
        let (kind, id) = key.split_first().ok_or(RestoreError::Kind { kind: 0 })?;
        let shown = char::from(*kind);
        let field = |bad| RestoreError::Field { kind: shown, bad };
        let mut fields = Fields { kind: shown, id: In::new(id), value: In::new(value) };
        if fields.value.u8("version").map_err(field)? != VERSION {
            return Err(field(Bad { field: "version" }));
        }
        match kind {
            b'B' => self.restore_bank(&mut fields)?,
            b'C' => {
                let number = fields.bank()?;
                self.known_bank(number, &fields)?.standing = Standing::Live;
            }
            b'D' => {
                let number = fields.bank()?;
                let epoch = fields.take()?;
                self.known_bank(number, &fields)?.recalled = epoch;
            }
            b'E' => {
                self.state.epoch = fields.take()?;
                if !fields.value.is_empty() {
                    fields.value.u48("time").map_err(field)?;
                }
            }
            b'F' => {
                let payer: Party = fields.id.value().map_err(field)?;
                fields.id.end().map_err(field)?;
                self.known_bank(payer.bank, &fields)?;
                self.state.charges.put(payer, fields.value.u64("time").map_err(field)?);
            }
            b'G' => {
                let number = fields.bank()?;
                let recall = fields.take()?;
                self.known_bank(number, &fields)?.recall = recall;
            }
            b'H' => self.state.seed = Some(fields.take()?),
            b'I' => {
                let number = fields.bank()?;
                let bucket: BankBucket = fields.id.value().map_err(field)?;
                let full_at_us = fields.value.u64("time").map_err(field)?;
                *self.known_bank(number, &fields)?.full_at_us.of_mut(bucket) = full_at_us;
            }
            b'J' => {
                let (number, other) = (fields.bank()?, fields.bank()?);
                fields.id.end().map_err(field)?;
                self.known_bank(number, &fields)?;
                self.known_bank(other, &fields)?;
                let recall = fields.take()?;
                self.state.recall_with.insert((number, other), recall);
            }
            b'K' => self.restore_key(&mut fields)?,
            b'L' => drop(self.state.listed.insert(fields.payment()?)),
            b'N' => {
                let number = fields.bank()?;
                let newest = (fields.value.u64("number").map_err(field)?, fields.value.u48("place").map_err(field)?);
                let bank = self.known_bank(number, &fields)?;
                (bank.last_number, bank.last_place) = (newest.0, Some(newest.1));
            }
            b'O' => {
                let position: PositionKey = fields.id.value().map_err(field)?;
                let low_owes = fields.value.i128("position").map_err(field)?;
                self.state.positions.entry(position).or_default().low_owes = low_owes;
            }
            b'P' => self.restore_payment(&mut fields)?,
            b'Q' | b'V' | b'W' => self.restore_phase(*kind, &mut fields)?,
            b'R' => {
                let id = KeyId::new(fields.narrow()?).ok_or(field(Bad { field: "key" }))?;
                self.state.keys.get_mut(&id).ok_or(fields.out_of_order())?.retired = true;
            }
            b'S' => self.restore_setting(&mut fields)?,
            b'T' => self.state.time_ms = fields.value.u48("time").map_err(field)?,
            b'U' => self.restore_session(&mut fields)?,
            b'X' => {
                let id = SessionId::new(fields.wide()?).ok_or(field(Bad { field: "session" }))?;
                if !self.state.sessions.end(id) {
                    return Err(fields.out_of_order());
                }
            }
            b'Y' => {
                let id = fields.payment()?;
                let side: Side = fields.id.value().map_err(field)?;
                self.state.contradicted.insert((id, side));
            }
            kind => return Err(RestoreError::Kind { kind: *kind }),
        }
        fields.value.end().map_err(field)
    }

    /// Ends a restore: counts what the checkpoint does not store, and looks whether the state is sound.
    ///
    /// # Errors
    /// When the entries do not fit together.
    pub fn finish_restore(&mut self) -> Result<(), RestoreError> {
        let state = &mut self.state;
        let payments = std::mem::take(&mut state.payments);
        for (_, mut payment) in payments {
            let is_forgotten = state.is_off(Control::ForgetOnRestart);
            if payment.epoch < state.epoch && !state.is_off(Control::PresumeAfterRestore) {
                payment.forget_old_votes(state.epoch);
            }
            if !is_forgotten {
                state.admit(payment);
            }
        }
        crate::invariant::check(self).map_err(|broken| RestoreError::Unsound { broken })
    }

    fn restore_bank(&mut self, fields: &mut Fields<'_>) -> Result<(), RestoreError> {
        let number = fields.bank()?;
        let name: BankName = fields.take()?;
        let (group, epoch, standing) = (fields.take()?, fields.take()?, fields.take()?);
        let registered_in =
            take_registered_in(&mut fields.value).map_err(|bad| RestoreError::Field { kind: 'B', bad })?;
        if usize::from(number.get()) != self.state.banks.len() + 1 || self.state.bank_names.contains_key(&name) {
            return Err(fields.out_of_order());
        }
        self.state.put_bank(number, name, |bank| {
            (bank.group, bank.epoch) = (group, epoch);
            bank.registered_as(standing, registered_in);
        });
        Ok(())
    }

    fn restore_key(&mut self, fields: &mut Fields<'_>) -> Result<(), RestoreError> {
        let bad = |bad| RestoreError::Field { kind: 'K', bad };
        let id = KeyId::new(fields.narrow()?).ok_or(bad(Bad { field: "key" }))?;
        let node = fields.take()?;
        let public = fields.value.array("public key").map_err(bad)?;
        let expires_ms = fields.value.u64("expiry").map_err(bad)?;
        self.state.keys.insert(id, SigningKey { id, node, public, expires_ms, retired: false });
        Ok(())
    }

    fn restore_session(&mut self, fields: &mut Fields<'_>) -> Result<(), RestoreError> {
        let bad = |bad| RestoreError::Field { kind: 'U', bad };
        let id = SessionId::new(fields.wide()?).ok_or(bad(Bad { field: "session" }))?;
        let customer: Party = fields.take()?;
        let opened_ms = fields.value.u48("time").map_err(bad)?;
        let expires_ms = fields.value.u64("expiry").map_err(bad)?;
        self.known_bank(customer.bank, fields)?;
        if self.state.sessions.of(id).is_some() {
            return Err(fields.out_of_order());
        }
        self.state.sessions.put(id, Session { customer, opened_ms, expires_ms, ended: false });
        Ok(())
    }

    fn restore_setting(&mut self, fields: &mut Fields<'_>) -> Result<(), RestoreError> {
        let bad = |bad| RestoreError::Field { kind: 'S', bad };
        if fields.narrow()? != self.state.settings.version() {
            return Err(fields.out_of_order());
        }
        let change = fields.take()?;
        let time_ms = fields.value.u48("time").map_err(bad)?;
        let place = fields.value.u48("place").map_err(bad)?;
        self.state.settings.push(SettingEntry { change, time_ms, place });
        Ok(())
    }

    fn restore_payment(&mut self, fields: &mut Fields<'_>) -> Result<(), RestoreError> {
        let bad = |bad| RestoreError::Field { kind: 'P', bad };
        let id = fields.payment()?;
        let (order, origin): (Order, Origin) = (fields.take()?, fields.take()?);
        let debit = fields.value.u64("number").map_err(bad)?;
        let credit = fields.value.u64("number").map_err(bad)?;
        let (epoch, taker) = (fields.take()?, fields.take()?);
        let taken_ms = fields.value.u48("time").map_err(bad)?;
        let vote_by_ms = fields.value.u64("time").map_err(bad)?;
        let place = fields.value.u48("place").map_err(bad)?;
        for side in Side::BOTH {
            self.known_bank(order.bank(side), fields)?;
        }
        if order.id != id {
            return Err(bad(Bad { field: "id" }));
        }
        let (numbers, phase) = (Pair { debit, credit }, Payment::first_phase(&order, origin));
        let payment = Payment { order, origin, numbers, epoch, taker, taken_ms, vote_by_ms, place, phase };
        self.state.payments.insert(id, payment);
        Ok(())
    }

    /// What came after a payment's taking.
    fn restore_phase(&mut self, kind: u8, fields: &mut Fields<'_>) -> Result<(), RestoreError> {
        let bad = |bad| RestoreError::Field { kind: char::from(kind), bad };
        let id = fields.payment()?;
        let out_of_order = fields.out_of_order();
        let payment = self.state.payments.get_mut(&id).ok_or(out_of_order.clone())?;
        match (kind, &mut payment.phase) {
            (b'V', Phase::Voting(votes) | Phase::Asking { found: votes, .. }) => {
                let side: Side = vote_side(fields).map_err(bad)?;
                *votes.of_mut(side) = Some(fields.take::<Vote>()?);
            }
            (b'W', Phase::AtBank(_) | Phase::Voting(_)) => payment.want_void(fields.take::<Cause>()?),
            (b'Q', phase) => {
                let verdict = fields.take()?;
                let decided_ms = fields.value.u48("time").map_err(bad)?;
                let owed = take_owed(&mut fields.value).map_err(bad)?.ok_or(bad(Bad { field: "owed" }))?;
                *phase = Phase::Delivering { verdict, decided_ms, owed };
            }
            _ => return Err(out_of_order),
        }
        Ok(())
    }

    fn known_bank(&mut self, number: BankNumber, fields: &Fields<'_>) -> Result<&mut Bank, RestoreError> {
        let index = usize::from(number.get()) - 1;
        self.state.banks.get_mut(index).ok_or(RestoreError::Order { kind: fields.kind })
    }
}

fn vote_side(fields: &mut Fields<'_>) -> Result<Side, Bad> {
    fields.id.value()
}

/// An entry that is being read.
struct Fields<'a> {
    kind: char,
    id: In<'a>,
    value: In<'a>,
}

impl Fields<'_> {
    fn take<T: Stored>(&mut self) -> Result<T, RestoreError> {
        let kind = self.kind;
        self.value.value().map_err(|bad| RestoreError::Field { kind, bad })
    }

    fn wide(&mut self) -> Result<u128, RestoreError> {
        let bytes = self.id.array("key").map_err(|bad| RestoreError::Field { kind: self.kind, bad })?;
        Ok(u128::from_be_bytes(bytes))
    }

    fn narrow(&mut self) -> Result<u64, RestoreError> {
        let bytes = self.id.array("key").map_err(|bad| RestoreError::Field { kind: self.kind, bad })?;
        Ok(u64::from_be_bytes(bytes))
    }

    fn payment(&mut self) -> Result<PaymentId, RestoreError> {
        let kind = self.kind;
        PaymentId::new(self.wide()?).ok_or(RestoreError::Field { kind, bad: Bad { field: "id" } })
    }

    fn bank(&mut self) -> Result<BankNumber, RestoreError> {
        let kind = self.kind;
        let bytes = self.id.array("key").map_err(|bad| RestoreError::Field { kind, bad })?;
        BankNumber::new(u16::from_be_bytes(bytes)).ok_or(RestoreError::Field { kind, bad: Bad { field: "bank" } })
    }

    fn out_of_order(&self) -> RestoreError {
        RestoreError::Order { kind: self.kind }
    }
}
