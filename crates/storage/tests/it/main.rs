//! Storage from outside: every rule of crash safety against a disk that crashes at every operation, the formats
//! against models, and the real disk once.

mod chance;
mod log_crash;
mod log_rules;
