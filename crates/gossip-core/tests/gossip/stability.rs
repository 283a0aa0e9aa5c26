//! Slow, stalled and half cut-off nodes: nobody healthy is declared dead on their account.

use std::time::Duration;

use gossip_core::membership::Status;
use gossip_core::node::Event;
use gossip_core::time::Time;

use crate::net::{Net, Plan};
use crate::trouble::{Cut, Harm, OneWay, harm, one_way, slow, stalling};

const SECOND: Duration = Duration::from_secs(1);

/// What a test asserts of one world; the tests of the planted bugs assert the same and must fail.
pub(crate) type Verdict = Result<(), String>;

fn hold(holds: bool, what: &str, harm: impl std::fmt::Debug) -> Verdict {
    if holds { Ok(()) } else { Err(format!("{what}: {harm:?}")) }
}

/// Beside a node that stalls 4 s of every 6 s no healthy one dies, in nobody's eyes, the staller's included; where no message is
/// lost nobody is even suspected.
pub(crate) fn a_staller_harms_nobody(nodes: u64, plan: Plan) -> Verdict {
    let lossless = plan.loss == 0.0;
    let harm = stalling(nodes, plan);
    hold(harm.deaths + harm.deaths_by_sick == 0, "deaths", harm)?;
    hold(!lossless || harm.suspicions + harm.suspicions_by_sick == 0, "suspicions without loss", harm)
}

#[test]
fn a_node_that_stalls_four_seconds_of_six_harms_no_healthy_one() {
    for nodes in [3, 5, 25] {
        for seed in 0..20 {
            for loss in [0.0, 0.1] {
                let verdict = a_staller_harms_nobody(nodes, Plan { seed, loss, ..Plan::default() });
                assert_eq!(verdict, Ok(()), "n = {nodes}, seed {seed}, loss {loss}");
            }
        }
    }
}

/// Also when several stall at once, each for its own time.
#[test]
fn several_stalling_nodes_harm_no_healthy_one() {
    for seed in 0..20 {
        let mut net = Net::joined(25, Plan { seed, ..Plan::default() });
        for round in 0..20 {
            for id in 1..=6 {
                net.stall(id, Duration::from_millis(2500 + 500 * ((round + id) % 4)));
            }
            net.run(6 * SECOND);
        }
        assert_eq!(harm(&net, |node| node > 6), Harm::default(), "seed {seed}");
    }
}

/// A node to and from which every message takes 0.6 s, longer than a probe waits, accuses somebody once and then gives the others
/// more time; among three, where few tell it that it is slow, some times in two minutes. Nobody dies of it.
pub(crate) fn a_slow_node_harms_nobody(nodes: u64, plan: Plan) -> Verdict {
    let harm = slow(nodes, plan, Duration::from_millis(600));
    hold(harm.deaths + harm.deaths_by_sick == 0, "deaths", harm)?;
    let most = if nodes > 3 { 2 } else { 6 };
    hold(harm.suspicions_by_sick <= most, "suspicions", harm)
}

#[test]
fn a_slow_node_gives_the_others_more_time() {
    for nodes in [3, 5, 25] {
        let verdicts = (0..20).map(|seed| a_slow_node_harms_nobody(nodes, Plan { seed, ..Plan::default() }));
        let bad: Vec<_> = verdicts.enumerate().filter(|(_, verdict)| verdict.is_err()).collect();
        assert!(bad.is_empty(), "n = {nodes}, by seed: {bad:?}");
    }
}

/// Beside a node that is cut off in one direction no healthy one dies in a healthy one's eyes, neither meanwhile nor when it
/// heals, and all agree again. A deaf node is believed until it is known for dead itself: until then each healthy one suspects
/// others twice at most, on average. A mute one comes back with everybody's death in mind: each may suspect each other once.
pub(crate) fn one_way_harms_nobody(nodes: u64, plan: Plan, cut: Cut) -> Verdict {
    let lossless = plan.loss == 0.0;
    let OneWay { during, healing, net } = one_way(nodes, plan, cut);
    hold(during.deaths == 0, "deaths", during)?;
    hold(healing.deaths == 0, "deaths when it healed", healing)?;
    if !lossless {
        return Ok(());
    }
    let others = nodes as usize - 1;
    let most = if cut == Cut::Deaf { 2 * others } else { 0 };
    hold(during.suspicions <= most, "suspicions", during)?;
    hold(healing.suspicions <= others * (others - 1), "suspicions when it healed", healing)?;
    let all: Vec<u64> = (1..=nodes).collect();
    hold(net.agreed(&all), "not healed", healing)
}

#[test]
fn a_node_cut_off_in_one_direction_harms_no_other() {
    for nodes in [3, 5, 25] {
        for cut in [Cut::Deaf, Cut::Mute] {
            for seed in 0..5 {
                for loss in [0.0, 0.05] {
                    let verdict = one_way_harms_nobody(nodes, Plan { seed, loss, ..Plan::default() }, cut);
                    assert_eq!(verdict, Ok(()), "n = {nodes}, {cut:?}, seed {seed}, loss {loss}");
                }
            }
        }
    }
}

/// Two minutes beside a deaf node, from when it is known for dead: how often the others suspect each other. It accuses one after
/// the other, slowly, as its local health is at its worst.
pub(crate) fn suspicions_beside_a_deaf_node(plan: Plan) -> usize {
    let mut net = Net::joined(25, plan);
    net.cut.extend((1..=25).filter(|id| *id != 2).map(|id| (id, 2)));
    while !(1..=25).all(|id| id == 2 || net.status(id, 2) == Some(Status::Dead)) {
        net.run(SECOND);
        assert!(net.now < Time::from_millis(300_000), "a deaf node is noticed");
    }
    net.forget_counts();
    net.run(120 * SECOND);
    let of_healthy = |by: u64, event: &Event| by != 2 && matches!(event, Event::MemberSuspect(node) if *node != 2);
    net.events.iter().filter(|(_, by, event)| of_healthy(*by, event)).count()
}

/// A deaf node accuses everybody. Once it is known for dead nobody listens: the others do not even suspect each other.
#[test]
fn once_it_is_known_for_dead_its_accusations_are_not_heard() {
    for seed in 0..20 {
        assert_eq!(suspicions_beside_a_deaf_node(Plan { seed, ..Plan::default() }), 0, "seed {seed}");
    }
}

/// Two minutes of partition, 1 and 2 against 3 to 5. Deaths of nodes that the observer could hear all the time.
pub(crate) fn deaths_within_sides(plan: Plan) -> Vec<(Time, u64, u64)> {
    let mut net = Net::joined(5, plan);
    for (a, b) in [1, 2].into_iter().flat_map(|a| [3, 4, 5].map(|b| (a, b))) {
        net.cut.extend([(a, b), (b, a)]);
    }
    net.run(120 * SECOND);
    assert!(!net.deaths().is_empty(), "a partition of two minutes is noticed");
    net.cut.clear();
    net.run(60 * SECOND);
    assert!(net.agreed(&[1, 2, 3, 4, 5]));
    net.deaths().into_iter().filter(|(_, by, node)| (*by <= 2) == (*node <= 2)).collect()
}

/// Each side comes back with the other's death in mind; that buries nobody a second time.
#[test]
fn the_end_of_a_partition_makes_no_healthy_one_dead() {
    for seed in 0..20 {
        let deaths = deaths_within_sides(Plan { seed, ..Plan::default() });
        assert!(deaths.is_empty(), "seed {seed}: {deaths:?}");
    }
}

/// A link that is gone between two nodes is no reason to bury either, nor to suspect it: the others vouch for both.
#[test]
fn a_lost_link_is_bridged_by_the_others() {
    for seed in 0..20 {
        let mut net = Net::joined(5, Plan { seed, ..Plan::default() });
        net.cut.extend([(1, 2), (2, 1)]);
        net.run(300 * SECOND);
        assert_eq!(harm(&net, |_| true), Harm::default(), "seed {seed}");
    }
}

/// Loss alone kills nobody.
#[test]
fn a_tenth_lost_makes_no_healthy_node_dead() {
    for seed in 0..5 {
        let mut net = Net::joined(25, Plan { seed, loss: 0.1, ..Plan::default() });
        net.run(600 * SECOND);
        assert!(net.deaths().is_empty(), "seed {seed}: {:?}", net.deaths());
    }
}
