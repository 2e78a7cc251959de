//! `rialto members`: who belongs to a bank, and how that changes. The steps themselves are in `members`.

use api::json::GroupState;
use api::status::MemberRole;
use clap::{Args, Subcommand};

use super::bank::node_number;
use super::progress::Teller;
use super::targets::{Network, TargetArgs};
use crate::failure::{Code, Failure};
use crate::members::bank::Bank;
use crate::members::{self, Newcomer, News, Runs};
use crate::network::name::BankName;

const EXAMPLES: &str = "\
Examples:
  rialto members                        who belongs to bank alpha, which `rialto up` runs
  rialto members add                    one more: made, started, caught up, given a vote
  rialto members replace 2              a new node for node 2, whose disk is gone
  rialto members remove 4

Nodes on machines of their own, of which any may be named:
  rialto members --url http://10.0.0.1:7101 --operator-token-file token
  rialto members add --node 4 --peer 10.0.0.4:7124 --http 10.0.0.4:7104 \\
      --url http://10.0.0.1:7101 --url http://10.0.0.2:7102 --operator-token-file token
      admits node 4, prints what to run on its machine, waits until it has caught up, gives it a vote
  rialto members replace 2 --node 4 --peer 10.0.0.4:7124 --http 10.0.0.4:7104 --url …

A bank keeps serving meanwhile. Every one of these may be interrupted and run again: it goes on where it stopped.
Numbers are never used twice. Exit codes: 0 done; 1 refused or failed, and the message says what to do; 2 wrong flags";

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
    /// Which bank
    #[arg(long, value_name = "NAME", default_value = "alpha", value_parser = |text: &str| text.parse::<BankName>())]
    bank: BankName,
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
}

pub(crate) async fn run(args: MembersArgs) -> Result<Code, Failure> {
    let mut teller = Teller::new();
    let mut say = |news: News| teller.tell(news);
    let (common, group) = match args.command {
        None => (args.common.json, list(&args.common).await?),
        Some(MembersCommand::List(list_args)) => (list_args.common.json, list(&list_args.common).await?),
        Some(MembersCommand::Add(add)) => {
            let group = match add.common.targets.network() {
                Network::Here(dir) => members::add_here(dir, &add.common.bank, &mut say).await?,
                Network::Elsewhere => {
                    let bank = add.common.targets.bank(&add.common.bank)?;
                    let newcomer = add.newcomer.elsewhere(&bank).await?;
                    members::add(&bank, &newcomer, &mut say).await?
                }
            };
            (add.common.json, group)
        }
        Some(MembersCommand::Remove(remove)) => {
            let group = match remove.common.targets.network() {
                Network::Here(dir) => members::remove_here(dir, &remove.common.bank, remove.old, &mut say).await?,
                Network::Elsewhere => {
                    let bank = remove.common.targets.bank(&remove.common.bank)?;
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
            let group = match replace.common.targets.network() {
                Network::Here(dir) => members::replace_here(dir, &replace.common.bank, replace.old, &mut say).await?,
                Network::Elsewhere => {
                    let bank = replace.common.targets.bank(&replace.common.bank)?;
                    let newcomer = replace.newcomer.elsewhere(&bank).await?;
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
    common.targets.bank(&common.bank)?.group().await
}

impl NewcomerArgs {
    async fn elsewhere(&self, bank: &Bank) -> Result<Newcomer, Failure> {
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
        for (flag, text) in [("peer", peer), ("http", http)] {
            let is_address =
                text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
            if !is_address {
                return Err(Failure::usage(format!("`{text}` is no address: it is HOST:PORT"))
                    .line(format!("given by --{flag}")));
            }
        }
        let cluster =
            bank.statuses().await?.into_iter().map(|status| status.cluster).find(|cluster| !cluster.is_empty());
        let commands = commands(&group, node, peer, http, cluster.as_deref());
        let (peer, http) = (peer.clone(), http.clone());
        Ok(Newcomer { node, peer, http, disk: None, runs: Runs::Elsewhere { commands } })
    }
}

/// What to run on the newcomer's machine, as it has to be.
fn commands(group: &GroupState, node: u16, peer: &str, http: &str, cluster: Option<&str>) -> Vec<String> {
    let mut peers: Vec<String> = group
        .members
        .iter()
        .filter(|member| member.node != node)
        .map(|member| format!("{}={}", member.node, member.peer))
        .collect();
    peers.push(format!("{node}={peer}"));
    let (bank, cluster) = (&group.bank, cluster.unwrap_or("CLUSTER"));
    let data = format!("/var/lib/rialto/{bank}-{node}");
    vec![
        format!("rialto bank init --name {bank} --node {node} --join --cluster {cluster} --data {data}"),
        format!("rialto bank --name {bank} --node {node} --data {data} \\"),
        format!("    --peers {} \\", peers.join(",")),
        format!("    --peer-listen {peer} --http {http} --operator-token-file /etc/rialto/token --no-tls"),
    ]
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
        "  {:<4}  {:<7}  {:<21}  {:<21}  {}",
        "node", "role", "peers reach it at", "callers reach it at", "disk"
    ));
    for member in &group.members {
        let disk = member.disk.map_or_else(|| "not met yet".to_owned(), |disk| format!("{disk:016x}"));
        let pen = if group.pen == Some(member.node) { "   holds the pen" } else { "" };
        let role = match member.role {
            MemberRole::Voter => "votes",
            MemberRole::Learner => "learns",
        };
        lines.push(format!("  {:<4}  {role:<7}  {:<21}  {:<21}  {disk}{pen}", member.node, member.peer, member.http));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::status::{MemberState, Mode};
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
            pen: Some(1),
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
              node  role     peers reach it at      callers reach it at    disk
              1     votes    10.0.0.1:7120          10.0.0.1:7100          0000019a00000001   holds the pen
              3     votes    10.0.0.3:7120          10.0.0.3:7100          0000019a00000003
              4     learns   10.0.0.4:7120          10.0.0.4:7100          not met yet
        "#]]
        .assert_eq(&(table(&group()).join("\n") + "\n"));
    }

    #[test]
    fn what_is_to_be_run_elsewhere_is_printed_as_it_has_to_be() {
        let commands = commands(&group(), 5, "10.0.0.5:7120", "10.0.0.5:7100", Some("018f2f6c"));
        expect![[r#"
            rialto bank init --name alpha --node 5 --join --cluster 018f2f6c --data /var/lib/rialto/alpha-5
            rialto bank --name alpha --node 5 --data /var/lib/rialto/alpha-5 \
                --peers 1=10.0.0.1:7120,3=10.0.0.3:7120,4=10.0.0.4:7120,5=10.0.0.5:7120 \
                --peer-listen 10.0.0.5:7120 --http 10.0.0.5:7100 --operator-token-file /etc/rialto/token --no-tls
        "#]]
        .assert_eq(&(commands.join("\n") + "\n"));
    }
}
