//! Nodes come, go, and catch up by snapshot, while clients write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use gossip_client::{Consistency, Cursor, OpId};

use crate::kit::{Cluster, Node, RUN, free_addresses, until};

const LEASE: Duration = Duration::from_secs(600);
const NOW: Duration = Duration::ZERO;

/// Writes rising cursors until it is told to stop; returns the last acknowledged.
struct Load {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Load {
    async fn start(cluster: &Cluster) -> Self {
        let grant = cluster.client.acquire(OpId::random(), RUN, "s0", "w1", LEASE, NOW).await.unwrap();
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (client, stopped, counter) = (cluster.client.clone(), Arc::clone(&stop), Arc::clone(&written));
        let task = tokio::spawn(async move {
            for n in 1.. {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let cursor = Cursor::at(format!("k{n:08}"));
                client.checkpoint(OpId::random(), RUN, &grant.lease, cursor).await.unwrap();
                counter.store(n, Ordering::Relaxed);
            }
        });
        Load { stop, written, task }
    }

    async fn more(&self, count: u64) {
        let goal = self.written.load(Ordering::Relaxed) + count;
        until("more writes", async || {
            assert!(!self.task.is_finished(), "an acknowledged write failed");
            self.written.load(Ordering::Relaxed) >= goal
        })
        .await;
    }

    async fn stop(self) -> Vec<u8> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
        format!("k{:08}", self.written.load(Ordering::Relaxed)).into_bytes()
    }
}

#[tokio::test]
async fn from_three_nodes_to_five_and_back_under_load() {
    let mut cluster = Cluster::start(3, &["--snapshot-entries", "200"]).await;
    cluster.prepare(1).await;
    let load = Load::start(&cluster).await;
    let seeds = cluster.nodes.iter().map(|node| node.address.clone()).collect::<Vec<_>>().join(",");
    for (name, address) in ["n4", "n5"].iter().zip(free_addresses(2)) {
        load.more(300).await;
        cluster.client.add_node(name, &address).await.unwrap();
        cluster.nodes.push(Node::new(cluster.folder.path(), name, &address, &["--join", &seeds]));
        cluster.ready().await;
        until("a vote", async || {
            let members = cluster.client.members().await.unwrap();
            members.iter().any(|member| member.node == *name && member.voter)
        })
        .await;
    }
    for gone in ["n1", "n2"] {
        load.more(300).await;
        cluster.client.remove_node(gone).await.unwrap();
    }
    load.more(300).await;
    let last = load.stop().await;
    let members = cluster.client.members().await.unwrap();
    assert_eq!(members.iter().map(|member| member.node.as_str()).collect::<Vec<_>>(), ["n3", "n4", "n5"]);
    for node in 2..5 {
        let shard = cluster.at(node).get_shard(RUN, "s0", Consistency::Linearizable).await.unwrap();
        assert_eq!(shard.value.cursor.unwrap().key, last);
    }
}

#[tokio::test]
async fn a_node_that_slept_through_the_truncation_catches_up_by_snapshot() {
    let mut cluster = Cluster::start(3, &["--snapshot-entries", "100"]).await;
    cluster.prepare(1).await;
    let load = Load::start(&cluster).await;
    let sleeper = (cluster.leader().await + 1) % 3;
    load.more(10).await;
    let slept_at = cluster.at(sleeper).status().await.unwrap().last_index;
    cluster.nodes[sleeper].kill();
    load.more(1000).await;
    let last = load.stop().await;
    cluster.nodes[sleeper].start();
    cluster.ready().await;
    until("the last cursor", async || {
        let shard = cluster.at(sleeper).get_shard(RUN, "s0", Consistency::Linearizable).await;
        shard.is_ok_and(|shard| shard.value.cursor.is_some_and(|cursor| cursor.key == last))
    })
    .await;
    let snapshot = cluster.at(sleeper).status().await.unwrap().snapshot_index;
    assert!(snapshot > slept_at + 500, "snapshot at {snapshot}, slept at {slept_at}");
    // What came by snapshot is on its disk too.
    cluster.nodes[sleeper].kill();
    cluster.nodes[sleeper].start();
    cluster.ready().await;
    let shard = cluster.at(sleeper).get_shard(RUN, "s0", Consistency::Linearizable).await.unwrap();
    assert_eq!(shard.value.cursor.unwrap().key, last);
}
