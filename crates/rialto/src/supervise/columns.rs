//! Lines and how wide they are on a terminal: escape sequences take no room, and what is too long is broken at spaces.

use unicode_width::UnicodeWidthChar;

use crate::plain::width as columns_of;

/// Cuts to `width` columns; escape sequences take no room and are never cut in two.
pub(super) fn cut(line: &str, width: usize) -> String {
    let mut out = String::new();
    let mut room = width;
    let mut in_escape = false;
    for c in line.chars() {
        if c == '\x1b' {
            in_escape = true;
        } else if !in_escape {
            let columns = c.width().unwrap_or(0);
            if columns > room {
                // What comes behind it would stand in its place.
                room = 0;
                continue;
            }
            room -= columns;
        }
        out.push(c);
        if in_escape && c.is_ascii_alphabetic() {
            in_escape = false;
        }
    }
    out
}

/// Breaks a line at spaces; what goes on below begins at that column, each line but the last ends with `ending`.
pub(crate) fn broken(line: &str, width: usize, (indent, ending): (usize, &str)) -> Vec<String> {
    if columns_of(line) <= width {
        return vec![line.to_owned()];
    }
    let room = width.saturating_sub(ending.len());
    let (mut lines, mut last, mut is_fresh) = (Vec::new(), String::new(), false);
    for (index, word) in line.split(' ').enumerate() {
        // What spaced two parts out on one line is not needed at the beginning of the next.
        if is_fresh {
            last.push_str(word);
            is_fresh = word.is_empty();
            continue;
        }
        let gap = if index == 0 { "" } else { " " };
        let fits = columns_of(&last) + gap.len() + columns_of(word) <= room;
        if fits || last.trim().is_empty() {
            last.push_str(gap);
            last.push_str(word);
        } else {
            lines.push(last.trim_end().to_owned() + ending);
            last = " ".repeat(indent) + word;
            is_fresh = word.is_empty();
        }
    }
    lines.push(last.trim_end().to_owned());
    lines.retain(|line| !line.is_empty());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_take_no_room_and_are_never_cut() {
        let line = "\x1b[1;32mleader\x1b[0m and more";
        assert_eq!(cut(line, 8), "\x1b[1;32mleader\x1b[0m a");
        assert_eq!(cut(line, 3), "\x1b[1;32mlea\x1b[0m");
        assert_eq!((cut("家賃 x", 4), cut("家賃 x", 3)), ("家賃".to_owned(), "家".to_owned()), "wide ones take two");
        assert_eq!((columns_of(line), columns_of("家賃 x")), ("leader and more".len(), 6));
    }

    #[test]
    fn a_long_line_is_broken_at_spaces_and_a_word_never() {
        assert_eq!(broken("short", 10, (2, "")), ["short"]);
        assert_eq!(broken("  one two three", 9, (4, "")), ["  one two", "    three"]);
        assert_eq!(broken("one two   three", 8, (2, "")), ["one two", "  three"]);
        assert_eq!(broken("  pay bob@beta 12.50", 17, (4, " \\")), ["  pay bob@beta \\", "    12.50"]);
        assert_eq!(
            broken("a-word-that-is-longer-than-the-line x", 10, (2, "")),
            ["a-word-that-is-longer-than-the-line", "  x"]
        );
    }
}
