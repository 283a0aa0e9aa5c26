//! The binary itself, over its pipes.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use protobuf::Message as _;
use raft::eraftpb::{Message, MessageType};
use serde_json::{Value, json};

/// Starts the binary, gives it these lines, and takes what it wrote until it ended.
fn run(lines: &[&[u8]]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_maelstrom_gossip"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(&[lines.join(&b'\n'), b"\n".to_vec()].concat()).expect("it reads");
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

fn message(src: &str, body: &Value) -> String {
    json!({ "src": src, "dest": "n1", "body": body }).to_string()
}

fn init(nodes: &[&str]) -> String {
    message("c1", &json!({ "type": "init", "msg_id": 1, "node_id": "n1", "node_ids": nodes }))
}

#[test]
fn the_process_answers_line_by_line_and_ends_with_its_input() {
    let lines = [
        message("c1", &json!({ "type": "echo", "msg_id": 2, "echo": "hello" })),
        message("c1", &json!({ "type": "broadcast", "msg_id": 3, "message": 7 })),
        message("c1", &json!({ "type": "read", "msg_id": 4 })),
    ];
    let [echo, broadcast, read] = lines.each_ref().map(String::as_bytes);
    let output = run(&[init(&["n1"]).as_bytes(), b"no message", echo, b"\xff\xfe{\"no text\"", broadcast, read]);
    assert!(output.status.success());
    let stdout = String::from_utf8(output.stdout).expect("text");
    let replies: Vec<Value> = stdout.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    let types: Vec<_> = replies.iter().map(|r| r["body"]["type"].as_str().unwrap_or_default()).collect();
    assert_eq!(types, ["init_ok", "echo_ok", "broadcast_ok", "read_ok"]);
    assert_eq!(replies[3]["body"]["messages"], json!([7]));
    let stderr = String::from_utf8(output.stderr).expect("text");
    assert_eq!(stderr.lines().filter(|line| line.starts_with("not an envelope")).count(), 2, "{stderr}");
}

/// The leader speaks of entries that this node acknowledged and does not have.
#[test]
fn a_node_that_cannot_go_on_ends_its_process_with_one_line() {
    let write = message("c1", &json!({ "type": "write", "msg_id": 2, "key": 1, "value": 2 }));
    let heartbeat =
        Message { msg_type: MessageType::MsgHeartbeat, to: 1, from: 2, term: 5, commit: 1000, ..Message::default() };
    let bytes = BASE64_STANDARD.encode(heartbeat.write_to_bytes().expect("a message"));
    let packet = message("n2", &json!({ "type": "group", "of": "kv", "packet": { "raft": [bytes] } }));
    let echo = message("c1", &json!({ "type": "echo", "msg_id": 3, "echo": 1 }));
    let output = run(&[init(&["n1", "n2", "n3"]).as_bytes(), write.as_bytes(), packet.as_bytes(), echo.as_bytes()]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).expect("text");
    let last = stderr.lines().last().unwrap_or_default();
    assert!(last.starts_with("maelstrom_gossip: the log ends at 1, but 1000 was acknowledged"), "{stderr}");
    let stdout = String::from_utf8(output.stdout).expect("text");
    assert!(stdout.contains(r#""code":13"#) && !stdout.contains("echo_ok"), "{stdout}");
}
