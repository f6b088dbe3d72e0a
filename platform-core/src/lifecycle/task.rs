//! Supervised background tasks: a name, the drain, and what its death means.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    time::Duration,
};

use futures_util::FutureExt as _;

use super::{Drain, Health};
use crate::error::{Error, ErrorKind, Result};

/// What the death of a background task means; said where it is spawned.
///
/// A task dies by returning an error or by panicking. One that returns `Ok` has finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDeath {
    /// It is started again, after a pause that doubles from 1 s to 30 s, and the process is not ready until it
    /// has then run as long as it paused, or has finished.
    Degrade,
    /// The process stops, in order, with exit status 1.
    End,
    /// It is started again, after a pause that doubles from 1 s to 30 s.
    Restart,
}

/// Runs `start` until it finishes, as `on_death` says; an error is one that ends the process.
pub(crate) async fn supervise<F, Fut>(
    name: &str,
    on_death: OnDeath,
    health: &Health,
    drain: Drain,
    start: F,
) -> Result<()>
where
    F: Fn(Drain) -> Fut,
    Fut: Future<Output = Result<()>>,
{
    let mut pause = FIRST_PAUSE;
    let mut probation = None;
    loop {
        let began = tokio::time::Instant::now();
        // Making the future is the task's code too.
        let ended = match catch_unwind(AssertUnwindSafe(|| start(drain.clone()))) {
            Ok(run) => on_probation(run, probation.take(), || health.recover(name)).await,
            Err(panic) => Err(panic),
        };
        let error = match ended {
            Ok(Ok(())) => {
                health.recover(name);
                return Ok(());
            }
            Ok(Err(error)) => error,
            Err(panic) => Error::new(ErrorKind::Panic, panic_text(&*panic)),
        };
        tracing::error!(task = name, on_death = ?on_death, error = ?error, "a background task died");
        if on_death == OnDeath::End {
            return Err(Error::new(error.kind(), format!("background task {name:?} died")).with_source(error));
        }
        if drain.is_asked() {
            return Ok(());
        }
        if on_death == OnDeath::Degrade {
            health.degrade(name, error.to_string());
        }
        // A task that ran well for a while before it died begins again with the short pause.
        if began.elapsed() > MAX_PAUSE {
            pause = FIRST_PAUSE;
        }
        tokio::select! {
            () = tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)) => {}
            () = drain.asked() => return Ok(()),
        }
        probation = (on_death == OnDeath::Degrade).then_some(pause);
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

/// Runs to the end, which may be a panic; calls `passed` once it has run for `length`.
async fn on_probation<Fut: Future>(
    run: Fut,
    length: Option<Duration>,
    passed: impl FnOnce(),
) -> std::thread::Result<Fut::Output> {
    let mut run = pin!(AssertUnwindSafe(run).catch_unwind());
    if let Some(length) = length {
        if let Ok(ended) = tokio::time::timeout(length, &mut run).await {
            return ended;
        }
        passed();
    }
    run.await
}

/// What a panic said, if it said it in words.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned())
}

/// Short enough that a lost connection is hardly noticed.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Long enough that a task that cannot run does not fill the log.
const MAX_PAUSE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use super::*;
    use crate::lifecycle::{Phases, Trigger};

    fn ground() -> (Health, Trigger, Drain) {
        let phases = Phases::new();
        phases.advance(crate::lifecycle::Phase::Ready);
        let (trigger, drain) = Drain::new();
        (Health::new(phases), trigger, drain)
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_dies_is_started_again() {
        let (health, _trigger, drain) = ground();
        let starts = AtomicU32::new(0);
        let task = |_| async {
            match starts.fetch_add(1, Relaxed) {
                0 => Err(Error::new(ErrorKind::Unreachable, "lost")),
                1 => panic!("oh"),
                _ => Ok(()),
            }
        };
        supervise("t", OnDeath::Restart, &health, drain, task).await.unwrap();
        assert_eq!(starts.load(Relaxed), 3);
        assert!(health.ready().await.ok);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_whose_death_degrades_makes_the_process_unready_until_it_is_well() {
        let (health, _trigger, drain) = ground();
        let starts = AtomicU32::new(0);
        let inner = health.clone();
        let task = move |_| {
            let first = starts.fetch_add(1, Relaxed) == 0;
            let health = inner.clone();
            async move {
                if first {
                    return Err(Error::new(ErrorKind::Unreachable, "lost"));
                }
                let report = health.ready().await;
                assert!(!report.ok);
                assert_eq!(report.checks[0].reason, "unreachable: lost");
                Ok(())
            }
        };
        supervise("t", OnDeath::Degrade, &health, drain, task).await.unwrap();
        assert!(health.ready().await.ok);
    }

    /// Most tasks run as long as the process does.
    #[tokio::test(start_paused = true)]
    async fn a_task_that_runs_on_after_a_death_makes_the_process_ready_again() {
        let (health, trigger, drain) = ground();
        let deaths = AtomicU32::new(0);
        let task = |drain: Drain| {
            let dies = deaths.fetch_add(1, Relaxed) < 3;
            async move {
                if dies {
                    tokio::time::sleep(Duration::from_millis(900)).await;
                    return Err(Error::new(ErrorKind::Unreachable, "lost"));
                }
                drain.asked().await;
                Ok(())
            }
        };
        let watch = async {
            tokio::time::sleep(Duration::from_millis(1000)).await;
            assert!(!health.ready().await.ok, "it died");
            tokio::time::sleep(Duration::from_millis(9000)).await;
            assert!(!health.ready().await.ok, "begun again, but for how long?");
            tokio::time::sleep(Duration::from_secs(8)).await;
            assert!(health.ready().await.ok, "it runs");
            trigger.ask();
        };
        let (ended, ()) = tokio::join!(supervise("t", OnDeath::Degrade, &health, drain, task), watch);
        ended.unwrap();
        assert_eq!(deaths.load(Relaxed), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_whose_death_ends_says_which_it_was() {
        let (health, _trigger, drain) = ground();
        let error =
            supervise("feed", OnDeath::End, &health, drain, |_| async { panic!("oh no") }).await.unwrap_err();
        assert_eq!(format!("{error:?}"), "panic: background task \"feed\" died; because panic: oh no");
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_before_it_begins_has_died_as_well() {
        let (health, _trigger, drain) = ground();
        let task = |_| -> std::future::Ready<Result<()>> { panic!("no feed") };
        let error = supervise("feed", OnDeath::End, &health, drain, task).await.unwrap_err();
        assert_eq!(format!("{error:?}"), "panic: background task \"feed\" died; because panic: no feed");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_started_again_while_draining() {
        let (health, trigger, drain) = ground();
        trigger.ask();
        let task = |_| async { Err(Error::new(ErrorKind::Unreachable, "lost")) };
        supervise("t", OnDeath::Restart, &health, drain, task).await.unwrap();
    }
}
