use super::faults::{Fault, faults};
use super::*;
use crate::history::{Value, number};
use crate::invariants::build::*;
use crate::judge::{Options, judge};

fn run() -> RunInfo {
    RunInfo {
        title: "JEPSEN REPORT".to_owned(),
        workload: "lease-exclusivity".to_owned(),
        nemesis: "<none>".to_owned(),
        nodes: vec!["n1".to_owned()],
        duration_s: 1.0,
        concurrency: 1,
        seed: 7,
        schedule_digest: "00".to_owned(),
        repro: "repeat --seed 7 && done".to_owned(),
    }
}

fn page(parts: &[Part], logs: &[NodeLog]) -> String {
    let ops = history(parts);
    html(&run(), &judge(&ops, &Options::default()).unwrap(), &ops, logs).unwrap()
}

fn parts() -> Vec<Part> {
    vec![
        acquire_at("a", 1, 0, 1000).out("believed-until", 3_000_000).into(),
        Part::Nemesis("pause", Value::from(vec!["n1"])),
        acquire_at("b", 2, 1000, 2000).out("believed-until", 9_000_000).into(),
        Part::Nemesis("resume", Value::from(vec!["n1"])),
        checkpoint("a", 1, "05").into(),
    ]
}

#[test]
fn a_page_shows_leases_faults_and_violations() {
    let page = page(&parts(), &[]);
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    for expected in [
        "<title>FAIL: JEPSEN REPORT — lease-exclusivity</title>",
        "<td>&lt;none&gt;",
        "<article id=violation-0>",
        "<a href=\"#violation-0\"><line class=\"violation\"",
        "fence 1 of a: granted at 0 ms, deadline 1000 ms of the lease clock",
        "b believed in fence 2 from 4000000 to 9000000 ns, after op 3",
        "<rect class=\"fault\"",
        "<title>pause [&quot;n1&quot;]</title>",
        "latency, ms",
        "calls a second",
        "repeat --seed 7 &amp;&amp; done",
    ] {
        assert!(page.contains(expected), "{expected} is not in {page}");
    }
    assert_eq!(page.matches("<mark>").count(), 2, "the culprit is marked in the trace of S2 and in that of L");
}

#[test]
fn a_page_needs_nothing_from_elsewhere() {
    let page = page(&parts(), &[]).replace("http://www.w3.org/2000/svg", "");
    for outside in ["http:", "https:", "<script", "<link", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn what_nodes_logged_near_a_violation_is_shown() {
    let lines = vec![(4_000_000, "lost <leadership>".to_owned()), (60_000_000_000, "long after".to_owned())];
    let log = NodeLog { node: "n1".to_owned(), lines };
    let page = page(&parts(), &[log]);
    assert!(page.contains("lost &lt;leadership&gt;") && !page.contains("long after"));
}

#[test]
fn a_run_without_calls_has_a_page() {
    let page = page(&[], &[]);
    assert!(page.contains("<title>UNKNOWN") && page.contains("No call was answered"));
}

#[test]
fn a_fault_lasts_until_what_ends_it() {
    let fault = |f| Part::Nemesis(f, Value::Nil);
    let mut ops =
        history(&[fault("kill"), fault("kill"), fault("start"), fault("start"), fault("skew"), fault("start")]);
    number(&mut ops);
    let expected = [("kill", 0, 2_000_000), ("skew", 4_000_000, 5_000_000)];
    let expected = expected.map(|(what, from, to)| Fault { what: what.to_owned(), from, to });
    assert_eq!(faults(&ops), expected);
}
