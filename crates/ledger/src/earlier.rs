//! The first outcome of a command that was here before, and what is known about a hold.
//!
//! One id has one outcome: the same content finds it again, other content is refused and leaves no record, for the id has
//! its outcome already.

use crate::books::Books;
use crate::command::{Command, OrderEnd};
use crate::currency::Currency;
use crate::customer_name::CustomerName;
use crate::hold::{Hold, HoldState};
use crate::ids::{AccountId, Placer, TransferId};
use crate::key::RecordKey;
use crate::outcome::{Answer, Outcome, Rejected};
use crate::record::{Body, Record};

/// The answer to a command that needs no deciding any more; `None` if it is new.
pub(crate) fn earlier<B: Books>(books: &B, command: &Command) -> Option<Answer> {
    match command {
        Command::OpenAccount { .. } => earlier_opening(books, command),
        Command::AddCustomer { name, currency, .. } => earlier_customer(books, name, *currency),
        Command::Transfer { id, .. }
        | Command::PlaceHold { id, .. }
        | Command::CloseAccount { id, .. }
        | Command::SetSecret { id, .. }
        | Command::LockCustomer { id, .. } => {
            let first = books.find(RecordKey::outcome(*id))?;
            Some(match &first.body {
                Body::Tombstone { .. } => replay(&first, rejected(&first, Rejected::Voided)),
                body if is_same(body, command) => replay(&first, first.outcome(state_of_hold(books, *id))),
                _ => refuse_reuse(&first),
            })
        }
        Command::VoidTransfer { id } => {
            let first = books.find(RecordKey::outcome(*id))?;
            Some(replay(&first, first.outcome(state_of_hold(books, *id))))
        }
        Command::EndOrder { end, id, placer, .. } => earlier_end_of_order(books, command, (*end, *id, *placer)),
        Command::ClaimKey { key, digest, .. } => {
            let first = books.find(RecordKey::idempotency(*key))?;
            let Body::KeyClaimed { digest: kept, .. } = first.body else { return None };
            Some(if kept == *digest {
                replay(&first, first.outcome(HoldState::Held))
            } else {
                Answer { outcome: rejected(&first, Rejected::KeyReused), replay: false, place: first.place }
            })
        }
        Command::PostHold { id, placer } => earlier_end(books, *id, *placer, HoldState::Posted),
        Command::VoidHold { id, placer } => earlier_end(books, *id, *placer, HoldState::Voided),
        Command::NoteHold { id, placer, counterparty } => {
            let first = books.find(RecordKey::hold_note(*id))?;
            let same = Body::HoldNoted { id: *id, placer: *placer, counterparty: *counterparty };
            Some(if first.body == same { replay(&first, first.outcome(HoldState::Held)) } else { refuse_reuse(&first) })
        }
        // How far it has risen is looked at by the rules.
        Command::Fence { .. } => None,
        // What was decided names all of it, as an end does: it finds nothing else that has the id.
        Command::Replay { id, placer: placer @ Some(_), .. } => {
            earlier_end_of_order(books, command, (OrderEnd::Post, *id, *placer))
        }
        Command::Replay { id, placer: None, .. } => {
            let first = books.find(RecordKey::outcome(*id))?;
            let is_posted = matches!(first.body, Body::TransferPosted { .. }) && is_of_order(&first.body, command);
            Some(if is_posted { replay(&first, first.outcome(HoldState::Held)) } else { refuse_reuse(&first) })
        }
        Command::ChangeSetting { expected_version, change } => {
            let entry = books.settings().entry(*expected_version).filter(|entry| entry.change == *change)?;
            let outcome = Outcome::SettingChanged { time_ms: entry.time_ms, version: expected_version + 1 };
            Some(Answer { outcome, replay: true, place: entry.place })
        }
    }
}

/// What is known about a hold.
pub(crate) enum HoldStory {
    /// The id was never seen.
    Unknown,
    Open(Hold),
    Ended {
        placer: Placer,
        state: HoldState,
        end: Record,
    },
    /// The hold was refused.
    Rejected {
        placer: Placer,
        first: Record,
    },
    /// The id was voided before anything came under it.
    Tombstone(Record),
    /// The id is something else's.
    NoHold,
}

pub(crate) fn hold_story<B: Books>(books: &B, id: TransferId) -> HoldStory {
    if let Some(hold) = books.hold(id) {
        return HoldStory::Open(hold);
    }
    let Some(first) = books.find(RecordKey::outcome(id)) else { return HoldStory::Unknown };
    match first.body {
        Body::HoldPlaced { placer, .. } => {
            // This program writes no journal without it. The hold's money is told by the books, so nothing is done to it.
            let Some(end) = books.find(RecordKey::hold_end(id)) else { return HoldStory::NoHold };
            let state = if matches!(end.body, Body::HoldPosted { .. }) { HoldState::Posted } else { HoldState::Voided };
            HoldStory::Ended { placer, state, end }
        }
        Body::HoldRejected { placer, .. } => HoldStory::Rejected { placer, first },
        Body::Tombstone { .. } => HoldStory::Tombstone(first),
        _ => HoldStory::NoHold,
    }
}

fn earlier_opening<B: Books>(books: &B, command: &Command) -> Option<Answer> {
    let Command::OpenAccount { id, owner, currency } = command else { return None };
    if id.internal().is_some() {
        return None;
    }
    let opening = books.opening(*id)?;
    let is_customers = books.account(*id).is_some_and(|account| account.customer.is_some());
    let same = opening.owner == *owner && opening.currency == *currency && !is_customers;
    let time_ms = opening.time_ms;
    let outcome = match same {
        true => Outcome::Opened { time_ms, number: opening.number },
        false => Outcome::Rejected { time_ms, rejection: Rejected::IdReused },
    };
    Some(Answer { outcome, replay: same, place: opening.place })
}

/// A customer has the account of their name, so who is there already was added before. Of another currency it is no
/// repetition: the rules refuse that.
fn earlier_customer<B: Books>(books: &B, name: &CustomerName, currency: Currency) -> Option<Answer> {
    let account = books.account(AccountId::of_customer(name))?;
    account.customer?;
    let opening = books.opening(account.id).filter(|opening| opening.currency == currency)?;
    let outcome = Outcome::Opened { time_ms: opening.time_ms, number: opening.number };
    Some(Answer { outcome, replay: true, place: opening.place })
}

/// The end that the placer asks for, if the hold came to it before or never held.
fn earlier_end<B: Books>(books: &B, id: TransferId, caller: Placer, wanted: HoldState) -> Option<Answer> {
    match hold_story(books, id) {
        HoldStory::Ended { placer, state, end } if placer == caller && state == wanted => {
            Some(replay(&end, end.outcome(state)))
        }
        HoldStory::Rejected { placer, first } if placer == caller && wanted == HoldState::Voided => {
            Some(replay(&first, first.outcome(HoldState::Held)))
        }
        HoldStory::Tombstone(first) if wanted == HoldState::Voided => {
            Some(replay(&first, first.outcome(HoldState::Held)))
        }
        HoldStory::Unknown
        | HoldStory::Open(_)
        | HoldStory::Ended { .. }
        | HoldStory::Rejected { .. }
        | HoldStory::Tombstone(_)
        | HoldStory::NoHold => None,
    }
}

/// The end that was asked for, if the order came to it before, or a refusal if the id stands for something else.
fn earlier_end_of_order<B: Books>(
    books: &B,
    command: &Command,
    (end, id, placer): (OrderEnd, TransferId, Option<Placer>),
) -> Option<Answer> {
    let first = books.find(RecordKey::outcome(id))?;
    if !matches!(first.body, Body::Tombstone { .. }) && !is_of_order(&first.body, command) {
        return Some(refuse_reuse(&first));
    }
    match (end, placer) {
        (OrderEnd::Post, Some(placer)) => earlier_end(books, id, placer, HoldState::Posted),
        (OrderEnd::Void, Some(placer)) => earlier_end(books, id, placer, HoldState::Voided),
        // Decoding lets nobody post for nobody.
        (OrderEnd::Void | OrderEnd::Post, None) => Some(replay(&first, first.outcome(HoldState::Held))),
    }
}

/// Whether a record is the first outcome of the order that is to end, or to be booked again, whoever placed it.
fn is_of_order(body: &Body, command: &Command) -> bool {
    let is_hold = matches!(body, Body::HoldPlaced { .. } | Body::HoldRejected { .. });
    let wants_hold =
        matches!(command, Command::EndOrder { placer: Some(_), .. } | Command::Replay { placer: Some(_), .. });
    is_hold == wants_hold && command.movement().is_some_and(|ordered| body.is_of_order(&ordered))
}

/// Every answer about a hold carries what has become of it by now.
fn state_of_hold<B: Books>(books: &B, id: TransferId) -> HoldState {
    match hold_story(books, id) {
        HoldStory::Ended { state, .. } => state,
        HoldStory::Unknown
        | HoldStory::Open(_)
        | HoldStory::Rejected { .. }
        | HoldStory::Tombstone(_)
        | HoldStory::NoHold => HoldState::Held,
    }
}

/// Whether a record is the outcome of just this command.
fn is_same(body: &Body, command: &Command) -> bool {
    let is_ordered = || command.movement().is_some_and(|ordered| body.is_of_order(&ordered));
    match (body, command) {
        (Body::TransferPosted { .. } | Body::TransferRejected { .. }, Command::Transfer { .. }) => is_ordered(),
        (Body::HoldPlaced { placer, .. }, Command::PlaceHold { placer: caller, .. })
        | (Body::HoldRejected { placer, .. }, Command::PlaceHold { placer: caller, .. }) => {
            placer == caller && is_ordered()
        }
        (Body::AccountClosed { account, .. }, Command::CloseAccount { account: asked, .. })
        | (Body::CloseRejected { account, .. }, Command::CloseAccount { account: asked, .. }) => account == asked,
        (Body::SecretChanged { name, secret, .. }, Command::SetSecret { name: asked, secret: wanted, .. }) => {
            name == asked && secret == wanted
        }
        // A refused secret is kept nowhere.
        (Body::SecretRejected { name, .. }, Command::SetSecret { name: asked, .. }) => name == asked,
        (Body::LockChanged { name, locked, .. }, Command::LockCustomer { name: asked, locked: wanted, .. })
        | (Body::LockRejected { name, locked, .. }, Command::LockCustomer { name: asked, locked: wanted, .. }) => {
            name == asked && locked == wanted
        }
        _ => false,
    }
}

fn replay(first: &Record, outcome: Outcome) -> Answer {
    Answer { outcome, replay: true, place: first.place }
}

fn rejected(first: &Record, rejection: Rejected) -> Outcome {
    Outcome::Rejected { time_ms: first.time_ms, rejection }
}

fn refuse_reuse(first: &Record) -> Answer {
    Answer { outcome: rejected(first, Rejected::IdReused), replay: false, place: first.place }
}
