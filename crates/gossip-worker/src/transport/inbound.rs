//! The way in: checks who calls, puts snapshots together, hands messages to the core.

use gossip_proto::errors::ErrorDetail;
use gossip_proto::v1;
use gossip_proto::v1::peer_message::Message as Frame;
use gossip_proto::v1::peer_service_server::PeerService;
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};

use super::{Local, codec};
use crate::driver::Handle;
use crate::gossip::Packets;

/// The peer service.
#[derive(Debug)]
pub struct Inbound {
    local: Local,
    core: Handle,
    gossip: Packets,
    draining: watch::Receiver<bool>,
}

impl Inbound {
    /// Serves peers of `local`'s cluster until `draining` turns true.
    pub fn new(local: Local, core: Handle, gossip: Packets, draining: watch::Receiver<bool>) -> Self {
        Inbound { local, core, gossip, draining }
    }

    fn admit(&self, first: Option<v1::PeerMessage>) -> Result<v1::PeerHello, Status> {
        let Some(Frame::Hello(hello)) = first.and_then(|first| first.message) else {
            return Err(ErrorDetail::new("INVALID_ARGUMENT", "the first message of a peer must be its hello")
                .with("field", "hello")
                .into_status());
        };
        let Local { cluster, id, name } = &self.local;
        if hello.cluster_id != *cluster || hello.to != *id {
            let problem = format!(
                "{} (node {} of cluster {}) looks for node {}; this is {name}, node {id} of cluster {cluster}",
                hello.from_name, hello.from, hello.cluster_id, hello.to
            );
            return Err(ErrorDetail::new("CLUSTER_MISMATCH", problem).into_status());
        }
        Ok(hello)
    }
}

#[tonic::async_trait]
impl PeerService for Inbound {
    async fn messages(&self, request: Request<Streaming<v1::PeerMessage>>) -> Result<Response<v1::PeerClosed>, Status> {
        let mut stream = request.into_inner();
        let mut draining = self.draining.clone();
        let hello = self.admit(stream.message().await?)?;
        tracing::debug!(peer = hello.from, name = hello.from_name, "peer connected");
        let mut snapshot = Vec::new();
        loop {
            let frame = tokio::select! {
                frame = stream.message() => frame?,
                _ = draining.wait_for(|draining| *draining) => return Ok(Response::new(v1::PeerClosed {})),
            };
            let Some(frame) = frame else { return Ok(Response::new(v1::PeerClosed {})) };
            match frame.message {
                Some(Frame::SnapshotPart(part)) => snapshot.extend_from_slice(&part),
                Some(Frame::Raft(message)) => {
                    let data = if message.snapshot.is_some() { std::mem::take(&mut snapshot) } else { Vec::new() };
                    // A peer speaks for itself only, and to us.
                    match codec::decode(message, data) {
                        Some(message) if message.from == hello.from && message.to == self.local.id => {
                            self.core.deliver(message);
                        }
                        _ => metrics::counter!("gossip_peer_refused_messages_total").increment(1),
                    }
                }
                // What does not fit is lost, as gossip allows.
                Some(Frame::Gossip(packet)) => drop(self.gossip.try_send((hello.from, packet))),
                Some(Frame::Hello(_)) | None => {
                    metrics::counter!("gossip_peer_refused_messages_total").increment(1);
                }
            }
        }
    }
}
