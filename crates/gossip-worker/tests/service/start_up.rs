//! What is wrong at start is said in one line, with exit code 2, and changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::kit::{Cluster, Node, PATIENCE, free_addresses, program, run_to_end, until};

fn refused(args: &[&str], code: i32, says: &str) {
    let output = run_to_end(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    let line = stderr.lines().last().unwrap_or_default();
    assert!(line.starts_with("gossip-worker: ") && line.contains(says), "{args:?}: {stderr}");
    let errors = stderr.lines().filter(|line| line.starts_with("gossip-worker: ")).count();
    assert_eq!(errors, 1, "{stderr}");
}

#[test]
fn flags_that_make_no_sense() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    refused(&["--lissen", "x"], 2, "unexpected argument '--lissen'");
    refused(&["--listen", "nowhere"], 2, "invalid value 'nowhere'");
    refused(&[], 2, "--id, --listen, --data: are missing");
    let peers = "n1=127.0.0.1:1,n2=127.0.0.1:2,n3=127.0.0.1:3";
    refused(&["--id", "n9", "--listen", "127.0.0.1:1", "--data", data, "--peers", peers], 2, "n9 is not among --peers");
    let nowhere = ["--id", "n4", "--listen", "0.0.0.0:7001", "--data", data, "--join", "127.0.0.1:1"];
    refused(&nowhere, 2, "--advertise: is missing: nobody can reach 0.0.0.0:7001");
    assert!(!fs::exists(data).unwrap(), "a refused start made the data folder");
}

#[test]
fn a_port_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let peers = format!("n1={address}");
    refused(&["--id", "n1", "--listen", &address, "--data", data, "--peers", &peers], 2, "cannot listen on");
    assert!(!fs::exists(data).unwrap(), "a refused start made the data folder");
    let free = &free_addresses(1)[0];
    let peers = format!("n1={free}");
    let metrics = ["--metrics-listen", &address];
    let args = ["--id", "n1", "--listen", free, "--data", data, "--peers", &peers, metrics[0], metrics[1]];
    refused(&args, 2, "--metrics-listen");
}

/// Whoever is first has the port, and the other one changes nothing.
#[test]
fn two_that_start_at_once_on_one_port() {
    for _ in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let free = &free_addresses(1)[0];
        let peers = format!("n1={free}");
        let mut nodes: Vec<_> = ["a", "b"].map(|name| folder.path().join(name)).into_iter().collect();
        let mut started: Vec<_> = nodes
            .iter()
            .map(|data| {
                let mut command = program();
                command.args(["--id", "n1", "--listen", free, "--peers", &peers, "--data", data.to_str().unwrap()]);
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        let began = Instant::now();
        let loser = loop {
            let ended = started.iter_mut().position(|child| child.try_wait().unwrap().is_some());
            match ended {
                Some(loser) => break loser,
                None => assert!(began.elapsed() < PATIENCE, "both go on"),
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let (lost, data) = (started.remove(loser).wait_with_output().unwrap(), nodes.remove(loser));
        let says = String::from_utf8_lossy(&lost.stderr);
        assert_eq!(lost.status.code(), Some(2), "{says}");
        assert!(says.lines().last().unwrap_or_default().contains("cannot listen on"), "{says}");
        assert!(!data.exists(), "who lost made its folder");
        let winner = started.remove(0);
        while !nodes[0].join("witness").exists() {
            assert!(began.elapsed() < PATIENCE, "the winner has no store");
            std::thread::sleep(Duration::from_millis(5));
        }
        kill(Pid::from_raw(i32::try_from(winner.id()).unwrap()), Signal::SIGTERM).unwrap();
        let won = winner.wait_with_output().unwrap();
        assert!(won.status.success(), "{}", String::from_utf8_lossy(&won.stderr));
    }
}

#[tokio::test]
async fn the_folder_of_someone_else() {
    let mut cluster = Cluster::start(1, &[]).await;
    let data = cluster.folder.path().join("n1").display().to_string();
    let free = &free_addresses(1)[0];
    let (own, other) = (format!("n1={free}"), format!("n2={free}"));
    let args = |id: &'static str, peers: &str| {
        ["--id", id, "--listen", free, "--data", &data, "--peers", peers].map(str::to_owned)
    };
    let check = |args: [String; 8], code, says: &str| {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        refused(&args, code, says);
    };
    let folder = cluster.folder.path().join("n1");
    let same = format!("n1={}", cluster.nodes[0].address);
    check(args("n1", &same), 2, "in use by another process");
    cluster.nodes[0].signal(Signal::SIGTERM);
    assert!(cluster.nodes[0].ended().success());
    let before = contents(&folder);
    check(args("n2", &other), 2, "is that of node n1, not n2");
    check(args("n1", &own), 2, "founded with another --peers list");
    assert!(contents(&folder) == before, "a refused start changed the data folder");
    // None of it kept the owner from going on.
    cluster.nodes[0].start();
    cluster.ready().await;
}

/// Every file in the folder and what is in it.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn a_folder_that_is_no_nodes() {
    let folder = tempfile::tempdir().unwrap();
    let free = &free_addresses(1)[0];
    let peers = format!("n1={free}");
    let start = |data: &Path, says: &str| {
        let data = data.to_str().unwrap();
        refused(&["--id", "n1", "--listen", free, "--data", data, "--peers", &peers], 2, says);
    };
    let photos = folder.path().join("photos");
    fs::create_dir(&photos).unwrap();
    fs::write(photos.join("photo.jpg"), "not a log").unwrap();
    let before = contents(folder.path());
    start(&photos, "no identity of a node");
    start(&photos.join("photo.jpg"), "is not a folder");
    start(Path::new("/proc/gossip"), "cannot make data folder");
    assert!(contents(folder.path()) == before, "a refused start changed the folder");
}

#[tokio::test]
async fn a_database_that_is_gone_or_anothers_is_not_replaced() {
    let mut cluster = Cluster::start(1, &[]).await;
    cluster.prepare(1).await;
    cluster.nodes[0].signal(Signal::SIGTERM);
    assert!(cluster.nodes[0].ended().success());
    let folder = cluster.folder.path().join("n1");
    let kept = cluster.folder.path().join("kept");
    fs::rename(folder.join("db"), &kept).unwrap();
    fs::remove_file(folder.join("witness")).unwrap();
    let mut ends = |with: &str, code: i32| {
        cluster.nodes[0].start();
        let status = cluster.nodes[0].ended();
        assert_eq!(status.code(), Some(code), "{}", cluster.nodes[0].log());
        assert!(cluster.nodes[0].log().lines().last().unwrap_or_default().contains(with), "{}", cluster.nodes[0].log());
        let _ = fs::remove_dir_all(folder.join("db"));
    };
    ends("is gone, or was replaced", 3);
    let other = tempfile::tempdir().unwrap();
    let free = &free_addresses(1)[0];
    let mut node = Node::new(other.path(), "n1", free, &["--peers", &format!("n1={free}")]);
    until("the other's database", async || other.path().join("n1/witness").exists()).await;
    node.signal(Signal::SIGTERM);
    node.ended();
    fs::rename(other.path().join("n1/db"), folder.join("db")).unwrap();
    ends("is that of another node's folder", 2);
    fs::rename(&kept, folder.join("db")).unwrap();
    cluster.nodes[0].start();
    cluster.ready().await;
}

#[tokio::test]
async fn a_node_that_joined_later_is_no_founder() {
    let cluster = Cluster::start(1, &[]).await;
    let (seed, free) = (&cluster.nodes[0].address, &free_addresses(1)[0]);
    cluster.client.add_node("n2", free).await.unwrap();
    let mut node = Node::new(cluster.folder.path(), "n2", free, &["--join", seed]);
    until("a vote", async || {
        cluster.client.members().await.is_ok_and(|members| members.iter().all(|member| member.voter))
    })
    .await;
    node.signal(Signal::SIGTERM);
    node.ended();
    let data = cluster.folder.path().join("n2").display().to_string();
    let peers = format!("n1={seed},n2={free},n3=127.0.0.1:1");
    refused(&["--id", "n2", "--listen", free, "--data", &data, "--peers", &peers], 2, "start it with --join");
}

#[tokio::test]
async fn a_node_that_nobody_lets_in_says_so_and_can_be_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let addresses = free_addresses(2);
    let mut node = Node::new(folder.path(), "n4", &addresses[0], &["--join", &addresses[1]]);
    until("a line", async || node.log().contains("Connection refused")).await;
    assert!(!fs::exists(folder.path().join("n4")).unwrap(), "nobody has answered, and a folder was made");
    node.signal(Signal::SIGTERM);
    assert_eq!(node.ended().code(), Some(0), "{}", node.log());
}

#[test]
fn what_the_environment_holds_for_real_nodes_does_not_reach_dev() {
    let mut command = program();
    command.args(["dev", "--listen", "127.0.0.1:0"]).env("GOSSIP_JOIN", "127.0.0.1:1").env("GOSSIP_ID", "n7");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    // It may have ended by itself, which is what this test is about.
    let _ = kill(pid, Signal::SIGTERM);
    let output = child.wait_with_output().unwrap();
    assert!(first.starts_with("A node serves at 127.0.0.1:"), "{first}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success());
}

#[test]
fn help_for_a_reader_that_has_gone_is_no_failure() {
    let mut child = program().arg("--help").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}

#[tokio::test]
async fn a_disk_that_cannot_be_trusted() {
    let mut cluster = Cluster::start(1, &[]).await;
    cluster.prepare(50).await;
    cluster.nodes[0].signal(Signal::SIGTERM);
    assert!(cluster.nodes[0].ended().success());
    let file = cluster.folder.path().join("n1/db/db");
    let mut bytes = fs::read(&file).unwrap();
    let needle = b"s17";
    let at: Vec<usize> = (0..bytes.len() - 3).filter(|&at| &bytes[at..at + 3] == needle).collect();
    assert!(!at.is_empty(), "the shard's name is not in the store");
    at.iter().for_each(|&at| bytes[at] ^= 1);
    fs::write(&file, bytes).unwrap();
    cluster.nodes[0].start();
    let status = cluster.nodes[0].ended();
    assert_eq!(status.code(), Some(3), "{}", cluster.nodes[0].log());
}
