//! How calls find their node, what is tried again, and what is said about what may have happened.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use gossip_client::{Client, Consistency, DEADLINE, Error, Grant, LEASE_LOST, OpId, Options, TRANSPORT, UNREACHABLE};
use support::{Node, Reply, hint, refuse};

const LEASE: Duration = Duration::from_secs(30);

fn client(nodes: &[&str]) -> Client {
    Client::lazy(nodes.iter().map(ToString::to_string).collect(), Options::default()).unwrap()
}

async fn acquire(client: &Client, op: OpId) -> Result<Grant, Error> {
    client.acquire(op, "r", "s", "w", LEASE, Duration::ZERO).await
}

#[tokio::test]
async fn a_hint_is_followed_and_the_leader_remembered() {
    let leader = Node::start(vec![]).await;
    let follower = Node::start(vec![hint(&leader.address)]).await;
    let client = client(&[&follower.address]);
    acquire(&client, client.op_id()).await.unwrap();
    acquire(&client, client.op_id()).await.unwrap();
    assert_eq!(follower.methods(), ["acquire"]);
    assert_eq!(leader.methods(), ["acquire", "acquire"]);
    assert_eq!(follower.seen()[0].op_id, leader.seen()[0].op_id, "the second try is the same operation");
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_under_the_same_op_id() {
    let node = Node::start(vec![Reply::Lose, refuse("LEADERSHIP_LOST"), Reply::Good]).await;
    let client = client(&[&node.address]);
    let op = client.op_id();
    let grant = acquire(&client, op).await.unwrap();
    let ids: Vec<String> = node.seen().into_iter().map(|seen| seen.op_id).collect();
    assert_eq!(ids, vec![op.to_string(); 3]);
    assert_eq!(grant.believed_until, op.since().after(LEASE * 9 / 10), "it counts from before the first try");
}

#[tokio::test]
async fn a_refusal_after_a_lost_answer_is_indefinite() {
    let node = Node::start(vec![Reply::Lose, refuse("SHARD_TERMINAL"), refuse("SHARD_TERMINAL")]).await;
    let client = client(&[&node.address]);
    let error = acquire(&client, client.op_id()).await.unwrap_err();
    assert_eq!((&error.reason[..], error.definite), ("SHARD_TERMINAL", false));
    let error = acquire(&client, client.op_id()).await.unwrap_err();
    assert_eq!((&error.reason[..], error.definite), ("SHARD_TERMINAL", true), "a call without a lost answer");
}

#[tokio::test]
async fn a_refusal_is_not_tried_again() {
    let node = Node::start(vec![refuse("FENCE_MISMATCH")]).await;
    let client = client(&[&node.address]);
    let error = acquire(&client, client.op_id()).await.unwrap_err();
    assert_eq!((&error.reason[..], error.definite), ("FENCE_MISMATCH", true));
    assert_eq!(node.methods(), ["acquire"]);
}

#[tokio::test]
async fn a_change_of_members_is_not_sent_again_after_a_lost_answer() {
    let node = Node::start(vec![Reply::Good, Reply::Lose, Reply::Good, refuse("OVERLOADED"), Reply::Good]).await;
    let client = client(&[&node.address]);
    assert!(!client.add_node("n4", "h:1").await.unwrap_err().definite);
    assert_eq!(node.methods(), ["status", "add_node"], "first a node is looked for that answers");
    assert_eq!(client.add_node("n4", "h:1").await, Ok(4), "what was refused for certain is tried again");
}

#[tokio::test]
async fn a_change_of_members_is_sent_to_a_node_that_is_awake() {
    let (hung, node) = (Node::start(vec![Reply::Never]).await, Node::start(vec![]).await);
    let client = client(&[&hung.address, &node.address]);
    assert_eq!(client.add_node("n4", "h:1").await, Ok(4));
    assert_eq!((hung.methods(), node.methods()), (vec!["status"], vec!["status", "add_node"]));
}

#[tokio::test]
async fn a_delete_whose_answer_was_lost_succeeds_when_the_run_is_gone() {
    let node = Node::start(vec![Reply::Lose, refuse("RUN_NOT_FOUND"), refuse("RUN_NOT_FOUND")]).await;
    let client = client(&[&node.address]);
    assert_eq!(client.delete_run(client.op_id(), "r").await, Ok(()));
    assert_eq!(client.delete_run(client.op_id(), "r").await.unwrap_err().reason, "RUN_NOT_FOUND");
}

#[tokio::test]
async fn a_node_that_is_down_is_passed_over() {
    let node = Node::start(vec![]).await;
    let client = client(&[&Node::nobody().await, &node.address]);
    acquire(&client, client.op_id()).await.unwrap();
    assert_eq!(node.methods(), ["acquire"]);
}

#[tokio::test]
async fn what_was_never_sent_is_definite() {
    let single = Options { retries: 0, ..Options::default() };
    let client = Client::lazy(vec![Node::nobody().await], single).unwrap();
    let error = acquire(&client, client.op_id()).await.unwrap_err();
    assert_eq!((&error.reason[..], error.definite), (UNREACHABLE, true), "{error}");
}

#[tokio::test]
async fn a_silent_node_costs_the_deadline_and_leaves_the_outcome_open() {
    let node = Node::start(vec![]).await;
    node.then(Reply::Never);
    let short =
        Options { deadline: Duration::from_millis(300), attempt: Duration::from_millis(200), ..Options::default() };
    let client = Client::lazy(vec![node.address.clone()], short).unwrap();
    let error = acquire(&client, client.op_id()).await.unwrap_err();
    assert_eq!((&error.reason[..], error.definite), (DEADLINE, false));
    let timeout = node.seen()[0].timeout.clone().expect("the node must learn how long anybody waits");
    let (number, unit) = timeout.split_at(timeout.len() - 1);
    let nanos = number.parse::<u64>().unwrap()
        * match unit {
            "n" => 1,
            "u" => 1_000,
            "m" => 1_000_000,
            other => panic!("unit {other}"),
        };
    assert!(nanos <= 200_000_000, "{timeout}");
}

#[tokio::test]
async fn a_silent_node_is_left_for_another_one() {
    let silent = Node::start(vec![Reply::Never]).await;
    let node = Node::start(vec![]).await;
    let options = Options { attempt: Duration::from_millis(100), ..Options::default() };
    let client = Client::lazy(vec![silent.address.clone(), node.address.clone()], options).unwrap();
    acquire(&client, client.op_id()).await.unwrap();
    assert_eq!(silent.seen()[0].op_id, node.seen()[0].op_id);
}

#[tokio::test]
async fn a_pinned_client_asks_one_node_once() {
    let leader = Node::start(vec![]).await;
    let follower = Node::start(vec![hint(&leader.address), Reply::Lose]).await;
    let pinned = client(&[&leader.address]).pinned(&follower.address);
    let error = acquire(&pinned, pinned.op_id()).await.unwrap_err();
    assert_eq!((&error.reason[..], error.definite), ("NOT_LEADER", true));
    assert_eq!(error.leader_address(), Some(&leader.address[..]));
    assert!(!acquire(&pinned, pinned.op_id()).await.unwrap_err().definite);
    assert_eq!(follower.methods(), ["acquire", "acquire"]);
    assert!(leader.methods().is_empty());
}

#[tokio::test]
async fn reads_are_tried_again_and_connect_needs_an_answer() {
    let node = Node::start(vec![Reply::Good, Reply::Lose, refuse("READ_UNCONFIRMED")]).await;
    let client = Client::connect(vec![node.address.clone()], Options::default()).await.unwrap();
    let run = client.get_run("r", Consistency::Linearizable).await.unwrap();
    assert_eq!(run.value.changed_at, 7);
    assert_eq!(node.methods(), ["status", "get_run", "get_run", "get_run"]);
}

#[tokio::test]
async fn a_wait_in_line_that_the_service_cuts_goes_on() {
    let node = Node::start(vec![refuse("LEASE_HELD"), refuse("LEASE_HELD"), Reply::Good]).await;
    let client = client(&[&node.address]);
    client.acquire(client.op_id(), "r", "s", "w", LEASE, Duration::from_secs(60)).await.unwrap();
    assert_eq!(node.methods().len(), 3);
}

#[tokio::test]
async fn a_watch_goes_on_elsewhere_and_tells_nothing_twice() {
    let breaking = Node::start(vec![Reply::Lose]).await;
    let node = Node::start(vec![]).await;
    let client = client(&[&breaking.address, &node.address]);
    let mut watch = client.watch_run("r");
    let mut told = Vec::new();
    while let Some(run) = watch.next().await {
        told.push(run.unwrap().value.changed_at);
    }
    assert_eq!(told, [1, 2, 3]);
    assert_eq!((breaking.methods(), node.methods()), (vec!["watch_run"], vec!["watch_run"]));
    assert_eq!(node.seen()[0].timeout, None, "a stream lasts");
}

#[test]
fn the_docs_list_the_reasons_of_the_client() {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    let (_, section) = docs.split_once("## The client's own reasons").unwrap();
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| `")).collect();
    let listed: Vec<&str> = rows.iter().map(|row| row.split('`').nth(1).unwrap()).collect();
    assert_eq!(listed, [UNREACHABLE, DEADLINE, TRANSPORT, LEASE_LOST]);
}
