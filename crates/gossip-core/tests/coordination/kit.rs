//! A state machine with a hand on its clock, and short ways to say commands.

use gossip_core::consensus::StateMachine;
use gossip_core::coordination::limits::Quotas;
use gossip_core::coordination::*;
use gossip_core::mutants::Planted;

pub(crate) type Outcome = Result<Answer, Rejection>;

pub(crate) const LEASE: u64 = 1_000;

/// One tenant's view of a state machine, for which each call is the next entry of the log.
pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) now: u64,
    pub(crate) index: u64,
    pub(crate) tenant: &'static str,
    pub(crate) next_op: u128,
}

pub(crate) fn run_id(name: &str) -> RunId {
    RunId::parse("run", name).unwrap()
}

pub(crate) fn shard_id(name: &str) -> ShardId {
    ShardId::parse("shard", name).unwrap()
}

pub(crate) fn worker_id(name: &str) -> WorkerId {
    WorkerId::parse("worker", name).unwrap()
}

pub(crate) fn tenant_id(name: &str) -> TenantId {
    TenantId::parse("tenant", name).unwrap()
}

pub(crate) fn range(start: &str, end: &str) -> Range {
    Range::new(start.as_bytes(), end.as_bytes())
}

pub(crate) fn key(text: &str) -> Key {
    text.as_bytes().into()
}

pub(crate) fn cursor(text: &str) -> Cursor {
    Cursor { key: key(text), token: format!("token-{text}").into_bytes() }
}

pub(crate) fn spec(name: &str, start: &str, end: &str) -> ShardSpec {
    ShardSpec { shard: shard_id(name), range: range(start, end), metadata: format!("meta-{name}").into_bytes() }
}

pub(crate) fn lease(shard: &str, worker: &str, fence: u64) -> LeaseRef {
    LeaseRef { shard: shard_id(shard), worker: worker_id(worker), fence: Fence(fence) }
}

pub(crate) fn acquire(shard: &str, worker: &str) -> Op {
    Op::Acquire { shard: shard_id(shard), worker: worker_id(worker), lease_ms: LEASE }
}

pub(crate) fn claim(worker: &str) -> Op {
    Op::Claim { worker: worker_id(worker), lease_ms: LEASE }
}

pub(crate) fn checkpoint(shard: &str, worker: &str, fence: u64, at: &str) -> Op {
    Op::Checkpoint { lease: lease(shard, worker, fence), cursor: cursor(at) }
}

pub(crate) fn release(shard: &str, worker: &str, fence: u64) -> Op {
    Op::Release { lease: lease(shard, worker, fence) }
}

pub(crate) fn complete(shard: &str, worker: &str, fence: u64) -> Op {
    Op::Complete { lease: lease(shard, worker, fence), cursor: None }
}

pub(crate) fn renew(shard: &str, worker: &str, fence: u64, lease_ms: u64) -> Op {
    Op::Renew { lease: lease(shard, worker, fence), lease_ms }
}

pub(crate) fn park(shard: &str, worker: &str, fence: u64) -> Op {
    Op::Park { lease: lease(shard, worker, fence), reason: "broken".into() }
}

pub(crate) fn unpark(shard: &str) -> Op {
    Op::Unpark { shard: shard_id(shard) }
}

pub(crate) fn replace(shard: &str, worker: &str, fence: u64, cuts: &[&str]) -> Op {
    Op::SplitReplace { lease: lease(shard, worker, fence), cuts: cuts.iter().map(|cut| key(cut)).collect() }
}

pub(crate) fn residual(shard: &str, worker: &str, fence: u64, at: &str) -> Op {
    Op::SplitResidual { lease: lease(shard, worker, fence), at: key(at) }
}

pub(crate) fn register(shards: Vec<ShardSpec>, start: bool) -> Op {
    Op::RegisterShards { shards, start }
}

impl World {
    /// An empty state at a clock that is not zero.
    pub(crate) fn empty(quotas: Quotas, planted: Planted) -> World {
        World { state: State::new(quotas, planted), now: 10_000, index: 0, tenant: "t", next_op: 0 }
    }

    /// Run `r` of tenant `t`, Active, with these roots.
    pub(crate) fn with_roots(specs: Vec<ShardSpec>) -> World {
        let world = World::with_bug_unchecked(Planted::NONE, specs);
        world.state.check_invariants().unwrap();
        world
    }

    /// The same, for a state machine that may break its own rules.
    pub(crate) fn with_bug_unchecked(planted: Planted, specs: Vec<ShardSpec>) -> World {
        let mut world = World::empty(Quotas::default(), planted);
        world.apply("r", u128::MAX, Op::CreateRun { metadata: b"run".to_vec() }).unwrap();
        world.apply("r", u128::MAX - 1, register(specs, true)).unwrap();
        world
    }

    /// Run `r` with one shard `s` that owns `[b, y)`.
    pub(crate) fn one_shard() -> World {
        World::with_roots(vec![spec("s", "b", "y")])
    }

    /// Applies with an op id that was chosen by the caller. A correct state keeps its invariants and changes nothing when it refuses.
    pub(crate) fn apply(&mut self, run: &str, op_id: u128, op: Op) -> Outcome {
        let command = Command { tenant: tenant_id(self.tenant), run: run_id(run), op_id: OpId(op_id), op };
        self.apply_command(&command)
    }

    pub(crate) fn apply_command(&mut self, command: &Command) -> Outcome {
        self.index += 1;
        self.state.apply(self.index, Stamp(self.now), command)
    }

    /// Applies with a fresh op id.
    pub(crate) fn call(&mut self, run: &str, op: Op) -> Outcome {
        self.next_op += 1;
        let op_id = self.next_op << 64;
        let outcome = self.apply(run, op_id, op);
        self.state.check_invariants().unwrap();
        outcome
    }

    pub(crate) fn ok(&mut self, run: &str, op: Op) -> Answer {
        let text = format!("{op:?}");
        self.call(run, op).unwrap_or_else(|rejection| panic!("{text}: {rejection}"))
    }

    /// What a fresh call is refused with.
    pub(crate) fn refused(&mut self, run: &str, op: Op) -> Rejection {
        let before = self.frozen();
        let text = format!("{op:?}");
        let rejection = self.call(run, op).err().unwrap_or_else(|| panic!("{text} was not refused"));
        assert_eq!(before, self.frozen(), "{text} was refused ({rejection}) and changed the state");
        rejection
    }

    /// The state without its clock, which moves with every entry.
    fn frozen(&self) -> Vec<u8> {
        let mut state = self.state.clone();
        let probe = Command { tenant: tenant_id("nobody"), run: run_id("none"), op_id: OpId(0), op: Op::StartRun };
        state.apply(0, Stamp(u64::MAX), &probe).unwrap_err();
        state.snapshot()
    }

    pub(crate) fn grant(&mut self, shard: &str, worker: &str) -> Grant {
        granted(self.ok("r", acquire(shard, worker)))
    }

    pub(crate) fn read(&self, query: Query) -> Result<View, Rejection> {
        self.state.read(&TenantQuery { tenant: tenant_id(self.tenant), query })
    }

    pub(crate) fn shard(&self, name: &str) -> ShardView {
        match self.read(Query::Shard { run: run_id("r"), shard: shard_id(name) }) {
            Ok(View::Shard(view)) => view,
            other => panic!("{name}: {other:?}"),
        }
    }

    pub(crate) fn run(&self, name: &str) -> answer::RunSummary {
        match self.read(Query::Run { run: run_id(name) }) {
            Ok(View::Run(summary)) => summary,
            other => panic!("{name}: {other:?}"),
        }
    }
}

pub(crate) fn granted(answer: Answer) -> Grant {
    match answer {
        Answer::Granted(grant) => grant,
        other => panic!("{other:?}"),
    }
}
