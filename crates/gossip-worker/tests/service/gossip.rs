//! What nodes learn of each other by gossip: health, facts, and where the leader is.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use gossip_client::{Client, Consistency, Error, Health, Member, OpId, Options};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::kit::{Cluster, Node, PATIENCE, RUN, free_addresses, until};

/// The members in one node's view, by name.
async fn view(node: &Client) -> BTreeMap<String, Member> {
    let members = node.view().await.map(|view| view.members).unwrap_or_default();
    members.into_iter().map(|member| (member.node.clone(), member)).collect()
}

fn fact<'a>(view: &'a BTreeMap<String, Member>, node: &str, key: &str) -> &'a str {
    view.get(node).and_then(|member| member.facts.get(key)).map_or("", String::as_str)
}

/// Whom a refusal names as the leader.
fn named<T: std::fmt::Debug>(answer: Result<T, Error>) -> Option<String> {
    answer.expect_err("there is no leader to answer").metadata.get("leader-address").cloned()
}

/// Whom a node names to callers with a mutation and with a read.
async fn hints(node: &Client) -> [Option<String>; 2] {
    let written = node.create_run(OpId::random(), "other", Vec::new()).await;
    [named(written), named(node.get_run(RUN, Consistency::Linearizable).await)]
}

/// Two of three die. The survivor sends callers to them no longer than it takes to see that they are gone.
#[tokio::test]
async fn a_survivor_stops_naming_a_dead_leader() {
    let mut cluster = Cluster::start(3, &[]).await;
    cluster.prepare(1).await;
    let leader = cluster.leader().await;
    let survivor = (leader + 1) % 3;
    let (name, node) = (cluster.nodes[survivor].name.clone(), cluster.at(survivor));
    until("everybody's word on who leads", async || {
        let view = view(&node).await;
        ["n1", "n2", "n3"].iter().all(|of| fact(&view, of, "leader").starts_with(&format!("{}@", leader + 1)))
    })
    .await;
    for gone in (0..3).filter(|&index| index != survivor) {
        cluster.nodes[gone].kill();
    }
    let killed = Instant::now();
    until("no more hints", async || hints(&node).await == [None, None]).await;
    assert!(killed.elapsed() < Duration::from_secs(15), "{:?}", killed.elapsed());
    until("its own word withdrawn", async || {
        let view = view(&node).await;
        view[&name].facts["leader"].is_empty()
    })
    .await;
    while killed.elapsed() < Duration::from_secs(20) {
        assert_eq!(hints(&node).await, [None, None], "after {:?}", killed.elapsed());
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// What `gossipctl members` prints of each endpoint's view.
async fn printed(endpoints: String) -> Value {
    let run = move || {
        let mut ctl = Command::new(env!("CARGO_BIN_EXE_gossipctl"));
        ctl.args(["--endpoints", &endpoints, "--timeout", "5s", "--json", "members"]).output().unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[tokio::test]
async fn a_killed_node_is_dead_in_every_view_and_a_removed_one_is_still_seen() {
    let mut cluster = Cluster::start(3, &[]).await;
    cluster.prepare(2).await;
    let lease = Duration::from_secs(600);
    cluster.client.acquire(OpId::random(), RUN, "s0", "w1", lease, Duration::ZERO).await.unwrap();
    let victim = (cluster.leader().await + 1) % 3;
    let gone = cluster.nodes[victim].name.clone();
    for node in 0..3 {
        until("everybody's facts", async || {
            let view = view(&cluster.at(node)).await;
            let loads = |of: &str| (fact(&view, of, "active-shards") == "2", fact(&view, of, "live-leases") == "1");
            ["n1", "n2", "n3"].iter().all(|of| loads(of) == (true, true) && !fact(&view, of, "role").is_empty())
        })
        .await;
    }
    cluster.nodes[victim].kill();
    let survivors: Vec<usize> = (0..3).filter(|&node| node != victim).collect();
    for &node in &survivors {
        until("the death", async || {
            let view = view(&cluster.at(node)).await;
            view.values().all(|member| (member.health() == Health::Dead) == (member.node == gone))
        })
        .await;
    }
    // Removed from the group, it is known to the gossip alone.
    cluster.client.remove_node(&gone).await.unwrap();
    let endpoints: Vec<_> = cluster.nodes.iter().map(|node| node.address.clone()).collect();
    let printed = printed(endpoints.join(",")).await;
    let views = printed["views"].as_array().unwrap();
    assert_eq!(views.len(), 3);
    assert_eq!(views[victim]["error"]["reason"], "UNREACHABLE");
    for &node in &survivors {
        assert_eq!(views[node]["node"], cluster.nodes[node].name.as_str());
        let members = views[node]["members"].as_array().unwrap();
        let of = |name: &str| members.iter().find(|member| member["node"] == name).unwrap();
        assert_eq!((&of(&gone)["health"], &of(&gone)["kind"]), (&"dead".into(), &"no member".into()), "{printed}");
        for &other in &survivors {
            let member = of(&cluster.nodes[other].name);
            assert_eq!((&member["health"], &member["kind"]), (&"alive".into(), &"voter".into()), "{printed}");
            assert_eq!(member["gossip_address"], cluster.nodes[other].address.as_str());
            assert!(member["incarnation"].as_u64() > Some(0) && !member["facts"]["applied"].is_null(), "{printed}");
            assert!(member["facts"]["build"].as_str().unwrap().starts_with("gossip-worker "), "{printed}");
        }
    }
}

/// Passes connections on until its task is aborted, and then breaks them.
async fn passage(to: String) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let task = tokio::spawn(async move {
        let mut open = JoinSet::new();
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            let to = to.clone();
            open.spawn(async move {
                if let Ok(mut far) = TcpStream::connect(&to).await {
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                }
            });
        }
    });
    (address, task)
}

/// Three nodes of which n1 and n2 cannot reach each other. They could when the cluster began: all its founders must meet.
async fn with_a_cut_link() -> (tempfile::TempDir, Vec<Node>, Client) {
    let folder = tempfile::tempdir().unwrap();
    let addresses = free_addresses(3);
    let peers = format!("n1={},n2={},n3={}", addresses[0], addresses[1], addresses[2]);
    let (to_n2, first) = passage(addresses[1].clone()).await;
    let (to_n1, second) = passage(addresses[0].clone()).await;
    let detours = [format!("n2={to_n2}"), format!("n1={to_n1}")];
    let nodes = (0..3).map(|index| {
        let mut how = vec!["--peers", &peers[..]];
        how.extend(detours.get(index).into_iter().flat_map(|detour| ["--unsafe-testing", "--peer-via", detour]));
        Node::new(folder.path(), &format!("n{}", index + 1), &addresses[index], &how)
    });
    let nodes: Vec<Node> = nodes.collect();
    let options = Options { deadline: Duration::from_secs(5), ..Options::default() };
    let client = Client::lazy(addresses, options).unwrap();
    for node in &nodes {
        let node = client.pinned(&node.address);
        until("a cluster that has begun", async || node.status().await.is_ok_and(|status| status.ready)).await;
    }
    first.abort();
    second.abort();
    (folder, nodes, client)
}

/// Consensus at n1 cannot know that n2 leads. The gossip can: through n3.
#[tokio::test]
async fn who_cannot_hear_the_leader_names_it_all_the_same() {
    let (_folder, nodes, client) = with_a_cut_link().await;
    let [n1, n2] = [0, 1].map(|index| client.pinned(&nodes[index].address));
    let start = Instant::now();
    loop {
        let leads = n2.status().await.is_ok_and(|status| status.leader == "n2" && status.ready);
        // While n1 itself leads it takes the run.
        let tried = n1.create_run(OpId::random(), "other", Vec::new()).await;
        let hint = tried.err().and_then(|error| error.metadata.get("leader-address").cloned());
        if leads && hint.as_deref() == Some(&nodes[1].address) {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "n2 leads: {leads}; n1 names {hint:?}\n{}", nodes[0].log());
        if !leads {
            // By way of n3, which both hear. A transfer may fail while another one is under way.
            let _ = client.transfer_leader(Some("n3")).await;
            let _ = client.transfer_leader(Some("n2")).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    until("word of n2 by way of n3", async || {
        let seen = view(&n1).await;
        fact(&seen, "n2", "role") == "leader" && seen["n2"].health() == Health::Alive
    })
    .await;
}
