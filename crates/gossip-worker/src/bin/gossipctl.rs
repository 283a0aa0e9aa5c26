//! The cluster by hand and from scripts.

use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    let exit = gossip_worker::ctl::main(std::env::args_os(), &mut io::stdout().lock(), &mut io::stderr().lock());
    ExitCode::from(exit as u8)
}
