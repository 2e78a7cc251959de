//! Figures for `/metrics`, in the text format of OpenMetrics.
//!
//! Requests and outcomes are counted by the edges. What the node knows comes in two ways: gauges are set from its
//! [`NodeStatus`] whenever somebody asks, and the handles of the struct that are `pub` (fsync times, queue lengths) are
//! fed by the node itself. A figure costs an atomic addition; nothing here decides anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use api::status::{MemberRole, Mode, NodeStatus, Role};

/// The media type of the text format.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Number = Gauge<u64, AtomicU64>;

/// Every figure of one node. A clone is another handle of the same figures.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Figures>);

#[derive(Debug)]
struct Figures {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram, fn() -> Histogram>,
    outcomes: Family<OutcomeLabels, Counter>,
    fsync: Histogram,
    queues: Family<QueueLabels, Number>,
    role: Family<RoleLabels, Number>,
    slots: Family<SlotLabels, Number>,
    leader: Number,
    ballot_round: Number,
    ballot_node: Number,
    checkpoint: Number,
    lag: Number,
    quorum: Number,
    ready: Number,
    clock_skew_ms: Gauge,
    clock_off: Number,
    log_ahead_ms: Number,
    accounts: Number,
    journal_records: Number,
    group_version: Number,
    voters: Number,
    learners: Number,
    leaderless: Number,
    proposer: Number,
    transfer_done: Number,
    transfer_total: Number,
    votes_lost: Number,
    contradicted: Number,
    rot_repaired: Counter,
    rot_unmended: Number,
    /// What `rot_repaired` was brought to.
    rot_told: AtomicU64,
    log_bytes: Number,
    memory_bytes: Number,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    wire: &'static str,
    route: String,
    code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    wire: &'static str,
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueueLabels {
    queue: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RoleLabels {
    role: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SlotLabels {
    state: &'static str,
}

/// From a tenth of a millisecond to six seconds, by doubling.
fn latency_histogram() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 2.0, 17))
}

impl Metrics {
    pub fn new() -> Metrics {
        let mut registry = Registry::with_prefix("rialto");
        let requests = Family::default();
        let durations: Family<RouteLabels, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(latency_histogram as fn() -> Histogram);
        let (outcomes, queues, role, slots) =
            (Family::default(), Family::default(), Family::default(), Family::default());
        let fsync = latency_histogram();
        let clock_skew_ms = Gauge::default();
        registry.register("requests", "Requests answered, by route and stable code", Family::clone(&requests));
        registry.register("request_seconds", "Time to the answer, by route", Family::clone(&durations));
        registry.register("outcomes", "Outcomes of commands given to callers, by code", Family::clone(&outcomes));
        registry.register("fsync_seconds", "Time of one sync of the log", Histogram::clone(&fsync));
        registry.register("queue_length", "What waits in a queue", Family::clone(&queues));
        let rot_repaired = Counter::default();
        registry.register("rot_repaired", "Rotten records found and repaired", Counter::clone(&rot_repaired));
        registry.register("role", "1 for the role that the node has", Family::clone(&role));
        registry.register("slot", "Highest slot in that state", Family::clone(&slots));
        registry.register(
            "clock_skew_milliseconds",
            "Own clock less the majority's median",
            Gauge::clone(&clock_skew_ms),
        );
        let mut number = |name: &str, help: &str| {
            let gauge = Number::default();
            registry.register(name, help, Number::clone(&gauge));
            gauge
        };
        let leader = number("leader", "Node number of the leader, 0 while none is known");
        let ballot_round = number("ballot_round", "Round of the highest ballot seen");
        let ballot_node = number("ballot_node", "Node of the highest ballot seen");
        let checkpoint = number("checkpoint_slot", "Last slot of the durable checkpoint");
        let clock_off = number("clock_off", "1 if the clock is too far from the others' for the node to be ready");
        let log_ahead_ms =
            number("log_ahead_milliseconds", "By how much the log's time is ahead of the group's clocks");
        let lag = number("lag_slots", "Slots chosen and not yet applied here");
        let quorum = number("quorum", "1 while a majority answers this node");
        let ready = number("ready", "1 while the node has a quorum and has caught up");
        let accounts = number("accounts", "Accounts, the bank's own included");
        let journal_records = number("journal_records", "Records of the journal");
        let group_version = number("group_version", "Changes of the group applied here");
        let voters = number("voters", "Members with a vote");
        let learners = number("learners", "Members without a vote");
        let leaderless = number("leaderless", "1 while every node proposes what it is asked");
        let proposer = number("proposer", "Node number of the current proposer, 0 while none is known");
        let transfer_done = number("transfer_done_records", "Records of the books received so far, 0 when none are");
        let transfer_total = number("transfer_total_records", "Records of the books to be received, 0 when none are");
        let rot_unmended = number("rot_unmended", "Rotten places that this node cannot mend while it runs");
        let votes_lost = number("votes_lost", "1 on a node that lost a promise or a vote and is to be replaced");
        let contradicted = number("payments_contradicted", "Payments whose decision a bank contradicts, of a gateway");
        let log_bytes = number("log_bytes", "Bytes of the log on disk");
        let memory_bytes = number("memory_bytes", "Resident memory of the process");
        Metrics(Arc::new(Figures {
            registry,
            requests,
            durations,
            outcomes,
            fsync,
            queues,
            role,
            slots,
            leader,
            ballot_round,
            ballot_node,
            checkpoint,
            lag,
            quorum,
            ready,
            clock_skew_ms,
            clock_off,
            log_ahead_ms,
            accounts,
            journal_records,
            group_version,
            voters,
            learners,
            leaderless,
            proposer,
            transfer_done,
            transfer_total,
            votes_lost,
            contradicted,
            rot_repaired,
            rot_unmended,
            rot_told: AtomicU64::new(0),
            log_bytes,
            memory_bytes,
        }))
    }

    /// Times of syncs; the node's log observes seconds.
    pub fn fsync(&self) -> &Histogram {
        &self.0.fsync
    }

    /// The gauge of one queue, to be kept and set by whoever owns the queue.
    pub fn queue(&self, queue: &'static str) -> Gauge<u64, AtomicU64> {
        self.0.queues.get_or_create_owned(&QueueLabels { queue })
    }

    /// One request answered.
    pub fn count_request(&self, wire: &'static str, route: &str, code: &str, took: Duration) {
        let labels = RequestLabels { wire, route: route.to_owned(), code: code.to_owned() };
        self.0.requests.get_or_create(&labels).inc();
        let labels = RouteLabels { wire, route: route.to_owned() };
        self.0.durations.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// That many commands had that outcome: a stable code, "posted", "opened" and the like.
    pub fn count_outcomes(&self, code: &'static str, number: u64) {
        self.0.outcomes.get_or_create(&OutcomeLabels { code }).inc_by(number);
    }

    /// How many payments of a gateway a bank contradicts.
    pub fn set_contradicted(&self, payments: u64) {
        self.0.contradicted.set(payments);
    }

    /// The whole page, with the gauges as the node is now.
    #[expect(clippy::expect_used, reason = "a String takes all that is written")]
    pub fn page(&self, status: &NodeStatus) -> String {
        self.set_gauges(status);
        let mut page = String::with_capacity(8 * 1024);
        encode(&mut page, &self.0.registry).expect("a String takes all that is written");
        page
    }

    fn set_gauges(&self, status: &NodeStatus) {
        let figures = &self.0;
        for role in Role::ALL {
            figures.role.get_or_create(&RoleLabels { role: role.text() }).set(u64::from(role == status.role));
        }
        let slots =
            [("accepted", status.slots.accepted), ("chosen", status.slots.chosen), ("applied", status.slots.applied)];
        for (state, slot) in slots {
            figures.slots.get_or_create(&SlotLabels { state }).set(slot);
        }
        figures.leader.set(status.leader.map_or(0, u64::from));
        figures.ballot_round.set(status.ballot.round);
        figures.ballot_node.set(u64::from(status.ballot.node));
        figures.checkpoint.set(status.checkpoint);
        figures.lag.set(status.lag);
        figures.quorum.set(u64::from(status.quorum));
        figures.ready.set(u64::from(status.ready));
        figures.clock_skew_ms.set(status.clock_skew_ms);
        figures.clock_off.set(u64::from(status.clock_off));
        figures.log_ahead_ms.set(status.log_ahead_ms);
        figures.accounts.set(status.accounts);
        figures.journal_records.set(status.journal_records);
        let members = |role| status.members.iter().filter(|member| member.role == role).count() as u64;
        figures.group_version.set(status.group_version);
        figures.voters.set(members(MemberRole::Voter));
        figures.learners.set(members(MemberRole::Learner));
        figures.leaderless.set(u64::from(status.mode == Mode::Leaderless));
        figures.proposer.set(status.proposer.map_or(0, u64::from));
        figures.transfer_done.set(status.transfer.map_or(0, |transfer| transfer.done));
        figures.transfer_total.set(status.transfer.map_or(0, |transfer| transfer.total));
        figures.votes_lost.set(u64::from(status.votes_lost));
        figures.rot_unmended.set(status.rot_unmended);
        // The node counts; a counter here can only be added to.
        let told = figures.rot_told.fetch_max(status.rot_repaired, Ordering::Relaxed);
        figures.rot_repaired.inc_by(status.rot_repaired.saturating_sub(told));
        figures.log_bytes.set(status.log_bytes);
        figures.memory_bytes.set(status.memory_bytes);
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_shows_requests_outcomes_and_the_node() {
        let metrics = Metrics::new();
        metrics.count_request("http", "/move_money", "ok", Duration::from_millis(3));
        metrics.count_outcomes("insufficient_funds", 2);
        metrics.queue("proposals").set(7);
        metrics.fsync().observe(0.001);
        let status =
            NodeStatus { role: Role::Leader, lag: 4, clock_skew_ms: -12, rot_repaired: 3, ..NodeStatus::default() };
        let status = NodeStatus { clock_off: true, log_ahead_ms: 86_400_000, ..status };
        metrics.page(&status);
        let page = metrics.page(&status);
        for line in [
            "rialto_requests_total{wire=\"http\",route=\"/move_money\",code=\"ok\"} 1",
            "rialto_request_seconds_count{wire=\"http\",route=\"/move_money\"} 1",
            "rialto_outcomes_total{code=\"insufficient_funds\"} 2",
            "rialto_queue_length{queue=\"proposals\"} 7",
            "rialto_fsync_seconds_count 1",
            "rialto_role{role=\"leader\"} 1",
            "rialto_role{role=\"follower\"} 0",
            "rialto_lag_slots 4",
            "rialto_rot_repaired_total 3",
            "rialto_clock_skew_milliseconds -12",
            "rialto_clock_off 1",
            "rialto_log_ahead_milliseconds 86400000",
        ] {
            assert!(page.contains(line), "{line} is missing in\n{page}");
        }
        assert!(page.ends_with("# EOF\n"));
    }
}
