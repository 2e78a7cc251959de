//! One event as one line.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};
use tracing::Level;
use tracing::field::{Field, Visit};

use crate::plain::cell;

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Json,
}

/// What an event carries, in the order in which it was given.
#[derive(Debug, Default)]
pub(super) struct Fields {
    event: String,
    rest: Vec<(&'static str, Value)>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message" | "event", Value::String(text)) if self.event.is_empty() => self.event = text,
            (name, value) => self.rest.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.put(field, Value::String(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Value::String(value.to_owned()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Value::Bool(value));
    }
}

impl Format {
    /// Ends with a newline and holds no other.
    pub(super) fn line(self, now: SystemTime, level: Level, node: &str, target: &str, fields: &Fields) -> String {
        let event = if fields.event.is_empty() { target } else { &fields.event };
        match self {
            Format::Text => {
                let mut line = format!("{} {level:<5} {node} {}", rfc3339(now), plain(event));
                for (name, value) in &fields.rest {
                    let _ = write!(line, " {name}={}", plain_value(value));
                }
                line.push('\n');
                line
            }
            Format::Json => {
                let mut object = Map::new();
                object.insert("time".to_owned(), rfc3339(now).into());
                object.insert("level".to_owned(), level.as_str().into());
                object.insert("node".to_owned(), node.into());
                object.insert("event".to_owned(), event.into());
                for (name, value) in &fields.rest {
                    object.insert((*name).to_owned(), value.clone());
                }
                format!("{}\n", cell(&Value::Object(object).to_string()))
            }
        }
    }
}

fn plain_value(value: &Value) -> String {
    match value {
        Value::String(text) => plain(text),
        other => other.to_string(),
    }
}

/// As it is if it is one plain word, else as a JSON string.
fn plain(text: &str) -> String {
    let word = |c: char| !c.is_whitespace() && !c.is_control() && c != '"' && c != '=' && c != '\\';
    let told = if !text.is_empty() && text.chars().all(word) { text.to_owned() } else { Value::from(text).to_string() };
    // A log is read on a terminal.
    cell(&told).into_owned()
}

/// `2026-11-20T12:04:31.042Z`
pub(crate) fn rfc3339(now: SystemTime) -> String {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (year, month, day) = civil(since.as_secs() / 86_400);
    let second = since.as_secs() % 86_400;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        since.subsec_millis()
    )
}

/// Year, month and day of a day counted from 1970-01-01: Howard Hinnant's `civil_from_days`, for days that are not
/// negative.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn fields(event: &str, rest: &[(&'static str, Value)]) -> Fields {
        Fields { event: event.to_owned(), rest: rest.to_vec() }
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(seconds * 1000 + 42)
    }

    #[test]
    fn a_line_is_time_level_node_event_and_pairs() {
        let fields = fields("leads", &[("ballot", "3.1".into()), ("slots", 12.into())]);
        assert_eq!(
            Format::Text.line(at(1_795_176_271), Level::INFO, "alpha/1", "server", &fields),
            "2026-11-20T12:04:31.042Z INFO  alpha/1 leads ballot=3.1 slots=12\n"
        );
    }

    #[test]
    fn nothing_from_outside_can_forge_a_line() {
        let fields = fields("refused", &[("reference", "rent\n2026 ERROR x=\"1\"".into())]);
        for format in [Format::Text, Format::Json] {
            let line = format.line(at(0), Level::WARN, "alpha/1", "server", &fields);
            assert_eq!(line.matches('\n').count(), 1, "{line}");
        }
        let text = Format::Text.line(at(0), Level::WARN, "alpha/1", "server", &fields);
        assert!(text.ends_with("refused reference=\"rent\\n2026 ERROR x=\\\"1\\\"\"\n"), "{text}");
    }

    #[test]
    fn json_has_the_same_keys_and_keeps_numbers() {
        let fields = fields("leads", &[("slots", 12.into())]);
        let line = Format::Json.line(at(0), Level::INFO, "alpha/1", "server", &fields);
        let value: Value = serde_json::from_str(&line).expect("a line is an object");
        assert_eq!(value["event"], "leads");
        assert_eq!(value["slots"], 12);
        assert_eq!(value["node"], "alpha/1");
    }

    #[test]
    fn days_are_right_across_leap_years() {
        let day = |text: &str, days: u64| assert_eq!(&rfc3339(at(days * 86_400))[..10], text);
        day("1970-01-01", 0);
        day("2000-02-29", 11_016);
        day("2024-02-29", 19_782);
        day("2024-03-01", 19_783);
        day("2100-03-01", 47_541);
    }
}
