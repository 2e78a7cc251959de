//! Customers of several banks sign in and pay each other, and banks settle what they then owe.

use std::path::Path;
use std::time::Duration;

use api::client::Secret;
use api::client::gateway::{GatewayError, GatewayOptions, NotSignedIn, new_payment_id};
use api::client::{Client, ClientError, Options};
use certs::Expected;
use clearing::{NamedParty, Terms};
use ledger::Currency;
use serde_json::{Value, json};

use crate::network::{Owned, TestDir, network_json, run, stderr, stdout, until};
use crate::town::{OPENING, Town, caller, gateway_at, operate, order, paid, refused_for};

#[test]
fn customers_of_two_banks_pay_each_other_and_every_refusal_has_its_code() {
    let town = Town::patient("payments");
    let (alice, bob) = (town.sign_in("alice@alpha"), town.sign_in("bob@beta"));
    let id = new_payment_id();
    let first = order(id, "alice@alpha", "bob@beta", 12_50);
    assert!(paid(&town.pay(&alice, &first)));
    assert_eq!((town.balance(&alice), town.balance(&bob)), (OPENING - 12_50, OPENING + 12_50));

    // The same again is the same payment; something else under its id is none.
    let again = town.runtime.block_on(alice.pay(&first)).expect("the gateway answers");
    assert!(paid(&again.standing) && again.duplicate, "{again:?}");
    assert_eq!(refused_for(&town.pay(&alice, &order(id, "alice@alpha", "bob@beta", 12_51))), "id_reused");

    assert!(paid(&town.pay(&alice, &order(new_payment_id(), "alice@alpha", "carol@alpha", 7_50))), "within one bank");
    let rows = [
        ("bob@beta", 5_000_00, "insufficient_funds"),
        ("bob@alpha", 5_000_00, "insufficient_funds"),
        ("nobody@beta", 1, "unknown_payee"),
        ("nobody@alpha", 1, "unknown_payee"),
        ("bob@nowhere", 1, "unknown_bank"),
        ("alice@alpha", 1, "own_account"),
    ];
    for (payee, minor, code) in rows {
        let terms = order(new_payment_id(), "alice@alpha", payee, minor);
        assert_eq!(refused_for(&town.pay(&alice, &terms)), code, "{payee} {minor}");
        assert_eq!(refused_for(&town.pay(&alice, &terms)), code, "a refusal stays: {payee} {minor}");
    }
    let other_currency = Terms {
        currency: Currency::from_code("USD").expect("in the table"),
        ..order(new_payment_id(), "alice@alpha", "bob@beta", 1)
    };
    assert_eq!(refused_for(&town.pay(&alice, &other_currency)), "currency_mismatch");
    assert_eq!((town.balance(&alice), town.balance(&bob)), (OPENING - 20_00, OPENING + 12_50));

    let history = town.runtime.block_on(alice.history("", 10)).expect("the bank answers");
    let seen: Vec<(i128, &str)> =
        history.entries.iter().map(|entry| (entry.change, entry.counterparty.as_str())).collect();
    assert_eq!(seen, [(-7_50, "carol@alpha"), (-12_50, "bob@beta"), (OPENING, "cash")]);

    // Both sides see a payment that is paid; nobody else does, and of what was refused only the payer.
    let (carol, bob_too) = (town.sign_in("carol@alpha"), town.sign_in("bob@alpha"));
    let refused = order(new_payment_id(), "alice@alpha", "bob@beta", 5_000_00);
    assert_eq!(refused_for(&town.pay(&alice, &refused)), "insufficient_funds");
    let seen = |who: &api::client::gateway::Customer, id| {
        town.runtime.block_on(who.payment(id)).expect("the gateway answers").map(|answer| answer.terms)
    };
    assert_eq!((seen(&alice, id), seen(&bob, id)), (Some(Some(first)), Some(Some(first))));
    assert_eq!((seen(&carol, id), seen(&bob_too, id)), (None, None));
    assert_eq!((seen(&alice, refused.id).is_some(), seen(&bob, refused.id)), (true, None));

    // Whoever runs the network sees the whole way of both.
    let (done, way) = operate(&town, &["payments", "show", &id.to_string()]);
    assert!(done && way.starts_with(&format!("payment {id}: paid\n  12.50 EUR from alice@alpha to bob@beta")), "{way}");
    for part in ["ordered by its payer; taken by node", "decided: paid", "bank alpha has it", "bank beta has it"] {
        assert!(way.contains(part), "{part}: {way}");
    }
    let (done, way) = operate(&town, &["payments", "show", &refused.id.to_string(), "--json"]);
    assert!(done && way.contains(r#""state":"refused""#) && way.contains("not enough money"), "{way}");

    // Nobody pays from another's account.
    let theft = order(new_payment_id(), "bob@beta", "alice@alpha", 1);
    assert!(town.runtime.block_on(alice.pay(&theft)).is_err());
    let audit = run(&["audit", "--dir", town.network.dir()]);
    assert!(audit.status.success(), "{}", stdout(&audit));
}

#[test]
fn banks_owe_each_other_what_was_paid_until_they_settle_and_never_more_than_their_cap() {
    let town = Town::patient("positions");
    let (alice, bob) = (town.sign_in("alice@alpha"), town.sign_in("bob@beta"));
    assert_eq!(operate(&town, &["positions"]), (true, "no bank owes another anything\n".to_owned()));
    assert!(paid(&town.pay(&alice, &order(new_payment_id(), "alice@alpha", "bob@beta", 20_00))));
    assert!(paid(&town.pay(&bob, &order(new_payment_id(), "bob@beta", "alice@alpha", 7_50))));
    let owes = "alpha owes beta 12.50 EUR   on its way 0.00 EUR   no cap\n";
    assert_eq!(operate(&town, &["positions"]), (true, owes.to_owned()));

    // The cap bounds what is owed, and what is on its way counts.
    let (done, told) = operate(&town, &["settings", "pair-cap", "alpha", "beta", "13.00"]);
    assert!(done && told.contains("pair-cap               alpha beta 13.00 EUR"), "{told}");
    let beyond = order(new_payment_id(), "alice@alpha", "bob@beta", 51);
    assert_eq!(refused_for(&town.pay(&alice, &beyond)), "cap_exceeded");
    assert!(paid(&town.pay(&alice, &order(new_payment_id(), "alice@alpha", "bob@beta", 50))));

    let (done, told) = operate(&town, &["settle", "alpha", "beta", "20.00"]);
    assert!(!done && told.contains("the bank owes less than that"), "more than is owed: {told}");
    let id = new_payment_id().to_string();
    let (done, told) = operate(&town, &["settle", "alpha", "beta", "13.00", "--id", &id]);
    assert!(done && told.contains("is paid"), "{told}");
    assert!(operate(&town, &["settle", "alpha", "beta", "13.00", "--id", &id]).0, "again is the same");
    assert_eq!(operate(&town, &["positions"]), (true, "no bank owes another anything\n".to_owned()));
    let (done, told) = operate(&town, &["audit"]);
    assert!(done && told.contains("between banks: 4 payments, each once and alike in both books"), "{told}");
    assert_eq!(
        (town.balance(&alice), town.balance(&bob)),
        (OPENING - 13_00, OPENING + 13_00),
        "customers' money stays"
    );

    for outside in ["49", "60001", "x"] {
        assert!(!operate(&town, &["settings", "timeout-2pc-ms", outside]).0, "{outside}");
    }
    let (done, told) = operate(&town, &["settings", "timeout-2pc-ms", "300"]);
    assert!(done && told.contains("timeout-2pc-ms         300"), "{told}");
}

#[test]
fn a_certificate_opens_what_is_its_owners_and_nothing_else() {
    let town = Town::patient("roles");
    let file = network_json(town.network.dir().as_ref());
    let alpha = file["banks"]["alpha"]["grpc"].as_str().expect("an address").to_owned();
    assert!(alpha.starts_with("https://"), "{alpha}");
    let code = |subject: &str| {
        let expected = Expected::NodeOfBank("alpha".parse().expect("a name"));
        let options = Options { tls: Some(caller(&town.network, subject, expected)), ..Options::default() };
        let (names, statuses) = town.runtime.block_on(async {
            let bank = Client::connect_with([&alpha], options).expect("an address");
            (bank.customer_balance("alice").await.map(drop), bank.accounts("", 10).await.map(drop))
        });
        let text = |done: Result<(), ClientError>| match done {
            Ok(()) => "ok",
            Err(ClientError::Refused { code, .. }) => code.text(),
            Err(other) => panic!("{other}"),
        };
        (text(names), text(statuses))
    };
    assert_eq!(code("gateway/gateway/1"), ("ok", "not_permitted"), "the gateway sees customers, and not the books");
    assert_eq!(code("operator/local"), ("not_permitted", "ok"));
    assert_eq!(code("client"), ("not_permitted", "not_permitted"));
    assert_eq!(code("bank/beta/1"), ("not_permitted", "not_permitted"));
    let as_client = operate(&town, &["positions", "--tls-as", "client"]);
    assert!(
        !as_client.0 && as_client.1.contains("Positions is for operators, and the caller is client"),
        "{as_client:?}"
    );
    let alone = run(&["positions", "--gateway", file["gateway"]["grpc"].as_str().expect("an address")]);
    assert!(stderr(&alone).contains("TLS needs a certificate"), "{}", stderr(&alone));
}

#[test]
fn a_bank_added_to_a_running_network_is_paid_at_once() {
    let town = Town::patient("one-more");
    let alice = town.sign_in("alice@alpha");
    let (done, told) = operate(&town, &["bank", "add", "gamma", "--nodes", "1"]);
    assert!(done && told.starts_with("bank gamma runs; its page: http://127.0.0.1:"), "{told}");
    assert!(operate(&town, &["bank", "add", "gamma", "--nodes", "1"]).0, "again is the same");
    town.network.event(&["bank gamma has customers"]);
    let terms = order(new_payment_id(), "alice@alpha", "bob@gamma", 1_00);
    until("the gateway has taken it in", || {
        paid(&town.pay(&alice, &order(new_payment_id(), "alice@alpha", "bob@gamma", 1_00))).then_some(())
    });
    assert!(paid(&town.pay(&alice, &terms)));
    let bob = town.sign_in("bob@gamma");
    assert_eq!(town.balance(&bob), OPENING + (OPENING - town.balance(&alice)));
    until("the books agree, between the banks too", || operate(&town, &["audit"]).0.then_some(()));
}

#[test]
fn signing_out_ends_a_session_on_every_node_and_wrong_passwords_slow_down() {
    let town = Town::patient("sessions");
    let login = || town.login(&town.gateway, "alice@alpha", "alice-demo");
    let (one, two) = (login().expect("her password"), login().expect("a second sign-in is allowed"));
    assert_eq!((one.live_sessions, two.live_sessions), (1, 2));

    let file = network_json(town.network.dir().as_ref());
    let nodes = file["nodes"].as_array().expect("a list of nodes");
    let nodes: Vec<&str> =
        nodes.iter().filter(|node| node["kind"] == "gateway").filter_map(|node| node["grpc"].as_str()).collect();
    let at = |node: &str, token: &Secret| {
        let gateway = town.runtime.block_on(async { gateway_at(&town.network, [node].into_iter()) });
        gateway.customer(token).expect("a token")
    };
    for node in &nodes {
        assert!(town.runtime.block_on(at(node, &one.token).balance()).is_ok(), "any node knows any token");
    }
    town.runtime.block_on(at(nodes[0], &one.token).logout()).expect("it ends");
    for node in &nodes {
        let refused = town.runtime.block_on(at(node, &one.token).balance());
        assert_eq!(refused.err(), Some(GatewayError::NotSignedIn(NotSignedIn::Revoked)));
        let terms = order(new_payment_id(), "alice@alpha", "bob@beta", 1);
        let refused = town.runtime.block_on(at(node, &one.token).pay(&terms));
        assert_eq!(refused.err(), Some(GatewayError::NotSignedIn(NotSignedIn::Revoked)));
        assert!(town.runtime.block_on(at(node, &two.token).balance()).is_ok(), "the other one goes on");
    }
    let forged = town.runtime.block_on(at(nodes[0], &Secret::new("a.b.c".to_owned())).balance());
    assert_eq!(forged.err(), Some(GatewayError::NotSignedIn(NotSignedIn::Invalid)));

    let one_node = town.runtime.block_on(async { gateway_at(&town.network, [nodes[0]].into_iter()) });
    let wrong = |who: &str| {
        let party: NamedParty = who.parse().expect("well formed");
        town.runtime.block_on(one_node.login(&party, &Secret::new("wrong".to_owned()))).err()
    };
    let (user, nobody) = (wrong("bob@beta"), wrong("nobody@beta"));
    assert_eq!(user, Some(GatewayError::NotSignedIn(NotSignedIn::WrongCredentials)));
    assert_eq!(user, nobody, "strangers do not learn who banks here");
    let code = |error: Option<GatewayError>| error.and_then(|error| error.code()).map(|code| code.text());
    assert_eq!(code(wrong("bob@gamma")), Some("unknown_bank"));
    let short =
        one_node.with_options(GatewayOptions { deadline: Duration::from_millis(100), ..GatewayOptions::default() });
    let bob: NamedParty = "bob@beta".parse().expect("well formed");
    let waits = |password: &str| {
        let told = town.runtime.block_on(short.login(&bob, &Secret::new(password.to_owned()))).err();
        (code(told) == Some("too_many_attempts")).then_some(())
    };
    // Each failure doubles the wait, until it is longer than what a busy machine takes for a call.
    until("after some failures even the right password waits", || {
        until("a guess waits", || waits("wrong"));
        waits("bob-demo")
    });
    until("the wait is over", || town.runtime.block_on(one_node.login(&bob, &Secret::new("bob-demo".to_owned()))).ok());
}

#[test]
fn the_benchmark_of_payments_ends_with_every_balance_to_the_cent() {
    let town = Town::patient("bench");
    let (done, told) = operate(&town, &["bench", "--payments", "--seconds", "2", "--callers", "4"]);
    assert!(done && told.contains("conserved") && told.contains("balances to the cent"), "{told}");
    let (done, told) =
        operate(&town, &["bench", "--payments", "--seconds", "2", "--callers", "2", "--many", "20", "--json"]);
    assert!(done, "{told}");
    let told: Value = serde_json::from_str(told.lines().last().expect("a line")).expect("JSON");
    assert!(told["payments"].as_u64().or(told["paid"].as_u64()).is_some_and(|paid| paid > 0), "{told}");
}

#[test]
fn a_node_of_the_gateway_by_itself_is_told_everything_in_a_file() {
    let dir = TestDir::new("gateway-by-hand");
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let data = text(&dir.path().join("data"));
    let init = run(&["gateway", "init", "--name", "main", "--node", "1", "--nodes", "1", "--data", &data]);
    assert!(init.status.success(), "{}", stderr(&init));
    let base = crate::network::free_base();
    let at = |offset: u16| format!("127.0.0.1:{}", base + offset);
    let config = dir.path().join("gateway.json");
    let settings = json!({
        "name": "main", "node": 1, "data": data, "http": at(1), "gateway_addr": at(11), "peer_listen": at(21),
        "timeout_2pc_ms": 700, "banks": format!("alpha=dns:localhost:{}", base + 31),
    });
    std::fs::write(&config, settings.to_string()).expect("there is room");
    for (wrong, said) in [("timeout_2pc_ms\":700", "timeout_2pc_ms\":49"), ("dns:localhost:", "dns:localhost")] {
        let other = dir.path().join("wrong.json");
        std::fs::write(&other, settings.to_string().replace(wrong, said)).expect("there is room");
        let refused = run(&["gateway", "--config", &text(&other)]);
        assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
        assert!(stderr(&refused).contains("wrong.json"), "{}", stderr(&refused));
    }
    let node = crate::network::rialto()
        .args(["gateway", "--config", &text(&config)])
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the binary was built");
    let _node = Owned(node);
    let shown = until("the file's setting is in force", || {
        let shown = run(&["settings", "--gateway", &at(11)]);
        let told = stdout(&shown);
        told.contains("timeout-2pc-ms         700").then_some(told)
    });
    assert!(shown.contains("open-per-customer      2000"), "{shown}");
}
