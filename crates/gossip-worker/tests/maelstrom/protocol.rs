//! Init, errors, lines that are none, and what needs no other node.

use std::collections::BTreeSet;
use std::time::Duration;

use gossip_core::time::Time;
use gossip_worker::maelstrom::{Node, Settings};
use serde_json::{Value, json};

use crate::net::Net;

fn error(reply: &Value) -> u64 {
    assert_eq!(reply["type"], "error", "{reply}");
    assert!(reply["text"].as_str().is_some_and(|text| !text.is_empty()), "{reply}");
    reply["code"].as_u64().expect("a code")
}

#[test]
fn an_echo_comes_back_whatever_it_is() {
    let mut net = Net::new(1, 1, 300, 0);
    for echo in [json!("Please echo 3"), json!(null), json!([1, { "a": 2.5 }])] {
        let reply = net.call(0, json!({ "type": "echo", "echo": echo })).expect("an answer");
        assert_eq!((&reply["type"], &reply["echo"]), (&json!("echo_ok"), &echo));
    }
}

#[test]
fn ids_are_unique_without_a_message_between_servers() {
    let mut net = Net::new(3, 1, 300, 100);
    net.split(&[0]);
    let mut ids = BTreeSet::new();
    for i in 0..3000 {
        let reply = net.call(i % 3, json!({ "type": "generate" })).expect("an answer");
        assert!(ids.insert(reply["id"].to_string()), "{reply} was given before");
    }
    assert_eq!(net.messages, 0);
}

#[test]
fn what_makes_no_sense_gets_the_code_that_says_so() {
    let mut net = Net::new(3, 1, 300, 0);
    let cases = [
        (json!({ "type": "dance" }), 10),
        (json!({ "no": "type" }), 12),
        (json!({ "type": "echo" }), 12),
        (json!({ "type": "broadcast" }), 12),
        (json!({ "type": "add" }), 12),
        (json!({ "type": "add", "delta": "one" }), 12),
        (json!({ "type": "add", "delta": 1, "element": 1 }), 12),
        (json!({ "type": "write", "key": 1 }), 12),
        (json!({ "type": "cas", "key": 1, "from": 2 }), 12),
        (json!({ "type": "txn", "txn": [["increment", 1, 1]] }), 12),
        (json!({ "type": "txn", "txn": 3 }), 12),
        (json!({ "type": "send", "key": 3, "msg": 1 }), 12),
        (json!({ "type": "poll", "offsets": { "a": -1 } }), 12),
        (json!({ "type": "list_committed_offsets", "keys": [1] }), 12),
        (json!({ "type": "init", "node_id": "n9", "node_ids": ["n0"] }), 12),
        // Nobody has added anything: neither a set nor a counter.
        (json!({ "type": "read" }), 11),
    ];
    for (request, code) in cases {
        let reply = net.call(0, request.clone()).expect("an answer");
        assert_eq!(error(&reply), code, "{request} -> {reply}");
    }
}

#[test]
fn a_line_that_is_no_message_is_one_line_in_the_log_and_nothing_else() {
    let mut net = Net::new(3, 1, 300, 0);
    let lines = [
        "",
        "not json",
        "[]",
        r#"{"src":"c1","dest":"n0"}"#,
        r#"{"src":"c1","dest":"n0","body":{}}"#,
        r#"{"src":"c1","dest":"n0","body":{"type":"echo","echo":1}}"#,
        r#"{"src":"c1","dest":"n0","body":{"type":"echo","msg_id":-1}}"#,
        r#"{"src":"n1","dest":"n0","body":{"type":"spread"}}"#,
        r#"{"src":"n1","dest":"n0","body":{"type":"spread","of":"values","message":{"life":1}}}"#,
        r#"{"src":"n1","dest":"n0","body":{"type":"group","of":"what","packet":{}}}"#,
        r#"{"src":"n1","dest":"n0","body":{"type":"group","of":"kv","packet":{"raft":["%%"]}}}"#,
        r#"{"src":"n1","dest":"n0","body":{"type":"group","of":"kv","packet":{"raft":["AAAA"]}}}"#,
        r#"{"src":"n1","dest":"n0","body":{"type":"group","of":"kv","packet":3}}"#,
    ];
    for (i, line) in lines.iter().enumerate() {
        net.line(0, line);
        assert_eq!(net.log.len(), i + 1, "{line} -> {:?}", net.log);
    }
    let before = net.replies.len();
    let reply = net.call(0, json!({ "type": "echo", "echo": 1 })).expect("still there");
    assert_eq!((net.replies.len(), &reply["type"]), (before + 1, &json!("echo_ok")));
}

#[test]
fn requests_before_init_are_refused_as_not_now() {
    let settings = Settings { batch: Duration::ZERO, life: 1 };
    let mut node = Node::new(settings);
    node.line(Time::ZERO, r#"{"src":"c1","dest":"n1","body":{"type":"echo","msg_id":1,"echo":1}}"#);
    let reply = node.poll().expect("an answer");
    assert_eq!(error(&Value::Object(reply.body)), 11);
}
