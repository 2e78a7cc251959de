//! `rialto up` at work: node processes, what becomes of them, and what is said about it.
//!
//! ```text
//!   plan        which processes, with which arguments
//!   prepare     the directory: locked, made if new, ports chosen
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
//!   screen      the table on a terminal, lines elsewhere
//! ```

mod bank_run;
mod changing;
pub(crate) mod child;
mod demo;
pub(crate) mod fleet;
mod noted;
pub(crate) mod plan;
pub(crate) mod portrait;
pub(crate) mod prepare;
pub(crate) mod requests;
pub(crate) mod running;
pub(crate) mod screen;
pub(crate) mod story;
