use std::path::PathBuf;

use prost::Message as _;

const FILES: [&str; 6] = [
    "gossip/v1/common.proto",
    "gossip/v1/errors.proto",
    "gossip/v1/runs.proto",
    "gossip/v1/shards.proto",
    "gossip/v1/cluster.proto",
    "gossip/v1/peer.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let descriptors = protox::compile(FILES, ["proto"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("gossip_descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().bytes(".gossip.v1.RaftEntry").compile_fds(descriptors)?;
    println!("cargo:rerun-if-changed=proto");
    Ok(())
}
