//! Nodes as child processes in a temporary folder.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use gossip_client::{Client, OpId, Options, ShardSpec};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

pub(crate) const RUN: &str = "r";

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gossip-worker"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("GOSSIP_")) {
        command.env_remove(name);
    }
    command
}

pub(crate) fn free_addresses(count: usize) -> Vec<String> {
    let listeners: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect()
}

/// Runs to its end, which must come by itself.
pub(crate) fn run_to_end(args: &[&str]) -> Output {
    program().args(args).stdin(Stdio::null()).output().unwrap()
}

pub(crate) struct Node {
    child: Option<Child>,
    pub(crate) name: String,
    pub(crate) address: String,
    args: Vec<String>,
    log: PathBuf,
}

impl Node {
    pub(crate) fn new(folder: &Path, name: &str, address: &str, how: &[&str]) -> Self {
        let data = folder.join(name).display().to_string();
        let mut args: Vec<String> =
            ["--id", name, "--listen", address, "--data", &data].iter().map(|s| (*s).into()).collect();
        args.extend(how.iter().map(|s| (*s).to_owned()));
        let mut node = Node {
            child: None,
            name: name.into(),
            address: address.into(),
            args,
            log: folder.join(format!("{name}.log")),
        };
        node.start();
        node
    }

    pub(crate) fn start(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        self.child =
            Some(program().args(&self.args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap());
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.child.as_ref().unwrap().id();
        kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal).unwrap();
    }

    /// Waits for its end, which must come.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        let start = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            if start.elapsed() > PATIENCE {
                self.child = Some(child);
                panic!("{} goes on\n{}", self.name, self.log());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.ended();
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    pub(crate) client: Client,
    pub(crate) folder: TempDir,
}

impl Cluster {
    /// Starts nodes n1, n2, ... with these further flags and waits until they serve.
    pub(crate) async fn start(count: usize, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let addresses = free_addresses(count);
        let peers: Vec<_> = (1..).zip(&addresses).map(|(n, address)| format!("n{n}={address}")).collect();
        let peers = peers.join(",");
        let mut how = vec!["--peers", &peers];
        how.extend(flags);
        let start = |(n, address): (usize, &String)| Node::new(folder.path(), &format!("n{n}"), address, &how);
        let nodes: Vec<_> = (1..).zip(&addresses).map(start).collect();
        let options = Options { deadline: PATIENCE, ..Options::default() };
        let client = Client::lazy(addresses, options).unwrap();
        let cluster = Cluster { nodes, client, folder };
        cluster.ready().await;
        cluster
    }

    pub(crate) fn at(&self, index: usize) -> Client {
        self.client.pinned(&self.nodes[index].address)
    }

    /// Until every node that runs can serve.
    pub(crate) async fn ready(&self) {
        for (index, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.child.is_some()) {
            let serves = async || self.at(index).status().await.is_ok_and(|status| status.ready);
            until(&node.name, serves).await;
        }
    }

    /// The index of the leader.
    pub(crate) async fn leader(&self) -> usize {
        let start = Instant::now();
        loop {
            for index in (0..self.nodes.len()).filter(|&index| self.nodes[index].child.is_some()) {
                if let Ok(status) = self.at(index).status().await
                    && status.ready
                    && status.leader == self.nodes[index].name
                {
                    return index;
                }
            }
            assert!(start.elapsed() < PATIENCE, "no leader");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Makes the run with these shards, which cover the key space one after the other.
    pub(crate) async fn prepare(&self, shards: usize) {
        let key = |n: usize| if n == 0 || n == shards { Vec::new() } else { format!("{n:05}").into_bytes() };
        let shards = (0..shards).map(|n| ShardSpec::new(format!("s{n}"), key(n), key(n + 1))).collect();
        self.client.create_run(OpId::random(), RUN, Vec::new()).await.unwrap();
        self.client.register_shards(OpId::random(), RUN, shards, true).await.unwrap();
    }
}

/// Waits until `what` holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The page of metrics that is served at this address.
pub(crate) fn scrape(address: &str) -> String {
    let mut connection = TcpStream::connect(address).unwrap();
    write!(connection, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    connection.read_to_string(&mut page).unwrap();
    page
}
