//! `gossipctl`: the cluster by hand and from scripts.
//!
//! The way of a command: `args` and `parse` read the line, `call` asks the cluster, `show` gives the answer its two forms.

pub mod args;
mod call;
mod parse;
pub mod show;

use std::collections::BTreeMap;
use std::io::{self, Write};

use clap::Parser as _;
use clap::error::ErrorKind;
use gossip_client::{Client, DEADLINE, Error, OpId, Options, TRANSPORT, UNREACHABLE};

pub use args::DEFAULT_ENDPOINT;
use args::{Cli, Command, Global, RunCommand};
use call::{Answers, Call};
use show::Report;

/// How a command ended, as the process's exit code. `--help` says the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Done = 0,
    /// Nothing was and will be changed.
    Refused = 1,
    /// It may have taken place.
    Unknown = 2,
    /// Nobody answered, and nothing was changed.
    NoAnswer = 3,
    /// The command line is wrong.
    Usage = 254,
    /// Not the cluster's doing.
    Broken = 255,
}

impl Exit {
    fn of(error: &Error) -> Exit {
        match &error.reason[..] {
            _ if !error.definite => Exit::Unknown,
            UNREACHABLE | DEADLINE | TRANSPORT => Exit::NoAnswer,
            _ => Exit::Refused,
        }
    }
}

/// Why a command did not end well.
#[derive(Debug)]
enum Failure {
    Call {
        error: Error,
        /// Of a mutation.
        op: Option<OpId>,
    },
    /// Not every node answered; what did is printed.
    Partial,
    Output(io::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Call { error, op: None }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Output(error)
    }
}

/// What is wrong with the command line. Like the client's own reasons it never travels.
const USAGE: &str = "USAGE";

/// Not the cluster's doing either: this program could not do its part.
const BROKEN: &str = "BROKEN";

/// Carries out a command line, program name first; answers go to `out`, what went wrong to `err`.
pub fn main(line: impl IntoIterator<Item = std::ffi::OsString>, out: &mut dyn Write, err: &mut dyn Write) -> Exit {
    let line: Vec<_> = line.into_iter().collect();
    let cli = match Cli::try_parse_from(&line) {
        Ok(cli) => cli,
        Err(help) if matches!(help.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return write!(out, "{help}").map_or(Exit::Broken, |()| Exit::Done);
        }
        Err(error) if asks_json(&line) => {
            return own_failure(USAGE, &error.to_string(), true, Exit::Usage, err);
        }
        // clap's words have the form of a usage.
        Err(error) => return tell(err, &error.to_string(), Exit::Usage),
    };
    let json = cli.global.json;
    let client = match client(&cli.global) {
        Ok(client) => client,
        Err(error) => return own_failure(USAGE, &error.message, json, Exit::Usage, err),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return own_failure(BROKEN, &error.to_string(), json, Exit::Broken, err),
    };
    match runtime.block_on(execute(cli, &client, out)) {
        Ok(()) => Exit::Done,
        Err(failure) => fail(&failure, json, err),
    }
}

fn client(global: &Global) -> Result<Client, Error> {
    let options = Options { deadline: global.timeout, ..Options::tenant(&global.tenant) };
    match &global.node {
        Some(node) => {
            // The one attempt may take all the time.
            let options = Options { attempt: global.timeout, ..options };
            Ok(Client::lazy(vec![node.clone()], options)?.pinned(node))
        }
        None => Client::lazy(global.endpoints.clone(), options),
    }
}

async fn execute(cli: Cli, client: &Client, out: &mut dyn Write) -> Result<(), Failure> {
    let Cli { global, command } = cli;
    let call = match command {
        Command::Status => {
            let nodes = call::statuses(client).await;
            print(out, &global, &show::statuses(&nodes))?;
            return all_answered(&nodes).then_some(()).ok_or(Failure::Partial);
        }
        Command::Members => {
            let views = call::views(client).await;
            print(out, &global, &show::views(&views))?;
            return all_answered(&views).then_some(()).ok_or(Failure::Partial);
        }
        Command::Watch { run } | Command::Run(RunCommand::Watch { run }) => {
            return watch(client, &global, &run, out).await;
        }
        Command::Cluster(command) => Call::Cluster(command),
        Command::Run(RunCommand::Call(command)) => Call::Run(command),
        Command::Shard(command) => Call::Shard(command),
        Command::Lease(command) => Call::Lease(command),
    };
    let op = global.op_id.map_or_else(|| client.op_id(), OpId::again);
    let report = call::call(client, &global, op, call).await;
    let report = report.map_err(|(error, is_mutation)| Failure::Call { error, op: is_mutation.then_some(op) })?;
    Ok(print(out, &global, &report)?)
}

fn all_answered<T>(answers: &Answers<T>) -> bool {
    answers.iter().all(|(_, answer)| answer.is_ok())
}

async fn watch(client: &Client, global: &Global, run: &str, out: &mut dyn Write) -> Result<(), Failure> {
    let mut watch = client.watch_run(run);
    let mut said = String::new();
    while let Some(change) = watch.next().await {
        let report = show::change(&change?.value);
        // A renewal or a checkpoint changes nothing that is shown here.
        if global.json || report.text != said {
            print(out, global, &report)?;
            out.flush()?;
            said = report.text;
        }
    }
    Ok(())
}

fn print(out: &mut dyn Write, global: &Global, report: &Report) -> io::Result<()> {
    if global.json { writeln!(out, "{}", report.json) } else { writeln!(out, "{}", report.text) }
}

fn fail(failure: &Failure, json: bool, err: &mut dyn Write) -> Exit {
    match failure {
        Failure::Call { error, op } => {
            let exit = Exit::of(error);
            let op = op.filter(|_| exit == Exit::Unknown).map(|op| op.to_string());
            let text = match &op {
                _ if json => show::error(error, op).to_string(),
                Some(op) => format!("gossipctl: {error}\nTo learn what became of it, run the same with --op-id {op}"),
                None => format!("gossipctl: {error}"),
            };
            tell(err, &format!("{text}\n"), exit)
        }
        Failure::Partial => Exit::NoAnswer,
        // As with `| head`: whoever reads has read enough.
        Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
        Failure::Output(error) => {
            own_failure(BROKEN, &format!("cannot write the answer: {error}"), json, Exit::Broken, err)
        }
    }
}

/// Whether a line that cannot be read as a whole asks for JSON.
fn asks_json(line: &[std::ffi::OsString]) -> bool {
    line.iter().take_while(|word| *word != "--").any(|word| word == "--json")
}

/// Tells of what is not the cluster's doing: nothing was sent, or its answer is known and could not be shown.
fn own_failure(reason: &str, message: &str, json: bool, exit: Exit, err: &mut dyn Write) -> Exit {
    let text = if json {
        let own = Error {
            reason: reason.into(),
            definite: exit == Exit::Usage,
            retry_after: None,
            metadata: BTreeMap::new(),
            message: message.trim_end().into(),
        };
        show::error(&own, None).to_string()
    } else {
        format!("gossipctl: {message}")
    };
    tell(err, &format!("{text}\n"), exit)
}

fn tell(err: &mut dyn Write, text: &str, exit: Exit) -> Exit {
    // Where even this cannot be written, the exit code says enough.
    let _ = err.write_all(text.as_bytes());
    exit
}
