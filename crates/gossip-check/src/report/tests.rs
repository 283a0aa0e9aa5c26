use super::*;
use crate::history::{Op, OpType, Value, read_str};
use crate::invariants::Invariant;
use crate::invariants::build::*;
use crate::judge::{Linearizability, MustHappen, Options, Validity, Verdict, judge};

fn run() -> RunInfo {
    RunInfo {
        title: "JEPSEN REPORT".to_owned(),
        workload: "lease-exclusivity".to_owned(),
        nemesis: "pause-random-node".to_owned(),
        nodes: vec!["n1".to_owned(), "n2".to_owned(), "n3".to_owned()],
        duration_s: 60.0,
        concurrency: 10,
        seed: 1774,
        schedule_digest: "9f3c000000000000".to_owned(),
        repro: "gossip-verify test --nodes 3 --test-seed 1774".to_owned(),
    }
}

fn bad() -> Vec<Op> {
    let other = acquire("x", 1).input("shard", "t").input("op-id", "other");
    history(&[
        register(&[("s", None, Some("40")), ("t", Some("40"), None)]).into(),
        other.into(),
        acquire("a", 1).into(),
        Part::Nemesis("pause", Value::from(vec!["n1"])),
        acquire("b", 2).into(),
        checkpoint("a", 1, "05").into(),
    ])
}

fn judged(ops: &[Op]) -> Verdict {
    let found = Linearizability {
        validity: Validity::False,
        checker: "wgl".to_owned(),
        count: 1,
        anomalies: vec![],
        note: None,
    };
    judge(ops, &Options::default()).unwrap().with_linearizability(found)
}

fn lines(ops: &[Op]) -> Vec<String> {
    text(&run(), &judged(ops), ops).lines().map(str::to_owned).collect()
}

#[test]
fn a_seed_that_is_too_long_for_its_column_stays_apart() {
    let ops = [];
    let report = text(&RunInfo { seed: i64::MAX as u64, ..run() }, &judged(&ops), &ops);
    assert!(report.contains("Seed: 9223372036854775807  Schedule: 9f3c"), "{report}");
}

#[test]
fn the_head_is_that_of_every_tier() {
    let expected = [
        "JEPSEN REPORT — lease-exclusivity",
        "═════════════════════════════════",
        "Nodes: 3            Duration: 60.0s        Concurrency: 10",
        "Operations: 5 (5/0/0)                      Nemesis: pause-random-node",
        "Result: FAIL        Seed: 1774             Schedule: 9f3c000000000000",
        "",
        "Linearizability:",
        "  Valid history: no     Checker: wgl     Anomalies: 0",
        "Invariant checks:",
        "┌──────────────────────────────┬────────┬────────┐",
        "│ Invariant                    │ Status │ Checks │",
        "├──────────────────────────────┼────────┼────────┤",
        "│ Lease exclusivity (S1)       │ PASS   │      1 │",
        "│ Fence monotonicity (S2)      │ FAIL   │      2 │",
    ];
    assert_eq!(lines(&bad())[..14], expected);
}

#[test]
fn what_had_nothing_to_check_is_no_pass() {
    assert!(lines(&bad()).contains(&"│ Gossip convergence (G1)      │ -      │      0 │".to_owned()));
    let options = Options {
        required: [Invariant::G1].into(),
        must_happen: vec![MustHappen::fault("kill")],
        ..Options::default()
    };
    let ops = bad();
    let report = text(&run(), &judge(&ops[..6], &options).unwrap(), &ops[..6]);
    assert!(report.contains("│ Gossip convergence (G1)      │ UNKN   │      0 │"), "{report}");
    assert!(report.contains("│ Faults took hold (F)         │ UNKN   │      0 │"), "{report}");
    assert!(report.contains("Result: UNKNOWN"), "{report}");
    assert!(report.contains("  Faults took hold (F): no kill took hold\n"), "{report}");
    assert!(report.contains("  Gossip convergence (G1): required, but there was nothing to check\n"), "{report}");
}

#[test]
fn the_trace_is_small_and_marks_the_culprit() {
    let lines = lines(&bad());
    let trace: Vec<&String> =
        lines.iter().skip_while(|l| *l != "Failing operations:").skip(1).take_while(|l| l.starts_with("  ")).collect();
    assert_eq!(trace.len(), 5, "two calls and the fault: {trace:#?}");
    assert_eq!(trace[0], "  t=0.0s NEMESIS pause [\"n1\"]");
    assert_eq!(trace[1], "  t=0.0s :invoke acquire s b");
    assert!(trace[4].contains("← VIOLATION S2: shard s: checkpoint of a under fence 1"));
}

#[test]
fn a_trace_that_needs_more_than_the_named_calls_gets_it() {
    // The range stands in the registration, which the violation does not name.
    let mut parts: Vec<Part> = vec![register(&[("s", Some("10"), Some("20"))]).into(), acquire("a", 1).into()];
    parts.extend((0..300).map(|i| Part::from(checkpoint("a", 1, &format!("11{i:04x}")))));
    parts.push(checkpoint("a", 1, "30").into());
    let ops = history(&parts);
    let verdict = judge(&ops, &Options::default()).unwrap();
    let violation = &verdict.check(Invariant::S7).unwrap().violations[0];
    let trace = failing_trace(&ops, &verdict, "S7", violation);
    assert!(trace.fails_alone);
    assert_eq!(
        trace.ops.iter().map(|op| op.f.as_str()).collect::<Vec<_>>(),
        ["register", "register", "checkpoint", "checkpoint"]
    );
}

/// Checkpoints as far as cursor 2000 by the holder of fence 2, then one that goes back.
fn not_linearizable(cursor: &str) -> Vec<Op> {
    let mut parts: Vec<Part> = vec![register(&[("s", None, None)]).into(), acquire("a", 1).into()];
    parts.push(acquire("b", 2).into());
    parts.extend((0x1000..0x1100).map(|i| Part::from(checkpoint("b", 2, &format!("{i:04x}")))));
    parts.push(read_shard(Value::map([("cursor", cursor)])).into());
    history(&parts)
}

#[test]
fn a_trace_of_what_no_order_explains_stands_alone_or_says_that_it_does_not() {
    let trace = |ops: &[Op]| {
        let verdict = judge(ops, &Options::default()).unwrap();
        let violation = verdict.linearizability.as_ref().unwrap().anomalies[0].clone();
        let trace = failing_trace(ops, &verdict, "L", &violation);
        let part: Vec<Op> = trace.ops.iter().copied().cloned().collect();
        let again = judge(&part, &Options::default()).unwrap().linearizability.unwrap();
        (trace.fails_alone, again.validity, part.iter().map(|op| op.f.clone()).collect::<Vec<_>>())
    };
    let (alone, validity, fs) = trace(&not_linearizable("0fff"));
    assert_eq!((alone, validity), (true, Validity::False));
    assert!(fs.len() < 12 && fs.starts_with(&["register".to_owned()]), "{fs:?}");

    // A read of a run names no shard by itself.
    let mut ops = not_linearizable("10ff");
    let read = [read_run(vec![range("s", None, None).with("fence", 7)]).by(1).into()];
    ops.extend(history(&read));
    crate::history::number(&mut ops);
    let (alone, validity, _) = trace(&ops);
    assert_eq!(alone, validity == Validity::False);
    let report = text(&run(), &judge(&ops, &Options { invariants: [].into(), ..Options::default() }).unwrap(), &ops);
    assert_eq!(report.contains("(not the whole story:"), !alone, "{report}");
}

#[test]
fn a_run_without_fault_has_no_trace() {
    let ops = history(&[acquire("a", 1).into(), acquire("b", 2).into()]);
    let report = text(&run(), &judge(&ops, &Options::default()).unwrap(), &ops);
    assert!(!report.contains("Failing operations") && !report.contains("Notes"));
    assert!(report.ends_with("Reproduction:\n  gossip-verify test --nodes 3 --test-seed 1774\n"));
}

#[test]
fn results_are_edn() {
    let results = results_edn(&run(), &judged(&bad()));
    let op = read_str(&format!("{{:process 0 :type :ok :f :x :time 0 :value {results}}}")).unwrap().remove(0);
    assert_eq!(op.value.get("valid?"), Some(&Value::Bool(false)));
    let s2 = op.value.get("checks").and_then(|c| c.get("S2")).unwrap();
    assert_eq!(s2.get("checks"), Some(&Value::Int(2)));
    assert_eq!(s2.get("violations").unwrap().items().unwrap()[0].get("at").unwrap().to_string(), "[8 10]");
    assert_eq!(
        op.value.get("checks").and_then(|c| c.get("G1")?.get("valid?").cloned()),
        Some(Value::keyword("unknown"))
    );
}

#[test]
fn of_calls_that_were_never_answered_a_trace_has_those_that_it_needs() {
    let lost = |i: i64| Part::One(acquire("c", 2).input("op-id", format!("lost {i}")).lost().by(100 + i));
    let mut parts: Vec<Part> = vec![register(&[("s", None, None)]).into(), acquire("a", 1).into()];
    // One of them made the fence that nobody was told of.
    parts.extend((0..500).map(lost));
    parts.push(acquire("b", 3).into());
    // There was no cursor yet.
    parts.push(read_shard(Value::map([("cursor", "1f")])).into());
    let ops = history(&parts);
    let verdict = judge(&ops, &Options::default()).unwrap();
    let violation = &verdict.linearizability.as_ref().unwrap().anomalies[0];
    let trace = failing_trace(&ops, &verdict, "L", violation);
    assert!(trace.fails_alone);
    let fs: Vec<&str> = trace.ops.iter().filter(|op| op.typ == OpType::Invoke).map(|op| op.f.as_str()).collect();
    assert_eq!(fs, ["register", "acquire", "acquire", "acquire", "read-shard"]);
}
