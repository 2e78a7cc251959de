//! What runs, noted in `network.json` at every change.

use super::bank_run::BankRun;
use super::fleet::Life;
use super::running::Running;
use crate::failure::Failure;
use crate::network::certificates;
use crate::network::network_file::{BankEntry, Kind, NetworkFile, NodeEntry, State};
use std::collections::BTreeMap;

impl Running {
    fn network_file(&self, up: Option<u32>) -> NetworkFile {
        let staying =
            |bank: &BankRun| bank.plan.nodes.iter().filter_map(|node| bank.place(node.node)).collect::<Vec<_>>();
        let places = self.banks.iter().flat_map(staying);
        let nodes = places.map(|place| {
            let member = &self.fleet.members[place];
            let plan = &member.plan;
            let (state, pid) = match &member.life {
                Life::Running { child } => (State::Running, Some(child.pid)),
                Life::Waiting { .. } | Life::Died { .. } => (State::Died, None),
                Life::ShutDown => (State::ShutDown, None),
                Life::Left | Life::Stopped => (State::Stopped, None),
            };
            NodeEntry {
                group: plan.bank.to_string(),
                kind: plan.kind,
                node: plan.node,
                pid,
                state,
                http: format!("http://{}", plan.http),
                grpc: format!("{}://{}", scheme(plan.tls), plan.grpc),
                peer: plan.peer.to_string(),
                data: std::path::absolute(&plan.data).unwrap_or_else(|_| plan.data.clone()),
            }
        });
        let entry = |bank: &BankRun| {
            let (http, grpc) = (bank.plan.ports.balancer_http(), bank.plan.ports.balancer_grpc());
            let scheme = scheme(bank.plan.nodes.iter().any(|node| node.tls));
            BankEntry { http: format!("http://{http}"), grpc: format!("{scheme}://{grpc}") }
        };
        let of_kind = |kind| self.banks.iter().filter(move |bank| bank.plan.kind == kind);
        let banks = of_kind(Kind::Bank).map(|bank| (bank.plan.name.to_string(), entry(bank)));
        let (banks, gateway) = (banks.collect::<BTreeMap<_, _>>(), of_kind(Kind::Gateway).map(entry).next());
        let speaks_tls = self.fleet.members.iter().any(|member| member.plan.tls);
        let tls = speaks_tls.then(|| certificates::dir(&self.dir));
        let tls = tls.map(|tls| std::path::absolute(&tls).unwrap_or(tls));
        NetworkFile { up, nodes: nodes.collect(), banks, gateway, tls }
    }

    /// Keeps `network.json` current.
    pub(super) fn save(&mut self) -> Result<(), Failure> {
        self.save_as(Some(std::process::id()))
    }

    pub(super) fn save_as(&mut self, up: Option<u32>) -> Result<(), Failure> {
        let file = self.network_file(up);
        let json = file.to_json();
        if json == self.written {
            return Ok(());
        }
        match file.save(&self.dir) {
            Ok(()) => self.written = json,
            // A full disk must not take the nodes down: what is written there is old until there is room.
            Err(error) if self.ready => {
                let path = NetworkFile::path(&self.dir);
                self.screen.event(&format!("{} is out of date: {error}", path.display()));
                self.written = json;
            }
            Err(error) => {
                return Err(Failure::new(format!("writing {}: {error}", NetworkFile::path(&self.dir).display())));
            }
        }
        Ok(())
    }
}

fn scheme(tls: bool) -> &'static str {
    if tls { "https" } else { "http" }
}
