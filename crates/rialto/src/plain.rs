//! Text of others on a terminal: names, references, what servers, Consul and files say.
//!
//! A terminal obeys control characters, and people are misled by characters that nobody sees. So whatever is printed passes
//! through [`printable`], which writes such characters out as JSON does (`\u001b`): in JSON that means the same text, and
//! for people it is visible. What is ours, line ends, tabs and what [`coloured`] has made, stays. Within one line and within a
//! table [`cell`] writes out line ends as well. Columns count what a terminal shows (Unicode's East Asian width).
//!
//! Others may write the sequence of a colour, too, and a sentence in our green would be taken for ours. So our colours carry a
//! mark until they are printed: a number that this process has drawn at its start and that nobody else knows.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::LazyLock;

use unicode_width::UnicodeWidthChar;

/// How our own escape sequences begin until they are printed.
static OWN: LazyLock<String> = LazyLock::new(|| {
    let drawn = api::new_id();
    format!("\x1b[{drawn};")
});

/// A text in a colour, by its number for a terminal (ECMA-48, "select graphic rendition").
pub(crate) fn coloured(code: &str, text: &str) -> String {
    format!("{own}{code}m{text}{own}0m", own = *OWN)
}

/// A text as it may be printed: nothing in it moves the cursor, changes the terminal, or hides.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, Lines::Stay)
}

/// The same as part of one line.
pub(crate) fn cell(text: &str) -> Cow<'_, str> {
    escaped(text, Lines::AreWrittenOut)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lines {
    Stay,
    AreWrittenOut,
}

fn escaped(text: &str, lines: Lines) -> Cow<'_, str> {
    let is_bad = |character: char| match character {
        '\n' | '\t' => lines == Lines::AreWrittenOut,
        character => ledger::characters::hides(character),
    };
    if !text.contains(is_bad) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        if let Some(colour) = rest.strip_prefix(OWN.as_str()).filter(|_| lines == Lines::Stay) {
            out.push_str("\x1b[");
            rest = colour;
            continue;
        }
        if is_bad(character) {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(character);
        }
        rest = &rest[character.len_utf8()..];
    }
    Cow::Owned(out)
}

/// `1 284`: digits in groups of three.
pub(crate) fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// `1 payment`, `1 284 payments`: how many of something there are. The word may be more than one, such as "payment is".
pub(crate) fn counted(number: u64, one: &str, more: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { more })
}

/// The same of what is in memory.
pub(crate) fn counted_of(number: usize, one: &str, more: &str) -> String {
    counted(u64::try_from(number).unwrap_or(u64::MAX), one, more)
}

/// A word as a shell takes it.
pub(crate) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+,:@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Columns that a text takes on a terminal. Our own colours take none.
pub(crate) fn width(text: &str) -> usize {
    let mut columns = 0;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character == '\x1b' {
            characters.by_ref().find(char::is_ascii_alphabetic);
        } else {
            columns += character.width().unwrap_or(0);
        }
    }
    columns
}

/// Filled up with spaces at the right.
pub(crate) fn left(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

/// Filled up with spaces at the left.
pub(crate) fn right(text: &str, columns: usize) -> String {
    format!("{}{text}", " ".repeat(columns.saturating_sub(width(text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_others_moves_the_cursor_or_hides() {
        assert_eq!(printable("rent, März 家賃 🎉"), "rent, März 家賃 🎉");
        for (text, shown) in [
            ("\x1b[2J", "\\u001b[2J"),
            ("\x1b]0;title\x07", "\\u001b]0;title\\u0007"),
            ("a\rb", "a\\u000db"),
            ("a\u{9b}31m", "a\\u009b31m"),
            ("bob\u{200b}", "bob\\u200b"),
            ("\u{202e}00.1", "\\u202e00.1"),
            ("a\u{e0041}", "a\\udb40\\udc41"),
            ("\x1b[8mhidden\x1b[0m", "\\u001b[8mhidden\\u001b[0m"),
            ("\x1b[1;32mall is well\x1b[0m", "\\u001b[1;32mall is well\\u001b[0m"),
        ] {
            assert_eq!(printable(text), shown, "{text:?}");
        }
        assert_eq!(printable("two\nlines"), "two\nlines");
        assert_eq!(cell("two\nlines \x1b[32mgreen\x1b[0m"), "two\\u000alines \\u001b[32mgreen\\u001b[0m");
    }

    #[test]
    fn only_what_this_program_has_coloured_is_coloured() {
        let said = coloured("1;32", "in order \x1b[31mred");
        assert_eq!(printable(&said), "\x1b[1;32min order \\u001b[31mred\x1b[0m");
        assert_eq!(width(&coloured("32", "green")), 5);
        // What was printed once has no mark any more.
        assert_eq!(printable(&printable(&coloured("32", "go"))), "\\u001b[32mgo\\u001b[0m");
    }

    #[test]
    fn what_is_written_out_in_json_means_the_same() {
        let text = "{\"reference\":\"a\u{202e}b\u{e0041}\u{7f}\"}";
        let (before, after): (serde_json::Value, serde_json::Value) =
            (serde_json::from_str(text).expect("JSON"), serde_json::from_str(&printable(text)).expect("JSON still"));
        assert_eq!(before, after);
    }

    #[test]
    fn a_word_can_be_pasted_into_a_shell() {
        assert_eq!(quoted("./target/release/rialto"), "./target/release/rialto");
        assert_eq!((quoted("/tmp/it's here"), quoted("")), (r"'/tmp/it'\''s here'".to_owned(), "''".to_owned()));
    }

    #[test]
    fn one_is_not_several_and_large_figures_are_grouped() {
        let payments = |number| counted(number, "payment", "payments");
        assert_eq!([0, 1, 2].map(payments), ["0 payments", "1 payment", "2 payments"]);
        assert_eq!(payments(1_284), "1 284 payments");
        assert_eq!([7, 1284, 1_000_000].map(grouped), ["7", "1 284", "1 000 000"]);
    }

    #[test]
    fn columns_are_those_of_a_terminal() {
        for (text, columns) in [("abc", 3), ("家賃", 4), ("e\u{301}", 1), ("🎉", 2), ("\x1b[1;32mgo\x1b[0m", 2)] {
            assert_eq!(width(text), columns, "{text:?}");
            assert_eq!((width(&left(text, 6)), width(&right(text, 6))), (6, 6), "{text:?}");
        }
        assert_eq!(right("家", 4), "  家");
        assert_eq!(left("toolong", 3), "toolong");
    }
}
