//! The contract between nodes, clients and harnesses: generated from `proto/`, plus the error table.

pub mod errors;

/// Messages, clients and servers of package `gossip.v1`.
#[allow(clippy::all, missing_debug_implementations, unreachable_pub, rustdoc::all)]
pub mod v1 {
    tonic::include_proto!("gossip.v1");
}

/// The compiled contract, for reflection and for callers that generate no code.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/gossip_descriptors.bin"));
