//! Why something about certificates did not work: one plain sentence each, with what to do where that is known.

use std::io;
use std::path::PathBuf;

use crate::subject::Subject;

/// Why certificates could not be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum CertsError {
    /// A file cannot be read.
    #[error("reading {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// A file cannot be written.
    #[error("writing {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    /// There is no CA, or none whose key is here.
    #[error(
        "there is no {}: a new CA is made with `rialto certs init`, and certificates are issued where its key is",
        path.display()
    )]
    NoAuthority { path: PathBuf },
    /// There is no certificate for this subject.
    #[error("there is no {}: it is made with `rialto certs issue {subject}` where the CA's key is", path.display())]
    NoCertificate { path: PathBuf, subject: Subject },
    /// Nothing that is there is overwritten.
    #[error("{} is there already, and is not overwritten", path.display())]
    Exists { path: PathBuf },
    /// The bytes are not what the file's name says.
    #[error("{} is damaged: {what}", path.display())]
    Damaged { path: PathBuf, what: String },
    /// Key and certificate are not of one pair.
    #[error("{} is not the key of {}: put both back from one issue, or issue them anew", key.display(), certificate.display())]
    NotAPair { key: PathBuf, certificate: PathBuf },
    /// The certificate is somebody else's.
    #[error("{} is for {found}, not for {wanted}", path.display())]
    OtherSubject { path: PathBuf, found: String, wanted: Subject },
    /// The certificate is of another CA.
    #[error("{} was not issued by the CA of {}: {why}", path.display(), authority.display())]
    OtherAuthority { path: PathBuf, authority: PathBuf, why: String },
    /// Keys are not for the other users of the machine, and they may get at one.
    #[error(
        "{} is open to other users of this machine (mode {mode:04o}), and what is kept in it is not for them; close it: \
         {close} {}",
        path.display(),
        path.display()
    )]
    OpenToOthers {
        path: PathBuf,
        /// Permission bits as `chmod` takes them.
        mode: u32,
        /// The command that takes them away, without the path.
        close: &'static str,
    },
    /// The library refused to write a certificate, or to use it.
    #[error("{doing}: {why}")]
    Refused { doing: &'static str, why: String },
}

impl CertsError {
    pub(crate) fn refused<E: std::fmt::Display>(doing: &'static str) -> impl FnOnce(E) -> CertsError {
        move |error| CertsError::Refused { doing, why: error.to_string() }
    }
}
