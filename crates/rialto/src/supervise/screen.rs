//! What `up` shows: a table that is redrawn in place on a terminal, one line an event elsewhere, JSON when asked.
//!
//! On a terminal everything below the first line belongs to the table: it is rubbed out and drawn again when it changed.
//! Lines are cut at the terminal's width, since a wrapped line could not be rubbed out.

use std::io::{IsTerminal, Write};
use std::time::SystemTime;

use super::story;
use crate::network::network_file::Kind;
use api::status::Mode;

/// Events that stay visible below the table, where there is room.
const EVENTS_SHOWN: usize = 6;
/// So many are shown whatever the size of the terminal.
const EVENTS_KEPT: usize = 2;

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) node: u16,
    pub(crate) role: String,
    pub(crate) health: Health,
    pub(crate) address: String,
    pub(crate) slots: Option<u64>,
    pub(crate) lag: Option<u64>,
    pub(crate) memory_bytes: Option<u64>,
    /// Why it is down, or what it suffers from.
    pub(crate) note: String,
}

/// Decides the colour of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    Leads,
    Fine,
    Waits,
    Down,
}

/// One bank's part of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BankPart {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) mode: Mode,
    pub(crate) url: String,
    pub(crate) rows: Vec<Row>,
}

/// All that is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) banks: Vec<BankPart>,
    /// Known when the network is ready.
    pub(crate) invitation: Option<Invitation>,
}

/// Where to go now: the page and commands that work as they stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invitation {
    pub(crate) page: String,
    pub(crate) commands: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colours {
    On,
    Off,
}

/// How things are shown.
#[derive(Debug)]
pub(crate) enum Screen {
    Terminal(Terminal),
    /// Events to standard output.
    Lines,
    /// One JSON line to standard output, events to standard error.
    Json,
}

#[derive(Debug)]
pub(crate) struct Terminal {
    drawn: Vec<String>,
    events: Vec<String>,
    colours: Colours,
}

impl Screen {
    pub(crate) fn choose(json: bool) -> Screen {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if json {
            Screen::Json
        } else if std::io::stdout().is_terminal() && !dumb {
            let colours = if std::env::var_os("NO_COLOR").is_some() { Colours::Off } else { Colours::On };
            Screen::Terminal(Terminal { drawn: Vec::new(), events: Vec::new(), colours })
        } else {
            Screen::Lines
        }
    }

    /// Something that is said once and stays.
    pub(crate) fn say(&mut self, line: &str) {
        match self {
            Screen::Terminal(terminal) => {
                terminal.rub_out();
                print(line);
            }
            Screen::Lines => print(line),
            Screen::Json => {
                let _ = writeln!(std::io::stderr().lock(), "{line}");
            }
        }
    }

    /// Something has happened.
    pub(crate) fn event(&mut self, what: &str) {
        let line = format!("{}  {what}", story::clock(SystemTime::now()));
        match self {
            Screen::Terminal(terminal) => {
                terminal.events.push(line);
                let surplus = terminal.events.len().saturating_sub(EVENTS_SHOWN);
                terminal.events.drain(..surplus);
            }
            Screen::Lines | Screen::Json => self.say(&line),
        }
    }

    /// The last word, below everything.
    pub(crate) fn farewell(&mut self, line: &str) {
        match self {
            Screen::Terminal(_) | Screen::Lines => print(line),
            Screen::Json => {}
        }
    }

    /// The network is ready: elsewhere than on a terminal this is when it is shown.
    pub(crate) fn ready(&mut self, picture: &Picture, network_json: &str) {
        match self {
            Screen::Terminal(_) => {}
            Screen::Lines => {
                for line in render(picture, Room::Enough, Colours::Off) {
                    print(&line);
                }
            }
            Screen::Json => print(network_json),
        }
    }

    /// Draws the table if it changed.
    pub(crate) fn draw(&mut self, picture: &Picture) {
        if let Screen::Terminal(terminal) = self {
            terminal.draw(picture);
        }
    }
}

impl Terminal {
    fn draw(&mut self, picture: &Picture) {
        let (width, height) = rustix::termios::tcgetwinsize(std::io::stdout())
            .map_or((80, 24), |size| (usize::from(size.ws_col.max(20)), usize::from(size.ws_row.max(4))));
        // What scrolled away could not be rubbed out: the last line is for the cursor, the rest has to fit above it.
        let lines = fitted(picture, &self.events, height - 1, self.colours);
        let lines: Vec<String> = lines.into_iter().map(|line| cut(&line, width - 1)).collect();
        if lines == self.drawn {
            return;
        }
        let mut out = rubber(self.drawn.len());
        for line in &lines {
            out.push_str(line);
            out.push('\n');
        }
        self.drawn = lines;
        write_out(&out);
    }

    fn rub_out(&mut self) {
        write_out(&rubber(self.drawn.len()));
        self.drawn.clear();
    }
}

/// Moves up over what was drawn and clears to the end of the screen.
fn rubber(lines: usize) -> String {
    if lines == 0 { String::new() } else { format!("\r\x1b[{lines}A\x1b[J") }
}

fn print(line: &str) {
    write_out(&format!("{line}\n"));
}

/// A reader that has gone (`up | head`) is no reason to stop the nodes.
fn write_out(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

/// Cuts to `width` visible characters; escape sequences take no room and are never cut in two.
fn cut(line: &str, width: usize) -> String {
    let mut out = String::new();
    let mut room = width;
    let mut in_escape = false;
    for c in line.chars() {
        if c == '\x1b' {
            in_escape = true;
        } else if !in_escape {
            if room == 0 {
                continue;
            }
            room -= 1;
        }
        out.push(c);
        if in_escape && c.is_ascii_alphabetic() {
            in_escape = false;
        }
    }
    out
}

/// Whether there is room for lines that only make it easier to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    Enough,
    Scarce,
}

/// The picture and below it what has happened, in so many lines: where they are too few, without what only spaces it out, then
/// without the oldest events; what to try and the newest events are the last to go.
fn fitted(picture: &Picture, events: &[String], height: usize, colours: Colours) -> Vec<String> {
    let indented = |events: &[String]| events.iter().map(|event| format!("  {event}")).collect::<Vec<String>>();
    let mut lines = render(picture, Room::Enough, colours);
    if lines.len() + 1 + events.len() <= height {
        lines.push(String::new());
        lines.extend(indented(events));
        return lines;
    }
    let mut lines = render(picture, Room::Scarce, colours);
    let room = height.saturating_sub(lines.len()).max(EVENTS_KEPT).min(events.len()).min(height);
    // The rows of nodes are above what is to be tried.
    let surplus = (lines.len() + room).saturating_sub(height);
    let first_row = lines.len().min(2);
    let end = (first_row + surplus).min(lines.len());
    lines.drain(first_row.min(end)..end);
    lines.extend(indented(&events[events.len() - room..]));
    lines.truncate(height);
    lines
}

fn render(picture: &Picture, room: Room, colours: Colours) -> Vec<String> {
    let mut lines = Vec::new();
    for (index, bank) in picture.banks.iter().enumerate() {
        if room == Room::Enough {
            lines.push(String::new());
        }
        let mode = bank.mode.text();
        let title = match bank.kind {
            Kind::Bank => format!("bank {}", paint(&bank.name, "1", colours)),
            Kind::Gateway => paint(&bank.name, "1", colours),
        };
        lines.push(format!("  {title}   {mode} mode   {}", bank.url));
        let header = format!(
            "    {:<5}  {:<9}  {:<16}  {:>11}  {:>7}  {:>8}",
            "node", "role", "address", "slots", "lag", "memory"
        );
        if room == Room::Enough || index == 0 {
            lines.push(paint(&header, "2", colours));
        }
        lines.extend(bank.rows.iter().map(|row| render_row(row, colours)));
    }
    if let Some(invitation) = &picture.invitation {
        if room == Room::Enough {
            lines.push(String::new());
        }
        lines.push(format!("  page      {}", paint(&invitation.page, "4", colours)));
        let width = invitation
            .commands
            .iter()
            .map(|(command, _)| command.chars().count())
            .filter(|w| *w < 40)
            .max()
            .unwrap_or(0);
        for (index, (command, why)) in invitation.commands.iter().enumerate() {
            let label = if index == 0 { "try" } else { "" };
            lines.push(format!("  {label:<8}  {command:<width$}   {}", paint(why, "2", colours)).trim_end().to_owned());
        }
        let note = "whoever is on this machine may open, deposit and shut down, unasked";
        lines.push(paint(&format!("  demo      {note}"), "2", colours));
    }
    lines
}

fn render_row(row: &Row, colours: Colours) -> String {
    let figure = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), grouped);
    let memory = row.memory_bytes.map_or_else(|| "-".to_owned(), |bytes| format!("{} MB", bytes.div_ceil(1_000_000)));
    let role = paint(&format!("{:<9}", row.role), colour(row.health), colours);
    let (node, slots, lag) = (row.node, figure(row.slots), figure(row.lag));
    format!("    {node:<5}  {role}  {:<16}  {slots:>11}  {lag:>7}  {memory:>8}   {}", row.address, row.note)
        .trim_end()
        .to_owned()
}

fn colour(health: Health) -> &'static str {
    match health {
        Health::Leads => "1;32",
        Health::Fine => "32",
        Health::Waits => "33",
        Health::Down => "31",
    }
}

fn paint(text: &str, code: &str, colours: Colours) -> String {
    match colours {
        Colours::On if !text.is_empty() => format!("\x1b[{code}m{text}\x1b[0m"),
        Colours::On | Colours::Off => text.to_owned(),
    }
}

/// `1284` → `1 284`.
pub(crate) fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn picture() -> Picture {
        let row = |node: u16, role: &str, health| Row {
            node,
            role: role.to_owned(),
            health,
            address: format!("127.0.0.1:710{node}"),
            slots: Some(1284),
            lag: Some(0),
            memory_bytes: Some(20_100_000),
            note: String::new(),
        };
        let down = Row {
            slots: None,
            lag: None,
            memory_bytes: None,
            note: "SIGKILL, starts again in 5 s".to_owned(),
            ..row(3, "died", Health::Down)
        };
        Picture {
            banks: vec![BankPart {
                name: "alpha".to_owned(),
                kind: Kind::Bank,
                mode: Mode::Leader,
                url: "http://127.0.0.1:7100".to_owned(),
                rows: vec![row(1, "leader", Health::Leads), row(2, "follower", Health::Fine), down],
            }],
            invitation: Some(Invitation {
                page: "http://127.0.0.1:7100/".to_owned(),
                commands: vec![
                    ("curl -X POST http://127.0.0.1:7100/open_account".to_owned(), String::new()),
                    ("kill -9 48213".to_owned(), "the leader; watch what happens".to_owned()),
                ],
            }),
        }
    }

    #[test]
    fn the_table_reads_like_this() {
        // The bar shows where a line begins.
        let lines: Vec<String> =
            render(&picture(), Room::Enough, Colours::Off).into_iter().map(|line| format!("|{line}\n")).collect();
        expect![[r#"
            |
            |  bank alpha   leader mode   http://127.0.0.1:7100
            |    node   role       address                 slots      lag    memory
            |    1      leader     127.0.0.1:7101          1 284        0     21 MB
            |    2      follower   127.0.0.1:7102          1 284        0     21 MB
            |    3      died       127.0.0.1:7103              -        -         -   SIGKILL, starts again in 5 s
            |
            |  page      http://127.0.0.1:7100/
            |  try       curl -X POST http://127.0.0.1:7100/open_account
            |            kill -9 48213   the leader; watch what happens
            |  demo      whoever is on this machine may open, deposit and shut down, unasked
        "#]]
        .assert_eq(&lines.concat());
    }

    /// Two banks and a gateway of three nodes each, as `up` starts them.
    fn network() -> Picture {
        let one = picture();
        let row = |node| Row { node, note: String::new(), ..one.banks[0].rows[1].clone() };
        let group = |name: &str, kind| BankPart {
            name: name.to_owned(),
            kind,
            rows: (1..=3).map(row).collect(),
            ..one.banks[0].clone()
        };
        let commands = ["login", "pay", "balance", "history", "kill -9 48213"];
        let banks = vec![group("alpha", Kind::Bank), group("beta", Kind::Bank), group("gateway", Kind::Gateway)];
        let commands = commands.map(|command| (command.to_owned(), String::new())).to_vec();
        Picture { banks, invitation: Some(Invitation { commands, ..one.invitation.expect("it has one") }) }
    }

    #[test]
    fn on_a_terminal_of_24_lines_everything_to_try_is_seen_and_what_happened_last() {
        let events: Vec<String> = (1..=6).map(|number| format!("event {number}")).collect();
        let shown = fitted(&network(), &events, 23, Colours::Off);
        assert!(shown.len() <= 23, "{shown:#?}");
        let text = shown.join("\n");
        for part in ["page", "login", "history", "kill -9", "demo", "event 5", "event 6"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(text.matches("follower").count(), 9, "every node has its row: {text}");
        assert!(shown.iter().all(|line| line.len() < 80), "no line is cut: {text}");
        let small = fitted(&network(), &events, 10, Colours::Off);
        assert!(small.len() <= 10 && small.join("\n").contains("event 6"), "{small:#?}");
        let large = fitted(&network(), &events, 60, Colours::Off);
        assert!(events.iter().all(|event| large.join("\n").contains(event)), "there is room for all: {large:#?}");
    }

    #[test]
    fn colours_take_no_room_and_are_never_cut() {
        let line = paint("leader", "1;32", Colours::On) + " and more";
        assert_eq!(cut(&line, 8), "\x1b[1;32mleader\x1b[0m a");
        assert_eq!(cut(&line, 3), "\x1b[1;32mlea\x1b[0m");
    }

    #[test]
    fn without_colours_there_is_no_escape_sequence() {
        assert!(!render(&picture(), Room::Enough, Colours::Off).concat().contains('\x1b'));
        assert!(render(&picture(), Room::Enough, Colours::On).concat().contains('\x1b'));
    }

    #[test]
    fn large_figures_are_grouped() {
        assert_eq!([7, 1284, 1_000_000].map(grouped), ["7", "1 284", "1 000 000"]);
    }
}
