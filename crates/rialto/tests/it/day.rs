//! A day in the life of a network, and what is written of it: a line for each request, and no secret.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};

use crate::network::{network_json, stderr, stdout, until};
use crate::town::{Town, operate};

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
    let variables = [("RIALTO_LOG_LEVEL", "info,requests=debug"), ("RIALTO_TOKEN_MINUTES", "7")];
    let town = Town::whose("day", |_| variables.map(|(name, value)| (name, value.to_owned())).to_vec());
    assert!(operate(&town, &["settings", "timeout-2pc-ms", "60000"]).0);
    let dir = PathBuf::from(town.network.dir());
    let file = network_json(&dir);
    let url = file["gateway"]["http"].as_str().expect("an address").to_owned();
    let ask = |path: &str, token: Option<&str>, body: Value| {
        let url = format!("{url}{path}");
        let patience = Duration::from_secs(20);
        let request = crate::http::Request { method: "POST", url: &url, body: Some(&body), token, key: None, patience };
        let (_, text) = request.settled();
        serde_json::from_str::<Value>(&text).expect("JSON")
    };
    let mut secrets: Vec<String> = ["alice-demo", "wr0ng-passw0rd", "n3w-passw0rd"].map(str::to_owned).to_vec();
    let login =
        |password: &str| ask("/v1/login", None, json!({ "bank": "alpha", "username": "alice", "password": password }));
    assert_eq!(login("wr0ng-passw0rd")["code"], json!("wrong_credentials"));
    let token = login("alice-demo")["access_token"].as_str().expect("a token").to_owned();
    let claims =
        Base64UrlUnpadded::decode_vec(token.split('.').nth(1).expect("a JWT has three parts")).expect("base64");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    let seconds = claims["exp"].as_u64().zip(claims["iat"].as_u64()).map(|(until, from)| until - from);
    assert_eq!(seconds, Some(7 * 60), "what `up` was told of tokens counts: {claims}");
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
    let (done, told) = command(&["pay", "bob@beta", "9999.00"]);
    assert!(!done && told.contains("refused 9999.00 EUR"), "{told}");
    told_to_client += &told;
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
    // The call succeeded, and the payment did not.
    line("gateway-", &["served", "TransferMoney", "alice@alpha", "outcome=insufficient_funds", "not enough money"]);
    let nodes = file["nodes"].as_array().expect("a list").iter().filter(|node| node["kind"] == "gateway");
    let refused: u64 = nodes
        .map(|node| {
            let metrics = format!("{}/metrics", node["http"].as_str().expect("an address"));
            let (_, figures) = crate::http::call("GET", &metrics, None).expect("figures");
            let counted =
                |line: &str| line.strip_prefix("rialto_outcomes_total{code=\"insufficient_funds\"} ")?.parse().ok();
            figures.lines().find_map(counted).unwrap_or(0)
        })
        .sum();
    assert!(refused > 0, "a refused payment is counted as what it is");
    line("gateway-", &["response", "TransferMoney", "fields=", "Paid"]);
    line("gateway-", &["request", "Login", "LoginRequest", "alice"]);
    line("gateway-", &["request", "/v1/login", "hidden"]);

    let said = read("") + &town.network.events().join("\n") + &told_to_client;
    assert!(said.len() > 1_000, "there is something to look at");
    for secret in &secrets {
        assert!(!said.contains(secret.as_str()), "a log holds {secret:?}");
    }
}
