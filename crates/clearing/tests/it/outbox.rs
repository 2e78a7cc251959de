//! The outbox of a client: what may be sent, what may be dropped, and two clients on one outbox.

use clearing::outbox::{Attempt, DropAnswer, Errand, Item, ItemState, Lease, Leased, Paused, Retry, ready};
use clearing::told::Told;
use clearing::{Delivery, PaymentId, Reason, Refusal};

use crate::desk::{customer, id};

fn item(number: u128, payer: &str) -> Item {
    Item::new(id(number), customer(payer, "alpha"), u64::try_from(number).expect("small"), 1_000_000)
}

fn told(told: Told) -> Attempt {
    Attempt::Told(told)
}

fn paid() -> Attempt {
    told(Told::Paid { delivery: Delivery::Pending })
}

fn ids(ready: &[(PaymentId, Errand)]) -> Vec<u128> {
    ready.iter().map(|(id, _)| id.get()).collect()
}

#[test]
fn payments_of_a_payer_go_in_order_and_other_payers_do_not_wait() {
    let mut items = vec![item(3, "bob"), item(2, "alice"), item(1, "alice")];
    assert_eq!(ids(&ready(&items, 1, 0)), [1, 3]);
    items[2] = items[2].sending(0).heard(Attempt::NoAnswer);
    assert_eq!(ids(&ready(&items, 1, 100)), [3], "the first backs off, and the second waits behind it");
    assert_eq!(ids(&ready(&items, 1, 200)), [1, 3]);
    items[2] = items[2].sending(200).heard(paid());
    assert_eq!(ids(&ready(&items, 1, 200)), [2, 3]);
}

#[test]
fn who_waits_for_a_sign_in_delays_nobody_else_and_goes_on_with_the_same_id() {
    let mut items = [item(1, "alice"), item(2, "alice"), item(3, "bob")];
    items[0] = items[0].sending(0).heard(told(Told::NotTaken(Refusal::SessionExpired)));
    assert_eq!(items[0].state, ItemState::WaitingForSignIn(Paused::Sent));
    assert_eq!(ids(&ready(&items, 1, 10_000)), [3]);
    items[0] = items[0].signed_in(10_000);
    assert_eq!(ids(&ready(&items, 1, 10_000)), [1, 3]);
    assert_eq!(items[0].id, id(1));
}

#[test]
fn what_was_never_sent_is_dropped_and_what_may_have_arrived_is_asked_for() {
    let queued = item(1, "alice");
    let unreachable = queued.sending(0).heard(Attempt::NotConnected);
    let trying = queued.sending(0);
    let sent = trying.heard(Attempt::NoAnswer);
    for item in [queued, unreachable] {
        assert!(matches!(item.drop_asked(5), DropAnswer::Dropped(dropped) if dropped.state == ItemState::Dropped));
    }
    // A client that was killed while it sent finds the item as being tried.
    for item in [trying, sent, sent.sending(200).heard(Attempt::NotConnected)] {
        let DropAnswer::Asking(asking) = item.drop_asked(500) else { panic!("{item:?} may have arrived") };
        assert_eq!(ready(&[asking], 1, 500), [(id(1), Errand::Cancel)]);
        let voided = asking.sending(500).heard(told(Told::Refused(Reason::VoidedByPayer)));
        assert_eq!(voided.state, ItemState::Refused(Reason::VoidedByPayer));
        // The gateway may have decided otherwise before, and its word is what counts.
        assert_eq!(asking.sending(500).heard(paid()).state, ItemState::Done);
    }
    let done = sent.heard(paid());
    assert!(matches!(done.drop_asked(5), DropAnswer::TooLate(_)));
}

#[test]
fn after_its_deadline_a_payment_is_dropped_or_the_gateway_is_asked_for_void() {
    let late = 1_000_000;
    assert_eq!(item(1, "alice").sending(late).state, ItemState::Dropped);
    let sent = item(1, "alice").sending(0).heard(Attempt::NoAnswer);
    assert!(matches!(sent.sending(late).state, ItemState::Cancelling(_)));
}

#[test]
fn refused_for_load_burns_nothing_and_backs_off() {
    let mut item = item(1, "alice");
    let mut now_ms = 0;
    let mut waits = Vec::new();
    for _ in 0..10 {
        item = item.sending(now_ms).heard(told(Told::NotTaken(Refusal::Full)));
        let ItemState::Sent(Retry { next_ms, .. }) = item.state else { panic!("{:?}", item.state) };
        waits.push(next_ms - now_ms);
        now_ms = next_ms;
    }
    assert_eq!(waits, [200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 25_600, 25_600]);
    let mut offline = Item { state: ItemState::Queued(Retry::NOW), ..item };
    offline = offline.sending(0).heard(Attempt::NotConnected);
    assert_eq!(offline.state, ItemState::Queued(Retry { attempts: 1, next_ms: 200 }));
}

#[test]
fn two_clients_on_one_outbox_do_not_double() {
    let free = item(1, "alice");
    let mine = free.lease(1, 0, 5_000).expect("nobody has it");
    // Both read version 0; the store takes the first write, and refuses the second by its version.
    let theirs = free.lease(2, 0, 5_000).expect("it looks free to the other, too");
    assert_eq!((mine.lease.version, theirs.lease.version), (1, 1));
    assert_eq!(mine.lease(2, 4_999, 5_000), Err(Leased { until_ms: 5_000 }));
    assert_eq!(ready(&[mine], 2, 4_999), []);
    assert_eq!(ids(&ready(&[mine], 1, 4_999)), [1]);
    let sent = mine.sending(0);
    assert_eq!(ids(&ready(&[sent], 2, 5_000)), [1], "a client that died leaves it to the other, as perhaps sent");
    assert_eq!(sent.lease(2, 5_000, 5_000).map(|item| item.lease.holder), Ok(Some(2)));
    assert_eq!(Lease::NONE.version, 0);
}

#[test]
fn a_hurried_item_is_tried_at_once_unless_nobody_is_signed_in() {
    let backing_off = item(1, "alice").sending(0).heard(Attempt::NoAnswer);
    assert_eq!(ids(&ready(&[backing_off], 1, 100)), []);
    assert_eq!(ids(&ready(&[backing_off.hurried(100)], 1, 100)), [1]);
    let waiting = item(1, "alice").heard(told(Told::NotTaken(Refusal::NoSession)));
    assert_eq!(waiting.state, ItemState::WaitingForSignIn(Paused::Queued));
    assert_eq!(ids(&ready(&[waiting.hurried(100)], 1, 100)), []);
}

#[test]
fn only_its_holder_gives_a_lease_back() {
    let mine = item(1, "alice").lease(1, 0, 5_000).expect("nobody has it");
    assert_eq!(ready(&[mine.released(2)], 2, 10), []);
    let free = mine.released(1);
    assert_eq!(ids(&ready(&[free], 2, 10)), [1]);
    assert!(free.lease.version > mine.lease.version);
}
