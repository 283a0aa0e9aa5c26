//! `lin-kv` under generated loads and faults, judged by the search for a linearization that judges the product.

use std::collections::BTreeMap;
use std::time::Duration;

use gossip_check::model::{Register, RegisterInput as In, RegisterOutput as Out};
use gossip_check::wgl::{Entry, Limits, Outcome, check};
use serde_json::{Value, json};

use crate::load::{Call, Effect, Weather, run};
use crate::net::Net;

const KEYS: u64 = 3;

/// Ten clients on five nodes for eight seconds. Values are written once each; what is compared is what was seen last.
fn load(seed: u64) -> Vec<Call> {
    let mut net = Net::new(5, seed, 300, 1);
    net.jitter = 10;
    let mut seen: BTreeMap<u64, i64> = BTreeMap::new();
    let mut value = 0;
    run(&mut net, (10, 40, Duration::from_secs(8)), Weather::Foul, |net, _, last| {
        if let Some((call, answer)) = last.and_then(|call| Some((call, call.answer()?)))
            && let (Some(key), Some(value)) = (call.request["key"].as_u64(), answer["value"].as_i64())
        {
            seen.insert(key, value);
        }
        let key = net.draw(KEYS);
        value += 1;
        match net.draw(4) {
            0 | 1 => json!({ "type": "read", "key": key }),
            2 => json!({ "type": "write", "key": key, "value": value }),
            _ => json!({ "type": "cas", "key": key, "from": seen.get(&key).copied().unwrap_or(-1), "to": value }),
        }
    })
}

/// A call as the judge takes it; `None` if it certainly did nothing and showed nothing.
fn entry(call: &Call) -> Option<Entry<In, Out>> {
    let number = |field: &str| call.request[field].as_i64().expect("a number");
    let (input, done) = match call.kind() {
        "read" => (In::Read, Out::Read(call.answer().map(|answer| answer["value"].as_i64().expect("a number")))),
        "write" => (In::Write(number("value")), Out::Written),
        _ => (In::Cas(number("from"), number("to")), Out::Swapped(true)),
    };
    let answered = call.answered.as_ref().map(|(at, _)| *at);
    let output = match (call.effect(), input) {
        (Effect::Done, _) => Some(done),
        (Effect::Refused(20), In::Read) => Some(Out::Read(None)),
        (Effect::Refused(20 | 22), In::Cas(..)) => Some(Out::Swapped(false)),
        (Effect::Refused(11), _) | (Effect::Unknown, In::Read) => return None,
        (Effect::Unknown, _) => None,
        (Effect::Refused(code), _) => panic!("code {code} for {call:?}"),
    };
    Some(Entry { invoked: call.invoked, answered: output.and(answered), input, output })
}

fn judge(calls: &[Call], key: u64) -> Outcome<Option<i64>> {
    let entries: Vec<_> = calls.iter().filter(|call| call.request["key"] == key).filter_map(entry).collect();
    check(&Register::default(), &entries, Limits { time: Duration::from_secs(5), memory: 1 << 28 })
}

#[test]
fn registers_are_linearizable_under_any_faults() {
    let mut effects: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 1..=25 {
        let calls = load(seed);
        for key in 0..KEYS {
            let outcome = judge(&calls, key);
            assert!(matches!(outcome, Outcome::Linearizable(_)), "seed {seed}, key {key}: {outcome:?}");
        }
        for call in &calls {
            let effect = match call.effect() {
                Effect::Done => "done",
                Effect::Refused(11) => "no leader",
                Effect::Refused(_) => "compared in vain",
                Effect::Unknown => "unknown",
            };
            *effects.entry(effect).or_default() += 1;
        }
    }
    // A load that met no faults, or nothing but faults, would prove nothing.
    let few = ["done", "no leader", "compared in vain", "unknown"].into_iter().find(|e| effects.get(e) < Some(&200));
    assert_eq!(few, None, "{effects:?}");
}

/// The judge sees one read that shows what was there before: it is not blind to what the nodes might do.
#[test]
fn a_stale_read_among_them_is_found() {
    let mut calls = load(1);
    let read = |call: &Call| call.kind() == "read" && call.answer().is_some();
    let of_key = |call: &&Call| read(call) && call.request["key"] == 0;
    let values: Vec<Value> = calls.iter().filter(of_key).map(|call| call.answer().expect("a value").clone()).collect();
    let (first, last) = (values.first().expect("a read").clone(), values.last().expect("a read").clone());
    assert_ne!(first["value"], last["value"]);
    let call = calls.iter_mut().rev().find(|call| read(call) && call.request["key"] == 0).expect("a read");
    if let Some((_, answer)) = &mut call.answered {
        answer["value"] = first["value"].clone();
    }
    assert!(matches!(judge(&calls, 0), Outcome::Illegal(_)));
}
