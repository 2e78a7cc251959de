//! Short texts that travel with money: the reference of a transfer and the owner of an account.
//!
//! Both are bounded, UTF-8, on one line (no control characters, so they cannot forge a line in a log or a statement), and
//! held in place without an allocation, since a batch carries thousands of them. Empty is allowed.
//!
//! There are three ways to make one. [`Line::enforce`] is for edges: it composes what a person typed and then judges it.
//! [`Line::new`] judges and changes nothing. [`Line::stored`] reads back what stands in a log, a journal or a peer's
//! message, which was judged when it entered, perhaps by another version of Unicode's tables; see [`crate::characters`].

use std::fmt;

use crate::characters::{self, BadCharacter};

/// A single line of at most `MAX` bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Line<const MAX: usize> {
    len: u8,
    // Bytes past the length are zero, so that equality and hashing may look at all of them.
    bytes: [u8; MAX],
}

/// What a transfer says about itself: at most 35 bytes, as in SEPA's end-to-end identification.
pub type Reference = Line<35>;

/// Whose account it is: at most 64 bytes.
pub type Owner = Line<64>;

/// The other side of a payment, as `name@bank`: at most 81 bytes, a customer's and a bank's longest name.
pub type Counterparty = Line<81>;

/// Why a text is not such a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LineError {
    #[error("the text has {bytes} bytes of UTF-8; at most {max} are taken")]
    TooLong { bytes: usize, max: usize },
    #[error("the text has a control character at byte {at}")]
    ControlCharacter { at: usize },
    #[error("{0}")]
    Character(BadCharacter),
    #[error("the text has nothing but spaces")]
    Blank,
    #[error("the text is not composed (Unicode NFC)")]
    NotComposed,
    #[error("the text is not UTF-8")]
    NotUtf8,
}

impl<const MAX: usize> Line<MAX> {
    /// The empty line.
    pub const EMPTY: Line<MAX> = Line { len: 0, bytes: [0; MAX] };

    /// A text that came from outside, as it is.
    ///
    /// # Errors
    /// When it is too long, has a character that a text may not hold, shows nothing, or is not composed.
    pub fn new(text: &str) -> Result<Line<MAX>, LineError> {
        if !is_printable_ascii(text.as_bytes()) {
            if let Some(bad) = characters::first_bad(text) {
                return Err(LineError::Character(bad));
            }
            if !characters::is_composed(text) {
                return Err(LineError::NotComposed);
            }
        }
        if !text.is_empty() && text.bytes().all(|byte| byte == b' ') {
            return Err(LineError::Blank);
        }
        Line::from_utf8(text.as_bytes())
    }

    /// A text that a person typed: composed, with plain spaces for others, and then as [`Line::new`] has it. The length is
    /// that of the composed text.
    ///
    /// # Errors
    /// Those of [`Line::new`].
    pub fn enforce(text: &str) -> Result<Line<MAX>, LineError> {
        if is_printable_ascii(text.as_bytes()) {
            return Line::new(text);
        }
        // Composing never makes a text shorter than a third of its bytes: what is longer is not looked at.
        if text.len() > 3 * MAX {
            return Err(LineError::TooLong { bytes: text.len(), max: MAX });
        }
        Line::new(&characters::composed(text))
    }

    /// A text that was judged when it entered: only its length and control characters are looked at.
    ///
    /// # Errors
    /// When it is too long, or has a control character.
    pub fn stored(text: &str) -> Result<Line<MAX>, LineError> {
        Line::from_utf8(text.as_bytes())
    }

    #[expect(clippy::expect_used, reason = "MAX is below 256")]
    pub(crate) fn from_utf8(text: &[u8]) -> Result<Line<MAX>, LineError> {
        if text.len() > MAX {
            return Err(LineError::TooLong { bytes: text.len(), max: MAX });
        }
        // Printable ASCII, nearly every reference, needs no look at characters.
        if !is_printable_ascii(text) {
            let text = std::str::from_utf8(text).map_err(|_| LineError::NotUtf8)?;
            if let Some((at, _)) = text.char_indices().find(|(_, character)| character.is_control()) {
                return Err(LineError::ControlCharacter { at });
            }
        }
        let mut bytes = [0; MAX];
        bytes[..text.len()].copy_from_slice(text);
        Ok(Line { len: u8::try_from(text.len()).expect("MAX is below 256"), bytes })
    }

    #[expect(clippy::expect_used, reason = "the text was read as UTF-8 when the line was made")]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("checked when the line was made")
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn len_byte(&self) -> u8 {
        self.len
    }

    /// All `MAX` bytes, zeros behind the text.
    pub(crate) fn padded(&self) -> &[u8; MAX] {
        &self.bytes
    }
}

fn is_printable_ascii(text: &[u8]) -> bool {
    text.iter().all(|byte| (b' '..=b'~').contains(byte))
}

impl<const MAX: usize> fmt::Display for Line<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<const MAX: usize> fmt::Debug for Line<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_takes_exactly_its_bytes() {
        let full = "x".repeat(35);
        assert_eq!(Reference::new(&full).map(|line| line.as_str().to_owned()), Ok(full));
        assert_eq!(Reference::new(&"x".repeat(36)), Err(LineError::TooLong { bytes: 36, max: 35 }));
        assert_eq!(Reference::new(&"é".repeat(18)), Err(LineError::TooLong { bytes: 36, max: 35 }));
        assert_eq!(Reference::new("").map(|line| line.is_empty()), Ok(true));
        assert_eq!(Owner::new("Zoë Müller").map(|line| line.to_string()), Ok("Zoë Müller".to_owned()));
    }

    #[test]
    fn no_line_hides_a_second_one() {
        for (text, at) in [("a\nb", 1), ("\0", 0), ("ab\u{7f}", 2), ("é\u{85}", 2), ("\u{1b}[31m", 0)] {
            assert!(matches!(Reference::new(text), Err(LineError::Character(_))), "{text:?}");
            assert_eq!(Reference::stored(text), Err(LineError::ControlCharacter { at }), "{text:?}");
        }
        assert_eq!(Reference::from_utf8(&[0xff, 0xfe]), Err(LineError::NotUtf8));
    }

    #[test]
    fn what_looks_the_same_is_the_same_or_refused() {
        let composed = Reference::new("José").expect("composed");
        assert_eq!(Reference::enforce("Jose\u{301}"), Ok(composed));
        assert_eq!(Reference::new("Jose\u{301}"), Err(LineError::NotComposed));
        assert_eq!(Reference::enforce("a\u{a0}b").map(|line| line.to_string()), Ok("a b".to_owned()));
        for text in ["rent\u{200b}", "\u{202e}tner", "\u{3164}", "a\u{feff}"] {
            assert!(matches!(Reference::enforce(text), Err(LineError::Character(_))), "{text:?}");
        }
        for blank in [" ", "   ", "\u{a0}\u{3000}"] {
            assert_eq!(Reference::enforce(blank), Err(LineError::Blank), "{blank:?}");
        }
        // Its length counts as it is stored.
        assert!(Reference::enforce(&"e\u{301}".repeat(17)).is_ok());
        assert_eq!(Reference::enforce(&"e\u{301}".repeat(18)), Err(LineError::TooLong { bytes: 36, max: 35 }));
        assert!(matches!(Reference::enforce(&"é".repeat(100)), Err(LineError::TooLong { .. })));
    }

    #[test]
    fn what_stands_in_a_log_is_read_back_whatever_today_would_be_refused() {
        for text in ["rent\u{200b}", "\u{202e}tner", "Jose\u{301}", "\u{3164}", "  "] {
            assert_eq!(Reference::stored(text).map(|line| line.to_string()), Ok(text.to_owned()));
        }
    }
}
