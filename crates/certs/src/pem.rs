//! Files of certificates and keys: PEM, and written so that a key is never open to others and never half there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::failure::CertsError;

/// A key is its owner's alone.
const KEY_MODE: u32 = 0o600;
const CERTIFICATE_MODE: u32 = 0o644;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Certificate,
    PrivateKey,
}

impl Kind {
    fn label(self) -> &'static str {
        match self {
            Kind::Certificate => "CERTIFICATE",
            Kind::PrivateKey => "PRIVATE KEY",
        }
    }

    fn mode(self) -> u32 {
        match self {
            Kind::Certificate => CERTIFICATE_MODE,
            Kind::PrivateKey => KEY_MODE,
        }
    }
}

/// Writes a new file and syncs it; whatever stood there under that name is gone first, so its permissions are ours.
pub(crate) fn write(path: &Path, kind: Kind, der: &[u8]) -> Result<(), CertsError> {
    let written = || -> io::Result<()> {
        match fs::remove_file(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(kind.mode()).open(path)?;
        file.write_all(encode(kind, der).as_bytes())?;
        file.sync_all()
    };
    written().map_err(failed_to_write(path))
}

/// Gives a written file its name, durably.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), CertsError> {
    let renamed = || -> io::Result<()> {
        fs::rename(from, to)?;
        to.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    };
    renamed().map_err(failed_to_write(to))
}

pub(crate) fn failed_to_write(path: &Path) -> impl FnOnce(io::Error) -> CertsError {
    move |source| CertsError::Write { path: path.to_owned(), source }
}

/// RFC 7468: the label twice, and lines of 64 characters between.
fn encode(kind: Kind, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {}-----\n", kind.label());
    let body = STANDARD.encode(der);
    for (place, character) in body.char_indices() {
        if place > 0 && place % 64 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text + &format!("\n-----END {}-----\n", kind.label())
}

/// All certificates of a file, at least one. No file is no failure here: what that means, the caller knows.
pub(crate) fn read_certificates(path: &Path) -> Result<Option<Vec<CertificateDer<'static>>>, CertsError> {
    let Some(text) = read(path)? else { return Ok(None) };
    let certificates = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(Some(certificates)),
        Ok(_) => Err(damaged(path, "there is no certificate in it")),
        Err(error) => Err(damaged(path, &error.to_string())),
    }
}

/// The private key of a file.
pub(crate) fn read_key(path: &Path) -> Result<Option<PrivateKeyDer<'static>>, CertsError> {
    let Some(text) = read(path)? else { return Ok(None) };
    PrivateKeyDer::from_pem_slice(&text).map(Some).map_err(|error| damaged(path, &error.to_string()))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, CertsError> {
    match fs::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CertsError::Read { path: path.to_owned(), source }),
    }
}

pub(crate) fn damaged(path: &Path, what: &str) -> CertsError {
    CertsError::Damaged { path: path.to_owned(), what: what.to_owned() }
}
