//! `rialto status`: what every node says of itself, as a table or as JSON.

use std::time::Duration;

use api::status::{MemberRole, Mode, NodeStatus};
use clap::Args;
use serde::Serialize;
use tokio::task::JoinSet;

use super::targets::{Target, TargetArgs};
use crate::failure::{Code, Failure};
use crate::http::Reach;
use crate::lookout::status_of;
use crate::network::name::group_text;
use crate::network::network_file::State;
use crate::plain::grouped;
use crate::supervise::columns::broken;
use crate::supervise::portrait;
use crate::waiting::waiting_for;

const PATIENCE: Duration = Duration::from_secs(2);

const EXAMPLES: &str = "\
Examples:
  rialto status                                     the network in ./rialto-data
  rialto status --wide                              every figure of a node in one line, for a wide terminal
  rialto status --dir /srv/rialto --json
  rialto status --url http://10.0.0.1:7101 --url http://10.0.0.2:7101 --operator-token-file token

Exit codes: 0 every bank has a leader; 1 one has none that answers; 2 wrong flags; 8 nobody answers;
all: rialto help exit-codes";

/// Show role, leader, slots and lag of every node
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    targets: TargetArgs,
    /// Slots accepted and chosen and the checkpoint as well; the lines are longer than 80 columns
    #[arg(long, conflicts_with = "json")]
    wide: bool,
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// Which figures are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Figures {
    /// Those that tell whether all is well, in 80 columns.
    Chief,
    All,
}

/// Where lines are broken.
const COLUMNS: usize = 80;

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
    #[serde(skip)]
    reach: Reach,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Status(Box<NodeStatus>),
    Silent(String),
}

pub(crate) async fn run(args: StatusArgs) -> Result<Code, Failure> {
    let asked = ask_all(args.targets.targets()?, args.targets.patience(PATIENCE)).await;
    if args.json {
        #[derive(Serialize)]
        struct All<'a> {
            nodes: &'a [Asked],
        }
        let json = serde_json::to_string(&All { nodes: &asked }).expect("statuses hold only strings and numbers");
        println!("{json}");
    } else {
        let figures = if args.wide { Figures::All } else { Figures::Chief };
        for line in table(&asked, figures) {
            println!("{line}");
        }
    }
    Ok(code(&asked))
}

fn code(asked: &[Asked]) -> Code {
    if every_group_is_led(asked) {
        Code::Done
    } else if !asked.is_empty() && asked.iter().all(|asked| asked.reach == Reach::Nobody) {
        Code::Unreachable
    } else {
        Code::Failed
    }
}

/// For the audit: each bank in short, and what is out of the ordinary about its nodes.
pub(super) async fn remarks_of(targets: Vec<Target>) -> Vec<String> {
    let asked = ask_all(targets, PATIENCE).await;
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

async fn ask_all(targets: Vec<Target>, patience: Duration) -> Vec<Asked> {
    let mut asking = JoinSet::new();
    for (place, target) in targets.into_iter().enumerate() {
        asking.spawn(async move { (place, ask(&target, patience).await) });
    }
    let mut answers = asking.join_all().await;
    answers.sort_by_key(|(place, _)| *place);
    answers.into_iter().map(|(_, asked)| asked).collect()
}

async fn ask(target: &Target, patience: Duration) -> Asked {
    let known = target.known.as_ref();
    let (group, node) = (known.map(|k| k.group.clone()), known.map(|k| k.node));
    let address = target.address.to_string();
    let _waiting = waiting_for(&address);
    match status_of(&mut target.client(), patience).await {
        Ok(status) => Asked {
            address,
            group: Some(status.group.clone()),
            node: Some(status.node),
            answer: Answer::Status(Box::new(status)),
            reach: Reach::Answered,
        },
        Err(why) => {
            let reach = why.reach();
            let why = match known.map(|k| k.state) {
                Some(State::ShutDown) => "told to shut down; it stays down until `rialto up` runs again".to_owned(),
                Some(State::Stopped) => "stopped; it starts with the next `rialto up`".to_owned(),
                Some(State::Running | State::Died) | None => why.to_string(),
            };
            Asked { address, group, node, answer: Answer::Silent(why), reach }
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

fn table(asked: &[Asked], figures: Figures) -> Vec<String> {
    let mut lines = Vec::new();
    for group in groups(asked) {
        let members: Vec<&Asked> = asked.iter().filter(|a| a.group.as_deref() == group).collect();
        let led = in_short(&members);
        let title = match group {
            Some(group) => format!("{}   {led}", group_text(group)),
            None => "unknown".to_owned(),
        };
        lines.extend(broken(&title, COLUMNS, (2, "")));
        lines.push(match figures {
            Figures::Chief => format!(
                "  {:<4}  {:<9}  {:<16}  {:>11}  {:>7}  {:>8}  {}",
                "node", "role", "address", "applied", "lag", "ballot", "digest"
            ),
            Figures::All => format!(
                "  {:<4}  {:<9}  {:<16}  {:>8}  {:>11}  {:>11}  {:>11}  {:>11}  {:>7}  {}",
                "node", "role", "address", "ballot", "accepted", "chosen", "applied", "checkpoint", "lag", "digest"
            ),
        });
        lines.extend(members.into_iter().flat_map(|asked| row(asked, figures)));
        lines.push(String::new());
    }
    lines.pop();
    lines
}

/// Mode, who leads or proposes, who has a vote: as the best informed says of those that a majority answers.
fn in_short(members: &[&Asked]) -> String {
    let statuses = members.iter().filter_map(|a| match &a.answer {
        Answer::Status(status) if status.quorum => Some(status),
        Answer::Status(_) | Answer::Silent(_) => None,
    });
    let Some(best) = statuses.max_by_key(|status| status.slots.applied) else { return "nobody leads".to_owned() };
    let first = match best.mode {
        Mode::Leader => best.leader.map_or_else(|| "nobody leads".to_owned(), |node| format!("node {node} leads")),
        Mode::Leaderless => best
            .proposer
            .map_or_else(|| "no node proposes at this moment".to_owned(), |node| format!("node {node} proposes")),
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

/// Where a node's remarks begin, below its figures.
const REMARKS: usize = 8;

fn row(asked: &Asked, figures: Figures) -> Vec<String> {
    let node = asked.node.map_or_else(|| "?".to_owned(), |node| node.to_string());
    let address = &asked.address;
    let status = match &asked.answer {
        Answer::Status(status) => status,
        Answer::Silent(why) => {
            return broken(&format!("  {node:<4}  {:<9}  {address:<16}  {why}", "silent"), COLUMNS, (REMARKS, ""));
        }
    };
    let standing = portrait::standing(status);
    let ballot = format!("{}.{}", status.ballot.round, status.ballot.node);
    let (applied, lag) = (grouped(status.slots.applied), grouped(status.lag));
    let digest = |length: usize| status.digest.get(..length).unwrap_or(&status.digest);
    let mut lines = match figures {
        Figures::Chief => {
            let digest = digest(8);
            let line =
                format!("  {node:<4}  {standing:<9}  {address:<16}  {applied:>11}  {lag:>7}  {ballot:>8}  {digest}");
            broken(&line, COLUMNS, (REMARKS, ""))
        }
        Figures::All => {
            let (accepted, chosen) = (grouped(status.slots.accepted), grouped(status.slots.chosen));
            let (checkpoint, digest) = (grouped(status.checkpoint), digest(12));
            vec![format!(
                "  {node:<4}  {standing:<9}  {address:<16}  {ballot:>8}  {accepted:>11}  {chosen:>11}  {applied:>11}  \
                 {checkpoint:>11}  {lag:>7}  {digest}"
            )]
        }
    };
    for remark in remarks(status) {
        lines.extend(broken(&format!("{}{remark}", " ".repeat(REMARKS)), COLUMNS, (REMARKS, "")));
    }
    lines
}

/// What is out of the ordinary, a line each.
fn remarks(status: &NodeStatus) -> Vec<String> {
    let mut remarks = Vec::new();
    if !status.quorum {
        remarks.push("no majority answers it".to_owned());
    }
    if let Some(node) = status.held_back_by {
        remarks.push(format!("its log waits for node {node}'s checkpoint"));
    }
    let others = portrait::remarks(status);
    remarks.extend(others.split("; ").filter(|remark| !remark.is_empty()).map(str::to_owned));
    remarks
}

/// For [`crate::fuzzing`]: all that is shown of a node that says this.
#[cfg(any(test, fuzzing))]
pub(crate) fn shown(status: NodeStatus) -> Vec<String> {
    let (address, group, node) = ("127.0.0.1:7101".to_owned(), Some(status.group.clone()), Some(status.node));
    let asked = [Asked { address, group, node, answer: Answer::Status(Box::new(status)), reach: Reach::Answered }];
    let _ = code(&asked);
    [Figures::Chief, Figures::All].into_iter().flat_map(|figures| table(&asked, figures)).collect()
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
            reach: Reach::Answered,
        }
    }

    fn silent(node: u16) -> Asked {
        let answer = Answer::Silent("connection refused, nothing listens there".to_owned());
        let (address, reach) = (format!("127.0.0.1:710{node}"), Reach::Nobody);
        Asked { address, group: Some("alpha".to_owned()), node: Some(node), answer, reach }
    }

    #[test]
    fn the_table_shows_the_silent_with_the_reason() {
        let all = [said(1, Role::Leader, true), said(2, Role::Follower, true), silent(3)];
        expect![[r#"
            bank alpha   leader mode   node 1 leads   members 1 2 3 (version 1)
              node  role       address               applied      lag    ballot  digest
              1     leader     127.0.0.1:7101          1 284        0       3.1  01234567
              2     follower   127.0.0.1:7102          1 284        0       3.1  01234567
              3     silent     127.0.0.1:7103    connection refused, nothing listens there
        "#]]
        .assert_eq(&(table(&all, Figures::Chief).join("\n") + "\n"));
        expect![[r#"
            bank alpha   leader mode   node 1 leads   members 1 2 3 (version 1)
              node  role       address             ballot     accepted       chosen      applied   checkpoint      lag  digest
              1     leader     127.0.0.1:7101         3.1        1 290        1 284        1 284            0        0  0123456789ab
              2     follower   127.0.0.1:7102         3.1        1 290        1 284        1 284            0        0  0123456789ab
              3     silent     127.0.0.1:7103    connection refused, nothing listens there
        "#]]
        .assert_eq(&(table(&all, Figures::All).join("\n") + "\n"));
    }

    #[test]
    fn every_line_fits_80_columns_whatever_is_the_matter() {
        let mut worst = said(2, Role::Follower, false);
        worst.address = "10.100.100.100:17102".to_owned();
        if let Answer::Status(status) = &mut worst.answer {
            status.slots.applied = 12_345_678;
            status.lag = 1_234_567;
            status.clock_skew_ms = -86_400_123;
            status.held_back_by = Some(3);
            status.votes_lost = true;
            status.rot_unmended = 7;
            status.members = (1..=7).map(member).collect();
        }
        let mut hung = silent(3);
        hung.answer =
            Answer::Silent("nothing came within 2000 ms; it hangs, or its machine is cut off from this one".to_owned());
        for line in table(&[said(1, Role::Leader, true), worst, hung], Figures::Chief) {
            assert!(line.chars().count() <= COLUMNS, "{} columns: {line}", line.chars().count());
        }
    }

    #[test]
    fn without_a_leader_the_proposer_is_shown_and_a_newcomers_progress() {
        let leaderless = |asked: Asked, proposer| match asked.answer {
            Answer::Status(status) => {
                let mut members = [1, 2, 3, 4].map(member).to_vec();
                members[3].role = MemberRole::Learner;
                let status =
                    NodeStatus { mode: Mode::Leaderless, proposer: Some(proposer), leader: None, members, ..*status };
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
        let table = table(&all, Figures::Chief).join("\n") + "\n";
        expect![[r#"
            bank alpha   leaderless mode   node 2 proposes   members 1 2 3 (version 1)
              learning 4
              node  role       address               applied      lag    ballot  digest
              1     member     127.0.0.1:7101          1 284        0       3.1  01234567
              2     proposer   127.0.0.1:7102          1 284        0       3.1  01234567
              4     receiving  127.0.0.1:7104              0        0       3.1  01234567
                    receives the books: 50 %, 1 500 of 3 000 records
        "#]]
        .assert_eq(&table);
        assert!(every_group_is_led(&all));
    }

    #[test]
    fn the_code_tells_nobody_who_answers_from_a_bank_without_a_leader() {
        assert_eq!(code(&[said(1, Role::Leader, true), silent(2)]), Code::Done);
        assert_eq!(code(&[said(1, Role::Follower, false), silent(2)]), Code::Failed);
        assert_eq!(code(&[silent(1), silent(2)]), Code::Unreachable);
        let refused = Asked { reach: Reach::Answered, ..silent(2) };
        assert_eq!(code(&[silent(1), refused]), Code::Failed, "somebody is there and says why not");
        assert_eq!(code(&[]), Code::Failed);
    }

    #[test]
    fn a_bank_without_a_majority_is_not_led() {
        assert!(every_group_is_led(&[said(1, Role::Leader, true), silent(2)]));
        assert!(!every_group_is_led(&[said(1, Role::Follower, false), silent(2), silent(3)]));
        assert!(!every_group_is_led(&[silent(1)]));
    }
}
