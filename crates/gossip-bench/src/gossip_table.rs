//! The gossip table: real nodes of `gossip-core` in virtual time, from 5 to 1000.
//!
//! The network and the measurements are those of the tests of `gossip-core`; there they are held to bounds.

use std::time::Duration;

use measure::{Changes, changes, cost, quantile, rounds};

#[path = "../../gossip-core/tests/gossip/measure.rs"]
mod measure;
#[allow(dead_code, reason = "the tests of gossip-core use the rest")]
#[path = "../../gossip-core/tests/gossip/net.rs"]
pub(crate) mod net;

/// How much is measured of a cluster of one size.
#[derive(Clone, Copy, Debug)]
struct Size {
    nodes: u64,
    /// Facts followed until all know them.
    facts: usize,
    /// Seconds over which messages are counted.
    seconds: u32,
    /// Joins, leaves and crashes.
    changes: u64,
}

const SIZES: [Size; 4] = [
    Size { nodes: 5, facts: 4000, seconds: 600, changes: 50 },
    Size { nodes: 25, facts: 4000, seconds: 300, changes: 50 },
    Size { nodes: 100, facts: 2000, seconds: 60, changes: 25 },
    Size { nodes: 1000, facts: 400, seconds: 20, changes: 5 },
];

/// Prints the table, up to clusters of `largest` nodes.
pub(crate) fn print(largest: u64) {
    let sizes = || SIZES.into_iter().filter(|size| size.nodes <= largest);
    println!("Gossip in virtual time, every message encoded and counted; default settings.\n");
    println!("Rounds until all know a fact, each node opening one exchange a round (push-pull)");
    println!("      n   mean    p50    p99    max");
    for size in sizes() {
        let taken = rounds(size.nodes, size.facts, 1);
        let mean = taken.iter().sum::<u32>() as f64 / taken.len() as f64;
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| quantile(&taken, share));
        println!("{:7} {mean:6.2} {p50:6} {p99:6} {max:6}", size.nodes);
    }
    println!("\nWhat one node sends: nothing happens | every node publishes a new value each second");
    println!("      n    messages/s     bytes/s |   messages/s     bytes/s");
    for size in sizes() {
        let [quiet, busy] = [false, true].map(|busy| cost(size.nodes, busy, size.seconds));
        println!(
            "{:7} {:13.1} {:11.0} | {:12.1} {:11.0}",
            size.nodes,
            quiet.messages_per_second,
            quiet.bytes_per_second,
            busy.messages_per_second,
            busy.bytes_per_second
        );
    }
    println!(
        "\nSeconds from a change, median / worst, until all know it (crash: until one suspects, one is sure, all are)"
    );
    println!(
        "      n  loss           join          leave        suspect     dead to one     dead to all   falsely dead"
    );
    for size in sizes() {
        for loss in [0.0, 0.1] {
            print_changes(size.nodes, loss, &changes(size.nodes, loss, size.changes, 1));
        }
    }
    println!();
}

fn print_changes(nodes: u64, loss: f64, changes: &Changes) {
    print!("{nodes:7} {:4.0}%", loss * 100.0);
    for times in [&changes.join, &changes.leave, &changes.suspected, &changes.dead_first, &changes.dead_all] {
        let [median, worst] = [0.5, 1.0].map(|share| quantile::<Duration>(times, share).as_secs_f64());
        print!(" {median:6.2} / {worst:5.2}");
    }
    println!(" {:14}", changes.false_deaths);
}
