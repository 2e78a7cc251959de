//! Tests of the gateway's core through its public face: a row for each outcome, the bytes that must stay stable, random
//! commands against a naive model, and whole networks with lost messages, restarts and restores.

mod bankside;
mod bounds;
mod codec;
mod desk;
mod dice;
mod driver;
mod model;
mod network;
mod outbox;
mod outcomes;
mod random;
mod recall;
mod risk;
mod sim;
mod strange;
