//! Reasons of refusal by the state machine. All are definite, and the replay of an answered op id never meets one of them
//! again. A refusal by a node that did not take the request (overload, no leader) proves nothing.

use crate::history::Call;

const OF_THE_STATE_MACHINE: [&str; 24] = [
    "invalid-argument",
    "limit-exceeded",
    "op-id-conflict",
    "run-not-found",
    "run-exists",
    "run-not-open",
    "run-not-started",
    "run-ended",
    "run-unfinished",
    "run-not-ended",
    "shard-not-found",
    "shard-exists",
    "shard-overlap",
    "shard-terminal",
    "shard-parked",
    "shard-not-parked",
    "lease-held",
    "no-shard-free",
    "fence-mismatch",
    "lease-expired",
    "not-owner",
    "cursor-regression",
    "cursor-out-of-range",
    "split-point-invalid",
];

/// Whether a reason, in lower case with dashes, is the state machine's.
pub(super) fn by_state_machine(reason: &str) -> bool {
    OF_THE_STATE_MACHINE.contains(&reason)
}

/// Whether a read was answered that what it asks for is not there: as much an answer of the group as a record is.
pub(super) fn finds_nothing(read: &Call<'_>) -> bool {
    read.failed() && matches!(read.reason().as_deref(), Some("run-not-found" | "shard-not-found"))
}
