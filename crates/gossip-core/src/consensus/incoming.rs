//! What a peer's message must be before raft sees it. Raft trusts its peers: it panics on what no raft node sends, and takes
//! numbers near the end of 64 bits for numbers that it can add one to.

use std::collections::BTreeSet;

use raft::eraftpb::{ConfState, EntryType, Message, MessageType};

/// No term and no index gets here: with one more every nanosecond it would take 292 years.
const END: u64 = u64::MAX / 2;

/// Bytes of a change of members: numbers, a name and an address. The library that decodes it follows nested groups without a
/// bound (RUSTSEC-2024-0437); in so few bytes they cannot go deep.
const MAX_CHANGE: usize = 1024;

/// Why a peer's message is not heard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMessage {
    /// Nodes send this kind to themselves alone.
    #[error("no node sends another {0:?}")]
    Kind(MessageType),
    /// A number that no node writes there.
    #[error("{field} cannot be {value}")]
    Field {
        /// Raft's name of it.
        field: &'static str,
        /// What stands there.
        value: u64,
    },
    /// The entries do not follow the entry they claim to follow, or each other.
    #[error("entry {found} stands where {expected} belongs")]
    Gap {
        /// The entry's index.
        found: u64,
        /// The only index that could stand there.
        expected: u64,
    },
    /// Terms never fall along a log, and no entry is of a later term than its sender.
    #[error("entry {index} of term {term} cannot follow term {after} in a message of term {of}")]
    EntryTerm {
        /// The entry's index.
        index: u64,
        /// Its term.
        term: u64,
        /// The term of the entry before it.
        after: u64,
        /// The message's term.
        of: u64,
    },
    /// A change of members is longer than its names and numbers can be.
    #[error("entry {index} changes members in {bytes} bytes; {MAX_CHANGE} are enough")]
    Change {
        /// The entry's index.
        index: u64,
        /// Its length.
        bytes: usize,
    },
    /// The follower has more than this leader ever had.
    #[error("it acknowledges entry {index} of a log that ends at {last}")]
    Acknowledged {
        /// What it acknowledges.
        index: u64,
        /// The leader's last entry.
        last: u64,
    },
    /// A read's question or answer names one context.
    #[error("it names {0} reads instead of one")]
    Reads(usize),
    /// The snapshot's configuration is none that this build makes.
    #[error("its snapshot's configuration is wrong: {0}")]
    Configuration(&'static str),
}

/// What a leader knows that a follower's answer must agree with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Led {
    pub(super) term: u64,
    pub(super) last: u64,
}

/// Whether raft may see this message; `led` if this node leads.
pub(super) fn check(message: &Message, led: Option<Led>) -> Result<(), BadMessage> {
    let kind = message.get_msg_type();
    if is_local(kind) {
        return Err(BadMessage::Kind(kind));
    }
    numbers(message, kind)?;
    match kind {
        MessageType::MsgAppend => entries(message),
        MessageType::MsgAppendResponse => acknowledgement(message, led),
        MessageType::MsgSnapshot => snapshot(message),
        MessageType::MsgReadIndex | MessageType::MsgReadIndexResp if message.entries.len() != 1 => {
            Err(BadMessage::Reads(message.entries.len()))
        }
        _ => Ok(()),
    }
}

/// Kinds of messages that a node only ever sends to itself. Proposals and transfers of leadership are for the leader's own
/// caller: a follower would pass them on, which raft panics on when they name a term.
fn is_local(kind: MessageType) -> bool {
    matches!(
        kind,
        MessageType::MsgHup
            | MessageType::MsgBeat
            | MessageType::MsgUnreachable
            | MessageType::MsgSnapStatus
            | MessageType::MsgCheckQuorum
            | MessageType::MsgPropose
            | MessageType::MsgTransferLeader
    )
}

fn numbers(message: &Message, kind: MessageType) -> Result<(), BadMessage> {
    // Only questions have no term: a follower passes them on as they are.
    if (message.term == 0) != (kind == MessageType::MsgReadIndex) {
        return Err(BadMessage::Field { field: "term", value: message.term });
    }
    let bounded = [
        ("term", message.term),
        ("log_term", message.log_term),
        ("index", message.index),
        ("commit", message.commit),
        ("commit_term", message.commit_term),
        ("reject_hint", message.reject_hint),
    ];
    // Features of raft that this build does not use, and that raft does not bound.
    let unused = [
        ("request_snapshot", message.request_snapshot),
        ("priority", message.priority.unsigned_abs()),
        ("deprecated_priority", message.deprecated_priority),
    ];
    let wrong = bounded.into_iter().find(|(_, value)| *value >= END);
    match wrong.or(unused.into_iter().find(|(_, value)| *value != 0)) {
        Some((field, value)) => Err(BadMessage::Field { field, value }),
        None => Ok(()),
    }
}

fn entries(message: &Message) -> Result<(), BadMessage> {
    // Raft gives an entry beyond the end of a log the term 0: such a message would match there.
    if (message.index == 0) != (message.log_term == 0) {
        return Err(BadMessage::Field { field: "log_term", value: message.log_term });
    }
    let (mut index, mut after) = (message.index, message.log_term);
    for entry in &message.entries {
        index += 1;
        if entry.index != index {
            return Err(BadMessage::Gap { found: entry.index, expected: index });
        }
        if entry.term < after.max(1) || entry.term > message.term {
            return Err(BadMessage::EntryTerm { index, term: entry.term, after, of: message.term });
        }
        if entry.get_entry_type() != EntryType::EntryNormal && entry.data.len() > MAX_CHANGE {
            return Err(BadMessage::Change { index, bytes: entry.data.len() });
        }
        after = entry.term;
    }
    if after > message.term {
        return Err(BadMessage::Field { field: "log_term", value: message.log_term });
    }
    Ok(())
}

/// Raft would count an entry that nobody has as the follower's copy.
fn acknowledgement(message: &Message, led: Option<Led>) -> Result<(), BadMessage> {
    match led {
        Some(Led { term, last }) if message.term == term && message.index > last => {
            Err(BadMessage::Acknowledged { index: message.index, last })
        }
        _ => Ok(()),
    }
}

fn snapshot(message: &Message) -> Result<(), BadMessage> {
    let metadata = message.get_snapshot().get_metadata();
    if metadata.index == 0 || metadata.index >= END {
        return Err(BadMessage::Field { field: "snapshot.index", value: metadata.index });
    }
    if metadata.term == 0 || metadata.term > message.term {
        return Err(BadMessage::Field { field: "snapshot.term", value: metadata.term });
    }
    configuration(metadata.get_conf_state()).map_err(BadMessage::Configuration)
}

/// Raft builds its configuration out of this one node after the other, and panics if the outcome is another.
fn configuration(state: &ConfState) -> Result<(), &'static str> {
    if state.auto_leave || !state.voters_outgoing.is_empty() || !state.learners_next.is_empty() {
        return Err("a joint configuration");
    }
    if state.voters.is_empty() {
        return Err("no voter");
    }
    let mut nodes = BTreeSet::from([raft::INVALID_ID]);
    if state.voters.iter().chain(&state.learners).all(|id| nodes.insert(*id)) {
        Ok(())
    } else {
        Err("a node twice, or the number 0")
    }
}
