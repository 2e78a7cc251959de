//! `rialto up` at work: node processes, what becomes of them, and what is said about it.
//!
//! ```text
//!   plan        which processes, with which arguments
//!   prepare     the directory: locked, and what is to run there
//!   choose_ports  a block for each bank
//!   directories   closed to others, deleted, made if new
//!   child       one process: started, told to stop, waited for
//!   fleet       all of them: restarts, orderly stop, network.json
//!   running     the loop: what happens, what is done about it, what is shown
//!   bank_run    one bank of it: who watches its nodes, where its balancers send callers
//!   noted       what runs, in network.json
//!   requests    what other commands ask of it, over a socket
//!   demo        customers of a new network
//!   changing    nodes that come and go meanwhile
//!   portrait    what is to be seen of it
//!   story       sentences about what happened
//!   consul_watch  whether Consul answers
//!   columns     lines of a terminal, broken where they are too long
//!   screen      the table on a terminal, lines elsewhere
//! ```

mod bank_run;
mod changing;
pub(crate) mod child;
mod choose_ports;
pub(crate) mod columns;
mod consul_watch;
mod demo;
mod directories;
pub(crate) mod fleet;
mod noted;
pub(crate) mod plan;
pub(crate) mod portrait;
pub(crate) mod prepare;
pub(crate) mod requests;
pub(crate) mod running;
pub(crate) mod screen;
pub(crate) mod story;
