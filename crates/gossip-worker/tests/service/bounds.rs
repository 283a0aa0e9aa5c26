//! What clients begin and do not end has a bound, and the others are served meanwhile. These clients speak HTTP/2 below gRPC, since
//! no gRPC library does what they do.

use std::time::{Duration, Instant};

use bytes::Bytes;
use gossip_client::{Client, Consistency, OpId, ShardSpec};
use gossip_proto::errors::ErrorDetail;
use gossip_proto::v1;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use prost::Message as _;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::codegen::http::Request;

use crate::kit::{Cluster, RUN, free_addresses, scrape, until};

const LEASE: Duration = Duration::from_secs(60);
/// The least that `--in-flight-mib` takes.
const BUDGET: u64 = 16 << 20;

/// One connection. It ends with its task.
struct Rude {
    requests: SendRequest<Bytes>,
    connection: JoinHandle<()>,
}

impl Rude {
    /// A connection whose answers may have `window` bytes each before they are read.
    async fn connect(address: &str, window: u32) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (requests, connection) =
            h2::client::Builder::new().initial_window_size(window).handshake(stream).await.unwrap();
        let connection = tokio::spawn(async move {
            // It may end in any way: that is the node's affair.
            let _ = connection.await;
        });
        Rude { requests, connection }
    }

    async fn begin(&mut self, path: &str, bytes: Vec<u8>, end: bool) -> (ResponseFuture, SendStream<Bytes>) {
        let request = Request::post(format!("http://node{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .unwrap();
        let mut requests = self.requests.clone().ready().await.unwrap();
        let (answer, mut body) = requests.send_request(request, false).unwrap();
        body.send_data(bytes.into(), end).unwrap();
        (answer, body)
    }
}

impl Drop for Rude {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

fn message(announced: usize, sent: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend_from_slice(&u32::try_from(announced).unwrap().to_be_bytes());
    bytes.extend_from_slice(sent);
    bytes
}

/// The refusal that came, if one has.
async fn refusal(answer: ResponseFuture) -> Option<ErrorDetail> {
    let answer = tokio::time::timeout(Duration::from_millis(200), answer).await.ok()?.unwrap();
    Status::from_header_map(answer.headers()).map(|status| ErrorDetail::from_status(&status))
}

fn counted(metrics: &str, kind: &str) -> Option<u64> {
    let name = format!("gossip_requests_bytes{{kind=\"{kind}\"}} ");
    scrape(metrics).lines().find_map(|line| line.strip_prefix(&name)?.parse::<f64>().ok()).map(|bytes| bytes as u64)
}

/// A run of these shards, whose metadata is as large as it may be.
async fn large_run(client: &Client, run: &str, shards: usize) -> Result<(), gossip_client::Error> {
    let key = |n: usize| format!("{n:05}").into_bytes();
    let shard = |n| ShardSpec { metadata: vec![7; 16 << 10], ..ShardSpec::new(format!("s{n}"), key(n), key(n + 1)) };
    client.register_shards(OpId::random(), run, (0..shards).map(shard).collect(), true).await.map(drop)
}

async fn others_are_served(client: &Client) {
    let started = Instant::now();
    for _ in 0..20 {
        let grant = client.acquire(OpId::random(), RUN, "s0", "w", LEASE, Duration::ZERO).await.unwrap();
        client.renew(OpId::random(), RUN, &grant.lease, LEASE).await.unwrap();
        client.release(OpId::random(), RUN, &grant.lease).await.unwrap();
    }
    assert!(started.elapsed() < Duration::from_secs(10), "60 calls took {:?}", started.elapsed());
}

#[tokio::test]
async fn requests_that_are_half_sent_take_no_more_than_their_budget() {
    let metrics = free_addresses(1).remove(0);
    let cluster = Cluster::start(1, &["--in-flight-mib", "16", "--metrics-listen", &metrics]).await;
    cluster.prepare(1).await;
    let (client, once) = (&cluster.client, cluster.at(0));
    client.create_run(OpId::random(), "large", Vec::new()).await.unwrap();
    let (mut rude, mut halves, mut refused) = (Vec::new(), Vec::new(), 0);
    for _ in 0..4 {
        let mut connection = Rude::connect(&cluster.nodes[0].address, 64 << 10).await;
        for _ in 0..25 {
            let half = message(7 << 20, &[7; 10_000]);
            halves.push(connection.begin("/gossip.v1.RunService/RegisterShards", half, false).await);
        }
        rude.push(connection);
    }
    let mut bodies = Vec::new();
    for (answer, body) in halves {
        bodies.push(body);
        let Some(detail) = refusal(answer).await else { continue };
        assert_eq!((detail.reason.as_str(), detail.definite), ("OVERLOADED", true));
        assert!(detail.retry_after.is_some());
        refused += 1;
    }
    assert_eq!(refused, 98, "twice 7 MiB fit");
    until("the gauge", async || counted(&metrics, "arriving") == Some(14 << 20)).await;
    others_are_served(client).await;
    let overloaded = large_run(&once, "large", 200).await.unwrap_err();
    assert_eq!((overloaded.reason.as_str(), overloaded.definite), ("OVERLOADED", true), "{overloaded}");
    assert!(overloaded.retry_after.is_some());
    // They go away.
    drop((rude, bodies));
    until("room", async || large_run(&once, "large", 200).await.is_ok()).await;
    until("the gauge", async || counted(&metrics, "arriving") == Some(0)).await;
}

#[tokio::test]
async fn answers_that_nobody_reads_take_no_more_than_their_budget() {
    let metrics = free_addresses(1).remove(0);
    let cluster = Cluster::start(1, &["--in-flight-mib", "16", "--metrics-listen", &metrics]).await;
    cluster.prepare(1).await;
    let (client, once) = (&cluster.client, cluster.at(0));
    client.create_run(OpId::random(), "large", Vec::new()).await.unwrap();
    large_run(client, "large", 200).await.unwrap();
    let request = v1::ListShardsRequest {
        tenant: "default".into(),
        run: "large".into(),
        page_size: 1_000,
        consistency: v1::Consistency::Stale.into(),
        ..v1::ListShardsRequest::default()
    };
    let request = request.encode_to_vec();
    let mut rude = Rude::connect(&cluster.nodes[0].address, 1_000).await;
    let (mut unread, mut refused): (Vec<RecvStream>, _) = (Vec::new(), 0);
    for _ in 0..60 {
        let whole = message(request.len(), &request);
        let (answer, _) = rude.begin("/gossip.v1.ShardService/ListShards", whole, true).await;
        let answer = answer.await.unwrap();
        match Status::from_header_map(answer.headers()) {
            Some(status) => {
                let detail = ErrorDetail::from_status(&status);
                assert_eq!((detail.reason.as_str(), detail.definite), ("OVERLOADED", true));
                refused += 1;
            }
            None => unread.push(answer.into_body()),
        }
    }
    assert!((40..60).contains(&refused), "{refused} of 60 were refused");
    until("the gauge", async || {
        counted(&metrics, "reads").is_some_and(|bytes| (BUDGET - (2 << 20)..=BUDGET).contains(&bytes))
    })
    .await;
    others_are_served(client).await;
    let page = || once.list_shards("large", None, None, 1_000, Consistency::Stale);
    assert_eq!(page().await.unwrap_err().reason, "OVERLOADED");
    drop((rude, unread));
    until("room", async || page().await.is_ok()).await;
    until("the gauge", async || counted(&metrics, "reads") == Some(0)).await;
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_definitely_and_counted() {
    let metrics = free_addresses(1).remove(0);
    let cluster = Cluster::start(1, &["--metrics-listen", &metrics]).await;
    let mut rude = Rude::connect(&cluster.nodes[0].address, 64 << 10).await;
    let garbage = [message(4, &[0xff; 4]), message(100, &[1; 10]), vec![0, 0, 0], Vec::new()];
    for bytes in garbage {
        let (answer, _body) = rude.begin("/gossip.v1.ShardService/Acquire", bytes.clone(), true).await;
        let detail = refusal(answer).await.expect("no refusal");
        assert_eq!((detail.reason.as_str(), detail.definite), ("INVALID_ARGUMENT", true), "{bytes:?}: {detail:?}");
        assert_eq!(detail.metadata.get("field").map(String::as_str), Some("request"));
    }
    let refused = "gossip_operations_total{operation=\"malformed\",outcome=\"INVALID_ARGUMENT\"} 4";
    assert!(scrape(&metrics).contains(refused), "{}", scrape(&metrics));
}
