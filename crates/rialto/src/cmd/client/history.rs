//! `rialto history`: what moved on the customer's account, newest first.

use api::client::gateway::{HistoryEntry, HistoryPage};
use api::json::rfc3339;
use clap::Args;
use ledger::{Currency, money};
use serde::Serialize;

use super::{ClientArgs, Desk, GATEWAY, of_gateway, print_json};
use crate::failure::{Code, Failure};
use crate::out;
use crate::plain;
use crate::supervise::columns::broken;
use crate::waiting::waiting_for;

const EXAMPLES: &str = "\
Examples:
  rialto history
  rialto history --limit 20
  rialto history --json --cursor CURSOR     the next page: next_cursor of the page before

Exit codes: 0 shown; 1 refused; 2 no cursor; 8 the gateway cannot be reached; 9 nobody is signed in; all: rialto help exit-codes";

/// Show what moved on your account
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct HistoryArgs {
    /// How many entries, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Where the page before ended
    #[arg(long, value_name = "CURSOR", default_value = "", hide_default_value = true)]
    cursor: String,
    #[command(flatten)]
    client: ClientArgs,
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Page {
    entries: Vec<Line>,
    currency: &'static str,
    next_cursor: String,
}

#[derive(Serialize)]
struct Line {
    id: String,
    time: String,
    change: String,
    balance: String,
    counterparty: String,
    reference: String,
}

pub(crate) async fn run(args: HistoryArgs) -> Result<Code, Failure> {
    let waiting = waiting_for(GATEWAY);
    let page = look(&args.client.open()?, &args.cursor, args.limit).await?;
    drop(waiting);
    if args.json {
        print_json(&page);
    } else {
        println!("{}", table(&page, out::columns()));
    }
    Ok(Code::Done)
}

/// The newest entries as a table, for the shell too.
pub(super) async fn text(desk: &Desk) -> Result<String, Failure> {
    Ok(table(&look(desk, "", 20).await?, out::columns()))
}

async fn look(desk: &Desk, cursor: &str, limit: u32) -> Result<Page, Failure> {
    let (_, customer) = desk.customer()?;
    let HistoryPage { entries, currency, next_cursor } = customer.history(cursor, limit).await.map_err(of_gateway)?;
    let entries = entries.into_iter().map(|entry| line(entry, currency)).collect();
    Ok(Page { entries, currency: currency.code(), next_cursor })
}

fn line(entry: HistoryEntry, currency: Currency) -> Line {
    let sign = if entry.change > 0 { "+" } else { "" };
    Line {
        id: entry.id.to_string(),
        time: rfc3339(entry.time_ms),
        change: format!("{sign}{}", money::format_signed(entry.change, currency)),
        balance: money::format_signed(entry.balance, currency),
        counterparty: entry.counterparty,
        reference: entry.reference,
    }
}

fn table(page: &Page, columns: usize) -> String {
    if page.entries.is_empty() {
        return "nothing has moved yet".to_owned();
    }
    let head = ["time (UTC)", "change", "balance", "with"].map(str::to_owned);
    let row = |line: &Line| {
        let time = line.time.get(..19).unwrap_or(&line.time).to_owned();
        [time, line.change.clone(), line.balance.clone(), plain::cell(&line.counterparty).into_owned()]
    };
    let rows: Vec<[String; 4]> = std::iter::once(head).chain(page.entries.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| plain::width(&row[column])).max().unwrap_or(0);
    let (time, change, balance) = (width(0), width(1), width(2));
    let mut rows = rows.iter().map(|[at, by, then, with]| {
        format!("{}  {}  {}  {with}", plain::left(at, time), plain::right(by, change), plain::right(then, balance))
    });
    let mut lines: Vec<String> = rows.next().into_iter().collect();
    // The id and what it was for have no room beside the figures.
    for (row, line) in rows.zip(&page.entries) {
        let what = format!("    {}  {}", line.id, plain::cell(&line.reference));
        lines.extend(broken(&row, columns, (4, "")));
        lines.extend(broken(what.trim_end(), columns, (4, "")));
    }
    let mut text = lines.join("\n");
    if !page.next_cursor.is_empty() {
        text += &format!("\nthere is more: --cursor {}", page.next_cursor);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use ledger::TransferId;

    #[test]
    fn amounts_are_aligned_and_money_that_came_has_a_plus() {
        let entry = |change, balance, counterparty: &str, reference: &str| HistoryEntry {
            id: TransferId::new(7).expect("not nil"),
            change,
            balance,
            time_ms: 1_795_217_070_042,
            reference: reference.to_owned(),
            counterparty: counterparty.to_owned(),
        };
        let page = |entries: &[HistoryEntry]| {
            let entries = entries.iter().map(|entry| line(entry.clone(), Currency::EUR)).collect();
            Page { entries, currency: "EUR", next_cursor: String::new() }
        };
        let entries = [entry(-12_50, 87_50, "bob@beta", "rent"), entry(10_000, 10_000, "cash", "")];
        expect![[r#"
            time (UTC)            change  balance  with
            2026-11-20T23:24:30   -12.50    87.50  bob@beta
                00000000-0000-0000-0000-000000000007  rent
            2026-11-20T23:24:30  +100.00   100.00  cash
                00000000-0000-0000-0000-000000000007"#]]
        .assert_eq(&table(&page(&entries), 80));
        // The longest names and references, of characters that take two columns.
        let wide = |number: usize| "\u{5bb6}".repeat(number);
        let wide = [entry(-1_234_567_89, 9_876_543_21, &format!("{}@{}", wide(16), "b".repeat(32)), &wide(11))];
        let shown = table(&page(&wide), 80);
        assert!(shown.lines().all(|line| plain::width(line) <= 80), "{shown}");
        assert!(shown.contains(&"b".repeat(32)) && shown.contains(&wide[0].reference), "{shown}");
    }
}
