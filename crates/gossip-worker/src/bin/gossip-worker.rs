//! The node's process.

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use gossip_worker::config::{Cli, Command, LogFormat, NodeArgs};
use gossip_worker::node::{self, Exit};
use gossip_worker::{dev, telemetry};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            // Whoever asked may have read enough.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        Err(error) => return fail(&Exit::Config(first_line(&error.to_string()))),
    };
    // A bug that would leave the node half alive ends it: its disk is good for any moment's end.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
    let outcome = match cli.command {
        Some(Command::Dev { listen }) => dev::run(listen),
        None => start(cli.node),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => fail(&exit),
    }
}

fn start(args: NodeArgs) -> Result<(), Exit> {
    let (log, format): (String, LogFormat) = (args.log.clone(), args.log_format);
    let settings = args.settings().map_err(|e| Exit::Config(e.to_string()))?;
    telemetry::start_logs(&log, format).map_err(|e| Exit::Config(e.to_string()))?;
    node::run_to_end(settings, |_| {})
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

fn fail(exit: &Exit) -> ExitCode {
    eprintln!("gossip-worker: {exit}");
    ExitCode::from(exit.code())
}
