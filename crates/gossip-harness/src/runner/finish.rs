//! After the faults: every shard comes to an end, and every node is asked for everything.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use gossip_client::{Consistency, RunStatus, ShardStatus};
use tokio::time::{Instant, sleep};

use crate::workload::{Caller, Course, Place};

/// The liveness phase and the final reads.
pub(super) struct Closing<'a> {
    pub(super) nodes: &'a [Place],
    pub(super) course: &'a Course,
    /// For each of the two.
    pub(super) patience: Duration,
}

impl Closing<'_> {
    /// Drives every shard to a terminal state, and ends the runs. What could not be done shows in the final reads. The closers share
    /// the runs: how many there are grows with the load.
    pub(super) async fn drive(&self, closers: &mut [Caller]) {
        let until = Instant::now() + self.patience;
        let left = Mutex::new(VecDeque::from(self.course.runs()));
        let take = || left.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let driving = closers.iter_mut().map(|closer| async {
            while let Some(run) = take() {
                drive_one(closer, &run, until).await;
            }
        });
        futures::future::join_all(driving).await;
    }

    /// Reads everything from each node, until each has answered or the time is up.
    pub(super) async fn final_reads(&self, closer: &mut Caller) {
        let until = Instant::now() + self.patience;
        for node in self.nodes {
            for run in self.course.runs() {
                while let Err(reason) = closer.read_run(&run, node, true).await {
                    // The making of a run may have been lost for good.
                    if reason == NO_RUN || Instant::now() > until {
                        break;
                    }
                    sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }
}

const NO_RUN: &str = "RUN_NOT_FOUND";

async fn drive_one(closer: &mut Caller, run: &str, until: Instant) {
    // Waits only where a lease of the load may still live.
    let mut wait = Duration::ZERO;
    while Instant::now() < until && !finished(closer, run).await {
        // Parked shards wait for an operator; everything else for a worker.
        for shard in parked(closer, run).await {
            let _ = closer.unpark(&shard).await;
        }
        while Instant::now() < until && complete_one(closer, run, wait).await {}
        wait = Duration::from_secs(1);
    }
    // Refused where it was ended before, never made, or cannot be finished.
    let _ = closer.end_run("complete-run", run).await;
}

async fn finished(closer: &Caller, run: &str) -> bool {
    match closer.client().get_run(run, Consistency::Linearizable).await {
        Ok(run) => {
            run.value.status != RunStatus::Active || (run.value.counts.active == 0 && run.value.counts.parked == 0)
        }
        Err(error) => error.reason == NO_RUN,
    }
}

async fn parked(closer: &Caller, run: &str) -> Vec<String> {
    let status = Some(ShardStatus::Parked);
    let page = closer.client().list_shards(run, status, None, 1000, Consistency::Linearizable).await;
    page.map(|page| page.value.items.into_iter().map(|shard| shard.shard).collect()).unwrap_or_default()
}

/// Claims a shard and completes it. `false`: nothing is free, or the service cannot.
async fn complete_one(closer: &mut Caller, run: &str, wait: Duration) -> bool {
    let op = closer.op_id();
    let grant = match closer.claim(op, run, wait).await {
        Ok(grant) => grant,
        Err(_) => return false,
    };
    let op = closer.op_id();
    closer.complete(op, &grant.lease).await.is_ok()
}
