//! What operators do on a running network: customers, limits, keys, and customers' own sign-ins.

use api::client::Secret;
use api::client::gateway::{GatewayError, NotSignedIn, new_payment_id};
use serde_json::{Value, json};
use server::edge::permits::{GATEWAY_HTTP, Permit};
use std::path::Path;

use crate::http::Request;
use crate::network::{Owned, TestDir, free_base, network_json, rialto, run, stderr, until};
use crate::town::{OPENING, Town, operate, order, paid, refused_for};

fn login(town: &Town, who: &str, password: &str) -> Result<api::client::gateway::SignedIn, GatewayError> {
    town.login(&town.gateway, who, password)
}

#[test]
fn customers_are_added_once_and_locked_and_come_with_the_hash_of_another_system() {
    let town = Town::patient("users");
    let dir = std::path::PathBuf::from(town.network.dir());
    let file = |name: &str, text: &str| {
        let path = dir.join(name);
        std::fs::write(&path, text).expect("there is room");
        path.display().to_string()
    };
    let password = file("erin.password", "correct horse\n");
    let add = ["user", "add", "erin", "--bank", "alpha", "--password-file", &password, "--opening-balance", "100.00"];
    assert_eq!(operate(&town, &add), (true, "erin is a customer of bank alpha now\n".to_owned()));
    let (done, again) = operate(&town, &add);
    assert!(done && again.contains("was a customer of bank alpha already"), "{again}");
    let erin = login(&town, "erin@alpha", "correct horse").expect("her password");
    let erin = town.gateway.customer(&erin.token).expect("a token");
    assert_eq!(town.balance(&erin), 100_00, "the opening balance is posted once");

    // Argon2id of "a secret of before", as another system has stored it.
    let hash = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$";
    let hash = format!("{hash}{}", stored_hash());
    let users = json!([
        { "username": "frank", "password_hash": hash, "opening_balance": "5.00" },
        { "username": "grace", "password": "plain as day" },
    ]);
    let users = file("users.json", &users.to_string());
    for told in ["is a customer of bank beta now", "was a customer of bank beta already"] {
        let (done, said) = operate(&town, &["user", "import", &users, "--bank", "beta"]);
        assert!(done && said.contains(&format!("frank {told}")) && said.contains(&format!("grace {told}")), "{said}");
        assert!(said.contains("warning: ") && said.contains("passwords in plain text"), "{said}");
    }
    let frank = login(&town, "frank@beta", "a secret of before").expect("the hash is of that");
    let frank = town.gateway.customer(&frank.token).expect("a token");
    assert_eq!(town.balance(&frank), 5_00);

    assert!(operate(&town, &["user", "lock", "frank", "--bank", "beta"]).0);
    let locked = town.pay(&frank, &order(new_payment_id(), "frank@beta", "erin@alpha", 1));
    assert_eq!(refused_for(&locked), "customer_locked");
    match login(&town, "frank@beta", "a secret of before") {
        Err(GatewayError::Refused { code, .. }) => assert_eq!(code.text(), "customer_locked"),
        other => panic!("{other:?}"),
    }
    assert!(operate(&town, &["user", "unlock", "frank", "--bank", "beta"]).0);
    assert!(paid(&town.pay(&frank, &order(new_payment_id(), "frank@beta", "erin@alpha", 1))));
    let other = file("other.password", "another one\n");
    assert!(operate(&town, &["user", "passwd", "frank", "--bank", "beta", "--password-file", &other]).0);
    assert_eq!(
        login(&town, "frank@beta", "a secret of before").expect_err("it was changed"),
        GatewayError::NotSignedIn(NotSignedIn::WrongCredentials)
    );
    assert!(login(&town, "frank@beta", "another one").is_ok());
}

#[test]
fn a_bank_bounds_what_a_customer_can_be_debited_a_day_and_what_one_transfer_moves() {
    let town = Town::patient("limits");
    let (alice, bob) = (town.sign_in("alice@alpha"), town.sign_in("bob@beta"));
    assert_eq!(operate(&town, &["limits", "--bank", "alpha"]), (true, "bank alpha has no limits\n".to_owned()));
    let (done, told) = operate(&town, &["limits", "daily-debit", "50.00", "--bank", "alpha"]);
    assert!(done && told == "bank alpha: at most 50.00 EUR for a customer's debits of one UTC day\n", "{told}");
    assert!(paid(&town.pay(&alice, &order(new_payment_id(), "alice@alpha", "bob@beta", 30_00))));
    let beyond = order(new_payment_id(), "alice@alpha", "bob@beta", 20_01);
    assert_eq!(refused_for(&town.pay(&alice, &beyond)), "daily_limit_exceeded");
    // What was set aside and let go again is given back to the day.
    let nobody = order(new_payment_id(), "alice@alpha", "nobody@beta", 20_00);
    assert_eq!(refused_for(&town.pay(&alice, &nobody)), "unknown_payee");
    until("it is given back", || {
        paid(&town.pay(&alice, &order(new_payment_id(), "alice@alpha", "carol@alpha", 20_00))).then_some(())
    });
    assert!(paid(&town.pay(&bob, &order(new_payment_id(), "bob@beta", "alice@alpha", 60_00))), "beta has no limit");
    let (done, told) = operate(&town, &["limits", "daily-debit", "none", "--bank", "alpha"]);
    assert!(done && told == "bank alpha has no limits\n", "{told}");
    let (done, told) = operate(&town, &["limits", "transfer", "10.00", "--bank", "alpha", "--json"]);
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert!(
        done && told["limits"][0] == json!({ "limit": "transfer", "currency": "EUR", "amount": "10.00" }),
        "{told}"
    );
    let large = order(new_payment_id(), "alice@alpha", "bob@beta", 10_01);
    assert_eq!(refused_for(&town.pay(&alice, &large)), "limit_exceeded");
    assert!(paid(&town.pay(&alice, &order(new_payment_id(), "alice@alpha", "bob@beta", 10_00))));
    let (done, told) = operate(&town, &["limits", "transfer", "ten", "--bank", "alpha"]);
    assert!(!done && told.contains("\"ten\" is no amount"), "{told}");
}

#[test]
fn a_customer_sees_their_sign_ins_and_ends_the_others_and_a_retired_key_signs_nobody_in_any_more() {
    let town = Town::patient("sign-ins");
    let one = login(&town, "alice@alpha", "alice-demo").expect("her password");
    let two = login(&town, "alice@alpha", "alice-demo").expect("her password");
    let at = |token: &Secret| town.gateway.customer(token).expect("a token");
    let sessions = town.runtime.block_on(at(&two.token).sessions()).expect("they are listed");
    assert_eq!(sessions.iter().filter(|session| session.current).count(), 1);
    assert_eq!(sessions.len(), 2);
    assert_eq!(town.runtime.block_on(at(&two.token).logout_others()), Ok(1));
    let over = town.runtime.block_on(at(&one.token).balance()).expect_err("it was ended");
    assert_eq!(over, GatewayError::NotSignedIn(NotSignedIn::Revoked));
    assert_eq!(town.balance(&at(&two.token)), OPENING);

    let (done, told) = operate(&town, &["keys", "--json"]);
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert!(done, "{told}");
    let keys: Vec<&str> =
        told["keys"].as_array().expect("a list").iter().filter_map(|key| key["kid"].as_str()).collect();
    assert_eq!(keys.len(), 3, "one of each node: {told}");
    let file = network_json(town.network.dir().as_ref());
    let (status, text) = crate::http::call(
        "GET",
        &format!("{}/.well-known/jwks.json", file["gateway"]["http"].as_str().expect("an address")),
        None,
    )
    .expect("an answer");
    let published: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(status, 200);
    for key in published["keys"].as_array().expect("a list") {
        assert!(keys.iter().any(|kid| key["kid"] == *kid) && key["crv"] == "Ed25519" && key["d"].is_null(), "{key}");
    }
    for kid in keys {
        let (done, told) = operate(&town, &["keys", "retire", kid]);
        assert!(done && told == format!("no token of key {kid} is good any more\n"), "{told}");
    }
    until("her token is not good any more, on whatever node", || {
        match town.runtime.block_on(at(&two.token).balance()) {
            Err(GatewayError::NotSignedIn(NotSignedIn::Invalid)) => Some(()),
            _ => None,
        }
    });
    // Their nodes make others by themselves.
    let three = until("she can sign in again", || login(&town, "alice@alpha", "alice-demo").ok());
    assert_eq!(town.balance(&at(&three.token)), OPENING);
    let (done, told) = operate(&town, &["keys", "retire", "nonsense"]);
    assert!(!done && told.contains("is no key's name"), "{told}");
}

/// A slip of the finger must not be told as done: the key that leaked would go on.
#[test]
fn a_key_and_a_listed_payment_that_are_not_there_are_an_error_that_names_those_that_are() {
    let town = Town::patient("not-there");
    let (done, keys) = operate(&town, &["keys", "--json"]);
    let keys: Value = serde_json::from_str(&keys).expect("JSON");
    let kids: Vec<&str> =
        keys["keys"].as_array().expect("a list").iter().filter_map(|key| key["kid"].as_str()).collect();
    let kid = (*kids.first().expect("every node has one")).to_owned();
    assert!(done, "{keys}");
    let (done, told) = operate(&town, &["keys", "retire", "8f0c2f6c11223344"]);
    assert!(!done && told.contains("there is no key 8f0c2f6c11223344") && told.contains(&kid), "{told}");
    let (done, told) = operate(&town, &["keys", "retire", "8f0c2f6c11223344", "--json"]);
    let error = told.lines().find_map(|line| serde_json::from_str::<Value>(line).ok()).expect("JSON");
    assert_eq!((done, &error["error"]["code"]), (false, &json!("unknown_key")), "{told}");
    for _ in 0..2 {
        let (done, told) = operate(&town, &["keys", "retire", &kid]);
        assert!(
            done && told == format!("no token of key {kid} is good any more\n"),
            "a second time is no error: {told}"
        );
    }
    // Whatever node signs her in, the token that she gets is good: it is not of a key that was retired.
    for kid in &kids {
        assert!(operate(&town, &["keys", "retire", kid]).0);
        let alice = town.sign_in("alice@alpha");
        assert_eq!(town.balance(&alice), 1_000_00);
    }
    let id = new_payment_id().to_string();
    let (done, told) = operate(&town, &["payments", "acknowledge", &id]);
    assert!(!done && told.contains("is not on the list") && told.contains("the list is empty"), "{told}");
    let (_, told) = operate(&town, &["payments", "acknowledge", &id, "--json"]);
    let error = told.lines().find_map(|line| serde_json::from_str::<Value>(line).ok()).expect("JSON");
    assert_eq!(error["error"]["code"], json!("not_listed"), "{told}");
    let (alice, _) = (town.sign_in("alice@alpha"), town.sign_in("bob@beta"));
    let order = order(new_payment_id(), "alice@alpha", "nobody@beta", 1_00);
    assert_eq!(refused_for(&town.pay(&alice, &order)), "unknown_payee");
    until("its way says that it is void, and nothing of books", || {
        let (done, told) = operate(&town, &["payments", "show", &order.id.to_string()]);
        assert!(done && !told.contains("books"), "{told}");
        told.contains("bank alpha has acknowledged that it is void").then_some(())
    });
}

/// The hash part, made here so that no test depends on a stored figure being right.
fn stored_hash() -> String {
    use argon2::Argon2;
    use base64ct::{Base64Unpadded, Encoding};
    let params = argon2::Params::new(19_456, 2, 1, Some(32)).expect("in range");
    let argon = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let mut out = [0; 32];
    argon.hash_password_into(b"a secret of before", b"saltsaltsaltsalt", &mut out).expect("in range");
    Base64Unpadded::encode_string(&out)
}

#[test]
fn every_path_of_the_gateway_is_for_whom_the_table_says() {
    let dir = TestDir::new("gateway-permits");
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let (data, token) = (text(&dir.path().join("data")), dir.path().join("token"));
    std::fs::write(&token, "the-operators-secret\n").expect("there is room");
    let init = run(&["gateway", "init", "--name", "main", "--node", "1", "--nodes", "1", "--data", &data]);
    assert!(init.status.success(), "{}", stderr(&init));
    let base = free_base();
    let at = |offset: u16| format!("127.0.0.1:{}", base + offset);
    let node = rialto()
        .args(["gateway", "--name", "main", "--node", "1", "--data", &data, "--operator-token-file", &text(&token)])
        .args(["--http", &at(1), "--grpc", &at(11), "--peer-listen", &at(21)])
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the binary was built");
    let mut node = Owned(node);
    let ask = |method: &str, path: &str, token: Option<&str>| {
        let url = format!("http://{}{path}", at(1));
        let patience = std::time::Duration::from_secs(20);
        Request { method, url: &url, body: None, token, key: None, patience }.send()
    };
    until("it is ready", || ask("GET", "/readyz", None).is_ok_and(|(status, _)| status == 200).then_some(()));
    // The shutdown comes last, or there would be nobody to ask.
    let routes = GATEWAY_HTTP.iter().copied().flatten();
    let (last, others): (Vec<_>, Vec<_>) = routes.partition(|(path, ..)| *path == "/shutdown");
    for (path, methods, permit) in others.into_iter().chain(last) {
        let path = path.replace("{id}", "x").replace("{code}", "not_json");
        for method in methods.iter() {
            for (token, is_operator) in
                [(None, false), (Some("the-operators-secres"), false), (Some("the-operators-secret"), true)]
            {
                let (status, body) = ask(&method.to_uppercase(), &path, token).expect("an answer");
                let admitted = match permit {
                    Permit::Anyone => true,
                    Permit::Customer => false,
                    Permit::Operator | Permit::Gateway | Permit::Bank => is_operator,
                };
                assert_eq!(status != 401, admitted, "{method} {path} with {token:?}: {status} {body}");
            }
        }
    }
    assert_eq!(node.0.wait().expect("it is ours").code(), Some(3), "the operator told it to shut down");
}
