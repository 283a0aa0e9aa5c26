//! What anybody can send to a port leaves the cluster serving.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use gossip_client::{Cursor, OpId};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::kit::{Cluster, RUN};

/// Connections that say nothing, as many as this machine lets one process open; the nodes raise their own limit by themselves.
const IDLE: usize = 10_000;

/// With fewer the test would show nothing.
const FEWEST: usize = 1_000;

/// How many of them this process may open, with some left for the rest of the test.
fn idle() -> usize {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    // Where it is not permitted the present limit counts.
    let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let room = usize::try_from(soft).unwrap_or(usize::MAX).saturating_sub(500);
    assert!(room >= FEWEST, "this process may open {soft} files ({hard} if asked): too few for this test");
    if room < IDLE {
        eprintln!("{room} of {IDLE} idle connections: this process may not open more files");
    }
    room.min(IDLE)
}

#[tokio::test]
async fn garbage_on_the_ports() {
    let cluster = Cluster::start(3, &[]).await;
    cluster.prepare(1).await;
    let lease = Duration::from_secs(600);
    let grant = cluster.client.acquire(OpId::random(), RUN, "s0", "w1", lease, Duration::ZERO).await.unwrap();
    let (idle, mut open, mut halves) = (idle(), Vec::new(), Vec::new());
    for node in &cluster.nodes {
        let mut noise = TcpStream::connect(&node.address).unwrap();
        let bytes: Vec<u8> = (0..100_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        // The node may hang up in the middle of it.
        let _ = noise.write_all(&bytes);
        open.push(noise);
        let mut half = TcpStream::connect(&node.address).unwrap();
        half.write_all(b"PRI * HTTP/2.0\r\n").unwrap();
        halves.push(half);
        open.extend((0..idle / 3).map(|_| TcpStream::connect(&node.address).unwrap()));
    }
    let leader = cluster.at(cluster.leader().await);
    let huge = leader.create_run(OpId::random(), "huge", vec![0; 100 << 20]).await.unwrap_err();
    assert!(huge.definite, "{huge:?}");
    assert_eq!((huge.reason.as_str(), huge.metadata["field"].as_str()), ("LIMIT_EXCEEDED", "request"));
    assert_eq!(huge.metadata["max"], (8 << 20).to_string());
    let large = Cursor { key: b"a".to_vec(), token: vec![0; 65 * 1024] };
    let large = cluster.client.checkpoint(OpId::random(), RUN, &grant.lease, large).await.unwrap_err();
    assert_eq!((large.reason.as_str(), large.metadata["max"].as_str()), ("LIMIT_EXCEEDED", "65536"));
    cluster.client.checkpoint(OpId::random(), RUN, &grant.lease, Cursor::at("k")).await.unwrap();
    for (index, node) in cluster.nodes.iter().enumerate() {
        assert!(cluster.at(index).status().await.unwrap().ready, "{}", node.log());
    }
    // What never said what it is goes in time: each holds a file descriptor.
    for mut half in halves {
        half.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        match half.read(&mut [0; 64]) {
            Ok(0) => {}
            // What it had sent was never read.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("the node did not hang up: {other:?}"),
        }
    }
}
