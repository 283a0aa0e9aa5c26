//! One run: start, load under faults, heal, liveness, final reads, stop, judge, report.

mod finish;
mod results;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use gossip_check::judge::{Validity, Verdict};
use gossip_client::{Client, Options};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cli::options::Spec;
use crate::cli::progress::Progress;
use crate::cluster::{Cluster, Plan};
use crate::gate::Gate;
use crate::logs;
use crate::nemesis::Nemesis;
use crate::pace::Pace;
use crate::recorder::Recorder;
use crate::schedule::{self, Schedule, Shape};
use crate::store::Folder;
use crate::verdict::Troubles;
use crate::workload::{Caller, Mix, Worker, register};

/// After the faults are over, everything must be well again within this time.
const LIVENESS: Duration = Duration::from_secs(60);

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
        let binary = worker_binary(spec)?;
        let logs = folder.path().to_owned();
        let plan = Plan { nodes: spec.nodes, binary, mutant: spec.mutant.clone(), logs };
        let cluster = Cluster::start(plan).await.context("starting the cluster")?;
        let recorder = Recorder::start();
        let wall = std::time::SystemTime::now();
        let mut stage = Stage { run: self, cluster, recorder, troubles: Troubles::default() };
        let measured = stage.play(stop, progress).await;
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

    fn workers(&self, cluster: &Cluster, recorder: &Recorder, gate: &Gate, switches: &Switches) -> Result<Vec<Worker>> {
        let lease = Duration::from_millis(self.spec.workload.lease_ms());
        let step = i64::try_from(self.spec.concurrency + 1).unwrap_or(i64::MAX);
        let endpoints: Vec<String> = cluster.nodes.iter().map(|node| node.address.to_string()).collect();
        let worker = |number: usize| -> Result<Worker> {
            // Few tries: an answer that is open should often stay open.
            let options = Options { deadline: lease, attempt: lease / 2, retries: 3, ..Options::default() };
            let client = Client::lazy(endpoints.clone(), options)?;
            let process = i64::try_from(number)?;
            let duplicate = switches.duplicate.subscribe();
            let caller = Caller::new(client, recorder.clone(), process, step, lease, self.spec.seed, duplicate);
            let rng = Mix::stream(self.spec.seed, number);
            let over = switches.over.subscribe();
            Ok(Worker { number, nodes: endpoints.clone(), caller, mix: self.mix, rng, gate: gate.clone(), over, lease })
        };
        (0..self.spec.concurrency).map(worker).collect()
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

#[derive(Debug)]
struct Switches {
    duplicate: watch::Sender<bool>,
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
        let (spec, gate) = (&self.run.spec, Gate::default());
        let switches = Switches { duplicate: watch::channel(false).0, over: watch::channel(false).0 };
        let mut closer = self.closer(&switches)?;
        register(&mut closer, &self.run.mix).await.map_err(anyhow::Error::msg).context("registering the shards")?;

        let mut tasks = JoinSet::new();
        let pace = std::sync::Arc::new(Pace::new(spec.rate));
        for worker in self.run.workers(&self.cluster, &self.recorder, &gate, &switches)? {
            let pace = std::sync::Arc::clone(&pace);
            tasks.spawn(async move { worker.run(&pace).await });
        }
        let begun = Instant::now();
        let mut nemesis = Nemesis::new(self.recorder.clone(), gate, switches.duplicate.clone());
        let limit = Duration::from_secs(spec.time_limit);
        let load = async {
            nemesis.run(&self.run.schedule, &mut self.cluster, begun).await;
            tokio::time::sleep_until(begun + limit).await;
        };
        tokio::select! {
            () = load => {}
            _ = stop.wait_for(|stop| *stop) => progress.say("stopping early: what was recorded is judged"),
            () = progress.follow(begun, limit, || self.recorder.counts()) => {}
        }
        let seconds = begun.elapsed().as_secs_f64();
        switches.over.send_replace(true);
        progress.say("faults heal");
        let healed = nemesis.heal(&mut self.cluster, LIVENESS).await;
        // The last operations end by their own deadlines.
        while tasks.join_next().await.is_some() {}
        if let Err(error) = healed {
            self.troubles.system.push(format!("after the faults healed: {error:#}"));
        }
        progress.say("every shard is driven to its end, every node is read");
        finish::drive(&mut closer, &self.cluster, &self.run.mix, LIVENESS).await;
        finish::final_reads(&mut closer, &self.cluster, &self.run.mix, spec.workload, LIVENESS).await;
        Ok(seconds)
    }

    /// The caller that registers, finishes and reads: its process comes after the workers'.
    fn closer(&self, switches: &Switches) -> Result<Caller> {
        let spec = &self.run.spec;
        let endpoints = self.cluster.nodes.iter().map(|node| node.address.to_string()).collect();
        let options = Options { deadline: Duration::from_secs(10), ..Options::default() };
        let client = Client::lazy(endpoints, options)?;
        let (process, step) = (i64::try_from(spec.concurrency)?, i64::try_from(spec.concurrency + 1)?);
        let lease = Duration::from_secs(10);
        let duplicate = switches.duplicate.subscribe();
        Ok(Caller::new(client, self.recorder.clone(), process, step, lease, spec.seed, duplicate))
    }
}

fn worker_binary(spec: &Spec) -> Result<PathBuf> {
    let beside = || std::env::current_exe().map(|own| own.with_file_name("gossip-worker"));
    let path = spec.worker.clone().map_or_else(beside, Ok).context("finding this program's own folder")?;
    anyhow::ensure!(path.is_file(), "--worker: no gossip-worker at {}: build it, or name it", path.display());
    Ok(path)
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
