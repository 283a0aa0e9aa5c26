//! The gossip table: real nodes of `gossip-core` in virtual time, from 5 to 1000.
//!
//! The network and the measurements are those of the tests of `gossip-core`; there they are held to bounds.

use std::time::Duration;

use measure::{Changes, changes, cost, quantile, rounds, times};
use net::Plan;
use trouble::{Cut, Harm, one_way, stalling};

#[path = "../../gossip-core/tests/gossip/measure.rs"]
mod measure;
#[allow(dead_code, reason = "the tests of gossip-core use the rest")]
#[path = "../../gossip-core/tests/gossip/net.rs"]
pub(crate) mod net;
#[allow(dead_code, reason = "the tests of gossip-core use the rest")]
#[path = "../../gossip-core/tests/gossip/trouble.rs"]
mod trouble;

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
    /// Worlds with a node in trouble, of each kind.
    troubled: u64,
}

const SIZES: [Size; 4] = [
    Size { nodes: 5, facts: 4000, seconds: 600, changes: 50, troubled: 20 },
    Size { nodes: 25, facts: 4000, seconds: 300, changes: 50, troubled: 20 },
    Size { nodes: 100, facts: 2000, seconds: 60, changes: 25, troubled: 5 },
    Size { nodes: 1000, facts: 400, seconds: 20, changes: 5, troubled: 1 },
];

/// Prints the tables, up to clusters of `largest` nodes.
pub(crate) fn print(largest: u64) {
    let sizes: Vec<Size> = SIZES.into_iter().filter(|size| size.nodes <= largest).collect();
    println!("Gossip in virtual time, every message encoded and counted; default settings but for the rounds.\n");
    print_spread(&sizes);
    print_costs(&sizes);
    println!(
        "\nSeconds from a change, median / worst, until all know it (crash: until one suspects, one is sure, all are)"
    );
    println!(
        "      n  loss           join          leave        suspect     dead to one     dead to all   falsely dead"
    );
    for size in &sizes {
        for loss in [0.0, 0.1] {
            print_changes(size.nodes, loss, &changes(size.nodes, loss, size.changes, 1));
        }
    }
    print_troubles(&sizes);
    println!();
}

fn print_spread(sizes: &[Size]) {
    println!(
        "Until all know a fact (push-pull). Rounds: each node opens one exchange a round, all at once, nobody probes."
    );
    println!(
        "Seconds: default settings; the interval of exchanges is 0.5 s, in more than 32 nodes stretched by log2(n / 32) + 1."
    );
    println!("      n   mean    p50    p99    max rounds |    p50    p99    max seconds");
    for size in sizes {
        let taken = rounds(size.nodes, size.facts, 1);
        let mean = taken.iter().sum::<u32>() as f64 / taken.len() as f64;
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| quantile(&taken, share));
        let times = times(size.nodes, size.facts / 4, 1);
        let [s50, s99, smax] = [0.5, 0.99, 1.0].map(|share| quantile(&times, share).as_secs_f64());
        println!("{:7} {mean:6.2} {p50:6} {p99:6} {max:6}        | {s50:6.2} {s99:6.2} {smax:6.2}", size.nodes);
    }
}

fn print_costs(sizes: &[Size]) {
    println!("\nWhat one node sends: nothing happens | every node publishes a new value each second");
    println!("      n    messages/s     bytes/s |   messages/s     bytes/s");
    for size in sizes {
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
}

/// What a node in trouble costs the healthy ones.
fn print_troubles(sizes: &[Size]) {
    println!(
        "\nBeside one node in trouble, in one run: suspicions of healthy nodes, mean / most (each refuted), and deaths of healthy"
    );
    println!(
        "ones in all runs. Stall: 4 s of every 6 s for 2 min, judged by all. Deaf, mute: cut off one way for 3 min, judged by"
    );
    println!("the healthy ones, then a minute of healing.");
    let [stall, deaf, mute, heals] = ["stall", "deaf", "mute", "heals"];
    println!("      n  loss  runs {stall:>16}  dead {deaf:>16} {heals:>16}  dead {mute:>16} {heals:>16}  dead");
    for size in sizes {
        for loss in [0.0, 0.1] {
            let plans = || (0..size.troubled).map(|seed| Plan { seed, loss, ..Plan::default() });
            print!("{:7} {:4.0}% {:5}", size.nodes, loss * 100.0, size.troubled);
            let stalls: Vec<Harm> = plans().map(|plan| stalling(size.nodes, plan)).collect();
            let everybody = |harm: &Harm| harm.suspicions + harm.suspicions_by_sick;
            print!(" {}", mean_and_most(stalls.iter().map(everybody)));
            print!(" {:5}", stalls.iter().map(|harm| harm.deaths + harm.deaths_by_sick).sum::<usize>());
            for cut in [Cut::Deaf, Cut::Mute] {
                let cuts: Vec<_> = plans().map(|plan| one_way(size.nodes, plan, cut)).collect();
                print!(" {}", mean_and_most(cuts.iter().map(|cut| cut.during.suspicions)));
                print!(" {}", mean_and_most(cuts.iter().map(|cut| cut.healing.suspicions)));
                print!(" {:5}", cuts.iter().map(|cut| cut.during.deaths + cut.healing.deaths).sum::<usize>());
            }
            println!();
        }
    }
}

fn mean_and_most(counts: impl Iterator<Item = usize>) -> String {
    let counts: Vec<usize> = counts.collect();
    let mean = counts.iter().sum::<usize>() as f64 / counts.len().max(1) as f64;
    format!("{mean:8.1} / {:5}", counts.iter().max().unwrap_or(&0))
}

fn print_changes(nodes: u64, loss: f64, changes: &Changes) {
    print!("{nodes:7} {:4.0}%", loss * 100.0);
    for times in [&changes.join, &changes.leave, &changes.suspected, &changes.dead_first, &changes.dead_all] {
        let [median, worst] = [0.5, 1.0].map(|share| quantile::<Duration>(times, share).as_secs_f64());
        print!(" {median:6.2} / {worst:5.2}");
    }
    println!(" {:14}", changes.false_deaths);
}
