//! Payments within one bank: what the gateway decided, held against that bank's own record, both ways.
//!
//! ```text
//!   gateway: decided, newest first ──page of ids──► bank: what was booked under them      paid = booked alike, refused = not booked alike
//!   bank: booked in the gateway's name ──page of ids──► gateway: what it knows of them    each is known, and not refused
//! ```
//!
//! An id that the gateway refused may stand for something else at the bank. Where that was booked in the gateway's name, a gateway
//! that was restored has forgotten what it ordered, and says so; one that never was has not ordered it.
//!
//! What is decided stays decided, and a bank books nothing that the gateway has not taken before: so this needs no quiet moment,
//! and keeps one page at a time, however many payments there are.

use std::collections::BTreeMap;

use api::client::gateway::{AuditedPayment, AuditedStanding};
use clearing::{Holder, NamedParty, PaymentId, Terms};
use hyper::Method;
use ledger::{AccountId, TransferId, money};
use server::audit::{AuditedTransfer, AuditedTransfers};

use super::Verdict;
use super::between_banks::{Parties, ask_with};
use super::pages::Pages;
use crate::http::Client;
use crate::plain::{counted, counted_of, grouped};
use crate::waiting::waiting_for;

const PATH: &str = "/v1/audit/transfers";
/// Differences that are told one by one, of each bank.
const TOLD_MAX: usize = 20;

/// Adds what it finds to the verdict.
pub(super) async fn audit(parties: &Parties, verdict: &mut Verdict) {
    let banks = match parties.ask_gateway(parties.gateway().banks()).await {
        Ok(banks) => banks,
        Err(error) => return verdict.findings.push(format!("within banks: {error}")),
    };
    for bank in banks {
        let name = bank.name;
        if !parties.has(&name) {
            let why = "is not among those that are audited, so payments within it were not compared";
            verdict.unproved.push(format!("within bank {name}: it {why}"));
        } else if bank.standing != "live" {
            let why = "is being restored, so payments within it were not compared; audit again when it serves";
            verdict.unproved.push(format!("within bank {name}: it {why}"));
        } else {
            match compare(parties, &name).await {
                Ok(found) => found.tell(&name, verdict),
                Err(why) => verdict.findings.push(format!("within bank {name}: {why}")),
            }
        }
    }
}

/// What was found in one bank.
#[derive(Debug, Default)]
struct Found {
    paid: u64,
    refused: u64,
    /// Sentences about what differs, the first ones.
    differing: Vec<String>,
    differing_count: usize,
    /// Booked in the gateway's name, and not known to a gateway that was restored from a backup.
    forgotten: u64,
    /// The same, where the gateway has meanwhile refused something else under the id: a sentence each, the first ones.
    reused: Vec<String>,
    reused_count: usize,
}

/// What is wrong with a bank's record of a payment.
#[derive(Debug, PartialEq, Eq)]
enum Difference {
    /// The books and the gateway's word contradict each other.
    Contradiction(String),
    /// A restored gateway refused something under an id that stands for something else here, which it has forgotten.
    Forgotten(String),
}

impl Found {
    fn differs(&mut self, sentence: String) {
        self.differing_count = self.differing_count.saturating_add(1);
        if self.differing.len() < TOLD_MAX {
            self.differing.push(sentence);
        }
    }

    fn notes(&mut self, difference: Difference) {
        match difference {
            Difference::Contradiction(sentence) if !self.differing.contains(&sentence) => self.differs(sentence),
            Difference::Forgotten(sentence) if !self.reused.contains(&sentence) => {
                self.reused_count = self.reused_count.saturating_add(1);
                if self.reused.len() < TOLD_MAX {
                    self.reused.push(sentence);
                }
            }
            Difference::Contradiction(_) | Difference::Forgotten(_) => {}
        }
    }

    fn tell(self, bank: &str, verdict: &mut Verdict) {
        let more = self.differing_count.saturating_sub(self.differing.len());
        if self.differing.is_empty() {
            verdict.compared.push(format!(
                "within bank {bank}: {}, each booked once for its amount; {} refused, none of them booked",
                counted(self.paid, "payment", "payments"),
                grouped(self.refused)
            ));
        }
        if self.forgotten > 0 {
            verdict.unproved.push(format!(
                "within bank {bank}: {} booked that the gateway does not know any more, for it was restored from a backup; each \
                 is found again when its payer repeats it",
                counted(self.forgotten, "payment is", "payments are")
            ));
        }
        let unlisted = self.reused_count.saturating_sub(self.reused.len());
        verdict.unproved.extend(self.reused.into_iter().map(|what| format!("within bank {bank}: {what}")));
        if unlisted > 0 {
            verdict.unproved.push(format!("within bank {bank}: and {unlisted} more ids that stand for something else"));
        }
        let told = self.differing.into_iter().map(|what| format!("within bank {bank}: {what}; keep all directories"));
        verdict.findings.extend(told);
        if more > 0 {
            verdict.findings.push(format!(
                "within bank {bank}: and {}",
                counted_of(more, "more payment differs", "more payments differ")
            ));
        }
    }
}

async fn compare(parties: &Parties, bank: &str) -> Result<Found, String> {
    let _waiting = waiting_for(format!("bank {bank} and the gateway to tell every payment within the bank"));
    let (mut found, mut client) = (Found::default(), parties.client(bank)?);
    decided_is_booked(parties, bank, &mut client, &mut found).await?;
    booked_is_known(parties, bank, &mut client, &mut found).await?;
    Ok(found)
}

/// Every payment that the gateway decided is in the bank's books as it was decided.
async fn decided_is_booked(
    parties: &Parties,
    bank: &str,
    client: &mut Client,
    found: &mut Found,
) -> Result<(), String> {
    let mut cursor = None;
    loop {
        let page = parties.ask_gateway(parties.gateway().decided_within(bank, cursor)).await?;
        if !page.payments.is_empty() {
            let ids = page.payments.iter().map(|payment| payment.id.to_string()).collect();
            let booked = look_up(client, bank, ids).await?;
            for payment in &page.payments {
                match payment.standing {
                    AuditedStanding::Paid => found.paid = found.paid.saturating_add(1),
                    AuditedStanding::Refused => found.refused = found.refused.saturating_add(1),
                    AuditedStanding::Undecided => {}
                }
                let is_restored = page.gateway_epoch > 1;
                if let Some(difference) = differs(payment, booked.get(&payment.id), is_restored) {
                    found.notes(difference);
                }
            }
        }
        match page.next_cursor {
            Some(next) => cursor = Some(next),
            None => return Ok(()),
        }
    }
}

/// Everything that the bank booked in the gateway's name was ordered by it, and is not refused.
async fn booked_is_known(parties: &Parties, bank: &str, client: &mut Client, found: &mut Found) -> Result<(), String> {
    let (mut pages, mut at) = (Pages::begin(), String::new());
    loop {
        let page = read(client, (Method::GET, None), &format!("{PATH}{at}"), bank).await?;
        let booked = by_id(page.transfers, bank)?;
        if !booked.is_empty() {
            let ids: Vec<PaymentId> = booked.keys().copied().collect();
            let known = parties.ask_gateway(parties.gateway().known(&ids)).await?;
            let is_restored = known.gateway_epoch > 1;
            let known: BTreeMap<PaymentId, AuditedPayment> =
                known.payments.into_iter().map(|payment| (payment.id, payment)).collect();
            for (id, transfer) in &booked {
                match known.get(id) {
                    None if is_restored => found.forgotten = found.forgotten.saturating_add(1),
                    None => found.differs(format!(
                        "{} is booked in the gateway's name as {id}, and the gateway knows no such payment",
                        shown(transfer)
                    )),
                    Some(payment) => found.differing_by_bank(bank, payment, transfer, is_restored),
                }
            }
        }
        match page.next_cursor {
            Some(next) => at = format!("?cursor={}", pages.turn_to(&next, bank)?),
            None => return Ok(()),
        }
    }
}

impl Found {
    fn differing_by_bank(
        &mut self,
        bank: &str,
        payment: &AuditedPayment,
        transfer: &AuditedTransfer,
        is_restored: bool,
    ) {
        let is_of_bank = |party: &NamedParty| party.bank.as_str() == bank;
        let is_within = |terms: &Terms| is_of_bank(&terms.payer) && is_of_bank(&terms.payee);
        let id = payment.id;
        match (&payment.terms, payment.standing) {
            (Some(terms), AuditedStanding::Undecided) if is_within(terms) => {
                if !is_booked_alike(terms, transfer) {
                    self.differs(format!(
                        "payment {id} is {} by the gateway's count, and the bank booked {}",
                        ordered(terms),
                        shown(transfer)
                    ));
                }
            }
            // Asked for it by its id, the bank may have said something else.
            (Some(terms), AuditedStanding::Paid | AuditedStanding::Refused) if is_within(terms) => {
                differs(payment, Some(transfer), is_restored).into_iter().for_each(|found| self.notes(found));
            }
            // Only a digest of what was refused is kept, so nobody can say whether it is what the bank booked.
            (_, AuditedStanding::Refused) if is_restored => self.notes(Difference::Forgotten(format!(
                "{} is booked in the gateway's name as {id}, and the gateway, which was restored from a backup, has meanwhile \
                 refused a payment of that id: whoever ordered what is booked is told that the id was used for something else",
                shown(transfer)
            ))),
            (Some(terms), _) => self.differs(format!(
                "{} is booked in the gateway's name as {id}, which is {} by the gateway's count",
                shown(transfer),
                ordered(terms)
            )),
            (None, _) => self.differs(format!(
                "{} is booked in the gateway's name as {id}, which the gateway refused",
                shown(transfer)
            )),
        }
    }
}

/// What is wrong with the bank's record of a payment that is decided.
fn differs(payment: &AuditedPayment, booked: Option<&AuditedTransfer>, is_restored: bool) -> Option<Difference> {
    let (id, terms) = (payment.id, payment.terms.as_ref()?);
    let contradiction = match (payment.standing, booked) {
        (AuditedStanding::Undecided, _) | (AuditedStanding::Refused, None) => None,
        (AuditedStanding::Paid, Some(transfer)) if is_booked_alike(terms, transfer) => None,
        (AuditedStanding::Paid, Some(transfer)) => Some(format!(
            "payment {id}, {}, is paid by the gateway's count, and the bank booked {}",
            ordered(terms),
            shown(transfer)
        )),
        (AuditedStanding::Paid, None) => Some(format!(
            "payment {id}, {}, is paid by the gateway's count, and the bank has not booked it",
            ordered(terms)
        )),
        (AuditedStanding::Refused, Some(transfer)) if is_booked_alike(terms, transfer) => {
            Some(format!("payment {id}, {}, is refused by the gateway's count, and the bank booked it", ordered(terms)))
        }
        (AuditedStanding::Refused, Some(transfer)) if transfer.by_gateway && is_restored => {
            return Some(Difference::Forgotten(format!(
                "payment {id}, {}, is refused, for the id stands for {}, which the gateway ordered and, restored from a backup, \
                 has forgotten; whoever ordered that is told that the id was used for something else",
                ordered(terms),
                shown(transfer)
            )));
        }
        (AuditedStanding::Refused, Some(transfer)) if transfer.by_gateway => Some(format!(
            "payment {id}, {}, is refused by the gateway's count, and under its id the bank booked {} in the gateway's name",
            ordered(terms),
            shown(transfer)
        )),
        // The id may be that of a transfer of the bank's own operators, for which the payment was refused.
        (AuditedStanding::Refused, Some(_)) => None,
    };
    contradiction.map(Difference::Contradiction)
}

fn is_booked_alike(terms: &Terms, transfer: &AuditedTransfer) -> bool {
    let suspense = AccountId::suspense(terms.currency).to_string();
    let is_side = |party: &NamedParty, booked: &String| {
        *booked == account(party, terms).to_string() || (transfer.rebooked && *booked == suspense)
    };
    let (amount, currency) = (money::format(terms.amount.minor(), terms.currency), terms.currency.code());
    (transfer.amount.as_str(), transfer.currency.as_str()) == (amount.as_str(), currency)
        && is_side(&terms.payer, &transfer.debit_account)
        && is_side(&terms.payee, &transfer.credit_account)
}

fn account(party: &NamedParty, terms: &Terms) -> AccountId {
    match party.holder {
        Holder::Customer(name) => AccountId::of_customer(&name),
        Holder::House => AccountId::vault(terms.currency),
    }
}

fn ordered(terms: &Terms) -> String {
    let Terms { payer, payee, amount, currency, .. } = terms;
    format!("{} {} from {payer} to {payee}", money::format(amount.minor(), *currency), currency.code())
}

fn shown(transfer: &AuditedTransfer) -> String {
    let AuditedTransfer { debit_account, credit_account, amount, currency, .. } = transfer;
    format!("{amount} {currency} from account {debit_account} to account {credit_account}")
}

async fn look_up(
    client: &mut Client,
    bank: &str,
    ids: Vec<String>,
) -> Result<BTreeMap<PaymentId, AuditedTransfer>, String> {
    let body = serde_json::json!({ "ids": ids }).to_string();
    by_id(read(client, (Method::POST, Some(body)), PATH, bank).await?.transfers, bank)
}

async fn read(
    client: &mut Client,
    asked: (Method, Option<String>),
    path: &str,
    bank: &str,
) -> Result<AuditedTransfers, String> {
    let found = ask_with(client, asked, path, bank).await?;
    found.ok_or_else(|| format!("bank {bank} does not tell what it booked: is it of an older version?"))
}

fn by_id(transfers: Vec<AuditedTransfer>, bank: &str) -> Result<BTreeMap<PaymentId, AuditedTransfer>, String> {
    let mut by_id = BTreeMap::new();
    for transfer in transfers {
        let Ok(id) = transfer.id.parse::<TransferId>() else {
            return Err(format!("bank {bank} told of a transfer {:?}, which is no id", transfer.id));
        };
        if by_id.insert(id, transfer).is_some() {
            return Err(format!("bank {bank} has booked transfer {id} twice; keep all directories"));
        }
    }
    Ok(by_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clearing::CustomerName;
    use ledger::{Amount, Currency, Reference};

    fn terms() -> Terms {
        let party = |text: &str| text.parse().expect("an address");
        Terms {
            id: TransferId::new(7).expect("not nil"),
            payer: party("alice@alpha"),
            payee: party("carol@alpha"),
            amount: Amount::new(12_50).expect("not zero"),
            currency: Currency::EUR,
            reference: Reference::EMPTY,
        }
    }

    fn payment(standing: AuditedStanding) -> AuditedPayment {
        AuditedPayment { id: terms().id, standing, terms: Some(terms()) }
    }

    fn booked() -> AuditedTransfer {
        let account = |name: &str| AccountId::of_customer(&CustomerName::enforce(name).expect("a name")).to_string();
        AuditedTransfer {
            id: terms().id.to_string(),
            debit_account: account("alice"),
            credit_account: account("carol"),
            amount: "12.50".to_owned(),
            currency: "EUR".to_owned(),
            by_gateway: true,
            rebooked: false,
        }
    }

    #[test]
    fn a_paid_payment_is_booked_once_and_alike_and_a_refused_one_is_not() {
        use AuditedStanding::{Paid, Refused, Undecided};
        let suspense = AccountId::suspense(Currency::EUR).to_string();
        let turned = AuditedTransfer {
            debit_account: booked().credit_account,
            credit_account: booked().debit_account,
            ..booked()
        };
        let dearer = AuditedTransfer { amount: "12.51".to_owned(), ..booked() };
        let yen = AuditedTransfer { currency: "JPY".to_owned(), ..booked() };
        let on_suspense = AuditedTransfer { credit_account: suspense, ..booked() };
        let rebooked = AuditedTransfer { rebooked: true, ..on_suspense.clone() };
        let of_operators = AuditedTransfer { by_gateway: false, ..dearer.clone() };
        let rows = [
            (Paid, Some(booked()), None),
            (Paid, Some(rebooked), None),
            (Paid, None, Some("has not booked it")),
            (Paid, Some(dearer.clone()), Some("booked 12.51 EUR")),
            (Paid, Some(yen), Some("booked 12.50 JPY")),
            (Paid, Some(turned), Some("12.50 EUR from alice@alpha to carol@alpha, is paid")),
            (Paid, Some(on_suspense), Some("is paid")),
            (Refused, None, None),
            (Refused, Some(of_operators), None),
            (Refused, Some(booked()), Some("is refused by the gateway's count, and the bank booked it")),
            (Refused, Some(dearer.clone()), Some("under its id the bank booked 12.51 EUR from account")),
            (Undecided, Some(booked()), None),
        ];
        for (standing, transfer, expected) in rows {
            let found = differs(&payment(standing), transfer.as_ref(), false);
            match (&found, expected) {
                (None, None) => {}
                (Some(Difference::Contradiction(told)), Some(part)) => assert!(told.contains(part), "{part}: {told}"),
                (_, expected) => panic!("{found:?} and not {expected:?}"),
            }
        }
    }

    #[test]
    fn an_id_that_a_restored_gateway_forgot_stands_for_another_booking_and_is_no_contradiction() {
        let dearer = AuditedTransfer { amount: "12.51".to_owned(), ..booked() };
        let refused = payment(AuditedStanding::Refused);
        let mut found = Found::default();
        // Asked for by its id, and met among what the bank booked: said once.
        differs(&refused, Some(&dearer), true).into_iter().for_each(|difference| found.notes(difference));
        found.differing_by_bank("alpha", &refused, &dearer, true);
        assert_eq!((found.reused_count, found.differing.len()), (1, 0), "{found:?}");
        let mut verdict = Verdict::default();
        found.tell("alpha", &mut verdict);
        assert!(verdict.findings.is_empty() && verdict.unproved.len() == 1, "{verdict:?}");
        let said = &verdict.unproved[0];
        for part in ["12.50 EUR from alice@alpha to carol@alpha", "stands for 12.51 EUR", &dearer.debit_account] {
            assert!(said.contains(part), "{said}");
        }
        // What it refused and the bank booked all the same is one, whatever was restored.
        for is_restored in [false, true] {
            let found = differs(&refused, Some(&booked()), is_restored);
            assert!(matches!(found, Some(Difference::Contradiction(_))), "{found:?}");
        }
        // Of what was refused at once only a digest is kept.
        let digest_only = AuditedPayment { terms: None, ..refused };
        let mut found = Found::default();
        found.differing_by_bank("alpha", &digest_only, &booked(), true);
        assert_eq!((found.reused_count, found.differing.len()), (1, 0), "{found:?}");
    }

    #[test]
    fn a_transfer_that_is_told_twice_is_booked_twice() {
        let one = by_id(vec![booked()], "alpha").expect("one");
        assert_eq!(one.keys().copied().collect::<Vec<_>>(), [terms().id]);
        assert!(by_id(vec![booked(), booked()], "alpha").is_err_and(|why| why.contains("booked transfer")));
        let no_id = AuditedTransfer { id: "7?".to_owned(), ..booked() };
        assert!(by_id(vec![no_id], "alpha").is_err_and(|why| why.contains("which is no id")));
    }

    #[test]
    fn what_is_booked_in_the_gateways_name_is_a_payment_of_that_bank() {
        let told = |payment: AuditedPayment, transfer: AuditedTransfer| {
            let mut found = Found::default();
            found.differing_by_bank("alpha", &payment, &transfer, false);
            found.differing.pop()
        };
        let undecided = payment(AuditedStanding::Undecided);
        assert_eq!(told(undecided.clone(), booked()), None, "it is on its way");
        let dearer = AuditedTransfer { amount: "12.51".to_owned(), ..booked() };
        assert!(told(undecided, dearer).is_some_and(|told| told.contains("booked 12.51 EUR")));
        let refused = AuditedPayment { terms: None, ..payment(AuditedStanding::Refused) };
        assert!(told(refused, booked()).is_some_and(|told| told.contains("which the gateway refused")));
        let mut between = payment(AuditedStanding::Paid);
        between.terms = Some(Terms { payee: "bob@beta".parse().expect("an address"), ..terms() });
        assert!(told(between, booked()).is_some_and(|told| told.contains("to bob@beta by the gateway's count")));
    }
}
