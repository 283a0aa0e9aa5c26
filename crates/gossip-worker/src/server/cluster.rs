//! `ClusterService`.

use std::sync::Arc;
use std::time::Instant;

use gossip_core::consensus::{Change, Consistency, Member, Refusal, Role};
use gossip_core::coordination::answer::Query;
use gossip_core::coordination::{TenantId, TenantQuery};
use gossip_core::membership;
use gossip_core::node::MemberView;
use gossip_core::node::facts::NAME;
use gossip_proto::errors::ErrorDetail;
use gossip_proto::v1;
use gossip_proto::v1::cluster_service_server::ClusterService;
use tonic::{Request, Response, Status};

use super::{error, hinted, leaving};
use crate::driver::{Handle, StatusPage};
use crate::gossip::Known;
use crate::transport::Local;

/// The service of the cluster itself.
#[derive(Clone)]
pub struct Cluster {
    core: Handle,
    local: Local,
    started: Instant,
    store_bytes: Arc<dyn Fn() -> u64 + Send + Sync>,
    known: Known,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("local", &self.local).finish_non_exhaustive()
    }
}

impl Cluster {
    /// Serves what `core` knows; `store_bytes` tells the size of the store, `known` what the gossip knows.
    pub fn new(core: Handle, local: Local, store_bytes: Arc<dyn Fn() -> u64 + Send + Sync>, known: Known) -> Self {
        Cluster { core, local, started: Instant::now(), store_bytes, known }
    }

    async fn page(&self) -> Result<StatusPage, Status> {
        self.core.status().await.ok_or_else(|| error::refused(&Refusal::Stopping, None))
    }

    async fn change(&self, change: Change) -> Result<u64, Status> {
        match self.core.change(change).await {
            Ok(node) => Ok(node),
            Err(failure) => Err(error::failed(hinted(&self.core, &self.known, failure).await)),
        }
    }

    /// Returns once this node has applied all that was committed before: what it then says of members is not from the past.
    async fn catch_up(&self) -> Result<(), Status> {
        let tenant = TenantId::parse("tenant", "default").map_err(error::invalid)?;
        let query = TenantQuery { tenant, query: Query::Runs { after: None, limit: 1 } };
        self.core.query(query, Consistency::Linearizable).await.map(drop).map_err(error::failed)
    }
}

/// A member of the group, and what this node's gossip `sees` of it, if anything.
fn wire_member(member: &Member, sees: Option<MemberView>) -> v1::Member {
    v1::Member {
        node: member.name.clone(),
        node_id: member.id,
        address: member.address.clone(),
        voter: member.voter,
        ..sees.map(wire_seen).unwrap_or_default()
    }
}

/// What only the gossip knows of a node.
fn wire_seen(seen: MemberView) -> v1::Member {
    let health = match seen.standing.status {
        membership::Status::Alive => v1::Health::Alive,
        membership::Status::Suspect => v1::Health::Suspect,
        membership::Status::Dead => v1::Health::Dead,
        membership::Status::Left => v1::Health::Left,
    };
    v1::Member {
        health: health.into(),
        facts: seen.facts.into_iter().collect(),
        incarnation: seen.standing.incarnation,
        gossip_address: seen.address,
        ..v1::Member::default()
    }
}

/// A node that the gossip knows and the group does not.
fn wire_stranger(node_id: u64, seen: MemberView) -> v1::Member {
    let node = seen.facts.get(NAME).cloned().unwrap_or_default();
    v1::Member { node, node_id, address: seen.address.clone(), ..wire_seen(seen) }
}

fn wire_role(role: Role) -> v1::Role {
    match role {
        Role::Follower => v1::Role::Follower,
        Role::PreCandidate | Role::Candidate => v1::Role::Candidate,
        Role::Leader => v1::Role::Leader,
        Role::Learner => v1::Role::Learner,
    }
}

#[tonic::async_trait]
impl ClusterService for Cluster {
    async fn status(&self, _: Request<v1::StatusRequest>) -> Result<Response<v1::StatusResponse>, Status> {
        let StatusPage { status, members, removed, .. } = self.page().await?;
        let leader = status.leader.and_then(|id| members.nodes.iter().find(|member| member.id == id));
        Ok(Response::new(v1::StatusResponse {
            node: self.local.name.clone(),
            node_id: self.local.id,
            cluster_id: self.local.cluster.clone(),
            role: wire_role(status.role).into(),
            term: status.term,
            leader: leader.map(|leader| leader.name.clone()).unwrap_or_default(),
            leader_address: leader.map(|leader| leader.address.clone()).unwrap_or_default(),
            last_index: status.last_index,
            commit_index: status.commit,
            applied_index: status.applied,
            snapshot_index: status.snapshot,
            lease_clock_ms: status.stamp,
            ready: status.ready && !removed,
            in_flight: status.in_flight as u64,
            waiters: status.waiters as u64,
            build: crate::BUILD.into(),
            uptime_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            store_bytes: (self.store_bytes)(),
        }))
    }

    async fn members(&self, _: Request<v1::MembersRequest>) -> Result<Response<v1::MembersResponse>, Status> {
        let group = self.page().await?.members;
        let mut seen = self.known.members();
        let members = group.nodes.iter().map(|member| wire_member(member, seen.remove(&member.id))).collect();
        let answer = v1::MembersResponse {
            members,
            node: self.local.name.clone(),
            node_id: self.local.id,
            others: seen.into_iter().map(|(id, seen)| wire_stranger(id, seen)).collect(),
        };
        Ok(leaving::leave(answer, |bytes| self.core.answer(bytes)))
    }

    async fn transfer_leader(
        &self,
        request: Request<v1::TransferLeaderRequest>,
    ) -> Result<Response<v1::TransferLeaderResponse>, Status> {
        let to = Some(request.into_inner().to).filter(|to| !to.is_empty());
        let id = self.change(Change::TransferLeader { to }).await?;
        let members = self.page().await?.members;
        let leader = members.nodes.into_iter().find(|member| member.id == id);
        Ok(Response::new(v1::TransferLeaderResponse { leader: leader.map(|leader| leader.name).unwrap_or_default() }))
    }

    async fn add_node(&self, request: Request<v1::AddNodeRequest>) -> Result<Response<v1::AddNodeResponse>, Status> {
        let v1::AddNodeRequest { node, address } = request.into_inner();
        crate::config::check_node_name("node", &node).map_err(error::invalid)?;
        crate::config::check_address("address", &address).map_err(error::invalid)?;
        let node_id = self.change(Change::AddNode { name: node, address }).await?;
        Ok(Response::new(v1::AddNodeResponse { node_id }))
    }

    async fn remove_node(
        &self,
        request: Request<v1::RemoveNodeRequest>,
    ) -> Result<Response<v1::RemoveNodeResponse>, Status> {
        self.change(Change::RemoveNode { name: request.into_inner().node }).await?;
        Ok(Response::new(v1::RemoveNodeResponse {}))
    }

    async fn join(&self, request: Request<v1::JoinRequest>) -> Result<Response<v1::JoinResponse>, Status> {
        let v1::JoinRequest { node, address } = request.into_inner();
        self.catch_up().await?;
        let members = self.page().await?.members;
        let joined = members.nodes.iter().find(|member| member.name == node && member.address == address);
        let Some(joined) = joined else {
            let problem = format!("{node} at {address} is not a member here (yet): add it first");
            return Err(error::refused(&Refusal::BadChange { field: "node", problem }, None));
        };
        // Who asks has nothing, and a voter has acknowledged something: it gave its vote when it held what the others held.
        if joined.voter {
            let problem = format!(
                "{node} has joined before, and what it had acknowledged is lost with its folder. Remove it from the cluster, add it \
                 again"
            );
            return Err(ErrorDetail::new("NODE_REPLACED", problem).into_status());
        }
        Ok(Response::new(v1::JoinResponse {
            node_id: joined.id,
            cluster_id: self.local.cluster.clone(),
            members: members.nodes.iter().map(|member| wire_member(member, None)).collect(),
        }))
    }
}
