//! What a command says when it cannot do what it was asked.
//!
//! A [`Failure`] is for people: what happened, then why as far as known and what to do next, one line each. It is
//! printed once, by `main`, on standard error; with `--json` as one JSON object, for programs. Which exit codes there are
//! is in `exit_codes`.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

pub(crate) use crate::exit_codes::Code;

/// Whether this command was asked for JSON.
static AS_JSON: AtomicBool = AtomicBool::new(false);

/// From now on failures are printed as JSON: the command has the flag `--json`.
pub(crate) fn print_as_json() {
    AS_JSON.store(true, Ordering::Relaxed);
}

/// Whether a program reads what this command says on standard error.
pub(crate) fn prints_json() -> bool {
    AS_JSON.load(Ordering::Relaxed)
}

/// One sentence, the lines below it, and the code to end with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    code: Code,
    /// The stable code of `docs/errors.md`, where a node or the gateway gave one.
    problem: Option<String>,
    what: String,
    more: Vec<String>,
}

impl Failure {
    /// Something did not work; exit code 1.
    pub(crate) fn new(what: impl Into<String>) -> Failure {
        Failure { code: Code::Failed, problem: None, what: what.into(), more: Vec::new() }
    }

    /// The caller asked for something that makes no sense; exit code 2.
    pub(crate) fn usage(what: impl Into<String>) -> Failure {
        Failure::new(what).with_code(Code::Usage)
    }

    /// A file or directory that somebody named cannot be read: the system's own words help nobody who mistyped its name.
    pub(crate) fn unread(what: &str, path: &Path, error: &io::Error) -> Failure {
        let path = path.display();
        match error.kind() {
            io::ErrorKind::NotFound => {
                Failure::new(format!("there is no {what} {path}")).line("see whether its name is right")
            }
            io::ErrorKind::PermissionDenied => Failure::new(format!("the {what} {path} may not be read by this user"))
                .line("see whose it is, and run this as that user"),
            _ => Failure::new(format!("reading the {what} {path}: {error}")),
        }
    }

    /// A node cannot start as it is set up; exit code 4.
    pub(crate) fn cannot_start(what: impl Into<String>) -> Failure {
        Failure::new(what).with_code(Code::CannotStart)
    }

    /// Nobody who was asked can be reached, or can answer now, and nothing was changed; exit code 8.
    pub(crate) fn unreachable(what: impl Into<String>) -> Failure {
        Failure::new(what).with_code(Code::Unreachable)
    }

    pub(crate) fn with_code(mut self, code: Code) -> Failure {
        self.code = code;
        self
    }

    /// Names the stable code of `docs/errors.md` that a node or the gateway gave.
    pub(crate) fn with_problem(mut self, problem: api::code::Code) -> Failure {
        self.problem = Some(problem.text().to_owned());
        self
    }

    /// Adds a line: a cause, or what to do next.
    pub(crate) fn line(mut self, line: impl Into<String>) -> Failure {
        self.more.push(line.into());
        self
    }

    /// The sentence alone.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// Writes it to stderr. A closed stderr is nothing to die of: the exit code still tells.
    pub(crate) fn print(&self) {
        if prints_json() {
            eprintln!("{}", self.to_json());
        } else {
            eprintln!("error: {self}");
        }
    }

    /// The public shape of an error. `code` is that of `docs/errors.md` where there is one, or else the word of the exit code.
    fn to_json(&self) -> serde_json::Value {
        let code = self.problem.as_deref().unwrap_or(self.code.word());
        json!({ "error": { "code": code, "exit": self.code.number(), "message": self.what, "more": self.more } })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        for line in &self.more {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_reads_as_a_sentence_and_what_to_do() {
        let failure = Failure::new("port 7101 is in use").line("free the port");
        assert_eq!(failure.to_string(), "port 7101 is in use\n  free the port");
    }

    #[test]
    fn as_json_a_failure_names_its_code_and_its_exit_code() {
        let failure = Failure::unreachable("no node answers").line("try again later");
        let shape =
            r#"{"error":{"code":"unreachable","exit":8,"message":"no node answers","more":["try again later"]}}"#;
        assert_eq!(failure.to_json().to_string(), shape);
        let given = failure.with_problem(api::code::Code::BankUnavailable).to_json();
        assert_eq!((&given["error"]["code"], &given["error"]["exit"]), (&"bank_unavailable".into(), &8.into()));
    }

    #[test]
    fn a_file_that_is_missing_or_another_users_is_told_without_the_systems_words() {
        for kind in [io::ErrorKind::NotFound, io::ErrorKind::PermissionDenied] {
            let said = Failure::unread("password file", Path::new("secret.txt"), &io::Error::from(kind)).to_string();
            assert!(said.contains("password file secret.txt") && !said.contains("os error"), "{said}");
        }
    }
}
