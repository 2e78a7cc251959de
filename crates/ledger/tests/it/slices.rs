//! Digests of slices: what nodes compare with each other while they serve.

use crate::desk::*;
use crate::restore::{folded, restored};

const OF: u64 = 8;

fn slices(desk: &Desk) -> Vec<[u8; 32]> {
    (0..OF).map(|slice| desk.ledger.slice_digest(slice, OF)).collect()
}

/// Which slices the commands change.
fn changed_by(desk: &mut Desk, commands: &[ledger::Command]) -> Vec<u64> {
    let before = slices(desk);
    for command in commands {
        assert_eq!(desk.one(*command).outcome.rejection(), None);
    }
    let after = slices(desk);
    (0..OF).filter(|slice| before[*slice as usize] != after[*slice as usize]).collect()
}

/// The vault and 31 customers: accounts 0 to 3 are in the first slice, and so on.
fn desk() -> Desk {
    let customers: Vec<(u128, u128)> =
        (1..=31).map(|customer| (customer, if customer == 1 { 1_000 } else { 0 })).collect();
    Desk::with(&customers)
}

#[test]
fn every_account_is_in_one_slice_and_every_change_shows_there() {
    let desk = desk();
    assert_eq!(desk.ledger.account_count(), 32);
    let slice_of = |customer| desk.ledger.account(account(customer)).expect("it is open").number / 4;
    let (of_payer, of_payee) = (slice_of(1), slice_of(31));
    assert_eq!(changed_by(&mut desk.clone(), &[transfer(1, account(1), account(31), 5)]), [of_payer, of_payee]);
    assert_eq!(
        changed_by(&mut desk.clone(), &[close(2, 20)]),
        [desk.ledger.account(account(20)).expect("it is open").number / 4]
    );
    for customer in 2..=31 {
        let mut desk = desk.clone();
        let slice = desk.ledger.account(account(customer)).expect("it is open").number / 4;
        let changed = changed_by(&mut desk, &[transfer(3, account(1), account(customer), 1)]);
        assert!(changed.contains(&slice), "customer {customer}: {changed:?}");
    }
}

#[test]
fn a_hold_shows_in_the_slice_of_its_id_and_in_those_of_its_accounts() {
    let mut desk = desk();
    let of_accounts = [1, 2].map(|customer| desk.ledger.account(account(customer)).expect("it is open").number / 4);
    for number in 16..24 {
        let mut expected = vec![number as u64 % OF, of_accounts[0], of_accounts[1]];
        expected.sort_unstable();
        expected.dedup();
        assert_eq!(changed_by(&mut desk, &[hold(number, account(1), account(2), 1)]), expected);
    }
}

#[test]
fn a_customers_secret_and_lock_show_in_the_slice_of_the_account() {
    let mut desk = desk();
    desk.one(add("ann"));
    let slice = 7;
    for change in [set_secret(1, "ann", secret(2)), lock(2, "ann"), unlock(3, "ann"), set_secret(4, "ann", secret(3))] {
        assert_eq!(changed_by(&mut desk, &[change]), [slice], "{change:?}");
    }
    assert_eq!(changed_by(&mut desk, &[set_secret(5, "ann", secret(3))]), [], "the same secret again");
}

#[test]
fn the_day_of_a_customers_last_debit_shows_in_the_slice_of_the_account() {
    let mut desk = desk();
    desk.send(false, &[add("ann"), transfer(1, vault(), of("ann"), 10), hold(2, of("ann"), vault(), 1)]);
    desk.clock_ms += 86_400_000;
    let (mut begun_before, mut begun_after) = (desk.clone(), desk);
    begun_before.send(false, &[transfer(3, of("ann"), vault(), 1), void(2)]);
    begun_after.send(false, &[void(2), transfer(3, of("ann"), vault(), 1)]);
    assert!(
        begun_before.ledger.accounts(0).eq(begun_after.ledger.accounts(0)),
        "only what today has given back differs"
    );
    let (before, after) = (slices(&begun_before), slices(&begun_after));
    let differ: Vec<usize> = (0..before.len()).filter(|slice| before[*slice] != after[*slice]).collect();
    assert_eq!(differ, [7]);
    assert_ne!(begun_before.ledger.digest(), begun_after.ledger.digest());
}

#[test]
fn time_belongs_to_every_slice() {
    let mut desk = desk();
    desk.clock_ms += 1;
    assert_eq!(changed_by(&mut desk, &[open(32)]).len() as u64, OF);
}

#[test]
fn restored_books_have_the_same_slices_whatever_the_seed() {
    let mut desk = desk();
    desk.send(false, &[hold(1, account(1), account(2), 7), transfer(2, account(1), account(3), 8), close(3, 9)]);
    desk.send(false, &[add("ann"), set_secret(4, "ann", secret(2)), lock(5, "ann")]);
    let again = restored(&folded(&desk.journal.records));
    let of_again: Vec<[u8; 32]> = (0..OF).map(|slice| again.slice_digest(slice, OF)).collect();
    assert_eq!(of_again, slices(&desk));
}
