//! What can be done with stored runs: judge one again, make a failing one smaller, show all.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::{Path as UrlPath, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use clap::Args;
use gossip_check::judge::Validity;
use gossip_check::report::stdout;
use tokio::sync::watch;

use super::many::ids;
use super::options::{RunArgs, Spec};
use super::progress::Progress;
use super::{one, refuse, stop_signal};
use crate::runner;

/// What `serve` shows.
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// The folder of all results
    #[arg(long, env = "GOSSIP_STORE", default_value = "store")]
    store: PathBuf,
    /// Where to serve
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: std::net::SocketAddr,
}

/// Judges a stored run again, by this build's judge, and writes its reports anew.
pub(super) fn analyze(folder: &Path) -> Result<u8> {
    let outcome = match runner::analyze(folder) {
        Ok(outcome) => outcome,
        Err(error) => return Ok(refuse(&format!("{error:#}"))),
    };
    stdout::text(&outcome.report);
    Ok(outcome.validity.exit_code())
}

/// Tries smaller runs as long as they still fail. Each candidate has a few tries: real time is not replayed.
pub(super) async fn shrink(args: &RunArgs) -> Result<u8> {
    let mut spec = match args.spec().and_then(|spec| spec.probe().map(|()| spec)) {
        Ok(spec) => spec,
        Err(line) => return Ok(refuse(&line)),
    };
    let stop = stop_signal()?;
    let Some(wanted) = failure(&spec, None, &stop).await else {
        if *stop.borrow() {
            stdout::line("stopped before a run failed: nothing is known");
            return Ok(Validity::Unknown.exit_code());
        }
        stdout::line(format_args!("not to be shrunk: it did not fail in {TRIES} tries\n  {}", spec.command()));
        return Ok(Validity::True.exit_code());
    };
    stdout::line(format_args!("fails by {}: {}", wanted.join(" "), spec.command()));
    while let Some(smaller) = smaller_that_fails(&spec, &wanted, &stop).await {
        stdout::line(format_args!("still fails: {}", smaller.command()));
        spec = smaller;
    }
    let end = if *stop.borrow() { "Stopped; the smallest so far" } else { "The smallest that fails" };
    stdout::line(format_args!("\n{end}:\n  {}", spec.command()));
    Ok(Validity::False.exit_code())
}

/// Runs of one candidate.
const TRIES: u32 = 3;

/// What a failing run of this violates; `wanted`: only a failure that shares something with it counts.
async fn failure(
    spec: &Spec,
    wanted: Option<&[&'static str]>,
    stop: &watch::Receiver<bool>,
) -> Option<Vec<&'static str>> {
    for _ in 0..TRIES {
        if *stop.borrow() {
            return None;
        }
        match one(spec.clone(), stop.clone(), &Progress::quiet()).await {
            Ok(outcome) if outcome.validity == Validity::False => {
                let found = ids(&outcome);
                if wanted.is_none_or(|wanted| wanted.iter().any(|id| found.contains(id))) {
                    return Some(found);
                }
            }
            Ok(_) => {}
            // One run that could not be carried out says nothing of the candidate.
            Err(error) => eprintln!("gossip-verify: {error:#}"),
        }
    }
    None
}

async fn smaller_that_fails(spec: &Spec, wanted: &[&'static str], stop: &watch::Receiver<bool>) -> Option<Spec> {
    for candidate in smaller(spec) {
        if candidate.check().is_ok() && failure(&candidate, Some(wanted), stop).await.is_some() {
            return Some(candidate);
        }
    }
    None
}

/// Candidates, the smallest first: less time, fewer workers, fewer faults; then one fault less, each in turn.
fn smaller(spec: &Spec) -> Vec<Spec> {
    let faults = spec.kept_faults(runner::Run::new(Spec { faults: None, ..spec.clone() }).faults());
    let mut candidates = vec![
        Spec { time_limit: spec.time_limit / 2, ..spec.clone() },
        Spec { time_limit: spec.time_limit * 3 / 4, ..spec.clone() },
        Spec { concurrency: spec.concurrency / 2, ..spec.clone() },
        Spec { concurrency: spec.concurrency.saturating_sub(1), ..spec.clone() },
    ];
    let without = |from: usize, to: usize| {
        let kept = faults[..from].iter().chain(&faults[to..]).copied().collect();
        Spec { faults: Some(kept), ..spec.clone() }
    };
    let mut stretch = faults.len().div_ceil(2);
    while stretch > 0 {
        candidates.extend((0..faults.len()).step_by(stretch).map(|at| without(at, (at + stretch).min(faults.len()))));
        stretch = if stretch == 1 { 0 } else { stretch.div_ceil(2) };
    }
    candidates.retain(|candidate| candidate != spec);
    candidates
}

/// Shows the store to a browser until it is told to stop.
pub(super) async fn serve(args: &ServeArgs) -> Result<u8> {
    let store = match args.store.canonicalize() {
        Ok(store) => store,
        Err(error) => return Ok(refuse(&format!("--store {}: {error}", args.store.display()))),
    };
    let listener = match tokio::net::TcpListener::bind(args.listen).await {
        Ok(listener) => listener,
        Err(error) => return Ok(refuse(&format!("--listen {}: {error}", args.listen))),
    };
    stdout::line(format_args!("{} is shown at http://{}/", store.display(), listener.local_addr()?));
    let mut stop = stop_signal()?;
    let router = Router::new().route("/", get(index)).route("/{*path}", get(file)).with_state(store);
    let stopped = async move {
        // Ends as well when nobody can ask any more.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    axum::serve(listener, router).with_graceful_shutdown(stopped).await.context("serving")?;
    Ok(0)
}

async fn index(State(store): State<PathBuf>) -> Html<String> {
    let mut shown: Vec<(String, String)> = Vec::new();
    for test in folders(&store) {
        for run in folders(&test) {
            let path = run.strip_prefix(&store).unwrap_or(&run).display().to_string();
            shown.extend(row(&run, &escape(&path)).map(|row| (path, row)));
        }
    }
    // By time, the newest first: a run's folder is named by it.
    shown.sort_by(|a, b| b.0.rsplit('/').next().cmp(&a.0.rsplit('/').next()));
    let rows: String = shown.into_iter().map(|(_, row)| row).collect();
    Html(format!(
        "<!doctype html><meta charset=\"utf-8\"><title>store</title><style>body{{font:15px sans-serif;margin:2em}}\
         td{{padding:.2em 1em .2em 0}}</style><h1>Runs</h1><table>{rows}</table>"
    ))
}

/// A run with links to all that it left; none if it left nothing, such as one that is under way.
fn row(run: &Path, path: &str) -> Option<String> {
    let entries = std::fs::read_dir(run).into_iter().flatten().flatten();
    let mut files: Vec<String> =
        entries.filter(|e| e.path().is_file()).filter_map(|e| e.file_name().into_string().ok()).collect();
    files.sort();
    let main = ["report.html", "summary.md"].into_iter().find(|name| files.iter().any(|file| file == name))?;
    let links: String = files
        .iter()
        .filter(|file| *file != main)
        .map(|file| format!("<a href=\"/{path}/{0}\">{0}</a> ", escape(file)))
        .collect();
    Some(format!("<tr><td>{}</td><td><a href=\"/{path}/{main}\">{path}</a></td><td>{links}</td></tr>\n", result(run)))
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.is_dir() && !path.is_symlink()).collect()
}

fn result(run: &Path) -> String {
    let report = std::fs::read_to_string(run.join("report.txt")).unwrap_or_default();
    if report.is_empty() {
        return summary(run);
    }
    let line = report.lines().find_map(|line| line.strip_prefix("Result: ")).unwrap_or("-");
    escape(line.split_whitespace().next().unwrap_or("-"))
}

/// `118 valid, 0 invalid, 3 unknown`
fn summary(run: &Path) -> String {
    let text = std::fs::read_to_string(run.join("summary.md")).unwrap_or_default();
    escape(text.lines().find(|line| line.contains(" valid, ")).unwrap_or("-"))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

async fn file(State(store): State<PathBuf>, UrlPath(path): UrlPath<String>) -> Response {
    let found = store.join(path).canonicalize().ok().filter(|found| found.starts_with(&store) && found.is_file());
    let Some(found) = found else { return (StatusCode::NOT_FOUND, "no such file").into_response() };
    let kind = match found.extension().and_then(|ending| ending.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("json") => "application/json",
        _ => "text/plain; charset=utf-8",
    };
    match tokio::fs::read(&found).await {
        Ok(bytes) => ([(header::CONTENT_TYPE, kind)], bytes).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
