//! `rialto` as people run it: real processes, real sockets, real files, killed for real.
//!
//! Every test has a directory and a block of ports of its own, waits for conditions and never for a time, and ends only
//! processes that it started, by their handle.

mod apart;
mod audit_within;
mod bank;
mod bounds;
mod by_hand;
mod certs;
mod checkpoint;
mod clocks;
mod closed;
mod commands;
mod consul;
mod customers;
mod cuts;
mod damage;
mod day;
mod endings;
mod hostile_bank;
mod http;
mod lab;
mod lookalikes;
mod members;
mod network;
mod networks;
mod operators;
mod outage;
mod payer;
mod payment_troubles;
mod payments;
mod payments_over_http;
mod pinned;
mod restore;
mod rot;
mod shell;
mod stops;
mod strangers;
mod survival;
#[path = "../../../api/tests/it/gateway.rs"]
mod test_gateway;
mod town;
mod truth;
mod up;
mod wrong_addresses;
