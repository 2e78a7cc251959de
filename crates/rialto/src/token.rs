//! The operator's token: read from a file, never shown.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use hyper::header::HeaderValue;

use crate::failure::Failure;

const CHARACTERS_MIN: usize = 16;
const CHARACTERS_MAX: usize = 512;

/// What a token file holds, and what is to be said about it.
pub(crate) struct Read {
    pub(crate) token: String,
    pub(crate) warnings: Vec<String>,
}

/// Reads the one line of the file.
pub(crate) fn read(path: &Path) -> Result<Read, Failure> {
    let failed = |why: String| {
        Failure::usage(format!("the token file {} {why}", path.display()))
            .line(format!("make one: (umask 077; head -c 32 /dev/urandom | base64 > {})", path.display()))
    };
    let text = std::fs::read_to_string(path).map_err(|error| failed(format!("cannot be read: {error}")))?;
    let token = text.trim();
    if token.len() < CHARACTERS_MIN || token.len() > CHARACTERS_MAX {
        return Err(failed(format!("must hold {CHARACTERS_MIN} to {CHARACTERS_MAX} characters, not {}", token.len())));
    }
    if !token.chars().all(|c| c.is_ascii_graphic()) {
        return Err(failed("must hold one line of printable ASCII without spaces".to_owned()));
    }
    let mode = std::fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
    let mut warnings = Vec::new();
    if mode & 0o077 != 0 {
        warnings.push(format!("others on this machine may read the token file {} (chmod 600 it)", path.display()));
    }
    Ok(Read { token: token.to_owned(), warnings })
}

/// As a header for asking nodes.
pub(crate) fn header(path: Option<&Path>) -> Result<Option<HeaderValue>, Failure> {
    let Some(path) = path else { return Ok(None) };
    let mut header = HeaderValue::from_str(&format!("Bearer {}", read(path)?.token))
        .expect("a token is printable ASCII, which a header takes");
    header.set_sensitive(true);
    Ok(Some(header))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_dir::TestDir;

    #[test]
    fn a_token_is_long_printable_and_warned_about_when_open_to_others() {
        let dir = TestDir::new();
        let path = dir.path().join("token");
        let put = |text: &str, mode: u32| {
            std::fs::write(&path, text).expect("there is room");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
        };
        put("0123456789abcdef\n", 0o600);
        let good = read(&path).expect("it is well formed");
        assert_eq!((good.token.as_str(), good.warnings.len()), ("0123456789abcdef", 0));
        put("0123456789abcdef\n", 0o644);
        assert_eq!(read(&path).expect("it is well formed").warnings.len(), 1);
        for bad in ["short", "0123456789 abcdef", "0123456789\nabcdef", ""] {
            put(bad, 0o600);
            let complaint = read(&path).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(complaint.contains("must hold"), "{bad:?}: {complaint}");
            assert!(bad.is_empty() || !complaint.contains(bad), "the complaint shows the token");
        }
    }
}
