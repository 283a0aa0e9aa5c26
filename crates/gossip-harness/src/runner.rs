//! One run: start, load under faults, heal, liveness, final reads, stop, judge, report.

mod finish;
mod results;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use gossip_check::history::{Op, OpType};
use gossip_check::judge::{Validity, Verdict};
use gossip_client::Options;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::cli::options::Spec;
use crate::cli::progress::Progress;
use crate::cluster::{Cluster, Node, NodeEnded, Plan};
use crate::gate::Gate;
use crate::logs;
use crate::nemesis::Nemesis;
use crate::pace::Pace;
use crate::recorder::Recorder;
use crate::schedule::{self, Schedule, Shape};
use crate::store::Folder;
use crate::verdict::Troubles;
use crate::workload::{Caller, Course, Kind, Mix, Place, Start, Twins, Watcher, Worker, register};

/// After the faults are over, everything must be well again within this time.
const LIVENESS: Duration = Duration::from_secs(60);
/// One attempt of a worker.
const ATTEMPT: Duration = Duration::from_secs(1);
/// So many finish at the end what the load left.
const CLOSERS: usize = 8;
/// The lease under which shards are finished at the end.
const CLOSING_LEASE: Duration = Duration::from_secs(10);
/// After the last change, all views of the gossip must be the same within this time.
const GOSSIP_PATIENCE: Duration = Duration::from_secs(15);
/// Between two exchanges of facts that a node begins, as the service is configured.
const GOSSIP_ROUND: Duration = Duration::from_millis(500);

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// With what the harness saw taken in.
    pub validity: Validity,
    /// The judge's.
    pub verdict: Verdict,
    /// What went wrong beside the history.
    pub troubles: Troubles,
    /// Where everything is.
    pub folder: PathBuf,
    /// The report, as printed.
    pub report: String,
}

/// A run that is prepared but not started.
#[derive(Debug)]
pub struct Run {
    spec: Spec,
    mix: Mix,
    schedule: Schedule,
    digest: String,
}

impl Run {
    /// Draws everything that is drawn.
    pub fn new(spec: Spec) -> Self {
        let mix = spec.workload.mix();
        let shape = Shape {
            nodes: spec.nodes,
            workers: spec.concurrency,
            time_limit_ms: spec.time_limit * 1000,
            lease_ms: spec.workload.lease_ms(),
        };
        let mut schedule = schedule::build(spec.nemesis, spec.seed, shape);
        if let Some(kept) = &spec.faults {
            schedule.keep(kept);
        }
        let digest = schedule.digest(&mix.intents(spec.seed, spec.concurrency));
        Run { spec, mix, schedule, digest }
    }

    /// The digest of schedule and intents.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// How many faults are planned.
    pub fn faults(&self) -> usize {
        self.schedule.faults()
    }

    /// Carries it out. `stop` turns true when the user wants it to end early.
    ///
    /// # Errors
    /// The harness could not do its part.
    pub async fn carry_out(&self, stop: watch::Receiver<bool>, progress: &Progress) -> Result<Outcome> {
        let spec = &self.spec;
        let folder = Folder::create(&spec.store, &format!("{}-{}", spec.workload.name(), spec.nemesis.name()))?;
        folder.write("schedule.edn", &self.schedule.to_edn())?;
        progress.say(&format!("{} nodes start; results in {}", spec.nodes, folder.path().display()));
        let binary = spec.binary().map_err(anyhow::Error::msg)?;
        let logs = folder.path().to_owned();
        let plan = Plan { nodes: spec.nodes, binary, mutant: spec.mutant.clone(), logs };
        let mut early = stop.clone();
        let started = tokio::select! {
            started = Cluster::start(plan) => started.context("starting the cluster"),
            _ = early.wait_for(|stop| *stop) => Err(anyhow::anyhow!("interrupted while the nodes started")),
        };
        let cluster = match started {
            Ok(cluster) => cluster,
            Err(error) => return self.never_served(&folder, error),
        };
        let recorder = Recorder::start();
        let wall = std::time::SystemTime::now();
        let mut stage = Stage { run: self, cluster, recorder, troubles: Troubles::default() };
        let measured = stage.play(stop.clone(), progress).await;
        if *stop.borrow() {
            // What was not done cannot be a pass.
            stage.troubles.harness.push(format!("interrupted: it was to run for {} s", spec.time_limit));
        }
        stage.cluster.stop().await;
        let Stage { mut cluster, recorder, mut troubles, .. } = stage;
        troubles.system.extend(cluster.deaths().iter().cloned());
        troubles.system.extend(bad_lines(spec.nodes, &folder)?);
        let seconds = measured.unwrap_or_else(|error| {
            troubles.harness.push(format!("{error:#}"));
            spec.time_limit as f64
        });
        let times = results::Times::new(seconds, wall);
        results::note(self, &troubles, &folder, times)?;
        results::store_history(&recorder.history(), &folder)?;
        results::judge_and_store(self, &recorder.history(), troubles, &folder, times)
    }

    /// A node that ended by itself before the load is the system's failure, and there is a report of it.
    fn never_served(&self, folder: &Folder, error: anyhow::Error) -> Result<Outcome> {
        if !error.is::<NodeEnded>() {
            return Err(error);
        }
        let mut troubles = Troubles { system: vec![format!("{error:#}")], ..Troubles::default() };
        troubles.system.extend(bad_lines(self.spec.nodes, folder)?);
        let times = results::Times::new(0.0, std::time::SystemTime::now());
        results::note(self, &troubles, folder, times)?;
        results::store_history(&[], folder)?;
        results::judge_and_store(self, &[], troubles, folder, times)
    }

    /// A caller of this run. Each has its own connections, processes and draws.
    fn caller(&self, knobs: &Knobs, process: usize, lease: Duration, options: Options) -> Result<Caller> {
        let spec = &self.spec;
        let start = Start {
            endpoints: knobs.nodes.iter().map(|node| node.address.clone()).collect(),
            options,
            recorder: knobs.recorder.clone(),
            process: i64::try_from(process)?,
            // Behind the workers come the closers and the watcher.
            step: i64::try_from(spec.concurrency + CLOSERS + 1)?,
            lease,
            seed: spec.seed,
            rate: spec.rate,
            twins: knobs.twins.clone(),
        };
        Ok(Caller::new(start)?)
    }

    fn workers(&self, knobs: &Knobs) -> Result<Vec<Worker>> {
        let lease = Duration::from_millis(self.spec.workload.lease_ms());
        let worker = |number: usize| -> Result<Worker> {
            // Few tries: an answer that is open should often stay open.
            let attempt = ATTEMPT.min(lease / 2);
            let options = Options { deadline: attempt * 2, attempt, retries: 3, ..Options::default() };
            Ok(Worker {
                number,
                nodes: knobs.nodes.clone(),
                caller: self.caller(knobs, number, lease, options)?,
                mix: self.mix,
                seed: self.spec.seed,
                course: knobs.course.clone(),
                gate: knobs.gate.clone(),
                over: knobs.over.subscribe(),
                lease,
            })
        };
        (0..self.spec.concurrency).map(worker).collect()
    }

    /// They finish what the load left; the first one registers and reads as well. Their processes come after the workers'.
    fn closers(&self, knobs: &Knobs) -> Result<Vec<Caller>> {
        let closer = |n| self.caller(knobs, self.spec.concurrency + n, CLOSING_LEASE, Options::default());
        (0..CLOSERS).map(closer).collect()
    }

    /// Watches the gossip, where that is what the workload is about.
    fn watcher(&self, knobs: &Knobs) -> Result<Option<Watcher>> {
        if self.spec.workload != Kind::GossipConvergence {
            return Ok(None);
        }
        let options = Options { deadline: ATTEMPT, attempt: ATTEMPT / 2, retries: 0, ..Options::default() };
        let caller = self.caller(knobs, self.spec.concurrency + CLOSERS, CLOSING_LEASE, options)?;
        Ok(Some(Watcher::new(caller, knobs.nodes.clone())))
    }
}

/// Judges a stored run again and writes its reports anew.
///
/// # Errors
/// The folder holds no run, or one that cannot be read.
pub fn analyze(folder: &Path) -> Result<Outcome> {
    let folder = Folder::open(folder)?;
    let (run, troubles, times) = results::recall(&folder)?;
    let history = results::recall_history(&folder)?;
    results::judge_and_store(&run, &history, troubles, &folder, times)
}

/// What the parts of a run share.
#[derive(Debug)]
struct Knobs {
    recorder: Recorder,
    nodes: Vec<Place>,
    gate: Gate,
    twins: Twins,
    course: Course,
    over: watch::Sender<bool>,
}

/// A run under way.
struct Stage<'a> {
    run: &'a Run,
    cluster: Cluster,
    recorder: Recorder,
    troubles: Troubles,
}

impl Stage<'_> {
    /// All phases. Answers how many seconds the load ran.
    async fn play(&mut self, mut stop: watch::Receiver<bool>, progress: &Progress) -> Result<f64> {
        let spec = &self.run.spec;
        let place = |node: &Node| Place { name: node.name.clone(), address: node.address.to_string() };
        let knobs = Knobs {
            recorder: self.recorder.clone(),
            nodes: self.cluster.nodes.iter().map(place).collect(),
            gate: Gate::default(),
            twins: Twins::default(),
            course: Course::new(&self.run.mix),
            over: watch::channel(false).0,
        };
        let mut closers = self.run.closers(&knobs)?;
        register(&mut closers[0], &knobs.course).await.map_err(anyhow::Error::msg).context("registering the shards")?;

        let mut load = Load::start(self.run, &knobs)?;
        let begun = Instant::now();
        let mut nemesis = Nemesis::new(self.recorder.clone(), knobs.gate.clone(), knobs.twins.clone());
        let limit = Duration::from_secs(spec.time_limit);
        let faults = async {
            nemesis.run(&self.run.schedule, &mut self.cluster, begun).await;
            tokio::time::sleep_until(begun + limit).await;
        };
        tokio::select! {
            () = faults => {}
            _ = stop.wait_for(|stop| *stop) => progress.say("stopping early: what was recorded is judged"),
            () = progress.follow(begun, limit, || self.recorder.counts()) => {}
        }
        let seconds = begun.elapsed().as_secs_f64();
        progress.say("faults heal");
        // The load goes on: that the service comes back is seen by those who use it.
        let unended = nemesis.end_faults(&mut self.cluster).err().map(|error| format!("{error:#}"));
        if let Some(why) = &unended {
            self.troubles.harness.push(format!("faults could not be ended: {why}"));
        } else if let Err(error) = nemesis.recovery(&mut self.cluster, LIVENESS).await {
            self.troubles.system.push(format!("after the faults healed: {error:#}"));
        }
        self.until_a_grant().await;
        nemesis.healed(unended.as_deref());
        knobs.over.send_replace(true);
        let watcher = load.end(&mut self.troubles).await;
        // A twin may come one and a half leases late, and then has its attempts.
        self.troubles.harness.extend(knobs.twins.end(LIVENESS).await);
        progress.say("every shard is driven to its end, every node is read");
        let closing = finish::Closing { nodes: &knobs.nodes, course: &knobs.course, patience: LIVENESS };
        closing.drive(&mut closers).await;
        closing.final_reads(&mut closers[0]).await;
        if let Some(watcher) = watcher {
            self.settle(watcher).await;
        }
        Ok(seconds)
    }

    /// The healed service should grant something; whether it did is for the judge.
    async fn until_a_grant(&self) {
        let lease = Duration::from_millis(self.run.spec.workload.lease_ms());
        let (before, until) = (self.recorder.len(), Instant::now() + lease * 2);
        let granted = |op: &Op| matches!(&op.f[..], "acquire" | "claim") && op.typ == OpType::Ok;
        while Instant::now() < until && !self.recorder.any_since(before, granted) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The last views of the gossip.
    async fn settle(&mut self, mut watcher: Watcher) {
        let (took, doubles) = watcher.settle(GOSSIP_PATIENCE).await;
        self.troubles.system.extend(doubles);
        self.troubles.notes.push(match took {
            Some(took) => {
                let (seconds, rounds) = (took.as_secs_f64(), took.as_secs_f64() / GOSSIP_ROUND.as_secs_f64());
                format!(
                    "gossip: after the last change all views were the same within {seconds:.1} s ({rounds:.0} rounds)"
                )
            }
            None => format!("gossip: after the last change the views were not the same within {GOSSIP_PATIENCE:?}"),
        });
    }
}

/// The tasks of a load.
struct Load {
    workers: JoinSet<()>,
    watcher: Option<JoinHandle<Watcher>>,
}

impl Load {
    fn start(run: &Run, knobs: &Knobs) -> Result<Load> {
        let mut workers = JoinSet::new();
        let pace = std::sync::Arc::new(Pace::new(run.spec.rate));
        for worker in run.workers(knobs)? {
            let pace = std::sync::Arc::clone(&pace);
            workers.spawn(async move { worker.run(&pace).await });
        }
        let watcher = run.watcher(knobs)?.map(|watcher| tokio::spawn(watcher.run(knobs.over.subscribe())));
        Ok(Load { workers, watcher })
    }

    /// The last operations end by their own deadlines. A task that panicked did not do its part, and the run says nothing.
    async fn end(&mut self, troubles: &mut Troubles) -> Option<Watcher> {
        while let Some(ended) = self.workers.join_next().await {
            troubles.harness.extend(ended.err().map(|error| format!("a worker of the load: {error}")));
        }
        match self.watcher.take()?.await {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                troubles.harness.push(format!("the watcher of the gossip: {error}"));
                None
            }
        }
    }
}

fn bad_lines(nodes: usize, folder: &Folder) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for node in 0..nodes {
        let name = schedule::node_name(node);
        let (lines, count) = logs::bad_lines(&folder.file(&format!("{name}.log")))?;
        found.extend(lines.iter().map(|line| format!("{name}.log:{line}")));
        if count > lines.len() {
            found.push(format!("{name}.log: {} more", count - lines.len()));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_of_the_load_that_panics_is_trouble_of_the_harness() {
        let mut workers = JoinSet::new();
        workers.spawn(async {});
        workers.spawn(async { panic!("planted") });
        let watcher: JoinHandle<Watcher> = tokio::spawn(async { panic!("planted") });
        let (mut load, mut troubles) = (Load { workers, watcher: Some(watcher) }, Troubles::default());
        assert!(load.end(&mut troubles).await.is_none());
        assert_eq!(troubles.harness.len(), 2, "{troubles:?}");
        assert!(troubles.harness[0].contains("a worker") && troubles.harness[1].contains("the watcher"));
    }
}
