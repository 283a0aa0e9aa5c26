//! How fast the search is: `cargo run --release -p gossip-check --example linearizability`. Each line is a history that is
//! generated first and searched then; only the search is measured.

use std::time::Instant;

use gossip_check::judge::Validity;
use gossip_check::model::{self, Register};
use gossip_check::wgl::generate::{self, Shape};
use gossip_check::wgl::{Limits, Outcome, check, check_shards};

fn main() {
    let shape = Shape { seed: 1, shards: 1, clients: 10, operations: 5_000, lost: 2 };
    for (what, shape) in [
        ("100 shards, 1,000 calls each, 10 clients each", Shape { shards: 100, operations: 100_000, ..shape }),
        ("one shard, 10 clients", shape),
        ("one shard, 10 clients, every answer comes", Shape { lost: 0, ..shape }),
    ] {
        let ops = generate::shards(&shape);
        let begin = Instant::now();
        let checked = check_shards(&ops, Limits::default()).expect("a history");
        let took = begin.elapsed();
        assert_eq!(checked.validity, Validity::True, "{:?}", checked.anomalies.first());
        println!("{what}: {} calls, {} operations, {took:?}", shape.operations, checked.ops);
        let begin = Instant::now();
        let count: usize = model::shards(&ops).expect("a history").iter().map(|h| h.entries.len()).sum();
        println!("  of which partitioning ({count} entries): {:?}", begin.elapsed());
    }
    for lost in [0, 2] {
        let entries = generate::register(&Shape { lost, ..shape });
        let begin = Instant::now();
        let outcome = check(&Register::default(), &entries, Limits::default());
        let verdict = match outcome {
            Outcome::Linearizable(_) => "linearizable",
            Outcome::Illegal(_) => "illegal",
            Outcome::Unknown(_) => "unknown",
        };
        println!(
            "register, 10 clients, {lost} in 1,000 lost: {} operations, {verdict}, {:?}",
            entries.len(),
            begin.elapsed()
        );
    }
}
