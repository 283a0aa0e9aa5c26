//! Names used again.

use super::*;
use crate::invariants::Invariant::Names;

fn delete(run: &str) -> TestCall {
    TestCall::new("delete-run", Value::map([("run", run), ("op-id", &format!("delete {run}"))]))
}

fn of(run: &str, call: TestCall) -> TestCall {
    call.input("run", run)
}

/// The verdict by everything, and whether it says that names could not be told apart.
fn judged(parts: &[Part]) -> (Validity, Option<String>) {
    let verdict = judge(&history(parts), &Options::default()).unwrap();
    (verdict.validity, verdict.check(Names).map(|check| check.note.clone().unwrap()))
}

fn root() -> TestCall {
    register(&[("s", Some("10"), Some("40"))])
}

#[test]
fn two_lives_of_a_run_are_not_judged_as_one() {
    let life = |fence| [root(), acquire("a", fence), write("complete", "a", fence), end_run("complete-run", "c")];
    let [one, two, three, four] = life(1);
    let mut again: Vec<Part> = parts![one, two, three, four, delete("r")].to_vec();
    assert_eq!(judged(&again), (Validity::True, None));
    again.extend(life(2).map(Part::One));
    let (validity, note) = judged(&again);
    assert_eq!(validity, Validity::Unknown);
    assert!(note.unwrap().contains("run r: it may have been deleted and made again"));
    // What violates something elsewhere is still found.
    again.extend(parts![
        TestCall::new("acquire", Value::map([("run", "q"), ("shard", "x"), ("worker", "a"), ("op-id", "x1")]))
            .out("fence", 2),
        TestCall::new("acquire", Value::map([("run", "q"), ("shard", "x"), ("worker", "a"), ("op-id", "x2")]))
            .out("fence", 1)
    ]);
    assert_eq!(judged(&again).0, Validity::False);
    // Of these nobody knows that they are not in the run that is left out.
    let mut again: Vec<Part> = again[..9].to_vec();
    again.extend(parts![acquire("a", 2).input("shard", "y"), acquire("b", 1).input("shard", "y")]);
    assert_eq!(judged(&again).0, Validity::Unknown);
}

#[test]
fn one_life_is_judged_whatever_was_deleted() {
    let bad = || parts![root(), acquire("a", 2), acquire("b", 1)];
    let with = |before: Option<TestCall>, after: Option<TestCall>| {
        let before = before.into_iter().map(Part::One);
        let after = after.into_iter().map(Part::One);
        judged(&before.chain(bad()).chain(after).collect::<Vec<_>>())
    };
    assert_eq!(with(None, None), (Validity::False, None));
    assert_eq!(with(Some(delete("r")), None), (Validity::False, None), "of the first life there is nothing");
    assert_eq!(with(None, Some(delete("r"))), (Validity::False, None));
    assert_eq!(with(Some(delete("q")), Some(delete("q"))), (Validity::False, None), "another run");
    assert_eq!(with(None, Some(delete("r").failed("run-not-ended"))), (Validity::False, None));
}

#[test]
fn a_deletion_that_may_have_come_between_is_enough() {
    let use_of = |fence| acquire("a", fence);
    // Its answer was lost, and so was that of the registration before it.
    let parts = parts![root().lost(), use_of(1).by(1), delete("r").lost().by(1), use_of(2).by(2)];
    assert!(judged(&parts).1.is_some());
    // Nothing can have made it once more.
    let parts = parts![root(), use_of(1), delete("r").lost(), use_of(2).by(1)];
    assert!(judged(&parts).1.is_none());
    // Nobody tells the run of the shard.
    let parts = parts![use_of(1), delete("r"), use_of(2)];
    assert!(judged(&parts).1.unwrap().contains("shard s"));
}

#[test]
fn a_shard_name_in_two_runs_is_of_neither() {
    let (validity, note) = judged(&parts![root(), of("q", root()), acquire("a", 1), acquire("b", 1)]);
    assert_eq!(validity, Validity::Unknown);
    assert!(note.unwrap().contains("run q: a shard s is in each of the runs q, r; run r: "));
    assert_eq!(judged(&parts![root(), of("q", root()).failed("run-ended"), acquire("a", 1)]), (Validity::True, None));
}

#[test]
fn s8_a_deleted_shard_is_not_missed() {
    let gone = || read_shard(Value::Nil).last().failed("shard-not-found");
    rejects!(S8: root(), gone(), delete("r"));
    has_nothing_for!(S8: root(), delete("r"), gone());
    has_nothing_for!(S8: root(), delete("r").lost(), gone().by(1));
    rejects!(S8: root(), delete("q"), gone());
}

#[test]
fn s3_only_an_ended_run_is_deleted() {
    let end = || end_run("cancel-run", "e");
    rejects!(S3: root(), delete("r"));
    accepts!(S3: root(), end(), delete("r"));
    accepts!(S3: root(), end().lost(), delete("r").by(1));
    rejects!(S3: root(), end().failed("run-ended"), delete("r"));
    // Asked for when the deletion was under way, and when it was answered.
    accepts!(S3: root(), vec![delete("r"), end()]);
    rejects!(S3: root(), delete("r"), end());
    // Refused, or not answered.
    has_nothing_for!(S3: root(), delete("r").failed("run-not-ended"));
    has_nothing_for!(S3: root(), delete("r").lost());
    // Of this run nothing was known before.
    has_nothing_for!(S3: delete("r"), root());
    // The first try is what counts.
    accepts!(S3: root(), delete("r").lost(), end().by(1), delete("r").by(2));
}

#[test]
fn s3_of_a_deleted_run_nothing_is_left() {
    let ended = || end_run("cancel-run", "e");
    let read = || read_run(vec![]).out("status", Value::keyword("cancelled"));
    rejects!(S3: root(), ended(), delete("r"), read());
    accepts!(S3: root(), ended(), delete("r"), read().input("stale?", true));
    accepts!(S3: root(), ended(), delete("r"), read().failed("run-not-found"));
}

#[test]
fn what_shows_a_shard_elsewhere_does_not_put_it_there() {
    let claim = TestCall::new("claim", Value::map([("run", "q"), ("worker", "a"), ("op-id", "c1")])).out("shard", "s");
    assert!(judged(&parts![root(), of("q", register(&[("t", None, None)])), claim.clone()]).1.is_none());
    // Nothing made it: it may be in either.
    assert!(judged(&parts![claim.clone(), claim.input("run", "r").input("op-id", "c2")]).1.is_some());
    let stale = read_run(vec![leaf("s", "active", None, None)]).input("run", "q").input("stale?", true);
    assert!(judged(&parts![acquire("a", 1), delete("q"), stale]).1.is_none());
}
