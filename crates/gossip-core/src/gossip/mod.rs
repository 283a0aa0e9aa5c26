//! Versioned facts, each owned by one node, and the comparison by which two nodes bring each other up to date.
//!
//! The reconciliation is that of R. van Renesse, D. Dumitriu, V. Gough, C. Thomas, "Efficient Reconciliation and Flow Control
//! for Anti-Entropy Protocols", LADIS 2008 (Scuttlebutt): one version for each owner in the digest, facts in the order of
//! their versions in the delta. What is kept is one value for each key, however often it was published.

mod fact;
mod store;

pub use fact::{Delta, Fact, Invalid, MAX_KEY, MAX_KEYS, MAX_VALUE, Version};
pub use store::Facts;
