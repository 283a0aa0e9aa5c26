//! Which node to ask, and the connections.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

use crate::error::Error;

/// Where an attempt goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// To whom the last answer or hint pointed.
    Stay,
    /// To this address, which a node named as the leader's.
    To(String),
    /// Away from the address that just failed.
    Away(String),
}

/// The known addresses, the one in favour, and a connection to each that was asked. Shared by all clones of a client.
#[derive(Debug)]
pub(crate) struct Pool {
    endpoints: Vec<String>,
    connect: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    favourite: String,
    channels: HashMap<String, Channel>,
}

/// Hints of leaders that are no endpoints of ours add connections; past this many, those go.
const MOST_CHANNELS: usize = 64;

impl Pool {
    /// Of these addresses, each `host:port` or `http://host:port`. Connects to none yet.
    pub(crate) fn new(endpoints: Vec<String>, connect: Duration) -> Result<Pool, Error> {
        let endpoints: Vec<String> = endpoints.iter().map(|address| bare(address).to_string()).collect();
        let Some(first) = endpoints.first() else {
            return Err(Error::own("INVALID_ARGUMENT", true, "endpoints: at least one is needed"));
        };
        for address in &endpoints {
            endpoint(address, connect)?;
        }
        let state = Mutex::new(State { favourite: first.clone(), channels: HashMap::new() });
        Ok(Pool { endpoints, connect, state })
    }

    pub(crate) fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    /// The address to ask. Many calls may fail at one address at once: only the first of them turns all away from it.
    pub(crate) fn choose(&self, direction: Direction) -> String {
        let mut state = self.lock();
        match direction {
            Direction::Stay => {}
            Direction::To(address) => state.favourite = bare(&address).to_string(),
            Direction::Away(failed) if failed != state.favourite => {}
            Direction::Away(failed) => {
                let next = self.endpoints.iter().position(|address| *address == failed).map_or(0, |at| at + 1);
                state.favourite.clone_from(&self.endpoints[next % self.endpoints.len()]);
            }
        }
        state.favourite.clone()
    }

    /// The connection to this address; it comes about with its first use and again by itself after it broke.
    pub(crate) fn channel(&self, address: &str) -> Result<Channel, Error> {
        let mut state = self.lock();
        if let Some(channel) = state.channels.get(address) {
            return Ok(channel.clone());
        }
        if state.channels.len() >= MOST_CHANNELS {
            state.channels.retain(|known, _| self.endpoints.contains(known));
        }
        let channel = endpoint(address, self.connect)?.connect_lazy();
        state.channels.insert(address.to_string(), channel.clone());
        Ok(channel)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn bare(address: &str) -> &str {
    address.trim().trim_start_matches("http://").trim_end_matches('/')
}

fn endpoint(address: &str, connect: Duration) -> Result<Endpoint, Error> {
    // A pinged connection notices a peer that vanished without a word; the answers in flight then fail instead of waiting.
    const PING: Duration = Duration::from_secs(5);
    let bad = |why: String| Error::own("INVALID_ARGUMENT", true, format!("endpoint `{address}`: {why}"));
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|e| bad(e.to_string()))?;
    if endpoint.uri().port_u16().is_none() {
        return Err(bad("expected host:port".into()));
    }
    Ok(endpoint.connect_timeout(connect).tcp_nodelay(true).http2_keep_alive_interval(PING).keep_alive_timeout(PING))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(endpoints: &[&str]) -> Result<Pool, Error> {
        Pool::new(endpoints.iter().map(ToString::to_string).collect(), Duration::from_secs(1))
    }

    #[test]
    fn it_stays_follows_and_rotates() {
        let pool = pool(&["a:1", "http://b:2/", "c:3"]).unwrap();
        assert_eq!(pool.choose(Direction::Stay), "a:1");
        assert_eq!(pool.choose(Direction::Away("a:1".into())), "b:2");
        assert_eq!(pool.choose(Direction::Away("a:1".into())), "b:2", "another call turned away already");
        assert_eq!(pool.choose(Direction::To("c:3".into())), "c:3");
        assert_eq!(pool.choose(Direction::Away("c:3".into())), "a:1");
        assert_eq!(pool.choose(Direction::To("d:4".into())), "d:4", "a leader that is no endpoint of ours");
        assert_eq!(pool.choose(Direction::Away("d:4".into())), "a:1");
        assert_eq!(pool.choose(Direction::Stay), "a:1");
    }

    #[test]
    fn bad_endpoints_are_named() {
        for (endpoints, part) in
            [(&[][..], "at least one"), (&["a:1", "b"][..], "`b`"), (&["not a host:1"][..], "not a")]
        {
            let error = pool(endpoints).unwrap_err();
            assert_eq!(error.reason, "INVALID_ARGUMENT");
            assert!(error.definite && error.message.contains(part), "{error}");
        }
    }
}
