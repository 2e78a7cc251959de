//! A sign-in as it lies in a file: three lines, for the owner's eyes only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use api::client::Secret;
use clearing::NamedParty;

/// In whose name, by which token, until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn {
    pub customer: NamedParty,
    /// Milliseconds since 1970.
    pub expires_ms: u64,
    pub token: Secret,
}

impl SignIn {
    /// What the file holds: customer, end, token, one line each.
    pub(crate) fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.customer, self.expires_ms, self.token.expose())
    }

    pub(crate) fn from_text(text: &str) -> Option<SignIn> {
        let mut lines = text.lines();
        let customer = lines.next()?.parse().ok()?;
        let expires_ms = lines.next()?.parse().ok()?;
        // What a header could not carry is no token.
        let is_token = |token: &&str| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        let token = lines.next().filter(is_token)?;
        Some(SignIn { customer, expires_ms, token: Secret::new(token) })
    }

    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        replace(path, self.to_text().as_bytes())
    }

    /// `None` where there is no file, or none that can be understood: then one has to sign in anew, and no more is lost.
    pub(crate) fn load(path: &Path) -> io::Result<Option<SignIn>> {
        match fs::read_to_string(path) {
            Ok(text) => Ok(SignIn::from_text(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Writes a file of mode 0600 beside `path` and renames over it: a reader sees the old one or the new one, also after a
/// power cut. Each process writes beside in a place of its own.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".new-{}", std::process::id()));
    // A file that a killed process left there might have another mode.
    let _ = fs::remove_file(&beside);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    sync_parent(path)
}

pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        Some(_) | None => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_a_sign_in_are_stable() {
        let sign_in = SignIn {
            customer: "alice@alpha".parse().expect("well formed"),
            expires_ms: 1_800_000_000_000,
            token: Secret::new("a.b.c"),
        };
        assert_eq!(sign_in.to_text(), "alice@alpha\n1800000000000\na.b.c\n");
        assert_eq!(SignIn::from_text(&sign_in.to_text()), Some(sign_in));
        for broken in [
            "",
            "alice@alpha\n",
            "alice@alpha\n17\n",
            "alice@alpha\nsoon\na.b.c\n",
            "alice@alpha\n1\na\r",
            "Alpha\n1\nx\n",
        ] {
            assert_eq!(SignIn::from_text(broken), None, "{broken:?}");
        }
    }
}
