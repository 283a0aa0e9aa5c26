//! Registers and transactions on the Raft group, request by request.

use std::time::Duration;

use serde_json::{Value, json};

use crate::net::Net;

const SECOND: Duration = Duration::from_secs(1);

/// Until a leader is there, requests are refused as "not now".
pub(crate) fn settled(nodes: usize, latency_ms: u64, first: &Value) -> Net {
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
