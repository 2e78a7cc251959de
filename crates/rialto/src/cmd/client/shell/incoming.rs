//! Money that comes in while the shell is open: the account's history, looked at every moment.

use std::time::Duration;

use api::client::gateway::{GatewayClient, GatewayError, HistoryEntry, HistoryPage};
use clearing::NamedParty;
use ledger::{TransferId, money};
use tokio::sync::{mpsc, watch};
use wallet::Profile;

/// How often the history is looked at while the gateway answers; after a failure twice as long each time.
const LOOK: Duration = Duration::from_secs(2);
const LOOK_MAX: Duration = Duration::from_secs(30);
/// Entries of one look. Of more that came at once the newest are told.
const ENTRIES: u32 = 50;

/// Looks for whoever is signed in, as long as somebody listens.
pub(super) async fn watch(
    profile: Profile,
    gateway: GatewayClient,
    mut whose: watch::Receiver<Option<NamedParty>>,
    tell: mpsc::Sender<String>,
) {
    let mut newest: Option<(NamedParty, Option<TransferId>)> = None;
    let mut pause = LOOK;
    while !tell.is_closed() {
        let customer = *whose.borrow_and_update();
        match look(&profile, &gateway, customer).await {
            Ok(Some((customer, page))) => {
                pause = LOOK;
                let known = newest.take().filter(|(known, _)| *known == customer).map(|(_, newest)| newest);
                for text in known.map_or_else(Vec::new, |known| came_since(&page, known)) {
                    if tell.send(text).await.is_err() {
                        return;
                    }
                }
                newest = Some((customer, page.entries.first().map(|entry| entry.id)));
            }
            Ok(None) => pause = LOOK,
            Err(_) => pause = (pause * 2).min(LOOK_MAX),
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            changed = whose.changed() => if changed.is_err() { return },
        }
    }
}

/// The newest entries of whoever is signed in.
async fn look(
    profile: &Profile,
    gateway: &GatewayClient,
    customer: Option<NamedParty>,
) -> Result<Option<(NamedParty, HistoryPage)>, GatewayError> {
    let sign_in = customer.and_then(|customer| profile.sign_in(&customer).ok().flatten());
    let network = profile.network().ok().flatten();
    let (Some(sign_in), Some(network)) = (sign_in, network) else { return Ok(None) };
    let page = gateway.pinned_to(network.id).customer(&sign_in.token)?.history("", ENTRIES).await?;
    Ok(Some((sign_in.customer, page)))
}

/// What came in after that entry, the oldest first.
fn came_since(page: &HistoryPage, known: Option<TransferId>) -> Vec<String> {
    let newer = page.entries.iter().take_while(|entry| Some(entry.id) != known);
    let mut came: Vec<String> =
        newer.filter(|entry| entry.change > 0).map(|entry| sentence(entry, page.currency)).collect();
    came.reverse();
    came
}

fn sentence(entry: &HistoryEntry, currency: ledger::Currency) -> String {
    let amount = money::format_signed(entry.change, currency);
    let from = if entry.counterparty.is_empty() { String::new() } else { format!(" from {}", entry.counterparty) };
    let what = if entry.reference.is_empty() { String::new() } else { format!(", for {:?}", entry.reference) };
    format!("received {amount} {}{from}{what} (payment {})", currency.code(), entry.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::Currency;

    #[test]
    fn what_came_since_is_told_once_and_what_left_is_not() {
        let id = |number: u128| TransferId::new(number).expect("not nil");
        let entry = |number, change| HistoryEntry {
            id: id(number),
            change,
            balance: 0,
            time_ms: 1,
            reference: "rent".to_owned(),
            counterparty: "bob@beta".to_owned(),
        };
        let entries = vec![entry(4, 5_00), entry(3, -1), entry(2, 7), entry(1, 9)];
        let page = HistoryPage { entries, currency: Currency::EUR, next_cursor: String::new() };
        let came = came_since(&page, Some(id(1)));
        assert_eq!(came.len(), 2);
        assert!(came[0].starts_with("received 0.07 EUR from bob@beta, for \"rent\" (payment "), "{came:?}");
        assert!(came[1].starts_with("received 5.00 EUR from bob@beta"), "{came:?}");
        assert_eq!(came_since(&page, Some(id(4))), Vec::<String>::new());
        assert_eq!(came_since(&page, None).len(), 3, "the account was empty before");
    }
}
