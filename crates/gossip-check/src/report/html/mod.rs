//! The report as one page that needs no network: verdict, traces of the violations with what the nodes logged then, the
//! leases of each shard over time, latency and rate.

mod faults;
mod plots;
#[cfg(test)]
mod tests;
mod timeline;

use std::fmt::Write as _;

use super::text::{op_line, status_word};
use super::trace::NOT_ALONE;
use super::{RunInfo, failing_trace};
use crate::history::{HistoryError, Op};
use crate::invariants::facts::Facts;
use crate::judge::{Verdict, Violation};
use timeline::Stage;

/// Violations that get a trace of their own; the others are named.
const MOST_TRACES: usize = 10;
/// How far from a violation's ops log lines are shown, in nanoseconds.
const LOG_MARGIN: i64 = 1_000_000_000;
/// Log lines of one node around one violation.
const MOST_LOG_LINES: usize = 60;

/// What a node logged.
#[derive(Debug, Clone, Default)]
pub struct NodeLog {
    pub node: String,
    /// Each line with its time in nanoseconds of the history's clock, ascending.
    pub lines: Vec<(i64, String)>,
}

type Found<'v> = Vec<(&'static str, &'v Violation)>;

/// The whole page.
///
/// # Errors
///
/// Ops that are no history.
pub fn html(run: &RunInfo, verdict: &Verdict, ops: &[Op], logs: &[NodeLog]) -> Result<String, HistoryError> {
    let facts = Facts::new(ops, Some(verdict.rates_are_sane))?;
    let faults = faults::faults(ops);
    let violations: Found<'_> = verdict.violations().collect();
    let stage = Stage { facts: &facts, faults: &faults, violations: &violations };
    let mut page = head(run, verdict, &facts);
    page.push_str(&checks(verdict, &violations));
    if !violations.is_empty() {
        page.push_str("<h2>Violations</h2>\n");
        for (n, (id, violation)) in violations.iter().enumerate() {
            page.push_str(&article(n, id, violation, verdict, ops, logs));
        }
    }
    page.push_str(
        "<h2>Leases</h2>\n<p class=soft>Colours are workers, numbers fences, shaded stretches faults. Granted \
                   times are of the lease clock, laid on real time by the answers.</p>\n",
    );
    page.push_str(&timeline::timelines(&stage));
    for (title, plot) in
        [("Latency", plots::latency(&facts.calls, &faults)), ("Rate", plots::rate(&facts.calls, &faults))]
    {
        let plot = plot.unwrap_or_else(|| "<p class=soft>No call was answered.</p>".to_owned());
        let _ = writeln!(page, "<h2>{title}</h2>\n{plot}");
    }
    let _ = writeln!(page, "<h2>Reproduction</h2>\n<pre>{}</pre>\n</body>\n</html>", escape(&run.repro));
    Ok(page)
}

fn head(run: &RunInfo, verdict: &Verdict, facts: &Facts<'_>) -> String {
    let title = escape(&format!("{} — {}", run.title, run.workload));
    let word = verdict.validity.word();
    let of = |end: fn(&crate::history::Call<'_>) -> bool| facts.calls.iter().filter(|c| end(c)).count();
    let rows = [
        ("Nodes", run.nodes.join(", ")),
        ("Duration", format!("{:.1} s", run.duration_s)),
        ("Concurrency", run.concurrency.to_string()),
        (
            "Operations",
            format!(
                "{}: {} ok, {} fail, {} info",
                facts.calls.len(),
                of(|c| c.ok()),
                of(|c| c.failed()),
                of(|c| c.open())
            ),
        ),
        ("Nemesis", run.nemesis.clone()),
        ("Seed", run.seed.to_string()),
        ("Schedule", run.schedule_digest.clone()),
    ];
    let mut out = format!(
        "<!doctype html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n<title>{word}: {title}</title>\n<style>\n{}</style>\n\
         </head>\n<body>\n<h1>{title}</h1>\n<p class={word}>{word}</p>\n<table>\n",
        include_str!("page.css")
    );
    for (name, value) in rows {
        let _ = writeln!(out, "<tr><th>{name}<td>{}", escape(&value));
    }
    out.push_str("</table>\n");
    out
}

fn checks(verdict: &Verdict, violations: &Found<'_>) -> String {
    let mut out = "<h2>Invariants</h2>\n<table>\n<tr><th>Invariant<th>Status<th>Checks<th>Violations\n".to_owned();
    let mut row = |name: &str, id: &str, word: &str, count: &str, note: Option<&str>| {
        let note = note.map(|n| format!("<br><small>{}</small>", escape(n))).unwrap_or_default();
        let found = violations.iter().filter(|(of, _)| *of == id).count();
        let link = violations.iter().position(|(of, _)| *of == id);
        let found = link.map_or_else(String::new, |n| format!("<a href=\"#violation-{n}\">{found}</a>"));
        let _ =
            writeln!(out, "<tr><td>{name} ({id}){note}<td class={word}>{word}<td class=n>{count}<td class=n>{found}");
    };
    for check in &verdict.checks {
        row(check.name, check.id.id(), status_word(check), &check.count.to_string(), check.note.as_deref());
    }
    if let Some(found) = &verdict.linearizability {
        let note = found.note.as_deref();
        row("Linearizability", "L", found.validity.word(), &escape(&found.checker), note);
    }
    out.push_str("</table>\n");
    out
}

fn article(n: usize, id: &str, violation: &Violation, verdict: &Verdict, ops: &[Op], logs: &[NodeLog]) -> String {
    let mut out = format!("<article id=violation-{n}>\n<p><b>{id}</b> {}</p>\n", escape(&violation.message));
    let culprit = violation.ops.last();
    if n < MOST_TRACES {
        let trace = failing_trace(ops, verdict, id, violation);
        out.push_str("<pre>");
        for op in &trace.ops {
            let line = escape(&op_line(op));
            let marked = if culprit == Some(&op.index) { format!("<mark>{line}</mark>") } else { line };
            let _ = writeln!(out, "{:>7}  {marked}", op.index);
        }
        out.push_str("</pre>\n");
        if !trace.fails_alone {
            let _ = writeln!(out, "<p>{NOT_ALONE}</p>");
        }
        let times = trace.ops.iter().map(|op| op.time);
        if let (Some(from), Some(to)) = (times.clone().min(), times.max()) {
            out.push_str(&logged(logs, from.saturating_sub(LOG_MARGIN), to.saturating_add(LOG_MARGIN)));
        }
    } else {
        let _ = writeln!(out, "<p class=soft>Ops {:?}</p>", violation.ops);
    }
    out.push_str("</article>\n");
    out
}

/// What each node logged in a stretch of time. Of long stretches the last lines are kept, which are nearest to the culprit.
fn logged(logs: &[NodeLog], from: i64, to: i64) -> String {
    let mut out = String::new();
    for log in logs {
        let lines: Vec<&(i64, String)> = log.lines.iter().filter(|(at, _)| (from..=to).contains(at)).collect();
        if lines.is_empty() {
            continue;
        }
        let _ = write!(
            out,
            "<details><summary>{} logged <small>{} lines</small></summary><pre>",
            escape(&log.node),
            lines.len()
        );
        for (at, line) in lines.iter().skip(lines.len().saturating_sub(MOST_LOG_LINES)) {
            let _ = writeln!(out, "{:>9.3}s  {}", nanos(*at), escape(line));
        }
        out.push_str("</pre></details>\n");
    }
    out
}

/// Nanoseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "drawn, not judged")]
fn nanos(ns: i64) -> f64 {
    ns as f64 / 1e9
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
