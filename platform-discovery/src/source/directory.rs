//! Endpoints that write themselves into a folder.
//!
//! The folder is looked at every `discovery.dir.poll`, not watched: a look that finds the same names, times
//! and sizes reads no file, and it works on every file system, which notifications do not. Only records that
//! changed are read again.

use std::{
    collections::{BTreeSet, HashMap},
    ffi::{OsStr, OsString},
    fs::{self, File, Metadata},
    io,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::stream;
use platform_core::{Error, ErrorKind, Result};
use tokio::time::{self, Instant};

use crate::{
    config::Dir,
    disk::{Stamp, read_at_most},
    endpoint::Found,
    folder::Folder,
    list::{self, List, Listing},
    record::{MAX_BYTES, Record, is_instance_name},
    resolve::{Resolve, Snapshot, Snapshots},
    target::{Place, Target},
    task::aside,
    unix_ms,
};

/// The records of a service in the registry's folder.
#[derive(Clone, Debug)]
pub struct Directory {
    folder: Folder,
    poll: Duration,
}

impl Directory {
    /// The folder of this configuration.
    pub fn of(config: &Dir) -> Self {
        Directory { folder: Folder::of(config), poll: config.poll }
    }
}

impl Resolve for Directory {
    fn resolve(&self, target: &Target) -> Snapshots {
        let (Place::Registry(name) | Place::Directory(name)) = target.place() else {
            let error = Error::new(ErrorKind::Internal, format!("{target} is no name in a registry"));
            return Box::pin(stream::iter([Err(error)]));
        };
        let seen = Seen {
            folder: self.folder.clone(),
            name: Arc::clone(name),
            existed: false,
            files: HashMap::new(),
            said: None,
        };
        let (poll, pause) = (self.poll, Duration::ZERO);
        Box::pin(stream::unfold((seen, pause), move |(seen, pause)| async move {
            time::sleep(pause).await;
            let (answer, seen) = look(seen).await?;
            Some((answer, (seen, poll)))
        }))
    }

    fn is_remembered(&self) -> bool {
        true
    }

    fn describe(&self, target: &Target) -> String {
        match target.place() {
            Place::Registry(name) | Place::Directory(name) => {
                format!("dir {}", self.folder.of_service(name).display())
            }
            _ => "dir".to_owned(),
        }
    }
}

impl List for Directory {
    fn services(&self) -> Listing {
        let folder = self.folder.clone();
        Box::pin(async move { aside(move || services(&folder)).await? })
    }
}

/// The folders in which somebody has a record.
fn services(folder: &Folder) -> Result<BTreeSet<Arc<str>>> {
    if !folder.look()? {
        return Ok(BTreeSet::new());
    }
    let unreadable = |path: &Path, error: io::Error| {
        Error::new(ErrorKind::Unreachable, format!("the folder {} cannot be read", path.display()))
            .with_source(error)
    };
    let listing = fs::read_dir(folder.path()).map_err(|error| unreadable(folder.path(), error))?;
    let mut services = Vec::new();
    for entry in listing {
        let entry = entry.map_err(|error| unreadable(folder.path(), error))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let records = match fs::read_dir(entry.path()) {
            Ok(mut records) => {
                records.any(|record| record.is_ok_and(|record| instance_of(&record.file_name()).is_some()))
            }
            // A file, or gone since.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::NotFound) => {
                false
            }
            Err(error) => return Err(unreadable(&entry.path(), error)),
        };
        if records {
            services.push(name);
        }
    }
    Ok(list::names(services.iter().map(String::as_str)))
}

/// A record in the making begins with a dot.
fn instance_of(file: &OsStr) -> Option<&str> {
    file.to_str()?.strip_suffix(".json").filter(|instance| is_instance_name(instance))
}

/// What the last look saw; owned by the one stream that looks.
struct Seen {
    folder: Folder,
    name: Arc<str>,
    existed: bool,
    files: HashMap<OsString, Entry>,
    said: Option<Snapshot>,
}

/// One file of the folder, as it was when it was last read.
struct Entry {
    stamp: Stamp,
    /// `None` is a file that makes no sense.
    found: Option<Found>,
}

/// `None` only if the process is stopping.
async fn look(mut seen: Seen) -> Option<(Result<Snapshot>, Seen)> {
    let now = Instant::now();
    aside(move || (seen.again(unix_ms(SystemTime::now()), now), seen)).await.ok()
}

impl Seen {
    fn again(&mut self, unix_ms: u64, now: Instant) -> Result<Snapshot> {
        if !self.folder.look()? {
            if self.existed {
                let path = self.folder.path().display();
                return Err(Error::new(
                    ErrorKind::Unreachable,
                    format!("the registry's folder {path} is gone"),
                ));
            }
            return Ok(self.say(false));
        }
        self.existed = true;
        let folder = self.folder.of_service(&self.name);
        let changed = self.read(&folder, unix_ms, now).map_err(|error| {
            Error::new(ErrorKind::Unreachable, format!("the folder {} cannot be read", folder.display()))
                .with_source(error)
        })?;
        Ok(self.say(changed))
    }

    /// Reads what changed; true if anything did.
    fn read(&mut self, folder: &Path, unix_ms: u64, now: Instant) -> io::Result<bool> {
        let listing = match fs::read_dir(folder) {
            Ok(listing) => listing,
            // Nobody of this name has ever registered.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let changed = !self.files.is_empty();
                self.files.clear();
                return Ok(changed);
            }
            Err(error) => return Err(error),
        };
        let mut files = HashMap::with_capacity(self.files.len());
        let mut changed = false;
        for entry in listing {
            let entry = entry?;
            let file = entry.file_name();
            let Some(instance) = instance_of(&file) else { continue };
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                // Withdrawn between listing and looking.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let stamp = Stamp::from(&metadata);
            if let Some(known) = self.files.remove(&file)
                && known.stamp == stamp
            {
                files.insert(file, known);
                continue;
            }
            changed = true;
            let found = match open(&entry.path(), &metadata)? {
                Opened::Gone => continue,
                Opened::Record(bytes) => Record::read(&bytes, &self.name, instance),
                Opened::Odd(why) => Err(why.to_owned()),
            };
            let found = match found {
                Ok(record) => {
                    let expires = Some(record.expires(unix_ms, now));
                    Some(Found { endpoint: Arc::new(record.endpoint()), expires })
                }
                Err(why) => {
                    tracing::warn!(record = %entry.path().display(), why, "a record makes no sense and is left out");
                    None
                }
            };
            files.insert(file, Entry { stamp, found });
        }
        // What is left of the last look has gone.
        changed |= !self.files.is_empty();
        self.files = files;
        Ok(changed)
    }

    fn say(&mut self, changed: bool) -> Snapshot {
        if let Some(said) = self.said.as_ref().filter(|_| !changed) {
            return said.clone();
        }
        let skipped = self.files.values().filter(|entry| entry.found.is_none()).count();
        let snapshot =
            Snapshot::new(self.files.values().filter_map(|entry| entry.found.clone())).skipping(skipped);
        self.said = Some(snapshot.clone());
        snapshot
    }
}

enum Opened {
    Record(Vec<u8>),
    Odd(&'static str),
    Gone,
}

fn open(path: &Path, metadata: &Metadata) -> io::Result<Opened> {
    // A pipe would hold the reader for ever, a link could point at anything.
    if !metadata.is_file() {
        return Ok(Opened::Odd("it is no plain file"));
    }
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Opened::Gone),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Ok(Opened::Odd("this user may not read it"));
        }
        Err(error) => return Err(error),
    };
    Ok(Opened::Record(read_at_most(file, MAX_BYTES)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    const SOON: u64 = 4_000_000_000_000;

    fn registry() -> (tempfile::TempDir, Snapshots) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("catalog")).unwrap();
        let config = Dir { path: folder.path().to_owned(), ..Dir::default() };
        let answers = Directory::of(&config).resolve(&Target::parse("catalog").unwrap());
        (folder, answers)
    }

    fn write(folder: &tempfile::TempDir, instance: &str, text: &str) {
        let folder = folder.path().join("catalog");
        fs::write(folder.join(".new"), text).unwrap();
        fs::rename(folder.join(".new"), folder.join(format!("{instance}.json"))).unwrap();
    }

    fn text(instance: &str, port: u16) -> String {
        format!(
            r#"{{"name":"catalog","instance":"{instance}","address":"127.0.0.1:{port}","expires_unix_ms":{SOON}}}"#
        )
    }

    fn ports(snapshot: &Snapshot) -> Vec<u16> {
        let mut ports: Vec<u16> =
            snapshot.found().iter().map(|found| found.endpoint.address.port()).collect();
        ports.sort_unstable();
        ports
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_finds_the_same_says_the_same_set() {
        let (folder, mut answers) = registry();
        write(&folder, "a", &text("a", 1));
        let first = answers.next().await.unwrap().unwrap();
        let second = answers.next().await.unwrap().unwrap();
        assert!(Arc::ptr_eq(first.found(), second.found()));
        write(&folder, "b", &text("b", 2));
        assert_eq!(ports(&answers.next().await.unwrap().unwrap()), [1, 2]);
        write(&folder, "a", &text("a", 3));
        assert_eq!(ports(&answers.next().await.unwrap().unwrap()), [2, 3]);
        fs::remove_file(folder.path().join("catalog/b.json")).unwrap();
        assert_eq!(ports(&answers.next().await.unwrap().unwrap()), [3]);
    }

    #[tokio::test(start_paused = true)]
    async fn records_that_make_no_sense_are_left_out_and_counted_and_cost_nobody_else() {
        let (folder, mut answers) = registry();
        write(&folder, "good", &text("good", 1));
        write(&folder, "torn", &text("torn", 2)[..30]);
        write(&folder, "stolen", &text("good", 3));
        write(&folder, "huge", &format!("{}{}", text("huge", 4), " ".repeat(MAX_BYTES)));
        write(&folder, "nowhere", &text("nowhere", 0));
        fs::create_dir(folder.path().join("catalog/folder.json")).unwrap();
        symlink("/dev/zero", folder.path().join("catalog/link.json")).unwrap();
        fs::write(folder.path().join("catalog/.making.json"), "{").unwrap();
        fs::write(folder.path().join("catalog/README"), "not a record").unwrap();
        let answer = answers.next().await.unwrap().unwrap();
        assert_eq!(ports(&answer), [1]);
        assert_eq!(answer.skipped(), 6);
        write(&folder, "torn", &text("torn", 2));
        assert_eq!(ports(&answers.next().await.unwrap().unwrap()), [1, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_folder_that_is_not_there_yet_is_empty_and_one_that_went_away_is_an_error() {
        let (folder, _) = registry();
        let path = folder.path().join("registry");
        let config = Dir { path: path.clone(), ..Dir::default() };
        let mut answers = Directory::of(&config).resolve(&Target::parse("catalog").unwrap());
        assert!(ports(&answers.next().await.unwrap().unwrap()).is_empty());
        Folder::of(&config).make("catalog").unwrap();
        fs::write(path.join("catalog/a.json"), text("a", 1)).unwrap();
        assert_eq!(ports(&answers.next().await.unwrap().unwrap()), [1]);
        fs::remove_dir_all(&path).unwrap();
        let error = answers.next().await.unwrap().unwrap_err();
        assert!(error.detail().contains("is gone"), "{error}");
        Folder::of(&config).make("catalog").unwrap();
        assert!(ports(&answers.next().await.unwrap().unwrap()).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_folder_that_cannot_be_trusted_is_an_error_until_it_can() {
        let (folder, mut answers) = registry();
        write(&folder, "a", &text("a", 1));
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(answers.next().await.unwrap().unwrap_err().detail().contains("chmod 700"));
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(ports(&answers.next().await.unwrap().unwrap()), [1]);
    }
}
