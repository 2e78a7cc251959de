//! Every state of a small group, searched exhaustively.
//!
//! The simulator plays large groups through long random lives; this crate plays the smallest groups through *all* lives,
//! up to a bound. It steps `paxos::Paxos` itself, not a description of it: what is searched is what runs.
//!
//! ```text
//!   setup ──► world (states, actions, books) ──► search (stateright, breadth first) ──► outcome: states, or a tale
//!               │
//!               └─► node: Paxos + disk, one step: input → node, messages, votes, batches handed out
//! ```
//!
//! * `setup`: how large the group is and what may happen to it; `plan` has the searches that are run.
//! * `disk`, `node`: one node; `world`: the group, the network and the rules that are watched.
//! * `sight`: what a search must have come across, so that one in which nothing happens is not taken for a proof.
//! * `tale`: a counter-example for people.
//!
//! What is *not* here: time. Clocks, heartbeats and moods decide who stands and when; here any node stands at any moment
//! (`Paxos::stand_anytime`), which covers every policy. Messages sent again by time are covered by a network that may
//! deliver each message any number of times. That something happens at all is the simulator's business.

mod dead;
mod disk;
mod node;
pub mod plan;
pub mod search;
pub mod setup;
pub mod sight;
mod tale;
mod world;
pub mod wrong;
