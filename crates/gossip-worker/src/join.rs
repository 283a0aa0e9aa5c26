//! How a node learns who it is: from its folder, from the founding list, or from the cluster that added it; and how founders meet.
//!
//! A founder that lost its data would vote and acknowledge a second time for what it has forgotten, and a majority of such promises
//! is none. So each data folder has a *life*, drawn when it is made. A founder takes no part before every other founder has written
//! its life down, and a node that remembers another life of it says so. As long as one folder of the founders is left, no other one
//! can be emptied unnoticed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use gossip_core::consensus::Member;
use gossip_proto::errors::ErrorDetail;
use gossip_proto::v1;
use gossip_proto::v1::cluster_service_client::ClusterServiceClient;
use tonic::transport::Endpoint;

use crate::config::{Cluster, Founding, Settings};
use crate::node::Exit;
use crate::store::{Card, Identity, look};
use crate::transport::{Local, Refused, connect, greet, root_cause};

/// Between two rounds of asking.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// Between two rounds of founders that look for each other. Short: nobody is served before.
const MEET_AGAIN: Duration = Duration::from_millis(50);
const MEET_SLOWEST: Duration = Duration::from_secs(1);
/// How long a founder with an empty folder asks whether it has lived before.
const LOOK_BACK: Duration = Duration::from_secs(2);
/// Between two lines that say the same.
const SAY_AGAIN: Duration = Duration::from_secs(30);
/// Founders that have not met by then are waited for aloud.
const LATE: Duration = Duration::from_secs(10);

/// Who a node is, and whom it knows before its log is read.
#[derive(Debug)]
pub struct Known {
    /// Who it is.
    pub identity: Identity,
    /// The others.
    pub members: Vec<Member>,
    /// What it founds or has founded.
    pub founding: Option<Founding>,
}

/// Settles who the node is. Writes nothing: a start that is refused here has changed nothing. A node that joins asks until it is told.
///
/// # Errors
/// The folder belongs to someone else or cannot be used, or the cluster does not take this node.
pub async fn settle(settings: &Settings) -> Result<Known, Exit> {
    let found = look(&settings.data)?;
    match &settings.cluster {
        Cluster::Found(members) => {
            let founding = Founding::of(members, &settings.quotas);
            let others = members.nodes.clone();
            let identity = match found {
                Some(identity) => check_founder(settings, &founding, identity)?,
                None => {
                    let own = members.nodes.iter().find(|member| member.name == settings.id);
                    let id = own.map(|own| own.id).expect("the settings hold that --id is among --peers");
                    let (cluster, words) = (founding.cluster.clone(), founding.words.clone());
                    let mut identity = Identity::new(cluster, settings.id.clone(), id, words);
                    identity.met = others.len() == 1;
                    look_back(settings, &identity, &others).await?;
                    identity
                }
            };
            Ok(Known { identity, members: others, founding: Some(founding) })
        }
        Cluster::Join(seeds) => match found {
            Some(identity) => {
                check_name(settings, &identity)?;
                if !identity.met {
                    return Err(Exit::Config(format!(
                        "data folder {} is that of a founder that never took part: empty it to join",
                        settings.data.display()
                    )));
                }
                Ok(Known { identity, members: Vec::new(), founding: None })
            }
            None => {
                let (identity, members) = ask(settings, seeds).await?;
                Ok(Known { identity, members, founding: None })
            }
        },
    }
}

fn check_name(settings: &Settings, identity: &Identity) -> Result<(), Exit> {
    if identity.node == settings.id {
        return Ok(());
    }
    Err(Exit::Config(format!(
        "data folder {} is that of node {}, not {}",
        settings.data.display(),
        identity.node,
        settings.id
    )))
}

/// The identity that was found, if these flags may go on with it. What never took part may still be founded otherwise.
fn check_founder(settings: &Settings, founding: &Founding, mut identity: Identity) -> Result<Identity, Exit> {
    check_name(settings, &identity)?;
    if !identity.met {
        identity.cluster.clone_from(&founding.cluster);
        identity.founding.clone_from(&founding.words);
        return Ok(identity);
    }
    if identity.founding.is_empty() {
        return Err(Exit::Config(format!(
            "data folder {} is that of a node that joined cluster {} later: start it with --join",
            settings.data.display(),
            identity.cluster
        )));
    }
    if !founding.same_peers(&identity.founding) {
        return Err(Exit::Config(format!(
            "data folder {} belongs to cluster {}, which was founded with another --peers list",
            settings.data.display(),
            identity.cluster
        )));
    }
    Ok(identity)
}

/// What the node of this identity says of itself.
pub fn local(identity: &Identity) -> Local {
    Local {
        cluster: identity.cluster.clone(),
        id: identity.id,
        name: identity.node.clone(),
        life: identity.life,
        founding: identity.founding.clone(),
    }
}

async fn greet_one(settings: &Settings, local: &Local, member: &Member, looking: bool) -> Result<(), Refused> {
    let address = settings.detours.get(&member.name).unwrap_or(&member.address);
    greet(connect(address).await?, local.hello(member.id), looking).await
}

/// Asks the others, before anything is written, whether this founder with an empty folder has lived before. No answer is no objection:
/// then it will not take part before it has met them.
async fn look_back(settings: &Settings, identity: &Identity, others: &[Member]) -> Result<(), Exit> {
    let local = local(identity);
    let mut asked = tokio::task::JoinSet::new();
    for member in others.iter().filter(|member| member.id != identity.id) {
        let (settings, local, member) = (settings.clone(), local.clone(), member.clone());
        asked.spawn(async move { greet_one(&settings, &local, &member, true).await });
    }
    let answers = async {
        while let Some(answer) = asked.join_next().await {
            if let Ok(Err(Refused::By(detail))) = answer
                && let Some(line) = objection(&detail)
            {
                return Err(Exit::Config(line));
            }
        }
        Ok(())
    };
    tokio::time::timeout(LOOK_BACK, answers).await.unwrap_or(Ok(()))
}

/// What ends a founder that has not taken part yet. Two that differ and are both new are for somebody to mend.
fn objection(detail: &ErrorDetail) -> Option<String> {
    let founded = detail.metadata.get("founded").is_some_and(|founded| founded == "true");
    let ends = matches!(&detail.reason[..], "NODE_REPLACED" | "NODE_REMOVED")
        || detail.reason == "CLUSTER_MISMATCH" && founded;
    ends.then(|| detail.message.clone())
}

/// Meets the other founders: returns once each of them has written this life down, and so has this node's folder.
///
/// # Errors
/// One of them remembers another life of this node.
pub async fn meet(settings: &Settings, card: &Card, members: &[Member]) -> Result<(), Exit> {
    let identity = card.identity();
    let local = local(&identity);
    let mut left: Vec<&Member> = members.iter().filter(|member| member.id != identity.id).collect();
    let (mut pause, mut said) = (MEET_AGAIN, Said::default());
    while !left.is_empty() {
        let mut still = Vec::new();
        for member in left {
            match greet_one(settings, &local, member, false).await {
                Ok(()) => continue,
                Err(Refused::By(detail)) if objection(&detail).is_some() => return Err(Exit::Config(detail.message)),
                Err(refused @ Refused::By(_)) => said.warn(&member.name, &refused.to_string()),
                Err(refused) => tracing::debug!(peer = member.name, %refused, "not met yet"),
            }
            still.push(member);
        }
        left = still;
        if !left.is_empty() {
            let names: Vec<&str> = left.iter().map(|member| &member.name[..]).collect();
            said.wait(&names.join(", "));
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(MEET_SLOWEST);
        }
    }
    card.set_met()?;
    tracing::info!(node = %identity.node, "has met all founders");
    Ok(())
}

/// What was said of each peer while waiting, so that it is not said all the time.
#[derive(Debug, Default)]
struct Said {
    lines: BTreeMap<String, (String, Instant)>,
    waiting: Option<Instant>,
}

impl Said {
    fn is_new(&mut self, peer: &str, problem: &str) -> bool {
        let now = Instant::now();
        if self.lines.get(peer).is_some_and(|(line, when)| line == problem && now - *when < SAY_AGAIN) {
            return false;
        }
        self.lines.insert(peer.to_owned(), (problem.to_owned(), now));
        true
    }

    fn warn(&mut self, peer: &str, problem: &str) {
        if self.is_new(peer, problem) {
            tracing::warn!(peer, %problem, "a founder does not take this one");
        }
    }

    /// Only founders that take long are worth a line.
    fn wait(&mut self, names: &str) {
        let now = Instant::now();
        let when = *self.waiting.get_or_insert(now);
        if now - when >= LATE {
            self.waiting = Some(now);
            tracing::warn!(waiting_for = names, "a cluster begins once all its founders have met");
        }
    }
}

async fn ask(settings: &Settings, seeds: &[String]) -> Result<(Identity, Vec<Member>), Exit> {
    let mut said = Said::default();
    loop {
        for seed in seeds {
            match ask_one(settings, seed).await {
                Ok(answer) => {
                    let (cluster, id) = (answer.cluster_id, answer.node_id);
                    let identity = Identity::new(cluster, settings.id.clone(), id, String::new());
                    let members = answer.members.into_iter().map(|member| Member {
                        id: member.node_id,
                        name: member.node,
                        address: member.address,
                        voter: member.voter,
                    });
                    return Ok((identity, members.collect()));
                }
                Err((problem, true)) => return Err(Exit::Config(problem)),
                Err((problem, false)) => {
                    if said.is_new(seed, &problem) {
                        tracing::warn!(seed, %problem, "--join: waiting to be let in");
                    }
                }
            }
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// Asks one node of the cluster. A failure comes with whether it is final.
async fn ask_one(settings: &Settings, seed: &str) -> Result<v1::JoinResponse, (String, bool)> {
    let later = |problem: String| (problem, false);
    let endpoint = Endpoint::from_shared(format!("http://{seed}")).map_err(|e| later(e.to_string()))?;
    let endpoint = endpoint.connect_timeout(Duration::from_secs(1)).timeout(Duration::from_secs(2));
    let channel = endpoint.connect().await.map_err(|e| later(root_cause(&e).0))?;
    let request = v1::JoinRequest { node: settings.id.clone(), address: settings.address.clone() };
    let answer = ClusterServiceClient::new(channel).join(request).await;
    answer.map(tonic::Response::into_inner).map_err(|status| {
        let detail = ErrorDetail::from_status(&status);
        (detail.message, detail.reason == "NODE_REPLACED")
    })
}
