//! Messages between nodes: one gRPC stream a direction, carrying Raft and gossip.
//!
//! Nothing here is trusted to arrive. A queue that is full drops what does not fit and says so to the group, which sends again.

mod codec;
mod inbound;
mod link;
mod outbound;

pub use inbound::{Inbound, Roster};
pub use outbound::Outbound;

use std::error::Error as _;
use std::time::Duration;

use gossip_proto::errors::ErrorDetail;
use gossip_proto::v1;
use gossip_proto::v1::peer_service_client::PeerServiceClient;
use tonic::transport::{Channel, Endpoint};

/// The largest message taken from another node: one entry beyond the group's own bound still passes.
pub const MAX_MESSAGE: usize = 16 << 20;

/// Bytes of one part of a snapshot on the wire.
const PART: usize = 512 << 10;

/// The largest snapshot taken from another node. A node that announces more is not one of ours.
const MAX_SNAPSHOT: u64 = 8 << 30;

/// What this node says of itself at the start of each stream.
#[derive(Clone, Debug)]
pub struct Local {
    /// The cluster's id.
    pub cluster: String,
    /// Raft's number.
    pub id: u64,
    /// The name given by `--id`.
    pub name: String,
    /// Of its data folder.
    pub life: u64,
    /// What the cluster was founded with, in words; empty on a node that joined later.
    pub founding: String,
}

impl Local {
    /// As this node introduces itself to node `to`.
    pub fn hello(&self, to: u64) -> v1::PeerHello {
        v1::PeerHello {
            cluster_id: self.cluster.clone(),
            from: self.id,
            to,
            from_name: self.name.clone(),
            life: self.life,
            founding: self.founding.clone(),
        }
    }
}

/// Why another node does not take this one's messages.
#[derive(Clone, Debug)]
pub enum Refused {
    /// It could not be reached, or did not answer.
    Unreachable(String),
    /// Its name cannot be resolved: a mistake, or not yet.
    NoSuchHost(String),
    /// It answered, and said no.
    By(ErrorDetail),
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refused::Unreachable(problem) | Refused::NoSuchHost(problem) => f.write_str(problem),
            Refused::By(detail) => f.write_str(&detail.message),
        }
    }
}

/// How long a greeting may take, beyond the connection.
const GREETING: Duration = Duration::from_secs(2);

/// Connects to another node. Its side goes on being looked after by keep-alives.
///
/// # Errors
/// It cannot be reached.
pub async fn connect(address: &str) -> Result<Channel, Refused> {
    let endpoint =
        Endpoint::from_shared(format!("http://{address}")).map_err(|e| Refused::Unreachable(e.to_string()))?;
    let endpoint = endpoint
        .connect_timeout(Duration::from_secs(1))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_millis(500))
        .keep_alive_timeout(Duration::from_secs(2))
        .initial_stream_window_size(8 << 20)
        .initial_connection_window_size(8 << 20);
    endpoint.connect().await.map_err(|error| {
        let (cause, lookup) = root_cause(&error);
        if lookup { Refused::NoSuchHost(cause) } else { Refused::Unreachable(cause) }
    })
}

/// Asks the node at the other end whether it takes messages of this one.
///
/// # Errors
/// It does not.
pub async fn greet(channel: Channel, hello: v1::PeerHello, look: bool) -> Result<(), Refused> {
    let request = v1::GreetRequest { hello: Some(hello), look };
    let mut client = PeerServiceClient::new(channel);
    match tokio::time::timeout(GREETING, client.greet(request)).await {
        Ok(Ok(_)) => Ok(()),
        Err(_) => Err(Refused::Unreachable("it does not answer".into())),
        Ok(Err(status)) => {
            let detail = ErrorDetail::from_status(&status);
            let ours = gossip_proto::errors::reason(&detail.reason).is_some();
            Err(if ours { Refused::By(detail) } else { Refused::Unreachable(status.message().to_owned()) })
        }
    }
}

/// The innermost reason, and whether it was a name that could not be resolved.
pub fn root_cause(error: &tonic::transport::Error) -> (String, bool) {
    let (mut cause, mut lookup) = (error.to_string(), false);
    let mut source = error.source();
    while let Some(error) = source {
        cause = error.to_string();
        lookup |= cause.contains("dns error") || cause.contains("lookup address");
        source = error.source();
    }
    (cause, lookup)
}
