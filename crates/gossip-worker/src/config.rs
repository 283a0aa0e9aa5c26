//! What the operator says at start: flags and environment, checked as a whole before anything is touched.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use gossip_core::consensus::{Config, Group, Member, Members, SnapshotRecord};
use gossip_core::coordination::limits::Quotas;
use gossip_core::coordination::{Invalid, State};
use gossip_core::mutants::Planted;
use sha2::{Digest, Sha256};

const EXAMPLES: &str = "Examples:
  # One node in a temporary folder, to try things
  gossip-worker dev

  # Three nodes on one machine, one line each
  P=n1=127.0.0.1:7001,n2=127.0.0.1:7002,n3=127.0.0.1:7003
  gossip-worker --id n1 --listen 127.0.0.1:7001 --peers $P --data /tmp/gossip/n1
  gossip-worker --id n2 --listen 127.0.0.1:7002 --peers $P --data /tmp/gossip/n2
  gossip-worker --id n3 --listen 127.0.0.1:7003 --peers $P --data /tmp/gossip/n3

  # A fourth one, after `gossipctl add n4 127.0.0.1:7004`
  gossip-worker --id n4 --listen 127.0.0.1:7004 --join 127.0.0.1:7001,127.0.0.1:7002 --data /tmp/gossip/n4

Exit codes: 0 stopped when asked, or removed from the cluster; 2 the command line, a port or the data folder is wrong (nothing
was changed), or this node lost its data and the cluster does not take it; 3 the node cannot trust its disk or cannot go on.";

const ELECTION_TIMEOUT_MS: u64 = 200;
const IN_FLIGHT_MIB: u32 = 64;

/// One node of a gossip-rs cluster: hands out shards under leases with fencing epochs.
#[derive(Debug, Parser)]
#[command(name = "gossip-worker", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// Instead of a node of a cluster.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// A node of a cluster.
    #[command(flatten)]
    pub node: NodeArgs,
}

/// What can be started beside a node of a cluster.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start one node in a temporary folder and print what to type first
    Dev {
        /// Where to serve; port 0: a free one
        #[arg(long, env = "GOSSIP_LISTEN", default_value = crate::ctl::DEFAULT_ENDPOINT)]
        listen: SocketAddr,
    },
}

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The flags of a node.
#[derive(Args, Clone, Debug)]
pub struct NodeArgs {
    /// This node's name, unique in the cluster, for example n1
    #[arg(long, env = "GOSSIP_ID", value_name = "NAME")]
    pub id: Option<String>,
    /// Where to serve clients and peers
    #[arg(long, env = "GOSSIP_LISTEN", value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// The founding nodes, this one included: the same list on each of them, for ever
    #[arg(long, env = "GOSSIP_PEERS", value_name = "NAME=HOST:PORT,…", conflicts_with = "join")]
    pub peers: Option<String>,
    /// Join a running cluster that has added this node: where to ask
    #[arg(long, env = "GOSSIP_JOIN", value_name = "HOST:PORT,…")]
    pub join: Option<String>,
    /// Where other nodes and clients reach this node, if not at its --peers entry or --listen address
    #[arg(long, env = "GOSSIP_ADVERTISE", value_name = "HOST:PORT")]
    pub advertise: Option<String>,
    /// This node's data folder, made if it is missing
    #[arg(long, env = "GOSSIP_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Serve Prometheus metrics here, at /metrics
    #[arg(long, env = "GOSSIP_METRICS_LISTEN", value_name = "ADDR:PORT")]
    pub metrics_listen: Option<SocketAddr>,
    /// How logs are written
    #[arg(long, env = "GOSSIP_LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// What is logged, as tracing filters say it, for example info,gossip_worker=debug
    #[arg(long, env = "GOSSIP_LOG", value_name = "FILTER", default_value = "info")]
    pub log: String,
    /// A follower that hears nothing for this long to twice as long campaigns, in milliseconds
    #[arg(long, env = "GOSSIP_ELECTION_TIMEOUT_MS", default_value_t = ELECTION_TIMEOUT_MS, value_parser = clap::value_parser!(u64).range(50..=60_000))]
    pub election_timeout_ms: u64,
    /// Entries applied between two snapshots
    #[arg(long, env = "GOSSIP_SNAPSHOT_ENTRIES", default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(100..=10_000_000))]
    pub snapshot_entries: u64,
    /// Mebibytes of entries applied between two snapshots, however few entries they are
    #[arg(long, env = "GOSSIP_SNAPSHOT_MIB", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    pub snapshot_mib: u64,
    /// Mebibytes of mutations, of reads, and of requests on their way in, each, before a new one is refused with OVERLOADED
    #[arg(long, env = "GOSSIP_IN_FLIGHT_MIB", default_value_t = IN_FLIGHT_MIB, value_parser = clap::value_parser!(u32).range(16..=2_047))]
    pub in_flight_mib: u32,
    /// Live shards that one tenant may have: counts at the founding of a cluster only, the same on each founder
    #[arg(long, env = "GOSSIP_SHARDS_PER_TENANT", default_value_t = 1_000_000)]
    pub shards_per_tenant: u64,
    /// Live runs that one tenant may have: counts at the founding of a cluster only, the same on each founder
    #[arg(long, env = "GOSSIP_RUNS_PER_TENANT", default_value_t = 10_000)]
    pub runs_per_tenant: u64,
    /// Allow what only tests need
    #[arg(long, env = "GOSSIP_UNSAFE_TESTING")]
    pub unsafe_testing: bool,
    /// Bend the clocks as this file says (needs --unsafe-testing)
    #[arg(long, env = "GOSSIP_CLOCK_CONTROL", value_name = "FILE", hide = true)]
    pub clock_control: Option<PathBuf>,
    /// Dial these peers elsewhere, through a test's proxy (needs --unsafe-testing)
    #[arg(long, env = "GOSSIP_PEER_VIA", value_name = "NAME=HOST:PORT,…", hide = true)]
    pub peer_via: Option<String>,
    /// Plant this bug (needs --unsafe-testing)
    #[cfg(feature = "mutants")]
    #[arg(long, env = "GOSSIP_MUTANT", value_name = "NAME", value_parser = bugs(), hide = true)]
    pub mutant: Option<String>,
}

/// How the node finds its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cluster {
    /// It founds one together with the others.
    Found(Members),
    /// It was added to a running one.
    Join(Vec<String>),
}

/// A command line that makes sense.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The node's name.
    pub id: String,
    /// Where to serve.
    pub listen: SocketAddr,
    /// Where others reach it.
    pub address: String,
    /// Its cluster.
    pub cluster: Cluster,
    /// Its folder.
    pub data: PathBuf,
    /// Where to serve metrics.
    pub metrics_listen: Option<SocketAddr>,
    /// The group's settings; the seed is not drawn yet.
    pub group: Config,
    /// Of the founding state.
    pub quotas: Quotas,
    /// Bytes of mutations, of reads, and of requests on their way in, each, before a new one is refused.
    pub in_flight_bytes: u32,
    /// The file that bends the clocks.
    pub clock_control: Option<PathBuf>,
    /// Detours to peers.
    pub detours: BTreeMap<String, String>,
    /// The planted bug.
    pub planted: Planted,
}

/// Checks a node's name.
///
/// # Errors
/// What is wrong with `field`.
pub fn check_node_name(field: &str, name: &str) -> Result<(), Invalid> {
    let shaped = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if (1..=64).contains(&name.len()) && shaped {
        return Ok(());
    }
    Err(Invalid::new(field, format!("{name:?} must be 1 to 64 ASCII letters, digits and ._-")))
}

/// Checks `HOST:PORT`.
///
/// # Errors
/// What is wrong with `field`.
pub fn check_address(field: &str, address: &str) -> Result<(), Invalid> {
    let parts = address.rsplit_once(':').filter(|(host, _)| !host.is_empty() && !host.contains(['/', ' ', '@']));
    match parts.map(|(_, port)| port.parse::<u16>()) {
        Some(Ok(port)) if port > 0 => {}
        _ => return Err(Invalid::new(field, format!("{address:?} must be HOST:PORT"))),
    }
    match address.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_unspecified() => {
            Err(Invalid::new(field, format!("{address} is an address to listen on, at which nobody can be reached")))
        }
        _ => Ok(()),
    }
}

fn pairs(field: &str, text: &str) -> Result<BTreeMap<String, String>, Invalid> {
    let mut pairs = BTreeMap::new();
    for item in text.split(',') {
        let Some((name, address)) = item.split_once('=') else {
            return Err(Invalid::new(field, format!("{item:?} must be NAME=HOST:PORT")));
        };
        check_node_name(field, name)?;
        check_address(field, address)?;
        if pairs.values().any(|other| other == address) {
            return Err(Invalid::new(field, format!("two nodes at {address}")));
        }
        if pairs.insert(name.to_owned(), address.to_owned()).is_some() {
            return Err(Invalid::new(field, format!("{name} is named twice")));
        }
    }
    Ok(pairs)
}

/// The founding members, numbered in order of their names.
fn founders(peers: &BTreeMap<String, String>) -> Members {
    let nodes: Vec<_> = (1..)
        .zip(peers)
        .map(|(id, (name, address))| Member { id, name: name.clone(), address: address.clone(), voter: true })
        .collect();
    Members { next_id: nodes.len() as u64 + 1, nodes }
}

/// What a cluster is founded with. It decides the first state of every founder, so it must be the same on each of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Founding {
    /// In words, for those who look for the difference.
    pub words: String,
    /// The id of the cluster: a hash of all of it, the first state's bytes included.
    pub cluster: String,
    /// The first record of every founder's log.
    pub record: SnapshotRecord,
}

impl Founding {
    /// The founding of `members`.
    pub fn of(members: &Members, quotas: &Quotas) -> Self {
        let record = Group::bootstrap_record(members, &State::new(quotas.clone(), Planted::NONE));
        let peers: Vec<_> = members.nodes.iter().map(|member| format!("{}={}", member.name, member.address)).collect();
        let Quotas { shards_per_tenant, runs_per_tenant } = quotas;
        let state: String = Sha256::digest(&record.data).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let words = format!(
            "--peers {} --shards-per-tenant {shards_per_tenant} --runs-per-tenant {runs_per_tenant} (first state {state})",
            peers.join(",")
        );
        let mut hash = Sha256::new();
        hash.update(&words);
        hash.update(&record.data);
        let cluster = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Founding { words, cluster, record }
    }

    /// Whether a founding told in `words` had the same `--peers`.
    pub fn same_peers(&self, words: &str) -> bool {
        let peers = |words: &str| words.split_whitespace().nth(1).map(str::to_owned);
        peers(&self.words) == peers(words)
    }
}

impl NodeArgs {
    /// The flags of a cluster of one node.
    pub fn alone(name: &str, listen: SocketAddr, data: &Path) -> Self {
        let Quotas { shards_per_tenant, runs_per_tenant } = Quotas::default();
        let defaults = Config::default();
        NodeArgs {
            id: Some(name.into()),
            listen: Some(listen),
            peers: Some(format!("{name}={listen}")),
            join: None,
            advertise: None,
            data: Some(data.into()),
            metrics_listen: None,
            log_format: LogFormat::Text,
            log: "info".into(),
            election_timeout_ms: ELECTION_TIMEOUT_MS,
            snapshot_entries: defaults.snapshot_entries,
            snapshot_mib: defaults.snapshot_bytes >> 20,
            in_flight_mib: IN_FLIGHT_MIB,
            shards_per_tenant,
            runs_per_tenant,
            unsafe_testing: false,
            clock_control: None,
            peer_via: None,
            #[cfg(feature = "mutants")]
            mutant: None,
        }
    }

    /// Says which of the flags that every node needs were not given.
    fn missing(&self) -> Invalid {
        let needed =
            [("--id", self.id.is_none()), ("--listen", self.listen.is_none()), ("--data", self.data.is_none())];
        let flags: Vec<_> = needed.into_iter().filter_map(|(flag, missing)| missing.then_some(flag)).collect();
        let verb = if flags.len() == 1 { "is" } else { "are" };
        Invalid::new(flags.join(", "), format!("{verb} missing (see --help)"))
    }

    /// The settings that these flags mean.
    ///
    /// # Errors
    /// The flag that is at fault, and why.
    pub fn settings(self) -> Result<Settings, Invalid> {
        let (Some(id), Some(listen), Some(data)) = (&self.id, self.listen, &self.data) else {
            return Err(self.missing());
        };
        let (id, data) = (id.clone(), data.clone());
        check_node_name("--id", &id)?;
        if let Some(address) = &self.advertise {
            check_address("--advertise", address)?;
        }
        let testing = [("--clock-control", self.clock_control.is_some()), ("--peer-via", self.peer_via.is_some())];
        if let Some((flag, _)) = testing.iter().find(|(_, given)| *given && !self.unsafe_testing) {
            return Err(Invalid::new(*flag, "is for tests only: it needs --unsafe-testing"));
        }
        let mut address = self.advertise.unwrap_or_else(|| listen.to_string());
        let cluster = match (self.peers, self.join) {
            (Some(peers), None) => {
                let peers = pairs("--peers", &peers)?;
                let Some(own) = peers.get(&id) else {
                    return Err(Invalid::new("--id", format!("{id} is not among --peers")));
                };
                if !matches!(peers.len(), 1 | 3 | 5) {
                    return Err(Invalid::new(
                        "--peers",
                        format!("a cluster has 1, 3 or 5 founders, not {}", peers.len()),
                    ));
                }
                address.clone_from(own);
                Cluster::Found(founders(&peers))
            }
            (None, Some(join)) => {
                let seeds: Vec<String> = join.split(',').map(str::to_owned).collect();
                seeds.iter().try_for_each(|seed| check_address("--join", seed))?;
                // With such an address it would be added, and nobody could reach it.
                if address == listen.to_string() && (listen.ip().is_unspecified() || listen.port() == 0) {
                    return Err(Invalid::new("--advertise", format!("is missing: nobody can reach {listen}")));
                }
                Cluster::Join(seeds)
            }
            _ => return Err(Invalid::new("--peers", "give either --peers or --join")),
        };
        #[cfg(feature = "mutants")]
        let planted = planted(self.mutant.as_deref(), self.unsafe_testing)?;
        #[cfg(not(feature = "mutants"))]
        let planted = Planted::NONE;
        let defaults = Config::default();
        let election_ticks = u32::try_from(defaults.election_ticks).unwrap_or(10);
        Ok(Settings {
            id,
            listen,
            address,
            cluster,
            data,
            metrics_listen: self.metrics_listen,
            group: Config {
                tick: Duration::from_millis(self.election_timeout_ms) / election_ticks,
                snapshot_entries: self.snapshot_entries,
                snapshot_bytes: self.snapshot_mib << 20,
                keep_entries: defaults.keep_entries.min(self.snapshot_entries / 2),
                keep_bytes: (self.snapshot_mib << 20) / 4,
                max_uncommitted_bytes: u64::from(self.in_flight_mib) << 20,
                ..defaults
            },
            quotas: Quotas { shards_per_tenant: self.shards_per_tenant, runs_per_tenant: self.runs_per_tenant },
            in_flight_bytes: self.in_flight_mib << 20,
            clock_control: self.clock_control,
            detours: self.peer_via.map(|via| pairs("--peer-via", &via)).transpose()?.unwrap_or_default(),
            planted,
        })
    }
}

#[cfg(feature = "mutants")]
fn bugs() -> clap::builder::PossibleValuesParser {
    gossip_core::mutants::Mutant::ALL.iter().map(|bug| bug.name()).collect::<Vec<_>>().into()
}

#[cfg(feature = "mutants")]
fn planted(name: Option<&str>, testing: bool) -> Result<Planted, Invalid> {
    match name {
        None => Ok(Planted::NONE),
        Some(_) if !testing => Err(Invalid::new("--mutant", "is for tests only: it needs --unsafe-testing")),
        Some(name) => Planted::named(name).ok_or_else(|| Invalid::new("--mutant", format!("no bug is named {name:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(line: &str) -> Result<Settings, String> {
        let cli = Cli::try_parse_from(line.split_whitespace()).map_err(|e| e.to_string())?;
        cli.node.settings().map_err(|e| e.to_string())
    }

    const THREE: &str = "gossip-worker --listen 127.0.0.1:1 --data d --peers n2=b:2,n1=a:1,n3=c:3";

    #[test]
    fn founders_are_numbered_by_name_whatever_the_order() {
        let one = settings(&format!("{THREE} --id n2")).unwrap();
        let Cluster::Found(members) = one.cluster else { panic!("founds no cluster") };
        assert_eq!(
            members.nodes.iter().map(|m| (m.id, m.name.as_str())).collect::<Vec<_>>(),
            [(1, "n1"), (2, "n2"), (3, "n3")]
        );
        assert_eq!(one.address, "b:2");
        let Cluster::Found(other) =
            settings("w --id n1 --listen 127.0.0.1:1 --data d --peers n1=a:1,n2=b:2,n3=c:3").unwrap().cluster
        else {
            panic!("founds no cluster")
        };
        let founding = |members, quotas| Founding::of(members, quotas).cluster;
        let quotas = Quotas::default();
        assert_eq!(founding(&members, &quotas), founding(&other, &quotas));
        let fewer = Quotas { runs_per_tenant: 7, ..quotas.clone() };
        assert_ne!(founding(&members, &quotas), founding(&members, &fewer), "founders that differ must not mix");
    }

    #[test]
    fn each_mistake_names_its_flag() {
        for (line, start) in [
            ("w", "--id, --listen, --data: are missing"),
            ("w --id n1 --data d", "--listen: is missing"),
            (
                "w --id n1 --listen 0.0.0.0:1 --data d --join a:1 --advertise 0.0.0.0:1",
                "--advertise: 0.0.0.0:1 is an address to",
            ),
            ("w --id n1 --listen 0.0.0.0:1 --data d --peers n1=[::]:1", "--peers: [::]:1 is an address to"),
            ("w --id n1 --listen 127.0.0.1:1 --data d", "--peers: give either"),
            (&format!("{THREE} --id n4"), "--id: n4 is not among --peers"),
            (&format!("{THREE} --id n/1"), "--id: \"n/1\" must be"),
            (&format!("{THREE} --id n1 --clock-control f"), "--clock-control: is for tests only"),
            ("w --id n1 --listen 127.0.0.1:1 --data d --peers n1=a:1,n1=b:2", "--peers: n1 is named twice"),
            ("w --id n1 --listen 127.0.0.1:1 --data d --peers n1=a:1,n2=a:1", "--peers: two nodes at a:1"),
            ("w --id n1 --listen 127.0.0.1:1 --data d --peers n1=a", "--peers: \"a\" must be HOST:PORT"),
            ("w --id n1 --listen 127.0.0.1:1 --data d --peers n1", "--peers: \"n1\" must be NAME=HOST:PORT"),
            (
                "w --id n1 --listen 127.0.0.1:1 --data d --peers n1=a:1,n2=a:2",
                "--peers: a cluster has 1, 3 or 5 founders, not 2",
            ),
            ("w --id n1 --listen 127.0.0.1:1 --data d --join a:0", "--join: \"a:0\" must be HOST:PORT"),
        ] {
            let problem = settings(line).map(|_| ()).unwrap_err();
            assert!(problem.starts_with(start), "{line}: {problem}");
        }
    }
}
