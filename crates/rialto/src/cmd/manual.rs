//! `rialto completions` and `rialto man`: what shells complete and what `man` shows, made from the commands themselves.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

use crate::failure::{Code, Failure};

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  rialto completions bash > ~/.local/share/bash-completion/completions/rialto
  rialto completions zsh > ~/.zfunc/_rialto          with ~/.zfunc in fpath, before compinit
  rialto completions fish > ~/.config/fish/completions/rialto.fish";

/// Print what a shell needs to complete this program's commands
#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS_EXAMPLES)]
pub(crate) struct CompletionsArgs {
    /// Which shell
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

const MAN_EXAMPLES: &str = "\
Examples:
  rialto man | man -l -                              the page of the program
  rialto man members replace | man -l -              that of one command
  rialto man --out ~/.local/share/man/man1           all of them, for `man rialto-members-replace`";

/// Print a manual page, or write all of them
#[derive(Debug, Args)]
#[command(after_help = MAN_EXAMPLES)]
pub(crate) struct ManArgs {
    /// The command, such as `members replace`; without one the page of the program
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
    /// Write the pages of all commands into this directory
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    out: Option<PathBuf>,
}

pub(crate) fn completions(args: &CompletionsArgs) -> Result<Code, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::command_line(), "rialto", &mut script);
    show(script)
}

pub(crate) fn man(args: &ManArgs) -> Result<Code, Failure> {
    let mut program = crate::command_line();
    if let Some(dir) = &args.out {
        // Manuals are for everybody, as nothing else is that this program writes.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        let written = std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(program, dir));
        written.map_err(|error| Failure::new(format!("writing manual pages to {}: {error}", dir.display())))?;
        println!("the manual pages are in {}", dir.display());
        return Ok(Code::Done);
    }
    // Names the parts by their whole path, as the help does.
    program.build();
    let mut found = &program;
    for name in &args.command {
        found = found.find_subcommand(name).ok_or_else(|| {
            let known: Vec<&str> = found.get_subcommands().map(clap::Command::get_name).collect();
            Failure::usage(format!("there is no command {}", args.command.join(" "))).line(format!(
                "known after `{}`: {}",
                found.get_bin_name().unwrap_or("rialto"),
                known.join(", ")
            ))
        })?;
    }
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(found.clone()).render(&mut page);
    rendered.map_err(|error| Failure::new(format!("making the manual page: {error}")))?;
    show(page)
}

fn show(bytes: Vec<u8>) -> Result<Code, Failure> {
    let text = String::from_utf8(bytes).map_err(|error| Failure::new(format!("what was made is no text: {error}")))?;
    println!("{}", text.trim_end());
    Ok(Code::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    #[test]
    fn every_shell_completes_every_command() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut crate::command_line(), "rialto", &mut script);
            let script = String::from_utf8(script).expect("scripts are text");
            for name in ["members", "restore", "positions", "completions"] {
                assert!(script.contains(name), "{shell} does not know {name}");
            }
        }
    }

    #[test]
    fn each_command_has_a_manual_page_with_its_examples() {
        let dir = crate::test_dir::TestDir::new();
        let out = dir.path().join("man1");
        man(&ManArgs { command: Vec::new(), out: Some(out.clone()) }).expect("there is room");
        let page = |name: &str| std::fs::read_to_string(out.join(name)).expect(name);
        assert!(page("rialto.1").contains("members"), "{}", page("rialto.1"));
        let mode = |path: &Path| std::fs::metadata(path).expect("it was written").permissions().mode() & 0o777;
        assert_eq!((mode(&out), mode(&out.join("rialto.1"))), (0o755, 0o644), "everybody on the machine may read it");
        assert!(page("rialto-members-replace.1").contains("new node"), "{}", page("rialto-members-replace.1"));
        let unknown = man(&ManArgs { command: vec!["members".to_owned(), "swap".to_owned()], out: None });
        let said = unknown.expect_err("there is none").to_string();
        assert!(said.contains("no command members swap") && said.contains("replace"), "{said}");
    }
}
