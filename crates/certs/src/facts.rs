//! What a certificate says, for people: for `rialto certs show`, and for a node that warns before its own expires.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest;
use rustls::pki_types::CertificateDer;

use crate::authority::Host;
use crate::der;
use crate::expected::subject_in;
use crate::failure::CertsError;
use crate::pem;
use crate::subject::Subject;

/// From here on it is time to replace a certificate: a month, so that nobody has to hurry.
pub const EXPIRES_SOON_DAYS: i64 = 30;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// One certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The file that it is in.
    pub path: PathBuf,
    /// Whom it is for; none if it is a CA's.
    pub subject: Option<Subject>,
    /// Hexadecimal.
    pub serial: String,
    pub not_before: SystemTime,
    pub not_after: SystemTime,
    /// SHA-256 of the whole certificate, hexadecimal with colons, as other tools print it.
    pub fingerprint: String,
    /// Where its bearer is found, for tools that go by that.
    pub hosts: Vec<Host>,
}

impl Facts {
    /// Reads the first certificate of a file; none when there is no such file.
    ///
    /// # Errors
    /// When the file cannot be read, or holds something else.
    pub fn read(path: &Path) -> Result<Option<Facts>, CertsError> {
        let Some(certificates) = pem::read_certificates(path)? else { return Ok(None) };
        let certificate = certificates.first().expect("a file of none is damaged");
        let read = der::read(certificate).ok_or_else(|| pem::damaged(path, "the certificate in it cannot be read"))?;
        let hosts = read.dns.into_iter().map(Host::Dns).chain(read.addresses.into_iter().map(Host::Address));
        Ok(Some(Facts {
            path: path.to_owned(),
            subject: subject_in(certificate),
            serial: hexadecimal(&read.serial, ""),
            not_before: read.not_before,
            not_after: read.not_after,
            fingerprint: hexadecimal(digest::digest(&digest::SHA256, certificate).as_ref(), ":"),
            hosts: hosts.collect(),
        }))
    }

    /// All certificates of a directory, in the order of their names.
    ///
    /// # Errors
    /// When the directory or a file in it cannot be read.
    pub fn of_each_in(dir: &Path) -> Result<Vec<Result<Facts, CertsError>>, CertsError> {
        let failed = |source| CertsError::Read { path: dir.to_owned(), source };
        let mut paths = Vec::new();
        for entry in fs::read_dir(dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == "crt") {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths.iter().filter_map(|path| Facts::read(path).transpose()).collect())
    }

    /// Whole days until it expires; negative from a day after that on.
    pub fn days_left(&self, now: SystemTime) -> i64 {
        let days =
            |span: Duration| i64::try_from(span.as_secs() / DAY.as_secs()).expect("a certificate is not eternal");
        match self.not_after.duration_since(now) {
            Ok(left) => days(left),
            Err(past) => -days(past.duration()),
        }
    }

    pub fn has_expired(&self, now: SystemTime) -> bool {
        now > self.not_after
    }

    /// Whether it is time to replace it: see [`EXPIRES_SOON_DAYS`].
    pub fn expires_soon(&self, now: SystemTime) -> bool {
        self.days_left(now) < EXPIRES_SOON_DAYS
    }
}

/// The fingerprints of all certificates of a file, as [`Facts::fingerprint`] has them; none when there is no such file. Of a
/// CA's file these are all that are trusted: while one replaces another, both.
///
/// # Errors
/// When the file cannot be read, or holds something else.
pub fn fingerprints(path: &Path) -> Result<Vec<String>, CertsError> {
    let certificates = pem::read_certificates(path)?.unwrap_or_default();
    let of = |certificate: &CertificateDer<'_>| hexadecimal(digest::digest(&digest::SHA256, certificate).as_ref(), ":");
    Ok(certificates.iter().map(of).collect())
}

fn hexadecimal(bytes: &[u8], between: &str) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(between)
}
