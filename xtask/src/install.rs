//! Packages of the machine, where we may install any.

use crate::run::{Failed, has, run};
use std::process::Command;

/// Debian's installer is there, and we may use it.
pub(crate) fn may() -> bool {
    has("apt-get") && is_root()
}

pub(crate) fn packages(names: &[&str]) -> Result<(), Failed> {
    run(Command::new("apt-get").args(["update", "-qq"]))?;
    run(Command::new("apt-get").args(["install", "-y", "-qq", "--no-install-recommends"]).args(names))
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}
