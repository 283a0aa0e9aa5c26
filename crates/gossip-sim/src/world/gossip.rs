//! The gossip of each process: membership and facts, beside the group and on the same network, disks apart.
//!
//! It is driven as the service drives it: whom consensus has as members is told to it, and now and then what the process has to say
//! about itself is published. Its incarnation is the wall clock at the start, which may have jumped.

use std::time::Duration;

use gossip_check::history::{Map, Value};
use gossip_core::consensus::{NodeId, Role};
use gossip_core::membership;
use gossip_core::node::{Config, Event as Change, Input, Message, Node, Output, Peer, facts};
use gossip_core::time::Time;

use super::queue::{MILLI, Nanos};
use super::{Event, World, address};
use crate::faults::Fault;
use crate::reach::Event as Rare;
use crate::rng::{Rng, Subject};

/// How often a process looks whether it has something new to say.
const PUBLISH: Duration = Duration::from_millis(500);
/// Packets that wait at a stopped process before more are lost.
const BACKLOG: usize = 256;
/// What each node counts up to show that news travels.
const BEAT: &str = "beat";
/// Once in so many times that it looks.
const BEAT_EVERY: u64 = 4;
/// The first number of the processes under which nodes stand in the history.
const VOICES: i64 = 1 << 32;

/// The gossip of one process.
#[derive(Debug)]
pub(super) struct Talk {
    node: Node,
    /// On its own clock.
    next_publish: Time,
    published: u64,
    /// Members that it was told of.
    told: Vec<NodeId>,
    /// What came while the process was stopped.
    inbox: Vec<(NodeId, Box<Message>)>,
    wake: Nanos,
}

/// A packet on its way.
#[derive(Debug)]
pub(super) struct Packet {
    pub(super) from: NodeId,
    pub(super) to: NodeId,
    pub(super) message: Box<Message>,
}

/// Faster than the service, whose suspicions alone may outlast a run.
fn settings() -> membership::Config {
    membership::Config {
        probe_interval: Duration::from_millis(300),
        probe_timeout: Duration::from_millis(150),
        news_interval: Duration::from_millis(100),
        ..membership::Config::default()
    }
}

impl World {
    /// Begins to gossip, in a process that has just started.
    pub(super) fn start_gossip(&mut self, place: usize) {
        if !self.options.gossip {
            return;
        }
        let now = self.queue.now();
        let machine = &mut self.machines[place];
        if machine.clock.wall_offset() != 0 {
            self.reach.fault(Fault::WallJump);
        }
        let incarnation = machine.clock.wall(now) / MILLI;
        let time = machine.clock.read(now);
        let seed = machine.seed ^ u64::from(machine.life).rotate_left(32);
        let mut config = Config::new(machine.id, address(&machine.name), incarnation, seed);
        config.membership = settings();
        let node = Node::with_bug(config, time, self.planted).expect("the address of a node is a good one");
        let talk =
            Talk { node, next_publish: time, published: 0, told: Vec::new(), inbox: Vec::new(), wake: Nanos::MAX };
        if let Some(process) = &mut machine.process {
            process.talk = Some(talk);
        }
        self.publish(place);
        self.beat(place);
    }

    /// Publishes what has changed about this process, and learns of members that consensus has added.
    fn publish(&mut self, place: usize) {
        let now = self.queue.now();
        let machine = &mut self.machines[place];
        let Some(process) = &mut machine.process else { return };
        let Some(talk) = &mut process.talk else { return };
        talk.next_publish = machine.clock.read(now) + PUBLISH;
        talk.published += 1;
        let status = process.group.status();
        let role = match status.role {
            Role::Leader => "leader",
            Role::Follower => "follower",
            Role::PreCandidate | Role::Candidate => "candidate",
            Role::Learner => "learner",
        };
        let leader = status.leader.map(|leader| facts::LeaderHint { term: status.term, leader }.to_string());
        let nodes = &process.group.members().nodes;
        let members: Vec<NodeId> = nodes.iter().map(|member| member.id).collect();
        let peers = nodes.iter().map(|member| Peer { id: member.id, address: member.address.clone() });
        let join = (members != talk.told).then(|| Input::Join { peers: peers.collect() });
        talk.told = members;
        self.gossip(place, Input::Publish { key: facts::ROLE.into(), value: role.into() });
        if let Some(value) = leader {
            self.gossip(place, Input::Publish { key: facts::LEADER.into(), value });
        }
        if let Some(join) = join {
            self.gossip(place, join);
        }
    }

    /// Counts up, for all to hear.
    fn beat(&mut self, place: usize) {
        let now = self.queue.now();
        let machine = &mut self.machines[place];
        machine.beat += 1;
        let version = Value::Int(machine.beat);
        let value = Value::map([("node", machine.name.as_str()), ("key", BEAT)]).with("version", version);
        let input = Input::Publish { key: BEAT.into(), value: machine.beat.to_string() };
        let voice = VOICES + place as i64;
        self.history.invoke(now, voice, "publish", value.clone());
        self.gossip(place, input);
        self.history.ok(now, voice, "publish", value);
    }

    /// Hands one input to the gossip of the process in this place, and takes what comes of it.
    fn gossip(&mut self, place: usize, input: Input) {
        let now = self.queue.now();
        let machine = &mut self.machines[place];
        let from = machine.id;
        let time = machine.clock.read(now);
        let Some(talk) = machine.process.as_mut().and_then(|process| process.talk.as_mut()) else { return };
        talk.node.handle(time, input).expect("nodes say nothing that nodes refuse");
        let mut packets = Vec::new();
        while let Some(output) = talk.node.poll() {
            match output {
                Output::Send { to, message } => packets.push(Packet { from, to, message: Box::new(message) }),
                Output::Event(Change::MemberDead(_)) => self.reach.event(Rare::MemberDead),
                Output::Event(_) => {}
            }
        }
        packets.into_iter().for_each(|packet| self.send_packet(place, packet));
        self.plan_gossip(place);
    }

    fn send_packet(&mut self, from: usize, packet: Packet) {
        let now = self.queue.now();
        self.trace.mark(now, 0x800 | from as u64 | packet.to << 16);
        let Some(to) = self.place_of(packet.to).filter(|&to| !self.is_hushed(from, to)) else { return };
        let journey = self.net.send(now, from, to, &mut self.reach);
        let Some(first) = journey.first else { return };
        if let Some(copy) = journey.copy {
            let packet = Packet { message: packet.message.clone(), ..packet };
            self.queue.after(copy, Event::Packet { to, packet });
        }
        self.queue.after(first, Event::Packet { to, packet });
    }

    pub(super) fn packet(&mut self, to: usize, packet: Packet) {
        let Packet { from, to: id, message } = packet;
        let machine = &mut self.machines[to];
        let Some(process) = machine.process.as_mut().filter(|_| machine.id == id) else { return };
        let Some(talk) = &mut process.talk else { return };
        if process.stopped.is_none() {
            self.packets += 1;
            self.gossip(to, Input::Packet { from, message: *message });
        } else if talk.inbox.len() < BACKLOG {
            talk.inbox.push((from, message));
        }
    }

    /// The process goes on: first of all it notices how late it is.
    pub(super) fn resume_gossip(&mut self, place: usize) {
        let talk = self.machines[place].process.as_mut().and_then(|process| process.talk.as_mut());
        let Some(inbox) = talk.map(|talk| std::mem::take(&mut talk.inbox)) else { return };
        for (from, message) in inbox {
            self.gossip(place, Input::Packet { from, message: *message });
        }
        self.replan_gossip(place);
    }

    /// Its clock runs at another rate, or nothing of what was planned counts any more.
    pub(super) fn replan_gossip(&mut self, place: usize) {
        if let Some(talk) = self.machines[place].process.as_mut().and_then(|process| process.talk.as_mut()) {
            talk.wake = Nanos::MAX;
        }
        self.plan_gossip(place);
    }

    fn plan_gossip(&mut self, place: usize) {
        let now = self.queue.now();
        let machine = &mut self.machines[place];
        let Some(talk) = machine.process.as_mut().and_then(|process| process.talk.as_mut()) else { return };
        let Some(when) = machine.clock.when(talk.node.deadline().min(talk.next_publish), now) else { return };
        if when < talk.wake {
            talk.wake = when;
            self.queue.at(when, Event::GossipWake { place, life: machine.life });
        }
    }

    pub(super) fn wake_gossip(&mut self, place: usize, life: u32) {
        let now = self.queue.now();
        let storms = self.finish.is_none();
        let machine = &mut self.machines[place];
        if machine.life != life || !machine.is_up() {
            return;
        }
        let time = machine.clock.read(now);
        let Some(talk) = machine.process.as_mut().and_then(|process| process.talk.as_mut()) else { return };
        if talk.wake > now {
            return;
        }
        talk.wake = Nanos::MAX;
        if time >= talk.next_publish {
            // Convergence is asked for after the last change.
            let beats = storms && talk.published.is_multiple_of(BEAT_EVERY);
            self.publish(place);
            if beats {
                self.beat(place);
            }
        }
        self.gossip(place, Input::Tick);
    }

    /// When all else is done two nodes no longer hear each other's gossip, and every node has something new to say: what the
    /// others have of it must do.
    pub(super) fn hush(&mut self) {
        let mut rng = Rng::stream(self.options.seed, Subject::Hush);
        let n = self.machines.len();
        let a = rng.index(n);
        self.hushed = Some((a, (a + 1 + rng.index(n - 1)) % n));
        self.trace.line(self.queue.now(), || format!("HUSH {:?}", self.hushed));
        (0..n).for_each(|place| self.beat(place));
    }

    fn is_hushed(&self, from: usize, to: usize) -> bool {
        self.hushed.is_some_and(|pair| pair == (from, to) || pair == (to, from))
    }

    /// Whether every node sees the same.
    pub(super) fn views_agree(&self) -> bool {
        let views: Vec<Value> = (0..self.machines.len()).filter_map(|place| self.view(place)).collect();
        views.windows(2).all(|pair| pair[0] == pair[1])
    }

    /// Every node's view stands at the end of the history.
    pub(super) fn read_views(&mut self) {
        let now = self.queue.now();
        for place in 0..self.machines.len() {
            let Some(view) = self.view(place) else { continue };
            let sent = Value::map([("node", self.machines[place].name.as_str())]).with("final?", true);
            let voice = VOICES + place as i64;
            self.history.invoke(now, voice, "read-view", sent.clone());
            self.history.ok(now, voice, "read-view", sent.with("view", view));
        }
    }

    /// What the node in this place sees of each node that is there: how it stands and what it says. Those that are gone are
    /// left out: a node that came later is not told of them (`docs/gossip.md`).
    fn view(&self, place: usize) -> Option<Value> {
        let talk = self.machines[place].process.as_ref()?.talk.as_ref()?;
        let mut seen = Map::new();
        for (id, member) in talk.node.view().members {
            if !member.standing.status.is_live() {
                continue;
            }
            let machine = &self.machines[*self.places.get(id as usize)?];
            // A number that the machine has no more is not forgotten yet where this stands.
            let name = if machine.id == id { machine.name.clone() } else { format!("{}#{id}", machine.name) };
            let mut said = Map::new();
            for (key, value) in member.facts {
                let number = value.parse().ok().filter(|_| key == BEAT).map(Value::Int);
                said.insert(Value::Str(key), number.unwrap_or(Value::Str(value)));
            }
            let standing = format!("{:?}", member.standing.status).to_ascii_lowercase();
            said.insert("standing".into(), Value::keyword(standing));
            seen.insert(name.into(), said.into());
        }
        Some(seen.into())
    }
}
