//! A bounded sweep of each level finds nothing, and reaches what it should.

use gossip_sim::faults::options::Level;
use gossip_sim::run::Plan;
use gossip_sim::sweep::{Swept, Until, mixed, sweep};

fn swept(level: Level, seeds: u64) -> Swept {
    let swept = sweep(level, 1, Until::Seeds(seeds), |seed| Plan::new(seed, level, mixed(seed)));
    let failures: Vec<String> = swept.failures.iter().map(|(plan, what)| format!("{plan}: {what}")).collect();
    assert!(failures.is_empty(), "{} of {seeds} seeds failed:\n{}", swept.failed, failures.join("\n"));
    assert_eq!(swept.seeds, seeds);
    assert!(swept.applies > 100 * seeds, "only {} applies were checked", swept.applies);
    assert_eq!(swept.unjudged(), Vec::<&str>::new(), "the judge had nothing to compare: {:?}", swept.judged);
    swept
}

#[test]
fn sunny_days_are_uneventful() {
    let swept = swept(Level::Sunny, 120);
    assert_eq!(swept.coverage.missing(Level::Sunny), Vec::<&str>::new());
}

#[test]
fn storms_are_weathered() {
    let swept = swept(Level::Stormy, 160);
    // Few seeds need not meet everything; `gossip-sim sweep` must.
    let missing = swept.coverage.missing(Level::Stormy);
    assert!(missing.len() <= 6, "never reached: {missing:?}");
}

#[test]
fn radiation_is_survived() {
    let swept = swept(Level::Radioactive, 160);
    let missing = swept.coverage.missing(Level::Radioactive);
    assert!(missing.len() <= 6, "never reached: {missing:?}");
}

#[test]
fn any_swarm_of_faults_is_survived() {
    swept(Level::Swarm, 100);
}
