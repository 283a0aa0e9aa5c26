//! After the faults: every shard comes to an end, and every node is asked for everything.

use std::time::Duration;

use gossip_client::{RunStatus, ShardStatus};
use tokio::time::{Instant, sleep};

use crate::cluster::Cluster;
use crate::workload::{Caller, Kind, MAIN, Mix, SIDE};

fn runs(mix: &Mix) -> &'static [&'static str] {
    if mix.side_roots > 0 { &[MAIN, SIDE] } else { &[MAIN] }
}

/// Drives every shard to a terminal state, and ends the runs. What could not be done shows in the final reads.
pub(super) async fn drive(closer: &mut Caller, cluster: &Cluster, mix: &Mix, patience: Duration) {
    let until = Instant::now() + patience;
    for run in runs(mix) {
        while Instant::now() < until && !finished(closer, run).await {
            // Parked shards wait for an operator; everything else for a worker.
            for shard in parked(closer, run).await {
                let _ = closer.unpark(&shard).await;
            }
            while Instant::now() < until && active(closer, run).await && complete_one(closer, run).await {}
        }
        if closer.end_run("complete-run", run).await.is_err() {
            // Cancelled before, or not to be finished.
            sleep(Duration::from_millis(50)).await;
        }
    }
    let _ = cluster.leader().await;
}

async fn finished(closer: &Caller, run: &str) -> bool {
    let read = closer.client().get_run(run, gossip_client::Consistency::Linearizable).await;
    read.is_ok_and(|run| {
        run.value.status != RunStatus::Active || (run.value.counts.active == 0 && run.value.counts.parked == 0)
    })
}

/// Whether there is something to claim: a claim waits for it otherwise.
async fn active(closer: &Caller, run: &str) -> bool {
    let read = closer.client().get_run(run, gossip_client::Consistency::Linearizable).await;
    read.is_ok_and(|run| run.value.status == RunStatus::Active && run.value.counts.active > 0)
}

async fn parked(closer: &Caller, run: &str) -> Vec<String> {
    let status = Some(ShardStatus::Parked);
    let page = closer.client().list_shards(run, status, None, 1000, gossip_client::Consistency::Linearizable).await;
    page.map(|page| page.value.items.into_iter().map(|shard| shard.shard).collect()).unwrap_or_default()
}

/// Claims a shard and completes it. `false`: nothing is left to claim, or the service cannot.
async fn complete_one(closer: &mut Caller, run: &'static str) -> bool {
    let op = closer.op_id();
    let grant = match closer.claim(op, run, Duration::from_secs(5)).await {
        Ok(grant) => grant,
        Err(_) => return false,
    };
    let op = closer.op_id();
    closer.complete(op, &grant.lease).await.is_ok()
}

/// Reads everything from each node, until each has answered or the time is up.
pub(super) async fn final_reads(closer: &mut Caller, cluster: &Cluster, mix: &Mix, workload: Kind, patience: Duration) {
    let until = Instant::now() + patience;
    for node in &cluster.nodes {
        let address = node.address.to_string();
        for run in runs(mix) {
            while closer.read_run(run, &node.name, &address).await.is_err() && Instant::now() < until {
                sleep(Duration::from_millis(200)).await;
            }
        }
    }
    if workload != Kind::GossipConvergence {
        return;
    }
    // Gossip needs some rounds after the last change; the last views are those that count.
    sleep(Duration::from_secs(5)).await;
    for node in &cluster.nodes {
        let _ = closer.read_view(&node.name, &node.address.to_string(), true).await;
    }
}
