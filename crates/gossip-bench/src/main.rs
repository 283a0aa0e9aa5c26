//! Throughput, latency and fail-over of a three-node cluster, beside etcd on the same machine in the same minute.

mod etcd;
mod load;

fn main() {}
