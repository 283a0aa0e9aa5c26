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
use tokio::sync::watch;

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
    print!("{}", outcome.report);
    Ok(outcome.validity.exit_code())
}

/// Tries smaller runs as long as they still fail. Each candidate has a few tries: real time is not replayed.
pub(super) async fn shrink(args: &RunArgs) -> Result<u8> {
    let mut spec = match args.spec() {
        Ok(spec) => spec,
        Err(line) => return Ok(refuse(&line)),
    };
    let stop = stop_signal()?;
    if !fails(&spec, &stop).await? {
        println!("not to be shrunk: it did not fail in {TRIES} tries\n  {}", spec.command());
        return Ok(0);
    }
    while let Some(smaller) = smaller_that_fails(&spec, &stop).await? {
        println!("still fails: {}", smaller.command());
        spec = smaller;
    }
    println!("\nThe smallest that fails:\n  {}", spec.command());
    Ok(Validity::False.exit_code())
}

/// Runs of one candidate.
const TRIES: u32 = 3;

async fn fails(spec: &Spec, stop: &watch::Receiver<bool>) -> Result<bool> {
    for _ in 0..TRIES {
        if *stop.borrow() {
            return Ok(false);
        }
        if one(spec.clone(), stop.clone(), &Progress::quiet()).await?.validity == Validity::False {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn smaller_that_fails(spec: &Spec, stop: &watch::Receiver<bool>) -> Result<Option<Spec>> {
    let faults = spec.faults.unwrap_or_else(|| runner::Run::new(spec.clone()).faults());
    let mut candidates = vec![
        Spec { time_limit: spec.time_limit / 2, ..spec.clone() },
        Spec { time_limit: spec.time_limit * 3 / 4, ..spec.clone() },
        Spec { concurrency: spec.concurrency / 2, ..spec.clone() },
    ];
    if faults > 0 {
        candidates.push(Spec { faults: Some(faults / 2), ..spec.clone() });
        candidates.push(Spec { faults: Some(faults - 1), ..spec.clone() });
    }
    for candidate in candidates {
        if candidate != *spec && candidate.check().is_ok() && fails(&candidate, stop).await? {
            return Ok(Some(candidate));
        }
    }
    Ok(None)
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
    println!("{} is shown at http://{}/", store.display(), listener.local_addr()?);
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
    let mut runs: Vec<(String, String)> = Vec::new();
    for test in folders(&store) {
        for run in folders(&test) {
            let path = run.strip_prefix(&store).unwrap_or(&run).display().to_string();
            runs.push((path, result(&run)));
        }
    }
    // By time, the newest first: a run's folder is named by it.
    runs.sort_by(|a, b| b.0.rsplit('/').next().cmp(&a.0.rsplit('/').next()));
    let rows: String = runs
        .iter()
        .map(|(path, result)| {
            let path = escape(path);
            format!(
                "<tr><td>{result}</td><td><a href=\"/{path}/report.html\">{path}</a></td><td><a href=\"/{path}/report.txt\">text</a> \
                 <a href=\"/{path}/history.edn\">history</a> <a href=\"/{path}/schedule.edn\">schedule</a></td></tr>\n"
            )
        })
        .collect();
    Html(format!(
        "<!doctype html><meta charset=\"utf-8\"><title>store</title><style>body{{font:15px sans-serif;margin:2em}}\
         td{{padding:.2em 1em .2em 0}}</style><h1>Runs</h1><table>{rows}</table>"
    ))
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.is_dir() && !path.is_symlink()).collect()
}

fn result(run: &Path) -> String {
    let report = std::fs::read_to_string(run.join("report.txt")).unwrap_or_default();
    let line = report.lines().find_map(|line| line.strip_prefix("Result: ")).unwrap_or("-");
    escape(line.split_whitespace().next().unwrap_or("-"))
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
