//! Why a call did not succeed, in a form that a caller can act on.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use gossip_proto::errors::ErrorDetail;
use tonic::{Code, ConnectError, Status};

/// No connection came about: nothing was sent.
pub const UNREACHABLE: &str = "UNREACHABLE";
/// No answer in the caller's time.
pub const DEADLINE: &str = "DEADLINE";
/// The connection broke, or what came was no answer of the service.
pub const TRANSPORT: &str = "TRANSPORT";

/// A call that did not succeed.
///
/// Match on [`Error::reason`]: the reasons are stable and listed in `docs/errors.md`. The client's own are [`UNREACHABLE`],
/// [`DEADLINE`] and [`TRANSPORT`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The machine-readable reason, for example `LEASE_HELD`.
    pub reason: String,
    /// Whether it is certain that nothing was and will be changed by any attempt of this call. If not, the operation may have
    /// taken place or may still do so; the same call under the same op id tells.
    pub definite: bool,
    /// How long to wait before another try, where the service said so.
    pub retry_after: Option<Duration>,
    /// What else the service said: for example `fence` (the current one) with `FENCE_MISMATCH`.
    pub metadata: BTreeMap<String, String>,
    /// For people.
    pub message: String,
}

/// What another try could bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The same again: it is for the caller to decide.
    GiveUp,
    /// The same request may succeed at the leader.
    AskLeader,
    /// The same request may succeed at another node, or later.
    AskAnother,
    /// The same request may succeed at the same node, later.
    AskLater,
}

impl Error {
    /// An error of the client itself.
    pub(crate) fn own(reason: &str, definite: bool, message: impl Into<String>) -> Self {
        Error { reason: reason.into(), definite, retry_after: None, metadata: BTreeMap::new(), message: message.into() }
    }

    /// From what a call to `address` ended with.
    pub(crate) fn from_status(status: &Status, address: &str) -> Self {
        let detail = ErrorDetail::from_status(status);
        if detail.reason != TRANSPORT {
            return Error {
                reason: detail.reason,
                definite: detail.definite,
                retry_after: detail.retry_after,
                metadata: detail.metadata.into_iter().collect(),
                message: detail.message,
            };
        }
        if never_connected(status) {
            return Error::own(UNREACHABLE, true, format!("{address}: {}", cause(status)));
        }
        // tonic's own enforcement of the time that we gave says "cancelled".
        let reason = match detail.code {
            Code::DeadlineExceeded | Code::Cancelled => DEADLINE,
            _ => TRANSPORT,
        };
        Error::own(reason, false, format!("{address}: {:?}: {}", detail.code, cause(status)))
    }

    /// Where the leader is, if the service said so: `host:port`.
    pub fn leader_address(&self) -> Option<&str> {
        self.metadata.get("leader-address").map(String::as_str).filter(|address| !address.is_empty())
    }

    /// Whether the lease under which this was tried is gone for good.
    pub fn is_lease_lost(&self) -> bool {
        const LOST: [&str; 8] = [
            "FENCE_MISMATCH",
            "LEASE_EXPIRED",
            "NOT_OWNER",
            "SHARD_TERMINAL",
            "SHARD_PARKED",
            "SHARD_NOT_FOUND",
            "RUN_ENDED",
            "RUN_NOT_FOUND",
        ];
        LOST.contains(&&self.reason[..])
    }

    /// Whether the same request, with the same op id, is worth another try.
    pub(crate) fn next(&self) -> Next {
        match &self.reason[..] {
            "NOT_LEADER" => Next::AskLeader,
            "OVERLOADED" | "CHANGE_IN_PROGRESS" => Next::AskLater,
            "STOPPING" | "READ_UNCONFIRMED" | UNREACHABLE => Next::AskAnother,
            // The op id makes the second try harmless: it gets the first one's answer.
            _ if !self.definite => Next::AskAnother,
            // A definite TIMEOUT: it never left the queue.
            "TIMEOUT" => Next::AskLater,
            _ => Next::GiveUp,
        }
    }
}

/// Whether the connection did not come about, so that nothing can have been sent.
fn never_connected(status: &Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        if error.is::<ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// The innermost reason, which is what a person wants to know ("connection refused").
fn cause(status: &Status) -> String {
    let mut text = status.message().to_string();
    let mut source = status.source();
    while let Some(error) = source {
        text = error.to_string();
        source = error.source();
    }
    text
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)?;
        if !self.definite {
            f.write_str(" (it may have taken place)")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
