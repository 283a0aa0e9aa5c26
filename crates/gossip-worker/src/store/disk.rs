//! The store on sled 0.34, with the guards that it needs.
//!
//! * sled takes no lock that survives all its versions: we hold a lock file of our own.
//! * A crash while sled opens can leave `snap.*.generating`, which a later open takes for a snapshot: we delete it first
//!   (spacejam/sled issues 1527, 1533).
//! * `flush()` ends in `sync_file_range`, which survives a crash of the process but not of the machine: we call `sync_data` on the
//!   database's file ourselves (issue 1452).
//! * A damaged record at the end of its log is dropped in silence: [`super::witness`] notices.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use fs4::fs_std::FileExt;
use gossip_core::consensus::{Persist, Recovered, SnapshotRecord};
use gossip_core::mutants::{Mutant, Planted};
use raft::eraftpb::Entry;
use sled::{Batch, Db};

use super::chunks::Chunks;
use super::identity::{Card, Identity};
use super::record::{
    FORMAT, HARD_STATE, HardStateRecord, OWNER, PARTS, PIECE, SEGMENT, SNAPSHOT, SnapshotHead, VERSION, open,
    open_bytes, part_key, seal, seal_bytes,
};
use super::witness::{Reach, Witness};
use super::{Opened, Storage};

/// Below this many free bytes no more is written: a log torn by a full disk would cost the node.
const RESERVE: u64 = 64 << 20;

/// Why the store cannot be used. All of them end the process.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the folder.
    #[error("data folder {0} is in use by another process")]
    InUse(PathBuf),
    /// The folder belongs to someone else, has another layout, or cannot be used at all.
    #[error("{0}")]
    Foreign(String),
    /// A record is not what was written.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// Too little room.
    #[error("disk full: {free} bytes free, {needed} are needed and {RESERVE} kept in reserve")]
    Full {
        /// Free bytes.
        free: u64,
        /// What the write takes.
        needed: u64,
    },
    /// The system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The system's words.
        source: std::io::Error,
    },
    /// The database refused.
    #[error("the database failed: {0}")]
    Database(#[from] sled::Error),
}

fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> StoreError {
    let what = what.into();
    move |source| StoreError::Io { what, source }
}

/// One node's folder, locked.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
    db: Db,
    /// sled's own file, opened once more to sync it.
    file: File,
    chunks: Chunks,
    witness: Witness,
    term: u64,
    snapshot: Option<(u64, u32)>,
    // Unlocked when it is closed, after everything above.
    _lock: File,
}

impl Disk {
    /// Opens or makes the store of the node `identity` in `folder` and reads all of it. [`super::look`] has found that identity
    /// there, or nothing.
    ///
    /// # Errors
    /// The folder is in use, foreign, unusable or damaged.
    pub fn open(folder: &Path, identity: Identity, planted: Planted) -> Result<Opened, StoreError> {
        fs::create_dir_all(folder)
            .map_err(|e| StoreError::Foreign(format!("cannot make data folder {}: {e}", folder.display())))?;
        let lock = lock(folder)?;
        let card = Card::take(folder, identity)?;
        let database = folder.join("db");
        remove_leftovers(&database)?;
        let db = sled::Config::default()
            .path(&database)
            .flush_every_ms(None)
            .cache_capacity(32 << 20)
            .segment_size(SEGMENT)
            .mode(sled::Mode::HighThroughput)
            .open()
            .map_err(|e| unusable(&database, e))?;
        let file = database.join("db");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&file)
            .map_err(io(format!("cannot open {}", file.display())))?;
        check_owner(&db, &file, &card, folder)?;
        let trusting = planted.is(Mutant::ChecksumUnchecked);
        let (recovered, chunks, snapshot) = recover(&db, trusting)?;
        let (term, witness) = (recovered.hard_state.term, Witness::open(folder)?);
        let disk = Disk { folder: folder.into(), db, file, chunks, witness, term, snapshot, _lock: lock };
        if !trusting {
            disk.witness.check(disk.reach())?;
        }
        Ok(Opened { disk, card, recovered })
    }

    /// Writes the founding snapshot, durably.
    ///
    /// # Errors
    /// The node must not start.
    pub fn found(&mut self, snapshot: &SnapshotRecord) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        self.put_snapshot(&mut batch, snapshot);
        self.db.apply_batch(batch)?;
        self.sync()?;
        self.witness.say(self.reach())
    }

    fn put_snapshot(&mut self, batch: &mut Batch, record: &SnapshotRecord) {
        if let Some((index, parts)) = self.snapshot {
            (0..parts).for_each(|part| batch.remove(part_key(index, part)));
        }
        let mut parts = 0;
        for (number, bytes) in (0u32..).zip(record.data.chunks(PIECE)) {
            let key = part_key(record.index, number);
            let value = seal_bytes(&key, bytes);
            batch.insert(key, value);
            parts = number + 1;
        }
        let head = SnapshotHead::new(record.index, record.term, parts, &record.conf_state);
        batch.insert(SNAPSHOT, seal(SNAPSHOT, &head));
        self.snapshot = Some((record.index, parts));
    }

    fn put(&mut self, batch: &mut Batch, write: &Persist, appended: &mut Vec<Entry>) {
        if let Some(state) = &write.hard_state {
            batch.insert(HARD_STATE, seal(HARD_STATE, &HardStateRecord::from(state)));
            self.term = state.term;
        }
        if let Some(record) = &write.snapshot {
            self.put_snapshot(batch, record);
            if !write.keeps_log {
                self.chunks.clear(batch);
                appended.clear();
            }
        }
        if let Some(first) = write.entries.first() {
            appended.retain(|entry| entry.index < first.index);
            appended.extend_from_slice(&write.entries);
        }
    }

    fn reach(&self) -> Reach {
        let snapshot = self.snapshot.map_or(0, |(index, _)| index);
        Reach { last: self.chunks.last().unwrap_or(0).max(snapshot), term: self.term }
    }

    fn sync(&self) -> Result<(), StoreError> {
        sync(&self.db, &self.file)
    }

    fn check_room(&self, writes: &[Persist]) -> Result<(), StoreError> {
        let free = fs4::available_space(&self.folder).map_err(io("cannot ask for the disk's free space"))?;
        let needed = writes.iter().map(weight).sum();
        if free < RESERVE.saturating_add(needed) { Err(StoreError::Full { free, needed }) } else { Ok(()) }
    }
}

impl Storage for Disk {
    fn write(&mut self, writes: &[Persist], sync: bool) -> Result<(), StoreError> {
        self.check_room(writes)?;
        let mut batch = Batch::default();
        let mut appended = Vec::new();
        for write in writes {
            self.put(&mut batch, write, &mut appended);
        }
        self.chunks.append(&mut batch, &self.db, &appended)?;
        if let Some(index) = writes.iter().filter_map(|write| write.compact_to).max() {
            self.chunks.compact(&mut batch, index);
        }
        let reach = self.reach();
        self.witness.prepare(reach)?;
        self.db.apply_batch(batch)?;
        if sync {
            self.sync()?;
            self.witness.say(reach)?;
        }
        Ok(())
    }
}

fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join("LOCK");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|e| StoreError::Foreign(format!("cannot open {}: {e}", path.display())))?;
    match FileExt::try_lock_exclusive(&file) {
        Ok(true) => Ok(file),
        Ok(false) => Err(StoreError::InUse(folder.into())),
        Err(e) => Err(io(format!("cannot lock {}", path.display()))(e)),
    }
}

fn remove_leftovers(database: &Path) -> Result<(), StoreError> {
    let Ok(entries) = fs::read_dir(database) else { return Ok(()) };
    for entry in entries {
        let path = entry.map_err(io(format!("cannot read {}", database.display())))?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(&path).map_err(io(format!("cannot remove {}", path.display())))?;
        }
    }
    Ok(())
}

/// Errors while opening: the system's are the folder's fault, the rest is damage.
fn unusable(database: &Path, error: sled::Error) -> StoreError {
    match error {
        sled::Error::Io(source) => {
            StoreError::Foreign(format!("cannot open the database {}: {source}", database.display()))
        }
        other => StoreError::Damaged(other.to_string()),
    }
}

/// Bytes that a write takes, about.
fn weight(write: &Persist) -> u64 {
    let snapshot = write.snapshot.as_ref().map_or(0, |record| record.data.len());
    let entries: usize = write.entries.iter().map(|entry| entry.data.len() + entry.context.len() + 64).sum();
    (snapshot + entries) as u64
}

fn sync(db: &Db, file: &File) -> Result<(), StoreError> {
    db.flush()?;
    file.sync_data().map_err(io("cannot sync the database"))
}

/// The database must be the one that was made for this folder's identity. sled takes whatever it cannot read for an empty database,
/// so once ours was made an empty one is a loss.
fn check_owner(db: &Db, file: &File, card: &Card, folder: &Path) -> Result<(), StoreError> {
    let identity = card.identity();
    let (format, owner) = (db.get(FORMAT)?, db.get(OWNER)?);
    let format = format.map(|value| open::<u32>(FORMAT, &value, false)).transpose()?;
    let owner = owner.map(|value| open::<u64>(OWNER, &value, false)).transpose()?;
    let folder = folder.display();
    match (format, owner) {
        (Some(VERSION), Some(life)) if life == identity.life => {}
        (Some(VERSION), _) => {
            return Err(StoreError::Foreign(format!("the database in {folder} is that of another node's folder")));
        }
        (Some(other), _) => {
            return Err(StoreError::Foreign(format!(
                "data folder {folder} has format {other}, this build reads {VERSION}"
            )));
        }
        (None, _) if identity.stored => {
            return Err(StoreError::Damaged(format!("the database in {folder} is gone, or was replaced")));
        }
        (None, _) if !db.is_empty() => {
            return Err(StoreError::Foreign(format!("{folder} holds a database that is not ours")));
        }
        (None, _) => {
            let mut batch = Batch::default();
            batch.insert(FORMAT, seal(FORMAT, &VERSION));
            batch.insert(OWNER, seal(OWNER, &identity.life));
            db.apply_batch(batch)?;
            sync(db, file)?;
        }
    }
    if identity.stored { Ok(()) } else { card.set_stored() }
}

type Found = (Recovered, Chunks, Option<(u64, u32)>);

fn recover(db: &Db, trusting: bool) -> Result<Found, StoreError> {
    let mut recovered = Recovered::default();
    let mut snapshot = None;
    if let Some(value) = db.get(HARD_STATE)? {
        recovered.hard_state = open::<HardStateRecord>(HARD_STATE, &value, trusting)?.into();
    }
    if let Some(value) = db.get(SNAPSHOT)? {
        let head: SnapshotHead = open(SNAPSHOT, &value, trusting)?;
        recovered.snapshot = Some(read_snapshot(db, &head, trusting)?);
        snapshot = Some((head.index, head.parts));
    }
    let (chunks, entries) = Chunks::read(db, trusting)?;
    let start = recovered.snapshot.as_ref().map_or(1, |s| s.index + 1);
    if entries.first().is_some_and(|first| first.index > start) {
        return Err(StoreError::Damaged(format!("entry {start} is missing")));
    }
    recovered.entries = entries;
    Ok((recovered, chunks, snapshot))
}

fn read_snapshot(db: &Db, head: &SnapshotHead, trusting: bool) -> Result<SnapshotRecord, StoreError> {
    let mut data = Vec::new();
    for part in 0..head.parts {
        let key = part_key(head.index, part);
        let value = db.get(&key)?;
        let value = value.ok_or_else(|| {
            StoreError::Damaged(format!(
                "part {part} of the snapshot at {} is missing ({})",
                head.index,
                PARTS.escape_ascii()
            ))
        })?;
        data.extend_from_slice(open_bytes(&key, &value, trusting)?);
    }
    Ok(SnapshotRecord { index: head.index, term: head.term, conf_state: head.conf_state(), data })
}
