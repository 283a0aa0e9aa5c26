//! One seed, from its first event to its verdict.

use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use gossip_check::history::Op;
use gossip_check::judge::{self, Validity, judge};
use gossip_core::mutants::{Mutant, Planted};

use crate::faults::options::{Length, Level, Options};
use crate::faults::{FaultSet, schedule};
use crate::invariants::{Rule, Violation};
use crate::reach::{JUDGED, Reach};
use crate::world::{Beginning, Stats, Step, World};

/// What to run: everything that decides about it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// The level.
    pub level: Level,
    /// How long.
    pub length: Length,
    /// Nodes, if that is not to be drawn.
    pub nodes: Option<usize>,
    /// What is left out of what the seed draws.
    pub cut: Cut,
    /// The planted bug.
    pub planted: Planted,
    /// Whether the trace is to be read.
    pub readable: bool,
    /// Whether the history goes to the judge.
    pub judged: bool,
    /// Whether the checks on the nodes' own state are off, so that only what the workers saw can tell.
    pub blind: bool,
}

/// What is left out of a run so that less remains to be read. What stays is drawn as before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Kinds of faults that do not exist.
    pub kinds: FaultSet,
    /// Faults of the schedule, by number, that do not strike.
    pub strikes: Vec<usize>,
    /// Steps of each worker at most.
    pub steps: Option<u32>,
    /// Workers at most.
    pub workers: Option<usize>,
    /// Steps whose operation is drawn and not carried out.
    pub operations: Vec<Step>,
}

impl Plan {
    /// This seed at this level, as drawn.
    pub fn new(seed: u64, level: Level, length: Length) -> Self {
        Plan {
            seed,
            level,
            length,
            nodes: None,
            cut: Cut::default(),
            planted: Planted::NONE,
            readable: false,
            judged: true,
            blind: false,
        }
    }

    /// The settings that follow.
    pub fn options(&self) -> Options {
        let mut options = self.drawn();
        options.workers = self.cut.workers.unwrap_or(usize::MAX).clamp(1, options.workers);
        options.steps = options.steps.min(self.cut.steps.unwrap_or(u32::MAX));
        options
    }

    fn drawn(&self) -> Options {
        Options::draw(self.seed, self.level, self.length, self.nodes)
    }

    /// Says what is to be left out of this run that is not in it.
    pub fn stray_cut(&self) -> Option<String> {
        let (faults, workers) = (schedule::draw(&self.drawn()).len(), self.drawn().workers);
        let strike = self.cut.strikes.iter().find(|&&number| number >= faults);
        let strike = strike.map(|number| format!("fault {number}: the schedule has {faults}, from 0 on"));
        let step = self.cut.operations.iter().find(|(worker, _)| *worker >= workers);
        strike
            .or(step.map(|(worker, step)| format!("operation {worker}.{step}: there are {workers} workers, from 0 on")))
    }

    /// The world at its beginning.
    pub fn world(&self) -> World {
        let mut planned = schedule::draw(&self.drawn());
        let kept = self.options();
        for (number, strike) in planned.iter_mut().enumerate() {
            if self.cut.strikes.contains(&number) || self.cut.kinds.has(strike.fault) {
                strike.omit();
            }
        }
        planned.iter_mut().filter(|strike| !strike.fits(&kept)).for_each(schedule::Planned::omit);
        World::new(Beginning {
            options: kept.without(self.cut.kinds),
            schedule: planned,
            skipped: self.cut.operations.iter().copied().collect(),
            planted: self.planted,
            readable: self.readable,
            blind: self.blind,
        })
    }
}

/// The command that shows it again.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gossip-sim replay --seed {} --level {}", self.seed, self.level)?;
        match self.length {
            Length::Normal => {}
            Length::Short => write!(f, " --length short")?,
            Length::Long(seconds) => write!(f, " --length {seconds}")?,
        }
        if let Some(nodes) = self.nodes {
            write!(f, " --nodes {nodes}")?;
        }
        let Cut { kinds, strikes, steps, workers, operations } = &self.cut;
        if kinds.iter().next().is_some() {
            let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
            write!(f, " --omit {}", names.join(","))?;
        }
        if !strikes.is_empty() {
            let numbers: Vec<String> = strikes.iter().map(usize::to_string).collect();
            write!(f, " --omit-strikes {}", numbers.join(","))?;
        }
        if let Some(steps) = steps {
            write!(f, " --steps {steps}")?;
        }
        if let Some(workers) = workers {
            write!(f, " --workers {workers}")?;
        }
        if !operations.is_empty() {
            let steps: Vec<String> = operations.iter().map(|(worker, step)| format!("{worker}.{step}")).collect();
            write!(f, " --omit-operations {}", steps.join(","))?;
        }
        if self.blind {
            f.write_str(" --blind")?;
        }
        if let Some(mutant) = Mutant::ALL.iter().find(|mutant| self.planted.is(**mutant)) {
            write!(f, " --mutant {}", mutant.name())?;
        }
        Ok(())
    }
}

/// The commit that this build comes from, where there was one to tell.
pub fn commit() -> &'static str {
    option_env!("GOSSIP_COMMIT").unwrap_or("unknown")
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// The first violation, if there was one.
    pub violation: Option<Violation>,
    /// The fingerprint of every event: equal for equal plans.
    pub digest: u64,
    /// What was reached.
    pub reach: Reach,
    /// Figures.
    pub stats: Stats,
    /// Why the judge could not decide, if it could not.
    pub undecided: Option<String>,
    /// The readable trace, if it was asked for.
    pub trace: String,
    /// The history.
    pub history: Vec<Op>,
    /// How many comparisons the judge made, in the order of [`JUDGED`].
    pub judged: [u64; JUDGED.len()],
    /// Steps in which an operation began.
    pub begun: Vec<Step>,
}

impl Outcome {
    /// Whether anything was checked at all. What was not is no pass.
    pub fn is_empty(&self, plan: &Plan) -> bool {
        self.stats.applies == 0
            || (plan.judged && self.violation.is_none() && self.judged.iter().all(|&count| count == 0))
    }
}

/// Plays a plan to its end.
pub fn run(plan: &Plan) -> Outcome {
    let mut world = plan.world();
    let played = catch_unwind(AssertUnwindSafe(|| world.run()));
    let mut violation = match played {
        Ok(violation) => violation,
        Err(panic) => Some(Violation::new(Rule::Panic, describe_panic(&*panic))),
    };
    let stats = world.stats();
    let World { reach, trace, history, begun, .. } = world;
    let history = history.into_lines();
    let (mut undecided, mut counts) = (None, [0; JUDGED.len()]);
    if violation.is_none() && plan.judged {
        (violation, undecided, counts) = judged(&history);
    }
    let digest = trace.fingerprint();
    Outcome { violation, digest, reach, stats, undecided, trace: trace.into_text(), history, judged: counts, begun }
}

/// The verdict of the judge, who knows nothing but the history: the same as when it is read back from a file.
fn judged(history: &[Op]) -> (Option<Violation>, Option<String>, [u64; JUDGED.len()]) {
    let verdict = match judge(history, &judge::Options::default()) {
        Ok(verdict) => verdict,
        Err(problem) => {
            return (Some(Violation::new(Rule::History("history"), problem.to_string())), None, [0; JUDGED.len()]);
        }
    };
    let counts = JUDGED.map(|id| match &verdict.linearizability {
        Some(found) if id == "L" => found.count,
        _ => verdict.checks.iter().find(|check| check.id.id() == id).map_or(0, |check| check.count),
    });
    let first = verdict.violations().next().map(|(id, violation)| {
        let ops: Vec<String> = violation.ops.iter().map(u64::to_string).collect();
        Violation::new(Rule::History(id), format!("{} (ops {})", violation.message, ops.join(", ")))
    });
    let undecided = (verdict.validity == Validity::Unknown).then(|| why_unknown(&verdict));
    (first, undecided, counts)
}

/// What a verdict says of that which it did not judge.
fn why_unknown(verdict: &judge::Verdict) -> String {
    let checks = verdict.checks.iter().filter(|check| check.required && check.validity == Validity::Unknown);
    let search = verdict.linearizability.iter().filter(|found| found.validity == Validity::Unknown);
    let notes: Vec<&str> =
        checks.filter_map(|c| c.note.as_deref()).chain(search.filter_map(|l| l.note.as_deref())).collect();
    if notes.is_empty() { "there was nothing to compare".to_owned() } else { notes.join("; ") }
}

thread_local! {
    /// Where this thread panicked last.
    static PANICKED_AT: Cell<Option<String>> = const { Cell::new(None) };
}

/// Lets panics pass without a word on stderr: one of the core is a violation, told as such with its place.
pub fn quiet_panics() {
    std::panic::set_hook(Box::new(|panic| {
        PANICKED_AT.set(panic.location().map(ToString::to_string));
    }));
}

fn describe_panic(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    let text = text.unwrap_or("a panic without words");
    match PANICKED_AT.take() {
        Some(place) => format!("{text} ({})", short_place(&place)),
        None => text.to_owned(),
    }
}

/// A place in a dependency without the folders of this machine: `raft-0.7.0/src/raft.rs:10:5`.
fn short_place(place: &str) -> &str {
    place.split_once("/registry/src/").and_then(|(_, rest)| rest.split_once('/')).map_or(place, |(_, rest)| rest)
}
