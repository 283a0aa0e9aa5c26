//! Join, leave, crash, restart, memory.

use std::time::Duration;

use gossip_core::membership::{Config, Status, retransmit_limit, suspicion_timeout};
use gossip_core::node::{Event, Input, Peer};

use crate::net::{self, Net, Plan};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_suspicion_timeout_is_lifeguards() {
    let config = Config::default();
    // min = 5 * max(1, log10 n) s, max = 6 * min, K = 3: half of the way at the first of three confirmations.
    let seconds = |nodes, confirmations| suspicion_timeout(&config, nodes, confirmations).as_secs_f64();
    for (nodes, min) in [(5, 5.0), (10, 5.0), (100, 10.0), (1000, 15.0)] {
        let expected = [6.0 * min, 3.5 * min, 6.0 * min - 5.0 * min * 3f64.ln() / 4f64.ln(), min, min];
        for (confirmations, expected) in expected.into_iter().enumerate() {
            assert!((seconds(nodes, confirmations) - expected).abs() < 1e-6, "n = {nodes}, C = {confirmations}");
        }
    }
    // With three nodes only one other can confirm, with two none can.
    assert_eq!(seconds(3, 0), 30.0);
    assert_eq!(seconds(3, 1), 5.0);
    assert_eq!(seconds(2, 0), 5.0);
}

#[test]
fn news_is_sent_on_a_logarithmic_number_of_times() {
    let limits = [3, 5, 25, 100, 1000].map(|nodes| retransmit_limit(4, nodes));
    assert_eq!(limits, [4, 4, 8, 12, 16]);
}

#[test]
fn a_joiner_is_known_to_all_and_knows_all() {
    let mut net = Net::joined(7, Plan::default());
    net.start(8, 1, &[3]);
    net.run(3 * SECOND);
    assert!(net.agreed(&[1, 2, 3, 4, 5, 6, 7, 8]));
    assert!(net.deaths().is_empty());
}

/// The first nodes of a cluster start in any order and find those that come later.
#[test]
fn a_seed_that_starts_later_is_found() {
    let mut net = Net::new(Plan::default());
    for id in [1, 2, 3] {
        net.start(id, 1, &[1, 2, 3, 4]);
    }
    net.run(20 * SECOND);
    assert!(net.agreed(&[1, 2, 3]));
    net.start(4, 1, &[]);
    net.run(10 * SECOND);
    assert!(net.agreed(&[1, 2, 3, 4]));
}

#[test]
fn a_leaver_is_known_to_have_left_and_is_never_called_dead() {
    let mut net = Net::joined(5, Plan::default());
    net.input(2, Input::Leave);
    net.run(5 * SECOND);
    assert!(net.events.iter().any(|(_, id, event)| *id == 2 && *event == Event::Departed));
    net.crash(2);
    net.run(60 * SECOND);
    for id in [1, 3, 4, 5] {
        assert_eq!(net.status(id, 2), Some(Status::Left));
    }
    assert!(net.deaths().is_empty());
    // It may come back as it went.
    net.start(2, 1, &[1]);
    net.run(10 * SECOND);
    assert!(net.agreed(&[1, 2, 3, 4, 5]));
}

#[test]
fn a_lonely_node_departs_at_once() {
    let mut net = Net::new(Plan::default());
    net.start(1, 1, &[]);
    net.input(1, Input::Leave);
    assert!(net.events.iter().any(|(_, _, event)| *event == Event::Departed));
}

/// One of five crashes: all hold it dead, and nobody else, within 16 s: a round of 4 probes until the slowest prober comes by, one
/// for the probe itself, a shortest suspicion.
pub(crate) fn crash_is_known_in_time(plan: Plan) -> Result<Net, String> {
    let mut net = Net::joined(5, plan);
    net.crash(4);
    let begin = net.now;
    net.run(40 * SECOND);
    let deaths = net.deaths();
    let slowest = deaths.iter().map(|(at, _, _)| *at - begin).max().unwrap_or(Duration::MAX);
    let right = deaths.len() == 4 && deaths.iter().all(|(_, _, node)| *node == 4);
    if right && slowest < 16 * SECOND { Ok(net) } else { Err(format!("the last after {slowest:?}: {deaths:?}")) }
}

#[test]
fn a_crash_is_noticed_by_all_within_the_bound_and_a_restart_heals() {
    for seed in 0..20 {
        let mut net = crash_is_known_in_time(Plan { seed, ..Plan::default() }).expect("in time");
        net.start(4, 1, &[1]);
        net.run(10 * SECOND);
        assert!(net.agreed(&[1, 2, 3, 4, 5]), "seed {seed}");
    }
}

/// Alone with one other there is nobody to ask and nobody to confirm.
#[test]
fn two_nodes_notice_each_other() {
    let mut net = Net::joined(2, Plan::default());
    net.crash(2);
    net.run(10 * SECOND);
    assert_eq!(net.status(1, 2), Some(Status::Dead));
    net.start(2, 5, &[1]);
    net.run(5 * SECOND);
    assert!(net.agreed(&[1, 2]));
}

#[test]
fn the_dead_are_forgotten_everywhere_and_for_good() {
    let plan = Plan { tune: |config| config.membership.memory = 60 * SECOND, ..Plan::default() };
    let mut net = Net::joined(5, plan);
    net.publish(4, "role", "follower");
    net.run(5 * SECOND);
    net.crash(4);
    net.run(50 * SECOND);
    for id in [1, 2, 3, 5] {
        assert_eq!(net.status(id, 4), Some(Status::Dead));
        assert_eq!(net.node(id).facts().get(4, "role"), Some("follower"));
    }
    net.run(60 * SECOND);
    for id in [1, 2, 3, 5] {
        assert_eq!(net.status(id, 4), None, "node {id}");
        assert_eq!(net.node(id).facts().get(4, "role"), None, "node {id}");
    }
}

/// The one through which all joined, too: nothing is kept of it and nothing sent to it any more.
#[test]
fn a_forgotten_seed_is_no_longer_called() {
    let plan = Plan { tune: |config| config.membership.memory = 60 * SECOND, ..Plan::default() };
    let mut net = Net::joined(5, plan);
    net.crash(1);
    net.run(60 * SECOND);
    net.forget_counts();
    net.run(30 * SECOND);
    assert!(net.sent_to[&1] > 0, "while it is remembered it is called now and then");
    net.run(60 * SECOND);
    assert_eq!(net.status(2, 1), None);
    net.forget_counts();
    net.run(60 * SECOND);
    assert_eq!(net.sent_to.get(&1), None);
}

/// A driver that names its cluster's nodes as they come and go never runs out of room, and the removed are not called for ever.
#[test]
fn each_join_takes_the_place_of_the_last() {
    let mut net = Net::joined(3, Plan::default());
    for generation in 1..=10_u64 {
        let peers = (1..=1000).map(|n| 10_000 * generation + n);
        let peers = peers.map(|id| Peer { id, address: net::address(id % 1000) }).collect();
        net.input(2, Input::Join { peers });
    }
    let named = |net: &Net, generation: u64| -> u64 {
        net.sent_to.range(10_000 * generation..10_000 * (generation + 1)).map(|(_, count)| count).sum()
    };
    net.forget_counts();
    net.run(10 * SECOND);
    assert!(named(&net, 10) > 0, "the present ones are tried until they are known");
    assert_eq!((1..10).map(|generation| named(&net, generation)).sum::<u64>(), 0, "the others no longer");
    net.input(2, Input::Join { peers: Vec::new() });
    net.forget_counts();
    net.run(10 * SECOND);
    assert_eq!(named(&net, 10), 0);
}

/// The same seed, the same world, to the last event.
#[test]
fn a_seed_decides_everything() {
    let run = |seed| {
        let mut net = Net::joined(8, Plan { seed, loss: 0.2, ..Plan::default() });
        net.crash(3);
        net.stall(5, 7 * SECOND);
        net.run(40 * SECOND);
        (net.events, net.messages, net.bytes)
    };
    assert_eq!(run(11), run(11));
    assert_ne!(run(11), run(12));
}
