//! Nodes that come and go while the network runs: what a request does to processes, balancer, table and `layout.json`.

use std::path::PathBuf;

use api::status::Mode;

use super::bank_run::BankRun;
use super::plan::NodePlan;
use super::prepare::{Beside, Gateway, NewBank, one_more};
use super::requests::{Reply, Request, Started};
use super::running::Running;
use crate::cmd::init::{JOINS, NewNode, identity_path, load_identity, make_identity};
use crate::failure::Failure;
use crate::lookout;
use crate::network::certificates;
use crate::network::cluster::Cluster;
use crate::network::layout::{BankLayout, Seat};
use crate::network::name::BankName;
use crate::network::network_file::Kind;
use crate::network::ports::Ports;
use crate::plain::counted;

impl Running {
    /// Does what was asked. Everything here may be asked again: what is so already is answered like what was done.
    pub(super) async fn on_request(&mut self, request: &Request) -> Reply {
        let done = match request {
            Request::AddBank { bank, nodes, base_port } => {
                self.add_bank(NewBank { name: bank, nodes: *nodes, base_port: *base_port }).await
            }
            Request::Add { bank, cluster, node, replaces } => {
                self.is_cluster(bank, *cluster).and_then(|()| self.add_node(bank, *node, *replaces)).map(Reply::Added)
            }
            Request::Remove { bank, cluster, node } => {
                self.is_cluster(bank, *cluster).and_then(|()| self.remove_node(bank, *node)).map(|()| Reply::Removed)
            }
        };
        done.unwrap_or_else(|failure| Reply::Refused(failure.into()))
    }

    /// Whoever asks began with this cluster.
    fn is_cluster(&self, name: &BankName, cluster: Cluster) -> Result<(), Failure> {
        match self.layout.bank(name) {
            Some(bank) if bank.cluster != cluster => Err(Failure::new(format!(
                "this rialto up runs another bank {name} than the command began with; nothing was changed"
            ))),
            Some(_) | None => Ok(()),
        }
    }

    fn bank_named(&self, name: &BankName) -> Result<usize, Failure> {
        let found = self.banks.iter().position(|bank| bank.plan.name == *name);
        found.ok_or_else(|| Failure::new(format!("this rialto up runs no bank {name}")))
    }

    fn add_node(&mut self, name: &BankName, node: u16, replaces: Option<u16>) -> Result<Started, Failure> {
        let bank = self.bank_named(name)?;
        let seat = self.seat_for(name, node, replaces)?;
        certificates::ensure(&self.dir, self.layout.banks.iter().filter(|bank| bank.tls && bank.name == *name))?;
        let layout = self.layout.bank(name).expect("a bank that runs is in the layout");
        let plan = NodePlan::new(&self.dir, layout, self.banks[bank].plan.ports, &self.program_file, seat);
        if !identity_path(&plan.data).exists() {
            let new = NewNode { name, node, nodes: JOINS, cluster: layout.cluster, mode: layout.mode };
            make_identity(&plan.data, &new)?;
        }
        let disk = load_identity(&plan.data)?.made_ms;
        let started = Started { node, http: plan.http.to_string(), peer: plan.peer.to_string(), disk };
        if self.banks[bank].place(node).is_none() {
            let who = self.who(bank, node);
            let place = self.fleet.add(plan.clone());
            self.banks[bank].add(plan, place);
            let pid = self.fleet.start(place)?;
            self.screen.event(&format!("{who} is made and started (process {pid}); it has no vote yet"));
            self.save()?;
        }
        Ok(started)
    }

    /// One more bank: its identities, certificates and ports are made, its nodes started. The gateway finds it in
    /// `network.json`, and takes it in when it answers.
    async fn add_bank(&mut self, new: NewBank<'_>) -> Result<Reply, Failure> {
        let there = self.banks.iter().find(|bank| bank.plan.name == *new.name).map(|bank| bank.plan.ports);
        let ports = match (there, new.base_port) {
            (Some(ports), Some(base)) if ports.base() != base => {
                return Err(Failure::new(format!("bank {} runs already, at {} and up", new.name, ports.base())));
            }
            (Some(ports), _) => ports,
            (None, _) => self.start_bank(new).await?,
        };
        Ok(Reply::BankAdded { http: format!("http://{}", ports.balancer_http()) })
    }

    async fn start_bank(&mut self, new: NewBank<'_>) -> Result<Ports, Failure> {
        let NewBank { name, nodes, .. } = new;
        let spoken_for: Vec<Ports> = self.banks.iter().map(|bank| bank.plan.ports).collect();
        let has_gateway = self.banks.iter().any(|bank| bank.plan.kind == Kind::Gateway);
        let consul = self.banks.iter().find_map(|bank| self.layout.bank(&bank.plan.name)?.consul.clone());
        let beside = Beside { gateway: if has_gateway { Gateway::Runs } else { Gateway::Not }, spoken_for, consul };
        let plan = one_more(&self.dir, &mut self.layout, (new, beside), &self.program_file)?;
        let (ports, first) = (plan.ports, self.fleet.members.len());
        let places: Vec<usize> = plan.nodes.iter().map(|node| self.fleet.add(node.clone())).collect();
        let run = BankRun::new(plan, first);
        run.balance(self.file_handles, &mut self.balancers).await?;
        self.banks.push(run);
        for place in places {
            self.fleet.start(place)?;
        }
        self.screen.event(&format!("bank {name} is made and starts with {}", counted(nodes.into(), "node", "nodes")));
        self.save()?;
        Ok(ports)
    }

    /// The seat that the node has, or a new one, durably noted.
    fn seat_for(&mut self, name: &BankName, node: u16, replaces: Option<u16>) -> Result<Seat, Failure> {
        let layout = self.layout.bank_mut(name).expect("a bank that runs is in the layout");
        if let Some(seat) = layout.seat(node) {
            return Ok(seat);
        }
        if node <= layout.nodes || layout.left.contains(&node) {
            return Err(Failure::new(format!(
                "node {node} of bank {name} was there before: numbers are never used twice"
            )));
        }
        let place = layout
            .free_place()
            .ok_or_else(|| Failure::new(format!("bank {name} has no ports for another node: remove one first")))?;
        let seat = Seat { node, place, replaces };
        layout.joined.push(seat);
        self.layout.save(&self.dir)?;
        Ok(seat)
    }

    fn remove_node(&mut self, name: &BankName, node: u16) -> Result<(), Failure> {
        let bank = self.bank_named(name)?;
        if let Some(place) = self.banks[bank].place(node) {
            self.fleet.dismiss(place);
            self.forget_node(bank, node)?;
        }
        Ok(())
    }

    /// It is no member: nobody is sent there, it is not shown, and not started again.
    pub(super) fn forget_node(&mut self, bank: usize, node: u16) -> Result<(), Failure> {
        let who = self.who(bank, node);
        let name = self.banks[bank].plan.name.clone();
        let Some(data) = self.banks[bank].remove(node) else { return Ok(()) };
        let layout = self.layout.bank_mut(&name).expect("a bank that runs is in the layout");
        leave(layout, node);
        self.layout.save(&self.dir)?;
        self.screen.event(&format!("{who} has left the bank; its directory {} may be deleted", shown(&data)));
        self.save()
    }

    /// What the log says of a bank's mode is noted, so that the next start knows.
    pub(super) fn follow_mode(&mut self, bank: usize) {
        let mode = self.banks[bank].view.borrow().mode();
        self.note_mode(bank, mode);
    }

    /// Asks all nodes once more before they are stopped: the mode may have changed since they were last asked.
    pub(super) async fn follow_modes_now(&mut self) {
        for bank in 0..self.banks.len() {
            let nodes = self.banks[bank].plan.nodes.iter().map(|node| (node.node, node.http)).collect();
            let mode = lookout::look_once(nodes).await.mode();
            self.note_mode(bank, mode);
        }
    }

    fn note_mode(&mut self, bank: usize, mode: Option<Mode>) {
        let name = self.banks[bank].plan.name.clone();
        let Some(mode) = mode else { return };
        let layout = self.layout.bank_mut(&name).expect("a bank that runs is in the layout");
        let known = std::mem::replace(&mut layout.mode, mode);
        if known != mode {
            self.screen.event(&super::story::mode_is(name.as_str(), mode));
            if let Err(failure) = self.layout.save(&self.dir) {
                self.screen.event(&failure.to_string());
            }
        }
    }
}

fn leave(layout: &mut BankLayout, node: u16) {
    if !layout.left.contains(&node) {
        layout.left.push(node);
        layout.left.sort_unstable();
    }
}

fn shown(path: &std::path::Path) -> String {
    let here: Option<PathBuf> = std::env::current_dir().ok();
    here.and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path).display().to_string()
}
