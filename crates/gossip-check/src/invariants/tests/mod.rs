//! Each invariant: what it must accept, what it must reject, and that it says so when there was nothing to check.

use super::Invariant::{self, *};
use super::build::*;
use crate::history::{Op, Value, read_str};
use crate::judge::{MustHappen, Options, Validity, judge};

fn verdict(id: Invariant, parts: &[Part]) -> Validity {
    let ops = history(parts);
    judge(&ops, &Options::only(id)).unwrap().check(id).unwrap().validity
}

macro_rules! parts {
    ($($part:expr),* $(,)?) => { [$(Part::from($part)),*] };
}

macro_rules! accepts {
    ($id:ident: $($part:expr),* $(,)?) => { assert_eq!(verdict($id, &parts![$($part),*]), Validity::True) };
}

macro_rules! rejects {
    ($id:ident: $($part:expr),* $(,)?) => { assert_eq!(verdict($id, &parts![$($part),*]), Validity::False) };
}

macro_rules! has_nothing_for {
    ($id:ident: $($part:expr),* $(,)?) => { assert_eq!(verdict($id, &parts![$($part),*]), Validity::Unknown) };
}

mod cursors;
mod names;
mod op_ids;
mod run_status;
mod splits;

fn leaf(shard: &str, state: &str, start: Option<&str>, end: Option<&str>) -> Value {
    range(shard, start, end).with("status", Value::keyword(state))
}

fn split_replace(children: &[(&str, Option<&str>, Option<&str>)]) -> TestCall {
    let children: Vec<Value> = children.iter().map(|(shard, start, end)| range(shard, *start, *end)).collect();
    write("split-replace", "a", 1).out("children", children)
}

fn residual(at: &str, start: &str, end: Option<&str>) -> TestCall {
    write("split-residual", "a", 1).input("at", at).out("residual", range("s~1", Some(start), end))
}

#[test]
fn nothing_to_check_is_unknown() {
    let verdict = judge(&[], &Options::default()).unwrap();
    assert_eq!(verdict.checks.len(), 9);
    assert!(verdict.checks.iter().all(|c| c.validity == Validity::Unknown && c.count == 0));
    assert_eq!(verdict.validity, Validity::Unknown);
}

#[test]
fn false_beats_unknown_beats_true() {
    use Validity::{False, True, Unknown};
    assert_eq!(Validity::merge([True, True]), True);
    assert_eq!(Validity::merge([True, Unknown]), Unknown);
    assert_eq!(Validity::merge([True, Unknown, False]), False);
    assert_eq!(Validity::merge([]), Unknown);
    let ops = history(&parts![acquire("a", 1), acquire("b", 2)]);
    assert_eq!(judge(&ops, &Options::default()).unwrap().validity, True);
    let options = Options { required: [S1, G1].into(), ..Options::default() };
    assert_eq!(judge(&ops, &options).unwrap().validity, Unknown);
}

#[test]
fn s1_a_grant_at_the_deadline_is_no_overlap() {
    accepts!(S1: acquire_at("a", 1, 0, 1000), acquire_at("b", 2, 1000, 2000));
    rejects!(S1: acquire_at("a", 1, 0, 1000), acquire_at("b", 2, 999, 2000));
}

#[test]
fn s1_a_lease_may_be_given_up_early() {
    let (a, b) = (acquire_at("a", 1, 0, 1000), acquire_at("b", 2, 500, 1500));
    accepts!(S1: a.clone(), write("release", "a", 1), b.clone());
    accepts!(S1: a.clone(), write("release", "a", 1).lost(), b.clone().by(1));
    rejects!(S1: a.clone(), write("release", "a", 1).failed("lease-expired"), b.clone());
    rejects!(S1: a, b, write("release", "a", 1));
}

#[test]
fn s1_renewals_move_the_deadline_of_what_still_lives() {
    rejects!(S1: acquire_at("a", 1, 0, 1000), renew("a", 1, 900, 1900), acquire_at("b", 2, 1000, 2000));
    rejects!(S1: acquire_at("a", 1, 0, 1000), renew("a", 1, 1000, 2000));
    accepts!(S1: acquire_at("a", 1, 0, 1000), renew("a", 1, 999, 1999), renew("a", 1, 1998, 2998));
    // A renewal that may have happened excuses a later one.
    has_nothing_for!(S1: acquire_at("a", 1, 0, 1000), renew("a", 1, 0, 0).lost(), renew("a", 1, 1000, 2000).by(1));
}

#[test]
fn s1_the_lease_two_before_may_reach_furthest() {
    rejects!(S1: acquire_at("a", 1, 0, 9000), acquire_at("b", 2, 10000, 11000), acquire_at("c", 3, 8000, 8500));
}

#[test]
fn s1_the_lease_clock_never_goes_back() {
    let of_t = |call: TestCall| call.input("shard", "t");
    rejects!(S1: acquire_at("a", 1, 5000, 6000), of_t(acquire_at("a", 1, 4999, 6000)));
    has_nothing_for!(S1: acquire_at("a", 1, 5000, 6000), of_t(acquire_at("a", 1, 5000, 6000)));
    // They were under way at one time; or the second is the first's answer once more.
    has_nothing_for!(S1: vec![acquire_at("a", 1, 5000, 6000), of_t(acquire_at("a", 1, 4000, 6000))]);
    has_nothing_for!(S1: acquire_at("a", 1, 1000, 2000), of_t(acquire_at("a", 2, 1500, 2500)), acquire_at("a", 1, 1000, 2000));
}

#[test]
fn s1_what_is_told_of_a_lease_fits_together() {
    rejects!(S1: acquire_at("a", 1, 1000, 1000));
    has_nothing_for!(S1: acquire_at("a", 1, 1000, 1001));
    rejects!(S1: acquire_at("a", 1, 1000, 3000), renew("a", 1, 1100, 2999));
    accepts!(S1: acquire_at("a", 1, 1000, 3000), renew("a", 1, 1100, 3000));
    rejects!(S1: acquire_at("a", 1, 1000, 3000), renew("a", 1, 1100, 4000), renew("a", 1, 1200, 3999));
    // Answered in another order than they took effect in.
    accepts!(S1: acquire_at("a", 1, 1000, 3000), vec![renew("a", 1, 1200, 4000), renew("a", 1, 1100, 3500)]);
}

fn skew(rate_ppm: i64) -> Part {
    Part::Nemesis("skew", Value::map([("n1", Value::map([("wall-ms", 0), ("rate-ppm", rate_ppm)]))]))
}

#[test]
fn s1_beliefs_must_not_overlap_in_real_time() {
    // a's answer comes at 1 ms, b's at 3 ms.
    let a = |until: i64| acquire_at("a", 1, 0, 1000).out("believed-until", until);
    let b = |until: i64| acquire_at("b", 2, 1000, 2000).out("believed-until", until);
    accepts!(S1: a(2_000_000), b(9_000_000));
    accepts!(S1: a(3_000_000), b(9_000_000));
    rejects!(S1: a(3_000_001), b(9_000_000));
    // Who gives up stops believing when it says so.
    accepts!(S1: a(9_000_000), write("release", "a", 1), b(9_900_000));
    // Up to the drift margin rates are sane; beyond it beliefs may overlap.
    rejects!(S1: skew(1_100_000), a(9_000_000), b(9_900_000));
    accepts!(S1: skew(1_100_001), a(9_000_000), b(9_900_000));
    let ops = history(&parts![a(9_000_000), b(9_900_000)]);
    let told = Options { rates_are_sane: Some(false), ..Options::only(S1) };
    let verdict = judge(&ops, &told).unwrap();
    assert_eq!(verdict.validity, Validity::True);
    assert!(verdict.checks[0].note.as_ref().unwrap().contains("not judged"));
}

#[test]
fn s1_sections_of_different_leases_must_not_overlap() {
    let section = |worker: &str, fence, entered: i64, left: i64| {
        write("section", worker, fence).out("entered", entered).out("left", left)
    };
    let (a, b) = (acquire_at("a", 1, 0, 1000), acquire_at("b", 2, 1000, 2000));
    accepts!(S1: a.clone(), b.clone(), section("a", 1, 10, 20), section("b", 2, 20, 30));
    rejects!(S1: a.clone(), b.clone(), section("a", 1, 10, 21), section("b", 2, 20, 30));
    accepts!(S1: a.clone(), b.clone(), section("a", 1, 10, 21), section("a", 1, 20, 30));
    // b believes from its answer at 3 ms on.
    let b = b.out("believed-until", 9_000_000);
    rejects!(S1: a.clone(), b.clone(), section("a", 1, 2_000_000, 3_000_001));
    accepts!(S1: a.clone(), b.clone(), section("a", 1, 2_000_000, 3_000_000));
    accepts!(S1: a.clone(), b.clone(), section("b", 2, 4_000_000, 9_500_000));
    // One that was left late counts for as long as its holder believed.
    accepts!(S1: a.clone(), b.clone(), section("a", 1, 2_000_000, 3_000_001).out("believed-until", 2_900_000));
    rejects!(S1: a, b, section("a", 1, 2_000_000, 3_000_001).out("believed-until", 3_000_001));
}

#[test]
fn s2_fences_rise() {
    accepts!(S2: acquire("a", 1), acquire("b", 2), checkpoint("b", 2, "05"));
    rejects!(S2: acquire("a", 2), acquire("b", 1));
    // Concurrent grants may be answered in any order, but two operations never share a fence.
    has_nothing_for!(S2: vec![acquire("a", 2), acquire("b", 1)]);
    rejects!(S2: vec![acquire("a", 1), acquire("b", 1).input("op-id", "other")]);
}

#[test]
fn s2_no_write_passes_below_a_granted_fence() {
    rejects!(S2: acquire("a", 1), acquire("b", 2), checkpoint("a", 1, "05"));
    accepts!(S2: acquire("a", 1), acquire("b", 2), checkpoint("a", 1, "05").failed("fence-mismatch"));
    // The answer of a write that took effect before the grant, replayed after it.
    accepts!(S2: acquire("a", 1), checkpoint("a", 1, "05").lost(), acquire("b", 2).by(1), checkpoint("a", 1, "05").by(2));
    // But not when every earlier try was refused.
    rejects!(S2: acquire("a", 1), checkpoint("a", 1, "05").failed("overloaded"), acquire("b", 2), checkpoint("a", 1, "05"));
    // A write under way while the fence rises may have come first.
    accepts!(S2: acquire("a", 1), vec![checkpoint("a", 1, "05"), acquire("b", 2)]);
}

#[test]
fn s2_unpark_raises_the_fence_and_says_so() {
    let unpark = |fence: i64| TestCall::new("unpark", Value::map([("shard", "s"), ("op-id", "u")])).out("fence", fence);
    rejects!(S2: acquire("a", 1), write("park", "a", 1), unpark(1));
    rejects!(S2: acquire("a", 1), unpark(2), acquire("b", 2));
    accepts!(S2: acquire("a", 1), unpark(2), acquire("b", 3));
}

#[test]
fn s3_what_ended_stays_ended() {
    let complete = || write("complete", "a", 1);
    accepts!(S3: acquire("a", 1), complete(), read_shard(status("done")));
    rejects!(S3: acquire("a", 1), complete(), acquire("b", 2));
    rejects!(S3: acquire("a", 1), complete(), read_shard(status("active")));
    rejects!(S3: acquire("a", 1), complete(), read_shard(Value::map([("status", "ACTIVE")])));
    accepts!(S3: acquire("a", 1), complete(), read_shard(status("active")).input("stale", true), read_shard(status("done")));
    rejects!(S3: acquire("a", 1), complete(), write("split-replace", "a", 1));
    rejects!(S3: acquire("a", 1), vec![complete(), write("split-replace", "a", 1)]);
    // Asking again for the same answer is no second end.
    accepts!(S3: acquire("a", 1), complete(), complete(), read_shard(status("done")));
    // The completion may still have been under way.
    accepts!(S3: acquire("a", 1), complete().lost(), acquire("b", 2).by(1), write("complete", "b", 2).by(1),
        read_shard(status("done")).by(1));
}

#[test]
fn s3_the_end_of_a_run_ends_its_shards() {
    let root = || register(&[("s", None, None)]);
    rejects!(S3: root(), end_run("cancel-run", "c"), acquire("a", 1));
    rejects!(S3: root(), end_run("complete-run", "c"), register(&[("t", None, None)]));
    rejects!(S3: root(), end_run("complete-run", "c"), end_run("fail-run", "d"));
    rejects!(S3: root(), end_run("complete-run", "c"), read_run(vec![]));
    accepts!(S3: root(), end_run("complete-run", "c"), end_run("complete-run", "c"));
}

#[test]
fn rates_are_read_in_every_form_of_a_skew() {
    let sane = |value: &str| {
        let skew = Part::Nemesis("skew", value.parse().unwrap());
        judge(&history(&[skew]), &Options::default()).unwrap().rates_are_sane
    };
    for (value, expected) in [
        (r#"{"n1" {:wall-ms 10 :rate-ppm 1000000} "n2" {:rate-ppm 1100000}}"#, true),
        (r#"{"n1" {:wall-ms 10 :rate-ppm 1000000} "n2" {:rate-ppm 1100001}}"#, false),
        (r#"{:node "n2" :rate-ppm 899999}"#, false),
        (r#"[{:node "n1" :rate-ppm 1000000} {:node "n2" :rate-ppm 1400000}]"#, false),
        (r#"{:clock-offsets {"n1" 1.5}}"#, true),
        ("nil", true),
    ] {
        assert_eq!(sane(value), expected, "{value}");
    }
}

#[test]
fn s6_shards_end_and_nodes_serve() {
    let read = |state: &str| read_shard(status(state)).last();
    has_nothing_for!(S6: read_shard(status("active")));
    accepts!(S6: read("done").input("node", "n1"));
    rejects!(S6: read("active").input("node", "n1"));
    rejects!(S6: read("done").input("node", "n1"), read("done").input("node", "n2").failed("timeout"));
    accepts!(S6: read("done").input("node", "n1").failed("overloaded"), read("done").input("node", "n1"));
    rejects!(S6: read_run(vec![leaf("s", "parked", None, None)]).last());
    // Of a shard in no final read nobody knows how it ended; one made later is not missed.
    let two = || register(&[("s", None, Some("40")), ("t", Some("40"), None)]);
    rejects!(S6: two(), read("done"));
    accepts!(S6: two().lost(), read("done").by(1));
    accepts!(S6: read("done"), two());
    // Nor is it in order that the last reads show nothing at all, or only another run.
    let other = || read_run(vec![]).input("run", "q").last();
    rejects!(S6: two(), other().input("node", "n1"));
    rejects!(S6: two(), other().input("node", "n1").failed("run-not-found"));
    has_nothing_for!(S6: two(), other().failed("read-unconfirmed"));
    accepts!(S6: other().input("node", "n1"), two());
    accepts!(S6: two(), read("done"), read_run(vec![leaf("s", "done", None, None), leaf("t", "done", None, None)]).last());
}

#[test]
fn s8_what_was_acknowledged_is_there() {
    let record = |fence: i64| Value::map([("fence", fence)]);
    let a = || acquire("a", 1);
    accepts!(S8: a(), checkpoint("a", 1, "20"), read_shard(record(1).with("cursor", "20")).last());
    has_nothing_for!(S8: a(), read_shard(record(1)));
    rejects!(S8: acquire("a", 3), read_shard(record(2)).last());
    rejects!(S8: a(), checkpoint("a", 1, "20"), read_shard(record(1).with("cursor", "1f")).last());
    rejects!(S8: a(), checkpoint("a", 1, "20"), read_shard(record(1)).last());
    rejects!(S8: a(), write("complete", "a", 1), read_shard(record(1).with("status", Value::keyword("active"))).last());
    // What was acknowledged after the read was asked is not missed.
    accepts!(S8: a(), vec![read_shard(record(1)).last(), acquire("b", 2)]);
    accepts!(S8: a(), read_shard(record(1)).last(), acquire("b", 2));
    has_nothing_for!(S8: read_shard(record(0)).last(), a(), write("complete", "a", 1));
    rejects!(S8: a(), read_shard(record(0)).last(), acquire("b", 2));
    // A stale read promises nothing.
    has_nothing_for!(S8: acquire("a", 3), read_shard(record(2)).last().input("stale", true));
}

#[test]
fn s8_shards_and_run_endings_stay() {
    let root = || register(&[("s", Some("10"), Some("40"))]);
    let record = |shard: &str, state: &str| leaf(shard, state, None, None).with("fence", 1);
    rejects!(S8: root(), read_shard(Value::Nil).last().failed("shard-not-found"));
    rejects!(S8: root(), read_run(vec![]).last());
    rejects!(S8: root(), acquire("a", 1), split_replace(&[("x", Some("10"), Some("20")), ("y", Some("20"), Some("40"))]),
        read_run(vec![record("s", "split"), record("x", "active")]).last());
    rejects!(S8: root(), end_run("cancel-run", "c"), read_run(vec![record("s", "cancelled")]).last());
    accepts!(S8: root(), end_run("cancel-run", "c"),
        read_run(vec![record("s", "cancelled")]).out("status", Value::keyword("cancelled")).last());
}

#[test]
fn g1_views_converge() {
    let publish = || TestCall::new("publish", Value::map([("node", "n1"), ("key", "k")])).input("version", 2);
    let view = |node: &str, version: i64| {
        let mut nodes = crate::history::Map::new();
        if version > 0 {
            let mut keys = crate::history::Map::new();
            keys.insert("k".into(), version.into());
            nodes.insert("n1".into(), keys.into());
        }
        TestCall::new("read-view", Value::map([("node", node)])).out("view", nodes).last()
    };
    has_nothing_for!(G1: publish());
    accepts!(G1: publish(), view("n1", 2), view("n2", 2));
    rejects!(G1: publish(), view("n1", 2), view("n2", 1));
    // The same everywhere, but old.
    rejects!(G1: publish(), view("n1", 1), view("n2", 1));
    rejects!(G1: publish(), view("n1", 0), view("n2", 0));
    // A node that was asked and never answered.
    rejects!(G1: publish(), view("n1", 2), view("n2", 2).failed("timeout"));
    accepts!(G1: publish(), view("n1", 2), view("n2", 2).failed("timeout"), view("n2", 2));
    // Each node's last view counts.
    accepts!(G1: publish(), view("n2", 0), view("n1", 3), view("n2", 3));
}

#[test]
fn violations_name_their_places() {
    let ops = history(&parts![acquire("a", 1), acquire("b", 2), checkpoint("a", 1, "05")]);
    let verdict = judge(&ops, &Options::default()).unwrap();
    let violation = &verdict.check(S2).unwrap().violations[0];
    assert_eq!(violation.ops, [3, 5]);
    assert_eq!(violation.time, 5_000_000);
    assert!(violation.message.starts_with("shard s: checkpoint of a under fence 1"));
    // In a part of a history places are the ops' own indices.
    let part: Vec<Op> = ops[2..].to_vec();
    let verdict = judge(&part, &Options::only(S2)).unwrap();
    assert_eq!(verdict.check(S2).unwrap().violations[0].ops, [3, 5]);
}

#[test]
fn ops_that_are_no_history_are_an_error() {
    let lines = |text: &str| judge(&read_str(text).unwrap(), &Options::default());
    let twice = "{:process 0 :type :invoke :f :x :time 0}\n{:process 0 :type :invoke :f :y :time 0}";
    assert_eq!(
        lines(twice).unwrap_err().to_string(),
        "line 2: :process 0 invokes :y while its call at index 0 is under way"
    );
    let never = "{:process 3 :type :ok :f :x :time 0}";
    assert_eq!(lines(never).unwrap_err().to_string(), "line 1: :process 3 completes :x, which it never invoked");
}

fn faults(parts: &[Part], must_happen: Vec<MustHappen>) -> (Validity, u64, Validity) {
    let options = Options { must_happen, ..Options::default() };
    let verdict = judge(&history(parts), &options).unwrap();
    let check = verdict.check(Faults).unwrap();
    (check.validity, check.count, verdict.validity)
}

#[test]
fn a_schedule_that_did_nothing_is_unknown() {
    use Validity::{True, Unknown};
    let (a, b) = (acquire_at("a", 1, 0, 1000), acquire_at("b", 2, 1000, 2000));
    let pause = || Part::Nemesis("pause", Value::from(vec!["n1"]));
    let wanted = || vec![MustHappen::fault("pause")];
    assert_eq!(faults(&parts![a.clone(), pause(), b.clone()], wanted()), (True, 1, True));
    assert_eq!(faults(&parts![a.clone(), b.clone()], wanted()), (Unknown, 0, Unknown));
    assert_eq!(
        faults(&parts![a.clone(), b.clone(), pause()], wanted()),
        (Unknown, 0, Unknown),
        "nobody called after it"
    );
    let either = || vec![MustHappen::Fault(["kill".to_owned(), "pause".to_owned()].into())];
    assert_eq!(faults(&parts![a.clone(), pause(), b.clone()], either()).0, True);
    let both = || vec![MustHappen::fault("kill"), MustHappen::fault("pause")];
    assert_eq!(faults(&parts![a.clone(), pause(), b.clone()], both()).0, Unknown);
    let expiry = || vec![MustHappen::LeaseExpiry];
    assert_eq!(faults(&parts![a.clone(), b.clone()], expiry()), (True, 1, True));
    assert_eq!(faults(&parts![a, write("release", "a", 1), b], expiry()), (Unknown, 0, Unknown));
}

#[test]
fn a_fault_that_failed_did_not_take_hold() {
    let mut ops = history(&parts![
        acquire("a", 1),
        Part::Nemesis("kill", Value::Nil),
        Part::Nemesis("kill", Value::Nil),
        acquire("b", 2)
    ]);
    let options = Options { must_happen: vec![MustHappen::fault("kill")], ..Options::default() };
    assert_eq!(judge(&ops, &options).unwrap().check(Faults).unwrap().validity, Validity::True);
    ops[3] = ops[3].clone().with_error("ssh", "no route");
    let verdict = judge(&ops, &options).unwrap();
    assert_eq!(verdict.validity, Validity::Unknown);
    assert_eq!(verdict.check(Faults).unwrap().note.as_deref(), Some("no kill took hold"));
}
