//! `results.edn`: the verdict for machines.

use super::RunInfo;
use crate::history::{Map, Value};
use crate::judge::{Check, Linearizability, Validity, Verdict, Violation};

/// The verdict with its run as EDN, in the shape of Jepsen's results: `:valid?` at every level, `:checks` by id.
pub fn results_edn(run: &RunInfo, verdict: &Verdict) -> String {
    let mut lines = vec![
        (":valid?", valid(verdict.validity).to_string()),
        (":workload", Value::from(run.workload.as_str()).to_string()),
        (":nemesis", Value::from(run.nemesis.as_str()).to_string()),
        (":nodes", Value::from(run.nodes.clone()).to_string()),
        (":duration-s", Value::from(run.duration_s).to_string()),
        (":concurrency", run.concurrency.to_string()),
        (":seed", Value::from(run.seed.to_string()).to_string()),
        (":schedule", Value::from(run.schedule_digest.as_str()).to_string()),
        (":reproduction", Value::from(run.repro.as_str()).to_string()),
    ];
    let checks: Vec<String> = verdict.checks.iter().map(|c| format!(":{} {}", c.id, check(c))).collect();
    lines.push((":checks", format!("{{{}}}", checks.join("\n          "))));
    if let Some(found) = &verdict.linearizability {
        lines.push((":linearizability", linearizability(found).to_string()));
    }
    let lines: Vec<String> = lines.into_iter().map(|(key, value)| format!("{key} {value}")).collect();
    format!("{{{}}}\n", lines.join("\n "))
}

fn valid(validity: Validity) -> Value {
    match validity {
        Validity::True => Value::Bool(true),
        Validity::Unknown => Value::keyword("unknown"),
        Validity::False => Value::Bool(false),
    }
}

fn count(n: u64) -> Value {
    Value::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

fn check(check: &Check) -> Value {
    let mut map = Value::Map(Map::new())
        .with("valid?", valid(check.validity))
        .with("name", check.name)
        .with("checks", count(check.count))
        .with("required?", check.required)
        .with("violations", violations(&check.violations));
    if let Some(note) = &check.note {
        map = map.with("note", note.as_str());
    }
    map
}

fn violations(violations: &[Violation]) -> Value {
    let one = |v: &Violation| {
        let at = Value::Vec(v.ops.iter().map(|&index| count(index)).collect());
        Value::map([("message", Value::from(v.message.as_str())), ("at", at), ("time", Value::Int(v.time))])
    };
    Value::Vec(violations.iter().map(one).collect())
}

fn linearizability(found: &Linearizability) -> Value {
    let map = Value::Map(Map::new())
        .with("valid?", valid(found.validity))
        .with("checker", found.checker.as_str())
        .with("anomalies", violations(&found.anomalies));
    match &found.note {
        Some(note) => map.with("note", note.as_str()),
        None => map,
    }
}
