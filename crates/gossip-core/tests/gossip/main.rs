//! Membership and facts between real nodes in virtual time.

mod facts;
mod figures;
mod measure;
mod members;
mod messages;
#[cfg(feature = "mutants")]
mod mutants;
mod net;
mod probes;
mod stability;
mod trouble;
