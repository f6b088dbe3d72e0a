//! What was true when this target was last known?
//!
//! The last good set is kept on disk (`discovery.snapshot`), so that a process can start while its registry is down:
//! it is believed when the source fails, or has said nothing for [`PATIENCE`], and any word of the source is better.
//! Until then it is marked as saved, and its age counts from when it was true.
//!
//! One file per target and source, whole or not at all: written beside and renamed, with a sum over it. What is
//! damaged, of another source or older than [`LONGEST`] is left alone, with a line.

use std::{
    fs::{self, File},
    future::pending,
    io,
    sync::Arc,
    time::{Duration, SystemTime},
};

use platform_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use tokio::{
    task::{self, JoinHandle},
    time::{self, Instant},
};

use crate::{disk, endpoint::Endpoint, folder::Folder, target::Target, unix_ms};

/// One target's place on disk. Its methods touch the disk; call them where blocking is fine.
#[derive(Debug)]
pub(crate) struct Store {
    folder: Folder,
    file: String,
    target: String,
    source: String,
}

/// A list of an earlier life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recalled {
    pub(super) endpoints: Vec<Endpoint>,
    /// How long ago it was true.
    pub(super) age: Duration,
}

/// Since when a recalled list is used, and how old it was then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recollection {
    age: Duration,
    at: Instant,
}

#[derive(Serialize, Deserialize)]
struct Saved<E> {
    target: String,
    source: String,
    true_unix_ms: u64,
    endpoints: E,
}

impl Store {
    pub(crate) fn new(folder: Folder, target: &Target, source: &str) -> Self {
        let (target_text, name) = (target.to_string(), target.name());
        let sound = |byte: char| byte.is_ascii_alphanumeric() || matches!(byte, '-' | '_');
        let name: String = name.chars().map(|byte| if sound(byte) { byte } else { '_' }).take(64).collect();
        let of = sum(format!("{target_text}\n{source}").as_bytes());
        Store {
            folder,
            file: format!("{name}-{of:016x}.list"),
            target: target_text,
            source: source.to_owned(),
        }
    }

    /// What was saved, if it is of use; the error says in a few words why it is not.
    fn load(&self, now_unix_ms: u64) -> std::result::Result<Option<Recalled>, String> {
        if !self.folder.look().map_err(|error| error.detail().to_owned())? {
            return Ok(None);
        }
        let file = match File::open(self.folder.path().join(&self.file)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("it cannot be read: {error}")),
        };
        let bytes =
            disk::read_at_most(file, MAX_BYTES).map_err(|error| format!("it cannot be read: {error}"))?;
        let saved = read(&bytes)?;
        if (saved.target.as_str(), saved.source.as_str()) != (&self.target, &self.source) {
            return Err(format!("it is foreign: a list of {} from {}", saved.target, saved.source));
        }
        let ahead = saved.true_unix_ms.saturating_sub(now_unix_ms);
        if Duration::from_millis(ahead) > SKEW {
            return Err("it is from the future, so one of two clocks is wrong".to_owned());
        }
        let age = Duration::from_millis(now_unix_ms.saturating_sub(saved.true_unix_ms));
        if age > LONGEST {
            return Err(format!(
                "it is too old: {} min, and at most {} are believed",
                minutes(age),
                minutes(LONGEST)
            ));
        }
        Ok((!saved.endpoints.is_empty()).then_some(Recalled { endpoints: saved.endpoints, age }))
    }

    /// Stores these in place of what was there; nobody reads half of it.
    fn save(&self, endpoints: &[Arc<Endpoint>], true_unix_ms: u64) -> Result<()> {
        let place = self.folder.path().join(&self.file);
        let failed = |error: io::Error| {
            Error::new(ErrorKind::Unreachable, format!("{} could not be written", place.display()))
                .with_source(error)
        };
        if endpoints.is_empty() {
            // Nothing is removed where a link may lead anywhere.
            if !self.folder.look()? {
                return Ok(());
            }
            // Nobody is no list to start from.
            return match fs::remove_file(&place) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
                _ => Ok(()),
            };
        }
        self.folder.make_itself()?;
        let endpoints: Vec<&Endpoint> = endpoints.iter().map(|endpoint| &**endpoint).collect();
        let (target, source) = (self.target.clone(), self.source.clone());
        let body = serde_json::to_vec(&Saved { target, source, true_unix_ms, endpoints })
            .expect("a list is strings and numbers");
        let mut bytes = format!("{HEAD} {:016x}\n", sum(&body)).into_bytes();
        bytes.extend(body);
        disk::replace(&place, &bytes).map_err(failed)
    }
}

impl Recollection {
    pub(super) fn of(recalled: &Recalled, now: Instant) -> Self {
        Recollection { age: recalled.age, at: now }
    }

    /// How long ago the list was true.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        self.age + now.saturating_duration_since(self.at)
    }
}

/// The saved list on its way from the disk, until it is used or needed no more.
pub(super) struct Recall {
    begun: Instant,
    loading: Option<JoinHandle<std::result::Result<Option<Recalled>, String>>>,
    loaded: Option<Recalled>,
}

impl Recall {
    pub(super) fn begin(store: Option<Arc<Store>>) -> Self {
        let load = |store: Arc<Store>| task::spawn_blocking(move || store.load(unix_ms(SystemTime::now())));
        Recall { begun: Instant::now(), loading: store.map(load), loaded: None }
    }

    /// Somebody has answered.
    pub(super) fn forget(&mut self) {
        (self.loading, self.loaded) = (None, None);
    }

    /// The list, when it is time to use it; `Err` says why there is none. May be dropped and asked again.
    pub(super) async fn turn(&mut self, failing: bool) -> std::result::Result<Recalled, String> {
        if let Some(loading) = &mut self.loading {
            let loaded = loading.await;
            self.loading = None;
            // A disk that made the thread panic has no list.
            self.loaded = loaded.unwrap_or(Ok(None))?;
        }
        if self.loaded.is_some() && !failing {
            time::sleep_until(self.begun + PATIENCE).await;
        }
        match self.loaded.take() {
            Some(recalled) => Ok(recalled),
            None => pending().await,
        }
    }
}

/// Writes what changed, one after the other, off the runtime's threads: a disk may hang.
pub(super) struct Saving {
    store: Option<Arc<Store>>,
    last: Option<Vec<Arc<Endpoint>>>,
    wanted: Option<Wanted>,
    begun: Option<Instant>,
    writing: Option<JoinHandle<Result<()>>>,
    failing: bool,
    /// Whether there was anybody to keep, in this life.
    noted: bool,
}

/// What is to be written, and from when on.
struct Wanted {
    good: Vec<Arc<Endpoint>>,
    true_unix_ms: u64,
    due: Instant,
}

impl Saving {
    pub(super) fn to(store: Option<Arc<Store>>) -> Self {
        Saving { store, last: None, wanted: None, begun: None, writing: None, failing: false, noted: false }
    }

    /// The source has just said that these are good.
    ///
    /// Nobody at first is nothing to note: a registry that comes back empty would erase what bridges that.
    pub(super) fn note(&mut self, good: impl FnOnce() -> Vec<Arc<Endpoint>>, now: Instant) {
        if self.store.is_none() {
            return;
        }
        let good = good();
        self.noted |= !good.is_empty();
        if !self.noted {
            return;
        }
        let same = |known: &Vec<Arc<Endpoint>>| {
            known.len() == good.len() && known.iter().zip(&good).all(|(old, new)| Arc::ptr_eq(old, new))
        };
        let earliest = match (&self.last, self.begun) {
            (Some(last), Some(begun)) if same(last) => begun + CONFIRMED,
            (_, Some(begun)) => begun + PAUSE,
            (_, None) => now,
        };
        let true_unix_ms = unix_ms(SystemTime::now());
        self.wanted = Some(Wanted { good, true_unix_ms, due: earliest.max(now) });
    }

    /// Does what is due. May be dropped and asked again.
    pub(super) async fn turn(&mut self) {
        if let Some(writing) = &mut self.writing {
            let written = writing.await;
            self.writing = None;
            return self.tell(written.unwrap_or(Ok(())));
        }
        let Some(Wanted { due, .. }) = &self.wanted else { return pending().await };
        time::sleep_until(*due).await;
        if let (Some(Wanted { good, true_unix_ms, .. }), Some(store)) =
            (self.wanted.take(), self.store.clone())
        {
            self.last = Some(good.clone());
            self.begun = Some(Instant::now());
            self.writing = Some(task::spawn_blocking(move || store.save(&good, true_unix_ms)));
        }
    }

    fn tell(&mut self, written: Result<()>) {
        match written {
            Ok(()) => self.failing = false,
            Err(error) => {
                // Tried again with the next answer.
                self.last = None;
                if !self.failing {
                    let target = self.store.as_ref().map_or("", |store| &store.target);
                    tracing::warn!(called = target, error = ?error, "the last good set cannot be kept on disk");
                }
                self.failing = true;
            }
        }
    }
}

fn read(bytes: &[u8]) -> std::result::Result<Saved<Vec<Endpoint>>, String> {
    let damaged = |how: &str| format!("it is damaged: {how}");
    if bytes.len() > MAX_BYTES {
        return Err(damaged("it is too large"));
    }
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(|| damaged("it ends early"))?;
    let (head, body) = (&bytes[..end], &bytes[end + 1..]);
    let wanted = format!("{HEAD} {:016x}", sum(body));
    if head != wanted.as_bytes() {
        let known = head.starts_with(HEAD.as_bytes());
        return Err(damaged(if known { "its sum is wrong" } else { "it is no list of this version" }));
    }
    serde_json::from_slice(body).map_err(|error| damaged(&error.to_string()))
}

/// FNV-1a: finds what a crash or a disk did, not what an enemy did; the folder keeps those out.
fn sum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

fn minutes(length: Duration) -> u64 {
    length.as_secs() / 60
}

const HEAD: &str = "platform-list 1";
/// A registry nearby answers in milliseconds; a start that waits longer than this is felt.
const PATIENCE: Duration = Duration::from_millis(250);
/// Longer than the outages of registries that people tell of, and than a deploy takes; not so long that most of the
/// addresses belong to others by now.
const LONGEST: Duration = Duration::from_secs(6 * 60 * 60);
/// As far apart as two clocks of one machine can be after a correction.
const SKEW: Duration = Duration::from_secs(60);
/// Between two writes of a set that changes and changes.
const PAUSE: Duration = Duration::from_secs(5);
/// A set that stays is written anew that often, so that its age on disk is true.
const CONFIRMED: Duration = Duration::from_secs(10 * 60);
/// Ten thousand endpoints.
const MAX_BYTES: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Dir};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    const NOW: u64 = 1_700_000_000_000;

    fn store(folder: &tempfile::TempDir, source: &str) -> Store {
        let dir = Dir { path: folder.path().join("registry"), ..Dir::default() };
        let folder = Folder::of_snapshots(&Config { dir, ..Config::default() }).unwrap();
        Store::new(folder, &Target::parse("catalog").unwrap(), source)
    }

    fn endpoints(ports: std::ops::Range<u16>) -> Vec<Arc<Endpoint>> {
        ports.map(|port| Arc::new(Endpoint::at(std::net::SocketAddr::from(([10, 0, 0, 1], port))))).collect()
    }

    fn path(store: &Store) -> std::path::PathBuf {
        store.folder.path().join(&store.file)
    }

    #[test]
    fn what_was_saved_is_read_back_with_its_age_by_whoever_asks_the_same_source() {
        let folder = tempfile::tempdir().unwrap();
        let ours = store(&folder, "etcd");
        assert_eq!(ours.load(NOW), Ok(None), "nobody has saved anything");
        let mut saved = endpoints(1..4);
        Arc::make_mut(&mut saved[0]).zone = "a".into();
        ours.save(&saved, NOW).unwrap();
        let read = store(&folder, "etcd").load(NOW + 90_000).unwrap().unwrap();
        assert_eq!(read.age, Duration::from_secs(90));
        assert!(read.endpoints.iter().eq(saved.iter().map(|endpoint| &**endpoint)));
        assert_eq!(store(&folder, "consul").load(NOW), Ok(None), "another source has another file");
        assert_eq!(fs::metadata(ours.folder.path()).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(ours.folder.path()).unwrap().count(), 1, "nothing is left beside it");
        ours.save(&[], NOW).unwrap();
        assert_eq!(ours.load(NOW), Ok(None));
    }

    /// Whoever is updated starts from what the version before has left on the disk.
    #[test]
    fn a_list_is_saved_as_ever_and_those_of_every_version_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let ours = store(&folder, "etcd");
        let mut saved = endpoints(1..3);
        *Arc::make_mut(&mut saved[0]) = Endpoint {
            admin: Some("10.0.0.1:9464".parse().unwrap()),
            instance: "catalog-7d4f".into(),
            zone: "a".into(),
            version: "1.4.2".into(),
            variant: "canary".into(),
            weight: 7,
            owner: "team-catalog".into(),
            ..Endpoint::clone(&saved[0])
        };
        ours.save(&saved, NOW).unwrap();
        let written = fs::read_to_string(path(&ours)).unwrap();
        crate::golden::is("saved.list", &format!("{}\n{written}", ours.file));
        for (version, text) in crate::golden::of_every_version("saved.list") {
            let (file, list) = text.split_once('\n').unwrap();
            assert_eq!(file, ours.file, "{version} has it under this name");
            fs::write(path(&ours), list).unwrap();
            let read = ours.load(NOW + 1_000).unwrap().unwrap();
            assert!(read.endpoints.iter().eq(saved.iter().map(|endpoint| &**endpoint)), "{version}");
        }
    }

    #[test]
    fn what_is_damaged_foreign_or_too_old_is_refused_with_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let ours = store(&folder, "etcd");
        ours.save(&endpoints(1..4), NOW).unwrap();
        let whole = fs::read(path(&ours)).unwrap();
        let why = |bytes: &[u8], now: u64| {
            fs::write(path(&ours), bytes).unwrap();
            ours.load(now).unwrap_err()
        };
        assert!(why(b"", NOW).contains("damaged: it ends early"));
        assert!(why(&whole[..whole.len() / 2], NOW).contains("damaged: its sum is wrong"));
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        assert!(why(&flipped, NOW).contains("damaged: its sum is wrong"));
        assert!(why(b"platform-list 9 00\n{}", NOW).contains("no list of this version"));
        let empty = format!("{HEAD} {:016x}\n{{}}", sum(b"{}"));
        assert!(why(empty.as_bytes(), NOW).contains("damaged: missing field"));
        assert!(why(&vec![b'x'; MAX_BYTES + 1], NOW).contains("too large"));
        let hours = |hours: u64| NOW + hours * 3_600_000;
        assert!(why(&whole, hours(6) + 1).contains("too old: 360 min, and at most 360"));
        assert!(why(&whole, NOW - 61_000).contains("from the future"));
        assert_eq!(ours.load(NOW - 59_000).unwrap().unwrap().age, Duration::ZERO);
        assert!(ours.load(hours(6)).unwrap().is_some());

        let theirs = store(&folder, "consul");
        fs::copy(path(&ours), path(&theirs)).unwrap();
        assert!(theirs.load(NOW).unwrap_err().contains("foreign: a list of catalog from etcd"));
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_neither_read_nor_written() {
        let folder = tempfile::tempdir().unwrap();
        let ours = store(&folder, "etcd");
        ours.save(&endpoints(1..2), NOW).unwrap();
        fs::set_permissions(ours.folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(ours.load(NOW).unwrap_err().contains("can be written to by other users"));
        assert!(ours.save(&endpoints(1..2), NOW).is_err());
    }

    /// Does what is due for so long; says how often something was written.
    async fn run(saving: &mut Saving, length: Duration) -> usize {
        let (end, mut writes) = (Instant::now() + length, 0);
        while time::timeout_at(end, saving.turn()).await.is_ok() {
            writes += usize::from(saving.writing.is_some());
        }
        writes
    }

    #[tokio::test(start_paused = true)]
    async fn what_changes_is_written_at_most_every_five_seconds_and_what_stays_every_ten_minutes() {
        let folder = tempfile::tempdir().unwrap();
        let ours = Arc::new(store(&folder, "etcd"));
        let mut saving = Saving::to(Some(Arc::clone(&ours)));
        assert_eq!(run(&mut saving, Duration::from_secs(60)).await, 0, "nothing was said");
        let mut writes = 0;
        for step in 0..40 {
            saving.note(|| endpoints(1..2 + step % 2), Instant::now());
            writes += run(&mut saving, Duration::from_millis(500)).await;
        }
        assert_eq!(writes, 5, "in 20 s, the first at once");
        let stays = endpoints(1..7);
        let mut writes = 0;
        for _ in 0..1_900 {
            saving.note(|| stays.clone(), Instant::now());
            writes += run(&mut saving, Duration::from_secs(1)).await;
        }
        assert_eq!(writes, 4, "once, and three times in half an hour");
        assert_eq!(ours.load(unix_ms(SystemTime::now())).unwrap().unwrap().endpoints.len(), 6);
        assert_eq!(run(&mut Saving::to(None), Duration::from_secs(60)).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_at_first_erases_no_list_and_nobody_after_somebody_does() {
        let folder = tempfile::tempdir().unwrap();
        let ours = Arc::new(store(&folder, "etcd"));
        let now = unix_ms(SystemTime::now());
        ours.save(&endpoints(1..3), now).unwrap();
        let mut saving = Saving::to(Some(Arc::clone(&ours)));
        for _ in 0..20 {
            saving.note(Vec::new, Instant::now());
            assert_eq!(run(&mut saving, Duration::from_secs(1)).await, 0);
        }
        assert_eq!(ours.load(now).unwrap().unwrap().endpoints.len(), 2, "the registry came back empty");
        saving.note(|| endpoints(1..2), Instant::now());
        saving.note(Vec::new, Instant::now());
        run(&mut saving, Duration::from_secs(10)).await;
        assert_eq!(ours.load(now), Ok(None), "they are gone");
    }

    #[test]
    fn nothing_is_removed_from_a_folder_that_cannot_be_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let ours = store(&folder, "etcd");
        ours.save(&[], NOW).expect("there is nothing to remove");
        ours.save(&endpoints(1..2), NOW).unwrap();
        fs::set_permissions(ours.folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(ours.save(&[], NOW).is_err());
        fs::set_permissions(ours.folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(ours.load(NOW).unwrap().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_waits_for_the_source_a_little_and_not_for_one_that_fails() {
        let folder = tempfile::tempdir().unwrap();
        let ours = Arc::new(store(&folder, "etcd"));
        ours.save(&endpoints(1..3), unix_ms(SystemTime::now())).unwrap();
        for (failing, wait) in [(false, PATIENCE), (true, Duration::ZERO)] {
            let begun = Instant::now();
            let mut recall = Recall::begin(Some(Arc::clone(&ours)));
            assert_eq!(recall.turn(failing).await.unwrap().endpoints.len(), 2);
            assert_eq!(begun.elapsed(), wait);
        }
        let mut recall = Recall::begin(Some(ours));
        recall.forget();
        assert!(time::timeout(Duration::from_secs(60), recall.turn(true)).await.is_err());
    }
}
