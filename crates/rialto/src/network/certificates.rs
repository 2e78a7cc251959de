//! The certificates of a network that `up` runs: `DIR/tls`, a CA of its own, made as far as they are needed.
//!
//! All of them lie in one directory, the CA's key among them: whoever may read it may read the money as well. A network on
//! several machines has its CA elsewhere (`rialto certs`).

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use certs::{Authority, CertsError, Files, Subject};

use super::layout::BankLayout;
use super::network_file::Kind;
use crate::failure::Failure;

/// Who commands act as that are given in the network's own directory.
pub(crate) const OPERATOR: &str = "operator/local";

pub(crate) fn dir(dir: &Path) -> PathBuf {
    dir.join("tls")
}

/// Makes what is missing: for every node, for the operator's commands and for customers' clients. What would soon expire is
/// replaced. Returns the subjects of those that were.
pub(crate) fn ensure<'a>(at: &Path, banks: impl Iterator<Item = &'a BankLayout>) -> Result<Vec<String>, Failure> {
    let (tls, now) = (dir(at), SystemTime::now());
    let mut authority = None;
    let mut replaced = Vec::new();
    for subject in subjects(banks)? {
        let files = Files::new(&tls, subject.clone());
        let is_there = files.certificate().exists();
        if is_there && !files.facts().map_err(explain)?.expires_soon(now) {
            continue;
        }
        let authority = match &mut authority {
            Some(authority) => authority,
            none => none.insert(open(&tls, now)?),
        };
        if is_there {
            authority.rotate(&subject, now).map_err(explain)?;
            replaced.push(subject.to_string());
        } else {
            authority.issue(&subject, &[], now).map_err(explain)?;
        }
    }
    Ok(replaced)
}

fn open(tls: &Path, now: SystemTime) -> Result<Authority, Failure> {
    let is_new = !Files::new(tls, Subject::Client).authority().exists();
    if is_new { Authority::init(tls, now) } else { Authority::open(tls) }.map_err(explain)
}

fn subjects<'a>(banks: impl Iterator<Item = &'a BankLayout>) -> Result<Vec<Subject>, Failure> {
    let mut subjects = vec![Subject::Client, OPERATOR.parse().expect("a subject")];
    for bank in banks {
        for seat in bank.seats() {
            subjects.push(of_node(bank.kind, bank.name.as_str(), seat.node)?);
        }
    }
    Ok(subjects)
}

/// Whose certificate a node shows.
pub(crate) fn of_node(kind: Kind, name: &str, node: u16) -> Result<Subject, Failure> {
    let subject = match kind {
        Kind::Bank => Subject::bank(name, node),
        Kind::Gateway => Subject::gateway(name, node),
    };
    subject.map_err(|error| Failure::usage(error.to_string()))
}

fn explain(error: CertsError) -> Failure {
    Failure::new(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_dir::TestDir;
    use std::time::Duration;

    fn alpha() -> BankLayout {
        let text = r#"{"name":"alpha","nodes":3,"cluster":"018f2f6c-0000-7000-8000-000000000001","base_port":7100,
            "port_choice":"by_default","made":true}"#;
        serde_json::from_str(text).expect("a layout")
    }

    #[test]
    fn what_is_missing_is_made_and_what_is_there_stays() {
        let dir = TestDir::new();
        let tls = super::dir(dir.path());
        assert_eq!(ensure(dir.path(), [alpha()].iter()), Ok(Vec::new()));
        let of = |subject: &str| Files::new(&tls, subject.parse().expect("a subject"));
        let before = of("bank/alpha/2").facts().expect("it was made");
        std::fs::remove_file(of("bank/alpha/3").certificate()).expect("it was made");
        std::fs::remove_file(of("bank/alpha/3").key()).expect("it was made");
        assert_eq!(ensure(dir.path(), [alpha()].iter()), Ok(Vec::new()));
        assert_eq!(of("bank/alpha/2").facts().expect("it stayed").serial, before.serial);
        assert!(of("bank/alpha/3").facts().is_ok() && of("client").facts().is_ok() && of(OPERATOR).facts().is_ok());
    }

    #[test]
    fn what_expires_soon_is_replaced() {
        let dir = TestDir::new();
        let tls = super::dir(dir.path());
        let long_ago = SystemTime::now() - Duration::from_secs(340 * 24 * 3600);
        let authority = Authority::init(&tls, long_ago).expect("a new directory");
        authority.issue(&Subject::Client, &[], long_ago).expect("there is none yet");
        assert_eq!(ensure(dir.path(), [].iter()), Ok(vec!["client".to_owned()]));
        assert_eq!(ensure(dir.path(), [].iter()), Ok(Vec::new()));
    }
}
