//! Random histories: the state machine and the naive model give the same answers and end in the same state, across snapshots.

use std::collections::BTreeMap;

use gossip_core::consensus::StateMachine;
use gossip_core::coordination::limits::Quotas;
use gossip_core::coordination::*;
use gossip_core::mutants::Planted;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::kit::*;
use crate::model::{Model, ModelRun};

/// One step, said so that most of what it asks for makes sense in the state it meets.
#[derive(Clone, Debug)]
struct Step {
    tenant: &'static str,
    run: &'static str,
    op: usize,
    /// Picks among the shards there are.
    shard: prop::sample::Index,
    worker: &'static str,
    /// Whose name the lease is used under: mostly its holder's.
    pretend: bool,
    /// What is added to the current fence.
    fence: i64,
    keys: Vec<String>,
    lease_ms: u64,
    pass: u64,
    /// An op id that was used before, with its own command again or with this one.
    again: Option<(prop::sample::Index, bool)>,
    flag: bool,
    /// Helps the history along: a run that is missing, Open or ended mostly gets what brings it to life.
    help: bool,
    restore: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let tenant = prop_oneof![9 => Just("t"), 1 => Just("u")];
    let run = prop_oneof![24 => Just("r"), 2 => Just("q"), 1 => Just("p")];
    let fence = prop_oneof![20 => Just(0), 1 => Just(-1), 1 => Just(1)];
    let pass = prop_oneof![20 => 0..10u64, 4 => 10..150u64, 1 => 150..1_000u64];
    let again = prop::option::weighted(0.12, (any::<prop::sample::Index>(), prop::bool::weighted(0.8)));
    let who =
        (any::<prop::sample::Index>(), prop::sample::select(vec!["w1", "w2", "w3"]), prop::bool::weighted(0.08), fence);
    let what = (0..WEIGHTED.len(), prop::collection::vec("[a-f]{1,2}", 1..4), 100..400u64, any::<bool>());
    let course = (prop::bool::weighted(0.7), prop::bool::weighted(0.05));
    (tenant, run, who, what, pass, again, course).prop_map(
        |(tenant, run, (shard, worker, pretend, fence), (op, keys, lease_ms, flag), pass, again, (help, restore))| {
            Step {
                tenant,
                run,
                op: WEIGHTED[op],
                shard,
                worker,
                pretend,
                fence,
                keys,
                lease_ms,
                pass,
                again,
                flag,
                help,
                restore,
            }
        },
    )
}

const CREATE: usize = 0;
const REGISTER: usize = 1;
const START: usize = 2;
const COMPLETE_RUN: usize = 3;
const FAIL: usize = 4;
const CANCEL: usize = 5;
const DELETE: usize = 6;
const ACQUIRE: usize = 7;
const CLAIM: usize = 8;
const RENEW: usize = 9;
const CHECKPOINT: usize = 10;
const RELEASE: usize = 11;
const COMPLETE: usize = 12;
const PARK: usize = 13;
const UNPARK: usize = 14;
const REPLACE: usize = 15;
const RESIDUAL: usize = 16;

#[rustfmt::skip]
const WEIGHTED: [usize; 112] = [
    CREATE, REGISTER, REGISTER, START, COMPLETE_RUN, COMPLETE_RUN, FAIL, DELETE,
    ACQUIRE, ACQUIRE, ACQUIRE, ACQUIRE, ACQUIRE, ACQUIRE, CLAIM, CLAIM, CLAIM, CLAIM, CLAIM, CLAIM,
    RENEW, RENEW, RENEW, RENEW, CHECKPOINT, CHECKPOINT, CHECKPOINT, CHECKPOINT, CHECKPOINT, CHECKPOINT, CHECKPOINT, CHECKPOINT,
    RELEASE, RELEASE, RELEASE, RELEASE, COMPLETE, COMPLETE, COMPLETE, PARK, PARK, PARK, UNPARK, UNPARK, UNPARK, UNPARK,
    REPLACE, REPLACE, REPLACE, REPLACE, REPLACE, REPLACE, REPLACE,
    RESIDUAL, RESIDUAL, RESIDUAL, RESIDUAL, RESIDUAL, RESIDUAL, RESIDUAL,
    ACQUIRE, ACQUIRE, ACQUIRE, ACQUIRE, ACQUIRE, ACQUIRE, CLAIM, CLAIM, CLAIM, CLAIM, CLAIM, CLAIM,
    RENEW, RENEW, RENEW, RENEW, CHECKPOINT, CHECKPOINT, CHECKPOINT, CHECKPOINT, CHECKPOINT, CHECKPOINT, CHECKPOINT, CHECKPOINT,
    RELEASE, RELEASE, RELEASE, RELEASE, COMPLETE, COMPLETE, COMPLETE, PARK, PARK, PARK, UNPARK, UNPARK, UNPARK, UNPARK,
    REPLACE, REPLACE, REPLACE, REPLACE, REPLACE, REPLACE, REPLACE,
    RESIDUAL, RESIDUAL, RESIDUAL, RESIDUAL, RESIDUAL, RESIDUAL, CANCEL,
];

fn kind_of(step: &Step, run: Option<&ModelRun>) -> usize {
    match run.map(|run| run.summary.status) {
        _ if !step.help => step.op,
        None => CREATE,
        Some(RunStatus::Open) if run.is_some_and(|run| run.shards.is_empty()) || step.pretend => REGISTER,
        Some(RunStatus::Open) => START,
        Some(RunStatus::Active) if run.is_some_and(|run| run.shards.iter().all(|s| s.status.is_terminal())) => {
            COMPLETE_RUN
        }
        Some(RunStatus::Active) if step.op >= RENEW && step.op != UNPARK && !run.is_some_and(has_lease) => CLAIM,
        Some(RunStatus::Active) => step.op,
        Some(_) => DELETE,
    }
}

fn has_lease(run: &ModelRun) -> bool {
    run.shards.iter().any(|shard| shard.lease.is_some())
}

/// Keys that mostly lie inside the shard and beyond its cursor.
fn keys_in(step: &Step, chosen: Option<&ShardView>) -> Vec<Key> {
    let base = match chosen {
        Some(shard) if step.help => shard.cursor.as_ref().map_or(&shard.range.start, |cursor| &cursor.key),
        _ => &Key::default(),
    };
    step.keys.iter().map(|suffix| [base, suffix.as_bytes()].concat().into()).collect()
}

/// Mostly a shard that can do what is asked for.
fn choose<'a>(step: &Step, kind: usize, shards: &'a [ShardView]) -> Option<&'a ShardView> {
    let apt = |shard: &&ShardView| match kind {
        UNPARK => shard.status == ShardStatus::Parked,
        ACQUIRE => shard.status == ShardStatus::Active,
        _ => shard.lease.is_some(),
    };
    let some: Vec<&ShardView> = shards.iter().filter(apt).collect();
    if step.help && !some.is_empty() {
        return Some(some[step.shard.index(some.len())]);
    }
    (!shards.is_empty()).then(|| step.shard.get(shards))
}

fn op_of(step: &Step, run: Option<&ModelRun>) -> Op {
    let shards = run.map_or(&[][..], |run| &run.shards[..]);
    let kind = kind_of(step, run);
    let chosen = choose(step, kind, shards);
    let shard = chosen.map_or_else(|| shard_id("none"), |s| s.shard.clone());
    let holder = chosen.and_then(|s| s.lease.as_ref()).map(|lease| lease.worker.clone());
    let worker = worker_id(step.worker);
    let lease = LeaseRef {
        shard: shard.clone(),
        worker: holder.filter(|_| !step.pretend).unwrap_or_else(|| worker.clone()),
        fence: Fence(chosen.map_or(0, |s| s.fence.0).saturating_add_signed(step.fence)),
    };
    let mut keys = keys_in(step, chosen);
    let first = keys[0].clone();
    let cursor = Cursor { key: first.clone(), token: step.keys[0].clone().into_bytes() };
    let reason = step.keys[0].clone();
    let lease_ms = step.lease_ms;
    match kind {
        CREATE => Op::CreateRun { metadata: first.into() },
        REGISTER => register(specs_of(step), step.flag),
        START => Op::StartRun,
        COMPLETE_RUN => Op::CompleteRun,
        FAIL => Op::FailRun { reason },
        CANCEL => Op::CancelRun { reason },
        DELETE => Op::DeleteRun,
        ACQUIRE => Op::Acquire { shard, worker, lease_ms },
        CLAIM => Op::Claim { worker, lease_ms },
        RENEW => Op::Renew { lease, lease_ms },
        CHECKPOINT => Op::Checkpoint { lease, cursor },
        RELEASE => Op::Release { lease },
        COMPLETE => Op::Complete { lease, cursor: step.flag.then_some(cursor) },
        PARK => Op::Park { lease, reason },
        UNPARK => Op::Unpark { shard },
        REPLACE => {
            if step.flag {
                keys.sort();
            }
            Op::SplitReplace { lease, cuts: keys }
        }
        RESIDUAL => Op::SplitResidual { lease, at: first },
        other => unreachable!("{other}"),
    }
}

/// Ranges between the keys, sometimes open at the ends, sometimes overlapping what is there.
fn specs_of(step: &Step) -> Vec<ShardSpec> {
    let mut bounds = step.keys.clone();
    bounds.sort();
    bounds.dedup();
    if step.lease_ms.is_multiple_of(2) {
        bounds.insert(0, String::new());
    }
    let ends = bounds.iter().skip(1).cloned().chain([String::new()]);
    let all =
        bounds.iter().zip(ends).map(|(start, end)| spec(&format!("s{}", &start[..start.len().min(1)]), start, &end));
    all.take(if step.pretend { 1 } else { 9 }).collect()
}

fn without_other(outcome: Result<Answer, Rejection>) -> Result<Answer, Rejection> {
    outcome.map_err(|rejection| match rejection {
        Rejection::ShardOverlap { shard, .. } => Rejection::ShardOverlap { shard, other: String::new() },
        other => other,
    })
}

fn views_agree(state: &State, model: &Model) {
    for run in &model.runs {
        let ask = |query| state.read(&TenantQuery { tenant: run.tenant.clone(), query });
        let name = run.summary.run.clone();
        assert_eq!(ask(Query::Run { run: name.clone() }), Ok(View::Run(run.summary())));
        let mut shards = run.shards.clone();
        shards.sort_by(|a, b| a.shard.cmp(&b.shard));
        let all = Query::Shards { run: name, after: None, status: None, limit: limits::MAX_PAGE };
        assert_eq!(ask(all), Ok(View::Shards { shards, more: false }));
    }
    let shards: usize = model.runs.iter().map(|run| run.shards.len()).sum();
    assert_eq!((state.totals().runs, state.totals().shards), (model.runs.len() as u64, shards as u64));
}

/// How often each operation had each answer.
type Met = BTreeMap<(&'static str, &'static str), u64>;

fn run_history(steps: &[Step]) -> Met {
    let mut met = Met::new();
    let quotas = Quotas { shards_per_tenant: 16, runs_per_tenant: 2 };
    let mut state = State::new(quotas.clone(), Planted::NONE);
    let mut model = Model::new(quotas);
    let mut used: Vec<Command> = Vec::new();
    let mut now = 0;
    for (index, step) in (1..).zip(steps) {
        now += step.pass;
        let (tenant, run) = (tenant_id(step.tenant), run_id(step.run));
        let meets = model.runs.iter().find(|r| r.tenant == tenant && r.summary.run == run);
        let op = op_of(step, meets);
        let mut command = Command { tenant, run, op_id: OpId(index.into()), op };
        if let Some((which, same)) = &step.again
            && !used.is_empty()
        {
            let before = which.get(&used).clone();
            command = if *same { before } else { Command { op_id: before.op_id, ..command } };
        }
        let answer = without_other(state.apply(index, Stamp(now), &command));
        assert_eq!(answer, model.apply(index, now, &command), "step {index}: {command:?}");
        state.check_invariants().unwrap_or_else(|violation| panic!("step {index}: {command:?}: {violation}"));
        *met.entry((command.op.name(), answer.as_ref().map_or_else(Rejection::reason, |_| "OK"))).or_default() += 1;
        used.push(command);
        if step.restore {
            let bytes = state.snapshot();
            let mut restored = State::new(Quotas::default(), Planted::NONE);
            restored.restore(&bytes).unwrap();
            assert_eq!(restored.snapshot(), bytes);
            state = restored;
        }
    }
    views_agree(&state, &model);
    met
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_histories_agree_with_the_model(steps in prop::collection::vec(step(), 1..250)) {
        run_history(&steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, failure_persistence: None, ..ProptestConfig::default() })]

    /// Long enough for the op log to forget.
    #[test]
    fn long_histories_agree_with_the_model(steps in prop::collection::vec(step(), 2_000..2_500)) {
        run_history(&steps);
    }
}

/// Agreement says nothing about what never came up: the same generator, from one fixed seed, meets every answer there is.
#[test]
fn the_histories_succeed_with_every_operation_and_meet_every_refusal() {
    let mut runner = TestRunner::deterministic();
    let histories = prop::collection::vec(step(), 200..250);
    let mut met = Met::new();
    for _ in 0..200 {
        let history = histories.new_tree(&mut runner).unwrap().current();
        run_history(&history).into_iter().for_each(|(what, times)| *met.entry(what).or_default() += times);
    }
    let times = |op: &str, reason: &str| met.get(&(op, reason)).copied().unwrap_or_default();
    let leased = ["renew", "checkpoint", "release", "complete", "park", "split-replace", "split-residual"];
    for op in leased {
        for reason in ["SHARD_TERMINAL", "FENCE_MISMATCH", "LEASE_EXPIRED", "NOT_OWNER"] {
            assert!(times(op, reason) > 0, "{op} was never refused with {reason}: {met:#?}");
        }
    }
    let others = ["create-run", "register", "start-run", "complete-run", "fail-run", "cancel-run", "delete-run"];
    for op in leased.into_iter().chain(others).chain(["acquire", "claim", "unpark"]) {
        assert!(times(op, "OK") >= 20, "{op} hardly ever succeeded: {met:#?}");
    }
    let reasons = [
        "LIMIT_EXCEEDED",
        "OP_ID_CONFLICT",
        "RUN_NOT_FOUND",
        "RUN_EXISTS",
        "RUN_NOT_OPEN",
        "RUN_NOT_STARTED",
        "RUN_ENDED",
        "RUN_UNFINISHED",
        "RUN_NOT_ENDED",
        "SHARD_NOT_FOUND",
        "SHARD_EXISTS",
        "SHARD_OVERLAP",
        "SHARD_TERMINAL",
        "SHARD_PARKED",
        "SHARD_NOT_PARKED",
        "LEASE_HELD",
        "NO_SHARD_FREE",
        "FENCE_MISMATCH",
        "LEASE_EXPIRED",
        "NOT_OWNER",
        "CURSOR_REGRESSION",
        "CURSOR_OUT_OF_RANGE",
        "SPLIT_POINT_INVALID",
    ];
    for reason in reasons {
        assert!(met.keys().any(|(_, r)| *r == reason), "{reason} never came up: {met:#?}");
    }
}
