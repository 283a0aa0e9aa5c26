//! The schedule of faults: a concrete list, drawn from the seed before the run begins.

use std::fmt;

use super::Fault;
use super::options::{Options, sane_rate, wild_rate};
use crate::rng::{Rng, Subject};
use crate::world::queue::{MILLI, Nanos, SECOND};

/// One fault of the schedule.
#[derive(Clone, Debug)]
pub struct Planned {
    /// When it strikes.
    pub at: Nanos,
    /// How long it lasts, for those that last.
    pub lasts: Nanos,
    /// Its kind.
    pub fault: Fault,
    /// What it does.
    pub action: Action,
}

/// What a fault does, to whom. Nodes are named by their place, from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// These directed links carry nothing.
    Cut(Vec<(usize, usize)>),
    /// These directed links take so many times as long.
    Slow(Vec<(usize, usize)>, u64),
    /// This worker reaches nobody.
    CutWorker(usize),
    /// Syncs take so many times as long.
    SlowSync(Target, u64),
    /// The next sync fails.
    FailSync(Target),
    /// Writes are refused.
    FillDisk(Target),
    /// The process dies and a synced record loses a bit.
    FlipBit(Target),
    /// The wall clock jumps by so many nanoseconds.
    JumpWall(Target, i64),
    /// The monotonic clock takes another rate.
    Rate(Target, u64),
    /// The worker's monotonic clock takes another rate.
    WorkerRate(usize, u64),
    /// The process dies; `after`: only when its core has given so many more outputs.
    Kill {
        /// Who.
        target: Target,
        /// Outputs still let through.
        after: Option<u32>,
    },
    /// Every process dies.
    KillAll,
    /// The process stops.
    Pause(Target),
    /// The worker stops.
    PauseWorker(usize),
    /// The node is removed, wiped, and added again.
    Replace(usize),
    /// Leadership is handed to this node.
    Transfer(usize),
    /// Nothing: it was left out.
    Nothing,
}

impl Planned {
    /// Leaves it out. Its number stays taken.
    pub fn omit(&mut self) {
        (self.action, self.lasts) = (Action::Nothing, 0);
    }

    /// Whether the workers that it names exist.
    pub fn fits(&self, options: &Options) -> bool {
        match self.action {
            Action::CutWorker(worker) | Action::PauseWorker(worker) | Action::WorkerRate(worker, _) => {
                worker < options.workers
            }
            _ => true,
        }
    }
}

/// Which node a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The one in this place.
    Node(usize),
    /// Whoever leads at that moment.
    Leader,
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} for {} ms", self.fault.name(), self.action, self.lasts / MILLI)
    }
}

/// Draws the schedule of these options.
pub fn draw(options: &Options) -> Vec<Planned> {
    let mut rng = Rng::stream(options.seed, Subject::Schedule);
    let kinds: Vec<Fault> = options.faults.iter().filter(|fault| weight(*fault) > 0).collect();
    let weights: Vec<u32> = kinds.iter().map(|&fault| weight(fault)).collect();
    let mut schedule = Vec::new();
    if kinds.is_empty() {
        return schedule;
    }
    // The cluster gets a moment to elect, in most seeds.
    let mut at = if rng.chance(800_000) { SECOND / 2 } else { 0 };
    loop {
        at += rng.within(0, 2 * options.fault_gap);
        if at >= options.storm {
            return schedule;
        }
        let fault = kinds[rng.weighted(&weights)];
        let lasts = rng.within(50, 2_500) * MILLI;
        let lasts = lasts.min(options.storm - at);
        schedule.push(Planned { at, lasts, fault, action: draw_action(&mut rng, options, fault) });
    }
}

/// How often a kind is planned among the others; 0: it is not planned, but strikes by chance.
fn weight(fault: Fault) -> u32 {
    match fault {
        Fault::Loss | Fault::Duplicate | Fault::Reorder | Fault::LostAnswer => 0,
        Fault::LostTail | Fault::TornTail | Fault::ReorderedTail => 0,
        Fault::FlippedBit | Fault::KillAll => 2,
        Fault::WildRate | Fault::WorkerRate | Fault::WallJump | Fault::SlowSync | Fault::SlowLink => 4,
        Fault::CutWorker | Fault::DiskFull | Fault::FailedSync => 4,
        Fault::NodeRate | Fault::Membership | Fault::TransferLeader => 5,
        Fault::PartitionHalves | Fault::PartitionNode | Fault::PartitionOneWay | Fault::PartitionBridge => 6,
        Fault::PauseNode | Fault::PauseLeader | Fault::Crash => 6,
        Fault::CrashBetween | Fault::PauseWorker => 10,
    }
}

fn draw_action(rng: &mut Rng, options: &Options, fault: Fault) -> Action {
    let n = options.nodes;
    let node = rng.index(n);
    let worker = rng.index(options.workers);
    let target = if rng.chance(400_000) { Target::Leader } else { Target::Node(node) };
    match fault {
        Fault::PartitionHalves => Action::Cut(both_ways(&draw_sides(rng, n, n / 2))),
        Fault::PartitionNode => Action::Cut(both_ways(&draw_sides(rng, n, 1))),
        Fault::PartitionOneWay => {
            let minority = rng.within(1, n as u64 / 2) as usize;
            Action::Cut(one_way(&draw_sides(rng, n, minority), rng.chance(500_000)))
        }
        Fault::PartitionBridge => Action::Cut(bridge(rng, n)),
        Fault::SlowLink => {
            let minority = rng.within(1, n as u64 / 2) as usize;
            Action::Slow(both_ways(&draw_sides(rng, n, minority)), rng.within(5, 60))
        }
        Fault::CutWorker => Action::CutWorker(worker),
        Fault::SlowSync => Action::SlowSync(target, rng.within(5, 100)),
        Fault::FailedSync => Action::FailSync(target),
        Fault::DiskFull => Action::FillDisk(target),
        Fault::FlippedBit => Action::FlipBit(target),
        Fault::WallJump => {
            let by = rng.within(SECOND, 600 * SECOND) as i64;
            Action::JumpWall(target, if rng.chance(500_000) { by } else { -by })
        }
        Fault::WorkerRate => Action::WorkerRate(worker, sane_rate(rng)),
        Fault::NodeRate => Action::Rate(target, sane_rate(rng)),
        Fault::WildRate if rng.chance(500_000) => Action::WorkerRate(worker, wild_rate(rng)),
        Fault::WildRate => Action::Rate(target, wild_rate(rng)),
        Fault::Crash => Action::Kill { target, after: None },
        Fault::CrashBetween => Action::Kill { target, after: Some(rng.within(0, 12) as u32) },
        Fault::KillAll => Action::KillAll,
        Fault::PauseLeader => Action::Pause(Target::Leader),
        Fault::PauseNode => Action::Pause(Target::Node(node)),
        Fault::PauseWorker => Action::PauseWorker(worker),
        Fault::Membership => Action::Replace(node),
        Fault::TransferLeader => Action::Transfer(node),
        Fault::Loss | Fault::Duplicate | Fault::Reorder | Fault::LostAnswer => unreachable!("weight 0"),
        Fault::LostTail | Fault::TornTail | Fault::ReorderedTail => unreachable!("weight 0"),
    }
}

/// Everyone, and whether they are on the small side.
fn draw_sides(rng: &mut Rng, n: usize, small: usize) -> Vec<bool> {
    let mut places: Vec<usize> = (0..n).collect();
    rng.shuffle(&mut places);
    let mut sides = vec![false; n];
    places.iter().take(small).for_each(|&place| sides[place] = true);
    sides
}

fn links(n: usize, cut: impl Fn(usize, usize) -> bool) -> Vec<(usize, usize)> {
    (0..n).flat_map(|from| (0..n).map(move |to| (from, to))).filter(|&(from, to)| from != to && cut(from, to)).collect()
}

fn both_ways(small: &[bool]) -> Vec<(usize, usize)> {
    links(small.len(), |from, to| small[from] != small[to])
}

fn one_way(small: &[bool], outward: bool) -> Vec<(usize, usize)> {
    links(small.len(), |from, to| small[from] != small[to] && small[from] == outward)
}

fn bridge(rng: &mut Rng, n: usize) -> Vec<(usize, usize)> {
    let mut places: Vec<usize> = (0..n).collect();
    rng.shuffle(&mut places);
    let (middle, half) = (places[0], n / 2);
    let left: Vec<usize> = places[1..=half].to_vec();
    links(n, |from, to| from != middle && to != middle && left.contains(&from) != left.contains(&to))
}
