//! Carries the schedule out, and notes what was really done and whether it took hold.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use gossip_check::history::Value;
use tokio::time::{Instant, sleep_until};

use crate::cluster::Cluster;
use crate::gate::Gate;
use crate::proxy::{Rule, Way};
use crate::recorder::Recorder;
use crate::schedule::{Action, ClientFault, Cut, How, Schedule, Skew, Step, Who, node_name};
use crate::workload::Twins;

/// A fault on links that is in force: what it was, and what these links had seen of faults when it began.
#[derive(Clone, Debug)]
struct OnLinks {
    value: Value,
    hit: Hit,
    before: u64,
}

/// Where a fault on links is to be seen.
#[derive(Clone, Debug)]
enum Hit {
    /// On these links between nodes, from and to.
    Peers(BTreeSet<(usize, usize)>),
    /// Between clients and this node.
    Clients(usize),
    /// In requests that were sent twice and answered.
    Twins,
}

/// What the nemesis acts on beside the cluster.
#[derive(Debug)]
pub struct Nemesis {
    recorder: Recorder,
    gate: Gate,
    twins: Twins,
    partition: Option<OnLinks>,
    client_fault: Option<OnLinks>,
    /// The workers that were told to stop, as noted.
    stalled: Option<Value>,
}

/// Why something was not done, or had no effect.
struct Miss(&'static str, String);

impl From<anyhow::Error> for Miss {
    fn from(error: anyhow::Error) -> Self {
        Miss("failed", format!("{error:#}"))
    }
}

fn names(nodes: &[usize]) -> Value {
    Value::from(nodes.iter().map(|&node| node_name(node)).collect::<Vec<_>>())
}

fn edn(text: &str) -> Value {
    text.parse().expect("our own words are EDN")
}

impl Nemesis {
    /// A nemesis that stops workers at `gate` and turns `twins` on and off.
    pub fn new(recorder: Recorder, gate: Gate, twins: Twins) -> Self {
        Nemesis { recorder, gate, twins, partition: None, client_fault: None, stalled: None }
    }

    /// Carries out the steps, each at its offset from `begun`.
    pub async fn run(&mut self, schedule: &Schedule, cluster: &mut Cluster, begun: Instant) {
        for step in &schedule.steps {
            sleep_until(begun + Duration::from_millis(step.at_ms)).await;
            self.step(step, cluster).await;
        }
    }

    async fn step(&mut self, step: &Step, cluster: &mut Cluster) {
        let f = step.action.f();
        match self.act(&step.action, cluster).await {
            Ok(value) => self.recorder.nemesis(f, value, None),
            Err(Miss(reason, detail)) => {
                // A fault that could not be done is no fault: the judge counts those that took hold.
                let planned = edn(&step.action.value());
                self.recorder.nemesis(f, planned.clone(), None);
                self.recorder.nemesis(f, planned, Some((reason, &detail)));
            }
        }
    }

    async fn resolve(&self, who: Who, cluster: &Cluster) -> usize {
        match who {
            Who::Node(node) => node,
            Who::Leader(otherwise) => cluster.leader().await.unwrap_or(otherwise),
        }
    }

    async fn resolve_all(&self, who: &[Who], cluster: &Cluster) -> Vec<usize> {
        let mut nodes = Vec::new();
        for &who in who {
            nodes.push(self.resolve(who, cluster).await);
        }
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }

    async fn act(&mut self, action: &Action, cluster: &mut Cluster) -> Result<Value, Miss> {
        match action {
            Action::StartPartition(cut, how) => Ok(self.start_partition(cut, *how, cluster).await),
            Action::StopPartition => {
                cluster.wiring.mend();
                let partition = self.partition.take();
                self.took_hold("start-partition", partition, cluster);
                Ok(Value::Nil)
            }
            Action::Kill(who) => {
                let nodes = self.resolve_all(who, cluster).await;
                for &node in &nodes {
                    cluster.kill(node).await?;
                }
                Ok(names(&nodes))
            }
            Action::Start => Ok(names(&cluster.start_all()?)),
            Action::Pause(who) => {
                let nodes = self.resolve_all(who, cluster).await;
                for &node in &nodes {
                    if !cluster.pause(node).await? {
                        return Err(Miss("no-effect", format!("{} was never seen stopped", node_name(node))));
                    }
                }
                Ok(names(&nodes))
            }
            Action::Resume => Ok(names(&cluster.resume_all()?)),
            Action::PauseWorkers(workers) => {
                self.gate.stop(workers);
                let value = edn(&action.value());
                self.stalled = Some(value.clone());
                Ok(value)
            }
            Action::ResumeWorkers => {
                self.resume_workers();
                Ok(edn(&action.value()))
            }
            Action::Skew(skews) => self.skew(skews, cluster).await,
            Action::ResetClock => {
                reset_clocks(cluster)?;
                Ok(Value::Nil)
            }
            Action::Shrink(who) => {
                let node = self.resolve(*who, cluster).await;
                cluster.shrink(node).await?;
                Ok(names(&[node]))
            }
            Action::Grow => Ok(names(&cluster.grow().await?)),
            Action::StartClientFault(who, fault) => Ok(self.start_client_fault(*who, *fault, cluster).await),
            Action::StopClientFault => {
                self.twins.set(false);
                cluster.wiring.mend_clients();
                let fault = self.client_fault.take();
                self.took_hold("start-client-fault", fault, cluster);
                Ok(Value::Nil)
            }
        }
    }

    /// How much is seen by now of faults there.
    fn effects(&self, hit: &Hit, cluster: &Cluster) -> u64 {
        match hit {
            Hit::Peers(links) => cluster.wiring.effects(|from, to| links.contains(&(from, to))),
            Hit::Clients(node) => cluster.wiring.client_effects(*node),
            Hit::Twins => self.twins.counts()[1],
        }
    }

    fn on_links(&self, value: Value, hit: Hit, cluster: &Cluster) -> OnLinks {
        OnLinks { before: self.effects(&hit, cluster), value, hit }
    }

    /// Notes a fault as failed of which nothing was seen where it was.
    fn took_hold(&self, f: &str, fault: Option<OnLinks>, cluster: &Cluster) {
        let Some(OnLinks { value, hit, before }) = fault else { return };
        if self.effects(&hit, cluster) == before {
            let detail = match hit {
                Hit::Twins => "no request was sent twice and answered",
                Hit::Peers(_) | Hit::Clients(_) => "its links lost and slowed no byte",
            };
            self.recorder.nemesis(f, value, Some(("no-effect", detail)));
        }
    }

    /// Workers go on. Those that were told to stop and never came to the gate were not stopped.
    fn resume_workers(&mut self) {
        let stood = self.gate.open();
        if let Some(value) = self.stalled.take()
            && stood.is_empty()
        {
            self.recorder.nemesis("pause", value, Some(("no-effect", "no worker came to the gate")));
        }
    }

    async fn start_partition(&mut self, cut: &Cut, how: How, cluster: &mut Cluster) -> Value {
        let all = cluster.nodes.len();
        let (shape, cuts): (String, Box<dyn Fn(usize, usize) -> bool>) = match cut {
            Cut::Halves(side) => {
                let side = side.clone();
                (":halves".into(), Box::new(move |from, to| side.contains(&from) != side.contains(&to)))
            }
            Cut::Isolate(who) => {
                let node = self.resolve(*who, cluster).await;
                (format!("[:isolate {:?}]", node_name(node)), Box::new(move |from, to| from == node || to == node))
            }
            Cut::Deaf(who) => {
                let node = self.resolve(*who, cluster).await;
                (format!("[:deaf {:?}]", node_name(node)), Box::new(move |_, to| to == node))
            }
            Cut::Mute(who) => {
                let node = self.resolve(*who, cluster).await;
                (format!("[:mute {:?}]", node_name(node)), Box::new(move |from, _| from == node))
            }
            Cut::Bridge(who) => {
                let node = self.resolve(*who, cluster).await;
                // The others by turns on this side and that.
                let side = move |n: usize| (n + usize::from(n > node)) % 2;
                let cut = move |from, to| from != node && to != node && side(from) != side(to);
                (format!("[:bridge {:?}]", node_name(node)), Box::new(cut))
            }
        };
        let pairs = (0..all).flat_map(|from| (0..all).map(move |to| (from, to)));
        let links: BTreeSet<(usize, usize)> = pairs.filter(|&(from, to)| from != to && cuts(from, to)).collect();
        let words = links.iter().map(|&(from, to)| format!("[{:?} {:?}]", node_name(from), node_name(to)));
        let words = words.collect::<Vec<_>>().join(" ");
        let value = edn(&format!("{{:shape {shape} :how {} :cut [{words}]}}", how.edn()));
        self.partition = Some(self.on_links(value.clone(), Hit::Peers(links), cluster));
        cluster.wiring.spoil(how.into(), &cuts);
        value
    }

    async fn start_client_fault(&mut self, who: Who, fault: ClientFault, cluster: &mut Cluster) -> Value {
        let node = self.resolve(who, cluster).await;
        let (forward, backward) = match fault {
            ClientFault::LoseAnswers => (Way::Pass, Way::Drop),
            ClientFault::DelayAnswers { millis } => (Way::Pass, Way::Delay(Duration::from_millis(millis))),
            ClientFault::Hang => (Way::Drop, Way::Drop),
            ClientFault::Duplicate => (Way::Pass, Way::Pass),
        };
        let value = edn(&format!("{{:node {:?} :how {}}}", node_name(node), fault.edn()));
        let hit = if fault == ClientFault::Duplicate { Hit::Twins } else { Hit::Clients(node) };
        self.client_fault = Some(self.on_links(value.clone(), hit, cluster));
        if fault == ClientFault::Duplicate {
            self.twins.set(true);
        } else {
            cluster.wiring.set_client(node, Rule { forward, backward });
        }
        value
    }

    /// Bends the clocks of the nodes that run: one that is down or stopped takes nothing. Answers who took what.
    async fn skew(&self, skews: &[(Who, Skew)], cluster: &mut Cluster) -> Result<Value, Miss> {
        let mut bent = Vec::new();
        for &(who, skew) in skews {
            let node = self.resolve(who, cluster).await;
            if cluster.is_running(node) {
                let before = cluster.log_length(node);
                cluster.skew(node, skew)?;
                bent.push((node, skew, before));
            }
        }
        let mut value = Value::map(Vec::<(String, Value)>::new());
        let mut took = 0;
        for (node, skew, before) in bent {
            if cluster.skew_is_seen(node, skew, before).await? {
                value = value.with(&node_name(node), edn(&skew.edn()));
                took += 1;
            } else {
                // What it did not take in time it shall not take unnoticed later.
                cluster.skew(node, TRUE_CLOCK)?;
            }
        }
        if took == 0 {
            return Err(Miss("no-effect", "no node took its clocks from the control file".into()));
        }
        Ok(value)
    }

    /// Ends every fault, and starts the nodes that do not run.
    ///
    /// # Errors
    /// What of that could not be done. It is the harness's trouble, and nobody knows what is over.
    pub fn end_faults(&mut self, cluster: &mut Cluster) -> Result<()> {
        self.resume_workers();
        self.twins.set(false);
        cluster.wiring.mend();
        cluster.wiring.mend_clients();
        reset_clocks(cluster)?;
        cluster.resume_all()?;
        cluster.start_all().context("starting nodes after the load")?;
        Ok(())
    }

    /// Waits until the group has its members again and every node serves, for `patience` each.
    ///
    /// # Errors
    /// What the service did not do in time.
    pub async fn recovery(&self, cluster: &mut Cluster, patience: Duration) -> Result<()> {
        let begun = Instant::now();
        loop {
            match cluster.grow().await {
                Ok(_) => break,
                Err(error) if begun.elapsed() > patience => return Err(error.context("healing the membership")),
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
        cluster.serving(patience).await
    }

    /// Notes that the load ends here, and that every fault is over: the service owes everything from now on. `unended` says why not
    /// every one is: then it owes nothing.
    pub fn healed(&self, unended: Option<&str>) {
        self.recorder.nemesis("heal", Value::Nil, unended.map(|why| ("heal-failed", why)));
    }
}

const TRUE_CLOCK: Skew = Skew { wall_ms: 0, rate_ppm: 1_000_000 };

fn reset_clocks(cluster: &Cluster) -> Result<()> {
    (0..cluster.nodes.len()).try_for_each(|node| cluster.skew(node, TRUE_CLOCK))
}
