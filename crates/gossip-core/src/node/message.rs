//! What nodes send each other, and its form on the wire.

use serde::{Deserialize, Serialize};

use crate::gossip::{Delta, Invalid, Version};
use crate::membership::{Claim, MAX_ADDRESS, MAX_MEMBERS, NodeId, ProbeMessage, Standing};

/// The longest message, in bytes.
pub const MAX_MESSAGE: usize = 4 * 1024 * 1024;

/// The highest incarnation, and the highest number of a fact, that is believed of anybody. A node begins at its wall clock's
/// milliseconds times 2^12 and rises by less than 2^13 at once, so that none comes near; what claims more is corrupt. Believed,
/// 2^64 - 1 could never be refuted; and 2^63 - 1, which a bug makes as easily, is far enough below this for a refutation to be believed.
pub const MAX_INCARNATION: u64 = u64::MAX / 4 * 3;

/// One message. On the wire: postcard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// What rides along; heard before the body.
    pub claims: Vec<Claim>,
    /// What it is for.
    pub body: Body,
}

/// What a message is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// Of the failure detectors.
    Probe(ProbeMessage),
    /// Opens a comparison: all that the sender knows of.
    Digest(Vec<Entry>),
    /// Answers a [`Body::Digest`]: what its sender lacked, and what the answering node lacks. The claims ride along.
    Answer {
        /// Facts that the other lacked.
        deltas: Vec<Delta>,
        /// How far the answering node is where the other is further.
        wants: Vec<Entry>,
    },
    /// Ends the comparison: what the answer wanted.
    Push(Vec<Delta>),
}

/// How much a node knows of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Of which.
    pub node: NodeId,
    /// How it stands; `None` if it is not known at all.
    pub standing: Option<Standing>,
    /// How much of its facts.
    pub facts: Version,
}

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Longer than [`MAX_MESSAGE`].
    #[error("a gossip message of {0} bytes is too long")]
    TooLong(usize),
    /// Not the encoding of a message.
    #[error("not a gossip message: {0}")]
    Malformed(#[from] postcard::Error),
    /// More bytes than the message has.
    #[error("{0} bytes after the end of a gossip message")]
    Trailing(usize),
    /// A message with something out of bounds.
    #[error("gossip message out of bounds: {0}")]
    Invalid(#[from] Invalid),
}

impl Message {
    /// The bytes of this message.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("a message has no part that postcard cannot write")
    }

    /// Reads the bytes of another node's message and holds it to its bounds.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_MESSAGE {
            return Err(DecodeError::TooLong(bytes.len()));
        }
        let (message, rest) = postcard::take_from_bytes::<Message>(bytes)?;
        if !rest.is_empty() {
            return Err(DecodeError::Trailing(rest.len()));
        }
        message.check()?;
        Ok(message)
    }

    /// Holds every part to its bounds.
    pub fn check(&self) -> Result<(), Invalid> {
        if self.claims.len() > MAX_MEMBERS + 1 {
            return Err(Invalid::new("claims", "more than there can be members"));
        }
        if self.claims.iter().any(|claim| claim.address.len() > MAX_ADDRESS) {
            return Err(Invalid::new("address", "must have at most 255 bytes"));
        }
        let standings = self.claims.iter().map(|claim| claim.standing);
        within_reach(standings.map(|standing| standing.incarnation))?;
        let (deltas, entries): (&[Delta], &[Entry]) = match &self.body {
            Body::Probe(_) => (&[], &[]),
            Body::Digest(entries) => (&[], entries),
            Body::Answer { deltas, wants } => (deltas, wants),
            Body::Push(deltas) => (deltas, &[]),
        };
        if entries.len() > MAX_MEMBERS + 1 || deltas.len() > MAX_MEMBERS + 1 {
            return Err(Invalid::new("entries", "more than there can be members"));
        }
        within_reach(entries.iter().flat_map(|entry| {
            let standing = entry.standing.map_or(0, |standing| standing.incarnation);
            [standing, entry.facts.incarnation, entry.facts.counter]
        }))?;
        within_reach(deltas.iter().flat_map(|delta| {
            let last = delta.facts.last().map_or(delta.after, |fact| fact.counter);
            [delta.incarnation, last]
        }))?;
        deltas.iter().try_for_each(Delta::check)
    }
}

fn within_reach(numbers: impl IntoIterator<Item = u64>) -> Result<(), Invalid> {
    if numbers.into_iter().all(|number| number <= MAX_INCARNATION) {
        Ok(())
    } else {
        Err(Invalid::new("incarnation", "must be at most 3/4 of 2^64, as must the numbers of facts"))
    }
}
