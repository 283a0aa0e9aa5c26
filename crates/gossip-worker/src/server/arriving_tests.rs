//! Bodies fed by hand.

use std::future::poll_fn;
use std::task::Waker;

use http_body::Body as _;
use http_body_util::channel::{Channel, Sender};
use http_body_util::combinators::UnsyncBoxBody;

use super::*;

type Feed = Sender<Bytes, Status>;

fn call(pool: &Pool, path: &str) -> (Feed, Body) {
    let (feed, body) = Channel::<Bytes, Status>::new(64);
    let request = Request::builder().uri(path).body(Body::new(UnsyncBoxBody::new(body))).unwrap();
    (feed, Arrivals::new(pool.clone()).counted(request).into_body())
}

fn begun(announced: u32, sent: usize) -> Bytes {
    let mut bytes = vec![0];
    bytes.extend_from_slice(&announced.to_be_bytes());
    bytes.resize(PREFIX + sent, 7);
    bytes.into()
}

/// What is there by now.
fn look(body: &mut Body) -> Poll<Option<Result<usize, Status>>> {
    let frame = Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop()));
    frame.map(|frame| frame.map(|frame| frame.map(|frame| frame.into_data().unwrap().len())))
}

fn refusal(body: &mut Body) -> ErrorDetail {
    match look(body) {
        Poll::Ready(Some(Err(status))) => ErrorDetail::from_status(&status),
        other => panic!("no refusal: {other:?}"),
    }
}

const CALL: &str = "/gossip.v1.RunService/RegisterShards";
const PEER: &str = "/gossip.v1.PeerService/Messages";
const MIB: u32 = 1 << 20;

#[tokio::test]
async fn what_is_half_sent_has_a_bound_and_gives_back_what_it_took() {
    let pool = Pool::new(u64::from(4 * MIB));
    let mut halves = Vec::new();
    let (mut let_in, mut refused) = (0, 0);
    for _ in 0..50 {
        let (mut feed, mut body) = call(&pool, CALL);
        feed.send_data(begun(MIB, 1_000)).await.unwrap();
        match look(&mut body) {
            Poll::Ready(Some(Ok(_))) => let_in += 1,
            Poll::Ready(Some(Err(status))) => {
                let detail = ErrorDetail::from_status(&status);
                assert_eq!((detail.reason.as_str(), detail.definite), ("OVERLOADED", true));
                assert!(detail.retry_after.is_some());
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
        halves.push((feed, body));
        assert!(pool.used() <= u64::from(4 * MIB));
    }
    assert_eq!((let_in, refused), (4, 46));
    // What is small needs no room, and peers have nothing to do with it.
    for (path, announced) in [(CALL, 4 << 10), (PEER, 16 << 10)] {
        let (mut feed, mut body) = call(&pool, path);
        feed.send_data(begun(announced, announced as usize)).await.unwrap();
        assert!(matches!(look(&mut body), Poll::Ready(Some(Ok(_)))), "{path}");
    }
    // One goes away.
    halves.remove(0);
    assert_eq!(pool.used(), u64::from(3 * MIB));
    halves.clear();
    assert_eq!(pool.used(), 0);
}

#[tokio::test]
async fn the_length_may_come_byte_by_byte_and_nothing_goes_on_after_the_message() {
    let pool = Pool::new(u64::from(4 * MIB));
    let (mut feed, mut body) = call(&pool, CALL);
    let message = begun(10_000, 10_000);
    for byte in &message[..PREFIX] {
        assert_eq!(pool.used(), 0);
        feed.send_data(vec![*byte].into()).await.unwrap();
        assert!(matches!(look(&mut body), Poll::Ready(Some(Ok(1)))));
    }
    assert_eq!(pool.used(), 10_000);
    feed.send_data(message.slice(PREFIX..)).await.unwrap();
    assert!(matches!(look(&mut body), Poll::Ready(Some(Ok(10_000)))));
    feed.send_data(begun(8 * MIB, 100_000)).await.unwrap();
    assert!(look(&mut body).is_pending(), "a second message went on");
    drop(feed);
    // The channel's end without a trailer is an abort.
    let end = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
    assert!(!matches!(end, Some(Ok(_))), "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_does_not_come_whole_is_given_up_in_time() {
    let pool = Pool::new(u64::from(4 * MIB));
    for (path, announced) in [(CALL, MIB), (CALL, 10), (PEER, 10)] {
        let (mut feed, mut body) = call(&pool, path);
        feed.send_data(begun(announced, 9)).await.unwrap();
        assert!(matches!(look(&mut body), Poll::Ready(Some(Ok(_)))));
        assert!(look(&mut body).is_pending());
        tokio::time::advance(WHOLE - Duration::from_secs(1)).await;
        // A byte now and then does not help.
        assert!(look(&mut body).is_pending());
        tokio::time::advance(Duration::from_secs(1)).await;
        let late = refusal(&mut body);
        assert_eq!((late.reason.as_str(), late.definite), ("TIMEOUT", true));
    }
    assert_eq!(pool.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_peer_is_looked_at_until_its_hello_is_whole() {
    let pool = Pool::new(u64::from(MIB));
    let (mut feed, mut body) = call(&pool, PEER);
    feed.send_data(begun(16 * MIB, 0)).await.unwrap();
    let detail = refusal(&mut body);
    assert_eq!((detail.reason.as_str(), detail.metadata["field"].as_str()), ("INVALID_ARGUMENT", "hello"));
    let (mut feed, mut body) = call(&pool, PEER);
    feed.send_data(begun(100, 100)).await.unwrap();
    assert!(matches!(look(&mut body), Poll::Ready(Some(Ok(105)))));
    tokio::time::advance(10 * WHOLE).await;
    assert!(look(&mut body).is_pending());
    feed.send_data(begun(16 * MIB, 50_000)).await.unwrap();
    assert!(matches!(look(&mut body), Poll::Ready(Some(Ok(50_005)))));
    assert_eq!(pool.used(), 0);
}
