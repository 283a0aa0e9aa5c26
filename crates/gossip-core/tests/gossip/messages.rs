//! What arrives may be anything.

use gossip_core::gossip::{Delta, Fact, Version};
use gossip_core::membership::{Claim, ProbeMessage, Standing, Status};
use gossip_core::node::{Body, Config, Entry, Input, MAX_INCARNATION, Message, Node, Output, Peer};
use gossip_core::time::Time;
use proptest::prelude::*;

use crate::net;

fn node() -> Node {
    Node::new(Config::new(1, net::address(1), 1, 7), Time::ZERO).expect("good settings")
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![18 => 0..6u64, 1 => Just(MAX_INCARNATION - 1), 1 => Just(MAX_INCARNATION), 1 => Just(u64::MAX)]
}

fn claim() -> impl Strategy<Value = Claim> {
    let status = prop_oneof![Just(Status::Alive), Just(Status::Suspect), Just(Status::Dead), Just(Status::Left)];
    (0..6u64, number(), status, 0..6u64, any::<bool>()).prop_map(|(node, incarnation, status, by, addressed)| Claim {
        node,
        standing: Standing { incarnation, status },
        by,
        address: if addressed { net::address(node) } else { String::new() },
    })
}

fn delta() -> impl Strategy<Value = Delta> {
    let facts = prop::collection::vec((0..4u8, 0..4u8, number()), 0..5);
    (0..6u64, number(), number(), facts).prop_map(|(owner, incarnation, after, facts)| Delta {
        owner,
        incarnation,
        after,
        facts: facts
            .into_iter()
            .map(|(key, value, counter)| Fact { key: format!("k{key}"), value: format!("v{value}"), counter })
            .collect(),
    })
}

fn entry() -> impl Strategy<Value = Entry> {
    (claim(), any::<bool>(), number(), number()).prop_map(|(claim, known, incarnation, counter)| Entry {
        node: claim.node,
        standing: known.then_some(claim.standing),
        facts: Version { incarnation, counter },
    })
}

fn body() -> impl Strategy<Value = Body> {
    let probe = prop_oneof![
        any::<u32>().prop_map(|seq| ProbeMessage::Ping { seq }),
        (0..4u32).prop_map(|seq| ProbeMessage::Ack { seq }),
        (0..4u32).prop_map(|seq| ProbeMessage::Nack { seq }),
        (any::<u32>(), 0..6u64).prop_map(|(seq, target)| ProbeMessage::PingReq { seq, target }),
        Just(ProbeMessage::News),
    ];
    let deltas = || prop::collection::vec(delta(), 0..4);
    let entries = || prop::collection::vec(entry(), 0..6);
    prop_oneof![
        probe.prop_map(Body::Probe),
        entries().prop_map(Body::Digest),
        (deltas(), entries()).prop_map(|(deltas, wants)| Body::Answer { deltas, wants }),
        deltas().prop_map(Body::Push),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    (prop::collection::vec(claim(), 0..6), body()).prop_map(|(claims, body)| Message { claims, body })
}

proptest! {
    #[test]
    fn every_message_survives_the_wire(message in message()) {
        let bytes = message.encode();
        match message.check() {
            Ok(()) => prop_assert_eq!(Message::decode(&bytes).expect("a good message"), message),
            Err(_) => prop_assert!(Message::decode(&bytes).is_err()),
        }
    }

    #[test]
    fn bytes_of_any_kind_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(message) = Message::decode(&bytes) {
            prop_assert_eq!(message.check(), Ok(()));
        }
    }

    /// Whatever others say, and in whatever order: standings only rise, facts only get newer, and this node lives.
    #[test]
    fn no_sequence_of_messages_breaks_a_node(messages in prop::collection::vec((0..6u64, message(), 0..3000u64), 1..60)) {
        let mut node = node();
        let mut now = 0;
        for (from, message, pause) in messages {
            now += pause;
            let before = standings(&node);
            let view = node.view();
            let versions: Vec<Version> = (0..6).map(|id| node.facts().version(id)).collect();
            let refused = message.check().is_err() || from == 1;
            prop_assert_eq!(node.handle(Time::from_millis(now), Input::Packet { from, message }).is_err(), refused);
            let told = std::iter::from_fn(|| node.poll()).filter(|output| matches!(output, Output::Event(_))).count();
            prop_assert!(told > 0 || node.view() == view, "each change of the view is told");
            for (id, standing) in before {
                prop_assert!(node.membership().standing(id) >= Some(standing));
            }
            for (id, version) in (0..6).zip(versions) {
                prop_assert!(node.facts().version(id) >= version);
            }
            prop_assert_eq!(node.membership().standing(1).map(|standing| standing.status), Some(Status::Alive));
            prop_assert!(node.deadline() > Time::from_millis(now), "what is due was done");
        }
    }
}

fn standings(node: &Node) -> Vec<(u64, Standing)> {
    (0..6).filter_map(|id| Some((id, node.membership().standing(id)?))).collect()
}

#[test]
fn what_is_believed_can_be_refuted_and_the_refutation_is_believed() {
    for incarnation in [u64::from(u32::MAX), i64::MAX as u64] {
        let mut node = node();
        let joined = Input::Join { peers: vec![Peer { id: 2, address: net::address(2) }] };
        node.handle(Time::ZERO, joined).expect("a peer");
        let standing = Standing { incarnation, status: Status::Suspect };
        let claims = vec![Claim { node: 1, standing, by: 2, address: String::new() }];
        let message = Message { claims, body: Body::Probe(ProbeMessage::Ping { seq: 1 }) };
        node.handle(Time::ZERO, Input::Packet { from: 2, message }).expect("it is heard");
        assert!(node.membership().standing(1) > Some(standing));
        let mut sent = 0;
        while let Some(output) = node.poll() {
            if let Output::Send { message, .. } = output {
                Message::decode(&message.encode()).expect("its peers take it");
                sent += 1;
            }
        }
        assert!(sent > 0);
    }
}

#[test]
fn bad_input_names_the_field_and_changes_nothing() {
    let mut node = node();
    let before = node.view();
    let long = "x".repeat(1025);
    for (key, value, field) in [("", "", "key"), (&long[..65], "", "key"), ("role", &long[..], "value")] {
        let input = Input::Publish { key: key.into(), value: value.into() };
        assert_eq!(node.handle(Time::ZERO, input).expect_err("out of bounds").field, field);
    }
    let claims = vec![Claim {
        node: 2,
        standing: Standing { incarnation: 1, status: Status::Alive },
        by: 2,
        address: long[..256].into(),
    }];
    let message = Message { claims, body: Body::Probe(ProbeMessage::News) };
    assert_eq!(node.handle(Time::ZERO, Input::Packet { from: 2, message }).expect_err("too long").field, "address");
    let beyond = Standing { incarnation: MAX_INCARNATION + 1, status: Status::Dead };
    let version = Version { incarnation: 1, counter: MAX_INCARNATION + 1 };
    let claim = Claim { node: 1, standing: beyond, by: 2, address: String::new() };
    let fact = Fact { key: "role".into(), value: String::new(), counter: MAX_INCARNATION + 1 };
    let delta = Delta { owner: 2, incarnation: 1, after: 0, facts: vec![fact] };
    for (claims, body) in [
        (vec![claim], Body::Probe(ProbeMessage::News)),
        (vec![], Body::Digest(vec![Entry { node: 1, standing: Some(beyond), facts: Version::default() }])),
        (vec![], Body::Digest(vec![Entry { node: 1, standing: None, facts: version }])),
        (vec![], Body::Push(vec![delta])),
    ] {
        let input = Input::Packet { from: 2, message: Message { claims, body } };
        assert_eq!(node.handle(Time::ZERO, input).expect_err("nobody could refute it").field, "incarnation");
    }
    assert_eq!(node.view(), before);
    for address in ["", &long[..256]] {
        assert_eq!(Node::new(Config::new(1, address, 1, 7), Time::ZERO).expect_err("out of bounds").field, "address");
    }
}

#[test]
fn a_node_keeps_at_most_so_many_keys() {
    let mut node = node();
    for key in 0..64 {
        let input = Input::Publish { key: format!("key-{key}"), value: "1".into() };
        assert_eq!(node.handle(Time::ZERO, input), Ok(()));
    }
    let input = Input::Publish { key: "one-more".into(), value: "1".into() };
    assert_eq!(node.handle(Time::ZERO, input).expect_err("the 65th").field, "key");
    let input = Input::Publish { key: "key-3".into(), value: "2".into() };
    assert_eq!(node.handle(Time::ZERO, input), Ok(()));
}
