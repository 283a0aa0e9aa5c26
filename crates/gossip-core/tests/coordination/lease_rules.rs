//! Who gets a lease, and until when it counts.

use gossip_core::coordination::*;

use crate::kit::*;

#[test]
fn a_grant_says_everything_its_holder_needs() {
    let mut world = World::one_shard();
    let grant = world.grant("s", "w1");
    assert_eq!(grant.shard, shard_id("s"));
    assert_eq!(grant.worker, worker_id("w1"));
    assert_eq!(grant.fence, Fence(1));
    assert_eq!((grant.granted, grant.deadline), (Stamp(10_000), Stamp(10_000 + LEASE)));
    assert_eq!(grant.range, range("b", "y"));
    assert_eq!(grant.cursor, None);
    assert_eq!(grant.metadata, b"meta-s");
}

#[test]
fn a_live_lease_is_refused_to_everyone_until_its_very_deadline() {
    let mut world = World::one_shard();
    world.grant("s", "w1");
    for worker in ["w1", "w2"] {
        assert_eq!(world.refused("r", acquire("s", worker)), Rejection::LeaseHeld { remaining_ms: LEASE });
    }
    world.now += LEASE - 1;
    assert_eq!(world.refused("r", acquire("s", "w2")), Rejection::LeaseHeld { remaining_ms: 1 });
    world.now += 1;
    let grant = world.grant("s", "w2");
    assert_eq!((grant.fence, grant.granted), (Fence(2), Stamp(10_000 + LEASE)));
}

#[test]
fn the_holder_may_write_until_just_before_the_deadline() {
    let mut world = World::one_shard();
    world.grant("s", "w1");
    world.now += LEASE - 1;
    assert_eq!(world.ok("r", checkpoint("s", "w1", 1, "c")), Answer::Checkpointed { cursor: cursor("c") });
    world.now += 1;
    assert_eq!(world.refused("r", checkpoint("s", "w1", 1, "d")), Rejection::LeaseExpired);
    // Nothing changed at expiry: the lease stays on record.
    assert_eq!(world.shard("s").lease.unwrap().worker, worker_id("w1"));
}

#[test]
fn a_stamp_that_falls_behind_does_not_bring_a_lease_back() {
    let mut world = World::one_shard();
    world.grant("s", "w1");
    world.now += LEASE;
    assert_eq!(world.refused("r", checkpoint("s", "w1", 1, "d")), Rejection::LeaseExpired);
    world.now -= 1;
    assert_eq!(world.refused("r", checkpoint("s", "w1", 1, "d")), Rejection::LeaseExpired);
}

#[test]
fn a_renewal_moves_the_deadline_and_never_back() {
    let mut world = World::one_shard();
    world.grant("s", "w1");
    world.now += 600;
    let renewed = world.ok("r", renew("s", "w1", 1, LEASE));
    assert_eq!(renewed, Answer::Renewed { granted: Stamp(10_600), deadline: Stamp(11_600) });
    let renewed = world.ok("r", renew("s", "w1", 1, 100));
    assert_eq!(renewed, Answer::Renewed { granted: Stamp(10_600), deadline: Stamp(11_600) });
    world.now = 11_599;
    assert_eq!(world.refused("r", acquire("s", "w2")), Rejection::LeaseHeld { remaining_ms: 1 });
    world.now = 11_600;
    assert_eq!(world.refused("r", renew("s", "w1", 1, LEASE)), Rejection::LeaseExpired);
    world.grant("s", "w2");
}

#[test]
fn a_release_frees_the_shard_at_once_and_keeps_the_cursor() {
    let mut world = World::one_shard();
    world.grant("s", "w1");
    world.ok("r", checkpoint("s", "w1", 1, "m"));
    assert_eq!(world.ok("r", release("s", "w1", 1)), Answer::Released);
    assert_eq!(world.refused("r", checkpoint("s", "w1", 1, "n")), Rejection::LeaseExpired);
    let grant = world.grant("s", "w2");
    assert_eq!((grant.fence, grant.cursor), (Fence(2), Some(cursor("m"))));
    assert_eq!(world.refused("r", checkpoint("s", "w1", 1, "n")), Rejection::FenceMismatch { current: Fence(2) });
}

#[test]
fn a_fence_that_was_never_granted_is_refused_too() {
    let mut world = World::one_shard();
    world.grant("s", "w1");
    assert_eq!(world.refused("r", checkpoint("s", "w1", 2, "c")), Rejection::FenceMismatch { current: Fence(1) });
}

#[test]
fn a_worker_with_the_right_fence_and_a_wrong_name_is_not_the_owner() {
    let mut world = World::one_shard();
    world.grant("s", "w1");
    for op in [checkpoint("s", "w2", 1, "c"), release("s", "w2", 1), renew("s", "w2", 1, LEASE), park("s", "w2", 1)] {
        assert_eq!(world.refused("r", op), Rejection::NotOwner);
    }
}

#[test]
fn a_cursor_moves_forward_inside_the_range_only() {
    let mut world = World::one_shard();
    world.grant("s", "w1");
    for outside in ["a", "y", "z"] {
        assert_eq!(world.refused("r", checkpoint("s", "w1", 1, outside)), Rejection::CursorOutOfRange);
    }
    for inside in ["b", "c", "xx"] {
        world.ok("r", checkpoint("s", "w1", 1, inside));
    }
    assert_eq!(world.refused("r", checkpoint("s", "w1", 1, "c")), Rejection::CursorRegression);
    let moved = Cursor { key: key("xx"), token: b"another".to_vec() };
    world.ok("r", Op::Checkpoint { lease: lease("s", "w1", 1), cursor: moved.clone() });
    assert_eq!(world.shard("s").cursor, Some(moved));
}

#[test]
fn an_empty_shard_is_completed_without_a_key() {
    let mut world = World::one_shard();
    world.grant("s", "w1");
    assert_eq!(world.ok("r", complete("s", "w1", 1)), Answer::Completed);
    let view = world.shard("s");
    assert_eq!((view.status, view.cursor, view.lease, view.fence), (ShardStatus::Done, None, None, Fence(1)));
}

#[test]
fn a_completion_may_move_the_cursor_a_last_time() {
    let mut world = World::one_shard();
    world.grant("s", "w1");
    world.ok("r", checkpoint("s", "w1", 1, "m"));
    let with = |at| Op::Complete { lease: lease("s", "w1", 1), cursor: Some(cursor(at)) };
    assert_eq!(world.refused("r", with("c")), Rejection::CursorRegression);
    assert_eq!(world.refused("r", with("y")), Rejection::CursorOutOfRange);
    world.ok("r", with("x"));
    assert_eq!(world.shard("s").cursor, Some(cursor("x")));
}

#[test]
fn nothing_succeeds_on_a_shard_that_is_done() {
    let mut world = World::one_shard();
    world.grant("s", "w1");
    world.ok("r", complete("s", "w1", 1));
    let terminal = Rejection::ShardTerminal { status: ShardStatus::Done };
    let ops = [
        acquire("s", "w2"),
        renew("s", "w1", 1, LEASE),
        checkpoint("s", "w1", 1, "x"),
        release("s", "w1", 1),
        complete("s", "w1", 1),
        park("s", "w1", 1),
        unpark("s"),
        replace("s", "w1", 1, &["m"]),
        residual("s", "w1", 1, "m"),
    ];
    for op in ops {
        assert_eq!(world.refused("r", op), terminal);
    }
    assert_eq!(world.refused("r", claim("w2")), Rejection::NoShardFree { remaining_ms: None });
}

#[test]
fn a_parked_shard_is_nobodys_until_it_is_unparked() {
    let mut world = World::one_shard();
    world.grant("s", "w1");
    world.ok("r", checkpoint("s", "w1", 1, "m"));
    assert_eq!(world.refused("r", unpark("s")), Rejection::ShardNotParked);
    assert_eq!(world.ok("r", park("s", "w1", 1)), Answer::Parked);
    let view = world.shard("s");
    assert_eq!((view.status, view.reason.as_str(), view.lease), (ShardStatus::Parked, "broken", None));
    assert_eq!(world.refused("r", acquire("s", "w2")), Rejection::ShardParked);
    assert_eq!(world.refused("r", claim("w2")), Rejection::NoShardFree { remaining_ms: None });
    for fence in [0, 1, 2] {
        assert_eq!(world.refused("r", checkpoint("s", "w1", fence, "n")), Rejection::ShardParked);
    }

    assert_eq!(world.ok("r", unpark("s")), Answer::Unparked { fence: Fence(2) });
    assert_eq!(world.refused("r", checkpoint("s", "w1", 1, "n")), Rejection::FenceMismatch { current: Fence(2) });
    let grant = world.grant("s", "w2");
    assert_eq!((grant.fence, grant.cursor), (Fence(3), Some(cursor("m"))));
    assert_eq!(world.shard("s").reason, "");
}

#[test]
fn a_claim_takes_the_first_free_shard_in_order_of_ranges() {
    let mut world = World::with_roots(vec![spec("z", "a", "d"), spec("y", "d", "g"), spec("x", "", "a")]);
    let names = |world: &mut World, n: usize| -> Vec<String> {
        (0..n).map(|_| granted(world.ok("r", claim("w"))).shard.to_string()).collect()
    };
    assert_eq!(names(&mut world, 2), ["x", "z"]);
    world.now += 400;
    assert_eq!(names(&mut world, 1), ["y"]);
    assert_eq!(world.refused("r", claim("w")), Rejection::NoShardFree { remaining_ms: Some(600) });
    world.now += 599;
    assert_eq!(world.refused("r", claim("w")), Rejection::NoShardFree { remaining_ms: Some(1) });
    world.now += 1;
    assert_eq!(names(&mut world, 2), ["x", "z"]);
    assert_eq!(world.refused("r", claim("w")), Rejection::NoShardFree { remaining_ms: Some(400) });
    world.ok("r", release("z", "w", 2));
    assert_eq!(names(&mut world, 1), ["z"]);
}

#[test]
fn a_claim_and_an_acquire_see_the_same_leases() {
    let mut world = World::with_roots(vec![spec("a", "", "m"), spec("b", "m", "")]);
    assert_eq!(granted(world.ok("r", claim("w1"))).shard, shard_id("a"));
    world.now += LEASE;
    // The failed claims of others must not hide an expired lease from an acquire, nor the other way round.
    assert_eq!(granted(world.ok("r", claim("w2"))).shard, shard_id("a"));
    world.grant("b", "w3");
    assert_eq!(world.refused("r", acquire("a", "w3")), Rejection::LeaseHeld { remaining_ms: LEASE });
    assert_eq!(world.refused("r", claim("w1")), Rejection::NoShardFree { remaining_ms: Some(LEASE) });
}
