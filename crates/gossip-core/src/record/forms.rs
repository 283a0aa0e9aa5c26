//! The payloads of records. Field order is the layout on disk.

use raft::eraftpb::{ConfState, Entry, EntryType, HardState};
use serde::{Deserialize, Serialize};

use super::Damaged;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EntryRecord<'a> {
    term: u64,
    kind: u8,
    #[serde(borrow)]
    data: &'a [u8],
    #[serde(borrow)]
    context: &'a [u8],
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HardStateRecord {
    pub(super) term: u64,
    pub(super) vote: u64,
    pub(super) commit: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SnapshotHead {
    pub(super) index: u64,
    pub(super) term: u64,
    pub(super) parts: u32,
    voters: Vec<u64>,
    learners: Vec<u64>,
    voters_outgoing: Vec<u64>,
    learners_next: Vec<u64>,
    auto_leave: bool,
}

impl<'a> EntryRecord<'a> {
    pub(super) fn of(entry: &'a Entry) -> Self {
        EntryRecord { term: entry.term, kind: entry.get_entry_type() as u8, data: &entry.data, context: &entry.context }
    }

    pub(super) fn into_entry(self, index: u64) -> Result<Entry, Damaged> {
        let kind = match self.kind {
            0 => EntryType::EntryNormal,
            1 => EntryType::EntryConfChange,
            2 => EntryType::EntryConfChangeV2,
            kind => return Err(Damaged(format!("entry {index} is of unknown kind {kind}"))),
        };
        let mut entry = Entry { index, term: self.term, ..Entry::default() };
        entry.set_entry_type(kind);
        entry.data = self.data.to_vec().into();
        entry.context = self.context.to_vec().into();
        Ok(entry)
    }
}

impl From<&HardState> for HardStateRecord {
    fn from(state: &HardState) -> Self {
        HardStateRecord { term: state.term, vote: state.vote, commit: state.commit }
    }
}

impl From<HardStateRecord> for HardState {
    fn from(record: HardStateRecord) -> Self {
        HardState { term: record.term, vote: record.vote, commit: record.commit, ..HardState::default() }
    }
}

impl SnapshotHead {
    pub(super) fn new(index: u64, term: u64, parts: u32, conf: &ConfState) -> Self {
        SnapshotHead {
            index,
            term,
            parts,
            voters: conf.voters.clone(),
            learners: conf.learners.clone(),
            voters_outgoing: conf.voters_outgoing.clone(),
            learners_next: conf.learners_next.clone(),
            auto_leave: conf.auto_leave,
        }
    }

    pub(super) fn conf_state(&self) -> ConfState {
        ConfState {
            voters: self.voters.clone(),
            learners: self.learners.clone(),
            voters_outgoing: self.voters_outgoing.clone(),
            learners_next: self.learners_next.clone(),
            auto_leave: self.auto_leave,
            ..ConfState::default()
        }
    }
}
