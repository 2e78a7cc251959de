//! What a caller hears when the bank cannot say: whether anything may have happened, and how to ask again.

use super::memory_bank::Mood;
use super::served::Served;

#[tokio::test]
async fn an_unknown_fate_names_the_id_and_the_field_to_retry_it_with() {
    let served = Served::start().await;
    let id = served.rich("5").await;
    served.bank.set_mood(Mood::SilentlyDone);
    let reply = served.post("/withdraw_money", &format!(r#"{{"account_id":"{id}","amount":2}}"#)).await;
    reply.assert_problem(504, "outcome_unknown");
    assert_eq!(reply.text("retry_with"), "transfer_id");
    assert_eq!(reply.header("retry-after"), None);
    let transfer = reply.text("transfer_id");
    assert!(reply.text("detail").contains(&transfer), "{}", reply.body);

    served.bank.set_mood(Mood::Well);
    let body = format!(r#"{{"account_id":"{id}","amount":2,"transfer_id":"{transfer}"}}"#);
    let again = served.post("/withdraw_money", &body).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (200, Some("true")));
    assert_eq!(served.balance(&id).await, r#"{"balance":3.00}"#, "done once");
}

#[tokio::test]
async fn an_account_of_unknown_fate_is_retried_by_its_id_and_in_v1_by_id() {
    let served = Served::start().await;
    served.bank.set_mood(Mood::SilentlyDone);
    let first = served.post("/open_account", "").await;
    first.assert_problem(504, "outcome_unknown");
    assert_eq!(first.text("retry_with"), "account_id");
    let v1 = served.post("/v1/accounts", "").await;
    assert_eq!((v1.text("retry_with"), v1.text("account_id").len()), ("id".into(), 36));
    served.bank.set_mood(Mood::Well);
    let reply = served.post("/open_account", &format!(r#"{{"account_id":"{}"}}"#, first.text("account_id"))).await;
    assert_eq!(reply.header("idempotent-replayed"), Some("true"));
}

#[tokio::test]
async fn a_keyed_request_of_unknown_fate_is_retried_with_its_key() {
    let served = Served::start().await;
    served.bank.set_mood(Mood::SilentlyDoneAfterTheKey);
    let reply = served.post_keyed("/open_account", "k", "").await;
    assert_eq!(reply.text("retry_with"), "Idempotency-Key");
    served.bank.set_mood(Mood::Well);
    let again = served.post_keyed("/open_account", "k", "").await;
    assert_eq!(again.text("account_id"), reply.text("account_id"));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
}

#[tokio::test]
async fn a_key_of_unknown_fate_leaves_the_request_undone_and_is_sent_again() {
    let served = Served::start().await;
    served.bank.set_mood(Mood::SilentlyDone);
    let reply = served.post_keyed("/open_account", "k", "").await;
    reply.assert_problem(503, "unavailable");
    served.bank.set_mood(Mood::Well);
    let done = served.post_keyed("/open_account", "k", "").await;
    assert_eq!(done.header("idempotent-replayed"), None, "it is done now, and was not before");
    let again = served.post_keyed("/open_account", "k", "").await;
    assert_eq!(again.text("account_id"), done.text("account_id"));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
}

#[tokio::test]
async fn a_batch_of_unknown_fate_names_every_id() {
    let served = Served::start().await;
    let (alice, bob) = (served.rich("5").await, served.open().await);
    served.bank.set_mood(Mood::SilentlyDone);
    let item = format!(r#"{{"debit_account":"{alice}","credit_account":"{bob}","amount":1}}"#);
    let reply = served.post("/v1/transfers/batch", &format!(r#"{{"transfers":[{item},{item}]}}"#)).await;
    reply.assert_problem(504, "outcome_unknown");
    assert_eq!(reply.json()["transfer_ids"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn where_nothing_was_proposed_the_answer_says_so_and_when_to_come_again() {
    let served = Served::start().await;
    let id = served.rich("5").await;
    let before = served.bank.records();
    let cases = [
        (Mood::NoMajority, 503, "unavailable", Some("1")),
        (Mood::Overloaded, 429, "overloaded", Some("2")),
        (Mood::ShuttingDown, 503, "shutting_down", Some("1")),
    ];
    for (mood, status, code, wait) in cases {
        served.bank.set_mood(mood);
        let reply = served.post("/deposit_money", &format!(r#"{{"account_id":"{id}","amount":1}}"#)).await;
        reply.assert_problem(status, code);
        assert_eq!(reply.header("retry-after"), wait, "{mood:?}");
        let reply = served.get(&format!("/check_account?account_id={id}")).await;
        reply.assert_problem(status, code);
    }
    assert_eq!(served.bank.records(), before);
}

#[tokio::test]
async fn a_void_settles_an_unknown_id_for_good() {
    let served = Served::start().await;
    let id = served.rich("5").await;
    let never_seen = "018f4f3e-7a5b-7c4d-8e9f-0123456789ab";
    let reply = served.get(&format!("/v1/transfers/{never_seen}")).await;
    reply.assert_problem(404, "unknown_transfer");
    let reply = served.post(&format!("/v1/transfers/{never_seen}/void"), "").await;
    assert_eq!((reply.status, reply.text("outcome").as_str()), (200, "voided"));
    let late = format!(r#"{{"account_id":"{id}","amount":1,"transfer_id":"{never_seen}"}}"#);
    served.post("/deposit_money", &late).await.assert_problem(422, "voided");
    let reply = served.get(&format!("/v1/transfers/{never_seen}")).await;
    assert_eq!(reply.text("outcome"), "voided");

    let posted =
        served.post("/deposit_money", &format!(r#"{{"account_id":"{id}","amount":1}}"#)).await.text("transfer_id");
    let reply = served.post(&format!("/v1/transfers/{posted}/void"), "").await;
    assert_eq!((reply.text("outcome").as_str(), reply.text("amount").as_str()), ("posted", "1.00"));
    assert_eq!(served.balance(&id).await, r#"{"balance":6.00}"#, "a void undoes nothing");
}
