//! Where does a fleet keep its things?
//!
//! Each fleet has a folder of its own for registry and logs, so that two run side by side; it goes with the fleet
//! unless somebody wants to keep it.

use std::{
    collections::BTreeMap,
    env, fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process,
    sync::{Mutex, MutexGuard, PoisonError},
};

use platform_core::{Error, ErrorKind, Result};
use rustix::process::{Pid, Signal, kill_process_group};

/// A fleet's folder, and the processes that live on it.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    keep: bool,
    /// Who runs, by instance: for the moment when everything must end at once.
    running: Mutex<BTreeMap<String, Pid>>,
}

impl Folder {
    /// A fresh folder for this user alone.
    ///
    /// # Errors
    /// [`ErrorKind::Start`] if the temporary folder takes none.
    pub(crate) fn create(keep: bool) -> Result<Self> {
        let refused = |path: &Path, error| {
            let what =
                format!("cannot make the fleet's folder {}; set TMPDIR to a place to write", path.display());
            Error::new(ErrorKind::Start, what).with_source(error)
        };
        let temporary = env::temp_dir();
        for _ in 0..TRIES {
            let path = temporary.join(format!("fleet-{}-{:06x}", process::id(), fastrand::u32(..1 << 24)));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {
                    let folder = Folder { path, keep, running: Mutex::default() };
                    fs::create_dir(folder.logs()).map_err(|error| refused(&folder.path, error))?;
                    return Ok(folder);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(refused(&path, error)),
            }
        }
        Err(Error::new(ErrorKind::Start, format!("{} is full of fleets", temporary.display())))
    }

    /// Where instances register.
    pub(crate) fn registry(&self) -> PathBuf {
        self.path.join("registry")
    }

    /// Where instances write their logs.
    pub(crate) fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    /// The log of one instance.
    pub(crate) fn log(&self, instance: &str) -> PathBuf {
        self.logs().join(format!("{instance}.log"))
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The last lines of an instance's log.
    pub(crate) fn tail(&self, instance: &str, lines: usize) -> Vec<String> {
        // Without a log there is nothing to show, and nothing to do about it.
        let text = fs::read(self.log(instance)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text[text.len().saturating_sub(TAIL_BYTES)..]).into_owned();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].iter().map(ToString::to_string).collect()
    }

    /// Empties logs that grew beyond [`LOG_LIMIT`]: a fleet may run for days. Writers append, and go on.
    pub(crate) fn trim_logs(&self) {
        let logs = fs::read_dir(self.logs()).into_iter().flatten().flatten();
        for log in logs.filter(|log| log.metadata().is_ok_and(|known| known.len() > LOG_LIMIT)) {
            // One that cannot be emptied now is tried again next time.
            let _ = fs::OpenOptions::new().write(true).open(log.path()).and_then(|file| file.set_len(0));
        }
    }

    /// The instance runs as this process, with whatever it started: each has a group of its own.
    pub(crate) fn began(&self, instance: &str, pid: Pid) {
        self.running().insert(instance.to_owned(), pid);
    }

    /// It has ended.
    pub(crate) fn ended(&self, instance: &str) {
        self.running().remove(instance);
    }

    /// Ends every process, removes the folder and ends this process too, without a word to anybody.
    pub(crate) fn end_at_once(&self, status: i32) -> ! {
        // Held to the end: whoever sees a process die wants to say so here first, and waits.
        let running = self.running();
        for pid in running.values() {
            // Who is gone already needs no signal.
            let _ = kill_process_group(*pid, Signal::KILL);
        }
        self.remove();
        process::exit(status)
    }

    fn remove(&self) {
        if !self.keep {
            // Instances that are ending may write while we remove; once more settles it.
            let _ = fs::remove_dir_all(&self.path).or_else(|_| fs::remove_dir_all(&self.path));
        }
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<String, Pid>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Names are random; a second collision in a row does not happen by chance.
const TRIES: usize = 8;
/// Enough for the last lines, whatever the log's length.
const TAIL_BYTES: usize = 64 << 10;
/// An hour or so of one instance at the default rate.
const LOG_LIMIT: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_folder_is_private_and_goes_with_its_fleet_unless_kept() {
        let (gone, kept) = (Folder::create(false).unwrap(), Folder::create(true).unwrap());
        let (gone_path, kept_path) = (gone.path().to_owned(), kept.path().to_owned());
        assert_ne!(gone_path, kept_path);
        assert_eq!(fs::metadata(&gone_path).unwrap().permissions().mode() & 0o777, 0o700);
        drop((gone, kept));
        assert!(!gone_path.exists() && kept_path.exists());
        fs::remove_dir_all(kept_path).unwrap();
    }

    #[test]
    fn the_tail_of_a_log_is_its_last_lines() {
        let folder = Folder::create(false).unwrap();
        assert!(folder.tail("edge-1", 2).is_empty());
        fs::write(folder.log("edge-1"), "one\ntwo\nthree\n").unwrap();
        assert_eq!(folder.tail("edge-1", 2), ["two", "three"]);
        assert_eq!(folder.tail("edge-1", 9).len(), 3);
    }
}
