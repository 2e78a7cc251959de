//! The exit codes, in one table: of every command, of nodes, and of `rialto up`. The numbers are stable.

use std::process::ExitCode;

use clap::Args;

use crate::failure::Failure;

/// Why a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// Done as asked, or stopped in order.
    Done,
    /// The command ran and its answer is no, or something failed that has no code of its own.
    Failed,
    /// Flags, environment or configuration file do not make sense.
    Usage,
    /// A client told this node to shut down: whoever supervises it leaves it down.
    ToldToShutDown,
    /// A node or a network cannot start as it is set up: address taken, directory of another node, directory in use.
    CannotStart,
    /// The disk is full or failed; starting again goes on where it stopped.
    Disk,
    /// What is on disk is damaged: a person has to look.
    Damaged,
    /// The node was removed from its bank, and is needed no more: whoever supervises it leaves it down.
    Removed,
    /// Nobody who was asked can be reached, or can answer now; nothing was changed.
    Unreachable,
    /// Nobody is signed in, or the sign-in does not hold any more.
    NotSignedIn,
    /// The command may have been carried out: its outcome is not known.
    OutcomeUnknown,
    /// A broken invariant: the same code as a panic's.
    Bug,
    /// Somebody pressed Ctrl-C at a prompt: what a shell shows for a program that SIGINT ended.
    Interrupted,
    /// Whoever read standard output has gone: what a shell shows for a program that SIGPIPE ended.
    OutputClosed,
}

impl Code {
    /// All of them, in the order of their numbers.
    pub(crate) const ALL: [Code; 14] = [
        Code::Done,
        Code::Failed,
        Code::Usage,
        Code::ToldToShutDown,
        Code::CannotStart,
        Code::Disk,
        Code::Damaged,
        Code::Removed,
        Code::Unreachable,
        Code::NotSignedIn,
        Code::OutcomeUnknown,
        Code::Bug,
        Code::Interrupted,
        Code::OutputClosed,
    ];

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
            Code::Unreachable => 8,
            Code::NotSignedIn => 9,
            Code::OutcomeUnknown => 10,
            Code::Bug => 101,
            Code::Interrupted => 130,
            Code::OutputClosed => 141,
        }
    }

    /// The word that stands for it in errors as JSON.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Code::Done => "done",
            Code::Failed => "failed",
            Code::Usage => "usage",
            Code::ToldToShutDown => "told_to_shut_down",
            Code::CannotStart => "cannot_start",
            Code::Disk => "disk",
            Code::Damaged => "damaged",
            Code::Removed => "removed",
            Code::Unreachable => "unreachable",
            Code::NotSignedIn => "not_signed_in",
            Code::OutcomeUnknown => "outcome_unknown",
            Code::Bug => "bug",
            Code::Interrupted => "interrupted",
            Code::OutputClosed => "output_closed",
        }
    }

    /// What it means and what to do, as the help says it.
    const fn meaning(self) -> &'static str {
        match self {
            Code::Done => "done as asked; a node stopped in order (SIGTERM, Ctrl-C, or the parent's end)",
            Code::Failed => "the answer is no (refused, books differ), or failed in a way that has no code of its own",
            Code::Usage => "flags, environment or configuration file do not make sense",
            Code::ToldToShutDown => "a node was told to shut down by a client (POST /shutdown): leave it down",
            Code::CannotStart => "node or network cannot start: address taken, directory of another or in use",
            Code::Disk => "the disk is full or failed: nothing is lost, start the node again when there is room",
            Code::Damaged => "what is on disk is damaged: the message says what and where",
            Code::Removed => "a node was removed from the bank: leave it down, its directory may be deleted",
            Code::Unreachable => {
                "nobody who was asked can be reached or answer now; nothing was changed, try again later"
            }
            Code::NotSignedIn => "nobody is signed in, or not any more: rialto login BANK USER",
            Code::OutcomeUnknown => "it may have been done: the message says how to learn it; never order it anew",
            Code::Bug => "a bug: a broken invariant stops the process before money moves on",
            Code::Interrupted => "interrupted (Ctrl-C) at a prompt: nothing was done",
            Code::OutputClosed => {
                "whoever read the output has gone (`rialto history | head`); what was ordered goes on"
            }
        }
    }
}

impl Code {
    /// The code of a number, as another process told it.
    pub(crate) fn numbered(number: u8) -> Option<Code> {
        Code::ALL.into_iter().find(|code| code.number() == number)
    }

    /// What a refusal with this code of `docs/errors.md` means to whoever called the command.
    pub(crate) fn of_problem(problem: api::code::Code) -> Code {
        match problem {
            // These are of the status 400 for another reason than that the request makes no sense.
            api::code::Code::BrokenRequest | api::code::Code::DeadlinePassed => Code::Failed,
            other => match other.row().http {
                400 => Code::Usage,
                429 | 503 => Code::Unreachable,
                _ => Code::Failed,
            },
        }
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> ExitCode {
        ExitCode::from(code.number())
    }
}

/// The table as `rialto help exit-codes`, `rialto bank --help` and `rialto gateway --help` show it.
pub(crate) fn table() -> String {
    let rows = Code::ALL.map(|code| format!("  {:<5}{}", code.number(), code.meaning()));
    format!("Exit codes (stable):\n{}", rows.join("\n"))
}

/// Show what the exit codes mean
#[derive(Debug, Args)]
#[command(after_help = table())]
pub(crate) struct ExitCodesArgs {
    /// One JSON object a code instead of the table
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &ExitCodesArgs) -> Result<Code, Failure> {
    if !args.json {
        println!("{}", table());
        return Ok(Code::Done);
    }
    for code in Code::ALL {
        let row = serde_json::json!({ "exit": code.number(), "code": code.word(), "meaning": code.meaning() });
        println!("{row}");
    }
    Ok(Code::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn the_table_is_stable() {
        expect![[r#"
            Exit codes (stable):
              0    done as asked; a node stopped in order (SIGTERM, Ctrl-C, or the parent's end)
              1    the answer is no (refused, books differ), or failed in a way that has no code of its own
              2    flags, environment or configuration file do not make sense
              3    a node was told to shut down by a client (POST /shutdown): leave it down
              4    node or network cannot start: address taken, directory of another or in use
              5    the disk is full or failed: nothing is lost, start the node again when there is room
              6    what is on disk is damaged: the message says what and where
              7    a node was removed from the bank: leave it down, its directory may be deleted
              8    nobody who was asked can be reached or answer now; nothing was changed, try again later
              9    nobody is signed in, or not any more: rialto login BANK USER
              10   it may have been done: the message says how to learn it; never order it anew
              101  a bug: a broken invariant stops the process before money moves on
              130  interrupted (Ctrl-C) at a prompt: nothing was done
              141  whoever read the output has gone (`rialto history | head`); what was ordered goes on"#]]
        .assert_eq(&table());
    }

    #[test]
    fn a_request_that_makes_no_sense_is_wrong_usage_and_what_passes_is_not() {
        use api::code::Code as Problem;
        for (problem, code) in [
            (Problem::InvalidCursor, Code::Usage),
            (Problem::MalformedId, Code::Usage),
            (Problem::AmountNotANumber, Code::Usage),
            (Problem::BankUnavailable, Code::Unreachable),
            (Problem::TooManyPayments, Code::Unreachable),
            (Problem::UnknownPayment, Code::Failed),
            (Problem::DeadlinePassed, Code::Failed),
        ] {
            assert_eq!(Code::of_problem(problem), code, "{problem:?}");
        }
        assert_eq!(Code::ALL.map(|code| Code::numbered(code.number())), Code::ALL.map(Some));
    }

    #[test]
    fn every_number_and_every_word_stands_for_one_thing() {
        let mut numbers = Code::ALL.map(Code::number);
        numbers.sort_unstable();
        assert_eq!(numbers, Code::ALL.map(Code::number), "in the order of their numbers");
        let words: std::collections::BTreeSet<&str> = Code::ALL.iter().map(|code| code.word()).collect();
        let numbers: std::collections::BTreeSet<u8> = numbers.into_iter().collect();
        assert_eq!((words.len(), numbers.len()), (Code::ALL.len(), Code::ALL.len()));
    }
}
