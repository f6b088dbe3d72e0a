//! May this endpoint be dialled now?
//!
//! # Why
//! A server that comes back meets all its clients at once, each with the impatience of a request. So an endpoint that
//! could not be dialled is left alone for a while: one task per endpoint tries again, each time after a random part
//! of a longer and longer pause, and requests neither pay for those tries nor add to them. They fail at once, which
//! is as good as a refused connection, and the balancer prefers others meanwhile ([`Link`]). What a try brings is
//! kept for the next request, so that no handshake is wasted.
//!
//! | the endpoint | a request finds | the balancer |
//! |---|---|---|
//! | new in a set that serves | a connection that is being prepared; before that has begun it dials itself | prefers others |
//! | up, or of the first set | dials whenever it needs a connection | asks it |
//! | could not be dialled | a refusal, with the reason and the number of tries | prefers others |
//!
//! Where nobody is connected, everybody is asked: an empty set would be worse.
//!
//! # Defaults
//! | constant | value | because |
//! |---|---|---|
//! | [`BACKOFF`], [`BACKOFF_MAX`] | 200 ms, doubled up to 9 s; each a random part of it | a thousand clients of one server make 220 tries a second |
//! | [`SPREAD`] | 1 s | so many clients meet a newcomer one after the other |
//! | [`FRESH`] | 5 s | servers close a connection that brings no request after ten |
//!
//! # Traps
//! An endpoint that was away for long is found again after up to [`BACKOFF_MAX`], half of it on average. A process
//! with a single endpoint that restarts it by hand sees refusals for as long.

use std::{
    fmt,
    future::Future,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use platform_core::recovery::backoff::doubled;
use platform_discovery::balance::Link;
use tokio::{
    sync::watch,
    task::AbortHandle,
    time::{Instant, sleep, sleep_until},
};

/// Makes connections to one endpoint. A clone makes the same ones.
pub trait Dial: Clone + Send + Sync + 'static {
    /// What a try brings.
    type Stream: Send + 'static;

    /// One try, which ends within a time of its own.
    fn dial(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Whether the other end is still there, as far as can be seen without asking it.
    fn is_alive(&self, stream: &Self::Stream) -> bool;
}

/// The way to one endpoint; clones share it. The last one ends its tries.
pub struct Reach<D: Dial>(Arc<Inner<D>>);

struct Inner<D: Dial> {
    dial: D,
    link: Link,
    state: Mutex<State<D::Stream>>,
    /// Told whenever a try has ended.
    tried: watch::Sender<()>,
}

struct State<S> {
    phase: Phase,
    /// What a try brought, for the next request.
    prepared: Option<(S, Instant)>,
    task: Option<AbortHandle>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// Dialled whenever that is needed.
    Up,
    /// About to be prepared; whoever comes first dials.
    New,
    /// The first try is under way.
    Preparing,
    /// The last so many tries failed.
    Down { tries: u32, why: String, next: Instant },
}

impl<D: Dial> Reach<D> {
    /// The way to an endpoint of the first set, or to one whose `link` is connected already. One that is not is
    /// prepared, at a moment within [`SPREAD`].
    ///
    /// # Panics
    /// Outside a tokio runtime, unless the link is connected.
    pub fn new(dial: D, link: Link) -> Self {
        let phase = if link.is_connected() { Phase::Up } else { Phase::New };
        let is_new = phase == Phase::New;
        let state = Mutex::new(State { phase, prepared: None, task: None });
        let reach = Reach(Arc::new(Inner { dial, link, state, tried: watch::Sender::new(()) }));
        if is_new {
            reach.0.begin(&mut reach.0.lock(), SPREAD.mul_f64(fastrand::f64()));
        }
        reach
    }

    /// A connection: one that was prepared, or a new one.
    ///
    /// # Errors
    /// What the dial says; at once while the endpoint is left alone.
    pub async fn connect(&self) -> io::Result<D::Stream> {
        loop {
            let mut tried = self.0.tried.subscribe();
            {
                let mut state = self.0.lock();
                if let Some((stream, since)) = state.prepared.take()
                    && since.elapsed() < FRESH
                    && self.0.dial.is_alive(&stream)
                {
                    return Ok(stream);
                }
                match &state.phase {
                    Phase::Up | Phase::New => break,
                    Phase::Down { tries, why, next } => return Err(left_alone(*tries, why, *next)),
                    Phase::Preparing => {}
                }
            }
            // It ends within the dial's own time; the sender is in this reach.
            let _ = tried.changed().await;
        }
        let dialled = self.0.dial.dial().await;
        match &dialled {
            Ok(_) => self.0.succeeded(None),
            Err(error) => self.0.failed(error),
        }
        dialled
    }
}

impl<D: Dial> Inner<D> {
    fn lock(&self) -> MutexGuard<'_, State<D::Stream>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn succeeded(&self, prepared: Option<D::Stream>) {
        let mut state = self.lock();
        if prepared.is_none() && state.phase == Phase::New {
            // A request was faster than the preparation.
            state.stop();
        }
        state.phase = Phase::Up;
        if let Some(stream) = prepared {
            state.prepared = Some((stream, Instant::now()));
        }
        drop(state);
        self.link.set(true);
        self.tried.send_replace(());
    }

    /// A request's own dial failed.
    fn failed(self: &Arc<Self>, error: &io::Error) {
        let mut state = self.lock();
        // Of several that fail together the first begins the pause.
        if !matches!(state.phase, Phase::Up | Phase::New) {
            return;
        }
        state.stop();
        let pause = backoff(1, fastrand::f64());
        state.phase = Phase::Down { tries: 1, why: error.to_string(), next: Instant::now() + pause };
        self.begin(&mut state, pause);
        drop(state);
        self.link.set(false);
    }

    /// Tries after `pause`, and again and again until it works.
    fn begin(self: &Arc<Self>, state: &mut State<D::Stream>, pause: Duration) {
        let (own, dial) = (Arc::downgrade(self), self.dial.clone());
        let work = async move {
            sleep(pause).await;
            loop {
                let Some(inner) = own.upgrade() else { return };
                inner.trying();
                drop(inner);
                // Whoever drops the last reach ends this task, also here.
                let tried = dial.dial().await;
                let Some(inner) = own.upgrade() else { return };
                match tried {
                    Ok(stream) => {
                        inner.succeeded(Some(stream));
                        drop(inner);
                        sleep(FRESH).await;
                        // Nobody wanted it, and its server has better uses for it.
                        if let Some(inner) = own.upgrade() {
                            inner.lock().prepared = None;
                        }
                        return;
                    }
                    Err(error) => {
                        let next = inner.again(&error);
                        drop(inner);
                        sleep_until(next).await;
                    }
                }
            }
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "it belongs to an endpoint and not to a request, and its owner ends it"
        )]
        let task = tokio::spawn(work).abort_handle();
        state.task = Some(task);
    }

    fn trying(&self) {
        let mut state = self.lock();
        if state.phase == Phase::New {
            state.phase = Phase::Preparing;
        }
    }

    /// A try failed; says when the next one is due.
    fn again(&self, error: &io::Error) -> Instant {
        let mut state = self.lock();
        let tries = if let Phase::Down { tries, .. } = state.phase { tries + 1 } else { 1 };
        let next = Instant::now() + backoff(tries, fastrand::f64());
        state.phase = Phase::Down { tries, why: error.to_string(), next };
        drop(state);
        self.tried.send_replace(());
        next
    }
}

impl<S> State<S> {
    fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

impl<D: Dial> Drop for Inner<D> {
    fn drop(&mut self) {
        self.state.get_mut().unwrap_or_else(PoisonError::into_inner).stop();
    }
}

impl<D: Dial> Clone for Reach<D> {
    fn clone(&self) -> Self {
        Reach(Arc::clone(&self.0))
    }
}

impl<D: Dial> fmt::Debug for Reach<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reach").field("phase", &self.0.lock().phase).finish_non_exhaustive()
    }
}

/// The pause before another try after `tries` that failed: a random part (`roll`, from 0 to 1) of a length that
/// doubles.
///
/// All of it is random and not a tenth: clients that failed together would come back together.
pub fn backoff(tries: u32, roll: f64) -> Duration {
    doubled(BACKOFF, tries, BACKOFF_MAX).mul_f64(roll)
}

fn left_alone(tries: u32, why: &str, next: Instant) -> io::Error {
    let left = next.saturating_duration_since(Instant::now());
    let so_many = if tries == 1 { "one try".to_owned() } else { format!("{tries} tries") };
    let text = format!("{why} (after {so_many}; the next is in {left:.1?}, and requests do not add to them)");
    io::Error::new(io::ErrorKind::NotConnected, text)
}

/// A restart that takes a moment is found within one.
pub const BACKOFF: Duration = Duration::from_millis(200);
/// A thousand clients that wait for one server make 220 tries a second, four and a half seconds apart on average; a server's
/// handshakes begin to hurt at about as many.
pub const BACKOFF_MAX: Duration = Duration::from_secs(9);
/// As long as a person notices nothing of.
pub const SPREAD: Duration = Duration::from_secs(1);
/// Half of what our servers, and most others, wait for a first request (`server.times.header`).
pub const FRESH: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{
        future::pending,
        sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    };

    /// An endpoint whose connections are numbers.
    #[derive(Clone, Default)]
    struct Door(Arc<Inside>);

    #[derive(Default)]
    struct Inside {
        tries: AtomicU32,
        closed: AtomicBool,
        stuck: AtomicBool,
        hung_up: AtomicBool,
    }

    impl Dial for Door {
        type Stream = u32;

        async fn dial(&self) -> io::Result<u32> {
            let number = self.0.tries.fetch_add(1, Relaxed) + 1;
            sleep(Duration::from_millis(10)).await;
            if self.0.stuck.load(Relaxed) {
                pending::<()>().await;
            }
            if self.0.closed.load(Relaxed) {
                return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "nobody listens"));
            }
            Ok(number)
        }

        fn is_alive(&self, _: &u32) -> bool {
            !self.0.hung_up.load(Relaxed)
        }
    }

    impl Door {
        fn close(&self, closed: bool) {
            self.0.closed.store(closed, Relaxed);
        }

        fn tries(&self) -> u32 {
            self.0.tries.load(Relaxed)
        }
    }

    fn up() -> (Door, Link, Reach<Door>) {
        let (door, link) = (Door::default(), Link::default());
        (door.clone(), link.clone(), Reach::new(door, link))
    }

    fn new() -> (Door, Link, Reach<Door>) {
        let (door, link) = (Door::default(), Link::default());
        link.set(false);
        (door.clone(), link.clone(), Reach::new(door, link))
    }

    async fn seconds(seconds: f64) {
        sleep(Duration::from_secs_f64(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_that_is_up_is_dialled_whenever_it_is_needed_and_never_before() {
        let (door, link, reach) = up();
        seconds(10.0).await;
        assert_eq!((door.tries(), link.is_connected()), (0, true));
        assert_eq!((reach.connect().await.unwrap(), reach.connect().await.unwrap()), (1, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_endpoint_costs_its_first_request_a_try_and_the_others_nothing() {
        let (door, link, reach) = up();
        door.close(true);
        assert!(reach.connect().await.unwrap_err().to_string().contains("nobody listens"));
        assert!(!link.is_connected());
        let begun = Instant::now();
        for _ in 0..1_000 {
            let error = reach.connect().await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotConnected);
            assert!(error.to_string().contains("nobody listens (after one try; the next is in "), "{error}");
        }
        assert_eq!((door.tries(), begun.elapsed()), (1, Duration::ZERO));
        seconds(60.0).await;
        let tries = door.tries();
        assert!((12..=40).contains(&tries), "about four seconds apart after the first five: {tries}");
        assert!(reach.connect().await.unwrap_err().to_string().contains(&format!("(after {tries} tries;")));
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_try_brings_is_the_next_requests_connection() {
        let (door, link, reach) = up();
        door.close(true);
        reach.connect().await.unwrap_err();
        seconds(30.0).await;
        door.close(false);
        let mut waited = 0.0;
        while !link.is_connected() {
            seconds(0.1).await;
            waited += 0.1;
        }
        assert!(waited <= BACKOFF_MAX.as_secs_f64() + 0.2, "{waited}");
        let tries = door.tries();
        assert_eq!(reach.connect().await.unwrap(), tries, "no handshake is wasted");
        assert_eq!(reach.connect().await.unwrap(), tries + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_wanted_in_time_or_hung_up_is_not_used() {
        for hangs_up in [false, true] {
            let (door, link, reach) = new();
            while !link.is_connected() {
                seconds(0.1).await;
            }
            door.0.hung_up.store(hangs_up, Relaxed);
            if !hangs_up {
                seconds(FRESH.as_secs_f64()).await;
                assert!(reach.0.lock().prepared.is_none(), "its server has better uses for it");
            }
            assert_eq!(reach.connect().await.unwrap(), 2);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_is_prepared_within_a_second_and_before_that_whoever_comes_first_dials() {
        let (door, link, reach) = new();
        assert!(!link.is_connected());
        seconds(1.02).await;
        assert!(link.is_connected());
        assert_eq!((reach.connect().await.unwrap(), door.tries()), (1, 1));

        fastrand::seed(3);
        let (door, link, reach) = new();
        assert_eq!(reach.connect().await.unwrap(), 1);
        assert!(link.is_connected());
        seconds(5.0).await;
        assert_eq!(door.tries(), 1, "there is nothing left to prepare");
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_while_it_is_prepared_waits_for_that() {
        let (door, link, reach) = new();
        while door.tries() == 0 {
            seconds(0.001).await;
        }
        let (one, other) = tokio::join!(reach.connect(), reach.connect());
        let mut got = [one.unwrap(), other.unwrap()];
        got.sort_unstable();
        assert_eq!((got, link.is_connected()), ([1, 2], true));

        let (door, link, reach) = new();
        door.close(true);
        while door.tries() == 0 {
            seconds(0.001).await;
        }
        assert!(reach.connect().await.unwrap_err().to_string().contains("(after one try;"));
        assert!(!link.is_connected());
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_reach_ends_the_tries() {
        let (door, _link, reach) = up();
        door.close(true);
        reach.connect().await.unwrap_err();
        let other = reach.clone();
        drop(reach);
        seconds(20.0).await;
        let tries = door.tries();
        assert!(tries > 3);
        drop(other);
        seconds(60.0).await;
        assert_eq!(door.tries(), tries);

        // Also one that is under way.
        let (door, _link, reach) = new();
        door.0.stuck.store(true, Relaxed);
        seconds(2.0).await;
        assert_eq!(Arc::strong_count(&door.0), 3, "here, in the reach and in its task");
        drop(reach);
        seconds(0.001).await;
        assert_eq!(Arc::strong_count(&door.0), 1);
    }

    proptest! {
        #[test]
        fn a_pause_is_any_part_of_a_length_that_doubles(tries in 1_u32..100, roll in 0.0..1.0_f64) {
            let pause = backoff(tries, roll);
            prop_assert!(pause <= BACKOFF_MAX);
            let whole = backoff(tries, 1.0);
            let wanted = (200_u128 << (tries - 1).min(16)).min(9_000);
            prop_assert_eq!(whole.as_millis(), wanted);
            prop_assert!((pause.as_secs_f64() - whole.as_secs_f64() * roll).abs() < 1e-6);
        }
    }
}
