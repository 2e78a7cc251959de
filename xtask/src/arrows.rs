//! Which crate may know which: the arrows of ARCHITECTURE.md, held against `cargo metadata`.
//!
//! Crates that are pure, and what a pure crate may not even have in its tree, are named here too: a clock or a socket
//! that creeps in by way of a dependency is found the same day.

use crate::run::{Failed, cargo_output};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Every crate of ours, and the crates of ours that it may depend on.
const ALLOWED: &[(&str, &[&str])] = &[
    ("ledger", &[]),
    ("clearing", &["ledger"]),
    ("paxos", &[]),
    ("storage", &[]),
    ("certs", &[]),
    ("replica", &["paxos", "storage"]),
    ("bank", &["ledger", "paxos", "replica", "storage"]),
    ("gateway", &["clearing", "ledger", "paxos", "replica", "storage"]),
    ("api", &["certs", "clearing", "ledger"]),
    ("server", &["api", "bank", "certs", "clearing", "gateway", "ledger", "paxos", "replica", "storage"]),
    ("wallet", &["api", "clearing", "ledger"]),
    ("rialto", &["api", "certs", "clearing", "ledger", "server", "storage", "wallet"]),
    ("sim", &["bank", "ledger", "paxos", "replica", "storage"]),
    ("model", &["paxos"]),
    ("corpora", &[]),
    ("xtask", &[]),
];

/// Crates without clock, sockets or threads of their own.
const PURE: &[&str] = &["ledger", "clearing", "paxos", "replica", "bank", "gateway"];
/// What no pure crate has in its tree.
const IMPURE: &[&str] = &["tokio", "mio", "hyper", "axum", "tonic", "rand", "getrandom", "chrono", "time"];

/// Fails on any other arrow.
pub(crate) fn check() -> Result<(), Failed> {
    let metadata = metadata()?;
    let ours = dependencies_of_ours(&metadata);
    let mut wrong = Vec::new();
    for (from, to) in &ours {
        match ALLOWED.iter().find(|(name, _)| name == from) {
            Some((_, allowed)) => {
                let more = to.iter().filter(|to| !allowed.contains(&to.as_str()));
                wrong.extend(more.map(|to| format!("{from} → {to} is not an arrow of ARCHITECTURE.md")));
            }
            None => wrong.push(format!("{from} is a new crate: give it its arrows in xtask/src/arrows.rs")),
        }
    }
    for pure in PURE {
        let tree = tree(pure)?;
        let impure = IMPURE.iter().filter(|impure| tree.contains(**impure));
        wrong.extend(impure.map(|impure| format!("{pure} is pure, but has {impure} in its tree")));
    }
    if wrong.is_empty() { Ok(()) } else { Err(Failed(wrong.join("\n       "))) }
}

fn metadata() -> Result<Value, Failed> {
    let output = cargo_output(&["metadata", "--format-version", "1", "--no-deps", "--offline"])?;
    serde_json::from_str(&output).map_err(|error| Failed(format!("cargo metadata said something else: {error}")))
}

/// Names of our crates with those of ours that they depend on outside of tests.
fn dependencies_of_ours(metadata: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let packages = || metadata["packages"].as_array().into_iter().flatten();
    let names: BTreeSet<&str> = packages().filter_map(|package| package["name"].as_str()).collect();
    let ours = |package: &Value| {
        let dependencies = package["dependencies"].as_array().into_iter().flatten();
        let normal = dependencies.filter(|dependency| dependency["kind"].is_null());
        let names = normal.filter_map(|dependency| dependency["name"].as_str()).filter(|name| names.contains(name));
        names.map(str::to_owned).collect()
    };
    packages().filter_map(|package| Some((package["name"].as_str()?.to_owned(), ours(package)))).collect()
}

/// Names of everything that a crate is built with.
fn tree(name: &str) -> Result<BTreeSet<String>, Failed> {
    let output = cargo_output(&[
        "tree",
        "--package",
        name,
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
        "--offline",
    ])?;
    Ok(output.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_are_read_from_what_cargo_says_and_tests_may_know_more() {
        let metadata = serde_json::json!({"packages": [
            {"name": "a", "dependencies": [
                {"name": "b", "kind": null}, {"name": "c", "kind": "dev"}, {"name": "serde", "kind": null}]},
            {"name": "b", "dependencies": []},
            {"name": "c", "dependencies": []},
        ]});
        let ours = dependencies_of_ours(&metadata);
        assert_eq!(ours["a"], BTreeSet::from(["b".to_owned()]));
        assert!(ours["b"].is_empty());
    }
}
