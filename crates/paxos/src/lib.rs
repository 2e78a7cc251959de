//! One Paxos log, sans-IO: messages and time go in, records, messages and chosen batches come out. This crate does no IO,
//! reads no clock, draws no random number and never iterates in an order that comes from hashing.
//!
//! ```text
//!        propose ─► active ──Accept───────────────────────► the others' acceptors
//!                    ▲  │                                            │
//!   proposer ────────┘  └─► acceptor ══ Accepted (vow) ═► active ◄═══╡ Accepted (vow)
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
//! * `active_proposer`: the accepts of the one who may send them, at most alpha slots above what it has applied, in epochs
//!   that promised.
//! * `learner`: "chosen" counts only for copies accepted under the ballot that it names; the rest is learned.
//! * `election` and `turns`: the two policies about who becomes the proposer, of leader mode and of leaderless mode. Nothing
//!   but who proposes depends on their outcome.
//! * `members`: who has a vote in which slot; all majorities are counted there.
//! * `change`: how a node lives through a change of members, and what strangers are told.
//! * `trust`: a node whose disk holds less than it once said binds itself to nothing.
//! * `reads`: linearizable reads without a disk write.
//! * `clock`: who is not fit to lead because of its clock.
//! * `invariant`: the relations that hold after every step.
//!
//! Everything may be lost, doubled or reordered on the way; what matters is sent again by time.

mod acceptor;
mod active_proposer;
#[cfg(feature = "anytime")]
mod anytime;
mod change;
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
mod proposer;
mod reads;
mod status;
mod trust;
mod turn;
mod turns;

pub use config::{Config, Mode, Now, Recovered};
#[cfg(feature = "controls")]
pub use controls::Control;
pub use effects::{Effects, Event, Record, Serve};
pub use ids::{Ballot, Batch, Digest, NodeId, Slot};
pub use members::Membership;
pub use message::{ChosenMark, Message, Pulse, Report, Vow};
pub use paxos::{NotProposed, Paxos};
pub use status::{PeerStatus, Role, Status};
