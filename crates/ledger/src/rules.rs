//! The rules of money.
//!
//! Every command goes the same way: an id that has an outcome answers with it; otherwise the command's checks run, in the
//! order of their precedence, and then what it does is written with the record of its outcome, or the record of its
//! rejection. The first check that fails names the rejection. The tables:
//!
//! ```text
//! open       InternalAccount · ReservedAccount · BooksFull
//! close      UnknownAccount · InternalAccount · AccountClosed · AccountHasHolds · AccountNotEmpty
//! transfer   SameAccount · UnknownDebitAccount · UnknownCreditAccount · CurrencyMismatch (debit, credit)
//!  and hold  · AccountClosed (debit, credit) · CustomerLocked · LimitExceeded · DailyLimitExceeded
//!            · InsufficientFunds · BalanceOverflow (debit, credit) · BooksFull
//! post       HoldNotFound · NotYourHold · HoldAlreadyVoided
//! void       HoldNotFound (the id is something else) · NotYourHold · HoldAlreadyPosted
//! setting    VersionMismatch
//! customer   CustomerExists · AccountExists · BooksFull
//! secret     UnknownCustomer
//!  and lock
//! end        IdReused (the id is something else), then as post or void
//! key        KeyReused
//! replay     NotLost (of what is not known) · SameAccount · BalanceOverflow (debit, credit) · BooksFull; of a hold that is known: as post
//! any        Voided, IdReused (before all others), LinkedFailed (instead of success); StaleFence (of a whole request)
//! ```
//!
//! Posting a hold has no check of money, account or bound: placing it made sure of them, and whatever came later kept
//! them. Times are taken from records alone: a batch that leaves no record does not move the ledger's time, so a node
//! restored from records agrees with one that never stopped.

use crate::account::{Account, Place, Standing};
use crate::books::{Books, Opening};
use crate::command::{Command, OrderEnd, Request};
use crate::currency::Currency;
use crate::customer::Lock;
use crate::customer_name::CustomerName;
use crate::day::Day;
use crate::earlier::{HoldStory, earlier, hold_story};
use crate::fence::Fence;
use crate::hold::{Hold, HoldState};
use crate::ids::{AccountId, Placer, TransferId};
use crate::money::{Amount, TOTAL_MAX};
use crate::movement::Movement;
use crate::outcome::{Answer, Outcome, Rejected};
use crate::record::{Body, Flags, Record, Side, U48_MAX};
use crate::secret::Secret;
use crate::settings::{SettingChange, SettingEntry};
use crate::text::Owner;
use std::num::NonZeroU64;

/// What a batch brings along: its slot and its proposer's clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Context {
    pub slot: u64,
    pub time_ms: u64,
}

/// The most that may be debited and held in one currency, over all accounts and all time: so every sum over accounts
/// fits into 127 bits, with a sign. No bank gets there by honest means, but nothing may break if somebody tries.
pub const PLEDGED_MAX: u128 = u128::MAX >> 1;

/// The accounts of 64 transfers fit a first-level cache.
const GATHERED_AT_ONCE: usize = 64;

/// Carries out a request: one answer for each command, in order.
pub fn apply<B: Books>(books: &mut B, context: Context, request: &Request) -> Vec<Answer> {
    // A clock is somebody's word: past what a record can hold it counts as the last moment that one can.
    let time_ms = books.time_ms().max(context.time_ms.min(U48_MAX));
    let now = Context { slot: context.slot, time_ms };
    if let Some(stale) = stale_fence(books, request.commands.first()) {
        return vec![stale; request.commands.len()];
    }
    match request.linked {
        false => each_by_itself(books, now, &request.commands),
        true => all_or_none(books, now, &request.commands),
    }
}

/// A request that begins with a fence is its placer's word. Of an older incarnation than the newest heard nothing counts,
/// and nothing is recorded.
fn stale_fence<B: Books>(books: &B, first: Option<&Command>) -> Option<Answer> {
    let Some(Command::Fence { placer, fence }) = first else { return None };
    let known = books.fence(*placer).epoch;
    let rejection = Rejected::StaleFence { known };
    let outcome = Outcome::Rejected { time_ms: books.time_ms(), rejection };
    (fence.epoch < known).then_some(Answer { outcome, replay: false, place: books.next_place() })
}

fn each_by_itself<B: Books>(books: &mut B, now: Context, commands: &[Command]) -> Vec<Answer> {
    let mut answers = Vec::with_capacity(commands.len());
    for group in commands.chunks(GATHERED_AT_ONCE) {
        books.gather(group);
        answers.extend(group.iter().map(|command| settle(books, now, command)));
    }
    answers
}

/// Every command is done, or none is and each says why.
fn all_or_none<B: Books>(books: &mut B, now: Context, commands: &[Command]) -> Vec<Answer> {
    books.begin();
    let mut answers = Vec::with_capacity(commands.len());
    for (index, command) in commands.iter().enumerate() {
        let answer = settle(books, now, command);
        if let Some(reason) = answer.outcome.rejection() {
            books.undo();
            return none(books, now, commands, (index, *reason));
        }
        answers.push(answer);
    }
    books.keep();
    answers
}

/// Gives each command of a failed linked request its outcome. One that had an outcome before keeps it.
#[expect(clippy::expect_used, reason = "a request has at most COMMANDS_MAX commands")]
fn none<B: Books>(books: &mut B, now: Context, commands: &[Command], failed: (usize, Rejected)) -> Vec<Answer> {
    let (failed_index, reason) = failed;
    let others = Rejected::LinkedFailed { index: u32::try_from(failed_index).expect("a request is bounded") };
    let outcome = |(index, command): (usize, &Command)| {
        let rejection = if index == failed_index { reason } else { others };
        earlier(books, command).unwrap_or_else(|| reject(books, now, command, rejection))
    };
    commands.iter().enumerate().map(outcome).collect()
}

fn settle<B: Books>(books: &mut B, now: Context, command: &Command) -> Answer {
    if let Some(first) = earlier(books, command) {
        return first;
    }
    if let Command::Fence { placer, fence } = command {
        return raise_fence(books, now, *placer, *fence);
    }
    match carry_out(books, now, command) {
        Ok(body) => write(books, now, body),
        Err(rejection) => reject(books, now, command, rejection),
    }
}

#[expect(clippy::unreachable, reason = "its one caller raises fences itself")]
fn carry_out<B: Books>(books: &mut B, now: Context, command: &Command) -> Result<Body, Rejected> {
    match command {
        Command::OpenAccount { id, .. } if id.is_customers() => Err(Rejected::ReservedAccount { account: *id }),
        Command::OpenAccount { id, owner, currency } => {
            check_opening(books, *id)?;
            let opened = open_account(books, now, *id, *owner, *currency);
            Ok(Body::AccountOpened { account: *id, owner: *owner, currency: *currency, number: opened.number.into() })
        }
        Command::CloseAccount { id, account } => close_account(books, now, *id, *account),
        Command::Transfer { placer, .. } => transfer(books, now, (*placer, movement_of(command))),
        Command::PlaceHold { placer, .. } => place_hold(books, now, *placer, movement_of(command)),
        Command::PostHold { id, placer } => post_hold(books, *id, *placer),
        Command::VoidHold { id, placer } => void_hold(books, *id, *placer),
        // An id that has an outcome never comes this far.
        Command::VoidTransfer { id } => Ok(Body::Tombstone { id: *id }),
        Command::EndOrder { end, id, placer, .. } => match (end, placer) {
            (OrderEnd::Post, Some(placer)) => post_hold(books, *id, *placer),
            (OrderEnd::Void, Some(placer)) => void_hold(books, *id, *placer),
            (OrderEnd::Void | OrderEnd::Post, None) => Ok(Body::Tombstone { id: *id }),
        },
        Command::ClaimKey { key, digest, base } => Ok(Body::KeyClaimed { key: *key, digest: *digest, base: *base }),
        Command::ChangeSetting { expected_version, change } => change_setting(books, now, *expected_version, *change),
        Command::AddCustomer { name, currency, secret } => add_customer(books, now, name, (*currency, secret)),
        Command::SetSecret { id, name, secret } => {
            books.set_secret(find_customer(books, name)?, secret);
            Ok(Body::SecretChanged { id: *id, name: *name, secret: *secret })
        }
        Command::LockCustomer { id, name, locked } => {
            books.set_lock(find_customer(books, name)?, Lock::new(*locked));
            Ok(Body::LockChanged { id: *id, name: *name, locked: *locked })
        }
        Command::NoteHold { id, placer, counterparty } => {
            Ok(Body::HoldNoted { id: *id, placer: *placer, counterparty: *counterparty })
        }
        Command::Replay { placer, number, .. } => replay_movement(books, now, (*placer, *number), movement_of(command)),
        Command::Fence { .. } => unreachable!("the caller has raised it"),
    }
}

/// What is said is kept where it is worth a record: a fence comes with every batch of calls.
fn raise_fence<B: Books>(books: &mut B, now: Context, placer: Placer, said: Fence) -> Answer {
    let (fence, is_recorded) = books.fence(placer).raised_by(said);
    if is_recorded {
        books.raise_fence(placer, fence);
        return write(books, now, Body::FenceRaised { placer, fence });
    }
    let outcome = Outcome::Fenced { time_ms: books.time_ms(), fence: books.fence(placer) };
    Answer { outcome, replay: true, place: books.next_place() }
}

fn check_opening<B: Books>(books: &B, id: AccountId) -> Result<(), Rejected> {
    if id.internal().is_some() {
        return Err(Rejected::InternalAccount { account: id });
    }
    if books.room_for_accounts() == 0 {
        return Err(Rejected::BooksFull);
    }
    Ok(())
}

fn open_account<B: Books>(
    books: &mut B,
    now: Context,
    account: AccountId,
    owner: Owner,
    currency: Currency,
) -> Account {
    let number = books.account_count();
    let place = books.next_place();
    books.open_account(&Opening { account, owner, currency, number, time_ms: now.time_ms, place })
}

#[expect(clippy::expect_used, reason = "no customer is overdrawn")]
fn close_account<B: Books>(books: &mut B, now: Context, id: TransferId, account: AccountId) -> Result<Body, Rejected> {
    let Some(closing) = books.account(account) else {
        return Err(Rejected::UnknownAccount { account });
    };
    if closing.is_internal() {
        return Err(Rejected::InternalAccount { account });
    }
    if closing.standing == Standing::Closed {
        return Err(Rejected::AccountClosed { account });
    }
    if closing.balances.has_holds() {
        return Err(Rejected::AccountHasHolds);
    }
    let balance = u128::try_from(closing.balances.balance()).expect("a customer's balance is never negative");
    if balance != 0 {
        return Err(Rejected::AccountNotEmpty { balance });
    }
    books.close_account(account, now.time_ms);
    Ok(Body::AccountClosed { id, account })
}

fn transfer<B: Books>(
    books: &mut B,
    now: Context,
    (placer, movement): (Option<Placer>, Movement),
) -> Result<Body, Rejected> {
    let sides = check_movement(books, now, &movement)?;
    Ok(move_now(books, now, (placer, movement, Flags::default()), sides))
}

fn move_now<B: Books>(
    books: &mut B,
    now: Context,
    (placer, movement, flags): (Option<Placer>, Movement, Flags),
    (debit, credit): (Account, Account),
) -> Body {
    let mut debit = open_if_new(books, now, debit);
    let mut credit = open_if_new(books, now, credit);
    pledge(books, &movement);
    let flags = Flags { begins_day: begin_day(books, now, &debit), ..flags };
    debit.balances.posted_debits += movement.amount.minor();
    credit.balances.posted_credits += movement.amount.minor();
    let (debit, credit) = put_sides(books, debit, credit);
    Body::TransferPosted { placer, movement, debit, credit, flags }
}

fn place_hold<B: Books>(books: &mut B, now: Context, placer: Placer, movement: Movement) -> Result<Body, Rejected> {
    let sides = check_movement(books, now, &movement)?;
    Ok(hold_now(books, now, (placer, movement, Flags::default()), sides))
}

fn hold_now<B: Books>(
    books: &mut B,
    now: Context,
    (placer, movement, flags): (Placer, Movement, Flags),
    (debit, credit): (Account, Account),
) -> Body {
    let mut debit = open_if_new(books, now, debit);
    let mut credit = open_if_new(books, now, credit);
    pledge(books, &movement);
    let flags = Flags { begins_day: begin_day(books, now, &debit), ..flags };
    debit.balances.held_debits += movement.amount.minor();
    credit.balances.held_credits += movement.amount.minor();
    books.put_hold(&Hold { placer, movement, time_ms: now.time_ms, place: books.next_place() });
    let (debit, credit) = put_sides(books, debit, credit);
    Body::HoldPlaced { placer, movement, debit, credit, flags }
}

/// A movement that was decided before the books were restored. It was checked then; now it is only made room for.
fn replay_movement<B: Books>(
    books: &mut B,
    now: Context,
    (placer, number): (Option<Placer>, Option<NonZeroU64>),
    movement: Movement,
) -> Result<Body, Rejected> {
    if let Some(placer) = placer
        && !matches!(hold_story(books, movement.id), HoldStory::Unknown)
    {
        return post_hold(books, movement.id, placer);
    }
    check_lost(books, placer, number)?;
    let (debit, credit) = bearers(books, &movement)?;
    let movement = Movement { debit: debit.id, credit: credit.id, ..movement };
    let flags = Flags { replayed: true, ..Flags::default() };
    let Some(placer) = placer else { return Ok(move_now(books, now, (None, movement, flags), (debit, credit))) };
    let placed = hold_now(books, now, (placer, movement, flags), (debit, credit));
    write(books, now, placed);
    post_hold(books, movement.id, placer)
}

/// Only what the books lost is booked without a hold. A payment without a number is lost because its placer says so.
fn check_lost<B: Books>(books: &B, placer: Option<Placer>, number: Option<NonZeroU64>) -> Result<(), Rejected> {
    let Some(number) = number.map(NonZeroU64::get) else { return Ok(()) };
    let is_lost = placer.is_some_and(|placer| books.fence(placer).lost.has(number));
    if is_lost { Ok(()) } else { Err(Rejected::NotLost { number }) }
}

/// The accounts that a replayed movement is booked on: its own, and `suspense` for one that cannot bear its side.
#[expect(clippy::expect_used, reason = "the bank's own accounts are there in every currency")]
fn bearers<B: Books>(books: &B, movement: &Movement) -> Result<(Account, Account), Rejected> {
    let Movement { debit, credit, amount, currency, .. } = *movement;
    let takes_part = |account: &Account| account.currency == currency && account.standing == Standing::Open;
    let suspense = || find_account(books, AccountId::suspense(currency)).expect("the bank's own are always there");
    let payer = find_account(books, debit).filter(takes_part).filter(|payer| payer.can_spend(amount).is_ok());
    let payee = find_account(books, credit).filter(takes_part);
    let (payer, payee) = (payer.unwrap_or_else(suspense), payee.unwrap_or_else(suspense));
    if payer.id == payee.id {
        return Err(Rejected::SameAccount);
    }
    if !payer.balances.has_room_for_debit(amount) {
        return Err(Rejected::BalanceOverflow { account: payer.id });
    }
    if !payee.balances.has_room_for_credit(amount) {
        return Err(Rejected::BalanceOverflow { account: payee.id });
    }
    check_books_have_room(books, currency, amount)?;
    Ok((payer, payee))
}

fn post_hold<B: Books>(books: &mut B, id: TransferId, placer: Placer) -> Result<Body, Rejected> {
    let hold = match hold_story(books, id) {
        HoldStory::Unknown => return Err(Rejected::HoldNotFound),
        HoldStory::Open(hold) if hold.placer != placer => return Err(Rejected::NotYourHold),
        HoldStory::Open(hold) => hold,
        HoldStory::Ended { placer: other, .. } if other != placer => return Err(Rejected::NotYourHold),
        HoldStory::Ended { .. } => return Err(Rejected::HoldAlreadyVoided),
        HoldStory::Tombstone(_) => return Err(Rejected::HoldAlreadyVoided),
        HoldStory::Rejected { .. } | HoldStory::NoHold => return Err(Rejected::HoldNotFound),
    };
    let (mut debit, mut credit) = end_hold(books, &hold);
    debit.balances.posted_debits += hold.movement.amount.minor();
    credit.balances.posted_credits += hold.movement.amount.minor();
    let (debit, credit) = put_sides(books, debit, credit);
    Ok(Body::HoldPosted { placer, movement: hold.movement, debit, credit })
}

fn void_hold<B: Books>(books: &mut B, id: TransferId, placer: Placer) -> Result<Body, Rejected> {
    let hold = match hold_story(books, id) {
        HoldStory::Unknown => return Ok(Body::Tombstone { id }),
        HoldStory::Open(hold) if hold.placer != placer => return Err(Rejected::NotYourHold),
        HoldStory::Open(hold) => hold,
        HoldStory::Ended { placer: other, .. } if other != placer => return Err(Rejected::NotYourHold),
        HoldStory::Ended { .. } => return Err(Rejected::HoldAlreadyPosted),
        // Its own placer was answered from the record.
        HoldStory::Rejected { .. } => return Err(Rejected::NotYourHold),
        HoldStory::Tombstone(_) | HoldStory::NoHold => return Err(Rejected::HoldNotFound),
    };
    let (debit, credit) = end_hold(books, &hold);
    let currency = hold.movement.currency;
    books.set_pledged(currency, books.pledged(currency) - hold.movement.amount.minor());
    let (debit, credit) = put_sides(books, debit, credit);
    Ok(Body::HoldVoided { placer, movement: hold.movement, debit, credit })
}

fn change_setting<B: Books>(
    books: &mut B,
    now: Context,
    expected: u64,
    change: SettingChange,
) -> Result<Body, Rejected> {
    let actual = books.settings().version();
    if expected != actual {
        return Err(Rejected::VersionMismatch { expected, actual });
    }
    let place = books.next_place();
    books.change_setting(SettingEntry { change, time_ms: now.time_ms, place });
    Ok(Body::SettingChanged { replaced_version: expected, change })
}

fn add_customer<B: Books>(
    books: &mut B,
    now: Context,
    name: &CustomerName,
    (currency, secret): (Currency, &Secret),
) -> Result<Body, Rejected> {
    let account = AccountId::of_customer(name);
    if let Some(found) = books.account(account) {
        // One of the same currency was answered as a repetition.
        return Err(match found.customer {
            Some(_) => Rejected::CustomerExists { kept_in: found.currency },
            None => Rejected::AccountExists { account },
        });
    }
    check_opening(books, account)?;
    let number = open_account(books, now, account, name.owner(), currency).number.into();
    books.set_secret(account, secret);
    Ok(Body::CustomerAdded { name: *name, currency, number, secret: *secret })
}

fn find_customer<B: Books>(books: &B, name: &CustomerName) -> Result<AccountId, Rejected> {
    let account = books.account(AccountId::of_customer(name)).filter(|account| account.customer.is_some());
    account.map(|account| account.id).ok_or(Rejected::UnknownCustomer)
}

/// Everything that can refuse a transfer or the placing of a hold, in order. Both accounts as they are, the bank's own as
/// they will be on first use.
fn check_movement<B: Books>(books: &B, now: Context, movement: &Movement) -> Result<(Account, Account), Rejected> {
    let Movement { debit: debit_id, credit: credit_id, amount, currency, .. } = *movement;
    if debit_id == credit_id {
        return Err(Rejected::SameAccount);
    }
    let debit = find_account(books, debit_id).ok_or(Rejected::UnknownDebitAccount { account: debit_id })?;
    let credit = find_account(books, credit_id).ok_or(Rejected::UnknownCreditAccount { account: credit_id })?;
    for account in [&debit, &credit] {
        if account.currency != currency {
            return Err(Rejected::CurrencyMismatch { account: account.id, kept_in: account.currency });
        }
    }
    for account in [&debit, &credit] {
        if account.standing == Standing::Closed {
            return Err(Rejected::AccountClosed { account: account.id });
        }
    }
    if debit.customer == Some(Lock::Locked) {
        return Err(Rejected::CustomerLocked { account: debit_id });
    }
    if let Some(limit) = books.settings().transfer_limit(currency).filter(|limit| amount > *limit) {
        return Err(Rejected::LimitExceeded { limit, asked: amount });
    }
    check_daily_limit(books, now, &debit, amount)?;
    debit.can_spend(amount).map_err(|available| Rejected::InsufficientFunds { available, needed: amount })?;
    if !debit.balances.has_room_for_debit(amount) {
        return Err(Rejected::BalanceOverflow { account: debit_id });
    }
    if !credit.balances.has_room_for_credit(amount) {
        return Err(Rejected::BalanceOverflow { account: credit_id });
    }
    check_books_have_room(books, movement.currency, amount)?;
    Ok((debit, credit))
}

/// Only customers' accounts are bounded, and no other pays for more than the look at whether it is one.
fn check_daily_limit<B: Books>(books: &B, now: Context, debit: &Account, amount: Amount) -> Result<(), Rejected> {
    if debit.customer.is_none() {
        return Ok(());
    }
    let Some(limit) = books.settings().daily_debit_limit(debit.currency) else { return Ok(()) };
    let last = books.day(debit);
    let today =
        if last.is_at(now.time_ms) { last } else { Day::beginning(now.time_ms, debit.balances.debited_and_held()) };
    let within = today.can_spend(amount, limit, &debit.balances);
    within.map_err(|spent| Rejected::DailyLimitExceeded { limit, spent })
}

/// Marks the day of a customer's account that is about to be debited, unless that day is marked already.
fn begin_day<B: Books>(books: &mut B, now: Context, debit: &Account) -> bool {
    let begins = debit.customer.is_some() && !books.day(debit).is_at(now.time_ms);
    if begins {
        books.begin_day(debit, Day::beginning(now.time_ms, debit.balances.debited_and_held()));
    }
    begins
}

/// The sum over all accounts stays in bounds, and two internal accounts may have to be opened.
fn check_books_have_room<B: Books>(books: &B, currency: Currency, amount: Amount) -> Result<(), Rejected> {
    if books.pledged(currency) + amount.minor() > PLEDGED_MAX || books.room_for_accounts() < 2 {
        return Err(Rejected::BooksFull);
    }
    Ok(())
}

fn find_account<B: Books>(books: &B, id: AccountId) -> Option<Account> {
    books.account(id).or_else(|| id.internal().map(|(_, currency)| Account::new(id, NEW, currency)))
}

/// Stands for the number of an account that is yet to be opened; the rules leave it free.
const NEW: u32 = u32::MAX;

/// The bank's own accounts come to be on first use, and that is a record of its own.
#[expect(
    clippy::expect_used,
    reason = "only the bank's own accounts come to be on first use, and their names are short"
)]
fn open_if_new<B: Books>(books: &mut B, now: Context, account: Account) -> Account {
    if account.number != NEW {
        return account;
    }
    let (kind, currency) = account.id.internal().expect("customers' accounts are opened by command");
    let owner = Owner::new(kind.name()).expect("the names of internal accounts are short");
    let opened = open_account(books, now, account.id, owner, currency);
    let number = opened.number.into();
    write(books, now, Body::AccountOpened { account: account.id, owner, currency, number });
    opened
}

fn pledge<B: Books>(books: &mut B, movement: &Movement) {
    books.set_pledged(movement.currency, books.pledged(movement.currency) + movement.amount.minor());
}

/// Takes the held amount off both accounts, for the caller to post or to let go.
#[expect(clippy::expect_used, reason = "an account with holds is not closed, and none is ever taken away")]
fn end_hold<B: Books>(books: &mut B, hold: &Hold) -> (Account, Account) {
    let Movement { id, debit, credit, amount, .. } = hold.movement;
    books.end_hold(id);
    let mut debit = books.account(debit).expect("an account with holds cannot go away");
    let mut credit = books.account(credit).expect("an account with holds cannot go away");
    debit.balances.held_debits -= amount.minor();
    credit.balances.held_credits -= amount.minor();
    (debit, credit)
}

/// Writes both accounts back, heads of their statements moved to the record that is about to be written.
fn put_sides<B: Books>(books: &mut B, debit: Account, credit: Account) -> (Side, Side) {
    let place = Place::new(books.next_place());
    let mut put = |mut account: Account| {
        assert!(account.balances.are_bounded(), "no total passes {TOTAL_MAX}");
        assert!(account.is_internal() || account.balances.available() >= 0, "no customer is overdrawn");
        let previous = account.last_place.replace(place);
        books.put_account(&account);
        Side { after: account.balances, previous }
    };
    (put(debit), put(credit))
}

fn reject<B: Books>(books: &mut B, now: Context, command: &Command, rejection: Rejected) -> Answer {
    let body = match *command {
        Command::OpenAccount { id, owner, currency } => Body::OpenRejected { account: id, owner, currency, rejection },
        Command::CloseAccount { id, account } => Body::CloseRejected { id, account, rejection },
        Command::Transfer { .. } => Body::TransferRejected { movement: movement_of(command), rejection },
        Command::PlaceHold { placer, .. } => Body::HoldRejected { placer, movement: movement_of(command), rejection },
        Command::PostHold { id, placer } => Body::PostHoldRejected { id, placer, rejection },
        Command::VoidHold { id, placer } => Body::VoidHoldRejected { id, placer, rejection },
        Command::VoidTransfer { id } | Command::EndOrder { id, placer: None, .. } => {
            Body::VoidTransferRejected { id, rejection }
        }
        Command::EndOrder { end: OrderEnd::Post, id, placer: Some(placer), .. } => {
            Body::PostHoldRejected { id, placer, rejection }
        }
        Command::EndOrder { end: OrderEnd::Void, id, placer: Some(placer), .. } => {
            Body::VoidHoldRejected { id, placer, rejection }
        }
        Command::ChangeSetting { expected_version, change } => {
            Body::SettingRejected { expected_version, change, rejection }
        }
        Command::AddCustomer { name, currency, .. } => Body::CustomerRejected { name, currency, rejection },
        Command::SetSecret { id, name, .. } => Body::SecretRejected { id, name, rejection },
        Command::LockCustomer { id, name, locked } => Body::LockRejected { id, name, locked, rejection },
        Command::Replay { id, placer: Some(placer), .. } => Body::PostHoldRejected { id, placer, rejection },
        Command::Replay { placer: None, .. } => Body::TransferRejected { movement: movement_of(command), rejection },
        // Never rejected by themselves: this is a linked request that failed, and then they leave nothing.
        Command::NoteHold { .. } | Command::Fence { .. } | Command::ClaimKey { .. } => {
            let outcome = Outcome::Rejected { time_ms: now.time_ms, rejection };
            return Answer { outcome, replay: false, place: books.next_place() };
        }
    };
    write(books, now, body)
}

/// Writes the record of an outcome and answers with it.
fn write<B: Books>(books: &mut B, now: Context, body: Body) -> Answer {
    let record = Record { time_ms: now.time_ms, slot: now.slot, place: books.next_place(), body };
    books.write(&record);
    Answer { outcome: record.outcome(HoldState::Held), replay: false, place: record.place }
}

#[expect(clippy::expect_used, reason = "its callers have matched a command that moves money")]
fn movement_of(command: &Command) -> Movement {
    command.movement().expect("transfers and holds move something")
}
