//! `cargo xtask fuzz`: the targets of `fuzz/`, one after the other, each for so many seconds.
//!
//! It needs the nightly compiler, for coverage. cargo-fuzz is put under `target/tools` where it is missing. What a target finds
//! stays in `fuzz/artifacts`, what it reached in `fuzz/corpus`; inputs worth keeping are committed in `fuzz/corpora`, which
//! the crates' own tests run.

use crate::run::{Failed, cargo, has, root, run, step, target_dir};
use serde::Deserialize;
use std::process::Command;

/// Longer inputs find little more and take longer.
const INPUT_BYTES_MAX: u32 = 4_096;
const MEMORY_MB_MAX: u32 = 2_048;

#[derive(Deserialize)]
struct Manifest {
    bin: Vec<Target>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Target {
    name: String,
    /// Features that bring in what takes long to build.
    #[serde(default)]
    required_features: Vec<String>,
}

/// Runs all targets, or one.
pub(crate) fn fuzz(args: &[&str]) -> Result<(), Failed> {
    let (seconds, wanted) = match args {
        ["--seconds", seconds] => (*seconds, None),
        ["--seconds", seconds, target] => (*seconds, Some(*target)),
        _ => return Err(Failed("write it like: cargo xtask fuzz --seconds 60 [target]".to_owned())),
    };
    let seconds: u32 = seconds.parse().map_err(|_| Failed(format!("--seconds {seconds:?} is no number")))?;
    let all = targets()?;
    let chosen: Vec<&Target> = all.iter().filter(|target| wanted.is_none_or(|name| name == target.name)).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = all.iter().map(|target| target.name.as_str()).collect();
        return Err(Failed(format!("there is no such target; there are {}", names.join(", "))));
    }
    install()?;
    let mut found = Vec::new();
    for target in chosen {
        if let Err(Failed(why)) = step(&target.name, || run_target(target, seconds)) {
            println!("{why}");
            found.push(target.name.as_str());
        }
    }
    match found.is_empty() {
        true => Ok(()),
        false => Err(Failed(format!("something was found by {}; see fuzz/artifacts", found.join(", ")))),
    }
}

fn targets() -> Result<Vec<Target>, Failed> {
    let path = root().join("fuzz/Cargo.toml");
    let text =
        std::fs::read_to_string(&path).map_err(|error| Failed(format!("reading {}: {error}", path.display())))?;
    let manifest: Manifest = toml::from_str(&text).map_err(|error| Failed(format!("fuzz/Cargo.toml: {error}")))?;
    Ok(manifest.bin)
}

fn install() -> Result<(), Failed> {
    if !has("rustup") {
        return Err(Failed("fuzzing needs the nightly compiler, by rustup".to_owned()));
    }
    if !has("cargo-fuzz") && !target_dir().join("tools/bin/cargo-fuzz").is_file() {
        let tools = target_dir().join("tools");
        cargo(&["install", "cargo-fuzz", "--locked", "--root", &tools.to_string_lossy()])?;
    }
    Ok(())
}

fn run_target(target: &Target, seconds: u32) -> Result<(), Failed> {
    let tools = target_dir().join("tools/bin");
    let path = std::env::var("PATH").unwrap_or_default();
    let corpus = root().join("fuzz/corpus").join(&target.name);
    std::fs::create_dir_all(&corpus).map_err(|error| Failed(format!("making {}: {error}", corpus.display())))?;
    let mut command = Command::new("rustup");
    // There is no unsafe code to watch over, and without a sanitizer twice as much is tried.
    command.args(["run", "nightly", "cargo", "fuzz", "run", "--sanitizer", "none"]);
    command.args(target.required_features.iter().flat_map(|feature| ["--features", feature.as_str()]));
    command.arg(&target.name).arg(&corpus).arg(root().join("fuzz/corpora").join(&target.name)).arg("--");
    command.args([
        format!("-max_total_time={seconds}"),
        format!("-max_len={INPUT_BYTES_MAX}"),
        format!("-rss_limit_mb={MEMORY_MB_MAX}"),
        "-timeout=20".to_owned(),
        "-print_final_stats=1".to_owned(),
    ]);
    run(command.env("PATH", format!("{path}:{}", tools.display())).env_remove("RUSTUP_TOOLCHAIN").current_dir(root()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn each_target_has_inputs_that_a_crates_tests_run() {
        let mut tests = String::new();
        for entry in fs::read_dir(root().join("crates")).expect("the crates are there").flatten() {
            tests += &fs::read_to_string(entry.path().join("src/fuzzing.rs")).unwrap_or_default();
        }
        let targets = targets().expect("fuzz/Cargo.toml lists them");
        for Target { name, .. } in &targets {
            let kept = fs::read_dir(root().join("fuzz/corpora").join(name)).map_or(0, Iterator::count);
            assert!(kept > 0, "no input is kept in fuzz/corpora/{name}");
            assert!(tests.contains(&format!("corpora::run(\"{name}\"")), "no test runs the inputs of {name}");
            assert!(root().join(format!("fuzz/fuzz_targets/{name}.rs")).is_file(), "{name} has no file");
        }
        let tested = tests.matches("corpora::run(\"").count();
        assert_eq!(tested, targets.len(), "a test runs inputs of what is no target");
    }
}
