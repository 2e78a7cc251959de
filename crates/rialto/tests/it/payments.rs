//! Two banks and the gateway between them, as real processes: customers sign in and pay each other, and whatever is killed
//! meanwhile, every acknowledged payment is there once, on both sides.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::client::Secret;
use api::client::gateway::{
    Customer, GatewayClient, GatewayError, GatewayOptions, NotSignedIn, PaymentAnswer, Standing, new_payment_id,
};
use api::client::{Client, ClientError, Options};
use certs::{Expected, Files, Protocol};
use clearing::{NamedParty, PaymentId, Terms};
use ledger::{Amount, Currency, Reference};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::network::{Network, Owned, TestDir, free_bases, network_json, run, signal, stderr, stdout, until};

pub(crate) const OPENING: i128 = 1000_00;

pub(crate) struct Town {
    pub(crate) network: Network,
    pub(crate) runtime: Runtime,
    pub(crate) gateway: GatewayClient,
    _dir: TestDir,
}

impl Town {
    pub(crate) fn new(name: &str) -> Town {
        Town::logging(name, "info")
    }

    /// With nodes that log so much.
    pub(crate) fn logging(name: &str, level: &str) -> Town {
        let dir = TestDir::new(name);
        let network = Network::run_logging(dir.path(), &["--base-port", &free_bases(3).to_string()], level);
        for bank in ["alpha", "beta"] {
            network.event(&[&format!("bank {bank} has customers")]);
        }
        let runtime = Runtime::new().expect("threads are to be had");
        let gateway = runtime.block_on(async { connect(&network) });
        Town { network, runtime, gateway, _dir: dir }
    }

    pub(crate) fn sign_in(&self, who: &str) -> Customer {
        let party: NamedParty = who.parse().expect("well formed");
        let name = who.split('@').next().expect("a name");
        let password = Secret::new(format!("{name}-demo"));
        let signed_in = self.runtime.block_on(self.gateway.login(&party, &password)).expect("the demo's password");
        self.gateway.customer(&signed_in.token).expect("a token")
    }

    /// With votes that may take as long as a busy machine needs.
    pub(crate) fn patient(name: &str) -> Town {
        let town = Town::new(name);
        let (done, told) = operate(&town, &["settings", "timeout-2pc-ms", "60000"]);
        assert!(done, "{told}");
        town
    }

    /// After everything that is decided has been delivered.
    pub(crate) fn balance(&self, customer: &Customer) -> i128 {
        until("the bank has all that is decided", || {
            let balance = self.runtime.block_on(customer.balance()).ok()?;
            (balance.undelivered == 0).then_some(balance.balance)
        })
    }

    /// What is decided about a payment.
    pub(crate) fn pay(&self, customer: &Customer, terms: &Terms) -> Standing {
        until("it is decided", || {
            let answer = self.runtime.block_on(customer.pay(terms)).expect("the gateway answers");
            (!matches!(answer.standing, Standing::Undecided { .. })).then_some(answer.standing)
        })
    }

    /// A payment that has to go through: one that became void on a busy machine is ordered again.
    pub(crate) fn pays(&self, customer: &Customer, payer: &str, payee: &str, minor: u128) {
        let mut terms = order(new_payment_id(), payer, payee, minor);
        until("it is paid", || match self.pay(customer, &terms) {
            Standing::Paid { .. } => Some(()),
            Standing::Refused { code, .. } if code == "bank_timed_out" => {
                terms = order(new_payment_id(), payer, payee, minor);
                None
            }
            Standing::NotTaken { code, .. } if code == "bank_unavailable" => None,
            refused => panic!("{payer} pays {payee}: {refused:?}"),
        });
    }

    pub(crate) fn pid(&self, group: &str, node: u64) -> Option<u32> {
        u32::try_from(self.network.node_of(group, node)["pid"].as_u64()?).ok()
    }

    /// SIGKILL to the node of a group that leads now.
    pub(crate) fn kill_leader(&self, group: &str) {
        let pid = until("a leader that runs", || {
            let leads = |node: &u64| {
                let url = self.network.node_of(group, *node)["http"].as_str()?.to_owned();
                let (_, body) = crate::http::call("GET", &format!("{url}/v1/status"), None).ok()?;
                let status: serde_json::Value = serde_json::from_str(&body).ok()?;
                (status["role"] == "leader").then_some(())
            };
            (1..=3).find(|node| leads(node).is_some()).and_then(|node| self.pid(group, node))
        });
        signal("KILL", pid);
    }
}

fn connect(network: &Network) -> GatewayClient {
    let file = network_json(network.dir().as_ref());
    let nodes = file["nodes"].as_array().expect("a list of nodes");
    let addresses = nodes.iter().filter(|node| node["kind"] == "gateway").filter_map(|node| node["grpc"].as_str());
    gateway_at(network, addresses)
        .with_options(GatewayOptions { deadline: Duration::from_secs(60), ..GatewayOptions::default() })
}

/// The gateway's nodes at these addresses, as a client with a client's certificate sees them.
fn gateway_at<'a>(network: &Network, addresses: impl Iterator<Item = &'a str>) -> GatewayClient {
    let tls = caller(network, "client", Expected::NodeOfAnyGateway);
    GatewayClient::connect_with(addresses, Some(tls)).expect("addresses")
}

fn caller(network: &Network, subject: &str, expected: Expected) -> Arc<certs::Client> {
    let file = network_json(network.dir().as_ref());
    let files = Files::new(file["tls"].as_str().expect("a directory"), subject.parse().expect("a subject"));
    Arc::new(certs::Client::new(files, expected, Protocol::Grpc).expect("up has made it"))
}

pub(crate) fn order(id: PaymentId, payer: &str, payee: &str, minor: u128) -> Terms {
    Terms {
        id,
        payer: payer.parse().expect("well formed"),
        payee: payee.parse().expect("well formed"),
        amount: Amount::new(minor).expect("not zero"),
        currency: Currency::EUR,
        reference: Reference::EMPTY,
    }
}

pub(crate) fn paid(standing: &Standing) -> bool {
    matches!(standing, Standing::Paid { .. })
}

pub(crate) fn refused_for(standing: &Standing) -> &str {
    match standing {
        Standing::Refused { code, .. } | Standing::NotTaken { code, .. } => code,
        Standing::Paid { .. } | Standing::Undecided { .. } => panic!("it was not refused: {standing:?}"),
    }
}

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

    // Nobody pays from another's account.
    let theft = order(new_payment_id(), "bob@beta", "alice@alpha", 1);
    assert!(town.runtime.block_on(alice.pay(&theft)).is_err());
    let audit = run(&["audit", "--dir", town.network.dir()]);
    assert!(audit.status.success(), "{}", stdout(&audit));
}

/// A command of the operator's, on the network's own directory.
pub(crate) fn operate(town: &Town, arguments: &[&str]) -> (bool, String) {
    let done = run(&[arguments, &["--dir", town.network.dir()]].concat());
    (done.status.success(), stdout(&done) + &stderr(&done))
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
    assert!(!done && told.contains("the position is smaller"), "more than is owed: {told}");
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
fn a_payment_that_hangs_is_listed_with_whom_it_waits_for_and_can_be_voided_by_hand() {
    let town = Town::new("in-doubt");
    let alice = town.sign_in("alice@alpha");
    assert!(operate(&town, &["settings", "timeout-2pc-ms", "60000"]).0);
    let pids: Vec<u32> = (1..=3).map(|node| town.pid("beta", node).expect("it runs")).collect();
    let terms = order(new_payment_id(), "alice@alpha", "bob@beta", 5_00);
    let bob = town.sign_in("bob@beta");
    let paying = std::thread::scope(|scope| {
        let paying = scope.spawn(|| {
            loop {
                pids.iter().for_each(|pid| signal("STOP", *pid));
                let answer = town.runtime.block_on(alice.pay(&terms));
                match answer.as_ref().map(|answer| &answer.standing) {
                    // The gateway's node had found out already that beta does not answer: that burns nothing.
                    Ok(Standing::NotTaken { code, .. }) if code == "bank_unavailable" => {
                        pids.iter().for_each(|pid| signal("CONT", *pid));
                        town.balance(&bob);
                    }
                    _ => break answer,
                }
            }
        });
        let listed = until("it is listed", || {
            let (_, told) = operate(&town, &["payments", "--in-doubt"]);
            told.contains(&terms.id.to_string()).then_some(told)
        });
        assert!(listed.contains("undecided for") && listed.contains("beta to set the payee's side aside"));
        let (done, told) = operate(&town, &["payments", "void", &terms.id.to_string(), "--by", "anna"]);
        assert!(done && told.contains("refused"), "{told}");
        paying.join().expect("it is answered")
    });
    assert_eq!(refused_for(&paying.expect("it was decided").standing), "voided_by_operator");
    let (_, told) = operate(&town, &["payments", "--undecided"]);
    assert_eq!(told, "no payment is undecided\n");
    let owed = until("it is told that beta is away", || {
        let (_, told) = operate(&town, &["payments", "--in-doubt"]);
        told.contains("beta, which cannot be reached now, to acknowledge that it is void").then_some(told)
    });
    assert!(owed.contains("void, undelivered for"), "{owed}");
    pids.iter().for_each(|pid| signal("CONT", *pid));
    until("both banks know", || {
        let (done, told) = operate(&town, &["payments"]);
        (done && told == "no payment is on its way\n").then_some(())
    });
    assert_eq!(town.balance(&alice), OPENING);
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
fn over_http_a_customer_signs_in_pays_and_looks_with_nothing_but_curl() {
    let town = Town::patient("http");
    let file = network_json(town.network.dir().as_ref());
    let url = file["gateway"]["http"].as_str().expect("an address").to_owned();
    let ask = |method: &str, path: &str, token: Option<&str>, key: Option<&str>, body: Option<Value>| {
        let url = format!("{url}{path}");
        let patience = Duration::from_secs(20);
        let request = crate::http::Request { method, url: &url, body: body.as_ref(), token, key, patience };
        let (status, text) = request.send().expect("an answer");
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
    assert_eq!((status, &other["code"]), (422, &json!("id_reused")), "{other}");
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
    let (status, both) = ask("POST", "/v1/payments/batch", Some(token), Some("many"), Some(many));
    assert_eq!(status, 200, "{both}");
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

/// Every file below, but for what is there to hold secrets: certificates, the demo's passwords, clients' tokens, books.
fn logs_below(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("it is there").flatten() {
        let path = entry.path();
        if path.is_dir() {
            logs_below(&path, found);
        } else if path.to_string_lossy().contains(".log") {
            found.push(path);
        }
    }
}

#[test]
fn a_day_in_the_life_leaves_a_line_for_each_request_on_both_sides_and_no_secret_anywhere() {
    // As much as can be logged of requests, on both sides of every call, customers' own included.
    let town = Town::logging("day", "info,requests=debug");
    assert!(operate(&town, &["settings", "timeout-2pc-ms", "60000"]).0);
    let dir = PathBuf::from(town.network.dir());
    let file = network_json(&dir);
    let url = file["gateway"]["http"].as_str().expect("an address").to_owned();
    let ask = |path: &str, token: Option<&str>, body: Value| {
        let url = format!("{url}{path}");
        let patience = Duration::from_secs(20);
        let request = crate::http::Request { method: "POST", url: &url, body: Some(&body), token, key: None, patience };
        let (_, text) = request.send().expect("an answer");
        serde_json::from_str::<Value>(&text).expect("JSON")
    };
    let mut secrets: Vec<String> = ["alice-demo", "wr0ng-passw0rd", "n3w-passw0rd"].map(str::to_owned).to_vec();
    let login =
        |password: &str| ask("/v1/login", None, json!({ "bank": "alpha", "username": "alice", "password": password }));
    assert_eq!(login("wr0ng-passw0rd")["code"], json!("wrong_credentials"));
    let token = login("alice-demo")["access_token"].as_str().expect("a token").to_owned();
    assert_eq!(ask("/v1/logout", Some(&(token.clone() + "x")), json!({}))["code"], json!("token_invalid"));
    let paid = ask("/v1/payments", Some(&token), json!({ "payee": "bob@beta", "amount": "1.00" }));
    let id = paid["id"].as_str().expect("an id").to_owned();
    let passwd = std::fs::write(dir.join("p"), "n3w-passw0rd\n").map(|()| dir.join("p"));
    let passwd = passwd.expect("there is room").display().to_string();
    let (done, told) = operate(&town, &["user", "passwd", "alice", "--bank", "alpha", "--password-file", &passwd]);
    assert!(done, "{told}");
    std::fs::remove_file(&passwd).expect("it was written");
    let token_two = login("n3w-passw0rd")["access_token"].as_str().expect("a token").to_owned();
    secrets.extend([token, token_two, "$argon2id$".to_owned(), "PRIVATE KEY".to_owned()]);
    // The signature alone would do, too.
    let signature = secrets[3].rsplit('.').next().expect("a JWT has three parts").to_owned();
    secrets.push(signature);

    // The same from the command line, with an outbox.
    let command = |arguments: &[&str]| {
        let mut command = crate::network::rialto();
        command.args(arguments).args(["--dir", town.network.dir(), "--profile", "alice"]);
        let output = command
            .env("RIALTO_LOG_LEVEL", "off,requests=debug")
            .env("RIALTO_PASSWORD", "n3w-passw0rd")
            .output()
            .expect("it starts");
        (output.status.success(), stdout(&output) + &stderr(&output))
    };
    let mut told_to_client = String::new();
    for arguments in [
        ["login", "alpha", "alice"].as_slice(),
        &["pay", "bob@beta", "2.00", "--wait"],
        &["balance"],
        &["history"],
        &["outbox", "list"],
        &["sessions"],
    ] {
        let (done, told) = command(arguments);
        assert!(done, "{arguments:?}: {told}");
        told_to_client += &told;
    }
    let tokens = std::fs::read_dir(dir.join("clients/alice/tokens")).expect("it is there").flatten();
    let of_client: Vec<String> = tokens.filter_map(|entry| std::fs::read_to_string(entry.path()).ok()).collect();
    assert!(!of_client.is_empty(), "her token is kept somewhere");
    let parts =
        of_client.iter().flat_map(|text| text.split(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))));
    secrets.extend(parts.filter(|part| part.len() > 100).map(str::to_owned));

    let read = |name: &str| {
        let mut found = Vec::new();
        logs_below(&dir, &mut found);
        let named = found.iter().filter(|path| path.to_string_lossy().contains(name));
        named.map(|path| std::fs::read_to_string(path).expect("text")).collect::<String>()
    };
    let line = |name: &str, parts: &[&str]| {
        until(&format!("a line of {parts:?} in {name}"), || {
            let text = read(name);
            text.lines().find(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned)
        })
    };
    let trace_of = |line: &str| line.rsplit_once("trace=").map(|(_, trace)| trace.to_owned()).expect("a trace");
    // Client, gateway, bank: one trace.
    let served = line("gateway-", &["served", "POST /v1/payments", "alice@alpha", &id, "outcome=ok"]);
    let at_alpha = line("alpha-", &["served", "PaymentCalls", "gateway/gateway/", "PrepareDebit", &id]);
    assert!(at_alpha.contains(&trace_of(&served)), "{served}\n{at_alpha}");
    line("beta-", &["served", "PaymentCalls", "PrepareCredit", &id, &trace_of(&served)]);
    line("beta-", &["served", "PaymentCalls", "CommitCredit", &id]);
    line("gateway-", &["called", "/rialto.v1.Bank/PaymentCalls", "outcome=ok"]);
    let refused = line("gateway-", &["served", "POST /v1/login", "alice@alpha", "outcome=wrong_credentials"]);
    line("alpha-", &["served", "Authenticate", "about=alice", "wrong_credentials", &trace_of(&refused)]);
    line("gateway-", &["served", "POST /v1/logout", "outcome=token_invalid"]);
    line("alpha-", &["served", "POST /v1/customers/alice/password", "caller=local", "outcome=ok"]);
    // The client's own line, in the trace that its bank was asked in; why something was refused; what was asked.
    let called = line("client_requests", &["called", "/rialto.v1.Gateway/TransferMoney", "outcome=ok"]);
    line("gateway-", &["served", "TransferMoney", "alice@alpha", &trace_of(&called)]);
    line("alpha-", &["served", "PaymentCalls", "PrepareDebit", &trace_of(&called)]);
    line("gateway-", &["served", "POST /v1/login", "why=\"name or password is wrong\""]);
    line("gateway-", &["request", "TransferMoney", "fields=", "amount: 200"]);
    line("gateway-", &["response", "TransferMoney", "fields=", "Paid"]);
    line("gateway-", &["request", "Login", "LoginRequest", "alice"]);
    line("gateway-", &["request", "/v1/login", "hidden"]);

    let said = read("") + &town.network.events().join("\n") + &told_to_client;
    assert!(said.len() > 1_000, "there is something to look at");
    for secret in &secrets {
        assert!(!said.contains(secret.as_str()), "a log holds {secret:?}");
    }
}

fn order_of(id: &str) -> Value {
    json!({ "id": id, "payee": "bob@beta", "amount": "1.00" })
}

#[test]
fn signing_out_ends_a_session_on_every_node_and_wrong_passwords_slow_down() {
    let town = Town::patient("sessions");
    let party: NamedParty = "alice@alpha".parse().expect("well formed");
    let login = |password: &str| town.runtime.block_on(town.gateway.login(&party, &Secret::new(password.to_owned())));
    let one = login("alice-demo").expect("her password");
    let two = login("alice-demo").expect("a second sign-in is allowed");
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
    wrong("bob@beta");
    wrong("bob@beta");
    let short =
        one_node.with_options(GatewayOptions { deadline: Duration::from_millis(100), ..GatewayOptions::default() });
    let bob: NamedParty = "bob@beta".parse().expect("well formed");
    let slowed = town.runtime.block_on(short.login(&bob, &Secret::new("bob-demo".to_owned())));
    assert!(slowed.is_err(), "after three failures even the right password waits: {slowed:?}");
    until("the wait is over", || town.runtime.block_on(one_node.login(&bob, &Secret::new("bob-demo".to_owned()))).ok());
}

#[test]
fn killing_any_process_in_a_stream_of_payments_loses_and_doubles_nothing() {
    let town = Town::new("killed");
    let (alice, bob) = (town.sign_in("alice@alpha"), town.sign_in("bob@beta"));
    let victims = ["gateway", "alpha", "beta"];
    let mut acknowledged = 0;
    for round in 0..6 {
        town.kill_leader(victims[round % victims.len()]);
        let begun = Instant::now();
        // Payments go both ways while the group elects, and until the dead process is back.
        while begun.elapsed() < Duration::from_secs(3) {
            let out = order(new_payment_id(), "alice@alpha", "bob@beta", 3);
            let back = order(new_payment_id(), "bob@beta", "alice@alpha", 2);
            for (customer, terms) in [(&alice, &out), (&bob, &back)] {
                let standing = until("it is decided", || match town.runtime.block_on(customer.pay(terms)) {
                    Ok(answer) => match answer.standing {
                        Standing::Undecided { .. } | Standing::NotTaken { .. } => None,
                        decided => Some(decided),
                    },
                    // Nobody could take it just then: the same payment again.
                    Err(_) => None,
                });
                // One that was taken while its bank elected may be void; it moved nothing then.
                acknowledged += match (paid(&standing), terms.id == out.id) {
                    (true, true) => 3,
                    (true, false) => -2,
                    (false, _) => 0,
                };
            }
        }
        for node in 1..=3 {
            for group in victims {
                until("it runs again", || town.pid(group, node));
            }
        }
    }
    assert!(acknowledged > 0, "payments went through");
    assert_eq!(town.balance(&alice), OPENING - acknowledged);
    assert_eq!(town.balance(&bob), OPENING + acknowledged);
    until("the books agree", || run(&["audit", "--dir", town.network.dir()]).status.success().then_some(()));
}

#[test]
fn a_bank_that_is_away_burns_no_id_and_the_payment_goes_through_when_it_is_back() {
    let town = Town::new("away");
    let alice = town.sign_in("alice@alpha");
    let mut pids = Vec::new();
    for node in 1..=3 {
        pids.push(town.pid("beta", node).expect("it runs"));
    }
    pids.iter().for_each(|pid| signal("STOP", *pid));
    let terms = order(new_payment_id(), "alice@alpha", "bob@beta", 5);
    let mut probes = Vec::new();
    let away = until("the gateway sees that beta is away", || {
        let probe = order(new_payment_id(), "alice@alpha", "bob@beta", 1);
        probes.push((probe.id, None));
        let standing = town.runtime.block_on(alice.pay(&probe)).ok()?.standing;
        probes.last_mut().expect("just pushed").1 = Some(standing.clone());
        match standing {
            Standing::NotTaken { code, .. } => Some(code),
            // Taken before it was seen: void, because a vote was missing in time.
            Standing::Refused { code, .. } => (code == "bank_timed_out").then_some(None).flatten(),
            Standing::Paid { .. } | Standing::Undecided { .. } => None,
        }
    });
    assert_eq!(away, "bank_unavailable");
    // Who would sign in there is told that the bank is away, not that anything of theirs is wrong.
    let party: NamedParty = "bob@beta".parse().expect("well formed");
    match town.runtime.block_on(town.gateway.login(&party, &Secret::new("bob-demo".to_owned()))) {
        Err(GatewayError::Refused { code, .. }) => assert_eq!(code.text(), "bank_unavailable"),
        other => panic!("{other:?}"),
    }
    let party: NamedParty = "bob@nowhere".parse().expect("well formed");
    match town.runtime.block_on(town.gateway.login(&party, &Secret::new("bob-demo".to_owned()))) {
        Err(GatewayError::Refused { code, .. }) => assert_eq!(code.text(), "unknown_bank"),
        other => panic!("{other:?}"),
    }
    // Others go on.
    town.pays(&alice, "alice@alpha", "carol@alpha", 4);
    assert_eq!(refused_for(&town.pay(&alice, &terms)), "bank_unavailable");
    pids.iter().for_each(|pid| signal("CONT", *pid));
    until("the same payment goes through", || {
        let answer = town.runtime.block_on(alice.pay(&terms)).ok()?;
        paid(&answer.standing).then_some(())
    });
    // A probe whose end was not known yet when beta came back may still be paid; one that was told to be void may not.
    let mut probed = 0;
    for (id, told) in probes {
        let end = until("every probe comes to its end", || {
            let known = town.runtime.block_on(alice.payment(id)).ok()?;
            let is_open = |answer: &PaymentAnswer| matches!(answer.standing, Standing::Undecided { .. });
            known.as_ref().is_none_or(|answer| !is_open(answer)).then_some(known)
        });
        let is_paid = end.is_some_and(|answer| paid(&answer.standing));
        let was_void = matches!(told, Some(Standing::Refused { .. } | Standing::NotTaken { .. }));
        assert!(!(is_paid && was_void), "{id} was told {told:?} and is paid");
        probed += i128::from(is_paid);
    }
    assert_eq!(town.balance(&alice), OPENING - 5 - 4 - probed);
}

#[test]
fn with_all_of_the_gateway_dead_at_once_sessions_decisions_deliveries_and_ids_are_there_again() {
    let town = Town::patient("all-dead");
    let (alice, bob) = (town.sign_in("alice@alpha"), town.sign_in("bob@beta"));
    let first = order(new_payment_id(), "alice@alpha", "bob@beta", 10_00);
    assert!(paid(&town.pay(&alice, &first)));
    // One that is decided, and that a bank has yet to hear of.
    let of_beta: Vec<u32> = (1..=3).map(|node| town.pid("beta", node).expect("it runs")).collect();
    of_beta.iter().for_each(|pid| signal("STOP", *pid));
    let second = order(new_payment_id(), "alice@alpha", "bob@beta", 5_00);
    let taken = until("it is taken, or not", || town.runtime.block_on(alice.pay(&second)).ok()).standing;
    assert!(matches!(taken, Standing::Undecided { .. }), "beta was not known to be away yet: {taken:?}");
    assert!(operate(&town, &["payments", "void", &second.id.to_string(), "--by", "anna"]).0);
    let of_gateway: Vec<u32> = (1..=3).map(|node| town.pid("gateway", node).expect("it runs")).collect();
    of_gateway.iter().for_each(|pid| signal("KILL", *pid));
    until("others run in their place", || {
        let again = (1..=3).map(|node| town.pid("gateway", node)).collect::<Option<Vec<u32>>>()?;
        again.iter().all(|pid| !of_gateway.contains(pid)).then_some(())
    });
    // The same sign-in, the same answers, and what was owed is still owed.
    let again = until("the gateway answers", || town.runtime.block_on(alice.pay(&first)).ok());
    assert!(paid(&again.standing) && again.duplicate, "{again:?}");
    let told = until("it is known", || town.runtime.block_on(alice.payment(second.id)).ok().flatten());
    assert_eq!(refused_for(&told.standing), "voided_by_operator");
    let (_, owed) = operate(&town, &["payments"]);
    assert!(owed.contains(&second.id.to_string()) && owed.contains("to acknowledge that it is void"), "{owed}");
    of_beta.iter().for_each(|pid| signal("CONT", *pid));
    until("both banks know", || (operate(&town, &["payments"]).1 == "no payment is on its way\n").then_some(()));
    assert_eq!((town.balance(&alice), town.balance(&bob)), (OPENING - 10_00, OPENING + 10_00));
    let (done, told) = operate(&town, &["audit"]);
    assert!(done, "{told}");
}

#[test]
fn every_certificate_of_a_running_network_is_replaced_and_no_payment_is_dropped() {
    let town = Town::patient("rotated");
    let (alice, bob) = (town.sign_in("alice@alpha"), town.sign_in("bob@beta"));
    let file = network_json(town.network.dir().as_ref());
    let tls = file["tls"].as_str().expect("it speaks TLS").to_owned();
    let mut moved = 0;
    for group in ["bank/alpha", "bank/beta", "gateway/gateway"] {
        for node in 1..=3 {
            let rotated = run(&["certs", "rotate", &format!("{group}/{node}"), "--dir", &tls]);
            assert!(rotated.status.success(), "{}", stderr(&rotated));
            assert!(paid(&town.pay(&alice, &order(new_payment_id(), "alice@alpha", "bob@beta", 2))));
            assert!(paid(&town.pay(&bob, &order(new_payment_id(), "bob@beta", "alice@alpha", 1))));
            moved += 1;
        }
    }
    // New connections are made with the new ones: also by a node that comes back, and by a customer who comes anew.
    let victim = town.pid("alpha", 2).expect("it runs");
    signal("KILL", victim);
    until("it runs again", || town.pid("alpha", 2).filter(|pid| *pid != victim));
    let anew = town.runtime.block_on(async { connect(&town.network) });
    let party: NamedParty = "alice@alpha".parse().expect("well formed");
    let signed_in = town.runtime.block_on(anew.login(&party, &Secret::new("alice-demo".to_owned())));
    let alice_again = anew.customer(&signed_in.expect("her password").token).expect("a token");
    assert!(paid(&town.pay(&alice_again, &order(new_payment_id(), "alice@alpha", "bob@beta", 1))));
    assert_eq!(town.balance(&alice), OPENING - moved - 1);
    until("the books agree", || operate(&town, &["audit"]).0.then_some(()));
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
