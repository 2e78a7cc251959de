//! Storage from outside: every rule of crash safety against a disk that crashes at every operation, the formats
//! against models, and the real disk once.

mod chance;
mod identity_and_lock;
mod journal_rules;
mod journal_transfer;
mod log_crash;
mod log_rot;
mod log_rules;
mod node;
mod real_disk;
mod store_crash;
mod store_rules;
