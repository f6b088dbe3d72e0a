//! Have files that are in use changed, and can what stands there be used?
//!
//! A certificate or a key that was renewed costs no restart, and half a renewal costs nothing that is in force: files are
//! looked at, and read again when one of them is another than it was. What cannot be used is said once, and what stood
//! there before stays in force until the files are mended.

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    time::Duration,
};

use platform_core::{
    App,
    app::{ChangeKind, PLATFORM},
};
use platform_discovery::{Stamp, tls::Wrong};
use tokio::time::MissedTickBehavior;

/// Files that are in use.
#[derive(Clone, Debug)]
pub(crate) struct Rotation {
    files: Box<[PathBuf]>,
    /// Of each of them, when what is in force was read.
    read: Vec<Option<Stamp>>,
    /// What was said last, so that it is said once and not at every look.
    told: Option<Wrong>,
}

impl Rotation {
    /// Of files that are about to be read: what changes meanwhile is read again. An empty path is no file.
    pub(crate) fn of<P: AsRef<Path>>(files: impl IntoIterator<Item = P>) -> Self {
        let files: Box<[PathBuf]> = files.into_iter().map(|file| file.as_ref().to_owned()).collect();
        Rotation { read: stamps(&files), files, told: None }
    }

    /// What `load` finds in the files, if they have changed and it can be used. Else `kept` says what is in force still.
    ///
    /// Blocks: these are short local files, and asking for them elsewhere would take longer than reading them here.
    pub(crate) fn look<T>(&mut self, kept: &str, load: impl FnOnce() -> Result<T, Wrong>) -> Option<T> {
        let stamps = stamps(&self.files);
        if stamps == self.read {
            return None;
        }
        match load() {
            Ok(found) => {
                (self.read, self.told) = (stamps, None);
                Some(found)
            }
            // It may be half a renewal: the other half is looked for next time.
            Err(wrong) => {
                if self.told.as_ref() != Some(&wrong) {
                    tracing::warn!("{wrong}; {kept} until the files are mended");
                    self.told = Some(wrong);
                }
                None
            }
        }
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    files.iter().map(|file| Stamp::of(file)).collect()
}

/// Looks once a second, for as long as it is polled.
pub(crate) async fn each_second(mut look: impl FnMut()) -> Infallible {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        look();
    }
}

/// Says that something else is in force.
pub(crate) fn tell(app: &App, what: &str) {
    tracing::info!("{what}");
    app.changes().record(ChangeKind::Config, PLATFORM, what, "the files changed");
}

/// Certificates are renewed hours ahead of their end, and issuers announce keys long before they sign with them; a second
/// is for the one who waits for it.
const LOOK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::{
        fs,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::Relaxed},
        },
    };

    use tracing_subscriber::{Layer, layer, prelude::*, registry};

    use super::*;

    /// Counts what is said.
    #[derive(Clone, Default)]
    struct Count(Arc<AtomicUsize>);

    impl<S: tracing::Subscriber> Layer<S> for Count {
        fn on_event(&self, _event: &tracing::Event<'_>, _: layer::Context<'_, S>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn files_are_read_when_they_changed_and_what_cannot_be_used_is_said_once() {
        let (folder, said) = (tempfile::tempdir().unwrap(), Count::default());
        let file = folder.path().join("key");
        let _heard = registry().with(said.clone()).set_default();
        let write = |text: &str| {
            // Beside it and renamed: another file, whatever the clock says.
            let beside = folder.path().join("new");
            fs::write(&beside, text).unwrap();
            fs::rename(beside, &file).unwrap();
        };
        write("good 1");
        let mut rotation = Rotation::of([&file, &PathBuf::new()]);
        let mut reads = 0;
        let mut look = |reads: &mut usize| {
            rotation.look("the one from before stays", || {
                *reads += 1;
                let text = fs::read_to_string(&file).map_err(|error| error.to_string())?;
                if text.starts_with("good") { Ok(text) } else { Err(format!("it is {text}")) }
            })
        };
        assert_eq!((look(&mut reads), reads), (None, 0), "it was read when it began");
        write("good 2");
        assert_eq!(look(&mut reads).as_deref(), Some("good 2"));
        assert_eq!((look(&mut reads), reads), (None, 1));
        write("spoilt");
        assert_eq!((look(&mut reads), look(&mut reads), said.0.load(Relaxed)), (None, None, 1));
        write("worse");
        assert_eq!((look(&mut reads), said.0.load(Relaxed)), (None, 2), "another thing is wrong");
        fs::remove_file(&file).unwrap();
        assert_eq!((look(&mut reads), said.0.load(Relaxed)), (None, 3));
        write("good 3");
        assert_eq!((look(&mut reads).as_deref(), said.0.load(Relaxed)), (Some("good 3"), 3));
        write("worse");
        assert_eq!((look(&mut reads), said.0.load(Relaxed)), (None, 4), "said anew after a good one");
    }

    #[tokio::test(start_paused = true)]
    async fn it_looks_once_a_second() {
        let mut looks = 0;
        let many = tokio::time::timeout(Duration::from_millis(3_500), each_second(|| looks += 1)).await;
        assert!(many.is_err());
        assert_eq!(looks, 4, "at once, and then after each second");
    }
}
