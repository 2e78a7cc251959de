//! The bounded simulation: some seeds without a violation, one seed twice the same, and every control found.
//!
//! A longer run is `cargo run -p sim --release -- --seeds 2000`.

mod controls;
mod seeds;
