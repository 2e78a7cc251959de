//! The wallet against a gateway that misbehaves, and against `kill -9`: every payment exactly once.

mod desk;
#[path = "../../../api/tests/it/gateway.rs"]
mod gateway;
mod kill;
mod worker;
