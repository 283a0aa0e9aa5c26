//! What a run leaves for people: the text report and the machine's results.

mod edn;
mod faults;
mod html;
pub mod stdout;
mod text;
mod trace;

#[cfg(test)]
mod tests;

pub use edn::results_edn;
pub use html::{NodeLog, html};
pub use text::text;
pub use trace::{Trace, failing_trace};

/// What a report says of the run itself. The history knows nothing of it.
#[derive(Debug, Clone, PartialEq)]
pub struct RunInfo {
    /// `JEPSEN REPORT`, or `MAELSTROM REPORT` at that tier.
    pub title: String,
    pub workload: String,
    pub nemesis: String,
    /// Names of the nodes.
    pub nodes: Vec<String>,
    /// Seconds for which the load ran.
    pub duration_s: f64,
    /// Client threads.
    pub concurrency: usize,
    pub seed: u64,
    /// Of the schedule of faults, in hex.
    pub schedule_digest: String,
    /// The command that repeats the run.
    pub repro: String,
}
