//! What a model calls spent can change nothing any more, whatever happens next: the search forgets about it.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;

use gossip_check::model::{Key, Known, LostFences, Shard, ShardInput, ShardOutput, ShardState, Write};
use gossip_check::wgl::{Entry, Limits, Model, Outcome, check};
use proptest::prelude::*;

const KEYS: [Key<'static>; 4] = [None, Some("10"), Some("20"), Some("30")];

/// Every operation there is, on few workers, fences and keys.
fn operations() -> Vec<ShardInput<'static>> {
    let mut all = vec![ShardInput::Unpark, ShardInput::EndRun, ShardInput::CompleteRun];
    all.push(ShardInput::Create { start: Some("10"), end: Some("40"), cursor: Known::Is(None), fence: Known::Is(0) });
    for worker in 0..2 {
        all.push(ShardInput::Grant { worker });
        for fence in 1..4 {
            let keyed = KEYS.iter().flat_map(|&k| [Write::Checkpoint(k), Write::Complete(k), Write::SplitResidual(k)]);
            let plain = [Write::Renew, Write::Release, Write::Park, Write::SplitReplace];
            let write = |what| ShardInput::Write { worker, fence: Some(fence), what };
            all.extend(keyed.chain(plain).map(write));
        }
    }
    all
}

/// The answer that tells nothing, so that anything may have happened.
fn answer(input: &ShardInput<'static>) -> ShardOutput<'static> {
    let deadline = Known::Unknown;
    match input {
        ShardInput::Grant { .. } => {
            ShardOutput::Granted { fence: Known::Unknown, cursor: Known::Unknown, granted: None, deadline }
        }
        ShardInput::Unpark => ShardOutput::Unparked { fence: Known::Unknown },
        ShardInput::Write { what: Write::Renew, .. } => ShardOutput::Renewed { granted: None, deadline },
        _ => ShardOutput::Done,
    }
}

fn inits() -> [ShardState<'static>; 4] {
    let made = ShardState::made(Some("10"), Some("40"), Known::Is(None));
    [
        ShardState::absent(),
        ShardState::unknown(),
        made,
        ShardState { fence: Known::Unknown, cursor: Known::Unknown, ..made },
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Steps are drawn anew until one is possible, since most are not.
    #[test]
    fn a_spent_operation_changes_nothing_in_any_state_to_come(
        init in 0..4_usize,
        draws in prop::collection::vec(any::<prop::sample::Index>(), 600),
    ) {
        let all = operations();
        let lost_fences = LostFences::UpTo { highest: 3, except: [1].into() };
        let shard = Shard { init: inits()[init], lost_fences, unsure: BTreeSet::new() };
        let mut state = shard.init();
        let mut spent: BTreeSet<usize> = BTreeSet::new();
        for draw in draws {
            for (i, input) in all.iter().enumerate() {
                if shard.is_spent(&state, input, None) {
                    spent.insert(i);
                }
                let changes = shard.step(&state, input, None).is_some_and(|next| next != state);
                prop_assert!(!(changes && spent.contains(&i)), "{input:?} was spent and changes {state}");
            }
            let input = draw.get(&all);
            state = shard.step(&state, input, Some(&answer(input))).unwrap_or(state);
        }
    }
}

/// Adds until it is sealed. Several sets of adds lead to one sum, so that here the search must know which were placed.
struct Sealed;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Input {
    Add(i64),
    Seal,
    Read,
}

impl Model for Sealed {
    type State = (i64, bool);
    type Input = Input;
    type Output = i64;

    fn init(&self) -> Self::State {
        (0, false)
    }

    fn step(&self, (sum, sealed): &Self::State, input: &Input, output: Option<&i64>) -> Option<Self::State> {
        match input {
            Input::Add(n) => (!sealed).then_some((sum + n, false)),
            Input::Seal => Some((*sum, true)),
            Input::Read => output.is_none_or(|seen| seen == sum).then_some((*sum, *sealed)),
        }
    }

    fn is_spent(&self, (_, sealed): &Self::State, input: &Input, _: Option<&i64>) -> bool {
        *sealed && matches!(input, Input::Add(_) | Input::Seal)
    }
}

fn entry(invoked: u64, answered: Option<u64>, input: Input, output: Option<i64>) -> Entry<Input, i64> {
    Entry { invoked, answered, input, output }
}

#[test]
fn what_is_not_spent_is_told_apart() {
    // 3 is 1 + 2, or 3 alone; only the latter leaves 1 + 2 for the 6 that comes.
    let lost = [Input::Add(1), Input::Add(2), Input::Add(3), Input::Seal].map(|input| entry(0, None, input, None));
    let read = |at, sum| entry(at, Some(at + 1), Input::Read, Some(sum));
    let sums = |sums: &[i64]| {
        let reads = sums.iter().zip(1..).map(|(sum, i)| read(10 * i, *sum));
        let entries: Vec<_> = lost.iter().cloned().chain(reads).collect();
        matches!(check(&Sealed, &entries, Limits::default()), Outcome::Linearizable(_))
    };
    assert!(sums(&[3, 4, 6]));
    assert!(sums(&[3, 6]));
    assert!(!sums(&[3, 4, 5]));
    assert!(sums(&[1, 4, 6]));
}

/// Each write was lost or not, and all of them have been passed: without knowing so, the search tries every subset.
#[test]
fn lost_operations_that_have_passed_cost_nothing() {
    let keys: Vec<String> = (0..400).map(|i| format!("{i:04x}")).collect();
    let write = |what| ShardInput::Write { worker: 1, fence: Some(1), what };
    let grant = ShardInput::Grant { worker: 1 };
    let mut entries = vec![Entry { invoked: 0, answered: Some(1), input: grant, output: Some(answer(&grant)) }];
    for (i, key) in keys.iter().enumerate() {
        let at = 10 + 2 * i as u64;
        let answered = (i % 2 == 1).then_some(at + 1);
        entries.push(Entry {
            invoked: at,
            answered,
            input: write(Write::Checkpoint(Some(key))),
            output: answered.map(|_| ShardOutput::Done),
        });
    }
    for (i, what) in [Write::Release, Write::Checkpoint(Some("ff"))].into_iter().enumerate() {
        let at = 10_000 + 2 * i as u64;
        entries.push(Entry {
            invoked: at,
            answered: Some(at + 1),
            input: write(what),
            output: Some(ShardOutput::Done),
        });
    }
    let init = ShardState::made(None, None, Known::Is(None));
    let lost_fences = LostFences::UpTo { highest: 0, except: BTreeSet::new() };
    let shard = Shard { init, lost_fences, unsure: BTreeSet::new() };
    let Outcome::Illegal(failure) = check(&shard, &entries, Limits::default()) else {
        panic!("it goes on after a release")
    };
    assert_eq!(failure.stuck, entries.len() - 1);
}
