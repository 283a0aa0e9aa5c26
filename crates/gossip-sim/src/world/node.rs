//! One machine: its disk and clock, and the process that runs on it, which comes and goes.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use gossip_core::consensus::{Config, Group, Input, NodeId, Role, Token};
use gossip_core::coordination::State;
use gossip_core::coordination::limits::Quotas;
use gossip_core::mutants::Planted;
use gossip_core::time::Time;
use raft::eraftpb::Message;

use super::clock::Clock;
use super::disk::Disk;
use super::gossip::Talk;
use super::queue::Nanos;
use crate::faults::Fault;
use crate::faults::options::Options;
use crate::invariants::oracle::Allowed;
use crate::invariants::{Ledger, Watched};
use crate::rng::{Rng, Subject};

/// What the cluster is told that a tenant may have: few runs, so that the quota is met.
pub(super) const ALLOWED: Allowed = Allowed { runs: 12, shards: 1_000_000 };

/// An empty state machine under the ledger's eyes.
pub(super) fn empty_state(planted: Planted, ledger: &Rc<RefCell<Ledger>>) -> Watched {
    let quotas = Quotas { runs_per_tenant: ALLOWED.runs, shards_per_tenant: ALLOWED.shards };
    Watched::new(State::new(quotas, planted), Rc::clone(ledger))
}

/// Who waits for an answer, and for which of its attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) party: usize,
    pub(super) attempt: u64,
}

/// A running process.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) group: Group<Watched>,
    /// The newest write that is durable.
    pub(super) durable: u64,
    /// Messages that wait for their write, in order.
    pub(super) held: VecDeque<(u64, Box<Message>)>,
    pub(super) calls: BTreeMap<Token, Caller>,
    /// What arrived while the process was stopped. `None`: it runs.
    pub(super) stopped: Option<Vec<Input<Watched>>>,
    /// Outputs that it still gives before it is killed.
    pub(super) fuse: Option<u32>,
    /// The earliest wake-up that is planned.
    pub(super) wake: Nanos,
    /// The deadline for which it is planned.
    pub(super) planned: Time,
    pub(super) talk: Option<Talk>,
}

/// One machine.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) name: String,
    /// Raft's number of the node that runs here.
    pub(super) id: NodeId,
    pub(super) disk: Disk,
    pub(super) clock: Clock,
    pub(super) process: Option<Process>,
    /// Counts the processes that ran here.
    pub(super) life: u32,
    /// Nobody starts it before it has joined anew.
    pub(super) retired: bool,
    /// How often a process here has counted up in the gossip.
    pub(super) beat: i64,
    pub(super) seed: u64,
    tick: Duration,
    snapshot_entries: u64,
    keep_entries: u64,
    max_in_flight: usize,
    max_waiters: usize,
}

impl Machine {
    pub(super) fn new(options: &Options, place: usize, planted: Planted) -> Self {
        let mut rng = Rng::stream(options.seed, Subject::Node(place as u32));
        let reading = rng.below(1 << 42);
        let rate = options.draw_rate(&mut rng, Fault::NodeRate);
        Machine {
            name: format!("n{}", place + 1),
            id: place as u64 + 1,
            disk: Disk::new(options, place, planted),
            clock: Clock::new(reading, rate),
            process: None,
            life: 0,
            retired: false,
            beat: 0,
            seed: rng.bits(),
            tick: Duration::from_nanos(options.group.tick),
            snapshot_entries: options.group.snapshot_entries,
            keep_entries: options.group.keep_entries,
            max_in_flight: options.group.max_in_flight,
            max_waiters: options.group.max_waiters,
        }
    }

    pub(super) fn config(&self) -> Config {
        Config {
            tick: self.tick,
            snapshot_entries: self.snapshot_entries,
            keep_entries: self.keep_entries,
            max_in_flight: self.max_in_flight,
            max_waiters: self.max_waiters,
            snapshot_timeout: 50 * self.tick,
            read_timeout: 30 * self.tick,
            seed: self.seed ^ u64::from(self.life),
            ..Config::default()
        }
    }

    /// Whether its process runs and is not stopped.
    pub(super) fn is_up(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.stopped.is_none())
    }

    /// The term in which its process leads and may stamp.
    pub(super) fn leads(&self) -> Option<u64> {
        let status = self.process.as_ref()?.group.status();
        (status.role == Role::Leader && status.ready).then_some(status.term)
    }
}
