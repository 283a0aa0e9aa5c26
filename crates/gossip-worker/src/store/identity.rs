//! Who a data folder belongs to: a small plain file, read before anything is touched, so that a start that must be refused changes
//! nothing.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::StoreError;
use super::record::VERSION;

const FILE: &str = "identity";
const FRESH: &str = "identity.new";

/// What may lie in a folder that counts as empty: what a start leaves that ended before the identity was written, and what the
/// system puts at the root of a file system.
const NOTHING: [&str; 3] = ["LOCK", FRESH, "lost+found"];

/// Lives of other nodes that are remembered. Many more than there are members: what comes beyond is refused.
const MAX_LIVES: usize = 256;

/// Who a data folder belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The layout of everything in the folder.
    pub format: u32,
    /// Of the whole cluster, drawn from its founding record.
    pub cluster: String,
    /// The name given by `--id`.
    pub node: String,
    /// Raft's number.
    pub id: u64,
    /// Drawn when the folder was made. The others remember it: a node that comes back without its data has another one.
    pub life: u64,
    /// What the cluster was founded with, in words; empty on a node that joined later.
    pub founding: String,
    /// Whether every other founder has written this life down. Until then the node takes no part, so that none ever takes part
    /// whose loss would go unnoticed.
    pub met: bool,
    /// Whether the database was made: from then on a missing one is a loss.
    pub stored: bool,
    /// The lives of other nodes, by their numbers.
    pub lives: BTreeMap<u64, u64>,
}

impl Identity {
    /// The identity of a new folder.
    pub fn new(cluster: String, node: String, id: u64, founding: String) -> Self {
        let life = rand_life();
        let (met, stored, lives) = (founding.is_empty(), false, BTreeMap::new());
        Identity { format: VERSION, cluster, node, id, life, founding, met, stored, lives }
    }
}

/// Not zero, which stands for "none" on the wire.
fn rand_life() -> u64 {
    (gossip_client::OpId::random().get() >> 64) as u64 | 1
}

fn unusable(what: &str, path: &Path) -> impl FnOnce(std::io::Error) -> StoreError {
    let text = format!("{what} {}", path.display());
    move |error| StoreError::Foreign(format!("{text}: {error}"))
}

/// The identity in `folder`; `None` if there is no folder or nothing in it. Changes nothing.
///
/// # Errors
/// The folder cannot be read, holds something else, or its identity is damaged.
pub fn look(folder: &Path) -> Result<Option<Identity>, StoreError> {
    match fs::metadata(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable("cannot use data folder", folder)(error)),
        Ok(found) if !found.is_dir() => {
            return Err(StoreError::Foreign(format!("data folder {} is not a folder", folder.display())));
        }
        Ok(_) => {}
    }
    let path = folder.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => read(&text, folder).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let entries = fs::read_dir(folder).map_err(unusable("cannot read data folder", folder))?;
            for entry in entries {
                let name = entry.map_err(unusable("cannot read data folder", folder))?.file_name();
                if !NOTHING.iter().any(|known| name == **known) {
                    return Err(StoreError::Foreign(format!(
                        "data folder {} holds {name:?} and no identity of a node: it must be empty or a node's own",
                        folder.display()
                    )));
                }
            }
            Ok(None)
        }
        Err(error) => Err(unusable("cannot read", &path)(error)),
    }
}

/// The first line is the checksum of the rest.
fn read(text: &str, folder: &Path) -> Result<Identity, StoreError> {
    let damaged = |why: &str| StoreError::Damaged(format!("{}: {why}", folder.join(FILE).display()));
    let (sum, body) = text.split_once('\n').ok_or_else(|| damaged("it has no checksum"))?;
    if sum != format!("{:08x}", crc32fast::hash(body.as_bytes())) {
        return Err(damaged("its checksum does not match"));
    }
    let identity: Identity = serde_json::from_str(body).map_err(|e| damaged(&e.to_string()))?;
    if identity.format != VERSION {
        return Err(StoreError::Foreign(format!(
            "data folder {} has format {}, this build reads {VERSION}",
            folder.display(),
            identity.format
        )));
    }
    Ok(identity)
}

fn write(folder: &Path, identity: &Identity) -> Result<(), StoreError> {
    let (fresh, path) = (folder.join(FRESH), folder.join(FILE));
    let body = serde_json::to_string_pretty(identity).expect("an identity has nothing that JSON cannot say");
    let fail = |source| StoreError::Io { what: format!("cannot write {}", path.display()), source };
    let mut file = File::create(&fresh).map_err(fail)?;
    write!(file, "{:08x}\n{body}", crc32fast::hash(body.as_bytes())).map_err(fail)?;
    file.sync_all().map_err(fail)?;
    fs::rename(&fresh, &path).map_err(fail)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(fail)
}

/// The identity of a folder that this process has locked, and the way to add to it. Each change is durable when the call returns.
#[derive(Debug)]
pub struct Card {
    folder: PathBuf,
    identity: Mutex<Identity>,
    met: watch::Sender<bool>,
}

/// Another life of a node than the one that is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stranger {
    /// It has lost its data, or is somebody else.
    OtherLife,
    /// There is no room to remember it.
    TooMany,
}

impl Card {
    /// Takes over `identity`, and writes it if `folder` has none.
    ///
    /// # Errors
    /// The folder is another's by now, or refuses.
    pub(super) fn take(folder: &Path, identity: Identity) -> Result<Self, StoreError> {
        match look(folder)? {
            Some(found) if found.life == identity.life && found.node == identity.node => {
                if found != identity {
                    write(folder, &identity)?;
                }
            }
            Some(_) => return Err(StoreError::InUse(folder.into())),
            None => write(folder, &identity)?,
        }
        let met = watch::channel(identity.met).0;
        Ok(Card { folder: folder.into(), identity: Mutex::new(identity), met })
    }

    fn lock(&self) -> MutexGuard<'_, Identity> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As it stands.
    pub fn identity(&self) -> Identity {
        self.lock().clone()
    }

    /// Whether the node may take part, as it changes.
    pub fn met(&self) -> watch::Receiver<bool> {
        self.met.subscribe()
    }

    /// Every other founder has written this life down.
    ///
    /// # Errors
    /// The folder refuses.
    pub fn set_met(&self) -> Result<(), StoreError> {
        let mut identity = self.lock();
        identity.met = true;
        write(&self.folder, &identity)?;
        self.met.send_replace(true);
        Ok(())
    }

    pub(super) fn set_stored(&self) -> Result<(), StoreError> {
        let mut identity = self.lock();
        identity.stored = true;
        write(&self.folder, &identity)
    }

    /// Whether this life of `node` is known already; `None`: nothing is known of the node.
    ///
    /// # Errors
    /// Another life of it is known.
    pub fn knows(&self, node: u64, life: u64) -> Result<Option<()>, Stranger> {
        match self.lock().lives.get(&node) {
            None => Ok(None),
            Some(known) if *known == life => Ok(Some(())),
            Some(_) => Err(Stranger::OtherLife),
        }
    }

    /// Remembers this life of `node`, and forgets the nodes of which `gone` says that they never come back.
    ///
    /// # Errors
    /// Another life is known, or the folder refuses.
    pub fn remember(
        &self,
        node: u64,
        life: u64,
        gone: impl Fn(u64) -> bool,
    ) -> Result<Result<(), Stranger>, StoreError> {
        let mut identity = self.lock();
        match identity.lives.get(&node) {
            Some(known) if *known == life => return Ok(Ok(())),
            Some(_) => return Ok(Err(Stranger::OtherLife)),
            None => {}
        }
        identity.lives.retain(|node, _| !gone(*node));
        if identity.lives.len() >= MAX_LIVES {
            return Ok(Err(Stranger::TooMany));
        }
        identity.lives.insert(node, life);
        let written = write(&self.folder, &identity);
        if written.is_err() {
            identity.lives.remove(&node);
        }
        written.map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity::new("c".into(), "n1".into(), 1, "peers=n1=a:1".into())
    }

    #[test]
    fn what_it_was_told_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(look(folder.path()).unwrap(), None);
        let card = Card::take(folder.path(), identity()).unwrap();
        assert_eq!(card.remember(2, 7, |_| false).unwrap(), Ok(()));
        assert_eq!(card.remember(3, 9, |_| false).unwrap(), Ok(()));
        card.set_met().unwrap();
        let found = look(folder.path()).unwrap().unwrap();
        assert_eq!((found.met, found.lives.clone()), (true, [(2, 7), (3, 9)].into()));
        let card = Card::take(folder.path(), found).unwrap();
        assert_eq!(card.knows(2, 7), Ok(Some(())));
        assert_eq!(card.knows(2, 8), Err(Stranger::OtherLife));
        assert_eq!(card.remember(2, 8, |_| false).unwrap(), Err(Stranger::OtherLife));
        assert_eq!(card.remember(4, 1, |node| node == 3).unwrap(), Ok(()));
        assert_eq!(look(folder.path()).unwrap().unwrap().lives, [(2, 7), (4, 1)].into());
    }

    #[test]
    fn a_folder_of_something_else_is_refused_and_a_damaged_identity_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("photo.jpg"), "x").unwrap();
        assert!(matches!(look(folder.path()), Err(StoreError::Foreign(_))));
        assert!(matches!(look(&folder.path().join("photo.jpg")), Err(StoreError::Foreign(_))));
        fs::remove_file(folder.path().join("photo.jpg")).unwrap();
        fs::create_dir(folder.path().join("lost+found")).unwrap();
        Card::take(folder.path(), identity()).unwrap();
        let path = folder.path().join(FILE);
        let text = fs::read_to_string(&path).unwrap().replace("\"id\": 1", "\"id\": 2");
        fs::write(&path, text).unwrap();
        assert!(matches!(look(folder.path()), Err(StoreError::Damaged(_))));
    }
}
