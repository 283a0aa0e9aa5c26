//! What a waiter waits for, and what wakes it.

use gossip_core::consensus::StateMachine;
use gossip_core::coordination::*;

use crate::kit::*;

fn command(op: Op) -> Command {
    Command { tenant: tenant_id("t"), run: run_id("r"), op_id: OpId(1), op }
}

fn on_shard(name: &str) -> WaitKey {
    WaitKey::Shard(tenant_id("t"), run_id("r"), shard_id(name))
}

fn on_run() -> WaitKey {
    WaitKey::Run(tenant_id("t"), run_id("r"))
}

fn blocked(world: &mut World, op: Op) -> Option<(WaitKey, Stamp)> {
    let answer = world.call("r", op.clone());
    world.state.blocked_on(&command(op), &answer)
}

fn woken(world: &mut World, op: Op) -> Vec<WaitKey> {
    let answer = world.call("r", op.clone());
    assert!(answer.is_ok(), "{answer:?}");
    world.state.released_by(&command(op), &answer)
}

#[test]
fn an_acquire_waits_for_its_shard_until_the_deadline() {
    let mut world = World::one_shard();
    assert_eq!(blocked(&mut world, acquire("s", "w1")), None);
    world.now += 300;
    assert_eq!(blocked(&mut world, acquire("s", "w2")), Some((on_shard("s"), Stamp(10_000 + LEASE))));
    world.ok("r", renew("s", "w1", 1, LEASE));
    assert_eq!(blocked(&mut world, acquire("s", "w2")), Some((on_shard("s"), Stamp(10_300 + LEASE))));
}

#[test]
fn a_claim_waits_for_the_run_until_the_first_deadline() {
    let mut world = World::with_roots(vec![spec("a", "", "m"), spec("b", "m", "")]);
    world.grant("b", "w1");
    world.now += 300;
    world.grant("a", "w1");
    assert_eq!(blocked(&mut world, claim("w2")), Some((on_run(), Stamp(10_000 + LEASE))));
    world.ok("r", complete("b", "w1", 1));
    assert_eq!(blocked(&mut world, claim("w2")), Some((on_run(), Stamp(10_300 + LEASE))));
    world.ok("r", complete("a", "w1", 1));
    // Nothing but an unpark or the run's end can change the answer now: it is not asked again before.
    assert_eq!(blocked(&mut world, claim("w2")), Some((on_run(), Stamp(u64::MAX))));
}

#[test]
fn final_refusals_wait_for_nothing() {
    let mut world = World::one_shard();
    world.grant("s", "w1");
    for op in [checkpoint("s", "w1", 9, "m"), acquire("x", "w1"), renew("s", "w2", 1, LEASE), Op::CompleteRun] {
        assert_eq!(blocked(&mut world, op), None);
    }
}

#[test]
fn whatever_frees_or_finishes_a_shard_wakes_those_who_wait_for_it() {
    let mut world = World::with_roots(["a", "b", "c", "d"].windows(2).map(|w| spec(w[0], w[0], w[1])).collect());
    let grant = |world: &mut World, shard: &str| world.grant(shard, "w").fence.0;
    let fence = grant(&mut world, "a");
    assert_eq!(woken(&mut world, renew("a", "w", fence, LEASE)), []);
    assert_eq!(woken(&mut world, checkpoint("a", "w", fence, "aa")), []);
    assert_eq!(woken(&mut world, residual("a", "w", fence, "ab")), [on_run()]);
    assert_eq!(woken(&mut world, release("a", "w", fence)), [on_shard("a"), on_run()]);
    let fence = grant(&mut world, "a");
    assert_eq!(woken(&mut world, park("a", "w", fence)), [on_shard("a")]);
    assert_eq!(woken(&mut world, unpark("a")), [on_run()]);
    let fence = grant(&mut world, "b");
    assert_eq!(woken(&mut world, replace("b", "w", fence, &["bb"])), [on_shard("b"), on_run()]);
    for shard in ["a", "c", "a~0", "b~1"] {
        let fence = grant(&mut world, shard);
        assert_eq!(woken(&mut world, complete(shard, "w", fence)), [on_shard(shard)]);
    }
    let fence = grant(&mut world, "b~2");
    assert_eq!(woken(&mut world, complete("b~2", "w", fence)), [on_shard("b~2")]);
    assert_eq!(woken(&mut world, Op::CompleteRun), [on_run()]);
}

#[test]
fn an_ending_wakes_everyone() {
    let mut world = World::with_roots(vec![spec("a", "", "m"), spec("b", "m", "")]);
    world.grant("a", "w");
    world.ok("r", complete("a", "w", 1));
    world.grant("b", "w");
    assert_eq!(woken(&mut world, Op::CancelRun { reason: String::new() }), [on_shard("b"), on_run()]);
}

#[test]
fn a_refusal_wakes_nobody() {
    let mut world = World::one_shard();
    let op = release("s", "w", 0);
    let answer = world.call("r", op.clone());
    assert_eq!(answer, Err(Rejection::LeaseExpired));
    assert_eq!(world.state.released_by(&command(op), &answer), []);
}
