//! Bytes that are not UTF-8, on their way through an editor that takes text only.
//!
//! Each such byte becomes a character of Unicode's last private plane, which stands for it alone. So a line keeps its end,
//! and whoever gets the line sees that it is no text and which byte is the reason.

/// The mark of byte 0; only bytes from 0x80 on are ever marked.
const FIRST: u32 = 0x10_fe00;
const ESCAPE: char = '\x1b';
/// As many characters as an escape sequence of a key has, at most.
const SEQUENCE_CHARACTERS_MAX: usize = 8;

/// Turns what comes in pieces into text with marks.
#[derive(Debug, Default)]
pub(super) struct Marker {
    /// The beginning of a character whose end has not come yet.
    begun: Vec<u8>,
    /// Characters since the last escape.
    since_escape: Option<usize>,
}

impl Marker {
    /// The text of these bytes, as far as its characters are whole.
    pub(super) fn text(&mut self, bytes: &[u8]) -> String {
        let mut rest = std::mem::take(&mut self.begun);
        rest.extend_from_slice(bytes);
        let mut text = String::with_capacity(rest.len());
        for chunk in rest.utf8_chunks() {
            chunk.valid().chars().for_each(|character| self.push(character, &mut text));
            let bad = chunk.invalid();
            // At the very end it may be the beginning of a character.
            let is_last = bad.as_ptr_range().end == rest.as_ptr_range().end;
            if is_last && matches!(std::str::from_utf8(bad), Err(error) if error.error_len().is_none()) {
                self.begun = bad.to_vec();
            } else {
                bad.iter().for_each(|byte| self.mark(*byte, &mut text));
            }
        }
        text
    }

    fn push(&mut self, character: char, text: &mut String) {
        if byte_of(character).is_some() {
            // Typed as it is, a mark is refused as well: by its bytes.
            let mut bytes = [0; 4];
            character.encode_utf8(&mut bytes).bytes().for_each(|byte| self.mark(byte, text));
            return;
        }
        self.since_escape = match (character, self.since_escape) {
            (ESCAPE, _) => Some(0),
            (_, Some(since)) if since < SEQUENCE_CHARACTERS_MAX => Some(since + 1),
            (_, Some(_) | None) => None,
        };
        text.push(character);
    }

    fn mark(&mut self, byte: u8, text: &mut String) {
        let mark = char::from_u32(FIRST + u32::from(byte)).expect("the last plane is one of characters");
        text.push(mark);
        // The editor takes one character for the end of a key that nobody knows; the line must show another.
        if self.since_escape.take().is_some() {
            text.push(mark);
        }
    }
}

/// The byte that a mark stands for.
pub(super) fn byte_of(character: char) -> Option<u8> {
    u8::try_from(u32::from(character).checked_sub(FIRST)?).ok().filter(|byte| !byte.is_ascii())
}

/// A line that is text, or why it is refused.
pub(super) fn checked(line: String) -> Result<String, String> {
    let bad = line.char_indices().find_map(|(at, character)| Some((at, byte_of(character)?)));
    match bad {
        None => Ok(line),
        Some((at, byte)) => Err(refusal(&line[..at], byte)),
    }
}

/// A line of a file, or why it is refused.
pub(super) fn text_of(line: Vec<u8>) -> Result<String, String> {
    String::from_utf8(line).map_err(|error| {
        let (before, after) = error.as_bytes().split_at(error.utf8_error().valid_up_to());
        refusal(&String::from_utf8_lossy(before), after.first().copied().unwrap_or_default())
    })
}

fn refusal(before: &str, byte: u8) -> String {
    let place = if before.is_empty() { "at its beginning".to_owned() } else { format!("behind {before:?}") };
    format!("refused: byte {byte:#04x}, {place}, is not UTF-8; nothing of this line was done")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_that_is_no_text_is_refused_and_every_other_is_as_it_was() {
        let lines: [(&[u8], Option<u8>); 8] = [
            (b"pay bob@beta 1", None),
            ("caf\u{e9} \u{5bb6} \u{1f389}".as_bytes(), None),
            (b"pay bob@beta 0.1\xa0", Some(0xa0)),
            (b"caf\xe9 x", Some(0xe9)),
            (b"\xff", Some(0xff)),
            (b"a\xf0\x9f\x8e", Some(0xf0)),
            (b"\x1b\xe9", Some(0xe9)),
            ("\u{10fee9}".as_bytes(), Some(0xf4)),
        ];
        for (line, bad) in lines {
            // However it is cut.
            for cut in 0..=line.len() {
                let mut marker = Marker::default();
                let mut text = marker.text(&line[..cut]);
                text += &marker.text(&line[cut..]);
                text += &marker.text(b"\r");
                let whole = text.strip_suffix('\r').expect("an Enter is an Enter").to_owned();
                match bad {
                    None => assert_eq!(checked(whole).map(String::into_bytes), Ok(line.to_vec())),
                    Some(byte) => {
                        let why = checked(whole).expect_err("it is no text");
                        assert!(why.contains(&format!("byte {byte:#04x}")), "{line:?}: {why}");
                    }
                }
            }
        }
        assert_eq!(text_of(b"rent".to_vec()), Ok("rent".to_owned()));
        let why = "refused: byte 0xe9, behind \"caf\", is not UTF-8; nothing of this line was done".to_owned();
        assert_eq!(text_of(b"caf\xe9 x".to_vec()), Err(why));
    }

    #[test]
    fn the_end_of_an_unknown_key_hides_no_byte() {
        let mut marker = Marker::default();
        let text = marker.text(b"a\x1b\xe9\r");
        assert_eq!(text.chars().filter(|character| byte_of(*character).is_some()).count(), 2);
    }
}
