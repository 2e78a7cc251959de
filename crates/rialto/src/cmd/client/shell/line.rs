//! What is typed in the shell becomes an order.

use clearing::PaymentId;

use crate::cmd::client::payment::id;

/// What the shell is told to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    Nothing,
    Balance,
    Pay {
        payee: String,
        amount: String,
        reference: String,
    },
    History,
    Results,
    Payment(PaymentId),
    /// `None`: all of them.
    Retry(Option<PaymentId>),
    Drop(PaymentId),
    Login {
        bank: String,
        user: String,
    },
    Logout,
    /// Leave without signing out.
    Leave,
    Help,
}

/// First words, in the order of the menu.
pub(super) const WORDS: [&str; 12] =
    ["balance", "pay", "history", "results", "logout", "payment", "retry", "drop", "login", "leave", "help", "outbox"];

/// No `\` behind the quote: it would take the first line's indent with it.
pub(super) const MENU: &str = "  1  balance                       what you have
  2  pay PAYEE AMOUNT [FOR WHAT]   like: pay bob@beta 12.50 rent
  3  history                       what moved on your account
  4  results                       what you ordered here, and what became of it
  5  logout                        sign out and leave, as Ctrl-D does
     payment ID, retry [ID], drop ID, login BANK USER,
     leave (and stay signed in), help";

/// Understands a line, or says how it is written.
pub(crate) fn parse(line: &str) -> Result<Order, String> {
    let mut words = line.split_whitespace();
    let Some(first) = words.next() else { return Ok(Order::Nothing) };
    let rest: Vec<&str> = words.collect();
    let alone = |order: Order| match rest.as_slice() {
        [] => Ok(order),
        [more, ..] => Err(format!("{first} takes nothing more, and {more:?} follows it")),
    };
    match first {
        "balance" | "1" => alone(Order::Balance),
        "history" | "3" => alone(Order::History),
        "results" | "outbox" | "4" => alone(Order::Results),
        "logout" | "quit" | "exit" | "5" => alone(Order::Logout),
        "leave" => alone(Order::Leave),
        "help" | "menu" | "?" => alone(Order::Help),
        "pay" | "2" => match rest.as_slice() {
            [payee, amount, reference @ ..] => Ok(Order::Pay {
                payee: (*payee).to_owned(),
                amount: (*amount).to_owned(),
                reference: reference.join(" "),
            }),
            [] | [_] => Err("write it like: pay bob@beta 12.50 rent".to_owned()),
        },
        "payment" | "drop" => match rest.as_slice() {
            [text] if first == "drop" => id(text).map(Order::Drop),
            [text] => id(text).map(Order::Payment),
            [] | [_, _, ..] => Err(format!("write it like: {first} ID; `results` shows the ids")),
        },
        "retry" => match rest.as_slice() {
            [] => Ok(Order::Retry(None)),
            [text] => id(text).map(|id| Order::Retry(Some(id))),
            [_, _, ..] => Err("write it like: retry, or: retry ID".to_owned()),
        },
        "login" => match rest.as_slice() {
            [bank, user] => Ok(Order::Login { bank: (*bank).to_owned(), user: (*user).to_owned() }),
            // Not even from a history that nobody else sees.
            [] | [_] | [_, _, ..] => Err("write it like: login alpha alice; the password is asked for".to_owned()),
        },
        other => Err(format!("{other:?} is not known here; `help` shows what is")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_menus_numbers_are_its_commands() {
        for (number, word) in [("1", "balance"), ("3", "history"), ("4", "results"), ("5", "logout")] {
            assert_eq!(parse(number), parse(word));
            assert!(MENU.contains(&format!("{number}  {word}")), "{number}");
        }
        assert!(WORDS.iter().all(|word| !matches!(parse(word), Err(why) if why.contains("not known"))));
    }

    #[test]
    fn the_menus_lines_begin_below_each_other_and_fit_80_columns() {
        let numbers: Vec<&str> = MENU.lines().filter_map(|line| line.get(..5)).take(5).collect();
        assert_eq!(numbers, ["  1  ", "  2  ", "  3  ", "  4  ", "  5  "]);
        let texts = MENU.lines().take(5).filter_map(|line| Some(5 + line.get(5..)?.rfind("   ")? + 3));
        assert_eq!(texts.collect::<Vec<_>>(), [35; 5]);
        assert!(MENU.lines().all(|line| line.len() <= 80), "{MENU}");
    }

    #[test]
    fn what_follows_the_amount_is_the_reference() {
        let pay = |reference: &str| Order::Pay {
            payee: "bob@beta".to_owned(),
            amount: "12.50".to_owned(),
            reference: reference.to_owned(),
        };
        assert_eq!(parse(" pay bob@beta  12.50 "), Ok(pay("")));
        assert_eq!(parse("2 bob@beta 12.50 rent, March"), Ok(pay("rent, March")));
        assert_eq!(parse("  "), Ok(Order::Nothing));
        for bad in ["pay", "pay bob@beta", "balance now", "drop", "drop x", "retry a b", "login alpha", "transfer"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
