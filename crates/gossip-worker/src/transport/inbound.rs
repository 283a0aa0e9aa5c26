//! The way in: streams of other nodes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use gossip_core::consensus::Members;
use gossip_proto::errors::{ErrorDetail, broken};
use gossip_proto::v1;
use gossip_proto::v1::peer_message::Message as Frame;
use gossip_proto::v1::peer_service_server::PeerService;
use tokio::sync::{oneshot, watch};
use tonic::{Request, Response, Status, Streaming};

use super::{Local, MAX_SNAPSHOT, codec};
use crate::driver::Handle;
use crate::gossip::Packets;
use crate::store::{Card, Stranger};

/// Who may send messages to this node.
///
/// A number that the group has given and that no member has any more is that of a removed node. A number beyond those it has given
/// is let in: a node that is far behind hears of new members, and of the leader among them, from nobody else.
#[derive(Clone, Debug)]
pub struct Roster {
    local: Local,
    core: Handle,
    card: Arc<Card>,
}

impl Roster {
    /// The roster of `local`, whose data folder has `card`.
    pub fn new(local: Local, core: Handle, card: Arc<Card>) -> Self {
        Roster { local, core, card }
    }

    /// Lets the node in that says `hello`, and remembers it unless it only wants to `look`.
    async fn admit(&self, hello: &v1::PeerHello, look: bool) -> Result<(), Status> {
        self.check_cluster(hello)?;
        let (id, name, own) = (hello.from, &hello.from_name, &self.local.name);
        if removed(&self.core, id) {
            let problem = format!("{own} says: {name} (node {id}) was removed from the cluster");
            return Err(refusal("NODE_REMOVED", problem));
        }
        let known = match self.card.knows(id, hello.life) {
            Ok(None) if !look => self.remember(id, hello.life).await?,
            Ok(_) => Ok(()),
            Err(stranger) => Err(stranger),
        };
        known.map_err(|stranger| match stranger {
            Stranger::OtherLife => refusal(
                "NODE_REPLACED",
                format!(
                    "{own} has known {name} (node {id}) with another data folder: what it had acknowledged is lost. Remove it \
                     from the cluster, empty its folder, add it again"
                ),
            ),
            Stranger::TooMany => refusal("CLUSTER_MISMATCH", format!("{own} knows too many nodes to take {name} for one")),
        })
    }

    fn check_cluster(&self, hello: &v1::PeerHello) -> Result<(), Status> {
        let Local { cluster, id, name, founding, .. } = &self.local;
        if hello.cluster_id == *cluster && hello.to == *id && hello.life != 0 && hello.from != *id {
            return Ok(());
        }
        let mut problem = format!(
            "{} (node {} of cluster {}) looks for node {}; this is {name}, node {id} of cluster {cluster}",
            hello.from_name, hello.from, hello.cluster_id, hello.to
        );
        if !hello.founding.is_empty() && !founding.is_empty() && hello.founding != *founding {
            problem = format!(
                "{} and {name} were not founded with the same flags: {} has {}; {name} has {founding}",
                hello.from_name, hello.from_name, hello.founding
            );
        }
        let lives = self.card.identity().met;
        Err(ErrorDetail::new("CLUSTER_MISMATCH", problem).with("founded", lives).into_status())
    }

    async fn remember(&self, id: u64, life: u64) -> Result<Result<(), Stranger>, Status> {
        let (card, core) = (Arc::clone(&self.card), self.core.clone());
        // It is written and synced.
        let written = tokio::task::spawn_blocking(move || card.remember(id, life, |id| removed(&core, id)));
        match written.await {
            Ok(Ok(known)) => Ok(known),
            Ok(Err(error)) => Err(broken(error.to_string())),
            Err(error) => Err(broken(error.to_string())),
        }
    }
}

fn removed(core: &Handle, id: u64) -> bool {
    lacks(&core.members().borrow(), id)
}

/// Whether this number was given to a node that is a member no more.
fn lacks(members: &Members, id: u64) -> bool {
    id < members.next_id && !members.nodes.iter().any(|member| member.id == id)
}

fn refusal(reason: &str, problem: String) -> Status {
    ErrorDetail::new(reason, problem).into_status()
}

/// The peer service.
#[derive(Debug)]
pub struct Inbound {
    roster: Roster,
    gossip: Packets,
    met: watch::Receiver<bool>,
    draining: watch::Receiver<bool>,
    /// Of each node the newest stream: its end is dropped when the next one comes.
    streams: Mutex<BTreeMap<u64, oneshot::Sender<()>>>,
    warned: Mutex<BTreeMap<u64, String>>,
}

impl Inbound {
    /// Serves the peers on `roster` until `draining` turns true.
    pub fn new(roster: Roster, gossip: Packets, draining: watch::Receiver<bool>) -> Self {
        let met = roster.card.met();
        Inbound { roster, gossip, met, draining, streams: Mutex::default(), warned: Mutex::default() }
    }

    async fn admit(&self, hello: &v1::PeerHello, look: bool) -> Result<(), Status> {
        let outcome = self.roster.admit(hello, look).await;
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        match &outcome {
            Ok(()) => drop(warned.remove(&hello.from)),
            // Numbers come from outside: there are not many, or somebody makes them up.
            Err(_) if warned.len() > 64 => {}
            Err(status) => {
                let problem = status.message().to_owned();
                if warned.get(&hello.from) != Some(&problem) {
                    tracing::warn!(peer = hello.from, name = hello.from_name, %problem, "a peer was refused");
                    warned.insert(hello.from, problem);
                }
            }
        }
        outcome
    }

    /// Ends the stream that this node had before.
    fn replace_stream(&self, from: u64) -> oneshot::Receiver<()> {
        let (end, ended) = oneshot::channel();
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).insert(from, end);
        ended
    }

    /// Takes one frame; `false` when it breaks the rules.
    async fn take(&self, from: u64, frame: v1::PeerMessage, snapshot: &mut Snapshot) -> bool {
        match frame.message {
            Some(Frame::SnapshotBytes(bytes)) => return snapshot.announce(bytes),
            Some(Frame::SnapshotPart(part)) => return snapshot.extend(&part),
            Some(Frame::Raft(message)) => {
                let data = if message.snapshot.is_some() { snapshot.take() } else { Some(Vec::new()) };
                let Some(data) = data else { return false };
                // A peer speaks for itself only, and to us; and nobody to a node that takes no part yet.
                match codec::decode(message, data) {
                    Some(message) if message.from == from && message.to == self.roster.local.id => {
                        if *self.met.borrow() {
                            self.roster.core.deliver(message).await;
                        }
                    }
                    _ => metrics::counter!("gossip_peer_refused_messages_total").increment(1),
                }
            }
            Some(Frame::Gossip(packet)) => {
                // What does not fit is lost, as gossip allows.
                if self.gossip.try_send((from, packet)).is_err() {
                    metrics::counter!("gossip_peer_late_packets_total").increment(1);
                }
            }
            Some(Frame::Hello(_)) | None => {
                metrics::counter!("gossip_peer_refused_messages_total").increment(1);
            }
        }
        true
    }
}

/// A snapshot on its way in. It grows as it comes, and never beyond what was announced.
#[derive(Debug, Default)]
struct Snapshot {
    expected: u64,
    data: Vec<u8>,
}

impl Snapshot {
    fn announce(&mut self, bytes: u64) -> bool {
        *self = Snapshot { expected: bytes, data: Vec::new() };
        bytes <= MAX_SNAPSHOT
    }

    fn extend(&mut self, part: &[u8]) -> bool {
        self.data.extend_from_slice(part);
        self.data.len() as u64 <= self.expected
    }

    fn take(&mut self) -> Option<Vec<u8>> {
        let Snapshot { expected, data } = std::mem::take(self);
        (data.len() as u64 == expected).then_some(data)
    }
}

#[tonic::async_trait]
impl PeerService for Inbound {
    async fn messages(&self, request: Request<Streaming<v1::PeerMessage>>) -> Result<Response<v1::PeerClosed>, Status> {
        let mut stream = request.into_inner();
        let mut draining = self.draining.clone();
        let mut members = self.roster.core.members();
        let Some(Frame::Hello(hello)) = stream.message().await?.and_then(|first| first.message) else {
            return Err(ErrorDetail::new("INVALID_ARGUMENT", "the first message of a peer must be its hello")
                .with("field", "hello")
                .into_status());
        };
        self.admit(&hello, false).await?;
        tracing::debug!(peer = hello.from, name = hello.from_name, "peer connected");
        let replaced = self.replace_stream(hello.from);
        let over = async {
            tokio::select! {
                _ = replaced => {}
                _ = draining.wait_for(|draining| *draining) => {}
                // Whoever is removed may not get the entry that says so: the others have no link to it any more. It comes back, and
                // is told why it is not let in.
                _ = members.wait_for(|members| lacks(members, hello.from)) => {}
            }
        };
        let mut over = std::pin::pin!(over);
        let mut snapshot = Snapshot::default();
        loop {
            let frame = tokio::select! {
                frame = stream.message() => frame?,
                () = &mut over => None,
            };
            let Some(frame) = frame else { return Ok(Response::new(v1::PeerClosed {})) };
            if !self.take(hello.from, frame, &mut snapshot).await {
                return Err(ErrorDetail::new("INVALID_ARGUMENT", "a snapshot's parts are not what was announced")
                    .with("field", "snapshot_part")
                    .into_status());
            }
        }
    }

    async fn greet(&self, request: Request<v1::GreetRequest>) -> Result<Response<v1::GreetResponse>, Status> {
        let v1::GreetRequest { hello, look } = request.into_inner();
        self.admit(&hello.unwrap_or_default(), look).await?;
        Ok(Response::new(v1::GreetResponse {}))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_what_was_announced() {
        let mut snapshot = Snapshot::default();
        assert!(!snapshot.extend(b"a"), "nothing was announced");
        let mut snapshot = Snapshot::default();
        assert!(snapshot.announce(4) && snapshot.extend(b"ab") && snapshot.extend(b"cd"));
        assert_eq!(snapshot.take(), Some(b"abcd".to_vec()));
        assert!(snapshot.announce(4) && snapshot.extend(b"ab"));
        assert_eq!(snapshot.take(), None, "it is not whole");
        assert!(snapshot.announce(4) && !snapshot.extend(b"abcde"));
        assert!(!snapshot.announce(MAX_SNAPSHOT + 1));
    }
}
