//! One file per subcommand.

pub(crate) mod audit;
pub(crate) mod bank;
mod bank_failure;
pub(crate) mod bench;
pub(crate) mod certs;
pub(crate) mod client;
pub(crate) mod gateway;
pub(crate) mod init;
pub(crate) mod members;
pub(crate) mod mode;
mod progress;
pub(crate) mod status;
pub(crate) mod targets;
pub(crate) mod up;
pub(crate) mod user;
