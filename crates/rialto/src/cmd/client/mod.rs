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
mod networks;
pub(crate) mod outbox;
pub(super) mod password;
pub(crate) mod pay;
pub(crate) mod payment;
mod say;
pub(crate) mod sessions;
pub(crate) mod shell;
mod waiting;
pub(crate) mod way;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use api::client::Secret;
use api::client::gateway::{Customer, GatewayClient, GatewayError, NotSignedIn};
use clap::Args;
use clearing::{Holder, NamedParty};
use wallet::{
    Network, Outbox, OutboxError, Profile, ProfileError, ProfileName, Running, SignIn, Worker, WorkerOptions,
};

use crate::environment::{self, text as variable};
use crate::failure::{Code, Failure};
use crate::follow_up::{self, Options};
use crate::logging::{self, Format, Log, Target};
use crate::plain::coloured;
use networks::NewAuthority;
use way::Way;

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
    /// The network's directory; profiles are then kept in DIR/clients, and otherwise in the home directory, each network's
    /// by themselves [default: RIALTO_DIR, or ./rialto-data]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// For whom a customer's command waits.
const GATEWAY: &str = "the gateway";
/// The default directory of a network.
const DIR: &str = "./rialto-data";

/// A profile that is open, and the way to the gateway.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    profile: Profile,
    way: Way,
    look_every: Duration,
    /// The customer knows of rows of the outbox that cannot be read.
    told_damaged: Arc<AtomicBool>,
}

/// What becomes of a profile that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MissingProfile {
    /// Its name, or that of its directory, may be misspelt: nothing is made.
    Refused,
    /// Somebody signs in with it for the first time.
    Made,
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
            Colours::On => coloured(code, text),
            Colours::Off => text.to_owned(),
        }
    }
}

impl ClientArgs {
    /// Opens the profile of the network that is meant.
    fn open(&self) -> Result<Desk, Failure> {
        let desk = self.open_here()?;
        networks::check(&desk.profile, &desk.way, NewAuthority::Refused)?;
        Ok(desk)
    }

    /// The same for whoever may sign in: a profile that is missing is made.
    fn open_to_sign_in(&self, new: NewAuthority) -> Result<Desk, Failure> {
        let desk = self.find(MissingProfile::Made)?;
        networks::check(&desk.profile, &desk.way, new)?;
        Ok(desk)
    }

    /// Opens the profile to look at what is on disk: whatever has become of its network.
    fn open_here(&self) -> Result<Desk, Failure> {
        self.find(MissingProfile::Refused)
    }

    fn find(&self, missing: MissingProfile) -> Result<Desk, Failure> {
        follow_up::keep(self.options());
        let name = match (&self.profile, variable("RIALTO_PROFILE")) {
            (Some(name), _) => name.clone(),
            (None, Some(text)) => text
                .parse()
                .map_err(|why: String| Failure::usage(why).line("given by RIALTO_PROFILE in the environment"))?,
            (None, None) => "default".parse().expect("a plain word"),
        };
        let given = self.dir.clone().or_else(|| variable("RIALTO_DIR").map(PathBuf::from));
        let way = self.way(given.clone().unwrap_or_else(|| PathBuf::from(DIR)))?;
        if let Some(dir) = given.as_deref().filter(|dir| !dir.exists()) {
            self.check_missing_dir(dir, missing, &way)?;
        }
        let home = match &given {
            Some(dir) => dir.join("clients"),
            None => {
                let base = wallet::profile::home(environment::path).ok_or_else(|| {
                    Failure::usage("there is no home directory to keep a profile in")
                        .line("set HOME or XDG_DATA_HOME, or give --dir DIR")
                })?;
                let home = networks::home(&base, &way)?;
                warn_of_former(&base.join(name.to_string()), &home);
                home
            }
        };
        let path = home.join(name.to_string());
        let profile = match missing {
            MissingProfile::Refused => Profile::open(path),
            MissingProfile::Made => Profile::make(path),
        };
        let profile = profile.map_err(of_profile)?;
        log_requests(&profile)?;
        Ok(Desk { profile, way, look_every: look_every()?, told_damaged: Arc::default() })
    }

    /// What a command that is typed next needs as well.
    fn options(&self) -> Options {
        let file = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let gateways = self.gateways.iter().fold(Options::default(), |options, it| options.flag("gateway", Some(it)));
        gateways
            .flag("consul", self.consul.as_ref())
            .flag("consul-token-file", file(&self.consul_token_file))
            .flag("consul-ca", file(&self.consul_ca))
            .flag("tls-dir", file(&self.tls_dir))
            .flag("dir", file(&self.dir))
            .flag("profile", self.profile.as_ref())
    }

    /// A directory that was named and is missing is made only where somebody signs in and has said where the gateway is: it
    /// then keeps their profiles, and nothing is looked up in it.
    fn check_missing_dir(&self, dir: &Path, missing: MissingProfile, way: &Way) -> Result<(), Failure> {
        if missing == MissingProfile::Made && way.is_named() {
            return Ok(());
        }
        let source = if self.dir.is_some() { "--dir" } else { "RIALTO_DIR in the environment" };
        Err(Failure::usage(format!("there is no directory {}", dir.display()))
            .line(format!("given by {source}; nothing was made"))
            .line("a new one is made by: rialto login BANK USER --dir DIR --gateway ADDR"))
    }

    fn way(&self, dir: PathBuf) -> Result<Way, Failure> {
        let gateways = match (self.gateways.as_slice(), variable("RIALTO_GATEWAY")) {
            ([], Some(text)) => text.split(',').map(|address| address.trim().to_owned()).collect(),
            (given, _) => given.to_vec(),
        };
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
        Ok(Way { gateways, consul, tls_dir, dir })
    }
}

impl Desk {
    fn outbox(&self) -> Result<Outbox, Failure> {
        let outbox = self.profile.outbox().map_err(of_outbox)?;
        self.tell_damaged(&outbox)?;
        Ok(outbox)
    }

    /// Once: what cannot be read is left alone, and the rest goes on.
    fn tell_damaged(&self, outbox: &Outbox) -> Result<(), Failure> {
        let damaged = outbox.damaged().map_err(of_outbox)?;
        if !damaged.is_empty() && !self.told_damaged.swap(true, Ordering::Relaxed) {
            damaged.iter().for_each(|row| eprintln!("warning: {row}; it is left alone, and the others go on"));
        }
        Ok(())
    }

    /// The gateway of the profile's network.
    fn gateway(&self) -> Result<GatewayClient, Failure> {
        let found = self.way.find(Some(&self.profile.dir().join("gateway.json")));
        let found = found.map_err(|failure| match self.profile.network() {
            Ok(Some(network)) => networks::listing(failure, &[network]),
            Ok(None) | Err(_) => failure,
        })?;
        let gateway = Way::connect(&found)?;
        let Some(network) = self.profile.network().map_err(of_profile)? else {
            // Whoever answers first is whom the client stays with; a sign-in pins the profile to it.
            let _ = Way::ask(&found, &gateway)?;
            return Ok(gateway);
        };
        let gateway = gateway.pinned_to(network.id);
        // Somewhere new: another network, or none at all, is said at once and in plain words.
        let is_new = found.addresses.iter().any(|address| !network.gateways.contains(address));
        if is_new && Way::ask(&found, &gateway)?.is_some() {
            let gateways = found.addresses.iter().cloned().collect();
            self.profile.belong_to(&Network { gateways, ..network }).map_err(of_profile)?;
        }
        Ok(gateway)
    }

    /// The network of a gateway that has answered, as the profile keeps it.
    fn network(&self, gateway: &GatewayClient) -> Result<Network, Failure> {
        let silent = || Failure::unreachable("the gateway has not said which network it is");
        let id = gateway.network().ok_or_else(silent)?;
        let authorities = self.way.authorities()?.unwrap_or_default();
        let gateways = self.way.find(Some(&self.profile.dir().join("gateway.json")))?.addresses;
        Ok(Network { id, authorities, gateways: gateways.into_iter().collect() })
    }

    /// Keeps a client that stays at the gateway wherever that goes, as long as the client is used.
    fn follow(&self, gateway: &GatewayClient) -> Option<tokio::task::JoinHandle<()>> {
        self.way.follow(gateway)
    }

    /// In whose name to act.
    fn signed_in(&self) -> Result<SignIn, Failure> {
        let nobody = || not_signed_in(&format!("nobody is signed in (profile {})", self.profile.dir().display()));
        self.profile.current().map_err(of_profile)?.ok_or_else(nobody)
    }

    /// The token of an earlier sign-in of theirs, also one that is over its time: it shows that somebody here knew the
    /// password. One that cannot be read helps nobody.
    fn earlier(&self, customer: &NamedParty) -> Option<Secret> {
        self.profile.sign_in(customer).ok().flatten().map(|sign_in| sign_in.token)
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

/// Says so where somebody's payments lie in a profile of before profiles belonged to a network: they are not sent.
fn warn_of_former(profile: &Path, home: &Path) {
    if profile.join("outbox.db").exists() {
        eprintln!("warning: {} belongs to no network and is not used", profile.display());
        eprintln!("warning: if it is of this network, move it into {}, and sign in again", home.display());
    }
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
    match error {
        ProfileError::Missing { .. } => not_signed_in(&format!("nobody is signed in: {error}")),
        ProfileError::File { .. } | ProfileError::OtherNetwork { .. } => Failure::new(error.to_string()),
    }
}

fn not_signed_in(what: &str) -> Failure {
    Failure::new(what)
        .with_code(Code::NotSignedIn)
        .with_problem(api::code::Code::TokenMissing)
        .line(format!("sign in: {}", follow_up::command("login BANK USER")))
}

fn of_outbox(error: OutboxError) -> Failure {
    let failure = Failure::new(error.to_string());
    match error {
        OutboxError::Unknown { .. } => failure.line(format!("{} shows what is", follow_up::command("outbox list"))),
        OutboxError::Store { .. }
        | OutboxError::File { .. }
        | OutboxError::Newer { .. }
        | OutboxError::Damaged { .. } => failure,
    }
}

fn of_gateway(error: GatewayError) -> Failure {
    let failure = Failure::new(error.to_string());
    let failure = match error.code() {
        Some(code) => failure.with_problem(code),
        None => failure,
    };
    match error {
        GatewayError::NotSignedIn(NotSignedIn::WrongCredentials) => failure.with_code(Code::NotSignedIn),
        GatewayError::NotSignedIn(_) => {
            failure.with_code(Code::NotSignedIn).line(follow_up::command("login BANK USER"))
        }
        GatewayError::Unreachable { .. } | GatewayError::Overloaded { .. } => failure
            .with_code(Code::Unreachable)
            .line("where it is: --gateway ADDR, RIALTO_GATEWAY, or the network.json of --dir DIR"),
        GatewayError::OutcomeUnknown { .. } => failure.with_code(Code::OutcomeUnknown),
        GatewayError::OtherNetwork { .. } => failure
            .line("nothing was sent: the token and the payments of this profile go to its own network only")
            .line("the other network is called with --dir DIR, or another --gateway and --profile"),
        GatewayError::Refused { code, .. } => failure.with_code(Code::of_problem(code)),
        GatewayError::Nonsense { .. } => failure,
        GatewayError::BadAddress { .. } => failure.with_code(Code::Usage),
    }
}

/// One JSON object on a line.
fn print_json(value: &impl serde::Serialize) {
    println!("{}", serde_json::to_string(value).expect("texts, numbers and lists of them"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plain::printable;

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
            (Colours::Off.paint("31", "x"), printable(&Colours::On.paint("31", "x")).into_owned()),
            ("x".into(), "\x1b[31mx\x1b[0m".into())
        );
    }
}
