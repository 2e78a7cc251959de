//! Who may be on the other side of a connection.

use std::fmt;

use rustls::pki_types::CertificateDer;

use crate::subject::{Name, Subject};

/// Whom a server takes, or a client means to reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// This one and nobody else.
    Exactly(Subject),
    /// Any node of this bank.
    NodeOfBank(Name),
    /// Any node of this gateway.
    NodeOfGateway(Name),
    /// Any node of the network's gateway, whatever it is called: a network has one.
    NodeOfAnyGateway,
    /// Whoever the CA has named: what each may do is for the calls to decide.
    Anybody,
}

impl Expected {
    /// Whoever belongs to the same group; of who belongs to none, only the same one.
    pub fn fellow_of(subject: &Subject) -> Expected {
        match subject {
            Subject::Bank { group, .. } => Expected::NodeOfBank(group.clone()),
            Subject::Gateway { group, .. } => Expected::NodeOfGateway(group.clone()),
            Subject::Operator { .. } | Subject::Client => Expected::Exactly(subject.clone()),
        }
    }

    pub fn accepts(&self, found: &Subject) -> bool {
        match self {
            Expected::Exactly(subject) => subject == found,
            Expected::NodeOfBank(name) => matches!(found, Subject::Bank { group, .. } if group == name),
            Expected::NodeOfGateway(name) => matches!(found, Subject::Gateway { group, .. } if group == name),
            Expected::NodeOfAnyGateway => matches!(found, Subject::Gateway { .. }),
            Expected::Anybody => true,
        }
    }

    /// Looks at a certificate whose chain was verified already.
    pub(crate) fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), WrongPeer> {
        let found = subject_in(certificate).ok_or(WrongPeer::Nobody)?;
        if self.accepts(&found) { Ok(()) } else { Err(WrongPeer::Other { found, expected: self.clone() }) }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expected::Exactly(subject) => write!(f, "{subject}"),
            Expected::NodeOfBank(name) => write!(f, "a node of bank {name}"),
            Expected::NodeOfGateway(name) => write!(f, "a node of gateway {name}"),
            Expected::NodeOfAnyGateway => f.write_str("a node of the gateway"),
            Expected::Anybody => f.write_str("anybody of this network"),
        }
    }
}

/// A certificate of the right CA in the wrong place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WrongPeer {
    #[error("it is {found}, and not {expected}")]
    Other { found: Subject, expected: Expected },
    #[error("its certificate does not say who it is (there is not one rialto:// name in it)")]
    Nobody,
}

/// The one subject that a certificate names: none and several are both nobody.
pub(crate) fn subject_in(certificate: &CertificateDer<'_>) -> Option<Subject> {
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    let mut names = certificate.valid_uri_names().filter(|name| name.starts_with("rialto://"));
    let subject = names.next()?.parse().ok()?;
    names.next().is_none().then_some(subject)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_group_and_node_are_told_apart() {
        let subject = |text: &str| text.parse::<Subject>().expect("it is one");
        let name = |text: &str| text.parse::<Name>().expect("it is one");
        let everybody =
            ["bank/alpha/1", "bank/alpha/2", "bank/beta/1", "gateway/alpha/1", "operator/alpha", "client"].map(subject);
        let accepted = |expected: Expected| {
            let accepted = everybody.iter().filter(|subject| expected.accepts(subject));
            accepted.map(Subject::to_string).collect::<Vec<_>>()
        };
        assert_eq!(accepted(Expected::Exactly(subject("bank/alpha/1"))), ["bank/alpha/1"]);
        assert_eq!(accepted(Expected::NodeOfBank(name("alpha"))), ["bank/alpha/1", "bank/alpha/2"]);
        assert_eq!(accepted(Expected::NodeOfGateway(name("alpha"))), ["gateway/alpha/1"]);
        assert_eq!(accepted(Expected::NodeOfAnyGateway), ["gateway/alpha/1"]);
        assert_eq!(accepted(Expected::Anybody).len(), everybody.len());
        assert_eq!(accepted(Expected::fellow_of(&subject("bank/beta/7"))), ["bank/beta/1"]);
        assert_eq!(accepted(Expected::fellow_of(&subject("gateway/alpha/7"))), ["gateway/alpha/1"]);
        assert_eq!(accepted(Expected::fellow_of(&Subject::Client)), ["client"]);
    }
}
