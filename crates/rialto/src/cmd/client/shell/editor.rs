//! The line that is being typed: a thread of its own, so that nothing ever waits for the keyboard and nothing that comes
//! in between spoils the line.
//!
//! The thread reads one line each time it is asked to. News is printed above the line meanwhile, by the [`Printer`].

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError, mpsc as blocking};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use rustyline::completion::Completer;
use rustyline::config::{CompletionType, Config};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{Context, ExternalPrinter, Helper};
use tokio::sync::mpsc;

use super::line::WORDS;
use crate::failure::Failure;

/// What came from the keyboard.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    Line(String),
    /// Ctrl-C, or Ctrl-D on an empty line, or the end of a file that is read instead of a keyboard.
    Over,
}

/// What Tab offers beside the commands.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) payees: Vec<String>,
    pub(super) ids: Vec<String>,
}

/// Prints above the line that is being typed.
pub(super) type Printer = Box<dyn FnMut(String) + Send>;

#[derive(Debug)]
pub(super) struct Editor {
    ask: blocking::Sender<String>,
    typed: mpsc::Receiver<Typed>,
    known: Arc<Mutex<Known>>,
    terminal: Option<Restored>,
}

impl Editor {
    pub(super) fn start() -> Result<(Editor, Printer), Failure> {
        let failed = |error: ReadlineError| Failure::new(format!("reading from the terminal: {error}"));
        let terminal = std::io::stdin().is_terminal().then(Restored::remember).flatten();
        let known = Arc::new(Mutex::new(Known::default()));
        let config = Config::builder().completion_type(CompletionType::List).auto_add_history(true).build();
        let mut editor: rustyline::Editor<Help, MemHistory> =
            rustyline::Editor::with_history(config, MemHistory::new()).map_err(failed)?;
        editor.set_helper(Some(Help { known: known.clone() }));
        let printer: Printer = match editor.create_external_printer() {
            Ok(mut printer) => Box::new(move |text| {
                // A terminal that is gone is noticed by the thread that reads it.
                let _ = printer.print(format!("{text}\n"));
            }),
            Err(_) => Box::new(|text| println!("{text}")),
        };
        let (ask, asked) = blocking::channel::<String>();
        let (tell, typed) = mpsc::channel(1);
        std::thread::spawn(move || {
            while let Ok(prompt) = asked.recv() {
                let line = match editor.readline(&prompt) {
                    Ok(line) => Typed::Line(line),
                    Err(_) => Typed::Over,
                };
                if tell.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        Ok((Editor { ask, typed, known, terminal }, printer))
    }

    /// Asks for the next line; [`Editor::typed`] has it when it is there.
    pub(super) fn ask(&mut self, prompt: String, known: Known) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
        // A thread that has ended is noticed by `typed`.
        let _ = self.ask.send(prompt);
    }

    pub(super) async fn typed(&mut self) -> Typed {
        self.typed.recv().await.unwrap_or(Typed::Over)
    }

    /// Gives the terminal back as it was: a signal may come while a line is being typed.
    pub(super) fn restore(&self) {
        if let Some(terminal) = &self.terminal {
            terminal.restore();
        }
    }
}

/// The terminal's settings from before.
#[derive(Debug)]
struct Restored(Termios);

impl Restored {
    fn remember() -> Option<Restored> {
        tcgetattr(std::io::stdin()).ok().map(Restored)
    }

    fn restore(&self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// Completion of commands, of those who were paid before, and of ids.
struct Help {
    known: Arc<Mutex<Known>>,
}

impl Helper for Help {}
impl Highlighter for Help {}
impl Validator for Help {}

impl Hinter for Help {
    type Hint = String;
}

impl Completer for Help {
    type Candidate = String;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(complete(&line[..pos], &known))
    }
}

/// Where the word that is being typed begins, and what it may become.
fn complete(typed: &str, known: &Known) -> (usize, Vec<String>) {
    let start = typed.rfind(char::is_whitespace).map_or(0, |at| at + 1);
    let (before, word) = typed.split_at(start);
    let words: Vec<&str> = before.split_whitespace().collect();
    let candidates: Vec<&str> = match words.as_slice() {
        [] => WORDS.to_vec(),
        ["pay"] => known.payees.iter().map(String::as_str).collect(),
        ["drop" | "retry" | "payment"] => known.ids.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    };
    let fitting = candidates.into_iter().filter(|candidate| candidate.starts_with(word));
    (start, fitting.map(|candidate| format!("{candidate} ")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tab_offers_what_fits_there() {
        let known =
            Known { payees: vec!["bob@beta".to_owned(), "carol@alpha".to_owned()], ids: vec!["0190".to_owned()] };
        let offered = |typed: &str| complete(typed, &known);
        assert_eq!(offered("ba"), (0, vec!["balance ".to_owned()]));
        assert_eq!(offered("pay b"), (4, vec!["bob@beta ".to_owned()]));
        assert_eq!(offered("pay ").1.len(), 2);
        assert_eq!(offered("drop 01"), (5, vec!["0190 ".to_owned()]));
        assert_eq!(offered("pay bob@beta "), (13, vec![]));
        assert_eq!(offered("").1.len(), WORDS.len());
    }
}
