//! A Maelstrom node: JSON lines on stdin and stdout, the log on stderr. See `docs/maelstrom.md`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Parser, Subcommand};
use gossip_worker::maelstrom::report::{Bounds, Circumstances, Report, Verdict};
use gossip_worker::maelstrom::{self, Node, Settings};

/// A Maelstrom node for every workload that the core can serve; it learns from the requests which one it is.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Milliseconds for which a broadcast value, an element or a delta is held on its way, so that others can join it.
    #[arg(long, global = true, env = "GOSSIP_BATCH_MS", default_value_t = 300)]
    #[arg(value_parser = clap::value_parser!(u64).range(0..=60_000))]
    batch_ms: u64,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the MAELSTROM REPORT of a run. Exits 0 if it was valid, 1 if not, 2 if unknown, 255 if it cannot be read.
    Report {
        /// The results folder, for example `store/latest`.
        folder: PathBuf,
        /// What to call the run; its workload if not given.
        #[arg(long)]
        name: Option<String>,
        /// What was done to the nodes from outside Maelstrom.
        #[arg(long)]
        nemesis: Option<String>,
        /// Maelstrom was to cut the network: a run in which it did not is unknown.
        #[arg(long)]
        partition: bool,
        /// The latency between servers that the run had, in milliseconds.
        #[arg(long, default_value_t = 0)]
        latency_ms: u64,
        /// Most messages between servers for each operation.
        #[arg(long)]
        messages: Option<f64>,
        /// Messages between servers for each operation must be fewer than this.
        #[arg(long)]
        messages_below: Option<f64>,
        /// The median of the milliseconds until a value is stable must be below this.
        #[arg(long)]
        median_ms: Option<f64>,
        /// Every value must be stable in fewer milliseconds than this.
        #[arg(long)]
        max_ms: Option<f64>,
        /// The line that repeats the run, printed if it failed.
        #[arg(long)]
        command: Option<String>,
    },
}

fn main() -> ExitCode {
    let options = Options::parse();
    let batch = Duration::from_millis(options.batch_ms);
    match options.command {
        Some(Command::Report {
            folder,
            name,
            nemesis,
            partition,
            latency_ms,
            messages,
            messages_below,
            median_ms,
            max_ms,
            command,
        }) => {
            let bounds = Bounds { messages, messages_below, median_ms, max_ms };
            let latency = Duration::from_millis(latency_ms);
            report(&folder, Circumstances { bounds, name, nemesis, partition, latency, batch, command })
        }
        None => run(batch),
    }
}

fn run(batch: Duration) -> ExitCode {
    let life = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_millis() as u64);
    match maelstrom::run(Node::new(Settings { batch, life })) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("maelstrom_gossip: {e}");
            ExitCode::FAILURE
        }
    }
}

fn report(folder: &Path, circumstances: Circumstances) -> ExitCode {
    match Report::read(folder, circumstances) {
        Ok(report) => {
            print!("{report}");
            match report.verdict {
                Verdict::Pass => ExitCode::SUCCESS,
                Verdict::Fail => ExitCode::from(1),
                Verdict::Unknown => ExitCode::from(2),
            }
        }
        Err(e) => {
            eprintln!("maelstrom_gossip: {e}");
            ExitCode::from(255)
        }
    }
}
