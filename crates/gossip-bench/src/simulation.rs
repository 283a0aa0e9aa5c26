//! The simulator's speed. No peer of its kind can be run beside it; the published figure of one is printed instead.

use std::time::Duration;

use gossip_sim::faults::options::{Length, Level};
use gossip_sim::run::Plan;
use gossip_sim::sweep::{Swept, Until, sweep};

/// TigerBeetle's simulator: 39 minutes in 3.3 seconds, says its article of 2023-07-11.
const PUBLISHED: f64 = 709.0;

/// Prints the table; each line takes `seconds` on one core.
pub(crate) fn print(seconds: f64) {
    println!("Simulation, one core; every step of every node is checked");
    let time = Until::Time(Duration::from_secs_f64(seconds));
    for (name, judged) in [("without the judge", false), ("and its history judged", true)] {
        let swept =
            sweep(Level::Sunny, 1, time, |seed| Plan { judged, ..Plan::new(seed, Level::Sunny, Length::Short) });
        println!(
            "  short seed, 3 nodes, {:.0} operations, {name:24} {:8.0} seeds/s",
            swept.operations as f64 / swept.seeds as f64,
            swept.seeds as f64 / swept.took.as_secs_f64()
        );
    }
    let storm = |seed| Plan { nodes: Some(5), ..Plan::new(seed, Level::Stormy, Length::Long(60)) };
    let swept = sweep(Level::Stormy, 1, time, storm);
    println!(
        "  5 nodes, a minute of storm and its end {:34.0} x real time, {:.1}x the {PUBLISHED:.0} that TigerBeetle published\n",
        speed(&swept),
        speed(&swept) / PUBLISHED
    );
}

fn speed(swept: &Swept) -> f64 {
    swept.simulated.as_secs_f64() / swept.took.as_secs_f64()
}
