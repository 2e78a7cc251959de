//! `rialto status`: what every node says of itself, as a table or as JSON.

use std::time::Duration;

use api::status::{MemberRole, Mode, NodeStatus};
use clap::Args;
use serde::Serialize;
use tokio::task::JoinSet;

use super::targets::{Target, TargetArgs};
use crate::failure::{Code, Failure};
use crate::lookout::status_of;
use crate::network::name::group_text;
use crate::network::network_file::State;
use crate::supervise::portrait;
use crate::supervise::screen::grouped;

const PATIENCE: Duration = Duration::from_secs(2);

const EXAMPLES: &str = "\
Examples:
  rialto status                                     the network in ./rialto-data
  rialto status --dir /srv/rialto --json
  rialto status --url http://10.0.0.1:7101 --url http://10.0.0.2:7101 --operator-token-file token

Exit codes: 0 every bank has a leader; 1 one has none that answers, or nobody answers; 2 wrong flags";

/// Show role, leader, slots and lag of every node
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    targets: TargetArgs,
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// What came of asking one node.
#[derive(Debug, Serialize)]
struct Asked {
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<u16>,
    #[serde(flatten)]
    answer: Answer,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Status(Box<NodeStatus>),
    Silent(String),
}

pub(crate) async fn run(args: StatusArgs) -> Result<Code, Failure> {
    let asked = ask_all(args.targets.targets()?).await;
    if args.json {
        #[derive(Serialize)]
        struct All<'a> {
            nodes: &'a [Asked],
        }
        let json = serde_json::to_string(&All { nodes: &asked }).expect("statuses hold only strings and numbers");
        println!("{json}");
    } else {
        for line in table(&asked) {
            println!("{line}");
        }
    }
    Ok(if every_group_is_led(&asked) { Code::Done } else { Code::Failed })
}

/// For the audit: each bank in short, and what is out of the ordinary about its nodes.
pub(super) async fn remarks_of(targets: Vec<Target>) -> Vec<String> {
    let asked = ask_all(targets).await;
    let mut lines = Vec::new();
    for group in groups(&asked) {
        let Some(name) = group else { continue };
        let members: Vec<&Asked> = asked.iter().filter(|a| a.group.as_deref() == group).collect();
        lines.push(format!("{}: {}", group_text(name), in_short(&members).replace("   ", ", ")));
        for member in members {
            if let Answer::Status(status) = &member.answer {
                let out_of_the_ordinary = portrait::remarks(status);
                if !out_of_the_ordinary.is_empty() {
                    lines.push(format!("node {} of {}: {out_of_the_ordinary}", status.node, group_text(name)));
                }
                lines.extend(
                    status.rot.iter().map(|what| format!("node {} of {}: {what}", status.node, group_text(name))),
                );
            }
        }
    }
    lines
}

async fn ask_all(targets: Vec<Target>) -> Vec<Asked> {
    let mut asking = JoinSet::new();
    for (place, target) in targets.into_iter().enumerate() {
        asking.spawn(async move { (place, ask(&target).await) });
    }
    let mut answers = asking.join_all().await;
    answers.sort_by_key(|(place, _)| *place);
    answers.into_iter().map(|(_, asked)| asked).collect()
}

async fn ask(target: &Target) -> Asked {
    let known = target.known.as_ref();
    let (group, node) = (known.map(|k| k.group.clone()), known.map(|k| k.node));
    let address = target.address.to_string();
    match status_of(&mut target.client(), PATIENCE).await {
        Ok(status) => Asked {
            address,
            group: Some(status.group.clone()),
            node: Some(status.node),
            answer: Answer::Status(Box::new(status)),
        },
        Err(why) => {
            let why = match known.map(|k| k.state) {
                Some(State::ShutDown) => "told to shut down; it stays down until `rialto up` runs again".to_owned(),
                Some(State::Stopped) => "stopped; start it: rialto up".to_owned(),
                Some(State::Running | State::Died) | None => why.to_string(),
            };
            Asked { address, group, node, answer: Answer::Silent(why) }
        }
    }
}

fn groups(asked: &[Asked]) -> Vec<Option<&str>> {
    let mut groups: Vec<Option<&str>> = asked.iter().map(|a| a.group.as_deref()).collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

fn every_group_is_led(asked: &[Asked]) -> bool {
    let led = |group: &Option<&str>| {
        asked.iter().filter(|a| a.group.as_deref() == *group).any(|a| match &a.answer {
            Answer::Status(status) => status.quorum && (status.leader.is_some() || status.mode == Mode::Leaderless),
            Answer::Silent(_) => false,
        })
    };
    // Addresses that did not answer belong to no known group; what the others say decides.
    let groups = groups(asked);
    let known: Vec<_> = groups.iter().filter(|group| group.is_some()).collect();
    !known.is_empty() && known.into_iter().all(led)
}

fn table(asked: &[Asked]) -> Vec<String> {
    let mut lines = Vec::new();
    for group in groups(asked) {
        let members: Vec<&Asked> = asked.iter().filter(|a| a.group.as_deref() == group).collect();
        let led = in_short(&members);
        lines.push(match group {
            Some(group) => format!("{}   {led}", group_text(group)),
            None => "unknown".to_owned(),
        });
        lines.push(format!(
            "  {:<4}  {:<9}  {:<16}  {:>8}  {:>11}  {:>11}  {:>11}  {:>11}  {:>7}  {}",
            "node", "role", "address", "ballot", "accepted", "chosen", "applied", "checkpoint", "lag", "digest"
        ));
        lines.extend(members.into_iter().map(row));
        lines.push(String::new());
    }
    lines.pop();
    lines
}

/// Mode, who leads or holds the pen, who has a vote: as the best informed says of those that a majority answers.
fn in_short(members: &[&Asked]) -> String {
    let statuses = members.iter().filter_map(|a| match &a.answer {
        Answer::Status(status) if status.quorum => Some(status),
        Answer::Status(_) | Answer::Silent(_) => None,
    });
    let Some(best) = statuses.max_by_key(|status| status.slots.applied) else { return "nobody leads".to_owned() };
    let first = match best.mode {
        Mode::Leader => best.leader.map_or_else(|| "nobody leads".to_owned(), |node| format!("node {node} leads")),
        Mode::Leaderless => best.pen.map_or_else(
            || "nobody holds the pen at this moment".to_owned(),
            |node| format!("node {node} holds the pen"),
        ),
    };
    let of = |role| {
        let nodes: Vec<String> =
            best.members.iter().filter(|m| m.role == role).map(|member| member.node.to_string()).collect();
        nodes.join(" ")
    };
    let (voters, learners) = (of(MemberRole::Voter), of(MemberRole::Learner));
    let mut text = format!("{} mode   {first}", best.mode.text());
    if !voters.is_empty() {
        text += &format!("   members {voters} (version {})", best.group_version);
    }
    if !learners.is_empty() {
        text += &format!("   learning {learners}");
    }
    text
}

fn row(asked: &Asked) -> String {
    let node = asked.node.map_or_else(|| "?".to_owned(), |node| node.to_string());
    match &asked.answer {
        Answer::Status(status) => {
            let ballot = format!("{}.{}", status.ballot.round, status.ballot.node);
            let digest = status.digest.get(..12).unwrap_or(&status.digest);
            format!(
                "  {node:<4}  {:<9}  {:<16}  {ballot:>8}  {:>11}  {:>11}  {:>11}  {:>11}  {:>7}  {digest}{}",
                portrait::standing(status),
                asked.address,
                grouped(status.slots.accepted),
                grouped(status.slots.chosen),
                grouped(status.slots.applied),
                grouped(status.checkpoint),
                grouped(status.lag),
                remarks(status),
            )
        }
        Answer::Silent(why) => format!("  {node:<4}  {:<9}  {:<16}  {why}", "silent", asked.address),
    }
}

/// What is out of the ordinary.
fn remarks(status: &NodeStatus) -> String {
    let mut remarks = Vec::new();
    if !status.quorum {
        remarks.push("no majority answers it".to_owned());
    }
    if status.clock_skew_ms.abs() > 1_000 {
        remarks.push(format!("its clock is {} ms off", status.clock_skew_ms));
    }
    if let Some(node) = status.held_back_by {
        remarks.push(format!("its log waits for node {node}'s checkpoint"));
    }
    remarks.extend(Some(portrait::remarks(status)).filter(|remarks| !remarks.is_empty()));
    if remarks.is_empty() { String::new() } else { format!("   {}", remarks.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::status::{BallotStatus, MemberState, Role, SlotStatus, TransferState};
    use expect_test::expect;

    fn member(node: u16) -> MemberState {
        let at = |port: u16| format!("127.0.0.1:{}", port + node);
        MemberState { node, role: MemberRole::Voter, peer: at(7120), http: at(7100), disk: None }
    }

    fn said(node: u16, role: Role, quorum: bool) -> Asked {
        let status = NodeStatus {
            group: "alpha".to_owned(),
            node,
            role,
            leader: Some(1),
            quorum,
            ballot: BallotStatus { round: 3, node: 1 },
            slots: SlotStatus { accepted: 1290, chosen: 1284, applied: 1284 },
            digest: "0123456789abcdef".to_owned(),
            group_version: 1,
            members: [1, 2, 3].map(member).to_vec(),
            ..NodeStatus::default()
        };
        Asked {
            address: format!("127.0.0.1:710{node}"),
            group: Some("alpha".to_owned()),
            node: Some(node),
            answer: Answer::Status(Box::new(status)),
        }
    }

    fn silent(node: u16) -> Asked {
        let answer = Answer::Silent("connection refused, nothing listens there".to_owned());
        Asked { address: format!("127.0.0.1:710{node}"), group: Some("alpha".to_owned()), node: Some(node), answer }
    }

    #[test]
    fn the_table_shows_the_silent_with_the_reason() {
        let table = table(&[said(1, Role::Leader, true), said(2, Role::Follower, true), silent(3)]).join("\n") + "\n";
        expect![[r#"
            bank alpha   leader mode   node 1 leads   members 1 2 3 (version 1)
              node  role       address             ballot     accepted       chosen      applied   checkpoint      lag  digest
              1     leader     127.0.0.1:7101         3.1        1 290        1 284        1 284            0        0  0123456789ab
              2     follower   127.0.0.1:7102         3.1        1 290        1 284        1 284            0        0  0123456789ab
              3     silent     127.0.0.1:7103    connection refused, nothing listens there
        "#]]
        .assert_eq(&table);
    }

    #[test]
    fn without_a_leader_the_pen_is_shown_and_a_newcomers_progress() {
        let leaderless = |asked: Asked, pen| match asked.answer {
            Answer::Status(status) => {
                let mut members = [1, 2, 3, 4].map(member).to_vec();
                members[3].role = MemberRole::Learner;
                let status = NodeStatus { mode: Mode::Leaderless, pen: Some(pen), leader: None, members, ..*status };
                Asked { answer: Answer::Status(Box::new(status)), ..asked }
            }
            Answer::Silent(_) => asked,
        };
        let mut newcomer = leaderless(said(4, Role::Receiving, true), 2);
        if let Answer::Status(status) = &mut newcomer.answer {
            status.slots.applied = 0;
            status.transfer = Some(TransferState { done: 1_500, total: 3_000 });
        }
        let all = [leaderless(said(1, Role::Follower, true), 2), leaderless(said(2, Role::Leader, true), 2), newcomer];
        let table = table(&all).join("\n") + "\n";
        expect![[r#"
            bank alpha   leaderless mode   node 2 holds the pen   members 1 2 3 (version 1)   learning 4
              node  role       address             ballot     accepted       chosen      applied   checkpoint      lag  digest
              1     member     127.0.0.1:7101         3.1        1 290        1 284        1 284            0        0  0123456789ab
              2     has pen    127.0.0.1:7102         3.1        1 290        1 284        1 284            0        0  0123456789ab
              4     receiving  127.0.0.1:7104         3.1        1 290        1 284            0            0        0  0123456789ab   receives the books: 50 %, 1 500 of 3 000 records
        "#]]
        .assert_eq(&table);
        assert!(every_group_is_led(&all));
    }

    #[test]
    fn a_bank_without_a_majority_is_not_led() {
        assert!(every_group_is_led(&[said(1, Role::Leader, true), silent(2)]));
        assert!(!every_group_is_led(&[said(1, Role::Follower, false), silent(2), silent(3)]));
        assert!(!every_group_is_led(&[silent(1)]));
    }
}
