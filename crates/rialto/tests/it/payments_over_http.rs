//! What a customer does with nothing but `curl`.

use std::time::Duration;

use api::client::gateway::new_payment_id;
use serde_json::{Value, json};

use crate::http::until_not_busy;
use crate::network::network_json;
use crate::town::Town;

#[test]
fn over_http_a_customer_signs_in_pays_and_looks_with_nothing_but_curl() {
    let town = Town::patient("http");
    let file = network_json(town.network.dir().as_ref());
    let url = file["gateway"]["http"].as_str().expect("an address").to_owned();
    let ask = |method: &str, path: &str, token: Option<&str>, key: Option<&str>, body: Option<Value>| {
        let url = format!("{url}{path}");
        let patience = Duration::from_secs(20);
        let request = crate::http::Request { method, url: &url, body: body.as_ref(), token, key, patience };
        let (status, text) = request.settled();
        (status, serde_json::from_str::<Value>(&text).expect("JSON"))
    };
    let sign_in = |user: &str, password: &str| {
        ask("POST", "/v1/login", None, None, Some(json!({ "bank": "alpha", "username": user, "password": password })))
    };
    let (status, wrong) = sign_in("alice", "wrong");
    assert_eq!((status, &wrong["code"]), (401, &json!("wrong_credentials")));
    let (status, signed_in) = sign_in("alice", "alice-demo");
    assert_eq!((status, &signed_in["token_type"]), (200, &json!("Bearer")));
    let token = signed_in["access_token"].as_str().expect("a token");
    let (status, unsigned) = ask("GET", "/v1/balance", None, None, None);
    assert_eq!((status, &unsigned["code"]), (401, &json!("token_missing")));

    let order = json!({ "payee": "bob@beta", "amount": "12.50", "reference": "rent" });
    let pay = |key: &str, order: &Value| ask("POST", "/v1/payments", Some(token), Some(key), Some(order.clone()));
    let (status, first) = pay("march", &order);
    assert_eq!((status, &first["state"], &first["duplicate"]), (201, &json!("paid"), &json!(false)), "{first}");
    let (status, again) = pay("march", &order);
    assert_eq!((status, &again["id"], &again["duplicate"]), (201, &first["id"], &json!(true)), "{again}");
    let (status, other) = pay("march", &json!({ "payee": "bob@beta", "amount": "12.51" }));
    assert_eq!((status, &other["code"]), (422, &json!("idempotency_key_reused")), "{other}");
    let (status, poor) = pay("yacht", &json!({ "payee": "bob@beta", "amount": 5_000_000 }));
    assert_eq!((status, &poor["code"], &poor["available"]), (422, &json!("insufficient_funds"), &json!("987.50")));

    for (body, code) in [
        (json!({ "payee": "bob@beta", "amount": "0.001" }), "amount_too_precise"),
        (json!({ "payee": "bob@beta" }), "missing_field"),
        (json!({ "payee": "bob", "amount": "1" }), "invalid_name"),
        (json!({ "payee": "b b@beta", "amount": "1" }), "invalid_name"),
        (json!({ "payee": "bob@beta", "amount": "1", "payer": "carol@alpha" }), "unknown_field"),
        (json!({ "payee": "bob@beta", "amount": "1", "currency": "ZZZ" }), "unknown_currency"),
    ] {
        let (status, refused) = ask("POST", "/v1/payments", Some(token), None, Some(body.clone()));
        assert_eq!((status, &refused["code"]), (400, &json!(code)), "{body}: {refused}");
    }
    let many = json!({ "payments": [order, { "payee": "nobody@beta", "amount": "1" }] });
    let (status, both) = ask("POST", "/v1/payments/batch", Some(token), Some("many"), Some(many.clone()));
    assert_eq!(status, 200, "{both}");
    a_key_names_the_whole_batch(&many, &both, &|path, body| ask("POST", path, Some(token), Some("many"), Some(body)));
    assert_eq!(
        (&both["payments"][0]["state"], &both["payments"][1]["code"]),
        (&json!("paid"), &json!("unknown_payee"))
    );

    let (_, balance) = ask("GET", "/v1/balance", Some(token), None, None);
    assert_eq!((&balance["customer"], &balance["balance"]), (&json!("alice@alpha"), &json!("975.00")), "{balance}");
    let (_, read) =
        ask("GET", &format!("/v1/payments/{}", first["id"].as_str().expect("an id")), Some(token), None, None);
    assert_eq!(read["state"], json!("paid"));
    let (_, page) = ask("GET", "/v1/history?limit=1", Some(token), None, None);
    assert_eq!(
        (&page["entries"][0]["counterparty"], &page["entries"][0]["change"]),
        (&json!("bob@beta"), &json!("-12.50"))
    );
    assert!(page["next_cursor"].is_string(), "{page}");
    for (path, code) in [
        ("/v1/payments/%ff", "malformed_path"),
        ("/v1/history?limit=x", "invalid_limit"),
        ("/v1/history?cursor=p17", "invalid_cursor"),
    ] {
        let (status, refused) = ask("GET", path, Some(token), None, None);
        assert_eq!((status, &refused["code"]), (400, &json!(code)), "{path}: {refused}");
    }
    let never = new_payment_id().to_string();
    let cancelled = ask("POST", &format!("/v1/payments/{never}/cancel"), Some(token), None, Some(order_of(&never)));
    assert_eq!((cancelled.0, &cancelled.1["code"]), (200, &json!("voided_by_payer")), "{cancelled:?}");
    let (status, late) = ask("POST", "/v1/payments", Some(token), None, Some(order_of(&never)));
    assert_eq!((status, &late["code"]), (422, &json!("voided_by_payer")), "a void stays: {late}");
    assert_eq!(ask("POST", "/v1/logout", Some(token), None, None).0, 200);
    let (status, over) = ask("GET", "/v1/balance", Some(token), None, None);
    assert_eq!((status, &over["code"]), (401, &json!("token_revoked")));
    assert_eq!(ask("GET", "/v1/nothing", None, None, None).1["code"], json!("no_such_path"));
}

/// A batch is sent again under its key, as it was and in every way that it was not.
fn a_key_names_the_whole_batch(sent: &Value, told: &Value, ask: &dyn Fn(&str, Value) -> (u16, Value)) {
    let (status, again) = ask("/v1/payments/batch", sent.clone());
    assert_eq!(status, 200, "{again}");
    for item in 0..2 {
        let (first, again) = (&told["payments"][item], &again["payments"][item]);
        assert_eq!((&first["id"], &again["duplicate"]), (&again["id"], &json!(true)), "{again}");
    }
    let items = sent["payments"].as_array().expect("a list");
    let another = json!({ "payee": "bob@beta", "amount": "100.00" });
    let others = [
        json!([another, items[1]]),
        json!([items[0], items[1], another]),
        json!([items[0]]),
        json!([items[1], items[0]]),
    ];
    for payments in others {
        let (status, refused) = ask("/v1/payments/batch", json!({ "payments": payments }));
        assert_eq!((status, &refused["code"]), (422, &json!("idempotency_key_reused")), "{payments}: {refused}");
        assert!(refused["payments"].is_null(), "no item is told as done: {refused}");
    }
    let (status, elsewhere) = ask("/v1/payments", items[0].clone());
    assert_eq!((status, &elsewhere["code"]), (422, &json!("idempotency_key_reused")), "{elsewhere}");
}

fn order_of(id: &str) -> Value {
    json!({ "id": id, "payee": "bob@beta", "amount": "1.00" })
}

/// Whoever closes the sending side after the request waits for the answer all the same; before, the money moved and nobody
/// was told.
#[test]
fn a_customer_who_closes_the_sending_side_gets_every_answer() {
    let town = Town::patient("half-closed");
    let file = network_json(town.network.dir().as_ref());
    let url = file["gateway"]["http"].as_str().expect("an address").to_owned();
    let ask = |path: &str, token: Option<&str>, body: Option<Value>| {
        let url = format!("{url}{path}");
        let patience = Duration::from_secs(20);
        let request =
            crate::http::Request { method: "POST", url: &url, body: body.as_ref(), token, key: None, patience };
        let (status, text) = until_not_busy(|| request.send_and_close_sending_side());
        (status, serde_json::from_str::<Value>(&text).expect("JSON"))
    };
    let sign_in = json!({ "bank": "alpha", "username": "alice", "password": "alice-demo" });
    let (status, signed_in) = ask("/v1/login", None, Some(sign_in));
    assert_eq!(status, 200, "{signed_in}");
    let token = signed_in["access_token"].as_str();
    let (status, paid) = ask("/v1/payments", token, Some(json!({ "payee": "bob@beta", "amount": "1.00" })));
    assert_eq!((status, &paid["state"]), (201, &json!("paid")), "{paid}");
    let many = json!({ "payments": [{ "payee": "bob@beta", "amount": "1.00" }] });
    let (status, many) = ask("/v1/payments/batch", token, Some(many));
    assert_eq!((status, &many["payments"][0]["state"]), (200, &json!("paid")), "{many}");
    let never = new_payment_id().to_string();
    let (status, cancelled) = ask(&format!("/v1/payments/{never}/cancel"), token, Some(order_of(&never)));
    assert_eq!((status, &cancelled["code"]), (200, &json!("voided_by_payer")), "{cancelled}");
    assert_eq!(ask("/v1/logout", token, None).0, 200);
}
