//! The oracle takes every true answer of a state machine and no untrue refusal: whatever reason stands in the place of the right answer
//! is noticed, for each kind of operation, whether it was carried out or refused.

use gossip_core::consensus::StateMachine;
use gossip_core::coordination::limits::Quotas;
use gossip_core::coordination::*;
use gossip_core::mutants::Planted;
use gossip_sim::invariants::oracle::{Allowed, Oracle, at_the_edge};

const ALLOWED: Allowed = Allowed { runs: 2, shards: 9 };
const LEASE: u64 = 1_000;

fn shard(name: &str) -> ShardId {
    ShardId::parse("shard", name).expect("a good name")
}

fn worker(name: &str) -> WorkerId {
    WorkerId::parse("worker", name).expect("a good name")
}

fn spec(name: &str, start: &str, end: &str) -> ShardSpec {
    ShardSpec { shard: shard(name), range: Range::new(start.as_bytes(), end.as_bytes()), metadata: vec![1] }
}

fn lease(name: &str, holder: &str, fence: u64) -> LeaseRef {
    LeaseRef { shard: shard(name), worker: worker(holder), fence: Fence(fence) }
}

fn cursor(at: &str) -> Cursor {
    Cursor { key: at.as_bytes().into(), token: vec![7] }
}

fn keys(all: &[&str]) -> Vec<Box<[u8]>> {
    all.iter().map(|key| key.as_bytes().into()).collect()
}

fn acquire(name: &str, holder: &str) -> Op {
    Op::Acquire { shard: shard(name), worker: worker(holder), lease_ms: LEASE }
}

fn checkpoint(name: &str, holder: &str, fence: u64, at: &str) -> Op {
    Op::Checkpoint { lease: lease(name, holder, fence), cursor: cursor(at) }
}

fn replace(cuts: &[&str]) -> Op {
    Op::SplitReplace { lease: lease("b", "w1", 1), cuts: keys(cuts) }
}

fn residual(at: &str) -> Op {
    Op::SplitResidual { lease: lease("a", "w1", 1), at: at.as_bytes().into() }
}

fn register(shards: Vec<ShardSpec>, start: bool) -> Op {
    Op::RegisterShards { shards, start }
}

fn reason() -> String {
    "enough".to_owned()
}

/// What is asked in turn: the run, the op id, the operation, and what it is answered with: a reason, or nothing for a success.
fn story() -> Vec<(&'static str, u128, Op, &'static str)> {
    let create = || Op::CreateRun { metadata: vec![3] };
    let claim = || Op::Claim { worker: worker("w2"), lease_ms: LEASE };
    let wide = (0..6).map(|n| spec(&format!("n{n}"), &format!("{n}"), &format!("{n}a"))).collect::<Vec<_>>();
    vec![
        ("r", 1, Op::StartRun, "RUN_NOT_FOUND"),
        ("r", 2, Op::DeleteRun, "RUN_NOT_FOUND"),
        ("r", 3, create(), ""),
        ("r", 3, create(), ""),
        ("r", 3, Op::StartRun, "OP_ID_CONFLICT"),
        ("r", 4, create(), "RUN_EXISTS"),
        ("q", 5, create(), ""),
        ("p", 6, create(), "LIMIT_EXCEEDED"),
        ("r", 7, register(vec![spec("a", "a", "m"), spec("a", "n", "o")], false), "SHARD_EXISTS"),
        ("r", 7, register(vec![spec("a", "a", "m"), spec("b", "l", "o")], false), "SHARD_OVERLAP"),
        ("r", 7, register(vec![spec("a", "a", "m"), spec("b", "m", "")], false), ""),
        ("r", 8, register(vec![spec("c", "", "b")], false), "SHARD_OVERLAP"),
        ("r", 8, register(vec![spec("c", "b", "a")], false), "INVALID_ARGUMENT"),
        ("q", 9, register(wide.clone(), false), ""),
        ("q", 10, register(vec![spec("x", "x", "y"), spec("y", "y", "z")], false), "LIMIT_EXCEEDED"),
        ("r", 11, acquire("a", "w1"), "RUN_NOT_STARTED"),
        ("r", 11, Op::CompleteRun, "RUN_NOT_STARTED"),
        ("r", 12, Op::StartRun, ""),
        ("r", 13, register(vec![spec("c", "", "a")], false), "RUN_NOT_OPEN"),
        ("r", 14, acquire("z", "w1"), "SHARD_NOT_FOUND"),
        ("r", 15, acquire("a", "w1"), ""),
        ("r", 16, acquire("a", "w1"), "LEASE_HELD"),
        ("r", 17, acquire("b", "w1"), ""),
        ("r", 18, claim(), "NO_SHARD_FREE"),
        ("r", 19, Op::CompleteRun, "RUN_UNFINISHED"),
        ("r", 20, Op::DeleteRun, "RUN_NOT_ENDED"),
        ("r", 21, Op::Unpark { shard: shard("a") }, "SHARD_NOT_PARKED"),
        ("r", 22, checkpoint("a", "w1", 2, "c"), "FENCE_MISMATCH"),
        ("r", 22, checkpoint("a", "w2", 1, "c"), "NOT_OWNER"),
        ("r", 22, checkpoint("a", "w1", 1, "m"), "CURSOR_OUT_OF_RANGE"),
        ("r", 22, checkpoint("a", "w1", 1, "c"), ""),
        ("r", 22, checkpoint("a", "w1", 1, "d"), "OP_ID_CONFLICT"),
        ("r", 23, checkpoint("a", "w1", 1, "b"), "CURSOR_REGRESSION"),
        ("r", 24, Op::Renew { lease: lease("a", "w1", 1), lease_ms: LEASE }, ""),
        ("r", 24, Op::Renew { lease: lease("a", "w1", 1), lease_ms: 1 }, "INVALID_ARGUMENT"),
        ("r", 25, residual("c"), "SPLIT_POINT_INVALID"),
        ("r", 25, residual("m"), "SPLIT_POINT_INVALID"),
        ("r", 25, residual("k"), ""),
        ("r", 26, replace(&["p", "p"]), "SPLIT_POINT_INVALID"),
        ("r", 26, replace(&["p"]), "LIMIT_EXCEEDED"),
        ("r", 27, Op::Park { lease: lease("a", "w1", 1), reason: reason() }, ""),
        ("r", 28, acquire("a", "w2"), "SHARD_PARKED"),
        ("r", 28, Op::Unpark { shard: shard("a") }, ""),
        ("r", 29, Op::Release { lease: lease("b", "w1", 1) }, ""),
        ("r", 30, Op::Release { lease: lease("b", "w1", 1) }, "LEASE_EXPIRED"),
        ("r", 31, claim(), ""),
        ("r", 32, Op::Complete { lease: lease("a", "w2", 3), cursor: Some(cursor("d")) }, ""),
        ("r", 33, acquire("a", "w2"), "SHARD_TERMINAL"),
        ("q", 34, Op::FailRun { reason: reason() }, ""),
        ("q", 35, acquire("n0", "w1"), "RUN_ENDED"),
        ("q", 36, Op::DeleteRun, ""),
        ("q", 36, Op::DeleteRun, ""),
        ("q", 36, Op::DeleteRun, ""),
        ("r", 36, Op::DeleteRun, "OP_ID_CONFLICT"),
        ("r", 37, Op::CancelRun { reason: "x".repeat(1_025) }, "LIMIT_EXCEEDED"),
        ("r", 37, Op::CancelRun { reason: reason() }, ""),
        ("r", 3, Op::DeleteRun, "OP_ID_CONFLICT"),
        ("r", 38, Op::DeleteRun, ""),
    ]
}

/// One of every refusal, and of some with other particulars.
fn refusals() -> Vec<Rejection> {
    let named = |name: &str| name.to_owned();
    let limit = |max, actual| Rejection::LimitExceeded { field: named("quota.shards_per_tenant"), max, actual };
    let (run, of_shard) = (RunStatus::Active, ShardStatus::Done);
    vec![
        Rejection::InvalidArgument(Invalid::new("lease_ms", "is odd")),
        Rejection::InvalidArgument(Invalid::new("cursor.key", "is odd")),
        limit(9, 10),
        limit(9, 99),
        Rejection::OpIdConflict,
        Rejection::RunNotFound,
        Rejection::RunExists,
        Rejection::RunNotOpen { status: run },
        Rejection::RunNotStarted,
        Rejection::RunEnded { status: RunStatus::Failed },
        Rejection::RunUnfinished { active: 1, parked: 0 },
        Rejection::RunNotEnded { status: run },
        Rejection::RunNotEnded { status: RunStatus::Failed },
        Rejection::ShardNotFound,
        Rejection::ShardExists { shard: named("b") },
        Rejection::ShardOverlap { shard: named("b"), other: named("c") },
        Rejection::ShardTerminal { status: of_shard },
        Rejection::ShardTerminal { status: ShardStatus::Split },
        Rejection::ShardParked,
        Rejection::ShardNotParked,
        Rejection::LeaseHeld { remaining_ms: 1 },
        Rejection::NoShardFree { remaining_ms: None },
        Rejection::NoShardFree { remaining_ms: Some(1) },
        Rejection::FenceMismatch { current: Fence(77) },
        Rejection::LeaseExpired,
        Rejection::NotOwner,
        Rejection::CursorRegression,
        Rejection::CursorOutOfRange,
        Rejection::SplitPointInvalid { field: named("at"), problem: named("is odd") },
        Rejection::SplitPointInvalid { field: named("cuts[0]"), problem: named("is odd") },
    ]
}

/// Whether two refusals differ in more than the words for people.
fn same(one: &Rejection, two: &Rejection) -> bool {
    match (one, two) {
        (Rejection::InvalidArgument(a), Rejection::InvalidArgument(b)) => a.field == b.field,
        (Rejection::SplitPointInvalid { field: a, .. }, Rejection::SplitPointInvalid { field: b, .. }) => a == b,
        _ => one == two,
    }
}

#[test]
fn every_true_answer_passes_and_every_untrue_refusal_is_noticed() {
    let quotas = Quotas { runs_per_tenant: ALLOWED.runs, shards_per_tenant: ALLOWED.shards };
    let mut state = State::new(quotas, Planted::NONE);
    let mut oracle = Oracle::new(ALLOWED);
    let mut told = std::collections::BTreeSet::new();
    for (index, (run, op_id, op, expected)) in (1..).zip(story()) {
        let tenant = TenantId::parse("tenant", "t").unwrap();
        let command = Command { tenant, run: RunId::parse("run", run).unwrap(), op_id: OpId(op_id), op };
        let stamp = Stamp(10_000 + index);
        let answer = state.apply(index, stamp, &command);
        let reason = answer.as_ref().err().map_or("", Rejection::reason);
        assert_eq!(reason, expected, "{command:?}: {answer:?}");
        told.insert(reason);
        for untrue in refusals().into_iter().filter(|why| answer.as_ref().err().is_none_or(|told| !same(told, why))) {
            let noticed = oracle.clone().applied(stamp, &command, &Err(untrue.clone()));
            assert!(noticed.is_err(), "{command:?} is {answer:?}, and {untrue:?} passed");
        }
        if let Err(why) = &answer {
            // What must be refused may not be carried out either.
            let noticed = oracle.clone().applied(stamp, &command, &Ok(Answer::Released));
            assert!(noticed.is_err(), "{command:?} must be refused with {why:?}");
        }
        oracle.applied(stamp, &command, &answer).unwrap_or_else(|violation| panic!("{command:?}: {violation}"));
    }
    let missing: Vec<&str> = refusals().iter().map(Rejection::reason).filter(|reason| !told.contains(reason)).collect();
    assert_eq!(missing, Vec::<&str>::new(), "reasons that no answer of the story gave");
}

#[test]
fn a_claim_must_take_the_first_free_shard() {
    let mut state = State::new(Quotas::default(), Planted::NONE);
    let mut oracle = Oracle::new(ALLOWED);
    let command = |op_id, op| {
        let (tenant, run) = (TenantId::parse("tenant", "t").unwrap(), RunId::parse("run", "r").unwrap());
        Command { tenant, run, op_id: OpId(op_id), op }
    };
    let shards = vec![spec("b", "m", ""), spec("a", "a", "m")];
    for (n, op) in (1..).zip([Op::CreateRun { metadata: Vec::new() }, register(shards, true)]) {
        let command = command(n.into(), op);
        let answer = state.apply(n, Stamp(n), &command);
        oracle.applied(Stamp(n), &command, &answer).unwrap();
    }
    let (acquire, claim) = (acquire("b", "w1"), Op::Claim { worker: worker("w1"), lease_ms: LEASE });
    let (acquire, claim) = (command(3, acquire), command(3, claim));
    let now = Stamp(3);
    let second = state.clone().apply(3, now, &acquire);
    assert_eq!(oracle.clone().applied(now, &acquire, &second), Ok(()));
    let violation = oracle.clone().applied(now, &claim, &second).unwrap_err();
    assert!(violation.what.contains("not the first shard"), "{violation}");
    let first = state.apply(3, now, &claim);
    assert_eq!(oracle.applied(now, &claim, &first), Ok(()));
}

#[test]
fn the_edge_is_examined_in_both_directions() {
    let command = |op| {
        let (tenant, run) = (TenantId::parse("tenant", "t").unwrap(), RunId::parse("run", "r").unwrap());
        Command { tenant, run, op_id: OpId(1), op }
    };
    let token = |bytes| Op::Checkpoint {
        lease: lease("a", "w1", 1),
        cursor: Cursor { key: vec![1; 4_096].into(), token: vec![0; bytes] },
    };
    let cuts = |count: u32| Op::SplitReplace {
        lease: lease("a", "w1", 1),
        cuts: (1..=count).map(|n| n.to_be_bytes().into()).collect(),
    };
    let metadata = |bytes| Op::CreateRun { metadata: vec![0; bytes] };
    let length = |lease_ms| Op::Claim { worker: worker("w1"), lease_ms };
    let park = |bytes| Op::Park { lease: lease("a", "w1", 1), reason: "x".repeat(bytes) };
    let roots = |count: u32| {
        let one = |n: u32| ShardSpec {
            shard: shard(&format!("s{n}")),
            range: Range::new(n.to_be_bytes(), (n + 1).to_be_bytes()),
            metadata: Vec::new(),
        };
        register((0..count).map(one).collect(), false)
    };
    let pairs = [
        (token(65_536), token(65_537)),
        (cuts(255), cuts(256)),
        (metadata(16_384), metadata(16_385)),
        (length(100), length(99)),
        (length(86_400_000), length(86_400_001)),
        (park(1_024), park(1_025)),
        (roots(10_000), roots(10_001)),
    ];
    for (good, bad) in pairs {
        let (good, bad) = (command(good), command(bad));
        let refused = bad.check().expect_err("it is malformed");
        assert_eq!(at_the_edge(&good, good.check().err().as_ref()), Ok(()));
        assert_eq!(at_the_edge(&bad, Some(&refused)), Ok(()));
        assert!(at_the_edge(&bad, None).is_err(), "{refused:?} is let in");
        assert!(at_the_edge(&good, Some(&refused)).is_err(), "{refused:?} of a good request passes");
    }
}
