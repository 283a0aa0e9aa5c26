//! What gossip costs and how long it takes, measured on real nodes in virtual time.
//!
//! `gossip-bench` prints its table with this same file.

use std::time::Duration;

use gossip_core::membership::{NodeId, Status};
use gossip_core::node::{Event, Input};
use gossip_core::time::Time;

use super::net::{Net, Plan};

const SECOND: Duration = Duration::from_secs(1);
const ROUND: Duration = Duration::from_millis(500);

/// Rounds until a new fact is known to all, `samples` times or a few more, sorted. In each round each node opens one exchange
/// with a random other, all at the same time: the model of the literature. So the interval of exchanges is not stretched with n and
/// nobody probes. Several facts are followed at once.
pub(crate) fn rounds(nodes: u64, samples: usize, seed: u64) -> Vec<u32> {
    let plan = Plan {
        seed,
        grid: ROUND,
        tune: |config| {
            config.sync_interval = ROUND;
            config.sync_stretch_above = usize::MAX;
            config.membership.probe_timeout = 1000 * SECOND;
            config.membership.probe_interval = 2000 * SECOND;
        },
        ..Plan::default()
    };
    let mut net = Net::joined(nodes, plan);
    let mut taken = Vec::new();
    while taken.len() < samples {
        // Shortly after a round.
        let into = net.now.as_nanos() % ROUND.as_nanos() as u64;
        net.run(ROUND - Duration::from_nanos(into) + ROUND / 2);
        taken.extend(spread(&mut net, nodes, ROUND));
    }
    taken.sort_unstable();
    taken
}

/// The same in time, to 50 ms, at the default settings: nodes act when they are due, probe, and stretch the interval of their
/// exchanges in a large cluster.
pub(crate) fn times(nodes: u64, samples: usize, seed: u64) -> Vec<Duration> {
    let mut net = Net::joined(nodes, Plan { seed, ..Plan::default() });
    let step = Duration::from_millis(50);
    let mut taken = Vec::new();
    while taken.len() < samples {
        net.run(Duration::from_millis(730));
        taken.extend(spread(&mut net, nodes, step).into_iter().map(|steps| step * steps));
    }
    taken.sort_unstable();
    taken
}

/// New facts of up to 50 nodes: after how many steps of this length each is known to all.
fn spread(net: &mut Net, nodes: u64, step: Duration) -> Vec<u32> {
    let all: Vec<NodeId> = (1..=nodes).collect();
    let mut spreading: Vec<NodeId> = all.iter().copied().take(50).collect();
    let value = format!("at {}", net.now.as_nanos());
    spreading.iter().for_each(|owner| net.publish(*owner, "applied", &value));
    let mut taken = Vec::new();
    for steps in 1_u32.. {
        net.run(step);
        let before = spreading.len();
        spreading.retain(|owner| net.informed(&all, *owner, "applied", &value) < all.len());
        taken.extend(std::iter::repeat_n(steps, before - spreading.len()));
        if spreading.is_empty() {
            break;
        }
        assert!(step * steps < 120 * SECOND, "a fact is stuck");
    }
    taken
}

/// What one node sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) messages_per_second: f64,
    pub(crate) bytes_per_second: f64,
}

/// What one node sends when nothing happens, or when every node publishes a new value each second.
pub(crate) fn cost(nodes: u64, busy: bool, seconds: u32) -> Cost {
    let mut net = Net::joined(nodes, Plan::default());
    // The news of the start itself, n claims for each node, goes on for a while after all know it.
    while net.has_news() {
        net.run(SECOND);
    }
    net.forget_counts();
    for value in 0..seconds {
        for id in (1..=nodes).filter(|_| busy) {
            net.publish(id, "applied", &value.to_string());
        }
        net.run(SECOND);
    }
    let node_seconds = nodes as f64 * f64::from(seconds);
    Cost { messages_per_second: net.messages as f64 / node_seconds, bytes_per_second: net.bytes as f64 / node_seconds }
}

/// Times of changes, each sorted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    /// From the start of a node until all know it and it knows all.
    pub(crate) join: Vec<Duration>,
    /// From the farewell until all know of it.
    pub(crate) leave: Vec<Duration>,
    /// From a crash until the first suspects.
    pub(crate) suspected: Vec<Duration>,
    /// From a crash until the first holds the node dead.
    pub(crate) dead_first: Vec<Duration>,
    /// From a crash until all do.
    pub(crate) dead_all: Vec<Duration>,
    /// Healthy nodes that were held dead meanwhile.
    pub(crate) false_deaths: usize,
}

/// A node joins, leaves, joins again, crashes and joins again, `repeats` times.
pub(crate) fn changes(nodes: u64, loss: f64, repeats: u64, seed: u64) -> Changes {
    let mut net = Net::joined(nodes, Plan { seed, loss, ..Plan::default() });
    let mut changes = Changes::default();
    let all: Vec<NodeId> = (1..=nodes).collect();
    for repeat in 0..repeats {
        // Never the one through which the others join.
        let who = 2 + repeat % (nodes - 1);
        let others: Vec<NodeId> = all.iter().copied().filter(|id| *id != who).collect();
        net.forget_counts();
        net.input(who, Input::Leave);
        changes
            .leave
            .push(await_all(&mut net, |net| others.iter().all(|id| net.status(*id, who) == Some(Status::Left))));
        net.crash(who);
        net.run(10 * SECOND);
        net.start(who, 10 + 2 * repeat, &[1]);
        changes.join.push(await_all(&mut net, |net| net.agreed(&all)));
        net.run(10 * SECOND);

        net.crash(who);
        let begin = net.now;
        let dead_all = await_all(&mut net, |net| others.iter().all(|id| net.status(*id, who) == Some(Status::Dead)));
        changes.dead_all.push(dead_all);
        changes.suspected.extend(first(&net, begin, &Event::MemberSuspect(who)));
        changes.dead_first.extend(first(&net, begin, &Event::MemberDead(who)));
        changes.false_deaths += net.deaths().iter().filter(|(_, _, node)| *node != who).count();
        net.start(who, 11 + 2 * repeat, &[1]);
        await_all(&mut net, |net| net.agreed(&all));
        net.run(10 * SECOND);
    }
    for times in
        [&mut changes.join, &mut changes.leave, &mut changes.suspected, &mut changes.dead_first, &mut changes.dead_all]
    {
        times.sort_unstable();
    }
    changes
}

/// How long until `done`, to 50 ms.
fn await_all(net: &mut Net, done: impl Fn(&Net) -> bool) -> Duration {
    let begin = net.now;
    while !done(net) {
        net.run(Duration::from_millis(50));
        assert!(net.now - begin < 600 * SECOND, "a change is stuck");
    }
    net.now - begin
}

fn first(net: &Net, since: Time, event: &Event) -> Option<Duration> {
    let seen = net.events.iter().find(|(at, _, seen)| *at >= since && seen == event);
    seen.map(|(at, _, _)| *at - since)
}

/// The value below which a share of the sorted values lies.
pub(crate) fn quantile<T: Copy>(sorted: &[T], share: f64) -> T {
    sorted[((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len()) - 1]
}
