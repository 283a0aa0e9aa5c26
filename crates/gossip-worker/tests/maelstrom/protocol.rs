//! Init, errors, lines that are none, and what needs no other node.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use gossip_core::time::Time;
use gossip_worker::maelstrom::{Node, Settings};
use protobuf::Message as _;
use raft::eraftpb::{Entry, Message, MessageType};
use serde_json::{Value, json};

use crate::net::Net;
use crate::replicated::settled;

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
fn a_number_comes_back_as_it_came_however_large() {
    let mut net = settled(1, 0, &json!({ "type": "write", "key": 1, "value": 1 }));
    // 2^64 + 1: as a float it would be another number, and equal to its neighbours.
    let large: Value = serde_json::from_str("[18446744073709551617, 18446744073709551618, 1.10]").expect("numbers");
    for value in large.as_array().expect("a list") {
        net.call(0, json!({ "type": "broadcast", "message": value }));
        net.call(0, json!({ "type": "write", "key": value, "value": value }));
    }
    let read = net.call(0, json!({ "type": "read" })).expect("an answer");
    assert_eq!(read["messages"], large);
    for value in large.as_array().expect("a list") {
        assert_eq!(net.call(0, json!({ "type": "read", "key": value })).expect("an answer")["value"], *value);
    }
}

/// The second life has the first one's number, as after a restart within one tick of the clock that numbers lives.
#[test]
fn ids_are_unique_over_nodes_and_lives_without_a_message_between_servers() {
    let mut ids = BTreeSet::new();
    for _life in 0..2 {
        let mut net = Net::new(3, 1, 300, 100);
        net.split(&[0]);
        for i in 0..3000 {
            let reply = net.call(i % 3, json!({ "type": "generate" })).expect("an answer");
            assert!(ids.insert(reply["id"].to_string()), "{reply} was given before");
        }
        assert_eq!(net.messages, 0);
    }
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
        (json!({ "type": "init", "node_id": "n0", "node_ids": ["n0", "n1", "n1"] }), 12),
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
        net.line(0, line.as_bytes());
        assert_eq!(net.log.len(), i + 1, "{line} -> {:?}", net.log);
    }
    net.line(0, b"\xff\xfe{\"a\"");
    assert_eq!(net.log.len(), lines.len() + 1, "what is no text -> {:?}", net.log);
    let before = net.replies.len();
    let reply = net.call(0, json!({ "type": "echo", "echo": 1 })).expect("still there");
    assert_eq!((net.replies.len(), &reply["type"]), (before + 1, &json!("echo_ok")));
}

#[test]
fn requests_before_init_are_refused_as_not_now() {
    let settings = Settings { batch: Duration::ZERO, life: 1 };
    let mut node = Node::new(settings);
    node.line(Time::ZERO, br#"{"src":"c1","dest":"n1","body":{"type":"echo","msg_id":1,"echo":1}}"#);
    let reply = node.poll().expect("an answer");
    assert_eq!(error(&Value::Object(reply.body)), 11);
}

/// A packet of one Raft message, for the group that holds the registers.
fn raft(message: &Message) -> Value {
    let bytes = message.write_to_bytes().expect("a message");
    json!({ "type": "group", "of": "kv", "packet": { "raft": [BASE64_STANDARD.encode(bytes)] } })
}

fn of_leader(msg_type: MessageType, term: u64) -> Message {
    Message { msg_type, to: 1, from: 2, term, ..Message::default() }
}

#[test]
fn a_raft_message_that_no_node_would_send_is_one_line_in_the_log_and_nothing_else() {
    let entry = Entry { index: 9, term: 5, data: vec![120].into(), ..Entry::default() };
    let append = of_leader(MessageType::MsgAppend, 5);
    let gap = Message { index: 1, log_term: 1, commit: 5, entries: vec![entry].into(), ..append.clone() };
    let beyond = Message { index: 1000, commit: 1000, ..append };
    let last_term = |kind| of_leader(kind, u64::MAX);
    let cases = [
        gap,
        beyond,
        last_term(MessageType::MsgHeartbeat),
        last_term(MessageType::MsgRequestVote),
        last_term(MessageType::MsgRequestPreVote),
    ];
    for message in cases {
        let mut net = Net::new(3, 1, 300, 1);
        net.peer_line(1, 0, &raft(&message));
        assert!(
            matches!(net.log.as_slice(), [line] if line.contains("of node 2 dropped")),
            "{message:?} {:?}",
            net.log
        );
        let written = (0..10).any(|_| {
            net.call(0, json!({ "type": "write", "key": 1, "value": 2 }))
                .is_some_and(|reply| reply["type"] == "write_ok")
        });
        assert!(written, "{message:?}: the group goes on");
        assert_eq!(net.log.len(), 1, "{:?}", net.log);
    }
}

#[test]
fn runs_that_end_where_numbers_end_change_nothing() {
    for (of, add) in [("values", json!({ "element": 7 })), ("counter", json!({ "delta": 7 }))] {
        for (first, node) in [(u64::MAX - 1, 1), (u64::MAX, 1), (u64::MAX - 1, 0)] {
            let mut net = Net::new(3, 1, 300, 1);
            let run = json!({ "origin": { "node": node, "life": 1 }, "first": first, "payloads": [1] });
            let message = json!({
                "life": 5, "view": { "epoch": 0, "hub": 0 }, "hears_hub": false, "parent": false, "ask": "none",
                "versions": [], "runs": [run],
            });
            net.peer_line(1, 0, &json!({ "type": "spread", "of": of, "message": message }));
            let mut add = add.clone();
            add["type"] = "add".into();
            assert_eq!(net.call(0, add).expect("an answer")["type"], "add_ok", "{of} {first}");
            net.run(Duration::from_secs(5));
            assert_eq!(net.call(2, json!({ "type": "read" })).expect("an answer")["type"], "read_ok", "{of} {first}");
        }
    }
}

#[test]
fn a_node_that_cannot_go_on_says_so_and_leaves_nobody_waiting() {
    let mut net = Net::new(3, 1, 300, 1);
    let waiting = net.request(0, json!({ "type": "write", "key": 1, "value": 2 }));
    let read = net.request(0, json!({ "type": "read", "key": 1 }));
    // The leader speaks of entries that this node told it it had.
    net.peer_line(1, 0, &raft(&Message { commit: 1000, ..of_leader(MessageType::MsgHeartbeat, 5) }));
    let line = net.nodes[0].failed().expect("it cannot go on");
    assert!(line.contains("1000 was acknowledged"), "{line}");
    for id in [waiting, read] {
        assert_eq!(error(&net.replies[&id].1), 13);
    }
    assert_eq!(net.nodes[1].failed(), None);
}
