//! Histories that are linearizable by construction are never accused; with one lie in them they are, and the lie is in the
//! part that is shown.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::time::Duration;

use gossip_check::history::{Op, OpType, Value};
use gossip_check::judge::{Linearizability, Validity};
use gossip_check::model::{Register, RegisterInput, RegisterOutput};
use gossip_check::wgl::generate::{self, Shape};
use gossip_check::wgl::{Limits, Outcome, ShardsChecked, check, check_shards};

const SHAPE: Shape = Shape { seed: 0, shards: 3, clients: 4, operations: 240, lost: 20 };

fn checked(ops: &[Op]) -> ShardsChecked {
    check_shards(ops, Limits::default()).unwrap()
}

/// The answers of one kind, by place.
fn answers(ops: &[Op], f: &str, typ: OpType) -> Vec<usize> {
    (0..ops.len()).filter(|i| ops[*i].f == f && ops[*i].typ == typ).collect()
}

fn add(op: &mut Op, key: &str, by: i64) {
    let value = op.value.some(key).and_then(Value::as_i64).unwrap();
    op.value = std::mem::take(&mut op.value).with(key, value + by);
}

#[test]
fn what_is_true_is_never_accused() {
    for seed in 0..300 {
        let ops = generate::shards(&Shape { seed, ..SHAPE });
        let checked = checked(&ops);
        assert_eq!(checked.validity, Validity::True, "seed {seed}: {:?}", checked.anomalies);
        assert_eq!(checked.checked_shards, 3);
        let entries = generate::register(&Shape { seed, ..SHAPE });
        let outcome = check(&Register::default(), &entries, Limits::default());
        assert!(matches!(outcome, Outcome::Linearizable(_)), "seed {seed}: {outcome:?}");
    }
}

#[test]
fn a_generated_history_has_everything_in_it() {
    let ops = generate::shards(&SHAPE);
    for f in ["acquire", "renew", "checkpoint", "release", "read-shard"] {
        assert!(!answers(&ops, f, OpType::Ok).is_empty(), "no {f} was answered");
    }
    assert!(ops.iter().any(|op| op.typ == OpType::Info), "no answer was lost");
    assert!(ops.iter().any(|op| op.typ == OpType::Fail), "nothing was refused");
    assert_eq!(ops.iter().filter(|op| op.typ == OpType::Invoke).count(), SHAPE.operations + 1);
}

/// Where the call was invoked that is answered at this place.
fn invoked(ops: &[Op], answered: usize) -> usize {
    ops[..answered].iter().rposition(|op| op.process == ops[answered].process).unwrap()
}

/// One answer of each seed is made a lie, not the shard's first. The shard is convicted, at the lie, or at an answer given
/// while the liar was under way, which the truth would have explained.
fn every_lie_is_found(f: &str, lie: impl Fn(&mut Op)) {
    for seed in 0..100 {
        let mut ops = generate::shards(&Shape { seed, shards: 1, lost: 0, ..SHAPE });
        let answers = answers(&ops, f, OpType::Ok);
        let liar = answers[answers.len() / 2 + seed as usize % (answers.len() / 2)];
        lie(&mut ops[liar]);
        let checked = checked(&ops);
        let [anomaly] = &checked.anomalies[..] else { panic!("seed {seed}: {:?}", checked.anomalies) };
        let stuck = *anomaly.ops.last().unwrap() as usize;
        assert!((invoked(&ops, liar)..=liar).contains(&stuck), "seed {seed}: {stuck} and not {liar}");
        assert!(!anomaly.states.is_empty());
    }
}

#[test]
fn a_read_of_another_fence_is_found() {
    every_lie_is_found("read-shard", |op| add(op, "fence", 100));
}

#[test]
fn a_grant_that_skips_fences_is_found() {
    every_lie_is_found("acquire", |op| add(op, "fence", 100));
}

#[test]
fn a_grant_before_the_lease_clock_is_found() {
    every_lie_is_found("acquire", |op| add(op, "granted", -1_000_000));
}

#[test]
fn a_read_that_forgets_the_cursor_is_found() {
    // Where there was a cursor; before the first checkpoint it is no lie.
    for seed in 0..100 {
        let mut ops = generate::shards(&Shape { seed, lost: 0, shards: 1, ..SHAPE });
        let Some(liar) = answers(&ops, "read-shard", OpType::Ok).pop() else { continue };
        assert!(ops[liar].value.some("cursor").is_some());
        ops[liar].value = std::mem::take(&mut ops[liar].value).with("cursor", Value::Nil);
        assert_eq!(checked(&ops).validity, Validity::False, "seed {seed}");
    }
}

#[test]
fn lies_of_a_register_are_found() {
    for seed in 0..100 {
        let mut entries = generate::register(&Shape { seed, ..SHAPE });
        let is_read = |i: &usize| entries[*i].input == RegisterInput::Read && entries[*i].answered.is_some();
        let liar = (0..entries.len()).filter(is_read).nth(seed as usize % 20).unwrap();
        entries[liar].output = Some(RegisterOutput::Read(Some(99)));
        match check(&Register::default(), &entries, Limits::default()) {
            Outcome::Illegal(failure) => assert_eq!(failure.stuck, liar),
            other => panic!("seed {seed}: {other:?}"),
        }
    }
}

#[test]
fn many_shards_come_to_the_same_on_many_threads() {
    let shape = Shape { shards: 40, operations: 12_000, lost: 1, ..SHAPE };
    let mut ops = generate::shards(&shape);
    assert_eq!(checked(&ops).validity, Validity::True);
    for liar in answers(&ops, "read-shard", OpType::Ok).into_iter().step_by(500) {
        add(&mut ops[liar], "fence", 100);
    }
    let (first, second) = (checked(&ops), checked(&ops));
    assert!(first.anomalies.len() > 3);
    assert_eq!(first, second);
    assert!(first.anomalies.is_sorted_by_key(|a| &a.shard));
}

#[test]
fn out_of_time_is_unknown_and_says_so() {
    let shape = Shape { shards: 1, clients: 10, operations: 4000, ..SHAPE };
    let checked =
        check_shards(&generate::shards(&shape), Limits { time: Duration::ZERO, ..Limits::default() }).unwrap();
    assert_eq!(checked.validity, Validity::Unknown);
    let found = Linearizability::from(checked);
    assert_eq!(found.note.as_deref(), Some("gave up: s000 out of time"));
}
