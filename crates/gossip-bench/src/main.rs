//! Speed beside peers, on one machine in one run: `make bench`.
//!
//! The judge is measured beside Porcupine and clojure-reader, the service beside etcd. Each service runs as three durable
//! processes on loopback, and the same lease cycle is run against both: acquire, 8 checkpoints, release. Figures of one
//! machine swing; the ratios of one run are what counts.

mod etcd;
mod failover;
mod gossip;
mod gossip_table;
mod judge;
mod load;
mod processes;
mod services;
mod simulation;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;

use load::Figures;
use services::{Etcd, Gossip, Service};

/// What is measured here in this process runs with it in `gossip-sim` and `gossip-verify` too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Speed beside peers, as ratios.
#[derive(Debug, Parser)]
struct Options {
    /// Concurrent workers, one measurement each
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256")]
    workers: Vec<usize>,
    /// Seconds measured for each number of workers
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Fail-overs measured of each kind
    #[arg(long, default_value_t = 5)]
    failovers: usize,
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',', default_value = "judge,simulation,gossip,service")]
    only: Vec<Part>,
    /// The largest cluster of the gossip table
    #[arg(long, default_value_t = 1000)]
    gossip_nodes: u64,
    /// Leave etcd out
    #[arg(long)]
    alone: bool,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Reading histories and searching them, beside clojure-reader and Porcupine
    Judge,
    /// Seeds a second of the simulator
    Simulation,
    /// The gossip's table
    Gossip,
    /// Three real nodes, beside etcd
    Service,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match measure_all(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gossip-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure_all(options: &Options) -> Result<()> {
    let wanted = |part| options.only.contains(&part);
    if wanted(Part::Judge) {
        judge::print()?;
    }
    if wanted(Part::Simulation) {
        simulation::print(options.seconds);
    }
    if wanted(Part::Gossip) {
        gossip_table::print(options.gossip_nodes);
    }
    if wanted(Part::Service) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(bench(options))?;
    }
    Ok(())
}

async fn bench(options: &Options) -> Result<()> {
    println!(
        "Lease cycles (acquire, 8 checkpoints, release) on three durable nodes; the load runs on the same machine.\n"
    );
    let ours = measure::<Gossip>(options).await?;
    print_figures("gossip-rs", &ours, None);
    if !options.alone && Etcd::available() {
        let theirs = measure::<Etcd>(options).await?;
        print_figures("etcd", &theirs, Some(&ours));
    } else {
        println!("etcd: skipped (not installed, or --alone)\n");
    }
    println!("Fail-over: from the fault to the first acquire that succeeds, milliseconds (median, worst)");
    failover::measure::<Gossip>("gossip-rs", options.failovers).await?;
    if !options.alone && Etcd::available() {
        failover::measure::<Etcd>("etcd", options.failovers).await?;
    }
    Ok(())
}

/// One row: the load's figures and the servers' CPU seconds for 10,000 operations.
#[derive(Debug)]
struct Row {
    figures: Figures,
    cpu: f64,
}

async fn measure<S: Service>(options: &Options) -> Result<Vec<Row>> {
    let most = options.workers.iter().copied().max().unwrap_or(1);
    let service = S::start(most).await?;
    let mut rows = Vec::new();
    for (round, &count) in (1..).zip(&options.workers) {
        let workers = service.workers(count, round).await?;
        let before = service.cpu_seconds()?;
        let figures = load::run(workers, Duration::from_secs(1), Duration::from_secs_f64(options.seconds)).await?;
        // The second of warming up used CPU too; it is taken out by its share of the time.
        let share = options.seconds / (options.seconds + 1.0);
        let cpu = (service.cpu_seconds()? - before) * share / figures.operations.max(1) as f64 * 10_000.0;
        rows.push(Row { figures, cpu });
    }
    Ok(rows)
}

fn print_figures(name: &str, rows: &[Row], beside: Option<&[Row]>) {
    println!("{name}");
    println!(
        "  workers      ops/s     p50 ms     p99 ms   p99.9 ms   CPU s/10k ops{}",
        if beside.is_some() { "   gossip-rs is (ops/s, p50)" } else { "" }
    );
    for (at, Row { figures, cpu }) in rows.iter().enumerate() {
        print!(
            "  {:7} {:10.0} {:10.2} {:10.2} {:10.2} {:15.2}",
            figures.workers,
            figures.per_second(),
            figures.quantile(0.5),
            figures.quantile(0.99),
            figures.quantile(0.999),
            cpu
        );
        if let Some(ours) = beside.and_then(|rows| rows.get(at)) {
            let faster = ours.figures.per_second() / figures.per_second();
            print!("   {faster:.1}x, {:.2}x", ours.figures.quantile(0.5) / figures.quantile(0.5));
        }
        println!();
    }
    println!();
}
