//! `Idempotency-Key` on every call that creates or moves something: a key names one whole request.

use super::served::Served;

#[tokio::test]
async fn the_same_key_and_body_give_the_first_answer_again() {
    let served = Served::start().await;
    let id = served.post_keyed("/open_account", "open-1", "").await.text("account_id");
    let again = served.post_keyed("/open_account", "\"open-1\"", "").await;
    assert_eq!((again.text("account_id"), again.header("idempotent-replayed")), (id.clone(), Some("true")));

    let body = format!(r#"{{"account_id":"{id}","amount":5}}"#);
    let first = served.post_keyed("/deposit_money", "pay-1", &body).await;
    served.post_keyed("/deposit_money", "pay-2", &body).await;
    let meaning = format!(r#"{{ "amount" : "5.00", "account_id" : "{}" }}"#, id.to_uppercase());
    let again = served.post_keyed("/deposit_money", "pay-1", &meaning).await;
    assert_eq!(again.body, first.body, "with the balance of then, not of now");
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(served.balance(&id).await, r#"{"balance":10.00}"#);
}

#[tokio::test]
async fn another_body_under_the_same_key_is_refused() {
    let served = Served::start().await;
    let id = served.open().await;
    let body = |amount: u32| format!(r#"{{"account_id":"{id}","amount":{amount}}}"#);
    served.post_keyed("/deposit_money", "k", &body(5)).await;
    let reply = served.post_keyed("/deposit_money", "k", &body(6)).await;
    reply.assert_problem(422, "idempotency_key_reused");
    assert_eq!(reply.header("idempotent-replayed"), None);
    assert_eq!(served.balance(&id).await, r#"{"balance":5.00}"#);
    served.post_keyed("/v1/accounts", "a", r#"{"owner":"Alice"}"#).await;
    served.post_keyed("/v1/accounts", "a", r#"{"owner":"Bob"}"#).await.assert_problem(422, "idempotency_key_reused");
}

#[tokio::test]
async fn a_rejection_is_an_outcome_and_stays_with_its_key() {
    let served = Served::start().await;
    let id = served.open().await;
    let body = format!(r#"{{"account_id":"{id}","amount":5}}"#);
    let first = served.post_keyed("/withdraw_money", "k", &body).await;
    first.assert_problem(422, "insufficient_funds");
    served.post("/deposit_money", &body).await;
    let again = served.post_keyed("/withdraw_money", "k", &body).await;
    again.assert_problem(422, "insufficient_funds");
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(served.balance(&id).await, r#"{"balance":5.00}"#);
}

#[tokio::test]
async fn what_is_malformed_does_not_stick_to_a_key() {
    let served = Served::start().await;
    let id = served.open().await;
    let body = |amount: &str| format!(r#"{{"account_id":"{id}","amount":{amount}}}"#);
    served.post_keyed("/deposit_money", "k", &body("0")).await.assert_problem(400, "amount_zero");
    served.post_keyed("/deposit_money", "k", "nonsense").await.assert_problem(400, "not_json");
    assert_eq!(served.post_keyed("/deposit_money", "k", &body("5")).await.status, 200);
}

#[tokio::test]
async fn a_key_names_one_request_on_one_route() {
    let served = Served::start().await;
    let id = served.rich("9").await;
    let body = format!(r#"{{"account_id":"{id}","amount":5}}"#);
    assert_eq!(served.post_keyed("/deposit_money", "k", &body).await.status, 200);
    served.post_keyed("/withdraw_money", "k", &body).await.assert_problem(422, "idempotency_key_reused");
    assert_eq!(served.balance(&id).await, r#"{"balance":14.00}"#);
}

#[tokio::test]
async fn nobody_foretells_the_id_that_a_key_will_stand_for() {
    let (one, other) = (Served::start().await, Served::start().await);
    let mut ids = Vec::new();
    for served in [&one, &other] {
        ids.push(served.post_keyed("/open_account", "k", "").await.text("account_id"));
    }
    assert_ne!(ids[0], ids[1], "the same key of the same caller, in another bank");
}

#[tokio::test]
async fn a_key_and_an_id_or_a_malformed_key_are_refused() {
    let served = Served::start().await;
    let account = "018f4f3e-7a5b-7c4d-8e9f-0123456789ab";
    let body = format!(r#"{{"account_id":"{account}"}}"#);
    served.post_keyed("/open_account", "k", &body).await.assert_problem(400, "key_and_id");
    for bad in ["", "\"open", &"k".repeat(256)] {
        served.post_keyed("/open_account", bad, "").await.assert_problem(400, "malformed_key");
    }
    assert_eq!(served.bank.records(), 0);
}

#[tokio::test]
async fn a_key_names_a_whole_batch_and_nothing_of_another_one_is_done() {
    let served = Served::start().await;
    let (alice, bob) = (served.rich("9").await, served.open().await);
    let item = |amount: u32| format!(r#"{{"debit_account":"{alice}","credit_account":"{bob}","amount":{amount}}}"#);
    let batch = |items: &[String]| format!(r#"{{"transfers":[{}]}}"#, items.join(","));
    let first = served.post_keyed("/v1/transfers/batch", "k", &batch(&[item(1), item(1)])).await;
    assert_eq!((first.status, first.json()["posted"].as_u64()), (200, Some(2)), "{}", first.body);
    assert_eq!(first.header("idempotent-replayed"), None);
    let again = served.post_keyed("/v1/transfers/batch", "k", &batch(&[item(1), item(1)])).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (200, Some("true")));
    // Another item, one more, one less, another order, all or none: each is another request, and nothing of it is done.
    let linked = batch(&[item(1), item(1)]).replace("{\"transfers\"", "{\"linked\":true,\"transfers\"");
    for other in [
        batch(&[item(1), item(2)]),
        batch(&[item(1), item(1), item(3)]),
        batch(&[item(1)]),
        batch(&[item(2), item(1)]),
        linked,
    ] {
        let reply = served.post_keyed("/v1/transfers/batch", "k", &other).await;
        reply.assert_problem(422, "idempotency_key_reused");
        assert!(reply.json().get("transfers").is_none(), "{}", reply.body);
    }
    let named = format!(r#"{{"transfers":[{}]}}"#, item(1).replace('{', &format!(r#"{{"id":"{alice}","#)));
    served.post_keyed("/v1/transfers/batch", "k", &named).await.assert_problem(400, "key_and_id");
    assert_eq!(served.balance(&bob).await, r#"{"balance":2.00}"#);
}

#[tokio::test]
async fn a_call_that_keeps_no_keys_refuses_one_and_does_nothing() {
    let served = Served::start().await;
    let void = "/v1/transfers/018f2f6c-0000-7000-8000-000000000001/void";
    for path in [void, "/v1/limits", "/v1/mode", "/v1/members", "/v1/audit/transfers", "/shutdown"] {
        let refused = served.post_keyed(path, "k", "").await;
        refused.assert_problem(400, "key_not_taken");
        assert!(refused.text("detail").starts_with("/") && refused.text("detail").contains("takes no Idempotency-Key"));
    }
    // It was not done: without a key it is the first.
    let voided = served.post(void, "").await;
    assert_eq!(
        (voided.status, voided.text("outcome"), voided.header("idempotent-replayed")),
        (200, "voided".into(), None)
    );
}
