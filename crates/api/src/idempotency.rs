//! `Idempotency-Key`: a text of the caller's that names one whole request, forever.
//!
//! Before anything of the request is proposed, the group keeps what the key stands for: a digest of the request, and a base
//! that its ids are made of. A bank's base is random. A gateway's follows from the key and a secret of the gateway, so that it
//! is the same in a gateway that was put back from a copy of before. The same key with the same request finds the same ids, and so the first outcomes; with any
//! other request it is refused, and nothing of that request is done. Keys belong to their caller and do not expire.
//!
//! Compared are: the route, the number and order of items, `linked`, and of each item its accounts or payee, amount, currency
//! and reference (of an account its owner and currency, of a customer the name, currency and opening balance, of a customer's
//! change the name and what is to change). A password is compared by the slow hash that is stored of it, with a salt that
//! belongs to the key ([`password_salt`]): as *OpaqueString* has it (RFC 8265), so however its accents were typed. Not
//! compared are: how the request is written (spaces, the order of fields, `5` for `5.00`), tokens, deadlines and timeouts.

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

    /// The number under which the group keeps what this caller's key stands for. Callers of different names have different
    /// keys, whatever their texts: nobody takes another's in advance.
    pub fn number(&self, caller: &str) -> u128 {
        first_128_bits("rialto idempotency key v2", &[caller.as_bytes(), self.0.as_bytes()])
    }
}

/// Tells one request from another: its route, and its whole meaning as bytes of a fixed form. Written differently (spaces, the
/// order of fields, `5` for `5.00`) it is the same request.
pub fn request_digest(route: &str, meaning: &[u8]) -> u128 {
    first_128_bits("rialto idempotent request v2", &[route.as_bytes(), meaning])
}

/// The number under which a bank keeps the transfer of a customer's opening balance; no key of any caller has it.
pub fn opening_balance_key(customer: &str) -> u128 {
    first_128_bits("rialto opening balance v2", &[customer.as_bytes()])
}

/// The salt of a password that comes with an idempotency key or an id, of that number, for that customer of that bank. It is
/// the same whenever the request is repeated, so the same password has the same hash; no other request has it, and nobody
/// can make a table of hashes in advance who does not know the key or the id.
pub fn password_salt(number: u128, bank: &str, customer: &str) -> [u8; 16] {
    let context = "rialto salt of a password that may be repeated v1";
    first_128_bits(context, &[&number.to_le_bytes(), bank.as_bytes(), customer.as_bytes()]).to_le_bytes()
}

/// The id of one item of a batch, made of what its key stands for: a UUID of version 8. Who does not know the base cannot
/// foretell it.
pub fn item_id(base: u128, item: u32) -> u128 {
    let bits = first_128_bits("rialto item of an idempotent batch v2", &[&base.to_le_bytes(), &item.to_le_bytes()]);
    uuid::Builder::from_custom_bytes(bits.to_be_bytes()).into_uuid().as_u128()
}

/// Every part is preceded by its length, so that no two different calls hash the same bytes.
fn first_128_bits(context: &str, parts: &[&[u8]]) -> u128 {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    u128::from_be_bytes(bytes)
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
    fn another_caller_or_key_is_another_number_and_another_route_or_meaning_another_request() {
        let mut numbers = vec![
            key("k").number("local"),
            key("k").number("operator"),
            key("k2").number("local"),
            key("ck").number("lo"),
            request_digest("/deposit_money", b"k"),
            request_digest("/withdraw_money", b"k"),
            request_digest("/deposit_money", b"k2"),
            request_digest("/deposit_moneyk", b""),
            item_id(7, 0),
            item_id(7, 1),
            item_id(8, 0),
            u128::from_le_bytes(password_salt(7, "alpha", "ann")),
            u128::from_le_bytes(password_salt(8, "alpha", "ann")),
            u128::from_le_bytes(password_salt(7, "beta", "ann")),
            u128::from_le_bytes(password_salt(7, "alpha", "anna")),
        ];
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 15);
    }

    /// Nodes of different versions must agree, so the mapping can never change.
    #[test]
    fn the_mapping_is_fixed_and_items_have_uuids_of_version_8() {
        let id = uuid::Uuid::from_u128(item_id(key("k").number("local"), 3));
        assert_eq!((id.get_version_num(), id.get_variant()), (8, uuid::Variant::RFC4122));
        let numbers = [key("k").number("local"), request_digest("/deposit_money", b"k"), id.as_u128()];
        expect_test::expect![
            "2310173af908749cf4166dd076950a3d a0ae3cdda5abeb8156e1d1f5d18a7f2f 7323305759d18245b590f83b3cd1adc6"
        ]
        .assert_eq(&numbers.map(|number| format!("{number:032x}")).join(" "));
    }
}
