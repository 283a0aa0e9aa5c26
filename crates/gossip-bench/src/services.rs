//! The services under test, each as three processes.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::load::Cycle;
use crate::processes::{Server, free_addresses, on_path, sibling};
use crate::{etcd, gossip};

/// Nodes of each service.
const NODES: usize = 3;

/// A try whose answer was lost may hold its lease, so each try takes another shard.
pub(crate) const FAILOVER_SHARDS: usize = 256;

/// A service that can run lease cycles.
pub(crate) trait Service: Sized {
    /// Runs them.
    type Worker: Cycle;

    /// Starts it with room for `workers`.
    async fn start(workers: usize) -> Result<Self>;

    /// Connects `count` workers. `round` differs from call to call.
    async fn workers(&self, count: usize, round: u64) -> Result<Vec<Self::Worker>>;

    /// Where the leader is.
    async fn leader(&self) -> Result<String>;

    /// Its processes.
    fn servers(&self) -> &[Server];

    /// Connects one worker to `endpoint`.
    async fn worker_at(&self, endpoint: &str, round: u64) -> Result<Self::Worker>;

    /// CPU time of all its processes so far, in seconds.
    fn cpu_seconds(&self) -> Result<f64> {
        self.servers().iter().map(Server::cpu_seconds).sum()
    }

    /// Where everyone listens.
    fn endpoints(&self) -> Vec<String> {
        self.servers().iter().map(|server| server.endpoint.clone()).collect()
    }

    /// Sends `signal` to the process at `endpoint`.
    fn signal(&self, endpoint: &str, signal: Signal) -> Result<()> {
        let server = self.servers().iter().find(|server| server.endpoint == endpoint);
        server.context("no server there")?.signal(signal)
    }
}

/// gossip-rs.
#[derive(Debug)]
pub(crate) struct Gossip {
    servers: Vec<Server>,
    _folder: TempDir,
}

impl Service for Gossip {
    type Worker = gossip::Worker;

    async fn start(workers: usize) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let program = sibling("gossip-worker")?;
        let addresses = free_addresses(NODES)?;
        let peers: Vec<String> = (1..).zip(&addresses).map(|(n, address)| format!("n{n}={address}")).collect();
        let start = |(n, address): (usize, &String)| {
            let mut command = Command::new(&program);
            command.args(["--id", &format!("n{n}"), "--listen", address, "--peers", &peers.join(","), "--data"]);
            command.arg(folder.path().join(format!("n{n}")));
            Server::start(command, address.clone(), &folder.path().join(format!("n{n}.log")))
        };
        let servers = (1..).zip(&addresses).map(start).collect::<Result<Vec<_>>>()?;
        let service = Gossip { servers, _folder: folder };
        gossip::prepare(&service.leader().await?, workers.max(NODES)).await?;
        Ok(service)
    }

    async fn workers(&self, count: usize, round: u64) -> Result<Vec<gossip::Worker>> {
        let leader = self.leader().await?;
        let mut workers = Vec::new();
        for number in 0..count {
            workers.push(gossip::Worker::connect(&leader, number, round).await?);
        }
        Ok(workers)
    }

    async fn leader(&self) -> Result<String> {
        gossip::leader(&self.endpoints()).await
    }

    fn servers(&self) -> &[Server] {
        &self.servers
    }

    async fn worker_at(&self, endpoint: &str, round: u64) -> Result<gossip::Worker> {
        gossip::Worker::connect(endpoint, usize::try_from(round)? % FAILOVER_SHARDS, round).await
    }
}

/// etcd, as the system has it installed.
#[derive(Debug)]
pub(crate) struct Etcd {
    servers: Vec<Server>,
    _folder: TempDir,
}

impl Etcd {
    fn program() -> Option<PathBuf> {
        on_path("etcd")
    }

    /// Whether it is installed.
    pub(crate) fn available() -> bool {
        Etcd::program().is_some()
    }
}

impl Service for Etcd {
    type Worker = etcd::Worker;

    async fn start(_: usize) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let program = Etcd::program().context("etcd is not installed")?;
        let addresses = free_addresses(2 * NODES)?;
        let (clients, peers) = addresses.split_at(NODES);
        let cluster: Vec<String> = (1..).zip(peers).map(|(n, peer)| format!("n{n}=http://{peer}")).collect();
        let start = |(n, (client, peer)): (usize, (&String, &String))| {
            let (client_url, peer_url) = (format!("http://{client}"), format!("http://{peer}"));
            let mut command = Command::new(&program);
            command.args(["--name", &format!("n{n}"), "--initial-cluster", &cluster.join(",")]);
            command.args(["--listen-client-urls", &client_url, "--advertise-client-urls", &client_url]);
            command.args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url]);
            command.arg("--data-dir").arg(folder.path().join(format!("n{n}")));
            Server::start(command, client.clone(), &folder.path().join(format!("n{n}.log")))
        };
        let servers = (1..).zip(clients.iter().zip(peers)).map(start).collect::<Result<Vec<_>>>()?;
        let service = Etcd { servers, _folder: folder };
        service.leader().await?;
        Ok(service)
    }

    async fn workers(&self, count: usize, _: u64) -> Result<Vec<etcd::Worker>> {
        let leader = self.leader().await?;
        let mut workers = Vec::new();
        for number in 0..count {
            workers.push(etcd::Worker::connect(&leader, number).await?);
        }
        Ok(workers)
    }

    async fn leader(&self) -> Result<String> {
        for _ in 0..500 {
            for endpoint in self.endpoints() {
                if etcd::leads(&endpoint).await.unwrap_or(false) {
                    return Ok(endpoint);
                }
            }
            sleep(Duration::from_millis(20)).await;
        }
        bail!("no etcd node leads")
    }

    fn servers(&self) -> &[Server] {
        &self.servers
    }

    async fn worker_at(&self, endpoint: &str, round: u64) -> Result<etcd::Worker> {
        etcd::Worker::connect(endpoint, usize::try_from(round)? + 1_000_000).await
    }
}
