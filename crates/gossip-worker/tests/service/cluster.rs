//! Three nodes: leaders come and go, nothing that was acknowledged does.

use std::time::Duration;

use gossip_client::{Consistency, Cursor, OpId};
use nix::sys::signal::Signal;

use crate::kit::{Cluster, RUN, until};

const LEASE: Duration = Duration::from_secs(60);
const NOW: Duration = Duration::ZERO;

async fn cursor_of(cluster: &Cluster, node: usize) -> Option<Vec<u8>> {
    let shard = cluster.at(node).get_shard(RUN, "s0", Consistency::Linearizable).await.ok()?;
    shard.value.cursor.map(|cursor| cursor.key)
}

#[tokio::test]
async fn every_node_answers_reads_and_only_the_leader_writes() {
    let cluster = Cluster::start(3, &[]).await;
    cluster.prepare(1).await;
    let leader = cluster.leader().await;
    for node in 0..3 {
        let read = cluster.at(node).get_run(RUN, Consistency::Linearizable).await.unwrap();
        assert_eq!(read.value.roots, 1);
        let tried = cluster.at(node).create_run(OpId::random(), &format!("by-{node}"), Vec::new()).await;
        match tried {
            Ok(_) => assert_eq!(node, leader),
            Err(error) => {
                assert_eq!((error.reason.as_str(), error.definite), ("NOT_LEADER", true));
                assert_eq!(error.metadata["leader-address"], cluster.nodes[leader].address);
            }
        }
    }
}

#[tokio::test]
async fn kill_9_of_one_and_of_all_loses_nothing_acknowledged() {
    let mut cluster = Cluster::start(3, &[]).await;
    cluster.prepare(1).await;
    let grant = cluster.client.acquire(OpId::random(), RUN, "s0", "w1", LEASE, NOW).await.unwrap();
    for round in 0..6 {
        let key = format!("k{round}").into_bytes();
        let victims: Vec<usize> = if round % 3 == 2 { vec![0, 1, 2] } else { vec![cluster.leader().await] };
        cluster.client.checkpoint(OpId::random(), RUN, &grant.lease, Cursor::at(key.clone())).await.unwrap();
        victims.iter().for_each(|&victim| cluster.nodes[victim].kill());
        victims.iter().for_each(|&victim| cluster.nodes[victim].start());
        cluster.ready().await;
        for node in 0..3 {
            until("the cursor", async || cursor_of(&cluster, node).await.as_deref() == Some(&key)).await;
        }
    }
}

#[tokio::test]
async fn a_leader_that_is_asked_to_stop_hands_over() {
    let mut cluster = Cluster::start(3, &[]).await;
    cluster.prepare(1).await;
    let grant = cluster.client.acquire(OpId::random(), RUN, "s0", "w1", LEASE, NOW).await.unwrap();
    let leader = cluster.leader().await;
    let before = cluster.at(leader).status().await.unwrap().term;
    cluster.nodes[leader].signal(Signal::SIGTERM);
    cluster.client.checkpoint(OpId::random(), RUN, &grant.lease, Cursor::at("k")).await.unwrap();
    assert!(cluster.nodes[leader].ended().success(), "{}", cluster.nodes[leader].log());
    let other = cluster.leader().await;
    // One term further: nobody had to notice a silence and campaign against others.
    assert_eq!(cluster.at(other).status().await.unwrap().term, before + 1);
    assert_eq!(cursor_of(&cluster, other).await.as_deref(), Some(&b"k"[..]));
}

#[tokio::test]
async fn leadership_goes_where_it_is_sent() {
    let cluster = Cluster::start(3, &[]).await;
    for target in ["n1", "n2", "n3", "n1"] {
        assert_eq!(cluster.client.transfer_leader(Some(target)).await.unwrap(), target);
        until("the new leader", async || cluster.nodes[cluster.leader().await].name == target).await;
    }
    let unknown = cluster.client.transfer_leader(Some("n9")).await.unwrap_err();
    assert_eq!(unknown.reason, "BAD_CHANGE");
}
