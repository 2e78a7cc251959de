//! The files that one process needs: its certificate, its key, and the CA that it trusts.
//!
//! ```text
//! DIR/ca.crt              the CA; while one replaces another, both, one after the other
//! DIR/bank-alpha-1.crt    the certificate
//! DIR/bank-alpha-1.key    its key, open to nobody else
//! ```
//!
//! Key and certificate are two files, so replacing them has a moment in between. The new pair is written beside the old
//! one, then the key is renamed, then the certificate: a key whose certificate does not fit belongs to the `.crt.new`
//! that is still there. So at every moment, also after a crash, there is one whole pair.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use crate::expected::subject_in;
use crate::facts::Facts;
use crate::failure::CertsError;
use crate::pem::{self, Kind};
use crate::private;
use crate::subject::Subject;

/// Where one subject's certificate, its key and its CA are. Holds no secret itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    dir: PathBuf,
    subject: Subject,
}

/// What the files hold, checked against each other.
pub(crate) struct Loaded {
    pub(crate) roots: Arc<RootCertStore>,
    pub(crate) own: Arc<CertifiedKey>,
}

impl Files {
    pub fn new(dir: impl Into<PathBuf>, subject: Subject) -> Files {
        Files { dir: dir.into(), subject }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The CA's certificate.
    pub fn authority(&self) -> PathBuf {
        self.dir.join("ca.crt")
    }

    pub fn certificate(&self) -> PathBuf {
        self.dir.join(format!("{}.crt", self.subject.file_name()))
    }

    pub fn key(&self) -> PathBuf {
        self.dir.join(format!("{}.key", self.subject.file_name()))
    }

    /// What the certificate says, among it how long it counts.
    ///
    /// # Errors
    /// When there is none, or the file is damaged.
    pub fn facts(&self) -> Result<Facts, CertsError> {
        let path = self.certificate();
        Facts::read(&path)?.ok_or_else(|| self.no_certificate(path))
    }

    /// Whether a certificate that came from elsewhere, PEM, is of the CA that is trusted here, counts by its own dates, and
    /// is that subject's.
    ///
    /// # Errors
    /// A sentence, when it is not.
    pub fn vouches_for(&self, pem: &[u8], subject: &Subject) -> Result<(), String> {
        let leaf = CertificateDer::from_pem_slice(pem).map_err(|error| format!("it is no certificate: {error}"))?;
        let roots = pem::read_certificates(&self.authority()).map_err(|error| error.to_string())?;
        check_issuer(&leaf, &roots.ok_or("no CA is trusted here")?)?;
        match subject_in(&leaf) {
            Some(found) if found == *subject => Ok(()),
            Some(found) => Err(format!("it is of {found}")),
            None => Err("it does not say whose it is".to_owned()),
        }
    }

    /// Reads all three, and checks that they belong together. Whether the certificate has expired is not looked at: the
    /// other side does, and a node that may only start while it counts could not even say so.
    ///
    /// # Errors
    /// When one is missing or damaged, when they do not belong together, or when the key or the directory is open to other
    /// users of the machine.
    pub(crate) fn load(&self) -> Result<Loaded, CertsError> {
        private::check_dir(&self.dir)?;
        private::check_key(&self.key())?;
        let (authority, path) = (self.authority(), self.certificate());
        let missing = || CertsError::NoAuthority { path: authority.clone() };
        let roots = pem::read_certificates(&authority)?.ok_or_else(missing)?;
        let key = pem::read_key(&self.key())?.ok_or_else(|| self.no_certificate(self.key()))?;
        let own = self.pair(&key)?;
        let leaf = own.end_entity_cert().map_err(CertsError::refused("reading a certificate"))?;
        self.check_subject(leaf)?;
        check_issuer(leaf, &roots).map_err(|why| CertsError::OtherAuthority { path, authority, why })?;
        let mut store = RootCertStore::empty();
        for root in roots {
            store.add(root).map_err(|error| pem::damaged(&self.authority(), &error.to_string()))?;
        }
        Ok(Loaded { roots: Arc::new(store), own: Arc::new(own) })
    }

    /// The certificate that fits the key: the one that has its name, or the one that was about to get it.
    fn pair(&self, key: &PrivateKeyDer<'static>) -> Result<CertifiedKey, CertsError> {
        let path = self.certificate();
        let chain = pem::read_certificates(&path)?;
        let found = chain.is_some();
        let replacing = pem::read_certificates(&new(&path)).ok().flatten();
        for chain in chain.into_iter().chain(replacing) {
            match CertifiedKey::from_der(chain, key.clone_key(), &provider()) {
                Ok(pair) => return Ok(pair),
                Err(rustls::Error::InconsistentKeys(_)) => {}
                Err(error) => return Err(pem::damaged(&path, &error.to_string())),
            }
        }
        Err(if found { CertsError::NotAPair { key: self.key(), certificate: path } } else { self.no_certificate(path) })
    }

    fn check_subject(&self, leaf: &CertificateDer<'_>) -> Result<(), CertsError> {
        let found = subject_in(leaf);
        if found.as_ref() == Some(&self.subject) {
            return Ok(());
        }
        let found = found.map_or_else(|| "nobody".to_owned(), |found| found.to_string());
        Err(CertsError::OtherSubject { path: self.certificate(), found, wanted: self.subject.clone() })
    }

    /// Puts a pair in place of whatever is there.
    pub(crate) fn replace(&self, certificate: &[u8], key: &[u8]) -> Result<(), CertsError> {
        let (crt_path, key_path) = (self.certificate(), self.key());
        pem::write(&new(&key_path), Kind::PrivateKey, key)?;
        pem::write(&new(&crt_path), Kind::Certificate, certificate)?;
        pem::rename(&new(&key_path), &key_path)?;
        pem::rename(&new(&crt_path), &crt_path)
    }

    fn no_certificate(&self, path: PathBuf) -> CertsError {
        CertsError::NoCertificate { path, subject: self.subject.clone() }
    }
}

/// Beside the file that it is to replace.
fn new(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// The only cryptography that is used here; none is installed for the whole process, so nothing else can change it.
pub(crate) fn provider() -> CryptoProvider {
    aws_lc_rs::default_provider()
}

/// Does one of these stand behind the certificate, while that counts?
pub(crate) fn check_issuer(leaf: &CertificateDer<'_>, roots: &[CertificateDer<'_>]) -> Result<(), String> {
    let text = |error: webpki::Error| error.to_string();
    let anchors = roots.iter().map(anchor_from_trusted_cert).collect::<Result<Vec<_>, _>>().map_err(text)?;
    let begins = crate::der::read(leaf).ok_or("it is no certificate")?.not_before;
    let algorithms = provider().signature_verification_algorithms.all;
    // Every certificate of ours may call, those of nodes as well.
    let usage = KeyUsage::client_auth();
    let leaf = EndEntityCert::try_from(leaf).map_err(text)?;
    leaf.verify_for_usage(algorithms, &anchors, &[], unix_time(begins), usage, None, None).map(drop).map_err(text)
}

fn unix_time(time: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO))
}
