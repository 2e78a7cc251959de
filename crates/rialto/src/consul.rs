//! Consul, as flags, environment and files name it.

use std::path::{Path, PathBuf};

use api::client::Secret;
use server::consul::{Check, Consul, ConsulConfig};

use crate::failure::Failure;
use crate::settings::Settings;
use crate::token;

/// Of a node's settings, with what is worth a warning.
pub(crate) fn of_settings(settings: &Settings) -> Result<(Option<ConsulConfig>, Vec<String>), Failure> {
    let text = |name: &'static str| settings.get(name).map(|given| given.text.clone());
    let Some(url) = text("consul") else { return Ok((None, Vec::new())) };
    let file = text("consul-token-file").map(PathBuf::from);
    let (mut config, warnings) = config(url, file.as_deref(), text("consul-ca").map(PathBuf::from))?;
    if let Some(given) = settings.get("consul-check") {
        config.check = given.parse(check)?;
    }
    Ok((Some(config), warnings))
}

fn check(text: &str) -> Result<Check, String> {
    match text {
        "ttl" => Ok(Check::Ttl),
        "grpc" => Ok(Check::Grpc),
        other => Err(format!("`{other}` is no check of Consul's here: use ttl or grpc")),
    }
}

/// Reads the token, and sees whether the address can be used.
pub(crate) fn config(
    url: String,
    token_file: Option<&Path>,
    ca: Option<PathBuf>,
) -> Result<(ConsulConfig, Vec<String>), Failure> {
    let read = token_file.map(token::read).transpose()?;
    let (token, warnings) = read.map_or((None, Vec::new()), |read| (Some(Secret::new(read.token)), read.warnings));
    let config = ConsulConfig { url, token, ca, check: Check::Ttl };
    Consul::new(&config).map_err(|error| Failure::usage(error.to_string()).line("given by --consul"))?;
    Ok((config, warnings))
}
