//! The settings of one run, all drawn from its seed and level.

use std::fmt;
use std::str::FromStr;

use super::{Fault, FaultSet};
use crate::rng::{Rng, Subject};
use crate::world::clock::TRUE_RATE;
use crate::world::queue::{MICRO, MILLI, Nanos, SECOND};

/// How rough the weather is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Sunny Day: no faults.
    Sunny,
    /// Stormy: faults that a well-run cluster meets, all at once.
    Stormy,
    /// Radioactive: everything, often, and clocks beyond their margin in a share of seeds.
    Radioactive,
    /// The seed draws which faults exist, and how often they strike.
    Swarm,
}

impl Level {
    /// All levels.
    pub const ALL: [Level; 4] = [Level::Sunny, Level::Stormy, Level::Radioactive, Level::Swarm];

    /// The faults that may exist at this level.
    pub fn faults(self) -> FaultSet {
        match self {
            Level::Sunny => FaultSet::NONE,
            Level::Stormy => [Fault::FlippedBit, Fault::DiskFull, Fault::FailedSync, Fault::WildRate]
                .into_iter()
                .fold(FaultSet::all(), FaultSet::without),
            Level::Radioactive | Level::Swarm => FaultSet::all(),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Sunny => "1",
            Level::Stormy => "2",
            Level::Radioactive => "3",
            Level::Swarm => "swarm",
        })
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "1" | "sunny" => Ok(Level::Sunny),
            "2" | "stormy" => Ok(Level::Stormy),
            "3" | "radioactive" => Ok(Level::Radioactive),
            "swarm" => Ok(Level::Swarm),
            other => Err(format!("level {other:?} is none of 1, 2, 3, swarm")),
        }
    }
}

/// How long the run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// About a hundred operations.
    Short,
    /// A few hundred operations and a schedule of faults.
    Normal,
    /// This many seconds of faults, with the workers busy all the time.
    Long(u64),
}

/// How a worker makes the op log forget. All of it takes more time than a short run has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grinding {
    /// By many writes, in a run that stands in the history.
    Told,
    /// By many writes, in a side run.
    Number,
    /// By large cursors, in a side run.
    Bytes,
}

/// Everything about a run that is fixed before it begins.
#[derive(Clone, Debug)]
pub struct Options {
    /// The seed.
    pub seed: u64,
    /// Nodes at the beginning, 3 or 5.
    pub nodes: usize,
    /// Workers.
    pub workers: usize,
    /// Steps that each worker takes before the liveness phase.
    pub steps: u32,
    /// Pause between a worker's steps.
    pub think: (Nanos, Nanos),
    /// Runs made at the beginning.
    pub runs: usize,
    /// Root shards of each run, at most.
    pub roots: u64,
    /// Lease lengths in milliseconds.
    pub lease_ms: (u64, u64),
    /// Whether nodes gossip beside what they do in the group.
    pub gossip: bool,
    /// Whether two nodes cannot hear each other's gossip at the end.
    pub hush: bool,
    /// What the last worker does to the op log, in a share of seeds.
    pub grinding: Option<Grinding>,
    /// When the schedule of faults ends at the latest.
    pub storm: Nanos,
    /// Mean time between two planned faults.
    pub fault_gap: Nanos,
    /// The kinds of faults that exist.
    pub faults: FaultSet,
    /// The network between nodes.
    pub net: NetOptions,
    /// The disks.
    pub disk: DiskOptions,
    /// The group's settings that matter to the simulation.
    pub group: GroupOptions,
}

/// How messages travel.
#[derive(Clone, Copy, Debug)]
pub struct NetOptions {
    /// One way, in ordinary cases.
    pub delay: (Nanos, Nanos),
    /// Lost, in ppm.
    pub loss: u32,
    /// Doubled, in ppm.
    pub duplicate: u32,
    /// Held back so that others overtake, in ppm.
    pub reorder: u32,
    /// Requests or answers of workers lost, in ppm.
    pub lost_answer: u32,
}

/// How disks behave.
#[derive(Clone, Copy, Debug)]
pub struct DiskOptions {
    /// From a write to its being durable.
    pub sync: (Nanos, Nanos),
}

/// What of [`gossip_core::consensus::Config`] is drawn.
#[derive(Clone, Copy, Debug)]
pub struct GroupOptions {
    /// One tick.
    pub tick: Nanos,
    /// Entries between snapshots.
    pub snapshot_entries: u64,
    /// Entries kept behind one.
    pub keep_entries: u64,
    /// Requests under way before one is refused.
    pub max_in_flight: usize,
    /// Waiters in line before one is refused.
    pub max_waiters: usize,
}

impl Options {
    /// Draws the settings of `seed` at `level`. `nodes` overrides what is drawn.
    pub fn draw(seed: u64, level: Level, length: Length, nodes: Option<usize>) -> Self {
        let mut rng = Rng::stream(seed, Subject::Options);
        let drawn = if rng.chance(400_000) { 5 } else { 3 };
        let faults = draw_faults(&mut rng, level);
        let force = if level == Level::Radioactive { 4 } else { 1 };
        let (workers, steps, storm) = match length {
            Length::Short => (8, 12, SECOND),
            Length::Normal => (rng.within(4, 12) as usize, rng.within(15, 40) as u32, rng.within(5, 15) * SECOND),
            Length::Long(seconds) => (10, u32::MAX, seconds * SECOND),
        };
        let think = match length {
            Length::Short => (0, 4 * MILLI),
            Length::Normal => (0, 2 * storm / u64::from(steps) / 3),
            Length::Long(_) => (0, 600 * MILLI),
        };
        Options {
            seed,
            nodes: nodes.unwrap_or(if length == Length::Short { 3 } else { drawn }),
            workers,
            steps,
            think,
            runs: if length == Length::Short { 1 } else { rng.within(1, 3) as usize },
            roots: rng.within(1, 6),
            // In a short run its few rounds would cost more than they show.
            gossip: length != Length::Short,
            hush: length != Length::Short && Rng::stream(seed, Subject::Hush).chance(300_000),
            grinding: draw_grinding(seed, length),
            lease_ms: (200, 200 + rng.within(1, 10) * 200),
            storm,
            fault_gap: rng.within(100, 1_500) * MILLI / force,
            faults,
            net: draw_net(&mut rng, faults, u32::try_from(force).unwrap_or(1)),
            disk: draw_disk(&mut rng),
            group: draw_group(&mut rng),
        }
    }

    /// The same settings without some kinds of faults.
    #[must_use]
    pub fn without(mut self, kinds: FaultSet) -> Self {
        self.faults = kinds.iter().fold(self.faults, FaultSet::without);
        let zero = |fault, ppm: &mut u32| *ppm = if kinds.has(fault) { 0 } else { *ppm };
        zero(Fault::Loss, &mut self.net.loss);
        zero(Fault::Duplicate, &mut self.net.duplicate);
        zero(Fault::Reorder, &mut self.net.reorder);
        zero(Fault::LostAnswer, &mut self.net.lost_answer);
        self
    }

    /// The rate of a clock at the beginning: exact, off within the margin, or beyond it.
    pub fn draw_rate(&self, rng: &mut Rng, kind: Fault) -> u64 {
        if self.faults.has(Fault::WildRate) && rng.chance(300_000) {
            return wild_rate(rng);
        }
        if self.faults.has(kind) { sane_rate(rng) } else { TRUE_RATE }
    }
}

/// A rate within the drift margin.
pub fn sane_rate(rng: &mut Rng) -> u64 {
    rng.within(TRUE_RATE - MARGIN, TRUE_RATE + MARGIN)
}

/// A rate beyond it: more than a tenth off, by which every judge knows it.
pub fn wild_rate(rng: &mut Rng) -> u64 {
    const BEYOND: u64 = TRUE_RATE / 10 + 1;
    if rng.chance(500_000) {
        rng.within(TRUE_RATE / 2, TRUE_RATE - BEYOND)
    } else {
        rng.within(TRUE_RATE + BEYOND, TRUE_RATE * 2)
    }
}

/// What a clock at this rate shows, if it shows anything.
pub fn rate_fault(rate: u64, kind: Fault) -> Option<Fault> {
    match rate.abs_diff(TRUE_RATE) {
        0 => None,
        off if off <= MARGIN => Some(kind),
        _ => Some(Fault::WildRate),
    }
}

/// Of a stream of its own, so that the other settings are what they were.
fn draw_grinding(seed: u64, length: Length) -> Option<Grinding> {
    let mut rng = Rng::stream(seed, Subject::Grinding);
    let kinds = [Grinding::Told, Grinding::Number, Grinding::Bytes];
    if length == Length::Short || !rng.chance(300_000) {
        return None;
    }
    Some(kinds[rng.weighted(&[40, 40, 20])])
}

/// A holder gives up a tenth of its lease early. Between 0.955 and 1.045 the ratio of two rates is below 1 / 0.9 - 1.
const MARGIN: u64 = TRUE_RATE * 45 / 1000;

fn draw_faults(rng: &mut Rng, level: Level) -> FaultSet {
    let all = level.faults();
    // Clocks beyond the margin switch the check of beliefs off: most seeds do without.
    let wild = level != Level::Swarm && rng.chance(750_000);
    let all = if wild { all.without(Fault::WildRate) } else { all };
    if level != Level::Swarm {
        return all;
    }
    // Each seed has its own share, so that some have one fault only and some have nearly all.
    let share = rng.within(1, 9) as u32 * 100_000;
    all.iter().filter(|_| rng.chance(share)).fold(FaultSet::NONE, FaultSet::with)
}

fn draw_net(rng: &mut Rng, faults: FaultSet, force: u32) -> NetOptions {
    let base = rng.within(1, 10) * 100 * MICRO;
    let mut ppm = |fault, most: u64| {
        let drawn = rng.within(most / 20, most) as u32 * force;
        if faults.has(fault) { drawn } else { 0 }
    };
    NetOptions {
        loss: ppm(Fault::Loss, 20_000),
        duplicate: ppm(Fault::Duplicate, 20_000),
        reorder: ppm(Fault::Reorder, 30_000),
        lost_answer: ppm(Fault::LostAnswer, 20_000),
        delay: (base, base * 4),
    }
}

/// Fast disks, and in a share of seeds slow ones, behind which writes queue up.
fn draw_disk(rng: &mut Rng) -> DiskOptions {
    let most = if rng.chance(250_000) { 200 } else { 20 };
    DiskOptions { sync: (50 * MICRO, 50 * MICRO + rng.within(1, most) * 100 * MICRO) }
}

fn draw_group(rng: &mut Rng) -> GroupOptions {
    let snapshot_entries = rng.within(20, 300);
    GroupOptions {
        tick: 20 * MILLI,
        snapshot_entries,
        keep_entries: rng.within(0, snapshot_entries / 2),
        max_in_flight: if rng.chance(100_000) { rng.within(1, 4) as usize } else { 4096 },
        max_waiters: if rng.chance(100_000) { rng.within(1, 3) as usize } else { 65_536 },
    }
}
