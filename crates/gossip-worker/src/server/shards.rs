//! `ShardService`.

use gossip_core::coordination::answer::{Query, View};
use gossip_core::coordination::{Answer, Invalid, Op, RunId, ShardId, WorkerId};
use gossip_proto::v1;
use gossip_proto::v1::shard_service_server::ShardService;
use tonic::{Request, Response, Status};

use super::convert::{self, cursor, lease, wire_child, wire_cursor, wire_grant, wire_shard};
use super::{Gate, Target, shown, surprise, surprised_view};

type Reply<T> = Result<Response<T>, Status>;

/// The service of shards.
#[derive(Clone, Debug)]
pub struct Shards(pub Gate);

macro_rules! target {
    ($request:ident) => {
        Target { tenant: &$request.tenant, run: &$request.run, op_id: &$request.op_id }
    };
}

#[tonic::async_trait]
impl ShardService for Shards {
    async fn acquire(&self, request: Request<v1::AcquireRequest>) -> Reply<v1::GrantResponse> {
        let request = request.into_inner();
        let op = || -> Result<Op, Invalid> {
            Ok(Op::Acquire {
                shard: ShardId::parse("shard", &request.shard)?,
                worker: WorkerId::parse("worker", &request.worker)?,
                lease_ms: request.lease_ms,
            })
        };
        match self.0.mutate(target!(request), request.wait_ms, op()).await? {
            Answer::Granted(grant) => Ok(self.0.told(wire_grant(grant))),
            other => Err(surprise(&other)),
        }
    }

    async fn claim(&self, request: Request<v1::ClaimRequest>) -> Reply<v1::GrantResponse> {
        let request = request.into_inner();
        let worker = WorkerId::parse("worker", &request.worker);
        let op = worker.map(|worker| Op::Claim { worker, lease_ms: request.lease_ms });
        match self.0.mutate(target!(request), request.wait_ms, op).await? {
            Answer::Granted(grant) => Ok(self.0.told(wire_grant(grant))),
            other => Err(surprise(&other)),
        }
    }

    async fn renew(&self, request: Request<v1::RenewRequest>) -> Reply<v1::RenewResponse> {
        let request = request.into_inner();
        let op = lease(request.lease).map(|lease| Op::Renew { lease, lease_ms: request.lease_ms });
        match self.0.mutate(target!(request), 0, op).await? {
            Answer::Renewed { granted, deadline } => {
                Ok(self.0.told(v1::RenewResponse { granted_ms: granted.0, deadline_ms: deadline.0 }))
            }
            other => Err(surprise(&other)),
        }
    }

    async fn checkpoint(&self, request: Request<v1::CheckpointRequest>) -> Reply<v1::CheckpointResponse> {
        let request = request.into_inner();
        let moved = request.cursor.ok_or_else(|| Invalid::new("cursor", "is missing")).map(cursor);
        let op = lease(request.lease).and_then(|lease| Ok(Op::Checkpoint { lease, cursor: moved? }));
        match self.0.mutate(target!(request), 0, op).await? {
            Answer::Checkpointed { cursor } => {
                Ok(self.0.told(v1::CheckpointResponse { cursor: Some(wire_cursor(cursor)) }))
            }
            other => Err(surprise(&other)),
        }
    }

    async fn release(&self, request: Request<v1::ReleaseRequest>) -> Reply<v1::ReleaseResponse> {
        let request = request.into_inner();
        let op = lease(request.lease).map(|lease| Op::Release { lease });
        match self.0.mutate(target!(request), 0, op).await? {
            Answer::Released => Ok(self.0.told(v1::ReleaseResponse {})),
            other => Err(surprise(&other)),
        }
    }

    async fn complete(&self, request: Request<v1::CompleteRequest>) -> Reply<v1::CompleteResponse> {
        let request = request.into_inner();
        let cursor = request.cursor.map(cursor);
        let op = lease(request.lease).map(|lease| Op::Complete { lease, cursor });
        match self.0.mutate(target!(request), 0, op).await? {
            Answer::Completed => Ok(self.0.told(v1::CompleteResponse {})),
            other => Err(surprise(&other)),
        }
    }

    async fn park(&self, request: Request<v1::ParkRequest>) -> Reply<v1::ParkResponse> {
        let request = request.into_inner();
        let reason = request.reason;
        let op = lease(request.lease).map(|lease| Op::Park { lease, reason });
        match self.0.mutate(target!(request), 0, op).await? {
            Answer::Parked => Ok(self.0.told(v1::ParkResponse {})),
            other => Err(surprise(&other)),
        }
    }

    async fn unpark(&self, request: Request<v1::UnparkRequest>) -> Reply<v1::UnparkResponse> {
        let request = request.into_inner();
        let op = ShardId::parse("shard", &request.shard).map(|shard| Op::Unpark { shard });
        match self.0.mutate(target!(request), 0, op).await? {
            Answer::Unparked { fence } => Ok(self.0.told(v1::UnparkResponse { fence: fence.0 })),
            other => Err(surprise(&other)),
        }
    }

    async fn split_replace(&self, request: Request<v1::SplitReplaceRequest>) -> Reply<v1::SplitReplaceResponse> {
        let request = request.into_inner();
        let cuts = request.cuts.into_iter().map(Into::into).collect();
        let op = lease(request.lease).map(|lease| Op::SplitReplace { lease, cuts });
        match self.0.mutate(target!(request), 0, op).await? {
            Answer::Replaced { children } => {
                Ok(self.0.told(v1::SplitReplaceResponse { children: children.into_iter().map(wire_child).collect() }))
            }
            other => Err(surprise(&other)),
        }
    }

    async fn split_residual(&self, request: Request<v1::SplitResidualRequest>) -> Reply<v1::SplitResidualResponse> {
        let request = request.into_inner();
        let at = request.at.into();
        let op = lease(request.lease).map(|lease| Op::SplitResidual { lease, at });
        match self.0.mutate(target!(request), 0, op).await? {
            Answer::Split { residual } => {
                Ok(self.0.told(v1::SplitResidualResponse { residual: Some(wire_child(residual)) }))
            }
            other => Err(surprise(&other)),
        }
    }

    async fn get_shard(&self, request: Request<v1::GetShardRequest>) -> Reply<v1::GetShardResponse> {
        let request = request.into_inner();
        let query = || -> Result<Query, Invalid> {
            Ok(Query::Shard {
                run: RunId::parse("run", &request.run)?,
                shard: ShardId::parse("shard", &request.shard)?,
            })
        };
        let read = self.0.read(&request.tenant, request.consistency, query()).await?;
        let info = convert::read_info(&read, request.consistency);
        match read.view {
            View::Shard(shard) => {
                Ok(shown(&read.room, v1::GetShardResponse { shard: Some(wire_shard(shard)), read: Some(info) }))
            }
            other => Err(surprised_view(&other)),
        }
    }

    async fn list_shards(&self, request: Request<v1::ListShardsRequest>) -> Reply<v1::ListShardsResponse> {
        let request = request.into_inner();
        let query = || -> Result<Query, Invalid> {
            let after = Some(&request.after).filter(|after| !after.is_empty());
            Ok(Query::Shards {
                run: RunId::parse("run", &request.run)?,
                after: after.map(|after| ShardId::parse("after", after)).transpose()?,
                status: convert::shard_status(request.status)?,
                limit: convert::page_size(request.page_size)?,
            })
        };
        let read = self.0.read(&request.tenant, request.consistency, query()).await?;
        let info = convert::read_info(&read, request.consistency);
        match read.view {
            View::Shards { shards, more } => {
                let next = shards.last().filter(|_| more).map(|shard| shard.shard.to_string()).unwrap_or_default();
                let shards = shards.into_iter().map(wire_shard).collect();
                Ok(shown(&read.room, v1::ListShardsResponse { shards, next, read: Some(info) }))
            }
            other => Err(surprised_view(&other)),
        }
    }
}
