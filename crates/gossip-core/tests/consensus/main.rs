//! The Raft group in a network of its own: elections, reads, snapshots, members, waiters, chaos.

mod incoming;
mod net;

use std::time::Duration;

use gossip_core::consensus::{Change, Config, Input, Recovered, Refusal, Role};
use net::{Net, Reply};
use raft::eraftpb::{Message, MessageType};

const SECOND: Duration = Duration::from_secs(1);
const NO_WAIT: Duration = Duration::ZERO;

fn items(net: &Net, id: u64) -> Vec<i64> {
    net.group(id).machine().items.iter().map(|(n, _)| *n).collect()
}

/// What a leader that hands over sends.
fn order_to_campaign(net: &mut Net, from: u64, to: u64) {
    let term = net.group(to).status().term;
    let order = Message { msg_type: MessageType::MsgTimeoutNow, to, from, term, ..Message::default() };
    net.input(to, Input::Message(Box::new(order)));
}

#[test]
fn a_leader_is_elected_and_replicates() {
    for nodes in [1, 3, 5] {
        let mut net = Net::new(nodes, 7, Config::default());
        let leader = net.await_leader();
        let tokens: Vec<u64> = (1..=10).map(|n| net.submit(leader, n, NO_WAIT)).collect();
        net.run(SECOND);
        for (n, token) in (1..).zip(tokens) {
            assert_eq!(net.replies[&token], Reply::Applied(Ok(n)));
        }
        for id in 1..=nodes {
            assert_eq!(items(&net, id), (1..=10).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_follower_names_the_leader() {
    let mut net = Net::new(3, 1, Config::default());
    let leader = net.await_leader();
    net.run(SECOND);
    let follower = leader % 3 + 1;
    let token = net.submit(follower, 1, NO_WAIT);
    assert_eq!(net.replies[&token], Reply::Refused(Refusal::NotLeader { leader: Some(leader) }));
}

#[test]
fn a_follower_reads_what_was_answered_before() {
    let mut net = Net::new(3, 2, Config::default());
    let leader = net.await_leader();
    net.submit(leader, 5, NO_WAIT);
    net.run(SECOND);
    let token = net.read(leader % 3 + 1);
    net.run(SECOND);
    assert!(matches!(&net.replies[&token], Reply::Read(items) if items.len() == 1 && items[0].0 == 5));
}

#[test]
fn a_cut_off_leader_serves_no_read_and_steps_down() {
    let mut net = Net::new(3, 3, Config::default());
    let old = net.await_leader();
    net.isolate(old);
    let late = net.submit(old, 1, NO_WAIT);
    net.run(SECOND);
    let read = net.read(old);
    net.run(SECOND * 6);
    assert_eq!(net.replies[&late], Reply::Refused(Refusal::LeadershipLost));
    assert_eq!(net.replies[&read], Reply::Refused(Refusal::ReadUnconfirmed));
    assert_ne!(net.leader(), Some(old));
}

#[test]
fn a_node_that_was_cut_off_does_not_disturb_the_leader() {
    let mut net = Net::new(3, 4, Config::default());
    let leader = net.await_leader();
    let term = net.group(leader).status().term;
    net.isolate(leader % 3 + 1);
    net.run(SECOND * 4);
    net.cut.clear();
    net.run(SECOND);
    assert_eq!((net.leader(), net.group(leader).status().term), (Some(leader), term));
}

#[test]
fn the_lease_clock_never_falls_over_fail_overs() {
    let mut net = Net::new(3, 5, Config::default());
    for n in 0..6 {
        let leader = net.await_leader();
        net.submit(leader, n, NO_WAIT);
        net.run(Duration::from_millis(300));
        net.crash(leader);
        net.run(SECOND * 2);
        net.start(leader);
    }
    net.run(SECOND * 3);
    let leader = net.await_leader();
    let stamps: Vec<u64> = net.group(leader).machine().items.iter().map(|(_, stamp)| *stamp).collect();
    assert_eq!(stamps.len(), 6);
    assert!(stamps.is_sorted(), "{stamps:?}");
}

#[test]
fn waiters_are_answered_in_order_once_they_are_released() {
    let mut net = Net::new(3, 6, Config::default());
    let leader = net.await_leader();
    let waiting: Vec<u64> = (1..=3).map(|n| net.submit(leader, -n, SECOND * 8)).collect();
    let impatient = net.submit(leader, -9, Duration::from_millis(200));
    net.run(SECOND);
    assert!(waiting.iter().all(|token| !net.replies.contains_key(token)));
    assert!(matches!(net.replies[&impatient], Reply::Applied(Err(_))), "the last refusal is the answer");
    net.submit(leader, 0, NO_WAIT);
    net.run(SECOND);
    assert_eq!(items(&net, leader), [0, -1, -2, -3]);
    assert!(waiting.iter().all(|token| matches!(net.replies[token], Reply::Applied(Ok(_)))));
}

#[test]
fn past_the_bound_a_request_is_refused_at_once() {
    let mut net = Net::new(3, 8, Config { max_in_flight: 4, ..Config::default() });
    let leader = net.await_leader();
    let tokens: Vec<u64> = (1..=6).map(|n| net.submit(leader, n, NO_WAIT)).collect();
    let refused = |token: &u64| matches!(net.replies.get(token), Some(Reply::Refused(r)) if r.is_definite());
    assert_eq!(tokens.iter().filter(|t| refused(t)).count(), 2);
    net.run(SECOND);
    assert_eq!(items(&net, leader), [1, 2, 3, 4]);
}

#[test]
fn what_waits_for_a_majority_is_bounded_in_bytes_too() {
    let config = Config { max_uncommitted_bytes: 60, max_message_bytes: 60, ..Config::default() };
    let mut net = Net::new(3, 8, config);
    let leader = net.await_leader();
    net.run(SECOND);
    let tokens: Vec<u64> = (1..=40).map(|n| net.submit(leader, n, NO_WAIT)).collect();
    let overloaded = |token: &&u64| matches!(net.replies.get(token), Some(Reply::Refused(Refusal::Overloaded { .. })));
    let refused = tokens.iter().filter(overloaded).count();
    assert!((1..40).contains(&refused), "{refused} were refused");
    net.run(SECOND);
    assert_eq!(items(&net, leader).len(), 40 - refused, "what was refused was not written, the rest was");
    let token = net.submit(leader, 99, NO_WAIT);
    net.run(SECOND);
    assert!(matches!(net.replies[&token], Reply::Applied(Ok(_))), "there is room again");
}

#[test]
fn few_large_entries_make_a_snapshot_too_and_little_stays_behind_it() {
    let config = Config { snapshot_bytes: 2_000, keep_bytes: 500, ..Config::default() };
    let mut net = Net::new(3, 9, config);
    let leader = net.await_leader();
    for n in 1..=400 {
        net.submit(leader, n, NO_WAIT);
        net.run(Duration::from_millis(10));
    }
    for id in 1..=3 {
        let status = net.group(id).status();
        assert!(status.snapshot > 200, "node {id}: {status:?}");
        // What was applied since the snapshot, as large as that one at most, and what stays behind it.
        let most = net.hosts[&id].disk.snapshot.as_ref().map_or(0, |s| s.data.len() as u64).max(2_000) + 500;
        assert!(status.log_bytes <= most + 200, "node {id}: {most} {status:?}");
    }
    assert_eq!(net.fatal, []);
}

#[test]
fn no_two_nodes_make_their_snapshots_at_the_same_entry() {
    let mut net = Net::new(5, 9, Config { snapshot_entries: 50, keep_entries: 5, ..Config::default() });
    let leader = net.await_leader();
    let mut taken: Vec<Vec<u64>> = vec![Vec::new(); 5];
    for n in 1..=300 {
        net.submit(leader, n, NO_WAIT);
        net.run(Duration::from_millis(10));
        for (id, taken) in (1..).zip(&mut taken) {
            let snapshot = net.group(id).status().snapshot;
            if snapshot > 1 && taken.last() != Some(&snapshot) {
                taken.push(snapshot);
            }
        }
    }
    let mut all: Vec<u64> = taken.iter().flatten().copied().collect();
    assert!(taken.iter().all(|taken| taken.len() >= 5), "{taken:?}");
    all.sort_unstable();
    assert!(all.windows(2).all(|pair| pair[1] - pair[0] > 2), "{taken:?}");
}

/// A node is not ready to serve while it lacks what the others have long decided.
#[test]
fn a_follower_that_is_far_behind_is_not_ready() {
    let mut net = Net::new(3, 9, Config::default());
    let leader = net.await_leader();
    let down = leader % 3 + 1;
    net.crash(down);
    for n in 1..=3_000 {
        net.submit(leader, n, NO_WAIT);
        if n % 100 == 0 {
            net.run(Duration::from_millis(50));
        }
    }
    net.slow_disks.insert(down, 2_000);
    net.start(down);
    net.run_until("its leader", |net| net.group(down).leader().is_some());
    net.run(SECOND);
    assert!(!net.group(down).status().ready, "{:?}", net.group(down).status());
    net.slow_disks.clear();
    net.run_until("its catching up", |net| net.group(down).status().ready);
    assert!(net.group(down).status().applied > 2_000);
}

#[test]
fn a_node_that_was_down_while_the_log_was_cut_comes_back_by_a_snapshot() {
    let mut net = Net::new(3, 9, Config { snapshot_entries: 20, keep_entries: 5, ..Config::default() });
    let leader = net.await_leader();
    let down = leader % 3 + 1;
    net.crash(down);
    for n in 1..=100 {
        net.submit(leader, n, NO_WAIT);
        net.run(Duration::from_millis(20));
    }
    assert!(net.group(leader).status().snapshot > 50);
    net.start(down);
    net.run(SECOND * 2);
    assert_eq!(items(&net, down), (1..=100).collect::<Vec<_>>());
}

/// Found by the simulator (level 2, seed 3380): raft panicked when such a node campaigned.
#[test]
fn a_node_whose_snapshot_is_not_durable_yet_does_not_campaign() {
    let snapshot_timeout = Duration::from_millis(500);
    let config = Config { snapshot_entries: 20, keep_entries: 5, snapshot_timeout, ..Config::default() };
    let mut net = Net::new(3, 9, config);
    let leader = net.await_leader();
    let down = leader % 3 + 1;
    net.crash(down);
    for n in 1..=100 {
        net.submit(leader, n, NO_WAIT);
        net.run(Duration::from_millis(20));
    }
    net.slow_disks.insert(down, 5_000);
    net.start(down);
    net.run_until("the snapshot's arrival", |net| net.group(down).status().applied > 50);
    net.isolate(down);
    net.run(SECOND);
    assert_eq!(net.group(down).status().role, Role::Follower);
    order_to_campaign(&mut net, leader, down);
    assert_eq!(net.group(down).status().role, Role::Follower);
    net.run(SECOND * 6);
    assert_eq!(net.group(down).status().role, Role::PreCandidate, "once it is durable it asks for votes");
    net.slow_disks.clear();
    net.cut.clear();
    net.run_until("its catching up", |net| items(net, down) == (1..=100).collect::<Vec<_>>());
    assert_eq!(net.fatal, []);
}

/// Found by the simulator (level 3, seed 22652): two voters of three were left that held anything, and one of them was lost.
#[test]
fn a_node_that_holds_nothing_yet_gets_no_vote() {
    let mut net = Net::new(3, 10, Config::default());
    let leader = net.await_leader();
    net.change(leader, Change::AddNode { name: "n4".into(), address: "x:1".into() });
    net.run(SECOND);
    net.slow_disks.insert(4, 5_000);
    net.add_host(4, Recovered::default());
    let votes = |net: &Net| net.group(leader).members().nodes.iter().any(|m| m.id == 4 && m.voter);
    net.run(SECOND * 2);
    assert!(!votes(&net));
    net.slow_disks.clear();
    net.run_until("its promotion", votes);
}

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

/// Found by the simulator (level 2, seed 540352): raft panicked when the leader that had removed itself heard of its own disk.
#[test]
fn a_leader_that_inherits_its_own_removal_steps_down() {
    let mut net = Net::new(3, 10, Config::default());
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

/// Loss, doubling, reordering, crashes between write and send, partitions. Returns the trace.
fn chaos(seed: u64, nodes: u64) -> u64 {
    let snapshot_timeout = Duration::from_millis(500);
    let config = Config { snapshot_entries: 30, keep_entries: 10, snapshot_timeout, ..Config::default() };
    let mut net = Net::new(nodes, seed, config);
    net.loss = 5;
    let (mut acknowledged, mut next) = (Vec::new(), 1);
    let mut asked = Vec::new();
    for _ in 0..150 {
        net.run(Duration::from_millis(20));
        let id = 1 + net.draw(nodes);
        match net.draw(20) {
            0 => net.crash(id),
            1 | 2 if net.hosts[&id].group.is_none() => net.start(id),
            3 => net.isolate(id),
            4 | 5 => net.cut.clear(),
            _ => {
                let to = net.leader().unwrap_or(id);
                asked.push((net.submit(to, next, NO_WAIT), next));
                next += 1;
            }
        }
    }
    net.cut.clear();
    net.loss = 0;
    for id in 1..=nodes {
        if net.hosts[&id].group.is_none() {
            net.start(id);
        }
    }
    net.run(SECOND * 3);
    let leader = net.await_leader();
    let last = net.submit(leader, 0, NO_WAIT);
    net.run(SECOND * 2);
    assert!(
        matches!(net.replies[&last], Reply::Applied(Ok(_))),
        "seed {seed}: the healed group serves: {:?}",
        net.replies[&last]
    );
    assert_eq!(net.fatal, [], "seed {seed}");
    acknowledged
        .extend(asked.iter().filter(|(t, _)| matches!(net.replies.get(t), Some(Reply::Applied(_)))).map(|(_, n)| *n));
    for id in 1..=nodes {
        let all = items(&net, id);
        assert_eq!(all, items(&net, leader), "seed {seed}: node {id} applied something else");
        assert!(
            acknowledged.iter().all(|n| all.contains(n)),
            "seed {seed}: an acknowledged write is gone from node {id}"
        );
        let definite =
            asked.iter().filter(|(t, _)| matches!(net.replies.get(t), Some(Reply::Refused(r)) if r.is_definite()));
        assert!(definite.map(|(_, n)| n).all(|n| !all.contains(n)), "seed {seed}: a definite refusal took place");
    }
    let stamps: Vec<u64> = net.group(leader).machine().items.iter().map(|(_, s)| *s).collect();
    assert!(stamps.is_sorted(), "seed {seed}: the lease clock fell");
    net.trace
}

#[test]
fn chaos_loses_nothing_that_was_acknowledged() {
    for seed in 0..150 {
        chaos(seed, 3);
    }
    for seed in 0..50 {
        chaos(seed, 5);
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in [1, 2, 3] {
        assert_eq!(chaos(seed, 3), chaos(seed, 3));
    }
    assert_ne!(chaos(1, 3), chaos(2, 3));
}
