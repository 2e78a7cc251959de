//! Who a certificate is for.
//!
//! ```text
//! rialto://bank/alpha/1      node 1 of bank alpha
//! rialto://gateway/main/2    node 2 of gateway main
//! rialto://operator/anna     a person, or a program of theirs
//! rialto://client            a customers' client: who the customer is, their token says
//! ```
//!
//! People write the same without `rialto://`. Files are named after it, with hyphens.

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

const SCHEME: &str = "rialto://";
const NAME_CHARACTERS_MAX: usize = 32;

/// The name of a group or of an operator: lower-case letters, digits and hyphens, a letter first, at most 32 characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = BadSubject;

    fn from_str(text: &str) -> Result<Name, BadSubject> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase());
        if starts_well && text.len() <= NAME_CHARACTERS_MAX && text.chars().all(plain) {
            Ok(Name(text.to_owned()))
        } else {
            Err(BadSubject { given: text.to_owned() })
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A role, and what is needed to tell its bearers apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// One node of a bank.
    Bank { group: Name, node: NonZeroU16 },
    /// One node of a gateway.
    Gateway { group: Name, node: NonZeroU16 },
    /// Whoever runs the network.
    Operator { name: Name },
    /// Whoever calls for customers; who the customer is, a token says.
    Client,
}

/// A text that names nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{given}` names nobody: write bank/NAME/NODE, gateway/NAME/NODE, operator/NAME or client, with names of lower-case \
     letters, digits and hyphens, a letter first, at most 32 characters"
)]
pub struct BadSubject {
    given: String,
}

impl Subject {
    /// Node `node` of the bank of that name.
    ///
    /// # Errors
    /// When the name is none, or the number is zero.
    pub fn bank(group: &str, node: u16) -> Result<Subject, BadSubject> {
        format!("bank/{group}/{node}").parse()
    }

    /// Node `node` of the gateway of that name.
    ///
    /// # Errors
    /// When the name is none, or the number is zero.
    pub fn gateway(group: &str, node: u16) -> Result<Subject, BadSubject> {
        format!("gateway/{group}/{node}").parse()
    }

    /// The name in the certificate.
    pub fn uri(&self) -> String {
        format!("{SCHEME}{self}")
    }

    /// Its number in its group, if it is a node.
    pub fn node(&self) -> Option<u16> {
        match self {
            Subject::Bank { node, .. } | Subject::Gateway { node, .. } => Some(node.get()),
            Subject::Operator { .. } | Subject::Client => None,
        }
    }

    /// What its files are called, without their extension. No two subjects share it: the role comes first, and a node's
    /// number is all that is behind the last hyphen.
    pub fn file_name(&self) -> String {
        self.to_string().replace('/', "-")
    }

    /// Nodes are called; the others only call.
    pub(crate) fn serves(&self) -> bool {
        match self {
            Subject::Bank { .. } | Subject::Gateway { .. } => true,
            Subject::Operator { .. } | Subject::Client => false,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Bank { group, node } => write!(f, "bank/{group}/{node}"),
            Subject::Gateway { group, node } => write!(f, "gateway/{group}/{node}"),
            Subject::Operator { name } => write!(f, "operator/{name}"),
            Subject::Client => f.write_str("client"),
        }
    }
}

impl FromStr for Subject {
    type Err = BadSubject;

    fn from_str(text: &str) -> Result<Subject, BadSubject> {
        let bad = |_| BadSubject { given: text.to_owned() };
        let name = |name: &str| name.parse::<Name>().map_err(bad);
        // One spelling for one subject: no sign, no leading zero.
        let number = |text: &str| text.parse().ok().filter(|node: &NonZeroU16| node.to_string() == text);
        let node = |node: &str| number(node).ok_or(BadSubject { given: text.to_owned() });
        let parts: Vec<&str> = text.strip_prefix(SCHEME).unwrap_or(text).split('/').collect();
        match parts[..] {
            ["bank", group, of] => Ok(Subject::Bank { group: name(group)?, node: node(of)? }),
            ["gateway", group, of] => Ok(Subject::Gateway { group: name(group)?, node: node(of)? }),
            ["operator", who] => Ok(Subject::Operator { name: name(who)? }),
            ["client"] => Ok(Subject::Client),
            _ => Err(BadSubject { given: text.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_reads_back_as_it_was_written() {
        for text in ["bank/alpha/1", "gateway/main/65535", "operator/anna-2", "client"] {
            let subject: Subject = text.parse().expect("it is one");
            assert_eq!(subject.to_string(), text);
            assert_eq!(subject.uri().parse::<Subject>(), Ok(subject));
        }
        assert_eq!(Subject::bank("alpha", 1).map(|bank| bank.uri()), Ok("rialto://bank/alpha/1".to_owned()));
        assert_eq!(Subject::gateway("main", 2).map(|gateway| gateway.file_name()), Ok("gateway-main-2".to_owned()));
    }

    #[test]
    fn what_is_nearly_a_subject_names_nobody() {
        for text in [
            "",
            "bank",
            "bank/alpha",
            "bank/alpha/0",
            "bank/alpha/01",
            "bank/alpha/+1",
            "bank/alpha/65536",
            "bank/alpha/1/",
            "bank/Alpha/1",
            "bank/1alpha/1",
            "bank/../1",
            "client/anna",
            "operator/",
            "rialto://rialto://client",
            "spiffe://bank/alpha/1",
            "operator/a-name-of-more-than-thirty-two-characters",
        ] {
            assert!(text.parse::<Subject>().is_err(), "{text}");
        }
    }
}
