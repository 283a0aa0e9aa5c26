//! Operations without an answer that can take no effect any more.
//!
//! In a shard's life fences, cursors and the lease clock only rise, a range only loses its right part, and an end is for ever.
//! So a write under a fence that was passed, a cursor that was passed, anything after the end can change nothing in this state
//! or in any that follows from it, whatever else happens. Only what is *known* counts: what is not could be anything.

use super::shard::{Known, Lease, Shard, ShardInput, ShardOutput, ShardState, Status, WorkerNo, Write};

pub(super) fn is_spent<'a>(
    shard: &Shard<'a>,
    state: &ShardState<'a>,
    input: &ShardInput<'a>,
    output: Option<&ShardOutput<'a>>,
) -> bool {
    let Known::Is(status) = state.status else { return false };
    match (status, *input) {
        (Status::Barred | Status::Done | Status::Split | Status::Cancelled, _) => *input != ShardInput::Read,
        (_, ShardInput::Create { .. }) => status != Status::Absent,
        (Status::Absent, _) => false,
        (Status::Active | Status::Parked, ShardInput::Grant { .. } | ShardInput::Unpark) => {
            raises_nothing(shard, state, output)
        }
        (Status::Active | Status::Parked, ShardInput::Write { worker, fence, what }) => {
            let Known::Is(now) = state.fence else { return false };
            fence.is_none_or(|fence| fence < now || (fence == now && is_refused(state, worker, what, output)))
        }
        (_, ShardInput::EndRun | ShardInput::CompleteRun | ShardInput::Read) => false,
    }
}

/// Whether no fence that a grant or unpark may make is still to come.
fn raises_nothing(shard: &Shard<'_>, state: &ShardState<'_>, output: Option<&ShardOutput<'_>>) -> bool {
    let Known::Is(now) = state.fence else { return false };
    match output {
        None => shard.lost_fences.end_at(now),
        Some(
            ShardOutput::Granted { fence: Known::Is(fence), .. } | ShardOutput::Unparked { fence: Known::Is(fence) },
        ) => *fence <= now,
        Some(_) => false,
    }
}

/// Whether a write under the fence of the day can change nothing until another fence is made.
fn is_refused(state: &ShardState<'_>, worker: WorkerNo, what: Write<'_>, output: Option<&ShardOutput<'_>>) -> bool {
    match state.lease {
        Known::Unknown => return false,
        // A lease comes with a fence of its own.
        Known::Is(Lease::None) => return true,
        Known::Is(Lease::Held(holder, _)) if holder != worker => return true,
        Known::Is(Lease::Held(..)) => {}
    }
    let cursor = match state.cursor {
        Known::Is(cursor) => cursor,
        Known::Unknown => None,
    };
    match what {
        Write::Checkpoint(None) => true,
        Write::Checkpoint(Some(key)) => !state.is_inside(key) || cursor.is_some_and(|cursor| key <= cursor),
        Write::Complete(Some(key)) => !state.is_inside(key) || cursor.is_some_and(|cursor| key < cursor),
        Write::SplitResidual(at) => {
            let Some(key) = at else { return true };
            !state.is_inside(key) || state.start == Known::Is(at) || cursor.is_some_and(|cursor| key <= cursor)
        }
        Write::Renew => output.is_none(),
        Write::Release | Write::Complete(None) | Write::Park | Write::SplitReplace => false,
    }
}
