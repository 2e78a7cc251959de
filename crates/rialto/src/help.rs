//! The page of `rialto --help`: commands in groups, by whom they are for. Names and sentences are those of the commands
//! themselves; here is only which belongs where.

use clap::Command;

use crate::plain::width;
use crate::supervise::columns::broken;

const COLUMNS: usize = 80;
/// Where the sentences begin.
const ABOUT: usize = 15;

/// Every command is in one of these, and in one only.
const GROUPS: [(&str, &[&str]); 5] = [
    ("Run a network", &["up", "bank", "gateway", "certs", "restore", "bench"]),
    ("Look after it", &["status", "audit", "members", "mode", "user", "limits"]),
    ("Payments between banks", &["payments", "positions", "settle", "settings", "keys"]),
    ("Customers", &["login", "logout", "sessions", "balance", "pay", "history", "payment", "outbox", "shell"]),
    ("About this program", &["completions", "man", "exit-codes", "help"]),
];

/// `clap` adds this one by itself.
const HELP: (&str, &str) = ("help", "Print this message or the help of a command");

/// The same command line, with its commands in groups.
pub(crate) fn grouped(command: Command) -> Command {
    let text = groups(&command);
    command.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{text}Options:\n{{options}}{{after-help}}"
    ))
}

/// The same command line, and no line of its help is wider than a terminal of 80 columns: `clap` breaks what it knows of flags,
/// and the texts behind them are broken here, each explanation below itself, wherever the source breaks them.
pub(crate) fn narrow(command: Command) -> Command {
    let after = command.get_after_help().map(|text| narrowed(&text.to_string()));
    let command = match after {
        Some(after) => command.after_help(after),
        None => command,
    };
    let after_long = command.get_after_long_help().map(|text| narrowed(&text.to_string()));
    let command = match after_long {
        Some(after) => command.after_long_help(after),
        None => command,
    };
    command.max_term_width(COLUMNS).mut_subcommands(narrow)
}

fn narrowed(text: &str) -> String {
    let lines: Vec<String> = joined(text).iter().flat_map(|line| narrowed_line(line)).collect();
    lines.join("\n")
}

/// The lines of a text, each paragraph and each explanation in one. Lines of examples stay as they are.
fn joined(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut goes_on_at = None;
    for line in text.lines() {
        match lines.last_mut() {
            Some(last) if goes_on_at == Some(indent(line)) && !begins_paragraph(line) => {
                last.push(' ');
                last.push_str(line.trim_start());
            }
            Some(last) if last.ends_with('\\') => {
                // The rest of a command: what stands below it explains it.
                goes_on_at = None;
                lines.push(line.to_owned());
            }
            Some(_) | None => {
                goes_on_at = column_of_text(line);
                lines.push(line.to_owned());
            }
        }
    }
    lines
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn begins_paragraph(line: &str) -> bool {
    line.is_empty() || line.starts_with("Exit codes:")
}

/// Where the text of a line goes on in the next: an example without an explanation has none.
fn column_of_text(line: &str) -> Option<usize> {
    const EXAMPLE: usize = 2;
    let indent = indent(line);
    if line.is_empty() || line.ends_with('\\') {
        return None;
    }
    if indent == 0 {
        return Some(0);
    }
    let gap = line[indent..].find("   ").map(|at| indent + at);
    let explanation = gap.map(|gap| line.len() - line[gap..].trim_start().len()).map(|at| width(&line[..at]));
    explanation.or((indent > EXAMPLE).then_some(indent))
}

/// An explanation goes on below where it begins, or below the example where that leaves it too little room.
fn narrowed_line(line: &str) -> Vec<String> {
    const EXPLANATION_MAX: usize = 44;
    if width(line) <= COLUMNS {
        return vec![line.to_owned()];
    }
    let margin = indent(line);
    let gap = line[margin..].find("   ").map(|at| margin + at);
    match gap.map(|gap| (line[..gap].trim_end(), line[gap..].trim_start())) {
        Some((_, explanation)) if line.len() - explanation.len() <= EXPLANATION_MAX => {
            broken(line, COLUMNS, (line.len() - explanation.len(), ""))
        }
        Some((example, explanation)) => {
            let mut lines = broken(example, COLUMNS, (margin + 4, ""));
            lines.extend(broken(&format!("{:1$}{explanation}", "", margin + 4), COLUMNS, (margin + 4, "")));
            lines
        }
        None => broken(line, COLUMNS, (margin, "")),
    }
}

fn groups(command: &Command) -> String {
    let about = |name: &str| {
        let found = command.find_subcommand(name)?;
        Some(found.get_about().map(ToString::to_string).unwrap_or_default())
    };
    let mut text = String::new();
    for (title, names) in GROUPS {
        text.push_str(&format!("{title}:\n"));
        for name in names {
            let about = about(name).or_else(|| (*name == HELP.0).then(|| HELP.1.to_owned()));
            if let Some(about) = about {
                let line = format!("  {name:<11}  {about}");
                broken(&line, COLUMNS, (ABOUT, "")).iter().for_each(|line| text.push_str(&format!("{line}\n")));
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn too_wide(command: &mut Command, path: &str, found: &mut Vec<String>) {
        let pages = [command.render_help().to_string(), command.render_long_help().to_string()];
        let wide = pages.iter().flat_map(|page| page.lines()).filter(|line| width(line) > COLUMNS);
        found.extend(wide.map(|line| format!("{path}: {line}")));
        for sub in command.get_subcommands_mut() {
            let path = format!("{path} {}", sub.get_name());
            too_wide(sub, &path, found);
        }
    }

    #[test]
    fn no_help_of_any_command_is_wider_than_80_columns() {
        let mut command = crate::command_line();
        command.build();
        let mut found = Vec::new();
        too_wide(&mut command, "rialto", &mut found);
        assert!(found.is_empty(), "{found:#?}");
    }

    fn broken_early(command: &mut Command, path: &str, found: &mut Vec<String>) {
        let page = command.render_long_help().to_string();
        let lines: Vec<&str> = page.lines().map(str::trim_end).collect();
        for (number, pair) in lines.windows(2).enumerate() {
            let [line, next] = pair else { continue };
            // The rest of a command, which may itself be broken: what stands below it explains it.
            let is_flag = line.trim_start().starts_with("--");
            let is_command = is_flag || number > 0 && lines[number - 1].ends_with('\\');
            // `clap` has a line for each value of a flag.
            let is_listed = next.trim_start().starts_with("- ");
            let begins = begins_paragraph(next) || is_command || is_listed;
            let goes_on = column_of_text(line) == Some(indent(next)) && !begins;
            let word = next.split_whitespace().next().unwrap_or_default();
            if goes_on && width(line) + 1 + width(word) <= COLUMNS {
                found.push(format!("{path}: {line} / {next}"));
            }
        }
        for sub in command.get_subcommands_mut() {
            let path = format!("{path} {}", sub.get_name());
            broken_early(sub, &path, found);
        }
    }

    #[test]
    fn no_line_of_any_help_ends_where_the_next_word_would_have_fitted() {
        let mut command = crate::command_line();
        command.build();
        let mut found = Vec::new();
        broken_early(&mut command, "rialto", &mut found);
        assert!(found.is_empty(), "{found:#?}");
    }

    #[test]
    fn paragraphs_and_explanations_are_joined_and_examples_are_not() {
        let text = "\
Examples:
  rialto members --bank alpha     who belongs to it,
                                  and why
  rialto members add \\
      --node 4
      waits for half an hour, or
      for --timeout SECONDS
  rialto members

One paragraph
of two lines.
Exit codes: 0 as asked;
all: rialto help exit-codes";
        assert_eq!(
            joined(text),
            [
                "Examples:",
                "  rialto members --bank alpha     who belongs to it, and why",
                "  rialto members add \\",
                "      --node 4",
                "      waits for half an hour, or for --timeout SECONDS",
                "  rialto members",
                "",
                "One paragraph of two lines.",
                "Exit codes: 0 as asked; all: rialto help exit-codes",
            ]
        );
    }

    #[test]
    fn an_explanation_that_is_too_long_goes_on_below_itself() {
        let short =
            "  rialto up --nodes 5      it grows while it serves; a number that is lower than before shrinks it again";
        assert_eq!(
            narrowed(short),
            "  rialto up --nodes 5      it grows while it serves; a number that is lower than\n                           before shrinks it again"
        );
        let long =
            "  rialto up --consul http://127.0.0.1:8500 --consul-token-file token     nodes find each other there";
        assert_eq!(
            narrowed(long),
            "  rialto up --consul http://127.0.0.1:8500 --consul-token-file token\n      nodes find each other there"
        );
    }

    #[test]
    fn every_command_is_in_one_group_and_its_line_fits() {
        let command = crate::command_line();
        for found in command.get_subcommands() {
            let name = found.get_name();
            let in_groups = GROUPS.iter().flat_map(|(_, names)| *names).filter(|known| **known == name).count();
            assert_eq!(in_groups, 1, "{name} is in {in_groups} groups");
        }
        let page = command.clone().render_help().to_string();
        let too_long: Vec<&str> = page.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(too_long.is_empty(), "these lines are cut on a terminal of 80 columns: {too_long:#?}");
        for part in ["Run a network:\n  up ", "Customers:\n  login ", "\nOptions:\n", "Examples:\n"] {
            assert!(page.contains(part), "{part:?} is missing in\n{page}");
        }
    }
}
