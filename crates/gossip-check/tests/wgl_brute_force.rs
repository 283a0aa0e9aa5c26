//! The search against brute force on small histories: every order of every choice of open operations is tried, and both
//! must come to the same verdict. Histories are drawn so that about half have a linearization.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use gossip_check::model::{
    Counter, CounterInput, CounterOutput, Known, LostFences, Record, Register, RegisterInput, RegisterOutput, Set,
    SetInput, SetOutput, Shard, ShardInput, ShardOutput, ShardState, Write,
};
use gossip_check::wgl::{Entry, Limits, Model, Outcome, check};
use proptest::prelude::*;

type Entries<M> = Vec<Entry<<M as Model>::Input, <M as Model>::Output>>;

/// Places one operation after the other, with nothing remembered and nothing clever.
fn brute_force<M: Model>(
    model: &M,
    entries: &[Entry<M::Input, M::Output>],
    placed: &mut Vec<usize>,
    state: &M::State,
) -> bool {
    let left = |i: &usize| !placed.contains(i);
    let first_answer = (0..entries.len()).filter(left).filter_map(|i| entries[i].answered).min();
    let Some(first_answer) = first_answer else { return true };
    for i in (0..entries.len()).filter(left).filter(|i| entries[*i].invoked <= first_answer).collect::<Vec<_>>() {
        let Some(next) = model.step(state, &entries[i].input, entries[i].output.as_ref()) else { continue };
        placed.push(i);
        if brute_force(model, entries, placed, &next) {
            return true;
        }
        placed.pop();
    }
    false
}

/// Both verdicts, which must agree; a linearization that was found must be one; a part that fails must fail.
fn agree<M: Model>(model: &M, entries: &Entries<M>) -> Result<bool, TestCaseError> {
    let expected = brute_force(model, entries, &mut Vec::new(), &model.init());
    match check(model, entries, Limits::default()) {
        Outcome::Linearizable(order) => {
            prop_assert!(expected, "found a linearization where there is none");
            prop_assert!(is_linearization(model, entries, &order));
            Ok(true)
        }
        Outcome::Illegal(failure) => {
            prop_assert!(!expected, "found none where there is one");
            prop_assert!(failure.part.contains(&failure.stuck));
            prop_assert!(!failure.states.is_empty());
            let answered = entries[failure.stuck].answered;
            let mut until: Entries<M> = entries.clone();
            until.retain(|e| answered.is_some_and(|at| e.invoked <= at));
            prop_assert!(!brute_force(model, &until, &mut Vec::new(), &model.init()), "stuck too early");
            for entry in until.iter_mut().filter(|e| e.answered >= answered) {
                entry.answered = None;
            }
            prop_assert!(brute_force(model, &until, &mut Vec::new(), &model.init()), "stuck too late");
            prop_assert!(!part_is_possible(model, entries, &failure.part, failure.stuck), "the part does not fail");
            Ok(false)
        }
        Outcome::Unknown(what) => Err(TestCaseError::fail(format!("gave up: {what:?}"))),
    }
}

/// Whether there is an order if only the part, and what was answered before the stuck operation was invoked, must have happened;
/// all else may have.
fn part_is_possible<M: Model>(model: &M, entries: &Entries<M>, part: &[usize], stuck: usize) -> bool {
    let (from, until) = (entries[stuck].invoked, entries[stuck].answered.unwrap());
    let must = |i: usize, at: u64| at < from || (at <= until && part.contains(&i));
    let chosen = entries.iter().enumerate().filter(|(_, e)| e.invoked <= until);
    let chosen: Entries<M> =
        chosen.map(|(i, e)| Entry { answered: e.answered.filter(|at| must(i, *at)), ..e.clone() }).collect();
    brute_force(model, &chosen, &mut Vec::new(), &model.init())
}

fn is_linearization<M: Model>(model: &M, entries: &Entries<M>, order: &[usize]) -> bool {
    let mut state = model.init();
    for (place, i) in order.iter().enumerate() {
        let entry = &entries[*i];
        if order[place..].iter().any(|later| entries[*later].answered.is_some_and(|at| at < entry.invoked)) {
            return false;
        }
        match model.step(&state, &entry.input, entry.output.as_ref()) {
            Some(next) => state = next,
            None => return false,
        }
    }
    (0..entries.len()).filter(|i| entries[*i].answered.is_some()).all(|i| order.contains(&i))
}

/// When it was invoked and answered; one in eight never was.
fn times() -> impl Strategy<Value = (u64, Option<u64>)> {
    (0_u64..24, 0_u64..10, 0..8).prop_map(|(at, long, lost)| (at, (lost > 0).then_some(at + long)))
}

fn history<I: std::fmt::Debug, O: std::fmt::Debug>(
    operation: impl Strategy<Value = (I, O)>,
    most: usize,
) -> impl Strategy<Value = Vec<Entry<I, O>>> {
    let entry = (times(), operation).prop_map(|((invoked, answered), (input, output))| Entry {
        invoked,
        answered,
        input,
        output: answered.map(|_| output),
    });
    prop::collection::vec(entry, 1..=most)
}

fn register_operation() -> impl Strategy<Value = (RegisterInput, RegisterOutput)> {
    prop_oneof![
        (0..3_i64).prop_map(|v| (RegisterInput::Write(v), RegisterOutput::Written)),
        (0..3_i64).prop_map(|v| (RegisterInput::Read, RegisterOutput::Read(Some(v)))),
        (0..3_i64, 0..3_i64, any::<bool>())
            .prop_map(|(a, b, swapped)| (RegisterInput::Cas(a, b), RegisterOutput::Swapped(swapped))),
    ]
}

fn counter_operation() -> impl Strategy<Value = (CounterInput, CounterOutput)> {
    prop_oneof![
        (-1..3_i64).prop_map(|n| (CounterInput::Add(n), CounterOutput::Added)),
        (0..4_i64).prop_map(|n| (CounterInput::Read, CounterOutput::Read(n))),
    ]
}

fn set_operation() -> impl Strategy<Value = (SetInput, SetOutput)> {
    prop_oneof![
        2 => (0..3_i64).prop_map(|n| (SetInput::Add(n), SetOutput::Added)),
        3 => prop::collection::btree_set(0..3_i64, 0..3).prop_map(|seen| (SetInput::Read, SetOutput::Read(seen))),
    ]
}

/// Mostly one worker for each fence, since few histories would be valid otherwise.
fn worker_and_fence() -> impl Strategy<Value = (u32, i64)> {
    (1..3_i64, 0..8).prop_map(|(fence, odd)| (u32::from((fence == 1) != (odd == 0)), fence))
}

fn shard_operation() -> impl Strategy<Value = (ShardInput<'static>, ShardOutput<'static>)> {
    let cursor = || prop_oneof![Just(None), Just(Some("10")), Just(Some("20"))];
    let write = prop_oneof![
        cursor().prop_map(Write::Checkpoint),
        Just(Write::Release),
        Just(Write::Park),
        cursor().prop_map(Write::Complete),
        Just(Write::SplitResidual(Some("20"))),
    ];
    prop_oneof![
        6 => (worker_and_fence(), cursor(), 0..4).prop_map(|((worker, fence), cursor, told)| {
            let cursor = if told == 0 { Known::Is(cursor) } else { Known::Unknown };
            let out = ShardOutput::Granted { fence: Known::Is(fence), cursor, granted: None, deadline: Known::Unknown };
            (ShardInput::Grant { worker }, out)
        }),
        4 => (worker_and_fence(), write).prop_map(|((worker, fence), what)| {
            (ShardInput::Write { worker, fence: Some(fence), what }, ShardOutput::Done)
        }),
        1 => (1..4_i64).prop_map(|f| (ShardInput::Unpark, ShardOutput::Unparked { fence: Known::Is(f) })),
        1 => Just((ShardInput::EndRun, ShardOutput::Done)),
        2 => (0..3_i64, 0..3, cursor(), 0..3).prop_map(|(fence, has_fence, cursor, has_cursor)| {
            let record = Record {
                status: Known::Unknown,
                fence: if has_fence > 0 { Known::Is(fence) } else { Known::Unknown },
                lease: Known::Unknown,
                cursor: if has_cursor == 0 { Known::Is(cursor) } else { Known::Unknown },
                start: Known::Unknown,
                end: Known::Unknown,
            };
            (ShardInput::Read, ShardOutput::Record(record))
        }),
    ]
}

fn shard(init: ShardState<'static>) -> Shard<'static> {
    Shard { init, lost_fences: LostFences::Any, unsure: [].into() }
}

fn new() -> ShardState<'static> {
    ShardState::made(None, None, Known::Is(None))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn registers(entries in history(register_operation(), 7)) {
        agree(&Register { init: Some(0) }, &entries)?;
    }

    #[test]
    fn counters(entries in history(counter_operation(), 7)) {
        agree(&Counter, &entries)?;
    }

    #[test]
    fn sets(entries in history(set_operation(), 7)) {
        agree(&Set, &entries)?;
    }

    #[test]
    fn one_shard(entries in history(shard_operation(), 5)) {
        agree(&shard(new()), &entries)?;
    }

    #[test]
    fn a_shard_of_which_nothing_is_known(entries in history(shard_operation(), 5)) {
        agree(&shard(ShardState::unknown()), &entries)?;
    }
}

/// The property means nothing if one of the verdicts hardly ever comes up.
#[test]
fn both_verdicts_are_common() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    fn share<M: Model>(model: &M, strategy: impl Strategy<Value = Entries<M>>) -> f64 {
        let mut runner = TestRunner::deterministic();
        let valid =
            (0..500).filter(|_| agree(model, &strategy.new_tree(&mut runner).unwrap().current()).unwrap()).count();
        valid as f64 / 500.0
    }

    let shares = [
        share(&Register { init: Some(0) }, history(register_operation(), 7)),
        share(&Counter, history(counter_operation(), 7)),
        share(&Set, history(set_operation(), 4)),
        share(&shard(new()), history(shard_operation(), 5)),
    ];
    assert!(shares.iter().all(|share| (0.1..0.9).contains(share)), "{shares:?}");
}
