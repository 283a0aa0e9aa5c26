//! What the nemesis will do, decided before the run: a list of (offset, action, nodes) drawn from the seed alone.
//!
//! One thing is left open on purpose: who leads at that moment. A step may aim [`Who::Leader`]; the history then names the
//! node that was hit, and the schedule names the node that is hit when no leader is known.

mod build;
mod edn;

use sha2::{Digest, Sha256};

pub use build::{Shape, build, cycle_ms};
pub use edn::node_name;

/// Every nemesis, with what it does. The names are the same at the local and the Jepsen tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Nemesis {
    /// Nothing: the control run.
    None,
    /// A random majority against the rest.
    PartitionRandomHalves,
    /// One node alone.
    PartitionRandomNode,
    /// Messages pass one way only between two sides, or one node sees two sides that do not see each other.
    PartitionAsymmetric,
    /// SIGKILL, later a restart on the same data.
    KillRandomNode,
    /// SIGSTOP for longer than a lease; holders of leases stall as well.
    PauseRandomNode,
    /// Wall clocks jump, monotonic rates are off by less than the drift margin.
    ClockSkew,
    /// Wall clocks jump, monotonic rates are off by more than the drift margin: beliefs may overlap, fences must hold.
    ClockSkewStrong,
    /// Nodes leave and come back.
    Membership,
    /// Answers are lost after the commit, requests arrive twice, links are slow or torn.
    FlakyLinks,
    /// Several of the above at once.
    Combined,
}

impl Nemesis {
    /// All of them.
    pub const ALL: [Nemesis; 11] = [
        Nemesis::None,
        Nemesis::PartitionRandomHalves,
        Nemesis::PartitionRandomNode,
        Nemesis::PartitionAsymmetric,
        Nemesis::KillRandomNode,
        Nemesis::PauseRandomNode,
        Nemesis::ClockSkew,
        Nemesis::ClockSkewStrong,
        Nemesis::Membership,
        Nemesis::FlakyLinks,
        Nemesis::Combined,
    ];

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Nemesis::None => "none",
            Nemesis::PartitionRandomHalves => "partition-random-halves",
            Nemesis::PartitionRandomNode => "partition-random-node",
            Nemesis::PartitionAsymmetric => "partition-asymmetric",
            Nemesis::KillRandomNode => "kill-random-node",
            Nemesis::PauseRandomNode => "pause-random-node",
            Nemesis::ClockSkew => "clock-skew",
            Nemesis::ClockSkewStrong => "clock-skew-strong",
            Nemesis::Membership => "membership",
            Nemesis::FlakyLinks => "flaky-links",
            Nemesis::Combined => "combined",
        }
    }

    /// The nemesis of this name.
    pub fn named(name: &str) -> Option<Nemesis> {
        Nemesis::ALL.into_iter().find(|n| n.name() == name)
    }

    /// Whether it needs more than one node: a partition of one node, or a group that shrinks to none, means nothing.
    pub fn needs_peers(self) -> bool {
        use Nemesis as N;
        matches!(
            self,
            N::PartitionRandomHalves | N::PartitionRandomNode | N::PartitionAsymmetric | N::Membership | N::Combined
        )
    }

    /// Whether nodes must run with clock control.
    pub fn needs_clock_control(self) -> bool {
        matches!(self, Nemesis::ClockSkew | Nemesis::ClockSkewStrong | Nemesis::Combined)
    }

    /// Whether monotonic rates stay within the drift margin, so that holders' beliefs must not overlap.
    pub fn rates_are_sane(self) -> bool {
        self != Nemesis::ClockSkewStrong
    }
}

/// A node to be hit. Nodes count from 0; node 0 is called `n1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// This one.
    Node(usize),
    /// Whoever leads at that moment, else this one.
    Leader(usize),
}

/// Which links a partition cuts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// These nodes against all others.
    Halves(Vec<usize>),
    /// One node against all others.
    Isolate(Who),
    /// The node hears nobody, yet everybody hears it.
    Deaf(Who),
    /// Nobody hears the node, yet it hears everybody.
    Mute(Who),
    /// The node sees both sides, which do not see each other.
    Bridge(Who),
}

/// What a cut link does to bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// They vanish; a connection that lost some is reset when the link heals.
    Drop,
    /// Like [`How::Drop`], after a connection was torn in the middle of a message.
    Tear {
        /// Bytes that still pass.
        after: u64,
    },
    /// They arrive late.
    Delay {
        /// By so much.
        millis: u64,
    },
    /// They arrive slowly.
    Throttle {
        /// At this rate.
        bytes_per_second: u64,
    },
}

/// What happens between clients and one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientFault {
    /// Requests arrive, answers vanish.
    LoseAnswers,
    /// Answers arrive late.
    DelayAnswers {
        /// By so much.
        millis: u64,
    },
    /// Each mutation is sent a second time, over another way and perhaps much later.
    Duplicate,
    /// Connections are accepted and never answered.
    Hang,
}

/// A clock off from the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skew {
    /// The wall clock is ahead by so much.
    pub wall_ms: i64,
    /// The monotonic clock runs at this rate, in parts per million of the true one.
    pub rate_ppm: u32,
}

/// One thing that the nemesis does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Cuts peer links.
    StartPartition(Cut, How),
    /// All peer links pass again.
    StopPartition,
    /// SIGKILL.
    Kill(Vec<Who>),
    /// Starts every node that is down, on its data.
    Start,
    /// SIGSTOP.
    Pause(Vec<Who>),
    /// SIGCONT to every paused node.
    Resume,
    /// These harness workers stop between deciding on a write and sending it.
    PauseWorkers(Vec<usize>),
    /// They go on.
    ResumeWorkers,
    /// These nodes' clocks go wrong.
    Skew(Vec<(Who, Skew)>),
    /// All clocks are right again.
    ResetClock,
    /// Removes a node from the group and wipes it.
    Shrink(Who),
    /// Adds removed nodes again, empty.
    Grow,
    /// Spoils the way between clients and a node.
    StartClientFault(Who, ClientFault),
    /// Clients reach all nodes again.
    StopClientFault,
}

/// An action and when it is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Milliseconds since the load began.
    pub at_ms: u64,
    /// What to do.
    pub action: Action,
}

/// The whole plan of one run's faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// In order of time.
    pub steps: Vec<Step>,
}

impl Action {
    /// Whether it begins a fault; else it ends some.
    pub fn begins(&self) -> bool {
        !matches!(
            self,
            Action::StopPartition
                | Action::Start
                | Action::Resume
                | Action::ResumeWorkers
                | Action::ResetClock
                | Action::Grow
                | Action::StopClientFault
        )
    }
}

impl Schedule {
    /// How many faults it has.
    pub fn faults(&self) -> usize {
        self.steps.iter().filter(|step| step.action.begins()).count()
    }

    /// Keeps the faults of these numbers, counted from 0. Ends without a beginning change nothing.
    pub fn keep(&mut self, kept: &[usize]) {
        let mut number = 0..;
        self.steps.retain(|step| !step.action.begins() || number.next().is_some_and(|number| kept.contains(&number)));
    }

    /// A short hash over the schedule and over `intents`, the operations that the workload will try: two runs with the same
    /// digest did the same faults at the same offsets and meant to do the same operations.
    pub fn digest(&self, intents: &str) -> String {
        let hash = Sha256::new().chain_update(self.to_edn()).chain_update(intents).finalize();
        hash[..8].iter().map(|b| format!("{b:02x}")).collect()
    }
}
