//! What users build has no switch for a safety rule: held against the features that cargo would build with, and against the
//! binary itself.
//!
//! The simulator and the model checker switch on the feature `controls` of the crates that they simulate. Whatever is built
//! in one go with them has it, too. So all that ships is linted, built and tested in a go of its own, and the crates whose
//! tests switch rules off are built once more, in a second one.

use crate::run::{Failed, cargo_output, run, target_dir};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What ships: every crate but the two that switch rules off.
pub(crate) const SHIPS: &[&str] = &["--workspace", "--exclude", "sim", "--exclude", "model"];

/// The crates that switch rules off, and those whose own tests do so.
pub(crate) const WITH_CONTROLS: &[&str] = &[
    "--package=sim",
    "--package=model",
    "--package=clearing",
    "--package=gateway",
    "--package=ledger",
    "--package=paxos",
    "--package=replica",
    "--package=storage",
    "--features=clearing/controls,gateway/controls,ledger/controls,paxos/controls,replica/controls,storage/controls",
];

/// All of their tests are about rules that are switched off, or need the switches to be there.
const WHOLE: &[&str] = &["sim", "model"];

/// Features of our crates that only the simulator and the model checker may switch on.
const FEATURES: &[&str] = &["controls", "anytime"];

/// Functions that exist with the feature only. Their names stand in a binary that was built with it.
const SWITCHES: &[&str] = &["set_control", "flip_balance"];

/// No crate that ships, nor any test of it, is built with controls.
pub(crate) fn check_features() -> Result<(), Failed> {
    let tree = |of: &[&str]| {
        let edges = ["--edges", "normal,build,dev", "--prefix", "none", "--format", "{p}|{f}", "--offline"];
        cargo_output(&[&["tree"], of, &edges].concat())
    };
    let found = with_features(&tree(SHIPS)?);
    if !found.is_empty() {
        return Err(Failed(format!("what ships is built with controls: {}", found.join(", "))));
    }
    // A search that finds nothing where they are finds nothing anywhere.
    let known = with_features(&tree(WITH_CONTROLS)?);
    let expected = ["clearing", "ledger", "paxos", "replica", "storage"];
    match expected.iter().find(|name| !known.iter().any(|crate_name| crate_name == *name)) {
        Some(name) => Err(Failed(format!("{name} is built without controls where its tests need them"))),
        None => Ok(()),
    }
}

/// Names of the crates in cargo's tree that have one of the features on.
fn with_features(tree: &str) -> Vec<String> {
    let has = |line: &&str| {
        let features = line.rsplit_once('|').map_or("", |(_, features)| features.trim_end_matches("(*)").trim());
        features.split(',').any(|feature| FEATURES.contains(&feature))
    };
    let mut found: Vec<String> =
        tree.lines().filter(has).filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The `rialto` that was built has none of the switches, and the simulator beside it has all of them.
pub(crate) fn check_binaries() -> Result<(), Failed> {
    let built = target_dir().join("debug");
    let found = switches_in(&built.join("rialto"))?;
    if !found.is_empty() {
        return Err(Failed(format!("the binary has switches for safety rules: {}", found.join(", "))));
    }
    let known = switches_in(&built.join("sim"))?;
    match SWITCHES.iter().find(|switch| !known.contains(switch)) {
        Some(switch) => Err(Failed(format!("the simulator's binary has no {switch}: look for another name here"))),
        None => Ok(()),
    }
}

/// The simulation and the model, whole; of the other crates the tests that switch a rule off, for the rest of theirs has been
/// run as it ships.
pub(crate) fn test() -> Result<(), Failed> {
    let tests =
        [&["test"], WITH_CONTROLS, &["--lib", "--bins", "--tests", "--no-run", "--message-format=json"]].concat();
    let built = cargo_output(&tests)?;
    let mut failed = Vec::new();
    for TestBinary { package, program, dir } in built.lines().filter_map(test_binary) {
        let mut command = Command::new(&program);
        // As cargo runs them.
        command.current_dir(&dir).env("CARGO_MANIFEST_DIR", &dir);
        if !WHOLE.contains(&package.as_str()) {
            command.arg("control");
        }
        println!("   {package}: {}", program.display());
        failed.extend(run(&mut command).err().map(|Failed(why)| why));
    }
    if failed.is_empty() { Ok(()) } else { Err(Failed(failed.join("\n       "))) }
}

/// Something that `cargo test` would run.
#[derive(Debug, PartialEq, Eq)]
struct TestBinary {
    package: String,
    program: PathBuf,
    /// The package's directory.
    dir: PathBuf,
}

/// What a line of cargo's says was built, if that is a test.
fn test_binary(line: &str) -> Option<TestBinary> {
    let said: Value = serde_json::from_str(line).ok()?;
    if said["reason"] != "compiler-artifact" || said["profile"]["test"] != true {
        return None;
    }
    let dir = Path::new(said["manifest_path"].as_str()?).parent()?.to_owned();
    let package = dir.file_name()?.to_str()?.to_owned();
    Some(TestBinary { package, program: said["executable"].as_str()?.into(), dir })
}

fn switches_in(binary: &Path) -> Result<Vec<&'static str>, Failed> {
    let bytes = fs::read(binary).map_err(|error| Failed(format!("reading {}: {error}", binary.display())))?;
    Ok(SWITCHES.iter().copied().filter(|switch| holds(&bytes, switch.as_bytes())).collect())
}

fn holds(bytes: &[u8], name: &[u8]) -> bool {
    let Some((first, _)) = name.split_first() else { return true };
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        if rest[at..].starts_with(name) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::root;

    #[test]
    fn a_crate_with_controls_is_found_in_what_cargo_says() {
        let tree = "rialto v0.1.0 (/r/crates/rialto)|\npaxos v0.1.0 (/r/crates/paxos)|anytime,controls (*)\n\
                    serde v1.0.0|default,derive,std\nreplica v0.1.0 (/r)|controls\nreplica v0.1.0 (/r)|controls (*)\n";
        assert_eq!(with_features(tree), ["paxos", "replica"]);
        assert!(with_features("ledger v0.1.0 (/r/controls)|\ntokio v1|rt\n").is_empty());
    }

    #[test]
    fn what_cargo_built_as_a_test_is_run() {
        let line = r#"{"reason":"compiler-artifact","manifest_path":"/r/crates/paxos/Cargo.toml","profile":{"test":true},
            "executable":"/r/target/debug/deps/it-1"}"#;
        let found = test_binary(line).expect("a test");
        assert_eq!((found.package.as_str(), found.program.to_str()), ("paxos", Some("/r/target/debug/deps/it-1")));
        for other in [&line.replace("true", "false"), &line.replace("artifact", "message"), "Compiling paxos"] {
            assert_eq!(test_binary(other), None, "{other}");
        }
    }

    /// A test behind the feature is run in the second go only, and there by its name.
    #[test]
    fn each_test_that_needs_controls_is_found_by_its_name() {
        let mut seen = 0;
        for file in sources(&root().join("crates")) {
            let text = fs::read_to_string(&file).expect("it is there");
            let crate_dir = file.strip_prefix(root().join("crates")).expect("it is below").iter().next();
            if crate_dir.is_some_and(|name| WHOLE.iter().any(|whole| *whole == name)) {
                continue;
            }
            for (at, _) in text.match_indices("#[cfg(feature = \"controls\")]\n#[test]\nfn ") {
                let name = text[at..].lines().nth(2).expect("its name");
                assert!(name.contains("control"), "{}: {name} is never run", file.display());
                seen += 1;
            }
        }
        assert!(seen >= 3, "{seen} such tests were found: look for them in another way");
    }

    fn sources(dir: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir).expect("it is there").flatten() {
            let path = entry.path();
            if path.is_dir() {
                found.extend(sources(&path));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
        found
    }

    #[test]
    fn a_name_is_found_anywhere_in_a_binary() {
        for (bytes, found) in [("xxset_controlx", true), ("sset_control", true), ("set_contro", false), ("", false)] {
            assert_eq!(holds(bytes.as_bytes(), b"set_control"), found, "{bytes}");
        }
    }
}
