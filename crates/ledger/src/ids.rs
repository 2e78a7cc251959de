//! Identifiers: accounts, transfers, and who placed a hold.
//!
//! Accounts and transfers are named by UUIDs that the client may choose, so both are 128 bits, shown and read as
//! hyphenated text. The nil UUID names nothing and is refused.
//!
//! The bank's own accounts have ids that follow from what they are, so every node and every bank writes the same one
//! without asking: `00000000-hhhh-800k-8ccc-hhhhhhhhhhhh`, a UUID of version 8 whose `k` is the kind, `ccc` the ISO 4217
//! number in decimal digits and `h` the first 64 bits of the BLAKE3 of the other bank's name (zero where there is none).
//! The vault of euros is `00000000-0000-8001-8978-000000000000`. Nobody opens an account under such an id.
//!
//! A customer's account has an id that follows from the name: `hhhhhhhh-hhhh-8hhh-bhhh-hhhhhhhhhhhh`, a UUID of version 8
//! too, whose `h` are 120 bits of the BLAKE3 of a domain and the name. The digit `b`, of which the standard fixes the first
//! two bits, is always an `8` in the ids of the bank's own accounts, so none is ever the other.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use crate::currency::Currency;
use crate::customer_name::CustomerName;

/// Why a text is not an id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IdError {
    #[error("not a UUID; write it like 018f4f3e-7a5b-7c4d-8e9f-0123456789ab")]
    NotAUuid,
    #[error("the nil UUID names nothing")]
    Nil,
}

/// One struct, one set of conversions for both kinds of UUID; they stay different types.
macro_rules! uuid_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(u128);

        impl $name {
            /// `None` for the nil UUID.
            pub const fn new(id: u128) -> Option<$name> {
                if id == 0 { None } else { Some($name(id)) }
            }

            pub const fn get(self) -> u128 {
                self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<$name, IdError> {
                $name::new(parse_uuid(text).ok_or(IdError::NotAUuid)?).ok_or(IdError::Nil)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_uuid(self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_uuid(self.0, f)
            }
        }
    };
}

uuid_newtype! {
    /// Names an account.
    AccountId
}
uuid_newtype! {
    /// Names a transfer, a hold, the closing of an account or a change of a customer: whatever has one outcome forever.
    TransferId
}

/// Who placed a hold, and alone may end it. Not a secret: the edge proves who is calling.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Placer(NonZeroU64);

impl Placer {
    /// `None` for zero, which stands for "nobody" where a placer is stored.
    pub const fn new(number: u64) -> Option<Placer> {
        match NonZeroU64::new(number) {
            Some(number) => Some(Placer(number)),
            None => None,
        }
    }

    /// The placer of that name, as it stands in a certificate: the first 64 bits of the name's BLAKE3.
    pub fn named(name: &str) -> Placer {
        Placer(NonZeroU64::new(hash_of_name(name)).unwrap_or(NonZeroU64::MIN))
    }

    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

/// What an account of the bank's own is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Internal {
    /// Where deposits come from and withdrawals go to: cash.
    Vault,
    /// What another bank owes, or is owed.
    Interbank,
    /// Money whose owner is to be found out after a restore.
    Suspense,
}

impl Internal {
    /// Stored in every id of an internal account: stable.
    const fn number(self) -> u128 {
        match self {
            Internal::Vault => 1,
            Internal::Interbank => 2,
            Internal::Suspense => 3,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Internal::Vault => "vault",
            Internal::Interbank => "interbank",
            Internal::Suspense => "suspense",
        }
    }
}

impl AccountId {
    /// Where deposits of that currency come from and withdrawals go to.
    pub fn vault(currency: Currency) -> AccountId {
        AccountId(internal_id(Internal::Vault, currency, 0))
    }

    /// What lies between this bank and that one, in that currency.
    pub fn interbank(bank: &str, currency: Currency) -> AccountId {
        AccountId(internal_id(Internal::Interbank, currency, hash_of_name(bank).max(1)))
    }

    /// Where a restored bank puts what an account lacks.
    pub fn suspense(currency: Currency) -> AccountId {
        AccountId(internal_id(Internal::Suspense, currency, 0))
    }

    /// The account of the customer of that name.
    pub fn of_customer(name: &CustomerName) -> AccountId {
        let hash = first_128_bits("rialto customer", name.as_str());
        let (upper, lower) = (hash >> 64 & !0xf000 | 0x8000, hash & (u128::MAX >> 68) | 0xb << 60);
        AccountId(upper << 64 | lower)
    }

    /// Whether the id has the form of a customer's account: then nobody opens it but by adding the customer.
    pub fn is_customers(self) -> bool {
        (self.0 >> 76 & 0xf, self.0 >> 60 & 0xf) == (8, 0xb)
    }

    /// What the bank's own account of that id is, and its currency; `None` for every customer's account.
    pub fn internal(self) -> Option<(Internal, Currency)> {
        // Nearly every id is a customer's and ends here.
        if self.0 >> 96 != 0 {
            return None;
        }
        let kind = match (self.0 >> 64) & 0xffff {
            0x8001 => Internal::Vault,
            0x8002 => Internal::Interbank,
            0x8003 => Internal::Suspense,
            _ => return None,
        };
        let digits = (self.0 >> 48) & 0xffff;
        let currency = Currency::from_number(from_decimal_digits(digits)?)?;
        let hash = ((self.0 >> 80) & 0xffff) << 48 | (self.0 & 0xffff_ffff_ffff);
        let has_name = matches!(kind, Internal::Interbank);
        if (hash != 0) == has_name { Some((kind, currency)) } else { None }
    }
}

fn internal_id(kind: Internal, currency: Currency, name_hash: u64) -> u128 {
    let hash = u128::from(name_hash);
    let group_two = hash >> 48;
    let group_three = 0x8000 | kind.number();
    let group_four = 0x8000 | to_decimal_digits(currency.number());
    group_two << 80 | group_three << 64 | group_four << 48 | (hash & 0xffff_ffff_ffff)
}

/// 978 becomes 0x978, so that the number can be read in the id.
fn to_decimal_digits(number: u16) -> u128 {
    u128::from(number / 100) << 8 | u128::from(number / 10 % 10) << 4 | u128::from(number % 10)
}

fn from_decimal_digits(group: u128) -> Option<u16> {
    let digit = |shift: u32| u16::try_from((group >> shift) & 0xf).ok().filter(|digit| *digit < 10);
    let number = digit(8)? * 100 + digit(4)? * 10 + digit(0)?;
    (group >> 12 == 8).then_some(number)
}

#[expect(clippy::expect_used, reason = "a slice of eight bytes is eight bytes")]
fn hash_of_name(name: &str) -> u64 {
    let hash = blake3::hash(name.as_bytes());
    u64::from_be_bytes(hash.as_bytes()[..8].try_into().expect("eight bytes of thirty-two"))
}

/// The domain keeps these apart from hashes of the same text made for something else.
#[expect(clippy::expect_used, reason = "a slice of sixteen bytes is sixteen bytes")]
fn first_128_bits(domain: &str, text: &str) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(domain.as_bytes());
    hasher.update(text.as_bytes());
    u128::from_be_bytes(hasher.finalize().as_bytes()[..16].try_into().expect("sixteen bytes of thirty-two"))
}

fn write_uuid(id: u128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let group = |shift: u32, bits: u32| (id >> shift) & ((1 << bits) - 1);
    write!(
        f,
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        group(96, 32),
        group(80, 16),
        group(64, 16),
        group(48, 16),
        group(0, 48)
    )
}

fn parse_uuid(text: &str) -> Option<u128> {
    let bytes = text.as_bytes();
    if bytes.len() != 36 {
        return None;
    }
    let mut id = 0u128;
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 8 | 13 | 18 | 23) {
            if *byte != b'-' {
                return None;
            }
            continue;
        }
        id = id << 4 | u128::from(char::from(*byte).to_digit(16)?);
    }
    Some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_as_they_are_shown() {
        let text = "018f4f3e-7a5b-7c4d-8e9f-0123456789ab";
        let id: TransferId = text.parse().expect("a UUID");
        assert_eq!(id.get(), 0x018f_4f3e_7a5b_7c4d_8e9f_0123_4567_89ab);
        assert_eq!(id.to_string(), text);
        assert_eq!(text.to_uppercase().parse::<TransferId>(), Ok(id));
    }

    #[test]
    fn what_is_not_an_id_is_refused_with_the_reason() {
        let cases = [
            ("", IdError::NotAUuid),
            ("018f4f3e7a5b7c4d8e9f0123456789ab", IdError::NotAUuid),
            ("018f4f3e-7a5b-7c4d-8e9f-0123456789a", IdError::NotAUuid),
            ("018f4f3e-7a5b-7c4d-8e9f-0123456789ag", IdError::NotAUuid),
            ("018f4f3e-7a5b-7c4d-8e9f+0123456789ab", IdError::NotAUuid),
            ("{18f4f3e-7a5b-7c4d-8e9f-0123456789a}", IdError::NotAUuid),
            ("é18f4f3e-7a5b-7c4d-8e9f-0123456789a", IdError::NotAUuid),
            ("00000000-0000-0000-0000-000000000000", IdError::Nil),
        ];
        for (text, reason) in cases {
            assert_eq!(text.parse::<AccountId>(), Err(reason), "{text}");
        }
    }

    #[test]
    fn ids_of_the_banks_own_accounts_are_stable() {
        let yen = Currency::from_code("JPY").expect("in the table");
        let cases = [
            (AccountId::vault(Currency::EUR), "00000000-0000-8001-8978-000000000000"),
            (AccountId::vault(yen), "00000000-0000-8001-8392-000000000000"),
            (AccountId::suspense(Currency::EUR), "00000000-0000-8003-8978-000000000000"),
            (AccountId::interbank("beta", Currency::EUR), "00000000-c607-8002-8978-f0e66519ff41"),
        ];
        for (id, text) in cases {
            assert_eq!(id.to_string(), text);
        }
    }

    fn of_customer(name: &str) -> AccountId {
        AccountId::of_customer(&CustomerName::new(name).expect("a name"))
    }

    #[test]
    fn ids_of_customers_accounts_are_stable() {
        assert_eq!(of_customer("alice").to_string(), "35fc34d5-e637-8b0c-beb5-36e41e2575cb");
        assert_eq!(of_customer("zoë.müller").to_string(), "1e15ac0e-ead9-8add-b27a-61966a1e7c77");
    }

    #[test]
    fn no_customers_account_is_ever_the_banks_own() {
        for number in 0..1_000 {
            let id = of_customer(&format!("customer-{number}")).get();
            assert!(AccountId::new(id).expect("not nil").is_customers(), "{id:032x}");
            // Not even with a hash that has zeros wherever the bank's own ids have them.
            let unlucky = AccountId::new(id & (u128::MAX >> 32)).expect("not nil");
            assert_eq!(unlucky.internal(), None);
        }
    }

    #[test]
    fn an_internal_account_is_known_by_its_id() {
        for currency in Currency::all() {
            assert_eq!(AccountId::vault(currency).internal(), Some((Internal::Vault, currency)));
            assert!(!AccountId::vault(currency).is_customers());
            assert_eq!(AccountId::suspense(currency).internal(), Some((Internal::Suspense, currency)));
            let interbank = AccountId::interbank("beta", currency);
            assert_eq!(interbank.internal(), Some((Internal::Interbank, currency)));
        }
        let not_quite = [
            "00000001-0000-8001-8978-000000000000",
            "00000000-0001-8001-8978-000000000000",
            "00000000-0000-8001-8978-000000000001",
            "00000000-0000-8002-8978-000000000000",
            "00000000-0000-8004-8978-000000000000",
            "00000000-0000-8001-897a-000000000000",
            "00000000-0000-8001-9978-000000000000",
            "00000000-0000-8001-8999-000000000000",
            "018f4f3e-7a5b-8001-8978-000000000000",
        ];
        for text in not_quite {
            assert_eq!(text.parse::<AccountId>().ok().and_then(AccountId::internal), None, "{text}");
        }
    }
}
