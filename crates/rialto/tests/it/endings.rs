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
        let error: Value = serde_json::from_str(&stderr(&output)).unwrap_or_else(|_| panic!("{output:?}"));
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
