//! One bank at work: where its nodes are, who watches them, where its balancers send callers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use api::status::Mode;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::plan::{BankPlan, NodePlan};
use crate::balance::{Balancer, Traffic};
use crate::failure::Failure;
use crate::lookout::{Lookout, View};

/// One bank at work.
#[derive(Debug)]
pub(super) struct BankRun {
    pub(super) plan: BankPlan,
    /// Where its nodes are in the fleet.
    places: BTreeMap<u16, usize>,
    pub(super) lookout: Lookout,
    pub(super) view: watch::Receiver<View>,
    pub(super) leader: Option<u16>,
    /// Where its balancers send callers.
    http: watch::Sender<BTreeMap<u16, SocketAddr>>,
    grpc: watch::Sender<BTreeMap<u16, SocketAddr>>,
}

impl BankRun {
    pub(super) fn new(plan: BankPlan, first: usize) -> BankRun {
        let http: BTreeMap<u16, SocketAddr> = plan.nodes.iter().map(|node| (node.node, node.http)).collect();
        let grpc = plan.nodes.iter().map(|node| (node.node, node.grpc)).collect();
        let lookout = Lookout::start(&http);
        let places = plan.nodes.iter().zip(first..).map(|(node, place)| (node.node, place)).collect();
        let (http, grpc) = (watch::Sender::new(http), watch::Sender::new(grpc));
        BankRun { places, view: lookout.view(), lookout, leader: None, http, grpc, plan }
    }

    pub(super) fn place(&self, node: u16) -> Option<usize> {
        self.places.get(&node).copied()
    }

    /// A node that joins is shown, watched, and sent callers when it is ready.
    pub(super) fn add(&mut self, node: NodePlan, place: usize) {
        self.places.insert(node.node, place);
        self.lookout.add(node.node, node.http);
        self.http.send_modify(|backends| {
            backends.insert(node.node, node.http);
        });
        self.grpc.send_modify(|backends| {
            backends.insert(node.node, node.grpc);
        });
        self.plan.nodes.push(node);
        self.plan.nodes.sort_unstable_by_key(|node| node.node);
    }

    /// A node that left; its directory, if it was there.
    pub(super) fn remove(&mut self, node: u16) -> Option<PathBuf> {
        self.places.remove(&node)?;
        self.lookout.remove(node);
        self.http.send_modify(|backends| {
            backends.remove(&node);
        });
        self.grpc.send_modify(|backends| {
            backends.remove(&node);
        });
        if self.leader == Some(node) {
            self.leader = None;
        }
        let at = self.plan.nodes.iter().position(|plan| plan.node == node)?;
        Some(self.plan.nodes.remove(at).data)
    }

    pub(super) fn mode(&self) -> Mode {
        self.view.borrow().mode().unwrap_or_default()
    }

    /// Starts the balancers.
    pub(super) async fn balance(&self, file_handles: u64, balancers: &mut JoinSet<()>) -> Result<(), Failure> {
        let ports = self.plan.ports;
        let roads = [
            (Traffic::Http, ports.balancer_http(), self.http.subscribe()),
            (Traffic::Grpc, ports.balancer_grpc(), self.grpc.subscribe()),
        ];
        for (traffic, address, backends) in roads {
            let listener = TcpListener::bind(address).await.map_err(|error| {
                let (bank, why) = (&self.plan.name, certs::why(&error));
                Failure::new(format!("cannot listen on {address} for the balancer of bank {bank}: {why}"))
            })?;
            let balancer = Balancer {
                bank: self.plan.name.to_string(),
                traffic,
                backends,
                view: self.lookout.view(),
                hurry: self.lookout.hurry(),
                connections_max: traffic.connections_max(file_handles),
            };
            balancers.spawn(balancer.run(listener));
        }
        Ok(())
    }
}
