//! Lengths of time as people read them.

/// A length of time in its two largest units: "850 ms", "40 s", "23 h 59 min".
pub fn span(ms: u64) -> String {
    let (seconds, minutes, hours) = (ms / 1_000, ms / 60_000, ms / 3_600_000);
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..120_000 => format!("{seconds} s"),
        120_000..7_200_000 => format!("{minutes} min {} s", seconds % 60),
        7_200_000..172_800_000 => format!("{hours} h {} min", minutes % 60),
        172_800_000.. => format!("{} d {} h", hours / 24, hours % 24),
    }
}

/// By how much a clock is off: "40 s behind", "2 h 0 min ahead".
pub fn offset(ms: i64) -> String {
    let direction = if ms < 0 { "behind" } else { "ahead" };
    format!("{} {direction}", span(ms.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_largest_units_are_shown() {
        let rows = [
            (0, "0 ms"),
            (999, "999 ms"),
            (40_900, "40 s"),
            (119_999, "119 s"),
            (120_000, "2 min 0 s"),
            (7_199_999, "119 min 59 s"),
            (86_399_000, "23 h 59 min"),
            (172_800_000, "2 d 0 h"),
            (u64::MAX, "213503982334 d 14 h"),
        ];
        for (ms, text) in rows {
            assert_eq!(span(ms), text);
        }
        assert_eq!((offset(-40_000), offset(7_200_000)), ("40 s behind".to_owned(), "2 h 0 min ahead".to_owned()));
        assert_eq!(offset(i64::MIN), "106751991167 d 7 h behind");
    }
}
