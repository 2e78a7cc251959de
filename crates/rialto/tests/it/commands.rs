//! Every command of `rialto` is run: bare, and with arguments, while the network is up, partly up, and down. None may panic,
//! each ends with one of its exit codes, and an error says what to do.
//!
//! The table is held against the command line itself, so a command without a row fails the test.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::network::{Network, TestDir, free_bases, rialto, signal, stderr, stdout};

/// A command, its arguments, and the exit codes that it may end with.
struct Row {
    command: &'static str,
    /// Separated by spaces.
    arguments: &'static str,
    /// Where there is no network, without arguments.
    bare: &'static [i32],
    up: &'static [i32],
    partly: &'static [i32],
    down: &'static [i32],
}

const fn row(command: &'static str, arguments: &'static str, codes: [&'static [i32]; 4]) -> Row {
    let [bare, up, partly, down] = codes;
    Row { command, arguments, bare, up, partly, down }
}

/// An id that nobody has.
const ID: &str = "018f3a2c-1b2d-7c3e-9f40-112233445566";

/// In the order in which they are run: who is signed in stays so.
const ROWS: &[Row] = &[
    row("exit-codes", "", [&[0], &[0], &[0], &[0]]),
    row("completions", "bash", [&[2], &[0], &[0], &[0]]),
    row("man", "outbox list", [&[0], &[0], &[0], &[0]]),
    // Nodes and networks: what would go on running is started wrongly here, and rightly in other tests.
    row("up", "--nodes 2", [&[2], &[2], &[2], &[2]]),
    row("bank", "--name alpha", [&[2], &[2], &[2], &[2]]),
    row("bank init", "--name alpha --node 1 --nodes 3 --data made/bank", [&[2], &[0], &[0, 4], &[0, 4]]),
    row("bank add", "Alpha", [&[2], &[2], &[2], &[2]]),
    row("bank add", "gamma --base-port 80", [&[2], &[2], &[2], &[8]]),
    row("gateway", "--name gateway", [&[2], &[2], &[2], &[2]]),
    row("gateway init", "--name gateway --node 1 --nodes 3 --data made/gateway", [&[2], &[0], &[0, 4], &[0, 4]]),
    row("restore", "alpha --from nowhere", [&[2], &[1, 2, 4], &[1, 2, 4], &[1, 2, 4]]),
    row("certs init", "--dir made/certs", [&[0, 1], &[0], &[1], &[1]]),
    row("certs issue", "operator/anna --dir made/certs", [&[2], &[0], &[1], &[1]]),
    row("certs rotate", "operator/anna --dir made/certs", [&[2], &[0], &[0], &[0]]),
    row("certs show", "--dir made/certs", [&[0, 1], &[0], &[0], &[0]]),
    // For whoever runs the network.
    row("status", "", [&[1, 8], &[0], &[0, 1], &[8]]),
    row("audit", "", [&[1, 8], &[0], &[0, 1], &[8]]),
    // Of two banks one has to be named.
    row("mode", "", [&[1, 8], &[2], &[2], &[2]]),
    row("members", "", [&[1, 2, 8], &[0, 2], &[0, 2], &[1, 2, 8]]),
    row("members list", "", [&[1, 8], &[0, 2], &[0, 2], &[1, 2, 8]]),
    row("members add", "99 --bank nobody", [&[1, 2, 8], &[1, 2, 8], &[1, 2, 8], &[1, 2, 8]]),
    row("members remove", "99 --bank alpha", [&[2], &[1], &[1, 8], &[1, 8]]),
    row("members replace", "99 --bank alpha", [&[2], &[1], &[1, 8], &[1, 8]]),
    row("limits", "--bank alpha", [&[1, 2, 8], &[0], &[0], &[1, 8]]),
    row("limits daily-debit", "none --bank alpha", [&[2], &[0], &[0], &[1, 8, 10]]),
    row("limits daily-debit", "abc --bank alpha", [&[2], &[2], &[2], &[8]]),
    row("limits transfer", "none --bank alpha", [&[2], &[0], &[0], &[1, 8, 10]]),
    row("user add", "dora --bank alpha --password-file password", [&[2], &[0], &[0, 1], &[1, 8, 10]]),
    row("user import", "nowhere.json", [&[2], &[1, 2], &[1, 2], &[1, 2, 8]]),
    row("user passwd", "dora --password-file password", [&[2], &[2], &[2], &[2]]),
    row("user lock", "dora --bank alpha", [&[2], &[0], &[0], &[1, 8, 10]]),
    row("user unlock", "dora", [&[2], &[2], &[2], &[2]]),
    row("payments", "--in-doubt", [&[1, 8], &[0], &[0], &[1, 8]]),
    row("payments show", "ID", [&[2], &[1], &[1], &[1, 8]]),
    row("payments void", "ID --by anna", [&[2], &[1], &[1], &[1, 8]]),
    row("payments acknowledge", "ID", [&[2], &[0, 1], &[0, 1], &[1, 8]]),
    row("positions", "", [&[1, 8], &[0], &[0], &[1, 8]]),
    row("settle", "alpha beta 1.00", [&[2], &[0, 1], &[0, 1], &[1, 8, 10]]),
    row("settings", "", [&[1, 8], &[0], &[0], &[1, 8]]),
    row("settings timeout-2pc-ms", "60000", [&[2], &[0], &[0], &[1, 8]]),
    row("settings open-per-bank", "1000", [&[2], &[0], &[0], &[1, 8]]),
    row("settings open-per-customer", "100", [&[2], &[0], &[0], &[1, 8]]),
    row("settings refused-per-customer", "30 60", [&[2], &[0], &[0], &[1, 8]]),
    row("settings taken-per-customer", "1000 5000", [&[2], &[0], &[0], &[1, 8]]),
    row("settings asked-per-bank", "1000 5000", [&[2], &[0], &[0], &[1, 8]]),
    row("settings sessions-per-customer", "16", [&[2], &[0], &[0], &[1, 8]]),
    row("settings take-over-after-ms", "1000", [&[2], &[0], &[0], &[1, 8]]),
    row("settings payment-limit", "100000.00", [&[2], &[0], &[0], &[1, 8]]),
    row("settings pair-cap", "alpha beta 100000.00", [&[2], &[0], &[0], &[1, 8]]),
    row("keys", "", [&[1, 8], &[0], &[0], &[1, 8]]),
    row("keys retire", "zz", [&[2], &[2], &[2], &[8]]),
    row("bench", "--seconds 0", [&[1, 2, 8], &[2], &[2], &[1, 2, 8]]),
    // For customers.
    row("login", "alpha alice --password-file password", [&[2], &[0], &[0], &[8]]),
    row("sessions", "", [&[1, 9], &[0], &[0], &[8]]),
    row("balance", "", [&[1, 9], &[0], &[0], &[8]]),
    row("history", "--limit 5", [&[1, 9], &[0], &[0], &[8]]),
    row("history", "--cursor zzz", [&[1, 9], &[2], &[2], &[8]]),
    row("payment", "ID", [&[2], &[1], &[1], &[8]]),
    row("pay", "bob@beta 1.00", [&[2], &[0], &[0, 1], &[0]]),
    row("outbox", "list", [&[2], &[0], &[0], &[0]]),
    row("outbox list", "--open", [&[1, 9], &[0], &[0], &[0]]),
    row("outbox retry", "", [&[1, 9], &[0], &[0], &[8]]),
    row("outbox drop", "ID", [&[2], &[1], &[1], &[1]]),
    row("outbox run", "--help", [&[1, 9], &[0], &[0], &[0]]),
    row("shell", "", [&[1, 9], &[0], &[0], &[0]]),
    // The shell before it has signed out at the end of its input.
    row("logout", "", [&[1, 9], &[9], &[9], &[9]]),
];

/// Somewhere without a network, and with the network of the test.
struct Place {
    dir: TestDir,
}

impl Place {
    fn new(name: &str, network: Option<&Path>) -> Place {
        let dir = TestDir::new(name);
        std::fs::write(dir.path().join("password"), "alice-demo\n").expect("there is room");
        if let Some(network) = network {
            // Where every command looks for it that is told nothing else.
            std::os::unix::fs::symlink(network, dir.path().join("rialto-data")).expect("there is room");
        }
        Place { dir }
    }

    fn run(&self, command: &str, arguments: &str) -> Output {
        self.command(command, arguments).output().expect("the binary was built")
    }

    /// Runs what would wait for ever until it says for whom.
    fn waits_for(&self, command: &str, arguments: &str) -> String {
        let mut process =
            self.command(command, arguments).stderr(Stdio::piped()).spawn().expect("the binary was built");
        let mut lines = BufReader::new(process.stderr.take().expect("piped")).lines().map_while(Result::ok);
        let begin = ["waiting for ", r#"{"waiting_for":"#];
        let told = lines.find(|line| begin.iter().any(|begin| line.starts_with(begin)));
        process.kill().and_then(|()| process.wait()).expect("it is ours");
        told.expect("it says for whom it waits")
    }

    fn command(&self, command: &str, arguments: &str) -> Command {
        let mut process = rialto();
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RIALTO_")) {
            process.env_remove(name);
        }
        process.args(command.split(' ')).args(arguments.split(' ').filter(|it| !it.is_empty()).map(|it| match it {
            "ID" => ID,
            other => other,
        }));
        process.current_dir(self.dir.path()).env("XDG_DATA_HOME", self.dir.path()).stdin(Stdio::null());
        process
    }
}

/// What is wrong with how a command ended.
fn complaint(output: &Output, codes: &[i32]) -> Option<String> {
    let (code, said) = (output.status.code(), stderr(output));
    if said.contains("panicked") || code.is_none() || code == Some(101) {
        return Some(format!("it panicked: {said}"));
    }
    if !code.is_some_and(|code| codes.contains(&code)) {
        return Some(format!("it ended with {code:?}, and not with one of {codes:?}: {said} {}", stdout(output)));
    }
    // An answer that is no may be in the output; an error that is an error says what can be done.
    let advice = [
        "rialto ",
        "--",
        "try",
        "give ",
        "send ",
        "start",
        "Usage",
        "free ",
        "like ",
        "see ",
        "payments ",
        "same command",
        "its members",
    ];
    let is_error = said.starts_with("error: ");
    if is_error && !advice.iter().any(|word| said.contains(word)) {
        return Some(format!("it does not say what to do: {said}"));
    }
    (code != Some(0) && said.is_empty() && stdout(output).is_empty()).then(|| "it failed without a word".to_owned())
}

/// Who misses their own name in the environment acts in somebody else's.
#[test]
fn a_variable_that_is_not_utf8_is_refused_by_its_name() {
    let place = Place::new("commands-variables", None);
    let not_text = |text: &str| std::os::unix::ffi::OsStringExt::from_vec([text.as_bytes(), b"\xff"].concat());
    for (variable, command) in [
        ("RIALTO_PROFILE", "balance"),
        ("RIALTO_GATEWAY", "balance"),
        ("RIALTO_DIR", "outbox list"),
        ("RIALTO_TLS_DIR", "balance"),
        ("RIALTO_CONSUL", "history"),
        ("RIALTO_LOG_FORMAT", "balance"),
        ("RIALTO_PASSWORD", "login alpha alice"),
        ("RIALTO_OUTBOX_EVERY_MS", "pay bob@beta 1"),
        ("RIALTO_NAME", "bank"),
        ("RIALTO_BANKS", "gateway"),
        ("RIALTO_CONFIG", "bank"),
        ("RIALTO_CA", "status"),
        ("RIALTO_TOKEN_MINUTES", "up --nodes 1 --no-gateway"),
        ("RIALTO_DIR", "payments"),
    ] {
        for json in [false, true] {
            if json && ["login alpha alice", "bank", "gateway"].contains(&command) {
                continue;
            }
            let value: std::ffi::OsString = not_text("bob");
            let mut process = place.command(command, if json { "--json" } else { "" });
            let output = process.env(variable, value).output().expect("the binary was built");
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(2), "{variable} {command}: {output:?}");
            assert!(said.contains(variable) && said.contains("not UTF-8"), "{variable} {command}: {said}");
            assert_eq!(said.starts_with("{\"error\":"), json, "{variable} {command}: {said}");
        }
    }
    // A directory is called as it is called.
    let home: std::ffi::OsString = not_text(place.dir.path().to_str().expect("the test named it"));
    let output = place.command("outbox list", "").env("XDG_DATA_HOME", &home).output().expect("the binary was built");
    assert_ne!(output.status.code(), Some(101), "{output:?}");
    assert!(!place.dir.path().join("rialto").exists(), "the directory that was named is the one that is used");
    // And the name of a variable that is none is told plainly.
    let name: std::ffi::OsString = not_text("RIALTO_\x1b[31mX");
    let output = place.command("exit-codes", "").env(name, "x").output().expect("the binary was built");
    let said = stderr(&output);
    assert!(said.contains("has no effect") && !said.contains('\x1b'), "{said:?}");
}

/// Every command that can be called, with those that are only names for others.
fn callable(command: &clap::Command, path: &str, found: &mut BTreeSet<String>) {
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        let path = format!("{path} {}", below.get_name()).trim().to_owned();
        callable(below, &path, found);
        found.insert(path);
    }
}

#[test]
fn every_command_has_a_row() {
    let mut commands = BTreeSet::new();
    callable(&rialto::command_line(), "", &mut commands);
    // What only groups others has no row of its own.
    let groups = ["user", "certs"].map(str::to_owned);
    let named: BTreeSet<String> = ROWS.iter().map(|row| row.command.to_owned()).collect();
    let missing: Vec<&String> = commands.iter().filter(|it| !named.contains(*it) && !groups.contains(it)).collect();
    assert!(missing.is_empty(), "commands without a row: {missing:?}");
    let unknown: Vec<&String> = named.iter().filter(|it| !commands.contains(*it)).collect();
    assert!(unknown.is_empty(), "rows of no command: {unknown:?}");
}

/// A code that a command is seen to end with is in its help, where that names codes; and every such help names the table.
#[test]
fn the_exit_codes_of_every_row_are_in_the_help_of_its_command() {
    let mut wrong = BTreeSet::new();
    for row in ROWS {
        let mut command = rialto::command_line();
        // The help of a group holds for what is below it.
        let mut helps = String::new();
        for word in row.command.split(' ') {
            command = command.find_subcommand(word).expect("it has a row").clone();
            helps += &command.clone().render_help().to_string();
        }
        let Some((_, told)) = helps.split_once("Exit codes:") else { continue };
        // A help may break its lines where a terminal ends.
        let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
        if !told.contains("rialto help exit-codes") {
            wrong.insert(format!("{}: the table is not named", row.command));
        }
        let told: BTreeSet<i32> = told.split(|c: char| !c.is_ascii_digit()).filter_map(|it| it.parse().ok()).collect();
        for code in [row.bare, row.up, row.partly, row.down].concat() {
            // Everything without its arguments is wrong usage.
            if code != 2 && !told.contains(&code) {
                wrong.insert(format!("{}: {code} is missing", row.command));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn that_a_network_has_no_gateway_is_one_exit_code_everywhere() {
    let place = Place::new("commands-no-gateway", None);
    let network = place.dir.path().join("rialto-data");
    std::fs::create_dir(&network).expect("there is room");
    let bank = r#"{"http":"http://127.0.0.1:9","grpc":"http://127.0.0.1:9"}"#;
    let text = format!(r#"{{"up":null,"nodes":[],"banks":{{"alpha":{bank},"beta":{bank}}}}}"#);
    std::fs::write(network.join("network.json"), text).expect("there is room");
    for (command, arguments) in [
        ("payments", ""),
        ("positions", ""),
        ("settings", ""),
        ("keys", ""),
        ("settle", "alpha beta 1"),
        ("bench", "--payments"),
        ("login", "alpha alice x --dir rialto-data"),
    ] {
        let output = place.run(command, arguments);
        assert!(stderr(&output).contains("has no gateway"), "{command}: {output:?}");
        assert_eq!(output.status.code(), Some(1), "{command}: {output:?}");
    }
}

/// A directory that is misspelt would look like a network in which nobody has signed in, and stay behind.
#[test]
fn a_directory_that_is_missing_is_refused_and_is_not_made() {
    let place = Place::new("commands-missing-dir", None);
    for (command, arguments) in [
        ("login", "alpha alice --password-file password"),
        ("shell", ""),
        ("logout", ""),
        ("sessions", ""),
        ("balance", ""),
        ("balance", "--gateway 127.0.0.1:1"),
        ("pay", "bob@beta 1.00"),
        ("history", ""),
        ("payment", "ID"),
        ("outbox list", ""),
        ("outbox retry", ""),
        ("outbox drop", "ID"),
        ("outbox run", ""),
    ] {
        let output = place.run(command, &format!("{arguments} --dir missing"));
        assert_eq!(output.status.code(), Some(2), "{command}: {output:?}");
        assert!(stderr(&output).starts_with("error: there is no directory missing\n  given by --dir;"), "{output:?}");
        let output = place.command(command, arguments).env("RIALTO_DIR", "missing").output().expect("it starts");
        assert_eq!(output.status.code(), Some(2), "{command}: {output:?}");
        assert!(stderr(&output).contains("given by RIALTO_DIR"), "{output:?}");
    }
    for (command, arguments) in [
        ("status", ""),
        ("audit", ""),
        ("mode", ""),
        ("members", "--bank alpha"),
        ("limits", "--bank alpha"),
        ("user lock", "alice --bank alpha"),
        ("payments", ""),
        ("settings", ""),
        ("bank add", "gamma"),
        ("restore", "alpha --from nowhere"),
        ("bench", "--bank alpha"),
    ] {
        let output = place.run(command, &format!("{arguments} --dir missing"));
        assert!(output.status.code().is_some_and(|code| code != 0), "{command}: {output:?}");
    }
    assert!(!place.dir.path().join("missing").exists());
    // Of a directory that is there no profile is made but by a sign-in.
    std::fs::create_dir(place.dir.path().join("empty")).expect("there is room");
    for (command, arguments) in [("outbox list", ""), ("balance", ""), ("outbox drop", "ID"), ("pay", "bob@beta 1")] {
        let output = place.run(command, &format!("{arguments} --dir empty --profile bobb"));
        assert_eq!(output.status.code(), Some(9), "{command}: {output:?}");
        assert!(stderr(&output).contains("there is no profile empty/clients/bobb"), "{output:?}");
    }
    assert!(!place.dir.path().join("empty/clients").exists());
    // Whoever says where the gateway is may sign in with profiles of their own.
    let login = place.run("login", "alpha alice --password-file password --gateway 127.0.0.1:1 --dir mine");
    assert_eq!(login.status.code(), Some(8), "{login:?}");
    assert!(place.dir.path().join("mine/clients/default").exists());
}

/// How the rows of one state are run.
#[derive(Clone, Copy)]
enum Way {
    /// A row may need what an earlier one has done.
    InOrder,
    /// Nothing is done, so none needs another; most of them wait for a bank, and all that time is one time.
    SideBySide,
}

/// Commands that run at once, at most.
const AT_ONCE: usize = 16;

/// What was wrong, by state and command.
type Complaints = Mutex<BTreeMap<String, String>>;

fn run_all(place: &Place, (when, way): (&str, Way), complaints: &Complaints, codes: Codes) {
    let check = |row: &Row| {
        let (arguments, allowed) = codes(row);
        if let Some(complaint) = complaint(&place.run(row.command, arguments), allowed) {
            let mut complaints = complaints.lock().expect("no check panics");
            complaints.insert(format!("{when}: {} {arguments}", row.command), complaint);
        }
    };
    // Customers sign in, look, and sign out.
    let customers = ROWS.iter().position(|row| row.command == "login").expect("they sign in");
    let (others, customers) = ROWS.split_at(customers);
    let workers = match way {
        Way::InOrder => 1,
        Way::SideBySide => AT_ONCE,
    };
    let rows = Mutex::new(others.iter());
    let next = || rows.lock().expect("no check panics").next();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| std::iter::from_fn(next).for_each(check));
        }
    });
    customers.iter().for_each(check);
}

/// A person is told for whom a command waits, and does not wait for ever.
fn where_every_node_hangs(network: &Network, place: &Place, complaints: &Complaints) {
    let file = crate::network::network_json(network.dir().as_ref());
    let nodes = file["nodes"].as_array().expect("a list").iter().filter_map(|node| node["pid"].as_u64());
    let pids: Vec<u32> = nodes.map(|pid| u32::try_from(pid).expect("a process number")).collect();
    pids.iter().for_each(|pid| signal("STOP", *pid));
    let check = |row: &Row| {
        let begun = Instant::now();
        let output = place.run(row.command, row.arguments);
        let (took, said) = (begun.elapsed(), stderr(&output));
        let complaint = match output.status.code() {
            None => Some(format!("a signal ended it: {said}")),
            Some(_) if took > Duration::from_secs(150) => Some(format!("it took {took:?}")),
            // What it does by itself is quick; on a busy machine that takes some seconds, too.
            Some(_) if took > Duration::from_secs(20) && !said.contains("waiting for ") => {
                Some(format!("it took {took:?} and did not say for whom: {said}"))
            }
            Some(_) => None,
        };
        if let Some(complaint) = complaint {
            let mut complaints = complaints.lock().expect("no check panics");
            complaints.insert(format!("hung: {} {}", row.command, row.arguments), complaint);
        }
    };
    let rows = Mutex::new(ROWS.iter());
    let next = || rows.lock().expect("no check panics").next();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| std::iter::from_fn(next).for_each(check));
        }
    });
    pids.iter().for_each(|pid| signal("CONT", *pid));
}

/// The arguments of a row and the exit codes that it may end with, in one state.
type Codes = fn(&Row) -> (&'static str, &'static [i32]);

#[test]
fn every_command_ends_as_it_should_whether_the_network_is_up_or_not() {
    let complaints = Complaints::default();
    let run = |place: &Place, state: (&str, Way), codes: Codes| run_all(place, state, &complaints, codes);
    run(&Place::new("commands-bare", None), ("bare", Way::SideBySide), |row| match row.command {
        // It starts a network, which is no error and no end.
        "up" => ("--nodes 2", row.bare),
        _ => ("", row.bare),
    });
    let dir = TestDir::new("commands");
    let flags = ["--base-port", &free_bases(3).to_string(), "--no-restart"];
    let network = Network::run(dir.path(), &flags);
    for bank in ["alpha", "beta"] {
        network.event(&[&format!("bank {bank} has customers")]);
    }
    let place = Place::new("commands-place", Some(dir.path()));
    run(&place, ("up", Way::InOrder), |row| (row.arguments, row.up));
    for command in ["outbox retry", "outbox run"] {
        assert!(!stdout(&place.run(command, "")).is_empty(), "{command} says something also where nothing waits");
    }
    // What runs and what is taken.
    let base =
        network.node_of("alpha", 1)["http"].as_str().and_then(|http| http.rsplit_once(':')?.1.parse::<u16>().ok());
    let base = base.expect("it serves HTTP") - 1;
    for arguments in ["--json", &format!("--json --dir another --base-port {base}")] {
        assert_eq!(place.run("up", arguments).status.code(), Some(4), "{arguments}");
    }
    assert!(!place.dir.path().join("another").exists(), "nothing was founded in it");
    for group in ["alpha", "gateway"] {
        let pid = network.node_of(group, 1)["pid"].as_u64().expect("it runs");
        signal("KILL", u32::try_from(pid).expect("a process number"));
        crate::network::until("its end is noted", || network.node_of(group, 1)["pid"].as_u64().is_none().then_some(()));
    }
    // Whoever is left elects, and then serves.
    crate::network::until("somebody can sign in again", || {
        place.run("login", "alpha alice --password-file password").status.success().then_some(())
    });
    run(&place, ("partly up", Way::InOrder), |row| (row.arguments, row.partly));
    assert!(place.run("login", "alpha alice --password-file password").status.success());
    where_every_node_hangs(&network, &place, &complaints);
    crate::network::until("somebody can sign in again", || {
        place.run("login", "alpha alice --password-file password").status.success().then_some(())
    });
    assert!(network.stop().success());
    for (command, arguments) in [("pay", "bob@beta 1.00 --wait"), ("outbox run", "")] {
        let told = place.waits_for(command, arguments);
        assert!(told.starts_with("waiting for the gateway"), "{command}: {told}");
    }
    let told = place.waits_for("outbox run", "--json");
    let told: serde_json::Value = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"));
    assert!(told["waiting_for"][0].as_str().is_some_and(|whom| whom.starts_with("the gateway")), "{told}");
    assert!(told["seconds"].as_u64().is_some_and(|seconds| seconds >= 2), "{told}");
    // Nobody is there, which is said at once, and without a word of the system's.
    for (command, arguments) in [("bench", "--bank alpha"), ("bank add", "gamma")] {
        let output = place.run(command, arguments);
        assert_eq!(output.status.code(), Some(8), "{command}: {output:?}");
        assert!(!stderr(&output).contains("os error"), "{command}: {output:?}");
    }
    run(&place, ("down", Way::SideBySide), |row| (row.arguments, row.down));
    let complaints = complaints.into_inner().expect("no check panics");
    assert!(complaints.is_empty(), "{complaints:#?}");
}
