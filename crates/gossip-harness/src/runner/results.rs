//! From a history to verdict, report and the files of a run.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use gossip_check::history::{self, Op};
use gossip_check::judge::{Validity, Verdict, judge};
use gossip_check::report::{NodeLog, RunInfo, html, results_edn, text};

use serde::{Deserialize, Serialize};

use super::{Outcome, Run};
use crate::cli::options::{self, Spec};
use crate::logs;
use crate::schedule::node_name;
use crate::store::Folder;
use crate::verdict::{self, Troubles};

/// How long it was, and when the recorder's zero was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    seconds: f64,
    wall: SystemTime,
}

impl Times {
    pub(super) fn new(seconds: f64, wall: SystemTime) -> Self {
        Times { seconds, wall }
    }
}

/// What `run.json` says: all that the history does not.
#[derive(Debug, Deserialize, Serialize)]
struct Note {
    workload: String,
    nemesis: String,
    nodes: usize,
    time_limit: u64,
    concurrency: usize,
    rate: f64,
    seed: u64,
    faults: Option<Vec<usize>>,
    mutant: Option<String>,
    worker: Option<PathBuf>,
    schedule_digest: String,
    load_seconds: f64,
    /// Of the history's zero, since 1970.
    wall_ms: u64,
    trouble_of_nodes: Vec<String>,
    trouble_of_harness: Vec<String>,
    #[serde(default)]
    measured: Vec<String>,
}

pub(super) fn note(run: &Run, troubles: &Troubles, folder: &Folder, times: Times) -> Result<()> {
    let spec = &run.spec;
    let wall = times.wall.duration_since(UNIX_EPOCH).unwrap_or_default();
    let note = Note {
        workload: spec.workload.name().into(),
        nemesis: spec.nemesis.name().into(),
        nodes: spec.nodes,
        time_limit: spec.time_limit,
        concurrency: spec.concurrency,
        rate: spec.rate,
        seed: spec.seed,
        faults: spec.faults.clone(),
        mutant: spec.mutant.clone(),
        worker: spec.worker.clone(),
        schedule_digest: run.digest.clone(),
        load_seconds: times.seconds,
        wall_ms: u64::try_from(wall.as_millis())?,
        trouble_of_nodes: troubles.system.clone(),
        trouble_of_harness: troubles.harness.clone(),
        measured: troubles.notes.clone(),
    };
    folder.write("run.json", &(serde_json::to_string_pretty(&note)? + "\n"))
}

/// The run that a folder's note describes.
pub(super) fn recall(folder: &Folder) -> Result<(Run, Troubles, Times)> {
    let path = folder.file("run.json");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let note: Note = serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
    let spec = Spec {
        workload: options::workload(&note.workload).map_err(anyhow::Error::msg)?,
        nemesis: options::nemesis(&note.nemesis).map_err(anyhow::Error::msg)?,
        nodes: note.nodes,
        time_limit: note.time_limit,
        concurrency: note.concurrency,
        rate: note.rate,
        seed: note.seed,
        faults: note.faults,
        mutant: note.mutant,
        worker: note.worker,
        store: folder.path().to_owned(),
    };
    let run = Run { digest: note.schedule_digest, ..Run::new(spec) };
    let wall = UNIX_EPOCH + Duration::from_millis(note.wall_ms);
    let troubles = Troubles { system: note.trouble_of_nodes, harness: note.trouble_of_harness, notes: note.measured };
    Ok((run, troubles, Times { seconds: note.load_seconds, wall }))
}

pub(super) fn store_history(history: &[Op], folder: &Folder) -> Result<()> {
    let path = folder.file("history.edn");
    let file = File::create(&path).with_context(|| format!("writing {}", path.display()))?;
    history::write(file, history).with_context(|| format!("writing {}", path.display()))
}

pub(super) fn recall_history(folder: &Folder) -> Result<Vec<Op>> {
    let path = folder.file("history.edn");
    let file = File::open(&path).with_context(|| format!("reading {}", path.display()))?;
    let ops: Result<Vec<Op>, _> = history::read(BufReader::new(file)).collect();
    ops.with_context(|| format!("reading {}", path.display()))
}

pub(super) fn judge_and_store(
    run: &Run,
    history: &[Op],
    troubles: Troubles,
    folder: &Folder,
    times: Times,
) -> Result<Outcome> {
    let verdict = judge(history, &verdict::options(run.spec.workload, run.spec.nemesis))?;
    let verdict = with_troubles(verdict, &troubles);
    let info = info(run, times.seconds);
    let mut report = text(&info, &verdict, history);
    report.push_str(&describe(&troubles));
    let logs = (0..run.spec.nodes).map(|node| {
        let name = node_name(node);
        let lines = logs::timed_lines(&folder.file(&format!("{name}.log")), times.wall)?;
        Ok(NodeLog { node: name, lines })
    });
    let logs = logs.collect::<Result<Vec<_>>>()?;
    folder.write("report.txt", &report)?;
    folder.write("report.html", &html(&info, &verdict, history, &logs)?)?;
    folder.write("results.edn", &results_edn(&info, &verdict))?;
    folder.point_latest();
    let validity = verdict.validity;
    Ok(Outcome { validity, verdict, troubles, folder: folder.path().to_owned(), report })
}

/// A node that died is a failure of the system; a harness that could not do its part knows nothing.
fn with_troubles(mut verdict: Verdict, troubles: &Troubles) -> Verdict {
    if !troubles.system.is_empty() {
        verdict.validity = Validity::False;
    } else if !troubles.harness.is_empty() {
        verdict.validity = Validity::merge([verdict.validity, Validity::Unknown]);
    }
    verdict
}

fn describe(troubles: &Troubles) -> String {
    let section = |title: &str, lines: &[String]| {
        if lines.is_empty() {
            return String::new();
        }
        lines.iter().fold(format!("\n{title}:\n"), |text, line| text + "  " + line + "\n")
    };
    section("Trouble of the nodes", &troubles.system)
        + &section("Trouble of the harness", &troubles.harness)
        + &section("Measured", &troubles.notes)
}

fn info(run: &Run, seconds: f64) -> RunInfo {
    let spec = &run.spec;
    RunInfo {
        title: "JEPSEN REPORT".into(),
        workload: spec.workload.name().into(),
        nemesis: spec.nemesis.name().into(),
        nodes: (0..spec.nodes).map(node_name).collect(),
        duration_s: seconds,
        concurrency: spec.concurrency,
        seed: spec.seed,
        schedule_digest: run.digest.clone(),
        repro: spec.command(),
    }
}
