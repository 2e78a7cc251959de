//! As whom operators' commands call nodes that speak TLS.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use certs::{Expected, Files, Protocol, Subject};
use clap::Args;

use crate::failure::Failure;
use crate::follow_up::Options;
use crate::network::certificates::OPERATOR;
use crate::network::network_file::NetworkFile;

#[derive(Debug, Clone, Args)]
pub(crate) struct TlsArgs {
    /// Directory with ca.crt and a certificate to show to nodes that speak TLS [default: what DIR/network.json says]
    #[arg(long, global = true, value_name = "DIR")]
    tls_dir: Option<PathBuf>,
    /// Whose certificate
    #[arg(long, global = true, value_name = "SUBJECT", default_value = OPERATOR)]
    tls_as: Subject,
}

impl TlsArgs {
    /// The way to a bank. `dir` is that of a network that `rialto up` runs, if it is one of those.
    pub(crate) fn of_bank(&self, bank: &str, dir: Option<&Path>) -> Result<Option<Arc<certs::Client>>, Failure> {
        let name = bank.parse().map_err(|error: certs::BadSubject| Failure::usage(error.to_string()))?;
        self.expecting(Expected::NodeOfBank(name), dir)
    }

    /// The way to the gateway.
    pub(crate) fn of_gateway(&self, dir: Option<&Path>) -> Result<Option<Arc<certs::Client>>, Failure> {
        self.expecting(Expected::NodeOfAnyGateway, dir)
    }

    /// What a command that is typed next needs as well.
    pub(crate) fn added_to(&self, options: Options) -> Options {
        let tls_as = self.tls_as.to_string();
        let options = options.flag("tls-dir", self.tls_dir.as_ref().map(|dir| dir.display()));
        options.flag("tls-as", (tls_as != OPERATOR).then_some(tls_as))
    }

    fn expecting(&self, expected: Expected, dir: Option<&Path>) -> Result<Option<Arc<certs::Client>>, Failure> {
        let of_network = || dir.map(NetworkFile::load).transpose().map(|network| network.and_then(|it| it.tls));
        let Some(tls) = self.tls_dir.clone().map_or_else(of_network, |dir| Ok(Some(dir)))? else { return Ok(None) };
        let client = certs::Client::new(Files::new(tls, self.tls_as.clone()), expected, Protocol::Grpc);
        client.map(|client| Some(Arc::new(client))).map_err(|error| Failure::new(error.to_string()))
    }
}
