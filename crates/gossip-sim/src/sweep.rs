//! Many seeds in a row, and what they reached together.

use std::fmt::Write;
use std::time::{Duration, Instant};

use crate::faults::options::{Length, Level};
use crate::invariants::Violation;
use crate::reach::{Coverage, JUDGED, Kind};
use crate::run::{Plan, run};

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After so many seeds.
    Seeds(u64),
    /// After so much time of this machine.
    Time(Duration),
}

/// What a sweep over one level found.
#[derive(Debug)]
pub struct Swept {
    /// The level.
    pub level: Level,
    /// Seeds played.
    pub seeds: u64,
    /// Those that failed, with what they violated: the first few.
    pub failures: Vec<(Plan, Violation)>,
    /// All that failed.
    pub failed: u64,
    /// Seeds on which the judge could not decide.
    pub undecided: u64,
    /// Why it could not: the first few.
    pub unknown: Vec<(Plan, String)>,
    /// What was reached.
    pub coverage: Coverage,
    /// Virtual time that passed.
    pub simulated: Duration,
    /// Time of this machine.
    pub took: Duration,
    /// Operations of workers.
    pub operations: u64,
    /// Commands applied, over all nodes, each checked.
    pub applies: u64,
    /// Packets of gossip that were heard.
    pub packets: u64,
    /// Comparisons that the judge made, in the order of [`JUDGED`].
    pub judged: [u64; JUDGED.len()],
}

impl Swept {
    /// What the judge had nothing to compare for: that is not known to hold.
    pub fn unjudged(&self) -> Vec<&'static str> {
        // Short seeds do not gossip.
        let due = |id: &str| id != "G1" || self.packets > 0;
        let idle = JUDGED.into_iter().zip(self.judged).filter(|&(id, count)| count == 0 && due(id));
        idle.map(|(id, _)| id).collect()
    }
}

/// How a sweep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Nothing was violated, and all that should be was reached and compared.
    Pass,
    /// Something was not compared, or not decided.
    Unknown,
    /// A seed failed, or the seeds are not what their level says.
    Violation,
}

/// What a sweep must have besides seeds that do not fail.
#[derive(Clone, Copy, Debug)]
pub struct Demands {
    /// All that can be reached was.
    pub coverage: bool,
    /// The judge had something to compare.
    pub judged: bool,
}

/// The verdict on all levels together, and what is to be said of it. A fault that a level lacks may be reached whatever is demanded by
/// none.
pub fn verdict(swept: &[Swept], demands: Demands) -> (Verdict, Vec<String>) {
    let (mut verdict, mut said) = (Verdict::Pass, Vec::new());
    for level in swept {
        let mut find = |found: Verdict, text: &str, what: &[&str]| {
            verdict = verdict.max(found);
            said.push(format!("level {}: {text}{}", level.level, what.join(", ")));
        };
        if level.failed > 0 {
            find(Verdict::Violation, "seeds failed", &[]);
        }
        let foreign = level.coverage.foreign(level.level);
        if !foreign.is_empty() {
            find(Verdict::Violation, "reached faults that do not exist there: ", &foreign);
        }
        let missing = level.coverage.missing(level.level);
        if !missing.is_empty() && demands.coverage {
            find(Verdict::Violation, "never reached: ", &missing);
        }
        let unjudged = level.unjudged();
        if !unjudged.is_empty() && demands.judged {
            find(Verdict::Unknown, "UNKNOWN, nothing to compare for ", &unjudged);
        }
        if level.undecided > 0 {
            find(Verdict::Unknown, "UNKNOWN, the judge could not decide on some seeds", &[]);
        }
    }
    (verdict, said)
}

/// Failures, and seeds without a verdict, that are kept with their plans.
const KEPT: usize = 5;

/// Plays seeds from `first` on. `plan` makes the plan of a seed.
pub fn sweep(level: Level, first: u64, until: Until, plan: impl Fn(u64) -> Plan) -> Swept {
    let began = Instant::now();
    let mut swept = Swept {
        level,
        seeds: 0,
        failures: Vec::new(),
        failed: 0,
        undecided: 0,
        unknown: Vec::new(),
        coverage: Coverage::default(),
        simulated: Duration::ZERO,
        took: Duration::ZERO,
        operations: 0,
        applies: 0,
        packets: 0,
        judged: [0; JUDGED.len()],
    };
    let more = |seeds| match until {
        Until::Seeds(count) => seeds < count,
        Until::Time(time) => began.elapsed() < time,
    };
    while more(swept.seeds) {
        let plan = plan(first.wrapping_add(swept.seeds));
        let outcome = run(&plan);
        swept.seeds += 1;
        swept.coverage.add(&outcome.reach);
        swept.simulated += Duration::from_nanos(outcome.stats.simulated);
        swept.operations += outcome.stats.operations;
        swept.applies += outcome.stats.applies;
        swept.packets += outcome.stats.packets;
        swept.undecided += u64::from(outcome.undecided.is_some());
        swept.judged.iter_mut().zip(outcome.judged).for_each(|(sum, count)| *sum += count);
        if let Some(why) = outcome.undecided
            && swept.unknown.len() < KEPT
        {
            swept.unknown.push((plan.clone(), why));
        }
        if let Some(violation) = outcome.violation {
            swept.failed += 1;
            if swept.failures.len() < KEPT {
                swept.failures.push((plan, violation));
            }
        }
    }
    swept.took = began.elapsed();
    swept
}

/// The length of a seed of a mixed sweep: short ones for their number, one in four longer with a schedule of faults.
pub fn mixed(seed: u64) -> Length {
    if seed.is_multiple_of(4) { Length::Normal } else { Length::Short }
}

/// The table of coverage: for each fault, reason and rare event the share of seeds that reached it, and for each invariant how
/// often the judge compared something.
pub fn table(swept: &[Swept]) -> String {
    let mut text = String::new();
    let mut kind = None;
    let names: Vec<(Kind, &'static str)> = swept
        .first()
        .map(|first| first.coverage.lines().map(|(kind, name, _)| (kind, name)).collect())
        .unwrap_or_default();
    for (of, name) in names {
        if kind != Some(of) {
            kind = Some(of);
            let title = match of {
                Kind::Fault => "fault",
                Kind::Reason => "reason",
                Kind::Event => "event",
            };
            head(&mut text, title, swept);
        }
        let _ = write!(text, "{name:<26}");
        for level in swept {
            let count = level.coverage.lines().find(|line| (line.0, line.1) == (of, name)).map_or(0, |line| line.2);
            let share = 100.0 * count as f64 / level.seeds.max(1) as f64;
            let cell = if count == 0 { "-".to_owned() } else { format!("{share:.2} %") };
            let _ = write!(text, "{cell:>12}");
        }
        text.push('\n');
    }
    head(&mut text, "compared by the judge", swept);
    for (place, id) in JUDGED.into_iter().enumerate() {
        let _ = write!(text, "{id:<26}");
        swept.iter().for_each(|level| {
            let _ = write!(text, "{:>12}", level.judged[place]);
        });
        text.push('\n');
    }
    text
}

fn head(text: &mut String, title: &str, swept: &[Swept]) {
    let _ = write!(text, "\n{title:<26}");
    swept.iter().for_each(|level| {
        let _ = write!(text, "{:>12}", format!("level {}", level.level));
    });
    text.push('\n');
}
