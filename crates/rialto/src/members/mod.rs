//! Members of a bank that come and go, step by step: what `rialto members`, and `rialto up --nodes`, do.
//!
//! ```text
//!   add      admitted as a learner ─► caught up ─► given a vote ─► in force
//!   remove   no member any more ─► in force ─► a majority has all that it had ─► its process may end
//!   replace  add, then remove: never in one step, which could choose two things in one slot
//! ```
//!
//! Nothing is remembered here: every step begins by looking at what the group *is*. So a command that was interrupted, or lost
//! a race against another, simply goes on when it is run again, and running it once more changes nothing.

pub(crate) mod bank;
mod here;

use std::time::Duration;

use api::code::Code;
use api::json::{GroupState, MemberChange};
use api::status::{MemberRole, MemberState, NodeStatus, Role};
use tokio::time::{Instant, sleep};

use crate::failure::Failure;
use crate::follow_up;
use crate::lookout::NoStatus;
use crate::waiting::waiting_for;
use bank::{Bank, Changed};
pub(crate) use here::{Here, resize};

/// A newcomer gets its vote when it lags by no more than this: the others then never wait for it long. Twice the pipeline.
const LAG_MAX: u64 = 128;
const LOOK_PAUSE: Duration = Duration::from_millis(50);
/// A process on this machine that says nothing for so long will say nothing any more.
const SILENCE_HERE_MAX: Duration = Duration::from_secs(60);
/// A newcomer on another machine is waited for so long, unless the command says otherwise: a person starts it meanwhile.
pub(crate) const SILENCE_ELSEWHERE_MAX: Duration = Duration::from_secs(30 * 60);
/// A removed node is given so long to see that it is needed no more.
const LEAVING_MAX: Duration = Duration::from_secs(30);

/// What is told while something goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    Line(String),
    /// So much of so much.
    Progress {
        doing: String,
        done: u64,
        total: u64,
    },
}

/// Whoever listens.
pub(crate) type Say<'a> = &'a mut (dyn FnMut(News) + Send);

/// A node that is to have a vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Newcomer {
    pub(crate) node: u16,
    pub(crate) peer: String,
    pub(crate) http: String,
    /// The only disk that may speak for it, where it is known beforehand.
    pub(crate) disk: Option<u64>,
    pub(crate) runs: Runs,
}

/// Who starts a newcomer's process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Runs {
    /// `rialto up`, which has.
    Here,
    /// A person on another machine, by these commands; waited for so long.
    Elsewhere { commands: Vec<String>, patience: Duration },
}

pub(crate) fn find(group: &GroupState, node: u16) -> Option<&MemberState> {
    group.members.iter().find(|member| member.node == node)
}

pub(crate) fn voters(group: &GroupState) -> Vec<u16> {
    group.members.iter().filter(|member| member.role == MemberRole::Voter).map(|member| member.node).collect()
}

/// From wherever the newcomer is to a vote in force.
pub(crate) async fn add(bank: &Bank, newcomer: &Newcomer, say: Say<'_>) -> Result<GroupState, Failure> {
    let node = newcomer.node;
    loop {
        let group = bank.group().await?;
        let change = match find(&group, node).map(|member| member.role) {
            Some(MemberRole::Voter) => return in_force(bank, say).await,
            Some(MemberRole::Learner) => {
                caught_up(bank, newcomer, say).await?;
                MemberChange::Promote(node)
            }
            None if u32::from(node) < group.next_number => return Err(number_used(node, group.next_number)),
            None => MemberChange::Admit {
                node,
                peer: newcomer.peer.clone(),
                http: newcomer.http.clone(),
                disk: newcomer.disk,
            },
        };
        let done = match change {
            MemberChange::Promote(_) => format!("node {node} has caught up and has a vote"),
            MemberChange::Admit { .. } | MemberChange::Remove(_) => {
                format!("node {node} is admitted: it learns, and has no vote yet")
            }
        };
        // Promoting needs the present version: waiting for the newcomer took its time.
        let version =
            if matches!(change, MemberChange::Promote(_)) { bank.group().await?.version } else { group.version };
        match bank.change(version, change).await? {
            Changed::Taken(_) => say(News::Line(done)),
            // Somebody changed the group meanwhile, or this did before it was cut short: look again.
            Changed::Meanwhile => {}
        }
    }
}

fn number_used(node: u16, next: u32) -> Failure {
    Failure::new(format!("node {node} cannot join: numbers are never used twice, and {node} was used before"))
        .line(format!("the next free number is {next}"))
}

/// Until the last change is in force everywhere a majority is.
async fn in_force(bank: &Bank, say: Say<'_>) -> Result<GroupState, Failure> {
    let mut told = false;
    let _waiting = waiting_for("the change to be in force");
    loop {
        let group = bank.group().await?;
        let Some(slot) = group.in_force_from else { return Ok(group) };
        if !std::mem::replace(&mut told, true) {
            say(News::Line(format!("in force from slot {slot} on")));
        }
        sleep(LOOK_PAUSE).await;
    }
}

/// Until the newcomer has what the others have.
async fn caught_up(bank: &Bank, newcomer: &Newcomer, say: Say<'_>) -> Result<(), Failure> {
    let mut silent_since = None;
    let mut waiting = None;
    let mut told_commands = false;
    let mut lag_first = None;
    let mut seen_well = 0;
    let node = newcomer.node;
    loop {
        match bank.status_at(&newcomer.http).await {
            Ok(status) if status.node != node => {
                return Err(Failure::new(format!(
                    "at {} is node {} of bank {}, not node {node}",
                    newcomer.http, status.node, status.group
                )));
            }
            Ok(status) => {
                (silent_since, waiting) = (None, None);
                seen_well = if is_caught_up(&status) { seen_well + 1 } else { 0 };
                if seen_well >= 2 {
                    return Ok(());
                }
                if let Some(news) = progress(node, &status, &mut lag_first) {
                    say(news);
                }
            }
            Err(NoStatus::OtherCluster) => return Err(elsewhere_now(newcomer)),
            Err(why) => {
                seen_well = 0;
                if let Runs::Elsewhere { commands, .. } = &newcomer.runs
                    && !std::mem::replace(&mut told_commands, true)
                {
                    say(News::Line(format!("on the machine of node {node}, run:")));
                    commands.iter().for_each(|line| say(News::Line(format!("  {line}"))));
                    say(News::Line(format!(
                        "waiting for it at {}; stopping this command does no harm, it goes on when run again",
                        newcomer.http
                    )));
                }
                let since = *silent_since.get_or_insert_with(Instant::now);
                let (patience, advice) = match &newcomer.runs {
                    Runs::Here => (SILENCE_HERE_MAX, "its log says why: DIR/<bank>/<node>/node.log"),
                    Runs::Elsewhere { patience, .. } => (*patience, "--timeout SECONDS waits longer"),
                };
                if since.elapsed() >= patience {
                    return Err(Failure::new(format!(
                        "node {node} does not answer for {} s: {why}",
                        patience.as_secs()
                    ))
                    .line(format!("{advice}; the same command then goes on")));
                }
                waiting.get_or_insert_with(|| waiting_for(format!("node {node} at {}", newcomer.http)));
            }
        }
        sleep(LOOK_PAUSE).await;
    }
}

fn elsewhere_now(newcomer: &Newcomer) -> Failure {
    Failure::new(format!("at {} is a node of another cluster than node {} is to join", newcomer.http, newcomer.node))
        .line(
            "it was made with another --cluster, or its address belongs to another network; nothing was changed there",
        )
        .with_problem(Code::OtherCluster)
}

fn is_caught_up(status: &NodeStatus) -> bool {
    let knows_itself = status.members.iter().any(|member| member.node == status.node);
    let receives = status.transfer.is_some() || matches!(status.role, Role::Receiving | Role::Starting);
    knows_itself && !receives && status.lag <= LAG_MAX
}

fn progress(node: u16, status: &NodeStatus, lag_first: &mut Option<u64>) -> Option<News> {
    match status.transfer {
        Some(transfer) => Some(News::Progress {
            doing: format!("node {node} receives the books"),
            done: transfer.done,
            total: transfer.total,
        }),
        // It has not heard yet how far the others are.
        None if status.lag == 0 && lag_first.is_none() => None,
        None => {
            let total = (*lag_first.get_or_insert(status.lag)).max(status.lag).max(1);
            *lag_first = Some(total);
            Some(News::Progress { doing: format!("node {node} catches up"), done: total - status.lag, total })
        }
    }
}

/// From a member to none, in force; and until the node's process is needed no more, if it answers.
pub(crate) async fn remove(bank: &Bank, node: u16, say: Say<'_>) -> Result<GroupState, Failure> {
    let mut http = None;
    loop {
        let group = bank.group().await?;
        let Some(member) = find(&group, node) else { break };
        http = Some(member.http.clone());
        if voters(&group) == [node] {
            return Err(Failure::new(format!("node {node} is the only one with a vote: nobody would be left")).line(
                format!("add another first: {}", follow_up::command(&format!("members add --bank {}", group.bank))),
            ));
        }
        match bank.change(group.version, MemberChange::Remove(node)).await? {
            Changed::Taken(_) => say(News::Line(format!("node {node} is removed: its number is never used again"))),
            Changed::Meanwhile => {}
        }
    }
    let group = in_force(bank, say).await?;
    if let Some(http) = http {
        let give_up = Instant::now() + LEAVING_MAX;
        let _waiting = waiting_for(format!("node {node} to see that it is needed no more"));
        // One that is dead has nothing to finish; one that sees that it is needed no more ends by itself.
        while let Ok(status) = bank.status_at(&http).await {
            if status.may_leave || status.node != node || Instant::now() >= give_up {
                break;
            }
            sleep(LOOK_PAUSE).await;
        }
    }
    Ok(group)
}

/// Add, then remove. Who is gone already needs no removing.
pub(crate) async fn replace(bank: &Bank, old: u16, newcomer: &Newcomer, say: Say<'_>) -> Result<GroupState, Failure> {
    let group = bank.group().await?;
    if newcomer.node == old {
        return Err(Failure::usage(format!("node {old} cannot take its own place: numbers are never used twice"))
            .line(format!("the next free number is {}", group.next_number)));
    }
    if find(&group, old).is_none() && find(&group, newcomer.node).is_none() {
        return Err(unknown(old, &group));
    }
    add(bank, newcomer, say).await?;
    remove(bank, old, say).await
}

pub(crate) fn unknown(node: u16, group: &GroupState) -> Failure {
    let members: Vec<String> = group.members.iter().map(|member| member.node.to_string()).collect();
    Failure::new(format!("node {node} is no member of bank {}", group.bank))
        .line(format!("its members: {}", members.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::status::TransferState;

    fn newcomer_status(lag: u64) -> NodeStatus {
        let member = |node, role| MemberState { node, role, peer: String::new(), http: String::new(), disk: None };
        NodeStatus {
            node: 4,
            role: Role::Learner,
            lag,
            members: vec![member(1, MemberRole::Voter), member(4, MemberRole::Learner)],
            ..NodeStatus::default()
        }
    }

    #[test]
    fn a_newcomer_has_caught_up_when_it_knows_itself_receives_nothing_and_lags_little() {
        assert!(is_caught_up(&newcomer_status(LAG_MAX)));
        assert!(!is_caught_up(&newcomer_status(LAG_MAX + 1)));
        let transfer = Some(TransferState { done: 1, total: 2 });
        assert!(!is_caught_up(&NodeStatus { transfer, ..newcomer_status(0) }));
        assert!(!is_caught_up(&NodeStatus { role: Role::Receiving, ..newcomer_status(0) }));
        assert!(
            !is_caught_up(&NodeStatus { members: Vec::new(), ..newcomer_status(0) }),
            "it has not heard of itself yet"
        );
    }

    #[test]
    fn progress_is_what_was_received_and_then_what_is_still_to_learn() {
        let mut lag = None;
        let transfer = Some(TransferState { done: 10, total: 40 });
        let receiving = progress(4, &NodeStatus { transfer, ..newcomer_status(0) }, &mut lag);
        let told = News::Progress { doing: "node 4 receives the books".to_owned(), done: 10, total: 40 };
        assert_eq!(receiving, Some(told));
        assert_eq!(progress(4, &newcomer_status(0), &mut lag), None, "it does not know yet how far it lags");
        let steps = [500, 200].map(|left| progress(4, &newcomer_status(left), &mut lag));
        let doing = "node 4 catches up".to_owned();
        assert_eq!(steps, [0, 300].map(|done| Some(News::Progress { doing: doing.clone(), done, total: 500 })));
    }
}
