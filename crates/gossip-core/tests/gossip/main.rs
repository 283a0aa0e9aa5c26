//! Membership and facts between real nodes in virtual time.

mod facts;
mod members;
mod messages;
#[cfg(feature = "mutants")]
mod mutants;
mod net;
mod stability;
