//! How commands end: the exit code, the error as words and as JSON, and what happens when nobody reads any more.

use std::io::Read;
use std::process::Stdio;

use serde_json::Value;

use crate::network::{TestDir, rialto, run, stderr, stdout};

#[test]
fn an_error_is_one_json_object_for_whoever_asks_for_json() {
    let dir = TestDir::new("json-errors");
    let dir = dir.path().to_str().expect("UTF-8");
    let rows: [(&[&str], &str, i32); 5] = [
        (&["balance", "--json", "--dir", dir], "token_missing", 9),
        (&["balance", "--json", "--nonsense"], "usage", 2),
        (&["pay", "--json"], "usage", 2),
        (&["outbox", "drop", "018f3a2c-1b2d-7c3e-9f40-112233445566", "--json", "--dir", dir], "token_missing", 9),
        (&["status", "--json", "--dir", dir], "failed", 1),
    ];
    for (arguments, code, exit) in rows {
        let output = run(arguments);
        // A machine that is slow may have something to wait for before that.
        let said = stderr(&output);
        let last = said.lines().last().unwrap_or_default();
        let error: Value = serde_json::from_str(last).unwrap_or_else(|_| panic!("{output:?}"));
        let error = &error["error"];
        assert_eq!((&error["code"], &error["exit"]), (&code.into(), &exit.into()), "{arguments:?}: {error}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{error}");
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(exit), ""), "{arguments:?}");
        // What is asked for as text is told as text.
        let text = run(&arguments.iter().copied().filter(|argument| *argument != "--json").collect::<Vec<_>>());
        assert!(stderr(&text).starts_with("error: "), "{text:?}");
        assert_eq!(text.status.code(), Some(exit), "{arguments:?}");
    }
}

#[test]
fn where_nobody_can_be_reached_the_exit_code_says_so() {
    // Nobody listens there, and only root could.
    let nobody = ["--url", "http://127.0.0.1:1", "--timeout", "1"];
    for command in [&["status"][..], &["audit"], &["status", "--json"], &["audit", "--json"], &["members"]] {
        let output = run(&[command, &nobody].concat());
        assert_eq!(output.status.code(), Some(8), "{command:?}: {output:?}");
    }
}

#[test]
fn what_is_made_is_one_json_object_for_whoever_asks_for_json() {
    let dir = TestDir::new("json-made");
    let told = |arguments: &[&str]| {
        let mut command = rialto();
        let output = command.args(arguments).arg("--json").current_dir(dir.path()).output().expect("it starts");
        let text = if output.status.success() { stdout(&output) } else { stderr(&output) };
        let value: Value = serde_json::from_str(text.lines().last().unwrap_or_default())
            .unwrap_or_else(|_| panic!("{arguments:?}: {output:?}"));
        assert_eq!(value.get("error").is_none(), output.status.success(), "{arguments:?}: {output:?}");
        value
    };
    let node = ["--name", "main", "--node", "1", "--nodes", "3", "--data"];
    for kind in ["bank", "gateway"] {
        let init = |data: &'static str| told(&[&[kind, "init"][..], &node, &[data]].concat());
        let made = init(kind);
        assert_eq!((&made["kind"], &made["group"], &made["node"]), (&kind.into(), &"main".into(), &1.into()));
        assert_eq!((&made["nodes"], &made["mode"], &made["data"]), (&3.into(), &"leader".into(), &kind.into()));
        assert_eq!(made["cluster"].as_str().map(str::len), Some(36), "{made}");
        assert_eq!(init(kind)["error"]["code"], "cannot_start", "it is there already");
    }
    let cluster = "018f2f6c-0000-7000-8000-000000000001";
    let joins = ["bank", "init", "--name", "main", "--node", "4", "--join", "--cluster", cluster, "--data", "joins"];
    let made = told(&joins);
    assert_eq!((&made["cluster"], &made["nodes"], &made["mode"]), (&cluster.into(), &Value::Null, &Value::Null));

    let subjects = |made: &Value| {
        let rows = made["certificates"].as_array().expect("a list").iter();
        rows.map(|row| row["subject"].as_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(subjects(&told(&["certs", "init"])), ["ca"]);
    assert_eq!(subjects(&told(&["certs", "issue", "client", "operator/anna"])), ["client", "operator/anna"]);
    assert_eq!(subjects(&told(&["certs", "rotate", "client"])), ["client"]);
    assert_eq!(subjects(&told(&["certs", "show", "client"])), ["client"]);
    assert_eq!(told(&["certs", "init"])["error"]["code"], "failed");
    assert_eq!(told(&["certs", "issue", "client"])["error"]["code"], "failed");
    assert_eq!(told(&["bank", "add", "gamma"])["error"]["exit"], 8, "no rialto up runs there");
    assert_eq!(told(&["user", "lock", "bob"])["error"]["code"], "failed");
}

#[test]
fn a_reader_that_has_gone_ends_a_command_quietly() {
    for arguments in [&["--help"][..], &["exit-codes"], &["help", "exit-codes"], &["exit-codes", "--json"]] {
        let mut command = rialto();
        // Gone before it starts: else a quick command has written everything by then.
        let (reader, writer) = std::io::pipe().expect("there is room");
        drop(reader);
        command.args(arguments).stdout(writer).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut said = String::new();
        child.stderr.take().expect("it is piped").read_to_string(&mut said).expect("UTF-8");
        let status = child.wait().expect("it ends");
        assert_eq!((status.code(), said.as_str()), (Some(141), ""), "{arguments:?}");
    }
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let full = std::fs::File::options().write(true).open("/dev/full").expect("it is there");
    let output = rialto().arg("exit-codes").stdout(full).output().expect("it starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("error: writing to standard output: "), "{output:?}");
    // A standard error that nobody takes is nothing to die of.
    let full = std::fs::File::options().write(true).open("/dev/full").expect("it is there");
    let output = rialto().args(["pay", "--json"]).stderr(full).output().expect("it starts");
    assert_eq!(output.status.code(), Some(2));
}
