//! Runs the catalogue of invariants over a history. Pure: ops in, a verdict out.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use crate::history::{self, HistoryError, Op};
use crate::invariants::facts::{Facts, Tally, judged};
use crate::invariants::{Invariant, coverage, healing, names};
use crate::wgl::{Limits, check_shards};

pub use crate::invariants::coverage::MustHappen;

/// False beats unknown beats true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Validity {
    True,
    /// There was nothing to judge by, or the judge gave up.
    Unknown,
    False,
}

impl Validity {
    /// The worst of several; unknown if there are none.
    pub fn merge(all: impl IntoIterator<Item = Self>) -> Self {
        all.into_iter().max().unwrap_or(Self::Unknown)
    }

    /// As Jepsen exits: 0 valid, 1 invalid, 2 unknown.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::True => 0,
            Self::False => 1,
            Self::Unknown => 2,
        }
    }

    /// As in reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::True => "PASS",
            Self::Unknown => "UNKNOWN",
            Self::False => "FAIL",
        }
    }
}

/// As in Jepsen's `:valid?`.
impl fmt::Display for Validity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::True => "true",
            Self::Unknown => ":unknown",
            Self::False => "false",
        })
    }
}

/// One thing that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub message: String,
    /// Indices of the ops that show it, ascending; the last is the culprit.
    pub ops: Vec<u64>,
    /// Of the culprit, in nanoseconds of the recorder.
    pub time: i64,
}

/// What came of one invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub id: Invariant,
    pub name: &'static str,
    pub validity: Validity,
    /// How many comparisons were made; none makes it unknown.
    pub count: u64,
    /// The run's verdict is unknown while this is.
    pub required: bool,
    pub violations: Vec<Violation>,
    /// What a reader should know, such as a part that was not judged.
    pub note: Option<String>,
}

/// What came of the search for a linearization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linearizability {
    pub validity: Validity,
    /// `wgl`, `knossos`.
    pub checker: String,
    /// Operations that were ordered; none makes it unknown.
    pub count: u64,
    /// Shards whose history has no linearization.
    pub anomalies: Vec<Violation>,
    pub note: Option<String>,
}

/// How a history is judged. The default judges by all invariants and linearizability, requires none, and takes the clocks'
/// sanity from the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    pub invariants: BTreeSet<Invariant>,
    /// Invariants that must have had something to check; a history that gives one nothing is unknown.
    pub required: BTreeSet<Invariant>,
    /// Whether the rates of monotonic clocks kept within the drift margin, so that what holders believed counts for S1.
    pub rates_are_sane: Option<bool>,
    /// What must have happened, or else the run did not test what its name says and is unknown.
    pub must_happen: Vec<MustHappen>,
    /// Within how many nanoseconds a published fact must be seen wherever it can go; none leaves the gossip's speed unjudged.
    pub gossip_bound_ns: Option<i64>,
    /// When the search for a linearization gives up; none leaves it out.
    pub linearizability: Option<Limits>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            invariants: Invariant::CATALOGUE.into(),
            required: BTreeSet::new(),
            rates_are_sane: None,
            must_happen: Vec::new(),
            gossip_bound_ns: None,
            linearizability: Some(Limits::default()),
        }
    }
}

impl Options {
    /// Judges by one invariant alone.
    pub fn only(invariant: Invariant) -> Self {
        Self { invariants: [invariant].into(), required: [invariant].into(), linearizability: None, ..Self::default() }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub validity: Validity,
    /// In the order of the report.
    pub checks: Vec<Check>,
    /// Whether what holders believed was judged.
    pub rates_are_sane: bool,
    pub linearizability: Option<Linearizability>,
}

impl Verdict {
    pub fn check(&self, id: Invariant) -> Option<&Check> {
        self.checks.iter().find(|c| c.id == id)
    }

    /// Whether anything at all was judged.
    fn has_verdict(&self) -> bool {
        self.checks.iter().any(|c| c.validity != Validity::Unknown || c.required)
    }

    /// Every violation, with the id of what it violates; those of linearizability last, as `L`.
    pub fn violations(&self) -> impl Iterator<Item = (&'static str, &Violation)> {
        let invariants = self.checks.iter().flat_map(|c| c.violations.iter().map(|v| (c.id.id(), v)));
        invariants.chain(self.linearizability.iter().flat_map(|l| l.anomalies.iter().map(|v| ("L", v))))
    }

    /// Takes what came of the search for a linearization into the verdict. Nothing to order is no reason for unknown.
    #[must_use]
    pub fn with_linearizability(mut self, found: Linearizability) -> Self {
        if found.count > 0 {
            let before = self.has_verdict().then_some(self.validity);
            self.validity = Validity::merge(before.into_iter().chain([found.validity]));
        }
        self.linearizability = Some(found);
        self
    }
}

/// Judges a history, or a part of one: order is that of the slice, not of the ops' indices. What is about a name that stands for
/// several things is left out; the verdict is then unknown at best, and [`Invariant::Names`] says why. So it is with what needs
/// nodes whose faults were not ended ([`Invariant::S6`] says which).
///
/// # Errors
///
/// Ops that are no history, such as a process with two calls at a time.
pub fn judge(ops: &[Op], options: &Options) -> Result<Verdict, HistoryError> {
    let calls = judged(ops)?;
    let unclear = names::unclear(ops, &calls);
    let (ops, calls) = match &unclear {
        None => (ops, calls),
        Some(unclear) => (&unclear.rest[..], judged(&unclear.rest)?),
    };
    let facts = Facts::of(ops, calls, options.rates_are_sane);
    let mut checks: Vec<Check> = Vec::new();
    for &id in &options.invariants {
        let check = finish(id, id.check(&facts), options.required.contains(&id), note(id, &facts));
        checks.push(if id == Invariant::S6 { without_unmended(check, &facts) } else { check });
    }
    if let Some(bound) = options.gossip_bound_ns {
        let tally = Invariant::check_speed(&facts, bound);
        checks.push(finish(Invariant::G2, tally, options.required.contains(&Invariant::G2), None));
    }
    if !options.must_happen.is_empty() {
        let (tally, missing) = coverage::check(&facts, &options.must_happen);
        let mut check = finish(Invariant::Faults, tally, true, None);
        if !missing.is_empty() {
            check.validity = Validity::Unknown;
            check.note = Some(missing.join("; "));
        }
        checks.push(check);
    }
    if let Some(unclear) = &unclear {
        let note = format!("left out: {}", unclear.left_out.join("; "));
        checks.push(finish(Invariant::Names, Tally::default(), true, Some(note)));
    }
    let counted = checks.iter().filter(|c| c.validity != Validity::Unknown || c.required);
    let validity = Validity::merge(counted.map(|c| c.validity));
    let verdict = Verdict { validity, checks, rates_are_sane: facts.rates_are_sane, linearizability: None };
    match options.linearizability {
        Some(limits) => Ok(verdict.with_linearizability(check_shards(ops, limits)?.into())),
        None => Ok(verdict),
    }
}

/// Why a file could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    #[error("cannot open {}: {source}", path.display())]
    Open { path: PathBuf, source: std::io::Error },
    #[error("{}: {source}", path.display())]
    History { path: PathBuf, source: HistoryError },
}

/// Reads a history of any tier and judges it.
///
/// # Errors
///
/// A file that is not there or is no history.
pub fn check_file(path: &Path, options: &Options) -> Result<(Vec<Op>, Verdict), CheckError> {
    let no_history = |source| CheckError::History { path: path.to_owned(), source };
    let file = File::open(path).map_err(|source| CheckError::Open { path: path.to_owned(), source })?;
    let ops: Vec<Op> = history::read(BufReader::new(file)).collect::<Result<_, _>>().map_err(no_history)?;
    let verdict =
        judge(&ops, options).map_err(|error| no_history(HistoryError { line: line_of(path, &error), ..error }))?;
    Ok((ops, verdict))
}

/// The line of the file that an error of its ops is about. Looked up in the file once more, so that ops need not carry it.
fn line_of(path: &Path, error: &HistoryError) -> u64 {
    let Some((index, file)) = error.index.zip(File::open(path).ok()) else { return error.line };
    let mut ops = history::read(BufReader::new(file));
    while let Some(Ok(op)) = ops.next() {
        if op.index == index {
            return ops.op_line();
        }
    }
    error.line
}

fn finish(id: Invariant, tally: Tally, required: bool, note: Option<String>) -> Check {
    let validity = match (tally.violations.is_empty(), tally.count) {
        (false, _) => Validity::False,
        (true, 0) => Validity::Unknown,
        (true, _) => Validity::True,
    };
    Check { id, name: id.title(), validity, count: tally.count, required, violations: tally.violations, note }
}

/// Progress after a heal that failed: what is owed was judged, and is no pass.
fn without_unmended(check: Check, facts: &Facts<'_>) -> Check {
    match healing::left_out(facts.ops, &facts.healing) {
        None => check,
        Some(note) => Check {
            validity: check.validity.max(Validity::Unknown),
            required: true,
            note: Some(format!("left out: {note}")),
            ..check
        },
    }
}

fn note(id: Invariant, facts: &Facts<'_>) -> Option<String> {
    (id == Invariant::S1 && !facts.rates_are_sane)
        .then(|| "clock rates went beyond the drift margin: what holders believed was not judged".to_owned())
}
