//! Each planted bug in the use of raft makes a test of the other files fail, in the words that are there for it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use gossip_core::mutants::{Mutant, Planted};

use crate::members::inherit_its_own_removal;
use crate::{answer_and_refuse_at_once, cut_off_while_its_snapshot_is_written, join_with_a_disk_that_takes_seconds};

/// What the test says when it fails with this bug.
fn failure(mutant: Mutant, test: impl Fn(Planted)) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(|| test(Planted::from(mutant)))).err()?;
    panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
}

fn fails(mutant: Mutant, test: impl Fn(Planted), words: &str) {
    let said = failure(mutant, test);
    assert!(said.as_ref().is_some_and(|said| said.contains(words)), "{}: {said:?}", mutant.name());
}

#[test]
fn a_campaign_over_a_snapshot_that_is_not_durable_ends_a_node() {
    let words = "unexpected error getting unapplied entries";
    fails(Mutant::CampaignsWhileInstalling, cut_off_while_its_snapshot_is_written, words);
}

#[test]
fn a_learner_that_holds_nothing_is_seen_to_vote() {
    fails(Mutant::EmptyLearnerVotes, join_with_a_disk_that_takes_seconds, "it votes and holds nothing");
}

#[test]
fn a_leader_that_stays_beyond_its_removal_is_seen() {
    fails(Mutant::RemovedLeaderStays, inherit_its_own_removal, "left: Leader");
}

#[test]
fn entries_in_a_message_that_they_do_not_follow_are_heard_of() {
    fails(Mutant::EntriesJoinedUnfollowed, answer_and_refuse_at_once, "the group refuses its own words");
}
