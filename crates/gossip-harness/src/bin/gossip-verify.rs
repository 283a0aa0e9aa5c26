//! The local-cluster tier's program.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use gossip_harness::cli::{self, BAD_ARGUMENTS, CRASH, Cli};

/// A history is many small values: this one is faster at them than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // Nobody reads it when the terminal is gone.
            let _ = error.print();
            return if asked { ExitCode::SUCCESS } else { BAD_ARGUMENTS.into() };
        }
    };
    match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        // A panic has said what it is on stderr; a script must not take its exit code for a verdict.
        Ok(runtime) => catch_unwind(AssertUnwindSafe(|| runtime.block_on(cli::run(cli)))).unwrap_or(CRASH).into(),
        Err(error) => {
            eprintln!("gossip-verify: the system gives no runtime: {error}");
            CRASH.into()
        }
    }
}
