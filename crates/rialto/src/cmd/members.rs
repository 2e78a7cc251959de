//! `rialto members`: who belongs to a bank, and how that changes. The steps themselves are in `members`.

use std::io::{BufRead, IsTerminal, Write, stderr, stdin};

use api::json::GroupState;
use api::status::{MemberRole, Mode};
use clap::{Args, Subcommand};

use super::bank::node_number;
use super::progress::Teller;
use super::targets::{Network, TargetArgs, WhichBank};
use crate::failure::{Code, Failure};
use crate::follow_up;
use crate::members::bank::Bank;
use crate::members::{self, Newcomer, News, Runs};
use crate::network::name::{BadBankName, BankName};

const EXAMPLES: &str = "\
Examples:
  rialto members --bank alpha             who belongs to bank alpha, which `rialto up` runs
  rialto members add --bank alpha         one more: made, started, caught up, given a vote
  rialto members replace 2 --bank alpha   a new node for node 2, whose disk is gone
  rialto members remove 4 --bank alpha

Nodes on machines of their own, of which any may be named:
  rialto members --url http://10.0.0.1:7101 --operator-token-file token
  rialto members add --node 4 --peer 10.0.0.4:7124 --http 10.0.0.4:7104 \\
      --url http://10.0.0.1:7101 --url http://10.0.0.2:7102 --operator-token-file token
      admits node 4, prints what to run on its machine, waits until it has caught up (for at most half an hour, or
      --timeout SECONDS), gives it a vote
  rialto members replace 2 --node 4 --peer 10.0.0.4:7124 --http 10.0.0.4:7104 --url …

--bank may be left out where the network has one bank. A bank keeps serving meanwhile. Every one of these may be interrupted and run again: it goes on where it stopped.
A command keeps to the cluster that it began with: another one that is founded at the same addresses meanwhile is left alone.
What would leave too few of the voters that answer is refused (would_lose_quorum); fewer than three are asked for (--yes).
Numbers are never used twice. Exit codes: 0 done; 1 refused or failed, and the message says what to do; 2 wrong flags;
8 nobody answers; 10 it may have been done; all: rialto help exit-codes";

/// Show or change who belongs to a bank
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub(crate) struct MembersArgs {
    #[command(subcommand)]
    command: Option<MembersCommand>,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Debug, Subcommand)]
enum MembersCommand {
    /// Show who belongs to the bank
    List(ListArgs),
    /// Give a new node a vote: admitted, caught up, promoted
    Add(AddArgs),
    /// Take a node's vote and membership
    Remove(RemoveArgs),
    /// Add a new node, then remove an old one
    Replace(ReplaceArgs),
}

#[derive(Debug, Args)]
struct CommonArgs {
    #[command(flatten)]
    targets: TargetArgs,
    #[command(flatten)]
    which: WhichBank,
    /// One JSON object at the end: the group as it then is
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
struct ListArgs {
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
struct AddArgs {
    #[command(flatten)]
    newcomer: NewcomerArgs,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
struct RemoveArgs {
    /// The node that goes
    #[arg(value_name = "NODE", value_parser = node_number)]
    old: u16,
    /// Do not ask before the bank is left with fewer than three votes
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
struct ReplaceArgs {
    /// The node that goes
    #[arg(value_name = "NODE", value_parser = node_number)]
    old: u16,
    #[command(flatten)]
    newcomer: NewcomerArgs,
    #[command(flatten)]
    common: CommonArgs,
}

/// A node on a machine of its own. What `rialto up` runs needs none of this.
#[derive(Debug, Args)]
struct NewcomerArgs {
    /// The new node's number, which nobody had before
    #[arg(long, value_name = "N", value_parser = node_number, requires_all = ["peer", "http", "url"])]
    node: Option<u16>,
    /// Where it will listen for the other nodes
    #[arg(long, value_name = "HOST:PORT", requires = "node")]
    peer: Option<String>,
    /// Where it will serve HTTP
    #[arg(long, value_name = "HOST:PORT", requires = "node")]
    http: Option<String>,
    /// Where it will serve gRPC [default: where it serves HTTP, ten ports on]
    #[arg(long, value_name = "HOST:PORT", requires = "node")]
    grpc: Option<String>,
}

pub(crate) async fn run(args: MembersArgs) -> Result<Code, Failure> {
    let mut teller = Teller::new();
    let mut say = |news: News| teller.tell(news);
    let (common, group) = match args.command {
        None => (args.common.json, list(&args.common).await?),
        Some(MembersCommand::List(list_args)) => (list_args.common.json, list(&list_args.common).await?),
        Some(MembersCommand::Add(add)) => {
            let group = match add.common.whose()? {
                Whose::Here(here) => here.add(&mut say).await?,
                Whose::Elsewhere(bank) => {
                    let newcomer = add.newcomer.elsewhere(&bank, &add.common.targets).await?;
                    members::add(&bank, &newcomer, &mut say).await?
                }
            };
            (add.common.json, group)
        }
        Some(MembersCommand::Remove(remove)) => {
            let whose = remove.common.whose()?;
            if !remove.yes {
                confirm(&whose.bank().group().await?, remove.old)?;
            }
            let group = match whose {
                Whose::Here(here) => here.remove(remove.old, &mut say).await?,
                Whose::Elsewhere(bank) => {
                    let group = bank.group().await?;
                    if members::find(&group, remove.old).is_none() {
                        return Err(members::unknown(remove.old, &group));
                    }
                    members::remove(&bank, remove.old, &mut say).await?
                }
            };
            (remove.common.json, group)
        }
        Some(MembersCommand::Replace(replace)) => {
            let group = match replace.common.whose()? {
                Whose::Here(here) => here.replace(replace.old, &mut say).await?,
                Whose::Elsewhere(bank) => {
                    let newcomer = replace.newcomer.elsewhere(&bank, &replace.common.targets).await?;
                    members::replace(&bank, replace.old, &newcomer, &mut say).await?
                }
            };
            (replace.common.json, group)
        }
    };
    teller.rub_out();
    show(&group, common);
    Ok(Code::Done)
}

async fn list(common: &CommonArgs) -> Result<GroupState, Failure> {
    common.targets.bank(&common.which)?.group().await
}

/// Whose members they are, and who runs them.
enum Whose {
    Here(members::Here),
    Elsewhere(Bank),
}

impl Whose {
    fn bank(&self) -> &Bank {
        match self {
            Whose::Here(here) => &here.bank,
            Whose::Elsewhere(bank) => bank,
        }
    }
}

impl CommonArgs {
    fn whose(&self) -> Result<Whose, Failure> {
        let bank = self.targets.bank(&self.which)?;
        Ok(match self.targets.network() {
            Network::Here(dir) => Whose::Here(members::Here::of(dir, &self.which.of_network(dir)?, bank)),
            Network::Elsewhere => Whose::Elsewhere(bank),
        })
    }
}

/// With three votes a bank goes on while one node is down, with two it stops at the first, and with one its money is on one
/// disk: that is worth a question.
fn confirm(group: &GroupState, leaves: u16) -> Result<(), Failure> {
    let voters = members::voters(group);
    let left = voters.iter().filter(|node| **node != leaves).count();
    if left == voters.len() || left == 0 || left >= 3 {
        return Ok(());
    }
    let what = match left {
        2 => "it stops whenever one of them is down",
        _ => "all its money is on one disk, and it stops when that node does",
    };
    let name = name_of(group)?;
    let sentence = format!("bank {name} has {} votes; with {left} {what}", voters.len());
    let replace = follow_up::command(&format!("members replace {leaves} --bank {name}"));
    let instead = format!("to put another in its place: {replace}");
    if !stdin().is_terminal() {
        return Err(Failure::usage(sentence)
            .line(format!("if node {leaves} is to go all the same, say so: --yes"))
            .line(instead));
    }
    let mut err = stderr().lock();
    let _ = write!(err, "{sentence}. Remove node {leaves}? Type yes: ").and_then(|()| err.flush());
    let mut answer = String::new();
    let _ = stdin().lock().read_line(&mut answer);
    match answer.trim() {
        "yes" => Ok(()),
        _ => Err(Failure::new("nothing was changed").line(instead)),
    }
}

impl NewcomerArgs {
    async fn elsewhere(&self, bank: &Bank, targets: &TargetArgs) -> Result<Newcomer, Failure> {
        let group = bank.group().await?;
        let (Some(node), Some(peer), Some(http)) = (self.node, &self.peer, &self.http) else {
            let host = "10.0.0.9";
            let next = group.next_number;
            return Err(Failure::usage("which node is to come, and where will it be?").line(format!(
                "for example: --node {next} --peer {host}:{} --http {host}:{}",
                7120 + next,
                7100 + next
            )));
        };
        let grpc = match &self.grpc {
            Some(grpc) => grpc.clone(),
            None => grpc_beside(http)?,
        };
        for (flag, text) in [("peer", peer), ("http", http), ("grpc", &grpc)] {
            if !is_address(text) {
                return Err(Failure::usage(format!("`{text}` is no address: it is HOST:PORT"))
                    .line(format!("given by --{flag}")));
            }
        }
        let cluster = bank.cluster().await?.to_string();
        let (peer, http) = (peer.clone(), http.clone());
        let traffic = if bank.is_secured() { Traffic::Tls } else { Traffic::Plain };
        let places = Places { peer: &peer, http: &http, grpc: &grpc, traffic };
        let commands = commands(&group, node, &cluster, &places)?;
        let patience = targets.patience(members::SILENCE_ELSEWHERE_MAX);
        Ok(Newcomer { node, peer, http, disk: None, runs: Runs::Elsewhere { commands, patience } })
    }
}

/// As everywhere here, gRPC is served ten ports above HTTP.
fn grpc_beside(http: &str) -> Result<String, Failure> {
    let beside = http.rsplit_once(':').and_then(|(host, port)| {
        let port = port.parse::<u16>().ok()?.checked_add(10)?;
        Some(format!("{host}:{port}"))
    });
    beside.ok_or_else(|| Failure::usage("where will it serve gRPC?").line("give --grpc HOST:PORT"))
}

/// Where a newcomer will be.
struct Places<'a> {
    peer: &'a str,
    http: &'a str,
    grpc: &'a str,
    traffic: Traffic,
}

/// How the bank's nodes serve HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Traffic {
    Tls,
    Plain,
}

/// Whether a text is HOST:PORT, and nothing that a shell or a terminal would take for more.
fn is_address(text: &str) -> bool {
    let is_of_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && host.bytes().all(is_of_host) && port.parse::<u16>().is_ok_and(|_| !port.starts_with('+'))
    })
}

/// What the nodes call their bank.
fn name_of(group: &GroupState) -> Result<BankName, Failure> {
    group.bank.parse().map_err(|error: BadBankName| Failure::new(format!("what answered is no bank's node: {error}")))
}

/// What to run on the newcomer's machine, as it has to be.
///
/// # Errors
/// When what the nodes say of themselves has no place in a command.
fn commands(group: &GroupState, node: u16, cluster: &str, places: &Places<'_>) -> Result<Vec<String>, Failure> {
    let Places { peer, http, grpc, traffic } = places;
    let mut peers = Vec::new();
    for member in group.members.iter().filter(|member| member.node != node) {
        if !is_address(&member.peer) {
            return Err(Failure::new(format!(
                "node {} is said to be at {:?}, which is no address",
                member.node, member.peer
            ))
            .line("nothing was changed; ask another node of the bank: --url"));
        }
        peers.push(format!("{}={}", member.node, member.peer));
    }
    peers.push(format!("{node}={peer}"));
    let bank = name_of(group)?;
    let protection = match traffic {
        Traffic::Tls => "--tls-dir /etc/rialto/tls --http-tls",
        // With certificates or without: what is said over HTTP does not tell.
        Traffic::Plain => "--no-tls  # and --tls-dir DIR where the other nodes have certificates",
    };
    let data = format!("/var/lib/rialto/{bank}-{node}");
    Ok(vec![
        format!("rialto bank init --name {bank} --node {node} --join --cluster {cluster} --data {data}"),
        format!("rialto bank --name {bank} --node {node} --data {data} \\"),
        format!("    --peers {} \\", peers.join(",")),
        format!("    --peer-listen {peer} --http {http} --grpc {grpc} \\"),
        format!("    --operator-token-file /etc/rialto/token {protection}"),
    ])
}

fn show(group: &GroupState, json: bool) {
    if json {
        println!("{}", serde_json::to_string(group).expect("a group holds only strings, numbers and lists"));
        return;
    }
    for line in table(group) {
        println!("{line}");
    }
}

fn table(group: &GroupState) -> Vec<String> {
    let mut lines = vec![format!(
        "bank {}   {} mode   version {}   next number {}",
        group.bank,
        group.mode.text(),
        group.version,
        group.next_number
    )];
    if let Some(slot) = group.in_force_from {
        lines.push(format!("  the last change is in force from slot {slot} on"));
    }
    lines.push(format!(
        "  {:<4}  {:<8}  {:<21}  {:<21}  {}",
        "node", "role", "peers reach it at", "callers reach it at", "disk"
    ));
    for member in &group.members {
        let disk = member.disk.map_or_else(|| "not met yet".to_owned(), |disk| format!("{disk:016x}"));
        // Whoever leads or proposes also votes.
        let role = match (member.role, group.proposer == Some(member.node), group.mode) {
            (MemberRole::Voter, true, Mode::Leader) => "leads",
            (MemberRole::Voter, true, Mode::Leaderless) => "proposes",
            (MemberRole::Voter, false, Mode::Leader | Mode::Leaderless) => "votes",
            (MemberRole::Learner, true | false, Mode::Leader | Mode::Leaderless) => "learns",
        };
        lines.push(format!("  {:<4}  {role:<8}  {:<21}  {:<21}  {disk}", member.node, member.peer, member.http));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::status::MemberState;
    use expect_test::expect;

    fn group() -> GroupState {
        let member = |node: u16, role, disk| MemberState {
            node,
            role,
            peer: format!("10.0.0.{node}:7120"),
            http: format!("10.0.0.{node}:7100"),
            disk,
        };
        GroupState {
            bank: "alpha".to_owned(),
            version: 4,
            mode: Mode::Leader,
            proposer: Some(1),
            next_number: 5,
            in_force_from: Some(812),
            members: vec![
                member(1, MemberRole::Voter, Some(0x19a_0000_0001)),
                member(3, MemberRole::Voter, Some(0x19a_0000_0003)),
                member(4, MemberRole::Learner, None),
            ],
            already: false,
        }
    }

    #[test]
    fn the_list_reads_like_this() {
        expect![[r#"
            bank alpha   leader mode   version 4   next number 5
              the last change is in force from slot 812 on
              node  role      peers reach it at      callers reach it at    disk
              1     leads     10.0.0.1:7120          10.0.0.1:7100          0000019a00000001
              3     votes     10.0.0.3:7120          10.0.0.3:7100          0000019a00000003
              4     learns    10.0.0.4:7120          10.0.0.4:7100          not met yet
        "#]]
        .assert_eq(&(table(&group()).join("\n") + "\n"));
    }

    #[test]
    fn fewer_than_three_votes_are_asked_for_and_a_learner_is_not() {
        let with = |votes: u16| {
            let mut group = group();
            let member = group.members[0].clone();
            group.members = (1..=votes).map(|node| MemberState { node, ..member.clone() }).collect();
            group.members.push(MemberState { node: 9, role: MemberRole::Learner, ..member });
            group
        };
        // A test has no terminal on which to answer.
        for (votes, leaves, asked) in
            [(5, 1, false), (4, 1, false), (3, 1, true), (2, 1, true), (3, 9, false), (3, 8, false)]
        {
            let said = confirm(&with(votes), leaves);
            assert_eq!(said.is_err(), asked, "{votes} votes, node {leaves} goes: {said:?}");
        }
        let said = confirm(&with(3), 2).expect_err("it is asked for").to_string();
        assert!(said.contains("bank alpha has 3 votes; with 2 it stops whenever one of them is down"), "{said}");
        assert!(said.contains("--yes"), "{said}");
    }

    #[test]
    fn nothing_that_a_node_says_is_more_than_a_name_or_an_address() {
        let places = Places { peer: "h:1", http: "h:2", grpc: "h:3", traffic: Traffic::Plain };
        for peer in
            ["a:1;reboot", "$(reboot):1", "a b:1", "a:1\n", "\u{1b}[2J:1", "a:99999", "a:+1", ":1", "", "`id`:1"]
        {
            let mut group = group();
            group.members[0].peer = peer.to_owned();
            assert!(commands(&group, 5, "018f2f6c", &places).is_err(), "{peer:?}");
        }
        for peer in ["[2001:db8::1]:7120", "node-1.example_net.org:7120"] {
            let mut group = group();
            group.members[0].peer = peer.to_owned();
            assert!(commands(&group, 5, "018f2f6c", &places).is_ok(), "{peer:?}");
        }
        let named = GroupState { bank: "\u{1b}[2Jalpha; reboot".to_owned(), ..group() };
        assert!(commands(&named, 5, "018f2f6c", &places).is_err());
        let leaves = GroupState { members: group().members[..2].to_vec(), ..named };
        let said = confirm(&leaves, 1).expect_err("no bank is called that").to_string();
        assert!(said.contains("no bank's node") && !said.contains("--yes"), "{said}");
    }

    #[test]
    fn what_is_to_be_run_elsewhere_is_printed_as_it_has_to_be() {
        let grpc = grpc_beside("10.0.0.5:7100").expect("it is an address");
        let places = |traffic| Places { peer: "10.0.0.5:7120", http: "10.0.0.5:7100", grpc: &grpc, traffic };
        let told = |traffic| commands(&group(), 5, "018f2f6c", &places(traffic)).expect("all are addresses");
        let secured = told(Traffic::Tls);
        assert_eq!(
            secured.last().map(String::as_str),
            Some("    --operator-token-file /etc/rialto/token --tls-dir /etc/rialto/tls --http-tls")
        );
        let commands = told(Traffic::Plain);
        expect![[r#"
            rialto bank init --name alpha --node 5 --join --cluster 018f2f6c --data /var/lib/rialto/alpha-5
            rialto bank --name alpha --node 5 --data /var/lib/rialto/alpha-5 \
                --peers 1=10.0.0.1:7120,3=10.0.0.3:7120,4=10.0.0.4:7120,5=10.0.0.5:7120 \
                --peer-listen 10.0.0.5:7120 --http 10.0.0.5:7100 --grpc 10.0.0.5:7110 \
                --operator-token-file /etc/rialto/token --no-tls  # and --tls-dir DIR where the other nodes have certificates
        "#]]
        .assert_eq(&(commands.join("\n") + "\n"));
    }
}
