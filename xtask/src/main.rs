//! `cargo xtask …`: the chores of this repository.
//!
//! `test` is the one gate, the same on a laptop and in CI. Everything that it needs beyond Rust it installs where it may,
//! and otherwise says in one line what to install, or which flag leaves that part out.

mod arrows;
mod browser;
mod consul;
mod install;
mod namespaces;
mod run;

use run::{Failed, cargo, step};
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask <command>

  test [--no-browser] [--no-consul]
                        everything: format, lints, arrows, docs, all tests, bounded simulation, browser, a real Consul
  arrows                only the check of which crate may know which
  browser               only the test of the page in a real browser, in both modes
  cuts                  only the tests that cut nodes off from each other in network namespaces (root)
  sim [args…]           the simulator, built for speed: cargo xtask sim --seeds 2000
  model [args…]         every state of small groups, the large searches too: minutes (cargo xtask model --list)
  soak [args…]          a long run of the simulator: 20,000 seeds over 3 and 5 nodes

examples
  cargo xtask test
  cargo xtask test --no-browser      on a machine without root and without Chromium
  cargo xtask sim --seed 42 --trace
  sudo -E cargo xtask cuts           where nodes may be cut off for real
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["test", flags @ ..] => test(flags),
        ["arrows"] => arrows::check(),
        ["browser"] => browser::test(),
        ["cuts"] => namespaces::test(),
        ["sim", rest @ ..] => built_for_speed("sim", rest),
        ["model", rest @ ..] => built_for_speed("model", rest),
        ["soak", rest @ ..] => built_for_speed("sim", &[&["--seeds", "20000"], rest].concat()),
        ["help" | "--help" | "-h"] | [] => {
            print!("{HELP}");
            Ok(())
        }
        [unknown, ..] => Err(Failed(format!("there is no command {unknown:?}; see cargo xtask help"))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed(why)) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

fn test(flags: &[&str]) -> Result<(), Failed> {
    let (mut with_browser, mut with_consul) = (true, true);
    for flag in flags {
        match *flag {
            "--no-browser" => with_browser = false,
            "--no-consul" => with_consul = false,
            unknown => return Err(Failed(format!("test does not know {unknown:?}; see cargo xtask help"))),
        }
    }
    step("format", || cargo(&["fmt", "--all", "--check"]))?;
    step("arrows between crates", arrows::check)?;
    step("lints", || cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]))?;
    step("documentation", || {
        run::cargo_with(&["doc", "--workspace", "--no-deps", "--quiet"], &[("RUSTDOCFLAGS", "-D warnings")])
    })?;
    if with_browser {
        // Before the long part: what is missing is better known at once.
        step("browser tools", browser::install)?;
    }
    step("network namespaces", namespaces::install)?;
    if with_consul {
        step("Consul", consul::install)?;
    }
    step("build", || cargo(&["build", "--workspace", "--all-targets"]))?;
    let consul = if with_consul { consul::program() } else { "none".into() };
    let consul = consul.to_string_lossy().into_owned();
    step("tests and bounded simulation", || {
        run::cargo_with(&["test", "--workspace", "--no-fail-fast"], &[("RIALTO_TEST_CONSUL", &consul)])
    })?;
    if with_browser {
        step("page in a real browser", browser::test)?;
    }
    Ok(())
}

fn built_for_speed(package: &str, args: &[&str]) -> Result<(), Failed> {
    cargo(&[&["run", "--release", "--quiet", "--package", package, "--"], args].concat())
}
