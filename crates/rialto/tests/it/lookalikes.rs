//! Texts that look the same, hide something or turn around, by every road into a network; and what a terminal is shown of
//! texts that came from elsewhere.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Output, Stdio};

use serde_json::{Value, json};

use crate::network::{TestDir, network_json, rialto, run, stderr, stdout};
use crate::town::Town;

/// Names that look like another's, or like none.
const BAD_NAMES: [(&str, &str); 7] = [
    ("bob\u{200b}", "character 4 (U+200B)"),
    ("\u{202e}bob", "character 1 (U+202E)"),
    ("\u{3164}", "character 1 (U+3164)"),
    ("\u{200b}\u{200b}", "character 1 (U+200B)"),
    ("b\u{43e}b", "several scripts"),
    ("bob smith", "character 4 (U+0020)"),
    ("\u{301}bob", "character 1 (U+0301)"),
];

fn of_bank(town: &Town, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let url = town.network.node_of("alpha", 1)["http"].as_str().expect("an address").to_owned();
    let (status, text) = crate::http::call(method, &format!("{url}{path}"), Some(body)).expect("an answer");
    (status, serde_json::from_str(&text).expect("JSON"))
}

fn with_password(town: &Town, arguments: &[&str], password: &str) -> Output {
    let mut command = rialto();
    command.args(arguments).args(["--dir", town.network.dir()]).env("RIALTO_PASSWORD", password);
    command.stdin(Stdio::null()).output().expect("it starts")
}

#[test]
fn no_two_customers_look_the_same_and_every_road_says_which_character() {
    let town = Town::patient("lookalikes");

    // HTTP: one customer, however the name is written.
    let add =
        |name: &str| of_bank(&town, "POST", "/v1/customers", &json!({ "username": name, "password": "jos\u{e9}" }));
    let (status, first) = add("jose\u{301}");
    assert_eq!((status, &first["username"]), (201, &json!("jos\u{e9}")), "{first}");
    for same in ["jos\u{e9}", "JOS\u{c9}", "Jose\u{301}"] {
        let (status, again) = add(same);
        assert_eq!(
            (status, &again["account_id"], &again["replayed"]),
            (201, &first["account_id"], &json!(true)),
            "{again}"
        );
    }
    for (name, place) in BAD_NAMES {
        let (status, refused) = add(name);
        assert_eq!((status, &refused["code"]), (400, &json!("invalid_name")), "{name:?}: {refused}");
        assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains(place)), "{name:?}: {refused}");
    }
    for (field, text) in [("reference", "rent\u{202e}"), ("owner", "Bob\u{200b}")] {
        let body = match field {
            "owner" => json!({ "owner": text }),
            _ => {
                json!({ "debit_account": first["account_id"], "credit_account": uuid_of(7), "amount": "1", "reference": text })
            }
        };
        let path = if field == "owner" { "/v1/accounts" } else { "/v1/transfers" };
        let (status, refused) = of_bank(&town, "POST", path, &body);
        assert_eq!((status, &refused["code"]), (400, &json!(format!("invalid_{field}"))), "{refused}");
    }
    let (status, opened) = of_bank(&town, "POST", "/v1/accounts", &json!({ "owner": "Ame\u{301}lie" }));
    assert_eq!((status, &opened["owner"]), (201, &json!("Am\u{e9}lie")), "{opened}");

    // The command line and a file of customers: the wrong ones are named, the others made.
    for (name, place) in BAD_NAMES {
        let refused = with_password(&town, &["user", "add", name, "--bank", "alpha"], "x");
        let said = stderr(&refused);
        assert!(!refused.status.success() && said.contains(place), "{name:?}: {said}");
    }
    let file = std::path::Path::new(town.network.dir()).join("more.json");
    let users = json!([{ "username": "kim", "password": "x" }, { "username": "kim\u{200b}", "password": "x" }, null,
        { "username": "lee", "pasword": "x" }, { "username": "mia", "password": "a\u{200b}b" }, { "username": "noa", "password": "x" }]);
    std::fs::write(&file, users.to_string()).expect("there is room");
    let imported =
        run(&["user", "import", file.to_str().expect("UTF-8"), "--bank", "alpha", "--dir", town.network.dir()]);
    let (made, told) = (stdout(&imported), stderr(&imported));
    assert_eq!(imported.status.code(), Some(1), "{told}");
    assert!(made.contains("kim is a customer") && made.contains("noa is a customer"), "{made}");
    for part in ["4 of 6 customers", "U+200B", "entry 3", "entry 4 (lee)", "mia"] {
        assert!(told.contains(part), "{part}: {told}");
    }

    // Sign-in and payments: over gRPC, over HTTP and by the command line the same customer is meant.
    let jose = |name: &str| format!("{name}@alpha").parse::<clearing::NamedParty>();
    for (name, password) in [("jose\u{301}", "jos\u{e9}"), ("JOS\u{c9}", "jose\u{301}")] {
        let signed_in = town.login(&town.gateway, &format!("{name}@alpha"), password);
        assert!(signed_in.is_ok(), "{name:?}: {signed_in:?}");
    }
    assert!(jose("jose\u{200b}").is_err() && jose("\u{202e}jose").is_err());
    let url = network_json(town.network.dir().as_ref())["gateway"]["http"].as_str().expect("an address").to_owned();
    let call = |path: &str, token: Option<&str>, body: &Value| {
        let (url, patience) = (format!("{url}{path}"), std::time::Duration::from_secs(60));
        let request = crate::http::Request { method: "POST", url: &url, body: Some(body), token, key: None, patience };
        let (status, text) = request.send().expect("an answer");
        (status, serde_json::from_str::<Value>(&text).expect("JSON"))
    };
    let login = |name: &str| {
        call(
            "/v1/login",
            None,
            &json!({ "bank": "alpha", "username": name, "password": format!("{name}-demo").to_lowercase() }),
        )
    };
    let (status, signed_in) = login("Alice");
    assert_eq!(status, 200, "{signed_in}");
    let token = signed_in["access_token"].as_str().expect("a token");
    assert_eq!(login("alice\u{200b}").1["code"], json!("invalid_name"));
    for (body, code) in [
        (json!({ "payee": "bob\u{200b}@beta", "amount": "1" }), "invalid_name"),
        (json!({ "payee": "bob@beta", "amount": "1", "reference": "\u{202e}tner" }), "invalid_reference"),
    ] {
        let (status, refused) = call("/v1/payments", Some(token), &body);
        assert_eq!((status, &refused["code"]), (400, &json!(code)), "{refused}");
    }

    // One payment that makes no sense keeps none of the others from being paid.
    let many = json!({ "payments": [
        { "payee": "Bob@beta", "amount": "1.00", "reference": "Ame\u{301}lie" },
        { "payee": "bob\u{200b}@beta", "amount": "1.00" },
        { "payee": "bob@beta", "amount": "0.001" },
        { "payee": "bob@beta", "amount": "1.00", "reference": "a\nb" },
        { "id": "no id", "payee": "bob@beta", "amount": "1.00" },
        { "payee": "bob@beta", "amount": "2.00" },
    ] });
    let (status, answered) = call("/v1/payments/batch", Some(token), &many);
    assert_eq!(status, 200, "{answered}");
    let codes: Vec<&str> = answered["payments"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| it["code"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(
        codes,
        ["", "invalid_name", "amount_too_precise", "invalid_reference", "malformed_id", ""],
        "{answered}"
    );
    for place in [0, 5] {
        assert_eq!(answered["payments"][place]["state"], json!("paid"), "{answered}");
    }
    assert!(answered["payments"][3]["detail"].as_str().is_some_and(|it| it.contains("item 3")), "{answered}");

    // By the command line, and seen in columns.
    let login = with_password(&town, &["login", "alpha", "ALICE"], "alice-demo");
    assert!(login.status.success(), "{}", stderr(&login));
    let history = run(&["history", "--dir", town.network.dir()]);
    let said = stdout(&history);
    assert!(said.contains("bob@beta") && said.contains("Am\u{e9}lie"), "{said}");
    let refused = run(&["pay", "bob@beta", "1", "--reference", "\u{1b}[2J", "--dir", town.network.dir()]);
    assert!(!refused.status.success() && stderr(&refused).contains("character 1 (U+001B)"), "{}", stderr(&refused));
}

fn uuid_of(number: u128) -> String {
    uuid::Uuid::from_u128(0x018f_4f3e_7a5b_7c4d_8e9f_0000_0000_0000 + number).to_string()
}

/// A server that answers every request with this problem.
fn hostile(detail: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let body = json!({ "code": "malformed_id", "title": detail, "detail": detail, "status": 400 }).to_string();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let Ok(mut socket) = socket else { return };
            let body = body.clone();
            std::thread::spawn(move || {
                let mut seen = [0; 65_536];
                while socket.read(&mut seen).is_ok_and(|read| read > 0) {
                    let kind = "content-type: application/problem+json";
                    let _ =
                        write!(socket, "HTTP/1.1 400 Bad\r\n{kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                }
            });
        }
    });
    url
}

#[test]
fn nothing_that_a_server_says_reaches_the_terminal_raw() {
    let url = hostile("\u{1b}]0;owned\u{7}\u{1b}[2Jall is well\r\u{9b}31m\u{202e}\u{200b}");
    let dir = TestDir::new("raw");
    for arguments in [
        &["user", "lock", "bob", "--bank", "alpha"][..],
        &["members", "--bank", "alpha"],
        &["mode", "--bank", "alpha"],
        &["limits", "--bank", "alpha"],
    ] {
        let output = run(&[arguments, &["--url", &url]].concat());
        let said = stdout(&output) + &stderr(&output);
        assert!(!output.status.success() && said.contains("\\u001b[2Jall is well\\u000d"), "{arguments:?}: {said:?}");
        let raw: Vec<char> = said.chars().filter(|it| *it != '\n' && ledger::characters::hides(*it)).collect();
        assert_eq!(raw, [], "{arguments:?}: {said:?}");
    }
    // A name that was given on the command line is no more trusted.
    let output = run(&["pay", "\u{1b}[2Jbob@beta", "1", "--dir", dir.path().to_str().expect("UTF-8")]);
    assert!(!stderr(&output).contains('\u{1b}'), "{:?}", stderr(&output));
}
