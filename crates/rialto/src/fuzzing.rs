//! What must hold of any bytes that this crate is given to read: for cargo-fuzz, and for the inputs that are kept.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use api::status::NodeStatus;
use server::audit::AuditReport;

use crate::cmd::client::shell::line;
use crate::cmd::client::way::listed_gateways;
use crate::cmd::user_list::{UserList, parse_users};
use crate::cmd::{audit, gateway_file, status};
use crate::members::bank;
use crate::network::cluster::Cluster;
use crate::network::layout::Layout;
use crate::network::name::BankName;
use crate::network::network_file::NetworkFile;
use crate::supervise::columns::broken;
use crate::supervise::requests::{Reply, Request};
use crate::{logging, plain, settings};

/// A configuration in TOML or JSON: what it says is text of a bounded length, and what is wrong with it is said.
pub fn configuration(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for name in ["node.toml", "node.json"] {
        match settings::understand(text, Path::new(name)) {
            Ok(given) => {
                let said: usize = given.values().map(|given| given.text.len()).sum();
                // Numbers may be written shorter than they are shown: 1e9 is no number here, 0xffff is.
                assert!(said <= 8 * text.len(), "{said} bytes of settings in {} bytes", text.len());
            }
            Err(failure) => assert!(!failure.to_string().is_empty()),
        }
    }
}

/// The files of a network: what is read is written so that it is read as the same again.
pub fn files(bytes: &[u8]) {
    again::<Layout>(bytes);
    again::<NetworkFile>(bytes);
    again::<Request>(bytes);
    again::<Reply>(bytes);
    gateway_file::files(bytes);
    assert!(listed_gateways(bytes).len() <= bytes.len());
}

/// A list of customers: each entry is taken or counted as wrong, and none of what is said of it is a password.
pub fn users(bytes: &[u8]) {
    let Ok(UserList { users, wrong }) = parse_users(bytes) else { return };
    let text = &String::from_utf8_lossy(bytes);
    let entries: Vec<&RawValue> = serde_json::from_str(text).expect("it was read");
    let taken = users.len();
    let told = if wrong.is_empty() { String::new() } else { wrong.failure(taken).to_string() };
    let count = entries.len() - taken;
    let said = match taken {
        0 => format!("none of the file's customers could be made: {count}"),
        _ => format!("{count} of {}", entries.len()),
    };
    assert!(if count == 0 { told.is_empty() } else { told.contains(&said) }, "{told}");
    for entry in entries {
        let Ok(entry) = serde_json::from_str::<Value>(entry.get()) else { continue };
        let password = match &entry["password"] {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => continue,
        };
        // One that stands nowhere else in the file, nor in sentences of ours.
        let is_secret = password.len() > 6 && password.bytes().all(|byte| byte.is_ascii_digit());
        let is_seen = !text.contains('\\') && text.matches(&password).count() == 1;
        assert!(!is_secret || !is_seen || !told.contains(&password), "{told}");
    }
}

/// What nodes answer over HTTP is shown without a panic, and so that a terminal can bear it.
pub fn answers(bytes: &[u8]) {
    let Some((choice, said)) = bytes.split_first() else { return };
    let lines = match choice % 3 {
        0 => serde_json::from_slice::<NodeStatus>(said).map_or_else(|_| Vec::new(), status::shown),
        1 => serde_json::from_slice::<AuditReport>(said).map_or_else(|_| Vec::new(), |report| audit::said(&report)),
        _ => bank::said(200 + 100 * u16::from(choice / 3 % 4) + u16::from(choice / 12), said).into_iter().collect(),
    };
    lines.iter().for_each(|line| printed(line));
}

/// Whatever somebody else wrote: printed, it obeys nobody; broken into lines, none of it is lost.
fn printed(text: &str) {
    let is_bad = |it: char| it.is_control() && !matches!(it, '\n' | '\t');
    let (shown, cell) = (plain::printable(text), plain::cell(text));
    assert!(!shown.contains(is_bad) && !cell.contains(['\n', '\t']) && !cell.contains(is_bad), "{text:?}");
    assert_eq!(plain::printable(&shown), shown, "{text:?}");
    let inked = |text: &str| text.split_whitespace().collect::<String>();
    assert_eq!(inked(&broken(&cell, 80, (8, "")).concat()), inked(&cell), "{text:?}");
}

fn again<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    let Ok(read) = serde_json::from_slice::<T>(bytes) else { return };
    let written = serde_json::to_vec(&read).expect("it was read from JSON");
    assert_eq!(serde_json::from_slice::<T>(&written).ok(), Some(read));
}

/// What people type.
pub fn typed(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(cluster) = text.parse::<Cluster>() {
        assert_eq!(cluster.to_string().parse::<Cluster>().ok(), Some(cluster), "{text:?}");
    }
    if let Ok(bank) = text.parse::<BankName>() {
        assert_eq!(bank.as_str(), text);
    }
    let _ = (logging::parse_level(text), logging::parse_format(text));
    if let Err(why) = line::parse(text) {
        assert!(!why.is_empty());
    }
    printed(text);
}

#[cfg(test)]
mod tests {
    use corpora::STATE;

    #[test]
    fn fuzz_corpora_of_the_program() {
        corpora::run("rialto_configuration", STATE, super::configuration);
        corpora::run("rialto_files", STATE, super::files);
        corpora::run("rialto_typed", STATE, super::typed);
        corpora::run("rialto_users", STATE, super::users);
        corpora::run("rialto_answers", STATE, super::answers);
    }
}
