//! A profile: one person's directory on this machine, closed to others.
//!
//! ```text
//! PROFILE/network            which network the profile belongs to: from the first sign-in on
//! PROFILE/outbox.db          payments and what became of them
//! PROFILE/current            who signed in last: in whose name commands act
//! PROFILE/tokens/alice@alpha one file of mode 0600 per customer who is signed in
//! ```
//!
//! A profile belongs to one network. Tokens without one count for nothing, and a sign-in of another network is not kept.
//!
//! A second customer may sign in without signing the first out: what the first has ordered still goes out.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use api::network::NetworkId;
use clearing::NamedParty;

use crate::network::Network;
use crate::outbox::{Outbox, OutboxError};
use crate::sign_in::{self, SignIn};

/// What a profile is called: part of a path, so nothing that could lead elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileName(String);

impl FromStr for ProfileName {
    type Err = String;

    fn from_str(text: &str) -> Result<ProfileName, String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if (1..=32).contains(&text.len()) && text.bytes().all(plain) {
            return Ok(ProfileName(text.to_owned()));
        }
        Err("a profile's name has 1 to 32 letters, digits, '-' or '_'".to_owned())
    }
}

impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// A file of the profile cannot be read or written.
    #[error("{doing} {}: {source}", path.display())]
    File { doing: &'static str, path: PathBuf, source: io::Error },
    /// Nobody has signed in with a profile of this name.
    #[error("there is no profile {}", dir.display())]
    Missing { dir: PathBuf },
    #[error("the profile {} belongs to network {pinned}, and this is network {found}", dir.display())]
    OtherNetwork { dir: PathBuf, pinned: NetworkId, found: NetworkId },
}

/// One person's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    dir: PathBuf,
}

impl Profile {
    /// The profile in that directory. A directory that is missing stays so: its name may be misspelt.
    ///
    /// # Errors
    /// Among others when there is none.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Profile, ProfileError> {
        let dir = dir.into();
        match fs::metadata(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ProfileError::Missing { dir }),
            Ok(_) | Err(_) => Profile::make(dir),
        }
    }

    /// The profile in that directory, which is made where it is missing, for its owner alone. It is for whoever signs in.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn make(dir: impl Into<PathBuf>) -> Result<Profile, ProfileError> {
        let profile = Profile { dir: dir.into() };
        let tokens = profile.dir.join("tokens");
        let make = || fs::DirBuilder::new().recursive(true).mode(0o700).create(&tokens);
        make().map_err(|source| ProfileError::File { doing: "making", path: tokens.clone(), source })?;
        check_closed(&profile.dir)?;
        sign_in::sync_parent(&profile.dir).map_err(|source| ProfileError::File {
            doing: "syncing the directory of",
            path: profile.dir.clone(),
            source,
        })?;
        Ok(profile)
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Opens the profile's outbox. Every part of a client may open it for itself.
    ///
    /// # Errors
    /// When it is damaged, made by a newer version, or on a disk that fails.
    pub fn outbox(&self) -> Result<Outbox, OutboxError> {
        Outbox::open(&self.dir.join("outbox.db"))
    }

    /// The network that the profile belongs to; none before the first sign-in.
    pub fn network(&self) -> Result<Option<Network>, ProfileError> {
        let path = self.dir.join("network");
        Network::load(&path).map_err(|source| ProfileError::File { doing: "reading", path, source })
    }

    /// Notes how the profile's network is known by now, or which it is. The addresses are added to those that were known.
    ///
    /// # Errors
    /// Among others when the profile belongs to another network.
    pub fn belong_to(&self, network: &Network) -> Result<(), ProfileError> {
        let known = self.network()?;
        let mut network = network.clone();
        if let Some(known) = &known {
            if known.id != network.id {
                return Err(ProfileError::OtherNetwork { dir: self.dir.clone(), pinned: known.id, found: network.id });
            }
            network.gateways.extend(known.gateways.iter().cloned());
        }
        if known.as_ref() == Some(&network) {
            return Ok(());
        }
        let path = self.dir.join("network");
        network.save(&path).map_err(|source| ProfileError::File { doing: "writing", path, source })
    }

    /// In whose name commands act: who signed in last and has not signed out.
    pub fn current(&self) -> Result<Option<SignIn>, ProfileError> {
        let path = self.dir.join("current");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(ProfileError::File { doing: "reading", path, source }),
        };
        match text.trim().parse() {
            Ok(customer) => self.sign_in(&customer),
            Err(_) => Ok(None),
        }
    }

    /// The sign-in of that customer, if there is one. One of nobody knows which network counts for nothing.
    pub fn sign_in(&self, customer: &NamedParty) -> Result<Option<SignIn>, ProfileError> {
        if self.network()?.is_none() {
            return Ok(None);
        }
        let path = self.token_path(customer);
        let found = SignIn::load(&path).map_err(|source| ProfileError::File { doing: "reading", path, source })?;
        Ok(found.filter(|sign_in| sign_in.customer == *customer))
    }

    /// Everybody who is signed in here.
    pub fn sign_ins(&self) -> Result<Vec<SignIn>, ProfileError> {
        if self.network()?.is_none() {
            return Ok(Vec::new());
        }
        let dir = self.dir.join("tokens");
        let failed = |source| ProfileError::File { doing: "reading", path: dir.clone(), source };
        let mut found = Vec::new();
        for file in fs::read_dir(&dir).map_err(failed)? {
            let path = file.map_err(failed)?.path();
            let sign_in = SignIn::load(&path).map_err(failed)?;
            // A file that a killed process left beside its place is nobody's.
            found.extend(sign_in.filter(|sign_in| self.token_path(&sign_in.customer) == path));
        }
        found.sort_by_key(|sign_in| sign_in.customer);
        Ok(found)
    }

    /// Keeps a sign-in at that network, and lets commands act in its name.
    ///
    /// # Errors
    /// Among others when the profile belongs to another network.
    pub fn keep(&self, sign_in: &SignIn, network: &Network) -> Result<(), ProfileError> {
        self.belong_to(network)?;
        let path = self.token_path(&sign_in.customer);
        sign_in.save(&path).map_err(|source| ProfileError::File { doing: "writing", path, source })?;
        let path = self.dir.join("current");
        let name = format!("{}\n", sign_in.customer);
        sign_in::replace(&path, name.as_bytes()).map_err(|source| ProfileError::File { doing: "writing", path, source })
    }

    /// Forgets a sign-in; its token is gone from the disk.
    pub fn forget(&self, customer: &NamedParty) -> Result<(), ProfileError> {
        let path = self.token_path(customer);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(ProfileError::File { doing: "removing", path, source })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Names of customers may hold what paths must not, so that is escaped.
    fn token_path(&self, customer: &NamedParty) -> PathBuf {
        let mut name = String::new();
        for byte in customer.to_string().bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'@' => name.push(char::from(byte)),
                _ => name.push_str(&format!("%{byte:02x}")),
            }
        }
        self.dir.join("tokens").join(name)
    }
}

/// Tokens and payments are not for others: a directory that they may look into is refused.
fn check_closed(dir: &Path) -> Result<(), ProfileError> {
    let mode = fs::metadata(dir).map_or(0, |metadata| metadata.permissions().mode() & 0o7777);
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let why = format!(
        "it is open to other users of this machine (mode {mode:04o}), and what is kept in it is not for them; close it: \
         chmod 700 {}",
        dir.display()
    );
    Err(ProfileError::File {
        doing: "using",
        path: dir.to_owned(),
        source: io::Error::new(io::ErrorKind::PermissionDenied, why),
    })
}

/// Where profiles lie when no directory is named: `$XDG_DATA_HOME/rialto`, or `~/.local/share/rialto`.
pub fn home(environment: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name| environment(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")))?;
    Some(data.join("rialto"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::client::Secret;

    fn sign_in(customer: &str) -> SignIn {
        SignIn {
            customer: customer.parse().expect("well formed"),
            expires_ms: 1,
            token: Secret::new(format!("token-of-{}", customer.replace(' ', ""))),
        }
    }

    fn network(number: u128) -> Network {
        let id = NetworkId::new(number).expect("not nil");
        Network { id, authorities: Default::default(), gateways: Default::default() }
    }

    fn temporary(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("rialto-profile-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        dir
    }

    #[test]
    fn tokens_are_for_their_owner_alone_and_the_last_to_sign_in_is_current() {
        let dir = temporary("tokens");
        let missing = Profile::open(&dir).expect_err("nobody has signed in");
        assert!(matches!(missing, ProfileError::Missing { .. }) && !dir.exists(), "{missing}");
        let profile = Profile::make(&dir).expect("there is room");
        assert_eq!(profile.current().expect("it is read"), None);
        let (alice, bob) = (sign_in("alice@alpha"), sign_in("../../bob@beta"));
        profile.keep(&alice, &network(1)).expect("there is room");
        profile.keep(&bob, &network(1)).expect("there is room");
        assert_eq!(profile.current().expect("it is read"), Some(bob.clone()));
        assert_eq!(profile.sign_ins().expect("they are read"), [alice.clone(), bob.clone()]);
        let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode(&profile.token_path(&alice.customer)), 0o600);
        assert_eq!((mode(&dir), mode(&dir.join("tokens"))), (0o700, 0o700));
        assert_eq!(profile.token_path(&bob.customer).parent(), Some(dir.join("tokens").as_path()));

        profile.forget(&bob.customer).expect("it is removed");
        profile.forget(&bob.customer).expect("twice is as good");
        assert_eq!(profile.current().expect("it is read"), None);
        assert_eq!(profile.sign_in(&alice.customer).expect("it is read"), Some(alice));
        let _ = fs::remove_dir_all(dir);
    }

    #[test]
    fn a_profile_belongs_to_one_network_and_a_token_of_none_counts_for_nothing() {
        let dir = temporary("network");
        let profile = Profile::make(&dir).expect("there is room");
        let (alice, bob) = (sign_in("alice@alpha"), sign_in("bob@beta"));
        assert_eq!(profile.network().expect("it is read"), None);
        profile.keep(&alice, &network(1)).expect("there is room");
        let other = profile.keep(&bob, &network(2)).expect_err("it is another network");
        assert!(matches!(other, ProfileError::OtherNetwork { .. }), "{other}");
        assert_eq!(profile.sign_ins().expect("they are read"), std::slice::from_ref(&alice));
        let of = |gateway: &str| Network { gateways: [gateway.to_owned()].into(), ..network(1) };
        profile.belong_to(&of("a:1")).expect("there is room");
        profile.belong_to(&of("b:1")).expect("there is room");
        let known = profile.network().expect("it is read").expect("it is pinned").gateways;
        assert_eq!(known.into_iter().collect::<Vec<_>>(), ["a:1", "b:1"]);

        fs::remove_file(dir.join("network")).expect("it is there");
        assert_eq!(profile.sign_in(&alice.customer).expect("it is read"), None);
        assert_eq!((profile.current().expect("it is read"), profile.sign_ins().expect("read")), (None, Vec::new()));
        fs::write(dir.join("network"), "nonsense").expect("there is room");
        assert!(profile.current().is_err(), "nobody knows which network it is");
        let _ = fs::remove_dir_all(dir);
    }

    #[test]
    fn a_profile_that_others_may_look_into_is_refused_with_the_command_that_closes_it() {
        let dir = temporary("open");
        Profile::make(&dir).expect("it is made closed");
        let outbox = Profile::open(&dir).expect("it is there").outbox().expect("there is room");
        let mode = |name: &str| fs::metadata(dir.join(name)).map(|found| found.permissions().mode() & 0o777).ok();
        assert_eq!(mode("outbox.db"), Some(0o600));
        assert!(mode("outbox.db-wal").is_none_or(|mode| mode == 0o600), "SQLite's other files are closed as well");
        drop(outbox);
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).expect("it is ours");
        let said = Profile::open(&dir).expect_err("others may look into it").to_string();
        assert!(said.contains("mode 0755") && said.ends_with(&format!("chmod 700 {}", dir.display())), "{said}");
        let _ = fs::remove_dir_all(dir);
    }

    #[test]
    fn a_profile_is_no_path() {
        for bad in ["", ".", "..", "a/b", "a b", &"a".repeat(33)] {
            assert!(bad.parse::<ProfileName>().is_err(), "{bad}");
        }
        assert_eq!("alice-2".parse::<ProfileName>().map(|name| name.to_string()), Ok("alice-2".to_owned()));
    }

    #[test]
    fn profiles_lie_where_the_system_keeps_data() {
        let of = |pairs: &'static [(&str, &str)]| {
            home(move |name| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into()))
        };
        assert_eq!(of(&[("XDG_DATA_HOME", "/d"), ("HOME", "/h")]), Some(PathBuf::from("/d/rialto")));
        assert_eq!(of(&[("XDG_DATA_HOME", "relative"), ("HOME", "/h")]), Some(PathBuf::from("/h/.local/share/rialto")));
        assert_eq!(of(&[]), None);
    }
}
