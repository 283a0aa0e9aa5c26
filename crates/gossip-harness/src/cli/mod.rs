//! The command line of `gossip-verify`.

mod many;
pub mod options;
pub mod progress;
mod stored;

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use gossip_check::judge::{Options, Validity, check_file};
use gossip_check::report::{RunInfo, stdout, text};
use tokio::sync::watch;

use self::many::{AllArgs, MutantArgs};
use self::options::{RunArgs, Spec};
use self::progress::Progress;
use self::stored::ServeArgs;
use crate::rng::Stream;
use crate::runner::{Outcome, Run};

/// Bad arguments, as Jepsen exits.
pub const BAD_ARGUMENTS: u8 = 254;
/// The harness crashed.
pub const CRASH: u8 = 255;

const EXIT_CODES: &str = "Exit codes: 0 valid, 1 invalid, 2 unknown, 254 bad arguments, 255 the harness crashed.

Examples:
  gossip-verify test --workload lease-exclusivity --nemesis pause-random-node
  gossip-verify test --workload full-lifecycle --nemesis combined --nodes 5 --time-limit 120 --test-seed 1774
  gossip-verify test-all --time-limit 20 --jobs 2
  gossip-verify analyze store/latest
  gossip-verify check history.edn";

/// Starts real nodes, drives them, disturbs them, and judges what they did.
#[derive(Debug, Parser)]
#[command(name = "gossip-verify", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `gossip-verify` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run one workload under one nemesis and judge the history
    Test(RunArgs),
    /// Run the whole matrix of workloads and nemeses, or a part of it
    TestAll(AllArgs),
    /// Judge a stored run again and write its reports anew
    Analyze {
        /// For example store/latest
        #[arg(default_value = "store/latest")]
        folder: PathBuf,
    },
    /// Find the shortest time, fewest workers and fewest faults with which a run still fails
    Shrink(RunArgs),
    /// Show the stored runs to a browser
    Serve(ServeArgs),
    /// Look for every planted bug, in nodes that were built with them
    Mutants(MutantArgs),
    /// Judge a history of any tier
    Check {
        /// For example store/latest/history.edn
        file: PathBuf,
        /// Judge the gossip's speed too (G2): seconds within which a published fact must be seen wherever it can go
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
        gossip_bound: Option<u32>,
    },
    /// List workloads and nemeses
    List,
}

/// Carries a command out. Answers the exit code.
pub async fn run(cli: Cli) -> u8 {
    let done = match cli.command {
        Command::Test(args) => test(&args).await,
        Command::TestAll(args) => many::all(&args).await,
        Command::Analyze { folder } => stored::analyze(&folder),
        Command::Shrink(args) => stored::shrink(&args).await,
        Command::Serve(args) => stored::serve(&args).await,
        Command::Mutants(args) => many::planted(&args).await,
        Command::Check { file, gossip_bound } => Ok(check(&file, gossip_bound)),
        Command::List => Ok(list()),
    };
    done.unwrap_or_else(|error| {
        eprintln!("gossip-verify: {error:#}");
        CRASH
    })
}

fn refuse(line: &str) -> u8 {
    eprintln!("gossip-verify: {line}");
    BAD_ARGUMENTS
}

/// Turns true at the first Ctrl-C or SIGTERM; the second one ends the process at once.
fn stop_signal() -> anyhow::Result<watch::Receiver<bool>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (stop, stopped) = watch::channel(false);
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if stop.send_replace(true) {
                // The watchdog takes the nodes along.
                std::process::exit(i32::from(CRASH));
            }
        }
    });
    Ok(stopped)
}

async fn test(args: &RunArgs) -> anyhow::Result<u8> {
    let first = match args.spec().and_then(|spec| spec.probe().map(|()| spec)) {
        Ok(spec) => spec,
        Err(line) => return Ok(refuse(&line)),
    };
    let stop = stop_signal()?;
    let mut seeds = Stream::new(first.seed, "further runs");
    let mut worst = Validity::True;
    for number in 0..args.test_count {
        let seed = if number == 0 { first.seed } else { seeds.below(1 << 31) };
        let outcome = one(Spec { seed, ..first.clone() }, stop.clone(), &Progress::new()).await?;
        stdout::text(&outcome.report);
        stdout::line(format_args!("\nResults: {}", outcome.folder.display()));
        worst = Validity::merge([worst, outcome.validity]);
        if worst != Validity::True || *stop.borrow() {
            break;
        }
    }
    Ok(worst.exit_code())
}

async fn one(spec: Spec, stop: watch::Receiver<bool>, progress: &Progress) -> anyhow::Result<Outcome> {
    let (workload, nemesis, seed) = (spec.workload.name(), spec.nemesis.name(), spec.seed);
    let run = Run::new(spec);
    progress.say(&format!("{workload} under {nemesis}, seed {seed}, schedule {}", run.digest()));
    run.carry_out(stop, progress).await
}

fn check(file: &Path, gossip_bound: Option<u32>) -> u8 {
    let gossip_bound_ns = gossip_bound.map(|seconds| i64::from(seconds) * 1_000_000_000);
    match check_file(file, &Options { gossip_bound_ns, ..Options::default() }) {
        Ok((ops, verdict)) => {
            let span = ops.last().map_or(0, |op| op.time).saturating_sub(ops.first().map_or(0, |op| op.time));
            let info = RunInfo {
                title: "JEPSEN REPORT".into(),
                workload: file.display().to_string(),
                nemesis: "as recorded".into(),
                nodes: Vec::new(),
                duration_s: span as f64 / 1e9,
                concurrency: 0,
                seed: 0,
                schedule_digest: String::new(),
                repro: format!("gossip-verify check {}", file.display()),
            };
            stdout::text(text(&info, &verdict, &ops));
            verdict.validity.exit_code()
        }
        Err(error) => refuse(&error.to_string()),
    }
}

fn list() -> u8 {
    stdout::line("workloads (default nemesis):");
    for kind in crate::workload::Kind::ALL {
        stdout::line(format_args!("  {:24} ({})", kind.name(), kind.default_nemesis().name()));
    }
    stdout::line("nemeses:");
    for nemesis in crate::schedule::Nemesis::ALL {
        stdout::line(format_args!("  {}", nemesis.name()));
    }
    0
}
