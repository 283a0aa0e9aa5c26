//! `txn-list-append` under generated loads and faults: strictly serializable, judged from the lists as they stand in the end.
//!
//! The lists in the end give the order of all appends. So each transaction tells, for every key that it touched, behind which
//! append it stands and before which; together with real time that is a graph, and an order exists if it has no cycle.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use crate::load::{Call, Effect, Weather, run};
use crate::net::Net;

const KEYS: u64 = 3;

#[derive(Clone, Debug, PartialEq)]
enum Op {
    Append(u64, u64),
    Read(u64, Vec<u64>),
}

/// A transaction that took place. Of one that was not answered only the appends are known.
#[derive(Clone, Debug)]
struct Txn {
    invoked: u64,
    answered: Option<u64>,
    ops: Vec<Op>,
}

type Lists = BTreeMap<u64, Vec<u64>>;

fn ops(txn: &Value) -> Vec<Op> {
    let number = |value: &Value| value.as_u64().expect("a number");
    let op = |op: &Value| match op[0].as_str() {
        Some("append") => Op::Append(number(&op[1]), number(&op[2])),
        _ => Op::Read(number(&op[1]), op[2].as_array().map(|l| l.iter().map(number).collect()).unwrap_or_default()),
    };
    txn.as_array().expect("a transaction").iter().map(op).collect()
}

/// The transactions that took place, judged by the lists in the end.
fn took_place(calls: &[Call], last: &Lists) -> Result<Vec<Txn>, String> {
    let there: BTreeSet<u64> = last.values().flatten().copied().collect();
    let mut txns = Vec::new();
    for call in calls {
        let answered = call.answered.as_ref().map(|(at, _)| *at);
        let asked: Vec<Op> = ops(&call.request["txn"]).into_iter().filter(|op| matches!(op, Op::Append(..))).collect();
        let found = asked.iter().filter(|op| matches!(op, Op::Append(_, element) if there.contains(element))).count();
        match call.effect() {
            Effect::Done if found < asked.len() => return Err(format!("lost: {call:?}")),
            Effect::Done => {
                let answer = &call.answer().expect("an answer")["txn"];
                txns.push(Txn { invoked: call.invoked, answered, ops: ops(answer) });
            }
            Effect::Refused(_) if found > 0 => return Err(format!("refused and yet there: {call:?}")),
            Effect::Unknown if found > 0 && found < asked.len() => return Err(format!("by halves: {call:?}")),
            Effect::Unknown if found > 0 => txns.push(Txn { invoked: call.invoked, answered: None, ops: asked }),
            Effect::Refused(_) | Effect::Unknown => {}
        }
    }
    Ok(txns)
}

/// For each key that a transaction touched how many elements of the list in the end stood there before and after it.
fn span(txn: &Txn, last: &Lists) -> Result<BTreeMap<u64, (usize, usize)>, String> {
    let mut spans: BTreeMap<u64, (usize, usize)> = BTreeMap::new();
    for op in &txn.ops {
        let (Op::Append(key, _) | Op::Read(key, _)) = op;
        let list = last.get(key).map(Vec::as_slice).unwrap_or_default();
        let place = |element: &u64| list.iter().position(|e| e == element);
        let begins = match op {
            Op::Append(_, element) => place(element).ok_or_else(|| format!("{element} is not in the end: {txn:?}"))?,
            Op::Read(_, seen) => seen.len(),
        };
        let (_, end) = spans.entry(*key).or_insert((begins, begins));
        match op {
            Op::Append(..) if *end == begins => *end += 1,
            Op::Read(_, seen) if *end == seen.len() && list.starts_with(seen) => {}
            _ => return Err(format!("{op:?} does not fit {list:?}: {txn:?}")),
        }
    }
    Ok(spans)
}

/// Whether some order of these transactions gives these lists, every answer, and agrees with real time.
fn strictly_serializable(txns: &[Txn], last: &Lists) -> Result<(), String> {
    let writer: BTreeMap<(u64, u64), usize> = txns.iter().enumerate().flat_map(|(i, txn)| appends(txn, i)).collect();
    let writer_at = |key: u64, place: usize| -> Result<Option<usize>, String> {
        let Some(element) = last.get(&key).and_then(|list| list.get(place)) else { return Ok(None) };
        writer.get(&(key, *element)).copied().map(Some).ok_or_else(|| format!("nobody appended {element} to {key}"))
    };
    let mut before: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); txns.len()];
    for (i, txn) in txns.iter().enumerate() {
        for (key, (begin, end)) in span(txn, last)? {
            let earlier = begin.checked_sub(1).map(|place| writer_at(key, place)).transpose()?.flatten();
            before[i].extend(earlier);
            if let Some(later) = writer_at(key, end)? {
                before[later].insert(i);
            }
        }
        let past = |other: &Txn| other.answered.is_some_and(|answered| answered < txn.invoked);
        before[i].extend(txns.iter().enumerate().filter(|(_, other)| past(other)).map(|(j, _)| j));
    }
    ordered(before)
}

fn appends(txn: &Txn, number: usize) -> impl Iterator<Item = ((u64, u64), usize)> {
    txn.ops.iter().filter_map(move |op| match op {
        Op::Append(key, element) => Some(((*key, *element), number)),
        Op::Read(..) => None,
    })
}

/// Whether the graph, given by what comes before each node, has no cycle.
fn ordered(before: Vec<BTreeSet<usize>>) -> Result<(), String> {
    let mut after: Vec<Vec<usize>> = vec![Vec::new(); before.len()];
    for (node, earlier) in before.iter().enumerate() {
        earlier.iter().for_each(|e| after[*e].push(node));
    }
    let mut waits: Vec<usize> = before.iter().map(BTreeSet::len).collect();
    let mut free: Vec<usize> = (0..waits.len()).filter(|node| waits[*node] == 0).collect();
    let mut placed = 0;
    while let Some(node) = free.pop() {
        placed += 1;
        for later in &after[node] {
            waits[*later] -= 1;
            if waits[*later] == 0 {
                free.push(*later);
            }
        }
    }
    let stuck: Vec<usize> = (0..waits.len()).filter(|node| waits[*node] > 0).take(10).collect();
    if placed == waits.len() { Ok(()) } else { Err(format!("transactions {stuck:?} each come before the other")) }
}

/// Ten clients on five nodes for eight seconds; transactions of one to four reads and appends.
fn load(net: &mut Net) -> Vec<Call> {
    net.jitter = 10;
    let mut element = 0;
    run(net, (10, 40, Duration::from_secs(8)), Weather::Foul, |net, _, _| {
        let mut op = |net: &mut Net| {
            let key = net.draw(KEYS);
            element += 1;
            if net.draw(2) == 0 { json!(["r", key, null]) } else { json!(["append", key, element]) }
        };
        let count = 1 + net.draw(4);
        json!({ "type": "txn", "txn": (0..count).map(|_| op(net)).collect::<Vec<Value>>() })
    })
}

/// The lists that a node shows when all is over.
fn lists(net: &mut Net, node: usize) -> Lists {
    let reads: Vec<Value> = (0..KEYS).map(|key| json!(["r", key, null])).collect();
    let answer = net.call(node, json!({ "type": "txn", "txn": reads })).expect("an answer");
    let read = |op: Op| match op {
        Op::Read(key, list) => (key, list),
        Op::Append(..) => panic!("an append in {answer}"),
    };
    ops(&answer["txn"]).into_iter().map(read).collect()
}

#[test]
fn transactions_are_strictly_serializable_under_any_faults() {
    let (mut done, mut unknown) = (0, 0);
    for seed in 1..=25 {
        let mut net = Net::new(5, seed, 300, 1);
        let calls = load(&mut net);
        let last = lists(&mut net, 0);
        assert!((1..5).all(|node| lists(&mut net, node) == last), "seed {seed}");
        let verdict = took_place(&calls, &last).and_then(|txns| strictly_serializable(&txns, &last));
        assert_eq!(verdict, Ok(()), "seed {seed}");
        done += calls.iter().filter(|call| call.effect() == Effect::Done).count();
        unknown += calls.iter().filter(|call| call.effect() == Effect::Unknown).count();
    }
    assert!(done > 2000 && unknown > 100, "{done} done, {unknown} unknown");
}

#[test]
fn the_judge_finds_what_is_not_strictly_serializable() {
    let txn = |invoked, answered, ops: &[Op]| Txn { invoked, answered: Some(answered), ops: ops.to_vec() };
    let (a, b) = (Op::Append, |key, list: &[u64]| Op::Read(key, list.to_vec()));
    let last = Lists::from([(0, vec![1, 2]), (1, vec![3])]);
    let writes = [txn(0, 1, &[a(0, 1), a(1, 3)]), txn(4, 5, &[a(0, 2)])];
    let with = |more: &[Txn]| strictly_serializable(&[&writes[..], more].concat(), &last);
    assert_eq!(with(&[txn(2, 3, &[b(0, &[1]), b(1, &[3])]), txn(6, 7, &[b(0, &[1, 2])])]), Ok(()));
    let bad: [&[Txn]; 6] = [
        // A stale read, a read of the future, half of a transaction, an order that nobody wrote, a list with a gap.
        &[txn(6, 7, &[b(0, &[1])])],
        &[txn(2, 3, &[b(0, &[1, 2])])],
        &[txn(0, 9, &[b(0, &[1]), b(1, &[])])],
        &[txn(0, 9, &[b(0, &[2, 1])])],
        &[txn(0, 9, &[b(0, &[2])])],
        // Two that each missed the other's append.
        &[txn(0, 9, &[b(0, &[]), b(1, &[3])])],
    ];
    for more in bad {
        assert!(with(more).is_err(), "{more:?}");
    }
    let call = |answer: Value| Call {
        request: json!({ "type": "txn", "txn": [["append", 0, 1], ["append", 0, 9]] }),
        invoked: 0,
        answered: Some((1, answer)),
    };
    assert!(took_place(&[call(json!({ "type": "error", "code": 11 }))], &last).is_err(), "refused and yet there");
    assert!(took_place(&[call(json!({ "type": "error", "code": 13 }))], &last).is_err(), "by halves");
    assert!(took_place(&[call(json!({ "type": "txn_ok", "txn": [] }))], &last).is_err(), "lost");
}
