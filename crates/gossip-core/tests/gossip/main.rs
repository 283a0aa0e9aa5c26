//! Facts between real nodes in virtual time: spreading, restarts, partitions, loss, cost.

mod net;

use std::time::Duration;

use gossip_core::node::facts::{LEADER, LeaderHint};
use net::{Net, Plan};

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
        assert_eq!(net.node(id).view().leader(), Some(LeaderHint { term: 5, leader: 2 }));
    }
}
