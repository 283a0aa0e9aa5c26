//! Commands that are planned ahead: the founding of runs, and the lives of side runs, which try everything that a run refuses.

use std::collections::VecDeque;

use gossip_core::coordination::limits::{MAX_KEY, MAX_METADATA};
use gossip_core::coordination::{Command, Op, OpId, Range, RunId, ShardId, ShardSpec, WorkerId};

use super::learn::{key, run_name, span};
use super::tenant_of;
use crate::faults::options::Options;
use crate::rng::Rng;

pub(super) fn command(rng: &mut Rng, run: &RunId, op: Op) -> Command {
    Command { tenant: tenant_of(run), run: run.clone(), op_id: OpId(rng.wide()), op }
}

fn spec(name: &str, range: Range) -> ShardSpec {
    let shard = ShardId::parse_root("shard", name).expect("a good name");
    ShardSpec { shard, range, metadata: Vec::new() }
}

/// The runs that this worker founds.
pub(super) fn founding(options: &Options, place: usize, rng: &mut Rng) -> VecDeque<Command> {
    let mut commands = VecDeque::new();
    for number in (0..options.runs).filter(|number| number % options.workers == place) {
        let run = run_name(number);
        let shards = roots(rng, &run, options.roots);
        commands.push_back(command(rng, &run, Op::CreateRun { metadata: vec![1, 2, 3] }));
        commands.extend(registration(rng, shards).into_iter().map(|op| command(rng, &run, op)));
    }
    commands
}

/// What makes these the shards of a run and starts it: all at once, or in two steps with the start by itself.
pub(super) fn registration(rng: &mut Rng, mut shards: Vec<ShardSpec>) -> Vec<Op> {
    if !rng.chance(300_000) {
        return vec![Op::RegisterShards { shards, start: true }];
    }
    let second = shards.split_off(shards.len().div_ceil(2));
    let lists = [shards, second].into_iter().filter(|shards| !shards.is_empty());
    lists.map(|shards| Op::RegisterShards { shards, start: false }).chain([Op::StartRun]).collect()
}

/// Roots that tile the keys from minus to plus infinity, now and then with gaps.
pub(super) fn roots(rng: &mut Rng, run: &RunId, most: u64) -> Vec<ShardSpec> {
    let count = rng.within(1, most);
    let cut = |place: u64| {
        if place == 0 || place == count { Box::default() } else { key((place * (1 << 24) / count) as u32) }
    };
    let all = (0..count).map(|place| spec(&format!("{run}-{place}"), Range::new(cut(place), cut(place + 1))));
    let kept: Vec<ShardSpec> = all.filter(|_| count < 3 || !rng.chance(100_000)).collect();
    if kept.is_empty() { vec![spec(&format!("{run}-0"), Range::new([], []))] } else { kept }
}

/// The founding of a side run with one shard, for one worker alone.
pub(super) fn lone_shard(rng: &mut Rng, worker: &WorkerId) -> (VecDeque<Command>, (RunId, ShardId)) {
    let run = RunId::parse("run", &format!("y{worker}")).expect("a good name");
    let only = spec(&format!("{run}-a"), Range::new([], []));
    let shard = only.shard.clone();
    let ops = [Op::CreateRun { metadata: Vec::new() }, Op::RegisterShards { shards: vec![only], start: true }];
    (ops.into_iter().map(|op| command(rng, &run, op)).collect(), (run, shard))
}

/// The life of a side run, as far as the worker takes it.
pub(super) fn side_run(rng: &mut Rng, worker: &WorkerId, number: u64) -> VecDeque<Command> {
    let run = RunId::parse("run", &format!("x{worker}-{number}")).expect("a good name");
    let half = key(1 << 23);
    let (left, right) = (Range::new([], half.clone()), Range::new(half.clone(), []));
    let name = |part: &str| format!("{run}-{part}");
    let acquire = |part: &str| Op::Acquire {
        shard: ShardId::parse("shard", &name(part)).expect("a good name"),
        worker: worker.clone(),
        lease_ms: 500,
    };
    let register = |shards, start| Op::RegisterShards { shards, start };
    let wide = Range::new(key(span(&right).0 - 9), []);
    let ops = vec![
        Op::CreateRun { metadata: Vec::new() },
        Op::CreateRun { metadata: Vec::new() },
        register(vec![spec(&name("a"), left)], false),
        register(vec![spec(&name("a"), right.clone())], false),
        register(vec![spec(&name("b"), wide)], false),
        acquire("a"),
        Op::DeleteRun,
        register(vec![spec(&name("b"), right.clone())], true),
        Op::StartRun,
        register(vec![spec(&name("c"), right)], false),
        acquire("zz"),
        acquire("a"),
        Op::CompleteRun,
        Op::Unpark { shard: ShardId::parse("shard", &name("b")).expect("a good name") },
        if rng.chance(500_000) {
            Op::FailRun { reason: "enough".into() }
        } else {
            Op::CancelRun { reason: "enough".into() }
        },
        acquire("b"),
        Op::DeleteRun,
        acquire("b"),
    ];
    let mut commands: VecDeque<Command> = ops.into_iter().map(|op| command(rng, &run, op)).collect();
    if rng.chance(300_000) {
        commands.truncate(rng.within(3, 15) as usize);
    }
    // Some are sent twice in a row.
    if let Some(again) = rng.pick(commands.make_contiguous()).cloned() {
        let at = commands.iter().position(|known| *known == again).unwrap_or(0);
        commands.insert(at + 1, again);
    }
    commands
}

/// A shard that nobody made.
pub(super) fn no_shard() -> ShardId {
    ShardId::parse("shard", "none").expect("a good name")
}

/// Roots of which one cannot be registered by its shape, or none at all.
pub(super) fn odd_roots(rng: &mut Rng) -> Vec<ShardSpec> {
    let good = spec("odd-0", Range::new(key(1), key(2)));
    let odd = match rng.below(5) {
        0 => return Vec::new(),
        1 => spec("odd-1", Range::new(key(9), key(9))),
        2 => spec("odd-1", Range::new(vec![b'k'; MAX_KEY + 1], [])),
        3 => ShardSpec { metadata: vec![0; MAX_METADATA + 1], ..spec("odd-1", Range::new(key(3), key(4))) },
        // The name of a split's child.
        _ => ShardSpec { shard: no_shard().child(0), ..spec("odd-1", Range::new(key(3), key(4))) },
    };
    vec![good, odd]
}
