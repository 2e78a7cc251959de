//! The checkpoint: the books as keys and values, folded from journal records without a ledger, and a ledger made of them.
//!
//! ```text
//! key                        value (version u8 = 1 first; little endian)
//! A  number u64 big endian   account u128 · currency u16 · opened ms u64 · place u64 · length u8, owner
//! B  account u128 big endian four totals u128 · place of the newest record u64
//! C  account u128 big endian closed ms u64
//! D  account u128 big endian of a customer's account: secret 60 bytes
//! E  account u128 big endian nothing; there while the customer is locked
//! F  account u128 big endian day u32 of a customer's last debit, since 1970 UTC · u128 debited and held before that day
//! H  hold id u128 big endian placer u64 · debit u128 · credit u128 · amount u96 · currency u16 · time ms u64 · place u64
//!                            · length u8, reference
//! P  placer u64 big endian   epoch u32 · caught up u32 · complete through u64, of its fence; where payments were lost
//!                            also after u64 · through u64
//! S  version u64 big endian  change 15 bytes · time ms u64 · place u64
//! T                          time ms u64 of the newest record
//! ```
//!
//! Each record puts or deletes whole values, so of many records about one key only the last counts: the fold needs no
//! look at the old table. Accounts sort by number, and before their totals, which is the order a restore relies on.

use crate::account::{Account, Balances, Place};
use crate::books::Opening;
use crate::currency::Currency;
use crate::customer::Lock;
use crate::customer_name::CustomerName;
use crate::day::Day;
use crate::fence::{Fence, Lost};
use crate::hold::Hold;
use crate::ids::{AccountId, Placer, TransferId};
use crate::ledger::Ledger;
use crate::memory::Facts;
use crate::money::Amount;
use crate::movement::Movement;
use crate::record::{Body, Record, RecordBytes, RecordError, Side};
use crate::secret::{SECRET_BYTES, Secret};
use crate::settings::{CHANGE_BYTES, SettingChange, SettingEntry};
use crate::text::Line;

const VERSION: u8 = 1;
const OPENED: u8 = b'A';
const TOTALS: u8 = b'B';
const CLOSED: u8 = b'C';
const SECRET: u8 = b'D';
const LOCKED: u8 = b'E';
const DAY: u8 = b'F';
const HOLD: u8 = b'H';
const FENCE: u8 = b'P';
const SETTING: u8 = b'S';
const TIME: u8 = b'T';

/// Why a checkpoint's entries are no ledger.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("the checkpoint has an entry of unknown kind {kind:#04x}")]
    Kind { kind: u8 },
    #[error("the checkpoint's entry {key} has a bad {field}")]
    Field { key: String, field: &'static str },
    #[error("the checkpoint's entry {key} comes out of order, or one before it is missing")]
    Order { key: String },
    #[error("the checkpoint's books do not balance: {broken}")]
    Books { broken: crate::invariant::Broken },
}

/// Takes one entry: a key, and its value or `None` to delete it.
type Put<'a> = dyn FnMut(&[u8], Option<&[u8]>) + 'a;

/// What a journal record changes in the checkpoint. Rejections change the time only.
pub fn fold_effects(bytes: &RecordBytes, put: &mut Put<'_>) -> Result<(), RecordError> {
    let record = Record::decode(bytes)?;
    put_all(&[TIME], |value| value.extend(record.time_ms.to_le_bytes()), put);
    match &record.body {
        Body::AccountOpened { account, owner, currency, number } => {
            let opening = Opening {
                account: *account,
                owner: *owner,
                currency: *currency,
                number: *number,
                time_ms: record.time_ms,
                place: record.place,
            };
            put_opening(&opening, put);
        }
        Body::AccountClosed { account, .. } => put_closing(*account, record.time_ms, put),
        Body::TransferPosted { movement, debit, credit, flags, .. } => {
            put_sides(&record, movement, debit, credit, put);
            if flags.begins_day {
                put_day(movement.debit, begun_by(&record, movement, debit), put);
            }
        }
        Body::HoldPlaced { placer, movement, debit, credit, flags } => {
            put_sides(&record, movement, debit, credit, put);
            if flags.begins_day {
                put_day(movement.debit, begun_by(&record, movement, debit), put);
            }
            let hold = Hold { placer: *placer, movement: *movement, time_ms: record.time_ms, place: record.place };
            put_hold(&hold, put);
        }
        Body::HoldPosted { movement, debit, credit, .. } | Body::HoldVoided { movement, debit, credit, .. } => {
            put_sides(&record, movement, debit, credit, put);
            put(&wide_key(HOLD, movement.id.get()), None);
        }
        Body::SettingChanged { replaced_version, change } => {
            let entry = SettingEntry { change: *change, time_ms: record.time_ms, place: record.place };
            put_setting(*replaced_version, &entry, put);
        }
        Body::CustomerAdded { name, currency, number, secret } => {
            let opening = Opening {
                account: AccountId::of_customer(name),
                owner: name.owner(),
                currency: *currency,
                number: *number,
                time_ms: record.time_ms,
                place: record.place,
            };
            put_opening(&opening, put);
            put_secret(opening.account, secret, put);
        }
        Body::SecretChanged { name, secret, .. } => put_secret(AccountId::of_customer(name), secret, put),
        Body::LockChanged { name, locked: true, .. } => put_locked(AccountId::of_customer(name), put),
        Body::LockChanged { name, locked: false, .. } => {
            put(&wide_key(LOCKED, AccountId::of_customer(name).get()), None);
        }
        Body::FenceRaised { placer, fence } => put_fence(*placer, fence, put),
        Body::Tombstone { .. }
        | Body::HoldNoted { .. }
        | Body::KeyClaimed { .. }
        | Body::OpenRejected { .. }
        | Body::CloseRejected { .. }
        | Body::TransferRejected { .. }
        | Body::HoldRejected { .. }
        | Body::PostHoldRejected { .. }
        | Body::VoidHoldRejected { .. }
        | Body::VoidTransferRejected { .. }
        | Body::SettingRejected { .. }
        | Body::CustomerRejected { .. }
        | Body::SecretRejected { .. }
        | Body::LockRejected { .. } => {}
    }
    Ok(())
}

/// All entries of a ledger, each key once, in a fixed order: what folding its whole journal leaves.
#[expect(clippy::expect_used, reason = "every account was opened")]
pub(crate) fn entries(ledger: &Ledger, each: &mut dyn FnMut(&[u8], &[u8])) {
    let state = &ledger.state;
    // Entries are only put: nothing is deleted here.
    let mut put = |key: &[u8], value: Option<&[u8]>| value.into_iter().for_each(|value| each(key, value));
    for (seat, (account, facts)) in state.accounts.iter().zip(&state.facts).enumerate() {
        put_opening(&state.opening(account.id).expect("every account was opened"), &mut put);
        put_account(account, facts, &mut put);
        put_customer(ledger, seat, &mut put);
    }
    for hold in state.holds.values() {
        put_hold(hold, &mut put);
    }
    for (placer, fence) in &state.fences {
        put_fence(*placer, fence, &mut put);
    }
    for (version, entry) in (0..).zip(state.settings.entries()) {
        put_setting(version, entry, &mut put);
    }
    if state.time_ms != 0 || !state.accounts.is_empty() {
        put_all(&[TIME], |value| value.extend(state.time_ms.to_le_bytes()), &mut put);
    }
}

/// The day that a first debit began: what was debited and held before it follows from what was after.
fn begun_by(record: &Record, movement: &Movement, debit: &Side) -> Day {
    Day::beginning(record.time_ms, debit.after.debited_and_held() - movement.amount.minor())
}

fn put_account(account: &Account, facts: &Facts, put: &mut Put<'_>) {
    if let Some(place) = account.last_place {
        put_totals(account.id, &account.balances, place.get(), put);
    }
    if let Some(closed_ms) = facts.closed_ms {
        put_closing(account.id, closed_ms, put);
    }
}

/// What makes the account of that number a customer's, if it is one.
pub(crate) fn put_customer(ledger: &Ledger, seat: usize, put: &mut Put<'_>) {
    let account = &ledger.state.accounts[seat];
    if let Some(secret) = &ledger.state.facts[seat].secret {
        put_secret(account.id, secret, put);
    }
    if account.customer == Some(Lock::Locked) {
        put_locked(account.id, put);
    }
    let day = ledger.state.day(seat);
    if day != Day::default() {
        put_day(account.id, day, put);
    }
}

fn put_secret(account: AccountId, secret: &Secret, put: &mut Put<'_>) {
    put_all(&wide_key(SECRET, account.get()), |value| value.extend(secret.to_bytes()), put);
}

fn put_locked(account: AccountId, put: &mut Put<'_>) {
    put_all(&wide_key(LOCKED, account.get()), |_| {}, put);
}

fn put_day(account: AccountId, day: Day, put: &mut Put<'_>) {
    let fields = |value: &mut Value| {
        value.extend(day.number().to_le_bytes());
        value.extend(day.base().to_le_bytes());
    };
    put_all(&wide_key(DAY, account.get()), fields, put);
}

fn put_opening(opening: &Opening, put: &mut Put<'_>) {
    let fields = |value: &mut Value| {
        value.extend(opening.account.get().to_le_bytes());
        value.extend(opening.currency.number().to_le_bytes());
        value.extend(opening.time_ms.to_le_bytes());
        value.extend(opening.place.to_le_bytes());
        value.line(&opening.owner);
    };
    put_all(&narrow_key(OPENED, opening.number), fields, put);
}

fn put_sides(record: &Record, movement: &Movement, debit: &Side, credit: &Side, put: &mut Put<'_>) {
    put_totals(movement.debit, &debit.after, record.place, put);
    put_totals(movement.credit, &credit.after, record.place, put);
}

fn put_totals(account: AccountId, totals: &Balances, place: u64, put: &mut Put<'_>) {
    let fields = |value: &mut Value| {
        for total in [totals.posted_debits, totals.posted_credits, totals.held_debits, totals.held_credits] {
            value.extend(total.to_le_bytes());
        }
        value.extend(place.to_le_bytes());
    };
    put_all(&wide_key(TOTALS, account.get()), fields, put);
}

fn put_closing(account: AccountId, closed_ms: u64, put: &mut Put<'_>) {
    put_all(&wide_key(CLOSED, account.get()), |value| value.extend(closed_ms.to_le_bytes()), put);
}

pub(crate) fn put_hold(hold: &Hold, put: &mut Put<'_>) {
    let Movement { id, debit, credit, amount, currency, reference } = hold.movement;
    let fields = |value: &mut Value| {
        value.extend(hold.placer.get().to_le_bytes());
        value.extend(debit.get().to_le_bytes());
        value.extend(credit.get().to_le_bytes());
        value.extend(amount.to_bytes());
        value.extend(currency.number().to_le_bytes());
        value.extend(hold.time_ms.to_le_bytes());
        value.extend(hold.place.to_le_bytes());
        value.line(&reference);
    };
    put_all(&wide_key(HOLD, id.get()), fields, put);
}

pub(crate) fn put_fence(placer: Placer, fence: &Fence, put: &mut Put<'_>) {
    let fields = |value: &mut Value| {
        value.extend(fence.epoch.to_le_bytes());
        value.extend(fence.caught_up.to_le_bytes());
        value.extend(fence.complete_through.to_le_bytes());
        if fence.lost != Lost::default() {
            value.extend(fence.lost.after.to_le_bytes());
            value.extend(fence.lost.through.to_le_bytes());
        }
    };
    put_all(&narrow_key(FENCE, placer.get()), fields, put);
}

fn put_setting(replaced_version: u64, entry: &SettingEntry, put: &mut Put<'_>) {
    let fields = |value: &mut Value| {
        value.extend(entry.change.to_bytes());
        value.extend(entry.time_ms.to_le_bytes());
        value.extend(entry.place.to_le_bytes());
    };
    put_all(&narrow_key(SETTING, replaced_version), fields, put);
}

fn put_all(key: &[u8], fields: impl FnOnce(&mut Value), put: &mut Put<'_>) {
    let mut value = Value { bytes: [0; Value::MAX], len: 0 };
    value.extend([VERSION]);
    fields(&mut value);
    put(key, Some(&value.bytes[..value.len]));
}

fn narrow_key(kind: u8, number: u64) -> [u8; 9] {
    let mut key = [kind; 9];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

fn wide_key(kind: u8, id: u128) -> [u8; 17] {
    let mut key = [kind; 17];
    key[1..].copy_from_slice(&id.to_be_bytes());
    key
}

/// A value under construction, without an allocation: the fold makes millions.
struct Value {
    bytes: [u8; Value::MAX],
    len: usize,
}

impl Value {
    /// The longest is a hold: 115 bytes and its reference.
    const MAX: usize = 160;

    fn extend<const LEN: usize>(&mut self, field: [u8; LEN]) {
        self.bytes[self.len..self.len + LEN].copy_from_slice(&field);
        self.len += LEN;
    }

    fn line<const MAX: usize>(&mut self, line: &Line<MAX>) {
        self.extend([line.len_byte()]);
        self.bytes[self.len..self.len + line.as_bytes().len()].copy_from_slice(line.as_bytes());
        self.len += line.as_bytes().len();
    }
}

impl Ledger {
    /// The ledger that a checkpoint's entries make, sorted by key as the table has them.
    pub fn restore<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        hash_seed: u64,
        entries: impl Iterator<Item = (K, V)>,
    ) -> Result<Ledger, RestoreError> {
        let mut ledger = Ledger::new(hash_seed);
        for (key, value) in entries {
            ledger.restore_entry(key.as_ref(), value.as_ref())?;
        }
        ledger.finish_restore()?;
        Ok(ledger)
    }

    /// Takes the next entry into a ledger that is being restored; entries come sorted by key.
    pub fn restore_entry(&mut self, key: &[u8], value: &[u8]) -> Result<(), RestoreError> {
        let (kind, id) = key.split_first().ok_or(RestoreError::Kind { kind: 0 })?;
        let mut fields = Stored { key, rest: value };
        if fields.array::<1>("version")? != [VERSION] {
            return Err(fields.bad("version"));
        }
        match *kind {
            OPENED => self.restore_opening(narrow(id, &fields)?, &mut fields)?,
            TOTALS => self.restore_totals(id, &mut fields)?,
            CLOSED => {
                let seat = self.restored_seat(id, &fields)?;
                self.state.close(seat, fields.u64("time")?);
            }
            SECRET => self.restore_secret(id, &mut fields)?,
            LOCKED => {
                let seat = self.restored_customer(id, &fields)?;
                self.state.accounts[seat].customer = Some(Lock::Locked);
            }
            DAY => {
                let seat = self.restored_customer(id, &fields)?;
                let (number, base) = (fields.u32("day")?, fields.u128("base")?);
                self.state.set_day(seat, Day::from_parts(number, base).ok_or_else(|| fields.bad("base"))?);
            }
            HOLD => self.restore_hold(id, &mut fields)?,
            FENCE => {
                let placer = Placer::new(narrow(id, &fields)?).ok_or_else(|| fields.bad("placer"))?;
                let (epoch, caught_up) = (fields.u32("epoch")?, fields.u32("caught up")?);
                let complete_through = fields.u64("number")?;
                let lost = if fields.rest.is_empty() {
                    Lost::default()
                } else {
                    Lost { after: fields.u64("number")?, through: fields.u64("number")? }
                };
                let fence = Fence { epoch, caught_up, complete_through, lost };
                self.state.fences.insert(placer, fence);
            }
            SETTING => self.restore_setting(narrow(id, &fields)?, &mut fields)?,
            TIME => self.state.time_ms = fields.u64("time")?,
            kind => return Err(RestoreError::Kind { kind }),
        }
        if fields.rest.is_empty() { Ok(()) } else { Err(fields.bad("length")) }
    }

    /// Ends a restore: adds up what the checkpoint does not store, and looks whether the books are sound.
    pub fn finish_restore(&mut self) -> Result<(), RestoreError> {
        crate::invariant::totals_are_sound(self).map_err(|broken| RestoreError::Books { broken })?;
        for totals in self.totals() {
            let pledged = totals.sums.posted_debits + totals.sums.held_debits;
            self.state.pledged[usize::from(totals.currency.number())] = pledged;
        }
        crate::invariant::check_restored(self).map_err(|broken| RestoreError::Books { broken })
    }

    fn restore_opening(&mut self, number: u64, fields: &mut Stored<'_>) -> Result<(), RestoreError> {
        let opening = Opening {
            number,
            account: fields.account("account")?,
            currency: fields.currency()?,
            time_ms: fields.u64("time")?,
            place: fields.u64("place")?,
            owner: fields.line("owner")?,
        };
        if number != self.account_count() || !self.state.open_if_new(&opening) {
            return Err(fields.out_of_order());
        }
        Ok(())
    }

    fn restore_totals(&mut self, id: &[u8], fields: &mut Stored<'_>) -> Result<(), RestoreError> {
        let seat = self.restored_seat(id, fields)?;
        self.state.restored = seat;
        let balances = Balances {
            posted_debits: fields.u128("total")?,
            posted_credits: fields.u128("total")?,
            held_debits: fields.u128("total")?,
            held_credits: fields.u128("total")?,
        };
        if !balances.are_bounded() {
            return Err(fields.bad("total"));
        }
        let place = fields.u64("place")?;
        if place > Place::MAX {
            return Err(fields.bad("place"));
        }
        self.state.accounts[seat].balances = balances;
        self.state.accounts[seat].last_place = Some(Place::new(place));
        Ok(())
    }

    fn restore_secret(&mut self, id: &[u8], fields: &mut Stored<'_>) -> Result<(), RestoreError> {
        let seat = self.restored_seat(id, fields)?;
        CustomerName::stored(&self.state.facts[seat].owner).map_err(|_| fields.bad("account"))?;
        let secret: [u8; SECRET_BYTES] = fields.array("secret")?;
        self.state.set_secret(seat, &Secret::from_bytes(&secret));
        Ok(())
    }

    fn restore_hold(&mut self, id: &[u8], fields: &mut Stored<'_>) -> Result<(), RestoreError> {
        let id = TransferId::new(wide(id, fields)?).ok_or_else(|| fields.bad("id"))?;
        let placer = Placer::new(fields.u64("placer")?).ok_or_else(|| fields.bad("placer"))?;
        let debit = fields.account("debited account")?;
        let credit = fields.account("credited account")?;
        let amount = Amount::from_bytes(fields.array("amount")?).ok_or_else(|| fields.bad("amount"))?;
        let currency = fields.currency()?;
        let (time_ms, place) = (fields.u64("time")?, fields.u64("place")?);
        let reference = fields.line("reference")?;
        let movement = Movement { id, debit, credit, amount, currency, reference };
        self.state.holds.insert(id, Hold { placer, movement, time_ms, place });
        Ok(())
    }

    fn restore_setting(&mut self, version: u64, fields: &mut Stored<'_>) -> Result<(), RestoreError> {
        if version != self.state.settings.version() {
            return Err(fields.out_of_order());
        }
        let change: [u8; CHANGE_BYTES] = fields.array("setting")?;
        let change = SettingChange::from_bytes(&change).ok_or_else(|| fields.bad("setting"))?;
        self.state.settings.push(SettingEntry { change, time_ms: fields.u64("time")?, place: fields.u64("place")? });
        Ok(())
    }

    fn restored_customer(&self, id: &[u8], fields: &Stored<'_>) -> Result<usize, RestoreError> {
        let seat = self.restored_seat(id, fields)?;
        self.state.accounts[seat].customer.map(|_| seat).ok_or_else(|| fields.out_of_order())
    }

    fn restored_seat(&self, id: &[u8], fields: &Stored<'_>) -> Result<usize, RestoreError> {
        let id = AccountId::new(wide(id, fields)?).ok_or_else(|| fields.bad("account"))?;
        self.state.seat_near(self.state.restored, id).ok_or_else(|| fields.out_of_order())
    }
}

fn narrow(id: &[u8], fields: &Stored<'_>) -> Result<u64, RestoreError> {
    Ok(u64::from_be_bytes(id.try_into().map_err(|_| fields.bad("key"))?))
}

fn wide(id: &[u8], fields: &Stored<'_>) -> Result<u128, RestoreError> {
    Ok(u128::from_be_bytes(id.try_into().map_err(|_| fields.bad("key"))?))
}

/// Takes fields off the front of a stored value; names the entry when one is bad.
struct Stored<'a> {
    key: &'a [u8],
    rest: &'a [u8],
}

impl Stored<'_> {
    fn array<const LEN: usize>(&mut self, field: &'static str) -> Result<[u8; LEN], RestoreError> {
        let (taken, rest) = self.rest.split_first_chunk::<LEN>().ok_or_else(|| self.bad(field))?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u32(&mut self, field: &'static str) -> Result<u32, RestoreError> {
        Ok(u32::from_le_bytes(self.array(field)?))
    }

    fn u64(&mut self, field: &'static str) -> Result<u64, RestoreError> {
        Ok(u64::from_le_bytes(self.array(field)?))
    }

    fn u128(&mut self, field: &'static str) -> Result<u128, RestoreError> {
        Ok(u128::from_le_bytes(self.array(field)?))
    }

    fn account(&mut self, field: &'static str) -> Result<AccountId, RestoreError> {
        AccountId::new(self.u128(field)?).ok_or_else(|| self.bad(field))
    }

    fn currency(&mut self) -> Result<Currency, RestoreError> {
        let number = u16::from_le_bytes(self.array("currency")?);
        Currency::from_number(number).ok_or_else(|| self.bad("currency"))
    }

    fn line<const MAX: usize>(&mut self, field: &'static str) -> Result<Line<MAX>, RestoreError> {
        let [len] = self.array(field)?;
        let (text, rest) = self.rest.split_at_checked(usize::from(len)).ok_or_else(|| self.bad(field))?;
        self.rest = rest;
        Line::from_utf8(text).map_err(|_| self.bad(field))
    }

    fn bad(&self, field: &'static str) -> RestoreError {
        RestoreError::Field { key: show(self.key), field }
    }

    fn out_of_order(&self) -> RestoreError {
        RestoreError::Order { key: show(self.key) }
    }
}

/// The letter of the kind and the rest in hexadecimal digits.
fn show(key: &[u8]) -> String {
    let mut text = String::new();
    for (at, byte) in key.iter().enumerate() {
        if at == 0 { text.push(char::from(*byte)) } else { text.push_str(&format!("{byte:02x}")) }
    }
    text
}
