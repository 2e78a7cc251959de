//! Licences, sources and banned crates: `deny.toml`, held against what cargo builds.
//!
//! The file is cargo-deny's own, and `cargo deny check` says the same. But cargo-deny is itself some three hundred crates to
//! build, longer than many a gate may take, so what the gate needs of it is here, over `cargo tree`: which names exactly what
//! is built, with the features that are on (`cargo metadata` also lists crates that nothing switches on).
//!
//! Advisories need RustSec's database, so they are looked up only where cargo-deny is installed and has it, and are otherwise
//! left out, and said to be: where that happens, and again in the last lines of the gate.

use crate::run::{Failed, cargo_output, left_out, root};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

#[derive(Deserialize)]
struct Rules {
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Deserialize)]
struct Licenses {
    /// SPDX names, with their exceptions.
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Ban>,
    features: Vec<BannedFeatures>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    /// The crate may be there, but once.
    #[serde(default)]
    deny_multiple_versions: bool,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
struct BannedFeatures {
    #[serde(rename = "crate")]
    name: String,
    deny: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    allow_git: Vec<String>,
}

/// A crate that is built.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Built {
    name: String,
    version: String,
    /// A directory, a repository or another registry; none for what comes from crates.io.
    source: Option<String>,
    license: String,
    features: Vec<String>,
}

/// Fails on what `deny.toml` does not allow.
pub(crate) fn check() -> Result<(), Failed> {
    let path = root().join("deny.toml");
    let text =
        std::fs::read_to_string(&path).map_err(|error| Failed(format!("reading {}: {error}", path.display())))?;
    let rules: Rules = toml::from_str(&text).map_err(|error| Failed(format!("deny.toml: {error}")))?;
    let edges = ["--edges", "normal,build,dev", "--prefix", "none", "--format", "{p}|{l}|{f}"];
    let built = parse(&cargo_output(&[&["tree", "--workspace"], edges.as_slice()].concat())?);
    if built.len() < 100 {
        return Err(Failed(format!("cargo tree names {} crates only: it must be read in another way", built.len())));
    }
    let wrong = wrong_in(&built, &rules);
    if !wrong.is_empty() {
        return Err(Failed(wrong.join("\n       ")));
    }
    advisories()
}

/// One line of `cargo tree` a crate: `name vVERSION (source)|license|features`, and ` (*)` where it was listed before.
fn parse(tree: &str) -> BTreeSet<Built> {
    let built = |line: &str| {
        let mut fields = line.trim_end().trim_end_matches("(*)").trim_end().rsplitn(3, '|');
        let (features, license, package) = (fields.next()?, fields.next()?, fields.next()?);
        let mut words = package.splitn(3, ' ');
        let (name, version) = (words.next()?, words.next()?);
        // Procedural macros are marked like a source.
        let source = words.next().unwrap_or_default().replace("(proc-macro)", "");
        let source = source.trim().trim_start_matches('(').trim_end_matches(')');
        Some(Built {
            name: name.to_owned(),
            version: version.trim_start_matches('v').to_owned(),
            source: Some(source).filter(|source| !source.is_empty()).map(str::to_owned),
            license: license.to_owned(),
            features: features.split(',').map(str::to_owned).collect(),
        })
    };
    tree.lines().filter_map(built).collect()
}

fn wrong_in(built: &BTreeSet<Built>, rules: &Rules) -> Vec<String> {
    let mut wrong: Vec<String> = Vec::new();
    for found in built {
        let Built { name, version, .. } = found;
        wrong.extend(license_of(found, &rules.licenses).err().map(|why| format!("{name} {version}: {why}")));
        wrong.extend(source_of(found, &rules.sources).err().map(|why| format!("{name} {version}: {why}")));
        let banned = rules.bans.deny.iter().filter(|ban| ban.name == *name && !ban.deny_multiple_versions);
        wrong.extend(banned.map(|ban| format!("{name} {version} is banned: {}", ban.reason)));
        let features = rules.bans.features.iter().filter(|ban| ban.name == *name).flat_map(|ban| &ban.deny);
        let on = features.filter(|feature| found.features.contains(feature));
        wrong.extend(on.map(|feature| format!("{name} {version} has the banned feature {feature}")));
    }
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for Built { name, version, .. } in built {
        versions.entry(name).or_default().insert(version);
    }
    for ban in rules.bans.deny.iter().filter(|ban| ban.deny_multiple_versions) {
        if let Some(several) = versions.get(ban.name.as_str()).filter(|versions| versions.len() > 1) {
            let several: Vec<&str> = several.iter().copied().collect();
            wrong.push(format!("{} is there in several versions: {}", ban.name, several.join(", ")));
        }
    }
    wrong.dedup();
    wrong
}

fn license_of(built: &Built, rules: &Licenses) -> Result<(), String> {
    // Older crates write a slash for OR.
    let text = built.license.replace('/', " OR ");
    let expression = spdx::Expression::parse(&text)
        .map_err(|error| format!("its licence {text:?} cannot be read: {}", error.reason))?;
    let allows = |wanted: &spdx::LicenseReq| rules.allow.iter().any(|allowed| *allowed == wanted.to_string());
    if expression.evaluate(allows) { Ok(()) } else { Err(format!("its licence {text} is not allowed by deny.toml")) }
}

fn source_of(built: &Built, rules: &Sources) -> Result<(), String> {
    match &built.source {
        None => Ok(()),
        Some(directory) if directory.starts_with('/') => Ok(()),
        Some(other) if rules.allow_git.iter().any(|allowed| other.starts_with(allowed)) => Ok(()),
        Some(other) => Err(format!("it comes from {other}, which deny.toml does not allow")),
    }
}

/// Where cargo-deny is installed and has the database.
fn advisories() -> Result<(), Failed> {
    let installed = Command::new("cargo-deny").arg("--version").output().is_ok_and(|output| output.status.success());
    if !installed {
        left_out("known advisories: cargo-deny is not installed (cargo install cargo-deny --locked)");
        return Ok(());
    }
    let deny = |arguments: &[&str]| {
        let output = Command::new("cargo-deny").args(arguments).current_dir(root()).output();
        output.map_err(|error| Failed(format!("cargo-deny could not be started: {error}")))
    };
    if !deny(&["fetch", "db"])?.status.success() {
        left_out("known advisories: the database of RustSec cannot be had here");
        return Ok(());
    }
    let output = deny(&["check", "advisories"])?;
    match output.status.success() {
        true => Ok(()),
        false => Err(Failed(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = r#"
        [licenses]
        allow = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "ISC"]
        [bans]
        deny = [{ crate = "ring", reason = "one provider" }, { crate = "rustls", deny-multiple-versions = true }]
        [[bans.features]]
        crate = "rustls"
        deny = ["ring"]
        [sources]
        allow-git = ["https://example.org/ours"]
    "#;

    fn wrong(tree: &str) -> Vec<String> {
        wrong_in(&parse(tree), &toml::from_str(RULES).expect("rules"))
    }

    #[test]
    fn what_is_allowed_passes() {
        let tree = "ledger v0.1.0 (/r/crates/ledger)|Apache-2.0|\nserde v1.0.1|MIT OR Apache-2.0|default,std (*)\n\
                    thiserror-impl v2.0.0 (proc-macro)|MIT/Apache-2.0|\naws-lc-rs v1.0.0|ISC AND (Apache-2.0 OR GPL-2.0-only)|std\n\
                    rustix v1.0.0|Apache-2.0 WITH LLVM-exception OR GPL-3.0-only|\nours v1.0.0 (https://example.org/ours?rev=1)|MIT|\n";
        assert_eq!(wrong(tree), [""; 0]);
        assert_eq!(parse(tree).len(), 6);
    }

    #[test]
    fn each_kind_of_what_is_not_allowed_is_named() {
        for (tree, why) in [
            ("readline v1.0.0|GPL-3.0-only|", "its licence GPL-3.0-only is not allowed"),
            ("both v1.0.0|MIT AND GPL-3.0-only|", "MIT AND GPL-3.0-only is not allowed"),
            ("odd v1.0.0|Whatever|", "cannot be read"),
            ("none v1.0.0||", "cannot be read"),
            ("ring v0.17.0|ISC|default (*)", "ring 0.17.0 is banned: one provider"),
            ("rustls v0.23.0|MIT|ring,std", "rustls 0.23.0 has the banned feature ring"),
            ("rustls v0.23.0|MIT|\nrustls v0.22.0|MIT|", "rustls is there in several versions: 0.22.0, 0.23.0"),
            ("fork v1.0.0 (https://example.org/theirs#1)|MIT|", "it comes from https://example.org/theirs#1"),
        ] {
            let wrong = wrong(tree);
            assert!(wrong.len() == 1 && wrong[0].contains(why), "{tree}: {wrong:?}");
        }
    }
}
