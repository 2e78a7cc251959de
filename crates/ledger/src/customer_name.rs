//! The name of a customer.
//!
//! Unique in its bank, part of the address `name@bank`, and so without anything that would make an address hard to read
//! or to tell from another. The customer's account follows from it; see [`crate::ids`].
//!
//! Names are enforced by PRECIS's profile *UsernameCaseMapped* (RFC 8265, section 3.3): wide forms become plain ones,
//! capitals small ones, the rest is composed (NFC), and letters, digits and ASCII's symbols are taken, nothing invisible.
//! It is case-mapped and not case-preserved, because people type each other's names: `Bob@beta` means `bob@beta`, and money
//! for one must not reach another whose name differs by a capital. Beyond the profile a name does not begin with a combining
//! mark, and its letters are of one script (UTS #39, "highly restrictive": also Latin beside Chinese, Japanese or Korean),
//! so that no Cyrillic `а` passes for a Latin `a` inside of a word.
//!
//! [`CustomerName::enforce`] is for edges, and gives the enforced form. [`CustomerName::new`] takes only what is enforced
//! already. [`CustomerName::stored`] reads back what a log or journal holds, also of before names were enforced.

use std::fmt;

use precis_core::Error;
use precis_core::profile::PrecisFastInvocation;
use precis_profiles::UsernameCaseMapped;
use unicode_normalization::char::is_combining_mark;
use unicode_security::mixed_script::AugmentedScriptSet;

use crate::characters::{self, BadCharacter, CharacterFault};
use crate::text::{Line, LineError, Owner};

/// A customer's name, unique in their bank: 1 to 48 bytes of UTF-8 without whitespace, control characters and '@'.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CustomerName(Line<{ CustomerName::MAX }>);

/// Why a text is not a customer's name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotACustomerName {
    #[error("a customer's name has 1 to {} bytes; this has none", CustomerName::MAX)]
    Empty,
    #[error("a customer's name has 1 to {} bytes; this has {bytes}", CustomerName::MAX)]
    TooLong { bytes: usize },
    #[error("{0}; a customer's name has letters, digits and signs such as '.' and '-', no spaces and no '@'")]
    Character(BadCharacter),
    #[error("the name runs to the right and to the left in a way that would be read wrongly (RFC 5893)")]
    Direction,
    #[error("the name mixes letters of several scripts, which look alike")]
    MixedScripts,
    #[error(
        "the name is not in its enforced form: small letters, composed, and signs such as '·' only beside the letters that \
         they belong to (RFC 8265, UsernameCaseMapped)"
    )]
    NotEnforced,
}

impl CustomerName {
    pub const MAX: usize = 48;

    /// A name in its enforced form.
    ///
    /// # Errors
    /// When the text is longer, or has other characters, than a name may have, or is not the form that
    /// [`CustomerName::enforce`] would give it.
    pub fn new(text: &str) -> Result<CustomerName, NotACustomerName> {
        let name = CustomerName::enforce(text)?;
        if name.as_str() == text { Ok(name) } else { Err(NotACustomerName::NotEnforced) }
    }

    /// The name that a person means who typed this: `Bob` is `bob`.
    ///
    /// # Errors
    /// When the text has no enforced form; the error names the character.
    pub fn enforce(text: &str) -> Result<CustomerName, NotACustomerName> {
        if is_plain(text) {
            return CustomerName::of_checked(text);
        }
        // Longer than any text whose enforced form would fit.
        if text.len() > 3 * CustomerName::MAX {
            return Err(NotACustomerName::TooLong { bytes: text.len() });
        }
        let name = enforced(text)?;
        // Lower case of an old letter may be a younger one, which names do not take: such a text has no enforced form.
        if enforced(&name)? != name {
            return Err(NotACustomerName::NotEnforced);
        }
        if !is_of_one_script(&name) {
            return Err(NotACustomerName::MixedScripts);
        }
        CustomerName::of_checked(&name)
    }

    /// A name of a log, a journal or a peer, judged when it entered.
    ///
    /// # Errors
    /// When it is empty or too long, or has whitespace, control characters or '@'.
    pub fn stored(text: &str) -> Result<CustomerName, NotACustomerName> {
        match Line::stored(text) {
            Ok(line) => CustomerName::from_line(line),
            Err(LineError::TooLong { bytes, .. }) => Err(NotACustomerName::TooLong { bytes }),
            Err(_) => {
                Err(characters::first_bad(text).map_or(NotACustomerName::NotEnforced, NotACustomerName::Character))
            }
        }
    }

    /// A line is short enough and has no control characters; the rest is looked at here.
    pub(crate) fn from_line(line: Line<{ CustomerName::MAX }>) -> Result<CustomerName, NotACustomerName> {
        let is_strange = |character: char| character.is_whitespace() || character == '@';
        if line.is_empty() {
            return Err(NotACustomerName::Empty);
        }
        match (1..).zip(line.as_str().chars()).find(|(_, character)| is_strange(*character)) {
            None => Ok(CustomerName(line)),
            Some((position, character)) => Err(not_for_names(character, position)),
        }
    }

    fn of_checked(text: &str) -> Result<CustomerName, NotACustomerName> {
        match Line::new(text) {
            Ok(line) => CustomerName::from_line(line),
            Err(LineError::TooLong { bytes, .. }) => Err(NotACustomerName::TooLong { bytes }),
            Err(LineError::Character(bad)) => Err(NotACustomerName::Character(bad)),
            Err(LineError::Blank) => Err(NotACustomerName::Empty),
            Err(LineError::ControlCharacter { .. } | LineError::NotComposed | LineError::NotUtf8) => {
                Err(NotACustomerName::NotEnforced)
            }
        }
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub(crate) fn line(&self) -> &Line<{ CustomerName::MAX }> {
        &self.0
    }

    /// The owner of the customer's account.
    #[expect(clippy::expect_used, reason = "a name is shorter than an owner may be")]
    pub(crate) fn owner(&self) -> Owner {
        Owner::stored(self.as_str()).expect("a name is shorter than an owner may be")
    }
}

/// Nearly every name, in its enforced form as it is.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase() && byte != b'@')
}

fn enforced(text: &str) -> Result<String, NotACustomerName> {
    if text.is_empty() {
        return Err(NotACustomerName::Empty);
    }
    // What is bad in every text has a better name than "not for names".
    if let Some(bad) = characters::first_bad(text) {
        return Err(NotACustomerName::Character(bad));
    }
    let name = UsernameCaseMapped::enforce(text).map_err(|error| why(text, &error))?.into_owned();
    match name.chars().next() {
        Some(first) if is_combining_mark(first) => Err(NotACustomerName::Character(BadCharacter {
            character: first,
            position: 1,
            fault: CharacterFault::LoneMark,
        })),
        Some(_) => Ok(name),
        None => Err(NotACustomerName::Empty),
    }
}

fn why(text: &str, error: &Error) -> NotACustomerName {
    match error {
        Error::Invalid => NotACustomerName::Direction,
        Error::BadCodepoint(info) => {
            // Wide forms are mapped one by one, so the place is that of the text.
            let character = text.chars().nth(info.position).or(char::from_u32(info.cp)).unwrap_or('\u{fffd}');
            not_for_names(character, info.position + 1)
        }
        Error::Unexpected(_) => NotACustomerName::NotEnforced,
    }
}

fn not_for_names(character: char, position: usize) -> NotACustomerName {
    NotACustomerName::Character(BadCharacter { character, position, fault: CharacterFault::NotForNames })
}

/// One script, or Latin beside Chinese, Japanese or Korean, which people write together.
fn is_of_one_script(name: &str) -> bool {
    let is_latin = |character: &char| {
        let set = AugmentedScriptSet::for_char(*character);
        !set.is_all() && set.base.contains_script(unicode_script::Script::Latin)
    };
    let mut beside_latin = AugmentedScriptSet::default();
    name.chars().filter(|character| !is_latin(character)).for_each(|it| beside_latin.intersect_with(it.into()));
    let is_east_asian = beside_latin.hanb || beside_latin.jpan || beside_latin.kore;
    !AugmentedScriptSet::for_str(name).is_empty() || is_east_asian
}

impl Ord for CustomerName {
    fn cmp(&self, other: &CustomerName) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl PartialOrd for CustomerName {
    fn partial_cmp(&self, other: &CustomerName) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for CustomerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for CustomerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::AccountId;

    fn enforce(text: &str) -> Result<String, NotACustomerName> {
        CustomerName::enforce(text).map(|name| name.to_string())
    }

    #[test]
    fn names_are_what_an_address_can_hold() {
        for text in ["a", "alice", "zoë.müller", "o'brien+2", "山田太郎", "taro-山田", "алла", "אבא", &"a".repeat(48)]
        {
            assert_eq!(CustomerName::new(text).map(|name| name.to_string()), Ok(text.to_owned()));
        }
        assert_eq!(CustomerName::new(""), Err(NotACustomerName::Empty));
        assert_eq!(CustomerName::new(&"a".repeat(49)), Err(NotACustomerName::TooLong { bytes: 49 }));
        for (text, position) in [("a b", 2), ("a@b", 2), ("a\n", 2), ("a\u{a0}b", 2), ("x☺", 2)] {
            let Err(NotACustomerName::Character(bad)) = CustomerName::new(text) else { panic!("{text:?} was taken") };
            assert_eq!(bad.position, position, "{text:?}");
        }
    }

    #[test]
    fn what_looks_the_same_is_one_name_or_none() {
        assert_eq!(enforce("jose\u{301}"), Ok("jos\u{e9}".to_owned()));
        assert_eq!(enforce("Bob"), Ok("bob".to_owned()));
        assert_eq!(enforce("\u{ff22}\u{ff4f}\u{ff42}"), Ok("bob".to_owned()));
        assert!(enforce("bo\u{212a}").is_err(), "the Kelvin sign");
        let invisible = [
            "bob\u{200b}",
            "bob\u{2060}",
            "\u{200b}",
            "\u{3164}",
            "\u{2800}",
            "bob\u{ad}",
            "b\u{34f}ob",
            "bob\u{fe0f}",
        ];
        for text in invisible {
            let Err(NotACustomerName::Character(bad)) = CustomerName::enforce(text) else {
                panic!("{text:?} was taken")
            };
            assert_eq!(bad.fault, CharacterFault::Invisible, "{text:?}");
        }
        for text in ["\u{202e}bob", "bo\u{2066}b"] {
            let Err(NotACustomerName::Character(bad)) = CustomerName::enforce(text) else {
                panic!("{text:?} was taken")
            };
            assert_eq!(bad.fault, CharacterFault::Direction, "{text:?}");
        }
        assert!(matches!(CustomerName::enforce("\u{301}a"), Err(NotACustomerName::Character(_))));
        assert_eq!(CustomerName::enforce("b\u{43e}b"), Err(NotACustomerName::MixedScripts), "a Cyrillic o");
        assert_eq!(CustomerName::enforce("\u{5d0}bc"), Err(NotACustomerName::Direction));
    }

    #[test]
    fn enforcing_twice_changes_nothing_and_only_what_is_enforced_is_a_name() {
        for text in ["Bob", "jose\u{301}", "Zoë", "İstanbul", "ΟΔΟΣ", "\u{ff21}"] {
            let name = CustomerName::enforce(text).unwrap_or_else(|why| panic!("{text}: {why}"));
            assert_eq!(CustomerName::new(text), Err(NotACustomerName::NotEnforced), "{text}");
            assert_eq!(CustomerName::new(name.as_str()), Ok(name), "{text}");
        }
        // U+13A0 has a small form that is younger than the tables of PRECIS.
        assert!(CustomerName::enforce("\u{13a0}").is_err());
    }

    #[test]
    fn names_of_before_are_read_back_and_lead_to_their_accounts() {
        for text in ["Alice", "bob\u{200b}", "jose\u{301}", "\u{3164}", "b\u{43e}b"] {
            let name = CustomerName::stored(text).expect("it stands in a journal");
            assert_eq!(name.as_str(), text);
            assert_eq!(name.owner().as_str(), text);
            assert_ne!(
                Some(AccountId::of_customer(&name)),
                CustomerName::enforce(text).ok().map(|it| AccountId::of_customer(&it))
            );
        }
        for text in ["", "a b", "a@b", "a\n", &"a".repeat(49)] {
            assert!(CustomerName::stored(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn every_name_can_own_an_account() {
        let longest = CustomerName::new(&"a".repeat(48)).expect("it fits");
        assert_eq!(longest.owner().as_str(), longest.as_str());
    }
}
