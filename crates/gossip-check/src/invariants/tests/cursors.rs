//! S7: cursors, and the ranges that they stay in.

use super::*;

#[test]
fn s7_cursors_only_move_forward() {
    let root = || register(&[("s", Some("10"), Some("40"))]);
    let a = || acquire("a", 1);
    accepts!(S7: root(), a(), checkpoint("a", 1, "20"), checkpoint("a", 1, "20"));
    rejects!(S7: root(), a(), checkpoint("a", 1, "20"), checkpoint("a", 1, "1f"));
    // A release that forgets the cursor.
    rejects!(S7: root(), a(), checkpoint("a", 1, "20"), acquire("b", 2));
    accepts!(S7: root(), a(), checkpoint("a", 1, "20"), acquire("b", 2).out("cursor", "20"));
    rejects!(S7: root(), a(), checkpoint("a", 1, "20"), read_shard(Value::map([("cursor", "1f")])));
    let token = Value::map([("key", "20"), ("token", "ab")]);
    accepts!(S7: root(), a(), checkpoint("a", 1, "20"), read_shard(Value::map([("cursor", token)])));
    // A cursor of which nothing is known before is compared with nothing.
    has_nothing_for!(S7: checkpoint("a", 1, "20"));
    accepts!(S7: checkpoint("a", 1, "20"), checkpoint("a", 1, "21"));
    // Concurrent checkpoints may be answered in any order.
    accepts!(S7: root(), a(), vec![checkpoint("a", 1, "20"), checkpoint("a", 1, "18")]);
}

#[test]
fn s7_the_leftmost_child_goes_on_from_its_parents_cursor() {
    let parts = || vec![range("y", Some("20"), Some("40")), range("x", Some("10"), Some("20"))];
    let split = || write("split-replace", "a", 1).out("children", parts());
    let of = |shard: &str, cursor: Option<&str>| {
        acquire("b", 1).input("shard", shard).input("op-id", shard).out("cursor", cursor)
    };
    let begin = || [Part::from(acquire("a", 1)), checkpoint("a", 1, "1f").into()];
    let after = |calls: Vec<TestCall>| {
        let all: Vec<Part> = begin().into_iter().chain(calls.into_iter().map(Part::from)).collect();
        verdict(S7, &all)
    };
    assert_eq!(after(vec![split(), of("x", Some("1f")), of("y", None)]), Validity::True);
    assert_eq!(after(vec![split(), of("x", None)]), Validity::False);
    assert_eq!(after(vec![split(), of("x", Some("1e"))]), Validity::False);
    // Its own leftmost child has it as well.
    let again = || {
        write("split-replace", "b", 1).input("shard", "x").out("children", vec![range("z", Some("10"), Some("1f08"))])
    };
    assert_eq!(after(vec![split(), again(), of("z", None)]), Validity::False);
    // A checkpoint that was under way at the split may have come first or not at all.
    let both: Part = vec![checkpoint("a", 1, "1f08"), split()].into();
    let all: Vec<Part> = begin().into_iter().chain([both, of("x", Some("1f")).into()]).collect();
    assert_eq!(verdict(S7, &all), Validity::True);
}

#[test]
fn s7_cursors_stay_in_the_range() {
    let root = || register(&[("s", Some("10"), Some("40"))]);
    accepts!(S7: root(), checkpoint("a", 1, "10"));
    rejects!(S7: root(), checkpoint("a", 1, "0f"));
    accepts!(S7: root(), checkpoint("a", 1, "3fff"));
    rejects!(S7: root(), checkpoint("a", 1, "40"));
    rejects!(S7: root(), residual("30", "30", Some("40")), checkpoint("a", 1, "30"));
    accepts!(S7: root(), residual("30", "30", Some("40")), checkpoint("a", 1, "2f"));
}

#[test]
fn ranges_come_from_who_made_the_shard() {
    let at = |start| register(&[("s", Some(start), Some("40"))]);
    // An answered maker beats those that were never answered.
    rejects!(S7: at("10"), at("30").lost(), checkpoint("a", 1, "0f").by(1));
    accepts!(S7: at("10"), at("30").lost(), checkpoint("a", 1, "20").by(1));
    accepts!(S7: at("30").lost(), at("10").by(1), checkpoint("a", 1, "20").by(1));
    // Of several that were never answered nobody knows which it was.
    has_nothing_for!(S7: at("10").lost(), at("30").lost().by(1), checkpoint("a", 1, "20").by(2));
    rejects!(S7: at("30").lost(), at("30").lost().by(1), checkpoint("a", 1, "20").by(2));
}

#[test]
fn s7_a_leftmost_child_has_no_cursor_that_nobody_wrote() {
    let root = || register(&[("s", Some("10"), Some("40"))]);
    let split = || split_replace(&[("k", Some("10"), Some("20")), ("l", Some("20"), Some("40"))]);
    let child = |cursor: &str| acquire("b", 1).input("shard", "k").input("op-id", "k1").out("cursor", cursor);
    let lost = checkpoint("a", 1, "14").lost();
    rejects!(S7: root(), split(), child("15"));
    rejects!(S7: root(), checkpoint("a", 1, "14"), split(), child("15"));
    accepts!(S7: root(), checkpoint("a", 1, "14"), split(), child("14"));
    accepts!(S7: root(), lost, split().by(1), child("14").by(1));
    // Refused, or asked for too late.
    rejects!(S7: root(), checkpoint("a", 1, "14").failed("lease-expired"), split(), child("14"));
    rejects!(S7: root(), split(), child("14"), checkpoint("a", 1, "14").input("shard", "k"));
    // Of the parent nothing is known.
    accepts!(S7: split(), child("15"));
}
