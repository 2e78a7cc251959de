//! What must hold of any bytes that this crate is given to read: for cargo-fuzz, and for the inputs that are kept.

use crate::authority::Host;
use crate::der;
use crate::expected::subject_in;
use crate::subject::{Name, Subject};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// A certificate is read without a panic, and whoever it names is a subject that reads back.
pub fn certificate(bytes: &[u8]) {
    if let Some(read) = der::read(bytes) {
        assert!(read.serial.len() <= bytes.len() && read.dns.len() + read.addresses.len() <= bytes.len());
    }
    if let Some(subject) = subject_in(&CertificateDer::from(bytes)) {
        assert_eq!(subject.uri().parse(), Ok(subject));
    }
}

/// The same in PEM, and several of them.
pub fn pem(bytes: &[u8]) {
    for found in CertificateDer::pem_slice_iter(bytes).flatten() {
        certificate(&found);
    }
}

/// Subjects, names and hosts: what is taken is shown so that it is taken as the same again.
pub fn text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(subject) = text.parse::<Subject>() {
        assert_eq!(subject.to_string().parse(), Ok(subject.clone()), "{text:?}");
        assert!(!subject.file_name().contains('/'));
    }
    if let Ok(name) = text.parse::<Name>() {
        assert_eq!(name.as_str(), text);
    }
    if let Ok(host) = text.parse::<Host>() {
        assert_eq!(host.to_string().parse(), Ok(host), "{text:?}");
    }
}

#[cfg(test)]
mod tests {
    use corpora::{DECODER, STATE};

    #[test]
    fn fuzz_corpora_of_the_certificates() {
        corpora::run("certs_certificate", DECODER, super::certificate);
        corpora::run("certs_pem", STATE, super::pem);
        corpora::run("certs_text", DECODER, super::text);
    }
}
