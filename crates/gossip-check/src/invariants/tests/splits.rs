//! S4: splits, and the leaves that reads show.

use super::*;

#[test]
fn s4_a_split_tiles_its_parent() {
    let root = || register(&[("s", Some("10"), Some("40"))]);
    let halves = |a: &'static str, b: &'static str, c: &'static str, d: &'static str| {
        split_replace(&[("b", Some(c), Some(d)), ("a", Some(a), Some(b))])
    };
    accepts!(S4: root(), halves("10", "20", "20", "40"));
    rejects!(S4: root(), halves("10", "20", "21", "40"));
    rejects!(S4: root(), halves("10", "20", "19", "40"));
    rejects!(S4: root(), halves("11", "20", "20", "40"));
    rejects!(S4: root(), halves("10", "20", "20", "3f"));
    rejects!(S4: root(), halves("10", "10", "10", "40"));
    rejects!(S4: root(), split_replace(&[]));
    // It is cut where it was asked to be.
    let asked = |cuts: &[&str]| halves("10", "20", "20", "40").input("cuts", cuts.to_vec());
    accepts!(S4: root(), asked(&["20"]));
    rejects!(S4: root(), asked(&["21"]));
    rejects!(S4: root(), asked(&["20", "30"]));
    rejects!(S4: asked(&["21"]));
    let all = || register(&[("s", None, None)]);
    accepts!(S4: all(), split_replace(&[("a", None, Some("20")), ("b", Some("20"), None)]));
    rejects!(S4: all(), split_replace(&[("a", None, Some("20")), ("b", Some("20"), Some("ff"))]));
    rejects!(S4: all(), split_replace(&[("a", None, None), ("b", Some("20"), None)]));
    // A parent whose range nobody knows proves nothing.
    accepts!(S4: halves("10", "20", "20", "40"));
}

#[test]
fn s4_a_residual_begins_where_it_was_split_off() {
    let root = || register(&[("s", Some("10"), Some("40"))]);
    accepts!(S4: root(), residual("30", "30", Some("40")));
    rejects!(S4: root(), residual("30", "31", Some("40")));
    rejects!(S4: root(), residual("30", "30", None));
    // What was cut before ends where it was cut.
    accepts!(S4: root(), residual("30", "30", Some("40")),
        split_replace(&[("a", Some("10"), Some("20")), ("b", Some("20"), Some("30"))]));
    rejects!(S4: root(), residual("30", "30", Some("40")).failed("lease-expired"),
        split_replace(&[("a", Some("10"), Some("20")), ("b", Some("20"), Some("30"))]));
}

#[test]
fn s4_a_parent_ends_where_it_was_cut_last() {
    let root = || register(&[("s", Some("10"), Some("40"))]);
    let parts = |end: &'static str| split_replace(&[("a", Some("10"), Some("20")), ("b", Some("20"), Some(end))]);
    let cut = || residual("30", "30", Some("40"));
    rejects!(S4: root(), cut(), parts("40"));
    rejects!(S4: root(), cut(), residual("20", "20", Some("40")).input("op-id", "other"));
    let second = residual("28", "28", Some("30")).out("residual", range("s~2", Some("28"), Some("30")));
    accepts!(S4: root(), cut(), second.input("op-id", "other"));
    // The same split, answered twice.
    accepts!(S4: root(), cut(), cut());
    // A cut that is under way, or was never answered, may have come first or not.
    for end in ["30", "40"] {
        accepts!(S4: root(), cut().lost(), parts(end).by(1));
        accepts!(S4: root(), vec![cut(), parts(end)]);
    }
    rejects!(S4: root(), cut(), residual("38", "38", Some("40")).input("op-id", "other").lost(), parts("38").by(1));
}

#[test]
fn s4_leaves_tile_the_roots() {
    let roots = || register(&[("s", None, Some("40")), ("t", Some("40"), None)]);
    let s = || leaf("s", "active", None, Some("40"));
    accepts!(S4: roots(), read_run(vec![leaf("t", "done", Some("40"), None), s()]));
    rejects!(S4: roots(), read_run(vec![s()]));
    rejects!(S4: roots(), read_run(vec![]));
    rejects!(S4: roots(), read_run(vec![s(), leaf("t", "split", Some("40"), None)]));
    let children = || {
        read_run(vec![
            s(),
            leaf("t", "split", Some("40"), None),
            leaf("t~1", "active", Some("40"), Some("60")),
            leaf("t~2", "active", Some("60"), None),
        ])
        .by(1)
    };
    let lost_split = || write("split-replace", "a", 1).input("shard", "t").lost();
    accepts!(S4: roots(), lost_split(), children());
    rejects!(S4: roots(), children());
    rejects!(S4: roots(), children(), lost_split());
    rejects!(S4: roots(), read_run(vec![s(), leaf("t", "active", Some("3f"), None)]));
    rejects!(S4: roots(), read_run(vec![s(), leaf("t", "active", Some("4000"), None)]));
    rejects!(S4: register(&[("s", Some("10"), Some("40"))]), read_run(vec![leaf("s", "active", Some("10"), Some("41"))]));
    rejects!(S4: register(&[("s", Some("10"), Some("40"))]), read_run(vec![leaf("s", "active", None, Some("40"))]));
}

#[test]
fn s4_a_lost_registration_may_or_may_not_have_happened() {
    let s = || leaf("s", "active", None, Some("40"));
    let t = || leaf("t", "active", Some("40"), None);
    let maybe = || register(&[("t", Some("40"), None)]).lost();
    accepts!(S4: register(&[("s", None, Some("40"))]), maybe(), read_run(vec![s()]).by(1));
    accepts!(S4: register(&[("s", None, Some("40"))]), maybe(), read_run(vec![s(), t()]).by(1));
    rejects!(S4: register(&[("s", None, Some("40"))]), read_run(vec![s(), t()]));
    // Of two that overlap one was refused, but nobody knows which.
    let wide = || register(&[("w", None, None)]).lost();
    let narrow = || register(&[("n", Some("18"), Some("20"))]).lost().by(1);
    accepts!(S4: wide(), narrow(), read_run(vec![leaf("w", "active", None, None)]).by(2));
    accepts!(S4: wide(), narrow(), read_run(vec![leaf("n", "active", Some("18"), Some("20"))]).by(2));
    // Asked again after a lost answer.
    accepts!(S4: register(&[("s", None, Some("40"))]).lost(), register(&[("s", None, Some("40"))]).by(1), read_run(vec![s()]).by(1));
}

#[test]
fn s4_no_two_roots_of_a_run_overlap() {
    let root = |shard: &str, start, end| register(&[(shard, start, end)]);
    rejects!(S4: root("s", Some("10"), Some("30")), root("t", Some("20"), Some("40")));
    rejects!(S4: register(&[("s", Some("10"), None), ("t", Some("10"), Some("18"))]));
    has_nothing_for!(S4: root("s", Some("10"), Some("20")), root("t", Some("20"), Some("40")), root("u", Some("50"), None));
    // Another answer to the same registration, one that was refused, one of which nobody knows, and another run.
    has_nothing_for!(S4: root("s", Some("10"), Some("30")), root("s", Some("10"), Some("30")));
    has_nothing_for!(S4: root("s", Some("10"), Some("30")), root("t", Some("20"), Some("40")).failed("shard-overlap"));
    has_nothing_for!(S4: root("s", Some("10"), Some("30")), root("t", Some("20"), Some("40")).lost());
    has_nothing_for!(S4: root("s", Some("10"), Some("30")), root("t", Some("20"), Some("40")).input("run", "other"));
}

#[test]
fn s4_a_shard_is_where_it_was_made() {
    let other = || register(&[("t", None, None)]).input("run", "q");
    let claim = |run: &str, shard: &str| {
        let asked = Value::map([("run", run), ("worker", "a"), ("op-id", "c1")]);
        TestCall::new("claim", asked).out("shard", shard).out("fence", 1)
    };
    let root = || register(&[("s", None, None)]);
    rejects!(S4: root(), other(), claim("q", "s"));
    has_nothing_for!(S4: root(), other(), claim("q", "t"));
    // A lost split may have made what nothing else made.
    let lost_split = || write("split-replace", "a", 1).lost();
    has_nothing_for!(S4: root(), lost_split(), claim("r", "x").by(1));
    rejects!(S4: root(), other(), lost_split(), claim("r", "t").by(1));
    rejects!(S4: root(), other(), lost_split(), claim("q", "x").by(1));
    // The parent's own split was lost, so that nobody tells its run.
    let grandchild = split_replace(&[("x", None, Some("10")), ("y", Some("10"), None)]).input("shard", "k");
    accepts!(S4: root(), lost_split(), grandchild.input("cuts", vec!["10"]).by(1), claim("r", "x").by(1));
    // A registration that was lost is recorded all the same, and with it all that there were.
    rejects!(S4: root().lost(), claim("r", "x").by(1));
    has_nothing_for!(S4: root().lost(), claim("r", "s").by(1));
    has_nothing_for!(S4: claim("r", "x").by(1));
    // Whatever is answered to a call that names a run shows the shard there.
    rejects!(S4: root(), other(), acquire("a", 1).input("run", "q"));
    has_nothing_for!(S4: root(), other(), acquire("a", 1).input("run", "r"));
}

#[test]
fn s4_a_name_is_given_once() {
    let root = |id: &str| register(&[("s", None, Some("40"))]).input("op-id", id);
    has_nothing_for!(S4: root("1"), root("1"));
    has_nothing_for!(S4: root("1"), root("2").lost());
    rejects!(S4: root("1"), root("2"));
    rejects!(S4: split_replace(&[("k", None, Some("10")), ("k", Some("10"), None)]));
    rejects!(S4: split_replace(&[("k", None, Some("10")), ("s", Some("10"), None)]));
    rejects!(S4: register(&[("s", Some("40"), Some("40"))]));
}

#[test]
fn s5_an_answer_is_to_what_was_asked() {
    has_nothing_for!(S5: register(&[("s", Some("10"), Some("40"))]), acquire("a", 1));
    rejects!(S5: acquire("a", 1).out("worker", "b"));
    rejects!(S5: acquire("a", 1).out("shard", "t"));
    rejects!(S5: checkpoint("a", 1, "20").out("fence", 2));
    rejects!(S5: register(&[("s", None, None)]).out("shards", vec![range("s", None, Some("40"))]));
    // An unpark makes a fence of its own, and a claim is asked for no shard.
    let unpark = TestCall::new("unpark", Value::map([("shard", "s"), ("op-id", "u")]));
    has_nothing_for!(S5: unpark.out("fence", 2));
}
