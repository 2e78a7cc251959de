//! What must hold of any bytes that this crate is given to read: for cargo-fuzz, and for the inputs that are kept.

use crate::network::Network;
use crate::outbox::fuzzing as outbox;
use crate::profile::ProfileName;
use crate::sign_in::SignIn;

/// A payment as it lies in an outbox, which other programs may have written to.
pub fn row(bytes: &[u8]) {
    outbox::row(bytes);
}

/// A sign-in and a network as they lie in files are written so that they are read as the same again, and a profile's name names
/// no other place.
pub fn files(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(sign_in) = SignIn::from_text(text) {
        assert_eq!(SignIn::from_text(&sign_in.to_text()), Some(sign_in));
    }
    if let Some(network) = Network::from_text(text) {
        let again = Network::from_text(&network.to_text()).expect("what we write we read");
        assert_eq!((again.id, &again.authorities), (network.id, &network.authorities), "{text:?}");
        assert!(again.gateways.is_subset(&network.gateways), "{text:?}");
    }
    if let Ok(name) = text.parse::<ProfileName>() {
        assert!(!name.to_string().contains(['/', '\0', '.']), "{text:?}");
    }
}

#[cfg(test)]
mod tests {
    use corpora::STATE;

    #[test]
    fn fuzz_corpora_of_the_wallet() {
        corpora::run("wallet_files", STATE, super::files);
        corpora::run("wallet_outbox", STATE, super::row);
    }
}
