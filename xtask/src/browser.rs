//! The page in a real Chromium, against real nodes.
//!
//! Chromium and Node.js come from the machine, or from its packages where we may install; the driver comes from npm.

use crate::install;
use crate::run::{Failed, has, root, run, target_dir};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const LEFT_OUT: &str = "or leave this part out: cargo xtask test --no-browser";

/// Sees to it that Chromium, Node.js and the driver are there.
pub(crate) fn install() -> Result<(), Failed> {
    let missing: Vec<&str> = [("chromium", "chromium"), ("node", "nodejs"), ("npm", "npm")]
        .into_iter()
        .filter(|(program, _)| !has(program))
        .map(|(_, package)| package)
        .collect();
    if !missing.is_empty() {
        let packages = missing.join(" ");
        if !install::may() {
            return Err(Failed(format!("install {packages} (Debian: apt-get install {packages}), {LEFT_OUT}")));
        }
        install::packages(&missing)?;
    }
    if !tests().join("node_modules/playwright-core").is_dir() {
        run(Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--silent"]).current_dir(tests()))?;
    }
    Ok(())
}

/// In each mode: starts a bank of three nodes, drives the page, and stops the bank.
pub(crate) fn test() -> Result<(), Failed> {
    install()?;
    // As the tests are built: another choice of packages would be built anew, with other features.
    crate::run::cargo(&[&["build"], crate::controls::SHIPS, &["--all-targets"]].concat())?;
    for mode in ["leader", "leaderless"] {
        let dir = root().join("target/browser-test").join(mode);
        let bank = Bank::start(&dir, mode)?;
        let shots = dir.join("shots");
        std::fs::create_dir_all(&shots).map_err(|error| Failed(format!("making {}: {error}", shots.display())))?;
        let mut page = Command::new("node");
        let result = run(page.arg("page.mjs").arg(&bank.url).arg(&shots).arg(mode).current_dir(tests()));
        drop(bank);
        result?;
    }
    Ok(())
}

fn tests() -> PathBuf {
    root().join("tests/browser")
}

/// A running `rialto up`, stopped in order when dropped.
struct Bank {
    up: Child,
    url: String,
}

impl Bank {
    fn start(dir: &Path, mode: &str) -> Result<Self, Failed> {
        let binary = target_dir().join("debug/rialto");
        let data = dir.join("data");
        let mut up = Command::new(&binary)
            .args(["up", "--no-gateway", "--json", "--fresh", "--yes", "--mode", mode, "--dir"])
            .arg(&data)
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| Failed(format!("starting {}: {error}", binary.display())))?;
        let output = up.stdout.take().ok_or_else(|| Failed("rialto up has no output".to_owned()))?;
        let mut ready = String::new();
        let mut lines = BufReader::new(output);
        lines.read_line(&mut ready).map_err(|error| Failed(format!("reading from rialto up: {error}")))?;
        // From here on dropping stops it.
        let mut bank = Self { up, url: String::new() };
        let said: serde_json::Value =
            serde_json::from_str(&ready).map_err(|error| Failed(format!("rialto up said {ready:?}: {error}")))?;
        let url = said["banks"]["alpha"]["http"].as_str();
        bank.url = url.ok_or_else(|| Failed(format!("rialto up named no address: {ready}")))?.to_owned();
        // What it says later must not fill its pipe.
        std::thread::spawn(move || lines.lines().for_each(drop));
        Ok(bank)
    }
}

impl Drop for Bank {
    fn drop(&mut self) {
        // An orderly stop, by the very pid that was started here.
        let _ = Command::new("kill").args(["-TERM", &self.up.id().to_string()]).status();
        let _ = self.up.wait();
    }
}
