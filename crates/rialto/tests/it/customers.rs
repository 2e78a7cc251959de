//! What customers do, as they do it: real processes of `rialto`, killed for real, against a gateway of the test's own that
//! loses answers, refuses and goes away.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::network::{TestDir, rialto, stderr, stdout};
use crate::test_gateway::{Decided, Fault, PASSWORD, Serving, TestGateway};

/// A gateway that serves, and the directory of those who call it.
struct Desk {
    dir: TestDir,
    gateway: TestGateway,
    serving: Option<Serving>,
    runtime: tokio::runtime::Runtime,
    address: std::net::SocketAddr,
}

impl Desk {
    fn new(name: &str) -> Desk {
        let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
        let gateway = TestGateway::new();
        let serving = runtime.block_on(gateway.serve());
        let (address, dir) = (serving.address, TestDir::new(name));
        // As `rialto up` would have written it.
        let network = format!(
            r#"{{"up":1,"nodes":[{{"group":"gateway","kind":"gateway","node":1,"grpc":"http://{address}"}}],"banks":{{}}}}"#
        );
        std::fs::write(dir.path().join("network.json"), network).expect("there is room");
        Desk { dir, gateway, serving: Some(serving), runtime, address }
    }

    fn go_away(&mut self) {
        self.serving = None;
    }

    fn come_back(&mut self) {
        self.serving = Some(self.runtime.block_on(self.gateway.serve_at(self.address)));
    }

    /// A command of that profile.
    fn command(&self, profile: &str, args: &[&str]) -> Command {
        let mut command = rialto();
        command.args(args).arg("--dir").arg(self.dir.path()).args(["--profile", profile]);
        for name in ["RIALTO_PASSWORD", "RIALTO_GATEWAY", "RIALTO_PROFILE", "RIALTO_DIR"] {
            command.env_remove(name);
        }
        command
    }

    fn run(&self, profile: &str, args: &[&str]) -> Output {
        self.command(profile, args).stdin(Stdio::null()).output().expect("it starts")
    }

    fn json(&self, profile: &str, args: &[&str]) -> (i32, Value) {
        let output = self.run(profile, &[args, &["--json"]].concat());
        let value = serde_json::from_str(&stdout(&output)).unwrap_or_else(|_| panic!("{args:?}: {output:?}"));
        (output.status.code().expect("it ended by itself"), value)
    }

    fn sign_in(&self, profile: &str, bank: &str, user: &str) {
        let mut command = self.command(profile, &["login", bank, user]);
        let output = command.env("RIALTO_PASSWORD", PASSWORD).output().expect("it starts");
        assert!(output.status.success(), "{output:?}");
        assert!(!stdout(&output).contains(PASSWORD) && stderr(&output).is_empty(), "{output:?}");
    }

    fn profile(&self, profile: &str) -> std::path::PathBuf {
        self.dir.path().join("clients").join(profile)
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited a minute for: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn id(value: &Value) -> clearing::PaymentId {
    value["id"].as_str().and_then(|text| text.parse().ok()).expect("a payment has an id")
}

#[test]
fn alice_and_bob_pay_each_other_from_two_profiles() {
    let desk = Desk::new("two-profiles");
    desk.sign_in("alice", "alpha", "alice");
    desk.sign_in("bob", "beta", "bob");
    let paid = desk.run("alice", &["pay", "bob@beta", "12.50", "--reference", "rent, March"]);
    assert_eq!(paid.status.code(), Some(0));
    let said = stdout(&paid);
    let id = said.strip_prefix("paid 12.50 EUR to bob@beta (payment ").and_then(|rest| rest.strip_suffix(")\n"));
    let id = id.unwrap_or_else(|| panic!("{said}"));
    // The payee finds the id in the history, and asks for the payment by it.
    assert!(stdout(&desk.run("bob", &["history"])).contains(id));
    let seen = stdout(&desk.run("bob", &["payment", id]));
    assert!(seen.starts_with("12.50 EUR from alice@alpha to bob@beta, for \"rent, March\"\n"), "{seen}");
    let (_, seen) = desk.json("bob", &["payment", id]);
    assert_eq!((&seen["payment"]["payer"], &seen["gateway"]["state"]), (&"alice@alpha".into(), &"paid".into()));
    let (code, paid) = desk.json("bob", &["pay", "alice@alpha", "2.25"]);
    assert_eq!(
        (code, &paid["state"], &paid["payer"], &paid["amount"]),
        (0, &"paid".into(), &"bob@beta".into(), &"2.25".into())
    );

    let (_, balance) = desk.json("alice", &["balance"]);
    assert_eq!(
        (&balance["balance"], &balance["customer"], &balance["waiting"]),
        (&"89.75".into(), &"alice@alpha".into(), &0.into())
    );
    let (_, history) = desk.json("alice", &["history"]);
    let changes: Vec<&str> =
        history["entries"].as_array().expect("a list").iter().filter_map(|e| e["change"].as_str()).collect();
    assert_eq!(changes, ["+2.25", "-12.50"]);
    assert_eq!(history["entries"][1]["reference"], "rent, March");

    let tokens = desk.profile("alice").join("tokens");
    assert_eq!(mode(&tokens.join("alice@alpha")), 0o600);
    assert_eq!(mode(&desk.profile("alice")), 0o700);
    assert_eq!(desk.gateway.live_tokens(), 2);
    assert_eq!(stdout(&desk.run("alice", &["logout"])), "signed out: alice@alpha\n");
    assert_eq!((desk.gateway.live_tokens(), tokens.join("alice@alpha").exists()), (1, false));
    let nobody = desk.run("alice", &["balance"]);
    assert_eq!(nobody.status.code(), Some(9));
    assert!(stderr(&nobody).contains("nobody is signed in"), "{}", stderr(&nobody));
    let login = format!("rialto login BANK USER --dir {} --profile alice", desk.dir.path().display());
    assert!(stderr(&nobody).contains(&login), "{}", stderr(&nobody));
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[test]
fn a_payment_made_while_the_gateway_is_away_is_kept_and_goes_out_later() {
    let mut desk = Desk::new("away");
    desk.sign_in("alice", "alpha", "alice");
    desk.go_away();
    let queued = desk.run("alice", &["pay", "bob@beta", "12.50"]);
    assert_eq!(queued.status.code(), Some(0), "{queued:?}");
    let said = stdout(&queued);
    assert!(said.starts_with("queued 12.50 EUR to bob@beta: the gateway cannot be reached"), "{said}");
    // Commands that are to be typed next are right as they stand.
    let given = format!("--dir {} --profile alice", desk.dir.path().display());
    let senders = format!("it goes out by itself from `rialto shell {given}` or `rialto outbox run {given}`");
    assert!(said.contains(&senders), "{said}");
    let (_, second) = desk.json("alice", &["pay", "bob@beta", "1", "--offline"]);
    assert_eq!(second["state"], "queued");
    // What was never sent is dropped without asking anybody.
    let (_, third) = desk.json("alice", &["pay", "bob@beta", "5", "--offline"]);
    let (code, dropped) = desk.json("alice", &["outbox", "drop", third["id"].as_str().expect("text")]);
    assert_eq!((code, &dropped["state"]), (0, &"dropped".into()));

    desk.come_back();
    let run = desk.run("alice", &["outbox", "run", "--json"]);
    assert_eq!(run.status.code(), Some(0), "{run:?}");
    assert_eq!(desk.gateway.taken().len(), 2);
    assert_eq!(desk.gateway.decided(id(&second)), Some(Decided::Paid));
    assert_eq!((desk.gateway.balance("alice@alpha"), desk.gateway.balance("bob@beta")), (86_50, 11_350));
    let list = stdout(&desk.run("alice", &["outbox", "list"]));
    assert_eq!((list.matches(" paid ").count(), list.matches(" dropped ").count()), (2, 1), "{list}");
}

#[test]
fn an_expired_sign_in_keeps_the_payment_and_its_id() {
    let desk = Desk::new("expired");
    desk.sign_in("alice", "alpha", "alice");
    desk.gateway.expire_tokens();
    let (code, waiting) = desk.json("alice", &["pay", "bob@beta", "12.50"]);
    assert_eq!(
        (code, &waiting["state"], &waiting["code"]),
        (9, &"waiting_for_sign_in".into(), &"token_expired".into())
    );
    let again = desk.run("alice", &["outbox", "run"]);
    assert_eq!(again.status.code(), Some(9), "it still waits: {again:?}");
    let login = format!("rialto login alpha alice --dir {} --profile alice;", desk.dir.path().display());
    assert!(stdout(&again).contains(&login), "{again:?}");
    desk.sign_in("alice", "alpha", "alice");
    let run = desk.run("alice", &["outbox", "run"]);
    assert_eq!(run.status.code(), Some(0));
    assert!(stdout(&run).starts_with("paid 12.50 EUR to bob@beta (payment "), "{run:?}");
    assert_eq!(desk.gateway.taken(), [id(&waiting)]);
}

#[test]
fn a_lost_answer_or_a_refusal_is_told_as_what_it_is() {
    let desk = Desk::new("told");
    desk.sign_in("alice", "alpha", "alice");
    desk.gateway.fail_next([Fault::AnswerLost, Fault::OutcomeUnknown, Fault::Overloaded]);
    let (code, paid) = desk.json("alice", &["pay", "bob@beta", "12.50"]);
    assert_eq!((code, &paid["state"]), (0, &"paid".into()));
    assert_eq!(desk.gateway.taken().len(), 1);

    let refused = desk.run("alice", &["pay", "bob@beta", "1000"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stdout(&refused).starts_with("refused 1000.00 EUR to bob@beta (payment "), "{refused:?}");
    assert!(!stdout(&refused).contains('\x1b'), "colours are for terminals");
    for (args, part) in [
        (["pay", "bob@beta", "12,50"], "comma"),
        (["pay", "bob", "1"], "names no bank"),
        (["pay", "bob@beta", "-5"], "negative"),
    ] {
        let output = desk.run("alice", &args);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(stderr(&output).contains(part), "{output:?}");
    }
    assert_eq!(desk.gateway.taken().len(), 2);
}

#[test]
fn what_may_have_arrived_is_cancelled_by_the_gateways_word_alone() {
    for (fault, end, state, code) in
        [(Fault::RequestLost, Decided::Refused("voided"), "refused", 0), (Fault::AnswerLost, Decided::Paid, "paid", 1)]
    {
        let desk = Desk::new(&format!("cancelled-{code}"));
        desk.sign_in("alice", "alpha", "alice");
        desk.gateway.fail_next([fault; 10_000]);
        let (_, sent) = desk.json("alice", &["pay", "bob@beta", "12.50"]);
        assert_eq!(sent["state"], "sent");
        desk.gateway.no_more_faults();
        let (exit, told) = desk.json("alice", &["outbox", "drop", sent["id"].as_str().expect("text")]);
        assert_eq!((exit, told["state"].as_str()), (code, Some(state)), "{told}");
        assert_eq!(desk.gateway.decided(id(&sent)), Some(end));
    }
}

#[test]
fn a_command_killed_while_it_pays_is_finished_by_the_next_and_pays_once() {
    let desk = Desk::new("killed");
    desk.sign_in("alice", "alpha", "alice");
    desk.gateway.take_time(Duration::from_millis(400));
    let mut child =
        desk.command("alice", &["pay", "bob@beta", "12.50"]).stdout(Stdio::null()).spawn().expect("it starts");
    until("the gateway is asked", || desk.gateway.called() == 1);
    child.kill().expect("it runs");
    child.wait().expect("it was killed");
    let (_, listed) = desk.json("alice", &["outbox", "list", "--open"]);
    assert_eq!(listed["state"], "sending");
    let run = desk.run("alice", &["outbox", "run"]);
    let said = format!("paid 12.50 EUR to bob@beta (payment {})\n", id(&listed));
    assert_eq!((run.status.code(), stdout(&run)), (Some(0), said));
    assert_eq!(desk.gateway.taken(), [id(&listed)]);
    assert_eq!(desk.gateway.balance("alice@alpha"), 87_50);
}

#[test]
fn a_password_on_the_command_line_works_with_a_warning_and_a_wrong_one_does_not() {
    let desk = Desk::new("passwords");
    let output = desk.run("alice", &["login", "alpha", "alice", PASSWORD]);
    assert!(output.status.success(), "{output:?}");
    assert!(stderr(&output).starts_with("warning: a password on the command line"), "{output:?}");
    let file = desk.dir.path().join("password");
    std::fs::write(&file, format!("{PASSWORD}\n")).expect("there is room");
    let from_file = ["login", "beta", "bob", "--password-file", file.to_str().expect("UTF-8")];
    assert!(desk.run("bob", &from_file).status.success());
    let wrong = desk.run("alice", &["login", "alpha", "alice", "guess"]);
    assert_eq!(wrong.status.code(), Some(9));
    assert!(stderr(&wrong).contains("bank, name or password is wrong"), "{wrong:?}");
    // Nobody to ask, and nothing given.
    assert_eq!(desk.run("alice", &["login", "alpha", "alice"]).status.code(), Some(2));
}

#[test]
fn a_password_is_asked_for_without_echo_and_an_interrupt_gives_the_terminal_back() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{LocalModes, tcgetattr};
    let desk = Desk::new("prompt");
    let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal is free");
    grantpt(&keyboard).and_then(|()| unlockpt(&keyboard)).expect("it is ours");
    let name = ptsname(&keyboard, Vec::new()).expect("it has a name").into_string().expect("UTF-8");
    let terminal = std::fs::File::options().read(true).write(true).open(&name).expect("it opens");
    let echoes = || tcgetattr(&terminal).expect("a terminal").local_modes.contains(LocalModes::ECHO);
    let start = || {
        let mut command = desk.command("alice", &["login", "alpha", "alice"]);
        command.stdin(terminal.try_clone().expect("it is open")).stderr(Stdio::piped()).stdout(Stdio::piped());
        command.spawn().expect("it starts")
    };
    assert!(echoes());
    let mut interrupted = start();
    let mut asked = [0; 25];
    interrupted.stderr.as_mut().expect("it is piped").read_exact(&mut asked).expect("it asks");
    assert_eq!(&asked, b"password of alice@alpha: ");
    assert!(!echoes());
    let pid = rustix::process::Pid::from_child(&interrupted);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it runs");
    until("it ends", || interrupted.try_wait().expect("it is ours").is_some());
    assert_eq!(interrupted.wait().expect("it has ended").code(), Some(130));
    assert!(echoes());

    let mut answered = start();
    answered.stderr.as_mut().expect("it is piped").read_exact(&mut asked).expect("it asks");
    rustix::io::write(&keyboard, format!("{PASSWORD}\n").as_bytes()).expect("the terminal takes it");
    assert!(answered.wait().expect("it ends").success());
    assert!(echoes());
    assert_eq!(desk.gateway.live_tokens(), 1);
}

#[test]
fn the_shell_tells_results_as_they_come_and_signs_out_when_it_is_told_to_end() {
    let mut desk = Desk::new("shell");
    desk.go_away();
    let mut command = desk.command("alice", &["shell", "alpha", "alice"]);
    command.env("RIALTO_PASSWORD", PASSWORD).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut shell = command.spawn().expect("it starts");
    let mut keyboard = shell.stdin.take().expect("it is piped");
    let mut lines = BufReader::new(shell.stdout.take().expect("it is piped")).lines();
    let mut hear = |part: &str| loop {
        let line = lines.next().unwrap_or_else(|| panic!("the shell ended before it said {part:?}")).expect("UTF-8");
        if line.contains(part) {
            return line;
        }
    };
    // Without a gateway it may be paid all the same.
    hear("payments of alice@alpha are kept; signing in is tried again by itself");
    writeln!(keyboard, "pay bob@beta 12.50 rent").expect("the shell reads");
    writeln!(keyboard, "pay bob@beta 999").expect("the shell reads");
    hear("ordered: 12.50 EUR to bob@beta");
    desk.come_back();
    hear("paid 12.50 EUR to bob@beta");
    hear("refused 999.00 EUR to bob@beta");
    writeln!(keyboard, "balance").expect("the shell reads");
    hear("alice@alpha has 87.50 EUR");
    assert_eq!(desk.gateway.live_tokens(), 1);

    let pid = rustix::process::Pid::from_child(&shell);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
    hear("signed out: alice@alpha");
    assert_eq!(shell.wait().expect("it ends").code(), Some(1), "a script learns that one was refused");
    assert_eq!(desk.gateway.live_tokens(), 0);
    drop(keyboard);
}

#[test]
fn a_shell_and_a_command_on_one_outbox_pay_once_each() {
    let desk = Desk::new("beside");
    desk.sign_in("alice", "alpha", "alice");
    desk.gateway.take_time(Duration::from_millis(20));
    let mut command = desk.command("alice", &["shell"]);
    let mut shell = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it starts");
    let mut keyboard = shell.stdin.take().expect("it is piped");
    for _ in 0..4 {
        writeln!(keyboard, "pay bob@beta 1").expect("the shell reads");
        assert_eq!(desk.json("alice", &["pay", "bob@beta", "1"]).1["state"], "paid");
    }
    until("all are paid", || desk.gateway.taken().len() == 8);
    drop(keyboard);
    assert_eq!(shell.wait().expect("it ends with its keyboard").code(), Some(0));
    assert_eq!((desk.gateway.balance("alice@alpha"), desk.gateway.doubled()), (92_00, 0));
}

#[test]
fn what_waits_is_tried_at_once_when_asked_for() {
    let mut desk = Desk::new("retry");
    desk.sign_in("alice", "alpha", "alice");
    desk.go_away();
    let (_, first) = desk.json("alice", &["pay", "bob@beta", "1"]);
    let (_, second) = desk.json("alice", &["pay", "bob@beta", "2"]);
    let away = desk.run("alice", &["outbox", "retry"]);
    assert_eq!(away.status.code(), Some(8), "{away:?}");
    assert_eq!(stdout(&away).matches("queued").count(), 2, "{away:?}");
    // A run waits for the gateway, and not for ever.
    let run = desk.run("alice", &["outbox", "run", "--timeout", "1"]);
    assert_eq!(run.status.code(), Some(8), "{run:?}");
    assert_eq!(stdout(&run).matches("queued").count(), 2, "{run:?}");
    assert!(stderr(&run).contains("the payments are kept"), "{run:?}");
    desk.come_back();
    let one = desk.run("alice", &["outbox", "retry", first["id"].as_str().expect("text")]);
    assert_eq!(one.status.code(), Some(0), "{one:?}");
    assert_eq!(desk.run("alice", &["outbox", "retry"]).status.code(), Some(0));
    assert_eq!(desk.gateway.taken(), [id(&first), id(&second)]);
}

#[test]
fn however_many_wait_a_payment_says_at_once_why_it_is_not_sent() {
    let mut desk = Desk::new("many-wait");
    desk.sign_in("alice", "alpha", "alice");
    desk.go_away();
    // Each attempt makes the pause longer that the first of them waits.
    let orders: Vec<Value> = (0..9)
        .map(|number| {
            let (code, order) = desk.json("alice", &["pay", "bob@beta", "1"]);
            let why = order["detail"].as_str().unwrap_or_default();
            assert!(code == 0 && why.contains("the gateway cannot be reached"), "{number}: {order}");
            order
        })
        .collect();
    desk.come_back();
    // The next payment takes all of them along, and says so.
    let (code, last) = desk.json("alice", &["pay", "bob@beta", "2"]);
    assert_eq!((code, &last["state"]), (0, &"paid".into()));
    let others: Vec<_> = last["others"].as_array().expect("a list").iter().map(id).collect();
    assert_eq!(others, orders.iter().map(id).collect::<Vec<_>>());
    assert!(last["others"].as_array().expect("a list").iter().all(|other| other["state"] == "paid"), "{last}");
    // What was told is no news any more.
    assert_eq!(stdout(&desk.run("alice", &["outbox", "run"])), "no payment waits in the outbox\n");
}

#[test]
fn what_else_went_out_is_said_in_words_too() {
    let desk = Desk::new("else");
    desk.sign_in("alice", "alpha", "alice");
    let (_, kept) = desk.json("alice", &["pay", "bob@beta", "1", "--offline"]);
    let said = stdout(&desk.run("alice", &["pay", "carol@alpha", "2"]));
    assert!(said.starts_with("paid 2.00 EUR to carol@alpha (payment "), "{said}");
    let also = format!("from the outbox: paid 1.00 EUR to bob@beta (payment {})", id(&kept));
    assert!(said.lines().any(|line| line == also), "{said}");
}

#[test]
fn without_a_network_it_is_said_where_to_look() {
    let dir = TestDir::new("nowhere");
    let output = rialto().args(["login", "alpha", "alice", "x", "--dir"]).arg(dir.path()).output().expect("it starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("--gateway ADDR, RIALTO_GATEWAY, or --dir DIR"), "{output:?}");
}
