//! Payments over simulated groups of nodes: gateway and banks, each a replica of three with its own log and disk.

mod calls;
mod customers;
#[path = "../../../clearing/tests/it/dice.rs"]
mod dice;
mod group;
mod network;
#[path = "../../../replica/tests/it/node.rs"]
mod node;
mod strange;
mod world;
