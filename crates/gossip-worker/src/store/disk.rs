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
use gossip_core::record::{Book, open, seal};
use sled::Db;

use super::record::{FORMAT, IDENTITY, Identity, Records, VERSION, batch};
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
    /// The folder belongs to someone else, or has another layout.
    #[error("{0}")]
    Foreign(String),
    /// A record is not what was written.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// Too little room.
    #[error("disk full: {free} bytes free, at least {RESERVE} are kept in reserve")]
    Full {
        /// Free bytes.
        free: u64,
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
    book: Book,
    witness: Witness,
    // Unlocked when it is closed, after everything above.
    _lock: File,
}

impl Disk {
    /// Opens or makes the store in `folder` and reads all of it.
    ///
    /// # Errors
    /// The folder is in use, foreign or damaged; nothing was changed then.
    pub fn open(folder: &Path, planted: Planted) -> Result<Opened, StoreError> {
        fs::create_dir_all(folder).map_err(io(format!("cannot make data folder {}", folder.display())))?;
        let lock = lock(folder)?;
        let database = folder.join("db");
        remove_leftovers(&database)?;
        let db = sled::Config::default()
            .path(&database)
            .flush_every_ms(None)
            .cache_capacity(32 << 20)
            .mode(sled::Mode::HighThroughput)
            .open()?;
        check_format(&db, folder)?;
        let file = database.join("db");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&file)
            .map_err(io(format!("cannot open {}", file.display())))?;
        let identity = db.get(IDENTITY)?.map(|value| open::<Identity>(IDENTITY, &value, planted)).transpose()?;
        let (recovered, book) = Book::recover(&Records(&db), planted)?;
        let disk = Disk { folder: folder.into(), db, file, book, witness: Witness::open(folder)?, _lock: lock };
        if !planted.is(Mutant::ChecksumUnchecked) {
            disk.witness.check(disk.book.reach())?;
        }
        Ok(Opened { disk, identity, recovered })
    }

    /// Writes who the folder belongs to and the founding snapshot, durably, in one step.
    ///
    /// # Errors
    /// The node must not start.
    pub fn found(&mut self, identity: &Identity, snapshot: Option<SnapshotRecord>) -> Result<(), StoreError> {
        let mut batch = batch(snapshot.map(|record| self.book.found(&record)).unwrap_or_default());
        batch.insert(IDENTITY, seal(IDENTITY, identity));
        self.db.apply_batch(batch)?;
        self.sync()?;
        self.witness.say(self.book.reach())
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.db.flush()?;
        self.file.sync_data().map_err(io("cannot sync the database"))
    }

    fn check_room(&self) -> Result<(), StoreError> {
        let free = fs4::available_space(&self.folder).map_err(io("cannot ask for the disk's free space"))?;
        if free < RESERVE { Err(StoreError::Full { free }) } else { Ok(()) }
    }
}

impl Storage for Disk {
    fn write(&mut self, writes: &[Persist], sync: bool) -> Result<(), StoreError> {
        self.check_room()?;
        let changes = self.book.put(&Records(&self.db), writes)?;
        let reach = self.book.reach();
        self.witness.prepare(reach)?;
        self.db.apply_batch(batch(changes))?;
        if sync {
            self.sync()?;
            self.witness.say(reach)?;
        }
        Ok(())
    }
}

fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join("LOCK");
    let what = || format!("cannot open {}", path.display());
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(io(what()))?;
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

fn check_format(db: &Db, folder: &Path) -> Result<(), StoreError> {
    match db.get(FORMAT)? {
        Some(value) => match open::<u32>(FORMAT, &value, Planted::NONE)? {
            VERSION => Ok(()),
            other => Err(StoreError::Foreign(format!(
                "data folder {} has format {other}, this build reads {VERSION}",
                folder.display()
            ))),
        },
        None if db.is_empty() => {
            db.insert(FORMAT, seal(FORMAT, &VERSION))?;
            Ok(())
        }
        None => Err(StoreError::Foreign(format!("{} holds a database that is not ours", folder.display()))),
    }
}
