//! Nodes in trouble, and what it costs the healthy ones.
//!
//! `gossip-bench` prints its table with this same file.

use std::time::Duration;

use gossip_core::membership::NodeId;
use gossip_core::node::Event;

use super::net::{Net, Plan};

const SECOND: Duration = Duration::from_secs(1);

/// The node that has the trouble.
pub(crate) const SICK: NodeId = 2;

/// What healthy nodes were taken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Harm {
    /// How often a healthy node was suspected by a healthy one.
    pub(crate) suspicions: usize,
    /// How often one was declared dead by a healthy one.
    pub(crate) deaths: usize,
    /// How often one was suspected by a sick one.
    pub(crate) suspicions_by_sick: usize,
    /// How often one was declared dead by a sick one.
    pub(crate) deaths_by_sick: usize,
}

/// What happened to the nodes that `is_healthy`, since counts were last forgotten.
pub(crate) fn harm(net: &Net, is_healthy: impl Fn(NodeId) -> bool) -> Harm {
    let mut harm = Harm::default();
    for (_, by, event) in &net.events {
        let count = match event {
            Event::MemberSuspect(node) if is_healthy(*node) && is_healthy(*by) => &mut harm.suspicions,
            Event::MemberSuspect(node) if is_healthy(*node) => &mut harm.suspicions_by_sick,
            Event::MemberDead(node) if is_healthy(*node) && is_healthy(*by) => &mut harm.deaths,
            Event::MemberDead(node) if is_healthy(*node) => &mut harm.deaths_by_sick,
            _ => continue,
        };
        *count += 1;
    }
    harm
}

/// One node stalls 4 s of every 6 s for two minutes; then a minute in which what came of it would show.
pub(crate) fn stalling(nodes: u64, plan: Plan) -> Harm {
    let mut net = Net::joined(nodes, plan);
    for _ in 0..20 {
        net.stall(SICK, 4 * SECOND);
        net.run(6 * SECOND);
    }
    net.run(60 * SECOND);
    harm(&net, |node| node != SICK)
}

/// For two minutes every message to and from one node takes this much longer.
pub(crate) fn slow(nodes: u64, plan: Plan, longer: Duration) -> Harm {
    let mut net = Net::joined(nodes, plan);
    net.slow.insert(SICK, longer);
    net.run(120 * SECOND);
    harm(&net, |node| node != SICK)
}

/// Which way a node is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// It hears nothing.
    Deaf,
    /// It is not heard.
    Mute,
}

/// What came of three minutes in which one node was cut off one way, and of the minute after.
#[derive(Debug)]
pub(crate) struct OneWay {
    pub(crate) during: Harm,
    pub(crate) healing: Harm,
    pub(crate) net: Net,
}

/// Three minutes in which everything to one node, or everything from it, is lost, and a minute in which it heals.
pub(crate) fn one_way(nodes: u64, plan: Plan, cut: Cut) -> OneWay {
    let mut net = Net::joined(nodes, plan);
    for id in (1..=nodes).filter(|id| *id != SICK) {
        net.cut.insert(if cut == Cut::Deaf { (id, SICK) } else { (SICK, id) });
    }
    net.run(180 * SECOND);
    let during = harm(&net, |node| node != SICK);
    net.cut.clear();
    net.forget_counts();
    net.run(60 * SECOND);
    OneWay { during, healing: harm(&net, |node| node != SICK), net }
}
