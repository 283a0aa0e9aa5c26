//! What was learnt, as a table for people and as JSON for programs.

use std::time::Duration;

use gossip_client::{Child, Cursor, Grant, NodeStatus, Range, Read, Renewal, Role, RunInfo, ShardInfo};
use serde_json::{Map, Value, json};

use super::parse::{show_key, show_range};

mod members;

pub(super) use members::views;

/// One answer in both forms.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub json: Value,
    /// Without the last line's end.
    pub text: String,
}

/// Columns as wide as their widest cell, two spaces apart; none for an empty list.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &[String]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_string()
    };
    let head: Vec<String> = head.iter().map(ToString::to_string).collect();
    let lines: Vec<String> = std::iter::once(&head).chain(rows).map(|row| line(row)).collect();
    lines.join("\n")
}

/// One thing, a line for each of its sides; empty ones are left out.
fn facts(pairs: &[(&str, String)]) -> String {
    let pairs: Vec<_> = pairs.iter().filter(|(_, value)| !value.is_empty()).collect();
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines: Vec<String> = pairs.iter().map(|(name, value)| format!("{name:<width$}  {value}")).collect();
    lines.join("\n")
}

/// A mutation without more to say.
pub(super) fn done(text: String, json: Value) -> Report {
    Report { json, text }
}

pub(super) fn statuses(nodes: &[(String, Result<NodeStatus, gossip_client::Error>)]) -> Report {
    const HEAD: [&str; 10] =
        ["ENDPOINT", "NODE", "ROLE", "READY", "TERM", "LEADER", "APPLIED", "COMMIT", "STORE", "UP"];
    let row = |(endpoint, status): &(String, Result<NodeStatus, gossip_client::Error>)| match status {
        Ok(status) => vec![
            endpoint.clone(),
            status.node.clone(),
            role(status.role()).into(),
            if status.ready { "yes" } else { "no" }.into(),
            status.term.to_string(),
            or_dash(&status.leader),
            status.applied_index.to_string(),
            status.commit_index.to_string(),
            bytes(status.store_bytes),
            time(status.uptime_ms),
        ],
        Err(error) => {
            let mut row = vec!["-".to_string(); HEAD.len()];
            row[0].clone_from(endpoint);
            row[2] = error.reason.clone();
            row
        }
    };
    let json = nodes.iter().map(|(endpoint, status)| match status {
        Ok(status) => status_json(endpoint, status),
        Err(error) => silent_json(endpoint, error),
    });
    let rows: Vec<_> = nodes.iter().map(row).collect();
    Report { json: json!({ "nodes": json.collect::<Vec<_>>() }), text: table(&HEAD, &rows) }
}

/// An endpoint whose node did not answer.
fn silent_json(endpoint: &str, error: &gossip_client::Error) -> Value {
    let told = json!({ "reason": error.reason, "definite": error.definite, "message": error.message });
    json!({ "endpoint": endpoint, "error": told })
}

fn status_json(endpoint: &str, status: &NodeStatus) -> Value {
    json!({
        "endpoint": endpoint, "node": status.node, "node_id": status.node_id, "cluster_id": status.cluster_id,
        "role": role(status.role()), "ready": status.ready, "term": status.term, "leader": status.leader,
        "leader_address": status.leader_address, "last_index": status.last_index, "commit_index": status.commit_index,
        "applied_index": status.applied_index, "snapshot_index": status.snapshot_index,
        "lease_clock_ms": status.lease_clock_ms, "in_flight": status.in_flight, "waiters": status.waiters,
        "build": status.build, "uptime_ms": status.uptime_ms, "store_bytes": status.store_bytes,
    })
}

pub(super) fn run(run: &RunInfo) -> Report {
    let counts = run.counts;
    let text = facts(&[
        ("run", run.run.clone()),
        ("status", run.status.to_string()),
        ("reason", run.reason.clone()),
        ("roots", run.roots.to_string()),
        ("active", counts.active.to_string()),
        ("parked", counts.parked.to_string()),
        ("done", counts.done.to_string()),
        ("split", counts.split.to_string()),
        ("cancelled", counts.cancelled.to_string()),
        ("metadata", show_key(&run.metadata)),
    ]);
    Report { json: run_json(run), text }
}

fn run_json(run: &RunInfo) -> Value {
    let counts = run.counts;
    json!({
        "run": run.run, "status": run.status.name(), "reason": run.reason, "roots": run.roots,
        "counts": {
            "active": counts.active, "parked": counts.parked, "done": counts.done, "split": counts.split,
            "cancelled": counts.cancelled,
        },
        "changed_at": run.changed_at, "metadata": show_key(&run.metadata),
    })
}

pub(super) fn runs(read: &Read<Vec<RunInfo>>) -> Report {
    let row = |run: &RunInfo| {
        let counts = run.counts;
        let numbers = [counts.active, counts.parked, counts.done, counts.split, counts.cancelled];
        let names = [run.run.clone(), run.status.to_string()];
        names.into_iter().chain(numbers.map(|n| n.to_string())).chain([run.reason.clone()]).collect()
    };
    let rows: Vec<Vec<String>> = read.value.iter().map(row).collect();
    let head = ["RUN", "STATUS", "ACTIVE", "PARKED", "DONE", "SPLIT", "CANCELLED", "REASON"];
    let runs: Vec<_> = read.value.iter().map(run_json).collect();
    Report { json: with_read(json!({ "runs": runs }), read), text: table(&head, &rows) }
}

/// One line of a watch.
pub(super) fn change(run: &RunInfo) -> Report {
    Report { json: run_json(run), ..progress(run) }
}

/// Split shards live on in their children, so they do not count.
pub(super) fn progress(run: &RunInfo) -> Report {
    let counts = run.counts;
    let all = counts.active + counts.parked + counts.done + counts.cancelled;
    let percent = (counts.done * 100).checked_div(all).unwrap_or(0);
    let json = json!({
        "run": run.run, "status": run.status.name(), "done": counts.done, "active": counts.active,
        "parked": counts.parked, "cancelled": counts.cancelled, "shards": all, "percent": percent,
    });
    let rest = [(counts.active, "active"), (counts.parked, "parked"), (counts.cancelled, "cancelled")];
    let rest = rest.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!(", {count} {what}"));
    let done = format!("{} of {all} shards done ({percent} %)", counts.done);
    Report { json, text: format!("{} {}: {done}{}", run.run, run.status, rest.collect::<String>()) }
}

pub(super) fn shards(read: &Read<Vec<ShardInfo>>) -> Report {
    let clock = read.lease_clock_ms;
    let row = |shard: &ShardInfo| {
        vec![
            shard.shard.clone(),
            shard.status.to_string(),
            show_range(&shard.range),
            shard.fence.to_string(),
            lease(shard, clock),
            shard.cursor.as_ref().map_or_else(|| "-".into(), |cursor| show_key(&cursor.key)),
            shard.reason.clone(),
        ]
    };
    let rows: Vec<_> = read.value.iter().map(row).collect();
    let head = ["SHARD", "STATUS", "RANGE", "FENCE", "LEASE", "CURSOR", "REASON"];
    let shards: Vec<_> = read.value.iter().map(|shard| shard_json(shard, clock)).collect();
    Report { json: with_read(json!({ "shards": shards }), read), text: table(&head, &rows) }
}

pub(super) fn shard(read: &Read<ShardInfo>) -> Report {
    let shard = &read.value;
    let (key, token) = cursor_texts(shard.cursor.as_ref());
    let text = facts(&[
        ("shard", shard.shard.clone()),
        ("status", shard.status.to_string()),
        ("reason", shard.reason.clone()),
        ("range", show_range(&shard.range)),
        ("parent", shard.parent.clone().unwrap_or_default()),
        ("fence", shard.fence.to_string()),
        ("lease", lease(shard, read.lease_clock_ms)),
        ("cursor", key),
        ("token", token),
        ("metadata", show_key(&shard.metadata)),
    ]);
    Report { json: with_read(shard_json(shard, read.lease_clock_ms), read), text }
}

fn shard_json(shard: &ShardInfo, clock: u64) -> Value {
    let lease = shard.lease.as_ref().map(|lease| {
        json!({
            "worker": lease.worker, "granted_ms": lease.granted_ms, "deadline_ms": lease.deadline_ms,
            "live": clock < lease.deadline_ms,
        })
    });
    let mut json = json!({
        "shard": shard.shard, "parent": shard.parent, "status": shard.status.name(), "reason": shard.reason,
        "fence": shard.fence, "lease": lease, "cursor": cursor_json(shard.cursor.as_ref()),
        "metadata": show_key(&shard.metadata),
    });
    add(&mut json, range_json(&shard.range));
    json
}

pub(super) fn grant(grant: &Grant) -> Report {
    let (key, token) = cursor_texts(grant.cursor.as_ref());
    let text = facts(&[
        ("shard", grant.lease.shard.clone()),
        ("worker", grant.lease.worker.clone()),
        ("fence", grant.lease.fence.to_string()),
        ("lease", time(grant.deadline_ms.saturating_sub(grant.granted_ms))),
        ("range", show_range(&grant.range)),
        ("cursor", key),
        ("token", token),
        ("metadata", show_key(&grant.metadata)),
    ]);
    let mut json = json!({
        "shard": grant.lease.shard, "worker": grant.lease.worker, "fence": grant.lease.fence,
        "granted_ms": grant.granted_ms, "deadline_ms": grant.deadline_ms,
        "cursor": cursor_json(grant.cursor.as_ref()), "metadata": show_key(&grant.metadata),
    });
    add(&mut json, range_json(&grant.range));
    Report { json, text }
}

pub(super) fn renewal(renewal: &Renewal) -> Report {
    let json = json!({ "granted_ms": renewal.granted_ms, "deadline_ms": renewal.deadline_ms });
    Report { json, text: format!("renewed for {}", time(renewal.deadline_ms.saturating_sub(renewal.granted_ms))) }
}

pub(super) fn children(children: &[Child]) -> Report {
    let rows: Vec<_> = children.iter().map(|child| vec![child.shard.clone(), show_range(&child.range)]).collect();
    let json = children.iter().map(|child| {
        let mut json = json!({ "shard": child.shard });
        add(&mut json, range_json(&child.range));
        json
    });
    Report { json: json!({ "children": json.collect::<Vec<_>>() }), text: table(&["SHARD", "RANGE"], &rows) }
}

pub(super) fn error(error: &gossip_client::Error, op_id: Option<String>) -> Value {
    json!({
        "error": {
            "reason": error.reason, "definite": error.definite, "message": error.message,
            "retry_after_ms": error.retry_after.map(|delay| delay.as_millis() as u64),
            "metadata": error.metadata, "op_id": op_id,
        }
    })
}

/// Adds the fields of one object to another.
pub(super) fn add(json: &mut Value, more: Value) {
    if let (Value::Object(json), Value::Object(more)) = (json, more) {
        json.extend(more);
    }
}

fn with_read<T>(mut json: Value, read: &Read<T>) -> Value {
    add(&mut json, json!({ "applied": read.applied, "stale": read.stale, "lease_clock_ms": read.lease_clock_ms }));
    json
}

/// `null` is infinity.
fn range_json(range: &Range) -> Value {
    let bound = |key: &[u8]| if key.is_empty() { Value::Null } else { show_key(key).into() };
    let bounds = [("start".to_string(), bound(&range.start)), ("end".to_string(), bound(&range.end))];
    Value::Object(Map::from_iter(bounds))
}

pub(super) fn cursor(cursor: &Cursor) -> Report {
    Report {
        json: json!({ "cursor": cursor_json(Some(cursor)) }),
        text: format!("cursor at {}", show_key(&cursor.key)),
    }
}

fn cursor_json(cursor: Option<&Cursor>) -> Value {
    cursor.map_or(Value::Null, |c| json!({ "key": show_key(&c.key), "token": show_key(&c.token) }))
}

fn cursor_texts(cursor: Option<&Cursor>) -> (String, String) {
    cursor.map(|c| (show_key(&c.key), show_key(&c.token))).unwrap_or_default()
}

fn lease(shard: &ShardInfo, clock: u64) -> String {
    match &shard.lease {
        None => "-".into(),
        Some(lease) if clock < lease.deadline_ms => {
            format!("{} {} left", lease.worker, time(lease.deadline_ms - clock))
        }
        Some(lease) => format!("{} expired", lease.worker),
    }
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".into() } else { text.into() }
}

/// To a tenth of a second below a minute, to a second above.
fn time(ms: u64) -> String {
    let unit = if ms < 60_000 { 100 } else { 1_000 };
    humantime::format_duration(Duration::from_millis(ms / unit * unit)).to_string()
}

fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut name = "B";
    for unit in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        name = unit;
    }
    if name == "B" { format!("{bytes} B") } else { format!("{value:.1} {name}") }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Unspecified => "unknown",
        Role::Follower => "follower",
        Role::Candidate => "candidate",
        Role::Leader => "leader",
        Role::Learner => "learner",
    }
}

#[cfg(test)]
mod tests;
