//! The ledger of a bank: money, accounts, customers, transfers and holds, and the rules that keep them true.
//!
//! One deterministic state machine. Requests come in as bytes, in the order of the log; every command of theirs gets one
//! outcome, forever; every outcome is a record in the journal, from which the books can be made again.
//!
//! ```text
//! request bytes ─ decode ─► Command ─ rules ─► Outcome ─► answer
//!                                     │  ▲         └────► 256-byte record ─► journal ─ fold ─► checkpoint
//!                                     ▼  │ Books                                                  │
//!                                    memory ◄──────────────────── restore ────────────────────────┘
//! ```
//!
//! What is not here: no file, no clock, no randomness, no network, no thread, no float, and no order that comes from
//! hashing. Nothing that arrives from outside can make it panic; a broken relation inside does, before money moves on.
//!
//! Reading order: [`money`], [`currency`], [`ids`], [`text`], [`customer`], [`secret`], [`day`]: the values. [`command`], [`outcome`]: what goes in and
//! comes out. [`rules`]: what decides, over [`books`]. [`request`], [`record`], [`checkpoint`]: the bytes. [`ledger`]:
//! the whole. [`invariant`]: what must hold after every step.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    reason = "no data from outside may end a node: each exception says why it cannot be reached"
)]

pub mod account;
pub mod books;
pub mod characters;
pub mod checkpoint;
pub mod command;
pub mod currency;
pub mod customer;
pub mod customer_name;
pub mod day;
mod earlier;
pub mod fence;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod hold;
pub mod ids;
pub mod invariant;
pub mod journal;
pub mod key;
pub mod ledger;
mod memory;
pub mod money;
pub mod movement;
pub mod outcome;
pub mod record;
pub mod request;
pub mod rules;
pub mod secret;
pub mod settings;
mod slice;
pub mod statement;
pub mod text;

pub use account::{Balances, BalancesAfter, Standing};
pub use characters::{BadCharacter, CharacterFault};
pub use checkpoint::{RestoreError, fold_effects};
pub use command::{Command, OrderEnd, Request};
pub use currency::Currency;
pub use customer::{Customer, Lock};
pub use customer_name::{CustomerName, NotACustomerName};
pub use fence::{Fence, Lost};
pub use hold::{Hold, HoldState};
pub use ids::{AccountId, IdError, Internal, Placer, TransferId};
pub use journal::JournalPort;
pub use key::RecordKey;
#[cfg(feature = "controls")]
pub use ledger::Control;
pub use ledger::{AccountView, Ledger, Totals};
pub use money::{Amount, AmountError};
pub use movement::Movement;
pub use outcome::{Answer, Outcome, Rejected};
pub use record::{Body, RECORD_BYTES, Record, RecordBytes, RecordError, record_key};
pub use request::Malformed;
pub use rules::Context;
pub use secret::{Argon2Cost, Secret};
pub use settings::{SettingChange, SettingEntry, Settings};
pub use statement::{Direction, Effect, LineKind, StatementLine, TransferView};
pub use text::{Counterparty, LineError, Owner, Reference};
