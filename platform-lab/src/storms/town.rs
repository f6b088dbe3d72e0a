//! A town of replicas in paused time: queues, slots, and what goes wrong with them.

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use platform_core::{
    Context, Error, Hint, Mark, Outcome, Tick, Verdict,
    call::Reply as _,
    context::{self, Deadline},
    identity::Identity,
    stack::{Entry, ServerGuards, ServerPolicy, Slot},
    telemetry::Metrics,
    testing::{Ask, Told},
};
use tokio::{
    sync::{Semaphore, oneshot},
    time::{Instant, sleep},
};

/// What a replica is like now. Changed while the storm goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// The mean of the log-normal service time (its deviation is as large).
    pub(crate) mean: Duration,
    /// Times slower than that.
    pub(crate) slower: f64,
    /// The share of requests that it fails at once.
    pub(crate) fails: f64,
    /// It says that it has too much to do, before any work.
    pub(crate) overloaded: bool,
    /// It says nothing at all.
    pub(crate) silent: bool,
    /// It stops for so long each so often.
    pub(crate) stalls: Option<(Duration, Duration)>,
    /// A request whose deadline has passed is dropped when its turn comes, or where it stands.
    pub(crate) drops_expired: bool,
}

/// What a replica answers: how it is judged, and what it says about coming back.
pub(crate) type Answer = (Outcome, Hint);

/// One replica: a queue before its slots.
pub(crate) struct Replica {
    slots: Semaphore,
    weather: parking::Live,
    /// Work done for callers that had left, in microseconds of a slot.
    wasted: AtomicU64,
    worked: AtomicU64,
    requests: AtomicU64,
    /// The server's guards in front of it, where it has some.
    guards: Option<Arc<ServerGuards>>,
    /// What its slots have to make up for, in microseconds, which the next request pays: what refusing costs, and what the
    /// clock, which knows whole milliseconds, has rounded up.
    owed: AtomicI64,
    refused: AtomicU64,
    served: AtomicU64,
    /// Those that are in it, in its line or at work.
    within: AtomicU64,
    born: Instant,
}

mod parking {
    //! A value that changes between two looks; the whole town is one thread.
    use std::sync::{Mutex, PoisonError};

    use super::Weather;

    pub(super) struct Live(Mutex<Weather>);

    impl Live {
        pub(super) fn new(weather: Weather) -> Self {
            Live(Mutex::new(weather))
        }

        pub(super) fn get(&self) -> Weather {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        pub(super) fn set(&self, weather: Weather) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = weather;
        }
    }
}

/// Replicas of one service.
#[derive(Clone)]
pub(crate) struct Town(Arc<[Replica]>);

impl Replica {
    /// For how long it stands still yet; each has its own times.
    fn stall_left(&self, index: usize, replicas: usize, weather: Weather) -> Duration {
        let Some((every, length)) = weather.stalls else { return Duration::ZERO };
        let since = self.born.elapsed() + every.mul_f64(index as f64 / replicas as f64);
        let into = Duration::from_nanos((since.as_nanos() % every.as_nanos()) as u64);
        length.saturating_sub(into)
    }
}

impl Weather {
    /// Nothing is wrong.
    pub(crate) fn fair(mean: Duration) -> Self {
        Weather {
            mean,
            slower: 1.0,
            fails: 0.0,
            overloaded: false,
            silent: false,
            stalls: None,
            drops_expired: false,
        }
    }
}

impl Town {
    /// So many replicas of so many slots each.
    pub(crate) fn new(replicas: usize, slots: usize, weather: Weather) -> Self {
        Town::of(replicas, slots, weather, |_| None)
    }

    /// The same, each behind the production server's guards under `policy`.
    pub(crate) fn guarded(replicas: usize, slots: usize, weather: Weather, policy: &ServerPolicy) -> Self {
        Town::of(replicas, slots, weather, |_| {
            let metrics = Metrics::new(&Identity::default());
            Some(ServerGuards::new(policy, &[], &metrics, Instant::now()))
        })
    }

    fn of(
        replicas: usize,
        slots: usize,
        weather: Weather,
        guards: impl Fn(usize) -> Option<Arc<ServerGuards>>,
    ) -> Self {
        let one = |index| Replica {
            slots: Semaphore::new(slots),
            weather: parking::Live::new(weather),
            wasted: AtomicU64::new(0),
            worked: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            guards: guards(index),
            owed: AtomicI64::new(0),
            refused: AtomicU64::new(0),
            served: AtomicU64::new(0),
            within: AtomicU64::new(0),
            born: Instant::now(),
        };
        Town((0..replicas).map(one).collect())
    }

    /// From now on replica `index` is like that.
    pub(crate) fn change(&self, index: usize, change: impl FnOnce(&mut Weather)) {
        let mut weather = self.0[index].weather.get();
        change(&mut weather);
        self.0[index].weather.set(weather);
    }

    /// All of them.
    pub(crate) fn change_all(&self, change: impl Fn(&mut Weather)) {
        (0..self.0.len()).for_each(|index| self.change(index, &change));
    }

    /// How many replicas there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Requests that arrived at the replicas.
    pub(crate) fn requests(&self) -> u64 {
        self.0.iter().map(|replica| replica.requests.load(Relaxed)).sum()
    }

    /// Requests that arrived at one of them.
    pub(crate) fn requests_at(&self, index: usize) -> u64 {
        self.0[index].requests.load(Relaxed)
    }

    /// Requests that the replicas' guards refused.
    pub(crate) fn refused(&self) -> u64 {
        self.0.iter().map(|replica| replica.refused.load(Relaxed)).sum()
    }

    /// What all slots together can do in a second, by what requests really took.
    pub(crate) fn capacity(&self, slots: usize) -> f64 {
        let of = |read: fn(&Replica) -> &AtomicU64| -> f64 {
            self.0.iter().map(|replica| read(replica).load(Relaxed) as f64).sum()
        };
        let mean = of(|replica| &replica.worked) / of(|replica| &replica.served).max(1.0) / 1e6;
        (self.0.len() * slots) as f64 / mean.max(1e-6)
    }

    /// One way there and back, for a caller of whom nothing is known but the deadline.
    pub(crate) async fn ask(&self, index: usize, deadline: Option<Instant>) -> Answer {
        let mut context = Context::root(Instant::now());
        if let Some(deadline) = deadline {
            context.narrow(Deadline::at(deadline));
        }
        self.ask_as(index, &context).await
    }

    /// One way there and back. Whoever leaves does not stop the work.
    pub(crate) async fn ask_as(&self, index: usize, context: &Context) -> Answer {
        sleep(NETWORK).await;
        let replica = &self.0[index];
        if replica.within.fetch_add(1, Relaxed) >= BACKLOG {
            // As a kernel whose line of connections is full: nothing comes back.
            replica.within.fetch_sub(1, Relaxed);
            replica.requests.fetch_add(1, Relaxed);
            sleep(FOR_EVER).await;
        }
        let (tell, told) = oneshot::channel();
        let town = self.clone();
        let mut context = context.clone();
        context.set_now(Instant::now());
        let work = async move {
            let answer = town.answer(index, context).await;
            town.0[index].within.fetch_sub(1, Relaxed);
            // Who has left hears nothing.
            let _ = tell.send(answer);
        };
        drop(context::spawn(work));
        told.await.unwrap_or((Outcome::ServerFault, Hint::NONE))
    }

    /// The share of the slots' time that was spent for callers that had left.
    pub(crate) fn wasted(&self) -> f64 {
        let of = |read: fn(&Replica) -> &AtomicU64| -> u64 {
            self.0.iter().map(|replica| read(replica).load(Relaxed)).sum()
        };
        let worked = of(|replica| &replica.worked);
        if worked == 0 { 0.0 } else { of(|replica| &replica.wasted) as f64 / worked as f64 }
    }

    /// What replica `index` answers: its guards first, as the server's page asks them.
    async fn answer(&self, index: usize, mut context: Context) -> Answer {
        let deadline = context.deadline().map(Deadline::instant);
        let replica = &self.0[index];
        let Some(guards) = &replica.guards else { return self.serve(index, deadline).await };
        let slot = match enter(guards, &mut context).await {
            Ok(slot) => slot,
            Err(refusal) => {
                replica.requests.fetch_add(1, Relaxed);
                replica.refused.fetch_add(1, Relaxed);
                replica.owed.fetch_add(REFUSAL, Relaxed);
                return (refusal.outcome(), refusal.hint());
            }
        };
        let work = self.serve(index, deadline);
        let answer = match deadline {
            // A server of ours ends a handler whose deadline passes, wherever it stands.
            Some(deadline) => {
                tokio::time::timeout_at(deadline, work).await.unwrap_or((Outcome::Timeout, Hint::NONE))
            }
            None => work.await,
        };
        if let Some(slot) = slot {
            slot.report(answer.0, Tick::now());
        }
        answer
    }

    /// What replica `index` makes of a request. Its caller may leave: the replica does not notice.
    async fn serve(&self, index: usize, deadline: Option<Instant>) -> Answer {
        let replica = &self.0[index];
        replica.requests.fetch_add(1, Relaxed);
        let weather = replica.weather.get();
        if weather.silent {
            // Nothing comes back, not even a reset; what was sent is lost.
            sleep(FOR_EVER).await;
        }
        // Nobody looks at what comes in while the replica stops.
        sleep(replica.stall_left(index, self.0.len(), weather)).await;
        if weather.overloaded {
            return (Outcome::Overload, Hint { after: None, mark: Some(Mark::Safe) });
        }
        if chance(weather.fails) {
            return (Outcome::ServerFault, Hint::NONE);
        }
        let _slot = replica.slots.acquire().await.expect("nobody closes it");
        // Its turn may come when the weather has changed.
        let weather = replica.weather.get();
        let is_gone = |now: Instant| deadline.is_some_and(|deadline| deadline <= now);
        if weather.drops_expired && is_gone(Instant::now()) {
            return (Outcome::Timeout, Hint::NONE);
        }
        let begun = Instant::now();
        let owed = replica.owed.swap(0, Relaxed);
        let work = async {
            let length = log_normal(weather.mean).mul_f64(weather.slower);
            let micros = i64::try_from(length.as_micros()).unwrap_or(i64::MAX).saturating_add(owed);
            sleep(Duration::from_micros(micros.max(0).unsigned_abs())).await;
            let slept = i64::try_from(begun.elapsed().as_micros()).unwrap_or(i64::MAX);
            // Else each request would take half a millisecond longer, and 95 % of what the slots can do would be 99.7 %.
            replica.owed.fetch_add(micros - slept, Relaxed);
            // And what is under way stops with it.
            sleep(replica.stall_left(index, self.0.len(), weather)).await;
        };
        let cut = match deadline.filter(|_| weather.drops_expired) {
            // A server of ours also ends a handler whose deadline passes.
            Some(deadline) => tokio::time::timeout_at(deadline, work).await.is_err(),
            None => {
                work.await;
                false
            }
        };
        let now = Instant::now();
        let micros = u64::try_from((now - begun).as_micros()).unwrap_or(u64::MAX);
        replica.worked.fetch_add(micros, Relaxed);
        replica.served.fetch_add(1, Relaxed);
        if deadline.is_some_and(|deadline| deadline < now) {
            replica.wasted.fetch_add(micros, Relaxed);
        }
        if cut { (Outcome::Timeout, Hint::NONE) } else { (Outcome::Success, Hint::NONE) }
    }
}

/// The server's page, as far as it is about guards.
async fn enter(guards: &Arc<ServerGuards>, context: &mut Context) -> Result<Option<Slot>, Error> {
    if context.deadline().is_some_and(|deadline| deadline.has_passed(context.now())) {
        guards.expired(0, context)?;
    }
    match guards.enter(0, context) {
        Entry::Now(entered) => entered,
        Entry::Wait(place) => guards.wait(0, place, context).await,
    }
}

/// A reply that is judged so.
pub(crate) fn told(outcome: Outcome, hint: Hint) -> Told {
    let mut told = Told::default();
    told.judge(Verdict::new(outcome, Instant::now()).with_hint(hint));
    told
}

/// A call under a context of its own.
pub(crate) fn root() -> Ask {
    Ask::under(Context::root(Instant::now()))
}

thread_local! {
    static DICE: RefCell<fastrand::Rng> = const { RefCell::new(fastrand::Rng::with_seed(0)) };
}

/// The same storm again for the same seed: the town's dice and the library's.
pub(crate) fn seed(seed: u64) {
    DICE.with_borrow_mut(|dice| dice.seed(seed));
    fastrand::seed(seed);
}

pub(crate) fn chance(share: f64) -> bool {
    DICE.with_borrow_mut(|dice| dice.f64() < share)
}

/// 64 random bits.
pub(crate) fn die() -> u64 {
    DICE.with_borrow_mut(|dice| dice.u64(..))
}

pub(crate) fn roll(below: usize) -> usize {
    DICE.with_borrow_mut(|dice| dice.usize(..below))
}

/// From 0 to 1.
pub(crate) fn uniform() -> f64 {
    DICE.with_borrow_mut(fastrand::Rng::f64)
}

/// The gap to the next of a Poisson stream of arrivals.
pub(crate) fn gap(per_second: f64) -> Duration {
    let uniform = DICE.with_borrow_mut(fastrand::Rng::f64);
    Duration::from_secs_f64(-(1.0 - uniform).ln() / per_second)
}

/// A log-normal length whose deviation is as large as its mean.
pub(crate) fn log_normal(mean: Duration) -> Duration {
    let (one, other) = DICE.with_borrow_mut(|dice| (dice.f64(), dice.f64()));
    // Box and Muller.
    let normal = (-2.0 * (1.0 - one).ln()).sqrt() * (std::f64::consts::TAU * other).cos();
    let variance = std::f64::consts::LN_2; // ln(1 + 1²)
    mean.mul_f64((variance.sqrt() * normal - variance / 2.0).exp())
}

/// As many may be in a replica, in its line or at work: Linux's limit of connections that nobody has taken from a
/// listening socket yet (`net.core.somaxconn`), ten seconds of work for four slots of 10 ms. Without one a naive client's storm
/// grows for as long as it lasts, and what it measures is this machine's memory.
const BACKLOG: u64 = 4_096;
/// Longer than it takes a replica to do all that is in it, when nobody asks any more.
pub(crate) const DRAIN: Duration = Duration::from_secs(15);
/// A refusal costs as much of a slot as a fiftieth of a request of 10 ms.
const REFUSAL: i64 = 200;
/// There and back within a data centre takes half of that; tokio's timers know whole milliseconds.
const NETWORK: Duration = Duration::from_millis(1);
/// Longer than any storm.
const FOR_EVER: Duration = Duration::from_secs(3600);
