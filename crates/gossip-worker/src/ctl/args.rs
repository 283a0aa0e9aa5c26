//! The command line of `gossipctl`.

use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use gossip_client::ShardStatus;

use super::parse;

/// Where `gossip-worker dev` and the first node of every example serve.
pub const DEFAULT_ENDPOINT: &str = "127.0.0.1:7001";

const AFTER_HELP: &str = "\
Keys are given as text, or as hexadecimal digits after 0x. Ranges are START..END without END; either may be missing.
Times are written as 500ms, 30s, 5m, 1h.

Exit codes:
  0    done
  1    refused: nothing was and will be changed (the reason is in docs/errors.md)
  2    unknown: it may have taken place; run the same again with the --op-id that is printed
  3    no answer: no node could be reached, or none answered a read
  254  the command line is wrong
  255  gossipctl itself failed, for example writing its output

Examples:
  export GOSSIP_ENDPOINTS=127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003
  gossipctl status
  gossipctl run create crawl
  gossipctl shard register crawl a:..m b:m.. --start
  gossipctl claim crawl --worker host-a --lease 30s
  gossipctl checkpoint crawl a --worker host-a --fence 1 --key dog
  gossipctl --json shard list crawl --status active";

/// Looks at a gossip-rs cluster and works with it by hand.
#[derive(Debug, Parser)]
#[command(name = "gossipctl", version, after_help = AFTER_HELP, max_term_width = 110)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Args, Debug)]
pub struct Global {
    /// Nodes of the cluster; one that is up is enough
    #[arg(
        long,
        env = "GOSSIP_ENDPOINTS",
        value_name = "HOST:PORT,…",
        value_delimiter = ',',
        default_value = DEFAULT_ENDPOINT,
        global = true
    )]
    pub endpoints: Vec<String>,
    /// Whose runs
    #[arg(long, env = "GOSSIP_TENANT", default_value = "default", global = true)]
    pub tenant: String,
    /// How long to try, waits in line not counted
    #[arg(long, env = "GOSSIP_TIMEOUT", value_name = "TIME", value_parser = parse::some_time, default_value = "10s", global = true)]
    pub timeout: Duration,
    /// Ask only this node, once, and do not follow its hints
    #[arg(long, value_name = "HOST:PORT", global = true)]
    pub node: Option<String>,
    /// Read the asked node's own state at once, however old
    #[arg(long, global = true)]
    pub stale: bool,
    /// Print JSON, errors too
    #[arg(long, global = true)]
    pub json: bool,
    /// The op id of a mutation, to be given again to learn what became of it [default: a new one]
    #[arg(long, value_name = "32 HEX DIGITS", value_parser = parse::op_id, global = true)]
    pub op_id: Option<u128>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// How each endpoint's node stands
    Status,
    /// The cluster as each endpoint's node sees it: who answers, and what each says of itself
    Members,
    #[command(flatten)]
    Cluster(ClusterCommand),
    /// Runs
    #[command(subcommand)]
    Run(RunCommand),
    /// Shards of a run
    #[command(subcommand)]
    Shard(ShardCommand),
    #[command(flatten)]
    Lease(LeaseCommand),
    /// Tell each change of a run until it has ended
    Watch { run: String },
}

/// Mutations of the members, which carry no op id.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Hand the leadership over
    Transfer {
        /// The voter that should lead [default: the one that is furthest ahead]
        to: Option<String>,
    },
    /// Add a node; it becomes a voter by itself once it has caught up
    Add {
        /// Its name, as in its --id
        name: String,
        /// Where the other nodes will reach it
        #[arg(value_name = "HOST:PORT")]
        address: String,
    },
    /// Remove a node
    Remove {
        /// Its name
        name: String,
    },
}

/// Mutations of one shard.
#[derive(Debug, Subcommand)]
pub enum LeaseCommand {
    /// Take one shard's lease
    Acquire {
        run: String,
        shard: String,
        #[command(flatten)]
        lease: NewLease,
    },
    /// Take the lease of the first free shard
    Claim {
        run: String,
        #[command(flatten)]
        lease: NewLease,
    },
    /// Move a lease's deadline
    Renew {
        #[command(flatten)]
        held: Held,
        /// From now
        #[arg(long, value_name = "TIME", value_parser = parse::duration, default_value = "30s")]
        lease: Duration,
    },
    /// Move the cursor forward
    Checkpoint {
        #[command(flatten)]
        held: Held,
        /// The last key that is fully processed
        #[arg(long, value_parser = parse::key)]
        key: Key,
        /// What the next holder needs to go on
        #[arg(long, value_parser = parse::key)]
        token: Option<Key>,
    },
    /// Give a lease back
    Release {
        #[command(flatten)]
        held: Held,
    },
    /// End a shard as done
    Complete {
        #[command(flatten)]
        held: Held,
        /// A last move of the cursor
        #[arg(long, value_parser = parse::key)]
        key: Option<Key>,
    },
    /// Set a shard aside until it is unparked
    Park {
        #[command(flatten)]
        held: Held,
        /// For people
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Make a parked shard active again
    Unpark { run: String, shard: String },
    /// Replace a shard by children
    SplitReplace {
        #[command(flatten)]
        held: Held,
        /// The first key of each child but the first
        #[arg(required = true, value_parser = parse::key)]
        cuts: Vec<Key>,
    },
    /// Give the right part of a shard to a new one; the lease goes on over the left part
    SplitResidual {
        #[command(flatten)]
        held: Held,
        /// The first key of the new shard
        #[arg(value_parser = parse::key)]
        at: Key,
    },
}

#[derive(Debug, Subcommand)]
pub enum RunCommand {
    #[command(flatten)]
    Call(RunCall),
    /// Tell each change of a run until it has ended
    Watch { run: String },
}

/// All that is one call.
#[derive(Debug, Subcommand)]
pub enum RunCall {
    /// Make a run, open for shards
    Create {
        run: String,
        /// Kept with it, for people and programs
        #[arg(long, default_value = "")]
        metadata: String,
    },
    /// The tenant's runs
    List,
    /// A run as it stands
    Get { run: String },
    /// Let an open run's shards be acquired
    Start { run: String },
    /// How much of a run is done
    Progress { run: String },
    /// End a run as done; refused while a shard is active or parked
    Complete { run: String },
    /// End a run as failed and fence its workers
    Fail {
        run: String,
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// End a run as cancelled and fence its workers
    Cancel {
        run: String,
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Remove an ended run and all that is known of it
    Delete { run: String },
}

#[derive(Debug, Subcommand)]
pub enum ShardCommand {
    /// A run's shards
    List {
        run: String,
        /// Only those
        #[arg(long)]
        status: Option<Status>,
    },
    /// A shard as it stands
    Get { run: String, shard: String },
    /// Add root shards to an open run, all or none
    Register {
        run: String,
        /// For example `a:..m b:m..`; write NAME=START..END if the name has a colon
        #[arg(required = true, value_name = "NAME:START..END", value_parser = parse::shard)]
        shards: Vec<gossip_client::ShardSpec>,
        /// Start the run in the same step
        #[arg(long)]
        start: bool,
    },
}

/// A lease to take.
#[derive(Args, Debug)]
pub struct NewLease {
    /// Who takes it
    #[arg(long, env = "GOSSIP_WORKER")]
    pub worker: String,
    /// For how long
    #[arg(long, value_name = "TIME", value_parser = parse::duration, default_value = "30s")]
    pub lease: Duration,
    /// How long to wait in line
    #[arg(long, value_name = "TIME", value_parser = parse::duration, default_value = "0s")]
    pub wait: Duration,
}

/// A lease that is held.
#[derive(Args, Debug)]
pub struct Held {
    pub run: String,
    pub shard: String,
    /// Who holds it
    #[arg(long, env = "GOSSIP_WORKER")]
    pub worker: String,
    /// The fence of the grant
    #[arg(long)]
    pub fence: u64,
}

/// Bytes of a key; clap would take a bare `Vec` for a list of arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(pub Vec<u8>);

/// Where a shard is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Status {
    Active,
    Parked,
    Done,
    Split,
    Cancelled,
}

impl From<Status> for ShardStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Active => ShardStatus::Active,
            Status::Parked => ShardStatus::Parked,
            Status::Done => ShardStatus::Done,
            Status::Split => ShardStatus::Split,
            Status::Cancelled => ShardStatus::Cancelled,
        }
    }
}
