//! A node that answers from a script and remembers what it was asked.

// Each test file compiles this module for itself and uses a part of it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use gossip_proto::errors::ErrorDetail;
use gossip_proto::v1;
use gossip_proto::v1::cluster_service_server::{ClusterService, ClusterServiceServer};
use gossip_proto::v1::run_service_server::{RunService, RunServiceServer};
use gossip_proto::v1::shard_service_server::{ShardService, ShardServiceServer};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// One scripted answer.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The call's ordinary answer.
    Good,
    /// A refusal with our details.
    Refuse(ErrorDetail),
    /// As when the connection breaks after the request was sent.
    Lose,
    /// None, ever.
    Never,
}

pub fn refuse(reason: &str) -> Reply {
    Reply::Refuse(ErrorDetail::new(reason, "test"))
}

pub fn hint(address: &str) -> Reply {
    Reply::Refuse(ErrorDetail::new("NOT_LEADER", "test").with("leader-address", address))
}

/// What a node was asked.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: &'static str,
    pub op_id: String,
    /// The time that the caller gave, as it stands in the header.
    pub timeout: Option<String>,
}

/// A node; its script is worked off call by call, then every call is answered with `then`.
#[derive(Clone, Debug)]
pub struct Node {
    pub address: String,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    script: Mutex<VecDeque<Reply>>,
    then: Mutex<Reply>,
    seen: Mutex<Vec<Seen>>,
    asked: Notify,
}

impl Node {
    pub async fn start(script: Vec<Reply>) -> Node {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let inner = Inner {
            script: Mutex::new(script.into()),
            then: Mutex::new(Reply::Good),
            seen: Mutex::default(),
            asked: Notify::new(),
        };
        let node = Node { address, inner: Arc::new(inner) };
        let serving = Server::builder()
            .add_service(ShardServiceServer::new(node.clone()))
            .add_service(RunServiceServer::new(node.clone()))
            .add_service(ClusterServiceServer::new(node.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(serving);
        node
    }

    /// An address at which nobody listens.
    pub async fn nobody() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().to_string()
    }

    pub fn then(&self, reply: Reply) {
        *self.inner.then.lock().unwrap() = reply;
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.inner.seen.lock().unwrap().clone()
    }

    pub fn methods(&self) -> Vec<&'static str> {
        self.seen().iter().map(|seen| seen.method).collect()
    }

    /// Waits until it was asked this.
    pub async fn asked(&self, method: &str) {
        loop {
            let notified = self.inner.asked.notified();
            if self.methods().contains(&method) {
                return;
            }
            notified.await;
        }
    }

    async fn answer<Q, R>(
        &self,
        method: &'static str,
        op_id: impl Fn(&Q) -> String + Send,
        request: Request<Q>,
        good: impl FnOnce(Q) -> R + Send,
    ) -> Result<Response<R>, Status> {
        let timeout = request.metadata().get("grpc-timeout").map(|text| text.to_str().unwrap().to_string());
        let request = request.into_inner();
        self.inner.seen.lock().unwrap().push(Seen { method, op_id: op_id(&request), timeout });
        self.inner.asked.notify_waiters();
        let reply = self.inner.script.lock().unwrap().pop_front();
        match reply.unwrap_or_else(|| self.inner.then.lock().unwrap().clone()) {
            Reply::Good => Ok(Response::new(good(request))),
            Reply::Refuse(detail) => Err(detail.into_status()),
            Reply::Lose => Err(Status::unavailable("connection reset")),
            Reply::Never => std::future::pending().await,
        }
    }
}

type Answer<'f, R> = Pin<Box<dyn Future<Output = Result<Response<R>, Status>> + Send + 'f>>;

/// Methods of a service, as `async_trait` would write them: with `=>` those that answer, the others are not served.
macro_rules! methods {
    ($($name:ident($request:ident) -> $response:ident $(=> $op:expr, $good:expr)?;)*) => {
        $(methods!(@one $name $request $response $($op, $good)?);)*
    };
    (@one $name:ident $request:ident $response:ident) => {
        fn $name<'s, 'f>(&'s self, _: Request<v1::$request>) -> Answer<'f, v1::$response>
        where
            's: 'f,
            Self: 'f,
        {
            Box::pin(std::future::ready(Err(Status::unimplemented(stringify!($name)))))
        }
    };
    (@one $name:ident $request:ident $response:ident $op:expr, $good:expr) => {
        fn $name<'s, 'f>(&'s self, request: Request<v1::$request>) -> Answer<'f, v1::$response>
        where
            's: 'f,
            Self: 'f,
        {
            Box::pin(self.answer(stringify!($name), $op, request, $good))
        }
    };
}

fn grant(shard: String, worker: String, lease_ms: u64) -> v1::GrantResponse {
    v1::GrantResponse {
        lease: Some(v1::Lease { shard, worker, fence: 1 }),
        granted_ms: 0,
        deadline_ms: lease_ms,
        range: Some(v1::Range::default()),
        ..v1::GrantResponse::default()
    }
}

fn run(name: String, changed_at: u64, status: v1::RunStatus) -> v1::Run {
    v1::Run { run: name, changed_at, status: status.into(), ..v1::Run::default() }
}

#[tonic::async_trait]
impl ShardService for Node {
    methods! {
        acquire(AcquireRequest) -> GrantResponse => |q| q.op_id.clone(), |q| grant(q.shard, q.worker, q.lease_ms);
        claim(ClaimRequest) -> GrantResponse => |q| q.op_id.clone(), |q| grant("first".into(), q.worker, q.lease_ms);
        renew(RenewRequest) -> RenewResponse => |q| q.op_id.clone(), |_| v1::RenewResponse::default();
        checkpoint(CheckpointRequest) -> CheckpointResponse
            => |q| q.op_id.clone(), |q| v1::CheckpointResponse { cursor: q.cursor };
        release(ReleaseRequest) -> ReleaseResponse => |q| q.op_id.clone(), |_| v1::ReleaseResponse {};
        complete(CompleteRequest) -> CompleteResponse => |q| q.op_id.clone(), |_| v1::CompleteResponse {};
        park(ParkRequest) -> ParkResponse;
        unpark(UnparkRequest) -> UnparkResponse;
        split_replace(SplitReplaceRequest) -> SplitReplaceResponse;
        split_residual(SplitResidualRequest) -> SplitResidualResponse;
        get_shard(GetShardRequest) -> GetShardResponse;
        list_shards(ListShardsRequest) -> ListShardsResponse;
    }
}

type Watch = Pin<Box<dyn tokio_stream::Stream<Item = Result<v1::WatchRunResponse, Status>> + Send>>;

#[tonic::async_trait]
impl RunService for Node {
    methods! {
        create_run(CreateRunRequest) -> RunResponse;
        register_shards(RegisterShardsRequest) -> RunResponse;
        start_run(StartRunRequest) -> RunResponse;
        complete_run(CompleteRunRequest) -> RunResponse;
        fail_run(FailRunRequest) -> RunResponse;
        cancel_run(CancelRunRequest) -> RunResponse;
        delete_run(DeleteRunRequest) -> DeleteRunResponse => |q| q.op_id.clone(), |_| v1::DeleteRunResponse {};
        get_run(GetRunRequest) -> GetRunResponse => |_| String::new(), |q| v1::GetRunResponse {
            run: Some(run(q.run, 7, v1::RunStatus::Active)),
            read: Some(v1::ReadInfo::default()),
        };
        list_runs(ListRunsRequest) -> ListRunsResponse;
    }

    type WatchRunStream = Watch;

    /// Tells the changes 1 and 2, and 3, which ends the run; a stream that is to be lost breaks after the second.
    async fn watch_run(&self, request: Request<v1::WatchRunRequest>) -> Result<Response<Watch>, Status> {
        let breaks = self.answer("watch_run", |_| String::new(), request, |_| ()).await.is_err();
        let told = |changed_at, status| {
            let run = run("r".into(), changed_at, status);
            Ok(v1::WatchRunResponse { run: Some(run), read: Some(v1::ReadInfo::default()) })
        };
        let last = if breaks { Err(Status::unavailable("broken")) } else { told(3, v1::RunStatus::Done) };
        let items = vec![told(1, v1::RunStatus::Active), told(2, v1::RunStatus::Active), last];
        Ok(Response::new(Box::pin(tokio_stream::iter(items))))
    }
}

#[tonic::async_trait]
impl ClusterService for Node {
    methods! {
        status(StatusRequest) -> StatusResponse
            => |_| String::new(), |_| v1::StatusResponse { node: "fake".into(), ..v1::StatusResponse::default() };
        members(MembersRequest) -> MembersResponse;
        transfer_leader(TransferLeaderRequest) -> TransferLeaderResponse
            => |_| String::new(), |q| v1::TransferLeaderResponse { leader: q.to };
        add_node(AddNodeRequest) -> AddNodeResponse => |_| String::new(), |_| v1::AddNodeResponse { node_id: 4 };
        remove_node(RemoveNodeRequest) -> RemoveNodeResponse;
        join(JoinRequest) -> JoinResponse;
    }
}
