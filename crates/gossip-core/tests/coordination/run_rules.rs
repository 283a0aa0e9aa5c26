//! The life of a run, its quotas, and what its end does to the workers.

use gossip_core::coordination::answer::ShardCounts;
use gossip_core::coordination::limits::{MAX_ROOTS, Quotas};
use gossip_core::coordination::*;
use gossip_core::mutants::Planted;

use crate::kit::*;

fn create() -> Op {
    Op::CreateRun { metadata: b"run".to_vec() }
}

fn fail(reason: &str) -> Op {
    Op::FailRun { reason: reason.into() }
}

fn cancel(reason: &str) -> Op {
    Op::CancelRun { reason: reason.into() }
}

fn fresh() -> World {
    World::empty(Quotas::default(), Planted::NONE)
}

#[test]
fn a_run_goes_from_open_to_active_to_done() {
    let mut world = fresh();
    let Answer::Run(made) = world.ok("r", create()) else { panic!() };
    assert_eq!((made.status, made.roots, made.metadata), (RunStatus::Open, 0, b"run".to_vec()));
    world.ok("r", register(vec![spec("b", "b", "c")], false));
    world.ok("r", register(vec![spec("a", "a", "b")], false));
    assert_eq!(world.refused("r", acquire("a", "w")), Rejection::RunNotStarted);
    assert_eq!(world.refused("r", claim("w")), Rejection::RunNotStarted);
    assert_eq!(world.refused("r", Op::CompleteRun), Rejection::RunNotStarted);
    assert_eq!(world.refused("r", Op::DeleteRun), Rejection::RunNotEnded { status: RunStatus::Open });

    let Answer::Run(started) = world.ok("r", Op::StartRun) else { panic!() };
    assert_eq!((started.status, started.counts.active), (RunStatus::Active, 2));
    let not_open = Rejection::RunNotOpen { status: RunStatus::Active };
    assert_eq!(world.refused("r", Op::StartRun), not_open);
    assert_eq!(world.refused("r", register(vec![spec("c", "c", "d")], false)), not_open);
    assert_eq!(world.refused("r", Op::DeleteRun), Rejection::RunNotEnded { status: RunStatus::Active });

    world.grant("a", "w");
    world.ok("r", complete("a", "w", 1));
    assert_eq!(world.refused("r", Op::CompleteRun), Rejection::RunUnfinished { active: 1, parked: 0 });
    world.grant("b", "w");
    world.ok("r", park("b", "w", 1));
    assert_eq!(world.refused("r", Op::CompleteRun), Rejection::RunUnfinished { active: 0, parked: 1 });
    world.ok("r", unpark("b"));
    world.grant("b", "w");
    world.ok("r", complete("b", "w", 3));
    let Answer::Run(done) = world.ok("r", Op::CompleteRun) else { panic!() };
    assert_eq!((done.status, done.counts), (RunStatus::Done, ShardCounts { done: 2, ..Default::default() }));
}

#[test]
fn nothing_succeeds_on_a_run_that_has_ended() {
    for (end, status) in [(fail("f"), RunStatus::Failed), (cancel("c"), RunStatus::Cancelled)] {
        let mut world = World::one_shard();
        world.ok("r", end);
        let ended = Rejection::RunEnded { status };
        let ops = [
            Op::StartRun,
            register(vec![spec("x", "y", "z")], false),
            Op::CompleteRun,
            fail("again"),
            cancel("again"),
            acquire("s", "w"),
            claim("w"),
        ];
        for op in ops {
            assert_eq!(world.refused("r", op), ended);
        }
        assert_eq!(world.refused("r", create()), Rejection::RunExists);
    }
}

#[test]
fn an_ending_cancels_and_fences_whatever_is_unfinished() {
    let mut world = World::with_roots(vec![
        spec("done", "a", "b"),
        spec("free", "b", "c"),
        spec("leased", "c", "d"),
        spec("parked", "d", "e"),
        spec("split", "e", "f"),
    ]);
    for shard in ["done", "leased", "parked", "split"] {
        world.grant(shard, "w");
    }
    world.ok("r", complete("done", "w", 1));
    world.ok("r", park("parked", "w", 1));
    world.ok("r", replace("split", "w", 1, &["ee"]));
    world.ok("r", checkpoint("leased", "w", 1, "cc"));

    let Answer::Run(failed) = world.ok("r", fail("disk full")) else { panic!() };
    let counts = ShardCounts { active: 0, parked: 0, done: 1, split: 1, cancelled: 5 };
    assert_eq!((failed.status, failed.reason.as_str(), failed.counts), (RunStatus::Failed, "disk full", counts));
    for (shard, fence) in [("free", 1), ("leased", 2), ("parked", 2), ("split~0", 1), ("split~1", 1)] {
        let view = world.shard(shard);
        assert_eq!((view.status, view.lease, view.fence), (ShardStatus::Cancelled, None, Fence(fence)), "{shard}");
    }
    assert_eq!(world.shard("leased").cursor, Some(cursor("cc")));
    assert_eq!((world.shard("done").status, world.shard("done").fence), (ShardStatus::Done, Fence(1)));
    let terminal = Rejection::ShardTerminal { status: ShardStatus::Cancelled };
    assert_eq!(world.refused("r", checkpoint("leased", "w", 1, "cd")), terminal);
    assert_eq!(world.refused("r", checkpoint("leased", "w", 2, "cd")), terminal);
    assert_eq!(world.refused("r", unpark("parked")), terminal);
}

#[test]
fn an_open_run_can_be_failed_and_cancelled() {
    for end in [fail(""), cancel("")] {
        let mut world = fresh();
        world.ok("r", create());
        world.ok("r", register(vec![spec("s", "a", "b")], false));
        world.ok("r", end);
        assert_eq!(world.shard("s").status, ShardStatus::Cancelled);
    }
}

#[test]
fn a_run_without_shards_can_be_completed() {
    let mut world = fresh();
    world.ok("r", create());
    world.ok("r", Op::StartRun);
    assert_eq!(world.refused("r", claim("w")), Rejection::NoShardFree { remaining_ms: None });
    world.ok("r", Op::CompleteRun);
}

#[test]
fn what_is_not_there_is_not_found() {
    let mut world = fresh();
    for op in [Op::StartRun, Op::DeleteRun, claim("w"), acquire("s", "w")] {
        assert_eq!(world.refused("r", op), Rejection::RunNotFound);
    }
    world.ok("r", create());
    for op in [acquire("s", "w"), unpark("s"), release("s", "w", 0)] {
        assert_eq!(world.refused("r", op), Rejection::ShardNotFound);
    }
    world.tenant = "u";
    assert_eq!(world.refused("r", Op::StartRun), Rejection::RunNotFound);
    assert_eq!(world.read(Query::Run { run: run_id("r") }), Err(Rejection::RunNotFound));
    world.ok("r", create());
}

#[test]
fn roots_are_registered_all_or_none() {
    let mut world = fresh();
    world.ok("r", create());
    world.ok("r", register(vec![spec("m", "m", "p")], false));
    let overlap = |shard: &str, other: &str| Rejection::ShardOverlap { shard: shard.into(), other: other.into() };
    let exists = |shard: &str| Rejection::ShardExists { shard: shard.into() };
    let cases = [
        (vec![spec("a", "a", "b"), spec("m", "x", "y")], exists("m")),
        (vec![spec("a", "a", "b"), spec("a", "b", "c")], exists("a")),
        (vec![spec("a", "a", "n")], overlap("a", "m")),
        (vec![spec("a", "o", "z")], overlap("a", "m")),
        (vec![spec("a", "n", "o")], overlap("a", "m")),
        (vec![spec("a", "m", "p")], overlap("a", "m")),
        (vec![spec("a", "m", "")], overlap("a", "m")),
        (vec![spec("a", "", "")], overlap("a", "m")),
        (vec![spec("a", "", "m\0")], overlap("a", "m")),
        (vec![spec("a", "oz", "")], overlap("a", "m")),
        (vec![spec("a", "a", "c"), spec("b", "b", "d")], overlap("b", "a")),
        (vec![spec("b", "b", "d"), spec("a", "a", "c")], overlap("a", "b")),
        (vec![spec("a", "a", ""), spec("b", "", "a\0")], overlap("a", "m")),
        (vec![spec("a", "p", ""), spec("b", "q", "r")], overlap("b", "a")),
    ];
    for (specs, rejection) in cases {
        assert_eq!(world.refused("r", register(specs, true)), rejection);
    }
    // Neighbours touch and do not overlap; gaps between roots are allowed.
    world.ok("r", register(vec![spec("z", "p", ""), spec("a", "", "k")], true));
    assert_eq!(world.run("r").roots, 3);
}

#[test]
fn a_run_takes_10_000_roots_and_no_more() {
    let mut world = fresh();
    let many = |from: usize, n: usize| -> Vec<ShardSpec> {
        let at = |i: usize| format!("{i:08}");
        (from..from + n).map(|i| spec(&format!("s{i}"), &at(i), &at(i + 1))).collect()
    };
    let over = |actual| Rejection::LimitExceeded { field: "shards".into(), max: MAX_ROOTS as u64, actual };
    world.ok("r", create());
    assert_eq!(world.refused("r", register(many(0, MAX_ROOTS + 1), true)), over(10_001));
    world.ok("r", register(many(1, MAX_ROOTS - 1), false));
    assert_eq!(world.refused("r", register(many(MAX_ROOTS, 2), true)), over(10_001));
    world.ok("r", register(many(0, 1), true));
    assert_eq!(world.run("r").counts.active, MAX_ROOTS as u64);
    for i in 0..100 {
        assert_eq!(granted(world.ok("r", claim("w"))).shard, shard_id(&format!("s{i}")));
    }
}

#[test]
fn quotas_are_the_tenants_own_and_freed_by_deletion() {
    let mut world = World::empty(Quotas { shards_per_tenant: 3, runs_per_tenant: 2 }, Planted::NONE);
    let shards = |actual| Rejection::LimitExceeded { field: "quota.shards_per_tenant".into(), max: 3, actual };
    world.ok("r", create());
    world.ok("q", create());
    let runs = Rejection::LimitExceeded { field: "quota.runs_per_tenant".into(), max: 2, actual: 3 };
    assert_eq!(world.refused("p", create()), runs);
    world.ok("r", register(vec![spec("a", "a", "b"), spec("b", "b", "c")], true));
    assert_eq!(world.refused("q", register(vec![spec("a", "a", "b"), spec("b", "b", "c")], true)), shards(4));
    world.ok("q", register(vec![spec("a", "a", "b")], false));

    world.tenant = "u";
    world.ok("r", create());
    world.ok("r", register(vec![spec("a", "a", "b"), spec("b", "b", "c")], true));

    world.tenant = "t";
    world.ok("r", cancel(""));
    assert_eq!(world.refused("q", register(vec![spec("b", "b", "c")], true)), shards(4));
    world.ok("r", Op::DeleteRun);
    world.ok("q", register(vec![spec("b", "b", "c")], true));
    world.ok("p", create());
}

#[test]
fn a_fence_never_comes_twice_for_one_name_even_after_deletion() {
    let mut world = World::one_shard();
    for fence in 1..=5 {
        assert_eq!(world.grant("s", "w").fence, Fence(fence));
        world.now += LEASE;
    }
    world.ok("r", cancel(""));
    world.ok("r", Op::DeleteRun);
    world.ok("r", create());
    world.ok("r", register(vec![spec("s", "b", "y")], true));
    assert_eq!(world.shard("s").fence, Fence(6));
    assert_eq!(world.refused("r", checkpoint("s", "w", 5, "m")), Rejection::FenceMismatch { current: Fence(6) });
    assert_eq!(world.grant("s", "w").fence, Fence(7));
    world.ok("r", replace("s", "w", 7, &["m"]));
    assert_eq!(world.shard("s~0").fence, Fence(6));
    assert_eq!(world.grant("s~0", "w").fence, Fence(7));

    // Another tenant's fences tell nothing of this one's.
    world.tenant = "u";
    world.ok("r", create());
    world.ok("r", register(vec![spec("s", "b", "y")], true));
    assert_eq!(world.shard("s").fence, Fence(0));
}

#[test]
fn the_state_follows_live_data() {
    let mut world = fresh();
    let cycle = |world: &mut World| {
        world.ok("r", create());
        world.ok(
            "r",
            register((0..9).map(|i| spec(&format!("s{i}"), &format!("{i}"), &format!("{}", i + 1))).collect(), true),
        );
        for _ in 0..9 {
            let grant = granted(world.ok("r", claim("w")));
            world.ok("r", complete(grant.shard.as_str(), "w", grant.fence.0));
        }
        world.ok("r", Op::CompleteRun);
        world.ok("r", Op::DeleteRun);
    };
    for _ in 0..20 {
        cycle(&mut world);
    }
    let totals = world.state.totals();
    assert_eq!((totals.tenants, totals.runs, totals.shards, totals.op_log_entries), (1, 0, 0, 0));
    assert_eq!(world.state.tenants().count(), 0);
}

#[test]
fn changed_at_is_the_index_of_the_last_change() {
    let mut world = World::one_shard();
    world.grant("s", "w");
    let changed = world.index;
    assert_eq!(world.run("r").changed_at, changed);
    world.refused("r", acquire("s", "v"));
    assert_eq!(world.run("r").changed_at, changed);
    world.apply("r", 5, checkpoint("s", "w", 1, "c")).unwrap();
    assert_eq!(world.run("r").changed_at, world.index);
    let changed = world.index;
    world.apply("r", 5, checkpoint("s", "w", 1, "c")).unwrap();
    assert_eq!(world.run("r").changed_at, changed, "a replay changes nothing");
}
