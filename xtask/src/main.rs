//! `cargo xtask …`: the chores of this repository.
//!
//! `test` is the one gate, the same on a laptop and in CI. Everything that it needs beyond Rust it installs where it may,
//! and otherwise says in one line what to install, or which flag leaves that part out.

mod arrows;
mod browser;
mod consul;
mod controls;
mod deny;
mod fuzz;
mod gate;
mod install;
mod namespaces;
mod run;

use run::{Failed, cargo};
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask <command>

  test [--no-browser] [--no-consul]
                        everything: format, arrows, licences, lints, docs, all tests of what ships as users build it,
                        then simulation, model and rules switched off; browser, a real Consul
  arrows                only the check of which crate may know which
  deny                  only licences, sources and banned crates, by deny.toml
  fuzz --seconds N [target]
                        the fuzz targets, each for so long: everything that reads outside bytes (nightly compiler)
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
        ["test", flags @ ..] => gate::test(flags),
        ["arrows"] => arrows::check(),
        ["deny"] => deny::check(),
        ["fuzz", rest @ ..] => fuzz::fuzz(rest),
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
    // The last lines of a long log are those that are read.
    run::all_left_out().iter().for_each(|what| println!("left out: {what}"));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed(why)) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

fn built_for_speed(package: &str, args: &[&str]) -> Result<(), Failed> {
    cargo(&[&["run", "--release", "--quiet", "--package", package, "--"], args].concat())
}
