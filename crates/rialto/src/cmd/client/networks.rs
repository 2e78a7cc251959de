//! Which network a command is for, and so which profiles are meant.
//!
//! ```text
//! ~/.local/share/rialto/networks/ID/PROFILE     without --dir: profiles of each network by themselves
//! DIR/clients/PROFILE                           with --dir: those of the network in DIR
//! ```
//!
//! A profile belongs to one network from its first sign-in on (`wallet::Network`): its token and its payments go there and
//! nowhere else. Which network is called is looked up in this order: the directory's own `network.json`; the CA that stands
//! behind the gateway, if exactly one network is known by it; the gateway's own answer; and while it is away, the network
//! that was last found at the addresses.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use api::network::NetworkId;
use wallet::{Network, Profile};

use super::of_profile;
use super::way::Way;
use crate::failure::Failure;
use crate::follow_up;

/// Whether a CA that was never trusted for the network is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NewAuthority {
    Refused,
    Accepted,
}

/// Where the profiles are of the network that the way leads to.
pub(super) fn home(base: &Path, way: &Way) -> Result<PathBuf, Failure> {
    let networks = base.join("networks");
    let of = |id: NetworkId| networks.join(id.to_string());
    if let Some(id) = way.network() {
        return Ok(of(id));
    }
    let known = known(&networks)?;
    let Some(authorities) = way.authorities()? else {
        // Nothing says where the gateway is. The one network that is known is meant; of several, none.
        return match known.as_slice() {
            [one] => Ok(of(one.id)),
            [] | [_, _, ..] => Err(match way.find(None) {
                Err(failure) => listing(failure, &known),
                Ok(_) => listing(Failure::usage("which network is meant, is not known"), &known),
            }),
        };
    };
    let trusted = |network: &&Network| {
        if authorities.is_empty() { network.authorities.is_empty() } else { shares(&network.authorities, &authorities) }
    };
    let candidates: Vec<&Network> = known.iter().filter(trusted).collect();
    if let ([one], false) = (candidates.as_slice(), authorities.is_empty()) {
        return Ok(of(one.id));
    }
    let found = way.find(None)?;
    if let Some(id) = Way::ask(&found, &Way::connect(&found)?)? {
        return Ok(of(id));
    }
    let there = |network: &&&Network| found.addresses.iter().any(|address| network.gateways.contains(address));
    match candidates.iter().filter(there).collect::<Vec<_>>().as_slice() {
        [one] => Ok(of(one.id)),
        [] | [_, _, ..] => {
            let login = follow_up::command("login BANK USER");
            let failure = Failure::unreachable(format!(
                "the gateway at {} cannot be reached, and which network that is, is not known here",
                found.addresses.join(", ")
            ));
            Err(listing(failure.line(format!("sign in once while it can be reached: {login}")), &known))
        }
    }
}

/// Holds the profile against what is known of the network without asking anybody, and keeps what is new of it.
pub(super) fn check(profile: &Profile, way: &Way, new: NewAuthority) -> Result<(), Failure> {
    let Some(pinned) = profile.network().map_err(of_profile)? else { return Ok(()) };
    if let Some(found) = way.network().filter(|found| *found != pinned.id) {
        return Err(another(profile, &pinned, &format!("the network in {} is {found}", way.dir.display())));
    }
    let Some(authorities) = way.authorities()? else { return Ok(()) };
    if pinned.authorities.is_empty() || pinned.authorities == authorities || new == NewAuthority::Accepted {
        return Ok(());
    }
    if authorities.is_empty() {
        let why = "this network is spoken to over TLS, and the gateway was named in plain text";
        return Err(Failure::new(why)
            .line(format!("profile {}", profile.dir().display()))
            .line("give the directory with ca.crt and client.crt: --tls-dir DIR, RIALTO_TLS_DIR, or --dir DIR"));
    }
    if !shares(&pinned.authorities, &authorities) {
        let failure = another(profile, &pinned, "its CA is another than the one that was trusted for this network");
        return Err(failure
            .line(format!("trusted: SHA-256 {}", list(&pinned.authorities)))
            .line(format!("found:   SHA-256 {}", list(&authorities)))
            .line(format!(
                "if the network's operator says that the CA was replaced by this one: {}",
                follow_up::command("login BANK USER --new-ca")
            )));
    }
    // A file that holds a CA that is trusted and another one: the one is replacing the other.
    profile.belong_to(&Network { authorities, ..pinned }).map_err(of_profile)
}

fn another(profile: &Profile, pinned: &Network, why: &str) -> Failure {
    Failure::new(format!("the profile belongs to another network: {why}"))
        .with_problem(api::code::Code::OtherCluster)
        .line(format!("profile {}, of network {}", profile.dir().display(), pinned.id))
        .line("nothing was sent; its token and its payments go to its own network only")
        .line("another profile is named by --profile NAME; without --dir each network has profiles of its own")
}

fn shares(one: &BTreeSet<String>, other: &BTreeSet<String>) -> bool {
    one.intersection(other).next().is_some()
}

fn list(fingerprints: &BTreeSet<String>) -> String {
    fingerprints.iter().cloned().collect::<Vec<_>>().join(", ")
}

/// Every network that somebody has signed in at, as all of its profiles know it.
fn known(networks: &Path) -> Result<Vec<Network>, Failure> {
    let mut known: Vec<Network> = Vec::new();
    let Ok(entries) = std::fs::read_dir(networks) else { return Ok(known) };
    for dir in entries.flatten().filter(|entry| entry.path().is_dir()) {
        let Ok(profiles) = std::fs::read_dir(dir.path()) else { continue };
        let mut network: Option<Network> = None;
        for profile in profiles.flatten().filter(|entry| entry.path().is_dir()) {
            let profile = Profile::open(profile.path()).map_err(of_profile)?;
            let Some(found) = profile.network().map_err(of_profile)? else { continue };
            let network = network.get_or_insert_with(|| found.clone());
            network.authorities.extend(found.authorities);
            network.gateways.extend(found.gateways);
        }
        known.extend(network.filter(|network| dir.file_name().to_str() == Some(&network.id.to_string())));
    }
    known.sort_by_key(|network| network.id);
    Ok(known)
}

/// Adds the networks that are known here.
pub(super) fn listing(failure: Failure, known: &[Network]) -> Failure {
    let line = |network: &Network| {
        let at: Vec<&str> = network.gateways.iter().map(String::as_str).collect();
        format!("known here: network {} at {}", network.id, at.join(", "))
    };
    known.iter().map(line).fold(failure, Failure::line)
}
