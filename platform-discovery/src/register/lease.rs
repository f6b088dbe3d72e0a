//! How does a record stay alive?

use std::{
    sync::{Arc, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use platform_core::{Result, recovery::backoff::doubled};
use tokio::{
    sync::Mutex,
    time::{self, Instant},
};

use super::Register;
use crate::{config, endpoint::State, pause, record::Record, unix_ms};

/// One record and its life: begun, renewed, drained, ended.
pub(super) struct Lease {
    register: Arc<dyn Register>,
    length: Duration,
    renew: Duration,
    /// Set before anybody waits for the registry: who loses patience with one that hangs loses no word.
    wanted: std::sync::Mutex<Wanted>,
    /// Held while the registry is written to, so that a renewal under way never writes over the end.
    held: Mutex<Held>,
}

/// What is to be said.
struct Wanted {
    state: State,
    /// Between `begin` and `end`.
    running: bool,
    /// It will stop: it is never ready again.
    leaving: bool,
}

struct Held {
    record: Record,
    /// What the registry has taken for certain; `None` while it is written to, and after a failure.
    told: Option<State>,
}

impl Lease {
    pub(super) fn new(register: Arc<dyn Register>, config: &config::Register, record: Record) -> Self {
        let wanted = Wanted { state: record.state, running: false, leaving: false };
        Lease {
            register,
            length: config.lease,
            renew: config.renew,
            wanted: std::sync::Mutex::new(wanted),
            held: Mutex::new(Held { record, told: None }),
        }
    }

    pub(super) async fn record(&self) -> Record {
        self.held.lock().await.record.clone()
    }

    /// Publishes for the first time; if that fails it is for [`keep`](Self::keep) to go on trying.
    pub(super) async fn begin(&self, state: State) -> Result<()> {
        *self.wanted() = Wanted { state, running: true, leaving: false };
        let mut held = self.held.lock().await;
        self.write(&mut held).await
    }

    /// From here on the record says `draining`, also if it cannot be written now.
    pub(super) async fn drain(&self) -> Result<()> {
        {
            let mut wanted = self.wanted();
            (wanted.state, wanted.leaving) = (State::Draining, true);
        }
        self.say().await
    }

    /// From here on the record says so, also if it cannot be written now; nothing is said after [`drain`](Self::drain).
    pub(super) async fn turn(&self, state: State) -> Result<()> {
        {
            let mut wanted = self.wanted();
            if wanted.leaving {
                return Ok(());
            }
            wanted.state = state;
        }
        self.say().await
    }

    pub(super) async fn end(&self) -> Result<()> {
        if !std::mem::take(&mut self.wanted().running) {
            return Ok(());
        }
        let held = self.held.lock().await;
        self.register.remove(held.record.clone()).await
    }

    /// Renews until the end; what vanished, or could not be said when it was wanted, is written within a second.
    pub(super) async fn keep(self: Arc<Self>, failing: bool) {
        let mut failures = u32::from(failing);
        let mut due = Instant::now() + self.pause(failures);
        loop {
            if failures > 0 {
                // Whoever cannot write has nothing to look for: a look would cut the back-off short.
                time::sleep_until(due).await;
            } else {
                self.rest(due).await;
            }
            let mut held = self.held.lock().await;
            if !self.wanted().running {
                return;
            }
            match self.write(&mut held).await {
                Ok(()) if failures > 0 => {
                    failures = 0;
                    tracing::info!(instance = held.record.instance, "this instance is registered again");
                }
                Ok(()) => {}
                Err(error) => {
                    failures = failures.saturating_add(1);
                    if failures == 1 {
                        tracing::warn!(
                            instance = held.record.instance,
                            error = ?error,
                            "this instance's record cannot be renewed; it is tried again and again"
                        );
                    }
                }
            }
            drop(held);
            due = Instant::now() + self.pause(failures);
        }
    }

    fn pause(&self, failures: u32) -> Duration {
        match failures {
            0 => pause::around(self.renew, fastrand::f64()),
            failures => backoff(self.renew, failures, fastrand::f64()),
        }
    }

    /// Waits until the renewal is due, or the record vanished, or it does not say what it should.
    async fn rest(&self, due: Instant) {
        loop {
            let now = Instant::now();
            if now >= due {
                return;
            }
            time::sleep_until(due.min(now + LOOK)).await;
            let record = {
                let held = self.held.lock().await;
                if held.told != Some(self.wanted().state) {
                    return;
                }
                held.record.clone()
            };
            // Who cannot look will fail to write, and says so then.
            if matches!(self.register.holds(&record).await, Ok(false)) {
                tracing::warn!(
                    instance = record.instance,
                    "this instance's record vanished; it is written anew"
                );
                return;
            }
        }
    }

    /// Says what is wanted, unless that was said already.
    async fn say(&self) -> Result<()> {
        if !self.wanted().running {
            return Ok(());
        }
        let mut held = self.held.lock().await;
        let wanted = {
            let wanted = self.wanted();
            wanted.running.then_some(wanted.state)
        };
        if wanted.is_none() || wanted == held.told { Ok(()) } else { self.write(&mut held).await }
    }

    async fn write(&self, held: &mut Held) -> Result<()> {
        let expires = SystemTime::now() + self.length;
        held.record.expires_unix_ms = unix_ms(expires);
        held.record.state = self.wanted().state;
        held.told = None;
        self.register.publish(held.record.clone()).await?;
        held.told = Some(held.record.state);
        Ok(())
    }

    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// After so many failures: the later half of a pause that doubles from a second up to `renew`.
///
/// A registry that comes back meets as many writes as on any other day, and not those of all instances each second.
fn backoff(renew: Duration, failures: u32, roll: f64) -> Duration {
    pause::later_half(doubled(LOOK, failures, renew), roll)
}

/// Well under the hold of vanished endpoints: whoever empties the registry disturbs nobody.
const LOOK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::Pending;
    use platform_core::{Error, ErrorKind};

    /// Remembers what was written when, in seconds; fails while told to.
    #[derive(Default)]
    struct Scripted {
        written: std::sync::Mutex<Vec<(Instant, Option<State>)>>,
        broken: std::sync::atomic::AtomicBool,
        lost: std::sync::atomic::AtomicBool,
        asleep: std::sync::atomic::AtomicBool,
    }

    impl Scripted {
        fn writes(&self) -> Vec<(Instant, Option<State>)> {
            self.written.lock().unwrap().clone()
        }

        fn set(flag: &std::sync::atomic::AtomicBool, to: bool) {
            flag.store(to, std::sync::atomic::Ordering::SeqCst);
        }
    }

    impl Register for Scripted {
        fn publish(&self, record: Record) -> Pending<'_, ()> {
            Box::pin(async move {
                self.written.lock().unwrap().push((Instant::now(), Some(record.state)));
                while self.asleep.load(std::sync::atomic::Ordering::SeqCst) {
                    time::sleep(Duration::from_millis(10)).await;
                }
                if self.broken.load(std::sync::atomic::Ordering::SeqCst) {
                    return Err(Error::new(ErrorKind::Unreachable, "the disk is full"));
                }
                Scripted::set(&self.lost, false);
                Ok(())
            })
        }

        fn remove(&self, _record: Record) -> Pending<'_, ()> {
            Box::pin(async move {
                self.written.lock().unwrap().push((Instant::now(), None));
                Ok(())
            })
        }

        fn holds<'a>(&'a self, _record: &'a Record) -> Pending<'a, bool> {
            Box::pin(async { Ok(!self.lost.load(std::sync::atomic::Ordering::SeqCst)) })
        }
    }

    fn lease() -> (Arc<Scripted>, Arc<Lease>) {
        let text = r#"{"name":"catalog","instance":"i","address":"127.0.0.1:1","expires_unix_ms":0}"#;
        let record = Record::read(text.as_bytes(), "catalog", "i").unwrap();
        let register = Arc::new(Scripted::default());
        let lease = Lease::new(Arc::<Scripted>::clone(&register), &config::Register::default(), record);
        (register, Arc::new(lease))
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_renewed_every_ten_seconds_give_or_take_one() {
        let (register, lease) = lease();
        lease.begin(State::Ready).await.unwrap();
        let _renewing = crate::task::Background::spawn(Arc::clone(&lease).keep(false));
        time::sleep(Duration::from_secs(100)).await;
        let writes = register.writes();
        assert!((9..=12).contains(&writes.len()), "{}", writes.len());
        for pair in writes.windows(2) {
            let gap = (pair[1].0 - pair[0].0).as_secs_f64();
            assert!((8.99..=11.01).contains(&gap), "{gap}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_that_vanished_is_back_within_a_second() {
        let (register, lease) = lease();
        lease.begin(State::Ready).await.unwrap();
        let _renewing = crate::task::Background::spawn(Arc::clone(&lease).keep(false));
        time::sleep(Duration::from_millis(2_500)).await;
        Scripted::set(&register.lost, true);
        time::sleep(Duration::from_millis(1_000)).await;
        assert_eq!(register.writes().len(), 2);
    }

    #[test]
    fn a_registry_that_fails_is_tried_after_a_second_and_then_no_more_often_than_renewals_are() {
        let renew = Duration::from_secs(10);
        let table = [(1, 500, 1_000), (2, 1_000, 2_000), (3, 2_000, 4_000), (4, 4_000, 8_000)];
        for (failures, least, most) in table.into_iter().chain([(5, 5_000, 10_000), (99, 5_000, 10_000)]) {
            let pause = |roll| backoff(renew, failures, roll).as_millis();
            assert_eq!((pause(0.0), pause(1.0)), (least, most), "{failures}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_registry_that_fails_and_has_lost_the_record_is_tried_until_it_works() {
        let (register, lease) = lease();
        lease.begin(State::Ready).await.unwrap();
        let _renewing = crate::task::Background::spawn(Arc::clone(&lease).keep(false));
        Scripted::set(&register.broken, true);
        Scripted::set(&register.lost, true);
        time::sleep(Duration::from_secs(120)).await;
        let tries = register.writes().len();
        assert!((14..=25).contains(&tries), "normally it is 12: {tries}");
        Scripted::set(&register.broken, false);
        time::sleep(Duration::from_secs(10)).await;
        let more = register.writes().len() - tries;
        assert!((1..=2).contains(&more), "{more}");
        time::sleep(Duration::from_secs(100)).await;
        let calm = register.writes().len() - tries - more;
        assert!((9..=12).contains(&calm), "{calm}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_registry_that_sleeps_is_written_to_when_it_wakes() {
        let (register, lease) = lease();
        lease.begin(State::Ready).await.unwrap();
        let _renewing = crate::task::Background::spawn(Arc::clone(&lease).keep(false));
        Scripted::set(&register.asleep, true);
        time::sleep(Duration::from_secs(60)).await;
        assert_eq!(register.writes().len(), 2, "one renewal is under way, and no more are heaped upon it");
        // It wakes after the life of the lease, so that the record is gone, and what was asked before has failed.
        Scripted::set(&register.broken, true);
        Scripted::set(&register.asleep, false);
        time::sleep(Duration::from_millis(100)).await;
        Scripted::set(&register.broken, false);
        time::sleep(Duration::from_millis(1_000)).await;
        let writes = register.writes();
        assert_eq!((writes.len(), writes[2].1), (3, Some(State::Ready)), "it is there again within a second");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_wanted_while_the_registry_slept_is_said_when_it_wakes() {
        for leaving in [false, true] {
            let (register, lease) = lease();
            lease.begin(State::Ready).await.unwrap();
            let _renewing = crate::task::Background::spawn(Arc::clone(&lease).keep(false));
            Scripted::set(&register.asleep, true);
            time::sleep(Duration::from_secs(12)).await;
            assert_eq!(register.writes().len(), 2, "a renewal is under way");
            let said =
                async { if leaving { lease.drain().await } else { lease.turn(State::Draining).await } };
            assert!(
                time::timeout(Duration::from_secs(2), said).await.is_err(),
                "who says it has lost patience"
            );
            time::sleep(Duration::from_secs(60)).await;
            Scripted::set(&register.asleep, false);
            time::sleep(Duration::from_millis(1_100)).await;
            let states: Vec<_> = register.writes().into_iter().map(|(_, state)| state).collect();
            assert_eq!(states, [Some(State::Ready), Some(State::Ready), Some(State::Draining)]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_instance_that_is_not_ready_for_a_while_says_so_and_one_that_leaves_says_nothing_else() {
        let (register, lease) = lease();
        lease.turn(State::Draining).await.unwrap();
        lease.turn(State::Ready).await.unwrap();
        assert!(register.writes().is_empty(), "nothing was begun");
        lease.begin(State::Ready).await.unwrap();
        lease.turn(State::Ready).await.unwrap();
        lease.turn(State::Draining).await.unwrap();
        lease.turn(State::Draining).await.unwrap();
        lease.turn(State::Ready).await.unwrap();
        lease.drain().await.unwrap();
        lease.turn(State::Ready).await.unwrap();
        lease.end().await.unwrap();
        let states: Vec<_> = register.writes().into_iter().map(|(_, state)| state).collect();
        let (ready, draining) = (Some(State::Ready), Some(State::Draining));
        assert_eq!(states, [ready, draining, ready, draining, None]);
    }

    #[tokio::test(start_paused = true)]
    async fn draining_is_written_at_once_and_kept_by_renewals_and_nothing_follows_the_end() {
        let (register, lease) = lease();
        lease.drain().await.unwrap();
        lease.end().await.unwrap();
        assert!(register.writes().is_empty(), "nothing was begun");
        lease.begin(State::Ready).await.unwrap();
        let _renewing = crate::task::Background::spawn(Arc::clone(&lease).keep(false));
        lease.drain().await.unwrap();
        time::sleep(Duration::from_secs(12)).await;
        lease.end().await.unwrap();
        time::sleep(Duration::from_secs(30)).await;
        let states: Vec<_> = register.writes().into_iter().map(|(_, state)| state).collect();
        assert_eq!(states, [Some(State::Ready), Some(State::Draining), Some(State::Draining), None]);
    }
}
