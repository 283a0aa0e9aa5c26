//! The JEPSEN REPORT: the same text at every tier.

use std::fmt::Write as _;

use super::trace::NOT_ALONE;
use super::{RunInfo, failing_trace};
use crate::history::{Op, OpType, Process, Value};
use crate::judge::{Check, Linearizability, Validity, Verdict};

/// Widths of the first two columns of the head.
const HEAD: [usize; 2] = [20, 23];

/// Widths of the columns of the table, without the lines between them.
const TABLE: [usize; 3] = [30, 8, 8];

/// The whole report, ending in a line break.
pub fn text(run: &RunInfo, verdict: &Verdict, ops: &[Op]) -> String {
    let mut lines = head(run, verdict, ops);
    if let Some(found) = &verdict.linearizability {
        lines.extend(linearizability(found));
    }
    lines.extend(table(&verdict.checks));
    lines.extend(trace(verdict, ops));
    lines.extend(notes(verdict));
    lines.push("Reproduction:".to_owned());
    lines.push(format!("  {}", run.repro));
    lines.iter().fold(String::new(), |mut text, line| {
        text.push_str(line.trim_end());
        text.push('\n');
        text
    })
}

/// Client operations: all, and those that ended as ok, as fail, and open.
fn counts(ops: &[Op]) -> [usize; 4] {
    let of = |typ| ops.iter().filter(|op| op.is_client() && op.typ == typ).count();
    let (all, ok, fail) = (of(OpType::Invoke), of(OpType::Ok), of(OpType::Fail));
    [all, ok, fail, all.saturating_sub(ok + fail)]
}

fn head(run: &RunInfo, verdict: &Verdict, ops: &[Op]) -> Vec<String> {
    let [a, b] = HEAD;
    let title = format!("{} — {}", run.title, run.workload);
    let [all, ok, fail, info] = counts(ops);
    let nodes = format!("Nodes: {}", run.nodes.len());
    let duration = format!("Duration: {:.1}s", run.duration_s);
    let operations = format!("Operations: {all} ({ok}/{fail}/{info})");
    let result = format!("Result: {}", verdict.validity.word());
    let seed = format!("Seed: {}", run.seed);
    vec![
        title.clone(),
        "═".repeat(title.chars().count()),
        format!("{}{}Concurrency: {}", column(&nodes, a), column(&duration, b), run.concurrency),
        format!("{}Nemesis: {}", column(&operations, a + b), run.nemesis),
        format!("{}{}Schedule: {}", column(&result, a), column(&seed, b), run.schedule_digest),
    ]
}

/// Text of a column, apart from the next one also where it is too long.
fn column(text: &str, width: usize) -> String {
    format!("{:<width$}", format!("{text}  "))
}

fn linearizability(found: &Linearizability) -> Vec<String> {
    let valid = match found.validity {
        Validity::True => "yes",
        Validity::Unknown => "unknown",
        Validity::False => "no",
    };
    let anomalies = found.anomalies.len();
    vec![
        String::new(),
        "Linearizability:".to_owned(),
        format!("  Valid history: {valid}     Checker: {}     Anomalies: {anomalies}", found.checker),
    ]
}

fn table(checks: &[Check]) -> Vec<String> {
    let [name, status, count] = TABLE;
    let rule = |left: &str, middle: &str, right: &str| {
        format!("{left}{}{right}", TABLE.map(|width| "─".repeat(width)).join(middle))
    };
    let row = |a: &str, b: &str, c: &str| {
        format!(
            "│ {a:<a_width$}│ {b:<b_width$}│{c:>c_width$} │",
            a_width = name - 1,
            b_width = status - 1,
            c_width = count - 1
        )
    };
    let mut lines = vec!["Invariant checks:".to_owned(), rule("┌", "┬", "┐"), row("Invariant", "Status", "Checks")];
    lines.push(rule("├", "┼", "┤"));
    for check in checks {
        let title = format!("{} ({})", check.name, check.id);
        lines.push(row(&title, status_word(check), &check.count.to_string()));
    }
    lines.push(rule("└", "┴", "┘"));
    lines
}

/// What had nothing to check is no pass; it is a fault of the run only if the check was required.
pub(super) fn status_word(check: &Check) -> &'static str {
    match check.validity {
        Validity::True => "PASS",
        Validity::False => "FAIL",
        Validity::Unknown if check.required => "UNKN",
        Validity::Unknown => "-",
    }
}

fn trace(verdict: &Verdict, ops: &[Op]) -> Vec<String> {
    let mut violations = verdict.violations();
    let Some((id, violation)) = violations.next() else {
        return Vec::new();
    };
    let more = violations.count();
    let mut lines = vec!["Failing operations:".to_owned()];
    let trace = failing_trace(ops, verdict, id, violation);
    for op in trace.ops {
        let mut line = format!("  {}", op_line(op));
        if violation.ops.last() == Some(&op.index) {
            let _ = write!(line, "   ← VIOLATION {id}: {}", violation.message);
        }
        lines.push(line);
    }
    if violation.ops.is_empty() {
        lines.push(format!("  VIOLATION {id}: {}", violation.message));
    } else if !trace.fails_alone {
        lines.push(format!("  {NOT_ALONE}"));
    }
    if more > 0 {
        lines.push(format!("  ({more} more, of which the results.edn of a stored run tells)"));
    }
    lines
}

fn notes(verdict: &Verdict) -> Vec<String> {
    let of_checks =
        verdict.checks.iter().filter_map(|c| Some(format!("  {} ({}): {}", c.name, c.id, c.note.as_ref()?)));
    let found = verdict.linearizability.iter();
    let of_search = found.filter_map(|l| Some(format!("  Linearizability: {}", l.note.as_ref()?)));
    let unmet = verdict.checks.iter().filter(|c| c.required && c.validity == Validity::Unknown && c.note.is_none());
    let of_unmet = unmet.map(|c| format!("  {} ({}): required, but there was nothing to check", c.name, c.id));
    let notes: Vec<String> = of_checks.chain(of_search).chain(of_unmet).collect();
    if notes.is_empty() { notes } else { std::iter::once("Notes:".to_owned()).chain(notes).collect() }
}

/// An op as one line of a trace: when, what, on what, by whom, and what tells right from wrong.
pub(super) fn op_line(op: &Op) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown to a tenth of a second")]
    let mut line = format!("t={:.1}s ", op.time as f64 / 1e9);
    if op.process == Process::Nemesis {
        let _ = write!(line, "NEMESIS {}", op.f);
        if !op.value.is_nil() {
            let _ = write!(line, " {}", op.value);
        }
    } else {
        let _ = write!(line, "{:<7} {}", format!(":{}", op.typ.name()), op.f);
        let plain = |value: &Value| value.name().map_or_else(|| value.to_string(), str::to_owned);
        for target in ["shard", "run", "node"]
            .iter()
            .find_map(|key| op.value.some(key))
            .into_iter()
            .chain(op.value.some("worker"))
        {
            let _ = write!(line, " {}", plain(target));
        }
        for key in ["fence", "cursor", "at", "status", "granted", "deadline"] {
            if let Some(value) = op.value.some(key) {
                let _ = write!(line, " {key}={value}");
            }
        }
    }
    if let Some(error) = &op.error {
        let _ = write!(line, " {error}");
    }
    line
}
