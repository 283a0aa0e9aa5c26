//! One message for entries that follow each other, instead of one for each proposal.
//!
//! Raft offers the same as `batch_append`, but version 0.7 also puts entries into an *empty* message that they do not follow. After a
//! refused append a leader so sends "behind 82: 82, 83, 84"; the follower counts from 82 on and acknowledges one entry more than it
//! has, which the leader may take for the quorum's copy. (Found by the simulator; planted as `entries-joined-unfollowed`.)

use std::collections::BTreeMap;

use raft::eraftpb::{Message, MessageType};

use super::api::NodeId;

/// Joins what follows each other, up to `most` bytes of entries in a message. Order to each node is kept.
pub(super) fn join(messages: Vec<Message>, most: u64) -> Vec<Message> {
    let mut joined: Vec<Message> = Vec::with_capacity(messages.len());
    // Of each node's newest message: its place, and the bytes of its entries.
    let mut newest: BTreeMap<NodeId, (usize, u64)> = BTreeMap::new();
    for mut message in messages {
        let bytes = message.entries.iter().map(|entry| entry.data.len() as u64).sum();
        if let Some((place, held)) = newest.get_mut(&message.to)
            && *held + bytes <= most
            && follows(&message, &joined[*place])
        {
            *held += bytes;
            let earlier = &mut joined[*place];
            earlier.commit = earlier.commit.max(message.commit);
            earlier.entries.extend(message.take_entries());
            continue;
        }
        newest.insert(message.to, (joined.len(), bytes));
        joined.push(message);
    }
    joined
}

/// Whether a message says what the earlier one would say with more entries at its end.
fn follows(message: &Message, earlier: &Message) -> bool {
    let end = earlier.entries.last().map_or((earlier.index, earlier.log_term), |entry| (entry.index, entry.term));
    let append = |message: &Message| message.get_msg_type() == MessageType::MsgAppend;
    append(message) && append(earlier) && message.term == earlier.term && (message.index, message.log_term) == end
}

#[cfg(test)]
mod tests {
    use raft::eraftpb::Entry;

    use super::*;

    const TERM: u64 = 6;

    fn append(to: NodeId, behind: u64, entries: u64, commit: u64) -> Message {
        let entry = |index| Entry { index, term: TERM, data: vec![0; 10].into(), ..Entry::default() };
        Message {
            msg_type: MessageType::MsgAppend,
            to,
            term: TERM,
            index: behind,
            log_term: TERM,
            entries: (behind + 1..=behind + entries).map(entry).collect(),
            commit,
            ..Message::default()
        }
    }

    fn shape(messages: &[Message]) -> Vec<(NodeId, u64, Vec<u64>, u64)> {
        let indexes = |m: &Message| m.entries.iter().map(|entry| entry.index).collect();
        messages.iter().map(|m| (m.to, m.index, indexes(m), m.commit)).collect()
    }

    #[test]
    fn what_follows_becomes_one_message_to_each_node() {
        let joined = join(
            vec![append(2, 4, 1, 3), append(3, 4, 1, 3), append(2, 5, 2, 4), append(3, 5, 0, 5), append(2, 7, 0, 6)],
            1_000,
        );
        assert_eq!(shape(&joined), [(2, 4, vec![5, 6, 7], 6), (3, 4, vec![5], 5)]);
    }

    #[test]
    fn entries_never_go_into_an_empty_message_that_they_do_not_follow() {
        let joined = join(vec![append(2, 82, 0, 80), append(2, 81, 3, 80)], 1_000);
        assert_eq!(shape(&joined), [(2, 82, vec![], 80), (2, 81, vec![82, 83, 84], 80)]);
    }

    #[test]
    fn another_term_another_kind_and_too_many_bytes_stay_apart() {
        let mut other_term = append(2, 5, 1, 3);
        other_term.log_term = TERM - 1;
        let mut heartbeat = append(2, 5, 0, 3);
        heartbeat.msg_type = MessageType::MsgHeartbeat;
        for second in [other_term, heartbeat] {
            assert_eq!(join(vec![append(2, 4, 1, 3), second], 1_000).len(), 2);
        }
        assert_eq!(shape(&join((0..5).map(|n| append(2, n, 1, 0)).collect(), 25)).len(), 3);
    }
}
