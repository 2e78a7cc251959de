//! The rules of a client's outbox: payments that were ordered while the network was away, or might have been.
//!
//! ```text
//! Queued ──► Trying ──no answer──► Sent ──answer──► Done | Refused
//!  │  ▲         │                   │ drop or too late
//!  │  └no line──┘                   ▼
//!  └drop──► Dropped             Cancelling: the gateway is asked to decide void, and its answer is what counts
//!
//! any of Queued, Trying, Sent, Cancelling ──token refused──► WaitingForSignIn ──signed in──► back, with the same id
//! ```
//!
//! A payment that was never sent is the client's own and can be dropped. From the first attempt to send on its outcome
//! belongs to the gateway: an attempt that seemed to fail may have arrived. Payments of one payer go in order, one at a
//! time; who waits for a new sign-in delays nobody else. Two clients on one outbox share it by a lease on each item: a
//! client that holds none sends nothing, and what it writes names the version that it read.

use crate::order::{NamedParty, PaymentId};
use crate::outcome::{Reason, Refusal};
use crate::told::Told;
use std::collections::BTreeSet;

/// A payment in the outbox. What it pays is beside it, in the client's store; the rules need only this.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Item {
    pub id: PaymentId,
    pub payer: NamedParty,
    /// The order in which items were made.
    pub sequence: u64,
    /// After this the customer does not want it any more.
    pub deadline_ms: u64,
    pub state: ItemState,
    pub lease: Lease,
}

/// Where an item stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ItemState {
    /// Never sent: there was no connection yet.
    Queued(Retry),
    /// Being sent for the first time. Found so after a crash, it may have been sent.
    Trying(Retry),
    /// It may have arrived; the outcome is the gateway's.
    Sent(Retry),
    /// Tried, and not wanted any more: the gateway is asked for void.
    Cancelling(Retry),
    /// The token was refused. The id stays, and so does what was asked of the gateway.
    WaitingForSignIn(Paused),
    Done,
    Refused(Reason),
    /// Never sent, and never will be.
    Dropped,
}

/// What goes on after the sign-in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Paused {
    Queued,
    Sent,
    Cancelling,
}

/// When it is tried again: after 0.2 s, doubling up to 25.6 s.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retry {
    pub attempts: u32,
    pub next_ms: u64,
}

/// The right to send an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lease {
    /// The client that has it; `None` before the first.
    pub holder: Option<u64>,
    pub until_ms: u64,
    /// Rises with every change of the item: a write that names another is refused by the store.
    pub version: u64,
}

/// What a client is to send for an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Errand {
    Take,
    Cancel,
}

/// What became of an attempt to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attempt {
    /// No connection was made, so nothing can have arrived.
    NotConnected,
    /// It was sent and no answer came.
    NoAnswer,
    Told(Told),
}

/// What became of a wish to drop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DropAnswer {
    Dropped(Item),
    /// It was sent: the gateway decides, and is asked.
    Asking(Item),
    /// It has its outcome.
    TooLate(Item),
}

/// Another client has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("another client has the item until {until_ms}")]
pub struct Leased {
    pub until_ms: u64,
}

impl Retry {
    /// Nothing was tried yet.
    pub const NOW: Retry = Retry { attempts: 0, next_ms: 0 };
    const FIRST_MS: u64 = 200;

    /// One more attempt was made.
    fn again(self, now_ms: u64) -> Retry {
        let wait_ms = Retry::FIRST_MS << self.attempts.min(7);
        Retry { attempts: self.attempts.saturating_add(1), next_ms: now_ms.saturating_add(wait_ms) }
    }
}

impl Lease {
    pub const NONE: Lease = Lease { holder: None, until_ms: 0, version: 0 };

    fn is_free_for(&self, client: u64, now_ms: u64) -> bool {
        self.holder == Some(client) || now_ms >= self.until_ms
    }
}

impl ItemState {
    /// Nothing will be done about it any more.
    pub fn is_final(&self) -> bool {
        match self {
            ItemState::Done | ItemState::Refused(_) | ItemState::Dropped => true,
            ItemState::Queued(_)
            | ItemState::Trying(_)
            | ItemState::Sent(_)
            | ItemState::Cancelling(_)
            | ItemState::WaitingForSignIn(_) => false,
        }
    }
}

/// The items that a client may send now: of each payer the first that has no outcome, if it is its time. One that waits
/// holds back those behind it, for they were ordered after it.
pub fn ready(items: &[Item], client: u64, now_ms: u64) -> Vec<(PaymentId, Errand)> {
    let mut in_order: Vec<&Item> = items.iter().filter(|item| !item.state.is_final()).collect();
    in_order.sort_by_key(|item| item.sequence);
    let mut payers = BTreeSet::new();
    let first_of_payer = in_order.into_iter().filter(|item| payers.insert(item.payer));
    let is_free = |item: &&Item| item.lease.is_free_for(client, now_ms);
    first_of_payer.filter(is_free).filter_map(|item| Some((item.id, item.errand(now_ms)?))).collect()
}

impl Item {
    pub fn new(id: PaymentId, payer: NamedParty, sequence: u64, deadline_ms: u64) -> Item {
        Item { id, payer, sequence, deadline_ms, state: ItemState::Queued(Retry::NOW), lease: Lease::NONE }
    }

    fn errand(&self, now_ms: u64) -> Option<Errand> {
        match self.state {
            ItemState::Queued(retry) | ItemState::Trying(retry) | ItemState::Sent(retry) => {
                (now_ms >= retry.next_ms).then_some(Errand::Take)
            }
            ItemState::Cancelling(retry) => (now_ms >= retry.next_ms).then_some(Errand::Cancel),
            ItemState::WaitingForSignIn(_) | ItemState::Done | ItemState::Refused(_) | ItemState::Dropped => None,
        }
    }

    /// Takes or renews the lease. What comes of it must be in the store before anything is sent.
    ///
    /// # Errors
    /// When another client has it.
    pub fn lease(self, client: u64, now_ms: u64, for_ms: u64) -> Result<Item, Leased> {
        if !self.lease.is_free_for(client, now_ms) {
            return Err(Leased { until_ms: self.lease.until_ms });
        }
        let until_ms = now_ms.saturating_add(for_ms);
        Ok(Item { lease: Lease { holder: Some(client), until_ms, ..self.lease }, ..self }.changed())
    }

    /// About to be sent. To be in the store before the first byte leaves: a client that is killed in between must know
    /// that it may have been sent. One whose deadline has passed is not sent, but dropped or cancelled.
    pub fn sending(self, now_ms: u64) -> Item {
        if now_ms >= self.deadline_ms {
            match self.drop_asked(now_ms) {
                DropAnswer::Dropped(item) | DropAnswer::TooLate(item) => return item,
                DropAnswer::Asking(item) => return item.tried(now_ms),
            }
        }
        self.tried(now_ms)
    }

    fn tried(self, now_ms: u64) -> Item {
        let state = match self.state {
            ItemState::Queued(retry) => ItemState::Trying(retry.again(now_ms)),
            // The attempt before this one ended nobody knows how.
            ItemState::Trying(retry) | ItemState::Sent(retry) => ItemState::Sent(retry.again(now_ms)),
            ItemState::Cancelling(retry) => ItemState::Cancelling(retry.again(now_ms)),
            state @ (ItemState::WaitingForSignIn(_) | ItemState::Done | ItemState::Refused(_) | ItemState::Dropped) => {
                state
            }
        };
        Item { state, ..self }.changed()
    }

    /// What came of an attempt. Without an answer it is simply tried again; only the gateway's word ends it.
    pub fn heard(self, attempt: Attempt) -> Item {
        let state = match (self.state, attempt) {
            // Nothing left, so the item is still the client's own; but it waits as long as any.
            (ItemState::Trying(retry), Attempt::NotConnected) => ItemState::Queued(retry),
            (ItemState::Trying(retry), Attempt::NoAnswer) => ItemState::Sent(retry),
            (state, Attempt::NotConnected | Attempt::NoAnswer) => state,
            (ItemState::Trying(retry), Attempt::Told(told)) => told_so(ItemState::Sent(retry), told),
            (state, Attempt::Told(told)) => told_so(state, told),
        };
        Item { state, ..self }.changed()
    }

    /// The payer has signed in again: what waited goes on with the same id.
    pub fn signed_in(self, now_ms: u64) -> Item {
        let now = Retry { attempts: 0, next_ms: now_ms };
        let state = match self.state {
            ItemState::WaitingForSignIn(Paused::Queued) => ItemState::Queued(now),
            ItemState::WaitingForSignIn(Paused::Sent) => ItemState::Sent(now),
            ItemState::WaitingForSignIn(Paused::Cancelling) => ItemState::Cancelling(now),
            state @ (ItemState::Queued(_)
            | ItemState::Trying(_)
            | ItemState::Sent(_)
            | ItemState::Cancelling(_)
            | ItemState::Done
            | ItemState::Refused(_)
            | ItemState::Dropped) => state,
        };
        Item { state, ..self }.changed()
    }

    /// The customer does not want it any more.
    pub fn drop_asked(self, now_ms: u64) -> DropAnswer {
        let with = |state| Item { state, ..self }.changed();
        match self.state {
            ItemState::Queued(_) | ItemState::WaitingForSignIn(Paused::Queued) => {
                DropAnswer::Dropped(with(ItemState::Dropped))
            }
            ItemState::Trying(_) | ItemState::Sent(_) => {
                DropAnswer::Asking(with(ItemState::Cancelling(Retry { attempts: 0, next_ms: now_ms })))
            }
            ItemState::WaitingForSignIn(_) => DropAnswer::Asking(with(ItemState::WaitingForSignIn(Paused::Cancelling))),
            ItemState::Cancelling(_) => DropAnswer::Asking(self),
            ItemState::Done | ItemState::Refused(_) | ItemState::Dropped => DropAnswer::TooLate(self),
        }
    }

    /// The customer wants it tried at once, however long it has been backing off. Whoever waits for a sign-in goes on waiting.
    pub fn hurried(self, now_ms: u64) -> Item {
        let now = Retry { attempts: 0, next_ms: now_ms };
        let state = match self.state {
            ItemState::Queued(_) => ItemState::Queued(now),
            ItemState::Trying(_) => ItemState::Trying(now),
            ItemState::Sent(_) => ItemState::Sent(now),
            ItemState::Cancelling(_) => ItemState::Cancelling(now),
            state @ (ItemState::WaitingForSignIn(_) | ItemState::Done | ItemState::Refused(_) | ItemState::Dropped) => {
                state
            }
        };
        Item { state, ..self }.changed()
    }

    /// Gives the lease back after an attempt, so that no other client waits for its end. The lease of another stays.
    pub fn released(self, client: u64) -> Item {
        if self.lease.holder != Some(client) {
            return self;
        }
        Item { lease: Lease { holder: None, until_ms: 0, ..self.lease }, ..self }.changed()
    }

    fn changed(self) -> Item {
        Item { lease: Lease { version: self.lease.version + 1, ..self.lease }, ..self }
    }
}

fn told_so(state: ItemState, told: Told) -> ItemState {
    if state.is_final() {
        return state;
    }
    match told {
        Told::Paid { .. } => ItemState::Done,
        Told::Refused(reason) => ItemState::Refused(reason),
        Told::NotTaken(Refusal::NoSession | Refusal::SessionExpired | Refusal::SessionEnded) => paused(state),
        // Refused for load, or by a node that is behind: nothing is burnt, and it is tried again.
        Told::NotTaken(_) | Told::OutcomeUnknown | Told::NotYet => state,
    }
}

fn paused(state: ItemState) -> ItemState {
    ItemState::WaitingForSignIn(match state {
        ItemState::Cancelling(_) | ItemState::WaitingForSignIn(Paused::Cancelling) => Paused::Cancelling,
        ItemState::Queued(_) | ItemState::WaitingForSignIn(Paused::Queued) => Paused::Queued,
        ItemState::Trying(_)
        | ItemState::Sent(_)
        | ItemState::WaitingForSignIn(Paused::Sent)
        | ItemState::Done
        | ItemState::Refused(_)
        | ItemState::Dropped => Paused::Sent,
    })
}
