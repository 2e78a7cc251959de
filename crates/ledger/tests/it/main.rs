//! Tests of the ledger through its public face: tables of outcomes, the bytes that must stay stable, and random commands
//! against a naive model.

mod codec;
mod customers;
mod daily_limit;
mod desk;
mod holds;
mod linked;
mod model;
mod names_of_before;
mod outcomes;
mod random;
mod records;
mod replays;
mod restore;
mod restored;
mod slices;
