//! A cluster begins once, with founders that agree; nobody comes back without its memory unnoticed.

use std::fs;
use std::path::Path;
use std::time::Duration;

use gossip_client::{Client, Consistency, Cursor, OpId, Options};
use nix::sys::signal::Signal;

use crate::kit::{Cluster, Node, PATIENCE, RUN, free_addresses, until};

const LEASE: Duration = Duration::from_secs(600);
const NOW: Duration = Duration::ZERO;

fn peers(addresses: &[String]) -> String {
    (1..).zip(addresses).map(|(n, address)| format!("n{n}={address}")).collect::<Vec<_>>().join(",")
}

fn founder(folder: &Path, number: usize, addresses: &[String], flags: &[&str]) -> Node {
    let peers = peers(addresses);
    let how = [&["--peers", &peers], flags].concat();
    Node::new(folder, &format!("n{}", number + 1), &addresses[number], &how)
}

#[tokio::test]
async fn founders_that_differ_do_not_mix() {
    let folder = tempfile::tempdir().unwrap();
    let addresses = free_addresses(3);
    let odd = ["--shards-per-tenant", "5"];
    let mut nodes = vec![
        founder(folder.path(), 0, &addresses, &odd),
        founder(folder.path(), 1, &addresses, &[]),
        founder(folder.path(), 2, &addresses, &[]),
    ];
    for node in &nodes {
        until("a line on both sides", async || {
            let log = node.log();
            log.contains("not founded with the same flags") && log.contains("--shards-per-tenant 5")
        })
        .await;
    }
    let options = Options { deadline: PATIENCE, ..Options::default() };
    let client = Client::lazy(addresses.clone(), options).unwrap();
    for address in &addresses {
        until("an answer", async || client.pinned(address).status().await.is_ok()).await;
        let status = client.pinned(address).status().await.unwrap();
        assert!(!status.ready && status.leader.is_empty(), "{status:?}");
    }
    // It took no part, so its folder may be founded otherwise.
    nodes[0].signal(Signal::SIGTERM);
    assert!(nodes[0].ended().success());
    nodes[0] = founder(folder.path(), 0, &addresses, &[]);
    let cluster = Cluster { nodes, client, folder };
    cluster.ready().await;
    cluster.prepare(6).await;
}

fn cursor(key: &str) -> Cursor {
    Cursor::at(key)
}

async fn holds(cluster: &Cluster, node: usize, key: &str) {
    until("the last acknowledged cursor", async || {
        let shard = cluster.at(node).get_shard(RUN, "s0", Consistency::Linearizable).await;
        shard.is_ok_and(|shard| shard.value.cursor.is_some_and(|cursor| cursor.key == key.as_bytes()))
    })
    .await;
}

#[tokio::test]
async fn a_founder_that_lost_its_data_takes_no_part() {
    let mut cluster = Cluster::start(3, &[]).await;
    cluster.prepare(1).await;
    let grant = cluster.client.acquire(OpId::random(), RUN, "s0", "w1", LEASE, NOW).await.unwrap();
    let write = async |cluster: &Cluster, key: &str| {
        cluster.client.checkpoint(OpId::random(), RUN, &grant.lease, cursor(key)).await.unwrap();
    };
    write(&cluster, "k1").await;
    cluster.nodes[2].kill();
    write(&cluster, "k2").await;
    cluster.nodes[0].kill();
    cluster.nodes[1].kill();
    let data = cluster.folder.path().join("n1");
    fs::remove_dir_all(&data).unwrap();
    // n3 alone knows that n1 has lived before: not what it has acknowledged.
    cluster.nodes[2].start();
    cluster.nodes[0].start();
    let status = cluster.nodes[0].ended();
    assert_eq!(status.code(), Some(2), "{}", cluster.nodes[0].log());
    assert!(cluster.nodes[0].log().contains("what it had acknowledged is lost"), "{}", cluster.nodes[0].log());
    cluster.nodes[1].start();
    cluster.ready().await;
    holds(&cluster, 1, "k2").await;
    holds(&cluster, 2, "k2").await;
    // Where somebody answers at once, nothing is written.
    let _ = fs::remove_dir_all(&data);
    cluster.nodes[0].start();
    assert_eq!(cluster.nodes[0].ended().code(), Some(2), "{}", cluster.nodes[0].log());
    assert!(!data.exists(), "a refused start made the data folder");
    // As the line says: removed, and added again.
    cluster.client.remove_node("n1").await.unwrap();
    let address = cluster.nodes[0].address.clone();
    cluster.client.add_node("n1", &address).await.unwrap();
    let seeds = [cluster.nodes[1].address.clone(), cluster.nodes[2].address.clone()].join(",");
    cluster.nodes[0] = Node::new(cluster.folder.path(), "n1", &address, &["--join", &seeds]);
    cluster.ready().await;
    holds(&cluster, 0, "k2").await;
    until("a vote", async || {
        let members = cluster.client.members().await.unwrap();
        members.iter().any(|member| member.node == "n1" && member.voter)
    })
    .await;
    // One that joined cannot come back without its data either.
    cluster.nodes[0].kill();
    fs::remove_dir_all(&data).unwrap();
    cluster.nodes[0].start();
    assert_eq!(cluster.nodes[0].ended().code(), Some(2), "{}", cluster.nodes[0].log());
    assert!(!data.exists(), "a refused start made the data folder");
    write(&cluster, "k3").await;
}

/// What tells it may never reach it: the others drop their links as soon as they know.
#[tokio::test]
async fn a_node_that_was_removed_while_it_stood_still_hears_of_it_and_stops() {
    let mut cluster = Cluster::start(3, &[]).await;
    cluster.client.transfer_leader(Some("n1")).await.unwrap();
    cluster.nodes[2].signal(Signal::SIGSTOP);
    cluster.client.remove_node("n3").await.unwrap();
    cluster.nodes[2].signal(Signal::SIGCONT);
    assert_eq!(cluster.nodes[2].ended().code(), Some(0), "{}", cluster.nodes[2].log());
}

#[tokio::test]
async fn a_leader_that_is_removed_hands_over_and_stops() {
    let mut cluster = Cluster::start(3, &[]).await;
    let leader = cluster.leader().await;
    cluster.client.remove_node(&format!("n{}", leader + 1)).await.unwrap();
    assert_eq!(cluster.nodes[leader].ended().code(), Some(0), "{}", cluster.nodes[leader].log());
    cluster.prepare(1).await;
}

#[tokio::test]
async fn a_node_that_was_removed_while_it_was_down_hears_of_it_and_stops() {
    let mut cluster = Cluster::start(3, &[]).await;
    cluster.nodes[2].kill();
    cluster.client.remove_node("n3").await.unwrap();
    cluster.nodes[2].start();
    assert_eq!(cluster.nodes[2].ended().code(), Some(0), "{}", cluster.nodes[2].log());
    assert!(cluster.nodes[2].log().contains("was removed from the cluster"), "{}", cluster.nodes[2].log());
}
