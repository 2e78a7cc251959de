//! Bytes of an input as what Consul answers: see [`crate::fuzzing`].

#![allow(clippy::expect_used, reason = "it is run by tests and fuzz targets, which find what is wrong by a panic")]

use super::find::{Found, Service, key, keys, subject};

/// A list of registrations: whoever is found has an address that can be shown and a name that can be asked for, and a foreign
/// registration hides nobody.
pub(crate) fn registrations(answer: &[u8]) {
    let Ok(found) = Found::read(answer) else { return };
    assert!(found.skipped.to_string().len() < 4_000, "{} bytes of one line", found.skipped.to_string().len());
    for instance in &found.instances {
        let at = &instance.grpc;
        assert!(at.len() < 300 && !at.contains(|it: char| it.is_control() || it.is_whitespace()), "{at:?}");
        for service in [Service::Bank, Service::Gateway] {
            if subject(service, (&instance.group, instance.node)).is_ok() {
                let path = format!("/v1/kv/{}?raw=true", key(&instance.group, instance.node));
                let path = path.parse::<hyper::Uri>().expect("whom a certificate can name can be asked for");
                assert_eq!(path.query(), Some("raw=true"), "{path}");
            }
        }
    }
    let Some(rest) = answer.trim_ascii_start().strip_prefix(b"[").filter(|_| !found.instances.is_empty()) else {
        return;
    };
    let spoiled = [br#"[{"Node":null,"Service":{"Meta":null}},"#.as_slice(), rest].concat();
    let again = Found::read(&spoiled).expect("the same list with one entry more");
    assert_eq!(again.instances, found.instances);
}

/// A list of keys.
pub(crate) fn filed(answer: &[u8]) {
    if let Some(keys) = keys(answer) {
        assert!(keys.len() <= answer.len());
    }
}
