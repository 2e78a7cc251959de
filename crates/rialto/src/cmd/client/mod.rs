//! What customers do: sign in, pay, look. One file per command; here is what they share.
//!
//! ```text
//!   ClientArgs ─► Desk: whose profile, where the gateway is ─► outbox first, gateway then
//! ```
//!
//! A command that pays writes to the outbox of the crate `wallet` before anything is sent; what it then says is what the
//! outbox knows.

pub(crate) mod balance;
pub(crate) mod history;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod outbox;
pub(super) mod password;
pub(crate) mod pay;
pub(crate) mod payment;
mod say;
pub(crate) mod sessions;
pub(crate) mod shell;
mod waiting;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::client::gateway::{Customer, GatewayClient, GatewayError, GatewayOptions, NotSignedIn};
use clap::Args;
use clearing::{Holder, NamedParty};
use wallet::{Outbox, OutboxError, Profile, ProfileError, ProfileName, Running, SignIn, Worker, WorkerOptions};

use crate::failure::Failure;
use crate::logging::{self, Format, Log, Target};
use server::consul::{Consul, ConsulConfig, ConsulError};
use tokio::runtime::Handle;

/// Whose profile, and where the gateway is.
#[derive(Debug, Clone, Args)]
pub(crate) struct ClientArgs {
    /// Keeps several people on one machine apart [default: RIALTO_PROFILE, or default]
    #[arg(long, value_name = "NAME", value_parser = |text: &str| text.parse::<ProfileName>())]
    profile: Option<ProfileName>,
    /// A node of the gateway, more than once for several; dns:HOST:PORT stands for every address that the name has
    /// [default: RIALTO_GATEWAY, or those of DIR/network.json]
    #[arg(long = "gateway", value_name = "ADDR")]
    gateways: Vec<String>,
    /// Find the gateway in Consul: http://HOST:PORT, or https://HOST:PORT [default: RIALTO_CONSUL]
    #[arg(long, value_name = "URL")]
    consul: Option<String>,
    /// File with an ACL token for Consul [default: RIALTO_CONSUL_TOKEN_FILE]
    #[arg(long, value_name = "FILE")]
    consul_token_file: Option<PathBuf>,
    /// The certificate of the CA that signed Consul's own, PEM [default: RIALTO_CONSUL_CA]
    #[arg(long, value_name = "FILE")]
    consul_ca: Option<PathBuf>,
    /// Directory with ca.crt, client.crt and client.key, for a gateway that speaks TLS [default: RIALTO_TLS_DIR, or what
    /// DIR/network.json says]
    #[arg(long, value_name = "DIR")]
    tls_dir: Option<PathBuf>,
    /// The network's directory; profiles are then kept in DIR/clients [default: RIALTO_DIR, or ./rialto-data]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// The default directory of a network.
const DIR: &str = "./rialto-data";
/// How long a look at the gateway may take.
const LOOK: GatewayOptions = GatewayOptions {
    deadline: Duration::from_secs(5),
    attempt_timeout: Duration::from_millis(2_500),
    connect_patience: Duration::from_secs(1),
};

/// A profile that is open, and the way to the gateway.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    profile: Profile,
    gateways: Vec<String>,
    consul: Option<ConsulConfig>,
    tls_dir: Option<PathBuf>,
    dir: PathBuf,
    look_every: Duration,
}

/// Whether what is printed is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colours {
    On,
    Off,
}

impl Colours {
    /// Only on a terminal that understands them, and only where nobody has asked for none (<https://no-color.org>).
    fn of_stdout() -> Colours {
        let unwanted = variable("NO_COLOR").is_some() || variable("TERM").as_deref() == Some("dumb");
        if std::io::stdout().is_terminal() && !unwanted { Colours::On } else { Colours::Off }
    }

    fn paint(self, code: &str, text: &str) -> String {
        match self {
            Colours::On => format!("\x1b[{code}m{text}\x1b[0m"),
            Colours::Off => text.to_owned(),
        }
    }
}

impl ClientArgs {
    /// Opens the profile. Nothing is asked of the gateway yet, which may be away.
    fn open(&self) -> Result<Desk, Failure> {
        let name = match (&self.profile, variable("RIALTO_PROFILE")) {
            (Some(name), _) => name.clone(),
            (None, Some(text)) => text
                .parse()
                .map_err(|why: String| Failure::usage(why).line("given by RIALTO_PROFILE in the environment"))?,
            (None, None) => "default".parse().expect("a plain word"),
        };
        let given = self.dir.clone().or_else(|| variable("RIALTO_DIR").map(PathBuf::from));
        let home = match &given {
            Some(dir) => dir.join("clients"),
            None => wallet::profile::home(variable).ok_or_else(|| {
                Failure::usage("there is no home directory to keep a profile in")
                    .line("set HOME or XDG_DATA_HOME, or give --dir DIR")
            })?,
        };
        let profile = Profile::open(home.join(name.to_string())).map_err(of_profile)?;
        log_requests(&profile)?;
        let gateways = match (self.gateways.as_slice(), variable("RIALTO_GATEWAY")) {
            ([], Some(text)) => text.split(',').map(|address| address.trim().to_owned()).collect(),
            (given, _) => given.to_vec(),
        };
        let dir = given.unwrap_or_else(|| PathBuf::from(DIR));
        let tls_dir = self.tls_dir.clone().or_else(|| variable("RIALTO_TLS_DIR").map(PathBuf::from));
        let path = |given: &Option<PathBuf>, name| given.clone().or_else(|| variable(name).map(PathBuf::from));
        let consul = match self.consul.clone().or_else(|| variable("RIALTO_CONSUL")) {
            None => None,
            Some(url) => {
                let token_file = path(&self.consul_token_file, "RIALTO_CONSUL_TOKEN_FILE");
                let ca = path(&self.consul_ca, "RIALTO_CONSUL_CA");
                Some(crate::consul::config(url, token_file.as_deref(), ca)?.0)
            }
        };
        Ok(Desk { profile, gateways, consul, tls_dir, dir, look_every: look_every()? })
    }
}

impl Desk {
    fn outbox(&self) -> Result<Outbox, Failure> {
        self.profile.outbox().map_err(of_outbox)
    }

    /// The gateway, which is not asked anything yet.
    fn gateway(&self) -> Result<GatewayClient, Failure> {
        let found;
        let given = match &self.consul {
            Some(consul) if self.gateways.is_empty() => {
                found = self.in_consul(consul)?;
                found.as_slice()
            }
            Some(_) | None => self.gateways.as_slice(),
        };
        let (addresses, tls_of_file) = match given {
            [] => {
                let known = super::gateway_file::read(&self.dir)?;
                (known.addresses, known.tls)
            }
            // A node by its address is one of the network that the directory tells of, unless it is called in plain text.
            given => {
                let is_plain = given.iter().any(|address| address.starts_with("http://"));
                let known = if is_plain { None } else { super::gateway_file::read(&self.dir).ok() };
                (given.to_vec(), known.and_then(|known| known.tls))
            }
        };
        let addresses = looked_up(addresses)?;
        let tls = self.tls_dir.clone().or(tls_of_file).map(|dir| {
            let files = certs::Files::new(dir, certs::Subject::Client);
            certs::Client::new(files, certs::Expected::NodeOfAnyGateway, certs::Protocol::Grpc).map(Arc::new)
        });
        let tls = tls.transpose().map_err(|error| Failure::new(error.to_string()))?;
        let gateway = GatewayClient::connect_with(addresses, tls).map_err(of_gateway)?;
        Ok(gateway.with_options(LOOK))
    }

    /// This client's certificate and the CA that it trusts, where they were given.
    fn files(&self) -> Option<certs::Files> {
        self.tls_dir.clone().map(|dir| certs::Files::new(dir, certs::Subject::Client))
    }

    /// Where Consul says that the gateway is; while Consul is away, where it was.
    fn in_consul(&self, config: &ConsulConfig) -> Result<Vec<String>, Failure> {
        let away = |error: ConsulError| Failure::new(error.to_string()).line("given by --consul, or RIALTO_CONSUL");
        let consul = Consul::new(config).map_err(away)?;
        let files = self.files();
        if let Some(files) = &files {
            pin_authority(&consul, files)?;
        }
        let kept = self.profile.dir().join("gateway.json");
        let found = server::consul::gateways(&consul, files.as_ref());
        match tokio::task::block_in_place(|| Handle::current().block_on(found)) {
            Ok(found) if found.is_empty() => {
                Err(Failure::new(format!("Consul at {} knows of no node of the gateway that is well", config.url))
                    .line("is the gateway started with --consul? rialto up --consul URL"))
            }
            Ok(found) => {
                // Only for while Consul is away: no command fails because it cannot be kept.
                let _ = std::fs::write(&kept, serde_json::json!(found).to_string());
                Ok(found)
            }
            Err(error) => {
                let known =
                    std::fs::read(&kept).ok().and_then(|text| serde_json::from_slice::<Vec<String>>(&text).ok());
                let known = known.filter(|known| !known.is_empty()).ok_or_else(|| away(error))?;
                eprintln!(
                    "warning: Consul at {} cannot be reached; the gateway is looked for where it was",
                    config.url
                );
                Ok(known)
            }
        }
    }

    /// Keeps a client that stays at the gateway wherever that goes, as long as the client is used.
    fn follow(&self, gateway: &GatewayClient) -> Option<tokio::task::JoinHandle<()>> {
        let consul = self.consul.as_ref().filter(|_| self.gateways.is_empty())?;
        let (consul, gateway) = (Consul::new(consul).ok()?, gateway.clone());
        let moved = move |addresses: Vec<String>| drop(gateway.move_to(addresses));
        Some(tokio::spawn(server::consul::follow_gateways(consul, self.files(), moved)))
    }

    /// In whose name to act.
    fn signed_in(&self) -> Result<SignIn, Failure> {
        let nobody = || {
            Failure::new(format!("nobody is signed in (profile {})", self.profile.dir().display()))
                .line("sign in: rialto login BANK USER")
        };
        self.profile.current().map_err(of_profile)?.ok_or_else(nobody)
    }

    fn customer(&self) -> Result<(SignIn, Customer), Failure> {
        let sign_in = self.signed_in()?;
        let customer = self.gateway()?.customer(&sign_in.token).map_err(of_gateway)?;
        Ok((sign_in, customer))
    }

    fn worker(&self, gateway: &GatewayClient) -> Result<Running, Failure> {
        let options = WorkerOptions { look_every: self.look_every, ..WorkerOptions::default() };
        Ok(Worker::new(&self.profile, gateway, options).map_err(of_outbox)?.start())
    }
}

/// A line for each call to the gateway, in the profile: what was asked, how it ended, and in which trace, so that it can be
/// found again in the logs of the gateway and of the banks.
fn log_requests(profile: &Profile) -> Result<(), Failure> {
    let format = variable("RIALTO_LOG_FORMAT").map_or(Ok(Format::Text), |text| logging::parse_format(&text));
    let format = format.map_err(|why| Failure::usage(why).line("given by RIALTO_LOG_FORMAT"))?;
    let levels = variable("RIALTO_LOG_LEVEL").unwrap_or_else(|| "off,requests=info".to_owned());
    let levels = logging::parse_level(&levels).map_err(|why| Failure::usage(why).line("given by RIALTO_LOG_LEVEL"))?;
    let requests = Some(profile.dir().join("logs").join("client_requests.log"));
    logging::start("client".to_owned(), &Log { format, target: Target::Stderr, requests, in_background: false, levels })
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// A client that has a certificate and no CA takes the one that the network has filed, once: from then on it is pinned.
fn pin_authority(consul: &Consul, files: &certs::Files) -> Result<(), Failure> {
    let path = files.authority();
    if path.exists() || !files.certificate().exists() {
        return Ok(());
    }
    let filed = tokio::task::block_in_place(|| Handle::current().block_on(server::consul::authority(consul)));
    let filed = filed.map_err(|error| {
        Failure::new(format!("there is no {}, and Consul has none to give: {error}", path.display()))
            .line("copy the network's ca.crt there")
    })?;
    // Only what is a certificate takes its place: what is there once is believed for ever.
    let offered = path.with_extension("crt.offered");
    let failed = |error: String| Failure::new(format!("{}: {error}", offered.display()));
    std::fs::write(&offered, filed).map_err(|error| failed(error.to_string()))?;
    let facts = certs::Facts::read(&offered).map_err(|error| failed(error.to_string()))?;
    let fingerprint = facts.ok_or_else(|| failed("it is gone".to_owned()))?.fingerprint;
    std::fs::rename(&offered, &path).map_err(|error| failed(error.to_string()))?;
    eprintln!(
        "note: the network's CA was taken from Consul, and is the one that is trusted from now on: {}",
        path.display()
    );
    eprintln!("note: compare it with what the network's operator tells you (rialto certs show): SHA-256 {fingerprint}");
    Ok(())
}

/// Names stand for every address that they have at present.
fn looked_up(given: Vec<String>) -> Result<Vec<String>, Failure> {
    given.iter().try_for_each(|address| server::dns::check(address)).map_err(Failure::usage)?;
    if !given.iter().any(|address| address.starts_with(server::dns::PREFIX)) {
        return Ok(given);
    }
    let found = tokio::task::block_in_place(|| Handle::current().block_on(server::dns::addresses(&given)));
    found.map_err(|error| Failure::new(error.to_string()).line("given by --gateway, or RIALTO_GATEWAY"))
}

/// How often a worker looks, in milliseconds.
fn look_every() -> Result<Duration, Failure> {
    const NAME: &str = "RIALTO_OUTBOX_EVERY_MS";
    let Some(text) = variable(NAME) else { return Ok(WorkerOptions::default().look_every) };
    match text.parse() {
        Ok(ms @ 10..=60_000) => Ok(Duration::from_millis(ms)),
        Ok(_) | Err(_) => Err(Failure::usage(format!("{NAME} is {text:?}, not a number of 10 to 60000 milliseconds"))),
    }
}

/// A customer by bank and name, as people give them.
fn customer_of(bank: &str, name: &str) -> Result<NamedParty, Failure> {
    party(&format!("{name}@{bank}"))
}

/// `bob@beta`.
fn party(text: &str) -> Result<NamedParty, Failure> {
    let party: NamedParty =
        text.parse().map_err(|why| Failure::usage(format!("{text:?} is no customer: {why}")).line("like bob@beta"))?;
    match party.holder {
        Holder::Customer(_) => Ok(party),
        Holder::House => Err(Failure::usage(format!("{text:?} names no bank")).line(format!("like {text}@beta"))),
    }
}

fn of_profile(error: ProfileError) -> Failure {
    Failure::new(error.to_string())
}

fn of_outbox(error: OutboxError) -> Failure {
    Failure::new(error.to_string())
}

fn of_gateway(error: GatewayError) -> Failure {
    let failure = Failure::new(error.to_string());
    match error {
        GatewayError::NotSignedIn(NotSignedIn::WrongCredentials) => failure,
        GatewayError::NotSignedIn(_) => failure.line("rialto login BANK USER"),
        GatewayError::Unreachable { .. } | GatewayError::Overloaded { .. } => {
            failure.line("where it is: --gateway ADDR, RIALTO_GATEWAY, or the network.json of --dir DIR")
        }
        GatewayError::OutcomeUnknown { .. }
        | GatewayError::Refused { .. }
        | GatewayError::BadAddress { .. }
        | GatewayError::Nonsense { .. } => failure,
    }
}

/// One JSON object on a line.
fn print_json(value: &impl serde::Serialize) {
    println!("{}", serde_json::to_string(value).expect("texts, numbers and lists of them"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customer_is_named_with_their_bank() {
        assert_eq!(party("bob@beta").map(|party| party.to_string()), Ok("bob@beta".to_owned()));
        assert_eq!(customer_of("beta", "bob").map(|party| party.to_string()), Ok("bob@beta".to_owned()));
        for bad in ["bob", "bob@", "@beta", "b b@beta", "bob@Beta", ""] {
            assert!(party(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn colours_are_left_out_where_nobody_sees_them() {
        assert_eq!(
            (Colours::Off.paint("31", "x"), Colours::On.paint("31", "x")),
            ("x".into(), "\x1b[31mx\x1b[0m".into())
        );
    }
}
