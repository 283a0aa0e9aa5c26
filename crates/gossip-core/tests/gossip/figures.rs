//! The figures of `make bench`, up to 100 nodes, and the rounds of 1000. Worlds repeat exactly, so bounds on what was measured (which is
//! in `docs/gossip.md`) are half as much again at most.

use std::time::Duration;

use crate::measure::{changes, cost, quantile, rounds, times};

/// Between two exchanges of one node.
const EXCHANGE: Duration = Duration::from_millis(500);

fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// G2: the band of push-pull on a complete graph. A mean outside it is a fault of the choice of peers, not bad luck.
fn within_the_band(nodes: u64, samples: usize, mean: f64, p99: u32) {
    let taken = rounds(nodes, samples, 3);
    let measured = taken.iter().sum::<u32>() as f64 / taken.len() as f64;
    assert!((measured - mean).abs() < 0.2, "n = {nodes}: mean {measured}, expected {mean}");
    assert!(quantile(&taken, 0.99) <= p99, "n = {nodes}: p99 {} rounds", quantile(&taken, 0.99));
}

#[test]
fn a_fact_reaches_all_within_the_rounds_of_push_pull() {
    within_the_band(5, 4000, 2.36, 4);
    within_the_band(25, 2000, 4.77, 6);
    within_the_band(100, 400, 6.52, 8);
}

#[test]
fn a_fact_reaches_a_thousand_within_the_rounds_of_push_pull() {
    within_the_band(1000, 50, 9.11, 10);
}

/// In seconds at the default settings: some exchanges of half a second, which take longer in a large cluster.
#[test]
fn a_fact_reaches_all_in_time() {
    for (nodes, samples, p50, p99) in [(5, 400, 750, 1500), (25, 400, 2250, 3300), (100, 200, 8000, 11_000)] {
        let taken = times(nodes, samples, 3);
        let [half, most] = [0.5, 0.99].map(|share| quantile(&taken, share));
        assert!(half <= millis(p50), "n = {nodes}: median {half:?}");
        assert!(most <= millis(p99), "n = {nodes}: p99 {most:?}");
    }
}

/// A ping and an ack each second, an exchange of at most three messages each half second; digests grow with the cluster.
#[test]
fn what_a_node_sends_does_not_grow_with_the_cluster_but_for_the_digests() {
    for (nodes, quiet_bytes, busy_messages, busy_bytes) in [
        (2, 55.0, 8.5, 100.0),
        (3, 75.0, 8.5, 140.0),
        (5, 110.0, 8.5, 230.0),
        (25, 470.0, 8.5, 1100.0),
        (100, 700.0, 6.4, 2000.0),
    ] {
        let quiet = cost(nodes, false, 60);
        let busy = cost(nodes, true, 60);
        assert!(quiet.messages_per_second < 5.0, "n = {nodes}: {quiet:?}");
        assert!(quiet.bytes_per_second < quiet_bytes, "n = {nodes}: {quiet:?}");
        assert!(busy.messages_per_second < busy_messages, "n = {nodes}: {busy:?}");
        assert!(busy.bytes_per_second < busy_bytes, "n = {nodes}: {busy:?}");
    }
}

#[test]
fn changes_are_known_to_all_in_time() {
    // Milliseconds at most: join, leave, first suspicion, death known to all. The last is the shortest time to be sure.
    for (nodes, repeats, join, leave, suspected, dead, sure) in [
        (5, 10, 300, 200, 5500, 13_000, 5000),
        (25, 10, 600, 450, 6800, 17_000, 6900),
        (100, 5, 850, 900, 6700, 22_000, 10_000),
    ] {
        for loss in [0.0, 0.1] {
            let times = changes(nodes, loss, repeats, 5);
            let most = |of: &[Duration]| quantile(of, 1.0);
            let world = format!("n = {nodes}, loss {loss}");
            // Who missed the one message that told him learns of it from the next exchange.
            let missed = if loss > 0.0 { EXCHANGE } else { Duration::ZERO };
            assert!(most(&times.join) <= millis(join) + missed, "{world}: {:?}", times.join);
            assert!(most(&times.leave) <= millis(leave), "{world}: {:?}", times.leave);
            assert!(most(&times.suspected) <= millis(suspected), "{world}: {:?}", times.suspected);
            assert!(most(&times.dead_all) <= millis(dead), "{world}: {:?}", times.dead_all);
            assert!(quantile(&times.dead_first, 0.0) >= millis(sure), "{world}: {:?}", times.dead_first);
            assert_eq!(times.false_deaths, 0, "{world}");
        }
    }
}
