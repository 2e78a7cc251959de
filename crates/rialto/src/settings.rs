//! Where the settings of one node come from: flags, then the environment, then a TOML file.
//!
//! Every setting has one name: `peer-listen` is the flag `--peer-listen`, the variable `RIALTO_PEER_LISTEN` and the key
//! `peer_listen`. A [`Given`] value remembers its source, so that a complaint can say where to look.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::failure::{Code, Failure};

/// Names of all settings of a node, except `config` itself.
pub(crate) const NAMES: [&str; 26] = [
    "name",
    "node",
    "cluster",
    "data",
    "http",
    "grpc",
    "peer-listen",
    "peers",
    "members-http",
    "operator-token-file",
    "tls-dir",
    "http-tls",
    "consul",
    "consul-token-file",
    "consul-ca",
    "consul-check",
    "no-tls",
    "log-format",
    "log-file",
    "request-log",
    "log-level",
    "exit-with-parent",
    "banks",
    "network-file",
    "token-minutes",
    "timeout-2pc-ms",
];

/// Keys of a file by which others know a setting.
const ALIASES: [(&str, &str); 2] = [("consul_addr", "consul"), ("gateway_addr", "grpc")];

/// The variables that one node reads: a node that `up` starts must not get those meant for another. How they log is for all.
pub(crate) fn environment_names() -> impl Iterator<Item = String> {
    NAMES.iter().copied().filter(|name| !FOR_ALL.contains(name)).chain(["config"]).map(variable)
}

/// Settings in the environment of `up` that all its nodes get; a bank's node has no use for the last two.
const FOR_ALL: [&str; 4] = ["log-format", "log-level", "token-minutes", "timeout-2pc-ms"];

/// Variables that are set and that `up` does not pass on, since each of its nodes has its own.
pub(crate) fn not_for_up(environment: impl Fn(&str) -> bool) -> Vec<String> {
    environment_names().filter(|name| environment(name)).collect()
}

fn variable(name: &str) -> String {
    format!("RIALTO_{}", name.to_ascii_uppercase().replace('-', "_"))
}

/// The directory of a network where none is named: RIALTO_DIR, or ./rialto-data.
pub(crate) fn default_dir() -> PathBuf {
    let named = std::env::var_os("RIALTO_DIR").filter(|dir| !dir.is_empty());
    named.map_or_else(|| PathBuf::from("./rialto-data"), PathBuf::from)
}

/// Variables of the commands, and of the tests.
const OTHER_VARIABLES: [&str; 9] = [
    "RIALTO_CONFIG",
    "RIALTO_CA",
    "RIALTO_CONTROLS",
    "RIALTO_DIR",
    "RIALTO_GATEWAY",
    "RIALTO_NAMESPACES_REQUIRED",
    "RIALTO_OUTBOX_EVERY_MS",
    "RIALTO_PASSWORD",
    "RIALTO_PROFILE",
];

/// Of the names of variables, those that begin like ours and are none: misspelt, most likely, and without effect. With each
/// comes the one that may be meant.
pub(crate) fn unknown_variables(
    names: impl IntoIterator<Item = String>,
) -> impl Iterator<Item = (String, Option<String>)> {
    let known: Vec<String> = NAMES.iter().copied().map(variable).chain(OTHER_VARIABLES.map(str::to_owned)).collect();
    let is_unknown = {
        let known = known.clone();
        move |name: &String| name.starts_with("RIALTO_") && !name.starts_with("RIALTO_TEST_") && !known.contains(name)
    };
    names.into_iter().filter(is_unknown).map(move |name| {
        let nearest = known.iter().map(|known| (distance(&name, known), known)).min();
        // Of a short name that much would be another word.
        let is_near = |distance: usize, known: &str| distance <= 3.min((known.len() - "RIALTO_".len()) / 2);
        let meant =
            nearest.filter(|(distance, known)| is_near(*distance, known.as_str())).map(|(_, known)| known.clone());
        (name, meant)
    })
}

/// Letters to be put in, left out or changed to make one text of the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.bytes().enumerate() {
        let mut before = std::mem::replace(&mut row[0], at + 1);
        for (place, against) in other.bytes().enumerate() {
            let changed = before + usize::from(letter != against);
            before = row[place + 1];
            row[place + 1] = changed.min(before + 1).min(row[place] + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

/// Where a value was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Flag(&'static str),
    Variable(String),
    File { key: String, path: PathBuf },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Flag(name) => write!(f, "--{name}"),
            Source::Variable(name) => write!(f, "{name} in the environment"),
            Source::File { key, path } => write!(f, "{key} in {}", path.display()),
        }
    }
}

/// A value as it was written, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) text: String,
    pub(crate) source: Source,
}

impl Given {
    /// Understands the text, or says where it was given and what is wrong.
    pub(crate) fn parse<T>(&self, understand: impl FnOnce(&str) -> Result<T, String>) -> Result<T, Failure> {
        understand(&self.text).map_err(|why| Failure::usage(why).line(format!("given by {}", self.source)))
    }
}

/// All that was given, from all three places.
#[derive(Debug)]
pub(crate) struct Settings {
    given: BTreeMap<&'static str, Given>,
}

impl Settings {
    /// `flags` are those that were given; `environment` looks a variable up; `file` is the TOML file, if one is named.
    pub(crate) fn gather(
        flags: impl IntoIterator<Item = (&'static str, String)>,
        environment: impl Fn(&str) -> Option<String>,
        file: Option<&Path>,
    ) -> Result<Settings, Failure> {
        let mut given = match file {
            Some(path) => read_file(path)?,
            None => BTreeMap::new(),
        };
        for name in NAMES {
            let variable = variable(name);
            if let Some(text) = environment(&variable).filter(|text| !text.is_empty()) {
                given.insert(name, Given { text, source: Source::Variable(variable) });
            }
        }
        for (name, text) in flags {
            given.insert(name, Given { text, source: Source::Flag(name) });
        }
        Ok(Settings { given })
    }

    pub(crate) fn get(&self, name: &'static str) -> Option<&Given> {
        debug_assert!(NAMES.contains(&name), "{name} is no setting");
        self.given.get(name)
    }

    /// A setting without which nothing can start.
    pub(crate) fn demand(&self, name: &'static str, what: &str) -> Result<&Given, Failure> {
        self.get(name).ok_or_else(|| {
            Failure::usage(format!("{what} is missing")).line(format!(
                "give --{name}, {} in the environment, or {} in the file of --config",
                variable(name),
                name.replace('-', "_")
            ))
        })
    }

    /// A switch: given alone as a flag, or as true or false elsewhere.
    pub(crate) fn switch(&self, name: &'static str) -> Result<bool, Failure> {
        self.get(name).map_or(Ok(false), |given| {
            given.parse(|text| match text {
                "true" | "1" | "yes" => Ok(true),
                "false" | "0" | "no" => Ok(false),
                other => Err(format!("`{other}` is neither true nor false")),
            })
        })
    }
}

fn read_file(path: &Path) -> Result<BTreeMap<&'static str, Given>, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::unread("configuration file", path, &error).with_code(Code::Usage))?;
    understand(&text, path)
}

/// What a file says.
pub(crate) fn understand(text: &str, path: &Path) -> Result<BTreeMap<&'static str, Given>, Failure> {
    let table = parse(text, path)?;
    let mut given = BTreeMap::new();
    for (key, value) in table {
        let alias = ALIASES.into_iter().find(|(alias, _)| *alias == key).map_or(key.as_str(), |(_, name)| name);
        let name = NAMES.into_iter().find(|name| name.replace('-', "_") == alias).ok_or_else(|| {
            let known: Vec<String> = NAMES.iter().map(|name| name.replace('-', "_")).collect();
            Failure::usage(format!("{} holds an unknown key `{key}`", path.display()))
                .line(format!("known keys: {}", known.join(", ")))
        })?;
        let text = text_of(&value).ok_or_else(|| {
            Failure::usage(format!(
                "`{key}` in {} is a {}, which makes no sense there",
                path.display(),
                value.type_str()
            ))
        })?;
        given.insert(name, Given { text, source: Source::File { key, path: path.to_owned() } });
    }
    Ok(given)
}

/// JSON by the file's name, else TOML.
fn parse(text: &str, path: &Path) -> Result<toml::Table, Failure> {
    if path.extension().is_some_and(|extension| extension == "json") {
        return serde_json::from_str(text)
            .map_err(|error| Failure::usage(format!("{} is no JSON object of settings: {error}", path.display())));
    }
    text.parse().map_err(|error: toml::de::Error| {
        Failure::usage(format!("{} is not TOML: {}", path.display(), error.message())).line(place_of(text, &error))
    })
}

fn place_of(text: &str, error: &toml::de::Error) -> String {
    let start = error.span().map_or(0, |span| span.start.min(text.len()));
    format!("at line {}", text.as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count() + 1)
}

/// A table is for peers: `[peers]` with `1 = "address"` reads as `1=address`; a list is joined by commas.
fn text_of(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(switch) => Some(switch.to_string()),
        toml::Value::Array(items) => items.iter().map(text_of).collect::<Option<Vec<_>>>().map(|items| items.join(",")),
        toml::Value::Table(entries) => {
            let entry = |(key, value): (&String, &toml::Value)| text_of(value).map(|value| format!("{key}={value}"));
            entries.iter().map(entry).collect::<Option<Vec<_>>>().map(|entries| entries.join(","))
        }
        toml::Value::Float(_) | toml::Value::Datetime(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_dir::TestDir;

    fn file(dir: &TestDir, text: &str) -> PathBuf {
        let path = dir.path().join("bank.toml");
        std::fs::write(&path, text).expect("there is room");
        path
    }

    fn nothing(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn a_flag_beats_the_environment_which_beats_the_file() {
        let dir = TestDir::new();
        let path = file(&dir, "http = \"file:1\"\ngrpc = \"file:2\"\npeer_listen = \"file:3\"\n");
        let environment = |name: &str| ["RIALTO_HTTP", "RIALTO_GRPC"].contains(&name).then(|| "environment".to_owned());
        let settings =
            Settings::gather([("http", "flag".to_owned())], environment, Some(&path)).expect("all is well formed");
        let text = |name| settings.get(name).map(|given| given.text.as_str());
        assert_eq!(text("http"), Some("flag"));
        assert_eq!(text("grpc"), Some("environment"));
        assert_eq!(text("peer-listen"), Some("file:3"));
        assert_eq!(text("data"), None);
    }

    #[test]
    fn a_file_may_use_the_names_that_others_use() {
        let dir = TestDir::new();
        let text = "gateway_addr = \"127.0.0.1:7311\"\nconsul_addr = \"http://127.0.0.1:8500\"\n";
        let settings = Settings::gather([], nothing, Some(&file(&dir, text))).expect("it is well formed");
        let text = |name| settings.get(name).map(|given| given.text.as_str());
        assert_eq!((text("grpc"), text("consul")), (Some("127.0.0.1:7311"), Some("http://127.0.0.1:8500")));
    }

    #[test]
    fn peers_may_be_a_table_a_list_or_a_text() {
        let dir = TestDir::new();
        for text in ["[peers]\n1 = \"a:1\"\n2 = \"b:2\"\n", "peers = [\"1=a:1\", \"2=b:2\"]", "peers = \"1=a:1,2=b:2\""]
        {
            let settings = Settings::gather([], nothing, Some(&file(&dir, text))).expect("it is well formed");
            assert_eq!(settings.get("peers").map(|given| given.text.as_str()), Some("1=a:1,2=b:2"), "{text}");
        }
    }

    #[test]
    fn a_misspelt_key_and_broken_toml_are_named() {
        let dir = TestDir::new();
        let complaint =
            |text: &str| Settings::gather([], nothing, Some(&file(&dir, text))).expect_err("it is wrong").to_string();
        assert!(complaint("htpp = \"x\"").contains("unknown key `htpp`"));
        assert!(complaint("name = \"alpha\"\nnode = = 1").contains("at line 2"));
        assert!(complaint("node = 1.5").contains("is a float"));
    }

    #[test]
    fn a_json_file_says_the_same_as_a_toml_file() {
        let dir = TestDir::new();
        let path = dir.path().join("bank.json");
        std::fs::write(&path, r#"{"name":"alpha","node":1,"no_tls":true,"peers":{"1":"a:1","2":"b:2"}}"#)
            .expect("there is room");
        let settings = Settings::gather([], |_| None, Some(&path)).expect("it is well formed");
        let text = |name| settings.get(name).map(|given| given.text.as_str());
        assert_eq!((text("name"), text("node"), text("no-tls")), (Some("alpha"), Some("1"), Some("true")));
        assert_eq!(text("peers"), Some("1=a:1,2=b:2"));
        std::fs::write(&path, "name = \"alpha\"").expect("there is room");
        let wrong = Settings::gather([], |_| None, Some(&path)).expect_err("it is TOML").to_string();
        assert!(wrong.contains("bank.json is no JSON object of settings"), "{wrong}");
    }

    /// A sign-in of the gateway's nodes is as long as whoever starts the network says; a port is not for all of them.
    #[test]
    fn what_is_for_all_nodes_passes_through_up_and_what_is_for_one_is_named() {
        for passes in ["RIALTO_TOKEN_MINUTES", "RIALTO_TIMEOUT_2PC_MS", "RIALTO_LOG_LEVEL", "RIALTO_LOG_FORMAT"] {
            assert!(environment_names().all(|name| name != passes), "{passes} is taken from the nodes");
        }
        let given = ["RIALTO_TOKEN_MINUTES", "RIALTO_HTTP", "RIALTO_DATA"];
        assert_eq!(not_for_up(|name| given.contains(&name)), ["RIALTO_DATA", "RIALTO_HTTP"]);
    }

    #[test]
    fn a_misspelt_variable_is_found_and_ours_are_none() {
        let given = [
            "RIALTO_HTPP",
            "RIALTO_TLSDIR",
            "RIALTO_COLOUR_OF_SHOES",
            "RIALTO_FOO",
            "RIALTO_HTTP",
            "RIALTO_PASSWORD",
            "PATH",
        ];
        let found: Vec<_> = unknown_variables(given.map(str::to_owned)).collect();
        let meant = |name: &str, meant: Option<&str>| (name.to_owned(), meant.map(str::to_owned));
        let expected = [
            meant("RIALTO_HTPP", Some("RIALTO_HTTP")),
            meant("RIALTO_TLSDIR", Some("RIALTO_TLS_DIR")),
            meant("RIALTO_COLOUR_OF_SHOES", None),
            meant("RIALTO_FOO", None),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_wrong_value_says_where_it_was_given() {
        let environment = |name: &str| (name == "RIALTO_NO_TLS").then(|| "perhaps".to_owned());
        let settings = Settings::gather([], environment, None).expect("it is well formed");
        let complaint = settings.switch("no-tls").expect_err("perhaps is no answer").to_string();
        assert_eq!(complaint, "`perhaps` is neither true nor false\n  given by RIALTO_NO_TLS in the environment");
    }
}
