//! The SDK against real sockets: it keeps on asking, turns to other nodes, and gathers.

use std::time::Duration;

use api::client::{Answered, Batch, Client, ClientError, Options, Outcome, Transfer, Work, new_account_id};
use api::cluster::ClusterPin;
use api::code::Code;
use ledger::{AccountId, Amount, Currency};
use server::edge::drain::After;

use super::memory_bank::Mood;
use super::served::{Served, until};

fn euros(amount: u128) -> Amount {
    Amount::new(amount * 100).expect("in range")
}

fn vault() -> AccountId {
    AccountId::vault(Currency::EUR)
}

fn credit_balance(answered: &Answered) -> i128 {
    match &answered.outcome {
        Outcome::Posted { credit, .. } => credit.balance,
        other => panic!("not posted: {other:?}"),
    }
}

#[tokio::test]
async fn the_calls_of_the_sdk_do_what_they_say() {
    let served = Served::start().await;
    let bank = Client::connect([served.grpc.to_string()]).expect("an address");
    let (alice, bob) = (new_account_id(), new_account_id());
    assert!(!bank.open_account(alice, "Alice", Currency::EUR).await.expect("opened").replay);
    assert!(bank.open_account(alice, "Alice", Currency::EUR).await.expect("opened").replay);
    bank.open_account(bob, "Bob", Currency::EUR).await.expect("opened");
    let other = bank.open_account(alice, "Mallory", Currency::EUR).await.expect_err("other content");
    assert_eq!(other.code(), Some(Code::IdReused));

    let deposit = Transfer::new(vault(), alice, euros(10));
    assert_eq!(credit_balance(&bank.transfer(&deposit).await.expect("answered")), 1000);
    assert!(bank.transfer(&deposit).await.expect("answered").replay);
    let transfers = [Transfer::new(alice, bob, euros(3)), Transfer::new(bob, alice, euros(100))];
    let answers = bank.transfer_batch(&transfers, Batch::Independent).await.expect("answered");
    assert_eq!(credit_balance(&answers[0]), 300);
    assert!(matches!(&answers[1].outcome, Outcome::Rejected { code: Code::InsufficientFunds, .. }), "{answers:?}");

    assert_eq!(bank.balance(alice).await.expect("found"), 700);
    assert_eq!(bank.outcome(deposit.id).await.expect("found").map(|it| credit_balance(&it)), Some(1000));
    assert_eq!(bank.outcome(Transfer::new(alice, bob, euros(1)).id).await.expect("asked"), None);
    let statement = bank.statement(alice, "", 10).await.expect("found");
    assert_eq!(statement.entries.iter().map(|entry| entry.change).collect::<Vec<_>>(), [-300, 1000]);
    let page = bank.accounts("", 2).await.expect("listed");
    assert_eq!((page.accounts.len(), page.next_cursor.is_empty()), (2, false));
    let same = bank.transfer(&Transfer::new(alice, alice, euros(1))).await.expect_err("one account");
    assert_eq!(same.code(), Some(Code::SameAccount));
}

/// Addresses are reused: where one bank was, another may be founded while a command waits.
#[tokio::test]
async fn a_client_that_keeps_to_the_cluster_that_answered_first_does_nothing_at_another() {
    let pin = ClusterPin::default();
    let client = |served: &Served, cluster| {
        Client::connect_with([served.grpc.to_string()], Options { cluster, ..Options::default() }).expect("an address")
    };
    let began_with = Served::of_cluster(0x18f).await;
    let bank = client(&began_with, Some(pin.clone()));
    bank.open_account(new_account_id(), "Alice", Currency::EUR).await.expect("nobody else is meant yet");
    assert_eq!(pin.cluster(), Some(0x18f));
    bank.open_account(new_account_id(), "Bob", Currency::EUR).await.expect("the same cluster");
    let elsewhere = Served::of_cluster(0x190).await;
    let records = elsewhere.bank.records();
    for meant in [pin, ClusterPin::to(0x18f)] {
        let refused = client(&elsewhere, Some(meant)).open_account(new_account_id(), "Eve", Currency::EUR).await;
        assert_eq!(refused.expect_err("another cluster").code(), Some(Code::OtherCluster));
    }
    assert_eq!(elsewhere.bank.records(), records);
    client(&elsewhere, None).open_account(new_account_id(), "Eve", Currency::EUR).await.expect("whoever answers");
}

#[tokio::test]
async fn a_call_goes_on_until_the_bank_is_well_again_and_is_done_once() {
    let served = Served::start().await;
    let bank = Client::connect([served.grpc.to_string()]).expect("an address");
    let alice = new_account_id();
    bank.open_account(alice, "", Currency::EUR).await.expect("opened");
    for mood in [Mood::NoMajority, Mood::Overloaded, Mood::SilentlyDone, Mood::Panicking] {
        let before = bank.balance(alice).await.expect("found");
        served.bank.set_mood(mood);
        let deposit = Transfer::new(vault(), alice, euros(1));
        let asked_before = served.bank.asked();
        let caller = bank.clone();
        let call = tokio::spawn(async move { caller.transfer(&deposit).await });
        until("the bank has failed it twice", || served.bank.asked() >= asked_before + 2).await;
        served.bank.set_mood(Mood::Well);
        assert_eq!(credit_balance(&call.await.expect("no panic").expect("answered")), before + 100, "{mood:?}");
    }
}

#[tokio::test]
async fn a_dead_node_is_left_for_the_next_at_once() {
    let (first, second) = (Served::start().await, Served::start().await);
    let alice = new_account_id();
    for served in [&first, &second] {
        let bank = Client::connect([served.grpc.to_string()]).expect("an address");
        bank.open_account(alice, "", Currency::EUR).await.expect("opened");
    }
    // Nobody listens at the third address.
    let bank = Client::connect(["127.0.0.1:1".to_owned(), first.grpc.to_string(), second.grpc.to_string()])
        .expect("addresses");
    bank.transfer(&Transfer::new(vault(), alice, euros(1))).await.expect("answered by a living one");
    first.drain.close(After::Closed);
    for task in first.tasks {
        task.await.expect("it ends");
    }
    bank.transfer(&Transfer::new(vault(), alice, euros(1))).await.expect("answered by the other");
}

#[tokio::test]
async fn when_the_deadline_passes_the_error_says_whether_anything_may_have_happened() {
    let served = Served::start().await;
    let options = Options { deadline: Duration::from_millis(100), ..Options::default() };
    let bank = Client::connect_with([served.grpc.to_string()], options).expect("an address");
    let deposit = Transfer::new(vault(), new_account_id(), euros(1));
    served.bank.set_mood(Mood::NoMajority);
    // An attempt that the deadline cuts off in the middle has an open outcome, which a busy machine makes of some.
    let mut said = Vec::new();
    while !matches!(said.last(), Some(ClientError::Unavailable { .. })) {
        assert!(said.len() < 100, "never that nothing was done: {said:?}");
        said.push(bank.transfer(&deposit).await.expect_err("no majority"));
    }
    served.bank.set_mood(Mood::SilentlyDone);
    let error = bank.transfer(&deposit).await.expect_err("silence");
    assert!(
        matches!(&error, ClientError::OutcomeUnknown { work: Work::Transfers(ids), .. } if ids == &[deposit.id]),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_transfers_share_calls_and_each_has_its_own_outcome() {
    let served = Served::start().await;
    let bank = Client::connect([served.grpc.to_string()]).expect("an address");
    let alice = new_account_id();
    bank.open_account(alice, "", Currency::EUR).await.expect("opened");
    let gatherer = bank.gatherer();
    let before = served.bank.batches().len();
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..64u64 {
        let gatherer = gatherer.clone();
        callers.spawn(async move {
            let mut rejected = 0;
            for round in 0..20u64 {
                // One caller in four asks for what is not there.
                let poor = (caller + round) % 4 == 0;
                let transfer = if poor {
                    Transfer::new(new_account_id(), alice, euros(1))
                } else {
                    Transfer::new(vault(), alice, euros(1))
                };
                let answered = gatherer.transfer(&transfer).await.expect("answered");
                assert_eq!(matches!(answered.outcome, Outcome::Rejected { .. }), poor);
                rejected += u64::from(poor);
            }
            rejected
        });
    }
    let rejected: u64 = callers.join_all().await.into_iter().sum();
    let batches = &served.bank.batches()[before..];
    assert_eq!(batches.iter().sum::<usize>(), 64 * 20);
    assert!(batches.len() < 64 * 20 / 4, "{} calls for {} transfers", batches.len(), 64 * 20);
    assert_eq!(bank.balance(alice).await.expect("found"), i128::from(64 * 20 - rejected) * 100);
}
