//! A file of customers: each entry is read by itself, so that one that is wrong keeps no other from being made.

use std::borrow::Cow;
use std::fmt::Display;
use std::path::Path;

use serde_json::Value;
use serde_json::value::RawValue;

use super::user::NewUser;
use crate::failure::{Code, Failure};

/// Entries of one file, at most.
const ENTRIES_MAX: usize = 1_000_000;
/// How many that could not be made are named; the rest is only counted.
const NAMED_MAX: usize = 20;

/// What a file holds.
#[derive(Debug, Default)]
pub(crate) struct UserList {
    pub(crate) users: Vec<NewUser>,
    pub(crate) wrong: Wrong,
}

/// Entries that came to nothing, and why.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Wrong {
    count: usize,
    named: Vec<String>,
}

impl Wrong {
    pub(crate) fn note(&mut self, which: impl Display, why: impl Display) {
        self.count += 1;
        if self.named.len() < NAMED_MAX {
            self.named.push(format!("{which}: {why}"));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What to say of them in the end: nothing was done for these, everything for the others.
    pub(crate) fn failure(self, made: usize) -> Failure {
        let what = match made {
            0 => format!("none of the file's customers could be made: {}", self.count),
            _ => format!("{} of {} customers could not be made; the others are", self.count, self.count + made),
        };
        let more = self.count - self.named.len();
        let failure = self.named.into_iter().fold(Failure::new(what), Failure::line);
        let failure = if more > 0 { failure.line(format!("… and {more} more")) } else { failure };
        failure
            .line("correct these entries and import the file again: who is there already stays as they are")
            .with_code(Code::Failed)
    }
}

/// Reads a file of customers.
pub(crate) fn read_users(file: &Path) -> Result<UserList, Failure> {
    let unread = |error| Failure::unread("list of customers", file, &error).with_code(Code::Usage);
    let text = std::fs::read(file).map_err(unread)?;
    parse_users(&text).map_err(|why| {
        Failure::usage(format!("{} is no list of customers: {why}", file.display())).line(
            "it is [{\"username\": \"…\", \"password\" or \"password_hash\": \"…\", \"opening_balance\": \"100.00\"}, …]",
        )
    })
}

pub(crate) fn parse_users(bytes: &[u8]) -> Result<UserList, String> {
    let text = String::from_utf8_lossy(bytes);
    let is_replaced = matches!(text, Cow::Owned(_));
    let entries: Vec<&RawValue> = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    if entries.len() > ENTRIES_MAX {
        return Err(format!("it has {} entries; at most {ENTRIES_MAX} are taken from one file", entries.len()));
    }
    let mut list = UserList::default();
    // Where the entry begins; the entries come in the order of the text.
    let (mut line, mut at) = (1, 0);
    for (number, entry) in (1..).zip(entries) {
        let begins = entry.get().as_ptr().addr() - text.as_ptr().addr();
        line += newlines(&text[at..begins]);
        at = begins;
        // An entry whose bytes were replaced is left out: nobody could sign in with such a password.
        let replaced = is_replaced.then(|| entry.get().find(char::REPLACEMENT_CHARACTER)).flatten();
        let (name, user) = read_entry(entry);
        match (replaced, user) {
            (Some(place), _) => {
                let line = line + newlines(&entry.get()[..place]);
                list.wrong.note(format_args!("entry {number}{name}, line {line}"), "it is not UTF-8 there");
            }
            (None, Ok(user)) => list.users.push(user),
            (None, Err(why)) => list.wrong.note(format_args!("entry {number}{name}, line {line}"), why),
        }
    }
    Ok(list)
}

/// Whom an entry names, for a sentence, and what it says.
fn read_entry(entry: &RawValue) -> (String, Result<NewUser, String>) {
    // Read as a value first, so that an entry that is wrong can be named.
    let value: Value = match serde_json::from_str(entry.get()) {
        Ok(value) => value,
        Err(error) => return (String::new(), Err(without_place(&error.to_string()).to_owned())),
    };
    let name = value["username"].as_str().map(|name| format!(" ({name})")).unwrap_or_default();
    // A value keeps one of two fields with the same name, and nobody can tell which was meant: the text itself is read.
    let user = serde_json::from_str::<NewUser>(entry.get());
    (name, user.map_err(|error| without_values(without_place(&error.to_string())).to_owned()))
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

/// The place of an error within its entry would be taken for one in the file.
fn without_place(error: &str) -> &str {
    error.split(" at line ").next().unwrap_or(error)
}

/// An error that quotes what stands in the file could quote a password.
fn without_values(error: &str) -> &str {
    if error.starts_with("invalid ") { "a field has a value of the wrong type" } else { error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_customers_is_read_and_a_misspelt_field_is_named() {
        let list = parse_users(include_bytes!("../../demo/users.json")).expect("the demo's own");
        assert!(list.wrong.is_empty() && list.users.iter().any(|user| user.username == "alice"));
        assert!(parse_users(b"{}").is_err(), "no list at all");
    }

    #[test]
    fn one_wrong_entry_keeps_no_other_from_being_read() {
        let text = r#"[{"username":"ann","password":"x"}, null, {"username":"ben","pasword":"y"},
            {"username":"cyd","password":12345}, {"password":"z"}, 7, {"username":"dan","password":"x"}]"#;
        let list = parse_users(text.as_bytes()).expect("it is a list");
        let names: Vec<&str> = list.users.iter().map(|user| user.username.as_str()).collect();
        assert_eq!(names, ["ann", "dan"]);
        let told = list.wrong.failure(2).to_string();
        for part in [
            "5 of 7 customers",
            "entry 2, line 1: ",
            "entry 3 (ben), line 1: unknown field `pasword`",
            "entry 4 (cyd), line 2: ",
            "entry 5, line 2: missing field",
        ] {
            assert!(told.contains(part), "{part} in {told}");
        }
        assert!(!told.contains("12345"), "no password is told: {told}");
    }

    #[test]
    fn an_entry_that_says_a_field_twice_is_refused_and_named() {
        let text = r#"[{"username":"ann","username":"ben","password":"x"}, {"username":"cyd","password":"y","password":"z"},
            {"username":"dan","password":"x","colour":"red","colour":"blue"}, {"username":"eve","password":"x"}]"#;
        let list = parse_users(text.as_bytes()).expect("it is a list");
        let names: Vec<&str> = list.users.iter().map(|user| user.username.as_str()).collect();
        assert_eq!(names, ["eve"]);
        let told = list.wrong.failure(1).to_string();
        for part in [
            "entry 1 (ben), line 1: duplicate field `username`\n",
            "entry 2 (cyd), line 1: duplicate field `password`\n",
            "entry 3 (dan), line 2: unknown field `colour`",
        ] {
            assert!(told.contains(part), "{part} in {told}");
        }
    }

    #[test]
    fn one_byte_that_is_not_utf_8_keeps_only_its_own_customer_from_being_made() {
        let text = b"[\n{\"username\":\"ann\",\"password\":\"x\"},\n{\"username\":\"ben\",\n \"password\":\"s\xffcret\"},\n{\"username\":\"dan\xc3\",\"password\":\"y\"},\n{\"username\":\"eve\",\"password\":\"\xef\xbf\xbd\"}]";
        let list = parse_users(text).expect("it is a list");
        let names: Vec<&str> = list.users.iter().map(|user| user.username.as_str()).collect();
        assert_eq!(names, ["ann"], "of the last one nobody can tell what stood there");
        let told = list.wrong.failure(1).to_string();
        for part in ["entry 2 (ben), line 4: it is not UTF-8", "entry 3 (dan\u{fffd}), line 5: it is not UTF-8"] {
            assert!(told.contains(part), "{part} in {told}");
        }
        assert!(!told.contains("cret"), "no password is told: {told}");
        // In a file that is UTF-8 the same character is one like any other.
        let whole = "[{\"username\":\"eve\",\"password\":\"\u{fffd}\"}]";
        assert_eq!(parse_users(whole.as_bytes()).expect("it is a list").users.len(), 1);
    }

    #[test]
    fn an_entry_that_no_parser_takes_keeps_no_other_from_being_read() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        let text = format!(r#"[{{"username":"a\ud800","password":"x"}},{deep},{{"username":"dan","password":"y"}}]"#);
        let list = parse_users(text.as_bytes()).expect("it is a list");
        assert_eq!(list.users.len(), 1);
        let told = list.wrong.failure(1).to_string();
        assert!(told.contains("entry 1, line 1: ") && told.contains("entry 2, line 1: recursion limit"), "{told}");
        assert!(!told.contains("column"), "{told}");
    }

    #[test]
    fn the_first_are_named_and_the_rest_is_counted() {
        let mut wrong = Wrong::default();
        (0..1_000).for_each(|number| wrong.note(number, "no"));
        assert_eq!(
            Wrong { count: 2, named: Vec::new() }.failure(0).what(),
            "none of the file's customers could be made: 2"
        );
        let told = wrong.failure(1).to_string();
        assert!(
            told.contains("1000 of 1001") && told.contains("… and 980 more") && told.lines().count() < 30,
            "{told}"
        );
    }
}
