//! The crate's tests, one binary: scripted conversations with a single node, scripted faults of a small group, random
//! faults of a small group.

mod cluster;
#[cfg(feature = "controls")]
mod controls;
mod conversations;
mod elections;
mod faults;
mod group;
mod leaderless;
mod learning;
mod members;
mod memory;
mod nonsense;
mod random;
mod reading;
