//! Names that stand for several things, which the calls of a history do not tell apart.
//!
//! When a run is deleted its name is free (`docs/protocol.md`, *Names used again*): a run made again under it is another one, and so
//! are its shards, whatever they are called. A shard's name counts within its run, and most calls do not say which run they mean.
//! To judge two lives as one would accuse a service that is right. So every call about such a run or its shards is left out, the
//! rest is judged, and the verdict is *unknown* where nothing is violated.
//!
//! A run has two lives, as far as anybody knows, if a call about it may belong to the one before a deletion, and an answer to the
//! one after it: an answer to a call that was sent after the deletion was answered; or any that came after something that may have
//! made the run once more. A shard of which the history tells no run may be of any run that was deleted.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::facts::is_run_maker;
use crate::history::{self, Call, HistoryError, Name, OPEN_END, Op, Value, name};

/// What is left of a history, and why something was left out.
pub(crate) struct Clear<'a> {
    pub(crate) ops: Cow<'a, [Op]>,
    /// One sentence for each name.
    pub(crate) left_out: Vec<String>,
}

/// Leaves out what cannot be told apart.
pub(crate) fn clear(ops: &[Op]) -> Result<Clear<'_>, HistoryError> {
    let calls = history::calls(ops)?;
    let runs = RunsOf::new(&calls);
    let left_out = runs.unclear(&calls);
    if left_out.is_empty() {
        return Ok(Clear { ops: Cow::Borrowed(ops), left_out: Vec::new() });
    }
    let gone: HashSet<usize> = calls
        .iter()
        .filter(|c| c.f() != "delete-run" && runs.of(c).iter().any(|subject| left_out.contains_key(subject)))
        .flat_map(|c| [Some(c.at), c.completed_at])
        .flatten()
        .collect();
    let kept = ops.iter().enumerate().filter(|(at, _)| !gone.contains(at)).map(|(_, op)| op.clone());
    Ok(Clear { ops: kept.collect(), left_out: left_out.into_values().collect() })
}

/// What a name may stand for twice: a run, or a shard whose run is not known.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Subject<'a> {
    Run(Name<'a>),
    Stray(Name<'a>),
}

/// The runs of each shard.
struct RunsOf<'a>(HashMap<Name<'a>, BTreeSet<Name<'a>>>);

impl<'a> RunsOf<'a> {
    fn new(calls: &[Call<'a>]) -> Self {
        let mut runs = Self(HashMap::new());
        let mut splits = Vec::new();
        for call in calls.iter().filter(|c| !c.failed()) {
            match (call.f(), call.input("run").map(name)) {
                ("register", Some(run)) => runs.add(listed(call.input("shards")), &run),
                ("read-run", Some(run)) if call.ok() => runs.add(listed(call.output("shards")), &run),
                ("claim", Some(run)) if call.ok() => runs.add(call.shard().into_iter(), &run),
                ("split-replace" | "split-residual", _) => splits.push(call),
                _ => {}
            }
        }
        // In order of invocation, so that a parent's run is known before its children's.
        for split in splits {
            let residual = split.output("residual").and_then(|r| r.some("shard")).map(name);
            let children: Vec<Name<'a>> = listed(split.output("children")).chain(residual).collect();
            let of_parent = split.shard().and_then(|parent| runs.0.get(&parent).cloned()).unwrap_or_default();
            for run in &of_parent {
                runs.add(children.iter().cloned(), run);
            }
        }
        runs
    }

    fn add(&mut self, shards: impl Iterator<Item = Name<'a>>, run: &Name<'a>) {
        for shard in shards {
            let known = self.0.entry(shard).or_default();
            if !known.contains(run) {
                known.insert(run.clone());
            }
        }
    }

    /// What a call is about.
    fn of(&self, call: &Call<'a>) -> Vec<Subject<'a>> {
        let mut subjects: Vec<Subject<'a>> = call.input("run").map(|run| Subject::Run(name(run))).into_iter().collect();
        if let Some(shard) = call.shard() {
            match self.0.get(&shard) {
                Some(runs) => subjects.extend(runs.iter().cloned().map(Subject::Run)),
                None if subjects.is_empty() => subjects.push(Subject::Stray(shard)),
                None => {}
            }
        }
        subjects
    }

    /// All that is not clear, with a sentence that says why.
    fn unclear(&self, calls: &[Call<'a>]) -> BTreeMap<Subject<'a>, String> {
        let mut unclear = BTreeMap::new();
        let shared: BTreeMap<_, _> = self.0.iter().filter(|(_, runs)| runs.len() > 1).collect();
        for (shard, runs) in shared {
            let list = runs.iter().map(|run| run.as_ref()).collect::<Vec<_>>().join(", ");
            for run in runs {
                let why = format!("run {run}: a shard {shard} is in each of the runs {list}");
                unclear.entry(Subject::Run(run.clone())).or_insert(why);
            }
        }
        let deletions: Vec<&Call<'a>> = calls.iter().filter(|c| c.f() == "delete-run" && !c.failed()).collect();
        if deletions.is_empty() {
            return unclear;
        }
        let mut seen: BTreeMap<Subject<'a>, Seen> = BTreeMap::new();
        for call in calls.iter().filter(|c| c.f() != "delete-run" && !c.failed()) {
            for subject in self.of(call) {
                seen.entry(subject).or_default().note(call);
            }
        }
        let mut by_run: HashMap<Name<'a>, Vec<&Call<'a>>> = HashMap::new();
        for deletion in &deletions {
            by_run.entry(deletion.input("run").map(name).unwrap_or_default()).or_default().push(deletion);
        }
        for (subject, seen) in seen {
            let (what, own) = match &subject {
                Subject::Run(run) => (format!("run {run}"), by_run.get(run).map(Vec::as_slice).unwrap_or_default()),
                Subject::Stray(shard) => (format!("shard {shard}"), &deletions[..]),
            };
            if own.iter().any(|deletion| seen.has_two_lives(deletion)) {
                let why = format!(
                    "{what}: it may have been deleted and made again, and no call says which of the two it means"
                );
                unclear.entry(subject).or_insert(why);
            }
        }
        unclear
    }
}

fn listed<'a>(shards: Option<&'a Value>) -> impl Iterator<Item = Name<'a>> {
    shards.and_then(Value::items).unwrap_or_default().iter().filter_map(|value| value.some("shard").map(name))
}

/// When calls about a run were seen: places in the history.
struct Seen {
    first: usize,
    last_answered: Option<usize>,
    /// Of the answered calls, the invocation that came last.
    last_asked: Option<usize>,
    /// Calls that may have made it.
    makers: Vec<(usize, usize)>,
}

impl Default for Seen {
    fn default() -> Self {
        Self { first: OPEN_END, last_answered: None, last_asked: None, makers: Vec::new() }
    }
}

impl Seen {
    fn note(&mut self, call: &Call<'_>) {
        self.first = self.first.min(call.at);
        if call.ok() {
            self.last_answered = self.last_answered.max(Some(call.end()));
            self.last_asked = self.last_asked.max(Some(call.at));
        }
        if is_run_maker(call.f()) {
            self.makers.push((call.at, call.end()));
        }
    }

    fn has_two_lives(&self, deletion: &Call<'_>) -> bool {
        let (from, to) = (deletion.at, deletion.end());
        let asked_after = self.makers.is_empty() && self.last_asked.is_some_and(|at| to < at);
        let made_again = self
            .makers
            .iter()
            .any(|&(at, end)| from < end && self.last_answered.is_some_and(|answered| at.max(from) < answered));
        self.first < to && (asked_after || made_again)
    }
}
