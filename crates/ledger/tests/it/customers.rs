//! Customers: one name, one account, one secret; and the lock.

use ledger::{Currency, Customer, Lock, Outcome, Rejected};

use crate::desk::*;

#[test]
fn a_customer_has_the_account_that_follows_from_the_name() {
    let mut desk = Desk::new();
    assert_eq!(desk.ledger.customer(&name("ann")), None);
    desk.one(add("ann"));
    let expected = Customer { account: of("ann"), secret: secret(1), locked: false };
    assert_eq!(desk.ledger.customer(&name("ann")), Some(expected));
    let account = desk.ledger.account(of("ann")).expect("it was opened");
    assert_eq!((account.owner, account.currency), ("ann", Currency::EUR));
    assert_eq!((account.customer, account.internal), (Some(Lock::Unlocked), None));
}

#[test]
fn nobody_takes_a_customers_account_in_advance() {
    let mut desk = Desk::with(&[(1, 0)]);
    let taking = ledger::Command::OpenAccount { id: of("ann"), owner: name_as_owner("ann"), currency: Currency::EUR };
    assert_eq!(desk.refusal(taking), Rejected::ReservedAccount { account: of("ann") });
    desk.one(add("ann"));
    assert_eq!(desk.ledger.account(of("ann")).expect("open").customer, Some(Lock::Unlocked));
    assert_eq!(desk.ledger.account(account(1)).expect("open").customer, None);
}

fn name_as_owner(text: &str) -> ledger::Owner {
    ledger::Owner::new(text).expect("short")
}

#[test]
fn a_new_secret_replaces_the_old_and_leaves_the_lock() {
    let mut desk = Desk::new();
    desk.send(false, &[add("ann"), lock(1, "ann"), set_secret(2, "ann", secret(2))]);
    let expected = Customer { account: of("ann"), secret: secret(2), locked: true };
    assert_eq!(desk.ledger.customer(&name("ann")), Some(expected));
}

#[test]
fn a_locked_customer_is_credited_and_their_holds_end_but_nothing_new_debits_them() {
    let mut desk = Desk::new();
    desk.send(false, &[add("ann"), transfer(1, vault(), of("ann"), 1_000)]);
    desk.send(false, &[hold(2, of("ann"), interbank(), 100), hold(3, of("ann"), interbank(), 200), lock(4, "ann")]);
    let locked = Rejected::CustomerLocked { account: of("ann") };
    assert_eq!(desk.refusal(transfer(5, of("ann"), vault(), 1)), locked);
    assert_eq!(desk.refusal(hold(6, of("ann"), interbank(), 1)), locked);
    let goes_on = [post(2), void(3), transfer(7, vault(), of("ann"), 50), hold(8, interbank(), of("ann"), 30), post(8)];
    for command in goes_on {
        assert_eq!(desk.one(command).outcome.rejection(), None, "{command:?}");
    }
    let balances = desk.ledger.account(of("ann")).expect("open").balances;
    assert_eq!((balances.balance(), balances.available()), (980, 980));
    desk.one(unlock(9, "ann"));
    assert!(matches!(desk.one(transfer(10, of("ann"), vault(), 980)).outcome, Outcome::Posted { .. }));
    assert_eq!(
        desk.refusal(hold(11, of("ann"), interbank(), 1)),
        Rejected::InsufficientFunds { available: 0, needed: cents(1) }
    );
    desk.one(lock(12, "ann"));
    let closing = ledger::Command::CloseAccount { id: id(13), account: of("ann") };
    assert!(matches!(desk.one(closing).outcome, Outcome::Closed { .. }), "an account that is empty may go");
}

#[test]
fn a_lock_that_is_there_already_is_set_again() {
    let mut desk = Desk::new();
    desk.send(false, &[add("ann"), lock(1, "ann")]);
    assert!(matches!(desk.one(lock(2, "ann")).outcome, Outcome::LockChanged { locked: true, .. }));
    desk.one(unlock(3, "ann"));
    assert!(!desk.ledger.customer(&name("ann")).expect("added").locked);
}

#[test]
fn no_answer_command_or_record_shows_a_secret() {
    let mut desk = Desk::new();
    let commands = [add("ann"), set_secret(1, "ann", secret(2))];
    let answers = desk.send(false, &commands);
    let records: Vec<_> = desk.journal.records.iter().map(ledger::Record::decode).collect();
    let shown = format!("{commands:?} {answers:?} {records:?} {:?}", desk.ledger);
    assert!(shown.contains("Secret(hidden)"));
    // The hash of every test's secret is 32 times this byte.
    assert!(!shown.contains("171, 171") && !shown.contains("abab"), "{shown}");
}

#[test]
fn a_refused_secret_is_kept_nowhere() {
    let mut desk = Desk::new();
    desk.one(set_secret(1, "nobody", secret(2)));
    let kept = desk.journal.records.iter().any(|record| record.windows(4).any(|part| part == [0xab; 4]));
    assert!(!kept);
}
