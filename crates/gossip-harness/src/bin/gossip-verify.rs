//! The local-cluster tier's program.

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use gossip_harness::cli::{self, BAD_ARGUMENTS, CRASH, Cli};

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
        Ok(runtime) => runtime.block_on(cli::run(cli)).into(),
        Err(error) => {
            eprintln!("gossip-verify: the system gives no runtime: {error}");
            CRASH.into()
        }
    }
}
