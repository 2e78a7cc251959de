//! What a bank's node serves: HTTP with the page and the audit, gRPC, and what keeps the page's picture fresh.

use crate::audit;
use crate::config::{BankNodeConfig, NodeError};
use crate::edge::customers::SignIns;
use crate::edge::desk::Desk;
use crate::edge::metrics::Metrics;
use crate::edge::{grpc, router};
use crate::feeder;
use crate::handle::Bank;
use crate::page;
use crate::serve::{self, Edges};

pub(crate) fn edges(config: &BankNodeConfig, bank: &Bank, metrics: &Metrics) -> Result<Edges, NodeError> {
    let desk = Desk { bank: bank.clone(), guard: serve::guard(config)?, metrics: metrics.clone() };
    let (publisher, feed) = page::feed();
    let addresses = config.http_of_members.iter().cloned().collect();
    let feeding = tokio::spawn(feeder::run(bank.clone(), publisher, addresses));
    let extra = page::router(feed).merge(audit::router(bank.clone()));
    let sign_ins = SignIns::default();
    let http = router::router(desk.clone(), &sign_ins, extra);
    Ok(Edges { http, grpc: grpc::router(desk, sign_ins), tasks: vec![feeding] })
}
