//! Nodes in network namespaces of their own, which the tests cut off from each other: needs `ip`, and the right to use it.

use crate::install;
use crate::run::{Failed, cargo, has, left_out, run};
use std::process::{Command, Stdio};

/// Sees to it that there is `ip`. Where it cannot be, or may not be used, those tests are left out, and say so.
pub(crate) fn install() -> Result<(), Failed> {
    if !has("ip") && install::may() {
        install::packages(&["iproute2"])?;
    }
    match missing() {
        None => println!("   nodes are cut off for real"),
        Some(why) => left_out(format!("the tests that cut nodes off from each other: {why}")),
    }
    Ok(())
}

/// Only these tests. To leave them out would be to test nothing.
pub(crate) fn test() -> Result<(), Failed> {
    install()?;
    if let Some(why) = missing() {
        return Err(Failed(format!("nodes cannot be cut off here: {why}")));
    }
    let only = ["--test", "it", "--", "cuts::", "--nocapture"];
    cargo(&[&["test"], crate::controls::SHIPS, &only].concat())
}

/// Why there can be no namespaces here.
fn missing() -> Option<String> {
    if !has("ip") {
        return Some("there is no `ip` (Debian: apt-get install iproute2)".to_owned());
    }
    let name = format!("rialto-xtask-{}", std::process::id());
    let quietly = |verb: &str| {
        let mut ip = Command::new("ip");
        run(ip.args(["netns", verb, &name]).stdout(Stdio::null()).stderr(Stdio::null()))
    };
    if quietly("add").is_err() {
        return Some("`ip netns add` is not allowed (it takes root, and CAP_SYS_ADMIN in a container)".to_owned());
    }
    quietly("del").err().map(|Failed(why)| why)
}
