//! After the faults: every shard comes to an end, and every node is asked for everything.

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
    /// Drives every shard to a terminal state, and ends the runs. What could not be done shows in the final reads.
    pub(super) async fn drive(&self, closer: &mut Caller) {
        let until = Instant::now() + self.patience;
        for run in self.course.runs() {
            while Instant::now() < until && !finished(closer, &run).await {
                // Parked shards wait for an operator; everything else for a worker.
                for shard in parked(closer, &run).await {
                    let _ = closer.unpark(&shard).await;
                }
                while Instant::now() < until && active(closer, &run).await && complete_one(closer, &run).await {}
            }
            if closer.end_run("complete-run", &run).await.is_err() {
                // Ended before, never made, or not to be finished.
                sleep(Duration::from_millis(20)).await;
            }
        }
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

async fn finished(closer: &Caller, run: &str) -> bool {
    match closer.client().get_run(run, Consistency::Linearizable).await {
        Ok(run) => {
            run.value.status != RunStatus::Active || (run.value.counts.active == 0 && run.value.counts.parked == 0)
        }
        Err(error) => error.reason == NO_RUN,
    }
}

/// Whether there is something to claim: a claim waits for it otherwise.
async fn active(closer: &Caller, run: &str) -> bool {
    let read = closer.client().get_run(run, Consistency::Linearizable).await;
    read.is_ok_and(|run| run.value.status == RunStatus::Active && run.value.counts.active > 0)
}

async fn parked(closer: &Caller, run: &str) -> Vec<String> {
    let status = Some(ShardStatus::Parked);
    let page = closer.client().list_shards(run, status, None, 1000, Consistency::Linearizable).await;
    page.map(|page| page.value.items.into_iter().map(|shard| shard.shard).collect()).unwrap_or_default()
}

/// Claims a shard and completes it. `false`: nothing is left to claim, or the service cannot.
async fn complete_one(closer: &mut Caller, run: &str) -> bool {
    let op = closer.op_id();
    let grant = match closer.claim(op, run, Duration::from_secs(5)).await {
        Ok(grant) => grant,
        Err(_) => return false,
    };
    let op = closer.op_id();
    closer.complete(op, &grant.lease).await.is_ok()
}
