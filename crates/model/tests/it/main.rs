//! The small searches, and each control found by them.

mod controls;
mod small;
