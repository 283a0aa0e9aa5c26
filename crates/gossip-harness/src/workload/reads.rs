//! The reads of histories. Each asks one node, whichever part it plays.

use gossip_check::history::Value;
use gossip_client::{Client, Consistency, Error, Member, NodeStatus, RunStatus, ShardInfo};

use super::caller::{Caller, Outcome};
use super::course::run_of;
use super::values::{number, record, view};

/// A node to be asked: its name and where clients reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// For example `n1`.
    pub name: String,
    /// `host:port`.
    pub address: String,
}

impl Caller {
    /// Reads a shard from the node at `address`.
    ///
    /// # Errors
    /// The reason.
    pub async fn read_shard(&mut self, shard: &str, address: &str) -> Outcome<()> {
        let call = self.begin("read-shard", Value::map([("shard", shard)]));
        let node = self.client.pinned(address);
        let outcome = node.get_shard(run_of(shard), shard, Consistency::Linearizable).await;
        self.end(call, outcome, |sent, read| {
            let Value::Map(map) = record(&read.value) else { return sent };
            map.iter()
                .fold(sent, |sent, (name, value)| sent.with(name.name().unwrap_or_default(), value.clone()))
                .with("applied", number(read.applied))
        })
        .map(drop)
    }

    /// Everything of a run, from one node. Answers the shards. `last`: nothing is written after it.
    ///
    /// # Errors
    /// The reason.
    pub async fn read_run(&mut self, run: &str, node: &Place, last: bool) -> Outcome<Vec<ShardInfo>> {
        let value = Value::map([("run", run), ("node", node.name.as_str())]);
        let call = self.begin("read-run", if last { value.with("final?", true) } else { value });
        let outcome = everything(&self.client.pinned(&node.address), run, last).await;
        self.end(call, outcome, |sent, (status, applied, shards)| {
            sent.with("status", Value::keyword(status.name()))
                .with("shards", shards.iter().map(record).collect::<Vec<Value>>())
                .with("applied", number(*applied))
        })
        .map(|(_, _, shards)| shards)
    }

    /// One node's view of the cluster, as its gossip has it.
    ///
    /// # Errors
    /// The reason.
    pub async fn read_view(&mut self, node: &Place, last: bool) -> Outcome<Vec<Member>> {
        let value = Value::map([("node", node.name.as_str())]);
        let call = self.begin("read-view", if last { value.with("final?", true) } else { value });
        let outcome = self.client.pinned(&node.address).members().await;
        self.end(call, outcome, |sent, members| sent.with("view", view(members)))
    }

    /// How a node stands, by its own word: what it publishes about itself.
    pub(super) async fn status(&self, node: &Place) -> Option<NodeStatus> {
        self.client.pinned(&node.address).status().await.ok()
    }

    /// Notes that a node published a fact.
    pub(super) fn published(&self, node: &str, key: &str, version: i64) {
        let value = Value::map([("node", node), ("key", key)]).with("version", version);
        self.begin("publish", value).ok(|sent| sent);
    }
}

/// All shards of a run and its status. Pages are read one after the other, so that under load only a single page shows one moment.
/// The status is read first, since the judge expects that where a run has ended its shards have.
async fn everything(client: &Client, run: &str, last: bool) -> Result<(RunStatus, u64, Vec<ShardInfo>), Error> {
    let whole = client.get_run(run, Consistency::Linearizable).await?;
    let (mut shards, mut after) = (Vec::new(), None::<String>);
    loop {
        let read = client.list_shards(run, None, after.as_deref(), 1000, Consistency::Linearizable).await?;
        shards.extend(read.value.items);
        after = read.value.next;
        if after.is_none() {
            return Ok((whole.value.status, read.applied, shards));
        }
        if !last {
            return Err(Error {
                reason: "LIMIT_EXCEEDED".into(),
                definite: true,
                retry_after: None,
                metadata: std::collections::BTreeMap::new(),
                message: "more than one page: no picture of one moment".into(),
            });
        }
    }
}
