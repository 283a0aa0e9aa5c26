//! Operations that were never answered, by the thousand: limits are kept, and the part that is shown stays small.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use gossip_check::history::read_str;
use gossip_check::judge::Validity;
use gossip_check::model::{
    Known, LostFences, Register, RegisterInput as In, RegisterOutput as Out, Shard, ShardInput, ShardOutput,
    ShardState, Write,
};
use gossip_check::wgl::{Entry, Exhausted, Failure, Limits, Outcome, check, check_shards};

const MANY: usize = 90_000;

type Written<'a> = Entry<ShardInput<'a>, ShardOutput<'a>>;

fn granted(at: u64, fence: i64) -> Written<'static> {
    let output = ShardOutput::Granted {
        fence: Known::Is(fence),
        cursor: Known::Unknown,
        granted: None,
        deadline: Known::Unknown,
    };
    Entry { invoked: at, answered: Some(at + 1), input: ShardInput::Grant { worker: 1 }, output: Some(output) }
}

fn lost(at: u64, input: ShardInput<'_>) -> Written<'_> {
    Entry { invoked: at, answered: None, input, output: None }
}

fn wrote(at: u64, what: Write<'_>) -> Written<'_> {
    Entry { answered: Some(at + 1), output: Some(ShardOutput::Done), ..lost(at, under_1(what)) }
}

fn under_1(what: Write<'_>) -> ShardInput<'_> {
    ShardInput::Write { worker: 1, fence: Some(1), what }
}

fn keys(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{i:08x}")).collect()
}

/// A shard of which one lease was granted, then many cursors sent under it that nobody heard of again.
fn with_lost_checkpoints(keys: &[String]) -> Vec<Written<'_>> {
    let lost = keys.iter().zip(10..).map(|(key, at)| lost(at, under_1(Write::Checkpoint(Some(key)))));
    std::iter::once(granted(0, 1)).chain(lost).collect()
}

/// `highest`: of the fences that operations without an answer may have made.
fn judge(highest: i64, entries: &[Written<'_>], time: Duration) -> Outcome<String> {
    let init = ShardState::made(None, None, Known::Is(None));
    let lost_fences = LostFences::UpTo { highest, except: BTreeSet::new() };
    let shard = Shard { init, lost_fences, unsure: BTreeSet::new() };
    match check(&shard, entries, Limits { time, ..Limits::default() }) {
        Outcome::Linearizable(order) => Outcome::Linearizable(order),
        Outcome::Illegal(Failure { stuck, prefix, part, states }) => {
            let states = states.iter().map(ToString::to_string).collect();
            Outcome::Illegal(Failure { stuck, prefix, part, states })
        }
        Outcome::Unknown(what) => Outcome::Unknown(what),
    }
}

/// The limit is a second; ten are room enough for any machine, and far less than what a square of so many operations takes.
fn in_a_second(highest: i64, entries: &[Written<'_>]) -> Outcome<String> {
    let begun = Instant::now();
    let outcome = judge(highest, entries, Duration::from_secs(1));
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?} under a limit of a second");
    outcome
}

#[test]
fn a_limit_is_kept_with_very_many_open_operations() {
    let keys = keys(MANY);
    let mut entries = with_lost_checkpoints(&keys);
    entries.push(wrote(1_000_000, Write::Release));
    // Any of the lost cursors may have been the last, which are too many ways to go through in a second.
    entries.push(wrote(1_000_010, Write::Checkpoint(Some("ff"))));
    assert_eq!(in_a_second(0, &entries), Outcome::Unknown(Exhausted::Time));
    // Equal ones, of which each may have been granted: fences rise by as many as it takes.
    let grants = (0..MANY as u64).map(|at| lost(at, ShardInput::Grant { worker: 2 }));
    let entries: Vec<_> =
        grants.chain((0..MANY as i64).map(|i| granted(1_000_000 + 10 * i as u64, 2 * i + 2))).collect();
    assert!(!matches!(in_a_second(i64::MAX, &entries), Outcome::Illegal(_)));
}

#[test]
fn very_many_open_operations_are_decided_where_nothing_hangs_on_them() {
    let keys = keys(MANY);
    let mut entries = with_lost_checkpoints(&keys);
    // All under the first fence, which the second passes.
    entries.extend((2..200).map(|fence| granted(1_000_000 + 10 * fence as u64, fence)));
    let Outcome::Linearizable(order) = judge(0, &entries, Duration::from_secs(600)) else {
        panic!("it is as it must be")
    };
    assert!((MANY + 1..entries.len()).all(|answered| order.contains(&answered)));
}

#[test]
fn what_was_never_answered_and_need_not_have_been_is_no_part_of_a_failure() {
    let keys = keys(1000);
    let mut entries = with_lost_checkpoints(&keys);
    entries.push(wrote(1_000_000, Write::Release));
    entries.push(wrote(1_000_010, Write::Checkpoint(Some("ff"))));
    let Outcome::Illegal(failure) = judge(0, &entries, Duration::from_secs(600)) else {
        panic!("released, then written")
    };
    assert!(failure.prefix.len() > 1000, "the order that was found has the lost ones in it");
    assert_eq!(failure.part, [1001, 1002]);
}

#[test]
fn what_was_never_answered_but_must_have_been_stays() {
    let cas = |invoked, answered: Option<u64>, from, to| Entry {
        invoked,
        answered,
        input: In::Cas(from, to),
        output: answered.map(|_| Out::Swapped(true)),
    };
    let mut ops = vec![cas(1, None, 0, 1), cas(2, None, 1, 2)];
    ops.extend((0..1000).map(|_| cas(3, None, 2, 0).clone()).map(|op| Entry { input: In::Cas(7, 8), ..op }));
    // That 2 was read shows that the first two happened, so that 0 did not become 3.
    ops.push(Entry { invoked: 6, answered: Some(7), input: In::Read, output: Some(Out::Read(Some(2))) });
    ops.push(cas(5, Some(30), 0, 3));
    let Outcome::Illegal(failure) = check(&Register { init: Some(0) }, &ops, Limits::default()) else {
        panic!("0 became 1")
    };
    assert_eq!((failure.stuck, failure.part), (1003, vec![0, 1, 1003, 1002]));
}

/// Each shard alone has an order, and there was no time to ask whether both need the one claim.
#[test]
fn a_claim_that_there_was_no_time_to_weigh_is_unknown() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../histories/bad/L-one-lost-claim-two-grants.edn");
    let ops = read_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let checked = |time| check_shards(&ops, Limits { time, ..Limits::default() }).unwrap();
    assert_eq!(checked(Duration::from_secs(60)).validity, Validity::False);
    let checked = checked(Duration::ZERO);
    assert_eq!((checked.validity, checked.anomalies.len()), (Validity::Unknown, 0));
    assert!(checked.gave_up.iter().all(|(_, what)| *what == Exhausted::Time), "{:?}", checked.gave_up);
    assert_eq!(checked.gave_up.len(), 2);
}
