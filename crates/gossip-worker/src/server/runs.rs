//! `RunService`.

use std::pin::Pin;
use std::time::Duration;

use gossip_core::consensus::Refusal;
use gossip_core::coordination::answer::{Query, View};
use gossip_core::coordination::{Answer, Invalid, Op, RunId, ShardId, ShardSpec};
use gossip_proto::v1;
use gossip_proto::v1::run_service_server::RunService;
use tokio::sync::{mpsc, watch};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::convert::{self, wire_run};
use super::{Gate, Target, error, shown, surprise, surprised_view};
use crate::pool::Held;

type Reply<T> = Result<Response<T>, Status>;

/// Changes within this time are told together.
const GATHER: Duration = Duration::from_millis(20);

/// A node that has known no leader for this long, several elections, sees nothing of what is decided.
const BLIND: Duration = Duration::from_secs(2);

/// The service of runs.
#[derive(Clone, Debug)]
pub struct Runs(pub Gate);

macro_rules! target {
    ($request:ident) => {
        Target { tenant: &$request.tenant, run: &$request.run, op_id: &$request.op_id }
    };
}

impl Runs {
    async fn change(&self, target: Target<'_>, op: Result<Op, Invalid>) -> Reply<v1::RunResponse> {
        match self.0.mutate(target, 0, op).await? {
            Answer::Run(run) => Ok(self.0.told(v1::RunResponse { run: Some(wire_run(run)) })),
            other => Err(surprise(&other)),
        }
    }

    async fn look(&self, tenant: &str, run: &str, consistency: i32) -> Result<(v1::Run, v1::ReadInfo, Held), Status> {
        let query = RunId::parse("run", run).map(|run| Query::Run { run });
        let read = self.0.read(tenant, consistency, query).await?;
        let info = convert::read_info(&read, consistency);
        match read.view {
            View::Run(run) => Ok((wire_run(run), info, read.room)),
            other => Err(surprised_view(&other)),
        }
    }

    /// Tells each change of the run until it has ended, the caller has gone or the node stops.
    async fn watch(self, request: v1::WatchRunRequest, out: mpsc::Sender<Result<v1::WatchRunResponse, Status>>) {
        let mut applied = self.0.core.applied();
        let mut ready = self.0.core.ready();
        let mut draining = self.0.draining.clone();
        let mut consistency = v1::Consistency::Linearizable as i32;
        let mut seen = None;
        loop {
            applied.mark_unchanged();
            match self.look(&request.tenant, &request.run, consistency).await {
                Ok((run, read, _)) => {
                    // Later looks are at this node's own state: the stream follows what it applies.
                    consistency = v1::Consistency::Stale as i32;
                    let ended = run.status > v1::RunStatus::Active as i32;
                    if seen.replace(run.changed_at) != Some(run.changed_at) {
                        let response = v1::WatchRunResponse { run: Some(run), read: Some(read) };
                        if out.send(Ok(response)).await.is_err() {
                            return;
                        }
                    }
                    if ended {
                        return;
                    }
                }
                Err(status) => return drop(out.send(Err(status)).await),
            }
            let blind = tokio::select! {
                moved = applied.changed() => if moved.is_err() { return } else { false },
                _ = draining.wait_for(|draining| *draining) => return,
                () = out.closed() => return,
                () = blind(&mut ready) => true,
            };
            if blind {
                // What goes on is elsewhere: the caller looks there.
                return drop(out.send(Err(error::refused(&Refusal::ReadUnconfirmed, None))).await);
            }
            tokio::time::sleep(GATHER).await;
        }
    }
}

/// Returns once this node could not serve for [`BLIND`] without a break.
async fn blind(ready: &mut watch::Receiver<bool>) {
    while ready.wait_for(|ready| !*ready).await.is_ok() {
        match tokio::time::timeout(BLIND, ready.wait_for(|ready| *ready)).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => break,
            Err(_) => return,
        }
    }
    // The core is gone, and so will the node be.
    std::future::pending().await
}

fn spec(number: usize, spec: v1::ShardSpec) -> Result<ShardSpec, Invalid> {
    Ok(ShardSpec {
        shard: ShardId::parse_root(&format!("shards[{number}].shard"), &spec.shard)?,
        range: convert::range(spec.range),
        metadata: spec.metadata,
    })
}

#[tonic::async_trait]
impl RunService for Runs {
    async fn create_run(&self, request: Request<v1::CreateRunRequest>) -> Reply<v1::RunResponse> {
        let request = request.into_inner();
        let op = Op::CreateRun { metadata: request.metadata };
        self.change(target!(request), Ok(op)).await
    }

    async fn register_shards(&self, request: Request<v1::RegisterShardsRequest>) -> Reply<v1::RunResponse> {
        let request = request.into_inner();
        let shards: Result<Vec<_>, _> =
            request.shards.into_iter().enumerate().map(|(number, shard)| spec(number, shard)).collect();
        let op = shards.map(|shards| Op::RegisterShards { shards, start: request.start });
        self.change(target!(request), op).await
    }

    async fn start_run(&self, request: Request<v1::StartRunRequest>) -> Reply<v1::RunResponse> {
        let request = request.into_inner();
        self.change(target!(request), Ok(Op::StartRun)).await
    }

    async fn complete_run(&self, request: Request<v1::CompleteRunRequest>) -> Reply<v1::RunResponse> {
        let request = request.into_inner();
        self.change(target!(request), Ok(Op::CompleteRun)).await
    }

    async fn fail_run(&self, request: Request<v1::FailRunRequest>) -> Reply<v1::RunResponse> {
        let request = request.into_inner();
        let op = Op::FailRun { reason: request.reason };
        self.change(target!(request), Ok(op)).await
    }

    async fn cancel_run(&self, request: Request<v1::CancelRunRequest>) -> Reply<v1::RunResponse> {
        let request = request.into_inner();
        let op = Op::CancelRun { reason: request.reason };
        self.change(target!(request), Ok(op)).await
    }

    async fn delete_run(&self, request: Request<v1::DeleteRunRequest>) -> Reply<v1::DeleteRunResponse> {
        let request = request.into_inner();
        match self.0.mutate(target!(request), 0, Ok(Op::DeleteRun)).await? {
            Answer::RunDeleted => Ok(self.0.told(v1::DeleteRunResponse {})),
            other => Err(surprise(&other)),
        }
    }

    async fn get_run(&self, request: Request<v1::GetRunRequest>) -> Reply<v1::GetRunResponse> {
        let request = request.into_inner();
        let (run, read, room) = self.look(&request.tenant, &request.run, request.consistency).await?;
        Ok(shown(&room, v1::GetRunResponse { run: Some(run), read: Some(read) }))
    }

    async fn list_runs(&self, request: Request<v1::ListRunsRequest>) -> Reply<v1::ListRunsResponse> {
        let request = request.into_inner();
        let query = || -> Result<Query, Invalid> {
            let after = Some(&request.after).filter(|after| !after.is_empty());
            Ok(Query::Runs {
                after: after.map(|after| RunId::parse("after", after)).transpose()?,
                limit: convert::page_size(request.page_size)?,
            })
        };
        let read = self.0.read(&request.tenant, request.consistency, query()).await?;
        let info = convert::read_info(&read, request.consistency);
        match read.view {
            View::Runs { runs, more } => {
                let next = runs.last().filter(|_| more).map(|run| run.run.to_string()).unwrap_or_default();
                let runs = runs.into_iter().map(wire_run).collect();
                Ok(shown(&read.room, v1::ListRunsResponse { runs, next, read: Some(info) }))
            }
            other => Err(surprised_view(&other)),
        }
    }

    type WatchRunStream = Pin<Box<dyn Stream<Item = Result<v1::WatchRunResponse, Status>> + Send>>;

    async fn watch_run(&self, request: Request<v1::WatchRunRequest>) -> Reply<Self::WatchRunStream> {
        // Whoever reads slowly hears of the newest change, not of all that came before it.
        let (out, stream) = mpsc::channel(1);
        tokio::spawn(self.clone().watch(request.into_inner(), out));
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}
