//! The environment: one way for every variable.
//!
//! A variable of Rialto's whose value is no text is an error before anything is done. Counted as not set it would make a
//! command act in somebody else's name, or on another network.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::failure::Failure;

/// What all variables of Rialto's begin with.
const OURS: &str = "RIALTO_";

/// Holds every variable of Rialto's against what it may be.
pub(crate) fn check() -> Result<(), Failure> {
    check_all(std::env::vars_os())
}

fn check_all(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<(), Failure> {
    let mut bad = variables.into_iter().filter(|(name, value)| is_ours(name) && value.to_str().is_none());
    match bad.next() {
        None => Ok(()),
        Some((name, _)) => Err(Failure::usage(format!("{} in the environment is not UTF-8", name.to_string_lossy()))
            .line("nothing was done; set it anew, or unset it")),
    }
}

fn is_ours(name: &OsStr) -> bool {
    name.as_bytes().starts_with(OURS.as_bytes())
}

/// The names of all variables of Rialto's that are set.
pub(crate) fn names() -> impl Iterator<Item = String> {
    std::env::vars_os().filter(|(name, _)| is_ours(name)).map(|(name, _)| name.to_string_lossy().into_owned())
}

/// The text of a variable; none where it is not set, or empty. What is no text, which [`check`] refuses, never counts as not
/// set: it is a text that nothing is called.
pub(crate) fn text(name: &str) -> Option<String> {
    path(name).map(|value| value.to_string_lossy().into_owned())
}

/// A variable that others read as well, as it is: a directory need not be text.
pub(crate) fn path(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn one_of_ours_that_is_no_text_is_an_error_and_one_of_others_is_not() {
        let bad = || OsString::from_vec(b"bob\xff".to_vec());
        assert_eq!(check_all([("PATH".into(), bad()), ("RIALTO_PROFILE".into(), "bob".into())]), Ok(()));
        let failure = check_all([("RIALTO_X".into(), bad())]).expect_err("it is not UTF-8");
        assert_eq!(failure.what(), "RIALTO_X in the environment is not UTF-8");
        assert_eq!(failure.code(), crate::failure::Code::Usage);
    }
}
