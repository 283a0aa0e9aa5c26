//! `apply` never panics, whatever stands in the log, and a refusal changes nothing.

use gossip_core::consensus::StateMachine;
use gossip_core::coordination::limits::Quotas;
use gossip_core::coordination::*;
use gossip_core::mutants::Planted;
use proptest::prelude::*;

use crate::kit::*;

fn name<T: serde::de::DeserializeOwned + std::fmt::Debug>(known: &'static [&'static str]) -> impl Strategy<Value = T> {
    let text = prop_oneof![8 => prop::sample::select(known).prop_map(String::from), 1 => ".{0,5}", 1 => "[a~.]{0,300}"];
    // As the log would bring it: past every parser.
    text.prop_map(|text| postcard::from_bytes(&postcard::to_stdvec(&text).unwrap()).unwrap())
}

fn any_key() -> impl Strategy<Value = Key> {
    prop_oneof![
        8 => prop::collection::vec(97..103u8, 0..3),
        2 => prop::collection::vec(any::<u8>(), 0..4),
        1 => Just(vec![120; limits::MAX_KEY + 1]),
    ]
    .prop_map(Key::from)
}

fn any_number() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 0..4u64, 3 => 90..1_000u64, 1 => any::<u64>(), 1 => Just(u64::MAX)]
}

fn any_cursor() -> impl Strategy<Value = Cursor> {
    (any_key(), prop_oneof![9 => 0..3usize, 1 => Just(limits::MAX_CURSOR_TOKEN + 1)])
        .prop_map(|(key, token)| Cursor { key, token: vec![0; token] })
}

fn any_shard() -> impl Strategy<Value = ShardId> {
    name(&["s", "t", "s~0", "s~1", "s~2", "t~0", "t~1"])
}

fn any_lease() -> impl Strategy<Value = LeaseRef> {
    (any_shard(), name(&["w", "v"]), any_number()).prop_map(|(shard, worker, fence)| LeaseRef {
        shard,
        worker,
        fence: Fence(fence),
    })
}

fn any_spec() -> impl Strategy<Value = ShardSpec> {
    (any_shard(), any_key(), any_key(), 0..3usize).prop_map(|(shard, start, end, n)| ShardSpec {
        shard,
        range: Range { start, end },
        metadata: vec![1; n],
    })
}

fn any_op() -> impl Strategy<Value = Op> {
    let text = prop_oneof![9 => ".{0,4}", 1 => Just("r".repeat(limits::MAX_REASON + 1))];
    let length = prop_oneof![5 => 100..1_000u64, 1 => any_number()];
    prop_oneof![
        (0..3usize).prop_map(|n| Op::CreateRun { metadata: vec![0; n] }),
        (prop::collection::vec(any_spec(), 0..4), any::<bool>()).prop_map(|(shards, start)| register(shards, start)),
        prop::sample::select(vec![Op::StartRun, Op::CompleteRun, Op::DeleteRun]),
        text.clone().prop_map(|reason| Op::FailRun { reason }),
        text.clone().prop_map(|reason| Op::CancelRun { reason }),
        (any_shard(), name(&["w", "v"]), length.clone()).prop_map(|(shard, worker, lease_ms)| Op::Acquire {
            shard,
            worker,
            lease_ms
        }),
        (name(&["w", "v"]), length.clone()).prop_map(|(worker, lease_ms)| Op::Claim { worker, lease_ms }),
        (any_lease(), length).prop_map(|(lease, lease_ms)| Op::Renew { lease, lease_ms }),
        (any_lease(), any_cursor()).prop_map(|(lease, cursor)| Op::Checkpoint { lease, cursor }),
        any_lease().prop_map(|lease| Op::Release { lease }),
        (any_lease(), prop::option::of(any_cursor())).prop_map(|(lease, cursor)| Op::Complete { lease, cursor }),
        (any_lease(), text).prop_map(|(lease, reason)| Op::Park { lease, reason }),
        any_shard().prop_map(|shard| Op::Unpark { shard }),
        (any_lease(), prop::collection::vec(any_key(), 0..5))
            .prop_map(|(lease, cuts)| Op::SplitReplace { lease, cuts }),
        (any_lease(), any_key()).prop_map(|(lease, at)| Op::SplitResidual { lease, at }),
    ]
}

fn any_command() -> impl Strategy<Value = Command> {
    (name(&["t"]), name(&["r"]), 0..400u128, any_op()).prop_map(|(tenant, run, op_id, op)| Command {
        tenant,
        run,
        op_id: OpId(op_id),
        op,
    })
}

/// Something for random commands to hit: `s` and `t` leased by `w` under fence 1.
fn ready(state: &mut State) {
    let roots = vec![spec("s", "", "d"), spec("t", "d", "")];
    let ops = [Op::CreateRun { metadata: Vec::new() }, register(roots, true), acquire("s", "w"), acquire("t", "w")];
    for (op_id, op) in (1_000..).zip(ops) {
        let command = Command { tenant: tenant_id("t"), run: run_id("r"), op_id: OpId(op_id), op };
        state.apply(1, Stamp(0), &command).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_command_makes_apply_panic(
        prepared in any::<bool>(),
        commands in prop::collection::vec((any_command(), prop_oneof![20 => 0..300u64, 1 => any::<u64>()]), 1..80),
    ) {
        let mut state = State::new(Quotas { shards_per_tenant: 30, runs_per_tenant: 3 }, Planted::NONE);
        if prepared {
            ready(&mut state);
        }
        for (index, (command, stamp)) in (2..).zip(commands) {
            let answer = state.apply(index, Stamp(stamp), &command);
            state.blocked_on(&command, &answer);
            state.released_by(&command, &answer);
            prop_assert_eq!(state.check_invariants(), Ok(()), "{:?}", command);
            if answer.is_err() {
                let before = state.snapshot();
                prop_assert_eq!(state.apply(index, Stamp(stamp), &command), answer);
                prop_assert_eq!(state.snapshot(), before);
            }
        }
    }
}
