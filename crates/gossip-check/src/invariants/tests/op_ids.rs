//! S5: op ids, and what the service may forget of them.

use super::*;

#[test]
fn s5_one_answer_to_one_op_id() {
    has_nothing_for!(S5: acquire("a", 1));
    accepts!(S5: acquire("a", 1), acquire("a", 1));
    rejects!(S5: acquire("a", 1), acquire("a", 1).out("fence", 2));
    rejects!(S5: acquire("a", 1), acquire("a", 1).out("deadline", 7777));
    rejects!(S5: acquire("a", 1), acquire("a", 1).input("worker", "b"));
    accepts!(S5: acquire("a", 1), acquire("a", 1).input("worker", "b").failed("op-id-conflict"));
    // What a holder made of the answer is its own affair.
    accepts!(S5: acquire("a", 1), acquire("a", 1).out("believed-until", 5));
}

#[test]
fn s5_what_was_answered_is_not_refused_later() {
    rejects!(S5: acquire("a", 1), acquire("a", 1).failed("lease-held"));
    rejects!(S5: acquire("a", 1), acquire("a", 1).failed("LEASE_HELD"));
    // Here no two answers of the service can be compared.
    has_nothing_for!(S5: acquire("a", 1), acquire("a", 1).failed("overloaded"));
    has_nothing_for!(S5: acquire("a", 1).failed("lease-held"), acquire("a", 1));
}

/// An acquire, so many checkpoints, and what came of asking for the acquire again.
fn after_checkpoints(n: i64, again: TestCall) -> Validity {
    let mut all = vec![Part::from(acquire("a", 1))];
    all.extend((0..n).map(|i| Part::from(checkpoint("a", 1, &format!("{i:04x}")))));
    all.push(again.into());
    verdict(S5, &all)
}

#[test]
fn s5_evicted_answers_prove_nothing() {
    let refused = || acquire("a", 1).failed("lease-held");
    assert_eq!(after_checkpoints(64, refused()), Validity::Unknown);
    assert_eq!(after_checkpoints(63, refused()), Validity::False);
    // A new request gets a new answer.
    let granted = || acquire("a", 1).out("fence", 2);
    assert_eq!(after_checkpoints(64, granted()), Validity::Unknown);
    assert_eq!(after_checkpoints(63, granted()), Validity::False);
}

#[test]
fn s5_only_other_mutations_evict_each_once() {
    let with = |parts: &dyn Fn(i64) -> Part| {
        let mut all = vec![Part::from(acquire("a", 1))];
        all.extend((0..64).map(parts));
        all.push(acquire("a", 1).failed("lease-held").into());
        verdict(S5, &all)
    };
    assert_eq!(with(&|i| checkpoint("a", 1, &format!("{i:04x}")).lost().by(i + 1).into()), Validity::Unknown);
    assert_eq!(with(&|_| read_shard(status("active")).into()), Validity::False);
    assert_eq!(with(&|_| checkpoint("a", 1, "20").into()), Validity::False);
    assert_eq!(with(&|i| checkpoint("a", 1, &format!("{i:04x}")).failed("fence-mismatch").into()), Validity::False);
    assert_eq!(with(&|i| checkpoint("a", 1, "20").input("shard", "t").input("op-id", i).into()), Validity::False);
}

#[test]
fn s5_large_cursors_are_evicted_early() {
    let token = Value::map([("key", Value::from("20")), ("token", "x".repeat(60_000).into())]);
    let with = |n: i64, last: TestCall| {
        let mut all = vec![Part::from(acquire("a", 1))];
        all.extend(
            (0..n).map(|i| Part::from(write("checkpoint", "a", 1).input("cursor", token.clone()).input("op-id", i))),
        );
        all.push(last.into());
        verdict(S5, &all)
    };
    assert_eq!(with(4, acquire("a", 1).failed("lease-held")), Validity::Unknown);
    assert_eq!(with(3, acquire("a", 1).failed("lease-held")), Validity::False);
}

#[test]
fn s5_an_answer_is_compared_with_the_one_before_it() {
    // The second grant under the op id is a new one; the third, right after it, must be the second's.
    let parts = |third: i64| {
        let mut all = vec![Part::from(acquire("a", 1))];
        all.extend((0..64).map(|i| Part::from(checkpoint("a", 1, &format!("{i:04x}")))));
        all.extend([acquire("a", 1).out("fence", 2).into(), acquire("a", 1).out("fence", third).into()]);
        all
    };
    assert_eq!(verdict(S5, &parts(2)), Validity::True);
    assert_eq!(verdict(S5, &parts(3)), Validity::False);
}

#[test]
fn s5_an_op_id_counts_within_its_run() {
    let roots = || (register(&[("s", None, None)]), register(&[("t", None, None)]).input("run", "q"));
    let of_t = || acquire("a", 1).input("shard", "t");
    let end = |f, run: &str, id: &str| TestCall::new(f, Value::map([("run", run), ("op-id", id)]));
    let with = |calls: Vec<TestCall>| {
        let (r, q) = roots();
        verdict(S5, &[r, q].into_iter().chain(calls).map(Part::One).collect::<Vec<_>>())
    };
    assert_eq!(with(vec![acquire("a", 1), of_t()]), Validity::Unknown);
    let cancelled = || [end("cancel-run", "r", "x"), end("cancel-run", "q", "x")];
    assert_eq!(with(cancelled().into()), Validity::Unknown);
    assert_eq!(with(vec![acquire("a", 1), of_t(), acquire("a", 1).out("fence", 2)]), Validity::False);
    assert_eq!(with(vec![acquire("a", 1), of_t(), acquire("a", 1)]), Validity::True);
    // That of a deletion counts within the tenant.
    let deleted = [end("delete-run", "r", "d"), end("delete-run", "q", "d")];
    assert_eq!(with(cancelled().into_iter().chain(deleted).collect()), Validity::False);
}

#[test]
fn s6_that_nothing_is_there_is_an_answer() {
    let read = |reason| read_run(vec![]).input("node", "n1").last().failed(reason);
    accepts!(S6: read("run-not-found"));
    rejects!(S6: read("read-unconfirmed"));
    // And wrong if nobody deleted it, which is S8's to say.
    accepts!(S6: register(&[("s", None, None)]), read("run-not-found"));
    let delete = TestCall::new("delete-run", Value::map([("run", "r"), ("op-id", "d")]));
    rejects!(S8: register(&[("s", None, None)]), read("run-not-found"));
    has_nothing_for!(S8: register(&[("s", None, None)]), delete, read("run-not-found"));
}
