//! One op id, one effect, one answer.

use gossip_core::consensus::StateMachine;
use gossip_core::coordination::limits::{DELETIONS_PER_TENANT, IDLE_TENANTS, OP_LOG_BYTES_PER_SHARD, OP_LOG_PER_SHARD};
use gossip_core::coordination::*;

use crate::kit::*;

/// Applies twice and expects the same answer and no second effect.
fn replayed(world: &mut World, op_id: u128, op: Op) -> Answer {
    let first = world.apply("r", op_id, op.clone()).unwrap();
    let before = world.state.snapshot();
    assert_eq!(world.apply("r", op_id, op).unwrap(), first);
    assert_eq!(world.state.snapshot(), before);
    first
}

#[test]
fn every_mutation_is_replayed_without_a_second_effect() {
    let mut world = World::empty(limits::Quotas::default(), gossip_core::mutants::Planted::NONE);
    let shards = ["a", "b", "c", "d"].windows(2).map(|w| spec(w[0], w[0], w[1])).collect();
    let steps = [
        Op::CreateRun { metadata: b"run".to_vec() },
        register(shards, false),
        Op::StartRun,
        acquire("a", "w"),
        renew("a", "w", 1, 2 * LEASE),
        checkpoint("a", "w", 1, "aa"),
        residual("a", "w", 1, "ab"),
        release("a", "w", 1),
        claim("w"),
        replace("a", "w", 2, &["aaa", "aab"]),
        acquire("b", "w"),
        park("b", "w", 1),
        unpark("b"),
        acquire("c", "w"),
        complete("c", "w", 1),
        Op::CancelRun { reason: "enough".into() },
    ];
    let count = steps.len();
    let mut answers = Vec::new();
    for (op_id, op) in (1..).zip(steps) {
        answers.push((op_id, op.clone(), replayed(&mut world, op_id, op)));
        world.state.check_invariants().unwrap();
    }
    // Each still gets its first answer after all the others, in an ended run and long after every lease.
    world.now += 1_000 * LEASE;
    for (op_id, op, first) in answers {
        assert_eq!(world.apply("r", op_id, op).unwrap(), first);
    }
    assert_eq!(world.state.totals().op_log_entries, count as u64);
}

#[test]
fn a_worker_learns_what_happened_after_its_lease_was_taken_over() {
    let mut world = World::one_shard();
    let first = world.apply("r", 7, acquire("s", "w1")).unwrap();
    let moved = world.apply("r", 8, checkpoint("s", "w1", 1, "m")).unwrap();
    world.now += LEASE;
    world.grant("s", "w2");
    world.ok("r", checkpoint("s", "w2", 2, "n"));
    assert_eq!(world.apply("r", 7, acquire("s", "w1")).unwrap(), first);
    assert_eq!(world.apply("r", 8, checkpoint("s", "w1", 1, "m")).unwrap(), moved);
    assert_eq!(world.shard("s").cursor, Some(cursor("n")));
}

#[test]
fn a_replayed_grant_shows_the_range_and_cursor_of_its_time() {
    let mut world = World::one_shard();
    world.grant("s", "w1");
    world.ok("r", checkpoint("s", "w1", 1, "d"));
    world.ok("r", release("s", "w1", 1));
    let first = world.apply("r", 7, acquire("s", "w1")).unwrap();
    world.ok("r", checkpoint("s", "w1", 2, "f"));
    world.ok("r", residual("s", "w1", 2, "k"));
    let again = granted(world.apply("r", 7, acquire("s", "w1")).unwrap());
    assert_eq!(Answer::Granted(again.clone()), first);
    assert_eq!((again.range, again.cursor), (range("b", "y"), Some(cursor("d"))));
}

#[test]
fn a_replayed_split_shows_the_children_of_its_time() {
    let mut world = World::one_shard();
    world.grant("s", "w");
    let first = world.apply("r", 7, residual("s", "w", 1, "m")).unwrap();
    let child = world.grant("s~0", "w");
    world.ok("r", residual("s~0", "w", child.fence.0, "t"));
    assert_eq!(world.shard("s~0").range, range("m", "t"));
    assert_eq!(world.apply("r", 7, residual("s", "w", 1, "m")).unwrap(), first);
}

#[test]
fn another_payload_or_worker_under_one_op_id_is_a_conflict() {
    let mut world = World::one_shard();
    world.apply("r", 7, acquire("s", "w1")).unwrap();
    world.apply("r", 8, checkpoint("s", "w1", 1, "m")).unwrap();
    let other_token =
        Op::Checkpoint { lease: lease("s", "w1", 1), cursor: Cursor { key: key("m"), token: b"other".to_vec() } };
    let longer = Op::Acquire { shard: shard_id("s"), worker: worker_id("w1"), lease_ms: LEASE + 1 };
    let cases = [
        (7, acquire("s", "w2")),
        (7, longer),
        (7, claim("w1")),
        (7, Op::StartRun),
        (8, checkpoint("s", "w1", 1, "n")),
        (8, checkpoint("s", "w1", 2, "m")),
        (8, checkpoint("s", "w2", 1, "m")),
        (8, other_token),
    ];
    for (op_id, op) in cases {
        assert_eq!(world.apply("r", op_id, op.clone()), Err(Rejection::OpIdConflict), "{op:?}");
    }
}

#[test]
fn a_refusal_is_not_logged() {
    let mut world = World::one_shard();
    world.grant("s", "w1");
    assert_eq!(world.apply("r", 7, acquire("s", "w2")), Err(Rejection::LeaseHeld { remaining_ms: LEASE }));
    world.now += LEASE;
    assert_eq!(granted(world.apply("r", 7, acquire("s", "w2")).unwrap()).fence, Fence(2));
    assert_eq!(world.apply("r", 8, checkpoint("s", "w2", 2, "a")), Err(Rejection::CursorOutOfRange));
    world.apply("r", 8, checkpoint("s", "w2", 2, "m")).unwrap();
}

#[test]
fn an_op_id_belongs_to_one_run_of_one_tenant() {
    let mut world = World::one_shard();
    world.apply("r", 7, acquire("s", "w")).unwrap();
    world.apply("other", 7, Op::CreateRun { metadata: Vec::new() }).unwrap();
    world.tenant = "u";
    world.apply("r", 7, Op::CreateRun { metadata: Vec::new() }).unwrap();
    assert_eq!(world.apply("r", 8, acquire("s", "w")), Err(Rejection::ShardNotFound));
}

#[test]
fn the_newest_answers_of_each_shard_are_kept_and_no_more() {
    let mut world = World::with_roots(vec![spec("s", "", "m"), spec("t", "m", "")]);
    world.apply("r", 1, acquire("t", "w")).unwrap();
    world.apply("r", 2, acquire("s", "w")).unwrap();
    let renewal = renew("s", "w", 1, LEASE);
    for op_id in 0..OP_LOG_PER_SHARD as u128 - 1 {
        world.apply("r", 100 + op_id, renewal.clone()).unwrap();
    }
    let oldest = world.apply("r", 2, acquire("s", "w"));
    assert!(matches!(oldest, Ok(Answer::Granted(_))), "{OP_LOG_PER_SHARD} answers are kept: {oldest:?}");
    world.apply("r", 99, renewal).unwrap();
    let oldest = world.apply("r", 2, acquire("s", "w"));
    assert_eq!(oldest, Err(Rejection::LeaseHeld { remaining_ms: LEASE }), "one more and the oldest is forgotten");
    // The other shard's answers are its own.
    world.apply("r", 1, acquire("t", "w")).unwrap();
    // Two of the run, one of t, 64 of s.
    assert_eq!(world.state.totals().op_log_entries, 2 + 1 + OP_LOG_PER_SHARD as u64);
}

#[test]
fn answers_of_splits_and_completions_outlive_any_number_of_others() {
    let mut world = World::one_shard();
    world.grant("s", "w");
    let split = world.apply("r", 1, residual("s", "w", 1, "x")).unwrap();
    for _ in 0..3 * OP_LOG_PER_SHARD {
        world.ok("r", renew("s", "w", 1, LEASE));
    }
    let completed = world.apply("r", 2, complete("s", "w", 1)).unwrap();
    assert_eq!(world.apply("r", 1, residual("s", "w", 1, "x")).unwrap(), split);
    assert_eq!(world.apply("r", 2, complete("s", "w", 1)).unwrap(), completed);
}

#[test]
fn grants_with_huge_cursors_are_kept_for_as_many_bytes_as_are_allowed() {
    let mut world = World::one_shard();
    let token = 60_000;
    let kept = OP_LOG_BYTES_PER_SHARD / (token + 3);
    for fence in 1..=kept as u64 + 1 {
        world.apply("r", u128::from(fence), acquire("s", "w")).unwrap();
        let cursor = Cursor { key: key("c"), token: vec![fence as u8; token] };
        world.ok("r", Op::Checkpoint { lease: lease("s", "w", fence), cursor });
        world.ok("r", release("s", "w", fence));
    }
    world.grant("s", "w");
    let held = Err(Rejection::LeaseHeld { remaining_ms: LEASE });
    // The first grant had no cursor, so it weighs nothing; the second is the oldest that does.
    assert_eq!(world.apply("r", 2, acquire("s", "w")), held);
    assert_eq!(granted(world.apply("r", 3, acquire("s", "w")).unwrap()).cursor.unwrap().token, vec![2; token]);
}

#[test]
fn a_deletion_is_replayed_and_does_not_hit_a_new_run_of_the_name() {
    let mut world = World::one_shard();
    world.ok("r", Op::CancelRun { reason: String::new() });
    assert_eq!(world.apply("r", 7, Op::DeleteRun), Ok(Answer::RunDeleted));
    assert_eq!(world.apply("r", 7, Op::DeleteRun), Ok(Answer::RunDeleted));
    assert_eq!(world.apply("other", 7, Op::DeleteRun), Err(Rejection::OpIdConflict));
    assert_eq!(world.apply("r", 8, Op::DeleteRun), Err(Rejection::RunNotFound));

    world.ok("r", Op::CreateRun { metadata: Vec::new() });
    world.apply("r", 9, Op::CancelRun { reason: String::new() }).unwrap();
    assert_eq!(world.apply("r", 7, Op::DeleteRun), Ok(Answer::RunDeleted));
    assert_eq!(world.run("r").status, RunStatus::Cancelled);
    assert_eq!(world.apply("r", 9, Op::DeleteRun), Err(Rejection::OpIdConflict));
    assert_eq!(world.apply("r", 10, Op::DeleteRun), Ok(Answer::RunDeleted));
}

/// A tenant that comes, has one shard leased to it, and deletes all. Gives the fence of the lease.
fn visit(world: &mut World, tenant: &str) -> u64 {
    let mut apply = |op| {
        world.next_op += 1;
        let command = Command { tenant: tenant_id(tenant), run: run_id("r"), op_id: OpId(world.next_op), op };
        world.apply_command(&command).unwrap()
    };
    apply(Op::CreateRun { metadata: Vec::new() });
    apply(register(vec![spec("s", "b", "y")], true));
    let fence = granted(apply(acquire("s", "w"))).fence.0;
    apply(Op::FailRun { reason: String::new() });
    apply(Op::DeleteRun);
    fence
}

#[test]
fn of_tenants_without_runs_the_newest_are_remembered_and_no_more() {
    let mut world = World::empty(limits::Quotas::default(), gossip_core::mutants::Planted::NONE);
    // The deletion of a visit was its last operation.
    let again = |world: &mut World, tenant: &str, op_id: u128| {
        let command = Command { tenant: tenant_id(tenant), run: run_id("r"), op_id: OpId(op_id), op: Op::DeleteRun };
        world.apply_command(&command)
    };
    let highest = (0..3).map(|_| visit(&mut world, "first")).max().unwrap();
    let deleted = world.next_op;
    for i in 1..IDLE_TENANTS {
        visit(&mut world, &format!("t{i:06}"));
    }
    assert_eq!(again(&mut world, "first", deleted), Ok(Answer::RunDeleted));
    world.state.check_invariants().unwrap();
    let full = world.state.snapshot().len();
    for i in 0..100 {
        visit(&mut world, &format!("u{i:06}"));
    }
    assert_eq!(again(&mut world, "first", deleted), Err(Rejection::RunNotFound), "it was forgotten");
    assert!(world.state.snapshot().len().abs_diff(full) < 4_000, "{} and {full}", world.state.snapshot().len());
    assert!(visit(&mut world, "first") > highest, "a zombie of the forgotten tenant must not match");
    world.state.check_invariants().unwrap();

    // Whoever comes back is not forgotten before those who came after its first visit.
    visit(&mut world, "u000000");
    let deleted = world.next_op;
    for i in 0..IDLE_TENANTS - 1 {
        visit(&mut world, &format!("v{i:06}"));
    }
    assert_eq!(again(&mut world, "u000000", deleted), Ok(Answer::RunDeleted));
    world.state.check_invariants().unwrap();
}

#[test]
fn the_newest_deletions_are_remembered_and_no_more() {
    let mut world = World::one_shard();
    let cycle = |world: &mut World, op_id: u128| {
        world.ok("x", Op::CreateRun { metadata: Vec::new() });
        world.ok("x", Op::FailRun { reason: String::new() });
        world.apply("x", op_id, Op::DeleteRun).unwrap();
    };
    let size = |world: &World| world.state.snapshot().len();
    for op_id in 0..DELETIONS_PER_TENANT as u128 {
        cycle(&mut world, u128::MAX - op_id);
    }
    assert_eq!(world.apply("x", u128::MAX, Op::DeleteRun), Ok(Answer::RunDeleted));
    let full = size(&world);
    for op_id in 0..100 {
        cycle(&mut world, u128::MAX - op_id - DELETIONS_PER_TENANT as u128);
    }
    assert_eq!(world.apply("x", u128::MAX, Op::DeleteRun), Err(Rejection::RunNotFound));
    assert!(size(&world).abs_diff(full) < 4_000, "{} and {full}", size(&world));
}
