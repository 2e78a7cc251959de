//! One file per subcommand.

pub(crate) mod audit;
pub(crate) mod bank;
mod bank_failure;
pub(crate) mod bench;
pub(crate) mod certs;
pub(crate) mod client;
pub(crate) mod gateway;
pub(crate) mod gateway_file;
mod gateway_port;
pub(crate) mod init;
pub(crate) mod limits;
mod listen;
pub(crate) mod manual;
pub(crate) mod members;
pub(crate) mod mode;
pub(crate) mod operator;
mod progress;
pub(crate) mod restore;
pub(crate) mod status;
pub(crate) mod targets;
pub(crate) mod tls;
pub(crate) mod up;
pub(crate) mod user;
pub(crate) mod user_list;
