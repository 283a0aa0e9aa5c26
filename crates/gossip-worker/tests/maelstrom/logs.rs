//! `kafka`: clients as Maelstrom's under generated loads and faults, and what they cost.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use crate::load::{Call, Effect, Weather, run};
use crate::net::Net;
use crate::replicated::settled;

const SECOND: Duration = Duration::from_secs(1);
/// Logs in use at a time, as in Maelstrom's load: the first gets half of all sends, the next a quarter, and so on.
const LOGS: u32 = 10;

/// By log and offset.
type Messages = BTreeMap<(String, u64), u64>;

fn pairs(logs: &Value) -> Vec<(String, u64, u64)> {
    let pair = |key: &String, pair: &Value| {
        (key.clone(), pair[0].as_u64().expect("an offset"), pair[1].as_u64().expect("a message"))
    };
    let logs = logs.as_object().expect("logs").iter();
    logs.flat_map(|(key, list)| list.as_array().expect("pairs").iter().map(move |p| pair(key, p))).collect()
}

fn offsets(value: &Value) -> BTreeMap<String, u64> {
    let offsets = value.as_object().expect("offsets").iter();
    offsets.map(|(key, offset)| (key.clone(), offset.as_u64().expect("an offset"))).collect()
}

/// A consumer and producer: it is assigned logs, goes on from their committed offsets, polls, and commits what it polled before
/// it does anything else.
#[derive(Clone, Debug, Default)]
struct Client {
    next: BTreeMap<String, u64>,
    assigned: BTreeSet<String>,
}

impl Client {
    fn request(&mut self, net: &mut Net, message: u64, last: Option<&Call>) -> Value {
        let key = |net: &mut Net| {
            let place = (net.draw(1 << 20) as u32).trailing_zeros().min(LOGS - 1);
            format!("log {place}")
        };
        if let Some(commit) = last.and_then(|call| self.learn(call)) {
            return json!({ "type": "commit_offsets", "offsets": commit });
        }
        if self.assigned.is_empty() || net.draw(64) == 0 {
            self.assigned = (0..=net.draw(2)).map(|_| key(net)).collect();
            return json!({ "type": "list_committed_offsets", "keys": self.assigned });
        }
        if net.draw(2) == 0 {
            json!({ "type": "send", "key": key(net), "msg": message })
        } else {
            json!({ "type": "poll", "offsets": self.next })
        }
    }

    /// Takes an answer; gives what is to be committed.
    fn learn(&mut self, call: &Call) -> Option<BTreeMap<String, u64>> {
        let Some(answer) = call.answer() else {
            // After an error that leaves the outcome open, a new process takes over that knows nothing.
            if call.effect() == Effect::Unknown || call.kind() == "list_committed_offsets" {
                *self = Client::default();
            }
            return None;
        };
        match call.kind() {
            "list_committed_offsets" => {
                let committed = offsets(&answer["offsets"]);
                let from = |key: &String| {
                    let own = self.next.get(key).or(committed.get(key)).copied();
                    (key.clone(), own.unwrap_or(0))
                };
                self.next = self.assigned.iter().map(from).collect();
                None
            }
            "poll" => {
                let mut commit = BTreeMap::new();
                for (key, offset, _) in pairs(&answer["msgs"]) {
                    self.next.insert(key.clone(), offset + 1);
                    commit.insert(key, offset);
                }
                (!commit.is_empty()).then_some(commit)
            }
            _ => None,
        }
    }
}

fn load(net: &mut Net, clients: usize, (pause, length): (u64, Duration), weather: Weather) -> Vec<Call> {
    let mut all = vec![Client::default(); clients];
    let mut message = 0;
    run(net, (clients, pause, length), weather, |net, client, last| {
        message += 1;
        all[client].request(net, message, last)
    })
}

/// Every message of every log, as a node shows it from offset 0 on.
fn everything(net: &mut Net, node: usize) -> Messages {
    let from: BTreeMap<String, u64> = (0..LOGS).map(|place| (format!("log {place}"), 0)).collect();
    let answer = net.call(node, json!({ "type": "poll", "offsets": from })).expect("an answer");
    pairs(&answer["msgs"]).into_iter().map(|(key, offset, message)| ((key, offset), message)).collect()
}

/// What no client may ever see, judged by the logs as they stand in the end.
fn judge(calls: &[Call], last: &Messages) -> Result<(), String> {
    let mut expected: BTreeMap<&str, u64> = BTreeMap::new();
    for (key, offset) in last.keys() {
        let next = expected.entry(key).or_default();
        if *offset != *next {
            return Err(format!("{key} has no message {next}"));
        }
        *next += 1;
    }
    if last.values().collect::<BTreeSet<_>>().len() < last.len() {
        return Err("a message stands at two offsets".into());
    }
    sends(calls, last)?;
    for call in calls.iter().filter(|call| call.kind() == "poll") {
        polled(call, last)?;
    }
    commits(calls)
}

fn sends(calls: &[Call], last: &Messages) -> Result<(), String> {
    let place: BTreeMap<u64, &(String, u64)> = last.iter().map(|(at, message)| (*message, at)).collect();
    // Of each log the sends that were answered: when, and the offset.
    let mut done: BTreeMap<&str, Vec<(u64, u64, u64)>> = BTreeMap::new();
    for call in calls.iter().filter(|call| call.kind() == "send") {
        let message = call.request["msg"].as_u64().expect("a message");
        let key = call.request["key"].as_str().expect("a log");
        let found = place.get(&message).map(|(key, offset)| (key.as_str(), *offset));
        match (call.effect(), &call.answered) {
            (Effect::Done, Some((at, answer))) => {
                let offset = answer["offset"].as_u64().expect("an offset");
                if found != Some((key, offset)) {
                    return Err(format!("not where the answer says: {call:?}"));
                }
                done.entry(key).or_default().push((call.invoked, *at, offset));
            }
            (Effect::Refused(_), _) if found.is_some() => return Err(format!("refused and yet there: {call:?}")),
            _ => {}
        }
    }
    for all in done.values() {
        for (_, answered, offset) in all {
            if all.iter().any(|(invoked, _, other)| answered < invoked && other < offset) {
                return Err(format!("a later send got an offset below {offset}"));
            }
        }
    }
    Ok(())
}

fn polled(call: &Call, last: &Messages) -> Result<(), String> {
    let Some(answer) = call.answer() else { return Ok(()) };
    let mut next = offsets(&call.request["offsets"]);
    for (key, offset, message) in pairs(&answer["msgs"]) {
        let asked = next.get_mut(&key).filter(|asked| **asked == offset);
        let asked = asked.ok_or_else(|| format!("{offset} of {key} is out of order: {call:?}"))?;
        *asked += 1;
        if last.get(&(key, offset)) != Some(&message) {
            return Err(format!("{message} is not what stands there: {call:?}"));
        }
    }
    Ok(())
}

/// Who asks for committed offsets after a commit was answered finds it, or a higher one that somebody committed.
fn commits(calls: &[Call]) -> Result<(), String> {
    let of = |kind: &'static str| calls.iter().filter(move |call| call.kind() == kind);
    for list in of("list_committed_offsets") {
        let Some(answer) = list.answer() else { continue };
        let (seen, asked) = (offsets(&answer["offsets"]), list.request["keys"].as_array().expect("keys"));
        for key in asked.iter().map(|key| key.as_str().expect("a key")) {
            let offset = |call: &Call| call.request["offsets"][key].as_u64();
            let before = of("commit_offsets").filter(|commit| {
                commit.effect() == Effect::Done && commit.answered.as_ref().is_some_and(|(at, _)| *at < list.invoked)
            });
            if before.filter_map(offset).max() > seen.get(key).copied() {
                return Err(format!("forgets a commit of {key}: {list:?}"));
            }
            let ever = of("commit_offsets").filter(|commit| !matches!(commit.effect(), Effect::Refused(_)));
            if seen.get(key).copied() > ever.filter_map(offset).max() {
                return Err(format!("nobody committed that: {list:?}"));
            }
        }
    }
    Ok(())
}

#[test]
fn logs_keep_what_they_acknowledge_under_any_faults() {
    let (mut sent, mut committed, mut unknown) = (0, 0, 0);
    for seed in 1..=25 {
        let mut net = Net::new(5, seed, 300, 1);
        net.jitter = 10;
        let calls = load(&mut net, 10, (40, 8 * SECOND), Weather::Foul);
        let last = everything(&mut net, 0);
        assert!((1..5).all(|node| everything(&mut net, node) == last), "seed {seed}");
        assert_eq!(judge(&calls, &last), Ok(()), "seed {seed}");
        let count = |kind, effect| calls.iter().filter(|c| c.kind() == kind && c.effect() == effect).count();
        sent += count("send", Effect::Done);
        committed += count("commit_offsets", Effect::Done);
        unknown += count("send", Effect::Unknown) + count("commit_offsets", Effect::Unknown);
        // See the service: a consumer goes on behind what it could not commit if it is told that nothing happened.
        let refused = |call: &Call| call.kind() == "commit_offsets" && matches!(call.effect(), Effect::Refused(_));
        assert!(!calls.iter().any(refused), "seed {seed}");
    }
    assert!(sent > 2000 && committed > 500 && unknown > 100, "{sent} sent, {committed} committed, {unknown} unknown");
}

#[test]
fn the_judge_finds_what_logs_must_not_do() {
    let call = |at: u64, request: Value, answer: Value| Call { request, invoked: at, answered: Some((at + 1, answer)) };
    let send = |at, message: u64, offset: u64| {
        call(at, json!({ "type": "send", "key": "a", "msg": message }), json!({ "type": "send_ok", "offset": offset }))
    };
    let poll = |at, from: u64, seen: &[(u64, u64)]| {
        let seen: Vec<Value> = seen.iter().map(|(offset, message)| json!([offset, message])).collect();
        let request = json!({ "type": "poll", "offsets": { "a": from } });
        call(at, request, json!({ "type": "poll_ok", "msgs": { "a": seen } }))
    };
    let commit = |at, offset: u64| {
        let request = json!({ "type": "commit_offsets", "offsets": { "a": offset } });
        call(at, request, json!({ "type": "commit_offsets_ok" }))
    };
    let list = |at, offsets: Value| {
        let request = json!({ "type": "list_committed_offsets", "keys": ["a"] });
        call(at, request, json!({ "type": "list_committed_offsets_ok", "offsets": offsets }))
    };
    let last = |messages: &[u64]| -> Messages {
        (0..).zip(messages).map(|(offset, message)| (("a".to_owned(), offset), *message)).collect()
    };
    let refused = |at, message: u64| {
        call(at, json!({ "type": "send", "key": "a", "msg": message }), json!({ "type": "error", "code": 11 }))
    };
    let good = [send(0, 7, 0), send(2, 8, 1), poll(4, 0, &[(0, 7), (1, 8)]), commit(6, 1), list(8, json!({ "a": 1 }))];
    assert_eq!(judge(&good, &last(&[7, 8])), Ok(()));
    let bad = [
        (vec![send(0, 7, 0)], last(&[8]), "a lost message"),
        (vec![send(0, 7, 0), send(2, 8, 0)], last(&[7]), "one offset twice"),
        (vec![send(0, 7, 1), send(2, 8, 0)], last(&[8, 7]), "offsets against real time"),
        (vec![refused(0, 7)], last(&[7]), "refused and yet there"),
        (vec![poll(0, 0, &[(1, 8)])], last(&[7, 8]), "a poll that skips"),
        (vec![poll(0, 0, &[(0, 8)])], last(&[7, 8]), "a poll of what never stood there"),
        (vec![commit(0, 1), list(2, json!({}))], last(&[]), "a commit that is not found"),
        (vec![commit(0, 1), list(2, json!({ "a": 2 }))], last(&[]), "an offset that nobody committed"),
        (vec![], BTreeMap::from([(("a".to_owned(), 1), 7)]), "a log with a gap"),
        (vec![], last(&[7, 7]), "a message twice"),
    ];
    for (calls, last, what) in bad {
        assert!(judge(&calls, &last).is_err(), "{what}");
    }
}

#[test]
fn who_asks_right_after_a_commit_finds_it_on_any_node() {
    let mut net = settled(2, 1, &json!({ "type": "send", "key": "a", "msg": 0 }));
    for (node, offset) in [(0, 5), (1, 7), (0, 3), (1, 8)] {
        let commit = json!({ "type": "commit_offsets", "offsets": { "a": offset } });
        assert_eq!(net.call(node, commit).expect("an answer")["type"], "commit_offsets_ok");
        for node in 0..2 {
            let listed = net.call(node, json!({ "type": "list_committed_offsets", "keys": ["a", "b"] }));
            assert_eq!(listed.expect("an answer")["offsets"], json!({ "a": if offset == 3 { 7 } else { offset } }));
        }
    }
}

#[test]
fn a_node_without_a_quorum_acknowledges_no_commit_that_is_new() {
    let mut net = settled(3, 1, &json!({ "type": "send", "key": "a", "msg": 0 }));
    let commit = |offset| json!({ "type": "commit_offsets", "offsets": { "a": offset } });
    net.call(0, commit(5)).expect("an answer");
    net.run(SECOND);
    net.split(&[0]);
    net.run(3 * SECOND);
    let refused = net.call(0, commit(6)).expect("an answer");
    assert_eq!((&refused["type"], &refused["code"]), (&json!("error"), &json!(0)));
    // The group has this one already.
    assert_eq!(net.call(0, commit(5)).expect("an answer")["type"], "commit_offsets_ok");
    let list = json!({ "type": "list_committed_offsets", "keys": ["a"] });
    assert_eq!(net.call(0, list.clone()).expect("an answer")["code"], 11);
    net.cut.clear();
    net.run(3 * SECOND);
    assert_eq!(net.call(0, list).expect("an answer")["offsets"], json!({ "a": 5 }));
}

/// Two clients on each node without a pause for ten seconds. Gives operations as Maelstrom counts them, a poll and its commit
/// being one, and messages for each.
fn cost(nodes: usize) -> (usize, f64) {
    let mut net = settled(nodes, 0, &json!({ "type": "send", "key": "log 0", "msg": 0 }));
    net.run(SECOND);
    net.messages = 0;
    let calls = load(&mut net, 2 * nodes, (0, 10 * SECOND), Weather::Calm);
    let operations = calls.iter().filter(|call| call.kind() != "commit_offsets").count();
    (operations, net.messages as f64 / operations as f64)
}

/// What bounds five nodes stands in `docs/maelstrom.md`.
#[test]
fn logs_cost_less_than_one_message_an_operation_on_two_nodes() {
    for (nodes, least, most) in [(2, 2500, 0.7), (5, 5000, 1.4)] {
        let (operations, messages) = cost(nodes);
        assert!(operations > least, "{nodes} nodes: {operations} operations in 10 s");
        assert!(messages <= most, "{nodes} nodes: {messages} messages an operation");
    }
}
