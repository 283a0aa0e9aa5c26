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
use gossip_core::consensus::{Persist, SnapshotRecord};
use gossip_core::mutants::{Mutant, Planted};
use gossip_core::record::{Book, Changes, open, seal};
use sled::{Batch, Db};

use super::identity::{Card, Identity};
use super::record::{FORMAT, OWNER, Records, SEGMENT, VERSION, WRITES, batch};
use super::witness::Witness;
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
    #[error("the database failed: {}", one_line(.0))]
    Database(#[from] sled::Error),
}

/// Sled tells of damage with line breaks and a backtrace that is empty.
fn one_line(error: &sled::Error) -> String {
    let words: Vec<String> = error.to_string().split_whitespace().map(str::to_owned).collect();
    words.join(" ").trim_end_matches("backtrace ()").trim_end().to_owned()
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
    book: Book,
    /// Writes so far, as the database counts them.
    writes: u64,
    witness: Witness,
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
        let (recovered, book) = Book::recover(&Records(&db), planted)?;
        let writes = db.get(WRITES)?.map(|value| open::<u64>(WRITES, &value, planted)).transpose()?.unwrap_or_default();
        let witness = Witness::open(folder)?;
        if !planted.is(Mutant::ChecksumUnchecked) {
            witness.check(writes)?;
        }
        let disk = Disk { folder: folder.into(), db, file, book, writes, witness, _lock: lock };
        Ok(Opened { disk, card, recovered })
    }

    /// Writes the founding snapshot, durably.
    ///
    /// # Errors
    /// The node must not start.
    pub fn found(&mut self, snapshot: &SnapshotRecord) -> Result<(), StoreError> {
        let changes = self.book.found(snapshot);
        self.apply(changes, true)
    }

    fn apply(&mut self, changes: Changes, durably: bool) -> Result<(), StoreError> {
        self.writes += 1;
        let mut batch = batch(changes);
        batch.insert(WRITES, seal(WRITES, &self.writes));
        self.db.apply_batch(batch)?;
        if durably {
            sync(&self.db, &self.file)?;
            self.witness.say(self.writes)?;
        }
        Ok(())
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
        let changes = self.book.put(&Records(&self.db), writes)?;
        self.apply(changes, sync)
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
    let format = format.map(|value| open::<u32>(FORMAT, &value, Planted::NONE)).transpose()?;
    let owner = owner.map(|value| open::<u64>(OWNER, &value, Planted::NONE)).transpose()?;
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
