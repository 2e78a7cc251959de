//! Why a connection did not come about, in words for whoever runs the network.

use std::io::{self, ErrorKind};

use rustls::{AlertDescription, CertificateError, Error};

/// Whether it was TLS that failed, and not the network below it.
pub fn is_of_tls(error: &io::Error) -> bool {
    of_tls(error).is_some()
}

/// Whether one side did not believe the other's certificate: then nothing else was said on that connection.
pub fn is_of_handshake(error: &io::Error) -> bool {
    match of_tls(error) {
        Some(Error::InvalidCertificate(_) | Error::NoCertificatesPresented | Error::NoApplicationProtocol) => true,
        Some(Error::AlertReceived(alert)) => matches!(
            alert,
            AlertDescription::CertificateRequired
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied
                | AlertDescription::DecryptError
                | AlertDescription::NoApplicationProtocol
        ),
        Some(_) | None => false,
    }
}

/// One sentence about the other side.
pub fn why(error: &io::Error) -> String {
    match of_tls(error) {
        Some(Error::NoCertificatesPresented) => "it shows no certificate".to_owned(),
        Some(Error::InvalidCertificate(certificate)) => of_certificate(certificate),
        Some(Error::AlertReceived(alert)) => of_alert(*alert),
        Some(Error::InvalidMessage(_) | Error::InappropriateMessage { .. }) => "it does not speak TLS".to_owned(),
        Some(Error::PeerIncompatible(_)) => "it does not speak TLS 1.3 as this node does".to_owned(),
        Some(Error::NoApplicationProtocol) => "it wants to speak something else than is spoken here".to_owned(),
        Some(other) => format!("TLS failed: {other}"),
        None => of_network(error),
    }
}

/// The system's numbers say nothing to people.
fn of_network(error: &io::Error) -> String {
    let text = error.to_string();
    match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused, nothing listens there".to_owned(),
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::NotConnected
        | ErrorKind::UnexpectedEof => "it ended the connection".to_owned(),
        ErrorKind::TimedOut => "it did not answer in time".to_owned(),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => "there is no way to its address".to_owned(),
        _ if text.starts_with("failed to lookup address information") => "its name has no address".to_owned(),
        // What the system says, without its number; what we said ourselves stays as it is.
        _ => text.rsplit_once(" (os error ").map_or(text.clone(), |(said, _)| said.to_lowercase()),
    }
}

fn of_tls(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

fn of_certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate is of another CA than the one that is trusted here".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired; a new one is made with `rialto certs rotate`".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate does not count yet: the clock of one side is wrong".to_owned()
        }
        CertificateError::Other(wrong) => wrong.0.to_string(),
        other => format!("its certificate is not good: {other}"),
    }
}

fn of_alert(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => "it wants a certificate, and was shown none".to_owned(),
        AlertDescription::UnknownCA | AlertDescription::DecryptError => {
            "it does not trust the CA of the certificate that it was shown".to_owned()
        }
        AlertDescription::CertificateExpired => {
            "it says that the certificate that it was shown has expired; make a new one: rialto certs rotate".to_owned()
        }
        AlertDescription::CertificateUnknown | AlertDescription::AccessDenied => {
            "it expects somebody else than the certificate that it was shown names".to_owned()
        }
        AlertDescription::NoApplicationProtocol => {
            "it speaks something else there: that is not the port that is meant".to_owned()
        }
        other => format!("it refuses the connection ({other:?})"),
    }
}
