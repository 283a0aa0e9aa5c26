//! What is made of whole histories before the search, and the search, against a checker that does neither: it takes every call
//! as it stands in the history, places them in every order, leaves nothing out, and remembers nothing.
//!
//! Histories are drawn from one shard with three clients: grants, claims, renewals, parks, unparks, splits and ends, of which
//! any answer may be lost, and reads that tell all, or all but the fence. In half of them one answer is a lie.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod service;

use std::collections::HashSet;

use gossip_check::history::{Call, Op, Value, calls};
use gossip_check::model::shards;
use gossip_check::wgl::{Limits, Outcome, check};
use service::{Shape, Shard, run, text};

/// Whether the calls have an order that explains every answer.
fn brute_force(calls: &[Call<'_>]) -> bool {
    place(calls, &mut vec![false; calls.len()], &Shard::absent())
}

fn place(calls: &[Call<'_>], placed: &mut Vec<bool>, state: &Shard) -> bool {
    let left = |i: &usize| !placed[*i];
    let Some(first_answer) = (0..calls.len()).filter(left).filter(|i| calls[*i].ok()).map(|i| calls[i].end()).min()
    else {
        return true;
    };
    for i in (0..calls.len()).filter(left).filter(|i| calls[*i].at <= first_answer).collect::<Vec<_>>() {
        let Some(next) = step(state, &calls[i]) else { continue };
        placed[i] = true;
        if place(calls, placed, &next) {
            return true;
        }
        placed[i] = false;
    }
    false
}

/// The shard after a call, none if the call cannot have had its answer.
fn step(state: &Shard, call: &Call<'_>) -> Option<Shard> {
    let mut next = state.clone();
    let told = call.ok().then(|| call.completion.map(|c| &c.value)).flatten();
    let number = |key: &str| told.and_then(|t| t.some(key)).and_then(Value::as_i64);
    let input = &call.invoke.value;
    match call.f() {
        "register" if state.status == "absent" && !state.run_ended => next.status = "active",
        "register" => return None,
        "cancel-run" => {
            next.run_ended = true;
            if matches!(state.status, "active" | "parked") {
                next.fence += 1;
                next.end_with("cancelled");
            }
        }
        "acquire" | "claim" => {
            if state.status != "active" {
                return None;
            }
            next.fence += 1;
            next.lease = Some((text(input, "worker")?.to_owned(), number("deadline")));
            if let Some(told) = told {
                let granted = number("granted")?;
                let too_early = matches!(state.lease, Some((_, Some(until))) if granted < until);
                if too_early || number("fence") != Some(next.fence) || text(told, "cursor") != state.cursor.as_deref() {
                    return None;
                }
                next.clock = clock(state, granted)?;
            }
        }
        "unpark" => {
            if state.status != "parked" {
                return None;
            }
            (next.status, next.fence) = ("active", state.fence + 1);
            if told.is_some() && number("fence") != Some(next.fence) {
                return None;
            }
        }
        "read-shard" => {
            let Some(told) = told else { return Some(next) };
            if let Some((_, until @ None)) = &mut next.lease {
                *until = number("deadline");
            }
            return shows(told, state).then_some(next);
        }
        f => {
            let (holder, until) = state.lease.clone()?;
            let is_holder = text(input, "worker") == Some(&holder) && input.get("fence") == Some(&state.fence.into());
            if state.status != "active" || !is_holder {
                return None;
            }
            if f != "renew" {
                return write(next, f, input);
            }
            if let Some(granted) = number("granted") {
                if until.is_some_and(|until| until <= granted) {
                    return None;
                }
                next.clock = clock(state, granted)?;
            }
            next.lease = Some((holder, number("deadline")));
        }
    }
    Some(next)
}

fn clock(state: &Shard, now: i64) -> Option<i64> {
    (state.clock <= now).then_some(now)
}

fn write(mut next: Shard, f: &str, input: &Value) -> Option<Shard> {
    let cursor = next.cursor.clone();
    let cut = text(input, "at").or_else(|| input.get("cuts")?.items()?.first()?.as_str());
    match f {
        "release" => next.lease = None,
        "park" => next.end_with("parked"),
        "split-replace" => next.end_with("split"),
        "split-residual" => {
            let cut = cut?;
            if cut <= "10" || next.end.as_str() <= cut || cursor.as_deref().is_some_and(|cursor| cut <= cursor) {
                return None;
            }
            next.end = cut.to_owned();
        }
        _ => {
            let key = text(input, "cursor")?;
            if key < "10" || next.end.as_str() <= key || cursor.as_deref().is_some_and(|cursor| key < cursor) {
                return None;
            }
            next.cursor = Some(key.to_owned());
            if f == "complete" {
                next.end_with("done");
            }
        }
    }
    Some(next)
}

fn shows(told: &Value, state: &Shard) -> bool {
    let lease = state.lease.as_ref();
    let deadline = told.some("deadline").and_then(Value::as_i64);
    state.status != "absent"
        && told.some("status").and_then(Value::name) == Some(state.status)
        && told.some("fence").and_then(Value::as_i64).is_none_or(|fence| fence == state.fence)
        && text(told, "worker") == lease.map(|(worker, _)| worker.as_str())
        && lease.and_then(|(_, until)| *until).is_none_or(|until| deadline == Some(until))
        && text(told, "cursor") == state.cursor.as_deref()
        && text(told, "end") == Some(&state.end)
}

/// The judge's verdict on the one shard.
fn judged(ops: &[Op]) -> bool {
    let histories = shards(ops).unwrap();
    let Some(history) = histories.iter().find(|h| h.shard == "s") else { return true };
    match check(&history.model, &history.entries, Limits::default()) {
        Outcome::Linearizable(_) => true,
        Outcome::Illegal(_) => false,
        Outcome::Unknown(what) => panic!("gave up: {what:?}"),
    }
}

fn expected(ops: &[Op]) -> bool {
    let calls: Vec<Call<'_>> = calls(ops).unwrap().into_iter().filter(|c| !c.failed()).collect();
    brute_force(&calls)
}

fn lines(ops: &[Op]) -> String {
    ops.iter().map(|op| format!("{op}\n")).collect()
}

/// Without lost renewals the two agree.
#[test]
fn the_judge_agrees_with_every_order_tried() {
    let (mut valid, mut all) = (0, 0);
    for seed in 0..6000 {
        let shape = Shape { calls: 9, lost: 35, lost_renewals: false, lies: seed % 2 == 0 };
        let ops = run(seed, shape);
        let (judged, expected) = (judged(&ops), expected(&ops));
        assert_eq!(judged, expected, "seed {seed}: the judge says {judged}\n{}", lines(&ops));
        assert!(expected || shape.lies, "seed {seed}: the truth is no history\n{}", lines(&ops));
        valid += usize::from(expected);
        all += 1;
    }
    assert!((all / 2..all * 9 / 10).contains(&valid), "{valid} of {all} are valid");
}

/// A deadline that a lost renewal may have moved is never held against anybody: the judge convicts less, and never wrongly.
#[test]
fn lost_renewals_excuse_and_never_accuse() {
    let mut convicted = 0;
    for seed in 0..3000 {
        let shape = Shape { calls: 9, lost: 50, lost_renewals: true, lies: seed % 2 == 0 };
        let ops = run(seed, shape);
        let judged = judged(&ops);
        assert!(judged || !expected(&ops), "seed {seed}: accused\n{}", lines(&ops));
        convicted += usize::from(!judged);
    }
    assert!(convicted > 200, "{convicted}");
}

/// The property means little if what it is about hardly ever comes up.
#[test]
fn the_histories_have_everything_in_them() {
    let mut lost: HashSet<String> = HashSet::new();
    let mut answered: HashSet<String> = HashSet::new();
    for seed in 0..500 {
        let ops = run(seed, Shape { calls: 9, lost: 35, lost_renewals: true, lies: false });
        for call in calls(&ops).unwrap() {
            if call.ok() {
                &mut answered
            } else if call.open() {
                &mut lost
            } else {
                continue;
            }
            .insert(call.f().to_owned());
        }
    }
    let all = [
        "acquire",
        "claim",
        "checkpoint",
        "renew",
        "release",
        "park",
        "unpark",
        "complete",
        "split-residual",
        "split-replace",
        "cancel-run",
    ];
    for f in all {
        assert!(lost.contains(f) && answered.contains(f), "{f} is missing");
    }
}
