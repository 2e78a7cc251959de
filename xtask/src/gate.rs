//! `cargo xtask test`: the one gate, the same on a laptop and in CI.
//!
//! What ships is linted, built and tested as users build it, in one go. The simulator, the model checker and the tests that
//! switch safety rules off are a second go ([`crate::controls`]); they need none of what takes long to build.

use crate::controls::{self, SHIPS, WITH_CONTROLS};
use crate::run::{self, Failed, cargo, cargo_with, step};
use crate::{arrows, browser, consul, deny, namespaces};

/// What a machine may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Parts {
    browser: Part,
    consul: Part,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Tested,
    LeftOut,
}

impl Parts {
    fn of(flags: &[&str]) -> Result<Parts, Failed> {
        let mut parts = Parts { browser: Part::Tested, consul: Part::Tested };
        for flag in flags {
            match *flag {
                "--no-browser" => parts.browser = Part::LeftOut,
                "--no-consul" => parts.consul = Part::LeftOut,
                unknown => return Err(Failed(format!("test does not know {unknown:?}; see cargo xtask help"))),
            }
        }
        Ok(parts)
    }
}

/// Everything that has to hold.
pub(crate) fn test(flags: &[&str]) -> Result<(), Failed> {
    let parts = Parts::of(flags)?;
    if parts.browser == Part::LeftOut {
        run::left_out("the page in a real browser (--no-browser)");
    }
    if parts.consul == Part::LeftOut {
        run::left_out("a real Consul (--no-consul)");
    }
    step("format", || cargo(&["fmt", "--all", "--check"]))?;
    // Fetches what is missing; what follows asks for nothing from outside.
    step("licences, sources and banned crates", deny::check)?;
    step("arrows between crates", arrows::check)?;
    step("no controls in what ships", controls::check_features)?;
    step("lints of what ships", || lint(SHIPS))?;
    step("lints with controls", || lint(WITH_CONTROLS))?;
    step("documentation", || {
        document(&[WITH_CONTROLS, &["--no-deps"]].concat())?;
        document(&[SHIPS, &["--no-deps"]].concat())
    })?;
    // Before the long part: what is missing is better known at once.
    if parts.browser == Part::Tested {
        step("browser tools", browser::install)?;
    }
    step("network namespaces", namespaces::install)?;
    if parts.consul == Part::Tested {
        step("Consul", consul::install)?;
    }
    step("build of what ships", || cargo(&[&["build"], SHIPS, &["--all-targets"]].concat()))?;
    step("build with controls", || cargo(&[&["build"], WITH_CONTROLS, &["--lib", "--bins", "--tests"]].concat()))?;
    step("no controls in the binary", controls::check_binaries)?;
    step("tests of what ships", || test_what_ships(parts.consul))?;
    step("simulation, model and controls", controls::test)?;
    if parts.browser == Part::Tested {
        step("page in a real browser", browser::test)?;
    }
    Ok(())
}

fn lint(packages: &[&str]) -> Result<(), Failed> {
    cargo(&[&["clippy"], packages, &["--all-targets", "--quiet", "--", "-D", "warnings"]].concat())
}

fn document(packages: &[&str]) -> Result<(), Failed> {
    cargo_with(&[&["doc"], packages, &["--quiet"]].concat(), &[("RUSTDOCFLAGS", "-D warnings")])
}

fn test_what_ships(consul: Part) -> Result<(), Failed> {
    let program = match consul {
        Part::Tested => consul::program(),
        Part::LeftOut => "none".into(),
    };
    let program = program.to_string_lossy();
    run::cargo_with(&[&["test"], SHIPS, &["--no-fail-fast"]].concat(), &[("RIALTO_TEST_CONSUL", &program)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_left_out_by_name() {
        let parts = |flags: &[&str]| Parts::of(flags).ok().map(|Parts { browser, consul }| (browser, consul));
        assert_eq!(parts(&[]), Some((Part::Tested, Part::Tested)));
        assert_eq!(parts(&["--no-consul"]), Some((Part::Tested, Part::LeftOut)));
        assert_eq!(parts(&["--no-browser", "--no-consul"]), Some((Part::LeftOut, Part::LeftOut)));
        assert_eq!(parts(&["--no-tests"]), None);
    }
}
