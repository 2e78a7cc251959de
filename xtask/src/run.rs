//! Runs other programs, and says what it is doing and how long that took.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Why a chore ended: one plain sentence.
#[derive(Debug)]
pub(crate) struct Failed(pub(crate) String);

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

/// One part of a chore.
pub(crate) fn step(name: &str, part: impl FnOnce() -> Result<(), Failed>) -> Result<(), Failed> {
    println!("── {name}");
    let began = Instant::now();
    part().map_err(|Failed(why)| Failed(format!("{name}: {why}")))?;
    println!("── {name}: fine, {} s", began.elapsed().as_secs());
    Ok(())
}

/// What was not looked at, a line each.
static LEFT_OUT: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Notes that something is not looked at here: said at once, and again at the end, where nobody misses it.
pub(crate) fn left_out(what: impl Into<String>) {
    let what = what.into();
    println!("   LEFT OUT: {what}");
    LEFT_OUT.lock().unwrap_or_else(PoisonError::into_inner).push(what);
}

/// All that was left out, a line each.
pub(crate) fn all_left_out() -> Vec<String> {
    LEFT_OUT.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Runs cargo in the repository's root.
pub(crate) fn cargo(args: &[&str]) -> Result<(), Failed> {
    cargo_with(args, &[])
}

/// The same with more in its environment.
pub(crate) fn cargo_with(args: &[&str], environment: &[(&str, &str)]) -> Result<(), Failed> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    command.args(args).envs(environment.iter().copied());
    run(command.current_dir(root()))
}

/// What cargo says, run in the repository's root.
pub(crate) fn cargo_output(args: &[&str]) -> Result<String, Failed> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo).args(args).current_dir(root()).output();
    let output = output.map_err(|error| Failed(format!("cargo could not be started: {error}")))?;
    if !output.status.success() {
        return Err(Failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    String::from_utf8(output.stdout).map_err(|error| Failed(error.to_string()))
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Runs a program to its end.
pub(crate) fn run(command: &mut Command) -> Result<(), Failed> {
    let shown = format!("{command:?}").replace('"', "");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failed(format!("{shown} ended with {status}"))),
        Err(error) => Err(Failed(format!("{shown} could not be started: {error}"))),
    }
}

/// Is there such a program on the path?
pub(crate) fn has(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|dir| dir.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_said_again_at_the_end() {
        left_out("a part of the test");
        assert!(all_left_out().contains(&"a part of the test".to_owned()));
    }
}
