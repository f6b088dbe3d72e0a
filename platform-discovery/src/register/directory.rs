//! Records as files in a folder.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use platform_core::{Error, ErrorKind, Result};

use super::{
    Pending, Register,
    taken::{is_taken, taken},
};
use crate::{
    config::Dir,
    disk,
    folder::Folder,
    record::{MAX_BYTES, Record},
    task, unix_ms,
};

/// Writes `PATH/NAME/INSTANCE.json`: beside its place first, then renamed, so that nobody reads half of it.
#[derive(Clone, Debug)]
pub struct Directory {
    folder: Folder,
}

impl Directory {
    /// The folder of this configuration.
    pub fn of(config: &Dir) -> Self {
        Directory { folder: Folder::of(config) }
    }

    fn place(&self, record: &Record) -> PathBuf {
        self.folder.of_service(&record.name).join(format!("{}.json", record.instance))
    }

    fn write(&self, record: &Record) -> Result<()> {
        // Before anything is read or removed there.
        let folder = self.folder.make(&record.name)?;
        let now = unix_ms(SystemTime::now());
        let place = self.place(record);
        match read(&place, &record.name, &record.instance) {
            Some(other) if other.is_alive(now) && is_taken(other.address, other.state, record) => {
                let left = other.expires_unix_ms.saturating_sub(now) / 1000 + 1;
                return Err(taken(other.address, record, Some(left)));
            }
            Some(_) => {}
            // The first time here; a good moment to tidy up after those who never came back.
            None => sweep(&folder, &record.name, now),
        }
        disk::replace(&place, &record.to_json()).map_err(|error| failed("written", &place, error))
    }

    fn erase(&self, record: &Record) -> Result<()> {
        let place = self.place(record);
        match read(&place, &record.name, &record.instance) {
            // Somebody else's by now.
            Some(other) if other.address != record.address => Ok(()),
            _ => match fs::remove_file(&place) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(failed("removed", &place, error))
                }
                _ => Ok(()),
            },
        }
    }

    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(Directory) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let own = self.clone();
        task::aside(move || work(own)).await?
    }
}

impl Register for Directory {
    fn publish(&self, record: Record) -> Pending<'_, ()> {
        Box::pin(self.aside(move |own| own.write(&record)))
    }

    fn remove(&self, record: Record) -> Pending<'_, ()> {
        Box::pin(self.aside(move |own| own.erase(&record)))
    }

    fn holds<'a>(&'a self, record: &'a Record) -> Pending<'a, bool> {
        let place = self.place(record);
        Box::pin(self.aside(move |_| place.try_exists().map_err(|error| failed("looked for", &place, error))))
    }
}

fn read(place: &Path, name: &str, instance: &str) -> Option<Record> {
    let bytes = disk::read_at_most(File::open(place).ok()?, MAX_BYTES).ok()?;
    Record::read(&bytes, name, instance).ok()
}

/// Removes the records of instances that died long ago; failing to is nobody's problem.
fn sweep(folder: &Path, name: &str, unix_ms: u64) {
    let Ok(listing) = fs::read_dir(folder) else { return };
    for entry in listing.flatten() {
        let file = entry.file_name();
        let Some(instance) = file.to_str().and_then(|file| file.strip_suffix(".json")) else { continue };
        // A pipe would hold the reader for ever.
        if !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let Some(record) = read(&entry.path(), name, instance) else { continue };
        if record.expires_unix_ms.saturating_add(LONG_DEAD) < unix_ms {
            // Another may have been faster.
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn failed(how: &str, place: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Unreachable, format!("the record {} could not be {how}", place.display()))
        .with_source(error)
}

/// Milliseconds after its lease that a record is still there for whoever wonders what happened.
const LONG_DEAD: u64 = 10 * 60 * 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::State;
    use std::{net::TcpListener, os::unix::fs::MetadataExt as _};

    fn registry() -> (tempfile::TempDir, Directory) {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::of(&Dir { path: folder.path().to_owned(), ..Dir::default() });
        (folder, directory)
    }

    fn record(instance: &str, port: u16, expires: u64) -> Record {
        let text = format!(
            r#"{{"name":"catalog","instance":"{instance}","address":"127.0.0.1:{port}","expires_unix_ms":{expires}}}"#
        );
        Record::read(text.as_bytes(), "catalog", instance).unwrap()
    }

    fn in_seconds(seconds: u64) -> u64 {
        unix_ms(SystemTime::now()) + seconds * 1000
    }

    fn files(folder: &tempfile::TempDir) -> Vec<String> {
        let listing = fs::read_dir(folder.path().join("catalog")).unwrap();
        let mut files: Vec<_> =
            listing.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        files.sort_unstable();
        files
    }

    #[test]
    fn a_record_is_one_whole_file_and_nothing_is_left_beside_it() {
        let (folder, directory) = registry();
        let own = record("a", 1, in_seconds(30));
        directory.write(&own).unwrap();
        directory.write(&own).unwrap();
        assert_eq!(files(&folder), ["a.json"]);
        assert_eq!(fs::read(folder.path().join("catalog/a.json")).unwrap(), own.to_json());
        assert_eq!(fs::metadata(folder.path().join("catalog")).unwrap().mode() & 0o777, 0o700);
        directory.erase(&own).unwrap();
        directory.erase(&own).unwrap();
        assert!(files(&folder).is_empty());
    }

    #[test]
    fn a_living_instance_elsewhere_keeps_its_name() {
        let (_folder, directory) = registry();
        let living = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = living.local_addr().unwrap().port();
        directory.write(&record("a", port, in_seconds(30))).unwrap();
        let error = directory.write(&record("a", 2, in_seconds(30))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Start);
        assert!(error.detail().contains(&format!("127.0.0.1:{port} and its lease lives for")), "{error}");
        assert!(error.detail().contains("service.instance"), "{error}");
        // Not its own to remove either.
        directory.erase(&record("a", 2, 0)).unwrap();
        assert!(directory.write(&record("a", 2, in_seconds(30))).is_err());
        drop(living);
        directory.write(&record("a", 2, in_seconds(30))).expect("killed: nobody listens where it was");
    }

    #[test]
    fn a_name_is_free_again_when_its_lease_ended_or_its_holder_drains_or_came_back() {
        let (_folder, directory) = registry();
        let living = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [first, second] = living.each_ref().map(|living| living.local_addr().unwrap().port());
        directory.write(&record("a", first, in_seconds(30))).unwrap();
        directory.write(&record("a", first, 1)).unwrap();
        directory.write(&record("a", second, in_seconds(30))).unwrap();
        let draining = Record { state: State::Draining, ..record("a", second, in_seconds(30)) };
        directory.write(&draining).unwrap();
        directory.write(&record("a", 3, in_seconds(30))).unwrap();
    }

    #[test]
    fn who_comes_first_sweeps_out_those_who_died_long_ago() {
        let (folder, directory) = registry();
        directory.write(&record("just-died", 1, in_seconds(0))).unwrap();
        fs::write(folder.path().join("catalog/long-dead.json"), record("long-dead", 2, 1_000).to_json())
            .unwrap();
        fs::write(folder.path().join("catalog/odd.json"), "odd").unwrap();
        directory.write(&record("new", 3, in_seconds(30))).unwrap();
        assert_eq!(files(&folder), ["just-died.json", "new.json", "odd.json"]);
    }

    #[test]
    fn nothing_is_removed_from_a_folder_that_cannot_be_trusted() {
        use std::os::unix::fs::PermissionsExt as _;
        let (folder, directory) = registry();
        directory.write(&record("a", 1, in_seconds(30))).unwrap();
        fs::write(folder.path().join("catalog/long-dead.json"), record("long-dead", 2, 1_000).to_json())
            .unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(directory.write(&record("new", 3, in_seconds(30))).is_err());
        assert_eq!(files(&folder), ["a.json", "long-dead.json"]);
    }

    #[tokio::test]
    async fn a_registry_that_was_removed_is_made_again() {
        let (folder, directory) = registry();
        let own = record("a", 1, in_seconds(30));
        directory.publish(own.clone()).await.unwrap();
        assert!(directory.holds(&own).await.unwrap());
        fs::remove_dir_all(folder.path()).unwrap();
        assert!(!directory.holds(&own).await.unwrap());
        directory.publish(own.clone()).await.unwrap();
        assert_eq!(files(&folder), ["a.json"]);
        directory.remove(own).await.unwrap();
        assert!(files(&folder).is_empty());
    }
}
