//! Each planted bug makes a promise of this crate false: the tests of the other files can fail.

use std::time::Duration;

use gossip_core::membership::Status;
use gossip_core::mutants::{Mutant, Planted};
use gossip_core::node::Event;

use crate::net::{Net, Plan};
use crate::stability::{deaths_within_sides, suspicions_beside_a_deaf_node};

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
        let mut last = vec![0; 11];
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

/// The stalling node wakes to silence. Without local health it takes that for the death of others.
#[test]
fn without_local_health_the_slow_accuse_the_healthy() {
    let accused = |plan: Plan| -> usize {
        let mut net = Net::joined(10, plan);
        for _ in 0..20 {
            net.stall(2, 4 * SECOND);
            net.run(6 * SECOND);
        }
        let suspicion = |event: &Event| matches!(event, Event::MemberSuspect(node) if *node != 2);
        net.events.iter().filter(|(_, _, event)| suspicion(event)).count()
    };
    let healthy: usize = (0..20).map(|seed| accused(Plan { seed, ..Plan::default() })).sum();
    let planted: usize = (0..20).map(|seed| accused(plan(seed, Mutant::NoLocalHealth))).sum();
    assert!(planted > 10 * (healthy + 1), "{healthy} with local health, {planted} without");
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
    let in_time = |plan: Plan| {
        let mut net = Net::joined(5, plan);
        net.crash(4);
        net.run(16 * SECOND);
        [1, 2, 3, 5].iter().all(|id| net.status(*id, 4) == Some(Status::Dead))
    };
    assert_eq!(seen(|seed| in_time(Plan { seed, ..Plan::default() })), 20);
    assert_eq!(seen(|seed| in_time(plan(seed, Mutant::SuspicionIgnoresConfirmations))), 0);
}
