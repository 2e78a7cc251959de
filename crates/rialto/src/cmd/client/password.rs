//! Where a password comes from: a file, the environment, the command line (with a warning), or a prompt without echo.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use api::client::Secret;
use clap::Args;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::oneshot;

use crate::environment;
use crate::failure::{Code, Failure};
use crate::plain::printable;

#[derive(Debug, Clone, Args)]
pub(crate) struct PasswordArgs {
    /// A file that holds the password on its first line
    #[arg(long, value_name = "FILE")]
    pub(super) password_file: Option<PathBuf>,
}

/// The one that was given, or else asked for.
pub(in crate::cmd) async fn password(
    args: &PasswordArgs,
    argument: Option<&str>,
    whose: &str,
) -> Result<Secret, Failure> {
    if let Some(text) = argument {
        eprintln!(
            "warning: a password on the command line is seen by everybody on this machine, and kept in histories"
        );
        return Ok(Secret::new(text));
    }
    if let Some(path) = &args.password_file {
        return from_file(path);
    }
    if let Some(text) = environment::text("RIALTO_PASSWORD") {
        return Ok(Secret::new(text));
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(format!("the password of {whose} is missing"))
            .line("give --password-file FILE, or RIALTO_PASSWORD in the environment"));
    }
    ask(format!("password of {whose}: ")).await
}

fn from_file(path: &Path) -> Result<Secret, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::unread("password file", path, &error).with_code(Code::Usage))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(Secret::new(line)),
        Some(_) | None => Err(Failure::usage(format!("the password file {} is empty", path.display()))),
    }
}

/// Asks on the terminal. Ctrl-C gives the terminal its echo back before the command ends.
async fn ask(prompt: String) -> Result<Secret, Failure> {
    let failed = |error: io::Error| Failure::new(format!("reading the password: {error}"));
    let _silence = Silence::new().map_err(failed)?;
    let (answer, answered) = oneshot::channel();
    // A thread of its own: a blocked read would hold up the runtime's end.
    std::thread::spawn(move || {
        let read = || {
            // Not locked while it reads: who ends the command in the meantime writes there, too.
            write!(io::stderr(), "{}", printable(&prompt))?;
            io::stderr().flush()?;
            let mut line = String::new();
            io::stdin().lock().read_line(&mut line)?;
            writeln!(io::stderr())?;
            Ok(line)
        };
        // Nobody waits any more after a Ctrl-C.
        let _ = answer.send(read());
    });
    tokio::select! {
        line = answered => {
            let line = line.unwrap_or_else(|_| Err(io::ErrorKind::UnexpectedEof.into())).map_err(failed)?;
            Ok(Secret::new(line.trim_end_matches(['\r', '\n'])))
        }
        _ = tokio::signal::ctrl_c() => {
            eprintln!();
            Err(Failure::new("interrupted at the password: nothing was done").with_code(Code::Interrupted))
        }
    }
}

/// A terminal that shows nothing of what is typed, as long as this lives.
struct Silence {
    before: Termios,
}

impl Silence {
    fn new() -> io::Result<Silence> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Silence { before })
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_dir::TestDir;

    #[test]
    fn the_first_line_of_a_file_is_the_password() {
        let dir = TestDir::new();
        let path = dir.path().join("password");
        std::fs::write(&path, "correct horse \nmore\n").expect("there is room");
        assert_eq!(from_file(&path).map(|secret| secret.expose().to_owned()), Ok("correct horse ".to_owned()));
        for empty in ["", "\n"] {
            std::fs::write(&path, empty).expect("there is room");
            assert!(from_file(&path).is_err());
        }
    }
}
