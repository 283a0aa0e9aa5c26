//! lin-kv, transactions and logs on the Raft group.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::net::Net;

const SECOND: Duration = Duration::from_secs(1);

/// Until a leader is there, requests are refused as "not now".
fn settled(nodes: usize, latency_ms: u64, first: &Value) -> Net {
    let mut net = Net::new(nodes, 1, 300, latency_ms);
    for _ in 0..10 {
        if net.call(0, first.clone()).is_some_and(|reply| reply["type"] != "error") {
            return net;
        }
    }
    panic!("nobody leads");
}

fn write(key: u64, value: u64) -> Value {
    json!({ "type": "write", "key": key, "value": value })
}

#[test]
fn registers_read_write_and_compare_from_any_node() {
    let mut net = settled(5, 5, &write(0, 0));
    for node in 0..5 {
        assert_eq!(net.call(node, write(1, 10)).expect("an answer")["type"], "write_ok");
        let cas = |from, to| json!({ "type": "cas", "key": 1, "from": from, "to": to });
        assert_eq!(net.call((node + 1) % 5, cas(10, 11)).expect("an answer")["type"], "cas_ok");
        assert_eq!(net.call((node + 2) % 5, cas(10, 12)).expect("an answer")["code"], 22);
        let read = net.call((node + 3) % 5, json!({ "type": "read", "key": 1 })).expect("an answer");
        assert_eq!((&read["type"], &read["value"]), (&json!("read_ok"), &json!(11)));
    }
    assert_eq!(net.call(2, json!({ "type": "read", "key": 9 })).expect("an answer")["code"], 20);
    assert_eq!(net.call(2, json!({ "type": "cas", "key": 9, "from": 1, "to": 2 })).expect("an answer")["code"], 20);
}

#[test]
fn a_minority_serves_no_stale_read_and_the_majority_goes_on() {
    let mut net = settled(5, 5, &write(1, 1));
    net.split(&[0, 1]);
    net.run(3 * SECOND);
    let written = (0..10).any(|_| net.call(4, write(1, 2)).is_some_and(|reply| reply["type"] == "write_ok"));
    assert!(written, "the majority goes on");
    for node in 0..2 {
        let read = net.call(node, json!({ "type": "read", "key": 1 })).expect("an answer");
        assert_eq!(read["code"], 11, "{read}");
        let refused = net.call(node, write(1, 3)).expect("an answer");
        assert_eq!(refused["code"], 11, "{refused}");
    }
    net.cut.clear();
    net.run(3 * SECOND);
    for node in 0..5 {
        let read = net.call(node, json!({ "type": "read", "key": 1 })).expect("an answer");
        assert_eq!(read["value"], 2, "node {node}: {read}");
    }
}

#[test]
fn a_transaction_sees_its_own_appends_and_everything_before_it() {
    let mut net = settled(3, 5, &json!({ "type": "txn", "txn": [["append", 0, 0]] }));
    let txn = json!([["r", 1, null], ["append", 1, 6], ["r", 1, null], ["append", 2, 9]]);
    let done = net.call(1, json!({ "type": "txn", "txn": txn })).expect("an answer");
    assert_eq!(done["txn"], json!([["r", 1, null], ["append", 1, 6], ["r", 1, [6]], ["append", 2, 9]]));
    let seen = net.call(2, json!({ "type": "txn", "txn": [["r", 1, null], ["r", 2, null]] })).expect("an answer");
    assert_eq!(seen["txn"], json!([["r", 1, [6]], ["r", 2, [9]]]));
}

#[test]
fn logs_keep_every_message_at_one_offset() {
    let mut net = settled(2, 1, &json!({ "type": "send", "key": "a", "msg": 0 }));
    let mut sent = BTreeMap::from([(0, 0)]);
    for message in 1..100u64 {
        let reply = net.call(message as usize % 2, json!({ "type": "send", "key": "a", "msg": message }));
        let offset = reply.expect("an answer")["offset"].as_u64().expect("an offset");
        assert!(sent.insert(offset, message).is_none(), "offset {offset} twice");
    }
    net.run(SECOND);
    for node in 0..2 {
        let polled = net.call(node, json!({ "type": "poll", "offsets": { "a": 10, "b": 0 } })).expect("an answer");
        let expected: Vec<_> = sent.range(10..).map(|(offset, message)| json!([offset, message])).collect();
        assert_eq!(polled["msgs"], json!({ "a": expected }));
    }
}

#[test]
fn committed_offsets_reach_every_node_and_never_fall() {
    let mut net = settled(2, 1, &json!({ "type": "send", "key": "a", "msg": 0 }));
    for (node, offset) in [(0, 5), (1, 7), (0, 3)] {
        net.call(node, json!({ "type": "commit_offsets", "offsets": { "a": offset } })).expect("an answer");
        net.run(SECOND);
    }
    for node in 0..2 {
        let listed = net.call(node, json!({ "type": "list_committed_offsets", "keys": ["a", "b"] }));
        assert_eq!(listed.expect("an answer")["offsets"], json!({ "a": 7 }));
    }
}

/// Two clients on each node, each with one request under way, for ten seconds: half sends, half polls, each poll followed by a
/// commit. Gives operations, commits not counted, and messages for each.
fn log_load(nodes: usize) -> (u64, f64) {
    let mut net = settled(nodes, 0, &json!({ "type": "send", "key": "a", "msg": 0 }));
    (net.messages, net.operations) = (0, 0);
    let mut waiting: Vec<Option<u64>> = vec![None; 2 * nodes];
    let end = net.now + 10 * SECOND;
    let mut commits = 0;
    while net.now < end {
        for (client, waiting) in waiting.iter_mut().enumerate() {
            if waiting.is_some_and(|id| !net.replies.contains_key(&id)) {
                continue;
            }
            let node = client % nodes;
            let request = if net.draw(2) == 0 {
                json!({ "type": "send", "key": "a", "msg": 1 })
            } else {
                commits += 1;
                net.request(node, json!({ "type": "commit_offsets", "offsets": { "a": 1 } }));
                json!({ "type": "poll", "offsets": { "a": 1_000_000 } })
            };
            *waiting = Some(net.request(node, request));
        }
        net.run(SECOND / 1000);
    }
    let operations = net.operations - commits;
    (operations, net.messages as f64 / operations as f64)
}

#[test]
fn logs_cost_less_than_one_message_an_operation() {
    for (nodes, least) in [(2, 3000), (5, 5000)] {
        let (operations, messages) = log_load(nodes);
        assert!(operations > least, "{nodes} nodes: {operations} operations in 10 s");
        assert!(messages <= 1.0, "{nodes} nodes: {messages} messages an operation");
    }
}
