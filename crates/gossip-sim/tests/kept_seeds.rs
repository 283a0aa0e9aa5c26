//! Seeds that once failed. What they found has a test of its own beside the code; a seed stays as well, for as long as the draws
//! lead to the same place.

use gossip_sim::faults::options::Level;
use gossip_sim::run::{Plan, run};
use gossip_sim::sweep::mixed;

/// What was wrong, and the seeds that showed it.
const KEPT: [(&str, Level, &[u64]); 8] = [
    ("commands were replayed to workers that were never told of them", Level::Sunny, &[676, 1284]),
    ("entries went into an empty message that they do not follow", Level::Stormy, &[29048]),
    ("entries went into an empty message that they do not follow", Level::Radioactive, &[21884]),
    ("a node campaigned while its snapshot was not durable", Level::Stormy, &[3380]),
    ("a node campaigned while its snapshot was not durable", Level::Radioactive, &[1796]),
    ("a learner that held nothing got a vote", Level::Radioactive, &[22652]),
    ("a leader that inherited its own removal went on leading", Level::Stormy, &[540352]),
    ("the same, in a short run", Level::Stormy, &[674022]),
];

#[test]
fn what_was_found_stays_mended() {
    for (what, level, seeds) in KEPT {
        for seed in seeds {
            let outcome = run(&Plan::new(*seed, level, mixed(*seed)));
            assert!(outcome.stats.applies > 0, "{level:?} seed {seed} applied nothing");
            assert!(outcome.violation.is_none(), "{level:?} seed {seed}, where {what}: {:?}", outcome.violation);
        }
    }
}
