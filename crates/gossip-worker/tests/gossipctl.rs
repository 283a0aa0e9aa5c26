//! `gossipctl` as scripts use it: its command line, its exit codes, and its answers from a real node.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

/// What one call printed and ended with.
#[derive(Debug)]
struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Ended {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    fn error(&self) -> Value {
        let value: Value = serde_json::from_str(&self.err).unwrap_or_else(|e| panic!("{e}: {self:?}"));
        value["error"].clone()
    }
}

fn gossipctl(endpoints: &str, line: &str) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gossipctl"));
    for name in ["GOSSIP_TENANT", "GOSSIP_TIMEOUT", "GOSSIP_WORKER"] {
        command.env_remove(name);
    }
    let output = command.env("GOSSIP_ENDPOINTS", endpoints).args(line.split_whitespace()).output().unwrap();
    Ended {
        code: output.status.code().expect("ended by a signal"),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A node in a temporary folder, which ends with the test.
struct Node {
    process: Child,
    address: String,
}

impl Node {
    fn start() -> Node {
        let mut process = Command::new(env!("CARGO_BIN_EXE_gossip-worker"))
            .args(["dev", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(process.stdout.take().unwrap());
        let lines = out.lines().map(|line| line.unwrap());
        let address = lines.filter_map(|line| Some(line.split_once("GOSSIP_ENDPOINTS=")?.1.to_string())).next();
        Node { process, address: address.expect("the node says where it serves") }
    }

    fn ctl(&self, line: &str) -> Ended {
        gossipctl(&self.address, line)
    }

    /// A call that must succeed, as JSON.
    fn json(&self, line: &str) -> Value {
        let ended = self.ctl(&format!("--json {line}"));
        assert_eq!(ended.code, 0, "{line}: {ended:?}");
        ended.json()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // SIGTERM, so that it takes its folder with it.
        let id = nix::unistd::Pid::from_raw(self.process.id().cast_signed());
        let _ = nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM);
        let _ = self.process.wait();
    }
}

#[test]
fn a_wrong_line_is_254_and_says_what_is_wrong() {
    for (line, part) in [
        ("claim r", "--worker"),
        ("checkpoint r s --worker w --fence 1 --key 0xz", "hexadecimal"),
        ("checkpoint r s --worker w --fence x --key k", "--fence"),
        ("claim r --worker w --lease 30", "30s"),
        ("--op-id 12 run start r", "32 hexadecimal digits"),
        ("shard register r a", "NAME:START..END"),
        ("shard list r --status gone", "parked"),
        ("--endpoints nowhere run list", "host:port"),
        ("", "Usage"),
    ] {
        let ended = gossipctl("127.0.0.1:1", line);
        assert_eq!(ended.code, 254, "{line}: {ended:?}");
        assert!(ended.err.contains(part), "{line}: {ended:?}");
        assert!(ended.out.is_empty());
        let ended = gossipctl("127.0.0.1:1", &format!("--json {line}"));
        assert_eq!(ended.code, 254, "{line}: {ended:?}");
        let error = ended.error();
        assert_eq!((&error["reason"], &error["definite"]), (&json!("USAGE"), &json!(true)), "{line}");
        assert!(error["message"].as_str().unwrap().contains(part), "{line}: {error}");
        assert!(ended.out.is_empty());
    }
}

#[test]
fn help_and_version_are_answers() {
    let help = gossipctl("127.0.0.1:1", "--help");
    assert_eq!(help.code, 0);
    for part in ["Exit codes", "GOSSIP_ENDPOINTS", "split-residual", "transfer"] {
        assert!(help.out.contains(part), "{part}");
    }
    assert!(gossipctl("127.0.0.1:1", "--version").out.starts_with("gossipctl "));
}

#[test]
fn nobody_there_is_3_and_silence_leaves_a_mutation_open() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for line in ["run list", "status", "run create r"] {
        let ended = gossipctl(&closed, &format!("--timeout 300ms {line}"));
        assert_eq!(ended.code, 3, "{line}: {ended:?}");
    }
    // It accepts connections, as the kernel does for it, and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    assert_eq!(gossipctl(&address, "--timeout 300ms run list").code, 3, "a read changes nothing");
    let op = "0123456789abcdef0123456789abcdef";
    let open = gossipctl(&address, &format!("--timeout 300ms --op-id {op} run create r"));
    assert_eq!(open.code, 2, "{open:?}");
    assert!(open.err.contains(&format!("--op-id {op}")), "{open:?}");
    let open = gossipctl(&address, &format!("--json --timeout 300ms --op-id {op} run create r"));
    assert_eq!((&open.error()["definite"], &open.error()["op_id"]), (&json!(false), &json!(op)));
}

#[test]
fn a_run_from_its_creation_to_its_deletion() {
    let node = Node::start();
    node.json("run create crawl --metadata weekly");
    node.json("shard register crawl a:..m b:m..t c:0x74.. --start");
    let grant = node.json("acquire crawl a --worker w1 --lease 1m");
    assert_eq!((&grant["fence"], &grant["start"], &grant["end"]), (&json!(1), &Value::Null, &json!("m")));
    node.json("renew crawl a --worker w1 --fence 1 --lease 2m");
    node.json("checkpoint crawl a --worker w1 --fence 1 --key dog --token 0x0001");
    let residual = node.json("split-residual crawl a --worker w1 --fence 1 f");
    assert_eq!(residual["children"][0]["start"], json!("f"));
    node.json("release crawl a --worker w1 --fence 1");
    let shard = node.json("shard get crawl a");
    assert_eq!(shard["cursor"], json!({ "key": "dog", "token": "0x0001" }));
    assert_eq!((&shard["end"], &shard["lease"]), (&json!("f"), &Value::Null));

    let grant = node.json("acquire crawl b --worker w2");
    node.json(&format!("park crawl b --worker w2 --fence {} --reason odd", grant["fence"]));
    assert_eq!(node.json("shard list crawl --status parked")["shards"][0]["reason"], json!("odd"));
    assert_eq!(node.json("unpark crawl b")["fence"], json!(2));
    let grant = node.json("acquire crawl b --worker w2");
    let children = node.json(&format!("split-replace crawl b --worker w2 --fence {} p r", grant["fence"]));
    assert_eq!(children["children"].as_array().map(Vec::len), Some(3));

    let refused = node.ctl("--json run complete crawl");
    assert_eq!((refused.code, &refused.error()["reason"]), (1, &json!("RUN_UNFINISHED")));
    while node.json("run progress crawl")["active"] != json!(0) {
        let grant = node.json("claim crawl --worker w3");
        let shard = grant["shard"].as_str().unwrap();
        node.json(&format!("complete crawl {shard} --worker w3 --fence {}", grant["fence"]));
    }
    assert_eq!(node.json("run complete crawl")["status"], json!("done"));
    let watch = node.ctl("watch crawl");
    assert_eq!((watch.code, watch.out.trim()), (0, "crawl done: 6 of 6 shards done (100 %)"));
    assert_eq!(node.json("run list")["runs"][0]["metadata"], json!("weekly"));
    node.json("run delete crawl");
    let gone = node.ctl("run get crawl");
    assert_eq!((gone.code, gone.out.as_str()), (1, ""));
    assert!(gone.err.starts_with("gossipctl: RUN_NOT_FOUND"), "{gone:?}");
}

#[test]
fn the_same_op_id_gets_the_first_answer_again() {
    let node = Node::start();
    node.json("run create r");
    node.json("shard register r s:.. --start");
    let op = "000000000000000000000000000000aa";
    let first = node.json(&format!("--op-id {op} claim r --worker w"));
    assert_eq!(node.json(&format!("--op-id {op} claim r --worker w")), first);
    let other = node.ctl(&format!("--json --op-id {op} claim r --worker x"));
    assert_eq!((other.code, &other.error()["reason"]), (1, &json!("OP_ID_CONFLICT")));
    let held = node.ctl("--json acquire r s --worker x");
    assert_eq!(
        (held.code, &held.error()["reason"], &held.error()["definite"]),
        (1, &json!("LEASE_HELD"), &json!(true))
    );
    assert!(held.error()["retry_after_ms"].as_u64() > Some(0));
}

#[test]
fn the_cluster_shows_itself_in_a_table() {
    let node = Node::start();
    // Answered by a leader, so there is one from here on.
    node.json("run list");
    let status = node.ctl("status");
    let lines: Vec<&str> = status.out.lines().collect();
    assert!(lines[0].starts_with("ENDPOINT") && lines[1].starts_with(&node.address), "{status:?}");
    assert!(lines[1].contains("leader"), "{status:?}");
    let members = node.json("members");
    let view = &members["views"][0];
    assert_eq!((&view["node"], &view["members"][0]["node"]), (&json!("dev"), &json!("dev")));
    assert_eq!(view["members"][0]["voter"], json!(true));
    assert_eq!(node.ctl("remove dev").code, 1, "the last voter stays");
    let both = format!("--endpoints {},127.0.0.1:1 --json status", node.address);
    let both = node.ctl(&both);
    assert_eq!((both.code, &both.json()["nodes"][1]["error"]["reason"]), (3, &json!("UNREACHABLE")));
}
