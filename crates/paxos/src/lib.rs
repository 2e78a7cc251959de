//! One Paxos log, sans-IO: messages and time go in, records, messages and chosen batches come out. This crate does no IO,
//! reads no clock, draws no random number and never iterates in an order that comes from hashing.
//!
//! ```text
//!        propose ─► pen ──Accept──────────────────────────► the others' acceptors
//!                    ▲  │                                            │
//!   proposer ────────┘  └─► acceptor ══ Accepted (vow) ═► pen ◄══════╡ Accepted (vow)
//!   (prepare, gather)          │ votes above the floor      │        │
//!      ▲      ▲                ▼                            │ a majority: chosen
//!      │      ╘═ Promise ══ one promise for the whole log   ▼
//!   election               learner ◄──Chosen (ballot, slot)── with the next accept, or announced
//!   (heartbeats, moods)        │  ──Learn──► a peer that has more ──Learned──►
//!                              ▼
//!                     Effects::chosen: contiguous, in order        reads: ask a majority, apply through m
//!
//!   ──► leaves at once        ══► a vow: leaves after everything persisted before it is synced
//! ```
//!
//! The rules, and where they live:
//!
//! * `acceptor`: one promised ballot for the whole log; votes only above the floor, bounded; refuses what is lower.
//! * `proposer`: prepare behind the own promise; the highest floor reported is learned, above it the highest ballot in
//!   each slot is finished and gaps are filled with no-ops; what is missing is fetched by (slot, ballot, digest).
//! * `pen`: the accepts of the one who may send them, at most alpha slots above what it has applied.
//! * `learner`: "chosen" counts only for copies accepted under the ballot that it names; the rest is learned.
//! * `election`: leader mode's policy about who picks up the pen. Another policy would sit beside it: nothing else
//!   calls `stand`, and nothing but the pen depends on its outcome.
//! * `members`: who has a vote; all majorities are counted there.
//! * `reads`: linearizable reads without a disk write.
//! * `clock`: who is not fit to lead because of its clock.
//! * `invariant`: the relations that hold after every step.
//!
//! Everything may be lost, doubled or reordered on the way; what matters is sent again by time.

mod acceptor;
mod clock;
mod config;
mod controls;
mod effects;
mod election;
mod ids;
pub mod invariant;
mod learner;
mod members;
mod message;
mod paxos;
mod peers;
mod pen;
mod proposer;
mod reads;
mod status;
mod turn;

pub use config::{Config, Now, Recovered};
#[cfg(feature = "controls")]
pub use controls::Control;
pub use effects::{Effects, Event, Record, Serve};
pub use ids::{Ballot, Batch, Digest, NodeId, Slot};
pub use message::{ChosenMark, Message, Pulse, Report, Vow};
pub use paxos::{NotProposed, Paxos};
pub use status::{PeerStatus, Role, Status};
