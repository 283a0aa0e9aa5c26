//! Raft's messages as our protobuf types. `raft` brings an old protobuf library; its decoder sees nothing of the network
//! but a change of members inside an entry, whose length is bounded.

use bytes::Bytes;
use gossip_proto::v1;
use raft::eraftpb::{ConfState, Entry, EntryType, Message, MessageType, Snapshot};

/// A message as it is sent. The snapshot's data is left out: it goes ahead in parts.
pub(super) fn encode(message: Message) -> v1::RaftMessage {
    let snapshot = message.snapshot.as_ref().filter(|_| message.get_msg_type() == MessageType::MsgSnapshot);
    v1::RaftMessage {
        msg_type: message.get_msg_type() as u32,
        to: message.to,
        from: message.from,
        term: message.term,
        log_term: message.log_term,
        index: message.index,
        commit: message.commit,
        commit_term: message.commit_term,
        snapshot: snapshot.map(encode_snapshot),
        request_snapshot: message.request_snapshot,
        reject: message.reject,
        reject_hint: message.reject_hint,
        priority: message.priority,
        context: message.context.to_vec(),
        entries: message.entries.into_iter().map(encode_entry).collect(),
    }
}

fn encode_entry(entry: Entry) -> v1::RaftEntry {
    v1::RaftEntry {
        entry_type: entry.get_entry_type() as u32,
        term: entry.term,
        index: entry.index,
        data: entry.data,
        context: entry.context,
    }
}

fn encode_snapshot(snapshot: &Snapshot) -> v1::RaftSnapshot {
    let metadata = snapshot.get_metadata();
    let conf = metadata.get_conf_state();
    v1::RaftSnapshot {
        data: Vec::new(),
        index: metadata.index,
        term: metadata.term,
        conf_state: Some(v1::RaftConfState {
            voters: conf.voters.clone(),
            learners: conf.learners.clone(),
            voters_outgoing: conf.voters_outgoing.clone(),
            learners_next: conf.learners_next.clone(),
            auto_leave: conf.auto_leave,
        }),
    }
}

/// A message as it came, with the snapshot's data that came ahead; `None` if it is not one of Raft's.
pub(super) fn decode(message: v1::RaftMessage, snapshot_data: Vec<u8>) -> Option<Message> {
    let mut decoded = Message::default();
    decoded.set_msg_type(message_type(message.msg_type)?);
    decoded.to = message.to;
    decoded.from = message.from;
    decoded.term = message.term;
    decoded.log_term = message.log_term;
    decoded.index = message.index;
    decoded.commit = message.commit;
    decoded.commit_term = message.commit_term;
    decoded.request_snapshot = message.request_snapshot;
    decoded.reject = message.reject;
    decoded.reject_hint = message.reject_hint;
    decoded.priority = message.priority;
    decoded.context = message.context.into();
    decoded.entries = message.entries.into_iter().map(decode_entry).collect::<Option<Vec<_>>>()?.into();
    if let Some(snapshot) = message.snapshot {
        decoded.set_snapshot(decode_snapshot(snapshot, snapshot_data)?);
    }
    Some(decoded)
}

fn message_type(number: u32) -> Option<MessageType> {
    use protobuf::ProtobufEnum;
    MessageType::from_i32(i32::try_from(number).ok()?)
}

fn decode_entry(entry: v1::RaftEntry) -> Option<Entry> {
    let kind = match entry.entry_type {
        0 => EntryType::EntryNormal,
        1 => EntryType::EntryConfChange,
        2 => EntryType::EntryConfChangeV2,
        _ => return None,
    };
    let mut decoded = Entry { index: entry.index, term: entry.term, ..Entry::default() };
    decoded.set_entry_type(kind);
    decoded.data = entry.data;
    decoded.context = entry.context;
    Some(decoded)
}

fn decode_snapshot(snapshot: v1::RaftSnapshot, data: Vec<u8>) -> Option<Snapshot> {
    let conf = snapshot.conf_state?;
    let conf = ConfState {
        voters: conf.voters,
        learners: conf.learners,
        voters_outgoing: conf.voters_outgoing,
        learners_next: conf.learners_next,
        auto_leave: conf.auto_leave,
        ..ConfState::default()
    };
    let mut decoded = Snapshot::default();
    decoded.mut_metadata().index = snapshot.index;
    decoded.mut_metadata().term = snapshot.term;
    decoded.mut_metadata().set_conf_state(conf);
    decoded.data = Bytes::from(data);
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append() -> Message {
        let mut message = Message { to: 2, from: 1, term: 5, log_term: 4, index: 9, commit: 8, ..Message::default() };
        message.set_msg_type(MessageType::MsgAppend);
        message.context = Bytes::from_static(b"ctx");
        let mut entry = Entry { index: 10, term: 5, ..Entry::default() };
        entry.set_entry_type(EntryType::EntryConfChangeV2);
        entry.data = Bytes::from_static(b"data");
        message.entries = vec![entry].into();
        message
    }

    #[test]
    fn a_message_survives_the_wire() {
        assert_eq!(decode(encode(append()), Vec::new()), Some(append()));
    }

    #[test]
    fn a_snapshot_gets_its_data_from_the_parts_ahead() {
        let mut message = Message { to: 2, from: 1, term: 5, ..Message::default() };
        message.set_msg_type(MessageType::MsgSnapshot);
        let mut snapshot = Snapshot::default();
        snapshot.mut_metadata().index = 7;
        snapshot.mut_metadata().mut_conf_state().voters = vec![1, 2, 3];
        snapshot.data = Bytes::from_static(b"state");
        message.set_snapshot(snapshot);
        let sent = encode(message.clone());
        assert!(sent.snapshot.as_ref().is_some_and(|s| s.data.is_empty()));
        assert_eq!(decode(sent, b"state".to_vec()), Some(message));
    }

    #[test]
    fn what_raft_does_not_know_is_no_message() {
        let mut sent = encode(append());
        sent.msg_type = 99;
        assert_eq!(decode(sent, Vec::new()), None);
        let mut sent = encode(append());
        sent.entries[0].entry_type = 7;
        assert_eq!(decode(sent, Vec::new()), None);
    }
}
