//! Runs other programs, and says what it is doing and how long that took.

use std::path::{Path, PathBuf};
use std::process::Command;
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
