//! The private CA: made once, issues certificates, and is needed for nothing else. Nodes run without its key.
//!
//! Keys are ECDSA on P-256: small, fast, and taken by every tool. The CA counts for ten years and certificates for one,
//! so that replacing a certificate is something one does, and does while nothing is on fire.

use std::fmt;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;

use crate::failure::CertsError;
use crate::files::{Files, check_issuer, provider};
use crate::pem::{self, Kind};
use crate::private;
use crate::subject::Subject;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a certificate counts.
const CERTIFICATE_DAYS: u32 = 365;
const AUTHORITY_DAYS: u32 = 3650;
/// A certificate counts from a little before it is made: clocks of other machines may be behind.
const BACKDATED: Duration = Duration::from_secs(60 * 60);
const COMMON_NAME: &str = "Rialto CA";

/// Where the bearer of a certificate is found. Nothing here goes by that; browsers and other tools do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    Dns(String),
    Address(IpAddr),
}

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Host, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-*".contains(c);
        match text.parse() {
            Ok(address) => Ok(Host::Address(address)),
            Err(_) if !text.is_empty() && text.len() <= 253 && text.chars().all(plain) => {
                Ok(Host::Dns(text.to_owned()))
            }
            Err(_) => Err(format!("`{text}` is neither a host name nor an IP address")),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Dns(name) => f.write_str(name),
            Host::Address(address) => write!(f, "{address}"),
        }
    }
}

/// A CA whose key is here.
pub struct Authority {
    dir: PathBuf,
    /// What `ca.crt` holds; the first is the one that issues.
    certificates: Vec<CertificateDer<'static>>,
    issuer: Issuer<'static, KeyPair>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes a CA in this directory, which is made too if it is not there.
    ///
    /// # Errors
    /// When there is one already, the directory is open to other users of the machine, or the files cannot be written.
    pub fn init(dir: &Path, now: SystemTime) -> Result<Authority, CertsError> {
        // Keys lie in it.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(pem::failed_to_write(dir))?;
        private::check_dir(dir)?;
        let (crt_path, key_path) = paths(dir);
        if let Some(path) = [&crt_path, &key_path].into_iter().find(|path| path.exists()) {
            return Err(CertsError::Exists { path: path.clone() });
        }
        let key = generate()?;
        let mut params = authority_params();
        (params.not_before, params.not_after) = validity(now, AUTHORITY_DAYS);
        let certificate = params.self_signed(&key).map_err(CertsError::refused("making a CA"))?;
        // The key first: a certificate without one would be in the way of the next attempt.
        pem::write(&key_path, Kind::PrivateKey, key.serialized_der())?;
        pem::write(&crt_path, Kind::Certificate, certificate.der())?;
        Authority::open(dir)
    }

    /// The CA of this directory.
    ///
    /// # Errors
    /// When certificate or key is not there, they do not belong together, or the key or the directory is open to other users
    /// of the machine.
    pub fn open(dir: &Path) -> Result<Authority, CertsError> {
        let (crt_path, key_path) = paths(dir);
        private::check_dir(dir)?;
        private::check_key(&key_path)?;
        let missing = |path: &Path| CertsError::NoAuthority { path: path.to_owned() };
        let certificates = pem::read_certificates(&crt_path)?.ok_or_else(|| missing(&crt_path))?;
        let key = pem::read_key(&key_path)?.ok_or_else(|| missing(&key_path))?;
        if CertifiedKey::from_der(certificates.clone(), key.clone_key(), &provider()).is_err() {
            return Err(CertsError::NotAPair { key: key_path, certificate: crt_path });
        }
        let key = KeyPair::try_from(&key).map_err(|error| pem::damaged(&key_path, &error.to_string()))?;
        let issuer = Issuer::new(authority_params(), key);
        Ok(Authority { dir: dir.to_owned(), certificates, issuer })
    }

    /// Makes a certificate and its key beside the CA. Without hosts, a node's is for this machine.
    ///
    /// # Errors
    /// When there is one already, or the files cannot be written.
    pub fn issue(&self, subject: &Subject, hosts: &[Host], now: SystemTime) -> Result<Files, CertsError> {
        let files = Files::new(&self.dir, subject.clone());
        if let Some(path) = [files.certificate(), files.key()].into_iter().find(|path| path.exists()) {
            return Err(CertsError::Exists { path });
        }
        let this_machine = || ["localhost", "127.0.0.1", "::1"].iter().filter_map(|host| host.parse().ok()).collect();
        let hosts = if hosts.is_empty() && subject.serves() { this_machine() } else { hosts.to_vec() };
        self.put(&files, &hosts, now)?;
        Ok(files)
    }

    /// Makes a new certificate of the same name, for the same hosts, with a new key, in place of the one that is there.
    /// Processes that use it notice by themselves.
    ///
    /// # Errors
    /// When there is none, or the files cannot be written.
    pub fn rotate(&self, subject: &Subject, now: SystemTime) -> Result<Files, CertsError> {
        let files = Files::new(&self.dir, subject.clone());
        let hosts = files.facts()?.hosts;
        self.put(&files, &hosts, now)?;
        Ok(files)
    }

    fn put(&self, files: &Files, hosts: &[Host], now: SystemTime) -> Result<(), CertsError> {
        let doing = "making a certificate";
        let key = generate()?;
        let params = params(files.subject(), hosts, now)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(CertsError::refused(doing))?;
        // Of a CA that was made elsewhere the name may be another one, and then nobody would believe this certificate.
        check_issuer(certificate.der(), &self.certificates).map_err(CertsError::refused(doing))?;
        files.replace(certificate.der(), key.serialized_der())
    }
}

fn paths(dir: &Path) -> (PathBuf, PathBuf) {
    (dir.join("ca.crt"), dir.join("ca.key"))
}

fn generate() -> Result<KeyPair, CertsError> {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(CertsError::refused("making a key"))
}

/// What names the CA in its own certificate and in those that it issues.
fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(COMMON_NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn params(subject: &Subject, hosts: &[Host], now: SystemTime) -> Result<CertificateParams, CertsError> {
    let text = |text: &str| text.try_into().map_err(CertsError::refused("naming a certificate"));
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(&subject.to_string());
    (params.not_before, params.not_after) = validity(now, CERTIFICATE_DAYS);
    params.subject_alt_names = vec![SanType::URI(text(&subject.uri())?)];
    for host in hosts {
        params.subject_alt_names.push(match host {
            Host::Dns(name) => SanType::DnsName(text(name)?),
            Host::Address(address) => SanType::IpAddress(*address),
        });
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // Nodes call each other; whoever only calls could not pose as a node even if names were not looked at.
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    if subject.serves() {
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn validity(now: SystemTime, days: u32) -> (OffsetDateTime, OffsetDateTime) {
    (OffsetDateTime::from(now - BACKDATED), OffsetDateTime::from(now + DAY * days))
}
