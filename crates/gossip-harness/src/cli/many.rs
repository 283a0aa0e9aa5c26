//! Many runs: the whole matrix, and every planted bug.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use gossip_check::judge::Validity;
use gossip_check::report::stdout;
use serde_json::json;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::options::{self, CommonArgs, Spec};
use super::progress::Progress;
use super::{one, refuse, stop_signal};
use crate::mutants::{self, Planted};
use crate::rng::{Stream, fresh_seed};
use crate::runner::Outcome;
use crate::schedule::Nemesis;
use crate::store::Folder;
use crate::workload::Kind;

/// What `test-all` runs.
#[derive(Args, Clone, Debug)]
pub struct AllArgs {
    /// Only these workloads
    #[arg(long, value_delimiter = ',')]
    workload: Vec<String>,
    /// Only these nemeses
    #[arg(long, value_delimiter = ',')]
    nemesis: Vec<String>,
    #[command(flatten)]
    common: CommonArgs,
    /// From which each run's seed is drawn [default: a fresh one, printed]
    #[arg(long)]
    test_seed: Option<u64>,
    /// Runs of each pair
    #[arg(long, default_value_t = 1)]
    test_count: u32,
    /// Runs at the same time
    #[arg(long, default_value_t = 1)]
    jobs: usize,
}

/// What `mutants` runs.
#[derive(Args, Clone, Debug)]
pub struct MutantArgs {
    /// Only these bugs
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only those that every `make test` shows to be caught
    #[arg(long)]
    quick: bool,
    /// Seeds tried before a bug counts as missed
    #[arg(long, default_value_t = 4)]
    tries: u32,
    #[command(flatten)]
    common: CommonArgs,
}

/// One line of a summary.
struct Row {
    workload: Kind,
    nemesis: Nemesis,
    seed: u64,
    /// `Err`: the harness could not run it.
    end: Result<Outcome, String>,
    seconds: f64,
}

impl Row {
    fn validity(&self) -> Validity {
        self.end.as_ref().map_or(Validity::Unknown, |outcome| outcome.validity)
    }

    /// Why it is not valid, in a few words.
    fn why(&self) -> String {
        match &self.end {
            Err(problem) => format!("harness: {problem}"),
            Ok(outcome) => reasons(outcome).join("; "),
        }
    }
}

/// Ids of what was violated, unknown parts, and troubles.
fn reasons(outcome: &Outcome) -> Vec<String> {
    let mut reasons: Vec<String> = ids(outcome).into_iter().map(str::to_owned).collect();
    let unknown = outcome.verdict.checks.iter().filter(|c| c.required && c.validity == Validity::Unknown);
    reasons.extend(unknown.map(|c| format!("{} unknown: {}", c.id.id(), c.note.clone().unwrap_or_default())));
    let search = outcome.verdict.linearizability.as_ref().filter(|l| l.validity == Validity::Unknown);
    reasons.extend(search.map(|l| format!("L unknown: {}", l.note.clone().unwrap_or_default())));
    reasons.extend(outcome.troubles.system.iter().take(1).cloned());
    reasons.extend(outcome.troubles.harness.iter().take(1).map(|line| format!("harness: {line}")));
    reasons
}

/// What was violated; `node` for a node that died or logged an error.
pub(super) fn ids(outcome: &Outcome) -> Vec<&'static str> {
    let mut ids: Vec<&'static str> = outcome.verdict.violations().map(|(id, _)| id).collect();
    if !outcome.troubles.system.is_empty() {
        ids.push("node");
    }
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn matrix(args: &AllArgs, master: u64) -> Result<Vec<Spec>, String> {
    let workloads: Vec<Kind> = match args.workload[..] {
        [] => Kind::ALL.to_vec(),
        ref names => names.iter().map(|name| options::workload(name)).collect::<Result<_, _>>()?,
    };
    let nemeses: Vec<Nemesis> = match args.nemesis[..] {
        [] => Nemesis::ALL.to_vec(),
        ref names => names.iter().map(|name| options::nemesis(name)).collect::<Result<_, _>>()?,
    };
    if args.jobs == 0 || args.test_count == 0 {
        return Err("--jobs and --test-count: must be at least 1".into());
    }
    let mut specs = Vec::new();
    for workload in workloads {
        for &nemesis in &nemeses {
            // Its own stream: a part of the matrix gives its runs the same seeds as the whole.
            let mut seeds = Stream::new(master, &format!("{}-{}", workload.name(), nemesis.name()));
            for _ in 0..args.test_count {
                specs.push(args.common.spec(workload, nemesis, seeds.below(1 << 31))?);
            }
        }
    }
    Ok(specs)
}

/// All runs of a command have the same binary.
fn probe(spec: Option<&Spec>) -> Result<(), String> {
    spec.map_or(Ok(()), Spec::probe)
}

/// Runs the matrix.
pub(super) async fn all(args: &AllArgs) -> anyhow::Result<u8> {
    let master = args.test_seed.unwrap_or_else(fresh_seed);
    let specs = match matrix(args, master).and_then(|specs| probe(specs.first()).map(|()| specs)) {
        Ok(specs) => specs,
        Err(line) => return Ok(refuse(&line)),
    };
    let stop = stop_signal()?;
    stdout::line(format_args!("{} runs, master seed {master}", specs.len()));
    let folder = Folder::create(&args.common.store, "test-all")?;
    let rows = run_all(specs, args.jobs, stop).await;
    let markdown = markdown(&rows, master);
    folder.write("summary.md", &markdown)?;
    folder.write("summary.json", &format!("{:#}\n", summary_json(&rows, master)))?;
    stdout::text(format_args!("\n{markdown}\nResults: {}\n", folder.path().display()));
    Ok(Validity::merge(rows.iter().map(Row::validity)).exit_code())
}

async fn run_all(specs: Vec<Spec>, jobs: usize, stop: watch::Receiver<bool>) -> Vec<Row> {
    let (permits, total) = (Arc::new(Semaphore::new(jobs)), specs.len());
    let mut tasks = JoinSet::new();
    let mut planned = HashMap::new();
    for (number, spec) in specs.into_iter().enumerate() {
        let (permits, stop, carried_out) = (Arc::clone(&permits), stop.clone(), spec.clone());
        let task = tasks.spawn(async move {
            let _permit = permits.acquire().await;
            let begun = Instant::now();
            let end = if *stop.borrow() {
                Err("interrupted before it began".into())
            } else {
                one(carried_out, stop, &Progress::quiet()).await.map_err(|error| format!("{error:#}"))
            };
            (end, begun.elapsed().as_secs_f64())
        });
        planned.insert(task.id(), (number, spec));
    }
    let mut rows = BTreeMap::new();
    while let Some(done) = tasks.join_next_with_id().await {
        let (id, end, seconds) = match done {
            Ok((id, (end, seconds))) => (id, end, seconds),
            // A panic is the harness's own, and must not make a run vanish from the table.
            Err(error) => (error.id(), Err(format!("the run panicked: {error}")), 0.0),
        };
        let Some((number, spec)) = planned.remove(&id) else { continue };
        let row = Row { workload: spec.workload, nemesis: spec.nemesis, seed: spec.seed, end, seconds };
        stdout::line(format_args!(
            "{:3}/{total} {:7} {:22} {:24} seed {:10} {:4.0} s  {}",
            rows.len() + 1,
            row.validity().word(),
            row.workload.name(),
            row.nemesis.name(),
            row.seed,
            row.seconds,
            row.why()
        ));
        rows.insert(number, row);
    }
    assert_eq!(rows.len(), total, "a run is missing from the table");
    rows.into_values().collect()
}

fn markdown(rows: &[Row], master: u64) -> String {
    let count = |validity| rows.iter().filter(|row| row.validity() == validity).count();
    let mut text = format!(
        "# test-all, master seed {master}\n\n{} valid, {} invalid, {} unknown\n\n",
        count(Validity::True),
        count(Validity::False),
        count(Validity::Unknown)
    );
    text += "| workload | nemesis | seed | verdict | seconds | why, results |\n|---|---|---|---|---|---|\n";
    for row in rows {
        let folder = row.end.as_ref().map_or(PathBuf::new(), |outcome| outcome.folder.clone());
        let why = if row.validity() == Validity::True { String::new() } else { row.why() + ", " };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {:.0} | {why}{} |",
            row.workload.name(),
            row.nemesis.name(),
            row.seed,
            row.validity().word(),
            row.seconds,
            folder.display()
        );
    }
    text
}

fn summary_json(rows: &[Row], master: u64) -> serde_json::Value {
    let runs = rows.iter().map(|row| {
        let outcome = row.end.as_ref().ok();
        json!({
            "workload": row.workload.name(), "nemesis": row.nemesis.name(), "seed": row.seed,
            "verdict": row.validity().word(), "seconds": row.seconds, "why": row.why(),
            "results": outcome.map(|outcome| outcome.folder.display().to_string()),
        })
    });
    json!({ "master_seed": master, "runs": runs.collect::<Vec<_>>() })
}

/// Looks for every planted bug.
pub(super) async fn planted(args: &MutantArgs) -> anyhow::Result<u8> {
    if let Some(name) = args.only.iter().find(|name| mutants::ALL.iter().all(|row| row.name != **name)) {
        let known: Vec<&str> = mutants::ALL.iter().map(|row| row.name).collect();
        return Ok(refuse(&format!("--only {name}: no such bug\n  valid: {}", known.join(", "))));
    }
    let wanted = |row: &&Planted| {
        (args.only.is_empty() || args.only.iter().any(|name| name == row.name)) && (!args.quick || row.always)
    };
    for row in mutants::ALL.iter().filter(wanted) {
        if let Err(line) = spec(row, args, 0).and_then(|spec| spec.probe()) {
            return Ok(refuse(&line));
        }
    }
    let stop = stop_signal()?;
    stdout::line("| mutant | workload | nemesis | caught by | seed | seconds |\n|---|---|---|---|---|---|");
    let mut worst = Validity::True;
    for row in mutants::ALL.iter().filter(wanted) {
        let begun = Instant::now();
        let (hunted, seed) = hunt(row, args, &stop).await;
        let said = match hunted {
            Hunted::Caught(ids) => ids.join(" "),
            Hunted::Missed => {
                worst = Validity::merge([worst, Validity::False]);
                "**missed**".into()
            }
            Hunted::Unknown(why) => {
                worst = Validity::merge([worst, Validity::Unknown]);
                format!("unknown: {why}")
            }
        };
        stdout::line(format_args!(
            "| {} | {} | {} | {said} | {seed} | {:.0} |",
            row.name,
            row.workload.name(),
            row.nemesis.name(),
            begun.elapsed().as_secs_f64()
        ));
    }
    Ok(worst.exit_code())
}

/// What came of looking for a planted bug.
enum Hunted {
    /// What it violated.
    Caught(Vec<&'static str>),
    /// Every seed was run, and none showed it.
    Missed,
    /// Not every seed could be run.
    Unknown(String),
}

fn spec(row: &Planted, args: &MutantArgs, seed: u64) -> Result<Spec, String> {
    let spec = args.common.spec(row.workload, row.nemesis, seed)?;
    Ok(Spec { mutant: Some(row.name.into()), ..spec })
}

/// Runs seeds until one shows what the bug violates.
async fn hunt(row: &Planted, args: &MutantArgs, stop: &watch::Receiver<bool>) -> (Hunted, u64) {
    let mut seeds = Stream::new(1, row.name);
    let (mut seed, mut trouble) = (0, None);
    for _ in 0..args.tries {
        seed = seeds.below(1 << 31);
        if *stop.borrow() {
            return (Hunted::Unknown("interrupted".into()), seed);
        }
        let outcome = match spec(row, args, seed) {
            Ok(spec) => one(spec, stop.clone(), &Progress::quiet()).await.map_err(|error| format!("{error:#}")),
            Err(line) => Err(line),
        };
        match outcome {
            Ok(outcome) => {
                let found = ids(&outcome);
                if row.violates.iter().any(|id| found.contains(id)) {
                    return (Hunted::Caught(found), seed);
                }
            }
            // A cluster that cannot even start shows that something is wrong, but not what.
            Err(problem) => trouble = Some(problem),
        }
    }
    (trouble.map_or(Hunted::Missed, Hunted::Unknown), seed)
}
