//! The figures of `make bench`, at sizes small enough for every test run.

use std::time::Duration;

use crate::measure::{changes, cost, quantile, rounds};

const SECOND: Duration = Duration::from_secs(1);

/// G2: the band of push-pull on a complete graph. A mean outside it is a fault of the choice of peers, not bad luck.
#[test]
fn a_fact_reaches_all_within_the_rounds_of_push_pull() {
    for (nodes, samples, mean, p99) in [(5, 4000, 2.36, 4), (25, 2000, 4.77, 6), (100, 400, 6.52, 8)] {
        let taken = rounds(nodes, samples, 3);
        let measured = taken.iter().sum::<u32>() as f64 / taken.len() as f64;
        assert!((measured - mean).abs() < 0.2, "n = {nodes}: mean {measured}, expected {mean}");
        assert!(quantile(&taken, 0.99) <= p99, "n = {nodes}: p99 {} rounds", quantile(&taken, 0.99));
    }
}

#[test]
fn what_a_node_sends_does_not_grow_with_the_cluster_but_for_the_digests() {
    for (nodes, bytes) in [(3, 500.0), (5, 800.0), (25, 2500.0)] {
        let quiet = cost(nodes, false, 60);
        let busy = cost(nodes, true, 60);
        // A ping and an ack each second, an exchange of at most three messages each half second.
        assert!(quiet.messages_per_second < 5.0, "n = {nodes}: {quiet:?}");
        assert!(busy.messages_per_second < 8.5, "n = {nodes}: {busy:?}");
        assert!(busy.bytes_per_second < bytes, "n = {nodes}: {busy:?}");
    }
}

#[test]
fn changes_are_known_to_all_in_time() {
    for (nodes, loss, crash) in [(5, 0.0, 16), (5, 0.1, 30), (25, 0.0, 16), (25, 0.1, 30)] {
        let times = changes(nodes, loss, 10, 5);
        assert!(quantile(&times.join, 1.0) < 6 * SECOND, "n = {nodes}, loss {loss}: {:?}", times.join);
        assert!(quantile(&times.leave, 1.0) < 4 * SECOND, "n = {nodes}, loss {loss}: {:?}", times.leave);
        assert!(quantile(&times.suspected, 1.0) < 10 * SECOND, "n = {nodes}, loss {loss}: {:?}", times.suspected);
        assert!(quantile(&times.dead_first, 0.0) >= 5 * SECOND, "n = {nodes}, loss {loss}: {:?}", times.dead_first);
        assert!(quantile(&times.dead_all, 1.0) < crash * SECOND, "n = {nodes}, loss {loss}: {:?}", times.dead_all);
        assert_eq!(times.false_deaths, 0, "n = {nodes}, loss {loss}");
    }
}
