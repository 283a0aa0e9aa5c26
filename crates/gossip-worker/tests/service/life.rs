//! One node, every call: what is answered, and what is refused with which details.

use std::fs::File;
use std::time::{Duration, Instant};

use fs4::fs_std::FileExt;
use gossip_client::{Consistency, Cursor, OpId, RunStatus, ShardStatus};
use nix::sys::signal::Signal;

use crate::kit::{Cluster, PATIENCE, RUN, free_addresses, scrape};

const LEASE: Duration = Duration::from_secs(30);
const NOW: Duration = Duration::ZERO;

#[tokio::test]
async fn a_run_from_its_creation_to_its_deletion() {
    let cluster = Cluster::start(1, &[]).await;
    let client = &cluster.client;
    cluster.prepare(3).await;
    let mut watch = client.watch_run(RUN);
    assert_eq!(watch.next().await.unwrap().unwrap().value.counts.active, 3);

    // Done.
    let op = OpId::random();
    let grant = client.acquire(op, RUN, "s1", "w1", LEASE, NOW).await.unwrap();
    assert_eq!((grant.lease.fence, grant.deadline_ms - grant.granted_ms), (1, 30_000));
    assert_eq!(client.acquire(op, RUN, "s1", "w1", LEASE, NOW).await.unwrap().lease, grant.lease);
    let held = client.acquire(OpId::random(), RUN, "s1", "w2", LEASE, NOW).await.unwrap_err();
    assert_eq!((held.reason.as_str(), held.definite), ("LEASE_HELD", true));
    assert!(held.retry_after.is_some() && held.metadata.contains_key("remaining-ms"));
    let renewed = client.renew(OpId::random(), RUN, &grant.lease, LEASE).await.unwrap();
    assert!(renewed.deadline_ms >= grant.deadline_ms);
    client.checkpoint(OpId::random(), RUN, &grant.lease, Cursor::at("00001x")).await.unwrap();
    let back = client.checkpoint(OpId::random(), RUN, &grant.lease, Cursor::at("00001a")).await.unwrap_err();
    assert_eq!(back.reason, "CURSOR_REGRESSION");
    client.complete(OpId::random(), RUN, &grant.lease, None).await.unwrap();
    let done = client.acquire(OpId::random(), RUN, "s1", "w2", LEASE, NOW).await.unwrap_err();
    assert_eq!((done.reason.as_str(), done.metadata["status"].as_str()), ("SHARD_TERMINAL", "done"));

    // Split, parked, fenced.
    let grant = client.claim(OpId::random(), RUN, "w1", LEASE, NOW).await.unwrap();
    assert_eq!(grant.lease.shard, "s0");
    let residual = client.split_residual(OpId::random(), RUN, &grant.lease, b"00000m".to_vec()).await.unwrap();
    assert_eq!(residual.range.start, b"00000m");
    let children = client.split_replace(OpId::random(), RUN, &grant.lease, vec![b"00000c".to_vec()]).await.unwrap();
    assert_eq!(children.len(), 2);
    let grant = client.acquire(OpId::random(), RUN, &children[0].shard, "w1", LEASE, NOW).await.unwrap();
    client.park(OpId::random(), RUN, &grant.lease, "looks odd").await.unwrap();
    assert!(client.unpark(OpId::random(), RUN, &children[0].shard).await.unwrap() > grant.lease.fence);
    let fenced = client.checkpoint(OpId::random(), RUN, &grant.lease, Cursor::at("00000a")).await.unwrap_err();
    assert_eq!(fenced.reason, "FENCE_MISMATCH");
    assert!(fenced.metadata.contains_key("fence"));

    // Ended, and forgotten.
    let unfinished = client.complete_run(OpId::random(), RUN).await.unwrap_err();
    assert_eq!(unfinished.reason, "RUN_UNFINISHED");
    assert_eq!(client.cancel_run(OpId::random(), RUN, "enough").await.unwrap().status, RunStatus::Cancelled);
    let mut last = None;
    while let Some(seen) = watch.next().await {
        last = Some(seen.unwrap().value.status);
    }
    assert_eq!(last, Some(RunStatus::Cancelled));
    let shard = client.get_shard(RUN, "s2", Consistency::Stale).await.unwrap();
    assert!(shard.stale);
    assert_eq!(shard.value.status, ShardStatus::Cancelled);
    client.delete_run(OpId::random(), RUN).await.unwrap();
    let gone = client.get_run(RUN, Consistency::Linearizable).await.unwrap_err();
    assert_eq!(gone.reason, "RUN_NOT_FOUND");
}

#[tokio::test]
async fn metrics_tell_of_reads_of_refusals_and_of_what_there_is() {
    let address = free_addresses(1).remove(0);
    let cluster = Cluster::start(1, &["--metrics-listen", &address]).await;
    cluster.prepare(3).await;
    let client = &cluster.client;
    client.acquire(OpId::random(), RUN, "s1", "w1", LEASE, NOW).await.unwrap();
    client.acquire(OpId::random(), RUN, "s1", "w2", LEASE, NOW).await.unwrap_err();
    client.acquire(OpId::random(), RUN, "no/name", "w2", LEASE, NOW).await.unwrap_err();
    client.get_run(RUN, Consistency::Linearizable).await.unwrap();
    client.get_run("none", Consistency::Stale).await.unwrap_err();
    crate::kit::until("the gauges", async || scrape(&address).contains("gossip_shards{status=\"active\"} 3")).await;
    let page = scrape(&address);
    for line in [
        "# HELP gossip_operations_total ",
        "gossip_operations_total{operation=\"acquire\",outcome=\"OK\"} 1",
        "gossip_operations_total{operation=\"acquire\",outcome=\"LEASE_HELD\"} 1",
        "gossip_operations_total{operation=\"malformed\",outcome=\"INVALID_ARGUMENT\"} 1",
        "gossip_operations_total{operation=\"get-run\",outcome=\"OK\"} 1",
        "gossip_operations_total{operation=\"get-run\",outcome=\"RUN_NOT_FOUND\"} 1",
        "gossip_operation_seconds_bucket{operation=\"acquire\",le=\"60\"} 2",
        "gossip_runs 1",
        "gossip_leases 1",
        "gossip_raft_log_entries ",
        "gossip_raft_log_bytes ",
        "gossip_raft_snapshot_index 1",
        "gossip_store_bytes ",
    ] {
        assert!(page.contains(line), "{line} is not in\n{page}");
    }
    let helped = |name: &str| page.contains(&format!("# HELP {name} "));
    let typed = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let without: Vec<&str> = typed.filter(|name| !helped(name)).collect();
    assert!(without.is_empty(), "nobody says what these are: {without:?}");
}

#[tokio::test]
async fn a_watch_on_a_node_that_is_cut_off_ends() {
    let cluster = Cluster::start(3, &[]).await;
    cluster.prepare(1).await;
    let leader = cluster.leader().await;
    let alone = (leader + 1) % 3;
    let mut watch = cluster.at(alone).watch_run(RUN);
    assert!(watch.next().await.unwrap().is_ok());
    let others: Vec<usize> = (0..3).filter(|&node| node != alone).collect();
    others.iter().for_each(|&node| cluster.nodes[node].signal(Signal::SIGSTOP));
    let ended = tokio::time::timeout(PATIENCE, watch.next()).await.expect("the watch goes on in silence");
    let error = ended.unwrap().unwrap_err();
    assert_eq!((error.reason.as_str(), error.definite), ("READ_UNCONFIRMED", true));
    others.iter().for_each(|&node| cluster.nodes[node].signal(Signal::SIGCONT));
    let mut watch = cluster.client.watch_run(RUN);
    assert!(watch.next().await.unwrap().is_ok());
}

/// The line is at the leader: nobody polls through the log meanwhile.
#[tokio::test]
async fn a_claim_waits_for_a_shard_to_come_back() {
    let cluster = Cluster::start(1, &[]).await;
    cluster.prepare(1).await;
    let client = &cluster.client;
    let grant = client.acquire(OpId::random(), RUN, "s0", "w1", LEASE, NOW).await.unwrap();
    client.park(OpId::random(), RUN, &grant.lease, "odd").await.unwrap();
    let waiting = cluster.client.clone();
    let waiter = tokio::spawn(async move { waiting.claim(OpId::random(), RUN, "w2", LEASE, LEASE).await });
    let in_line = async || client.status().await.is_ok_and(|status| status.waiters == 1);
    crate::kit::until("a waiter in line", in_line).await;
    let before = client.status().await.unwrap().last_index;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(client.status().await.unwrap().last_index, before, "it polls through the log");
    client.unpark(OpId::random(), RUN, "s0").await.unwrap();
    let grant = waiter.await.unwrap().unwrap();
    let waiting = cluster.client.clone();
    let waiter = tokio::spawn(async move { waiting.claim(OpId::random(), RUN, "w3", LEASE, LEASE).await });
    client.complete(OpId::random(), RUN, &grant.lease, None).await.unwrap();
    crate::kit::until("a waiter in line", in_line).await;
    client.complete_run(OpId::random(), RUN).await.unwrap();
    assert_eq!(waiter.await.unwrap().unwrap_err().reason, "RUN_ENDED");
}

#[tokio::test]
async fn listings_come_in_pages() {
    let cluster = Cluster::start(1, &[]).await;
    cluster.prepare(25).await;
    let (mut after, mut names) = (None, Vec::new());
    loop {
        let page = cluster.client.list_shards(RUN, None, after.as_deref(), 10, Consistency::Linearizable).await;
        let page = page.unwrap().value;
        assert!(page.items.len() <= 10);
        names.extend(page.items.into_iter().map(|shard| shard.shard));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!((names.len(), &names), (25, &sorted));
}

#[tokio::test]
async fn a_waiter_gets_the_lease_when_it_is_released() {
    let cluster = Cluster::start(1, &[]).await;
    cluster.prepare(1).await;
    let grant = cluster.client.acquire(OpId::random(), RUN, "s0", "w1", LEASE, NOW).await.unwrap();
    let client = cluster.client.clone();
    let waiter = tokio::spawn(async move { client.claim(OpId::random(), RUN, "w2", LEASE, LEASE).await });
    crate::kit::until("a waiter in line", async || cluster.client.status().await.is_ok_and(|s| s.waiters == 1)).await;
    cluster.client.release(OpId::random(), RUN, &grant.lease).await.unwrap();
    assert_eq!(waiter.await.unwrap().unwrap().lease.fence, grant.lease.fence + 1);
}

#[tokio::test]
async fn a_node_that_says_that_it_has_stopped_has_closed_its_store() {
    let mut cluster = Cluster::start(1, &[]).await;
    cluster.prepare(2_000).await;
    for _ in 0..5 {
        let before = cluster.nodes[0].log().matches(" stopped ").count();
        cluster.nodes[0].signal(Signal::SIGTERM);
        let asked = Instant::now();
        while cluster.nodes[0].log().matches(" stopped ").count() == before {
            assert!(asked.elapsed() < PATIENCE, "{}", cluster.nodes[0].log());
            std::thread::sleep(Duration::from_millis(1));
        }
        let lock = File::options().write(true).open(cluster.folder.path().join("n1/LOCK")).unwrap();
        assert!(FileExt::try_lock_exclusive(&lock).unwrap(), "the store is still open");
        drop(lock);
        assert!(cluster.nodes[0].ended().success());
        cluster.nodes[0].start();
        cluster.ready().await;
    }
}
