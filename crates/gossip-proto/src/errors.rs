//! Every reason for which a call can fail: one table for servers, clients and harnesses.
//!
//! An error travels as `google.rpc.Status` with an `ErrorInfo` (reason, domain [`DOMAIN`], metadata with `definite` and what the
//! reason brings along), a `RetryInfo` where waiting helps, and a `BadRequest` where a field is at fault. *Definite* means that
//! nothing was and will be changed. An error without these details, as from a broken connection, is indefinite.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The domain of our `ErrorInfo`s.
pub const DOMAIN: &str = "gossip-rs";

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The stable name, for example `LEASE_HELD`.
    pub name: &'static str,
    /// The gRPC status it travels under.
    pub code: Code,
    /// Whether it is certain that nothing was and will be changed; `None`: the error says so itself.
    pub definite: Option<bool>,
    /// What a client should do.
    pub advice: &'static str,
}

const fn row(name: &'static str, code: Code, definite: Option<bool>, advice: &'static str) -> Reason {
    Reason { name, code, definite, advice }
}

const YES: Option<bool> = Some(true);
const NO: Option<bool> = Some(false);

/// All reasons. `docs/errors.md` says the same; a test holds them together.
pub const REASONS: &[Reason] = &[
    row("INVALID_ARGUMENT", Code::InvalidArgument, YES, "mend the field that `field` names"),
    row("LIMIT_EXCEEDED", Code::ResourceExhausted, YES, "ask for less: `max` is allowed, `actual` was asked for"),
    row("OP_ID_CONFLICT", Code::AlreadyExists, YES, "a bug of the caller: draw a new op id for each new request"),
    row("RUN_NOT_FOUND", Code::NotFound, YES, "check tenant and run; a retried delete has succeeded"),
    row("RUN_EXISTS", Code::AlreadyExists, YES, "choose another name or use the run that is there"),
    row("RUN_NOT_OPEN", Code::FailedPrecondition, YES, "register shards before the run is started"),
    row("RUN_NOT_STARTED", Code::FailedPrecondition, YES, "start the run"),
    row("RUN_ENDED", Code::FailedPrecondition, YES, "stop working on this run"),
    row("RUN_UNFINISHED", Code::FailedPrecondition, YES, "finish or unpark the shards, or fail or cancel the run"),
    row("RUN_NOT_ENDED", Code::FailedPrecondition, YES, "end the run before deleting it"),
    row("SHARD_NOT_FOUND", Code::NotFound, YES, "check the shard's name"),
    row("SHARD_EXISTS", Code::AlreadyExists, YES, "choose another name"),
    row("SHARD_OVERLAP", Code::InvalidArgument, YES, "cut the key space so that no two roots share a key"),
    row("SHARD_TERMINAL", Code::FailedPrecondition, YES, "stop working on this shard"),
    row("SHARD_PARKED", Code::FailedPrecondition, YES, "take another shard; an operator may unpark this one"),
    row("SHARD_NOT_PARKED", Code::FailedPrecondition, YES, "nothing to do"),
    row("LEASE_HELD", Code::Unavailable, YES, "try again after the retry delay, wait in line, or take another shard"),
    row("NO_SHARD_FREE", Code::Unavailable, YES, "try again after the retry delay or wait in line"),
    row("FENCE_MISMATCH", Code::Aborted, YES, "you lost the lease: drop what you hold and acquire again"),
    row("LEASE_EXPIRED", Code::Aborted, YES, "you lost the lease: drop what you hold and acquire again"),
    row("NOT_OWNER", Code::PermissionDenied, YES, "a bug of the caller: send the worker id that acquired"),
    row("CURSOR_REGRESSION", Code::OutOfRange, YES, "a bug of the caller: cursors only move forward"),
    row("CURSOR_OUT_OF_RANGE", Code::OutOfRange, YES, "stay inside the shard's range; it may have been split"),
    row("SPLIT_POINT_INVALID", Code::InvalidArgument, YES, "cut inside the range and beyond the cursor"),
    row("NOT_LEADER", Code::Unavailable, YES, "ask the node in `leader-address`, or another one"),
    row("OVERLOADED", Code::ResourceExhausted, YES, "try again after the retry delay"),
    row("LEADERSHIP_LOST", Code::Unavailable, NO, "send it again under the same op id"),
    row("TIMEOUT", Code::DeadlineExceeded, None, "send it again under the same op id"),
    row("READ_UNCONFIRMED", Code::Unavailable, YES, "read again, or from another node"),
    row(
        "CHANGE_IN_PROGRESS",
        Code::FailedPrecondition,
        YES,
        "try again when the change under way is done, or a new leader knows who answers",
    ),
    row("BAD_CHANGE", Code::InvalidArgument, YES, "mend the field that `field` names"),
    row("STOPPING", Code::Unavailable, YES, "ask another node"),
    row("CLUSTER_MISMATCH", Code::FailedPrecondition, YES, "this is a node of another cluster: mend the address"),
    row("NODE_REMOVED", Code::FailedPrecondition, YES, "this node was removed from the cluster: stop it"),
    row(
        "NODE_REPLACED",
        Code::FailedPrecondition,
        YES,
        "this node has lost its data: remove it, empty its folder, add it again",
    ),
];

/// The row of this name.
pub fn reason(name: &str) -> Option<&'static Reason> {
    REASONS.iter().find(|r| r.name == name)
}

/// An error before it is sent, or after it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorDetail {
    /// The reason's name. After a failure that brought no details, `TRANSPORT`.
    pub reason: String,
    /// The gRPC status.
    pub code: Code,
    /// For people.
    pub message: String,
    /// Whether it is certain that nothing was and will be changed.
    pub definite: bool,
    /// Wait this long before trying again.
    pub retry_after: Option<Duration>,
    /// What the reason brings along: `field`, `leader`, `leader-address`, `fence`, ...
    pub metadata: HashMap<String, String>,
}

impl ErrorDetail {
    /// An error of this reason.
    ///
    /// # Panics
    /// If the table has no such reason: a bug of the caller.
    pub fn new(name: &str, message: impl Into<String>) -> Self {
        let row = reason(name).unwrap_or_else(|| panic!("{name} is not in the table of error reasons"));
        ErrorDetail {
            reason: row.name.into(),
            code: row.code,
            message: message.into(),
            definite: row.definite.unwrap_or(false),
            retry_after: None,
            metadata: HashMap::new(),
        }
    }

    /// Says whether it is definite, for a reason that leaves it open.
    #[must_use]
    pub fn definite(mut self, definite: bool) -> Self {
        self.definite = definite;
        self
    }

    /// Adds what the caller needs to know.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.metadata.insert(key.into(), value.to_string());
        self
    }

    /// Says when trying again makes sense.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// As it is sent.
    pub fn into_status(self) -> Status {
        let mut metadata = self.metadata;
        metadata.insert("definite".into(), self.definite.to_string());
        let mut details = ErrorDetails::new();
        if let Some(delay) = self.retry_after {
            details.set_retry_info(Some(delay));
        }
        if let Some(field) = metadata.get("field") {
            details.add_bad_request_violation(field.clone(), self.message.clone());
        }
        details.set_error_info(self.reason, DOMAIN, metadata);
        Status::with_error_details(self.code, self.message, details)
    }

    /// As it came. A status without our details is indefinite, whatever its code: nobody knows how far the request got.
    pub fn from_status(status: &Status) -> Self {
        let details = status.get_error_details();
        let base = ErrorDetail {
            reason: "TRANSPORT".into(),
            code: status.code(),
            message: status.message().into(),
            definite: false,
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
            metadata: HashMap::new(),
        };
        match details.error_info() {
            Some(info) if info.domain == DOMAIN => {
                let mut metadata = info.metadata.clone();
                let definite = metadata.remove("definite").is_some_and(|text| text == "true");
                ErrorDetail { reason: info.reason.clone(), definite, metadata, ..base }
            }
            _ => base,
        }
    }
}

/// What no row tells: a bug of ours, or a system that failed us. `INTERNAL`, and nobody knows what became of the request. It carries
/// details all the same, so that nobody on its way takes it for a request that could not be read.
pub fn broken(message: impl Into<String>) -> Status {
    let message = message.into();
    let details = ErrorDetails::with_debug_info(Vec::new(), message.clone());
    Status::with_error_details(Code::Internal, message, details)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_broken_is_indefinite_and_has_details() {
        let status = broken("the disk is gone");
        assert!(!status.details().is_empty());
        let came = ErrorDetail::from_status(&status);
        assert_eq!((came.code, came.definite, came.message.as_str()), (Code::Internal, false, "the disk is gone"));
    }

    #[test]
    fn an_error_survives_the_wire() {
        for row in REASONS {
            let sent =
                ErrorDetail::new(row.name, "why").with("field", "lease_ms").retry_after(Duration::from_millis(70));
            let came = ErrorDetail::from_status(&sent.clone().into_status());
            assert_eq!(came, sent);
        }
    }

    #[test]
    fn a_status_without_details_is_indefinite() {
        for code in [Code::Unavailable, Code::InvalidArgument, Code::NotFound, Code::Unknown] {
            let came = ErrorDetail::from_status(&Status::new(code, "connection refused"));
            assert!(!came.definite);
            assert_eq!(came.reason, "TRANSPORT");
        }
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = REASONS.iter().map(|r| r.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), REASONS.len());
    }
}
