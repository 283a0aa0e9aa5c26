//! What is refused without a look at the state, and the field that the caller is told.

use gossip_core::coordination::limits::*;
use gossip_core::coordination::*;

use crate::kit::*;

fn check(op: Op) -> Result<(), Rejection> {
    Command { tenant: tenant_id("t"), run: run_id("r"), op_id: OpId(1), op }.check()
}

fn field_of(rejection: Rejection) -> String {
    match rejection {
        Rejection::InvalidArgument(Invalid { field, .. }) => field,
        Rejection::LimitExceeded { field, max, actual } => format!("{field} {actual}>{max}"),
        other => panic!("{other:?}"),
    }
}

fn long_key(n: usize) -> Key {
    vec![b'k'; n].into()
}

/// A name that no parser let through, as a damaged or foreign log might hold it.
fn forged<T: serde::de::DeserializeOwned>(text: &str) -> T {
    postcard::from_bytes(&postcard::to_stdvec(text).unwrap()).unwrap()
}

fn with_metadata(bytes: usize) -> ShardSpec {
    ShardSpec { metadata: vec![0; bytes], ..spec("s", "a", "b") }
}

fn fourth(bad: ShardSpec) -> Op {
    register(vec![spec("a", "a", "b"), spec("b", "b", "c"), spec("c", "c", "d"), bad], false)
}

#[test]
fn every_bound_is_inclusive() {
    let cursor = Cursor { key: long_key(MAX_KEY), token: vec![0; MAX_CURSOR_TOKEN] };
    let widest = Range::new(long_key(MAX_KEY - 1), long_key(MAX_KEY));
    let root = ShardSpec { shard: shard_id(&"r".repeat(128)), range: widest, metadata: vec![0; MAX_METADATA] };
    let longest = |lease_ms| Op::Claim { worker: worker_id(&"w".repeat(253)), lease_ms };
    let cases = [
        Op::CreateRun { metadata: vec![0; MAX_METADATA] },
        register(vec![root], false),
        Op::FailRun { reason: "r".repeat(MAX_REASON) },
        Op::Checkpoint { lease: lease("s", "w", u64::MAX), cursor: cursor.clone() },
        Op::Complete { lease: lease("s", "w", 0), cursor: Some(cursor) },
        longest(MIN_LEASE_MS),
        longest(MAX_LEASE_MS),
        Op::SplitReplace { lease: lease("s", "w", 1), cuts: vec![long_key(MAX_KEY); MAX_CHILDREN - 1] },
        Op::SplitResidual { lease: lease("s", "w", 1), at: long_key(MAX_KEY) },
    ];
    for op in cases {
        assert_eq!(check(op.clone()), Ok(()), "{}", op.name());
    }
}

#[test]
fn one_past_a_bound_names_the_field() {
    let at = |key: &str, token: usize| Cursor { key: self::key(key), token: vec![0; token] };
    let cases = [
        (Op::CreateRun { metadata: vec![0; MAX_METADATA + 1] }, "metadata 16385>16384"),
        (Op::FailRun { reason: "r".repeat(MAX_REASON + 1) }, "reason 1025>1024"),
        (Op::CancelRun { reason: "r".repeat(MAX_REASON + 1) }, "reason 1025>1024"),
        (Op::Park { lease: lease("s", "w", 1), reason: "r".repeat(MAX_REASON + 1) }, "reason 1025>1024"),
        (Op::Claim { worker: worker_id("w"), lease_ms: MIN_LEASE_MS - 1 }, "lease_ms"),
        (Op::Acquire { shard: shard_id("s"), worker: worker_id("w"), lease_ms: MAX_LEASE_MS + 1 }, "lease_ms"),
        (renew("s", "w", 1, 0), "lease_ms"),
        (Op::Checkpoint { lease: lease("s", "w", 1), cursor: at("", 0) }, "cursor.key"),
        (
            Op::Checkpoint {
                lease: lease("s", "w", 1),
                cursor: Cursor { key: long_key(MAX_KEY + 1), token: Vec::new() },
            },
            "cursor.key 4097>4096",
        ),
        (
            Op::Complete { lease: lease("s", "w", 1), cursor: Some(at("k", MAX_CURSOR_TOKEN + 1)) },
            "cursor.token 65537>65536",
        ),
        (replace("s", "w", 1, &[]), "cuts"),
        (replace("s", "w", 1, &["a", "b", ""]), "cuts[2]"),
        (
            Op::SplitReplace { lease: lease("s", "w", 1), cuts: vec![key("a"), long_key(MAX_KEY + 1)] },
            "cuts[1] 4097>4096",
        ),
        (Op::SplitReplace { lease: lease("s", "w", 1), cuts: vec![key("a"); MAX_CHILDREN] }, "cuts 256>255"),
        (residual("s", "w", 1, ""), "at"),
        (register(Vec::new(), true), "shards"),
        (register(vec![spec("s", "a", "b"); MAX_ROOTS + 1], false), "shards 10001>10000"),
        (fourth(spec("x", "b", "a")), "shards[3].range.start"),
        (fourth(spec("x", "b", "b")), "shards[3].range.start"),
        (
            fourth(ShardSpec { range: Range::new(long_key(MAX_KEY + 1), key("")), ..spec("x", "", "") }),
            "shards[3].range.start 4097>4096",
        ),
        (
            fourth(ShardSpec { range: Range::new(key("a"), long_key(MAX_KEY + 1)), ..spec("x", "", "") }),
            "shards[3].range.end 4097>4096",
        ),
        (fourth(with_metadata(MAX_METADATA + 1)), "shards[3].metadata 16385>16384"),
        (fourth(spec("x~1", "x", "y")), "shards[3].shard"),
        (fourth(spec(&"x".repeat(129), "x", "y")), "shards[3].shard"),
    ];
    for (op, field) in cases {
        assert_eq!(check(op.clone()).map_err(field_of), Err(field.into()), "{}", op.name());
    }
}

#[test]
fn names_that_no_parser_let_through_are_refused_by_apply() {
    let good = || Command { tenant: tenant_id("t"), run: run_id("r"), op_id: OpId(1), op: Op::StartRun };
    let bad_lease =
        |shard: &str, worker: &str| LeaseRef { shard: forged(shard), worker: forged(worker), fence: Fence(1) };
    let cases = [
        (Command { tenant: forged(""), ..good() }, "tenant"),
        (Command { tenant: forged("a/b"), ..good() }, "tenant"),
        (Command { run: forged("r\n"), ..good() }, "run"),
        (Command { op: Op::Unpark { shard: forged("ü") }, ..good() }, "shard"),
        (Command { op: Op::Claim { worker: forged(" "), lease_ms: LEASE }, ..good() }, "worker"),
        (Command { op: Op::Release { lease: bad_lease("s s", "w") }, ..good() }, "lease.shard"),
        (Command { op: Op::Release { lease: bad_lease("s", "") }, ..good() }, "lease.worker"),
        (
            Command { op: register(vec![ShardSpec { shard: forged(""), ..spec("s", "a", "b") }], true), ..good() },
            "shards[0].shard",
        ),
    ];
    let mut world = World::one_shard();
    for (command, field) in cases {
        assert_eq!(world.apply_command(&command).map_err(field_of), Err(field.to_string()), "{command:?}");
    }
}
