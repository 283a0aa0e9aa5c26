//! Histories, models, judges and reports. Shares no code with what it judges.
//!
//! [`history`] reads and writes what was done, in Jepsen's form. [`judge`] runs the catalogue of [`invariants`] over it and,
//! with [`wgl`] and [`model`], looks for a linearization of each shard. [`report`] says it to people and to machines.
//!
//! ```
//! use gossip_check::history::read_str;
//! use gossip_check::invariants::Invariant;
//! use gossip_check::judge::{Options, Validity, judge};
//!
//! let ops = read_str(
//!     r#"{:process 0, :type :invoke, :f :acquire, :value {:shard "s", :worker "a", :op-id "1"}, :time 0}
//!        {:process 0, :type :ok, :f :acquire, :value {:shard "s", :worker "a", :op-id "1", :fence 2}, :time 1}
//!        {:process 0, :type :invoke, :f :acquire, :value {:shard "s", :worker "b", :op-id "2"}, :time 2}
//!        {:process 0, :type :ok, :f :acquire, :value {:shard "s", :worker "b", :op-id "2", :fence 1}, :time 3}"#,
//! )?;
//! let verdict = judge(&ops, &Options::default())?;
//! assert_eq!(verdict.validity, Validity::False);
//! assert_eq!(verdict.check(Invariant::S2).map(|c| &c.violations[0].ops[..]), Some(&[1, 3][..]));
//! # Ok::<(), gossip_check::history::HistoryError>(())
//! ```

pub mod history;
pub mod invariants;
pub mod judge;
pub mod model;
pub mod report;
pub mod wgl;
