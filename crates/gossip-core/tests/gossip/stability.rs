//! Slow, stalled and half cut-off nodes: nobody healthy is declared dead on their account.

use std::time::Duration;

use gossip_core::membership::Status;
use gossip_core::node::Event;
use gossip_core::time::Time;

use crate::net::{Net, Plan};

const SECOND: Duration = Duration::from_secs(1);

/// One node stalls 4 s of every 6 s for two minutes. What dies besides it.
fn deaths_beside_a_stalling_node(nodes: u64, plan: Plan) -> Vec<u64> {
    let mut net = Net::joined(nodes, plan);
    for _ in 0..20 {
        net.stall(2, 4 * SECOND);
        net.run(6 * SECOND);
    }
    net.run(60 * SECOND);
    net.deaths().into_iter().map(|(_, _, node)| node).filter(|node| *node != 2).collect()
}

#[test]
fn a_node_that_stalls_four_seconds_of_six_makes_no_healthy_one_dead() {
    for nodes in [3, 5, 25] {
        for seed in 0..20 {
            for loss in [0.0, 0.1] {
                let deaths = deaths_beside_a_stalling_node(nodes, Plan { seed, loss, ..Plan::default() });
                assert!(deaths.is_empty(), "n = {nodes}, seed {seed}, loss {loss}: {deaths:?}");
            }
        }
    }
}

/// Also when several stall at once, each for its own time.
#[test]
fn several_stalling_nodes_make_no_healthy_one_dead() {
    for seed in 0..20 {
        let mut net = Net::joined(25, Plan { seed, ..Plan::default() });
        for round in 0..20 {
            for id in 1..=6 {
                net.stall(id, Duration::from_millis(2500 + 500 * ((round + id) % 4)));
            }
            net.run(6 * SECOND);
        }
        let healthy: Vec<_> = net.deaths().into_iter().filter(|(_, _, node)| *node > 6).collect();
        assert!(healthy.is_empty(), "seed {seed}: {healthy:?}");
    }
}

/// Three minutes in which everything to node 2 (`deaf`), or everything from it, is lost.
fn one_way(nodes: u64, plan: Plan, deaf: bool) -> Net {
    let mut net = Net::joined(nodes, plan);
    for id in (1..=nodes).filter(|id| *id != 2) {
        net.cut.insert(if deaf { (id, 2) } else { (2, id) });
    }
    net.run(180 * SECOND);
    net
}

#[test]
fn a_node_cut_off_in_one_direction_makes_no_other_dead() {
    for (nodes, deaf) in [(3, true), (3, false), (5, true), (5, false), (25, true), (25, false)] {
        for seed in 0..5 {
            for loss in [0.0, 0.05] {
                let mut net = one_way(nodes, Plan { seed, loss, ..Plan::default() }, deaf);
                let of_healthy = |(_, by, node): &(_, u64, u64)| *by != 2 && *node != 2;
                let deaths: Vec<_> = net.deaths().into_iter().filter(of_healthy).collect();
                assert!(deaths.is_empty(), "n = {nodes}, deaf {deaf}, seed {seed}, loss {loss}: {deaths:?}");
                net.cut.clear();
                net.run(60 * SECOND);
                let all: Vec<u64> = (1..=nodes).collect();
                assert!(loss > 0.0 || net.agreed(&all), "n = {nodes}, deaf {deaf}, seed {seed}: not healed");
                let deaths: Vec<_> = net.deaths().into_iter().filter(of_healthy).collect();
                assert!(deaths.is_empty(), "n = {nodes}, deaf {deaf}, seed {seed}: {deaths:?} when it healed");
            }
        }
    }
}

/// Two minutes beside a deaf node, from when it is known for dead: how often the others suspect each other. It accuses one after
/// the other, slowly, as its local health is at its worst.
pub(crate) fn suspicions_beside_a_deaf_node(plan: Plan) -> usize {
    let mut net = Net::joined(25, plan);
    net.cut.extend((1..=25).filter(|id| *id != 2).map(|id| (id, 2)));
    while !(1..=25).all(|id| id == 2 || net.status(id, 2) == Some(Status::Dead)) {
        net.run(SECOND);
        assert!(net.now < Time::from_millis(300_000), "a deaf node is noticed");
    }
    net.forget_counts();
    net.run(120 * SECOND);
    let of_healthy = |by: u64, event: &Event| by != 2 && matches!(event, Event::MemberSuspect(node) if *node != 2);
    net.events.iter().filter(|(_, by, event)| of_healthy(*by, event)).count()
}

/// A deaf node accuses everybody. Once it is known for dead nobody listens: the others do not even suspect each other.
#[test]
fn once_it_is_known_for_dead_its_accusations_are_not_heard() {
    for seed in 0..20 {
        assert_eq!(suspicions_beside_a_deaf_node(Plan { seed, ..Plan::default() }), 0, "seed {seed}");
    }
}

/// Two minutes of partition, 1 and 2 against 3 to 5. Deaths of nodes that the observer could hear all the time.
pub(crate) fn deaths_within_sides(plan: Plan) -> Vec<(Time, u64, u64)> {
    let mut net = Net::joined(5, plan);
    for (a, b) in [1, 2].into_iter().flat_map(|a| [3, 4, 5].map(|b| (a, b))) {
        net.cut.extend([(a, b), (b, a)]);
    }
    net.run(120 * SECOND);
    assert!(!net.deaths().is_empty(), "a partition of two minutes is noticed");
    net.cut.clear();
    net.run(60 * SECOND);
    assert!(net.agreed(&[1, 2, 3, 4, 5]));
    net.deaths().into_iter().filter(|(_, by, node)| (*by <= 2) == (*node <= 2)).collect()
}

/// Each side comes back with the other's death in mind; that buries nobody a second time.
#[test]
fn the_end_of_a_partition_makes_no_healthy_one_dead() {
    for seed in 0..20 {
        let deaths = deaths_within_sides(Plan { seed, ..Plan::default() });
        assert!(deaths.is_empty(), "seed {seed}: {deaths:?}");
    }
}

/// A link that is gone between two nodes is no reason to bury either: the others vouch for both.
#[test]
fn a_lost_link_is_bridged_by_the_others() {
    for seed in 0..20 {
        let mut net = Net::joined(5, Plan { seed, ..Plan::default() });
        net.cut.extend([(1, 2), (2, 1)]);
        net.run(300 * SECOND);
        assert!(net.deaths().is_empty(), "seed {seed}: {:?}", net.deaths());
        assert!(!net.events.iter().any(|(_, _, event)| matches!(event, Event::MemberSuspect(_))), "seed {seed}");
    }
}

/// Loss alone kills nobody.
#[test]
fn a_tenth_lost_makes_no_healthy_node_dead() {
    for seed in 0..5 {
        let mut net = Net::joined(25, Plan { seed, loss: 0.1, ..Plan::default() });
        net.run(600 * SECOND);
        assert!(net.deaths().is_empty(), "seed {seed}: {:?}", net.deaths());
    }
}
