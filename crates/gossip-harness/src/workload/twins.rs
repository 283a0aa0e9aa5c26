//! Requests that are delivered twice: while the nemesis wants it, every mutation has a twin.
//!
//! A twin is the same request under the same op id, over a connection of its own, first to another node and then to wherever
//! that one points, after a delay that may outlast the lease. It stands in the history as a call of its own, by a process
//! of its own: what the primary's refusal means is then not mixed with what the twin did, and the judge compares the two
//! answers (S5) and takes both for one operation (L).

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

/// Twins are processes from here on; workers stay below.
const FIRST_PROCESS: i64 = 1_000_000_000;

/// The switch of the nemesis, and what came of it. Clones share one state.
#[derive(Clone, Debug, Default)]
pub struct Twins(Arc<State>);

#[derive(Debug, Default)]
struct State {
    on: std::sync::atomic::AtomicBool,
    sent: AtomicU64,
    answered: AtomicU64,
    processes: AtomicI64,
    tasks: Mutex<JoinSet<()>>,
}

impl Twins {
    /// From now on every mutation has a twin, or none has.
    pub fn set(&self, on: bool) {
        self.0.on.store(on, Ordering::Relaxed);
    }

    /// Whether mutations have twins now.
    pub fn wanted(&self) -> bool {
        self.0.on.load(Ordering::Relaxed)
    }

    /// How many were sent, and how many of these the service answered, so far.
    pub fn counts(&self) -> [u64; 2] {
        [&self.0.sent, &self.0.answered].map(|count| count.load(Ordering::Relaxed))
    }

    /// A process for one twin.
    pub(super) fn process(&self) -> i64 {
        FIRST_PROCESS + self.0.processes.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn note_sent(&self) {
        self.0.sent.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_answered(&self) {
        self.0.answered.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn spawn(&self, twin: impl Future<Output = ()> + Send + 'static) {
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner).spawn(twin);
    }

    /// Waits until every twin has its answer, or `patience` is over. Answers what went wrong: a twin that panicked, or that is still under way.
    pub async fn end(&self, patience: Duration) -> Vec<String> {
        let mut tasks = std::mem::take(&mut *self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        let mut wrong = Vec::new();
        let all = async {
            while let Some(ended) = tasks.join_next().await {
                wrong.extend(ended.err().map(|error| format!("a doubled request: {error}")));
            }
        };
        if tokio::time::timeout(patience, all).await.is_err() {
            wrong.push(format!("doubled requests have no answer after {patience:?}"));
        }
        wrong
    }
}

/// How late a twin may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    /// While the service surely remembers the first: without a fence, a request whose op id is forgotten is a new one.
    Soon,
    /// Even after the lease has ended: its fence is stale by then.
    PastTheLease,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_waits_for_twins_and_tells_of_one_that_panicked() {
        let twins = Twins::default();
        let counted = twins.clone();
        twins.spawn(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            counted.note_sent();
        });
        assert_eq!(twins.end(Duration::from_secs(5)).await, Vec::<String>::new());
        assert_eq!(twins.counts(), [1, 0]);
        twins.spawn(async { panic!("planted") });
        assert_eq!(twins.end(Duration::from_secs(5)).await.len(), 1);
        twins.spawn(std::future::pending());
        assert!(twins.end(Duration::from_millis(20)).await[0].contains("no answer"));
    }
}
