//! The links between nodes, and between clients and nodes, with a proxy on each that a nemesis may spoil.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::proxy::{Link, Rule, Way};
use crate::schedule::How;

/// A proxy for each directed pair of nodes: `(from, to)` carries what `from` dials.
#[derive(Debug, Default)]
pub struct Wiring {
    peers: BTreeMap<(usize, usize), Link>,
    clients: Vec<Link>,
}

impl Wiring {
    /// Opens a proxy on every peer link, if `peers`, and before every node, if `clients`.
    ///
    /// # Errors
    /// When a port cannot be had.
    pub async fn open(addresses: &[SocketAddr], peers: bool, clients: bool) -> Result<Wiring> {
        let mut wiring = Wiring::default();
        for (to, address) in addresses.iter().enumerate() {
            if clients {
                wiring.clients.push(Link::open(*address).await.context("opening a fault proxy")?);
            }
            for from in (0..addresses.len()).filter(|from| peers && *from != to) {
                wiring.peers.insert((from, to), Link::open(*address).await.context("opening a fault proxy")?);
            }
        }
        Ok(wiring)
    }

    /// Where `from` dials to reach `to`, if not directly.
    pub fn via(&self, from: usize, to: usize) -> Option<SocketAddr> {
        self.peers.get(&(from, to)).map(Link::address)
    }

    /// Where clients dial to reach `node`, if not directly.
    pub fn client_via(&self, node: usize) -> Option<SocketAddr> {
        self.clients.get(node).map(Link::address)
    }

    /// Spoils what flows from a node to a node wherever `cut(from, to)` says so, and mends every other peer link. Messages flow
    /// on both links of a pair: on the one that their sender dialled, and back on the one that their receiver dialled.
    pub fn spoil(&self, way: Way, cut: impl Fn(usize, usize) -> bool) {
        for (&(from, to), link) in &self.peers {
            let pick = |hit: bool| if hit { way } else { Way::Pass };
            link.set(Rule { forward: pick(cut(from, to)), backward: pick(cut(to, from)) });
        }
    }

    /// Mends every peer link.
    pub fn mend(&self) {
        self.spoil(Way::Pass, |_, _| false);
    }

    /// Sets what happens between clients and `node`.
    pub fn set_client(&self, node: usize, rule: Rule) {
        if let Some(link) = self.clients.get(node) {
            link.set(rule);
        }
    }

    /// Mends the ways of all clients.
    pub fn mend_clients(&self) {
        for link in &self.clients {
            link.set(Rule::default());
        }
    }

    /// How often a fault took an effect so far on the links that carry what `cut` stops.
    pub fn effects(&self, cut: impl Fn(usize, usize) -> bool) -> u64 {
        let hit = self.peers.iter().filter(|((from, to), _)| cut(*from, *to) || cut(*to, *from));
        hit.map(|(_, link)| link.counters().effects()).sum()
    }

    /// How often a fault took an effect so far between clients and `node`.
    pub fn client_effects(&self, node: usize) -> u64 {
        self.clients.get(node).map_or(0, |link| link.counters().effects())
    }
}

impl From<How> for Way {
    fn from(how: How) -> Way {
        match how {
            How::Drop => Way::Drop,
            How::Tear { after } => Way::Tear { after },
            How::Delay { millis } => Way::Delay(Duration::from_millis(millis)),
            How::Throttle { bytes_per_second } => Way::Throttle(bytes_per_second),
        }
    }
}
