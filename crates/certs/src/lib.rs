//! Certificates of a private network: who somebody is, proved to whoever holds the network's CA.
//!
//! ```text
//!   DIR/ca.crt, DIR/ca.key        Authority: made once; the key stays with the operator
//!          │ issues, rotates
//!   DIR/bank-alpha-1.crt, .key    Files: one Subject, for a year
//!          │ reread when they change
//!   Server, Client                TLS 1.3 with certificates on both sides, names checked against what is Expected
//! ```
//!
//! In reading order: [`Subject`] (role, group and node, in the one URI name of a certificate), `authority`, `files` and
//! `pem` (what lies on disk), `der` and `facts` (what a certificate says), `expected` and `verify` (who may be on the
//! other side), `fresh` (certificates replaced under a running node), `wire` (configurations of rustls), `why` (a failure
//! in plain words).
//!
//! What counts is the URI name and the pinned CA, never a host name: a node that moves needs no new certificate, and who
//! controls the names of hosts gains nothing. There is no TLS 1.2, no resumption (each connection shows its certificate
//! again, so a replaced one counts at once), and no revocation: a certificate that leaked is outlived by a new CA.
//!
//! This crate opens no socket and starts no thread.

mod authority;
mod der;
mod expected;
mod facts;
mod failure;
mod files;
mod fresh;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod pem;
mod private;
mod subject;
mod verify;
mod why;
mod wire;

pub use authority::{Authority, Host};
pub use expected::Expected;
pub use facts::{EXPIRES_SOON_DAYS, Facts, fingerprints};
pub use failure::CertsError;
pub use files::Files;
pub use subject::{BadSubject, Name, Subject};
pub use why::{is_of_handshake, is_of_tls, why};
pub use wire::{Client, Protocol, Server, subject_of, web_client};

#[cfg(test)]
mod tests;
