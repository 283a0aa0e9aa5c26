//! Messages that no node of the group would send: refused with what is wrong, and nothing else happens.

use std::time::Duration;

use gossip_core::consensus::{BadMessage, Config, Input, Role};
use protobuf::ProtobufEnum as _;
use raft::eraftpb::{ConfState, Entry, EntryType, Message, MessageType, Snapshot};

use crate::net::{Net, Reply};

const SECOND: Duration = Duration::from_secs(1);

fn entry(index: u64, term: u64) -> Entry {
    Entry { index, term, ..Entry::default() }
}

fn snapshot(index: u64, term: u64, voters: &[u64], learners: &[u64]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let metadata = snapshot.mut_metadata();
    (metadata.index, metadata.term) = (index, term);
    let state = ConfState { voters: voters.to_vec(), learners: learners.to_vec(), ..ConfState::default() };
    metadata.set_conf_state(state);
    snapshot
}

/// A group with a leader and some entries; the leader and one of its followers.
fn settled(seed: u64) -> (Net, u64, u64) {
    let mut net = Net::new(3, seed, Config::default());
    let leader = net.await_leader();
    for n in 1..=3 {
        net.submit(leader, n, Duration::ZERO);
    }
    net.run(SECOND);
    (net, leader, leader % 3 + 1)
}

/// Gives `to` the message, refused as `problem`, and sees to it that the group goes on as if it had never come.
fn refused(from_leader: bool, message: impl Fn(u64, u64) -> Message, problem: impl Fn(&BadMessage) -> bool) {
    let (mut net, leader, follower) = settled(1);
    let (from, to) = if from_leader { (leader, follower) } else { (follower, leader) };
    let status = net.group(to).status();
    let message = Message { from, to, ..message(status.term, status.last_index) };
    net.input(to, Input::Message(Box::new(message.clone())));
    assert!(matches!(net.bad.as_slice(), [(id, bad)] if *id == from && problem(bad)), "{message:?} -> {:?}", net.bad);
    let after = net.group(to).status();
    assert_eq!((after.term, after.last_index, after.commit), (status.term, status.last_index, status.commit));
    // A node that took a term or an index of no use would fail when it campaigns.
    net.crash(leader);
    net.run(SECOND * 5);
    net.start(leader);
    net.run(SECOND * 5);
    let leader = net.await_leader();
    let token = net.submit(leader, 4, Duration::ZERO);
    net.run(SECOND);
    assert!(matches!(net.replies[&token], Reply::Applied(Ok(_))), "{message:?}");
    assert_eq!(net.fatal, []);
}

#[test]
fn entries_that_do_not_follow_are_refused() {
    let append = |term, index, log_term, entries: Vec<Entry>| Message {
        msg_type: MessageType::MsgAppend,
        term,
        index,
        log_term,
        commit: index + 5,
        entries: entries.into(),
        ..Message::default()
    };
    let gap = |bad: &BadMessage| matches!(bad, BadMessage::Gap { .. });
    refused(true, |term, last| append(term, last, term, vec![entry(last + 8, term)]), gap);
    refused(true, |term, last| append(term, last, term, vec![entry(last + 1, term), entry(last + 3, term)]), gap);
    refused(true, |term, last| append(term, last, term, vec![entry(last, term)]), gap);
    let terms = |bad: &BadMessage| matches!(bad, BadMessage::EntryTerm { .. });
    refused(true, |term, last| append(term, last, term, vec![entry(last + 1, term + 1)]), terms);
    refused(true, |term, last| append(term, last, term, vec![entry(last + 1, term - 1)]), terms);
    refused(true, |term, last| append(term, last, term, vec![entry(last + 1, 0)]), terms);
    // Raft says of what is beyond the log's end that its term is 0.
    let base = |bad: &BadMessage| matches!(bad, BadMessage::Field { field: "log_term", .. });
    refused(true, |term, last| append(term, last + 7, 0, vec![]), base);
    refused(true, |term, last| append(term, last, term + 1, vec![]), base);
}

/// The library that decodes a change of members follows nested groups without a bound (RUSTSEC-2024-0437).
#[test]
fn a_change_of_members_that_could_nest_deep_is_refused() {
    let nested = |term, index| Entry {
        entry_type: EntryType::EntryConfChange,
        data: vec![0x7b; 100_000].into(),
        ..entry(index, term)
    };
    let append = |term, last| Message {
        msg_type: MessageType::MsgAppend,
        term,
        index: last,
        log_term: term,
        entries: vec![nested(term, last + 1)].into(),
        ..Message::default()
    };
    refused(true, append, |bad| matches!(bad, BadMessage::Change { bytes: 100_000, .. }));
}

#[test]
fn numbers_near_the_end_of_64_bits_are_refused() {
    let field =
        |name: &'static str| move |bad: &BadMessage| matches!(bad, BadMessage::Field { field, .. } if *field == name);
    let of = |msg_type, term| Message { msg_type, term, ..Message::default() };
    for kind in [
        MessageType::MsgHeartbeat,
        MessageType::MsgRequestVote,
        MessageType::MsgRequestPreVote,
        MessageType::MsgTimeoutNow,
        MessageType::MsgHeartbeatResponse,
    ] {
        refused(true, |_, _| of(kind, u64::MAX), field("term"));
        refused(true, |_, _| of(kind, 0), field("term"));
    }
    let answer = |term| of(MessageType::MsgAppendResponse, term);
    refused(false, |term, _| Message { index: u64::MAX, ..answer(term) }, field("index"));
    refused(false, |term, _| Message { reject: true, reject_hint: u64::MAX, ..answer(term) }, field("reject_hint"));
    refused(true, |term, _| Message { commit: u64::MAX, ..of(MessageType::MsgHeartbeat, term) }, field("commit"));
}

#[test]
fn a_follower_cannot_have_more_than_its_leader() {
    let too_far = |bad: &BadMessage| matches!(bad, BadMessage::Acknowledged { index, last } if *index == last + 1);
    let answer = |term, index| Message { msg_type: MessageType::MsgAppendResponse, term, index, ..Message::default() };
    refused(false, |term, last| answer(term, last + 1), too_far);
}

#[test]
fn what_nodes_never_send_each_other_is_refused() {
    let kind = |bad: &BadMessage| matches!(bad, BadMessage::Kind(_));
    for msg_type in [MessageType::MsgPropose, MessageType::MsgTransferLeader, MessageType::MsgHup] {
        refused(true, |term, _| Message { msg_type, term, ..Message::default() }, kind);
    }
    let question = Message { msg_type: MessageType::MsgReadIndex, ..Message::default() };
    refused(false, |_, _| question.clone(), |bad| *bad == BadMessage::Reads(0));
    let snapshot_of = |term, snapshot| Message {
        msg_type: MessageType::MsgSnapshot,
        term,
        snapshot: Some(snapshot).into(),
        ..Message::default()
    };
    let configuration = |bad: &BadMessage| matches!(bad, BadMessage::Configuration(_));
    refused(true, |term, last| snapshot_of(term, snapshot(last + 9, term, &[1, 2, 3], &[3])), configuration);
    refused(true, |term, last| snapshot_of(term, snapshot(last + 9, term, &[], &[1, 2, 3])), configuration);
    let index = |bad: &BadMessage| matches!(bad, BadMessage::Field { field: "snapshot.index", .. });
    refused(true, |term, _| snapshot_of(term, snapshot(u64::MAX, term, &[1, 2, 3], &[])), index);
}

/// Whatever comes in, the group refuses it, heeds it, or says in one line that it cannot go on. It never panics.
#[test]
fn no_message_makes_raft_panic() {
    let (mut refusals, mut fatal) = (0, 0);
    for seed in 0..400 {
        let (mut net, ..) = settled(seed);
        for _ in 0..100 {
            let to = 1 + net.draw(3);
            let message = drawn(&mut net, to);
            net.input(to, Input::Message(Box::new(message)));
            let pause = net.draw(40);
            net.run(Duration::from_millis(pause));
            if !net.fatal.is_empty() {
                break;
            }
        }
        refusals += net.bad.len();
        fatal += net.fatal.len();
        if net.fatal.is_empty() {
            net.run(SECOND * 3);
        }
    }
    assert!(refusals > 5_000 && fatal > 10, "{refusals} refusals, {fatal} groups that could not go on");
}

fn drawn(net: &mut Net, to: u64) -> Message {
    let status = net.group(to).status();
    let number = |net: &mut Net, near: u64| match net.draw(40) {
        0 => u64::MAX - net.draw(3),
        1 => u64::MAX / 2 - net.draw(3),
        2 => 0,
        3 => near.saturating_add(net.draw(20)),
        4..8 => near.saturating_add(1),
        8..12 => near.saturating_sub(1),
        _ => near,
    };
    let kinds = MessageType::values();
    let msg_type = kinds[net.draw(kinds.len() as u64) as usize];
    let term = number(net, status.term);
    let index = number(net, status.last_index);
    let mut message = Message {
        msg_type,
        to,
        from: 1 + (to + net.draw(3)) % 4,
        term: if msg_type == MessageType::MsgReadIndex && net.draw(4) > 0 { 0 } else { term },
        log_term: number(net, status.term),
        index,
        commit: number(net, status.commit),
        commit_term: number(net, status.term),
        reject: net.draw(3) == 0,
        reject_hint: number(net, status.last_index),
        request_snapshot: if net.draw(20) == 0 { number(net, status.last_index) } else { 0 },
        priority: -i64::from(net.draw(20) == 0),
        ..Message::default()
    };
    for n in 1..=net.draw(4) {
        let index = if net.draw(10) == 0 { number(net, index) } else { index.saturating_add(n) };
        let mut entry = entry(index, number(net, status.term));
        entry.entry_type = if net.draw(20) == 0 { EntryType::EntryConfChange } else { EntryType::EntryNormal };
        // Some have no data, as a new leader's first entry.
        entry.data = vec![0xff; net.draw(3) as usize].into();
        message.entries.push(entry);
    }
    if msg_type == MessageType::MsgSnapshot {
        let (index, term) = (number(net, status.commit), number(net, status.term));
        let voters: &[u64] = [&[1, 2, 3][..], &[1, 2], &[1, 2, 2], &[0, 1], &[]][net.draw(5) as usize];
        message.snapshot = Some(snapshot(index, term, voters, &[])).into();
    }
    message
}

/// The leader goes on leading when a node that it does not know answers it, or one that is no voter asks.
#[test]
fn strangers_are_not_heard_by_a_leader() {
    let (mut net, leader, _) = settled(2);
    let term = net.group(leader).status().term;
    for msg_type in [MessageType::MsgAppendResponse, MessageType::MsgHeartbeatResponse] {
        let message = Message { msg_type, from: 9, to: leader, term: term + 1, ..Message::default() };
        net.input(leader, Input::Message(Box::new(message)));
    }
    assert_eq!(net.group(leader).status().role, Role::Leader);
}
