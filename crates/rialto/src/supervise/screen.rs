//! What `up` shows: a table that is redrawn in place on a terminal, one line an event elsewhere, JSON when asked.
//!
//! On a terminal everything below the first line belongs to the table: it is rubbed out and drawn again when it changed. What
//! is longer than the terminal is wide is broken here, at spaces, since a line that the terminal breaks could not be rubbed
//! out; commands are broken so that they can still be pasted.

use std::io::{IsTerminal, Write};
use std::time::SystemTime;

use super::columns::{broken, cut};
use super::story;
use crate::network::network_file::Kind;
use crate::plain::{self, grouped};
use api::status::Mode;

/// Events that stay visible below the table, where there is room.
const EVENTS_SHOWN: usize = 6;
/// So many have a line before what is to be tried.
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
    /// What does not work at present beside the nodes.
    pub(crate) troubles: Vec<String>,
}

/// The room that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size {
    width: usize,
    height: usize,
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
    /// Lines above the table that stay in sight as long as no node has to give way for them.
    said: usize,
    colours: Colours,
}

impl Screen {
    pub(crate) fn choose(json: bool) -> Screen {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if json {
            Screen::Json
        } else if std::io::stdout().is_terminal() && !dumb {
            let colours = if std::env::var_os("NO_COLOR").is_some() { Colours::Off } else { Colours::On };
            Screen::Terminal(Terminal { drawn: Vec::new(), events: Vec::new(), said: 0, colours })
        } else {
            Screen::Lines
        }
    }

    /// Something that is said once and stays.
    pub(crate) fn say(&mut self, line: &str) {
        match self {
            Screen::Terminal(terminal) => {
                terminal.rub_out();
                terminal.said += 1;
                print(line);
            }
            Screen::Lines => print(line),
            Screen::Json => {
                let _ = writeln!(std::io::stderr().lock(), "{}", plain::printable(line));
            }
        }
    }

    /// Something has happened.
    pub(crate) fn event(&mut self, what: &str) {
        let line = format!("{}  {}", story::clock(SystemTime::now()), plain::cell(what));
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
                for line in render(picture, Colours::Off, usize::MAX) {
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
        let whole = Size { width: width - 1, height: height - 1 };
        let below = Size { height: whole.height.saturating_sub(self.said), ..whole };
        let has_room = render_nodes(picture, Detail::Rows, self.colours, below.width).len() <= below.height;
        let size = if has_room { below } else { whole };
        let lines = fitted(picture, &self.events, size, self.colours);
        // A word alone may be longer than the terminal is wide.
        let lines: Vec<String> = lines.into_iter().map(|line| cut(&line, width - 1)).collect();
        if lines == self.drawn {
            return;
        }
        let mut out = rubber(self.drawn.len());
        for line in &lines {
            out.push_str(&plain::printable(line));
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
    write_out(&format!("{}\n", plain::printable(line)));
}

/// A reader that has gone (`up | head`) is no reason to stop the nodes.
fn write_out(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

/// How much of the nodes is told; each step takes fewer lines than the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Detail {
    /// A row for each node, and empty lines between the banks.
    Spaced,
    /// A row for each node.
    Rows,
    /// A bank with nothing to tell is one line.
    FineBanksFolded,
    /// The same, and no note goes on in a second line.
    NotesCut,
    /// Rows only of nodes with something to tell, and banks with such nodes first.
    OnlyTrouble,
}

impl Detail {
    /// Where there is too little room for all, in the order in which they are tried.
    const SCARCE: [Detail; 4] = [Detail::Rows, Detail::FineBanksFolded, Detail::NotesCut, Detail::OnlyTrouble];
}

/// Where the text of an event begins, behind its time.
const EVENT_TEXT: usize = 13;

/// The picture and below it what has happened, in so many lines. The nodes come first: what they need is there before anything
/// else has a line, and only where they alone are too many are those that are fine folded. What is left goes to the newest
/// event, to problems, to the event before it, to the page and what to try, and last to older events.
fn fitted(picture: &Picture, events: &[String], size: Size, colours: Colours) -> Vec<String> {
    let Size { width, height } = size;
    let told: Vec<Vec<String>> =
        events.iter().map(|event| broken(&format!("  {event}"), width, (EVENT_TEXT, ""))).collect();
    let mut lines = render(picture, colours, width);
    if lines.len() + 1 + told.iter().map(Vec::len).sum::<usize>() <= height {
        lines.push(String::new());
        lines.extend(told.into_iter().flatten());
        return lines;
    }
    let mut nodes = Vec::new();
    for detail in Detail::SCARCE {
        nodes = render_nodes(picture, detail, colours, width);
        if nodes.len() <= height {
            break;
        }
    }
    if nodes.len() > height {
        let hidden = nodes.len() + 1 - height;
        nodes.truncate(height.saturating_sub(1));
        nodes.push(format!("    … and {}: rialto status", plain::counted_of(hidden, "more line", "more lines")));
    }
    let mut room = Room { lines: height.saturating_sub(nodes.len()) };
    let mut newest = told.into_iter().rev();
    let mut kept = vec![room.part_of(newest.next().unwrap_or_default())];
    let troubles = room.part_of(render_troubles(picture, colours, width));
    kept.extend(newest.next().and_then(|event| room.all_of(event)));
    let mut hints = Vec::new();
    for hint in picture.invitation.iter().flat_map(|invitation| render_invitation(invitation, colours, width)) {
        let Some(hint) = room.all_of(hint) else { break };
        hints.extend(hint);
    }
    if kept.len() == EVENTS_KEPT {
        kept.extend(newest.map_while(|event| room.all_of(event)));
    }
    lines = nodes;
    lines.extend(troubles);
    lines.extend(hints);
    lines.extend(kept.into_iter().rev().flatten());
    lines
}

/// Lines that are still free.
struct Room {
    lines: usize,
}

impl Room {
    /// As many of them as fit.
    fn part_of(&mut self, mut block: Vec<String>) -> Vec<String> {
        block.truncate(self.lines);
        self.lines -= block.len();
        block
    }

    /// All of them, or none.
    fn all_of(&mut self, block: Vec<String>) -> Option<Vec<String>> {
        self.lines = self.lines.checked_sub(block.len())?;
        Some(block)
    }
}

/// All of it, with empty lines between its parts.
fn render(picture: &Picture, colours: Colours, width: usize) -> Vec<String> {
    let mut lines = render_nodes(picture, Detail::Spaced, colours, width);
    lines.extend(render_troubles(picture, colours, width));
    if let Some(invitation) = &picture.invitation {
        lines.push(String::new());
        lines.extend(render_invitation(invitation, colours, width).into_iter().flatten());
    }
    lines
}

impl Row {
    /// There is nothing to tell of it.
    fn is_fine(&self) -> bool {
        matches!(self.health, Health::Leads | Health::Fine) && self.note.is_empty()
    }
}

fn render_nodes(picture: &Picture, detail: Detail, colours: Colours, width: usize) -> Vec<String> {
    let mut banks: Vec<&BankPart> = picture.banks.iter().collect();
    if detail == Detail::OnlyTrouble {
        banks.sort_by_key(|bank| bank.rows.iter().all(Row::is_fine));
    }
    let (mut lines, mut has_header) = (Vec::new(), false);
    for bank in banks {
        let title = match bank.kind {
            Kind::Bank => format!("  bank {}", paint(&bank.name, "1", colours)),
            Kind::Gateway => format!("  {}", paint(&bank.name, "1", colours)),
        };
        let title = format!("{title}   {} mode", bank.mode.text());
        let is_folded = match detail {
            Detail::Spaced | Detail::Rows => false,
            Detail::FineBanksFolded | Detail::NotesCut | Detail::OnlyTrouble => bank.rows.iter().all(Row::is_fine),
        };
        if is_folded {
            lines.push(format!("{title}   {}", in_one_line(bank)));
            continue;
        }
        if detail == Detail::Spaced {
            lines.push(String::new());
        }
        let fine = bank.rows.iter().filter(|row| row.is_fine()).map(|row| row.node.to_string());
        let fine: Vec<String> = if detail == Detail::OnlyTrouble { fine.collect() } else { Vec::new() };
        match fine.as_slice() {
            [] => lines.push(format!("{title}   {}", bank.url)),
            fine => lines.push(format!("{title}   fine: {}", fine.join(" "))),
        }
        let header = format!(
            "    {:<5}  {:<9}  {:<16}  {:>11}  {:>7}  {:>8}",
            "node", "role", "address", "slots", "lag", "memory"
        );
        if detail == Detail::Spaced || (!has_header && detail != Detail::OnlyTrouble) {
            lines.push(paint(&header, "2", colours));
            has_header = true;
        }
        for row in bank.rows.iter().filter(|row| detail != Detail::OnlyTrouble || !row.is_fine()) {
            let line = render_row(row, detail, colours);
            match detail {
                Detail::Spaced | Detail::Rows | Detail::FineBanksFolded => {
                    lines.extend(broken(&line, width, (NOTE, "")));
                }
                Detail::NotesCut | Detail::OnlyTrouble => lines.push(cut(&line, width)),
            }
        }
    }
    lines
}

/// `3 nodes, all fine, node 2 leads`
fn in_one_line(bank: &BankPart) -> String {
    let leads = bank.rows.iter().find(|row| row.health == Health::Leads);
    let leads = match (leads, bank.mode) {
        (Some(row), Mode::Leader) => format!(", node {} leads", row.node),
        (Some(_), Mode::Leaderless) | (None, Mode::Leader | Mode::Leaderless) => String::new(),
    };
    format!("{}{leads}", plain::counted_of(bank.rows.len(), "node, fine", "nodes, all fine"))
}

fn render_troubles(picture: &Picture, colours: Colours, width: usize) -> Vec<String> {
    let trouble =
        |what: &String| broken(&format!("  problem   {}", paint(&plain::cell(what), "31", colours)), width, (TEXT, ""));
    picture.troubles.iter().flat_map(trouble).collect()
}

/// Each hint by itself, the ones that matter most first.
fn render_invitation(invitation: &Invitation, colours: Colours, width: usize) -> Vec<Vec<String>> {
    let mut hints = vec![vec![format!("  page      {}", paint(&invitation.page, "4", colours))]];
    let column = invitation.commands.iter().map(|(command, _)| plain::width(command)).filter(|w| *w < 40).max();
    let column = column.unwrap_or(0);
    for (index, (command, why)) in invitation.commands.iter().enumerate() {
        let label = if index == 0 { "try" } else { "" };
        let why = paint(why, "2", colours);
        let beside = |command: &str| format!("  {label:<8}  {command}   {why}").trim_end().to_owned();
        let fits = |line: &String| plain::width(line) <= width;
        // Where there is too little room, only of what ends a process is it still said what that is.
        let hint = match [beside(&plain::left(command, column)), beside(command)].into_iter().find(fits) {
            Some(line) => vec![line],
            None => {
                let mut lines = broken(&format!("  {label:<8}  {command}"), width, (TEXT + 4, " \\"));
                if command.starts_with("kill ") {
                    lines.extend(broken(&format!("{:1$}{why}", "", TEXT + 4), width, (TEXT + 4, "")));
                }
                lines
            }
        };
        hints.push(hint);
    }
    let note = "whoever is on this machine may open, deposit and shut down, unasked";
    let note = paint(&format!("  demo      {note}"), "2", colours);
    hints.push(broken(&note, width, (TEXT, "")));
    hints
}

/// Where the text beside a label begins, and what goes on of a row's note.
const TEXT: usize = 12;
const NOTE: usize = 16;

fn render_row(row: &Row, detail: Detail, colours: Colours) -> String {
    let figure = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), grouped);
    let memory = row.memory_bytes.map_or_else(|| "-".to_owned(), |bytes| format!("{} MB", bytes.div_ceil(1_000_000)));
    let role = paint(&format!("{:<9}", row.role), colour(row.health), colours);
    let (node, slots, lag) = (row.node, figure(row.slots), figure(row.lag));
    let (address, note) = (plain::left(&plain::cell(&row.address), 16), plain::cell(&row.note));
    let is_short = matches!(detail, Detail::NotesCut | Detail::OnlyTrouble) && !note.is_empty();
    if row.slots.is_none() && detail != Detail::Spaced && !note.is_empty() {
        // Of who says nothing there are no figures: their place is the note's.
        return format!("    {node:<5}  {role}  {address}   {note}");
    }
    if is_short {
        return format!("    {node:<5}  {role}  lag {lag}   {note}");
    }
    format!("    {node:<5}  {role}  {address}  {slots:>11}  {lag:>7}  {memory:>8}   {note}").trim_end().to_owned()
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
        Colours::On if !text.is_empty() => plain::coloured(code, text),
        Colours::On | Colours::Off => text.to_owned(),
    }
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
            troubles: Vec::new(),
        }
    }

    #[test]
    fn the_table_reads_like_this() {
        // The bar shows where a line begins.
        let lines: Vec<String> =
            render(&picture(), Colours::Off, 110).into_iter().map(|line| format!("|{line}\n")).collect();
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
        let invitation = Some(Invitation { commands, ..one.invitation.expect("it has one") });
        Picture { banks, invitation, troubles: Vec::new() }
    }

    /// Of a terminal with 80 columns.
    fn size(height: usize) -> Size {
        Size { width: 79, height }
    }

    /// What is shown can be copied, and is the command that was meant.
    #[test]
    fn at_80_columns_no_command_and_no_event_is_cut_and_a_broken_command_can_be_pasted() {
        let mut picture = network();
        let login =
            "./target/release/rialto login alpha alice alice-demo --dir /srv/a/long/way/below/the/data/of/rialto";
        if let Some(invitation) = &mut picture.invitation {
            invitation.commands[0] = (login.to_owned(), "a demo customer".to_owned());
        }
        picture.troubles =
            vec!["Consul at http://127.0.0.1:8500 cannot be asked: connection refused; who is known stays".to_owned()];
        let remedy = "12:04:31Z  alpha node 2 died (exit code 4): /srv/alpha/2 holds no identity; one that takes a lost one's \
                      place: rialto members replace";
        for height in [23, 60] {
            let shown = fitted(&picture, &[remedy.to_owned()], size(height), Colours::Off);
            assert!(shown.len() <= height && shown.iter().all(|line| plain::width(line) < 80), "{shown:#?}");
            let text = shown.join("\n");
            let pasted = text.replace(" \\\n", " ").split_whitespace().collect::<Vec<&str>>().join(" ");
            for whole in [
                login,
                "holds no identity; one that takes a lost one's place: rialto members replace",
                "who is known stays",
            ] {
                assert!(pasted.contains(whole), "{whole:?} is not whole in\n{text}");
            }
        }
    }

    #[test]
    fn what_consul_says_in_a_problem_neither_moves_the_cursor_nor_hides() {
        let mut picture = network();
        picture.troubles = vec!["Consul answered \u{1b}[2J\u{1b}[1;1Hall is well\r\u{202e}".to_owned()];
        let text = render(&picture, Colours::Off, 200).join("\n");
        assert!(text.contains(r"problem   Consul answered \u001b[2J\u001b[1;1Hall is well\u000d\u202e"), "{text}");
        let shown = render(&picture, Colours::On, 200).join("\n");
        let shown = plain::printable(&shown);
        assert!(!shown.contains("\u{1b}[2J") && shown.contains("\u{1b}[31mConsul"), "{shown:?}");
    }

    /// What `portrait` says of a node, and where the note of it stands.
    const STATES: [(&str, Health, &str); 9] = [
        ("leader", Health::Leads, ""),
        ("follower", Health::Fine, ""),
        ("follower", Health::Fine, "receives the books: 31 %, 12 400 of 40 000 records; its clock is 3 s behind"),
        ("follower", Health::Waits, "no majority answers it"),
        ("starting", Health::Waits, "says nothing for 21 s: connection refused, nothing listens there"),
        ("silent", Health::Down, "its process runs and says nothing for 34 s: it did not answer within 500 ms"),
        ("died", Health::Down, "SIGKILL; starts again in 5 s"),
        ("died", Health::Down, "/srv/beta/2 holds no identity; stays down (--no-restart)"),
        ("down", Health::Down, "told to shut down; stays down until up runs again"),
    ];

    /// Every node of the network is in that state, but those of the first bank, which are fine.
    fn in_state(state: usize, everywhere: bool) -> Picture {
        let mut picture = network();
        for (index, row) in picture.banks.iter_mut().flat_map(|bank| &mut bank.rows).enumerate() {
            let (role, health, note) = STATES[if everywhere || index >= 3 { state } else { 1 }];
            let has_figures = matches!(role, "leader" | "follower");
            row.slots = row.slots.filter(|_| has_figures);
            (row.role, row.health, row.note) = (role.to_owned(), health, note.to_owned());
        }
        picture
    }

    /// Whatever else there is to tell, a node with a reason to be looked at has its row, below its own bank.
    #[test]
    fn at_80x24_every_node_in_every_state_has_its_row_below_its_own_bank() {
        let event = "12:04:31Z  alpha node 2 died (exit code 4): /srv/alpha/2 holds no identity; one that takes a lost one's \
                     place: rialto members replace";
        let events = vec![event.to_owned(); 6];
        for (state, of_state) in STATES.iter().enumerate() {
            for everywhere in [false, true] {
                let mut picture = in_state(state, everywhere);
                picture.troubles =
                    vec!["Consul at http://127.0.0.1:8500 cannot be asked: it refuses; who is known stays".into()];
                let shown = fitted(&picture, &events, size(23), Colours::Off);
                let text = shown.join("\n");
                assert!(shown.len() <= 23 && shown.iter().all(|line| plain::width(line) < 80), "{text}");
                let mut seen: Vec<(String, Vec<u16>)> = Vec::new();
                for line in &shown {
                    if let Some(bank) =
                        picture.banks.iter().find(|bank| line.contains(&format!("{}   leader", bank.name)))
                    {
                        let folded = if line.contains("all fine") { vec![1, 2, 3] } else { Vec::new() };
                        seen.push((bank.name.clone(), folded));
                    }
                    let node = line.strip_prefix("    ").and_then(|row| row.split(' ').next()?.parse().ok());
                    if let (Some(node), Some((_, rows))) = (node, seen.last_mut()) {
                        rows.push(node);
                    }
                }
                let all = ["alpha", "beta", "gateway"].map(|bank| (bank.to_owned(), vec![1, 2, 3]));
                assert_eq!(seen, all, "state {state}: {text}");
                let (role, health, note) = *of_state;
                let first_words: String = note.split(' ').take(3).collect::<Vec<_>>().join(" ");
                let count = if everywhere { 9 } else { 6 };
                assert!(
                    matches!(health, Health::Leads | Health::Fine) || text.matches(role).count() >= count,
                    "{text}"
                );
                let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
                assert!(flat.matches(&first_words).count() >= count || note.is_empty(), "state {state}: {text}");
            }
        }
    }

    /// More nodes than lines: those that are fine are counted, the others stay.
    #[test]
    fn where_there_are_more_nodes_than_lines_those_in_trouble_stay() {
        let mut picture = network();
        let bank = picture.banks[0].clone();
        picture.banks = (0..8).map(|number| BankPart { name: format!("bank{number}"), ..bank.clone() }).collect();
        let row = &mut picture.banks[6].rows[1];
        (row.role, row.health, row.slots) = ("silent".to_owned(), Health::Down, None);
        row.note = "its process runs and says nothing for 34 s".to_owned();
        let shown = fitted(&picture, &[], size(14), Colours::Off);
        let text = shown.join("\n");
        assert!(shown.len() <= 14 && text.contains("    2      silent"), "{text}");
        assert!((0..8).all(|number| text.contains(&format!("bank{number}"))), "{text}");
        let tiny = fitted(&picture, &[], size(4), Colours::Off);
        assert!(tiny.len() <= 4 && tiny.join("\n").contains("    2      silent"), "{tiny:#?}");
    }

    #[test]
    fn what_ends_a_process_is_never_shown_without_what_it_ends() {
        let mut picture = network();
        let why = "who leads the gateway; then pay again";
        if let Some(invitation) = &mut picture.invitation {
            invitation.commands[0].0 = "./target/release/rialto login alpha alice".to_owned();
            invitation.commands[1].0 = "rialto pay bob@beta 12.50 --dir /srv/d".to_owned();
            invitation.commands[4].1 = why.to_owned();
        }
        for width in [40, 60, 79, 100] {
            let shown = fitted(&picture, &[], Size { width, height: 40 }, Colours::Off);
            let text = shown.join(" ");
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(text.contains(&format!("kill -9 48213 {why}")), "at {width}: {shown:#?}");
        }
    }

    #[test]
    fn on_a_terminal_of_24_lines_everything_to_try_is_seen_and_what_happened_last() {
        let events: Vec<String> = (1..=6).map(|number| format!("event {number}")).collect();
        let shown = fitted(&network(), &events, size(23), Colours::Off);
        assert!(shown.len() <= 23, "{shown:#?}");
        let text = shown.join("\n");
        for part in ["page", "login", "history", "kill -9", "demo", "event 5", "event 6"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(text.matches("follower").count(), 9, "every node has its row: {text}");
        assert!(shown.iter().all(|line| line.len() < 80), "no line is cut: {text}");
        let small = fitted(&network(), &events, size(10), Colours::Off);
        assert!(small.len() <= 10 && small.join("\n").contains("event 6"), "{small:#?}");
        let large = fitted(&network(), &events, size(60), Colours::Off);
        assert!(events.iter().all(|event| large.join("\n").contains(event)), "there is room for all: {large:#?}");
    }

    #[test]
    fn without_colours_there_is_no_escape_sequence() {
        assert!(!render(&picture(), Colours::Off, 110).concat().contains('\x1b'));
        assert!(render(&picture(), Colours::On, 100).concat().contains('\x1b'));
    }
}
