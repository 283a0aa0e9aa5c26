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

/// Whether a call was answered that what it asks for is not there: as much an answer of the group as a record is.
pub(super) fn finds_nothing(call: &Call<'_>) -> bool {
    call.failed() && call.reason().is_some_and(|reason| is_absence(&reason))
}

fn is_absence(reason: &str) -> bool {
    matches!(reason, "run-not-found" | "shard-not-found")
}

/// Whether a reason is given only by one who has found the run.
pub(super) fn tells_of_a_run(reason: &str) -> bool {
    let of_the_request = matches!(reason, "invalid-argument" | "limit-exceeded");
    by_state_machine(reason) && !of_the_request && !is_absence(reason)
}
