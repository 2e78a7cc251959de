//! A bank, and the gateway, put back from a copy of their files while the rest of the network has gone on: nothing that was
//! paid is lost or doubled, books and positions agree, and who was restored over is refused.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use api::client::{Client, Options};
use certs::{Expected, Files, Protocol};
use clearing::{Call, CallKind, Finding, Terms};
use ledger::{Amount, Currency, Reference};
use serde_json::{Value, json};

use crate::http;
use crate::network::{
    Network, Owned, TestDir, free_base, free_bases, network_json, rialto, run, signal, stderr, stdout, until,
};

/// A network of one node a group, and its customers' commands.
struct Town {
    dir: TestDir,
    base: String,
}

impl Town {
    fn new(name: &str) -> Town {
        Town { dir: TestDir::new(name), base: free_bases(3).to_string() }
    }

    fn up(&self) -> Network {
        Network::run(&self.path(), &["--base-port", &self.base, "--nodes", "1"])
    }

    /// Inside the test's directory, so that copies may lie beside it.
    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("net")
    }

    fn command(&self, profile: &str, arguments: &[&str]) -> (Option<i32>, String) {
        let dir = self.path();
        let dir = dir.to_str().expect("UTF-8");
        let output = run(&[arguments, &["--dir", dir, "--profile", profile]].concat());
        (output.status.code(), stdout(&output) + &stderr(&output))
    }

    /// Signs in, once the gateway takes it.
    fn sign_in(&self, profile: &str, bank: &str) {
        let name = profile.trim_end_matches(char::is_numeric);
        until("the gateway signs customers in", || {
            let (code, _) = self.command(profile, &["login", bank, name, &format!("{name}-demo")]);
            (code == Some(0)).then_some(())
        });
    }

    /// Votes may take as long as a busy machine needs.
    fn be_patient(&self) {
        let (code, said) = self.operator(&["settings", "timeout-2pc-ms", "60000"]);
        assert_eq!(code, Some(0), "{said}");
    }

    fn pay(&self, profile: &str, payee: &str, amount: &str) {
        let (code, said) = self.command(profile, &["pay", payee, amount, "--wait"]);
        assert!(code == Some(0) && said.contains("paid"), "{profile} pays {payee} {amount}: {code:?} {said}");
    }

    /// Alice's call over HTTP, with a token if she has one; none if nobody answers.
    fn call(
        network: &Network,
        path: &str,
        (token, key): (Option<&str>, Option<&str>),
        body: &Value,
    ) -> Option<(u16, Value)> {
        let file = network_json(network.dir().as_ref());
        let url = format!("{}{path}", file["gateway"]["http"].as_str().expect("an address"));
        let patience = std::time::Duration::from_secs(60);
        let request = http::Request { method: "POST", url: &url, body: Some(body), token, key, patience };
        let (status, text) = request.send().ok()?;
        Some((status, serde_json::from_str(&text).expect("JSON")))
    }

    /// Alice signs in over HTTP; her token.
    fn token(network: &Network) -> String {
        let who = json!({ "bank": "alpha", "username": "alice", "password": "alice-demo" });
        let signed_in = until("alice is signed in", || {
            Town::call(network, "/v1/login", (None, None), &who).filter(|(status, _)| *status < 300)
        });
        signed_in.1["access_token"].as_str().expect("a token").to_owned()
    }

    /// Alice pays over HTTP under a key; the payment's id.
    fn pay_by_key(network: &Network, (payee, amount, key): (&str, &str, &str)) -> String {
        let token = Town::token(network);
        let order = json!({ "payee": payee, "amount": amount });
        let (_, paid) = until("it is paid", || {
            let told = Town::call(network, "/v1/payments", (Some(&token), Some(key)), &order);
            told.filter(|(status, _)| *status < 300)
        });
        assert_eq!(paid["state"], json!("paid"), "{paid}");
        paid["id"].to_string()
    }

    /// Alice's order of that id: asks for void, or sends it.
    fn order(network: &Network, id: &str, end: &str) -> (u16, Value) {
        let token = Town::token(network);
        let order = json!({ "id": id, "payee": "bob@beta", "amount": "50.00" });
        let path = format!("/v1/payments{end}");
        until("an answer", || {
            let told = Town::call(network, &path, (Some(&token), None), &order);
            told.filter(|(_, told)| told["code"] != json!("bank_restoring"))
        })
    }

    fn balance(&self, profile: &str) -> String {
        until("a balance", || {
            let (code, said) = self.command(profile, &["balance"]);
            (code == Some(0)).then(|| said.split_whitespace().nth(2).unwrap_or_default().to_owned())
        })
    }

    fn operator(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let dir = self.path();
        let output = run(&[arguments, &["--dir", dir.to_str().expect("UTF-8")]].concat());
        (output.status.code(), stdout(&output) + &stderr(&output))
    }

    /// All books agree, with each other and with the gateway's positions.
    fn audit(&self) {
        let last = std::cell::RefCell::new(String::new());
        let holds = || {
            let (code, said) = self.operator(&["audit"]);
            *last.borrow_mut() = said;
            (code == Some(0)).then_some(())
        };
        let begun = std::time::Instant::now();
        while holds().is_none() {
            assert!(begun.elapsed().as_secs() < 60, "the books do not agree: {}", last.borrow());
        }
    }

    fn restore(&self, group: &str, copy: &Path) -> String {
        let (code, said) = self.operator(&["restore", group, "--from", copy.to_str().expect("UTF-8")]);
        assert_eq!(code, Some(0), "{said}");
        said
    }
}

fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").args([from, to]).status().expect("there is a cp");
    assert!(copied.success(), "{} could not be copied", from.display());
}

fn bank_url(network: &Network, bank: &str) -> String {
    let file = network_json(network.dir().as_ref());
    file["banks"][bank]["http"].as_str().expect("it runs").to_owned()
}

/// The bank's account of a customer, or of its own, by what it says of the owner.
fn account(url: &str, owner: &str) -> Option<Value> {
    let (status, text) = http::call("GET", &format!("{url}/v1/accounts?limit=100"), None).ok()?;
    let list: Value = (status == 200).then(|| serde_json::from_str(&text).expect("answers are JSON"))?;
    list["accounts"].as_array()?.iter().find(|account| account["owner"] == owner).cloned()
}

#[test]
fn a_restored_bank_gets_its_payments_again_and_says_what_it_lost() {
    let town = Town::new("restored-bank");
    let network = town.up();
    for bank in ["alpha", "beta"] {
        network.event(&[&format!("bank {bank} has customers")]);
    }
    for (profile, bank) in [("alice", "alpha"), ("carol", "alpha"), ("bob", "beta")] {
        town.sign_in(profile, bank);
    }
    town.be_patient();
    town.pay("alice", "bob@beta", "100");
    assert!(network.stop().success());
    let backup = town.dir.path().join("backup");
    copy(&town.path().join("alpha"), &backup);

    // The network goes on: payments in all directions, and money that only alpha's own books know of.
    let network = town.up();
    town.sign_in("alice", "alpha");
    town.pay("alice", "bob@beta", "10.50");
    town.pay("alice", "carol@alpha", "20");
    town.pay("bob", "alice@alpha", "3");
    let alpha = bank_url(&network, "alpha");
    let carol = account(&alpha, "carol").expect("the demo made her")["id"].as_str().expect("an id").to_owned();
    let deposit = json!({"account_id": carol, "amount": "500"});
    let (status, text) = http::call("POST", &format!("{alpha}/deposit_money"), Some(&deposit)).expect("alpha answers");
    assert_eq!(status, 200, "{text}");
    town.pay("carol", "bob@beta", "700");
    let (alice, bob) = (town.balance("alice"), town.balance("bob"));
    assert_eq!((alice.as_str(), bob.as_str()), ("872.50", "1807.50"));
    let running = town.operator(&["restore", "alpha", "--from", backup.to_str().expect("UTF-8")]);
    assert_eq!(running.0, Some(4), "{}", running.1);
    assert!(running.1.contains("stop it first"), "{}", running.1);
    assert!(network.stop().success());

    let said = town.restore("alpha", &backup);
    for part in [
        "incarnation 2",
        "LOST FOR GOOD: 1 bookings",
        "1 deposit, 500.00 EUR together",
        "payments come back: the gateway brings them",
        "alpha.lost-2.jsonl",
        "alpha.before-2",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_all_that_is_lost_is_listed(&town.path().join("alpha.lost-2.jsonl"));
    let network = town.up();
    // Carol's deposit is lost, so her account cannot bear what she paid; bob has it, and suspense shows what is missing.
    assert_eq!((town.balance("alice"), town.balance("bob")), (alice, bob));
    assert_eq!(town.balance("carol"), "270.00");
    let alpha = bank_url(&network, "alpha");
    let suspense = account(&alpha, "suspense").expect("it was needed");
    assert_eq!(suspense["balance"], "-700.00", "{suspense}");
    town.audit();
    town.pay("alice", "bob@beta", "1");
    town.audit();
    // It grows again like any other bank, with numbers that nobody had.
    assert!(network.stop().success());
    let network = Network::run(&town.path(), &["--base-port", &town.base, "--nodes", "3"]);
    network.event(&["bank alpha has 3 members now: 1 2 3"]);
    town.audit();
    assert!(network.stop().success());

    // Somebody puts the old files back in spite of all: the gateway knows them for what they are.
    let (alpha, new) = (town.path().join("alpha"), town.path().join("alpha.new"));
    std::fs::rename(&alpha, &new).expect("nothing runs");
    std::fs::rename(town.path().join("alpha.before-2"), &alpha).expect("nothing runs");
    for left in ["2", "3"] {
        copy(&new.join(left), &alpha.join(left));
    }
    let network = Network::run(&town.path(), &["--base-port", &town.base, "--bank", "alpha", "--bank", "beta"]);
    let log = town.path().join("gateway/1/node.log");
    until("the gateway refuses the bank of before", || {
        std::fs::read_to_string(&log).ok().filter(|log| log.contains("bank_superseded"))
    });
    let (_, said) = town.command("bob", &["pay", "alice@alpha", "1", "--json"]);
    assert!(!said.contains("\"paid\""), "{said}");
    drop(network);
}

/// Everything that alpha booked after the copy is in the file: first the deposit, which only alpha knew of; and the payments,
/// within the bank and between banks, as what comes back.
fn assert_all_that_is_lost_is_listed(file: &Path) {
    let text = std::fs::read_to_string(file).expect("it was named");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON lines")).collect();
    let short: Vec<String> = lines
        .iter()
        .filter(|line| line["amount"].is_string())
        .map(|line| {
            let text = |name: &str| line[name].as_str().unwrap_or_default();
            format!("{} {} {} {}", text("fate"), text("kind"), text("amount"), text("currency"))
        })
        .collect();
    assert_eq!(short.first().map(String::as_str), Some("lost deposit 500.00 EUR"), "{text}");
    // The last ones may have been delivered to alpha only after the network was told to stop.
    for one in ["comes_back payment 10.50 EUR", "comes_back transfer 20.00 EUR"] {
        assert!(short.iter().any(|line| line == one), "{one} is missing in {text}");
    }
    assert!(short[1..].iter().all(|line| line.starts_with("comes_back ")), "{text}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(file).expect("it is there").permissions());
    assert_eq!(mode & 0o777, 0o600, "it is nobody else's to read");
}

#[test]
fn a_restored_gateway_knows_what_was_paid_and_the_one_before_it_is_refused() {
    let town = Town::new("restored-gateway");
    let network = town.up();
    for bank in ["alpha", "beta"] {
        network.event(&[&format!("bank {bank} has customers")]);
    }
    for (profile, bank) in [("alice", "alpha"), ("bob", "beta")] {
        town.sign_in(profile, bank);
    }
    town.be_patient();
    town.pay("alice", "bob@beta", "100");
    assert!(network.stop().success());
    let backup = town.dir.path().join("backup");
    copy(&town.path().join("gateway"), &backup);
    let network = town.up();
    town.pay("alice", "bob@beta", "10.50");
    town.pay("bob", "alice@alpha", "3");
    town.pay("alice", "carol@alpha", "20");
    let keyed = [("bob@beta", "5.00", "rent"), ("carol@alpha", "2.00", "lunch")];
    let first = keyed.map(|payment| Town::pay_by_key(&network, payment));
    // An id that no gateway has seen is void for good, and the restored one has not heard of that.
    let never = api::client::gateway::new_payment_id().to_string();
    let (status, told) = Town::order(&network, &never, &format!("/{never}/cancel"));
    assert_eq!((status, &told["code"]), (200, &json!("voided_by_payer")), "{told}");
    assert!(network.stop().success());

    let said = town.restore("gateway", &backup);
    assert!(said.contains("incarnation 2") && said.contains("sign in again"), "{said}");
    let network = town.up();
    town.sign_in("alice", "alpha");
    let (status, told) = Town::order(&network, &never, "");
    assert_eq!((status, &told["code"]), (422, &json!("voided_at_bank")), "what was said to be final stays: {told}");
    town.sign_in("bob", "beta");
    // It has forgotten the keys, and whoever repeats a request is still told of the first payment.
    let again = keyed.map(|payment| Town::pay_by_key(&network, payment));
    assert_eq!(again, first);
    assert_eq!((town.balance("alice"), town.balance("bob")), ("865.50".to_owned(), "1112.50".to_owned()));
    // What it had forgotten it has heard from the banks: what they owe each other is what their books say.
    town.audit();
    let (_, audited) = town.operator(&["audit"]);
    assert!(audited.contains("within bank alpha: 2 payments, each booked once"), "{audited}");
    assert!(!audited.contains("does not know any more"), "{audited}");
    let (_, positions) = town.operator(&["positions"]);
    assert!(positions.contains("alpha owes beta 112.50 EUR"), "{positions}");
    town.pay("alice", "bob@beta", "1");

    // The gateway of before is started beside it, and a customer signs in there: no bank listens to it.
    let old = OldGateway::start(&town, &network);
    let pays =
        |profile: &str, arguments: &[&str]| town.command(profile, &[arguments, &["--gateway", &old.grpc]].concat());
    let begun = std::time::Instant::now();
    loop {
        let (code, said) = pays("alice2", &["login", "alpha", "alice", "alice-demo"]);
        if code == Some(0) {
            break;
        }
        assert!(begun.elapsed().as_secs() < 60, "the old gateway signs nobody in: {said}");
    }
    let (_, said) = pays("alice2", &["pay", "bob@beta", "50", "--json"]);
    assert!(!said.contains("\"paid\""), "{said}");
    until("the banks tell the old gateway", || {
        std::fs::read_to_string(&old.log).ok().filter(|log| log.contains("gateway_superseded"))
    });
    assert_eq!((town.balance("alice"), town.balance("bob")), ("864.50".to_owned(), "1113.50".to_owned()));
    drop(old);
    town.audit();
    assert!(network.stop().success());
}

/// The node that the gateway was before, on ports of its own.
struct OldGateway {
    _process: Owned,
    grpc: String,
    log: std::path::PathBuf,
}

impl OldGateway {
    fn start(town: &Town, network: &Network) -> OldGateway {
        let base = free_base();
        let (data, log) = (town.path().join("gateway.before-2/1"), town.dir.path().join("old.log"));
        let at = |offset: u16| format!("127.0.0.1:{}", base + offset);
        let file = network_json(network.dir().as_ref());
        let process = rialto()
            .args(["gateway", "--name", "gateway", "--node", "1", "--http", &at(1), "--grpc", &at(11)])
            .args(["--peer-listen", &at(21), "--tls-dir", file["tls"].as_str().expect("a directory")])
            .args(["--network-file", town.path().join("network.json").to_str().expect("UTF-8")])
            .arg("--data")
            .arg(&data)
            .arg("--log-file")
            .arg(&log)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary was built");
        OldGateway { _process: Owned(process), grpc: at(11), log }
    }
}

#[test]
fn a_hold_that_no_gateway_knows_of_is_asked_about_and_comes_to_its_end() {
    let town = Town::new("old-hold");
    let network = town.up();
    for bank in ["alpha", "beta"] {
        network.event(&[&format!("bank {bank} has customers")]);
    }
    town.sign_in("alice", "alpha");
    let file = network_json(network.dir().as_ref());
    let files = Files::new(file["tls"].as_str().expect("a directory"), "gateway/gateway/1".parse().expect("a subject"));
    let expected = Expected::NodeOfBank("alpha".parse().expect("a name"));
    let tls = Arc::new(certs::Client::new(files, expected, Protocol::Grpc).expect("up has made it"));
    let grpc = network.node_of("alpha", 1)["grpc"].as_str().expect("an address").to_owned();
    let terms = Terms {
        id: clearing::PaymentId::new(77 << 80).expect("not nil"),
        payer: "alice@alpha".parse().expect("a party"),
        payee: "bob@beta".parse().expect("a party"),
        amount: Amount::new(400_00).expect("not zero"),
        currency: Currency::EUR,
        reference: Reference::EMPTY,
    };
    let to = clearing::BankNumber::new(1).expect("not zero");
    let gateway = clearing::Epoch::FIRST;
    let call = Call {
        kind: CallKind::PrepareDebit,
        to,
        terms,
        number: 1,
        complete_through: 0,
        gateway,
        booking: clearing::agenda::Booking::Held,
    };
    let runtime = tokio::runtime::Runtime::new().expect("threads are to be had");
    let found = runtime.block_on(async {
        let bank = Client::connect_with([&grpc], Options { tls: Some(tls), ..Options::default() }).expect("an address");
        bank.payment_calls(&[(call, None)]).await.expect("the bank answers")
    });
    assert_eq!(found[0].map(|reported| reported.finding), Some(Finding::Held));
    let available = || {
        let url = bank_url(&network, "alpha");
        account(&url, "alice").expect("the demo made her")["available"].as_str().expect("digits").to_owned()
    };
    // That the money is set aside is what the bank has just said; it may be let go at any moment from now on.
    until("the hold is let go", || (available() == "1000.00").then_some(()));
    town.audit();
    let log = std::fs::read_to_string(town.path().join("gateway/1/node.log")).expect("it logs");
    assert!(log.contains("old_holds"), "somebody else let it go");
}

/// A payment that is undecided in the gateway's copy, held at alpha and posted at beta: its id.
fn paid_after_a_copy_of_the_gateway(town: &Town, network: &Network, backup: &Path) -> String {
    let pid =
        |group: &str| u32::try_from(network.node_of(group, 1)["pid"].as_u64().expect("it runs")).expect("a number");
    let (alpha, beta, gateway) = (pid("alpha"), pid("beta"), pid("gateway"));
    // At once, before anybody has seen that beta is away: such a payment would not be taken.
    signal("STOP", beta);
    town.command("alice", &["pay", "bob@beta", "10", "--json"]);
    until("alpha has set the money aside", || {
        let alice = account(&bank_url(network, "alpha"), "alice")?;
        (alice["available"] == "990.00").then_some(())
    });
    let (_, undecided) = town.operator(&["payments", "--undecided", "--json"]);
    let undecided: Value = serde_json::from_str(&undecided).expect("one JSON object");
    let id = undecided["payments"][0]["id"].as_str().expect("it waits for beta").to_owned();
    signal("STOP", gateway);
    copy(&town.path().join("gateway"), backup);
    // Both have it set aside. Beta is told that it is paid, and alpha is not.
    signal("STOP", alpha);
    signal("CONT", gateway);
    signal("CONT", beta);
    until("beta has posted it", || {
        let bob = account(&bank_url(network, "beta"), "bob")?;
        (bob["balance"] != "1000.00").then_some(())
    });
    // What the gateway has sent to alpha meanwhile is lost with both.
    signal("KILL", gateway);
    signal("KILL", alpha);
    id
}

#[test]
fn what_waits_for_a_bank_that_is_gone_is_void_only_at_a_risk_and_that_bank_is_heard_when_it_is_back() {
    let town = Town::new("gone-bank");
    let network = town.up();
    for bank in ["alpha", "beta"] {
        network.event(&[&format!("bank {bank} has customers")]);
    }
    town.sign_in("alice", "alpha");
    town.sign_in("bob", "beta");
    town.be_patient();
    let backup = town.dir.path().join("backup");
    let id = paid_after_a_copy_of_the_gateway(&town, &network, &backup);
    network.stop();
    town.restore("gateway", &backup);

    // Beta is gone: alpha alone says what it holds.
    let network = Network::run(&town.path(), &["--base-port", &town.base, "--bank", "alpha"]);
    let refused = until("alpha has said that it holds the money", || {
        let (code, said) = town.operator(&["payments", "void", &id, "--by", "anna"]);
        (code == Some(1) && said.contains("bank alpha has the money set aside")).then_some(said)
    });
    for part in ["if bank beta has posted it", "alice@alpha gets 10.00 EUR back although bob@beta was paid"] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    let (code, said) = town.operator(&["payments", "void", &id, "--by", "anna", "--although-it-may-be-paid"]);
    assert!(code == Some(0) && said.contains("an operator voided it, although it may have been paid"), "{said}");
    let available = || account(&bank_url(&network, "alpha"), "alice").map(|alice| alice["available"].clone());
    until("alice has her money back", || (available()? == "1000.00").then_some(()));
    network.stop();

    let network = town.up();
    let listed = until("beta is heard", || {
        let (_, said) = town.operator(&["payments", "--listed"]);
        said.contains("bank beta says that it moved the money, though it is void").then_some(said)
    });
    assert!(listed.contains(&id), "{listed}");
    let (_, open) = town.operator(&["payments"]);
    let command = format!("rialto payments --listed --dir {}", town.path().display());
    assert_eq!(open, format!("no payment is on its way\n1 payment is listed for you to look at: {command}\n"));
    let (_, way) = town.operator(&["payments", "show", &id]);
    for part in ["decided: void, by hand, by anna", "bank beta says that it had posted it", "waits for an operator"] {
        assert!(way.contains(part), "{part}: {way}");
    }
    let (code, audited) = town.operator(&["audit"]);
    assert!(code != Some(0) && audited.contains(&id), "{audited}");
    assert_eq!(town.operator(&["payments", "acknowledge", &id]).0, Some(0));
    assert_eq!(town.operator(&["payments", "--listed"]).1, "no payment is listed\n");
    network.stop();
}

#[test]
fn one_copy_can_be_restored_twice_and_be_older_than_any_payment() {
    let town = Town::new("restored-twice");
    let network = town.up();
    for bank in ["alpha", "beta"] {
        network.event(&[&format!("bank {bank} has customers")]);
    }
    town.sign_in("alice", "alpha");
    town.sign_in("bob", "beta");
    town.be_patient();
    assert!(network.stop().success());
    let backup = town.dir.path().join("backup");
    copy(&town.path().join("alpha"), &backup);

    let mut network = town.up();
    let (mut of_alice, mut of_bob) = (1000_00, 1000_00);
    for incarnation in [2, 3] {
        town.pay("alice", "bob@beta", "10");
        town.pay("alice", "carol@alpha", "5");
        (of_alice, of_bob) = (of_alice - 15_00, of_bob + 10_00);
        assert!(network.stop().success());
        let said = town.restore("alpha", &backup);
        assert!(said.contains(&format!("incarnation {incarnation},")), "{said}");
        network = town.up();
        let money = |minor: i32| format!("{}.{:02}", minor / 100, minor % 100);
        assert_eq!((town.balance("alice"), town.balance("bob")), (money(of_alice), money(of_bob)));
        town.audit();
    }
    assert!(network.stop().success());
    let arguments = ["restore", "alpha", "--from", backup.to_str().expect("UTF-8"), "--incarnation", "3"];
    let (code, said) = town.operator(&arguments);
    assert!(code == Some(2) && said.contains("the next is 4"), "{code:?} {said}");
}

#[test]
fn a_bank_without_a_gateway_serves_at_once_when_it_is_restored() {
    let town = Town::new("restored-alone");
    let alone = ["--base-port", &town.base, "--nodes", "1", "--no-gateway", "--bank", "alpha"];
    let network = Network::run(&town.path(), &alone);
    let url = bank_url(&network, "alpha");
    let post = |url: &str, path: &str, body: Option<&Value>| {
        let (status, text) = http::call("POST", &format!("{url}{path}"), body).expect("an answer");
        assert_eq!(status, 200, "{text}");
        serde_json::from_str::<Value>(&text).expect("JSON")
    };
    let id = post(&url, "/open_account", None)["account_id"].clone();
    let deposit = json!({"account_id": id, "amount": 7});
    post(&url, "/deposit_money", Some(&deposit));
    assert!(network.stop().success());
    let backup = town.dir.path().join("backup");
    copy(&town.path().join("alpha"), &backup);
    // After the copy it promises of two ids that they never post.
    let network = Network::run(&town.path(), &alone);
    let url = bank_url(&network, "alpha");
    let (voided, refused) = ("018f3a5b-0000-7000-8000-000000000001", "018f3a5b-0000-7000-8000-000000000002");
    assert_eq!(post(&url, &format!("/v1/transfers/{voided}/void"), None)["outcome"], "voided");
    let beyond = json!({"transfer_id": refused, "account_id": id, "amount": 1_000});
    let (status, text) = http::call("POST", &format!("{url}/withdraw_money"), Some(&beyond)).expect("an answer");
    assert_eq!(status, 422, "{text}");
    assert!(network.stop().success());
    let said = town.restore("alpha", &backup);
    assert!(said.contains("PROMISES LOST: 1 voided and 1 refused for good"), "{said}");
    let listed = std::fs::read_to_string(town.path().join("alpha.lost-2.jsonl")).expect("it was named");
    let lines: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).expect("JSON lines")).collect();
    for (kind, id) in [("voided", voided), ("refused", refused)] {
        let is_it = |line: &&Value| line["fate"] == "lost" && line["kind"] == kind && line["transfer_id"] == id;
        assert_eq!(lines.iter().filter(is_it).count(), 1, "{kind} {listed}");
    }
    let network = Network::run(&town.path(), &alone);
    let url = bank_url(&network, "alpha");
    assert_eq!(post(&url, "/deposit_money", Some(&deposit))["balance"], json!(14.0));
    assert!(network.stop().success());
}
