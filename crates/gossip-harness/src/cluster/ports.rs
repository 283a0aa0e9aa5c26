//! Loopback ports that stay ours while a node is down.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result, bail};
use fs4::fs_std::FileExt;

use crate::rng::{Stream, fresh_seed};

/// Below the range from which systems draw the ports of outgoing connections: else one of those could take a dead node's port.
const RANGE: (u64, u64) = (20_000, 31_999);

/// A port that no other run on this machine takes as long as this lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    // Locked until it is closed.
    _lock: File,
}

impl Port {
    /// Takes a free one.
    ///
    /// # Errors
    /// When a hundred tries found none.
    pub fn take() -> Result<Port> {
        let folder = std::env::temp_dir().join("gossip-verify-ports");
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let mut draw = Stream::new(fresh_seed(), "ports");
        for _ in 0..100 {
            let number = draw.between(RANGE.0, RANGE.1) as u16;
            let path = folder.join(number.to_string());
            let lock = File::create(&path).with_context(|| format!("making {}", path.display()))?;
            if FileExt::try_lock_exclusive(&lock).unwrap_or(false)
                && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok()
            {
                return Ok(Port { number, _lock: lock });
            }
        }
        bail!("no free loopback port between {} and {}", RANGE.0, RANGE.1)
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ports_are_distinct_and_can_be_bound() {
        let ports: Vec<Port> = (0..20).map(|_| Port::take().unwrap()).collect();
        let numbers: BTreeSet<u16> = ports.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), 20);
        for number in numbers {
            // A process that another test has just forked may hold our probing socket until it has become its program.
            while TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_err() {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        }
    }
}
