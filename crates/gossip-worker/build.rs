//! Tells the code of a package (this one and the simulator) which commit it is built from, where there is one to tell: a build without
//! git, or of sources that are no checkout, is as good.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=Cargo.toml");
    println!("cargo:rerun-if-env-changed=GOSSIP_COMMIT");
    let given = std::env::var("GOSSIP_COMMIT").ok().filter(|commit| !commit.is_empty());
    let package = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));
    match given.or_else(checked_out) {
        Some(commit) => {
            println!("cargo:rustc-env=GOSSIP_BUILD={package} ({commit})");
            println!("cargo:rustc-env=GOSSIP_COMMIT={commit}");
        }
        None => println!("cargo:rustc-env=GOSSIP_BUILD={package}"),
    }
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
    let line = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (!line.is_empty() && !line.contains(char::is_whitespace)).then_some(line)
}

fn checked_out() -> Option<String> {
    // Sources that were unpacked inside of somebody else's checkout are not of its commit.
    git(&["ls-files", "--error-unmatch", "Cargo.toml"])?;
    // Each commit and each checkout adds a line to this file.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| Path::new(log).exists()) {
        println!("cargo:rerun-if-changed={log}");
    }
    git(&["rev-parse", "--short=12", "HEAD"])
}
