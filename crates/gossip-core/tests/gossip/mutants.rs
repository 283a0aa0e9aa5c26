//! Each planted bug makes a promise of this crate false: the tests of the other files can fail.

use std::time::Duration;

use gossip_core::mutants::{Mutant, Planted};

use crate::facts::lives_are_told_apart;
use crate::members::crash_is_known_in_time;
use crate::net::{Net, Plan};
use crate::probes;
use crate::stability::{
    Verdict, a_slow_node_harms_nobody, a_staller_harms_nobody, deaths_within_sides, one_way_harms_nobody,
    suspicions_beside_a_deaf_node,
};
use crate::trouble::Cut;

const SECOND: Duration = Duration::from_secs(1);

fn plan(seed: u64, mutant: Mutant) -> Plan {
    Plan { seed, planted: Planted::from(mutant), ..Plan::default() }
}

/// How many of 20 seeds show it.
fn seen(mut shows: impl FnMut(u64) -> bool) -> usize {
    (0..20).filter(|seed| shows(*seed)).count()
}

#[test]
fn facts_that_only_owners_send_do_not_reach_who_cannot_hear_the_owner() {
    let reaches = |plan: Plan| {
        let mut net = Net::joined(3, plan);
        net.cut.extend([(1, 2), (2, 1)]);
        net.publish(1, "role", "leader");
        net.run(20 * SECOND);
        net.informed(&[2], 1, "role", "leader") == 1
    };
    assert_eq!(seen(|seed| reaches(Plan { seed, ..Plan::default() })), 20);
    assert_eq!(seen(|seed| reaches(plan(seed, Mutant::GossipOwnFactsOnly))), 0);
}

#[test]
fn an_older_fact_that_overwrites_makes_values_go_back() {
    let goes_back = |plan: Plan| {
        let mut net = Net::joined(10, Plan { latency: Duration::from_millis(400), ..plan });
        let all: Vec<u64> = (1..=10).collect();
        let mut last = [0; 11];
        for value in 1..200_u64 {
            net.publish(1, "applied", &value.to_string());
            net.run(Duration::from_millis(50));
            for id in &all {
                let held = net.node(*id).facts().get(1, "applied").map_or(0, |text| text.parse().expect("a number"));
                if held < std::mem::replace(&mut last[*id as usize], held) {
                    return true;
                }
            }
        }
        false
    };
    assert_eq!(seen(|seed| goes_back(Plan { seed, ..Plan::default() })), 0);
    assert!(seen(|seed| goes_back(plan(seed, Mutant::OlderFactOverwrites))) >= 15);
}

#[test]
fn lives_that_nothing_tells_apart_hide_each_others_facts() {
    let said = |seed| lives_are_told_apart(plan(seed, Mutant::LivesShareIncarnations)).err();
    let hidden = seen(|seed| said(seed).is_some_and(|why| why == "0 of [1, 2, 3] heard third, at last"));
    assert!(hidden >= 15, "{hidden} of 20");
}

#[test]
fn a_refutation_at_the_same_incarnation_is_not_heard() {
    let dies = |plan: Plan| {
        let mut net = Net::joined(5, plan);
        net.stall(2, 4 * SECOND);
        net.run(60 * SECOND);
        !net.deaths().is_empty()
    };
    assert_eq!(seen(|seed| dies(Plan { seed, ..Plan::default() })), 0);
    assert!(seen(|seed| dies(plan(seed, Mutant::RefutationKeepsIncarnation))) >= 15);
}

/// How many of 20 seeds a planted bug makes a test's own assertion fail at. Without it they all hold: that is the test.
fn failing(mutant: Mutant, verdict: impl Fn(Plan) -> Verdict) -> usize {
    seen(|seed| verdict(plan(seed, mutant)).is_err())
}

/// The stalling node wakes to silence, and takes that for the others'.
#[test]
fn without_stall_detection_a_staller_harms_the_healthy() {
    let verdict = |nodes| move |plan: Plan| a_staller_harms_nobody(nodes, plan);
    assert!(failing(Mutant::NoStallDetection, verdict(5)) >= 15);
    assert!(failing(Mutant::NoStallDetection, verdict(25)) >= 15);
}

/// Where messages are lost somebody is suspected all the time, and lives because its refutation is heard.
#[test]
fn without_a_new_incarnation_the_healthy_die_beside_a_staller() {
    let verdict = |nodes| move |plan: Plan| a_staller_harms_nobody(nodes, Plan { loss: 0.1, ..plan });
    assert!(failing(Mutant::RefutationKeepsIncarnation, verdict(5)) >= 15);
    assert!(failing(Mutant::RefutationKeepsIncarnation, verdict(25)) >= 15);
}

#[test]
fn without_local_health_a_slow_node_accuses_for_ever() {
    for nodes in [3, 5, 25] {
        assert_eq!(failing(Mutant::NoLocalHealth, |plan| a_slow_node_harms_nobody(nodes, plan)), 20, "n = {nodes}");
    }
}

#[test]
fn a_node_cut_off_one_way_harms_the_healthy() {
    for (mutant, cut) in [
        (Mutant::DeadAreHeard, Cut::Deaf),
        (Mutant::RefutationKeepsIncarnation, Cut::Deaf),
        (Mutant::DeathBelievedUnheard, Cut::Mute),
    ] {
        assert!(failing(mutant, |plan| one_way_harms_nobody(25, plan, cut)) >= 15, "{}", mutant.name());
    }
}

#[test]
fn hearsay_turns_one_accuser_into_many() {
    let counted = probes::confirmations(&[2], Mutant::HearsayConfirms.into());
    assert_ne!(counted, [Some(0); 24], "{counted:?}");
}

#[test]
fn a_helper_that_said_nack_is_not_heard() {
    assert!(probes::is_suspected_after_a_late_ack(Mutant::NackForgetsHelper.into()));
}

#[test]
fn a_death_believed_on_one_word_buries_the_healthy() {
    let buried = |plan: Plan| !deaths_within_sides(plan).is_empty();
    assert_eq!(seen(|seed| buried(Plan { seed, ..Plan::default() })), 0);
    assert!(seen(|seed| buried(plan(seed, Mutant::DeathBelievedUnheard))) >= 15);
}

#[test]
fn the_dead_when_heard_make_the_healthy_suspect_each_other() {
    assert!(seen(|seed| suspicions_beside_a_deaf_node(plan(seed, Mutant::DeadAreHeard)) > 0) >= 15);
}

#[test]
fn without_confirmations_a_crash_is_noticed_late() {
    assert_eq!(seen(|seed| crash_is_known_in_time(plan(seed, Mutant::SuspicionIgnoresConfirmations)).is_err()), 20);
}
