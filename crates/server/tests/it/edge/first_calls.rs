//! The first calls as the README tells them.

use super::raw_http::ask;
use super::served::Served;

#[tokio::test]
async fn money_is_deposited_withdrawn_moved_and_seen() {
    let served = Served::start().await;
    let (alice, bob) = (served.open().await, served.open().await);
    assert_eq!(served.balance(&alice).await, r#"{"balance":0.00}"#);

    let reply = served.post("/deposit_money", &format!(r#"{{"account_id":"{alice}","amount":12.50}}"#)).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.text("result"), format!("12.50 EUR deposited to account {alice}"));
    assert!(reply.body.contains(r#""balance":12.50,"#), "an exact number: {}", reply.body);
    assert_eq!(reply.text("transfer_id").len(), 36);

    let reply = served.post("/withdraw_money", &format!(r#"{{"account_id":"{alice}","amount":"2.5"}}"#)).await;
    assert!(reply.body.contains(r#""balance":10.00,"#), "{}", reply.body);

    let order = format!(r#"{{"source":{{"account_id":"{alice}"}},"destination":{{"account_id":"{bob}"}},"amount":4}}"#);
    let reply = served.post("/move_money", &order).await;
    assert_eq!(reply.text("result"), format!("4.00 EUR moved from account {alice} to account {bob}"));
    assert_eq!(served.balance(&alice).await, r#"{"balance":6.00}"#);
    assert_eq!(served.balance(&bob).await, r#"{"balance":4.00}"#);
}

#[tokio::test]
async fn a_balance_may_be_asked_for_in_the_body() {
    let served = Served::start().await;
    let id = served.rich("1").await;
    let body = format!(r#"{{"account_id":"{id}"}}"#);
    for headers in [&[("content-type", "application/json")][..], &[]] {
        let reply = ask(served.http, "GET", "/check_account", headers, body.as_bytes()).await;
        assert_eq!((reply.status, reply.body.as_str()), (200, r#"{"balance":1.00}"#));
    }
}

#[tokio::test]
async fn nobody_spends_more_than_there_is() {
    let served = Served::start().await;
    let id = served.rich("12.50").await;
    let reply = served.post("/withdraw_money", &format!(r#"{{"account_id":"{id}","amount":40}}"#)).await;
    reply.assert_problem(422, "insufficient_funds");
    assert_eq!(reply.text("detail"), format!("account {id} has 12.50 EUR available, 40.00 EUR were asked for"));
    assert_eq!((reply.text("available"), reply.text("needed")), ("12.50".into(), "40.00".into()));
    assert_eq!(served.balance(&id).await, r#"{"balance":12.50}"#);
}

#[tokio::test]
async fn amounts_keep_every_digit() {
    let served = Served::start().await;
    let id = served.open().await;
    let largest = "792281625142643375935439503.35";
    let reply = served.post("/deposit_money", &format!(r#"{{"account_id":"{id}","amount":{largest}}}"#)).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(served.balance(&id).await, format!(r#"{{"balance":{largest}}}"#));
}

#[tokio::test]
async fn the_same_transfer_id_is_done_once_and_other_content_is_refused() {
    let served = Served::start().await;
    let id = served.open().await;
    let transfer = "018f4f3e-7a5b-7c4d-8e9f-0123456789ab";
    let body = |amount: &str| format!(r#"{{"account_id":"{id}","amount":{amount},"transfer_id":"{transfer}"}}"#);
    let first = served.post("/deposit_money", &body("5")).await;
    assert_eq!(first.header("idempotent-replayed"), None);
    let again = served.post("/deposit_money", &body("\"5.00\"")).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.body, first.body, "bodies are compared by meaning, and the first answer comes again");
    served.post("/deposit_money", &body("6")).await.assert_problem(422, "id_reused");
    assert_eq!(served.balance(&id).await, r#"{"balance":5.00}"#);
}

#[tokio::test]
async fn an_account_may_be_opened_under_an_id_of_ones_own() {
    let served = Served::start().await;
    let id = "018f4f3e-7a5b-7c4d-8e9f-0123456789ab";
    for replayed in [None, Some("true")] {
        let reply = served.post("/open_account", &format!(r#"{{"account_id":"{id}"}}"#)).await;
        assert_eq!((reply.status, reply.text("account_id").as_str()), (200, id));
        assert_eq!(reply.header("idempotent-replayed"), replayed);
    }
}
