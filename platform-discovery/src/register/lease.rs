//! How does a record stay alive?

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use platform_core::Result;
use tokio::{
    sync::Mutex,
    time::{self, Instant},
};

use super::Register;
use crate::{config, endpoint::State, record::Record, unix_ms};

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
}

impl Lease {
    pub(super) fn new(register: Arc<dyn Register>, config: &config::Register, record: Record) -> Self {
        let held = Mutex::new(Held { record, running: false });
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
        held.record.state = State::Draining;
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
    pub(super) async fn keep(self: Arc<Self>, mut failing: bool) {
        let mut due = Instant::now() + self.pause(failing);
        loop {
            let vanished = self.rest(due).await;
            let mut held = self.held.lock().await;
            if !held.running {
                return;
            }
            if vanished && !failing {
                tracing::warn!(
                    instance = held.record.instance,
                    "this instance's record vanished; it is written anew"
                );
            }
            match self.write(&mut held).await {
                Ok(()) if failing => {
                    failing = false;
                    tracing::info!(instance = held.record.instance, "this instance is registered again");
                }
                Ok(()) => {}
                Err(error) if !failing => {
                    failing = true;
                    tracing::warn!(
                        instance = held.record.instance,
                        error = ?error,
                        "this instance's record cannot be renewed; it is tried every second"
                    );
                }
                Err(_) => {}
            }
            drop(held);
            due = Instant::now() + self.pause(failing);
        }
    }

    fn pause(&self, failing: bool) -> Duration {
        if failing { LOOK } else { jittered(self.renew, fastrand::f64()) }
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

/// Between nine and eleven tenths of `every`.
fn jittered(every: Duration, roll: f64) -> Duration {
    every.mul_f64(1.0 - JITTER + 2.0 * JITTER * roll)
}

/// Instances that started together do not renew together for ever.
const JITTER: f64 = 0.1;
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

    #[test]
    fn the_jitter_is_a_tenth_either_way() {
        let renew = Duration::from_secs(10);
        for (roll, wanted) in [(0.0, 9_000), (0.5, 10_000), (1.0, 11_000)] {
            assert_eq!(jittered(renew, roll).as_millis(), wanted);
        }
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

    #[tokio::test(start_paused = true)]
    async fn a_registry_that_fails_is_tried_every_second_until_it_works() {
        let (register, lease) = lease();
        lease.begin(State::Ready).await.unwrap();
        let _renewing = crate::task::Background::spawn(Arc::clone(&lease).keep(false));
        Scripted::set(&register.broken, true);
        time::sleep(Duration::from_secs(20)).await;
        let tries = register.writes().len();
        assert!((9..=13).contains(&tries), "{tries}");
        Scripted::set(&register.broken, false);
        time::sleep(Duration::from_secs(20)).await;
        let more = register.writes().len() - tries;
        assert!((1..=4).contains(&more), "{more}");
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
