//! How does a record stay alive?

use std::{
    sync::Arc,
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
    /// Held while the registry is written to, so that a renewal under way never writes over the end.
    held: Mutex<Held>,
}

struct Held {
    record: Record,
    /// Between `begin` and `end`.
    running: bool,
    /// It will stop: it is never ready again.
    leaving: bool,
}

impl Lease {
    pub(super) fn new(register: Arc<dyn Register>, config: &config::Register, record: Record) -> Self {
        let held = Mutex::new(Held { record, running: false, leaving: false });
        Lease { register, length: config.lease, renew: config.renew, held }
    }

    pub(super) async fn record(&self) -> Record {
        self.held.lock().await.record.clone()
    }

    /// Publishes for the first time; if that fails it is for [`keep`](Self::keep) to go on trying.
    pub(super) async fn begin(&self, state: State) -> Result<()> {
        let mut held = self.held.lock().await;
        held.record.state = state;
        held.running = true;
        self.write(&mut held).await
    }

    /// From here on the record says `draining`, also if it cannot be written now.
    pub(super) async fn drain(&self) -> Result<()> {
        let mut held = self.held.lock().await;
        (held.record.state, held.leaving) = (State::Draining, true);
        if held.running { self.write(&mut held).await } else { Ok(()) }
    }

    /// From here on the record says so, also if it cannot be written now; nothing is said after [`drain`](Self::drain).
    pub(super) async fn turn(&self, state: State) -> Result<()> {
        let mut held = self.held.lock().await;
        if held.leaving || held.record.state == state {
            return Ok(());
        }
        held.record.state = state;
        if held.running { self.write(&mut held).await } else { Ok(()) }
    }

    pub(super) async fn end(&self) -> Result<()> {
        let mut held = self.held.lock().await;
        if !held.running {
            return Ok(());
        }
        held.running = false;
        self.register.remove(held.record.clone()).await
    }

    /// Renews until the end; a record that vanished is written anew within a second.
    pub(super) async fn keep(self: Arc<Self>, failing: bool) {
        let mut failures = u32::from(failing);
        let mut due = Instant::now() + self.pause(failures);
        loop {
            let vanished = self.rest(due).await;
            let mut held = self.held.lock().await;
            if !held.running {
                return;
            }
            if vanished && failures == 0 {
                tracing::warn!(
                    instance = held.record.instance,
                    "this instance's record vanished; it is written anew"
                );
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

    /// Waits until the renewal is due; true if the record vanished before.
    async fn rest(&self, due: Instant) -> bool {
        loop {
            let now = Instant::now();
            if now >= due {
                return false;
            }
            time::sleep_until(due.min(now + LOOK)).await;
            let record = self.record().await;
            // Who cannot look will fail to write, and says so then.
            if matches!(self.register.holds(&record).await, Ok(false)) {
                return true;
            }
        }
    }

    async fn write(&self, held: &mut Held) -> Result<()> {
        let expires = SystemTime::now() + self.length;
        held.record.expires_unix_ms = unix_ms(expires);
        self.register.publish(held.record.clone()).await
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
                Scripted::set(&self.lost, false);
                while self.asleep.load(std::sync::atomic::Ordering::SeqCst) {
                    time::sleep(Duration::from_millis(10)).await;
                }
                if self.broken.load(std::sync::atomic::Ordering::SeqCst) {
                    return Err(Error::new(ErrorKind::Unreachable, "the disk is full"));
                }
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
    async fn a_registry_that_fails_is_tried_until_it_works() {
        let (register, lease) = lease();
        lease.begin(State::Ready).await.unwrap();
        let _renewing = crate::task::Background::spawn(Arc::clone(&lease).keep(false));
        Scripted::set(&register.broken, true);
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
