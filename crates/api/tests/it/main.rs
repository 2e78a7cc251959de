//! The SDK for customers against a gateway that misbehaves.

mod customers;
mod gateway;
mod liar;
#[path = "../../examples/pay.rs"]
#[expect(dead_code, reason = "a test runs the example's heart, not its command line")]
mod pay;
