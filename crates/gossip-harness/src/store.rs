//! The folder of one run's results: `store/<workload>-<nemesis>/<time>/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

/// A folder of results.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes a new one under `root`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(root: &Path, test: &str) -> Result<Folder> {
        let parent = root.join(test);
        fs::create_dir_all(&parent).with_context(|| format!("making {}", parent.display()))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let stamp = utc(now.as_secs(), now.subsec_millis());
        // Two runs may begin in the same millisecond.
        for n in 0.. {
            let path = parent.join(if n == 0 { stamp.clone() } else { format!("{stamp}-{n}") });
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Folder { path }),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).with_context(|| format!("making {}", path.display())),
            }
        }
        unreachable!("some number is free")
    }

    /// One that is there.
    ///
    /// # Errors
    /// It is not.
    pub fn open(path: &Path) -> Result<Folder> {
        let path = path.canonicalize().with_context(|| format!("no folder {}", path.display()))?;
        Ok(Folder { path })
    }

    /// Points the store's `latest` here: once there is a report to be found. A convenience only: where links are not to be
    /// had, the run goes on without.
    pub fn point_latest(&self) {
        let Some(root) = self.path.parent().and_then(Path::parent) else { return };
        let Ok(relative) = self.path.strip_prefix(root) else { return };
        let fresh = root.join(format!(".latest-{}", std::process::id()));
        let _ = fs::remove_file(&fresh);
        if std::os::unix::fs::symlink(relative, &fresh).is_ok() {
            let _ = fs::rename(&fresh, root.join("latest"));
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a whole file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.file(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    }
}

/// `20261123T101530.250Z`. Civil date from days by Howard Hinnant's algorithm.
fn utc(seconds: u64, millis: u32) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}.{millis:03}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right() {
        assert_eq!(utc(0, 0), "19700101T000000.000Z");
        assert_eq!(utc(951_782_400, 7), "20000229T000000.007Z");
        assert_eq!(utc(1_795_428_930, 250), "20261123T101530.250Z");
    }

    #[test]
    fn each_run_has_its_own_folder_and_latest_points_to_the_last_with_a_report() {
        let root = tempfile::tempdir().unwrap();
        let folders: Vec<Folder> = (0..3).map(|_| Folder::create(root.path(), "w-n").unwrap()).collect();
        folders[1].write("report.txt", "hello").unwrap();
        folders[1].point_latest();
        assert_ne!(folders[0].path(), folders[1].path());
        assert_eq!(fs::read_to_string(root.path().join("latest/report.txt")).unwrap(), "hello");
    }
}
