//! The search against examples whose verdicts are known, and its limits.

use std::time::Duration;

use super::{Entry, Exhausted, Limits, Outcome, check};
use crate::model::{Register, RegisterInput as In, RegisterOutput as Out, Set, SetInput, SetOutput};

type Op = Entry<In, Out>;

fn read(invoked: u64, answered: u64, seen: i64) -> Op {
    Entry { invoked, answered: Some(answered), input: In::Read, output: Some(Out::Read(Some(seen))) }
}

fn write(invoked: u64, answered: u64, value: i64) -> Op {
    Entry { invoked, answered: Some(answered), input: In::Write(value), output: Some(Out::Written) }
}

fn lost_write(invoked: u64, value: i64) -> Op {
    Entry { invoked, answered: None, input: In::Write(value), output: None }
}

fn judge(ops: &[Op]) -> Outcome<Option<i64>> {
    check(&Register { init: Some(0) }, ops, Limits::default())
}

fn is_valid(ops: &[Op]) -> bool {
    match judge(ops) {
        Outcome::Linearizable(order) => {
            replay(ops, &order);
            true
        }
        Outcome::Illegal(_) => false,
        Outcome::Unknown(what) => panic!("gave up: {what:?}"),
    }
}

/// A linearization that was found must be one: in real-time order, allowed by the model, nothing answered left out.
fn replay(ops: &[Op], order: &[usize]) {
    use super::Model;
    let model = Register { init: Some(0) };
    let mut state = model.init();
    for (place, op) in order.iter().enumerate() {
        state = model.step(&state, &ops[*op].input, ops[*op].output.as_ref()).expect("the model allows it");
        for later in &order[place..] {
            assert!(ops[*later].answered.is_none_or(|answered| ops[*op].invoked <= answered));
        }
    }
    let answered = (0..ops.len()).filter(|op| ops[*op].answered.is_some());
    answered.for_each(|op| assert!(order.contains(&op)));
}

#[test]
fn nothing_at_all_is_linearizable() {
    assert!(is_valid(&[]));
    assert!(is_valid(&[lost_write(0, 1)]));
}

#[test]
fn reads_see_the_last_write() {
    assert!(is_valid(&[write(0, 1, 5), read(2, 3, 5)]));
    assert!(!is_valid(&[write(0, 1, 5), read(2, 3, 0)]));
    // Concurrent with the write, a read may see either.
    assert!(is_valid(&[write(0, 4, 5), read(1, 2, 0), read(3, 5, 5)]));
    assert!(is_valid(&[write(0, 4, 5), read(1, 2, 5), read(3, 5, 5)]));
    // But not first the new value and then the old one.
    assert!(!is_valid(&[write(0, 6, 5), read(1, 2, 5), read(3, 4, 0)]));
}

#[test]
fn equal_times_are_concurrent() {
    assert!(is_valid(&[write(0, 1, 5), read(1, 2, 0)]));
    assert!(is_valid(&[write(0, 1, 5), read(1, 2, 5)]));
}

#[test]
fn what_was_never_answered_may_happen_at_any_time_or_never() {
    assert!(is_valid(&[lost_write(0, 5), read(1, 2, 0)]));
    assert!(is_valid(&[lost_write(0, 5), read(1, 2, 5)]));
    assert!(is_valid(&[lost_write(0, 5), read(1, 2, 0), write(3, 4, 7), read(5, 6, 7), read(7, 8, 5)]));
    // But only once, and not before it was invoked.
    assert!(!is_valid(&[lost_write(0, 5), read(1, 2, 5), write(3, 4, 7), read(5, 6, 7), read(7, 8, 5)]));
    assert!(!is_valid(&[read(0, 1, 5), lost_write(2, 5)]));
}

#[test]
fn equal_lost_writes_count_one_each() {
    let ops = |lost: usize| {
        let mut ops: Vec<Op> = (0..lost).map(|_| lost_write(0, 5)).collect();
        ops.extend([read(1, 2, 5), write(3, 4, 7), read(5, 6, 5), write(7, 8, 7), read(9, 10, 5)]);
        ops
    };
    assert!(is_valid(&ops(3)));
    assert!(!is_valid(&ops(2)));
}

#[test]
fn compare_and_set() {
    let cas = |invoked, answered, from, to, swapped| Entry {
        invoked,
        answered: Some(answered),
        input: In::Cas(from, to),
        output: Some(Out::Swapped(swapped)),
    };
    assert!(is_valid(&[cas(0, 5, 0, 1, true), cas(1, 4, 1, 2, true), read(6, 7, 2)]));
    assert!(is_valid(&[cas(0, 5, 0, 1, true), cas(1, 4, 0, 2, false), read(6, 7, 1)]));
    assert!(!is_valid(&[cas(0, 5, 0, 1, true), cas(1, 4, 0, 2, true)]));
}

#[test]
fn a_failure_shows_where_it_stops_and_why() {
    let ops = [write(0, 1, 1), read(2, 3, 1), write(4, 5, 2), read(6, 7, 2), read(8, 9, 1), read(10, 11, 9)];
    let Outcome::Illegal(failure) = judge(&ops) else { panic!("must be illegal") };
    assert_eq!(failure.stuck, 4);
    assert_eq!(failure.prefix, [0, 1, 2, 3]);
    assert_eq!(failure.states, [Some(2)]);
    // The write of 2 is what made reading 1 impossible.
    assert_eq!(failure.part, [2, 4]);
}

#[test]
fn the_part_keeps_what_is_needed_among_concurrent_operations() {
    let cas = |invoked, answered, from, to| Entry {
        invoked,
        answered: Some(answered),
        input: In::Cas(from, to),
        output: Some(Out::Swapped(true)),
    };
    // From 0 both 1 and 3 were reached, by operations of which neither came back to 0.
    let ops = [
        write(0, 1, 4),
        write(2, 3, 0),
        cas(4, 20, 0, 1),
        cas(5, 10, 1, 2),
        read(6, 7, 2),
        cas(8, 9, 2, 1),
        cas(6, 30, 0, 3),
    ];
    let Outcome::Illegal(failure) = judge(&ops) else { panic!("must be illegal") };
    assert_eq!(failure.stuck, 6);
    // In order of invocation. That 1 became 2 is left out: it must have, or 2 would not have become 1.
    assert_eq!(failure.part, [2, 6, 5]);
}

#[test]
fn giving_up_is_unknown_and_never_valid() {
    // Many concurrent adds: each subset is a state of its own.
    let adds = (0..40).map(|i| Entry {
        invoked: i,
        answered: Some(1000 + i),
        input: SetInput::Add(i as i64),
        output: Some(SetOutput::Added),
    });
    let wrong = Entry {
        invoked: 2000,
        answered: Some(2001),
        input: SetInput::Read,
        output: Some(SetOutput::Read([-1].into())),
    };
    let ops: Vec<_> = adds.chain([wrong]).collect();
    let time = Limits { time: Duration::ZERO, ..Limits::default() };
    assert_eq!(check(&Set, &ops, time), Outcome::Unknown(Exhausted::Time));
    let memory = Limits { memory: 1 << 20, time: Duration::from_secs(600) };
    assert_eq!(check(&Set, &ops, memory), Outcome::Unknown(Exhausted::Memory));
}
