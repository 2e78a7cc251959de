//! What a customer's client makes of a gateway that is away, loses answers, refuses, or does not know the token.

use std::net::SocketAddr;
use std::time::Duration;

use api::client::Secret;
use api::client::gateway::{
    Customer, GatewayClient, GatewayError, GatewayOptions, NotSignedIn, Standing, new_payment_id,
};
use api::code::Code;
use api::network::NetworkId;
use clearing::Terms;
use ledger::{Amount, Currency, Reference};
use tokio::runtime::Runtime;

use crate::gateway::{Decided, Fault, PASSWORD, Serving, TestGateway};
use crate::pay;

const SHORT: GatewayOptions = GatewayOptions {
    deadline: Duration::from_millis(600),
    attempt_timeout: Duration::from_millis(500),
    connect_patience: Duration::from_millis(600),
};

fn client(addresses: &[SocketAddr]) -> GatewayClient {
    GatewayClient::connect(addresses.iter().map(SocketAddr::to_string)).expect("these are addresses")
}

fn payment(minor: u128) -> Terms {
    Terms {
        id: new_payment_id(),
        payer: "alice@alpha".parse().expect("well formed"),
        payee: "bob@beta".parse().expect("well formed"),
        amount: Amount::new(minor).expect("in range"),
        currency: Currency::EUR,
        reference: Reference::EMPTY,
    }
}

async fn alice(gateway: &GatewayClient) -> Customer {
    let party = "alice@alpha".parse().expect("well formed");
    let signed_in = gateway.login(&party, &Secret::new(PASSWORD)).await.expect("the password is right");
    gateway.customer(&signed_in.token).expect("a token")
}

/// An address where nobody listens.
async fn nowhere() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    listener.local_addr().expect("it is bound")
}

async fn serving() -> (TestGateway, Serving) {
    let gateway = TestGateway::new();
    let serving = gateway.serve().await;
    (gateway, serving)
}

#[tokio::test]
async fn the_example_pays() {
    let (gateway, serving) = serving().await;
    let said = pay::pay(&client(&[serving.address]), "alice@alpha", &Secret::new(PASSWORD), "bob@beta", "12.50").await;
    assert_eq!(said.expect("it pays"), "paid; 87.50 left");
    assert_eq!((gateway.balance("bob@beta"), gateway.live_tokens()), (11_250, 0));
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_and_pays_once() {
    let (gateway, serving) = serving().await;
    let alice = alice(&client(&[serving.address])).await;
    for fault in [Fault::AnswerLost, Fault::OutcomeUnknown, Fault::RequestLost, Fault::Overloaded] {
        gateway.fail_next([fault]);
        let terms = payment(10_00);
        let answer = alice.pay(&terms).await.expect("the second attempt is answered");
        assert_eq!(answer.standing, Standing::Paid { delivered: false }, "{fault:?}");
        assert_eq!(gateway.calls(terms.id), 2, "{fault:?}");
    }
    assert_eq!(gateway.balance("alice@alpha"), 60_00);
}

#[tokio::test]
async fn an_undecided_payment_is_said_to_be_so_and_asked_about_by_its_id() {
    let (gateway, serving) = serving().await;
    let alice = alice(&client(&[serving.address])).await;
    gateway.fail_next([Fault::Undecided]);
    let terms = payment(10_00);
    let first = alice.pay(&terms).await.expect("it is answered");
    assert!(matches!(first.standing, Standing::Undecided { .. }), "{first:?}");
    let later = alice.payment(terms.id).await.expect("it is answered").expect("it is known");
    assert_eq!(later.standing, Standing::Paid { delivered: false });
}

#[tokio::test]
async fn a_node_that_is_away_is_passed_by() {
    let (gateway, serving) = serving().await;
    let alice = alice(&client(&[nowhere().await, nowhere().await, serving.address])).await;
    assert!(matches!(alice.pay(&payment(1)).await.map(|a| a.standing), Ok(Standing::Paid { .. })));
    assert_eq!(gateway.taken().len(), 1);
}

#[tokio::test]
async fn who_has_no_patience_tries_each_node_once_and_no_longer_than_that() {
    let addresses = [nowhere().await, nowhere().await];
    let options = GatewayOptions { deadline: Duration::from_secs(600), connect_patience: Duration::ZERO, ..SHORT };
    let alice = client(&addresses).with_options(options).customer(&Secret::new("any")).expect("it looks like a token");
    // It would take ten minutes otherwise.
    let answer = tokio::time::timeout(Duration::from_secs(60), alice.balance()).await.expect("it gives up");
    assert!(matches!(answer, Err(GatewayError::Unreachable { .. })), "{answer:?}");
}

#[tokio::test]
async fn what_may_have_arrived_stays_so_whatever_the_next_node_refuses() {
    let (gateway, serving) = serving().await;
    let here = client(&[serving.address]);
    // At the second address is another network, or a gateway that does not know the token.
    for (number, other) in [(1, TestGateway::of_network(2)), (2, TestGateway::new())] {
        let elsewhere = other.serve().await;
        let token = here.login(&"alice@alpha".parse().expect("well formed"), &Secret::new(PASSWORD)).await;
        let both = client(&[serving.address, elsewhere.address]).with_options(SHORT);
        let alice = both.customer(&token.expect("the password is right").token).expect("it looks like a token");
        let terms = payment(number);
        gateway.fail_next([Fault::OutcomeUnknown; 50]);
        let unknown = alice.pay(&terms).await.expect_err("the first node does not know, and the second refuses");
        assert!(
            matches!(unknown, GatewayError::OutcomeUnknown { ref payments, .. } if *payments == [terms.id]),
            "{unknown:?}"
        );
        assert!(gateway.taken().contains(&terms.id) && other.taken().is_empty());
        gateway.no_more_faults();
    }
}

#[tokio::test]
async fn who_refuses_the_second_attempt_says_nothing_of_the_first() {
    let (gateway, serving) = serving().await;
    let alice = alice(&client(&[serving.address])).await;
    let of_attempt = [
        Code::NotPermitted,
        Code::NoSuchPath,
        Code::RequestTimeout,
        Code::BrokenRequest,
        Code::DeadlinePassed,
        Code::InvalidName,
    ];
    for refusal in of_attempt.map(Fault::Refused).into_iter().chain([Fault::NoSuchMethod]) {
        let terms = payment(1);
        gateway.fail_next([Fault::AnswerLost, refusal]);
        let unknown = alice.pay(&terms).await.expect_err("the second attempt is refused");
        assert!(
            matches!(unknown, GatewayError::OutcomeUnknown { ref payments, .. } if *payments == [terms.id]),
            "{refusal:?}: {unknown:?}"
        );
        assert_eq!(gateway.decided(terms.id), Some(Decided::Paid), "{refusal:?}");
        gateway.fail_next([refusal]);
        let refused = alice.pay(&payment(1)).await.expect_err("the only attempt is refused");
        assert!(matches!(refused, GatewayError::Refused { .. }), "{refusal:?}: {refused:?}");
    }
    // That one payment was not taken is said in an answer.
    gateway.fail_next([Fault::AnswerLost, Fault::NotTaken, Fault::NotTaken]);
    let open = alice.pay(&payment(1)).await.expect("it is answered");
    assert!(matches!(open.standing, Standing::Undecided { .. }), "{open:?}");
    let not_taken = alice.pay(&payment(1)).await.expect("it is answered");
    assert!(matches!(not_taken.standing, Standing::NotTaken { .. }), "{not_taken:?}");
    // What the id stands for is the same for all attempts.
    gateway.fail_next([Fault::AnswerLost, Fault::Refused(Code::IdReused)]);
    let reused = alice.pay(&payment(1)).await;
    assert!(matches!(reused, Err(GatewayError::Refused { code: Code::IdReused, .. })), "{reused:?}");
}

#[tokio::test]
async fn an_address_that_is_another_networks_by_now_keeps_nobody_from_the_others() {
    let (gateway, serving) = serving().await;
    let other = TestGateway::of_network(2);
    let elsewhere = other.serve().await;
    let own = NetworkId::new(1).expect("not nil");
    let alice = alice(&client(&[elsewhere.address, serving.address]).pinned_to(own)).await;
    assert!(matches!(alice.pay(&payment(1)).await.map(|a| a.standing), Ok(Standing::Paid { .. })));
    assert_eq!((gateway.taken().len(), other.with_token(), other.called()), (1, 0, 0));
    // Where there is nobody else, that is said at once.
    let nobody = client(&[elsewhere.address, nowhere().await]).pinned_to(own).customer(&Secret::new("any"));
    let refused = nobody.expect("it looks like a token").balance().await;
    assert!(matches!(refused, Err(GatewayError::OtherNetwork { .. })), "{refused:?}");
}

#[tokio::test]
async fn the_error_says_whether_a_byte_can_have_arrived() {
    let (gateway, serving) = serving().await;
    let here = client(&[serving.address]).with_options(SHORT);
    let alice_here = alice(&here).await;
    let terms = payment(1);

    gateway.fail_next([Fault::AnswerLost; 50]);
    let unknown = alice_here.pay(&terms).await.expect_err("no answer comes");
    assert!(
        matches!(unknown, GatewayError::OutcomeUnknown { ref payments, .. } if *payments == [terms.id]),
        "{unknown}"
    );
    assert_eq!(gateway.decided(terms.id), Some(Decided::Paid));

    let (full, serving_full) = self::serving().await;
    let alice_full = alice(&client(&[serving_full.address]).with_options(SHORT)).await;
    full.fail_next([Fault::Overloaded; 50]);
    let overloaded = alice_full.pay(&terms).await.expect_err("it is never taken");
    assert!(matches!(overloaded, GatewayError::Overloaded { .. }), "{overloaded}");
    assert_eq!(full.decided(terms.id), None);

    let away = client(&[nowhere().await]).with_options(SHORT);
    let alice_away = away.customer(&Secret::new("any")).expect("it looks like a token");
    let unreachable = alice_away.pay(&terms).await.expect_err("nobody is there");
    assert!(matches!(unreachable, GatewayError::Unreachable { .. }), "{unreachable}");
    assert!(unreachable.to_string().contains("refused"), "{unreachable}");
}

#[tokio::test]
async fn what_is_wrong_with_a_sign_in_is_told_apart() {
    let (gateway, serving) = serving().await;
    let client = client(&[serving.address]);
    let wrong = client.login(&"alice@alpha".parse().expect("well formed"), &Secret::new("guess")).await;
    assert_eq!(wrong, Err(GatewayError::NotSignedIn(NotSignedIn::WrongCredentials)));

    let invalid = client.customer(&Secret::new("made-up")).expect("it looks like a token").balance().await;
    assert_eq!(invalid, Err(GatewayError::NotSignedIn(NotSignedIn::Invalid)));

    let signed_out = alice(&client).await;
    signed_out.logout().await.expect("it was signed in");
    assert_eq!(signed_out.balance().await, Err(GatewayError::NotSignedIn(NotSignedIn::Revoked)));

    let stays = alice(&client).await;
    gateway.expire_tokens();
    assert_eq!(stays.pay(&payment(1)).await, Err(GatewayError::NotSignedIn(NotSignedIn::Expired)));
    assert!(gateway.taken().is_empty());
}

#[tokio::test]
async fn a_refusal_is_an_outcome_and_a_cancelled_payment_is_never_paid() {
    let (gateway, serving) = serving().await;
    let alice = alice(&client(&[serving.address])).await;
    let too_much = alice.pay(&payment(10_001)).await.expect("a refusal is an answer");
    assert!(matches!(too_much.standing, Standing::Refused { ref code, .. } if code == "insufficient_funds"));

    let never_sent = payment(1);
    assert_eq!(alice.payment(never_sent.id).await, Ok(None));
    for _ in 0..2 {
        let voided = alice.cancel(&never_sent).await.expect("it is decided");
        assert!(matches!(voided.standing, Standing::Refused { ref code, .. } if code == "voided"), "{voided:?}");
    }
    assert!(matches!(alice.pay(&never_sent).await.map(|a| a.standing), Ok(Standing::Refused { .. })));

    let paid = payment(1);
    alice.pay(&paid).await.expect("it is paid");
    assert_eq!(alice.cancel(&paid).await.map(|a| a.standing), Ok(Standing::Paid { delivered: false }));
    assert_eq!(gateway.balance("alice@alpha"), 99_99);
}

#[tokio::test]
async fn many_payments_each_have_their_outcome_and_history_shows_what_moved() {
    let (_gateway, serving) = serving().await;
    let alice = alice(&client(&[serving.address])).await;
    let payments = [payment(60_00), payment(60_00), payment(40_00)];
    let answers = alice.pay_many(&payments).await.expect("all are answered");
    let paid: Vec<bool> = answers.iter().map(|a| matches!(a.standing, Standing::Paid { .. })).collect();
    assert_eq!(paid, [true, false, true]);
    let history = alice.history("", 10).await.expect("it is read");
    let changes: Vec<i128> = history.entries.iter().map(|entry| entry.change).collect();
    assert_eq!(changes, [-40_00, -60_00]);
    assert_eq!(history.entries[0].counterparty, "bob@beta");
}

#[tokio::test]
async fn a_bank_itself_does_not_sign_in_and_an_address_must_be_one() {
    let client = client(&[nowhere().await]);
    let house = client.login(&"alpha".parse().expect("well formed"), &Secret::new("x")).await;
    assert_eq!(house.map_err(|error| error.code()), Err(Some(Code::InvalidName)));
    for bad in [vec![], vec!["no address"]] {
        assert!(matches!(GatewayClient::connect(bad), Err(GatewayError::BadAddress { .. })));
    }
}

#[tokio::test]
async fn a_client_of_one_network_sends_neither_password_nor_token_to_another() {
    let (_one, serving) = serving().await;
    let first = client(&[serving.address]);
    let party = "alice@alpha".parse().expect("well formed");
    let signed_in = first.login(&party, &Secret::new(PASSWORD)).await.expect("the password is right");
    let network = first.network().expect("it has answered");
    assert_eq!(first.ask_network().await, Ok(network));
    let address = serving.address;
    drop(serving);
    // Another network begins where the one was.
    let other = TestGateway::of_network(2);
    let _serving = other.serve_at(address).await;
    let pinned = client(&[address]).pinned_to(network);
    let customer = pinned.customer(&signed_in.token).expect("a token");
    let answers = [
        pinned.login(&party, &Secret::new(PASSWORD)).await.map(drop),
        customer.balance().await.map(drop),
        customer.pay(&payment(1_00)).await.map(drop),
        customer.logout().await,
    ];
    for answer in answers {
        assert!(matches!(answer, Err(GatewayError::OtherNetwork { .. })), "{answer:?}");
        assert_eq!(answer.err().and_then(|error| error.code()), Some(Code::OtherCluster));
    }
    assert_eq!((other.with_token(), other.called(), other.live_tokens()), (0, 0, 0));
    // Who is pinned to none stays with the one that answers first.
    let free = client(&[address]);
    assert_eq!(free.ask_network().await.map(|id| id.get()), Ok(2));
    assert_eq!(free.network().map(|id| id.get()), Some(2));
}

/// A gateway that ends with its connections, as one does whose process ends. The address is that of the one before, if there
/// was one.
async fn of_a_process(gateway: &TestGateway, address: Option<SocketAddr>) -> (Runtime, SocketAddr) {
    let process = Runtime::new().expect("threads are free");
    let gateway = gateway.clone();
    let serving = async move {
        match address {
            Some(address) => gateway.serve_at(address).await,
            None => gateway.serve().await,
        }
    };
    let serving = process.spawn(serving).await.expect("it serves");
    let address = serving.address;
    // Its task ends with the process.
    std::mem::forget(serving);
    (process, address)
}

/// Waits until it has ended and its connections are closed.
async fn ended(process: Runtime) {
    tokio::task::spawn_blocking(move || drop(process)).await.expect("it ends");
}

#[tokio::test]
async fn a_client_that_lives_on_sends_nothing_to_the_network_that_came_to_the_address() {
    let (one, other) = (TestGateway::new(), TestGateway::of_network(2));
    let (process, address) = of_a_process(&one, None).await;
    // Each is connected, was checked and has been used: one for the password, one for the token, one for a payment.
    let clients = [client(&[address]), client(&[address]), client(&[address])];
    let mut customers = Vec::new();
    for client in &clients {
        customers.push(alice(client).await);
    }
    ended(process).await;
    let (process, _) = of_a_process(&other, Some(address)).await;
    let party = "alice@alpha".parse().expect("well formed");
    let answers = [
        clients[0].login(&party, &Secret::new(PASSWORD)).await.map(drop),
        customers[1].balance().await.map(drop),
        customers[2].pay(&payment(1_00)).await.map(drop),
    ];
    for answer in answers {
        assert!(matches!(answer, Err(GatewayError::OtherNetwork { .. })), "{answer:?}");
    }
    assert_eq!((other.with_token(), other.called(), other.live_tokens()), (0, 0, 0));
    // The network of before comes back there, and the same clients go on, also one that asks each node only once.
    ended(process).await;
    let (process, _) = of_a_process(&one, Some(address)).await;
    assert!(customers[2].pay(&payment(1_00)).await.is_ok());
    ended(process).await;
    let (process, _) = of_a_process(&one, Some(address)).await;
    let hasty = clients[2].with_options(GatewayOptions { connect_patience: Duration::ZERO, ..SHORT });
    assert!(alice(&hasty).await.balance().await.is_ok());
    ended(process).await;
}
