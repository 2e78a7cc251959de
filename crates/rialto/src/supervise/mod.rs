//! `rialto up` at work: node processes, what becomes of them, and what is said about it.
//!
//! ```text
//!   plan        which processes, with which arguments
//!   prepare     the directory: locked, made if new, ports chosen
//!   child       one process: started, told to stop, waited for
//!   fleet       all of them: restarts, orderly stop, network.json
//!   running     the loop: what happens, what is done about it, what is shown
//!   portrait    what is to be seen of it
//!   story       sentences about what happened
//!   screen      the table on a terminal, lines elsewhere
//! ```

pub(crate) mod child;
pub(crate) mod fleet;
pub(crate) mod plan;
mod portrait;
pub(crate) mod prepare;
pub(crate) mod running;
pub(crate) mod screen;
pub(crate) mod story;
