//! One node in a temporary folder, for trying things.

use std::io::Write;
use std::net::SocketAddr;

use crate::config::{LogFormat, NodeArgs};
use crate::ctl::DEFAULT_ENDPOINT;
use crate::node::{self, Exit};
use crate::telemetry;

/// Runs the node until it is told to stop; its folder goes with it.
///
/// # Errors
/// [`Exit`].
pub fn run(listen: SocketAddr) -> Result<(), Exit> {
    let listen = free_port(listen)?;
    let folder = tempfile::Builder::new().prefix("gossip-dev-").tempdir();
    let folder = folder.map_err(|e| Exit::Config(format!("no temporary folder: {e}")))?;
    let data = folder.path().display().to_string();
    // Not by way of a command line: the environment may hold flags that are meant for a real node.
    let flags = NodeArgs::alone("dev", listen, folder.path());
    let settings = flags.settings().map_err(|e| Exit::Config(e.to_string()))?;
    telemetry::start_logs("warn", LogFormat::Text).map_err(|e| Exit::Config(e.to_string()))?;
    let greet = |serving| {
        // A reader that has gone is no reason for the node to go.
        let _ = std::io::stdout().write_all(welcome(serving, &data).as_bytes());
    };
    node::run_to_end(settings, greet)
}

/// The cluster's id depends on the port, so it must be known before the start.
fn free_port(listen: SocketAddr) -> Result<SocketAddr, Exit> {
    let taken = |e: std::io::Error| Exit::Config(format!("--listen: cannot listen on {listen}: {e}"));
    std::net::TcpListener::bind(listen).and_then(|socket| socket.local_addr()).map_err(taken)
}

fn welcome(serving: SocketAddr, data: &str) -> String {
    // What gossipctl asks without being told.
    let export = match serving.to_string() {
        usual if usual == DEFAULT_ENDPOINT => String::new(),
        other => format!("  export GOSSIP_ENDPOINTS={other}\n"),
    };
    format!(
        "A node serves at {serving}; its data is in {data} until you press Ctrl-C.

In another terminal:
{export}  gossipctl status
  gossipctl run create demo
  gossipctl shard register demo a:..m b:m.. --start
  gossipctl claim demo --worker me --lease 30s
  gossipctl shard list demo
"
    )
}
