//! Changes of members, and leadership that is handed over.

use std::time::Duration;

use gossip_core::consensus::{Change, Config, Recovered, Refusal, Role};
use gossip_core::mutants::Planted;

use crate::net::{Net, Reply};
use crate::{NO_WAIT, SECOND, items, order_to_campaign};

#[test]
fn nodes_join_and_leave_the_leader_last() {
    let mut net = Net::new(3, 10, Config { snapshot_entries: 20, keep_entries: 5, ..Config::default() });
    let leader = net.await_leader();
    net.submit(leader, 1, NO_WAIT);
    for id in [4, 5] {
        let token = net.change(leader, Change::AddNode { name: format!("n{id}"), address: format!("x:{id}") });
        net.run(SECOND);
        assert_eq!(net.replies[&token], Reply::Changed(id));
        net.add_host(id, Recovered::default());
        net.run_until("the learner's promotion", |net| {
            net.group(leader).members().nodes.iter().any(|m| m.id == id && m.voter)
        });
        net.run(SECOND);
        assert_eq!(items(&net, id), [1]);
    }
    let token = net.change(leader, Change::RemoveNode { name: format!("n{leader}") });
    net.run(SECOND * 2);
    assert!(matches!(net.replies[&token], Reply::Refused(Refusal::NotLeader { leader: Some(_) })));
    let next = net.await_leader();
    let token = net.change(next, Change::RemoveNode { name: format!("n{leader}") });
    net.run(SECOND);
    assert_eq!(net.replies[&token], Reply::Changed(leader));
    let again = net.change(next, Change::RemoveNode { name: format!("n{leader}") });
    assert!(matches!(net.replies[&again], Reply::Refused(Refusal::BadChange { field: "node", .. })));
    let token = net.submit(next, 2, NO_WAIT);
    net.run(SECOND);
    assert_eq!(net.replies[&token], Reply::Applied(Ok(2)));
}

#[test]
fn an_address_has_one_owner() {
    let mut net = Net::new(3, 10, Config::default());
    let leader = net.await_leader();
    net.run(SECOND);
    let add = |net: &mut Net, name: &str| {
        let token = net.change(leader, Change::AddNode { name: name.into(), address: "x:4".into() });
        net.run(SECOND);
        net.replies[&token].clone()
    };
    assert_eq!(add(&mut net, "n4"), Reply::Changed(4));
    let refused = Refusal::BadChange { field: "address", problem: "x:4 is that of n4".into() };
    assert_eq!(add(&mut net, "n5"), Reply::Refused(refused));
}

/// An operator who takes the wrong one of three out while another is down would be left with two voters of whom one answers, for
/// good: no change of members passes then either.
#[test]
fn a_voter_whom_the_majority_needs_is_not_removed() {
    let mut net = Net::new(3, 10, Config::default());
    let leader = net.await_leader();
    let (healthy, dead) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    net.run(SECOND);
    net.crash(dead);
    net.run(SECOND * 5);
    let remove = |net: &mut Net, id: u64| {
        let token = net.change(leader, Change::RemoveNode { name: format!("n{id}") });
        net.run(SECOND);
        net.replies[&token].clone()
    };
    for needed in [healthy, leader] {
        let reply = remove(&mut net, needed);
        let Reply::Refused(Refusal::BadChange { field: "node", problem }) = reply else { panic!("{reply:?}") };
        assert!(problem.contains("only 1 of 2 voters would answer"), "{problem}");
    }
    assert_eq!(remove(&mut net, dead), Reply::Changed(dead));
    assert_eq!(remove(&mut net, healthy), Reply::Changed(healthy), "one voter of one is a majority");
}

/// A leader that is asked to remove itself hands over, and its heir is asked at once: it has heard from nobody but the old leader,
/// which is no reason to say for good that the rest is no majority.
#[test]
fn an_heir_says_not_yet_before_it_knows_who_answers() {
    let mut net = Net::new(3, 10, Config::default());
    let old = net.await_leader();
    net.run(SECOND * 5);
    let name = format!("n{old}");
    let token = net.change(old, Change::RemoveNode { name: name.clone() });
    net.run_until("the hand-over", |net| net.replies.contains_key(&token));
    let Reply::Refused(Refusal::NotLeader { leader: Some(heir) }) = net.replies[&token] else {
        panic!("{:?}", net.replies[&token])
    };
    net.run_until("the heir's election", |net| net.group(heir).status().role == Role::Leader);
    let mut tries = 0;
    loop {
        let token = net.change(heir, Change::RemoveNode { name: name.clone() });
        net.run_until("an answer", |net| net.replies.contains_key(&token));
        tries += 1;
        match &net.replies[&token] {
            Reply::Changed(removed) if *removed == old => break,
            Reply::Refused(Refusal::ChangeInProgress) if tries < 1000 => net.run(Duration::from_millis(1)),
            other => panic!("try {tries}: {other:?}"),
        }
    }
}

#[test]
fn a_leader_that_inherits_its_own_removal_steps_down() {
    inherit_its_own_removal(Planted::NONE);
}

/// Found by the simulator: raft panicked when the leader that had removed itself heard of its own disk.
pub(crate) fn inherit_its_own_removal(planted: Planted) {
    let mut net = Net::with_bug(3, 10, Config::default(), planted);
    let old = net.await_leader();
    let (heir, third) = (old % 3 + 1, (old + 1) % 3 + 1);
    net.run(SECOND);
    net.isolate(third);
    net.cut.insert((heir, old));
    net.change(old, Change::RemoveNode { name: format!("n{heir}") });
    let asked = net.group(old).status().last_index;
    net.run_until("the heir's copy", |net| net.group(heir).status().last_index == asked);
    net.run(Duration::from_millis(10));
    net.crash(old);
    net.slow_disks.insert(heir, 300);
    net.cut.clear();
    net.start(old);
    order_to_campaign(&mut net, old, heir);
    net.run_until("the heir's election", |net| net.group(heir).status().role == Role::Leader);
    net.run_until("its own removal", |net| net.group(heir).is_removed());
    assert_eq!(net.group(heir).status().role, Role::Follower);
    net.run(SECOND * 2);
    let next = net.await_leader();
    assert_ne!(next, heir);
    let token = net.submit(next, 1, NO_WAIT);
    net.run(SECOND);
    assert_eq!(net.replies[&token], Reply::Applied(Ok(1)));
    assert_eq!(net.fatal, []);
}

/// It wins without a vote of others, so nothing else makes it wait for its disk.
#[test]
fn a_lone_voter_tells_its_learner_nothing_of_a_term_that_a_crash_may_take_back() {
    let mut net = Net::new(1, 12, Config::default());
    net.await_leader();
    net.change(1, Change::AddNode { name: "n2".into(), address: "x:1".into() });
    net.run(SECOND);
    // Its answers are lost: it stays a learner.
    net.cut.insert((2, 1));
    net.add_host(2, Recovered::default());
    net.run(SECOND);
    for life in 1..=3 {
        net.crash(1);
        net.slow_disks.insert(1, 5_000);
        net.start(1);
        net.run_until("a new term", |net| net.group(1).status().role == Role::Leader);
        net.submit(1, life, NO_WAIT);
        net.run(SECOND);
        let (durable, heard) = (net.hosts[&1].disk.hard_state.term, net.group(2).status().term);
        assert!(heard <= durable, "the learner heard of term {heard}, {durable} is on disk");
        net.slow_disks.clear();
    }
    net.crash(1);
    net.cut.clear();
    net.start(1);
    net.await_leader();
    let token = net.submit(1, 9, NO_WAIT);
    net.run(SECOND * 2);
    assert!(matches!(net.replies[&token], Reply::Applied(Ok(_))));
    assert_eq!(items(&net, 2), items(&net, 1));
    assert_eq!(net.fatal, []);
}

#[test]
fn leadership_is_handed_over_on_request() {
    let mut net = Net::new(3, 11, Config::default());
    let leader = net.await_leader();
    let to = leader % 3 + 1;
    let token = net.change(leader, Change::TransferLeader { to: Some(format!("n{to}")) });
    net.run(SECOND);
    assert_eq!(net.replies[&token], Reply::Changed(to));
    assert_eq!(net.leader(), Some(to));
}
