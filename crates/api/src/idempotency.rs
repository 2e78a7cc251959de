//! `Idempotency-Key`: a text of the caller's that stands for an id.
//!
//! The key becomes an id by a hash of caller scope, route and key, so that the ledger's one rule (one id, one outcome,
//! forever) does the rest: the same key and body find the first outcome, another body is refused by the ledger, which
//! compares contents. Nothing is stored for keys, nothing expires, and every node makes the same id.

use crate::code::Code;
use crate::problem::Problem;

/// Longest key, in characters.
pub const KEY_LENGTH_MAX: usize = 255;

/// A well-formed key, without its quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Reads the header's value: 1–255 printable ASCII characters, bare or as a quoted string (RFC 8941, with `\"` and
    /// `\\`). `"abc"` and `abc` are the same key.
    pub fn parse(header: &[u8]) -> Result<IdempotencyKey, Problem> {
        let text = std::str::from_utf8(header).map_err(|_| malformed("it is not text"))?.trim_matches(' ');
        let key = match text.strip_prefix('"') {
            Some(rest) => unquoted(rest)?,
            None => text.to_owned(),
        };
        if key.is_empty() {
            return Err(malformed("it is empty"));
        }
        if key.len() > KEY_LENGTH_MAX {
            return Err(malformed(&format!("it has {} characters", key.len())));
        }
        if !key.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return Err(malformed("it has a character that is not printable ASCII"));
        }
        Ok(IdempotencyKey(key))
    }

    /// The id that this key stands for, as the 128 bits of a UUID of version 8. `item` is the place in a batch.
    ///
    /// Every part is preceded by its length, so that no two different calls hash the same bytes.
    pub fn id(&self, scope: &str, route: &str, item: Option<u32>) -> u128 {
        let mut hasher = blake3::Hasher::new_derive_key("rialto idempotency key to id v1");
        for part in [scope.as_bytes(), route.as_bytes(), self.0.as_bytes()] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        if let Some(item) = item {
            hasher.update(&item.to_le_bytes());
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid().as_u128()
    }
}

fn unquoted(rest: &str) -> Result<String, Problem> {
    let mut key = String::with_capacity(rest.len());
    let mut letters = rest.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if letters.as_str().is_empty() => return Ok(key),
            '"' => return Err(malformed("something follows its closing quote")),
            '\\' => match letters.next() {
                Some(escaped @ ('"' | '\\')) => key.push(escaped),
                _ => return Err(malformed("a backslash stands before something else than a quote or a backslash")),
            },
            other => key.push(other),
        }
    }
    Err(malformed("its closing quote is missing"))
}

fn malformed(why: &str) -> Problem {
    Problem::new(
        Code::MalformedKey,
        format!("the Idempotency-Key cannot be used: {why}; send 1 to 255 printable ASCII characters, quoted or not"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> IdempotencyKey {
        IdempotencyKey::parse(text.as_bytes()).expect("a good key")
    }

    #[test]
    fn quotes_are_not_part_of_the_key() {
        assert_eq!(key("\"abc\""), key("abc"));
        assert_eq!(key(r#""a\"b\\c""#), IdempotencyKey(r#"a"b\c"#.into()));
        assert_eq!(key("two words"), IdempotencyKey("two words".into()));
    }

    #[test]
    fn a_malformed_key_is_refused() {
        let long = "k".repeat(256);
        for bad in ["", "\"\"", "   ", "\"abc", "\"abc\"d", "a\tb", "caf\u{e9}", r#""a\n""#, &long] {
            let problem = IdempotencyKey::parse(bad.as_bytes()).expect_err(bad);
            assert_eq!(problem.code, Code::MalformedKey, "{bad:?}");
        }
        assert!(IdempotencyKey::parse(b"\xff").is_err());
        assert!(IdempotencyKey::parse("k".repeat(255).as_bytes()).is_ok());
    }

    #[test]
    fn another_scope_route_key_or_item_is_another_id() {
        let mut ids = vec![
            key("k").id("local", "/deposit_money", None),
            key("k").id("operator", "/deposit_money", None),
            key("k").id("local", "/withdraw_money", None),
            key("k2").id("local", "/deposit_money", None),
            key("k").id("local", "/deposit_money", Some(0)),
            key("k").id("local", "/deposit_money", Some(1)),
            key("ey").id("local", "/deposit_moneyk", None),
        ];
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 7);
    }

    /// Nodes of different versions must agree, so the mapping can never change.
    #[test]
    fn the_mapping_is_fixed_and_makes_uuids_of_version_8() {
        let id = uuid::Uuid::from_u128(key("k").id("local", "/deposit_money", None));
        assert_eq!(id.get_version_num(), 8);
        assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
        expect_test::expect!["7563ac98-e9c6-829c-bebb-efee6448642a"].assert_eq(&id.to_string());
    }
}
