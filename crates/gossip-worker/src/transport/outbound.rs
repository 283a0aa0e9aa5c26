//! The way out: one queue and one link for each peer, made when there is something to send.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use gossip_core::consensus::{Member, NodeId};
use raft::eraftpb::{Message, MessageType};
use tokio::runtime;

use super::Local;
use super::link::{self, Peer};
use super::queue::{Queue, queue};
use crate::driver::Handle;

/// Everyone's links. Called by the core; never blocks.
#[derive(Debug)]
pub struct Outbound {
    local: Local,
    /// Where to reach the founding nodes, until the group itself knows.
    known: BTreeMap<NodeId, String>,
    /// Detours by name: dial this instead of the member's address.
    detours: BTreeMap<String, String>,
    names: BTreeMap<NodeId, String>,
    links: BTreeMap<NodeId, Link>,
    runtime: runtime::Handle,
    core: Arc<OnceLock<Handle>>,
}

#[derive(Debug)]
struct Link {
    address: String,
    queue: Queue,
}

impl Outbound {
    /// Links of `local`, which first knows `members` and takes `detours` (peer name to address) to some of them. The core's
    /// handle is set in `core` before the first message.
    pub fn new(
        local: Local,
        members: &[Member],
        detours: BTreeMap<String, String>,
        core: Arc<OnceLock<Handle>>,
        runtime: runtime::Handle,
    ) -> Self {
        let mut outbound = Outbound {
            local,
            known: BTreeMap::new(),
            detours,
            names: BTreeMap::new(),
            links: BTreeMap::new(),
            runtime,
            core,
        };
        outbound.learn(members);
        outbound
    }

    /// Where a member is dialled.
    fn dialled<'a>(&'a self, member: &'a Member) -> &'a String {
        self.detours.get(&member.name).unwrap_or(&member.address)
    }

    fn learn(&mut self, members: &[Member]) {
        for member in members {
            let address = self.dialled(member);
            if self.known.get(&member.id) != Some(address) {
                let address = address.clone();
                self.known.insert(member.id, address);
                self.names.insert(member.id, member.name.clone());
            }
        }
    }

    /// Sends a message of the group; `members` as they stand.
    pub fn send(&mut self, message: Message, members: &[Member]) {
        let to = message.to;
        let snapshot = message.get_msg_type() == MessageType::MsgSnapshot;
        let sent = self.link(to, members).is_some_and(|link| link.queue.raft(Box::new(message)));
        if sent {
            return;
        }
        let name = self.names.get(&to).cloned().unwrap_or_default();
        metrics::counter!("gossip_peer_dropped_messages_total", "peer" => name).increment(1);
        if let Some(core) = self.core.get() {
            core.unreachable(to);
            if snapshot {
                core.snapshot_sent(to, false);
            }
        }
    }

    /// Sends a packet of the gossip to a node that consensus may not know yet.
    pub fn gossip(&mut self, to: NodeId, address: Option<String>, packet: Vec<u8>) {
        if let Some(address) = address
            && !self.known.contains_key(&to)
        {
            self.known.insert(to, address);
        }
        // Gossip allows for loss, which is no matter of the group's.
        if !self.link(to, &[]).is_some_and(|link| link.queue.gossip(packet)) {
            let name = self.names.get(&to).cloned().unwrap_or_default();
            metrics::counter!("gossip_peer_dropped_packets_total", "peer" => name).increment(1);
        }
    }

    /// The link to a node, made if there is none; `None` if nobody knows where it is.
    fn link(&mut self, to: NodeId, members: &[Member]) -> Option<&Link> {
        // What the gossip said of an address gives way to what the group decided.
        let member = members.iter().find(|member| member.id == to);
        let misled = member.is_some_and(|member| self.known.get(&to) != Some(self.dialled(member)));
        if misled || !self.known.contains_key(&to) || self.links.len() > members.len() {
            self.learn(members);
            // A link to a node that was removed ends with its queue; the founding nodes count until the group knows its members.
            if !members.is_empty() {
                self.links.retain(|id, _| members.iter().any(|member| member.id == *id));
            }
        }
        let address = self.known.get(&to)?;
        let core = self.core.get()?;
        if self.links.get(&to).is_none_or(|link| link.address != *address) {
            let (queue, waiting) = queue();
            let peer = Peer { id: to, address: address.clone() };
            self.runtime.spawn(link::run(self.local.clone(), peer, waiting, core.clone()));
            self.links.insert(to, Link { address: address.clone(), queue });
        }
        self.links.get(&to)
    }
}
