//! A cluster under test: nodes, the links between them, and what a nemesis can do to both.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use gossip_client::{Client, Options};
use tokio::time::sleep;

use super::{Port, Process, Watchdog, Wiring};
use crate::logs;
use crate::schedule::{Skew, node_name};

/// A node that does not serve within this time after it was started never will.
const START_PATIENCE: Duration = Duration::from_secs(20);

/// A node ended by itself where it should serve.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NodeEnded(String);

/// A change of the members waits so long for somebody who leads.
const CHANGE_PATIENCE: Duration = Duration::from_secs(10);

/// How a cluster is started.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many nodes.
    pub nodes: usize,
    /// The node's binary.
    pub binary: PathBuf,
    /// Planted in every node.
    pub mutant: Option<String>,
    /// Where logs go.
    pub logs: PathBuf,
}

/// One node.
#[derive(Debug)]
pub struct Node {
    /// For example `n1`.
    pub name: String,
    /// Where clients reach it: through a proxy.
    pub address: SocketAddr,
    process: Process,
    port: Port,
    data: PathBuf,
    clock: PathBuf,
    /// Taken out of the group, or about to be: it stops by itself then, and only [`Cluster::grow`] starts it, as a new member.
    out: bool,
}

/// The cluster.
#[derive(Debug)]
pub struct Cluster {
    /// Its nodes, by number.
    pub nodes: Vec<Node>,
    /// The links.
    pub wiring: Wiring,
    plan: Plan,
    /// The harness's own way to the nodes, past every proxy: its questions must not count as what a fault did to the load.
    client: Client,
    deaths: Vec<String>,
    // Goes with the cluster.
    _folder: tempfile::TempDir,
}

impl Cluster {
    /// Starts the nodes and waits until all of them serve.
    ///
    /// # Errors
    /// A port, a folder or a process could not be had, or a node does not serve in time.
    pub async fn start(plan: Plan) -> Result<Cluster> {
        let folder = tempfile::Builder::new().prefix("gossip-verify-").tempdir().context("making a folder")?;
        let dog = Arc::new(Watchdog::start()?);
        let ports = (0..plan.nodes).map(|_| Port::take()).collect::<Result<Vec<_>>>()?;
        let real: Vec<SocketAddr> = ports.iter().map(|port| (Ipv4Addr::LOCALHOST, port.number()).into()).collect();
        let wiring = Wiring::open(&real, true, true).await?;
        let node = |(number, port): (usize, Port)| -> Result<Node> {
            let name = node_name(number);
            let address = wiring.client_via(number).context("every node has a client link")?;
            let log = plan.logs.join(format!("{name}.log"));
            let process = Process::new(name.clone(), plan.binary.clone(), Vec::new(), log, Arc::clone(&dog));
            let (data, clock) = (folder.path().join(&name), folder.path().join(format!("{name}.clock")));
            Ok(Node { name, address, process, port, data, clock, out: false })
        };
        let nodes = ports.into_iter().enumerate().map(node).collect::<Result<Vec<_>>>()?;
        let addresses = real.iter().map(SocketAddr::to_string).collect();
        let options =
            Options { attempt: Duration::from_secs(1), deadline: Duration::from_secs(5), ..Options::default() };
        let client = Client::lazy(addresses, options)?;
        let mut cluster = Cluster { nodes, wiring, plan, client, deaths: Vec::new(), _folder: folder };
        let founders = cluster.founders();
        for number in 0..cluster.nodes.len() {
            let arguments = cluster.arguments(number, &["--peers", &founders]);
            cluster.nodes[number].process.set_arguments(arguments);
            cluster.nodes[number].process.start()?;
        }
        cluster.serving(START_PATIENCE).await?;
        Ok(cluster)
    }

    fn founders(&self) -> String {
        let pairs: Vec<_> = self.nodes.iter().map(|node| format!("{}={}", node.name, node.address)).collect();
        pairs.join(",")
    }

    fn arguments(&self, number: usize, membership: &[&str]) -> Vec<String> {
        let node = &self.nodes[number];
        let via: Vec<_> = (0..self.nodes.len())
            .filter_map(|to| Some(format!("{}={}", self.nodes[to].name, self.wiring.via(number, to)?)))
            .collect();
        let mut arguments: Vec<String> = [
            "--id",
            &node.name,
            "--listen",
            &format!("127.0.0.1:{}", node.port.number()),
            "--data",
            &node.data.display().to_string(),
            "--log-format",
            "json",
            "--snapshot-entries",
            "500",
            "--unsafe-testing",
            "--clock-control",
            &node.clock.display().to_string(),
        ]
        .map(str::to_owned)
        .to_vec();
        if !via.is_empty() {
            arguments.extend(["--peer-via".to_owned(), via.join(",")]);
        }
        if let Some(mutant) = &self.plan.mutant {
            arguments.extend(["--mutant".to_owned(), mutant.clone()]);
        }
        arguments.extend(membership.iter().map(|&word| word.to_owned()));
        arguments
    }

    /// A client that asks this node alone, not by way of a proxy.
    fn direct(&self, number: usize) -> Client {
        self.client.pinned(&format!("{}:{}", Ipv4Addr::LOCALHOST, self.nodes[number].port.number()))
    }

    /// A client that asks the leader directly; where nobody leads, one that looks for it by hints, which lead through proxies.
    async fn at_leader(&self) -> Client {
        self.leader().await.map_or_else(|| self.client.clone(), |leader| self.direct(leader))
    }

    /// Asks the leader for a change. A node that is to go hands its leadership on and refuses: then it is for the next leader.
    async fn change<T, F>(&self, ask: impl Fn(Client) -> F) -> Result<T, gossip_client::Error>
    where
        F: Future<Output = Result<T, gossip_client::Error>>,
    {
        let start = Instant::now();
        loop {
            let outcome = ask(self.at_leader().await).await;
            let elsewhere =
                |e: &gossip_client::Error| e.definite && matches!(&e.reason[..], "NOT_LEADER" | "UNREACHABLE");
            if !outcome.as_ref().is_err_and(elsewhere) || start.elapsed() > CHANGE_PATIENCE {
                return outcome;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// The number of the node that leads, as the nodes themselves see it.
    pub async fn leader(&self) -> Option<usize> {
        let asked = (0..self.nodes.len()).map(|number| async move {
            let client = self.direct(number);
            let status = tokio::time::timeout(Duration::from_millis(300), client.status()).await.ok()?.ok()?;
            (status.ready && status.leader == status.node).then_some((status.term, number))
        });
        futures::future::join_all(asked).await.into_iter().flatten().max().map(|(_, number)| number)
    }

    /// Waits until every node that runs can serve.
    ///
    /// # Errors
    /// One cannot, or has ended.
    pub async fn serving(&mut self, patience: Duration) -> Result<()> {
        let start = Instant::now();
        for number in 0..self.nodes.len() {
            loop {
                self.note_deaths();
                if !self.nodes[number].process.is_up() {
                    let name = &self.nodes[number].name;
                    return Err(NodeEnded(format!("{name} does not run: {}", tail(&self.log(number)))).into());
                }
                let client = self.direct(number);
                if client.status().await.is_ok_and(|status| status.ready) {
                    break;
                }
                if start.elapsed() > patience {
                    bail!("{} does not serve within {patience:?}", self.nodes[number].name);
                }
                sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    fn note_deaths(&mut self) {
        for node in &mut self.nodes {
            let death = node.process.take_death();
            // A removed node's end is asked for; a panic on the way stands in its log.
            self.deaths.extend(death.filter(|_| !node.out));
        }
    }

    /// What ended although nobody asked it to.
    pub fn deaths(&mut self) -> &[String] {
        self.note_deaths();
        &self.deaths
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// It does not run.
    pub async fn kill(&mut self, number: usize) -> Result<()> {
        self.note_deaths();
        self.nodes[number].process.kill().await.map(drop)
    }

    /// Starts every node of the group that is down. Answers which.
    ///
    /// # Errors
    /// One cannot be started.
    pub fn start_all(&mut self) -> Result<Vec<usize>> {
        self.note_deaths();
        let mut started = Vec::new();
        for (number, node) in self.nodes.iter_mut().enumerate() {
            if !node.out && !node.process.is_up() {
                node.process.start()?;
                started.push(number);
            }
        }
        Ok(started)
    }

    /// SIGSTOP. Answers whether the process was then seen stopped.
    ///
    /// # Errors
    /// It does not run.
    pub async fn pause(&mut self, number: usize) -> Result<bool> {
        let process = &mut self.nodes[number].process;
        process.pause()?;
        for _ in 0..100 {
            if process.is_seen_stopped() {
                return Ok(true);
            }
            sleep(Duration::from_millis(5)).await;
        }
        Ok(false)
    }

    /// SIGCONT to every paused node. Answers which.
    ///
    /// # Errors
    /// A signal could not be sent.
    pub fn resume_all(&mut self) -> Result<Vec<usize>> {
        let mut resumed = Vec::new();
        for (number, node) in self.nodes.iter_mut().enumerate() {
            if node.process.is_paused() && node.process.is_up() {
                node.process.resume()?;
                resumed.push(number);
            }
        }
        Ok(resumed)
    }

    fn log(&self, number: usize) -> PathBuf {
        self.plan.logs.join(format!("{}.log", self.nodes[number].name))
    }

    /// Whether this node runs and is not stopped.
    pub fn is_running(&mut self, number: usize) -> bool {
        let process = &mut self.nodes[number].process;
        process.is_up() && !process.is_paused()
    }

    /// How long a node's log is by now, in bytes.
    pub fn log_length(&self, number: usize) -> u64 {
        std::fs::metadata(self.log(number)).map_or(0, |log| log.len())
    }

    /// Waits until a node says in its log, behind its first `from` bytes, that it took these clocks for its own. `false`: it did not.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn skew_is_seen(&self, number: usize, skew: Skew, from: u64) -> Result<bool> {
        let wall = format!("\"wall_offset_ms\":{},", skew.wall_ms);
        let wall_last = format!("\"wall_offset_ms\":{}}}", skew.wall_ms);
        for _ in 0..100 {
            for wall in [&wall, &wall_last] {
                if logs::says(&self.log(number), from, &["\"clock control\"", wall])? {
                    return Ok(true);
                }
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(false)
    }

    /// Bends a node's clocks.
    ///
    /// # Errors
    /// The control file cannot be written.
    pub fn skew(&self, number: usize, skew: Skew) -> Result<()> {
        let path = &self.nodes[number].clock;
        let text = format!("rate={}\nwall_offset_ms={}\n", f64::from(skew.rate_ppm) / 1e6, skew.wall_ms);
        // A node that reads half of it would run on half of it.
        let fresh = path.with_extension("new");
        std::fs::write(&fresh, text).with_context(|| format!("writing {}", fresh.display()))?;
        std::fs::rename(&fresh, path).with_context(|| format!("writing {}", path.display()))
    }

    /// Takes a node out of the group, then stops it and forgets its data.
    ///
    /// # Errors
    /// The group did not do it in time.
    pub async fn shrink(&mut self, number: usize) -> Result<()> {
        let name = self.nodes[number].name.clone();
        self.note_deaths();
        self.nodes[number].out = true;
        // An error may have taken effect all the same: `grow` asks the group which it was.
        let removed = self.change(|leader| {
            let name = &name;
            async move { leader.remove_node(name).await }
        });
        removed.await.with_context(|| format!("removing {name}"))?;
        self.empty(number).await
    }

    /// Stops a removed node and forgets its data: started on it, the node would be a member that the group no longer knows.
    async fn empty(&mut self, number: usize) -> Result<()> {
        let node = &mut self.nodes[number];
        if node.process.is_up() {
            // It may be about to stop by itself, being removed: both are well.
            let _ = node.process.terminate(Duration::from_secs(5)).await;
        }
        let _ = node.process.take_death();
        match std::fs::remove_dir_all(&node.data) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("emptying {}", node.data.display()))
            }
            _ => Ok(()),
        }
    }

    /// Brings back, empty, every node that was taken out. Answers which.
    ///
    /// # Errors
    /// The group did not do it in time.
    pub async fn grow(&mut self) -> Result<Vec<usize>> {
        let members = self.at_leader().await.members().await.context("asking for the members")?;
        let mut grown = Vec::new();
        for number in (0..self.nodes.len()).filter(|&number| self.nodes[number].out).collect::<Vec<_>>() {
            let (name, address) = (self.nodes[number].name.clone(), self.nodes[number].address.to_string());
            let listed = members.iter().any(|member| member.node == name);
            if listed && self.nodes[number].process.is_up() {
                // The removal never happened.
                self.nodes[number].out = false;
                continue;
            }
            // Listed and down: it was added before, and the answer was lost.
            if !listed {
                self.empty(number).await?;
                let added = self.change(|leader| {
                    let (name, address) = (&name, &address);
                    async move { leader.add_node(name, address).await }
                });
                added.await.with_context(|| format!("adding {name}"))?;
            }
            let others: Vec<_> =
                self.nodes.iter().filter(|node| node.name != name).map(|node| node.address.to_string()).collect();
            let arguments = self.arguments(number, &["--advertise", &address, "--join", &others.join(",")]);
            let node = &mut self.nodes[number];
            node.process.set_arguments(arguments);
            node.process.start()?;
            node.out = false;
            grown.push(number);
        }
        Ok(grown)
    }

    /// Stops every node cleanly.
    pub async fn stop(&mut self) {
        self.note_deaths();
        for node in &mut self.nodes {
            if node.process.is_up()
                && let Err(error) = node.process.terminate(Duration::from_secs(10)).await
            {
                self.deaths.push(format!("{}: {error:#}", node.name));
            }
        }
    }
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().last().unwrap_or("its log is empty").to_owned()
}
