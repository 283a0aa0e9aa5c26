//! The binary itself, over its pipes.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

#[test]
fn the_process_answers_line_by_line_and_ends_with_its_input() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_maelstrom_gossip"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let request = |id: u64, mut body: Value| {
        body["msg_id"] = id.into();
        json!({ "src": "c1", "dest": "n1", "body": body }).to_string()
    };
    let lines = [
        request(1, json!({ "type": "init", "node_id": "n1", "node_ids": ["n1"] })),
        "no message".into(),
        request(2, json!({ "type": "echo", "echo": "hello" })),
        request(3, json!({ "type": "broadcast", "message": 7 })),
        request(4, json!({ "type": "read" })),
    ];
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all((lines.join("\n") + "\n").as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success());
    let stdout = String::from_utf8(output.stdout).expect("text");
    let replies: Vec<Value> = stdout.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    let types: Vec<_> = replies.iter().map(|r| r["body"]["type"].as_str().unwrap_or_default()).collect();
    assert_eq!(types, ["init_ok", "echo_ok", "broadcast_ok", "read_ok"]);
    assert_eq!(replies[3]["body"]["messages"], json!([7]));
    let stderr = String::from_utf8(output.stderr).expect("text");
    assert_eq!(stderr.lines().filter(|line| line.starts_with("not an envelope")).count(), 1, "{stderr}");
}
