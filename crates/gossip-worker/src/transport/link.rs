//! One peer's link: connects, says who it is, and empties both queues into the stream.

use std::time::Duration;

use gossip_proto::v1;
use gossip_proto::v1::peer_message::Message as Frame;
use gossip_proto::v1::peer_service_client::PeerServiceClient;
use raft::eraftpb::{Message, MessageType};
use tokio::sync::mpsc;
use tonic::transport::{Channel, Endpoint};

use super::queue::{Merged, Waiting};
use super::{Local, PART, codec};
use crate::driver::Handle;

/// A link that failed is tried again after this, doubling up to [`SLOWEST_RETRY`].
const FIRST_RETRY: Duration = Duration::from_millis(30);
const SLOWEST_RETRY: Duration = Duration::from_millis(500);

/// Frames of Raft on their way into the connection. Short: what waits here has left the queue that drops.
const IN_FLIGHT: usize = 64;

/// The same for the gossip, whose packets are better lost than late.
const GOSSIP_IN_FLIGHT: usize = 4;

/// A peer as the link sees it.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) id: u64,
    /// Where to dial: the member's address, or a detour that the operator gave.
    pub(super) address: String,
}

/// Runs until the queue's other end is dropped.
pub(super) async fn run(local: Local, peer: Peer, mut queue: Waiting, core: Handle) {
    let mut retry = FIRST_RETRY;
    loop {
        match session(&local, &peer, &mut queue, &core).await {
            End::QueueClosed => return,
            End::Lost { served, problem } => {
                if served {
                    retry = FIRST_RETRY;
                    tracing::info!(peer = peer.id, address = %peer.address, %problem, "link lost");
                } else {
                    tracing::debug!(peer = peer.id, address = %peer.address, %problem, "no link");
                }
            }
        }
        core.unreachable(peer.id);
        if !wait_and_drop(&mut queue, &core, peer.id, retry).await {
            return;
        }
        retry = (retry * 2).min(SLOWEST_RETRY);
    }
}

enum End {
    QueueClosed,
    Lost { served: bool, problem: String },
}

async fn session(local: &Local, peer: &Peer, queue: &mut Waiting, core: &Handle) -> End {
    let lost = |problem: String| End::Lost { served: false, problem };
    let channel = match connect(&peer.address).await {
        Ok(channel) => channel,
        Err(error) => return lost(root_cause(&error)),
    };
    let (frames, stream) = mpsc::channel(IN_FLIGHT);
    let hello =
        v1::PeerHello { cluster_id: local.cluster.clone(), from: local.id, to: peer.id, from_name: local.name.clone() };
    if frames.try_send(frame(Frame::Hello(hello))).is_err() {
        return lost("the stream has no room for a hello".into());
    }
    let (packets, gossip_frames) = mpsc::channel(GOSSIP_IN_FLIGHT);
    let mut client = PeerServiceClient::new(channel);
    let call = client.messages(Merged::new(stream, gossip_frames));
    let lost = |problem: String| End::Lost { served: true, problem };
    tokio::select! {
        closed = call => lost(closed.map_or_else(|status| status.message().to_owned(), |_| "closed by the peer".into())),
        end = forward_raft(&mut queue.raft, &frames, core, peer.id) => end,
        () = forward_gossip(&mut queue.gossip, &packets) => lost("the stream broke".into()),
    }
}

async fn connect(address: &str) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?
        .connect_timeout(Duration::from_secs(1))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_millis(500))
        .keep_alive_timeout(Duration::from_secs(2))
        .initial_stream_window_size(8 << 20)
        .initial_connection_window_size(8 << 20);
    endpoint.connect().await
}

fn frame(message: Frame) -> v1::PeerMessage {
    v1::PeerMessage { message: Some(message) }
}

async fn forward_raft(
    waiting: &mut mpsc::Receiver<Box<Message>>,
    frames: &mpsc::Sender<v1::PeerMessage>,
    core: &Handle,
    peer: u64,
) -> End {
    while let Some(message) = waiting.recv().await {
        if !put(message, frames, core, peer).await {
            return End::Lost { served: true, problem: "the stream broke".into() };
        }
    }
    End::QueueClosed
}

/// Ends when the stream does.
async fn forward_gossip(waiting: &mut mpsc::Receiver<Vec<u8>>, frames: &mpsc::Sender<v1::PeerMessage>) {
    // Room first: what has left the queue is not lost for want of it.
    while let Ok(room) = frames.reserve().await {
        match waiting.recv().await {
            Some(packet) => room.send(frame(Frame::Gossip(packet))),
            // Raft's queue is closed with this one, and ends the session.
            None => return std::future::pending().await,
        }
    }
}

async fn put(message: Box<Message>, frames: &mpsc::Sender<v1::PeerMessage>, core: &Handle, peer: u64) -> bool {
    if message.get_msg_type() != MessageType::MsgSnapshot {
        return frames.send(frame(Frame::Raft(codec::encode(*message)))).await.is_ok();
    }
    let mut sending = Sending { core, peer, arrived: false };
    for part in message.get_snapshot().data.chunks(PART) {
        if frames.send(frame(Frame::SnapshotPart(part.to_vec()))).await.is_err() {
            return false;
        }
    }
    sending.arrived = frames.send(frame(Frame::Raft(codec::encode(*message)))).await.is_ok();
    sending.arrived
}

/// Tells the group what became of a snapshot, also when the call that carried it ended first.
struct Sending<'a> {
    core: &'a Handle,
    peer: u64,
    arrived: bool,
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.core.snapshot_sent(self.peer, self.arrived);
    }
}

/// Waits before the next try. What is asked to be sent meanwhile is dropped: Raft has something newer by then. `false` when the
/// queue was closed.
async fn wait_and_drop(queue: &mut Waiting, core: &Handle, peer: u64, wait: Duration) -> bool {
    let until = tokio::time::sleep(wait);
    let mut until = std::pin::pin!(until);
    loop {
        tokio::select! {
            () = &mut until => return true,
            message = queue.raft.recv() => match message {
                None => return false,
                Some(message) if message.get_msg_type() == MessageType::MsgSnapshot => core.snapshot_sent(peer, false),
                Some(_) => {}
            },
            Some(_) = queue.gossip.recv() => {}
        }
    }
}

fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
