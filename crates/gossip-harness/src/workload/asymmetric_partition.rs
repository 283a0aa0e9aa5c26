//! `asymmetric-partition`: links that pass one way only, or one node that sees two sides which do not see each other.
//!
//! Nobody's side has lost here: a leader that is heard and hears nothing looks alive to those that follow it, and a write or a read
//! may have been half of a round trip. So it writes more and waits less than `full-partition`, finishes shards, and asks
//! again for what was lost, from any node.
//!
//! Operations: acquire and claim; checkpoint, renew, complete, release; replays; reads of shards and of the run from any node.
//! A violation: two holders (S1), an op id that was applied twice because its answer was lost on the way back (S5), a finished
//! shard that moves (S3), a read from the past by a leader that cannot know that it is none any more (L).
//! Phases: the usual ones. Shards end, so that the load moves on to fresh runs.

use super::session::Mix;

pub(super) const MIX: Mix = Mix {
    roots: 12,
    sessions: 80,
    side_roots: 0,
    side_sessions: 0,
    claim: 40,
    wait: 10,
    checkpoints: 3,
    section: 0,
    renew: 40,
    finish: [8, 0, 1, 0, 0, 0],
    extra: [3, 3, 0, 5, 2, 0, 0, 0],
};
