//! A client for a gossip-rs cluster: takes shards of a key space under leases, works on them, and knows when to stop.
//!
//! ```no_run
//! use std::time::Duration;
//! use gossip_client::{Client, Cursor, Error, LeaseGuard, LeaseOptions, OpId, Options};
//!
//! # async fn process(page: &[u8]) -> Vec<u8> { page.to_vec() }
//! # async fn example() -> Result<(), Error> {
//! let nodes = vec!["10.0.0.1:7400".into(), "10.0.0.2:7400".into(), "10.0.0.3:7400".into()];
//! let client = Client::connect(nodes, Options::tenant("search")).await?;
//! let options = LeaseOptions { wait: Duration::from_secs(20), ..LeaseOptions::default() };
//! loop {
//!     let guard = match LeaseGuard::claim(&client, "crawl-7", "host-a/1", options).await {
//!         Ok(guard) => guard,
//!         Err(error) if error.reason == "RUN_ENDED" => return Ok(()),
//!         // All that is left is held or parked. Whoever finishes the last shard ends the run.
//!         Err(error) if error.reason == "NO_SHARD_FREE" => match client.complete_run(OpId::random(), "crawl-7").await {
//!             Ok(_) => return Ok(()),
//!             Err(_) => continue,
//!         },
//!         Err(error) => return Err(error),
//!     };
//!     let mut at = guard.grant().cursor.clone().map_or(guard.range().start.clone(), |cursor| cursor.key);
//!     let work = async {
//!         while at != guard.range().end {
//!             at = process(&at).await;
//!             guard.checkpoint(OpId::random(), Cursor::at(at.clone())).await?;
//!         }
//!         guard.complete(OpId::random(), None).await
//!     };
//!     tokio::select! {
//!         done = work => done?,
//!         // Comes before another worker can hold the shard: drop what is not committed.
//!         lost = guard.lost() => eprintln!("stopped working on {}: {lost}", guard.lease().shard),
//!     }
//! }
//! # }
//! ```
//!
//! [`Client`] finds the leader, keeps to a deadline and tries again where that is safe. Every mutation takes an [`OpId`]: after an
//! indefinite [`Error`] the same call with the same id tells what happened. [`LeaseGuard`] renews a lease in the background.
//! For harnesses: [`Client::pinned`] asks one node and sends each call once; `Options { retries: 0, .. }` sends once but still
//! goes where the leader was last seen.

mod client;
pub mod clock;
mod cluster;
mod convert;
mod error;
mod guard;
mod opid;
mod options;
mod pool;
mod retry;
mod runs;
mod shards;
mod types;
mod watch;

pub use client::Client;
pub use cluster::{Health, JoinResponse, Member, NodeStatus, Role};
pub use error::{DEADLINE, Error, TRANSPORT, UNREACHABLE};
pub use guard::{LEASE_LOST, LeaseGuard, LeaseOptions, Lost};
pub use opid::OpId;
pub use options::Options;
pub use types::{
    Child, Consistency, Counts, Cursor, Grant, LeaseRecord, LeaseRef, Page, Range, Read, Renewal, RunInfo, RunStatus,
    ShardInfo, ShardSpec, ShardStatus,
};
pub use watch::RunWatch;
