//! The first five minutes, and what `up` refuses.

use std::net::TcpListener;
use std::process::Stdio;

use crate::network::{Network, Owned, TestDir, free_base, network_json, rialto, run, stderr, stdout};

#[test]
fn money_survives_a_stop_and_a_second_up() {
    let dir = TestDir::new("second-up");
    let network = Network::start(&dir, free_base());
    let (a, b) = (network.open_account(), network.open_account());
    network.deposit(&a, "12.50");
    network.move_until_done("01900000-0000-7000-8000-000000000001", &a, &b, "2.25");
    assert!(network.stop().success());
    assert_eq!(network_json(dir.path())["up"], serde_json::Value::Null);

    let again = Network::up(dir.path(), &[]);
    assert_eq!((again.balance(&a), again.balance(&b)), ("10.25".to_owned(), "2.25".to_owned()));
}

#[test]
fn a_second_up_on_the_same_directory_is_refused() {
    let dir = TestDir::new("refused");
    let network = Network::start(&dir, free_base());
    let second = run(&["up", "--json", "--dir", network.dir()]);
    assert_eq!(second.status.code(), Some(4));
    assert!(stderr(&second).contains("\"message\":\"another rialto up (process "), "{}", stderr(&second));
}

#[test]
fn another_mode_is_refused_with_how_to_change_it() {
    let dir = TestDir::new("another-mode");
    let base = free_base().to_string();
    drop(Network::up(dir.path(), &["--nodes", "1", "--base-port", &base]));
    let other = run(&["up", "--dir", dir.path().to_str().expect("UTF-8"), "--mode", "leaderless"]);
    assert_eq!(other.status.code(), Some(1));
    let said = stderr(&other);
    assert!(said.contains("is in leader mode, not in leaderless mode"), "{said}");
    assert!(said.contains("rialto mode leaderless --bank alpha --dir"), "{said}");
}

#[test]
fn a_taken_port_that_was_asked_for_is_an_error_that_says_what_to_do() {
    let dir = TestDir::new("taken");
    let base = free_base();
    let _squatter = TcpListener::bind(("127.0.0.1", base + 1)).expect("it was free a moment ago");
    let refused = run(&["up", "--dir", dir.path().to_str().expect("UTF-8"), "--base-port", &base.to_string()]);
    assert_eq!(refused.status.code(), Some(4));
    let said = stderr(&refused);
    assert!(said.starts_with(&format!("error: port {} is in use: by another program, ", base + 1)), "{said}");
    assert!(said.contains("rialto up --dir") && said.contains("--base-port"), "{said}");
}

#[test]
fn fresh_without_a_terminal_needs_yes() {
    let dir = TestDir::new("fresh");
    let base = free_base().to_string();
    let network = Network::up(dir.path(), &["--nodes", "1", "--base-port", &base]);
    let account = network.open_account();
    network.deposit(&account, "1");
    assert!(network.stop().success());

    let path = dir.path().to_str().expect("UTF-8");
    let profile = wallet::Profile::make(dir.path().join("clients/alice")).expect("there is room");
    let terms = clearing::Terms {
        id: clearing::PaymentId::new(7).expect("not nil"),
        payer: "alice@alpha".parse().expect("well formed"),
        payee: "bob@beta".parse().expect("well formed"),
        amount: ledger::Amount::new(12_50).expect("not zero"),
        currency: ledger::Currency::EUR,
        reference: ledger::Reference::EMPTY,
    };
    profile.outbox().and_then(|mut outbox| outbox.add(&terms, 1, 10)).expect("there is room");

    let refused = run(&["up", "--fresh", "--dir", path]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("there is no terminal to ask on"), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("deletes 1 payment that waits in the outbox "), "{}", stderr(&refused));

    let network = Network::up(dir.path(), &["--fresh", "--yes", "--nodes", "1", "--base-port", &base]);
    network.event(&["deletes 1 payment that waits", "12.50 EUR from alice@alpha to bob@beta"]);
    assert!(!profile.dir().exists());
    let url = format!("{}/check_account?account_id={account}", network.url());
    let (status, body) = crate::http::call("GET", &url, None).expect("the bank answers");
    assert_ne!(status, 200, "the account is still there: {body}");
}

#[test]
fn without_a_terminal_there_is_a_line_an_event_and_no_escape_sequence() {
    let dir = TestDir::new("lines");
    let base = free_base();
    let file = std::fs::File::create(dir.path().join("out")).expect("there is room");
    let mut up = rialto()
        .args(["up", "--no-gateway", "--nodes", "1", "--base-port", &base.to_string(), "--dir"])
        .arg(dir.path().join("data"))
        .stdout(Stdio::from(file))
        .spawn()
        .expect("the binary was built");
    let said = || std::fs::read_to_string(dir.path().join("out")).expect("it is there");
    crate::network::until("it says that it is ready", || said().contains("ready after").then_some(()));
    crate::network::signal("TERM", up.id());
    assert!(up.wait().expect("it is ours to wait for").success());
    let said = said();
    assert!(!said.contains('\x1b'), "{said}");
    assert!(said.contains(&format!("page      http://127.0.0.1:{base}/")), "{said}");
    assert!(said.contains(&format!("curl -X POST http://127.0.0.1:{base}/open_account")), "{said}");
    // As it is printed it goes on with just what ran.
    assert!(said.contains(&format!(" up --no-gateway --dir {}\n", dir.path().join("data").display())), "{said}");
}

#[test]
fn consul_that_cannot_be_reached_is_on_the_screen_and_a_bank_that_is_added_is_beside_the_others() {
    let dir = TestDir::new("no-consul");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let url = format!("http://{}", nobody.local_addr().expect("it is bound"));
    drop(nobody);
    let base = crate::network::free_bases(2);
    let network = Network::up(dir.path(), &["--nodes", "1", "--consul", &url, "--base-port", &base.to_string()]);
    network.event(&[&format!("Consul at {url} cannot be reached"), "nobody new is found"]);
    let added = run(&["bank", "add", "gamma", "--nodes", "1", "--json", "--dir", network.dir()]);
    assert!(added.status.success(), "{}", stderr(&added));
    let said: serde_json::Value = serde_json::from_str(&stdout(&added)).expect("it is JSON");
    let http = said["http"].as_str().unwrap_or_default();
    let port: u16 = http.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect(http);
    assert_eq!(said["bank"], "gamma", "{said}");
    assert!(port > base && port < base + 1_000, "{said} is not behind {base}");
    let layout = std::fs::read_to_string(dir.path().join("layout.json")).expect("up keeps it");
    let layout: serde_json::Value = serde_json::from_str(&layout).expect("it is JSON");
    assert_eq!(layout["banks"][1]["consul"]["url"], url.as_str(), "{layout}");
    assert!(network.stop().success());
}

#[test]
fn every_command_explains_itself_with_examples() {
    let commands = [
        &["up"][..],
        &["bank"],
        &["bank", "init"],
        &["gateway"],
        &["user"],
        &["status"],
        &["audit"],
        &["members"],
        &["members", "list"],
        &["members", "add"],
        &["members", "remove"],
        &["members", "replace"],
        &["mode"],
        &["bench"],
        &["limits"],
        &["keys"],
        &["sessions"],
        &["payments"],
        &["settings"],
        &["restore"],
    ];
    for command in commands {
        let help = run(&[command, &["--help"]].concat());
        assert!(help.status.success());
        assert!(stdout(&help).contains("Examples:"), "{command:?}");
    }
    assert!(stdout(&run(&["bank", "--help"])).contains("Exit codes (stable):"));
}

#[test]
fn a_bank_that_was_alone_joins_a_network_with_its_money_and_what_is_to_be_tried_works() {
    let dir = TestDir::new("taken-over");
    let base = crate::network::free_bases(3).to_string();
    let alone = Network::up(dir.path(), &["--bank", "alpha", "--nodes", "1", "--base-port", &base]);
    let account = alone.open_account();
    alone.deposit(&account, "12.50");
    assert!(alone.stop().success());

    let network = Network::run(dir.path(), &["--nodes", "1"]);
    network.event(&["bank alpha joins a network with a gateway, with the money that it has"]);
    network.event(&["bank beta has customers"]);
    assert_eq!(network.balance(&account), "12.50", "what was there is there");
    // What `up` prints is for the bank that has somebody to try it with.
    let file = network_json(dir.path());
    assert!(file["gateway"]["grpc"].is_string() && file["banks"]["beta"]["http"].is_string(), "{file}");
    let at = |arguments: &[&str]| {
        let output = run(&[arguments, &["--dir", network.dir(), "--profile", "p"]].concat());
        (output.status.code(), stdout(&output) + &stderr(&output))
    };
    crate::network::until("alice of beta can sign in", || {
        (at(&["login", "beta", "alice", "alice-demo"]).0 == Some(0)).then_some(())
    });
    let (code, said) = at(&["pay", "bob@beta", "1.00", "--wait"]);
    assert!(code == Some(0) && said.contains("paid"), "{said}");
    // Nobody was made in a bank that was somebody's already; its operator adds whom they want, who then pays across.
    let password = dir.path().join("password");
    std::fs::write(&password, "secret word\n").expect("there is room");
    let password = password.to_str().expect("UTF-8");
    let (code, said) = at(&["login", "alpha", "alice", "alice-demo"]);
    assert!(code == Some(9), "no demo customer in alpha: {said}");
    let add = ["user", "add", "erin", "--bank", "alpha", "--password-file", password, "--opening-balance", "5.00"];
    let user = |arguments: &[&str]| {
        let output = run(&[arguments, &["--json", "--dir", network.dir()]].concat());
        (stdout(&output), stderr(&output))
    };
    let told = |text: &str| (text.to_owned() + "\n", String::new());
    assert_eq!(user(&add), told(r#"{"bank":"alpha","made":true,"username":"erin"}"#));
    let alpha = |command, argument| user(&["user", command, argument, "--bank", "alpha", "--password-file", password]);
    assert_eq!(alpha("passwd", "erin"), told(r#"{"bank":"alpha","password_set":true,"username":"erin"}"#));
    for (command, locked) in [("lock", true), ("unlock", false)] {
        let said = told(&format!(r#"{{"bank":"alpha","locked":{locked},"username":"erin"}}"#));
        assert_eq!(user(&["user", command, "erin", "--bank", "alpha"]), said);
    }
    let file = dir.path().join("users.json");
    std::fs::write(&file, r#"[{"username":"erin","password":"x"},{"username":"","password":"secret word"}]"#)
        .expect("there is room");
    let (made, refused) = user(&["user", "import", file.to_str().expect("UTF-8"), "--bank", "alpha"]);
    assert_eq!(made, told(r#"{"bank":"alpha","customers":[{"made":false,"username":"erin"}]}"#).0, "{refused}");
    assert!(refused.starts_with(r#"{"error":{"code":"failed","exit":1,"#), "{refused}");
    assert_eq!(at(&["login", "alpha", "erin", "--password-file", password]).0, Some(0));
    let (code, said) = at(&["pay", "bob@beta", "2.00", "--wait"]);
    assert!(code == Some(0) && said.contains("paid"), "{said}");
    assert!(network.stop().success());
}

#[test]
fn the_commands_that_are_printed_work_as_they_stand() {
    let dir = TestDir::new("printed");
    let file = std::fs::File::create(dir.path().join("out")).expect("there is room");
    let up = rialto()
        .args(["up", "--nodes", "1", "--base-port", &crate::network::free_bases(3).to_string(), "--dir"])
        .arg(dir.path().join("data"))
        .stdout(Stdio::from(file))
        .spawn()
        .expect("the binary was built");
    let mut up = Owned(up);
    let said = || std::fs::read_to_string(dir.path().join("out")).expect("it is there");
    crate::network::until("its customers are made", || {
        (said().contains("bank alpha has customers") && said().contains("bank beta has customers")).then_some(())
    });
    let printed = said();
    let lines: Vec<&str> = printed.lines().skip_while(|line| !line.starts_with("  try ")).collect();
    let commands: Vec<&str> = lines
        .iter()
        .map(|line| line.trim_start_matches("  try").trim())
        .take_while(|line| !line.starts_with("demo"))
        .collect();
    assert_eq!(commands.len(), 5, "{printed}");
    for (command, part) in commands.iter().zip(["signed in as alice@alpha", "paid 12.50 EUR", "987.50 EUR", "bob@beta"])
    {
        // A remark may stand behind it.
        let command = command.split("   ").next().expect("a command");
        let typed = |command: &str| {
            let output = std::process::Command::new("sh").args(["-c", command]).env("HOME", dir.path()).output();
            let output = output.expect("there is a shell");
            (output.status.success(), stdout(&output) + &stderr(&output))
        };
        let is_busy =
            |told: &str| ["did not answer in time", "does not answer now"].iter().any(|part| told.contains(part));
        let (mut ended, mut told) = crate::network::until("it is answered", || {
            Some(typed(command)).filter(|(ended, told)| *ended || !is_busy(told))
        });
        // On a machine that has no time for it now the payment is kept, as it is told, and sent again.
        let is_open = |told: &str| told.contains(" is kept, ") || told.contains(" is kept; ");
        if is_open(&told) {
            let retry = command.replace("pay bob@beta 12.50", "outbox retry");
            (ended, told) = crate::network::until("the payment goes out", || {
                Some(typed(&retry)).filter(|(_, told)| !is_open(told))
            });
        }
        assert!(ended && told.contains(part), "{command}: {told}");
    }
    assert!(commands[4].starts_with("kill -9 "), "{printed}");
    crate::network::signal("TERM", up.0.id());
    assert!(up.0.wait().expect("it is ours to wait for").success());
}
