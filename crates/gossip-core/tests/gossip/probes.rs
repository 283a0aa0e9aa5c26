//! Single probes and single accusations, message by message.

use std::time::Duration;

use gossip_core::membership::{Claim, NodeId, ProbeMessage, Standing, Status};
use gossip_core::mutants::Planted;
use gossip_core::node::{Body, Config, Event, Input, Message, Node, Output};
use gossip_core::time::Time;

use crate::net::{self, Net, Plan};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// Node 1 among nodes 2 to 5, whose every message is ours to write.
struct Alone {
    node: Node,
    now: Time,
    sent: Vec<(NodeId, ProbeMessage)>,
    events: Vec<Event>,
}

impl Alone {
    fn new(planted: Planted) -> Self {
        let now = Time::from_millis(1000);
        let node = Node::with_bug(Config::new(1, net::address(1), 1, 7), now, planted).expect("good settings");
        let mut alone = Alone { node, now, sent: Vec::new(), events: Vec::new() };
        for id in 2..=5 {
            let standing = Standing { incarnation: 1, status: Status::Alive };
            let claim = Claim { node: id, standing, by: id, address: net::address(id) };
            alone.hear(id, vec![claim], ProbeMessage::News);
        }
        alone
    }

    fn hear(&mut self, from: NodeId, claims: Vec<Claim>, message: ProbeMessage) {
        self.handle(Input::Packet { from, message: Message { claims, body: Body::Probe(message) } });
    }

    fn handle(&mut self, input: Input) {
        self.node.handle(self.now, input).expect("good input");
        while let Some(output) = self.node.poll() {
            match output {
                Output::Send { to, message: Message { body: Body::Probe(probe), .. } } => self.sent.push((to, probe)),
                Output::Send { .. } => {}
                Output::Event(event) => self.events.push(event),
            }
        }
    }

    /// Lets time pass, on time.
    fn run_until(&mut self, end: Time) {
        while self.node.deadline() <= end {
            self.now = self.now.max(self.node.deadline());
            self.handle(Input::Tick);
        }
        self.now = end;
    }

    /// Lets time pass until this many messages that `suit` were sent; those.
    fn run_until_sent(&mut self, count: usize, suit: impl Fn(&ProbeMessage) -> bool) -> Vec<(NodeId, ProbeMessage)> {
        loop {
            let found: Vec<_> = self.sent.iter().filter(|(_, message)| suit(message)).copied().collect();
            if found.len() >= count {
                self.sent.clear();
                return found;
            }
            self.run_until(self.node.deadline());
        }
    }
}

/// The link to the target is gone. A helper says at 400 ms that nothing came yet, as it must, and at 600 ms that something did.
/// True if the target is suspected all the same.
pub(crate) fn is_suspected_after_a_late_ack(planted: Planted) -> bool {
    let mut alone = Alone::new(planted);
    // It overslept a probe, so its local health is 1 and it waits a second for its helpers.
    alone.run_until_sent(1, |message| matches!(message, ProbeMessage::Ping { .. }));
    alone.now = alone.node.deadline() + 3 * SECOND;
    alone.handle(Input::Tick);
    assert_eq!(alone.node.membership().health(), 1);
    alone.sent.clear();
    let (target, _) = alone.run_until_sent(1, |message| matches!(message, ProbeMessage::Ping { .. }))[0];
    let asked = alone.run_until_sent(3, |message| matches!(message, ProbeMessage::PingReq { .. }));
    let start = alone.now;
    for (at, say) in [(400 * MS, true), (600 * MS, false)] {
        alone.run_until(start + at);
        for (helper, message) in &asked {
            let ProbeMessage::PingReq { seq, target: about } = *message else { continue };
            assert_eq!(about, target);
            let message = if say { ProbeMessage::Nack { seq } } else { ProbeMessage::Ack { seq } };
            alone.hear(*helper, Vec::new(), message);
        }
    }
    alone.run_until(start + SECOND);
    alone.events.contains(&Event::MemberSuspect(target))
}

#[test]
fn an_ack_counts_also_after_a_nack() {
    assert!(!is_suspected_after_a_late_ack(Planted::NONE));
}

/// A helper goes on waiting for the target for as long as the slowest asker may.
#[test]
fn a_helper_says_nack_in_time_and_passes_an_ack_on_later() {
    let mut alone = Alone::new(Planted::NONE);
    alone.sent.clear();
    alone.hear(2, Vec::new(), ProbeMessage::PingReq { seq: 77, target: 3 });
    let pinged = alone.run_until_sent(1, |message| matches!(message, ProbeMessage::Ping { .. }));
    let [(3, ProbeMessage::Ping { seq })] = pinged[..] else { panic!("{pinged:?}") };
    let start = alone.now;
    assert_eq!(
        alone.run_until_sent(1, |message| matches!(message, ProbeMessage::Nack { .. })),
        [(2, ProbeMessage::Nack { seq: 77 })]
    );
    assert_eq!(alone.now - start, 400 * MS);
    alone.run_until(start + 4 * SECOND);
    alone.hear(3, Vec::new(), ProbeMessage::Ack { seq });
    assert!(alone.sent.contains(&(2, ProbeMessage::Ack { seq: 77 })), "{:?}", alone.sent);
}

/// Nobody probes; node 25 is gone, and some say that they probed it in vain. How many confirmations each of the others counts.
pub(crate) fn confirmations(accusers: &[NodeId], planted: Planted) -> Vec<Option<usize>> {
    let tune = |config: &mut Config| config.membership.probe_interval = 1000 * SECOND;
    let mut net = Net::joined(25, Plan { planted, tune, ..Plan::default() });
    net.crash(25);
    let standing = net.node(1).membership().standing(25).expect("a member");
    for by in accusers {
        let standing = Standing { status: Status::Suspect, ..standing };
        let claim = Claim { node: 25, standing, by: *by, address: String::new() };
        let message = Message { claims: vec![claim], body: Body::Probe(ProbeMessage::News) };
        net.input(by % 24 + 1, Input::Packet { from: *by, message });
    }
    net.run(30 * SECOND);
    (1..25).map(|id| net.confirmations(id, 25)).collect()
}

/// However many pass an accusation on, it stays one accusation (Lifeguard, section IV.B).
#[test]
fn one_accuser_confirms_nothing() {
    assert_eq!(confirmations(&[2], Planted::NONE), [Some(0); 24]);
}

#[test]
fn two_accusers_are_one_confirmation() {
    let counted = confirmations(&[2, 9], Planted::NONE);
    assert!(counted.iter().all(|count| matches!(count, Some(0 | 1))), "{counted:?}");
    assert!(counted.iter().filter(|count| **count == Some(1)).count() >= 12, "{counted:?}");
}
