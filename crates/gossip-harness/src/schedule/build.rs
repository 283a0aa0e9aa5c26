//! Draws a schedule from a seed.

use super::{Action, ClientFault, Cut, How, Nemesis, Schedule, Skew, Step, Who};
use crate::rng::Stream;

/// What a schedule is made for.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Nodes of the cluster.
    pub nodes: usize,
    /// Harness workers.
    pub workers: usize,
    /// Milliseconds of load.
    pub time_limit_ms: u64,
    /// The workload's lease: faults that must outlast a lease are made longer.
    pub lease_ms: u64,
}

/// The load runs this long before the first fault.
const LEAD_IN_MS: u64 = 1_500;
/// No fault begins in the last part of the load, so that each can take hold.
const LEAD_OUT_MS: u64 = 500;

/// The longest that one fault and the calm after it can take: a time limit below leaves the nemesis without a deed.
pub fn cycle_ms(nemesis: Nemesis, lease_ms: u64) -> u64 {
    match nemesis {
        Nemesis::None => 1_000,
        _ => LEAD_IN_MS + longest_fault(lease_ms) + LEAD_OUT_MS,
    }
}

fn longest_fault(lease_ms: u64) -> u64 {
    lease_ms * 2 + 500
}

/// The schedule of `nemesis` under `seed`.
pub fn build(nemesis: Nemesis, seed: u64, shape: Shape) -> Schedule {
    let mut plan = Plan { rng: Stream::new(seed, nemesis.name()), shape, steps: Vec::new(), round: 0 };
    if nemesis != Nemesis::None {
        let end = shape.time_limit_ms.saturating_sub(LEAD_OUT_MS);
        let mut at = LEAD_IN_MS;
        while at + longest_fault(shape.lease_ms) <= end {
            let length = plan.fault(nemesis, at);
            at += length + plan.calm(nemesis);
            plan.round += 1;
        }
    }
    // Stable: a fault's end stays before a new one's beginning at the same offset.
    plan.steps.sort_by_key(|step| step.at_ms);
    Schedule { steps: plan.steps }
}

struct Plan {
    rng: Stream,
    shape: Shape,
    steps: Vec<Step>,
    round: u64,
}

impl Plan {
    fn step(&mut self, at_ms: u64, action: Action) {
        self.steps.push(Step { at_ms, action });
    }

    /// Time to recover: elections, and for a group that changed its members, to catch up.
    fn calm(&mut self, nemesis: Nemesis) -> u64 {
        match nemesis {
            Nemesis::Membership => self.rng.between(2_000, 3_500),
            Nemesis::FlakyLinks => self.rng.between(500, 1_500),
            _ => self.rng.between(1_000, 3_000),
        }
    }

    /// Longer than a lease.
    fn past_a_lease(&mut self) -> u64 {
        let lease = self.shape.lease_ms;
        self.rng.between(lease + lease / 4, lease * 2)
    }

    /// A node; whoever leads in about a third of cases.
    fn who(&mut self) -> Who {
        let node = self.rng.below(self.shape.nodes as u64) as usize;
        if self.rng.chance(35) { Who::Leader(node) } else { Who::Node(node) }
    }

    /// Adds one fault with its end, and says how long it lasts.
    fn fault(&mut self, nemesis: Nemesis, at: u64) -> u64 {
        match nemesis {
            Nemesis::None => self.shape.time_limit_ms,
            Nemesis::PartitionRandomHalves => self.halves(at),
            Nemesis::PartitionRandomNode => self.isolate(at),
            Nemesis::PartitionAsymmetric => self.asymmetric(at),
            Nemesis::KillRandomNode => self.kill(at),
            Nemesis::PauseRandomNode => self.pause(at),
            Nemesis::ClockSkew => self.skew(at, 4),
            Nemesis::ClockSkewStrong => self.skew(at, 40),
            Nemesis::Membership => self.membership(at),
            Nemesis::FlakyLinks => self.flaky(at),
            Nemesis::Combined => self.combined(at),
        }
    }

    fn during(&mut self, at: u64, length: u64, start: Action, stop: Action) -> u64 {
        self.step(at, start);
        self.step(at + length, stop);
        length
    }

    fn how(&mut self) -> How {
        match self.rng.below(4) {
            0 => How::Tear { after: self.rng.between(1, 4_000) },
            _ => How::Drop,
        }
    }

    fn partition(&mut self, at: u64, cut: Cut) -> u64 {
        let (how, length) = (self.how(), self.past_a_lease());
        self.during(at, length, Action::StartPartition(cut, how), Action::StopPartition)
    }

    fn halves(&mut self, at: u64) -> u64 {
        let mut nodes: Vec<usize> = (0..self.shape.nodes).collect();
        self.rng.shuffle(&mut nodes);
        let mut minority = nodes[..(self.shape.nodes - 1) / 2].to_vec();
        if minority.is_empty() {
            minority.push(nodes[0]);
        }
        minority.sort_unstable();
        self.partition(at, Cut::Halves(minority))
    }

    fn isolate(&mut self, at: u64) -> u64 {
        let who = self.who();
        self.partition(at, Cut::Isolate(who))
    }

    fn asymmetric(&mut self, at: u64) -> u64 {
        let who = self.who();
        // By turns, so that a short run has each shape.
        let cut = match (self.round + self.rng.below(2)) % 3 {
            0 => Cut::Deaf(who),
            1 => Cut::Mute(who),
            _ if self.shape.nodes > 2 => Cut::Bridge(who),
            _ => Cut::Deaf(who),
        };
        self.partition(at, cut)
    }

    fn kill(&mut self, at: u64) -> u64 {
        let victims = match self.rng.below(5) {
            0 => (0..self.shape.nodes).map(Who::Node).collect(),
            1 if self.shape.nodes > 4 => vec![Who::Node(0), Who::Leader(self.shape.nodes - 1)],
            _ => vec![self.who()],
        };
        let length = self.rng.between(300, self.shape.lease_ms * 2);
        self.during(at, length, Action::Kill(victims), Action::Start)
    }

    /// Nodes stop in two of three cases; holders of leases stall in two of three.
    fn pause(&mut self, at: u64) -> u64 {
        let length = self.past_a_lease();
        let kind = (self.round + self.rng.below(2)) % 3;
        if kind != 2 {
            let who = self.who();
            self.during(at, length, Action::Pause(vec![who]), Action::Resume);
        }
        if kind != 0 {
            self.pause_workers(at, length);
        }
        length
    }

    fn pause_workers(&mut self, at: u64, length: u64) {
        let mut workers: Vec<usize> = (0..self.shape.workers).collect();
        self.rng.shuffle(&mut workers);
        workers.truncate((self.shape.workers / 2).max(1));
        workers.sort_unstable();
        self.during(at, length, Action::PauseWorkers(workers), Action::ResumeWorkers);
    }

    /// Each node's wall clock jumps on its own; rates are off by up to `percent`.
    fn skew(&mut self, at: u64, percent: u64) -> u64 {
        let mut skews = Vec::new();
        for node in 0..self.shape.nodes {
            let magnitude = *self.rng.pick(&[2_000, 20_000, 90_000, 600_000]);
            let wall = self.rng.between(magnitude / 2, magnitude) as i64;
            let off = self.rng.between(percent * 5_000, percent * 10_000) as u32;
            let (ahead, fast) = (self.rng.chance(50), self.rng.chance(50));
            let rate_ppm = if fast { 1_000_000 + off } else { 1_000_000 - off };
            skews.push((Who::Node(node), Skew { wall_ms: if ahead { wall } else { -wall }, rate_ppm }));
        }
        let length = self.past_a_lease();
        self.during(at, length, Action::Skew(skews), Action::ResetClock)
    }

    fn membership(&mut self, at: u64) -> u64 {
        let (who, length) = (self.who(), self.rng.between(1_000, self.shape.lease_ms * 2));
        self.during(at, length, Action::Shrink(who), Action::Grow)
    }

    fn client_fault(&mut self) -> ClientFault {
        let late = self.shape.lease_ms / 4;
        match (self.round + self.rng.below(2)) % 4 {
            0 => ClientFault::LoseAnswers,
            1 => ClientFault::DelayAnswers { millis: self.rng.between(late, late * 3) },
            2 => ClientFault::Duplicate,
            _ => ClientFault::Hang,
        }
    }

    fn flaky(&mut self, at: u64) -> u64 {
        let (who, fault, length) = (self.who(), self.client_fault(), self.past_a_lease());
        self.during(at, length, Action::StartClientFault(who, fault), Action::StopClientFault);
        if self.rng.chance(50) {
            let how = match self.rng.below(2) {
                0 => How::Delay { millis: self.rng.between(20, 150) },
                _ => How::Throttle { bytes_per_second: self.rng.between(4_000, 40_000) },
            };
            let who = self.who();
            self.during(at, length, Action::StartPartition(Cut::Isolate(who), how), Action::StopPartition);
        }
        length
    }

    /// Two faults at once. The second one, of clocks or clients, takes no node away: so a majority stays, or comes back after a
    /// kill of all nodes.
    fn combined(&mut self, at: u64) -> u64 {
        let first = match (self.round + self.rng.below(3)) % 6 {
            0 => self.kill(at),
            1 => self.pause(at),
            2 => self.isolate(at),
            3 => self.asymmetric(at),
            4 => self.membership(at),
            _ => self.halves(at),
        };
        let second = if self.rng.chance(50) { self.skew(at + 200, 4) } else { self.client_only(at + 200) };
        first.max(second + 200)
    }

    fn client_only(&mut self, at: u64) -> u64 {
        let (who, fault, length) = (self.who(), self.client_fault(), self.past_a_lease());
        self.during(at, length, Action::StartClientFault(who, fault), Action::StopClientFault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { nodes: 3, workers: 10, time_limit_ms: 60_000, lease_ms: 2_000 };

    #[test]
    fn the_same_seed_gives_the_same_schedule_and_another_seed_another() {
        for nemesis in Nemesis::ALL {
            let of = |seed| build(nemesis, seed, SHAPE).digest("");
            assert_eq!(of(7), of(7), "{}", nemesis.name());
            assert_eq!(of(7) == of(8), nemesis == Nemesis::None, "{}", nemesis.name());
        }
    }

    #[test]
    fn every_fault_ends_within_the_load_and_fits_a_time_limit_of_one_cycle() {
        for nemesis in Nemesis::ALL.into_iter().filter(|n| *n != Nemesis::None) {
            for seed in 0..50 {
                for limit in [cycle_ms(nemesis, SHAPE.lease_ms), 60_000] {
                    let schedule = build(nemesis, seed, Shape { time_limit_ms: limit, ..SHAPE });
                    assert!(!schedule.steps.is_empty(), "{} has no fault in {limit} ms", nemesis.name());
                    assert!(schedule.steps.iter().all(|s| s.at_ms <= limit), "{} {seed}: {schedule:?}", nemesis.name());
                    assert_eq!(schedule.steps.len() % 2, 0, "each fault has its end");
                }
            }
        }
    }

    #[test]
    fn pauses_outlast_a_lease_and_aim_at_nodes_leader_and_workers() {
        let (mut nodes, mut leader, mut workers) = (0, 0, 0);
        for seed in 0..20 {
            let steps = build(Nemesis::PauseRandomNode, seed, SHAPE).steps;
            for (i, step) in steps.iter().enumerate() {
                let end = match &step.action {
                    Action::Pause(who) => {
                        nodes += 1;
                        leader += u32::from(matches!(who[..], [Who::Leader(_)]));
                        steps[i..].iter().find(|s| s.action == Action::Resume)
                    }
                    Action::PauseWorkers(_) => {
                        workers += 1;
                        steps[i..].iter().find(|s| s.action == Action::ResumeWorkers)
                    }
                    _ => continue,
                };
                assert!(end.unwrap().at_ms - step.at_ms > SHAPE.lease_ms);
            }
        }
        assert!(nodes > 40 && leader > 10 && workers > 40, "{nodes} {leader} {workers}");
    }

    #[test]
    fn rates_stay_within_the_margin_unless_asked_otherwise() {
        let rates = |nemesis| {
            (0..20).flat_map(move |seed| build(nemesis, seed, SHAPE).steps).flat_map(|s| match s.action {
                Action::Skew(skews) => skews.into_iter().map(|(_, s)| s.rate_ppm).collect(),
                _ => Vec::new(),
            })
        };
        assert!(rates(Nemesis::ClockSkew).all(|r| (950_000..=1_050_000).contains(&r) && r != 1_000_000));
        assert!(rates(Nemesis::ClockSkewStrong).all(|r| !(900_000..=1_100_000).contains(&r)));
    }

    #[test]
    fn the_text_is_one_step_a_line() {
        let schedule = build(Nemesis::PauseRandomNode, 1774, SHAPE);
        let text = schedule.to_edn();
        assert_eq!(text.lines().count(), schedule.steps.len());
        assert!(text.starts_with("[{:at 1500 :f :pause :value "), "{text}");
    }
}
