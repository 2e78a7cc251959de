//! `/v1`: accounts, transfers, statements.

use super::served::Served;

#[tokio::test]
async fn an_account_is_created_read_and_listed() {
    let served = Served::start().await;
    let created = served.post("/v1/accounts", r#"{"owner":"Zoë","currency":"JPY"}"#).await;
    assert_eq!(created.status, 201, "{}", created.body);
    let id = created.text("id");
    assert_eq!(created.header("location"), Some(format!("/v1/accounts/{id}").as_str()));
    let read = served.get(&format!("/v1/accounts/{id}")).await;
    let account = read.json();
    assert_eq!((account["owner"].as_str(), account["currency"].as_str()), (Some("Zoë"), Some("JPY")));
    assert_eq!((account["balance"].as_str(), account["kind"].as_str()), (Some("0"), Some("customer")));
    assert_eq!(account["opened"], created.json()["opened"]);
    let unknown = served.get("/v1/accounts/018f4f3e-7a5b-7c4d-8e9f-0123456789ab").await;
    unknown.assert_problem(404, "unknown_account");
    served.post("/v1/accounts", r#"{"owner":"a\nb"}"#).await.assert_problem(400, "invalid_owner");
}

#[tokio::test]
async fn a_list_is_paged_searched_and_sorted() {
    let served = Served::start().await;
    for (owner, amount) in [("Carla", 3), ("alice", 1), ("Bob", 2), ("Alina", 5)] {
        let id = served.post("/v1/accounts", &format!(r#"{{"owner":"{owner}"}}"#)).await.text("id");
        served.post("/deposit_money", &format!(r#"{{"account_id":"{id}","amount":{amount}}}"#)).await;
    }
    let all = |query: &'static str| {
        let served = &served;
        async move {
            let (mut owners, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = served.get(&format!("/v1/accounts?limit=2&{query}{cursor}")).await.json();
                let accounts = page["accounts"].as_array().expect("a page").clone();
                assert!(accounts.len() <= 2);
                owners.extend(accounts.iter().map(|account| {
                    let owner = account["owner"].as_str().expect("a text");
                    if owner.is_empty() {
                        account["kind"].as_str().expect("a text").to_owned()
                    } else {
                        owner.to_owned()
                    }
                }));
                match page["next_cursor"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => return owners,
                }
            }
        }
    };
    assert_eq!(all("").await, ["Carla", "vault", "alice", "Bob", "Alina"]);
    assert_eq!(all("sort=-opened").await, ["Alina", "Bob", "alice", "vault", "Carla"]);
    assert_eq!(all("sort=balance").await, ["vault", "alice", "Bob", "Carla", "Alina"]);
    assert_eq!(all("sort=-balance").await, ["Alina", "Carla", "Bob", "alice", "vault"]);
    assert_eq!(all("sort=owner").await, ["alice", "Alina", "Bob", "Carla", "vault"]);
    assert_eq!(all("sort=-owner").await, ["vault", "Carla", "Bob", "Alina", "alice"]);
    assert_eq!(all("search=ALI").await, ["alice", "Alina"]);
    // However the accent is typed, when the account is opened and when it is looked for.
    served.post("/v1/accounts", r#"{"owner":"Jose\u0301"}"#).await;
    for typed in ["search=jose%CC%81", "search=jos%C3%A9", "search=JOSE%CC%81"] {
        assert_eq!(all(typed).await, ["Jos\u{e9}"], "{typed}");
    }
    for (query, code) in [
        ("limit=0", "invalid_limit"),
        ("limit=1001", "invalid_limit"),
        ("cursor=zzz", "invalid_cursor"),
        ("sort=colour", "malformed_query"),
        ("colour=red", "malformed_query"),
    ] {
        served.get(&format!("/v1/accounts?{query}")).await.assert_problem(400, code);
    }
}

#[tokio::test]
async fn a_transfer_is_created_with_its_time_and_read_again() {
    let served = Served::start().await;
    let (alice, bob) = (served.rich("5").await, served.open().await);
    let order = format!(
        r#"{{"debit_account":"{alice}","credit_account":"{bob}","amount":"1.25","currency":"EUR","reference":"rent, März"}}"#
    );
    let created = served.post("/v1/transfers", &order).await;
    assert_eq!(created.status, 201, "{}", created.body);
    let shape = created.json();
    assert_eq!((shape["outcome"].as_str(), shape["amount"].as_str()), (Some("posted"), Some("1.25")));
    assert_eq!((shape["debit_balance"].as_str(), shape["credit_balance"].as_str()), (Some("3.75"), Some("1.25")));
    assert!(
        shape["time"].as_str().is_some_and(|time| time.starts_with("2026-11-20T") && time.ends_with('Z')),
        "{shape}"
    );
    let read = served.get(created.header("location").expect("a place")).await.json();
    assert_eq!((&read["reference"], &read["time"]), (&"rent, März".into(), &shape["time"]));

    let too_much = order.replace("1.25", "100");
    let refused = served.post("/v1/transfers", &too_much).await;
    refused.assert_problem(422, "insufficient_funds");
    let read = served.get(&format!("/v1/transfers/{}", refused.text("transfer_id"))).await.json();
    assert_eq!((read["outcome"].as_str(), read["code"].as_str()), (Some("rejected"), Some("insufficient_funds")));
    assert_eq!(read["amount"], "100.00");
}

#[tokio::test]
async fn the_items_of_a_batch_stand_alone_unless_they_are_linked() {
    let served = Served::start().await;
    let (alice, bob) = (served.rich("5").await, served.open().await);
    let item = |amount: &str| format!(r#"{{"debit_account":"{alice}","credit_account":"{bob}","amount":{amount}}}"#);
    let items = format!("{},{},{}", item("1"), item("100"), item("2"));
    let reply = served.post("/v1/transfers/batch", &format!(r#"{{"transfers":[{items}]}}"#)).await;
    let body = reply.json();
    let outcomes: Vec<&str> =
        body["transfers"].as_array().expect("items").iter().filter_map(|item| item["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["posted", "rejected", "posted"], "{body}");
    assert_eq!((body["posted"].as_u64(), body["rejected"].as_u64()), (Some(2), Some(1)));

    let reply = served.post("/v1/transfers/batch", &format!(r#"{{"linked":true,"transfers":[{items}]}}"#)).await;
    let body = reply.json();
    let codes: Vec<&str> =
        body["transfers"].as_array().expect("items").iter().filter_map(|item| item["code"].as_str()).collect();
    assert_eq!(codes, ["linked_failed", "insufficient_funds", "linked_failed"], "{body}");
    assert_eq!(served.balance(&bob).await, r#"{"balance":3.00}"#);
}

#[tokio::test]
async fn a_malformed_item_refuses_the_whole_batch_and_is_named() {
    let served = Served::start().await;
    let (alice, bob) = (served.rich("5").await, served.open().await);
    let before = served.bank.records();
    let item = |credit: &str, amount: &str| {
        format!(r#"{{"debit_account":"{alice}","credit_account":"{credit}","amount":{amount}}}"#)
    };
    for (bad, code) in [
        (item(&bob, "0"), "amount_zero"),
        (item("x", "1"), "malformed_id"),
        (item(&alice, "1"), "same_account"),
        (item(&bob, "1").replace("amount", "amuont"), "unknown_field"),
    ] {
        let reply =
            served.post("/v1/transfers/batch", &format!(r#"{{"transfers":[{},{bad}]}}"#, item(&bob, "1"))).await;
        reply.assert_problem(400, code);
        assert!(reply.body.contains("item 1") || reply.body.contains("amuont"), "{}", reply.body);
    }
    served.post("/v1/transfers/batch", r#"{"transfers":[]}"#).await.assert_problem(400, "batch_empty");
    let many = vec![item(&bob, "1"); 8191].join(",");
    let reply = served.post("/v1/transfers/batch", &format!(r#"{{"transfers":[{many}]}}"#)).await;
    reply.assert_problem(400, "batch_too_large");
    assert_eq!(served.bank.records(), before);
}

#[tokio::test]
async fn accounts_of_the_benchmark_are_left_out_where_a_list_is_for_people() {
    let served = Served::start().await;
    for owner in ["bench", "zoe", "benchmark"] {
        let opened = served.post("/v1/accounts", &format!(r#"{{"owner":"{owner}"}}"#)).await;
        assert_eq!(opened.status, 201, "{}", opened.body);
    }
    // A customer may have any name, and is seen on the page all the same.
    for username in ["bench", "bench-17"] {
        let body = format!(r#"{{"username":"{username}","password":"a good long one"}}"#);
        assert_eq!(served.post("/v1/customers", &body).await.status, 201);
    }
    let owners = async |query: &str| {
        let list = served.get(&format!("/v1/accounts?{query}")).await.json();
        let accounts = list["accounts"].as_array().expect("a list").clone();
        accounts.iter().map(|account| account["owner"].as_str().unwrap_or_default().to_owned()).collect::<Vec<String>>()
    };
    assert_eq!(owners("hide=bench").await, ["zoe", "benchmark", "bench", "bench-17"]);
    assert_eq!(owners("").await.len(), 5, "programs that add all up are told of all");
    assert_eq!(owners("hide=bench&search=ben").await.len(), 4, "whoever looks for them finds them");
    served.get("/v1/accounts?hide=zoe").await.assert_problem(400, "malformed_query");
}

#[tokio::test]
async fn a_statement_runs_backwards_with_its_balances() {
    let served = Served::start().await;
    let (alice, bob) = (served.rich("10").await, served.open().await);
    for amount in [1, 2, 3] {
        let order = format!(
            r#"{{"debit_account":"{alice}","credit_account":"{bob}","amount":{amount},"reference":"no {amount}"}}"#
        );
        assert_eq!(served.post("/v1/transfers", &order).await.status, 201);
    }
    let page = served.get(&format!("/v1/accounts/{alice}/statement?limit=3")).await.json();
    let lines: Vec<(String, String, String)> = page["entries"]
        .as_array()
        .expect("lines")
        .iter()
        .map(|line| {
            ["change", "balance", "reference"].map(|name| line[name].as_str().expect("a text").to_owned()).into()
        })
        .collect();
    let line =
        |change: &str, balance: &str, reference: &str| (change.to_owned(), balance.to_owned(), reference.to_owned());
    assert_eq!(lines, [line("-3.00", "4.00", "no 3"), line("-2.00", "7.00", "no 2"), line("-1.00", "9.00", "no 1")]);
    let next = page["next_cursor"].as_str().expect("more");
    let page = served.get(&format!("/v1/accounts/{alice}/statement?limit=3&cursor={next}")).await.json();
    assert_eq!(page["entries"][0]["change"], "10.00");
    assert!(page["next_cursor"].is_null());
    let (_, tag) = next.split_once('~').expect("a place and the listing's tag");
    let page = served.get(&format!("/v1/accounts/{alice}/statement?cursor=p9999999~{tag}")).await.json();
    assert_eq!(page["entries"].as_array().map(Vec::len), Some(0));
    for cursor in ["x".to_owned(), "p1".to_owned(), format!("x~{tag}")] {
        let reply = served.get(&format!("/v1/accounts/{alice}/statement?cursor={cursor}")).await;
        reply.assert_problem(400, "invalid_cursor");
    }
}
