//! A bounded sweep of each level finds nothing, and reaches what it should.

use gossip_sim::faults::Fault;
use gossip_sim::faults::options::Level;
use gossip_sim::reach::Reach;
use gossip_sim::run::Plan;
use gossip_sim::sweep::{Demands, Swept, Until, Verdict, mixed, sweep, verdict};

fn swept(level: Level, seeds: u64) -> Swept {
    let swept = sweep(level, 1, Until::Seeds(seeds), |seed| Plan::new(seed, level, mixed(seed)));
    let failures: Vec<String> = swept.failures.iter().map(|(plan, what)| format!("{plan}: {what}")).collect();
    assert!(failures.is_empty(), "{} of {seeds} seeds failed:\n{}", swept.failed, failures.join("\n"));
    assert_eq!(swept.seeds, seeds);
    assert!(swept.applies > 100 * seeds, "only {} applies were checked", swept.applies);
    assert_eq!(swept.coverage.foreign(level), Vec::<&str>::new(), "faults that level {level} lacks");
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

#[test]
fn a_sweep_fails_for_a_fault_that_its_level_lacks_and_for_one_that_it_never_reached() {
    let lacks = |level: Level| Fault::ALL.iter().copied().filter(move |&fault| !level.faults().has(fault));
    assert_eq!(lacks(Level::Sunny).count(), Fault::ALL.len());
    assert!(lacks(Level::Stormy).count() > 0 && lacks(Level::Radioactive).count() == 0);
    let none = Demands { coverage: false, judged: false };
    for level in [Level::Sunny, Level::Stormy] {
        let plain = || sweep(level, 1, Until::Seeds(1), |seed| Plan::new(seed, level, mixed(seed)));
        assert_eq!(verdict(&[plain()], none).0, Verdict::Pass);
        let (found, said) = verdict(&[plain()], Demands { coverage: true, ..none });
        assert!(found == Verdict::Violation && said[0].contains("never reached"), "{said:?}");
        for fault in lacks(level) {
            let (mut swept, mut reach) = (plain(), Reach::default());
            reach.fault(fault);
            swept.coverage.add(&reach);
            let (found, said) = verdict(&[plain(), swept], none);
            assert!(found == Verdict::Violation && said.concat().contains(fault.name()), "level {level}: {said:?}");
        }
    }
}
