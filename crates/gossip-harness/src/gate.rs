//! The place where a worker's process seems to stop: between deciding on a write and sending it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// Which workers stand still. Clones share one state.
#[derive(Clone, Debug)]
pub struct Gate {
    stopped: watch::Sender<BTreeSet<usize>>,
    /// Who was seen to stand since the gate was last opened.
    stood: Arc<Mutex<BTreeSet<usize>>>,
}

impl Default for Gate {
    fn default() -> Self {
        Gate { stopped: watch::channel(BTreeSet::new()).0, stood: Arc::default() }
    }
}

impl Gate {
    /// These workers stop at their next step, as well as those that stand already.
    pub fn stop(&self, workers: &[usize]) {
        self.stopped.send_modify(|stopped| stopped.extend(workers));
    }

    /// All go on. Answers who stood here: a worker that was told to stop and never came by was not paused.
    pub fn open(&self) -> BTreeSet<usize> {
        self.stopped.send_modify(BTreeSet::clear);
        std::mem::take(&mut *self.stood.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Stands still as long as `worker` is stopped. Answers whether it was.
    pub async fn pass(&self, worker: usize) -> bool {
        let mut stopped = self.stopped.subscribe();
        if !stopped.borrow_and_update().contains(&worker) {
            return false;
        }
        self.stood.lock().unwrap_or_else(PoisonError::into_inner).insert(worker);
        // Fails only when the sender is gone, and `self` is one.
        let _ = stopped.wait_for(|stopped| !stopped.contains(&worker)).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_stopped_worker_stands_until_the_gate_opens_and_others_pass() {
        let gate = Gate::default();
        gate.stop(&[1]);
        assert!(!gate.pass(0).await);
        let standing = tokio::spawn({
            let gate = gate.clone();
            async move { gate.pass(1).await }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!standing.is_finished());
        assert_eq!(gate.open(), [1].into());
        assert!(standing.await.unwrap());
        assert!(!gate.pass(1).await);
        gate.stop(&[2]);
        assert_eq!(gate.open(), BTreeSet::new(), "it never came by");
    }
}
