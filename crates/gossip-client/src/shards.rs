//! Calls of the shard service.

use std::time::Duration;

use gossip_proto::v1;
use gossip_proto::v1::shard_service_client::ShardServiceClient;
use tokio::time::{Instant, sleep};
use tonic::transport::Channel;

use crate::client::{Client, LARGEST_ANSWER};
use crate::clock::believed_until;
use crate::convert::{self, need};
use crate::error::Error;
use crate::opid::OpId;
use crate::retry::Kind;
use crate::types::{Child, Consistency, Cursor, Grant, LeaseRef, Page, Read, Renewal, ShardInfo, ShardStatus};

fn service(channel: Channel) -> ShardServiceClient<Channel> {
    ShardServiceClient::new(channel).max_decoding_message_size(LARGEST_ANSWER)
}

/// One call of a method of the service.
macro_rules! call {
    ($client:expr, $kind:ident, $wait:expr, $method:ident, $request:expr) => {
        $client
            .call(
                Kind::$kind,
                $wait,
                $request,
                |channel, request| async move { service(channel).$method(request).await },
            )
            .await
    };
}

/// Milliseconds, rounded up so that a short time does not become none.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

impl Client {
    /// Takes one shard's lease if none is live, waiting in line for at most `wait`.
    ///
    /// # Errors
    /// `LEASE_HELD` with the time left; `SHARD_TERMINAL`, `SHARD_PARKED`, `RUN_NOT_STARTED`, `RUN_ENDED`; see `docs/errors.md`.
    pub async fn acquire(
        &self,
        op: OpId,
        run: &str,
        shard: &str,
        worker: &str,
        lease: Duration,
        wait: Duration,
    ) -> Result<Grant, Error> {
        let answer = self.waiting(wait, |wait| {
            let request = v1::AcquireRequest {
                tenant: self.tenant(),
                run: run.into(),
                op_id: op.to_string(),
                shard: shard.into(),
                worker: worker.into(),
                lease_ms: millis(lease),
                wait_ms: millis(wait),
            };
            async move { call!(self, Mutation, wait, acquire, request) }
        });
        self.grant(op, lease, answer.await?)
    }

    /// Takes the lease of the first free shard in order of the ranges, waiting in line for at most `wait`.
    ///
    /// # Errors
    /// `NO_SHARD_FREE`, with a delay where a lease will end; `RUN_NOT_STARTED`, `RUN_ENDED`; see `docs/errors.md`.
    pub async fn claim(
        &self,
        op: OpId,
        run: &str,
        worker: &str,
        lease: Duration,
        wait: Duration,
    ) -> Result<Grant, Error> {
        let answer = self.waiting(wait, |wait| {
            let request = v1::ClaimRequest {
                tenant: self.tenant(),
                run: run.into(),
                op_id: op.to_string(),
                worker: worker.into(),
                lease_ms: millis(lease),
                wait_ms: millis(wait),
            };
            async move { call!(self, Mutation, wait, claim, request) }
        });
        self.grant(op, lease, answer.await?)
    }

    /// Gets in line again until `wait` is over: the service cuts long waits, and a line is lost with its leader.
    async fn waiting<T, F>(&self, wait: Duration, call: impl Fn(Duration) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        // The service holds the place in line; a refusal before the time is over is an exception, and asking costs it an entry
        // of its log.
        const FIRST_PAUSE: Duration = Duration::from_millis(20);
        const LONGEST_PAUSE: Duration = Duration::from_secs(1);
        let end = Instant::now() + wait;
        let mut pause = FIRST_PAUSE;
        loop {
            let outcome = call(end.saturating_duration_since(Instant::now())).await;
            let held = |e: &Error| e.definite && matches!(&e.reason[..], "LEASE_HELD" | "NO_SHARD_FREE");
            if self.options().retries == 0 || !outcome.as_ref().is_err_and(held) || Instant::now() + pause >= end {
                return outcome;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn grant(&self, op: OpId, lease: Duration, answer: v1::GrantResponse) -> Result<Grant, Error> {
        Ok(Grant {
            lease: need(answer.lease, "lease")?.into(),
            granted_ms: answer.granted_ms,
            deadline_ms: answer.deadline_ms,
            believed_until: believed_until(op.since(), lease, self.options().drift_margin),
            range: need(answer.range, "range")?.into(),
            cursor: answer.cursor.map(Cursor::from),
            metadata: answer.metadata,
        })
    }

    /// Moves the deadline to `length` from now; never back.
    ///
    /// # Errors
    /// `FENCE_MISMATCH`, `LEASE_EXPIRED` and the like: the lease is lost ([`Error::is_lease_lost`]).
    pub async fn renew(&self, op: OpId, run: &str, lease: &LeaseRef, length: Duration) -> Result<Renewal, Error> {
        let request = v1::RenewRequest {
            tenant: self.tenant(),
            run: run.into(),
            op_id: op.to_string(),
            lease: Some(lease.into()),
            lease_ms: millis(length),
        };
        let answer: v1::RenewResponse = call!(self, Mutation, Duration::ZERO, renew, request)?;
        Ok(Renewal {
            granted_ms: answer.granted_ms,
            deadline_ms: answer.deadline_ms,
            believed_until: believed_until(op.since(), length, self.options().drift_margin),
        })
    }

    /// Moves the cursor forward and answers with the one that is now kept.
    ///
    /// # Errors
    /// `CURSOR_REGRESSION`, `CURSOR_OUT_OF_RANGE`, or the lease is lost.
    pub async fn checkpoint(&self, op: OpId, run: &str, lease: &LeaseRef, cursor: Cursor) -> Result<Cursor, Error> {
        let request = v1::CheckpointRequest {
            tenant: self.tenant(),
            run: run.into(),
            op_id: op.to_string(),
            lease: Some(lease.into()),
            cursor: Some(cursor.into()),
        };
        let answer: v1::CheckpointResponse = call!(self, Mutation, Duration::ZERO, checkpoint, request)?;
        Ok(need(answer.cursor, "cursor")?.into())
    }

    /// Gives the lease back; the cursor stays.
    ///
    /// # Errors
    /// The lease is lost already.
    pub async fn release(&self, op: OpId, run: &str, lease: &LeaseRef) -> Result<(), Error> {
        let request = v1::ReleaseRequest {
            tenant: self.tenant(),
            run: run.into(),
            op_id: op.to_string(),
            lease: Some(lease.into()),
        };
        let _: v1::ReleaseResponse = call!(self, Mutation, Duration::ZERO, release, request)?;
        Ok(())
    }

    /// Ends the shard as done, with a last move of the cursor unless it is empty.
    ///
    /// # Errors
    /// As for [`Client::checkpoint`].
    pub async fn complete(&self, op: OpId, run: &str, lease: &LeaseRef, cursor: Option<Cursor>) -> Result<(), Error> {
        let request = v1::CompleteRequest {
            tenant: self.tenant(),
            run: run.into(),
            op_id: op.to_string(),
            lease: Some(lease.into()),
            cursor: cursor.map(v1::Cursor::from),
        };
        let _: v1::CompleteResponse = call!(self, Mutation, Duration::ZERO, complete, request)?;
        Ok(())
    }

    /// Sets the shard aside until an operator unparks it.
    ///
    /// # Errors
    /// The lease is lost; `LIMIT_EXCEEDED` for a reason over 1 KiB.
    pub async fn park(&self, op: OpId, run: &str, lease: &LeaseRef, reason: &str) -> Result<(), Error> {
        let request = v1::ParkRequest {
            tenant: self.tenant(),
            run: run.into(),
            op_id: op.to_string(),
            lease: Some(lease.into()),
            reason: reason.into(),
        };
        let _: v1::ParkResponse = call!(self, Mutation, Duration::ZERO, park, request)?;
        Ok(())
    }

    /// Makes a parked shard active again; answers with the raised fence.
    ///
    /// # Errors
    /// `SHARD_NOT_PARKED`, `SHARD_TERMINAL`.
    pub async fn unpark(&self, op: OpId, run: &str, shard: &str) -> Result<u64, Error> {
        let request =
            v1::UnparkRequest { tenant: self.tenant(), run: run.into(), op_id: op.to_string(), shard: shard.into() };
        let answer: v1::UnparkResponse = call!(self, Mutation, Duration::ZERO, unpark, request)?;
        Ok(answer.fence)
    }

    /// Replaces the shard by children, cut at these keys; the first one inherits the cursor.
    ///
    /// # Errors
    /// `SPLIT_POINT_INVALID`, `LIMIT_EXCEEDED`, or the lease is lost.
    pub async fn split_replace(
        &self,
        op: OpId,
        run: &str,
        lease: &LeaseRef,
        cuts: Vec<Vec<u8>>,
    ) -> Result<Vec<Child>, Error> {
        let request = v1::SplitReplaceRequest {
            tenant: self.tenant(),
            run: run.into(),
            op_id: op.to_string(),
            lease: Some(lease.into()),
            cuts,
        };
        let answer: v1::SplitReplaceResponse = call!(self, Mutation, Duration::ZERO, split_replace, request)?;
        answer.children.into_iter().map(convert::child).collect()
    }

    /// Gives the part from `at` on to a new shard; the lease goes on over what is left.
    ///
    /// # Errors
    /// `SPLIT_POINT_INVALID`, or the lease is lost.
    pub async fn split_residual(&self, op: OpId, run: &str, lease: &LeaseRef, at: Vec<u8>) -> Result<Child, Error> {
        let request = v1::SplitResidualRequest {
            tenant: self.tenant(),
            run: run.into(),
            op_id: op.to_string(),
            lease: Some(lease.into()),
            at,
        };
        let answer: v1::SplitResidualResponse = call!(self, Mutation, Duration::ZERO, split_residual, request)?;
        convert::child(need(answer.residual, "residual")?)
    }

    /// One shard as it stands.
    ///
    /// # Errors
    /// `RUN_NOT_FOUND`, `SHARD_NOT_FOUND`; `READ_UNCONFIRMED` while no majority can be reached.
    pub async fn get_shard(&self, run: &str, shard: &str, consistency: Consistency) -> Result<Read<ShardInfo>, Error> {
        let request = v1::GetShardRequest {
            tenant: self.tenant(),
            run: run.into(),
            shard: shard.into(),
            consistency: v1::Consistency::from(consistency).into(),
        };
        let answer: v1::GetShardResponse = call!(self, Read, Duration::ZERO, get_shard, request)?;
        convert::read(convert::shard(answer.shard)?, answer.read)
    }

    /// One page of a run's shards in order of their names: those after `after` (`None`: from the start) with this status (`None`:
    /// any), at most `size` (0: as the service likes).
    ///
    /// # Errors
    /// `RUN_NOT_FOUND`; `READ_UNCONFIRMED` while no majority can be reached.
    pub async fn list_shards(
        &self,
        run: &str,
        status: Option<ShardStatus>,
        after: Option<&str>,
        size: u32,
        consistency: Consistency,
    ) -> Result<Read<Page<ShardInfo>>, Error> {
        let request = v1::ListShardsRequest {
            tenant: self.tenant(),
            run: run.into(),
            consistency: v1::Consistency::from(consistency).into(),
            page_size: size,
            after: after.unwrap_or_default().into(),
            status: status.map_or(v1::ShardStatus::Unspecified, v1::ShardStatus::from).into(),
        };
        let answer: v1::ListShardsResponse = call!(self, Read, Duration::ZERO, list_shards, request)?;
        let items = answer.shards.into_iter().map(|shard| convert::shard(Some(shard))).collect::<Result<_, _>>()?;
        let next = Some(answer.next).filter(|next| !next.is_empty());
        convert::read(Page { items, next }, answer.read)
    }
}
