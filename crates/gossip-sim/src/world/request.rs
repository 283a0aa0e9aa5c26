//! What callers send to nodes and what comes back.

use gossip_core::consensus::{Change, NodeId, Refusal};
use gossip_core::coordination::{Answer, Command, Rejection, TenantQuery, View};

use super::queue::Nanos;

/// A request as it travels.
#[derive(Clone, Debug)]
pub(super) enum Ask {
    /// A mutation that may wait in line for so long. `unchecked`: sent past the edge's checks, as by a build that differs.
    Submit { command: Command, wait: Nanos, unchecked: bool },
    /// A read.
    Query { query: TenantQuery, stale: bool },
    /// A change of members or leader.
    Change(Change),
}

/// What comes back.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    Applied(Result<Answer, Rejection>),
    Read {
        applied: u64,
        view: Result<View, Rejection>,
    },
    Changed,
    Refused(Refusal),
    /// No process listens there: nothing was sent.
    Unreachable,
    /// The connection broke while the request was under way.
    Reset,
}

/// How a request ended that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// As in the error table.
    pub(super) reason: &'static str,
    /// Whether it is certain that nothing was and will be changed.
    pub(super) definite: bool,
    /// Whether it makes sense to ask another node, and which.
    pub(super) elsewhere: bool,
    pub(super) leader: Option<NodeId>,
}

impl Failure {
    /// What the caller thinks when its patience ends.
    pub(super) const DEADLINE: Failure = Failure { reason: "DEADLINE", definite: false, elsewhere: true, leader: None };
}

impl Reply {
    /// Why it is no success.
    pub(super) fn failure(&self) -> Option<Failure> {
        let failure = |reason, definite, elsewhere, leader| Failure { reason, definite, elsewhere, leader };
        Some(match self {
            Reply::Applied(Ok(_)) | Reply::Read { view: Ok(_), .. } | Reply::Changed => return None,
            Reply::Applied(Err(why)) | Reply::Read { view: Err(why), .. } => failure(why.reason(), true, false, None),
            Reply::Refused(why) => {
                let leader = if let Refusal::NotLeader { leader } = why { *leader } else { None };
                let elsewhere = !matches!(why, Refusal::Overloaded { .. } | Refusal::BadChange { .. });
                failure(why.reason(), why.is_definite(), elsewhere, leader)
            }
            Reply::Unreachable => failure("UNREACHABLE", true, true, None),
            Reply::Reset => failure("TRANSPORT", false, true, None),
        })
    }
}
