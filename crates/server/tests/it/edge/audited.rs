//! `/v1/audit/transfers`: what a bank booked, as the audit asks for it.

use std::collections::BTreeSet;

use api::grpc::uuid;
use api::proto;
use api::proto::bank_client::BankClient;
use serde_json::{Value, json};
use tonic::transport::Endpoint;

use super::served::Served;

const PATH: &str = "/v1/audit/transfers";

/// Payments of alice to bob within the bank, ordered by the gateway, of one cent each.
async fn pay_within(served: &Served, ids: impl Iterator<Item = u128>) {
    let channel = Endpoint::from_shared(format!("http://{}", served.grpc)).expect("a URI").connect().await;
    let mut bank = BankClient::new(channel.expect("listening"));
    let at = |customer: &str| Some(proto::Party { bank: "alpha".into(), customer: customer.into() });
    let call = |id: u128| {
        let (id, payer, payee) = (Some(uuid(id)), at("alice"), at("bob"));
        let payment = proto::Payment { id, payer, payee, amount: 1, ..proto::Payment::default() };
        let kind = proto::CallKind::Transfer.into();
        proto::PaymentCall {
            payment: Some(payment),
            number: 1,
            gateway_epoch: 1,
            kind,
            ..proto::PaymentCall::default()
        }
    };
    let calls = ids.map(call).collect();
    let found = bank.payment_calls(proto::PaymentCallBatch { calls }).await.expect("answered").into_inner();
    assert!(found.findings.iter().all(|finding| finding.kind() == proto::FindingKind::Posted), "{found:?}");
}

async fn with_customers() -> Served {
    let served = Served::start().await;
    for name in ["alice", "bob"] {
        let body = json!({"username": name, "password": "of no matter here", "opening_balance": "100.00"});
        assert_eq!(served.post("/v1/customers", &body.to_string()).await.status, 201);
    }
    served
}

fn text(id: u128) -> String {
    ::uuid::Uuid::from_u128(id).to_string()
}

fn ids(page: &Value) -> Vec<String> {
    let transfers = page["transfers"].as_array().expect("a page");
    transfers.iter().map(|transfer| transfer["id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn every_transfer_of_the_gateway_is_listed_once_in_pages_and_no_other() {
    let served = with_customers().await;
    // More than a page, and the bank's own transfers among them.
    pay_within(&served, 1_000..1_300).await;
    served.rich("5.00").await;
    pay_within(&served, 1_300..1_700).await;
    let (mut seen, mut pages, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let reply = served.get(&format!("{PATH}{cursor}")).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        let page = reply.json();
        assert!(ids(&page).len() <= 500);
        seen.extend(ids(&page));
        pages += 1;
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("?cursor={next}"),
            None => break,
        }
    }
    assert!(pages > 1, "they are more than a page");
    assert_eq!(seen.len(), 700, "each once");
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), (1_000..1_700).map(text).collect());
    served.get(&format!("{PATH}?cursor=p7")).await.assert_problem(400, "invalid_cursor");
    served.get(&format!("{PATH}?since=7")).await.assert_problem(400, "malformed_query");
}

#[tokio::test]
async fn of_ids_those_are_told_that_were_booked_whoever_ordered_them() {
    let served = with_customers().await;
    pay_within(&served, 7..8).await;
    let (rich, poor) = (served.rich("5.00").await, served.open().await);
    let own = |id: u128, amount: &str| {
        json!({"id": text(id), "debit_account": rich, "credit_account": poor, "amount": amount}).to_string()
    };
    assert_eq!(served.post("/v1/transfers", &own(8, "1.25")).await.status, 201);
    served.post("/v1/transfers", &own(9, "1000.00")).await.assert_problem(422, "insufficient_funds");
    let asked = json!({"ids": [text(7), text(8), text(9), text(10)]}).to_string();
    let found = served.post(PATH, &asked).await.json();
    assert_eq!(ids(&found), [text(7), text(8)], "what was refused, and what nobody sent, was not booked");
    let (of_gateway, of_operator) = (&found["transfers"][0], &found["transfers"][1]);
    assert_eq!((&of_gateway["by_gateway"], &of_gateway["amount"]), (&json!(true), &json!("0.01")));
    assert_eq!((&of_operator["by_gateway"], &of_operator["amount"]), (&json!(false), &json!("1.25")));
    assert_eq!((&of_operator["debit_account"], &of_operator["credit_account"]), (&json!(rich), &json!(poor)));
    let many = json!({"ids": (1..=501).map(text).collect::<Vec<_>>()}).to_string();
    served.post(PATH, &many).await.assert_problem(400, "batch_too_large");
    served.post(PATH, r#"{"ids":[]}"#).await.assert_problem(400, "batch_empty");
    served.post(PATH, r#"{"ids":["7?"]}"#).await.assert_problem(400, "malformed_id");
}
