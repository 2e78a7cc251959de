//! What is to be seen of a running network: the table's rows, the page's address, the commands to try.

use std::path::Path;
use std::time::{Duration, Instant};

use super::bank_run::BankRun;
use super::child::Ending;
use super::fleet::{Life, Member};
use super::plan::NodePlan;
use super::running::Running;
use super::screen::{BankPart, Health, Invitation, Picture, Row};
use crate::cmd::user_list::parse_users;
use crate::follow_up::{self, dir_flag};
use crate::lookout::View;
use crate::network::layout::{BankLayout, ConsulLayout, Layout};
use crate::network::network_file::Kind;
use crate::plain::{counted, grouped, quoted};
use api::span::{offset, span};
use api::status::{Mode, NodeStatus, Role};

/// A node that has just started has not heard of the others yet: nothing to worry about.
const QUORUM_PATIENCE_MS: u64 = 2_000;
/// A node that was ready and says nothing for so long hangs, or its machine has no time for it.
pub(super) const SILENCE_SHOWN: Duration = Duration::from_secs(2);
/// One that starts may have much to apply first.
const SILENCE_OF_STARTING_SHOWN: Duration = Duration::from_secs(15);

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
            troubles: self.troubles.clone(),
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
        let (users, is_own) = match std::fs::read(file) {
            Ok(text) => (parse_users(&text).ok()?.users, text != super::demo::USERS.as_bytes()),
            Err(_) => (parse_users(super::demo::USERS.as_bytes()).ok()?.users, false),
        };
        let [payer, payee, ..] = users.as_slice() else { return None };
        let password = payer.password.clone().filter(|_| !is_own);
        Some(People { payer: payer.username.clone(), password, payee: payee.username.clone() })
    }

    /// The page, and three commands.
    fn invitation_to_a_bank(&self) -> Invitation {
        let bank = &self.banks[0];
        let url = format!("http://{}", bank.plan.ports.balancer_http());
        // Where there is one bank it need not be named.
        let which = if self.banks.len() == 1 { String::new() } else { format!(" --bank {}", bank.plan.name) };
        let mut commands = vec![
            (format!("curl -X POST {url}/open_account"), String::new()),
            (format!("{} bench --seconds 10{}{which}", self.program, self.dir_flag()), String::new()),
        ];
        let leader = bank.leader.and_then(|node| bank.place(node)).map(|place| &self.fleet.members[place].life);
        if let Some(Life::Running { child }) = leader {
            let whom = match bank.view.borrow().mode().unwrap_or_default() {
                Mode::Leader => "the leader",
                Mode::Leaderless => "the current proposer",
            };
            commands.push((format!("kill -9 {}", child.pid), format!("{whom}; watch what happens")));
        } else {
            commands.push((format!("{} status{}", self.program, self.dir_flag()), String::new()));
        }
        Invitation { page: format!("{url}/"), commands }
    }

    /// What `up` is to be given so that it goes on with just what runs now.
    pub(super) fn flags_to_go_on(&self) -> String {
        let runs: Vec<&BankLayout> = self.banks.iter().filter_map(|bank| self.layout.bank(&bank.plan.name)).collect();
        flags_to_run(&self.layout, &runs)
    }

    /// ` --dir X`, where it is needed.
    pub(super) fn dir_flag(&self) -> String {
        dir_flag(&self.dir)
    }
}

/// What `up` is to be given so that it runs these groups and no others, in the Consul that they are in.
pub(crate) fn flags_to_run(layout: &Layout, groups: &[&BankLayout]) -> String {
    let is_bank = |group: &&&BankLayout| group.kind == Kind::Bank;
    let known = layout.banks.iter().filter(|group| group.kind == Kind::Bank).count();
    let mut flags = String::new();
    // Without names it runs all banks of the directory.
    if groups.iter().filter(is_bank).count() < known {
        groups.iter().filter(is_bank).for_each(|bank| flags.push_str(&format!(" --bank {}", bank.name)));
    }
    if !groups.iter().any(|group| group.kind == Kind::Gateway) {
        flags.push_str(" --no-gateway");
    }
    if let Some(ConsulLayout { url, token_file, ca }) = groups.iter().find_map(|group| group.consul.as_ref()) {
        flags.push_str(&format!(" --consul {url}"));
        for (flag, file) in [("--consul-token-file", token_file), ("--consul-ca", ca)] {
            file.iter().for_each(|file| flags.push_str(&format!(" {flag} {}", quoted(&file.display().to_string()))));
        }
    }
    flags
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
        (Life::Running { .. }, None) => unheard(member, view.silence(member.plan.node)),
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

/// A process that runs and has said nothing: new, or hung. One that was ready before and is heard no more has no reason to be
/// called starting.
fn unheard(member: &Member, silence: Option<(&str, Duration)>) -> (&'static str, Health, String) {
    match silence {
        Some((why, time)) if member.was_ready() && time >= SILENCE_SHOWN => {
            ("silent", Health::Down, format!("its process runs and says nothing for {} s: {why}", time.as_secs()))
        }
        Some((why, time)) if time >= SILENCE_OF_STARTING_SHOWN => {
            ("starting", Health::Waits, format!("says nothing for {} s: {why}", time.as_secs()))
        }
        Some(_) if member.was_ready() => ("silent", Health::Waits, String::new()),
        Some(_) | None => ("starting", Health::Waits, String::new()),
    }
}

/// What a node is to its bank: in leaderless mode nobody leads and nobody follows.
pub(crate) fn standing(status: &NodeStatus) -> &'static str {
    match (status.mode, status.role) {
        (Mode::Leaderless, Role::Leader) => "proposer",
        (Mode::Leaderless, Role::Follower | Role::Candidate) => "member",
        (Mode::Leader | Mode::Leaderless, role) => role.text(),
    }
}

/// From here on the log's time is shown to be ahead of the clocks.
const LOG_AHEAD_SHOWN_MS: u64 = 5_000;

/// What is out of the ordinary about a node that runs.
pub(crate) fn remarks(status: &NodeStatus) -> String {
    let mut remarks = Vec::new();
    if let Some(transfer) = status.transfer {
        let (done, total) = (grouped(transfer.done), grouped(transfer.total));
        remarks.push(format!("receives the books: {} %, {done} of {total} records", transfer.percent()));
    }
    if status.clock_off || status.clock_jumped {
        remarks.push(format!("its clock is {}", offset(status.clock_skew_ms)));
    }
    if status.log_ahead_ms >= LOG_AHEAD_SHOWN_MS {
        remarks.push(format!("the log's time is {} ahead of the clocks (docs/clocks.md)", span(status.log_ahead_ms)));
    }
    if status.votes_lost {
        let replace = follow_up::command(&format!("members replace {} --bank {}", status.node, status.group));
        remarks.push(format!("has lost a vote, so it votes no more: replace it ({replace})"));
    }
    if status.may_leave {
        remarks.push("is a member no more and may be deleted".to_owned());
    }
    if status.rot_repaired > 0 {
        remarks.push(counted(status.rot_repaired, "rotten record was repaired", "rotten records were repaired"));
    }
    if status.rot_unmended > 0 {
        let what = counted(status.rot_unmended, "rotten record is not mended", "rotten records are not mended");
        remarks.push(format!("{what} ({})", follow_up::command("status")));
    }
    remarks.join("; ")
}

/// The reason alone: what to do about it was told when it happened, and is in the node's log.
fn because(ending: Ending, member: &Member) -> String {
    let first = member.complaint.as_ref().and_then(|complaint| complaint.lines().next());
    first.map_or_else(|| ending.to_string(), str::to_owned)
}

/// This program as it can be typed here.
pub(super) fn as_typed(program: &Path) -> String {
    let here = std::env::current_dir().ok();
    match here.and_then(|here| program.strip_prefix(here).ok()) {
        Some(below) => quoted(&Path::new(".").join(below).display().to_string()),
        None => quoted(&program.display().to_string()),
    }
}
