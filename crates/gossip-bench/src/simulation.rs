//! The simulator's speed. No peer of its kind can be run beside it; the published figure of one is printed instead.

use std::time::Duration;

use gossip_sim::faults::options::{Length, Level};
use gossip_sim::run::Plan;
use gossip_sim::sweep::{Swept, Until, sweep};

/// TigerBeetle's simulator: 39 minutes in 3.3 seconds, says its article of 2023-07-11.
const PUBLISHED: f64 = 709.0;

/// The aim for a short seed with every check of the nodes' state, on one core: seeds a second.
const AIM: f64 = 2_000.0;

/// Prints the table; each line takes `seconds` on one core.
pub(crate) fn print(seconds: f64) {
    println!("Simulation, one core; every step of every node is checked");
    let time = Until::Time(Duration::from_secs_f64(seconds));
    for (name, judged) in [("without the judge", false), ("and its history judged", true)] {
        let swept =
            sweep(Level::Sunny, 1, time, |seed| Plan { judged, ..Plan::new(seed, Level::Sunny, Length::Short) });
        let rate = swept.seeds as f64 / swept.took.as_secs_f64();
        println!(
            "  short seed, 3 nodes, {:.0} operations, {name:24} {rate:8.0} seeds/s, {}",
            swept.operations as f64 / swept.seeds as f64,
            against(rate, AIM, "the aim")
        );
    }
    let storm = |seed| Plan { nodes: Some(5), ..Plan::new(seed, Level::Stormy, Length::Long(60)) };
    let swept = sweep(Level::Stormy, 1, time, storm);
    println!(
        "  5 nodes, a minute of storm and its end {:34.0} x real time, {}\n",
        speed(&swept),
        against(speed(&swept), PUBLISHED, "what TigerBeetle published")
    );
}

fn speed(swept: &Swept) -> f64 {
    swept.simulated.as_secs_f64() / swept.took.as_secs_f64()
}

/// How a figure stands to what it should be.
fn against(figure: f64, aim: f64, whose: &str) -> String {
    let word = if figure >= aim { "held" } else { "missed" };
    format!("{:.2}x {whose}, {aim:.0}: {word}", figure / aim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_says_whether_it_holds_its_aim() {
        assert_eq!(against(695.0, AIM, "the aim"), "0.35x the aim, 2000: missed");
        assert_eq!(against(AIM, AIM, "the aim"), "1.00x the aim, 2000: held");
        assert_eq!(against(0.999 * PUBLISHED, PUBLISHED, "theirs"), "1.00x theirs, 709: missed");
    }
}
