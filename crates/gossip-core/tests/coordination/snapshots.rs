//! A snapshot is the whole state, the same bytes on every node.

use gossip_core::consensus::StateMachine;
use gossip_core::coordination::limits::Quotas;
use gossip_core::coordination::*;
use gossip_core::mutants::Planted;

use crate::kit::*;

fn busy() -> World {
    let mut world = World::with_roots(vec![spec("a", "", "g"), spec("b", "g", "p"), spec("c", "p", "")]);
    world.apply("r", 7, acquire("a", "w")).unwrap();
    world.ok("r", checkpoint("a", "w", 1, "c"));
    world.ok("r", residual("a", "w", 1, "d"));
    world.grant("b", "w");
    world.ok("r", replace("b", "w", 1, &["h", "i"]));
    world.grant("c", "v");
    world.ok("r", park("c", "v", 1));
    world.ok("gone", Op::CreateRun { metadata: Vec::new() });
    world.ok("gone", Op::FailRun { reason: "x".into() });
    world.ok("gone", Op::DeleteRun);
    world.tenant = "u";
    world.ok("q", Op::CreateRun { metadata: b"m".to_vec() });
    world.tenant = "t";
    world
}

#[test]
fn a_restored_state_goes_on_as_the_first() {
    let mut first = busy();
    let bytes = first.state.snapshot();
    let mut second = World::empty(Quotas { shards_per_tenant: 1, runs_per_tenant: 1 }, Planted::NONE);
    second.state.restore(&bytes).unwrap();
    (second.now, second.index) = (first.now, first.index);
    assert_eq!(second.state.snapshot(), bytes);
    assert_eq!(second.state.quotas(), first.state.quotas());
    assert_eq!((second.state.clock(), second.state.totals()), (first.state.clock(), first.state.totals()));

    first.now += LEASE;
    second.now += LEASE;
    let ops = [
        (7, acquire("a", "w")),
        (100, claim("x")),
        (101, claim("x")),
        (102, claim("x")),
        (103, unpark("c")),
        (104, claim("x")),
        (105, acquire("b~2", "y")),
        (106, acquire("b~2", "z")),
        (107, checkpoint("a", "w", 1, "cc")),
        (108, Op::CancelRun { reason: "end".into() }),
        (109, Op::DeleteRun),
    ];
    for (op_id, op) in ops {
        assert_eq!(first.apply("r", op_id, op.clone()), second.apply("r", op_id, op.clone()), "{op:?}");
        assert_eq!(first.state.snapshot(), second.state.snapshot(), "{op:?}");
    }
}

#[test]
fn failed_claims_leave_no_trace_in_the_bytes() {
    // A claim moves expired leases within an index; a node that was restored in between must not differ.
    let with_two_expired = || {
        let mut world = busy();
        world.grant("b~2", "w");
        world.now += LEASE;
        assert_eq!(granted(world.apply("r", 49, claim("w8")).unwrap()).shard, shard_id("a"));
        world
    };
    let (mut first, mut second) = (with_two_expired(), with_two_expired());
    let bytes = second.state.snapshot();
    second.state.restore(&bytes).unwrap();
    for (op_id, op) in [(50, acquire("b~2", "w9")), (51, claim("w9")), (52, claim("w9")), (53, claim("w9"))] {
        assert_eq!(first.apply("r", op_id, op.clone()), second.apply("r", op_id, op));
        assert_eq!(first.state.snapshot(), second.state.snapshot());
    }
    assert_eq!(first.shard("b~2").lease.unwrap().worker, worker_id("w9"));
}

#[test]
fn bytes_that_are_no_snapshot_are_refused_and_change_nothing() {
    let mut world = busy();
    let good = world.state.snapshot();
    let mut newer = good.clone();
    newer[0] += 1;
    let mut longer = good.clone();
    longer.push(0);
    let cases = [Vec::new(), newer, longer, good[..good.len() - 1].to_vec(), good[..1].to_vec(), vec![0; 100]];
    for bytes in cases {
        world.state.restore(&bytes).unwrap_err();
        assert_eq!(world.state.snapshot(), good);
    }
    let newer = world.state.restore(&[3]).unwrap_err();
    assert_eq!(newer.to_string(), "snapshot cannot be read: format 3, this build reads format 2");
}

#[test]
fn no_flipped_byte_makes_restore_panic_or_admit_a_state_that_breaks_the_rules() {
    let good = busy().state.snapshot();
    for at in 0..good.len() {
        for flip in [1, 0x80, 0xff] {
            let mut bytes = good.clone();
            bytes[at] ^= flip;
            let mut state = State::new(Quotas::default(), Planted::NONE);
            if state.restore(&bytes).is_ok() {
                state.check_invariants().unwrap();
            }
        }
    }
}

#[test]
fn an_empty_state_is_a_snapshot_too() {
    let mut world = World::one_shard();
    let empty = State::new(Quotas { shards_per_tenant: 5, runs_per_tenant: 6 }, Planted::NONE).snapshot();
    world.state.restore(&empty).unwrap();
    assert_eq!(world.state.totals(), Totals::default());
    assert_eq!(world.state.quotas().shards_per_tenant, 5);
}
