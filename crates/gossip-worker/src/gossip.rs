//! The driver of the gossip: publishes what this node is, keeps the view of all. Nothing here decides a lease.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gossip_core::consensus::{Member, Role};
use gossip_core::membership::Status;
use gossip_core::mutants::Planted;
use gossip_core::node::facts::{APPLIED, BUILD, LEADER, LeaderHint, ROLE, SHARD_LOAD};
use gossip_core::node::{Config, Event, Input, Message, Node, Output, Peer, View};
use gossip_proto::v1;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::clock::Clock;
use crate::driver::{Handle, StatusPage};
use crate::transport::Outbound;

/// Between two looks at what there is to publish.
const PUBLISH: Duration = Duration::from_millis(250);

/// What this node's gossip knows. Clones share it.
#[derive(Clone, Debug)]
pub struct Known(Arc<Mutex<View>>);

impl Known {
    /// A member's health and the facts that it published, by Raft's number.
    pub fn of(&self, node: u64) -> (v1::Health, HashMap<String, String>) {
        let view = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(member) = view.members.get(&node) else { return (v1::Health::Unspecified, HashMap::new()) };
        let health = match member.standing.status {
            Status::Alive => v1::Health::Alive,
            Status::Suspect => v1::Health::Suspect,
            Status::Dead => v1::Health::Dead,
            Status::Left => v1::Health::Left,
        };
        (health, member.facts.clone().into_iter().collect())
    }

    /// Who leads, as far as anybody says: a hint, for when consensus here knows none.
    pub fn leader(&self) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).leader().map(|hint| hint.leader)
    }
}

/// Packets of other nodes on their way in.
pub type Packets = mpsc::Sender<(u64, Vec<u8>)>;

/// Gossip that waits here beyond this is lost, which it allows for.
const QUEUE: usize = 256;

/// The gossip of one node.
#[derive(Debug)]
pub struct Gossip {
    node: Node,
    clock: Clock,
    packets: mpsc::Receiver<(u64, Vec<u8>)>,
    outbound: Arc<Mutex<Outbound>>,
    core: Handle,
    known: Known,
    published: HashMap<&'static str, String>,
    leaving: bool,
    departed: bool,
}

impl Gossip {
    /// The gossip of node `id` at `address`, which begins with `members`.
    ///
    /// # Errors
    /// The address cannot be told to others.
    pub fn new(
        (id, address): (u64, &str),
        members: &[Member],
        mut clock: Clock,
        planted: Planted,
        outbound: Arc<Mutex<Outbound>>,
        core: Handle,
    ) -> Result<(Self, Packets, Known), String> {
        let now = clock.now();
        let incarnation = clock.wall_ms();
        let mut node = Node::with_bug(Config::new(id, address, incarnation, now.as_nanos() ^ id), now, planted)
            .map_err(|e| e.to_string())?;
        join(&mut node, members, &mut clock);
        let (packets, receiver) = mpsc::channel(QUEUE);
        let known = Known(Arc::new(Mutex::new(node.view())));
        let published = HashMap::new();
        let gossip = Gossip {
            node,
            clock,
            packets: receiver,
            outbound,
            core,
            known: known.clone(),
            published,
            leaving: false,
            departed: false,
        };
        Ok((gossip, packets, known))
    }

    /// Runs until `leaving` turns true and the farewell is said.
    pub async fn run(mut self, mut leaving: watch::Receiver<bool>) {
        let mut publish = tokio::time::interval(PUBLISH);
        publish.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !self.departed {
            let patience = self.clock.until(self.node.deadline());
            let input = tokio::select! {
                packet = timeout(patience, self.packets.recv()) => match packet {
                    Ok(Some((from, bytes))) => match Message::decode(&bytes) {
                        Ok(message) => Input::Packet { from, message },
                        Err(error) => {
                            tracing::debug!(from, %error, "gossip refused");
                            continue;
                        }
                    },
                    Ok(None) => return,
                    Err(_) => Input::Tick,
                },
                _ = publish.tick() => {
                    self.publish().await;
                    Input::Tick
                }
                asked = async { leaving.wait_for(|leaving| *leaving).await.is_ok() }, if !self.leaving => {
                    if !asked {
                        return;
                    }
                    self.leaving = true;
                    Input::Leave
                }
            };
            self.handle(input);
        }
    }

    fn handle(&mut self, input: Input) {
        let now = self.clock.now();
        if let Err(error) = self.node.handle(now, input) {
            tracing::debug!(%error, "gossip refused");
        }
        let mut changed = false;
        while let Some(output) = self.node.poll() {
            match output {
                Output::Send { to, message } => {
                    let address = self.node.address(to).map(str::to_owned);
                    let mut outbound = self.outbound.lock().unwrap_or_else(PoisonError::into_inner);
                    outbound.gossip(to, address, message.encode());
                }
                Output::Event(event) => {
                    changed = true;
                    self.note(&event);
                }
            }
        }
        if changed {
            *self.known.0.lock().unwrap_or_else(PoisonError::into_inner) = self.node.view();
        }
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::MemberSuspect(node) => tracing::debug!(node, "suspected"),
            Event::MemberDead(node) => tracing::info!(node, "taken for dead"),
            Event::MemberAlive(node) => tracing::debug!(node, "alive"),
            Event::Departed => self.departed = true,
            Event::MemberLeft(_) | Event::MemberForgotten(_) | Event::FactChanged { .. } => {}
        }
    }

    /// Publishes what has changed about this node, and learns of members that consensus has added.
    async fn publish(&mut self) {
        let Some(page) = self.core.status().await else { return };
        for (key, value) in facts(&page) {
            if self.published.get(key) != Some(&value) {
                self.published.insert(key, value.clone());
                self.handle(Input::Publish { key: key.into(), value });
            }
        }
        join(&mut self.node, &page.members.nodes, &mut self.clock);
    }
}

fn join(node: &mut Node, members: &[Member], clock: &mut Clock) {
    let strangers = members.iter().filter(|member| node.address(member.id).is_none());
    let peers: Vec<Peer> = strangers.map(|member| Peer { id: member.id, address: member.address.clone() }).collect();
    if !peers.is_empty()
        && let Err(error) = node.handle(clock.now(), Input::Join { peers })
    {
        tracing::debug!(%error, "gossip refused");
    }
}

fn facts(page: &StatusPage) -> Vec<(&'static str, String)> {
    let status = &page.status;
    let role = match status.role {
        Role::Leader => "leader",
        Role::Follower => "follower",
        Role::PreCandidate | Role::Candidate => "candidate",
        Role::Learner => "learner",
    };
    let mut facts = vec![
        (ROLE, role.to_owned()),
        (APPLIED, status.applied.to_string()),
        (BUILD, concat!("gossip-worker ", env!("CARGO_PKG_VERSION")).to_owned()),
        (SHARD_LOAD, page.active_shards.to_string()),
    ];
    if let Some(leader) = status.leader {
        facts.push((LEADER, LeaderHint { term: status.term, leader }.to_string()));
    }
    facts
}
