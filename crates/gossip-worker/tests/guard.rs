//! A lease guard over three real nodes: it keeps its lease when the leader is killed, and tells when all are gone.

#![allow(clippy::unwrap_used)]

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use gossip_client::{Client, Cursor, LeaseGuard, LeaseOptions, Lost, Options, ShardSpec};

const LEASE: Duration = Duration::from_secs(5);

/// A node that does not outlive the test.
struct Node {
    address: String,
    process: Child,
}

impl Node {
    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn start(folder: &std::path::Path) -> Vec<Node> {
    let sockets: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let addresses: Vec<_> = sockets.iter().map(|socket| socket.local_addr().unwrap().to_string()).collect();
    drop(sockets);
    let peers: Vec<_> = addresses.iter().enumerate().map(|(at, address)| format!("n{at}={address}")).collect();
    let start = |(at, address): (usize, String)| {
        let data = folder.join(at.to_string());
        let process = Command::new(env!("CARGO_BIN_EXE_gossip-worker"))
            .args(["--id", &format!("n{at}"), "--listen", &address, "--peers", &peers.join(","), "--data"])
            .arg(data)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Node { address, process }
    };
    addresses.into_iter().enumerate().map(start).collect()
}

#[tokio::test]
async fn a_guard_outlives_its_leader_and_tells_when_no_node_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let mut nodes = start(folder.path());
    let addresses = nodes.iter().map(|node| node.address.clone()).collect();
    let options = Options { deadline: Duration::from_secs(30), ..Options::default() };
    let client = Client::connect(addresses, options).await.unwrap();
    client.create_run(client.op_id(), "r", vec![]).await.unwrap();
    client.register_shards(client.op_id(), "r", vec![ShardSpec::new("s", "", "")], true).await.unwrap();

    let pace = LeaseOptions { every: Some(LEASE / 20), ..LeaseOptions::lease(LEASE) };
    let guard = LeaseGuard::claim(&client, "r", "w", pace).await.unwrap();
    let leader = client.status().await.unwrap().leader_address;
    nodes.iter_mut().find(|node| node.address == leader).unwrap().kill();
    let killed = client.now();
    guard.checkpoint(client.op_id(), Cursor::at("k")).await.unwrap();
    // Only a renewal that was sent after the kill can make the belief last this long.
    while guard.believed_until() <= killed.after(LEASE * 9 / 10) {
        assert_eq!(guard.check(), Ok(()));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    nodes.iter_mut().for_each(Node::kill);
    assert_eq!(guard.lost().await, Lost::Unconfirmed);
    assert!(guard.check().is_err());
}
