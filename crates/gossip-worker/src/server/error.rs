//! The core's refusals as rows of the error table.

use std::time::Duration;

use gossip_core::consensus::{Member, Refusal};
use gossip_core::coordination::{Invalid, Rejection};
use gossip_proto::errors::ErrorDetail;
use tonic::Status;

use crate::driver::Failure;

pub(super) fn invalid(invalid: Invalid) -> Status {
    rejected(Rejection::InvalidArgument(invalid))
}

pub(super) fn rejected(rejection: Rejection) -> Status {
    let detail = ErrorDetail::new(rejection.reason(), rejection.to_string());
    let wait = |ms: u64| Duration::from_millis(ms.clamp(1, 60_000));
    match &rejection {
        Rejection::InvalidArgument(invalid) => detail.with("field", &invalid.field),
        Rejection::LimitExceeded { field, max, actual } => {
            detail.with("field", field).with("max", max).with("actual", actual)
        }
        Rejection::RunNotOpen { status } | Rejection::RunEnded { status } | Rejection::RunNotEnded { status } => {
            detail.with("status", status.name())
        }
        Rejection::RunUnfinished { active, parked } => detail.with("active", active).with("parked", parked),
        Rejection::ShardExists { shard } => detail.with("shard", shard),
        Rejection::ShardOverlap { shard, other } => detail.with("shard", shard).with("other", other),
        Rejection::ShardTerminal { status } => detail.with("status", status.name()),
        Rejection::LeaseHeld { remaining_ms } | Rejection::NoShardFree { remaining_ms: Some(remaining_ms) } => {
            detail.with("remaining-ms", remaining_ms).retry_after(wait(*remaining_ms))
        }
        Rejection::FenceMismatch { current } => detail.with("fence", current),
        Rejection::SplitPointInvalid { field, .. } => detail.with("field", field),
        _ => detail,
    }
    .into_status()
}

pub(super) fn refused(refusal: &Refusal, leader: Option<&Member>) -> Status {
    let mut detail = ErrorDetail::new(refusal.reason(), refusal.to_string()).definite(refusal.is_definite());
    if let Some(leader) = leader {
        detail = detail.with("leader", &leader.name).with("leader-address", &leader.address);
    }
    match refusal {
        Refusal::Overloaded { retry_after } => detail.retry_after(*retry_after),
        Refusal::BadChange { field, .. } => detail.with("field", field),
        _ => detail,
    }
    .into_status()
}

pub(super) fn failed(failure: Failure) -> Status {
    match failure {
        Failure::Rejected(rejection) => rejected(rejection),
        Failure::Refused(refusal, leader) => refused(&refusal, leader.as_ref()),
    }
}
