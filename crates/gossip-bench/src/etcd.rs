//! The same lease cycle on etcd: create a lock key, eight puts guarded by its creation revision, delete it.

use anyhow::{Context, Result, ensure};
use tonic::transport::{Channel, Endpoint};

use crate::load::{Cycle, Step};

#[allow(clippy::all, missing_debug_implementations, unreachable_pub)]
mod wire {
    tonic::include_proto!("etcdserverpb");
}

use wire::compare::{CompareResult, CompareTarget, TargetUnion};
use wire::kv_client::KvClient;
use wire::request_op::Request;
use wire::{Compare, DeleteRangeRequest, PutRequest, RequestOp, TxnRequest};

/// One worker's connection and its key.
#[derive(Debug)]
pub(crate) struct Worker {
    client: KvClient<Channel>,
    key: Vec<u8>,
    /// The key's creation revision: what etcd's users take for a fence.
    revision: i64,
}

impl Worker {
    /// Connects worker `number`.
    pub(crate) async fn connect(endpoint: &str, number: usize) -> Result<Self> {
        let channel = Endpoint::from_shared(format!("http://{endpoint}"))?.tcp_nodelay(true).connect().await?;
        Ok(Worker { client: KvClient::new(channel), key: format!("lock/{number}").into_bytes(), revision: 0 })
    }

    fn guard(&self, create_revision: i64) -> Compare {
        Compare {
            result: CompareResult::Equal.into(),
            target: CompareTarget::Create.into(),
            key: self.key.clone(),
            target_union: Some(TargetUnion::CreateRevision(create_revision)),
        }
    }

    async fn txn(&mut self, guard: Compare, request: Request) -> Result<i64> {
        let success = vec![RequestOp { request: Some(request) }];
        let answer = self.client.txn(TxnRequest { compare: vec![guard], success }).await?.into_inner();
        ensure!(answer.succeeded, "etcd refused a guarded write");
        Ok(answer.header.context("etcd answered without a header")?.revision)
    }
}

impl Cycle for Worker {
    async fn step(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Acquire => {
                let put = PutRequest { key: self.key.clone(), value: b"held".to_vec() };
                self.revision = self.txn(self.guard(0), Request::RequestPut(put)).await?;
            }
            Step::Checkpoint(n) => {
                let mut key = b"cursor/".to_vec();
                key.extend_from_slice(&self.key);
                let put = PutRequest { key, value: format!("{n:08}").into_bytes() };
                self.txn(self.guard(self.revision), Request::RequestPut(put)).await?;
            }
            Step::Release => {
                let delete = DeleteRangeRequest { key: self.key.clone() };
                self.txn(self.guard(self.revision), Request::RequestDeleteRange(delete)).await?;
            }
        }
        Ok(())
    }
}

/// Whether the node at `endpoint` leads.
pub(crate) async fn leads(endpoint: &str) -> Result<bool> {
    let endpoint = Endpoint::from_shared(format!("http://{endpoint}"))?;
    let channel = endpoint.connect_timeout(std::time::Duration::from_millis(500)).connect().await?;
    let mut request = tonic::Request::new(wire::StatusRequest {});
    request.set_timeout(std::time::Duration::from_millis(500));
    let status = wire::maintenance_client::MaintenanceClient::new(channel).status(request).await?.into_inner();
    Ok(status.leader != 0 && status.header.is_some_and(|header| header.member_id == status.leader))
}
