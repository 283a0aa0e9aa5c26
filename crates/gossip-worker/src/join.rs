//! How a node learns who it is: from its folder, from the founding list, or from the cluster that added it.

use std::time::Duration;

use gossip_core::consensus::{Group, Member, Recovered};
use gossip_core::coordination::State;
use gossip_proto::errors::ErrorDetail;
use gossip_proto::v1;
use gossip_proto::v1::cluster_service_client::ClusterServiceClient;
use tonic::transport::Endpoint;

use crate::config::{Cluster, Settings, cluster_id};
use crate::store::{Disk, Identity, Opened, StoreError};

/// Between two rounds of asking.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// A node that knows who it is.
#[derive(Debug)]
pub struct Known {
    /// Who it is.
    pub identity: Identity,
    /// Its store.
    pub disk: Disk,
    /// What the store holds.
    pub recovered: Recovered,
    /// The others as far as they are known before the log was read.
    pub members: Vec<Member>,
}

/// Settles who the node is. A node that joins asks until it is told.
///
/// # Errors
/// The folder belongs to someone else, or fails.
pub async fn settle(settings: &Settings, opened: Opened) -> Result<Known, StoreError> {
    let Opened { mut disk, identity, recovered } = opened;
    if let Some(identity) = identity {
        let members = check(settings, &identity)?;
        return Ok(Known { identity, disk, recovered, members });
    }
    match &settings.cluster {
        Cluster::Found(members) => {
            let own = members.nodes.iter().find(|member| member.name == settings.id);
            let id = own.map(|own| own.id).expect("the settings hold that --id is among --peers");
            let identity = Identity { cluster: cluster_id(members), node: settings.id.clone(), id };
            let machine = State::new(settings.quotas.clone(), settings.planted);
            let snapshot = Group::bootstrap_record(members, &machine);
            disk.found(&identity, Some(snapshot.clone()))?;
            let recovered = Recovered { snapshot: Some(snapshot), ..Recovered::default() };
            Ok(Known { identity, disk, recovered, members: members.nodes.clone() })
        }
        Cluster::Join(seeds) => {
            let (identity, members) = ask(settings, seeds).await;
            disk.found(&identity, None)?;
            Ok(Known { identity, disk, recovered, members })
        }
    }
}

fn check(settings: &Settings, identity: &Identity) -> Result<Vec<Member>, StoreError> {
    let folder = settings.data.display();
    if identity.node != settings.id {
        return Err(StoreError::Foreign(format!(
            "data folder {folder} is that of node {}, not {}",
            identity.node, settings.id
        )));
    }
    match &settings.cluster {
        Cluster::Join(_) => Ok(Vec::new()),
        Cluster::Found(members) if cluster_id(members) == identity.cluster => Ok(members.nodes.clone()),
        Cluster::Found(_) => Err(StoreError::Foreign(format!(
            "data folder {folder} belongs to cluster {}, which was founded with another --peers list",
            identity.cluster
        ))),
    }
}

async fn ask(settings: &Settings, seeds: &[String]) -> (Identity, Vec<Member>) {
    let mut said = String::new();
    loop {
        for seed in seeds {
            match ask_one(settings, seed).await {
                Ok(answer) => {
                    let identity =
                        Identity { cluster: answer.cluster_id, node: settings.id.clone(), id: answer.node_id };
                    let members = answer.members.into_iter().map(|member| Member {
                        id: member.node_id,
                        name: member.node,
                        address: member.address,
                        voter: member.voter,
                    });
                    return (identity, members.collect());
                }
                Err(problem) if problem != said => {
                    tracing::info!(seed, %problem, "waiting to be let in");
                    said = problem;
                }
                Err(_) => {}
            }
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

async fn ask_one(settings: &Settings, seed: &str) -> Result<v1::JoinResponse, String> {
    let endpoint = Endpoint::from_shared(format!("http://{seed}")).map_err(|e| e.to_string())?;
    let endpoint = endpoint.connect_timeout(Duration::from_secs(1)).timeout(Duration::from_secs(2));
    let channel = endpoint.connect().await.map_err(|e| e.to_string())?;
    let request = v1::JoinRequest { node: settings.id.clone(), address: settings.address.clone() };
    let answer = ClusterServiceClient::new(channel).join(request).await;
    answer.map(tonic::Response::into_inner).map_err(|status| ErrorDetail::from_status(&status).message)
}
