//! The dissemination protocol held to its figures, message by message, in virtual time.

#[cfg(feature = "mutants")]
mod mutants;
mod net;

use std::time::Duration;

use gossip_core::broadcast::{Ask, Config, History, Input, Message, Origin, Run, Versions, View};
use gossip_core::mutants::Planted;
use net::Net;

const SECOND: Duration = Duration::from_secs(1);

fn batch(millis: u64) -> Config {
    Config { batch: Duration::from_millis(millis), ..Config::default() }
}

/// 25 nodes, 50 payloads a second for 20 s, 100 ms a hop. An operation is a publication or one of as many reads.
fn efficient(millis: u64, seed: u64) -> (f64, u64, u64) {
    let mut net = Net::new(25, seed, History::All, batch(millis));
    net.load(0, 50, 20);
    net.run(10 * SECOND);
    assert_eq!(net.missing(), 0);
    let latencies = net.latencies();
    (net.messages as f64 / 2000.0, latencies[latencies.len() / 2], latencies[latencies.len() - 1])
}

#[test]
fn the_short_window_meets_the_tight_latency_with_two_messages_an_operation() {
    for seed in 1..=5 {
        let (messages, median, max) = efficient(300, seed);
        assert!(messages <= 1.8, "seed {seed}: {messages} messages an operation");
        assert!(median < 400 && max < 600, "seed {seed}: median {median} ms, max {max} ms");
    }
}

#[test]
fn the_long_window_costs_less_than_one_message_an_operation() {
    for seed in 1..=5 {
        let (messages, median, max) = efficient(1300, seed);
        assert!(messages <= 0.9, "seed {seed}: {messages} messages an operation");
        assert!(median < 1000 && max < 2000, "seed {seed}: median {median} ms, max {max} ms");
    }
}

/// Cuts the hub off under load. Gives the longest time in milliseconds until a payload of another node, published after the
/// cut, was with all of the others.
fn fail_over(millis: u64, seed: u64) -> u64 {
    let mut net = Net::new(25, seed, History::All, batch(millis));
    net.load(0, 50, 5);
    let hub = net.nodes[0].view().hub;
    net.split(&[hub]);
    net.load(1000, 50, 10);
    net.run(3 * SECOND);
    let others: Vec<usize> = (0..25).filter(|n| *n != hub as usize).collect();
    let hubs: Vec<u32> = others.iter().map(|n| net.nodes[*n].view().hub).collect();
    assert!(hubs.iter().all(|h| *h == hubs[0] && *h != hub), "seed {seed}: hubs {hubs:?}");
    let mut longest = 0;
    for (payload, at) in net.published.range(1000..) {
        let at_hub = net.have[hub as usize].get(payload) == Some(at);
        let last = others.iter().map(|n| net.have[*n].get(payload)).min_by_key(|t| t.is_some()).flatten();
        assert!(at_hub || last.is_some(), "seed {seed}: {payload} did not arrive");
        if !at_hub {
            let last = others.iter().filter_map(|n| net.have[*n].get(payload)).max().expect("a node");
            longest = longest.max((*last - *at).as_millis() as u64);
        }
    }
    net.cut.clear();
    net.run(8 * SECOND);
    assert_eq!(net.missing(), 0, "seed {seed}");
    longest
}

#[test]
fn a_hub_that_is_cut_off_costs_one_fail_over() {
    for seed in 1..=10 {
        for (batch, bound) in [(300, 2500), (1300, 4500)] {
            let longest = fail_over(batch, seed);
            assert!(longest < bound, "seed {seed}: {longest} ms with a batch of {batch} ms");
        }
    }
}

#[test]
fn both_sides_of_a_partition_go_on_and_merge_within_seconds_of_its_end() {
    for seed in 1..=20 {
        let mut net = Net::new(25, seed, History::All, batch(300));
        net.load(0, 50, 3);
        let side: Vec<u32> = (0..25).filter(|_| net.draw(2) == 0).collect();
        net.split(&side);
        net.load(1000, 50, 10);
        net.run(2 * SECOND);
        let lacking = |net: &Net, node: usize, of: &[u32]| {
            of.iter().any(|o| net.nodes[*o as usize].versions() != net.nodes[node].versions())
        };
        for node in 0..25u32 {
            let same: Vec<u32> = (0..25).filter(|n| side.contains(n) == side.contains(&node)).collect();
            assert!(!lacking(&net, node as usize, &same), "seed {seed}: node {node} is behind its side");
        }
        net.cut.clear();
        net.run(8 * SECOND);
        assert_eq!(net.missing(), 0, "seed {seed}");
    }
}

#[test]
fn links_that_are_cut_one_by_one_leave_everyone_served() {
    for seed in 1..=20 {
        let mut net = Net::new(25, seed, History::All, batch(300));
        net.load(0, 50, 3);
        for a in 0..25 {
            for b in 0..25 {
                // A sixth of the directed links, so some work one way only.
                if a != b && net.draw(6) == 0 {
                    net.cut.insert((a, b));
                }
            }
        }
        net.load(1000, 50, 10);
        net.run(15 * SECOND);
        assert_eq!(net.missing(), 0, "seed {seed}: with the links still cut");
    }
}

#[test]
fn overlapping_majorities_converge_when_whole_again_and_change_hubs_at_a_bounded_rate() {
    for seed in 1..=10 {
        let mut net = Net::new(5, seed, History::All, batch(300));
        net.load(0, 20, 3);
        // Each node hears itself and its two neighbours on a ring.
        for a in 0..5u32 {
            for b in [(a + 2) % 5, (a + 3) % 5] {
                net.cut.insert((a, b));
            }
        }
        let before = net.messages;
        net.load(1000, 20, 20);
        let each_second = (net.messages - before) / 20;
        assert!(each_second < 60, "seed {seed}: {each_second} messages a second");
        net.cut.clear();
        net.run(8 * SECOND);
        assert_eq!(net.missing(), 0, "seed {seed}");
    }
}

/// How many payloads some node lacks ten seconds after a load under loss and reordering.
fn lost_under_loss(seed: u64, planted: Planted) -> usize {
    let mut net = Net::with_bug(10, seed, History::All, batch(300), planted);
    (net.latency, net.loss) = ((5, 200), 20);
    net.load(0, 50, 20);
    net.loss = 0;
    net.run(10 * SECOND);
    net.missing()
}

#[test]
fn loss_and_reordering_lose_nothing() {
    for seed in 1..=20 {
        assert_eq!(lost_under_loss(seed, Planted::NONE), 0, "seed {seed}");
    }
}

/// Milliseconds until all of five nodes have the last payload of a load, of which every message is lost for half a second.
fn repair(seed: u64, planted: Planted) -> u64 {
    let mut net = Net::with_bug(5, seed, History::All, batch(300), planted);
    net.load(0, 20, 3);
    net.run(3 * SECOND);
    net.publish(1, 1000);
    net.loss = 100;
    net.run(SECOND / 2);
    net.loss = 0;
    net.run(60 * SECOND);
    assert_eq!(net.missing(), 0, "seed {seed}");
    *net.latencies().last().expect("a payload")
}

#[test]
fn what_was_not_acknowledged_is_sent_again() {
    for seed in 1..=20 {
        let took = repair(seed, Planted::NONE);
        assert!(took < 5000, "seed {seed}: {took} ms");
    }
}

/// How many payloads of the others some of them lack after ten seconds without the hub.
fn lacking_without_hub(seed: u64, planted: Planted) -> usize {
    let mut net = Net::with_bug(10, seed, History::All, batch(300), planted);
    net.load(0, 50, 3);
    let hub = net.nodes[0].view().hub;
    net.split(&[hub]);
    for payload in 1000..1010 {
        net.publish((hub + 1 + payload as u32 % 9) % 10, payload);
    }
    net.run(10 * SECOND);
    let others = (0..10).filter(|n| *n != hub as usize);
    others.map(|n| (1000..1010).filter(|payload| !net.have[n].contains_key(payload)).count()).sum()
}

#[test]
fn the_others_go_on_without_a_hub_that_stays_away() {
    for seed in 1..=20 {
        assert_eq!(lacking_without_hub(seed, Planted::NONE), 0, "seed {seed}");
    }
}

#[test]
fn a_run_at_the_end_of_all_versions_and_one_of_the_receiver_change_nothing() {
    for history in [History::All, History::Newest] {
        for (node, first) in [(1, u64::MAX), (1, u64::MAX - 1), (0, 1), (0, u64::MAX - 5)] {
            let mut net = Net::new(3, 1, history, batch(300));
            let run = Run { origin: Origin { node, life: 1 }, first, payloads: vec![7, 8] };
            let versions = Versions::default();
            let (view, ask) = (View::default(), Ask::None);
            let message = Message { life: 1, view, hears_hub: false, parent: false, ask, versions, runs: vec![run] };
            net.input(0, Input::Message { from: 1, message });
            assert!(net.have[0].is_empty(), "{history:?} {node} {first}");
            net.publish(0, 100);
            net.run(5 * SECOND);
            assert_eq!(net.missing(), 0, "{history:?} {node} {first}");
        }
    }
}

#[test]
fn a_node_that_forgot_everything_gets_it_back() {
    for seed in 1..=10 {
        let mut net = Net::new(5, seed, History::All, batch(300));
        net.load(0, 20, 3);
        net.run(3 * SECOND);
        for node in 0..5 {
            net.restart(node);
            net.load(1000 * (u64::from(node) + 1), 20, 3);
            net.run(12 * SECOND);
            assert_eq!(net.missing(), 0, "seed {seed}: after node {node} was restarted");
        }
    }
}

#[test]
fn nothing_is_said_when_nobody_lacks_anything_but_for_digests() {
    let mut net = Net::new(25, 1, History::All, batch(300));
    net.run(60 * SECOND);
    assert_eq!(net.messages, 0);
    net.load(0, 50, 5);
    net.run(10 * SECOND);
    let before = net.messages;
    net.run(100 * SECOND);
    let digests = net.messages - before;
    assert!((200..300).contains(&digests), "{digests} messages in 100 s; one digest a node every 10 s is 250");
}

#[test]
fn newest_keeps_one_payload_an_origin() {
    let mut net = Net::new(3, 1, History::Newest, batch(300));
    for total in 1..=100 {
        net.publish(0, total);
        net.run(Duration::from_millis(10));
    }
    net.run(3 * SECOND);
    for node in 1..3 {
        assert_eq!(net.have[node].last_key_value().map(|(total, _)| *total), Some(100));
        assert!(net.have[node].len() < 30, "{} of 100 totals were sent", net.have[node].len());
    }
}
