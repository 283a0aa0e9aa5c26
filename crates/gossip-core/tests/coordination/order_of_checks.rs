//! What a request with several faults is refused with: the checks come in one order, and each case below mends the fault that the
//! case before it was refused for.

use gossip_core::coordination::*;

use crate::kit::*;

const USED: u128 = 77;

/// What a write is made with.
#[derive(Clone, Copy)]
struct With {
    shard: &'static str,
    worker: &'static str,
    fence: u64,
}

type Write = (&'static str, fn(With) -> Op, Option<Rejection>);

/// Each operation under a lease, with an argument that its own checks refuse where it has such checks.
fn writes() -> Vec<Write> {
    let point = |field: &str| Rejection::SplitPointInvalid {
        field: field.into(),
        problem: "must lie strictly inside the shard's range".into(),
    };
    vec![
        ("renew", |w| renew(w.shard, w.worker, w.fence, LEASE), None),
        ("checkpoint", |w| checkpoint(w.shard, w.worker, w.fence, "zz"), Some(Rejection::CursorOutOfRange)),
        ("release", |w| release(w.shard, w.worker, w.fence), None),
        (
            "complete",
            |w| Op::Complete { lease: lease(w.shard, w.worker, w.fence), cursor: Some(cursor("a")) },
            Some(Rejection::CursorOutOfRange),
        ),
        ("park", |w| park(w.shard, w.worker, w.fence), None),
        ("split-replace", |w| replace(w.shard, w.worker, w.fence, &["zz"]), Some(point("cuts[0]"))),
        ("split-residual", |w| residual(w.shard, w.worker, w.fence, "zz"), Some(point("at"))),
    ]
}

/// `s` is leased by `w1` under fence 2, `over` is Done under fence 1, and one op id is used.
fn world() -> World {
    let mut world = World::with_roots(vec![spec("s", "b", "y"), spec("over", "y", "z")]);
    world.apply("r", USED, acquire("s", "w1")).unwrap();
    world.now += LEASE;
    world.grant("s", "w1");
    world.grant("over", "w1");
    world.ok("r", complete("over", "w1", 1));
    world
}

#[test]
fn a_write_under_a_lease() {
    let wrong = With { shard: "s", worker: "w2", fence: 1 };
    for (name, op, own) in writes() {
        let mut world = world();
        let missing = With { shard: "none", ..wrong };
        let over = With { shard: "over", fence: 9, ..wrong };
        let right_fence = With { fence: 2, ..wrong };
        let right = With { worker: "w1", ..right_fence };
        let done = Rejection::ShardTerminal { status: ShardStatus::Done };
        let mismatch = Rejection::FenceMismatch { current: Fence(2) };

        assert_eq!(world.apply("gone", USED, op(missing)), Err(Rejection::RunNotFound), "{name}");
        assert_eq!(world.apply("r", USED, op(missing)), Err(Rejection::ShardNotFound), "{name}");
        assert_eq!(world.apply("r", USED, op(over)), Err(Rejection::OpIdConflict), "{name}");
        assert_eq!(world.apply("r", 1, op(over)), Err(done), "{name}");
        let live = world.now;
        world.now += LEASE;
        assert_eq!(world.apply("r", 1, op(wrong)), Err(mismatch), "{name}: expired, and the fence is wrong");
        assert_eq!(
            world.apply("r", 1, op(right_fence)),
            Err(Rejection::LeaseExpired),
            "{name}: expired, and another's"
        );

        let mut world = self::world();
        assert_eq!(world.now, live);
        assert_eq!(world.apply("r", 1, op(right_fence)), Err(Rejection::NotOwner), "{name}");
        match own {
            Some(rejection) => assert_eq!(world.apply("r", 1, op(right)), Err(rejection), "{name}"),
            None => assert!(world.apply("r", 1, op(right)).is_ok(), "{name}"),
        }
    }
}

#[test]
fn a_write_without_any_lease_on_record() {
    for (name, op, _) in writes() {
        let mut world = World::one_shard();
        let never = With { shard: "s", worker: "w1", fence: 0 };
        assert_eq!(world.apply("r", 1, op(never)), Err(Rejection::LeaseExpired), "{name}");
        world.grant("s", "w1");
        world.ok("r", release("s", "w1", 1));
        let released = With { fence: 1, ..never };
        assert_eq!(world.apply("r", 1, op(released)), Err(Rejection::LeaseExpired), "{name}");
        let mismatch = Rejection::FenceMismatch { current: Fence(1) };
        assert_eq!(world.apply("r", 1, op(never)), Err(mismatch), "{name}");
    }
}

#[test]
fn the_shape_comes_before_everything() {
    let mut world = world();
    let short = Op::Acquire { shard: shard_id("none"), worker: worker_id("w"), lease_ms: 1 };
    assert!(matches!(world.apply("gone", USED, short), Err(Rejection::InvalidArgument(_))));
}

#[test]
fn an_acquire() {
    let mut world = World::with_roots(vec![spec("s", "b", "y"), spec("p", "y", "z")]);
    world.apply("r", USED, acquire("s", "w1")).unwrap();
    world.grant("p", "w1");
    world.ok("r", park("p", "w1", 1));
    assert_eq!(world.apply("gone", USED, acquire("none", "w2")), Err(Rejection::RunNotFound));
    assert_eq!(world.apply("r", USED, acquire("none", "w2")), Err(Rejection::ShardNotFound));
    assert_eq!(world.apply("r", USED, acquire("s", "w2")), Err(Rejection::OpIdConflict));
    assert_eq!(world.apply("r", 1, acquire("p", "w2")), Err(Rejection::ShardParked));
    assert_eq!(world.apply("r", 1, acquire("s", "w2")), Err(Rejection::LeaseHeld { remaining_ms: LEASE }));
    let first = world.apply("r", USED, acquire("s", "w1"));
    assert!(first.is_ok());

    // The run's end comes before the shard's, and the op log before both.
    world.ok("r", Op::CancelRun { reason: String::new() });
    assert_eq!(world.apply("r", 1, acquire("s", "w2")), Err(Rejection::RunEnded { status: RunStatus::Cancelled }));
    assert_eq!(world.apply("r", USED, acquire("s", "w2")), Err(Rejection::OpIdConflict));
    assert_eq!(world.apply("r", USED, acquire("s", "w1")), first);
}

#[test]
fn a_claim() {
    let mut world = World::one_shard();
    world.apply("r", USED, claim("w1")).unwrap();
    assert_eq!(world.apply("gone", USED, claim("w2")), Err(Rejection::RunNotFound));
    assert_eq!(world.apply("r", USED, claim("w2")), Err(Rejection::OpIdConflict));
    assert_eq!(world.apply("r", 1, claim("w2")), Err(Rejection::NoShardFree { remaining_ms: Some(LEASE) }));
    world.ok("r", Op::FailRun { reason: String::new() });
    assert_eq!(world.apply("r", 1, claim("w2")), Err(Rejection::RunEnded { status: RunStatus::Failed }));
    assert!(world.apply("r", USED, claim("w1")).is_ok());
}

#[test]
fn an_unpark() {
    let mut world = world();
    assert_eq!(world.apply("gone", USED, unpark("none")), Err(Rejection::RunNotFound));
    assert_eq!(world.apply("r", USED, unpark("none")), Err(Rejection::ShardNotFound));
    assert_eq!(world.apply("r", USED, unpark("over")), Err(Rejection::OpIdConflict));
    assert_eq!(world.apply("r", 1, unpark("over")), Err(Rejection::ShardTerminal { status: ShardStatus::Done }));
    assert_eq!(world.apply("r", 1, unpark("s")), Err(Rejection::ShardNotParked));
}

#[test]
fn operations_on_a_run() {
    let mut world = world();
    let ops = [
        Op::CreateRun { metadata: Vec::new() },
        register(vec![spec("s", "a", "b")], true),
        Op::StartRun,
        Op::CompleteRun,
        Op::FailRun { reason: String::new() },
        Op::DeleteRun,
    ];
    for op in ops {
        assert_eq!(world.apply("r", USED, op.clone()), Err(Rejection::OpIdConflict), "{op:?}");
    }
    // The name and the overlap of a root come after the run's status, and the name before the overlap.
    let not_open = Rejection::RunNotOpen { status: RunStatus::Active };
    assert_eq!(world.apply("r", 1, register(vec![spec("s", "a", "c")], true)), Err(not_open));
    world.ok("open", Op::CreateRun { metadata: Vec::new() });
    world.ok("open", register(vec![spec("s", "a", "c")], false));
    let exists = Rejection::ShardExists { shard: "s".into() };
    assert_eq!(world.apply("open", 1, register(vec![spec("x", "a", "c"), spec("s", "a", "c")], true)), Err(exists));
}
