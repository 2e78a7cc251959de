//! Whole groups of replicas over simulated disks.

mod batches;
mod clocks;
mod cluster;
mod groups;
mod machine;
mod node;
mod receiving;
mod restored;
mod rot;
