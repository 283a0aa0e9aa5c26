//! Facts: spreading, restarts, partitions, loss, and what they cost.

use std::time::Duration;

use crate::net::{self, Net, Plan};
use gossip_core::membership::Status;
use gossip_core::node::facts::{LEADER, LeaderHint};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_fact_reaches_every_node_and_the_last_value_wins() {
    let mut net = Net::joined(5, Plan::default());
    for value in 0..100 {
        net.publish(3, "applied", &value.to_string());
    }
    net.run(5 * SECOND);
    assert_eq!(net.informed(&[1, 2, 3, 4, 5], 3, "applied", "99"), 5);
    let view = net.node(1).view();
    for id in 2..=5 {
        assert_eq!(net.node(id).view().members[&3].facts, view.members[&3].facts);
        assert_eq!(net.node(id).view().members[&3].address, net::address(3));
    }
}

#[test]
fn the_leader_hint_of_the_greatest_term_is_found_from_every_node() {
    let mut net = Net::joined(3, Plan::default());
    net.publish(1, LEADER, &LeaderHint { term: 4, leader: 1 }.to_string());
    net.publish(2, LEADER, &LeaderHint { term: 5, leader: 2 }.to_string());
    net.run(5 * SECOND);
    for id in 1..=3 {
        let leader = |least_term| net.node(id).view().leader(least_term);
        assert_eq!(leader(0), Some(LeaderHint { term: 5, leader: 2 }));
        assert_eq!(leader(5), Some(LeaderHint { term: 5, leader: 2 }));
        assert_eq!(leader(6), None, "who knows of term 6 has no use for the leader of term 5");
    }
    net.publish(2, LEADER, "");
    net.run(5 * SECOND);
    assert_eq!(net.node(3).view().leader(0), Some(LeaderHint { term: 4, leader: 1 }), "withdrawn");
}

/// The others go on naming it until they know better themselves; nobody is sent to it.
#[test]
fn a_leader_that_is_gone_is_not_named() {
    let mut net = Net::joined(3, Plan::default());
    for id in 1..=3 {
        net.publish(id, LEADER, &LeaderHint { term: 4, leader: 3 }.to_string());
    }
    net.run(5 * SECOND);
    assert_eq!(net.node(1).view().leader(0), Some(LeaderHint { term: 4, leader: 3 }));
    net.crash(3);
    net.run(4 * SECOND);
    assert_eq!(net.status(1, 3), Some(Status::Suspect));
    assert_eq!(net.node(1).view().leader(0), None, "suspected");
    net.run(60 * SECOND);
    assert_eq!(net.status(1, 3), Some(Status::Dead));
    assert_eq!(net.node(1).view().leader(0), None, "dead");
}

/// What was published before costs nothing: neither on the wire nor in what is kept.
#[test]
fn cost_does_not_grow_with_past_updates() {
    let quiet_bytes = |updates: u32| {
        let mut net = Net::joined(5, Plan::default());
        for value in 0..updates {
            net.publish(2, "applied", &format!("{value:010}"));
        }
        net.run(30 * SECOND);
        assert_eq!(net.informed(&[1, 2, 3, 4, 5], 2, "applied", &format!("{:010}", updates - 1)), 5);
        // Someone who starts afresh gets one value, not the updates.
        net.forget_counts();
        net.start(5, 2, &[1]);
        net.run(5 * SECOND);
        assert_eq!(net.informed(&[5], 2, "applied", &format!("{:010}", updates - 1)), 1);
        assert_eq!(net.node(5).facts().of(2).count(), 1);
        (net.messages, net.largest)
    };
    let (few, few_largest) = quiet_bytes(1);
    let (many, many_largest) = quiet_bytes(20_000);
    // A larger counter takes two more bytes in each of the five entries of a digest.
    assert!(many_largest <= few_largest + 16, "{few_largest} then {many_largest} bytes");
    assert!(many <= few + few / 4, "{few} then {many} messages");
}

#[test]
fn the_same_value_again_is_no_news() {
    let mut net = Net::joined(3, Plan::default());
    net.publish(1, "role", "leader");
    net.run(5 * SECOND);
    net.forget_counts();
    net.publish(1, "role", "leader");
    net.run(5 * SECOND);
    assert!(net.events.is_empty(), "{:?}", net.events);
}

/// A restart with a lower incarnation than before, as after a wall clock that was set back, or with the same: what the node says now wins.
#[test]
fn a_new_life_outranks_the_old_one_even_when_it_began_lower() {
    for life in [1_000, 999, 3] {
        let mut net = Net::joined(5, Plan::default());
        net.start(4, 999, &[1]);
        for value in 0..50 {
            net.publish(4, "applied", &value.to_string());
        }
        net.publish(4, "gone", "with the old life");
        net.run(5 * SECOND);
        net.crash(4);
        net.run(SECOND);
        net.start(4, life, &[1]);
        net.run(10 * SECOND);
        for id in 1..=5 {
            assert_eq!(net.node(id).facts().of(4).count(), 0, "life {life}, node {id}: the old life has ended");
        }
        net.publish(4, "applied", "new");
        net.run(10 * SECOND);
        assert_eq!(net.informed(&[1, 2, 3, 4, 5], 4, "applied", "new"), 5, "life {life}");
        for id in 1..=5 {
            assert_eq!(net.node(id).facts().get(4, "gone"), None, "life {life}, node {id}");
        }
    }
}

#[test]
fn lives_that_rise_above_the_same_one_are_told_apart() {
    for seed in 0..20 {
        lives_are_told_apart(Plan { seed, ..Plan::default() }).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
    }
}

/// A node begins twice lower than in its first life, as where a wall clock stays set back. Both times it meets others that know of the
/// first life alone: three of them, then, while these are out of reach, a fourth.
pub(crate) fn lives_are_told_apart(plan: Plan) -> Result<(), String> {
    let apart = |net: &mut Net, side: &[u64], others: &[u64]| {
        net.cut = side.iter().flat_map(|a| others.iter().flat_map(|b| [(*a, *b), (*b, *a)])).collect();
    };
    let mut net = Net::joined(5, plan);
    let heard = |net: &Net, hearers: &[u64], said, when| {
        let heard = net.informed(hearers, 4, "role", said);
        if heard == hearers.len() { Ok(()) } else { Err(format!("{heard} of {hearers:?} heard {said}, {when}")) }
    };
    let live = |net: &mut Net, life, friend, said, hearers: &[u64]| {
        net.crash(4);
        net.start(4, life, &[friend]);
        net.publish(4, "role", said);
        net.run(10 * SECOND);
        heard(net, hearers, said, "meanwhile")
    };
    live(&mut net, 999, 1, "first", &[1, 2, 3, 5])?;
    apart(&mut net, &[5], &[1, 2, 3, 4]);
    live(&mut net, 3, 1, "second", &[1, 2, 3])?;
    apart(&mut net, &[4, 5], &[1, 2, 3]);
    live(&mut net, 4, 5, "third", &[5])?;
    net.cut.clear();
    net.run(30 * SECOND);
    heard(&net, &[1, 2, 3], "third", "at last")
}

#[test]
fn facts_of_two_sides_meet_after_a_partition() {
    let mut net = Net::joined(5, Plan::default());
    for (a, b) in [1, 2].into_iter().flat_map(|a| [3, 4, 5].map(|b| (a, b))) {
        net.cut.extend([(a, b), (b, a)]);
    }
    net.run(120 * SECOND);
    assert!(!net.deaths().is_empty(), "a partition of two minutes is noticed");
    net.publish(1, "side", "left");
    net.publish(5, "side", "right");
    net.run(10 * SECOND);
    assert_eq!(net.informed(&[1, 2, 3, 4, 5], 1, "side", "left"), 2);
    net.cut.clear();
    net.run(30 * SECOND);
    assert!(net.agreed(&[1, 2, 3, 4, 5]));
    assert_eq!(net.informed(&[1, 2, 3, 4, 5], 1, "side", "left"), 5);
    assert_eq!(net.informed(&[1, 2, 3, 4, 5], 5, "side", "right"), 5);
}

#[test]
fn facts_spread_although_a_third_of_all_messages_is_lost() {
    for seed in 0..20 {
        let mut net = Net::joined(10, Plan { seed, loss: 0.3, ..Plan::default() });
        net.publish(7, "applied", "1");
        net.run(15 * SECOND);
        let all: Vec<u64> = (1..=10).collect();
        assert_eq!(net.informed(&all, 7, "applied", "1"), 10, "seed {seed}");
    }
}

/// More than one message takes: every owner's facts arrive all the same.
#[test]
fn a_bound_on_messages_starves_no_owner() {
    let plan = Plan { tune: |config| config.delta_bytes = 100, ..Plan::default() };
    let mut net = Net::joined(8, plan);
    let all: Vec<u64> = (1..=8).collect();
    for id in 1..=8 {
        for key in 0..10 {
            net.publish(id, &format!("key-{key}"), "a value of some length");
        }
    }
    net.run(60 * SECOND);
    for id in 1..=8 {
        assert_eq!(net.informed(&all, id, "key-9", "a value of some length"), 8, "owner {id}");
    }
}
