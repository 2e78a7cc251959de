//! The line that is being typed: a thread of its own, so that nothing ever waits for the keyboard and nothing that comes
//! in between spoils the line.
//!
//! The thread gives one line each time it is asked to. Lines that came together are given one after the other: what was
//! typed ahead stays in the editor's buffer, and a paste of several lines is cut into them. News is printed above the line
//! meanwhile, by the [`Printer`]. A line with a byte that is not UTF-8 is refused whole, whatever it comes from: what was left
//! of it might be another order.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{self, BufRead, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError, mpsc as blocking};

use rustyline::completion::Completer;
use rustyline::config::{CompletionType, Config};
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{Context, ExternalPrinter, Helper};
use tokio::sync::mpsc;

use super::line::WORDS;
use super::marks::{self, byte_of};
use super::terminal::{Between, Seat};
use crate::failure::Failure;
use crate::plain::printable;

/// What came from the keyboard.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    Line(String),
    /// A line that is no text, and why.
    Refused(String),
    /// Ctrl-C or Ctrl-D on an empty line, or the end of a file that is read instead of a keyboard.
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
    seat: Option<Arc<Seat>>,
}

impl Editor {
    pub(super) fn start() -> Result<(Editor, Printer), Failure> {
        let known = Arc::new(Mutex::new(Known::default()));
        let seat = match io::stdin().is_terminal() {
            true => Some(Arc::new(Seat::take().map_err(|error| of_terminal(&error))?)),
            false => None,
        };
        let (mut keyboard, printer) = match &seat {
            Some(seat) if !is_simple() => typing(seat.clone(), known.clone())?,
            Some(_) => (Keyboard::Plain { prompts: true }, plain_printer()),
            None => (Keyboard::Plain { prompts: false }, plain_printer()),
        };
        let (ask, asked) = blocking::channel::<String>();
        let (tell, typed) = mpsc::channel(1);
        std::thread::spawn(move || {
            while let Ok(prompt) = asked.recv() {
                if tell.blocking_send(keyboard.next(&prompt)).is_err() {
                    return;
                }
            }
        });
        Ok((Editor { ask, typed, known, seat }, printer))
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

    /// Whether somebody types, and sees what comes of it.
    pub(super) fn is_at_a_terminal(&self) -> bool {
        self.seat.is_some()
    }

    /// Gives the terminal back as it was: a signal may come while a line is being typed.
    pub(super) fn restore(&self) {
        if let Some(seat) = &self.seat {
            seat.restore();
        }
    }
}

fn of_terminal(error: &dyn std::error::Error) -> Failure {
    Failure::new(format!("reading from the terminal: {error}")).line("lines from a file need none: rialto shell < FILE")
}

/// A terminal on which no line can be edited.
fn is_simple() -> bool {
    let term = std::env::var_os("TERM").unwrap_or_default();
    ["dumb", "cons25", "emacs"].iter().any(|simple| term.eq_ignore_ascii_case(simple))
}

fn plain_printer() -> Printer {
    Box::new(|text| println!("{text}"))
}

fn typing(seat: Arc<Seat>, known: Arc<Mutex<Known>>) -> Result<(Keyboard, Printer), Failure> {
    let failed = |error: ReadlineError| of_terminal(&error);
    let line = Arc::new(Mutex::new(String::new()));
    let config = Config::builder().completion_type(CompletionType::List).auto_add_history(true).build();
    let mut editor: rustyline::Editor<Help, MemHistory> =
        rustyline::Editor::with_history(config, MemHistory::new()).map_err(failed)?;
    editor.set_helper(Some(Help { known, line: line.clone() }));
    let printer: Printer = match editor.create_external_printer() {
        Ok(mut printer) => Box::new(move |text| {
            // A terminal that is gone is noticed by the thread that reads it.
            let _ = printer.print(format!("{}\n", printable(&text)));
        }),
        Err(_) => plain_printer(),
    };
    let between = Between::new(seat).map_err(|error| of_terminal(&error))?;
    Ok((Keyboard::Typing(Box::new(Typing { editor, between, line, lines: VecDeque::new() })), printer))
}

/// The thread's own: what is read, line by line.
enum Keyboard {
    Typing(Box<Typing>),
    /// A file or a pipe; or a terminal on which nothing can be edited, which shows a prompt.
    Plain {
        prompts: bool,
    },
}

impl Keyboard {
    fn next(&mut self, prompt: &str) -> Typed {
        match self {
            Keyboard::Typing(typing) => typing.next(prompt),
            Keyboard::Plain { prompts } => {
                if *prompts {
                    print!("{prompt}");
                    // A terminal that is gone is noticed when it is read.
                    let _ = io::stdout().flush();
                }
                read_line(io::stdin().lock())
            }
        }
    }
}

fn read_line(mut from: impl BufRead) -> Typed {
    let mut line = Vec::new();
    match from.read_until(b'\n', &mut line) {
        Ok(1..) => {
            let end = line.iter().rposition(|byte| !b"\r\n".contains(byte)).map_or(0, |at| at + 1);
            line.truncate(end);
            marks::text_of(line).map_or_else(Typed::Refused, Typed::Line)
        }
        Ok(0) | Err(_) => Typed::Over,
    }
}

struct Typing {
    editor: rustyline::Editor<Help, MemHistory>,
    between: Between,
    /// What stands on the line that is being typed.
    line: Arc<Mutex<String>>,
    /// Lines that came together with one that was given already.
    lines: VecDeque<String>,
}

impl Typing {
    fn next(&mut self, prompt: &str) -> Typed {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return marks::checked(line).map_or_else(Typed::Refused, Typed::Line);
            }
            self.line.lock().unwrap_or_else(PoisonError::into_inner).clear();
            let editor = &mut self.editor;
            let read = self.between.during(|| editor.readline(prompt)).unwrap_or_else(|error| Err(error.into()));
            let standing = std::mem::take(&mut *self.line.lock().unwrap_or_else(PoisonError::into_inner));
            match read {
                // A paste comes as one text.
                Ok(text) => self.lines = text.split('\n').map(str::to_owned).collect(),
                // As in other shells: the line is cleared, and only on an empty one it is an end.
                Err(ReadlineError::Interrupted) if !standing.is_empty() => {}
                Err(_) => return Typed::Over,
            }
        }
    }
}

/// Completion of commands, of those who were paid before, and of ids.
struct Help {
    known: Arc<Mutex<Known>>,
    line: Arc<Mutex<String>>,
}

impl Helper for Help {}

/// A byte that is no text is seen as one: of the same width as its mark.
impl Highlighter for Help {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        if !line.contains(|character| byte_of(character).is_some()) {
            return Cow::Borrowed(line);
        }
        let shown = |character| if byte_of(character).is_some() { char::REPLACEMENT_CHARACTER } else { character };
        Cow::Owned(line.chars().map(shown).collect())
    }

    fn highlight_char(&self, line: &str, _: usize, _: CmdKind) -> bool {
        line.contains(|character| byte_of(character).is_some())
    }
}

impl Validator for Help {}

/// There are no hints; but whoever gives them is shown the line after each key.
impl Hinter for Help {
    type Hint = String;

    fn hint(&self, line: &str, _: usize, _: &Context<'_>) -> Option<String> {
        line.clone_into(&mut self.line.lock().unwrap_or_else(PoisonError::into_inner));
        None
    }
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
