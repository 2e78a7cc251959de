//! The worker: order, leases, sign-ins, drops and deadlines, with every fault that the gateway can have.

use clearing::PaymentId;
use clearing::outbox::{ItemState, Paused};
use wallet::{Condition, DropResult, now_ms};

use crate::desk::{Desk, client, until};
use crate::gateway::{Decided, Fault, TestGateway};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_is_on_disk_as_being_sent_before_the_gateway_hears_of_it() {
    let (gateway, desk) = (TestGateway::new(), Desk::new());
    let serving = gateway.serve().await;
    let client = client(&serving);
    desk.sign_in(&client, "alice@alpha").await;
    let id = desk.order("alice@alpha", 10_00);
    assert!(matches!(desk.entry(id).item.state, ItemState::Queued(_)));
    // What the outbox holds when the gateway is asked, as another process would read it.
    let outbox = std::sync::Mutex::new(desk.outbox());
    let (seen, sees) = std::sync::mpsc::channel();
    gateway.on_call(move |id| {
        let entry = outbox.lock().expect("nobody panics").entry(id).expect("it is on disk");
        seen.send((entry.item.state, entry.first_sent_ms.is_some())).expect("the test listens");
    });
    let running = desk.start(&client);
    desk.until_over(&[id]).await;
    let (state, sent) = sees.recv().expect("the gateway was asked");
    assert!(matches!(state, ItemState::Trying(_)) && sent, "{state:?}");
    assert_eq!(desk.entry(id).item.state, ItemState::Done);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_ordered_while_the_gateway_was_away_goes_out_in_order_by_itself() {
    let (gateway, desk) = (TestGateway::new(), Desk::new());
    let serving = gateway.serve().await;
    let (client, address) = (client(&serving), serving.address);
    desk.sign_in(&client, "alice@alpha").await;
    drop(serving);
    let away = wallet::Worker::new(&desk.profile, &connect(address), crate::desk::QUICK).expect("it opens").start();
    let ids: Vec<PaymentId> = (1..=5).map(|minor| desk.order("alice@alpha", minor)).collect();
    until("the worker knows that it is offline", || {
        matches!(away.pulse().borrow().condition, Condition::Offline { .. })
    })
    .await;
    // Nothing can have left, so all are still the client's own.
    until("the first was tried", || desk.entry(ids[0]).attempts() > 0).await;
    assert_eq!(
        desk.entry(ids[0]).first_sent_ms.is_some(),
        matches!(desk.entry(ids[0]).item.state, ItemState::Trying(_))
    );
    let _serving = gateway.serve_at(address).await;
    desk.until_over(&ids).await;
    assert_eq!(gateway.taken(), ids);
    assert_eq!(gateway.balance("alice@alpha"), 10_000 - 15);
    away.stop().await;
}

fn connect(address: std::net::SocketAddr) -> api::client::gateway::GatewayClient {
    api::client::gateway::GatewayClient::connect([address.to_string()]).expect("it is an address")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_on_one_outbox_never_send_a_payment_at_the_same_time() {
    let (gateway, desk) = (TestGateway::new(), Desk::new());
    let serving = gateway.serve().await;
    gateway.take_time(std::time::Duration::from_millis(3));
    let client = client(&serving);
    let payers = ["alice@alpha", "bob@beta"];
    for payer in payers {
        desk.sign_in(&client, payer).await;
    }
    let workers = [desk.start(&client), desk.start(&client), desk.start(&client)];
    let ids: Vec<PaymentId> = (0..40).map(|number| desk.order(payers[number % 2], 1)).collect();
    desk.until_over(&ids).await;
    assert_eq!(gateway.doubled(), 0);
    for id in &ids {
        assert_eq!((gateway.calls(*id), gateway.decided(*id)), (1, Some(Decided::Paid)));
    }
    // Of each payer in the order in which they were ordered.
    for first in 0..2 {
        let ordered: Vec<PaymentId> = ids.iter().copied().skip(first).step_by(2).collect();
        let taken: Vec<PaymentId> = gateway.taken().into_iter().filter(|id| ordered.contains(id)).collect();
        assert_eq!(taken, ordered);
    }
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_goes_wrong_every_payment_is_made_exactly_once() {
    let (gateway, desk) = (TestGateway::new(), Desk::new());
    let serving = gateway.serve().await;
    let client = client(&serving);
    desk.sign_in(&client, "alice@alpha").await;
    let faults = [Fault::AnswerLost, Fault::Overloaded, Fault::OutcomeUnknown, Fault::Undecided, Fault::RequestLost];
    gateway.fail_next(faults.into_iter().cycle().take(25));
    let ids: Vec<PaymentId> = (0..10).map(|_| desk.order("alice@alpha", 5_00)).collect();
    let running = desk.start(&client);
    desk.until_over(&ids).await;
    assert!(ids.iter().all(|id| desk.entry(*id).item.state == ItemState::Done));
    assert_eq!(gateway.taken(), ids, "each once, in order");
    assert_eq!((gateway.balance("alice@alpha"), gateway.balance("carol@alpha")), (50_00, 15_000));
    assert_eq!(gateway.doubled(), 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_token_delays_nobody_else_and_the_payment_goes_on_with_its_id() {
    let (gateway, desk) = (TestGateway::new(), Desk::new());
    let serving = gateway.serve().await;
    let client = client(&serving);
    desk.sign_in(&client, "alice@alpha").await;
    gateway.expire_tokens();
    desk.sign_in(&client, "bob@beta").await;
    let first = desk.order("alice@alpha", 10_00);
    let second = desk.order("alice@alpha", 20_00);
    let running = desk.start(&client);
    until("alice's payment waits for her", || desk.entry(first).waits_for_sign_in()).await;
    let of_bob = desk.order("bob@beta", 30_00);
    desk.until_over(&[of_bob]).await;

    // She is told, once.
    let news = desk.outbox().news().expect("it is read");
    let waiting = news.iter().find(|entry| entry.terms.id == first).expect("it is news that it waits");
    assert_eq!(waiting.item.state, ItemState::WaitingForSignIn(Paused::Sent));
    assert_eq!(waiting.word.code, "token_expired");
    desk.outbox().mark_seen(waiting).expect("there is room");
    assert_eq!(gateway.taken(), [of_bob]);
    // The token that was refused is not tried again.
    assert_eq!(gateway.calls(first), 0);

    desk.sign_in(&client, "alice@alpha").await;
    desk.until_over(&[first, second]).await;
    assert_eq!(gateway.taken(), [of_bob, first, second]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_sign_in_nothing_is_sent_and_nothing_is_lost() {
    let (gateway, desk) = (TestGateway::new(), Desk::new());
    let serving = gateway.serve().await;
    let client = client(&serving);
    let id = desk.order("alice@alpha", 10_00);
    let running = desk.start(&client);
    until("it waits for a sign-in", || desk.entry(id).waits_for_sign_in()).await;
    assert_eq!((desk.entry(id).first_sent_ms, gateway.calls(id)), (None, 0));
    desk.sign_in(&client, "alice@alpha").await;
    desk.until_over(&[id]).await;
    assert_eq!(gateway.taken(), [id]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_the_end_and_keeps_its_reason() {
    let (gateway, desk) = (TestGateway::new(), Desk::new());
    let serving = gateway.serve().await;
    let client = client(&serving);
    desk.sign_in(&client, "alice@alpha").await;
    let (too_much, after) = (desk.order("alice@alpha", 10_001), desk.order("alice@alpha", 1));
    let running = desk.start(&client);
    desk.until_over(&[too_much, after]).await;
    let entry = desk.entry(too_much);
    assert!(matches!(entry.item.state, ItemState::Refused(_)));
    assert_eq!(entry.word.code, "insufficient_funds");
    assert_eq!(gateway.calls(too_much), 1);
    assert_eq!(desk.entry(after).item.state, ItemState::Done);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_have_arrived_is_dropped_by_the_gateways_word_alone() {
    // It had arrived, and is paid; it had not, and never will be.
    for (fault, end) in [(Fault::AnswerLost, Decided::Paid), (Fault::RequestLost, Decided::Refused("voided"))] {
        let (gateway, desk) = (TestGateway::new(), Desk::new());
        let serving = gateway.serve().await;
        let client = client(&serving);
        desk.sign_in(&client, "alice@alpha").await;
        let id = desk.order("alice@alpha", 10_00);
        gateway.fail_next([fault; 100]);
        let running = desk.start(&client);
        until("it may have arrived", || matches!(desk.entry(id).item.state, ItemState::Sent(_))).await;
        let asked = desk.outbox().drop_asked(id, now_ms()).expect("there is room");
        assert!(matches!(asked, DropResult::Asking(_)), "{asked:?}");
        // An attempt to pay that was on its way when it was dropped may still succeed; the question comes after it.
        until("the gateway is asked", || desk.entry(id).attempts() > 0).await;
        gateway.no_more_faults();
        desk.until_over(&[id]).await;
        assert_eq!(gateway.decided(id), Some(end.clone()));
        let state = desk.entry(id).item.state;
        assert_eq!(state == ItemState::Done, end == Decided::Paid, "{state:?}");
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_whose_time_is_over_is_never_sent() {
    let (gateway, desk) = (TestGateway::new(), Desk::new());
    let serving = gateway.serve().await;
    let client = client(&serving);
    desk.sign_in(&client, "alice@alpha").await;
    let (late, in_time) = (desk.order_until("alice@alpha", 1, now_ms()), desk.order("alice@alpha", 2));
    let running = desk.start(&client);
    desk.until_over(&[late, in_time]).await;
    assert_eq!(desk.entry(late).item.state, ItemState::Dropped);
    assert_eq!(desk.entry(late).word.code, "deadline_passed");
    assert_eq!(gateway.taken(), [in_time]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_waits_for_what_is_on_its_way() {
    let (gateway, desk) = (TestGateway::new(), Desk::new());
    let serving = gateway.serve().await;
    gateway.take_time(std::time::Duration::from_millis(200));
    let client = client(&serving);
    desk.sign_in(&client, "alice@alpha").await;
    let (first, second) = (desk.order("alice@alpha", 1), desk.order("alice@alpha", 2));
    let running = desk.start(&client);
    until("the first is on its way", || gateway.calls(first) == 1).await;
    running.stop().await;
    assert_eq!(desk.entry(first).item.state, ItemState::Done);
    assert_eq!(gateway.calls(second), 0);
    assert_eq!(desk.entry(first).item.lease.holder, None);
}
