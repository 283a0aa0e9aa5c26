//! The shard as a sequential machine, and histories of it as a whole.

use std::collections::BTreeSet;

use super::{
    Known, Lease, LostFences, Record, Shard, ShardInput as In, ShardOutput as Out, ShardState, Status, Write, shards,
};
use crate::history::{Op, read_str};
use crate::judge::Validity;
use crate::wgl::{Limits, Model, check_shards};

const A: u32 = 1;
const B: u32 = 2;

type Step = (In<'static>, Option<Out<'static>>);

fn granted(worker: u32, fence: i64) -> Step {
    let unknown =
        Out::Granted { fence: Known::Is(fence), cursor: Known::Unknown, granted: None, deadline: Known::Unknown };
    (In::Grant { worker }, Some(unknown))
}

fn granted_at(worker: u32, fence: i64, now: i64, deadline: i64) -> Step {
    let out = Out::Granted {
        fence: Known::Is(fence),
        cursor: Known::Unknown,
        granted: Some(now),
        deadline: Known::Is(deadline),
    };
    (In::Grant { worker }, Some(out))
}

fn wrote(worker: u32, fence: i64, what: Write<'static>) -> Step {
    (In::Write { worker, fence: Some(fence), what }, Some(Out::Done))
}

fn renewed_at(worker: u32, fence: i64, now: i64, deadline: i64) -> Step {
    let out = Out::Renewed { granted: Some(now), deadline: Known::Is(deadline) };
    (In::Write { worker, fence: Some(fence), what: Write::Renew }, Some(out))
}

fn cursor(worker: u32, fence: i64, key: &'static str) -> Step {
    wrote(worker, fence, Write::Checkpoint(Some(key)))
}

fn unparked(fence: i64) -> Step {
    (In::Unpark, Some(Out::Unparked { fence: Known::Is(fence) }))
}

fn saw(change: impl FnOnce(&mut Record<'static>)) -> Step {
    let mut record = Record {
        status: Known::Unknown,
        fence: Known::Unknown,
        lease: Known::Unknown,
        cursor: Known::Unknown,
        start: Known::Unknown,
        end: Known::Unknown,
    };
    change(&mut record);
    (In::Read, Some(Out::Record(record)))
}

/// The state of a shard that owns [10, 40) after these operations; none if they cannot happen in this order.
fn after(steps: &[Step]) -> Option<ShardState<'static>> {
    let init = ShardState::made(Some("10"), Some("40"), Known::Is(None));
    let model = Shard { init, lost_fences: LostFences::Any, unsure: [].into() };
    steps.iter().try_fold(init, |state, (input, output)| model.step(&state, input, output.as_ref()))
}

#[test]
fn a_whole_life() {
    let end = after(&[
        granted(A, 1),
        cursor(A, 1, "20"),
        wrote(A, 1, Write::Release),
        granted(B, 2),
        wrote(B, 2, Write::Renew),
        saw(|r| (r.status, r.fence, r.cursor) = (Known::Is(Status::Active), Known::Is(2), Known::Is(Some("20")))),
        wrote(B, 2, Write::Complete(Some("30"))),
    ])
    .unwrap();
    assert_eq!(end.to_string(), "done, fence 2, no lease, cursor 30, [10, 40)");
}

#[test]
fn what_cannot_be() {
    let end_run: Step = (In::EndRun, Some(Out::Done));
    let impossible: &[&[Step]] = &[
        &[granted(A, 2)],
        &[granted(A, 1), granted(A, 1)],
        &[granted(A, 1), granted(A, 2), cursor(A, 1, "20")],
        &[granted(A, 1), wrote(A, 1, Write::Release), cursor(A, 1, "20")],
        &[granted(A, 1), wrote(B, 1, Write::Renew)],
        &[granted(A, 1), cursor(A, 1, "20"), cursor(A, 1, "1f")],
        &[granted(A, 1), cursor(A, 1, "40")],
        &[granted(A, 1), cursor(A, 1, "0f")],
        &[granted(A, 1), wrote(A, 1, Write::Complete(None)), granted(A, 2)],
        &[granted(A, 1), wrote(A, 1, Write::Park), granted(A, 2)],
        &[granted(A, 1), wrote(A, 1, Write::SplitReplace), granted(A, 2)],
        &[end_run, granted(A, 2)],
        &[granted(A, 1), wrote(A, 1, Write::Park), unparked(1)],
        &[unparked(1)],
        &[granted(A, 1), cursor(A, 1, "20"), wrote(A, 1, Write::SplitResidual(Some("20")))],
        &[granted(A, 1), wrote(A, 1, Write::SplitResidual(Some("10")))],
        &[granted(A, 1), wrote(A, 1, Write::SplitResidual(Some("20"))), cursor(A, 1, "20")],
        &[(In::CompleteRun, Some(Out::Done))],
        &[granted(A, 1), saw(|r| r.fence = Known::Is(0))],
        &[granted(A, 1), wrote(A, 1, Write::SplitResidual(Some("20"))), saw(|r| r.end = Known::Is(Some("40")))],
        &[granted(A, 1), cursor(A, 1, "20"), saw(|r| r.cursor = Known::Is(None))],
    ];
    for steps in impossible {
        assert!(after(&steps[..steps.len() - 1]).is_some(), "only the last of {steps:?} is wrong");
        assert_eq!(after(steps), None, "{steps:?}");
    }
}

#[test]
fn deadlines_bind_as_far_as_they_are_told() {
    assert!(after(&[granted_at(A, 1, 0, 1000), granted_at(B, 2, 1000, 2000)]).is_some());
    assert!(after(&[granted_at(A, 1, 0, 1000), granted_at(B, 2, 999, 2000)]).is_none());
    assert!(after(&[granted_at(A, 1, 0, 1000), wrote(A, 1, Write::Release), granted_at(B, 2, 999, 2000)]).is_some());
    assert!(after(&[granted_at(A, 1, 0, 1000), renewed_at(A, 1, 999, 1999), granted_at(B, 2, 1500, 2500)]).is_none());
    assert!(after(&[granted_at(A, 1, 0, 1000), renewed_at(A, 1, 1000, 1999)]).is_none());
    // The lease clock does not run backwards, also where no deadline stands in the way.
    assert!(after(&[granted_at(A, 1, 500, 1000), wrote(A, 1, Write::Release), granted_at(B, 2, 499, 2000)]).is_none());
    assert!(after(&[granted(A, 1), granted_at(B, 2, 10, 20)]).is_some());
}

#[test]
fn what_is_not_told_is_learnt() {
    let model = Shard { init: ShardState::unknown(), lost_fences: LostFences::Any, unsure: [].into() };
    let run = |steps: &[Step]| steps.iter().try_fold(model.init, |s, (i, o)| model.step(&s, i, o.as_ref()));
    assert!(run(&[granted(A, 7), granted(B, 8)]).is_some());
    assert!(run(&[granted(A, 7), granted(B, 7)]).is_none());
    assert!(run(&[cursor(A, 7, "20"), cursor(A, 7, "10")]).is_none());
    assert!(run(&[unparked(4), granted(A, 5)]).is_some());
    assert!(run(&[saw(|r| r.status = Known::Is(Status::Done)), granted(A, 5)]).is_none());
    assert!(run(&[(In::EndRun, Some(Out::Done)), saw(|r| r.status = Known::Is(Status::Done))]).is_some());
}

#[test]
fn a_shard_is_there_from_its_making_on() {
    let model = Shard { init: ShardState::absent(), lost_fences: LostFences::Any, unsure: [].into() };
    let create = (In::Create { start: None, end: None, cursor: Known::Is(None), fence: Known::Is(0) }, Some(Out::Done));
    let run = |steps: &[Step]| steps.iter().try_fold(model.init, |s, (i, o)| model.step(&s, i, o.as_ref()));
    assert_eq!(run(&[create, granted(A, 1)]).unwrap().lease, Known::Is(Lease::Held(A, Known::Unknown)));
    for early in [granted(A, 1), saw(|_| ()), unparked(1), cursor(A, 1, "20")] {
        assert_eq!(run(&[early]), None);
    }
    assert_eq!(run(&[create, create]), None);
    assert_eq!(run(&[(In::EndRun, Some(Out::Done)), create]), None);
}

/// Ops of `[process type f value]`, in order.
fn history(ops: &[(i64, &str, &str, &str)]) -> Vec<Op> {
    let line = |(i, (process, typ, f, value)): (usize, &(i64, &str, &str, &str))| {
        format!("{{:process {process}, :type :{typ}, :f :{f}, :value {{{value}}}, :time {i}, :index {i}}}\n")
    };
    read_str(&ops.iter().enumerate().map(line).collect::<String>()).unwrap()
}

fn validity(ops: &[(i64, &str, &str, &str)]) -> Validity {
    check_shards(&history(ops), Limits::default()).unwrap().validity
}

const REGISTER: &str = r#":run "r" :shards [{:shard "s" :start "10" :end "40"}]"#;
const ACQUIRE: &str = r#":shard "s" :worker "a" :op-id "1""#;
const ACQUIRE_B: &str = r#":shard "s" :worker "b" :op-id "2""#;
const FENCE_1: &str = r#":shard "s" :worker "a" :op-id "1" :fence 1 :cursor nil"#;
const FENCE_2: &str = r#":shard "s" :worker "b" :op-id "2" :fence 2 :cursor nil"#;

#[test]
fn no_operation_is_unknown() {
    assert_eq!(validity(&[]), Validity::Unknown);
}

#[test]
fn all_tries_under_one_op_id_are_one_operation() {
    let replayed = [
        (0, "invoke", "register", REGISTER),
        (0, "ok", "register", REGISTER),
        (0, "invoke", "acquire", ACQUIRE),
        (0, "info", "acquire", ACQUIRE),
        (1, "invoke", "acquire", ACQUIRE_B),
        (1, "ok", "acquire", FENCE_2),
        (2, "invoke", "acquire", ACQUIRE),
        (2, "ok", "acquire", FENCE_1),
    ];
    assert_eq!(validity(&replayed), Validity::True);
    // Refused at first, it took effect after the second try was sent, when fence 2 was gone already.
    let mut refused = replayed;
    refused[3].1 = "fail";
    assert_eq!(validity(&refused), Validity::False);
}

#[test]
fn a_lost_acquire_explains_a_missing_fence_but_no_other() {
    let ops = [
        (0, "invoke", "register", REGISTER),
        (0, "ok", "register", REGISTER),
        (0, "invoke", "acquire", ACQUIRE),
        (0, "info", "acquire", ACQUIRE),
        (1, "invoke", "acquire", ACQUIRE_B),
        (1, "ok", "acquire", FENCE_2),
    ];
    assert_eq!(validity(&ops), Validity::True);
    assert_eq!(validity(&[&ops[..2], &ops[4..]].concat()), Validity::False);
    // A claim that was lost may have got any shard of its run, but of no other run.
    let mut claimed = ops;
    claimed[2] = (0, "invoke", "claim", r#":run "r" :worker "c" :op-id "1""#);
    claimed[3] = (0, "info", "claim", r#":run "r" :worker "c" :op-id "1""#);
    assert_eq!(validity(&claimed), Validity::True);
    claimed[2].3 = r#":run "other" :worker "c" :op-id "1""#;
    assert_eq!(validity(&claimed), Validity::False);
    // Of a shard whose run is not known it may be the run of the claim.
    claimed[..2].copy_from_slice(&[
        (5, "invoke", "read-shard", r#":shard "s""#),
        (5, "ok", "read-shard", r#":shard "s" :fence 0"#),
    ]);
    assert_eq!(validity(&claimed), Validity::True);
}

#[test]
fn lost_operations_that_change_nothing_are_left_out() {
    let ops = history(&[
        (0, "invoke", "register", REGISTER),
        (0, "ok", "register", REGISTER),
        (0, "invoke", "acquire", ACQUIRE_B),
        (0, "info", "acquire", ACQUIRE_B),
        (1, "invoke", "acquire", ACQUIRE),
        (1, "ok", "acquire", FENCE_1),
        (2, "invoke", "read-shard", r#":shard "s""#),
        (2, "info", "read-shard", r#":shard "s""#),
        (3, "invoke", "renew", r#":shard "s" :worker "a" :fence 1"#),
    ]);
    let [shard] = &shards(&ops).unwrap()[..] else { panic!("one shard") };
    let fs: Vec<&str> = shard.calls.iter().map(|call| call.f()).collect();
    assert_eq!(fs, ["register", "acquire"]);
}

#[test]
fn children_begin_with_the_split_that_made_them() {
    let split = r#":shard "s" :worker "a" :fence 1 :op-id "3" :cuts ["20"]"#;
    let children = r#":shard "s" :worker "a" :fence 1 :op-id "3" :cuts ["20"]
                      :children [{:shard "x" :start "10" :end "20"} {:shard "y" :start "20" :end "40"}]"#;
    let acquire = r#":shard "y" :worker "b" :op-id "4""#;
    let granted = r#":shard "y" :worker "b" :op-id "4" :fence 1 :cursor nil"#;
    let begin = [
        (0, "invoke", "register", REGISTER),
        (0, "ok", "register", REGISTER),
        (0, "invoke", "acquire", ACQUIRE),
        (0, "ok", "acquire", FENCE_1),
    ];
    let split = [(0, "invoke", "split-replace", split), (0, "ok", "split-replace", children)];
    let acquire = [(1, "invoke", "acquire", acquire), (1, "ok", "acquire", granted)];
    assert_eq!(validity(&[&begin[..], &split, &acquire].concat()), Validity::True);
    assert_eq!(validity(&[&begin[..], &acquire, &split].concat()), Validity::False);
}

#[test]
fn the_end_of_a_run_ends_each_of_its_shards() {
    let begin = [(0, "invoke", "register", REGISTER), (0, "ok", "register", REGISTER)];
    let cancel =
        |typ| [(0, "invoke", "cancel-run", r#":run "r" :op-id "9""#), (0, typ, "cancel-run", r#":run "r" :op-id "9""#)];
    let acquire = [(1, "invoke", "acquire", ACQUIRE), (1, "ok", "acquire", FENCE_1)];
    assert_eq!(validity(&[&begin[..], &cancel("ok"), &acquire].concat()), Validity::False);
    assert_eq!(validity(&[&begin[..], &cancel("info"), &acquire].concat()), Validity::True);
    assert_eq!(validity(&[&begin[..], &acquire, &cancel("ok")].concat()), Validity::True);
}

#[test]
fn of_equal_lost_grants_no_more_are_kept_than_can_matter() {
    let claim = |i: usize| format!(":run \"r\" :worker \"w{}\" :op-id \"claim {i}\"", i % 3);
    let acquire = |i: usize| format!(":shard \"s\" :worker \"w{}\" :op-id \"acquire {i}\"", i % 3);
    let texts: Vec<(&str, String)> = (0..40).flat_map(|i| [("claim", claim(i)), ("acquire", acquire(i))]).collect();
    let lost = texts.iter().zip(10..).map(|((f, text), process)| (process, "invoke", *f, text.as_str()));
    let told = |fence: &'static str| [(1, "invoke", "acquire", ACQUIRE_B), (1, "ok", "acquire", fence)];
    let begin = [(0, "invoke", "register", REGISTER), (0, "ok", "register", REGISTER)];
    let kept = |fence| {
        let ops: Vec<_> = begin.into_iter().chain(lost.clone()).chain(told(fence)).collect();
        let ops = history(&ops);
        assert_eq!(check_shards(&ops, Limits::default()).unwrap().validity, Validity::True);
        let shards = shards(&ops).unwrap();
        let lost = shards[0].entries.iter().zip(&shards[0].calls).filter(|(entry, _)| entry.answered.is_none());
        lost.map(|(_, call)| call.at).collect::<BTreeSet<_>>()
    };
    // The first two fences were made by some of them, and without any one of these two more are left.
    assert_eq!(kept(r#":shard "s" :worker "b" :op-id "2" :fence 3 :cursor nil"#), [2, 3, 4].into());
    assert_eq!(kept(r#":shard "s" :worker "b" :op-id "2" :fence 1 :cursor nil"#), [].into());
    // Which fence it is nobody tells.
    assert_eq!(kept(r#":shard "s" :worker "b" :op-id "2" :cursor nil"#).len(), 80);
}

/// With every try held against every other one this would not come to an end.
#[test]
fn one_op_id_may_ask_for_very_many_things() {
    const MANY: usize = 100_000;
    let release = |i: usize| format!(":shard \"s{}\" :worker \"a\" :fence 1 :op-id \"1\" :reason \"{i}\"", i % 10);
    let text: Vec<String> = (0..MANY).chain(0..MANY).map(release).collect();
    let ops: Vec<_> = text
        .iter()
        .flat_map(|text| [(0, "invoke", "release", text.as_str()), (0, "ok", "release", text.as_str())])
        .collect();
    let ops = history(&ops);
    // The second time each is a replay.
    assert_eq!(shards(&ops).unwrap().iter().map(|shard| shard.entries.len()).sum::<usize>(), MANY);
}

#[test]
fn an_anomaly_names_shard_ops_and_states() {
    let ops = history(&[
        (0, "invoke", "register", REGISTER),
        (0, "ok", "register", REGISTER),
        (0, "invoke", "acquire", ACQUIRE),
        (0, "ok", "acquire", FENCE_1),
        (1, "invoke", "acquire", ACQUIRE_B),
        (1, "ok", "acquire", FENCE_2),
        (0, "invoke", "checkpoint", r#":shard "s" :worker "a" :fence 1 :cursor "20" :op-id "3""#),
        (0, "ok", "checkpoint", r#":shard "s" :worker "a" :fence 1 :cursor "20" :op-id "3""#),
    ]);
    let checked = check_shards(&ops, Limits::default()).unwrap();
    let [anomaly] = &checked.anomalies[..] else { panic!("one anomaly") };
    assert_eq!((anomaly.shard.as_str(), &anomaly.ops[..]), ("s", &[4, 5, 6, 7][..]));
    assert_eq!(anomaly.states, ["active, fence 2, held, cursor none, [10, 40)"]);
    assert_eq!(anomaly.stuck, "checkpoint of a with fence 1, cursor \"20\"");
    assert_eq!((checked.checked_shards, checked.ops), (1, 4));
}
