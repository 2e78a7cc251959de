//! What is to be seen of a running network: the table's rows, the page's address, the commands to try.

use std::path::Path;
use std::time::Instant;

use super::child::Ending;
use super::fleet::{Life, Member};
use super::plan::NodePlan;
use super::running::{BankRun, Running};
use super::screen::{BankPart, Health, Invitation, Picture, Row};
use crate::lookout::View;

/// A node that has just started has not heard of the others yet: nothing to worry about.
const QUORUM_PATIENCE_MS: u64 = 2_000;

impl Running {
    pub(super) fn picture(&self) -> Picture {
        let part = |(index, bank): (usize, &BankRun)| {
            let view = bank.view.borrow();
            let leader = view.leader();
            let row = |node: &NodePlan| {
                row(
                    &self.fleet.members[bank.place(node.node)],
                    &view,
                    leader == Some(node.node) && self.runs(index, node.node),
                )
            };
            BankPart {
                name: bank.plan.name.to_string(),
                url: format!("http://{}", bank.plan.ports.balancer_http()),
                rows: bank.plan.nodes.iter().map(row).collect(),
            }
        };
        Picture {
            banks: self.banks.iter().enumerate().map(part).collect(),
            invitation: self.ready.then(|| self.invitation()),
        }
    }

    /// The first bank's page, and three commands that work as they stand.
    fn invitation(&self) -> Invitation {
        let bank = &self.banks[0];
        let url = format!("http://{}", bank.plan.ports.balancer_http());
        // The one that `bench` takes if none is named.
        let which =
            if bank.plan.name.as_str() == "alpha" { String::new() } else { format!(" --bank {}", bank.plan.name) };
        let mut commands = vec![
            (format!("curl -X POST {url}/open_account"), String::new()),
            (format!("{} bench --seconds 10{}{which}", self.program, self.dir_flag()), String::new()),
        ];
        let leader = bank.leader.map(|node| &self.fleet.members[bank.place(node)].life);
        if let Some(Life::Running { child }) = leader {
            commands.push((format!("kill -9 {}", child.pid), "the leader; watch what happens".to_owned()));
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
            (status.role.text(), Health::Waits, "no majority answers it".to_owned())
        }
        (Life::Running { .. }, Some(status)) => {
            let health = if leads {
                Health::Leads
            } else if status.ready {
                Health::Fine
            } else {
                Health::Waits
            };
            (status.role.text(), health, String::new())
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
