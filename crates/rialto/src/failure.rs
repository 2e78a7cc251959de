//! What a command says when it cannot do what it was asked, and the exit codes.
//!
//! A [`Failure`] is for people: what happened, then why as far as known and what to do next, one line each. It is
//! printed once, by `main`. Codes are stable: `rialto up`, service managers and scripts decide by them.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

/// Why a process ended. The numbers are stable and part of the help of `rialto bank`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// Done, or stopped in order.
    Done,
    /// The command ran and its answer is no, or something failed that has no code of its own.
    Failed,
    /// Flags, environment or configuration file do not make sense.
    Usage,
    /// A client told this node to shut down: whoever supervises it leaves it down.
    ToldToShutDown,
    /// The node cannot start as it is set up: address taken, directory of another node, directory in use.
    CannotStart,
    /// The disk is full or failed; starting again goes on where it stopped.
    Disk,
    /// What is on disk is damaged: a person has to look.
    Damaged,
    /// The node was removed from its bank, and is needed no more: whoever supervises it leaves it down.
    Removed,
    /// A broken invariant: the same code as a panic's.
    Bug,
}

impl Code {
    pub(crate) const fn number(self) -> u8 {
        match self {
            Code::Done => 0,
            Code::Failed => 1,
            Code::Usage => 2,
            Code::ToldToShutDown => 3,
            Code::CannotStart => 4,
            Code::Disk => 5,
            Code::Damaged => 6,
            Code::Removed => 7,
            Code::Bug => 101,
        }
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> ExitCode {
        ExitCode::from(code.number())
    }
}

/// The table of exit codes for `rialto bank --help`.
pub(crate) const CODES_HELP: &str = "\
Exit codes (stable):
  0    stopped in order (SIGTERM, Ctrl-C, or the parent's end with --exit-with-parent)
  1    failed in a way that has no code of its own
  2    flags, environment or configuration file do not make sense
  3    told to shut down by a client (POST /shutdown): leave it down
  4    cannot start as set up: address taken, directory of another node or in use
  5    the disk is full or failed: nothing is lost, start it again when there is room
  6    what is on disk is damaged: the message says what and where
  7    removed from the bank, which needs it no more: leave it down, its directory may be deleted
  101  a bug: a broken invariant stops the node before money moves on";

/// One sentence, the lines below it, and the code to end with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    code: Code,
    what: String,
    more: Vec<String>,
}

impl Failure {
    /// Something did not work; exit code 1.
    pub(crate) fn new(what: impl Into<String>) -> Failure {
        Failure { code: Code::Failed, what: what.into(), more: Vec::new() }
    }

    /// The caller asked for something that makes no sense; exit code 2.
    pub(crate) fn usage(what: impl Into<String>) -> Failure {
        Failure::new(what).with_code(Code::Usage)
    }

    /// A node cannot start as it is set up; exit code 4.
    pub(crate) fn cannot_start(what: impl Into<String>) -> Failure {
        Failure::new(what).with_code(Code::CannotStart)
    }

    pub(crate) fn with_code(mut self, code: Code) -> Failure {
        self.code = code;
        self
    }

    /// Adds a line: a cause, or what to do next.
    pub(crate) fn line(mut self, line: impl Into<String>) -> Failure {
        self.more.push(line.into());
        self
    }

    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// Writes it to stderr. A closed stderr is nothing to die of: the exit code still tells.
    pub(crate) fn print(&self) {
        let _ = writeln!(std::io::stderr().lock(), "error: {self}");
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
    fn exit_codes_are_stable_and_in_the_help() {
        let codes = [
            (Code::Done, 0),
            (Code::Failed, 1),
            (Code::Usage, 2),
            (Code::ToldToShutDown, 3),
            (Code::CannotStart, 4),
            (Code::Disk, 5),
            (Code::Damaged, 6),
            (Code::Removed, 7),
        ];
        for (code, number) in codes {
            assert_eq!(code.number(), number);
            assert!(CODES_HELP.contains(&format!("\n  {number}    ")), "{number} is missing in the help");
        }
    }

    #[test]
    fn a_failure_reads_as_a_sentence_and_what_to_do() {
        let failure = Failure::new("port 7101 is taken by another program").line("free the port");
        assert_eq!(failure.to_string(), "port 7101 is taken by another program\n  free the port");
    }
}
