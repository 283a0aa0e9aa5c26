//! A Maelstrom node: JSON lines on stdin and stdout, the log on stderr. See `docs/maelstrom.md`.

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;
use gossip_worker::maelstrom::{self, Node, Settings};

/// A Maelstrom node for every workload that the core can serve; it learns from the requests which one it is.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Milliseconds for which a broadcast value, an element or a delta is held on its way, so that others can join it.
    #[arg(long, env = "GOSSIP_BATCH_MS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(0..=60_000))]
    batch_ms: u64,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let life = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_millis() as u64);
    let settings = Settings { batch: Duration::from_millis(options.batch_ms), life };
    match maelstrom::run(Node::new(settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("maelstrom_gossip: {e}");
            ExitCode::FAILURE
        }
    }
}
