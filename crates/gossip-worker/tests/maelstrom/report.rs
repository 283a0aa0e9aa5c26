//! The report, from folders as Maelstrom leaves them.

use std::fs;
use std::time::Duration;

use gossip_worker::maelstrom::report::{Bounds, Circumstances, Report, ReportError, Verdict};
use tempfile::TempDir;

const RESULTS: &str = r#"{:stats {:valid? true, :count 4},
 :availability {:valid? true, :ok-fraction 0.75},
 :net {:all {:msgs-per-op 3.0}, :servers {:send-count 3, :msg-count 3, :msgs-per-op 0.75}, :valid? true},
 :workload {:worst-stale ({:element 0, :known {:index 5, :value 0}}),
            :attempt-count 2, :lost-count 0, :stable-count 2, :valid? true,
            :stable-latencies {0 0, 0.5 386, 0.95 512, 0.99 559, 1 571}, :lost-latencies nil},
 :valid? true}"#;

const HISTORY: &str = r#"{:index 0, :time 1000000, :type :invoke, :process 0, :f :broadcast, :value 0}
{:index 1, :time 3000000, :type :ok, :process 0, :f :broadcast, :value 0}
{:index 2, :time 4000000, :type :invoke, :process 1, :f :read, :value nil}
{:index 3, :time 5000000, :type :invoke, :process 2, :f :read, :value nil}
{:index 4, :time 9000000, :type :ok, :process 1, :f :read, :value [0]}
{:index 5, :time 20000000000, :type :info, :process 2, :f :read, :value nil, :error :net-timeout}
"#;

const CUT: &str = "{:index 6, :time 20000000001, :type :info, :process :nemesis, :f :start-partition, \
                   :value [:isolated {\"n1\" #{\"n2\"}}]}\n";

fn folder(results: &str, history: &str) -> TempDir {
    let root = tempfile::tempdir().expect("a folder");
    let run = root.path().join("broadcast/20260101T000000.000Z");
    fs::create_dir_all(run.join("node-logs")).expect("folders");
    for node in 0..25 {
        fs::write(run.join(format!("node-logs/n{node}.log")), "").expect("a log");
    }
    fs::write(run.join("results.edn"), results).expect("results");
    fs::write(run.join("history.edn"), history).expect("history");
    root
}

fn read(root: &TempDir, bounds: Bounds) -> Result<Report, ReportError> {
    let circumstances = Circumstances {
        bounds,
        latency: Duration::from_millis(100),
        batch: Duration::from_millis(300),
        command: Some("maelstrom test -w broadcast".into()),
        ..Circumstances::default()
    };
    Report::read(&root.path().join("broadcast/20260101T000000.000Z"), circumstances)
}

#[test]
fn a_valid_run_is_one_screen() {
    let report = read(&folder(RESULTS, HISTORY), Bounds::default()).expect("a report");
    assert_eq!(
        report.to_string(),
        "\
MAELSTROM REPORT — broadcast
════════════════════════════
Nodes: 25   Duration: 20s   Operations: 3   Nemesis: none
Result: PASS
Consistency:   Valid: yes   Lost messages: 0 (0.0%)   Stable: 2 (100.0%)   Answered ok: 75.0%
Latency (ms):  p50: 386   p95: 512   p99: 559   max: 571   (until stable)
Latency (ms):  p50: 5   p95: 5   p99: 5   max: 5   (of requests)
Messages:      per op: 0.75 (servers)
Convergence:   Rounds to full convergence: 2   Expected (O(log n)): 5   Status: WITHIN BOUND
"
    );
}

#[test]
fn an_invalid_run_names_the_checker_and_the_command() {
    let results = RESULTS
        .replace(":lost-count 0, :stable-count 2, :valid? true", ":lost-count 1, :stable-count 1, :valid? false");
    let results = results.replace(":lost-latencies nil},\n :valid? true}", ":lost-latencies nil},\n :valid? false}");
    let report = read(&folder(&results, HISTORY), Bounds::default()).expect("a report");
    assert_eq!(report.verdict, Verdict::Fail);
    let text = report.to_string();
    assert!(text.contains("Result: FAIL\nConsistency:   Valid: no   Lost messages: 1 (50.0%)"), "{text}");
    assert!(text.contains("Anomalies found: :workload :attempt-count 2 :lost-count 1"), "{text}");
    assert!(text.ends_with("Reproduction:\n  maelstrom test -w broadcast\n"), "{text}");
}

#[test]
fn a_run_outside_its_bounds_fails_although_it_is_valid() {
    let root = folder(RESULTS, HISTORY);
    let bounds = Bounds { messages: Some(0.7), median_ms: Some(400.0), max_ms: Some(571.0), ..Bounds::default() };
    let report = read(&root, bounds).expect("a report");
    assert_eq!(report.verdict, Verdict::Fail);
    let text = report.to_string();
    assert!(text.contains("Valid: yes"), "{text}");
    let line = "Bounds:        messages per op <= 0.7: no   p50 (ms) < 400: yes   max (ms) < 571: no";
    assert!(text.contains(line), "{text}");
    assert!(text.contains("messages per op: 0.75 is above 0.7; max (ms): 571.00 is not below 571\n"), "{text}");
}

#[test]
fn only_bounds_that_are_given_as_most_include_their_limit() {
    let root = folder(RESULTS, HISTORY);
    let none = Bounds::default();
    let cases = [
        (Bounds { messages: Some(0.75), ..none }, Verdict::Pass),
        (Bounds { messages: Some(0.74), ..none }, Verdict::Fail),
        (Bounds { messages_below: Some(0.76), ..none }, Verdict::Pass),
        (Bounds { messages_below: Some(0.75), ..none }, Verdict::Fail),
        (Bounds { median_ms: Some(387.0), max_ms: Some(572.0), ..none }, Verdict::Pass),
        (Bounds { median_ms: Some(386.0), ..none }, Verdict::Fail),
        (Bounds { max_ms: Some(571.0), ..none }, Verdict::Fail),
    ];
    for (bounds, verdict) in cases {
        assert_eq!(read(&root, bounds).expect("a report").verdict, verdict, "{bounds:?}");
    }
}

#[test]
fn a_value_that_takes_more_rounds_than_the_logarithm_fails_a_run_without_faults() {
    // A round is 0.8 * 300 + 100 ms, the bound for 25 nodes is 5 of them.
    let slowest = |ms: u64| RESULTS.replace("1 571", &format!("1 {ms}"));
    let within = read(&folder(&slowest(1700), HISTORY), Bounds::default()).expect("a report");
    assert_eq!(within.verdict, Verdict::Pass, "{within}");
    let beyond = read(&folder(&slowest(1701), HISTORY), Bounds::default()).expect("a report");
    assert_eq!(beyond.verdict, Verdict::Fail);
    let text = beyond.to_string();
    assert!(text.contains("convergence: 6   Expected (O(log n)): 5   Status: BEYOND BOUND"), "{text}");
    assert!(text.contains("Anomalies found: rounds to full convergence: 6.00 is above 5\n"), "{text}");
}

#[test]
fn a_bound_without_a_figure_and_a_checker_that_cannot_tell_are_unknown() {
    let without = RESULTS.replace(":stable-latencies", ":other-latencies");
    let bounds = Bounds { median_ms: Some(400.0), ..Bounds::default() };
    assert_eq!(read(&folder(&without, HISTORY), bounds).expect("a report").verdict, Verdict::Unknown);
    let unknown = r#"{:workload {:valid? :unknown, :cause :timeout}, :valid? :unknown}"#;
    let report = read(&folder(unknown, HISTORY), Bounds::default()).expect("a report");
    assert_eq!(report.verdict, Verdict::Unknown);
    assert!(report.to_string().contains("Anomalies found: :workload :cause :timeout"), "{report}");
}

#[test]
fn rounds_are_not_judged_under_faults() {
    let cut = format!("{HISTORY}{CUT}");
    let slow = RESULTS.replace("1 571", "1 9999");
    let report = read(&folder(&slow, &cut), Bounds::default()).expect("a report");
    assert_eq!(report.verdict, Verdict::Pass);
    let text = report.to_string();
    assert!(text.contains("Nemesis: partition\n") && text.contains("Status: NOT JUDGED (faults)"), "{text}");
    let root = folder(RESULTS, &cut);
    let circumstances = Circumstances { nemesis: Some("hub-pause".into()), ..Circumstances::default() };
    let report = Report::read(&root.path().join("broadcast/20260101T000000.000Z"), circumstances).expect("a report");
    assert!(report.to_string().contains("Nemesis: partition, hub-pause\n"), "{report}");
}

#[test]
fn a_run_that_shows_nothing_of_what_it_is_for_is_unknown() {
    let told = |history: &str, results: &str, partition| {
        let circumstances = Circumstances { partition, ..Circumstances::default() };
        let folder = folder(results, history);
        let report =
            Report::read(&folder.path().join("broadcast/20260101T000000.000Z"), circumstances).expect("a report");
        (report.verdict, report.to_string())
    };
    assert_eq!(told(&format!("{HISTORY}{CUT}"), RESULTS, true).0, Verdict::Pass);
    let asked = CUT.replace("[:isolated {\"n1\" #{\"n2\"}}]", ":minority-third");
    let healed = CUT.replace(":start-partition", ":stop-partition");
    for history in [HISTORY.to_owned(), format!("{HISTORY}{asked}"), format!("{HISTORY}{healed}")] {
        let (verdict, text) = told(&history, RESULTS, true);
        assert_eq!(verdict, Verdict::Unknown);
        assert!(text.contains("Nemesis: none") && text.contains("the network was never cut"), "{text}");
    }
    let (verdict, text) = told("", RESULTS, false);
    assert_eq!(verdict, Verdict::Unknown);
    assert!(text.contains("nothing was asked"), "{text}");
    let (verdict, text) = told(HISTORY, "{:valid? true, :workload {:valid? true}}", false);
    assert_eq!(verdict, Verdict::Unknown);
    assert!(text.contains("no checker counted the values that were lost"), "{text}");
}

#[test]
fn what_cannot_be_read_is_named_with_its_file() {
    let error = |results: &str, history: &str| {
        read(&folder(results, history), Bounds::default()).expect_err("no report").to_string()
    };
    assert!(error("{:valid? true", HISTORY).contains("results.edn: "));
    assert!(error("{}", HISTORY).contains("results.edn: :valid? is missing"));
    assert!(error(RESULTS, "{:index 0}\n").contains("history.edn: line 1: :time is missing"));
    let missing = Report::read(&folder(RESULTS, HISTORY).path().join("nothing"), Circumstances::default());
    assert!(matches!(missing, Err(ReportError::Unreadable { .. })));
}
