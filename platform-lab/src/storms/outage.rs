//! S10: the registry dies, freezes, is not there at the start, and lies. The services are well all the time, so every
//! failed request is the clients' own doing.

use std::{path::Path, sync::Arc, time::Duration};

use platform_core::{Error, ErrorKind, Result};
use platform_http::client::Preset;
use tokio::time::{Instant, sleep, timeout};

use super::{
    client::{CLIENTS, Felt},
    client::{Caller, arrive},
    found::Finder,
    registry::{Mood, Registry},
    runs::{Scale, Seen},
    town::{Town, Weather, seed},
};

/// One kind of client in one town.
struct Scene {
    town: Town,
    registry: Registry,
    finders: Vec<Arc<Finder>>,
    _registered: Vec<platform_discovery::Registration>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Arm {
    Ours,
    Naive,
}

/// The storm with its bars.
pub(crate) async fn s10(number: u64, scale: Scale) -> Result<Seen> {
    let (mut rows, mut passed) = (Vec::new(), true);
    let mut tell = |what: &str, arm: Arm, felt: &[Felt], more: String| {
        let arm = if arm == Arm::Ours { "ours" } else { "naive" };
        rows.push(row(what, arm, number, felt, more));
    };
    for arm in [Arm::Ours, Arm::Naive] {
        let ours = arm == Arm::Ours;

        // Killed for a minute.
        let scene = Scene::open(number, arm).await?;
        let felt = scene.through(scale, Mood::Down, Duration::from_secs(60), Duration::from_secs(20)).await;
        tell("down for 60 s", arm, &felt, String::new());
        passed &= !ours || failed(&felt) == 0;

        // Frozen for longer than its leases live; on thaw they are all gone.
        let scene = Scene::open(number, arm).await?;
        let normal = scene.load_of(TEN).await;
        let felt = scene.through(scale, Mood::Frozen, Duration::from_secs(45), Duration::ZERO).await;
        let (thawed, after) = tokio::join!(scene.load_of(TEN), arrive(&scene.finders, RATE, TEN, |_| {}));
        let felt: Vec<Felt> = felt.into_iter().chain(after).collect();
        let times = |now: u64, normal: u64| now as f64 / normal.max(1) as f64;
        let (reads, writes) = (times(thawed.0, normal.0), times(thawed.1, normal.1));
        tell("frozen for 45 s", arm, &felt, format!("reads {reads:.2}x, writes {writes:.2}x after the thaw"));
        passed &= !ours || (failed(&felt) == 0 && reads <= 2.0 && writes <= 2.0);

        // It lies for twenty seconds, then tells the truth again.
        let scene = Scene::open(number, arm).await?;
        let felt = scene.through(scale, Mood::Lying, Duration::from_secs(20), TEN).await;
        tell("an empty list for 20 s", arm, &felt, String::new());
        passed &= !ours || failed(&felt) == 0;

        // It does not take it back: then it is believed, and not before.
        let scene = Scene::open(number, arm).await?;
        scene.registry.turn(Mood::Lying);
        let begun = Instant::now();
        while scene.finders.iter().any(|finder| finder.knows() > 0) && begun.elapsed() < 4 * CONFIRMATION {
            sleep(Duration::from_millis(100)).await;
        }
        let held = begun.elapsed();
        tell("an empty list for good", arm, &[], format!("believed after {:.1} s", held.as_secs_f64()));
        passed &= !ours || (held >= CONFIRMATION && held < 2 * CONFIRMATION);

        // A client starts while the registry is down, with the list of an earlier one.
        let folder = Folder::new(number)?;
        let registry = Registry::new(true);
        let town = town(number);
        let _registered = registry.register(REPLICAS).await?;
        let earlier = finder(arm, &town, &registry, folder.path())?;
        earlier.start().await;
        sleep(TEN).await;
        drop(earlier);
        registry.turn(Mood::Down);
        let begun = Instant::now();
        let late = Arc::new(finder(arm, &town, &registry, folder.path())?);
        let first = timeout(Duration::from_secs(60), async {
            late.start().await;
            while !late.call().await.good {
                sleep(Duration::from_millis(100)).await;
            }
        });
        let first = first.await.map(|()| begun.elapsed()).ok();
        let more = first.map_or("none within 60 s".into(), |first| format!("first reply after {first:.2?}"));
        tell("a start while it is down", arm, &[], more);
        passed &= !ours || first.is_some_and(|first| first <= Duration::from_secs(1));
    }
    Ok(Seen { rows, passed })
}

impl Scene {
    async fn open(number: u64, arm: Arm) -> Result<Self> {
        let registry = Registry::new(false);
        let town = town(number);
        let registered = registry.register(REPLICAS).await?;
        let nowhere = Path::new("/nonexistent");
        let finders: Result<Vec<_>> =
            (0..CLIENTS).map(|_| finder(arm, &town, &registry, nowhere).map(Arc::new)).collect();
        let scene = Scene { town, registry, finders: finders?, _registered: registered };
        for finder in &scene.finders {
            finder.start().await;
        }
        sleep(TEN).await;
        Ok(scene)
    }

    /// Calls before, during and for `after` after the registry's mood.
    async fn through(&self, scale: Scale, mood: Mood, length: Duration, after: Duration) -> Vec<Felt> {
        let calm = Duration::from_secs(scale.storm.min(5));
        let mut felt = arrive(&self.finders, RATE, calm, |_| {}).await;
        self.registry.turn(mood);
        felt.extend(arrive(&self.finders, RATE, length, |_| {}).await);
        self.registry.turn(Mood::Well);
        felt.extend(arrive(&self.finders, RATE, after, |_| {}).await);
        debug_assert!(self.town.requests() > 0);
        felt
    }

    /// Reads and writes within so long.
    async fn load_of(&self, length: Duration) -> (u64, u64) {
        let (reads, writes) = self.registry.load();
        sleep(length).await;
        let now = self.registry.load();
        (now.0 - reads, now.1 - writes)
    }
}

/// A folder that goes with the run.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(number: u64) -> Result<Self> {
        let name = format!("platform-lab-s10-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path)
            .map_err(|error| Error::new(ErrorKind::Start, "no folder can be made").with_source(error))?;
        Ok(Folder(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left of it is a list of a town that never was.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn town(number: u64) -> Town {
    seed(number);
    Town::new(usize::from(REPLICAS), 4, Weather::fair(Duration::from_millis(10)))
}

fn finder(arm: Arm, town: &Town, registry: &Registry, folder: &Path) -> Result<Finder> {
    match arm {
        Arm::Ours => Finder::ours(town, registry, Preset::Interactive.policy(), folder),
        Arm::Naive => Ok(Finder::naive(town, registry)),
    }
}

fn failed(felt: &[Felt]) -> usize {
    felt.iter().filter(|felt| !felt.good).count()
}

fn row(what: &str, arm: &str, number: u64, felt: &[Felt], more: String) -> Vec<String> {
    let share = 100.0 * failed(felt) as f64 / felt.len().max(1) as f64;
    let errors = if felt.is_empty() { String::new() } else { format!("{share:.3}") };
    let mut row = vec!["S10".to_owned(), what.to_owned(), arm.to_owned(), number.to_string(), errors];
    row.extend([String::new(), String::new(), String::new(), String::new(), more]);
    row
}

const REPLICAS: u16 = 10;
const RATE: f64 = 200.0;
const TEN: Duration = Duration::from_secs(10);
/// What the library calls one confirmation.
const CONFIRMATION: Duration = Duration::from_secs(30);
