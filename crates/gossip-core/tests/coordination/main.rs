//! The coordination state machine, rule by rule and against a naive model.

mod kit;

mod lease_rules;
