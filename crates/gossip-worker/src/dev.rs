//! One node in a temporary folder, for trying things.

use std::net::SocketAddr;

use crate::config::{LogFormat, NodeArgs};
use crate::node::{self, Exit};
use crate::telemetry;
use clap::Parser;

#[derive(Debug, Parser)]
struct Flags {
    #[command(flatten)]
    node: NodeArgs,
}

/// Runs the node until it is told to stop; its folder goes with it.
///
/// # Errors
/// [`Exit`].
pub fn run(listen: SocketAddr) -> Result<(), Exit> {
    let listen = free_port(listen)?;
    let folder = tempfile::Builder::new().prefix("gossip-dev-").tempdir();
    let folder = folder.map_err(|e| Exit::Config(format!("no temporary folder: {e}")))?;
    let data = folder.path().display().to_string();
    let (address, peers) = (listen.to_string(), format!("dev={listen}"));
    let line = ["dev", "--id", "dev", "--listen", &address, "--peers", &peers, "--data", &data];
    let flags = Flags::try_parse_from(line).map_err(|e| Exit::Config(e.to_string()))?;
    let settings = flags.node.settings().map_err(|e| Exit::Config(e.to_string()))?;
    telemetry::start_logs("warn", LogFormat::Text).map_err(|e| Exit::Config(e.to_string()))?;
    node::runtime()?.block_on(node::run(settings, |serving| print!("{}", welcome(serving, &data))))
}

/// The cluster's id depends on the port, so it must be known before the start.
fn free_port(listen: SocketAddr) -> Result<SocketAddr, Exit> {
    let taken = |e: std::io::Error| Exit::Config(format!("--listen: cannot listen on {listen}: {e}"));
    std::net::TcpListener::bind(listen).and_then(|socket| socket.local_addr()).map_err(taken)
}

fn welcome(serving: SocketAddr, data: &str) -> String {
    format!(
        "A node serves at {serving}; its data is in {data} until you press Ctrl-C.

In another terminal:
  export GOSSIP_ENDPOINTS={serving}
  gossipctl status
  gossipctl run create demo
  gossipctl shard register demo a:..m b:m.. --start
  gossipctl claim demo --worker me --lease 30s
  gossipctl shard list demo
"
    )
}
