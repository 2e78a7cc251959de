//! Which characters a short text may hold, so that no two texts that look the same are different ones unseen.
//!
//! Refused are control characters, the format characters that turn the direction of text, whatever shows nothing at all,
//! spaces other than the plain one, private and unassigned code points, a combining mark with nothing before it, and what
//! is not composed (Unicode's NFC). Joiners stay where a script needs them (RFC 5892, appendix A), and inside of emoji.
//!
//! The tables of Unicode grow, so two versions of this program may judge a new character differently. A text is therefore
//! judged once, where it enters; what stands in a log or journal is read back without asking these tables.

use std::fmt;

use precis_core::{FreeformClass, StringClass};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_properties::{GeneralCategory, UnicodeEmoji, UnicodeGeneralCategory};

/// A character that a text may not hold, and where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("character {position} (U+{:04X}) {fault}", u32::from(*character))]
pub struct BadCharacter {
    pub character: char,
    /// Counted in characters, from 1.
    pub position: usize,
    pub fault: CharacterFault,
}

/// What is wrong with a character.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CharacterFault {
    Control,
    /// It changes the direction of the text around it.
    Direction,
    Invisible,
    /// A space, but not U+0020, from which nobody can tell it.
    OddSpace,
    PrivateUse,
    Unassigned,
    /// A combining mark that stands first, where it would sit on somebody else's character.
    LoneMark,
    /// Sound in a text, but not in a name.
    NotForNames,
}

impl fmt::Display for CharacterFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CharacterFault::Control => "is a control character",
            CharacterFault::Direction => "changes the direction of text",
            CharacterFault::Invisible => "cannot be seen there",
            CharacterFault::OddSpace => "is a space other than the plain one",
            CharacterFault::PrivateUse => "is for private use and means nothing here",
            CharacterFault::Unassigned => "is not assigned",
            CharacterFault::LoneMark => "is a combining mark with nothing before it",
            CharacterFault::NotForNames => "is not taken in names",
        })
    }
}

/// The first character of a text that it may not hold.
pub(crate) fn first_bad(text: &str) -> Option<BadCharacter> {
    let mut before = None;
    for (position, (at, character)) in (1..).zip(text.char_indices()) {
        let place = Place { text, at, before };
        if let Some(fault) = fault(character, &place) {
            return Some(BadCharacter { character, position, fault });
        }
        before = Some(character);
    }
    None
}

/// Whether a character, wherever it stands, does something to a terminal or a line, or shows nothing. Joiners are no such.
///
/// For whoever prints a text that may have been taken before texts were judged, or by somebody who judges none.
pub fn hides(character: char) -> bool {
    if matches!(character, ' '..='~') || is_joiner(character) {
        return false;
    }
    turns_direction(character)
        || shows_nothing(character)
        || matches!(
            character.general_category(),
            GeneralCategory::Control
                | GeneralCategory::Format
                | GeneralCategory::LineSeparator
                | GeneralCategory::ParagraphSeparator
        )
}

/// Where a character stands: what it may do depends on its neighbours.
struct Place<'a> {
    text: &'a str,
    at: usize,
    before: Option<char>,
}

fn fault(character: char, place: &Place<'_>) -> Option<CharacterFault> {
    if matches!(character, ' '..='~') {
        return None;
    }
    if is_joiner(character) {
        return (!joins(character, place)).then_some(CharacterFault::Invisible);
    }
    if turns_direction(character) {
        return Some(CharacterFault::Direction);
    }
    match character.general_category() {
        GeneralCategory::Control => Some(CharacterFault::Control),
        GeneralCategory::LineSeparator | GeneralCategory::ParagraphSeparator => Some(CharacterFault::Control),
        GeneralCategory::SpaceSeparator => Some(CharacterFault::OddSpace),
        GeneralCategory::PrivateUse => Some(CharacterFault::PrivateUse),
        GeneralCategory::Unassigned | GeneralCategory::Surrogate => Some(CharacterFault::Unassigned),
        GeneralCategory::Format => Some(CharacterFault::Invisible),
        _ if shows_nothing(character) => Some(CharacterFault::Invisible),
        _ if place.before.is_none() && is_combining_mark(character) => Some(CharacterFault::LoneMark),
        _ => None,
    }
}

/// Explicit embeddings, overrides and isolates, and the marks of direction (UAX #9, table 4).
fn turns_direction(character: char) -> bool {
    matches!(character, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Unicode's Default_Ignorable_Code_Point, beyond the category of format characters, and the blank of Braille.
fn shows_nothing(character: char) -> bool {
    matches!(
        character,
        '\u{034f}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fff8}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Zero width joiner and non-joiner, and the selector of an emoji's own look.
fn is_joiner(character: char) -> bool {
    matches!(character, '\u{200c}' | '\u{200d}' | '\u{fe0f}')
}

/// Whether a joiner does something where it stands: in an emoji, or as the rules of its script have it.
fn joins(joiner: char, place: &Place<'_>) -> bool {
    let after = place.text[place.at + joiner.len_utf8()..].chars().next();
    let is_emoji = |neighbour: Option<char>| neighbour.is_some_and(|it| !it.is_ascii() && it.is_emoji_char());
    if joiner == '\u{fe0f}' {
        let is_keycap = place.before.is_some_and(|it| it.is_ascii() && it.is_emoji_char()) && after == Some('\u{20e3}');
        return is_emoji(place.before) || is_keycap;
    }
    let joins_emoji = joiner == '\u{200d}' && (is_emoji(place.before) || place.before == Some('\u{fe0f}'));
    (joins_emoji && is_emoji(after)) || joins_letters(joiner, place)
}

/// The rule of RFC 5892 looks at the word around the joiner, which is handed to it without the other joiners' faults.
fn joins_letters(joiner: char, place: &Place<'_>) -> bool {
    let is_end = |character: char| character.is_ascii() || character.is_whitespace();
    let from = place.text[..place.at].rfind(is_end).map_or(0, |at| at + 1);
    let until = place.text[place.at..].find(is_end).map_or(place.text.len(), |length| place.at + length);
    let is_other = |(at, character): &(usize, char)| *at != place.at && is_joiner(*character);
    let word: String = place.text[from..until]
        .char_indices()
        .map(|(at, character)| (from + at, character))
        .filter(|found| !is_other(found))
        .map(|(_, character)| character)
        .collect();
    word.contains(joiner) && FreeformClass::default().allows(word).is_ok()
}

/// Whether a text is composed already.
pub(crate) fn is_composed(text: &str) -> bool {
    unicode_normalization::is_nfc(text)
}

/// A text with plain spaces only, composed: two ways of writing the same text become one.
pub(crate) fn composed(text: &str) -> String {
    let is_odd_space = |character: char| character.general_category() == GeneralCategory::SpaceSeparator;
    text.chars().map(|character| if is_odd_space(character) { ' ' } else { character }).nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Option<(usize, CharacterFault)> {
        first_bad(text).map(|bad| (bad.position, bad.fault))
    }

    #[test]
    fn each_kind_of_bad_character_is_named_with_its_place() {
        let cases = [
            ("a\nb", 2, CharacterFault::Control),
            ("é\u{85}", 2, CharacterFault::Control),
            ("\u{1b}[31m", 1, CharacterFault::Control),
            ("line\u{2028}", 5, CharacterFault::Control),
            ("invoice \u{202e}00.1", 9, CharacterFault::Direction),
            ("\u{2067}a", 1, CharacterFault::Direction),
            ("a\u{200f}", 2, CharacterFault::Direction),
            ("bob\u{200b}", 4, CharacterFault::Invisible),
            ("bob\u{200d}", 4, CharacterFault::Invisible),
            ("jos\u{e9}\u{200d}", 5, CharacterFault::Invisible),
            ("bob\u{feff}", 4, CharacterFault::Invisible),
            ("b\u{ad}ob", 2, CharacterFault::Invisible),
            ("a\u{fe0f}", 2, CharacterFault::Invisible),
            ("1\u{fe0f}", 2, CharacterFault::Invisible),
            ("\u{3164}", 1, CharacterFault::Invisible),
            ("\u{2800}", 1, CharacterFault::Invisible),
            ("a\u{e0041}", 2, CharacterFault::Invisible),
            ("a\u{a0}b", 2, CharacterFault::OddSpace),
            ("a\u{3000}b", 2, CharacterFault::OddSpace),
            ("\u{e000}", 1, CharacterFault::PrivateUse),
            ("\u{378}", 1, CharacterFault::Unassigned),
            ("\u{301}", 1, CharacterFault::LoneMark),
        ];
        for (text, position, fault) in cases {
            assert_eq!(faults(text), Some((position, fault)), "{text:?}");
        }
        let told = first_bad("bob\u{200b}").expect("it is bad").to_string();
        assert_eq!(told, "character 4 (U+200B) cannot be seen there");
    }

    #[test]
    fn what_people_write_is_taken() {
        let sound = [
            "",
            "rent, March",
            "Miete für März",
            "家賃 三月",
            "אבא שלום",
            "نامه\u{200c}ای", // Persian, with the non-joiner that its spelling has
            "क्\u{200d}ष",     // Devanagari, a joiner behind a virama
            "❤\u{fe0f} 🎉 👨\u{200d}👩\u{200d}👧",
            "🏳\u{fe0f}\u{200d}🌈",
            "1\u{fe0f}\u{20e3}",
            "e\u{331}",
        ];
        for text in sound {
            assert_eq!(faults(text), None, "{text:?}");
        }
    }

    #[test]
    fn two_ways_of_writing_become_one() {
        assert_eq!(composed("jose\u{301}"), "jos\u{e9}");
        assert_eq!(composed("a\u{a0}b\u{3000}c"), "a b c");
        assert!(is_composed("jos\u{e9}") && !is_composed("jose\u{301}"));
    }
}
