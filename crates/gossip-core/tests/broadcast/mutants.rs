//! Each planted bug makes a promise of the dissemination false: the tests of the other file can fail.

use gossip_core::mutants::{Mutant, Planted};

use crate::{lacking_without_hub, lost_under_loss, repair};

/// How many of 20 seeds show it.
fn seen(mut shows: impl FnMut(u64) -> bool) -> usize {
    (1..=20).filter(|seed| shows(*seed)).count()
}

#[test]
fn a_gap_that_is_acknowledged_is_never_filled() {
    assert!(seen(|seed| lost_under_loss(seed, Mutant::GapAcknowledged.into()) > 0) >= 15);
}

/// Digests find what was lost, but only after seconds.
#[test]
fn what_is_never_sent_again_comes_late() {
    assert_eq!(seen(|seed| repair(seed, Planted::NONE) >= 5000), 0);
    assert!(seen(|seed| repair(seed, Mutant::UnacknowledgedNotResent.into()) >= 5000) >= 10);
}

#[test]
fn a_hub_that_is_never_replaced_takes_everything_with_it() {
    assert!(seen(|seed| lacking_without_hub(seed, Mutant::HubNeverReplaced.into()) > 0) >= 15);
}
