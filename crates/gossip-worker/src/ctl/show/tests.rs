use gossip_client::{LeaseRecord, RunStatus, ShardStatus};

use super::*;

fn a_shard() -> ShardInfo {
    ShardInfo {
        shard: "a".into(),
        parent: None,
        range: Range::new("", "m"),
        status: ShardStatus::Active,
        fence: 3,
        lease: Some(LeaseRecord { worker: "host-a".into(), granted_ms: 1_000, deadline_ms: 31_000 }),
        cursor: Some(Cursor { key: b"dog".to_vec(), token: vec![0, 1] }),
        metadata: Vec::new(),
        reason: String::new(),
    }
}

fn at<T>(value: T, lease_clock_ms: u64) -> Read<T> {
    Read { value, applied: 9, lease_clock_ms, stale: false }
}

#[test]
fn columns_are_as_wide_as_their_widest_cell() {
    let rows = [vec!["crawl-7".to_string(), "ä".into()], vec!["x".into(), String::new()]];
    assert_eq!(table(&["RUN", "WHY"], &rows), "RUN      WHY\ncrawl-7  ä\nx");
    assert_eq!(table(&["RUN"], &[]), "RUN");
}

#[test]
fn a_shard_shows_its_lease_against_the_lease_clock() {
    let list = |clock| shards(&at(vec![a_shard()], clock)).text.lines().nth(1).unwrap().to_string();
    assert_eq!(list(6_950), "a      active  ..m    3      host-a 24s left  dog");
    assert_eq!(list(31_000), "a      active  ..m    3      host-a expired  dog");
    let free = ShardInfo { lease: None, cursor: None, ..a_shard() };
    assert_eq!(shards(&at(vec![free], 0)).text.lines().nth(1), Some("a      active  ..m    3      -      -"));
}

#[test]
fn json_has_null_for_infinity_and_keys_that_can_be_given_back() {
    let json = shard(&at(a_shard(), 6_950)).json;
    assert_eq!((&json["start"], &json["end"]), (&Value::Null, &json!("m")));
    assert_eq!(json["cursor"], json!({ "key": "dog", "token": "0x0001" }));
    assert_eq!(json["lease"]["live"], json!(true));
    assert_eq!((&json["applied"], &json["stale"]), (&json!(9), &json!(false)));
    assert_eq!(shard(&at(a_shard(), 31_000)).json["lease"]["live"], json!(false));
}

#[test]
fn one_thing_is_shown_line_by_line_without_what_is_empty() {
    let text = shard(&at(a_shard(), 6_950)).text;
    assert!(text.starts_with("shard   a\nstatus  active\nrange   ..m\nfence   3\n"), "{text}");
    assert!(!text.contains("reason") && !text.contains("metadata"));
}

#[test]
fn progress_does_not_count_what_was_split() {
    let counts = gossip_client::Counts { active: 2, parked: 1, done: 3, split: 5, cancelled: 0 };
    let info = RunInfo {
        run: "crawl".into(),
        status: RunStatus::Active,
        metadata: Vec::new(),
        reason: String::new(),
        roots: 1,
        counts,
        changed_at: 4,
    };
    let report = progress(&info);
    assert_eq!(report.text, "crawl active: 3 of 6 shards done (50 %), 2 active, 1 parked");
    assert_eq!(report.json["percent"], json!(50));
    let empty = RunInfo { counts: gossip_client::Counts::default(), ..info };
    assert_eq!(progress(&empty).json["percent"], json!(0));
}

#[test]
fn sizes_and_times_are_for_people() {
    assert_eq!((bytes(512), bytes(1_536), bytes(5 << 30)), ("512 B".into(), "1.5 KiB".into(), "5.0 GiB".into()));
    assert_eq!((time(24_090), time(24_150), time(90_700)), ("24s".into(), "24s 100ms".into(), "1m 30s".into()));
}

#[test]
fn a_node_that_does_not_answer_has_a_row_too() {
    let up = NodeStatus { node: "n1".into(), role: Role::Leader.into(), ready: true, ..NodeStatus::default() };
    let down = gossip_client::Client::lazy(vec![], gossip_client::Options::default()).unwrap_err();
    let report = statuses(&[("a:1".into(), Ok(up)), ("b:2".into(), Err(down.clone()))]);
    let lines: Vec<&str> = report.text.lines().collect();
    assert!(lines[1].starts_with("a:1       n1    leader"), "{}", report.text);
    assert!(lines[2].contains(&down.reason), "{}", report.text);
    assert_eq!(report.json["nodes"][1]["error"]["reason"], json!(down.reason));
    assert_eq!(report.json["nodes"][1]["error"]["definite"], json!(down.definite));
}
