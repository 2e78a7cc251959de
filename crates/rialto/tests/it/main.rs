//! `rialto` as people run it: real processes, real sockets, real files, killed for real.
//!
//! Every test has a directory and a block of ports of its own, waits for conditions and never for a time, and ends only
//! processes that it started, by their handle.

mod apart;
mod bank;
mod by_hand;
mod checkpoint;
mod cuts;
mod damage;
mod http;
mod lab;
mod members;
mod network;
mod outage;
mod payer;
mod rot;
mod strangers;
mod survival;
mod truth;
mod up;
