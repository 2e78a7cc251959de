//! Who belongs to the bank, and how it finds who proposes: `/v1/members` and `/v1/mode`, and the same over gRPC.
//!
//! A change names the version that it replaces. Asked for twice it is made once, and both are told that it is so.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use api::code::Code;
use api::json::{ChangeMembers, ChangeMode, GroupState, MemberChange, ModeState};
use api::problem::Problem;
use api::status::{NodeStatus, PeerStatus};
use axum::extract::State;
use axum::response::Response;
use paxos::NodeId;
use replica::group::{Address, Change, ChangeRefused, Group, Member, Mode, Op, Role};

use super::answer::{self, Freshness, Refusal};
use super::body::Call;
use super::desk::Desk;
use super::port::{ChangeError, NodePort, SubmitError};
use crate::handle::{members, mode};

/// What a change of members that is not in force yet asks its caller to wait, in milliseconds.
const IN_FLIGHT_MS: u64 = 100;
/// A change of mode that names no version is asked again when another change came first.
const MODE_ATTEMPTS: usize = 4;
/// Node numbers are at most this.
const NODE_MAX: u16 = 99;
/// A voter counts as live when it was heard after the change was asked for: members say something many times a second, and
/// whoever hangs says nothing. A busy machine may delay that, so it is waited for.
const HEARD_WITHIN: Duration = Duration::from_secs(2);
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// `GET /v1/members`.
pub async fn list<B: NodePort>(State(desk): State<Desk<B>>) -> Result<Response, Refusal> {
    Ok(answer::ok(&state(&desk, &read(&desk).await?, false), Freshness::First))
}

/// `POST /v1/members`.
pub async fn change<B: NodePort>(State(desk): State<Desk<B>>, call: Call) -> Result<Response, Refusal> {
    let ChangeMembers { expected_version, change } = call.json()?;
    let (group, already) = change_members(&desk, expected_version, change).await?;
    Ok(answer::ok(&state(&desk, &group, already), Freshness::of(already)))
}

/// `GET /v1/mode`.
pub async fn read_mode<B: NodePort>(State(desk): State<Desk<B>>) -> Result<Response, Refusal> {
    Ok(answer::ok(&mode_state(&desk, &read(&desk).await?, false), Freshness::First))
}

/// `POST /v1/mode`.
pub async fn change_mode<B: NodePort>(State(desk): State<Desk<B>>, call: Call) -> Result<Response, Refusal> {
    let ChangeMode { mode, expected_version } = call.json()?;
    let (group, already) = set_mode(&desk, mode, expected_version).await?;
    Ok(answer::ok(&mode_state(&desk, &group, already), Freshness::of(already)))
}

/// The group as of now.
pub(super) async fn read<B: NodePort>(desk: &Desk<B>) -> Result<Group, Problem> {
    desk.bank.group().await.map_err(|error| error.problem())
}

/// Makes one step. True if it had been made before.
pub(super) async fn change_members<B: NodePort>(
    desk: &Desk<B>,
    expected_version: u64,
    change: MemberChange,
) -> Result<(Group, bool), Problem> {
    let op = op(change)?;
    let group = read(desk).await?;
    let asked = Instant::now();
    loop {
        let since = asked.elapsed();
        match keeps_majority(&group, &op, (&desk.bank.status(), since)) {
            Ok(()) => break,
            Err(problem) if since >= HEARD_WITHIN => return Err(problem),
            Err(_) => tokio::time::sleep(LOOK_PAUSE).await,
        }
    }
    attempt(desk, Change { expected_version, op }).await
}

/// Refuses a change of votes after which the voters that answer would be no majority: the group could then not even take
/// the change back. As etcd's strict reconfiguration check, it is a look of this node before it proposes, not a rule of the
/// log: who lives is nothing that all nodes could agree on.
fn keeps_majority(group: &Group, op: &Op, (status, since): (&NodeStatus, Duration)) -> Result<(), Problem> {
    let mut voters: BTreeSet<u16> =
        group.members.iter().filter(|(_, member)| member.role == Role::Voter).map(|(node, _)| node.get()).collect();
    let changed = match op {
        Op::Promote { node } => voters.insert(node.get()),
        Op::Remove { node } => voters.remove(&node.get()),
        Op::Found { .. }
        | Op::Admit { .. }
        | Op::SetMode { .. }
        | Op::Check { .. }
        | Op::Replace { .. }
        | Op::Pin { .. }
        | Op::Refound { .. } => false,
    };
    // The last voter's removal is refused by the group itself, with a code of its own.
    if !changed || voters.is_empty() {
        return Ok(());
    }
    let lives = |node: u16| {
        let heard = |peer: &PeerStatus| peer.heard_ms_ago.is_some_and(|ms| u128::from(ms) <= since.as_millis());
        node == status.node || status.peers.iter().any(|peer| peer.node == node && heard(peer))
    };
    let (live, silent): (Vec<u16>, Vec<u16>) = voters.iter().partition(|node| lives(**node));
    let needed = voters.len() / 2 + 1;
    if live.len() >= needed {
        return Ok(());
    }
    let list = silent.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
    let left = if voters.len() == 1 { "1 voter" } else { &format!("{} voters", voters.len()) };
    let who = if silent.len() == 1 { format!("node {list} does") } else { format!("nodes {list} do") };
    let detail = format!(
        "{left} would be left, of which {needed} must answer, and {who} not answer node {}; nothing was changed",
        status.node
    );
    Err(Problem::new(Code::WouldLoseQuorum, detail).with("silent", list))
}

/// Sets the mode. True if it was so.
pub(super) async fn set_mode<B: NodePort>(
    desk: &Desk<B>,
    wanted: api::status::Mode,
    expected_version: Option<u64>,
) -> Result<(Group, bool), Problem> {
    let mode = match wanted {
        api::status::Mode::Leader => Mode::Leader,
        api::status::Mode::Leaderless => Mode::Leaderless,
    };
    let mut attempts = 0;
    loop {
        attempts += 1;
        let expected_version = match expected_version {
            Some(version) => version,
            None => read(desk).await?.version,
        };
        let done = attempt(desk, Change { expected_version, op: Op::SetMode { mode } }).await;
        let raced = matches!(&done, Err(problem) if problem.code == Code::GroupVersionMismatch);
        if !raced || attempts == MODE_ATTEMPTS || done.is_ok() {
            return done;
        }
    }
}

async fn attempt<B: NodePort>(desk: &Desk<B>, change: Change) -> Result<(Group, bool), Problem> {
    match desk.bank.change(change).await {
        Ok(group) => Ok((group, false)),
        Err(ChangeError::Refused(ChangeRefused::Already { .. })) => Ok((read(desk).await?, true)),
        Err(ChangeError::Refused(refused)) => Err(problem(refused)),
        Err(ChangeError::Submit(error)) => Err(not_made(&error)),
    }
}

/// The change of the log that a caller's change is.
#[expect(clippy::expect_used, reason = "nothing is short")]
fn op(change: MemberChange) -> Result<Op, Problem> {
    Ok(match change {
        MemberChange::Admit { node, peer, http, disk } => {
            let member = Member {
                role: Role::Learner,
                peer: address("peer", &peer)?,
                http: if http.is_empty() {
                    Address::new("").expect("nothing is short")
                } else {
                    address("http", &http)?
                },
                disk: disk.unwrap_or(0),
            };
            Op::Admit { node: number(node)?, member }
        }
        MemberChange::Promote(node) => Op::Promote { node: number(node)? },
        MemberChange::Remove(node) => Op::Remove { node: number(node)? },
    })
}

fn number(node: u16) -> Result<NodeId, Problem> {
    NodeId::new(node).filter(|_| node <= NODE_MAX).ok_or_else(|| {
        let detail = format!("{node} is no node number: nodes are numbered from 1 to {NODE_MAX}");
        Problem::new(Code::InvalidMember, detail).with("field", "node")
    })
}

/// A host and a port, as the other members will dial it.
fn address(field: &'static str, text: &str) -> Result<Address, Problem> {
    let has_port = text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    Address::new(text).filter(|_| has_port).ok_or_else(|| {
        let detail = format!("{field}: send HOST:PORT in at most {} printable characters", Address::MAX);
        Problem::new(Code::InvalidMember, detail).with("field", field)
    })
}

/// Why the group refuses a change: each reason has its code.
pub(super) fn problem(refused: ChangeRefused) -> Problem {
    let code = match refused {
        ChangeRefused::WrongVersion { .. } => Code::GroupVersionMismatch,
        ChangeRefused::NotFounded => Code::GroupNotFounded,
        ChangeRefused::UnknownNode(_) => Code::UnknownMember,
        ChangeRefused::NumberUsed { .. } => Code::MemberNumberUsed,
        ChangeRefused::LeavesNone => Code::NoVoterLeft,
        ChangeRefused::NotLearner(_) => Code::NotALearner,
        ChangeRefused::InFlight { .. } => Code::ChangeInFlight,
        ChangeRefused::TwoAtOnce => Code::TwoVotesAtOnce,
        ChangeRefused::OtherDisk(_) => Code::OtherDisk,
        ChangeRefused::TooMany => Code::TooManyMembers,
        ChangeRefused::NotARestore => Code::StaleEpoch,
        // Told as done wherever it can come from a caller.
        ChangeRefused::Already { .. } => Code::GroupVersionMismatch,
    };
    let problem = Problem::new(code, refused.to_string());
    match refused {
        ChangeRefused::WrongVersion { present } | ChangeRefused::Already { version: present } => {
            problem.with("version", present)
        }
        ChangeRefused::NumberUsed { next } => problem.with("next_number", next),
        ChangeRefused::InFlight { until } => problem.with("in_force_from", until.get()).retry_after_ms(IN_FLIGHT_MS),
        ChangeRefused::NotFounded => problem.retry_after_ms(IN_FLIGHT_MS),
        ChangeRefused::UnknownNode(node) | ChangeRefused::NotLearner(node) | ChangeRefused::OtherDisk(node) => {
            problem.with("node", node.get())
        }
        ChangeRefused::LeavesNone | ChangeRefused::TwoAtOnce | ChangeRefused::TooMany | ChangeRefused::NotARestore => {
            problem
        }
    }
}

fn not_made(error: &SubmitError) -> Problem {
    match error {
        SubmitError::OutcomeUnknown => {
            let detail = "whether the group has changed is not known yet; ask again with the same version: a change is \
                          made once";
            Problem::new(Code::OutcomeUnknown, detail)
        }
        SubmitError::NotProposed { .. } | SubmitError::Overloaded { .. } | SubmitError::ShuttingDown => {
            super::identity::not_done(error)
        }
    }
}

/// The group for whoever asked over HTTP.
pub(super) fn state<B: NodePort>(desk: &Desk<B>, group: &Group, already: bool) -> GroupState {
    let status = desk.bank.status();
    GroupState {
        bank: status.group,
        version: group.version,
        mode: mode(group.mode),
        proposer: status.proposer,
        next_number: group.next_number,
        in_force_from: group.pending_after(paxos::Slot::new(status.slots.chosen)).map(paxos::Slot::get),
        members: members(group),
        already,
    }
}

fn mode_state<B: NodePort>(desk: &Desk<B>, group: &Group, already: bool) -> ModeState {
    ModeState { mode: mode(group.mode), proposer: desk.bank.status().proposer, version: group.version, already }
}
