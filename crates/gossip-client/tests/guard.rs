//! Guards against a node, by a clock that the test sets.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gossip_client::clock::{Clock, Moment};
use gossip_client::{Client, Cursor, LEASE_LOST, LeaseGuard, LeaseOptions, Lost, Options};
use support::{Node, Reply, refuse};

const LEASE: Duration = Duration::from_secs(100);
const NOTICE: Duration = Duration::from_millis(10);
const OPTIONS: LeaseOptions = LeaseOptions { lease: LEASE, wait: Duration::ZERO, every: None, notice: Some(NOTICE) };

#[derive(Clone, Debug, Default)]
struct Set(Arc<AtomicU64>);

impl Set {
    fn to(&self, moment: Moment) {
        self.0.store(moment.as_nanos(), Ordering::Release);
    }

    fn to_secs(&self, secs: u64) {
        self.to(Moment::from_nanos(secs * 1_000_000_000));
    }
}

impl Clock for Set {
    fn now(&self) -> Moment {
        Moment::from_nanos(self.0.load(Ordering::Acquire))
    }
}

async fn guard(node: &Node) -> (LeaseGuard, Client, Set) {
    let clock = Set::default();
    clock.to_secs(1_000);
    let client = Client::lazy(vec![node.address.clone()], Options::default().clock(clock.clone())).unwrap();
    let guard = LeaseGuard::acquire(&client, "r", "s", "w", OPTIONS).await.unwrap();
    (guard, client, clock)
}

#[tokio::test]
async fn it_renews_at_a_third_and_believes_from_before_the_request() {
    let node = Node::start(vec![]).await;
    let (guard, _, clock) = guard(&node).await;
    assert_eq!(guard.believed_until(), Moment::from_nanos(1_090_000_000_000));
    clock.to_secs(1_034);
    node.asked("renew").await;
    while guard.believed_until() != Moment::from_nanos(1_124_000_000_000) {
        tokio::task::yield_now().await;
    }
    assert_eq!(guard.check(), Ok(()));
}

#[tokio::test]
async fn it_tells_before_the_lease_may_be_lost_when_the_node_is_silent() {
    let node = Node::start(vec![]).await;
    let (guard, _, clock) = guard(&node).await;
    node.then(Reply::Never);
    clock.to(guard.believed_until().before(NOTICE * 2));
    node.asked("renew").await;
    assert_eq!(guard.check(), Ok(()));
    clock.to(guard.believed_until().before(NOTICE));
    assert_eq!(guard.lost().await, Lost::Unconfirmed);
    assert!(clock.now() < guard.grant().believed_until, "the belief was still good when it was told");
    let error = guard.checkpoint(gossip_client::OpId::random(), Cursor::at("k")).await.unwrap_err();
    assert_eq!((&error.reason[..], error.definite), (LEASE_LOST, true));
    assert!(!node.methods().contains(&"checkpoint"), "what would be fenced is not sent");
}

#[tokio::test]
async fn it_tells_when_the_service_says_that_the_lease_is_gone() {
    let node = Node::start(vec![]).await;
    let (guard, _, clock) = guard(&node).await;
    node.then(refuse("FENCE_MISMATCH"));
    clock.to_secs(1_034);
    let Lost::Refused(error) = guard.lost().await else { panic!("the reason is lost") };
    assert_eq!(error.reason, "FENCE_MISMATCH");
    assert!(guard.check().is_err());
}

#[tokio::test]
async fn a_write_that_finds_the_lease_gone_tells_too() {
    let node = Node::start(vec![Reply::Good, refuse("LEASE_EXPIRED")]).await;
    let (guard, client, _) = guard(&node).await;
    guard.checkpoint(client.op_id(), Cursor::at("k")).await.unwrap_err();
    assert!(matches!(guard.lost().await, Lost::Refused(error) if error.reason == "LEASE_EXPIRED"));
}

#[tokio::test]
async fn dropped_it_gives_the_lease_back_but_not_after_the_end() {
    let node = Node::start(vec![]).await;
    let (dropped, client, _) = guard(&node).await;
    drop(dropped);
    node.asked("release").await;

    let other = Node::start(vec![]).await;
    let (completed, ..) = guard(&other).await;
    completed.complete(client.op_id(), None).await.unwrap();
    assert_eq!(completed.lost().await, Lost::Finished);
    drop(completed);
    let (released, ..) = guard(&other).await;
    released.release().await.unwrap();
    assert_eq!(other.methods(), ["acquire", "complete", "acquire", "release"]);
}

#[tokio::test]
async fn a_lease_that_came_late_is_renewed_before_it_is_handed_out() {
    let node = Node::start(vec![]).await;
    let clock = Set::default();
    clock.to_secs(1_000);
    let client = Client::lazy(vec![node.address.clone()], Options::default().clock(clock.clone())).unwrap();
    let grant = client.acquire(client.op_id(), "r", "s", "w", LEASE, Duration::ZERO).await.unwrap();
    // As after a wait in line of more than the lease: nobody can tell when in that time it was granted.
    clock.to_secs(1_200);
    let guard = LeaseGuard::keep(&client, "r", grant.clone(), OPTIONS).await.unwrap();
    assert_eq!(guard.believed_until(), Moment::from_nanos(1_290_000_000_000));
    assert_eq!(node.methods(), ["acquire", "renew"]);
    node.then(refuse("LEASE_EXPIRED"));
    clock.to_secs(1_400);
    assert!(LeaseGuard::keep(&client, "r", grant, OPTIONS).await.unwrap_err().is_lease_lost());
}
