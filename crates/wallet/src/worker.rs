//! The worker that empties an outbox: one task that owns it, and a task for each payer's payment that is on its way.
//!
//! ```text
//!   every look: open entries ─► clearing::outbox::ready ─► lease + sending, one synced write ─► a call to the gateway
//!                                                                                                  │
//!               released, one synced write ◄─ clearing::outbox::Item::heard ◄──── what it answered ┘
//! ```
//!
//! A payment is marked as being sent before its first byte leaves, so a worker that is killed leaves it as one that may
//! have arrived. Payers do not wait for each other: each has at most one payment on its way, and one who is not signed in
//! is passed by. Whether a payer is signed in is looked up in the profile's files at each look, so a sign-in by another
//! process is noticed. A worker's trouble with the disk stops nothing for good: it says so, and looks again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::client::Secret;
use api::client::gateway::{GatewayClient, GatewayError, GatewayOptions, NotSignedIn, PaymentAnswer};
use clearing::outbox::{Item, ItemState, ready};
use clearing::{NamedParty, PaymentId, Terms};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};

use crate::clock::now_ms;
use crate::heard::{heard, nobody_signed_in};
use crate::outbox::{Entry, Outbox, OutboxError, Word, Written};
use crate::profile::{Profile, ProfileError};

/// Payments on their way at once.
const ON_THEIR_WAY_MAX: usize = 16;

/// How a worker behaves.
#[derive(Debug, Clone, Copy)]
pub struct WorkerOptions {
    /// How often it looks for what is to be sent. Each payment backs off by itself while it cannot be.
    pub look_every: Duration,
    /// How long one attempt may take, over all nodes.
    pub attempt: Duration,
}

impl Default for WorkerOptions {
    fn default() -> WorkerOptions {
        WorkerOptions { look_every: Duration::from_millis(200), attempt: Duration::from_secs(4) }
    }
}

impl WorkerOptions {
    /// Twice an attempt: a worker that is slow, and not dead, has written its answer by then.
    fn lease_ms(&self) -> u64 {
        u64::try_from(self.attempt.as_millis()).unwrap_or(u64::MAX).saturating_mul(2).saturating_add(1_000)
    }

    fn gateway(&self) -> GatewayOptions {
        let attempt_timeout = self.attempt.min(Duration::from_millis(2_500));
        // The outbox backs off by itself, payer by payer.
        GatewayOptions { deadline: self.attempt, attempt_timeout, connect_patience: Duration::ZERO }
    }
}

/// How the worker fares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Condition {
    #[default]
    Fine,
    /// The last attempt reached no node.
    Offline { why: String },
    /// Another network answers there. Nothing was sent, and nothing will be until the right one answers.
    OtherNetwork { why: String },
    /// The outbox or the profile cannot be used.
    Broken { why: String },
}

/// What the worker lets others watch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pulse {
    pub condition: Condition,
    /// Rises with every change of a payment.
    pub changes: u64,
}

/// Sends what an outbox holds.
#[derive(Debug)]
pub struct Worker {
    outbox: Outbox,
    profile: Profile,
    gateway: GatewayClient,
    options: WorkerOptions,
    /// What tells this client from another on the same outbox.
    client: u64,
    /// Tokens that the gateway refused: their payers are asked for another.
    refused: BTreeMap<NamedParty, Secret>,
    pulse: watch::Sender<Pulse>,
}

/// A worker at work. It goes on until it is stopped, or this is dropped.
#[derive(Debug)]
pub struct Running {
    nudge: Arc<Notify>,
    stop: Arc<Notify>,
    pulse: watch::Receiver<Pulse>,
    task: JoinHandle<()>,
}

/// Why a look came to nothing.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    #[error(transparent)]
    Profile(#[from] ProfileError),
}

/// An attempt that has ended.
#[derive(Debug)]
struct Attempted {
    id: PaymentId,
    payer: NamedParty,
    token: Secret,
    answer: Result<PaymentAnswer, GatewayError>,
}

/// What an attempt asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    Pay,
    Void,
}

impl Running {
    /// Looks now, and not only at the next look.
    pub fn nudge(&self) {
        self.nudge.notify_one();
    }

    /// To wait for changes, and to see how the worker fares.
    pub fn pulse(&self) -> watch::Receiver<Pulse> {
        self.pulse.clone()
    }

    /// Sends nothing more, and waits until what is on its way has its answer, which is at most one attempt's time.
    pub async fn stop(mut self) {
        self.stop.notify_one();
        // A panic of the worker is reported by its own thread; nothing is lost that was on disk.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Worker {
    /// # Errors
    /// When the profile's outbox cannot be opened.
    pub fn new(profile: &Profile, gateway: &GatewayClient, options: WorkerOptions) -> Result<Worker, OutboxError> {
        Ok(Worker {
            outbox: profile.outbox()?,
            profile: profile.clone(),
            gateway: gateway.with_options(options.gateway()),
            options,
            client: client_number(),
            refused: BTreeMap::new(),
            pulse: watch::Sender::new(Pulse::default()),
        })
    }

    /// Must be called within a tokio runtime.
    pub fn start(self) -> Running {
        let (nudge, stop) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let pulse = self.pulse.subscribe();
        let task = tokio::spawn(self.work(nudge.clone(), stop.clone()));
        Running { nudge, stop, pulse, task }
    }

    async fn work(mut self, nudge: Arc<Notify>, stop: Arc<Notify>) {
        let mut looks = tokio::time::interval_at(Instant::now(), self.options.look_every.max(Duration::from_millis(1)));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut on_their_way = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = stop.notified() => break,
                Some(ended) = on_their_way.join_next(), if !on_their_way.is_empty() => self.ended(ended),
                () = nudge.notified() => self.look(&mut on_their_way),
                _ = looks.tick() => self.look(&mut on_their_way),
            }
        }
        while let Some(ended) = on_their_way.join_next().await {
            self.ended(ended);
        }
    }

    fn ended(&mut self, ended: Result<Attempted, tokio::task::JoinError>) {
        // An attempt that panicked leaves its payment leased and as perhaps sent, like one whose process was killed.
        let Ok(attempted) = ended else { return };
        let heard = self.hear(&attempted);
        let condition = match (heard, &attempted.answer) {
            (Err(trouble), _) => Condition::Broken { why: trouble.to_string() },
            (Ok(()), Err(GatewayError::Unreachable { last })) => Condition::Offline { why: last.clone() },
            (Ok(()), Err(error @ GatewayError::OtherNetwork { .. })) => {
                Condition::OtherNetwork { why: error.to_string() }
            }
            (Ok(()), Ok(_) | Err(_)) => Condition::Fine,
        };
        self.tell(condition);
    }

    fn look(&mut self, on_their_way: &mut JoinSet<Attempted>) {
        let looked = self.send_what_is_ready(on_their_way);
        let broken = matches!(self.pulse.borrow().condition, Condition::Broken { .. });
        match looked {
            Err(trouble) => self.tell(Condition::Broken { why: trouble.to_string() }),
            Ok(()) if broken => self.tell(Condition::Fine),
            Ok(()) => {}
        }
    }

    fn send_what_is_ready(&mut self, on_their_way: &mut JoinSet<Attempted>) -> Result<(), Trouble> {
        self.resume_whoever_signed_in()?;
        let entries = self.outbox.open_entries()?;
        let items: Vec<Item> = entries.iter().map(|entry| entry.item).collect();
        let ready: BTreeSet<PaymentId> = ready(&items, self.client, now_ms()).into_iter().map(|(id, _)| id).collect();
        for entry in entries.iter().filter(|entry| ready.contains(&entry.terms.id)) {
            if on_their_way.len() >= ON_THEIR_WAY_MAX {
                break;
            }
            // Its own lease does not keep this client from what it is sending already; the store's state does.
            if entry.item.lease.holder == Some(self.client) && now_ms() < entry.item.lease.until_ms {
                continue;
            }
            self.begin(entry, on_their_way)?;
        }
        Ok(())
    }

    /// Whoever waits and has a token that was not refused goes on.
    fn resume_whoever_signed_in(&mut self) -> Result<(), Trouble> {
        let open = self.outbox.open_entries()?;
        let waiting: BTreeSet<NamedParty> =
            open.iter().filter(|entry| entry.waits_for_sign_in()).map(|entry| entry.terms.payer).collect();
        for payer in waiting {
            if self.token(&payer)?.is_ok() && self.outbox.signed_in(&payer, now_ms())? > 0 {
                self.changed();
            }
        }
        Ok(())
    }

    /// The payer's token, or why there is none to act by.
    fn token(&self, payer: &NamedParty) -> Result<Result<Secret, NotSignedIn>, ProfileError> {
        let Some(sign_in) = self.profile.sign_in(payer)? else { return Ok(Err(NotSignedIn::Missing)) };
        // Whether it is over its time is for the gateway to say: the clock of this machine may be wrong.
        if self.refused.get(payer) == Some(&sign_in.token) {
            return Ok(Err(NotSignedIn::Expired));
        }
        Ok(Ok(sign_in.token))
    }

    fn begin(&mut self, entry: &Entry, on_their_way: &mut JoinSet<Attempted>) -> Result<(), Trouble> {
        let now = now_ms();
        let token = match self.token(&entry.terms.payer)? {
            Ok(token) => token,
            Err(why) => {
                let (attempt, word) = nobody_signed_in(why);
                // If somebody else was first, the next look sees what they did.
                let _ = self.write(entry, &entry.item.heard(attempt), Some(&word))?;
                return Ok(());
            }
        };
        let Ok(leased) = entry.item.lease(self.client, now, self.options.lease_ms()) else { return Ok(()) };
        let item = leased.sending(now);
        let ask = match item.state {
            ItemState::Trying(_) | ItemState::Sent(_) => Ask::Pay,
            ItemState::Cancelling(_) => Ask::Void,
            // Its deadline passed before it was ever sent.
            ItemState::Queued(_)
            | ItemState::WaitingForSignIn(_)
            | ItemState::Done
            | ItemState::Refused(_)
            | ItemState::Dropped => {
                let word = Word {
                    code: "deadline_passed".to_owned(),
                    detail: "its time was over before it could be sent".to_owned(),
                };
                let _ = self.write(entry, &item.released(self.client), Some(&word))?;
                return Ok(());
            }
        };
        // Whose token there is, has a network: it goes there and nowhere else.
        let Some(network) = self.profile.network()? else { return Ok(()) };
        if self.write(entry, &item, None)? == Written::Yes {
            on_their_way.spawn(attempt(self.gateway.pinned_to(network.id), entry.terms, ask, token));
        }
        Ok(())
    }

    fn write(&mut self, before: &Entry, item: &Item, word: Option<&Word>) -> Result<Written, Trouble> {
        let written = self.outbox.write(before, item, word, now_ms())?;
        self.changed();
        Ok(written)
    }

    /// Keeps what an attempt was told, whatever became of the payment in the outbox meanwhile.
    fn hear(&mut self, attempted: &Attempted) -> Result<(), Trouble> {
        if let Err(GatewayError::NotSignedIn(_)) = attempted.answer {
            self.refused.insert(attempted.payer, attempted.token.clone());
        }
        if let Ok(answer) = &attempted.answer
            && answer.standing.not_signed_in().is_some()
        {
            self.refused.insert(attempted.payer, attempted.token.clone());
        }
        let (attempt, word) = heard(&attempted.answer);
        let client = self.client;
        self.outbox.change(attempted.id, Some(&word), now_ms(), |item| item.heard(attempt).released(client))?;
        self.changed();
        Ok(())
    }

    fn changed(&self) {
        self.pulse.send_modify(|pulse| pulse.changes += 1);
    }

    fn tell(&self, condition: Condition) {
        self.pulse.send_if_modified(|pulse| {
            let differs = pulse.condition != condition;
            pulse.condition = condition;
            differs
        });
    }
}

/// One call to the gateway.
async fn attempt(gateway: GatewayClient, terms: Terms, ask: Ask, token: Secret) -> Attempted {
    let answer = match gateway.customer(&token) {
        Ok(customer) => match ask {
            Ask::Pay => customer.pay(&terms).await,
            Ask::Void => customer.cancel(&terms).await,
        },
        Err(error) => Err(error),
    };
    Attempted { id: terms.id, payer: terms.payer, token, answer }
}

/// A number that no other client has: the random bits of a new UUID. SQLite's integers have a sign, so 63 of them.
fn client_number() -> u64 {
    let bits = api::new_id() & u128::from(u64::MAX >> 1);
    u64::try_from(bits).expect("masked to 63 bits")
}
