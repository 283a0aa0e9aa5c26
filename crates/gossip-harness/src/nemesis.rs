//! Carries the schedule out, and notes what was really done and whether it took hold.

use std::time::Duration;

use anyhow::{Context, Result};
use gossip_check::history::Value;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::cluster::Cluster;
use crate::gate::Gate;
use crate::proxy::{Rule, Way};
use crate::recorder::Recorder;
use crate::schedule::{Action, ClientFault, Cut, How, Schedule, Skew, Step, Who, node_name};

/// What the nemesis acts on beside the cluster.
#[derive(Debug)]
pub struct Nemesis {
    recorder: Recorder,
    gate: Gate,
    duplicate: watch::Sender<bool>,
    /// Effects on links when the present partition began, and what it was.
    partition: Option<(u64, Value)>,
    client_fault: Option<(u64, Value)>,
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
    /// A nemesis that stops workers at `gate` and turns `duplicate` on and off.
    pub fn new(recorder: Recorder, gate: Gate, duplicate: watch::Sender<bool>) -> Self {
        Nemesis { recorder, gate, duplicate, partition: None, client_fault: None }
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
                self.took_hold("start-partition", self.partition.clone(), cluster);
                self.partition = None;
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
                Ok(edn(&action.value()))
            }
            Action::ResumeWorkers => {
                self.gate.open();
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
                self.duplicate.send_replace(false);
                cluster.wiring.mend_clients();
                self.took_hold("start-client-fault", self.client_fault.clone(), cluster);
                self.client_fault = None;
                Ok(Value::Nil)
            }
        }
    }

    /// Notes a fault as failed whose link saw nothing of it.
    fn took_hold(&self, f: &str, fault: Option<(u64, Value)>, cluster: &Cluster) {
        if let Some((before, value)) = fault
            && cluster.wiring.effects() == before
        {
            self.recorder.nemesis(f, value, Some(("no-effect", "no link lost or slowed a byte")));
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
        cluster.wiring.spoil(how.into(), &cuts);
        let links: Vec<String> = (0..all)
            .flat_map(|from| (0..all).map(move |to| (from, to)))
            .filter(|&(from, to)| from != to && cuts(from, to))
            .map(|(from, to)| format!("[{:?} {:?}]", node_name(from), node_name(to)))
            .collect();
        let value = edn(&format!("{{:shape {shape} :how {} :cut [{}]}}", how.edn(), links.join(" ")));
        self.partition = Some((cluster.wiring.effects(), value.clone()));
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
        if fault == ClientFault::Duplicate {
            self.duplicate.send_replace(true);
            return value;
        }
        cluster.wiring.set_client(node, Rule { forward, backward });
        self.client_fault = Some((cluster.wiring.effects(), value.clone()));
        value
    }

    async fn skew(&self, skews: &[(Who, Skew)], cluster: &Cluster) -> Result<Value, Miss> {
        let mut value = Value::map(Vec::<(String, Value)>::new());
        let before = cluster.log_lengths();
        for (who, skew) in skews {
            let node = self.resolve(*who, cluster).await;
            cluster.skew(node, *skew)?;
            value = value.with(&node_name(node), edn(&skew.edn()));
        }
        if !cluster.skew_is_seen(&before).await? {
            return Err(Miss("no-effect", "no node took its clocks from the control file".into()));
        }
        Ok(value)
    }

    /// Ends every fault, whatever the schedule still had in mind, and brings every node back.
    ///
    /// # Errors
    /// A node cannot be brought back.
    pub async fn heal(&mut self, cluster: &mut Cluster, patience: Duration) -> Result<()> {
        self.gate.open();
        self.duplicate.send_replace(false);
        cluster.wiring.mend();
        cluster.wiring.mend_clients();
        reset_clocks(cluster)?;
        cluster.resume_all()?;
        cluster.start_all().context("starting nodes after the load")?;
        let begun = Instant::now();
        loop {
            match cluster.grow().await {
                Ok(_) => break,
                Err(error) if begun.elapsed() > patience => return Err(error.context("healing the membership")),
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
        cluster.serving(patience).await?;
        self.recorder.nemesis("heal", Value::Nil, None);
        Ok(())
    }
}

fn reset_clocks(cluster: &Cluster) -> Result<()> {
    (0..cluster.nodes.len()).try_for_each(|node| cluster.skew(node, Skew { wall_ms: 0, rate_ppm: 1_000_000 }))
}
