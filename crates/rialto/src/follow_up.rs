//! Commands that are printed for people to type next.
//!
//! Such a command is wrong without the options that say where the gateway is and whose profile is meant: it would look in
//! another directory. So it carries those that this command was given. What is in the environment is still there, and is not
//! repeated.

use std::path::Path;
use std::sync::OnceLock;

use crate::plain::quoted;
use crate::settings::default_dir;

/// What this command was given: set once, before anything is printed.
static GIVEN: OnceLock<Options> = OnceLock::new();

/// Options as they are typed, each with a space before it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Options(String);

impl Options {
    /// Adds a flag with its value, where there is one.
    pub(crate) fn flag(mut self, name: &str, value: Option<impl std::fmt::Display>) -> Options {
        if let Some(value) = value {
            self.0 += &format!(" --{name} {}", quoted(&value.to_string()));
        }
        self
    }

    fn after(&self, words: &str) -> String {
        format!("rialto {words}{}", self.0)
    }
}

/// Commands that are printed from now on carry these.
pub(crate) fn keep(options: Options) {
    // A command has one set of options, so the first one is the only one.
    let _ = GIVEN.set(options);
}

/// `rialto outbox list --dir DIR`, of the words behind `rialto`.
pub(crate) fn command(words: &str) -> String {
    GIVEN.get().cloned().unwrap_or_default().after(words)
}

/// ` --dir X`, where it is needed: also where the environment names the directory, which it may not do in another terminal.
pub(crate) fn dir_flag(dir: &Path) -> String {
    let is_everybodys = dir == Path::new("./rialto-data") && dir == default_dir();
    if is_everybodys { String::new() } else { format!(" --dir {}", quoted(&dir.display().to_string())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_named_where_another_would_be_meant() {
        if default_dir() == Path::new("./rialto-data") {
            assert_eq!(dir_flag(&default_dir()), "");
        }
        assert_eq!(dir_flag(Path::new("/srv/two words")), " --dir '/srv/two words'");
    }

    #[test]
    fn a_command_carries_what_was_given_and_can_be_pasted_into_a_shell() {
        let none = Options::default().flag("dir", None::<&str>);
        assert_eq!(none.after("outbox list"), "rialto outbox list");
        let given = none.flag("dir", Some("/tmp/it's here")).flag("gateway", Some("10.0.0.4:7311"));
        let whole = r"rialto outbox list --dir '/tmp/it'\''s here' --gateway 10.0.0.4:7311";
        assert_eq!(given.after("outbox list"), whole);
    }
}
