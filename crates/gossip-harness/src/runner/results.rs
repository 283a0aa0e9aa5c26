//! From a history to verdict, report and the files of a run.

use std::fs::File;
use std::time::SystemTime;

use anyhow::{Context, Result};
use gossip_check::history::{self, Op};
use gossip_check::judge::{Validity, Verdict, judge};
use gossip_check::report::{NodeLog, RunInfo, html, results_edn, text};

use super::{Outcome, Run};
use crate::logs;
use crate::schedule::node_name;
use crate::store::Folder;
use crate::verdict::{self, Troubles};

/// How long it was, and when the recorder's zero was.
pub(super) struct Times {
    pub(super) seconds: f64,
    pub(super) wall: SystemTime,
}

pub(super) fn judge_and_store(
    run: &Run,
    history: &[Op],
    troubles: Troubles,
    folder: &Folder,
    times: Times,
) -> Result<Outcome> {
    let path = folder.file("history.edn");
    let file = File::create(&path).with_context(|| format!("writing {}", path.display()))?;
    history::write(file, history).with_context(|| format!("writing {}", path.display()))?;
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
    section("Trouble of the nodes", &troubles.system) + &section("Trouble of the harness", &troubles.harness)
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
