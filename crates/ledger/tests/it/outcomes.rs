//! One row for each outcome, and which check comes first where two would refuse.

use ledger::{AccountId, Amount, Command, Currency, Outcome, Owner, Rejected, SettingChange};

use crate::daily_limit::daily_limit;
use crate::desk::*;

/// Customers 1 (100.00 EUR), 2 (empty), 3 (closed), 4 (yen, empty), 5 (10.00 EUR, 4.00 held); a limit of 500.00 EUR.
/// By name: ann (95.00 EUR, 5.00 spent today) and bob (10.00 EUR, locked), who may spend 60.00 EUR a day; somebody else has
/// the account that would be eve's.
fn town() -> Desk {
    let mut desk = Desk::with(&[(1, 10_000), (2, 0), (3, 0), (5, 1_000)]);
    desk.one(Command::OpenAccount { id: account(4), owner: Owner::EMPTY, currency: yen() });
    desk.one(close(1_003, 3));
    desk.one(hold(1_005, account(5), interbank(), 400));
    desk.one(limit(0, Some(50_000)));
    desk.send(false, &[add("ann"), add("bob")]);
    desk.send(false, &[transfer(1_010, vault(), of("ann"), 10_000), transfer(1_011, vault(), of("bob"), 1_000)]);
    desk.send(false, &[lock(1_012, "bob"), daily_limit(1, Some(6_000)), transfer(1_013, of("ann"), vault(), 500)]);
    desk
}

fn limit(expected_version: u64, minor: Option<u128>) -> Command {
    let change = SettingChange::TransferLimit { currency: Currency::EUR, limit: minor.and_then(Amount::new) };
    Command::ChangeSetting { expected_version, change }
}

#[test]
fn each_rejection_comes_with_its_data() {
    let unknown = account(99);
    let rows = [
        (transfer(1, account(1), account(1), 1), Rejected::SameAccount),
        (transfer(1, unknown, account(1), 1), Rejected::UnknownDebitAccount { account: unknown }),
        (transfer(1, account(1), unknown, 1), Rejected::UnknownCreditAccount { account: unknown }),
        (transfer(1, account(4), account(1), 1), Rejected::CurrencyMismatch { account: account(4), kept_in: yen() }),
        (transfer(1, account(1), account(4), 1), Rejected::CurrencyMismatch { account: account(4), kept_in: yen() }),
        (
            transfer_in(yen(), 1, account(1), account(4)),
            Rejected::CurrencyMismatch { account: account(1), kept_in: Currency::EUR },
        ),
        (
            transfer_in(yen(), 1, vault(), account(4)),
            Rejected::CurrencyMismatch { account: vault(), kept_in: Currency::EUR },
        ),
        (transfer(1, account(3), account(1), 1), Rejected::AccountClosed { account: account(3) }),
        (transfer(1, account(1), account(3), 1), Rejected::AccountClosed { account: account(3) }),
        (
            transfer(1, vault(), account(1), 50_001),
            Rejected::LimitExceeded { limit: cents(50_000), asked: cents(50_001) },
        ),
        (
            transfer(1, account(1), account(2), 10_001),
            Rejected::InsufficientFunds { available: 10_000, needed: cents(10_001) },
        ),
        (transfer(1, account(5), account(2), 601), Rejected::InsufficientFunds { available: 600, needed: cents(601) }),
        (hold(1, account(5), interbank(), 601), Rejected::InsufficientFunds { available: 600, needed: cents(601) }),
        (post(1), Rejected::HoldNotFound),
        (post(900_001), Rejected::HoldNotFound),
        (void(900_001), Rejected::HoldNotFound),
        (Command::PostHold { id: id(1_005), placer: placer(8) }, Rejected::NotYourHold),
        (Command::VoidHold { id: id(1_005), placer: placer(8) }, Rejected::NotYourHold),
        (close(1, 99), Rejected::UnknownAccount { account: unknown }),
        (close(1, 3), Rejected::AccountClosed { account: account(3) }),
        (close(1, 5), Rejected::AccountHasHolds),
        (close(1, 1), Rejected::AccountNotEmpty { balance: 10_000 }),
        (Command::CloseAccount { id: id(1), account: vault() }, Rejected::InternalAccount { account: vault() }),
        (
            Command::OpenAccount { id: vault(), owner: Owner::EMPTY, currency: Currency::EUR },
            Rejected::InternalAccount { account: vault() },
        ),
        (limit(0, None), Rejected::VersionMismatch { expected: 0, actual: 2 }),
        (limit(3, None), Rejected::VersionMismatch { expected: 3, actual: 2 }),
        (
            Command::AddCustomer { name: name("ann"), currency: yen(), secret: secret(1) },
            Rejected::CustomerExists { kept_in: Currency::EUR },
        ),
        (
            Command::OpenAccount { id: of("eve"), owner: Owner::EMPTY, currency: Currency::EUR },
            Rejected::ReservedAccount { account: of("eve") },
        ),
        (set_secret(1, "nobody", secret(1)), Rejected::UnknownCustomer),
        (set_secret(1, "eve", secret(1)), Rejected::UnknownCustomer),
        (lock(1, "nobody"), Rejected::UnknownCustomer),
        (unlock(1, "eve"), Rejected::UnknownCustomer),
        (transfer(1, of("bob"), account(1), 1), Rejected::CustomerLocked { account: of("bob") }),
        (hold(1, of("bob"), interbank(), 1), Rejected::CustomerLocked { account: of("bob") }),
        (transfer(1, of("ann"), account(1), 5_501), Rejected::DailyLimitExceeded { limit: cents(6_000), spent: 500 }),
        (hold(1, of("ann"), interbank(), 5_501), Rejected::DailyLimitExceeded { limit: cents(6_000), spent: 500 }),
        (
            Command::OpenAccount { id: of("ann"), owner: Owner::new("ann").expect("short"), currency: Currency::EUR },
            Rejected::IdReused,
        ),
    ];
    for (command, rejection) in rows {
        let mut desk = town();
        let before = desk.ledger.totals();
        assert_eq!(desk.refusal(command), rejection, "{command:?}");
        assert_eq!(desk.ledger.totals(), before, "a rejection moves nothing");
    }
}

#[test]
fn the_first_check_in_the_table_names_the_rejection() {
    // Each row fails two neighbouring checks; the one that comes first must answer.
    let unknown = account(99);
    let rows = [
        (transfer(1, unknown, unknown, 1), Rejected::SameAccount),
        (transfer(1, unknown, account(98), 1), Rejected::UnknownDebitAccount { account: unknown }),
        (transfer_in(yen(), 1, account(1), unknown), Rejected::UnknownCreditAccount { account: unknown }),
        (
            transfer_in(yen(), 1, account(3), account(4)),
            Rejected::CurrencyMismatch { account: account(3), kept_in: Currency::EUR },
        ),
        (transfer(1, account(3), account(2), 50_001), Rejected::AccountClosed { account: account(3) }),
        (transfer(1, of("bob"), account(3), 1), Rejected::AccountClosed { account: account(3) }),
        (transfer(1, of("bob"), account(2), 50_001), Rejected::CustomerLocked { account: of("bob") }),
        (
            transfer(1, of("ann"), account(2), 50_001),
            Rejected::LimitExceeded { limit: cents(50_000), asked: cents(50_001) },
        ),
        (transfer(1, of("ann"), account(2), 9_501), Rejected::DailyLimitExceeded { limit: cents(6_000), spent: 500 }),
        (
            transfer(1, account(1), account(2), 50_001),
            Rejected::LimitExceeded { limit: cents(50_000), asked: cents(50_001) },
        ),
    ];
    for (command, rejection) in rows {
        assert_eq!(town().refusal(command), rejection, "{command:?}");
    }
    let mut desk = town();
    desk.one(limit(2, None));
    let max = Amount::MAX.minor();
    let refusal = desk.refusal(transfer(1, account(1), account(2), max));
    assert_eq!(refusal, Rejected::InsufficientFunds { available: 10_000, needed: Amount::MAX });
}

#[test]
fn each_success_tells_what_the_books_are_after_it() {
    let mut desk = town();
    desk.clock_ms = 5_000;
    match desk.one(transfer(1, account(1), account(2), 2_500)).outcome {
        Outcome::Posted { time_ms, debit, credit } => {
            assert_eq!((time_ms, debit.balance(), credit.balance()), (5_000, 7_500, 2_500));
        }
        other => panic!("not posted: {other:?}"),
    }
    assert!(matches!(desk.one(open(6)).outcome, Outcome::Opened { time_ms: 5_000, number: 9 }));
    assert!(matches!(desk.one(add("cid")).outcome, Outcome::Opened { time_ms: 5_000, number: 10 }));
    let changed = desk.one(set_secret(5, "ann", secret(9))).outcome;
    assert_eq!(changed, Outcome::SecretChanged { time_ms: 5_000 });
    assert_eq!(desk.one(unlock(6, "bob")).outcome, Outcome::LockChanged { time_ms: 5_000, locked: false });
    assert_eq!(desk.one(lock(7, "bob")).outcome, Outcome::LockChanged { time_ms: 5_000, locked: true });
    assert!(matches!(desk.one(close(2, 6)).outcome, Outcome::Closed { time_ms: 5_000 }));
    assert!(matches!(desk.one(Command::VoidTransfer { id: id(3) }).outcome, Outcome::Voided { time_ms: 5_000 }));
    assert!(matches!(desk.one(limit(2, None)).outcome, Outcome::SettingChanged { time_ms: 5_000, version: 3 }));
    assert_eq!(desk.one(transfer(4, vault(), account(1), 50_001)).outcome.rejection(), None, "the limit is lifted");
}

#[test]
fn money_comes_from_the_vault_and_goes_back_there() {
    let mut desk = Desk::with(&[(1, 10_000)]);
    desk.one(transfer(1, account(1), vault(), 2_500));
    let vault = desk.ledger.account(vault()).expect("opened on first use");
    assert_eq!(vault.balances.balance(), -7_500);
    assert_eq!((vault.owner, vault.internal), ("vault", Some(ledger::Internal::Vault)));
    assert_eq!(desk.ledger.money_held(), [(Currency::EUR, 7_500)]);
    let totals = desk.ledger.totals()[0];
    assert_eq!((totals.accounts, totals.customers), (2, 7_500));
    assert_eq!(totals.sums.posted_debits, totals.sums.posted_credits);
}

#[test]
fn a_refused_withdrawal_opens_no_vault() {
    let mut desk = Desk::with(&[(1, 0)]);
    desk.refusal(transfer(1, account(1), vault(), 1));
    assert_eq!(desk.ledger.account_count(), 1);
}

#[test]
fn the_ledgers_time_never_goes_back_and_bears_any_clock() {
    let mut desk = Desk::with(&[(1, 100)]);
    desk.clock_ms = 3_600_000;
    assert_eq!(desk.one(open(2)).outcome.time_ms(), 3_600_000);
    desk.clock_ms = 5;
    assert_eq!(desk.one(open(3)).outcome.time_ms(), 3_600_000);
    desk.clock_ms = u64::MAX;
    assert_eq!(desk.one(open(4)).outcome.time_ms(), (1 << 48) - 1);
    assert_eq!(desk.one(open(5)).outcome.time_ms(), (1 << 48) - 1);
}

#[test]
fn a_total_that_would_overflow_is_refused_on_either_side() {
    let max = Amount::MAX.minor();
    let mut desk = Desk::with(&[(1, 0), (2, 0)]);
    // 65,535 of the largest amounts leave room for one more and 65,535 cents.
    let fill: Vec<Command> = (1..=65_535).map(|number| transfer(number, vault(), account(1), max)).collect();
    for part in fill.chunks(ledger::Request::COMMANDS_MAX) {
        desk.send(false, part);
    }
    let overflow = |account| Rejected::BalanceOverflow { account };
    assert_eq!(desk.one(hold(70_000, vault(), account(1), max)).outcome.rejection(), None);
    assert_eq!(desk.refusal(transfer(70_001, vault(), account(2), 65_536)), overflow(vault()), "held debits count");
    assert_eq!(
        desk.refusal(transfer(70_002, AccountId::suspense(Currency::EUR), account(1), 65_536)),
        overflow(account(1)),
        "held credits count"
    );
    assert_eq!(desk.refusal(hold(70_003, vault(), account(2), 65_536)), overflow(vault()));
    assert_eq!(desk.one(transfer(70_004, vault(), account(2), 65_535)).outcome.rejection(), None);
    assert!(matches!(desk.one(post(70_000)).outcome, Outcome::HoldPosted { .. }), "a post is never refused");
    assert_eq!(desk.refusal(transfer(70_005, vault(), account(2), 1)), overflow(vault()));
}
