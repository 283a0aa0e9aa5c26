//! Linearizability of each shard of a history.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::claims;
use super::{Exhausted, Failure, Limits, Outcome, check};
use crate::history::{Call, HistoryError, Op};
use crate::judge::{Linearizability, Validity, Violation};
use crate::model::{self, ShardHistory, ShardInput, ShardState};

/// Below so many operations a second thread costs more than it gains.
const THREADS_FROM: usize = 4096;

/// What came of all shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardsChecked {
    /// Nothing checked is unknown.
    pub validity: Validity,
    pub checked_shards: usize,
    /// Operations of all shards; one that touches several counts for each.
    pub ops: usize,
    pub anomalies: Vec<Anomaly>,
    /// Shards on which the search gave up.
    pub gave_up: Vec<(String, Exhausted)>,
}

/// A shard whose history has no linearization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anomaly {
    pub shard: String,
    /// Indices of the ops of the smallest failing part, ascending; the last is the answer that no order explains.
    pub ops: Vec<u64>,
    /// Of that answer, in nanoseconds of the recorder.
    pub time: i64,
    /// What that answer was to: `checkpoint of w1 under fence 1`.
    pub stuck: String,
    /// The states that the shard may have been in before it.
    pub states: Vec<String>,
}

/// Searches for a linearization of each shard's history, and for lost claims that several of them need. Limits are for all of it; memory is for each thread.
///
/// # Errors
///
/// Ops that are no history, such as a process with two calls at a time.
pub fn check_shards(ops: &[Op], limits: Limits) -> Result<ShardsChecked, HistoryError> {
    let deadline = Instant::now() + limits.time;
    Ok(search(&model::shards(ops)?, limits, deadline))
}

/// As [`check_shards`], of a history that was taken apart before ([`model::shards`]).
pub fn check_parts(histories: &[ShardHistory<'_>], limits: Limits) -> ShardsChecked {
    search(histories, limits, Instant::now() + limits.time)
}

fn search(histories: &[ShardHistory<'_>], limits: Limits, deadline: Instant) -> ShardsChecked {
    let count = histories.iter().filter(|h| tells(h)).map(|h| h.entries.len()).sum();
    let outcomes: Vec<_> = if count < THREADS_FROM {
        histories.iter().map(|history| check_one(history, limits, deadline)).collect()
    } else {
        in_parallel(histories, |history| check_one(history, limits, deadline))
    };

    let checked_shards = histories.iter().filter(|h| tells(h)).count();
    let mut checked = ShardsChecked {
        validity: if count == 0 { Validity::Unknown } else { Validity::True },
        checked_shards,
        ops: count,
        anomalies: Vec::new(),
        gave_up: Vec::new(),
    };
    let claims = claims::granted_twice(histories, &outcomes, limits, deadline);
    if !claims.gave_up.is_empty() {
        checked.validity = checked.validity.max(Validity::Unknown);
    }
    if !claims.anomalies.is_empty() {
        checked.validity = Validity::False;
    }
    (checked.anomalies, checked.gave_up) = (claims.anomalies, claims.gave_up);
    for (history, outcome) in histories.iter().zip(outcomes) {
        match outcome {
            Outcome::Linearizable(_) => {}
            Outcome::Illegal(failure) => {
                checked.validity = Validity::False;
                checked.anomalies.push(anomaly(history, &failure));
            }
            Outcome::Unknown(what) => {
                checked.validity = checked.validity.max(Validity::Unknown);
                checked.gave_up.push((history.shard.to_string(), what));
            }
        }
    }
    checked.anomalies.sort_by(|a, b| a.shard.cmp(&b.shard));
    checked.gave_up.sort_by(|(a, _), (b, _)| a.cmp(b));
    checked.gave_up.dedup();
    checked
}

/// Whether an answer tells anything of a shard beyond its making. Any order explains what nobody was told.
fn tells(history: &ShardHistory<'_>) -> bool {
    history.entries.iter().any(|entry| entry.output.is_some() && !matches!(entry.input, ShardInput::Create { .. }))
}

fn check_one<'a>(history: &ShardHistory<'a>, limits: Limits, deadline: Instant) -> Outcome<ShardState<'a>> {
    let left = Limits { time: deadline.saturating_duration_since(Instant::now()), ..limits };
    check(&history.model, &history.entries, left)
}

/// Results are in the order of the items, whichever thread made them.
fn in_parallel<'t, T: Sync, R: Send>(items: &'t [T], work: impl Fn(&'t T) -> R + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(items.len());
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::with_capacity(items.len()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(i) else { break };
                    let result = work(item);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((i, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, result)| result).collect()
}

pub(super) fn anomaly(history: &ShardHistory<'_>, failure: &Failure<ShardState<'_>>) -> Anomaly {
    let stuck = &history.calls[failure.stuck];
    let answer = stuck.completion.unwrap_or(stuck.invoke);
    let part = failure.part.iter().map(|i| &history.calls[*i]);
    let mut ops: Vec<u64> = part
        .flat_map(|call| [Some(call.invoke), call.completion.filter(|c| c.index <= answer.index)])
        .flatten()
        .map(|op| op.index)
        .collect();
    ops.sort_unstable();
    ops.dedup();
    Anomaly {
        shard: history.shard.to_string(),
        ops,
        time: answer.time,
        stuck: in_words(stuck),
        states: failure.states.iter().map(ToString::to_string).collect(),
    }
}

fn in_words(call: &Call<'_>) -> String {
    let mut words = call.f().to_owned();
    if let Some(worker) = call.output("worker").filter(|_| !call.f().starts_with("read")) {
        let worker = worker.name().map_or_else(|| worker.to_string(), str::to_owned);
        words.push_str(&format!(" of {worker}"));
    }
    if let Some(fence) = call.output_int("fence") {
        words.push_str(&format!(" with fence {fence}"));
    }
    if let Some(cursor) = call.output("cursor") {
        words.push_str(&format!(", cursor {cursor}"));
    }
    words
}

impl From<ShardsChecked> for Linearizability {
    fn from(checked: ShardsChecked) -> Self {
        let anomalies = checked.anomalies.into_iter().map(|anomaly| Violation {
            message: format!(
                "shard {}: no order explains the {}; the shard was {}",
                anomaly.shard,
                anomaly.stuck,
                anomaly.states.join(", or "),
            ),
            ops: anomaly.ops,
            time: anomaly.time,
        });
        let gave_up: Vec<String> = checked
            .gave_up
            .iter()
            .map(|(shard, what)| match what {
                Exhausted::Time => format!("{shard} out of time"),
                Exhausted::Memory => format!("{shard} out of memory"),
            })
            .collect();
        Self {
            validity: checked.validity,
            checker: "wgl".to_owned(),
            count: checked.ops as u64,
            anomalies: anomalies.collect(),
            note: (!gave_up.is_empty()).then(|| format!("gave up: {}", gave_up.join(", "))),
        }
    }
}
