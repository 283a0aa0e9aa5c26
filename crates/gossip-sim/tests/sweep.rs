//! A bounded sweep over every level: no seed fails, the judge decides, and the runs are wild enough.

use gossip_sim::faults::options::{Length, Level};
use gossip_sim::run::{Plan, run};
use gossip_sim::sweep::{Until, mixed, sweep, table};

#[test]
fn no_seed_fails_at_any_level() {
    for (level, seeds) in [(Level::Sunny, 200), (Level::Stormy, 300), (Level::Radioactive, 300), (Level::Swarm, 300)] {
        let swept = sweep(level, 1_000_000, Until::Seeds(seeds), |seed| Plan::new(seed, level, mixed(seed)));
        let failures: Vec<String> = swept.failures.iter().map(|(plan, what)| format!("{what}\n  {plan}")).collect();
        assert_eq!(swept.failed, 0, "{}", failures.join("\n"));
        assert_eq!(swept.undecided, 0, "level {level}");
        assert!(swept.operations > 50 * seeds, "level {level}: {} operations are too few", swept.operations);
        assert!(swept.applies > 2 * swept.operations, "level {level}: {} applies are too few", swept.applies);
    }
}

#[test]
fn what_is_out_of_reach_on_a_sunny_day_is_missed_in_a_storm() {
    let swept = sweep(Level::Sunny, 1, Until::Seeds(3), |seed| Plan::new(seed, Level::Sunny, Length::Short));
    assert!(swept.coverage.missing(Level::Stormy).contains(&"kill-random-node"));
    assert!(!swept.coverage.missing(Level::Sunny).contains(&"kill-random-node"));
    assert!(table(std::slice::from_ref(&swept)).contains("kill-random-node"));
}

#[test]
fn the_judge_gets_every_operation_and_every_fault() {
    let outcome = run(&Plan::new(8, Level::Stormy, Length::Normal));
    let invoked = outcome.history.iter().filter(|op| op.typ == gossip_check::history::OpType::Invoke).count();
    let faults = outcome.history.iter().filter(|op| op.process == gossip_check::history::Process::Nemesis).count();
    assert!(invoked > 50, "{invoked} operations");
    assert!(faults > 2, "{faults} faults");
}
