//! The banks that this node reaches: one queue of calls for each, gathered into batches.
//!
//! A call that has no answer is no answer: its driver makes it again. So nothing here waits, repeats or keeps; what finds a
//! queue full, or a bank away, is dropped.

use super::authentication::Authentication;
use super::reads::CustomerReads;
use super::trials::{self, ADDRESSES_MAX, Trials};
use crate::skipped::Skipped;
use api::client::{Client, Options};
use api::code::Code;
use api::problem::Problem;
use api::trace::TraceContext;
use certs::{Expected, Protocol};
use clearing::{BankName, Call, GroupId, PaymentId, Reply};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc, watch};
use tracing::{error, info, warn};

/// Calls that wait for one bank, at most.
const QUEUE_MAX: usize = 16_384;
/// Calls in one message.
const BATCH_MAX: usize = 2_048;
/// Messages on their way to one bank at once.
const IN_FLIGHT_MAX: usize = 8;
/// Payments whose trace is remembered, at most.
const TRACES_MAX: usize = 65_536;
/// Looks in a row without an answer after which a bank is away.
const UNANSWERED_MAX: u32 = 2;
/// So long a bank that was never reached may be one that is only starting.
const COMING_MAX: Duration = Duration::from_secs(15);
/// How long it is believed how quick a bank is.
const LATELY: Duration = Duration::from_millis(250);
/// Banks that are known to be somewhere, at most: where more are named, one that never answered makes room.
const LINKS_MAX: usize = 1_000;
/// A bank's nodes answer within two seconds by themselves; whoever does not is asked again.
const PATIENCE: Duration = Duration::from_millis(1_900);

/// What a bank said to a call about a payment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    pub(super) id: PaymentId,
    pub(super) reply: Reply,
}

/// A call that waits to be sent, and since when.
type Waiting = (Call, Option<TraceContext>, Instant);

/// How long calls take, from when they were asked for: what waits in the queue here counts, for a vote it is all the same.
#[derive(Debug, Default)]
struct Pace(Mutex<Option<(Instant, Duration)>>);

impl Pace {
    fn note(&self, since: Instant) {
        let now = Instant::now();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, now - since));
    }

    /// What was seen some time ago says nothing any more: whoever asks little is not kept waiting for it.
    fn lately(&self) -> Option<Duration> {
        let seen = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.filter(|(at, _)| at.elapsed() < LATELY).map(|(_, took)| took)
    }
}

/// What looks and calls tell of a bank: shared by its link and by what sends its calls.
#[derive(Debug, Default)]
struct Signs {
    /// Looks in a row that nobody answered. An answer to anything else counts as well.
    unanswered: AtomicU32,
    /// How long the bank took to answer lately.
    pace: Pace,
}

/// One bank, as far as it can be reached.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) name: BankName,
    addresses: Vec<String>,
    client: Client,
    customer_reads: CustomerReads,
    authentication: Authentication,
    calls: mpsc::Sender<Waiting>,
    reachable: AtomicBool,
    /// Whether it has been reached once, and since when it is tried.
    reached: watch::Sender<bool>,
    since: Instant,
    signs: Arc<Signs>,
    /// This node brings the bank, which was restored, its payments.
    replaying: Arc<AtomicBool>,
    /// The group that answers here, from when it has answered.
    group: OnceLock<GroupId>,
}

impl Link {
    /// For payments, and for what this node itself asks of the bank.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// For what customers read: however many do, payments do not wait behind them.
    pub(super) fn customer_reads(&self) -> &CustomerReads {
        &self.customer_reads
    }

    pub(super) fn authentication(&self) -> &Authentication {
        &self.authentication
    }

    #[cfg(test)]
    pub(super) fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Whether calls of late waited for longer than that for their answer: then more of them come too late for a vote.
    pub(super) fn is_slower_than(&self, limit: Duration) -> bool {
        self.signs.pace.lately().is_some_and(|took| took > limit)
    }

    pub(super) fn is_reachable(&self) -> bool {
        self.reachable.load(Ordering::Relaxed)
    }

    /// A bank that was never reached yet may be starting, as this node may, and is waited for a moment; then the log knows it
    /// too. One that was there and is gone, or does not come for long, is away at once.
    pub(super) async fn is_there(&self) -> bool {
        if !*self.reached.borrow() && self.since.elapsed() < COMING_MAX {
            let mut reached = self.reached.subscribe();
            let _ = tokio::time::timeout(PATIENCE, reached.wait_for(|reached| *reached)).await;
        }
        self.is_reachable()
    }

    /// The same bank at other addresses: what is known of it stays known.
    fn instead_of(mut self, before: &Link) -> Link {
        self.reachable = AtomicBool::new(before.is_reachable());
        self.reached.send_replace(*before.reached.borrow());
        self.since = before.since;
        self.replaying = Arc::clone(&before.replaying);
        self.group = before.group.clone();
        self.authentication = self.authentication.instead_of(&before.authentication);
        self.customer_reads = self.customer_reads.instead_of(&before.customer_reads);
        self
    }

    /// False if it is going on.
    pub(super) fn begin_replay(&self) -> bool {
        !self.replaying.swap(true, Ordering::Relaxed)
    }

    pub(super) fn end_replay(&self) {
        self.replaying.store(false, Ordering::Relaxed);
    }

    /// Nobody answered a look. One such look may be a busy moment, so only some in a row mean that the bank is away.
    pub(super) fn looked_in_vain(&self) {
        if self.signs.unanswered.fetch_add(1, Ordering::Relaxed) + 1 >= UNANSWERED_MAX {
            self.set_reachable(false);
        }
    }

    /// The bank answered, as that group.
    pub(super) fn looked(&self, group: Option<GroupId>) {
        if let Some(group) = group {
            let _ = self.group.set(group);
        }
        self.signs.unanswered.store(0, Ordering::Relaxed);
    }

    pub(super) fn set_reachable(&self, reachable: bool) {
        if reachable {
            self.reached.send_replace(true);
        }
        if self.reachable.swap(reachable, Ordering::Relaxed) != reachable {
            match reachable {
                true => info!(event = "bank_reached", bank = %self.name),
                false => warn!(event = "bank_away", bank = %self.name, effect = "its payments wait; others go on"),
            }
        }
    }
}

/// All banks that are known to be somewhere.
#[derive(Debug)]
pub(super) struct Banks {
    links: RwLock<BTreeMap<BankName, Arc<Link>>>,
    replies: mpsc::Sender<Heard>,
    /// The requests that payments came with, as far as they are remembered.
    traces: Mutex<HashMap<PaymentId, TraceContext>>,
    /// This node's certificate. Whom it calls by a bank's name must then have that bank's.
    tls: Option<certs::Files>,
    trials: Trials,
    /// Consul tells where banks are, and has not answered since this node started.
    unanswered: AtomicBool,
}

impl Banks {
    pub(super) fn new(replies: mpsc::Sender<Heard>, tls: Option<certs::Files>) -> Banks {
        Banks {
            links: RwLock::default(),
            replies,
            traces: Mutex::default(),
            tls,
            trials: Trials::default(),
            unanswered: AtomicBool::new(false),
        }
    }

    /// Sets whether this node still waits for Consul's first answer. Until then it cannot say that a bank does not exist.
    pub(super) fn wait_for_consul(&self, waits: bool) {
        self.unanswered.store(waits, Ordering::Relaxed);
    }

    /// What is told of a bank that this node does not know.
    pub(super) fn unknown(&self, bank: &BankName) -> Problem {
        if !self.unanswered.load(Ordering::Relaxed) {
            return Problem::new(Code::UnknownBank, format!("there is no bank {bank} in this network"));
        }
        let detail =
            format!("where bank {bank} is cannot be found out: Consul has not answered this node since it started");
        Problem::new(Code::BankUnavailable, detail).retry_after_ms(1_000)
    }

    /// Where banks are, as somebody says. None is forgotten, and a known one is called elsewhere only when it has answered
    /// there: until then, and if it never does, where it was.
    pub(super) fn know(self: &Arc<Banks>, banks: &[(BankName, Vec<String>)]) {
        let mut left_out = Skipped::default();
        for (name, addresses) in banks {
            let mut good = Vec::new();
            for address in addresses {
                if good.len() == ADDRESSES_MAX || !is_address(address) {
                    left_out.note(|| format!("{address:?} of bank {name}"));
                } else if !good.contains(address) {
                    good.push(address.clone());
                }
            }
            if good.is_empty() {
                continue;
            }
            match self.link(name) {
                Some(link) if link.addresses == good => self.trials.end(name),
                Some(_) => self.trials.begin(self, *name, good),
                None => self.add(*name, good, &mut left_out),
            }
        }
        if !left_out.is_empty() {
            warn!(event = "bank_addresses_skipped", count = left_out.count(), which = %left_out, effect = "they are not called");
        }
    }

    /// A bank that nothing was known of: there is nothing that a wrong address could replace.
    fn add(&self, name: BankName, addresses: Vec<String>, left_out: &mut Skipped) {
        let link = match self.connect(name, addresses) {
            Ok(link) => link,
            Err(why) => return left_out.note(|| format!("bank {name}: {why}")),
        };
        let mut links = self.links.write().unwrap_or_else(PoisonError::into_inner);
        if links.len() >= LINKS_MAX {
            let never = links.values().filter(|link| !*link.reached.borrow()).min_by_key(|link| link.since);
            match never.map(|link| link.name) {
                Some(never) => drop(links.remove(&never)),
                None => return left_out.note(|| format!("bank {name}: {LINKS_MAX} banks are known already")),
            }
        }
        links.insert(name, Arc::new(link));
    }

    /// Whether that bank answers at an address.
    pub(super) async fn is_proven(&self, name: &BankName, address: &str) -> Result<(), String> {
        let tls = self.tls.clone().map(|files| of_bank(files, name)).transpose()?;
        let status = trials::ask(address, tls).await?;
        if status.group != name.as_str() {
            return Err(format!("it is a node of {:?}", status.group));
        }
        let group = status.cluster.as_ref().and_then(|id| GroupId::new(api::grpc::id_bits(id)));
        match self.link(name).and_then(|link| link.group.get().copied()) {
            Some(known) if group != Some(known) => Err("it is another bank of that name".to_owned()),
            Some(_) | None => Ok(()),
        }
    }

    /// A bank has answered at these of the addresses that are named for it now. Those that are named and were in use stay.
    pub(super) fn adopt(&self, name: &BankName, proven: &[String], named: &[String]) {
        let Some(before) = self.link(name) else { return };
        let is_good = |address: &&String| proven.contains(address) || before.addresses.contains(address);
        let addresses: Vec<String> = named.iter().filter(is_good).cloned().collect();
        if addresses == before.addresses {
            return;
        }
        match self.connect(*name, addresses) {
            Ok(link) => {
                info!(event = "bank_moved", bank = %name, addresses = %link.addresses.join(" "), before = %before.addresses.join(" "));
                let link = Arc::new(link.instead_of(&before));
                self.links.write().unwrap_or_else(PoisonError::into_inner).insert(*name, link);
            }
            Err(why) => warn!(event = "bank_address", bank = %name, why = %why),
        }
    }

    /// Banks that have answered, and where, to be kept for a start at which nobody can be asked.
    pub(super) fn reached(&self) -> BTreeMap<String, Vec<String>> {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        let reached = links.values().filter(|link| *link.reached.borrow());
        reached.map(|link| (link.name.to_string(), link.addresses.clone())).collect()
    }

    pub(super) fn link(&self, name: &BankName) -> Option<Arc<Link>> {
        self.links.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub(super) fn links(&self) -> Vec<Arc<Link>> {
        self.links.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Sends a call on its way.
    pub(super) fn call(&self, call: Call) {
        // The call itself names its bank: the side that it is about.
        let name = call.terms.party(call.kind.side()).bank;
        if let Some(link) = self.link(&name) {
            let trace = self.traces.lock().unwrap_or_else(PoisonError::into_inner).get(&call.terms.id).copied();
            let _ = link.calls.try_send((call, trace, Instant::now()));
        }
    }

    /// What is asked of banks about a payment belongs to the request that is served now. It is only for logs, so what no
    /// longer fits is forgotten.
    pub(super) fn remember_trace(&self, id: PaymentId) {
        let Some(trace) = TraceContext::current() else { return };
        let mut traces = self.traces.lock().unwrap_or_else(PoisonError::into_inner);
        if traces.len() >= TRACES_MAX {
            traces.clear();
        }
        traces.insert(id, trace);
    }

    fn connect(&self, name: BankName, addresses: Vec<String>) -> Result<Link, String> {
        let tls = self.tls.clone().map(|files| of_bank(files, &name)).transpose()?;
        let options = Options { deadline: PATIENCE, attempt_timeout: PATIENCE, tls, ..Options::default() };
        // Three, for each has connections of its own.
        let connect = || Client::connect_with(&addresses, options.clone()).map_err(|error| error.to_string());
        let (client, customer_reads) = (connect()?, CustomerReads::new(connect()?));
        let authentication = Authentication::new(connect()?);
        let (calls, queue) = mpsc::channel(QUEUE_MAX);
        let signs = Arc::<Signs>::default();
        tokio::spawn(send(client.clone(), queue, self.replies.clone(), Arc::clone(&signs)));
        let (reachable, replaying) = (AtomicBool::new(false), Arc::new(AtomicBool::new(false)));
        let ((reached, _), since, group) = (watch::channel(false), Instant::now(), OnceLock::new());
        Ok(Link {
            name,
            addresses,
            client,
            customer_reads,
            authentication,
            calls,
            reachable,
            reached,
            since,
            signs,
            replaying,
            group,
        })
    }
}

/// What can be dialled at all: whether anybody is there is seen when it is.
fn is_address(address: &str) -> bool {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]%".contains(&byte);
    let port = rest.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    rest.len() <= 255 && rest.bytes().all(is_plain) && port.is_some_and(|port| port > 0)
}

/// The way to a bank over TLS.
fn of_bank(files: certs::Files, name: &BankName) -> Result<Arc<certs::Client>, String> {
    let expected = Expected::NodeOfBank(name.as_str().parse().map_err(|error: certs::BadSubject| error.to_string())?);
    certs::Client::new(files, expected, Protocol::Grpc).map(Arc::new).map_err(|error| error.to_string())
}

/// Gathers what waits, and sends it. Ends when the link is dropped.
async fn send(client: Client, mut queue: mpsc::Receiver<Waiting>, replies: mpsc::Sender<Heard>, signs: Arc<Signs>) {
    let places = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    loop {
        let mut calls = Vec::new();
        if queue.recv_many(&mut calls, BATCH_MAX).await == 0 {
            return;
        }
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        // While the place was waited for more may have come.
        while calls.len() < BATCH_MAX
            && let Ok(more) = queue.try_recv()
        {
            calls.push(more);
        }
        let (client, replies, signs) = (client.clone(), replies.clone(), Arc::clone(&signs));
        let waited_since = calls.iter().map(|(_, _, since)| *since).min();
        let calls: Vec<(Call, Option<TraceContext>)> =
            calls.into_iter().map(|(call, trace, _)| (call, trace)).collect();
        tokio::spawn(async move {
            let answered = client.payment_calls(&calls).await;
            drop(place);
            let found = match answered {
                Ok(found) => {
                    signs.unanswered.store(0, Ordering::Relaxed);
                    waited_since.iter().for_each(|since| signs.pace.note(*since));
                    found
                }
                Err(error) => {
                    if error.code() == Some(Code::StaleEpoch) {
                        error!(event = "gateway_superseded", why = %error, todo = "this gateway was restored over, and its nodes still run: stop them");
                    }
                    return;
                }
            };
            for ((call, _), said) in calls.iter().zip(found) {
                let Some(said) = said else { continue };
                let reply = Reply { kind: call.kind, gateway: call.gateway, said };
                if replies.send(Heard { id: call.terms.id, reply }).await.is_err() {
                    return;
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn a_bank_is_slow_for_as_long_as_it_was_seen_to_be_lately() {
        let pace = Pace::default();
        assert_eq!(pace.lately(), None, "nothing is known of it");
        let long_ago = Instant::now().checked_sub(Duration::from_secs(3)).expect("the machine is up for longer");
        pace.note(long_ago);
        assert!(pace.lately().is_some_and(|took| took >= Duration::from_secs(3)));
        pace.note(Instant::now());
        assert!(pace.lately().is_none_or(|took| took < Duration::from_secs(3)), "the newest answer counts");
        *pace.0.lock().expect("nobody panicked") = Some((long_ago, Duration::from_secs(3)));
        assert_eq!(pace.lately(), None, "what was long ago says nothing of today");
    }

    #[test]
    fn that_there_is_no_such_bank_is_said_only_by_who_could_know_it() {
        let banks = Banks::new(mpsc::channel(1).0, None);
        let name = BankName::new("beta").expect("a name");
        assert_eq!(banks.unknown(&name).code, Code::UnknownBank);
        banks.wait_for_consul(true);
        assert_eq!(banks.unknown(&name).code, Code::BankUnavailable);
        banks.wait_for_consul(false);
        assert_eq!(banks.unknown(&name).code, Code::UnknownBank);
    }

    #[tokio::test]
    async fn a_bank_that_may_be_starting_is_waited_for_and_one_that_went_is_away_at_once() {
        let name = BankName::new("beta").expect("a name");
        let banks = Banks::new(mpsc::channel(1).0, None);
        let mut link = banks.connect(name, vec!["http://127.0.0.1:1".to_owned()]).expect("an address");
        link.looked_in_vain();
        link.looked_in_vain();
        assert_eq!(link.is_there().now_or_never(), None, "it may be starting");
        link.since = link.since.checked_sub(COMING_MAX).expect("the machine is up for longer");
        assert_eq!(link.is_there().now_or_never(), Some(false), "it did not come for long");
        link.since = Instant::now();
        link.looked(None);
        link.set_reachable(true);
        assert_eq!(link.is_there().now_or_never(), Some(true));
        link.looked_in_vain();
        assert_eq!(link.is_there().now_or_never(), Some(true), "a busy moment");
        link.looked_in_vain();
        assert_eq!(link.is_there().now_or_never(), Some(false), "it is gone");
    }
}
