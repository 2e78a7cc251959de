//! What is to be seen of a running network: the table's rows, the page's address, the commands to try.

use std::path::Path;
use std::time::Instant;

use super::bank_run::BankRun;
use super::child::Ending;
use super::fleet::{Life, Member};
use super::plan::NodePlan;
use super::running::Running;
use super::screen::{BankPart, Health, Invitation, Picture, Row, grouped};
use crate::cmd::user::parse_users;
use crate::lookout::View;
use crate::network::network_file::Kind;
use api::status::{Mode, NodeStatus, Role};

/// A node that has just started has not heard of the others yet: nothing to worry about.
const QUORUM_PATIENCE_MS: u64 = 2_000;

/// Demo customers, as commands name them.
struct People {
    payer: String,
    /// None where it is a secret: then the command asks.
    password: Option<String>,
    payee: String,
}

impl Running {
    pub(super) fn picture(&self) -> Picture {
        let part = |(index, bank): (usize, &BankRun)| {
            let view = bank.view.borrow();
            let leader = view.leader();
            let row = |node: &NodePlan| {
                let member = &self.fleet.members[bank.place(node.node)?];
                Some(row(member, &view, leader == Some(node.node) && self.runs(index, node.node)))
            };
            BankPart {
                name: bank.plan.name.to_string(),
                kind: bank.plan.kind,
                mode: view
                    .mode()
                    .or_else(|| self.layout.bank(&bank.plan.name).map(|bank| bank.mode))
                    .unwrap_or_default(),
                url: format!("http://{}", bank.plan.ports.balancer_http()),
                rows: bank.plan.nodes.iter().filter_map(row).collect(),
            }
        };
        Picture {
            banks: self.banks.iter().enumerate().map(part).collect(),
            invitation: self.ready.then(|| self.invitation()),
        }
    }

    /// The first bank's page, and commands that work as they stand: of a network with a gateway those of a customer.
    fn invitation(&self) -> Invitation {
        match self.banks.iter().find(|bank| bank.plan.kind == Kind::Gateway) {
            Some(gateway) => self.invitation_to_pay(gateway),
            None => self.invitation_to_a_bank(),
        }
    }

    fn invitation_to_pay(&self, gateway: &BankRun) -> Invitation {
        let banks: Vec<&BankRun> = self.banks.iter().filter(|bank| bank.plan.kind == Kind::Bank).collect();
        let (program, dir) = (&self.program, self.dir_flag());
        let has_demo = |bank: &&&BankRun| self.layout.bank(&bank.plan.name).is_some_and(|bank| !bank.no_demo);
        let with_demo: Vec<&&BankRun> = banks.iter().filter(has_demo).collect();
        let first = &banks[0].plan;
        let mut commands = match (with_demo.first(), with_demo.last(), self.people()) {
            (Some(at), Some(other), Some(People { payer, password, payee })) => {
                let login = [program, "login", at.plan.name.as_str(), &payer].into_iter().chain(password.as_deref());
                let login = login.collect::<Vec<&str>>().join(" ");
                vec![
                    (format!("{login}{dir}"), "a demo customer".to_owned()),
                    (format!("{program} pay {payee}@{} 12.50{dir}", other.plan.name), String::new()),
                    (format!("{program} balance{dir}"), String::new()),
                    (format!("{program} history{dir}"), String::new()),
                ]
            }
            _ => vec![
                (format!("{program} user add NAME --bank {}{dir}", first.name), "a customer".to_owned()),
                (format!("{program} login {} NAME{dir}", first.name), String::new()),
            ],
        };
        let leader = gateway.leader.and_then(|node| gateway.place(node)).map(|place| &self.fleet.members[place].life);
        if let Some(Life::Running { child }) = leader {
            commands.push((format!("kill -9 {}", child.pid), "who leads the gateway; then pay again".to_owned()));
        }
        Invitation { page: format!("http://{}/", first.ports.balancer_http()), commands }
    }

    /// Whom to try it as: the first two of the network's demo customers. A password is shown only where it is no secret.
    fn people(&self) -> Option<People> {
        let file = self.dir.join("demo").join("users.json");
        let (users, is_own) = match std::fs::read_to_string(file) {
            Ok(text) => (parse_users(&text).ok()?, text != super::demo::USERS),
            Err(_) => (parse_users(super::demo::USERS).ok()?, false),
        };
        let [payer, payee, ..] = users.as_slice() else { return None };
        let password = payer.password.clone().filter(|_| !is_own);
        Some(People { payer: payer.username.clone(), password, payee: payee.username.clone() })
    }

    /// The page, and three commands.
    fn invitation_to_a_bank(&self) -> Invitation {
        let bank = &self.banks[0];
        let url = format!("http://{}", bank.plan.ports.balancer_http());
        // The one that `bench` takes if none is named.
        let which =
            if bank.plan.name.as_str() == "alpha" { String::new() } else { format!(" --bank {}", bank.plan.name) };
        let mut commands = vec![
            (format!("curl -X POST {url}/open_account"), String::new()),
            (format!("{} bench --seconds 10{}{which}", self.program, self.dir_flag()), String::new()),
        ];
        let leader = bank.leader.and_then(|node| bank.place(node)).map(|place| &self.fleet.members[place].life);
        if let Some(Life::Running { child }) = leader {
            let whom = match bank.view.borrow().mode().unwrap_or_default() {
                Mode::Leader => "the leader",
                Mode::Leaderless => "whoever holds the pen",
            };
            commands.push((format!("kill -9 {}", child.pid), format!("{whom}; watch what happens")));
        } else {
            commands.push((format!("{} status{}", self.program, self.dir_flag()), String::new()));
        }
        Invitation { page: format!("{url}/"), commands }
    }

    /// ` --dir X`, where it is needed.
    pub(super) fn dir_flag(&self) -> String {
        if self.dir == Path::new("./rialto-data") { String::new() } else { format!(" --dir {}", quoted(&self.dir)) }
    }
}

fn row(member: &Member, view: &View, leads: bool) -> Row {
    let status = view.status(member.plan.node);
    let (role, health, note) = match (&member.life, status) {
        (Life::Running { .. }, Some(status)) if !status.quorum && status.uptime_ms > QUORUM_PATIENCE_MS => {
            (standing(status), Health::Waits, "no majority answers it".to_owned())
        }
        (Life::Running { .. }, Some(status)) => {
            let health = if leads {
                Health::Leads
            } else if status.ready {
                Health::Fine
            } else {
                Health::Waits
            };
            (standing(status), health, remarks(status))
        }
        (Life::Running { .. }, None) => ("starting", Health::Waits, String::new()),
        (Life::Waiting { ending, due }, _) => {
            let seconds = due.saturating_duration_since(Instant::now()).as_millis().div_ceil(1000);
            ("died", Health::Down, format!("{}; starts again in {seconds} s", because(*ending, member)))
        }
        (Life::Died { ending }, _) => {
            ("died", Health::Down, format!("{}; stays down (--no-restart)", because(*ending, member)))
        }
        (Life::ShutDown, _) => ("down", Health::Down, "told to shut down; stays down until up runs again".to_owned()),
        (Life::Left, _) => ("removed", Health::Down, String::new()),
        (Life::Stopped, _) => ("stopped", Health::Waits, String::new()),
    };
    let shown = status.filter(|_| matches!(member.life, Life::Running { .. }));
    Row {
        node: member.plan.node,
        role: role.to_owned(),
        health,
        address: member.plan.http.to_string(),
        slots: shown.map(|status| status.slots.applied),
        lag: shown.map(|status| status.lag),
        memory_bytes: shown.map(|status| status.memory_bytes),
        note,
    }
}

/// What a node is to its bank: in leaderless mode nobody leads and nobody follows.
pub(crate) fn standing(status: &NodeStatus) -> &'static str {
    match (status.mode, status.role) {
        (Mode::Leaderless, Role::Leader) => "has pen",
        (Mode::Leaderless, Role::Follower | Role::Candidate) => "member",
        (Mode::Leader | Mode::Leaderless, role) => role.text(),
    }
}

/// What is out of the ordinary about a node that runs.
pub(crate) fn remarks(status: &NodeStatus) -> String {
    let mut remarks = Vec::new();
    if let Some(transfer) = status.transfer {
        let (done, total) = (grouped(transfer.done), grouped(transfer.total));
        remarks.push(format!("receives the books: {} %, {done} of {total} records", transfer.percent()));
    }
    if status.votes_lost {
        remarks
            .push(format!("has lost a vote, so it votes no more: replace it (rialto members replace {})", status.node));
    }
    if status.may_leave {
        remarks.push("is a member no more and may be deleted".to_owned());
    }
    match status.rot_repaired {
        0 => {}
        1 => remarks.push("1 rotten record was repaired".to_owned()),
        more => remarks.push(format!("{} rotten records were repaired", grouped(more))),
    }
    match status.rot_unmended {
        0 => {}
        1 => remarks.push("1 rotten record is not mended (rialto status)".to_owned()),
        more => remarks.push(format!("{} rotten records are not mended (rialto status)", grouped(more))),
    }
    remarks.join("; ")
}

fn because(ending: Ending, member: &Member) -> String {
    member.complaint.clone().unwrap_or_else(|| ending.to_string())
}

/// This program as it can be typed here.
pub(super) fn as_typed(program: &Path) -> String {
    let here = std::env::current_dir().ok();
    match here.and_then(|here| program.strip_prefix(here).ok()) {
        Some(below) => quoted(&Path::new(".").join(below)),
        None => quoted(program),
    }
}

/// For a shell: as it is where that is safe, else in single quotes.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+,:@%".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_can_be_pasted_into_a_shell() {
        assert_eq!(quoted(Path::new("./target/release/rialto")), "./target/release/rialto");
        assert_eq!(quoted(Path::new("/tmp/it's here")), r"'/tmp/it'\''s here'");
    }
}
