//! Bytes of an input as the files in which a gateway's node finds banks: see [`crate::fuzzing`].

use super::discovery::{self, Found};
use super::kept_banks;
pub(crate) use super::tokens::fuzzing::token;

/// The file of `rialto up`: a node that cannot be read hides no other.
pub(crate) fn network_file(text: &str) {
    let Ok(Found { banks, skipped }) = discovery::understand(text) else { return };
    assert!(banks.iter().map(|(_, addresses)| addresses.len()).sum::<usize>() <= text.len());
    assert!(skipped.to_string().len() < 4_000, "{} bytes of one line", skipped.to_string().len());
}

/// What the node itself wrote, or somebody since.
pub(crate) fn kept_file(bytes: &[u8]) {
    let banks = kept_banks::known(bytes);
    assert!(banks.iter().map(|(_, addresses)| addresses.len()).sum::<usize>() <= bytes.len());
}
