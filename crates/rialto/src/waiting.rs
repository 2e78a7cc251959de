//! Says on standard error for whom a command waits, from the second second on.
//!
//! ```text
//!   a terminal     one line, redrawn each second and rubbed out when the wait is over
//!   elsewhere      a line when it begins to be long, and again after 10, 30, 60 seconds and then every minute
//!   with --json    elsewhere, at the same moments: {"waiting_for":["node 2"],"seconds":2}; an error comes last
//! ```
//!
//! Whoever waits holds a [`Waiting`]. A thread of its own looks once in a while, so a command that computes, copies files or
//! hangs in a call is told of as well; where nothing waits for longer than that, nothing is ever written.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write, stderr};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::failure::prints_json;
use crate::plain::cell;

/// A wait is worth a word when it takes so long.
const WORTH_A_WORD: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(200);
/// Elsewhere than on a terminal a wait is told again when it has taken so many seconds, and then every minute.
const TOLD_AGAIN_AT_S: [u64; 3] = [10, 30, 60];

static WAITS: LazyLock<Mutex<Waits>> = LazyLock::new(|| {
    // The process ends without it: it writes to standard error and nothing else.
    std::thread::spawn(look_now_and_then);
    Mutex::new(Waits::default())
});

#[derive(Debug, Default)]
struct Waits {
    next: u64,
    open: BTreeMap<u64, Wait>,
    /// A line stands on the terminal.
    drawn: bool,
    /// Who was named elsewhere than on a terminal.
    said: BTreeSet<String>,
    /// For how many seconds it had been waited when that was last told.
    said_at_s: u64,
}

#[derive(Debug)]
struct Wait {
    whom: String,
    since: Instant,
}

/// Who is waited for now.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    whom: Vec<String>,
    seconds: u64,
}

/// Somebody is waited for, until this is dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct Waiting(u64);

/// `whom` ends a sentence that begins "waiting for …".
pub(crate) fn waiting_for(whom: impl Into<String>) -> Waiting {
    let mut waits = lock();
    waits.next += 1;
    let number = waits.next;
    waits.open.insert(number, Wait { whom: whom.into(), since: Instant::now() });
    Waiting(number)
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waits = lock();
        waits.open.remove(&self.0);
        if waits.open.is_empty() && std::mem::take(&mut waits.drawn) {
            write("\r\x1b[2K");
        }
    }
}

/// Before something else is written to the terminal: a line that stands there is rubbed out, and drawn again below.
pub(crate) fn make_room() {
    if std::mem::take(&mut lock().drawn) {
        write("\r\x1b[2K");
    }
}

fn lock() -> std::sync::MutexGuard<'static, Waits> {
    WAITS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn look_now_and_then() {
    let live = stderr().is_terminal();
    loop {
        std::thread::sleep(LOOK);
        let mut waits = lock();
        let Some(told) = waits.told(Instant::now()) else { continue };
        if live {
            waits.drawn = true;
            let width = rustix::termios::tcgetwinsize(stderr()).map_or(80, |size| usize::from(size.ws_col.max(20)));
            let line: String = cell(&told.sentence()).chars().take(width - 1).collect();
            write(&format!("\r\x1b[2K{line}"));
        } else if waits.is_news(&told) {
            let line = if prints_json() { told.json() } else { cell(&told.sentence()).into() };
            write(&format!("{line}\n"));
        }
    }
}

impl Waits {
    /// All that are waited for, and for how many seconds the longest.
    fn told(&self, now: Instant) -> Option<Told> {
        let long = |wait: &&Wait| now.saturating_duration_since(wait.since) >= WORTH_A_WORD;
        let seconds = self.open.values().map(|wait| now.saturating_duration_since(wait.since).as_secs()).max()?;
        let mut whom: Vec<String> = self.open.values().filter(long).map(|wait| wait.whom.clone()).collect();
        whom.sort_unstable();
        whom.dedup();
        (!whom.is_empty()).then_some(Told { whom, seconds })
    }

    /// Whether a log or a pipe gets the line: others are waited for, or it has become a longer wait.
    fn is_news(&mut self, told: &Told) -> bool {
        let step = |seconds: u64| {
            let begun = TOLD_AGAIN_AT_S.iter().filter(|at| seconds >= **at).count() as u64;
            begun + seconds.saturating_sub(60) / 60
        };
        // A bank whose nodes are asked in turn is one bank.
        let names = || told.whom.iter().flat_map(|whom| whom.split(", "));
        let is_new = names().any(|name| !self.said.contains(name));
        let is_news = is_new || step(self.said_at_s) < step(told.seconds);
        if is_news {
            self.said.extend(names().map(str::to_owned));
            self.said_at_s = told.seconds;
        }
        is_news
    }
}

impl Told {
    fn sentence(&self) -> String {
        format!("waiting for {} ({} s)", self.whom.join(", "), self.seconds)
    }

    /// The public shape, for a program that reads standard error.
    fn json(&self) -> String {
        format!(r#"{{"waiting_for":{},"seconds":{}}}"#, json!(self.whom), self.seconds)
    }
}

/// A terminal that is gone needs no words.
fn write(text: &str) {
    let mut err = stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(rows: &[(&str, u64)], now: Instant) -> Waits {
        let mut waits = Waits::default();
        for (number, (whom, seconds)) in (0..).zip(rows) {
            let since = now.checked_sub(Duration::from_secs(*seconds)).expect("the machine has run for that long");
            waits.open.insert(number, Wait { whom: (*whom).to_owned(), since });
        }
        waits
    }

    #[test]
    fn who_is_waited_for_is_told_from_the_second_second_on() {
        let now = Instant::now();
        assert_eq!(waits(&[("node 2", 1)], now).told(now), None);
        let one = waits(&[("node 2", 3), ("node 1", 0)], now).told(now);
        let one = one.map(|told| told.sentence());
        assert_eq!(one.as_deref(), Some("waiting for node 2 (3 s)"), "who answers at once is not named");
        let both = waits(&[("node 2", 3), ("node 1", 4)], now).told(now).expect("it takes long");
        assert_eq!(both.sentence(), "waiting for node 1, node 2 (4 s)");
        assert_eq!(both.json(), r#"{"waiting_for":["node 1","node 2"],"seconds":4}"#);
    }

    fn told(whom: &str, seconds: u64) -> Told {
        Told { whom: vec![whom.to_owned()], seconds }
    }

    #[test]
    fn a_log_gets_a_line_when_it_begins_when_others_are_meant_and_now_and_then() {
        let mut waits = Waits::default();
        let mut said = |seconds: u64, whom: &str| waits.is_news(&told(whom, seconds));
        let news: Vec<u64> = (2..=200).filter(|seconds| said(*seconds, "node 2")).collect();
        assert_eq!(news, [2, 10, 30, 60, 120, 180]);
        assert!(said(201, "node 3"));
    }

    #[test]
    fn whoever_is_asked_in_turn_is_named_once() {
        let mut waits = Waits::default();
        let asked = |seconds: u64| match seconds % 4 {
            0 | 1 => "bank beta".to_owned(),
            _ => format!("bank beta, its node at port {}", seconds / 4 % 3),
        };
        let news: Vec<u64> = (2..=36).filter(|at| waits.is_news(&told(&asked(*at), *at))).collect();
        assert_eq!(news, [2, 6, 10, 30]);
    }
}
