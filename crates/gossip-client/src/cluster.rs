//! Calls of the cluster service.

use std::time::{Duration, Instant};

use gossip_proto::v1;
use gossip_proto::v1::cluster_service_client::ClusterServiceClient;
use tonic::transport::Channel;

use crate::client::{Client, LARGEST_ANSWER};
use crate::error::Error;
use crate::retry::Kind;

pub use gossip_proto::v1::{
    Health, JoinResponse, Member, MembersResponse as ClusterView, Role, StatusResponse as NodeStatus,
};

fn service(channel: Channel) -> ClusterServiceClient<Channel> {
    ClusterServiceClient::new(channel).max_decoding_message_size(LARGEST_ANSWER)
}

/// One call of a method of the service.
macro_rules! call {
    ($client:expr, $kind:ident, $wait:expr, $method:ident, $request:expr) => {
        $client
            .call(
                Kind::$kind,
                $wait,
                $request,
                |channel, request| async move { service(channel).$method(request).await },
            )
            .await
    };
}

impl Client {
    /// How the answering node stands. To ask a certain one: `client.pinned("host:port").status()`.
    ///
    /// # Errors
    /// No node answers.
    pub async fn status(&self) -> Result<NodeStatus, Error> {
        call!(self, Read, Duration::ZERO, status, v1::StatusRequest {})
    }

    /// The group's members as the answering node knows them.
    ///
    /// # Errors
    /// No node answers.
    pub async fn members(&self) -> Result<Vec<Member>, Error> {
        Ok(self.view().await?.members)
    }

    /// The cluster as the answering node sees it: the group's members with their health and facts, and nodes that are no members
    /// (any more). To ask a certain one: `client.pinned("host:port").view()`.
    ///
    /// # Errors
    /// No node answers.
    pub async fn view(&self) -> Result<ClusterView, Error> {
        call!(self, Read, Duration::ZERO, members, v1::MembersRequest {})
    }

    /// The client for a change, which carries no op id and is sent once: first a node is found that answers, so that one that hangs
    /// does not take all of the caller's time. One attempt gets what is left of it: a change passes through the log twice.
    async fn awake(&self) -> Result<Client, Error> {
        let begun = Instant::now();
        self.status().await?;
        let left = self.options().deadline.saturating_sub(begun.elapsed());
        Ok(self.with_times(left, left))
    }

    /// Hands the leadership to this voter, or to the one that is furthest ahead; answers with the new leader's name.
    ///
    /// # Errors
    /// `BAD_CHANGE`, `CHANGE_IN_PROGRESS`, `TIMEOUT`.
    pub async fn transfer_leader(&self, to: Option<&str>) -> Result<String, Error> {
        let request = v1::TransferLeaderRequest { to: to.unwrap_or_default().into() };
        let answer: v1::TransferLeaderResponse =
            call!(self.awake().await?, Once, Duration::ZERO, transfer_leader, request)?;
        Ok(answer.leader)
    }

    /// Adds a node as learner, which becomes a voter by itself once it has caught up; answers with its number.
    ///
    /// # Errors
    /// `BAD_CHANGE`, `CHANGE_IN_PROGRESS`. After an indefinite failure, look at [`Client::members`].
    pub async fn add_node(&self, node: &str, address: &str) -> Result<u64, Error> {
        let request = v1::AddNodeRequest { node: node.into(), address: address.into() };
        let answer: v1::AddNodeResponse = call!(self.awake().await?, Once, Duration::ZERO, add_node, request)?;
        Ok(answer.node_id)
    }

    /// Removes a node; a leader hands over first.
    ///
    /// # Errors
    /// `BAD_CHANGE`, `CHANGE_IN_PROGRESS`. After an indefinite failure, look at [`Client::members`].
    pub async fn remove_node(&self, node: &str) -> Result<(), Error> {
        let request = v1::RemoveNodeRequest { node: node.into() };
        let _: v1::RemoveNodeResponse = call!(self.awake().await?, Once, Duration::ZERO, remove_node, request)?;
        Ok(())
    }

    /// Asks who the node of this name and address is that was added before: for the node itself.
    ///
    /// # Errors
    /// `BAD_CHANGE` if it was not added.
    pub async fn join(&self, node: &str, address: &str) -> Result<JoinResponse, Error> {
        let request = v1::JoinRequest { node: node.into(), address: address.into() };
        call!(self, Read, Duration::ZERO, join, request)
    }
}
