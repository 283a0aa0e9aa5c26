//! The coordination state machine, rule by rule and against a naive model.

// Clippy allows it in test functions; here all functions are.
#![allow(clippy::unwrap_used)]

mod kit;

mod lease_rules;
mod model;
#[cfg(feature = "mutants")]
mod mutants;
mod op_log;
mod order_of_checks;
mod reads;
mod robustness;
mod run_rules;
mod shapes;
mod snapshots;
mod split_rules;
mod state_machine;
mod waits;
