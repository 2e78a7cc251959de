//! Whole networks in one thread, on a simulated clock, a simulated network and simulated disks.
//!
//! One seed is one run, byte for byte: a group of nodes with storage, clients that ask for everything a bank does, and
//! trouble of every kind; checkers look on after every step. What is found is found again by its seed.
//!
//! In reading order:
//!
//! * [`random`], [`schedule`], [`clock`], [`network`], [`cuts`]: chance, time and distance;
//! * [`plan`]: what one seed is; [`control`]: the safety rules that can be switched off;
//! * `node`, `world` with its parts `links`, `carry`, `faults`, `receive`, `damage`, `operator`, `clients` and `ending`: what
//!   happens;
//! * [`check`]: what must hold; [`trace`], [`tally`]: what is remembered;
//! * [`run`] for one seed, [`campaign`] for many.
//!
//! Not here: threads inside a run, real time, real files, and any rule of Paxos or of money: the simulator only steps
//! what the other crates are.

pub mod campaign;
mod carry;
pub mod check;
mod clients;
pub mod clock;
pub mod control;
pub mod cuts;
mod damage;
mod ending;
mod faults;
mod links;
pub mod network;
mod node;
mod operator;
pub mod plan;
pub mod random;
mod receive;
pub mod run;
pub mod schedule;
pub mod tally;
pub mod trace;
pub mod workload;
mod world;
