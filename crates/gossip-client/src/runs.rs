//! Calls of the run service.

use std::time::Duration;

use gossip_proto::v1;
use gossip_proto::v1::run_service_client::RunServiceClient;
use tonic::transport::Channel;

use crate::client::{Client, LARGEST_ANSWER};
use crate::convert;
use crate::error::Error;
use crate::opid::OpId;
use crate::retry::Kind;
use crate::types::{Consistency, Page, Read, RunInfo, ShardSpec};

pub(crate) fn service(channel: Channel) -> RunServiceClient<Channel> {
    RunServiceClient::new(channel).max_decoding_message_size(LARGEST_ANSWER)
}

/// One call of a method of the service.
macro_rules! call {
    ($client:expr, $kind:ident, $method:ident, $request:expr) => {
        $client
            .call(Kind::$kind, Duration::ZERO, $request, |channel, request| async move {
                service(channel).$method(request).await
            })
            .await
    };
}

impl Client {
    /// Makes a run, open for shards.
    ///
    /// # Errors
    /// `RUN_EXISTS`, `INVALID_ARGUMENT`, `LIMIT_EXCEEDED`.
    pub async fn create_run(&self, op: OpId, run: &str, metadata: Vec<u8>) -> Result<RunInfo, Error> {
        let (tenant, op_id) = (self.tenant(), op.to_string());
        let request = v1::CreateRunRequest { tenant, run: run.into(), op_id, metadata };
        let answer: v1::RunResponse = call!(self, Mutation, create_run, request)?;
        convert::run(answer.run)
    }

    /// Adds root shards, all or none; with `start` the run is started in the same step.
    ///
    /// # Errors
    /// `RUN_NOT_OPEN`, `SHARD_EXISTS`, `SHARD_OVERLAP`, `LIMIT_EXCEEDED`.
    pub async fn register_shards(
        &self,
        op: OpId,
        run: &str,
        shards: Vec<ShardSpec>,
        start: bool,
    ) -> Result<RunInfo, Error> {
        let shards = shards.into_iter().map(v1::ShardSpec::from).collect();
        let (tenant, op_id) = (self.tenant(), op.to_string());
        let request = v1::RegisterShardsRequest { tenant, run: run.into(), op_id, shards, start };
        let answer: v1::RunResponse = call!(self, Mutation, register_shards, request)?;
        convert::run(answer.run)
    }

    /// Lets the run's shards be acquired; no more roots then.
    ///
    /// # Errors
    /// `RUN_NOT_OPEN`.
    pub async fn start_run(&self, op: OpId, run: &str) -> Result<RunInfo, Error> {
        let request = v1::StartRunRequest { tenant: self.tenant(), run: run.into(), op_id: op.to_string() };
        let answer: v1::RunResponse = call!(self, Mutation, start_run, request)?;
        convert::run(answer.run)
    }

    /// Ends the run as done.
    ///
    /// # Errors
    /// `RUN_UNFINISHED` while a shard is active or parked.
    pub async fn complete_run(&self, op: OpId, run: &str) -> Result<RunInfo, Error> {
        let request = v1::CompleteRunRequest { tenant: self.tenant(), run: run.into(), op_id: op.to_string() };
        let answer: v1::RunResponse = call!(self, Mutation, complete_run, request)?;
        convert::run(answer.run)
    }

    /// Ends the run as failed; every unfinished shard is cancelled and its holder fenced.
    ///
    /// # Errors
    /// `RUN_ENDED`.
    pub async fn fail_run(&self, op: OpId, run: &str, reason: &str) -> Result<RunInfo, Error> {
        let (tenant, op_id) = (self.tenant(), op.to_string());
        let request = v1::FailRunRequest { tenant, run: run.into(), op_id, reason: reason.into() };
        let answer: v1::RunResponse = call!(self, Mutation, fail_run, request)?;
        convert::run(answer.run)
    }

    /// Ends the run as cancelled; every unfinished shard is cancelled and its holder fenced.
    ///
    /// # Errors
    /// `RUN_ENDED`.
    pub async fn cancel_run(&self, op: OpId, run: &str, reason: &str) -> Result<RunInfo, Error> {
        let (tenant, op_id) = (self.tenant(), op.to_string());
        let request = v1::CancelRunRequest { tenant, run: run.into(), op_id, reason: reason.into() };
        let answer: v1::RunResponse = call!(self, Mutation, cancel_run, request)?;
        convert::run(answer.run)
    }

    /// Removes an ended run and all that is known of it, op ids included. A delete whose first answer was lost succeeds when the
    /// run is found gone.
    ///
    /// # Errors
    /// `RUN_NOT_ENDED`, `RUN_NOT_FOUND`.
    pub async fn delete_run(&self, op: OpId, run: &str) -> Result<(), Error> {
        let request = v1::DeleteRunRequest { tenant: self.tenant(), run: run.into(), op_id: op.to_string() };
        let outcome: Result<v1::DeleteRunResponse, Error> = call!(self, Mutation, delete_run, request);
        match outcome {
            Ok(_) => Ok(()),
            Err(error) if error.reason == "RUN_NOT_FOUND" && !error.definite => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The run as it stands.
    ///
    /// # Errors
    /// `RUN_NOT_FOUND`; `READ_UNCONFIRMED` while no majority can be reached.
    pub async fn get_run(&self, run: &str, consistency: Consistency) -> Result<Read<RunInfo>, Error> {
        let consistency = v1::Consistency::from(consistency).into();
        let request = v1::GetRunRequest { tenant: self.tenant(), run: run.into(), consistency };
        let answer: v1::GetRunResponse = call!(self, Read, get_run, request)?;
        convert::read(convert::run(answer.run)?, answer.read)
    }

    /// One page of the tenant's runs in order of their names: those after `after` (`None`: from the start), at most `size` (0: as
    /// the service likes).
    ///
    /// # Errors
    /// `READ_UNCONFIRMED` while no majority can be reached.
    pub async fn list_runs(
        &self,
        after: Option<&str>,
        size: u32,
        consistency: Consistency,
    ) -> Result<Read<Page<RunInfo>>, Error> {
        let request = v1::ListRunsRequest {
            tenant: self.tenant(),
            consistency: v1::Consistency::from(consistency).into(),
            page_size: size,
            after: after.unwrap_or_default().into(),
        };
        let answer: v1::ListRunsResponse = call!(self, Read, list_runs, request)?;
        let items = answer.runs.into_iter().map(|run| convert::run(Some(run))).collect::<Result<_, _>>()?;
        let next = Some(answer.next).filter(|next| !next.is_empty());
        convert::read(Page { items, next }, answer.read)
    }
}
