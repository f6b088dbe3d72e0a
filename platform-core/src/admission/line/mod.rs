//! Who waits for a slot, and who goes next?
//!
//! A burst is over in milliseconds, and a request that waits for that long is served; a queue that stands is an
//! overload, and every request in it is late by the whole queue. So a [`Line`] is short in time: who has waited
//! `queue_wait` is refused. Tenants that ask for no more than others go first, then what is more important
//! ([`Precedence`]), and among equals the oldest, which is fair, until the
//! line has stood for as long as anybody may wait: from then on the newest, because it has the most time left. Nobody is
//! refused while somebody less important waits on, unless that would take twice as long.
//!
//! The limit in front of which it stands is [`Concurrency`], and all is exact: a slot that is freed while somebody
//! waits is handed over. Where nobody waits a request touches one number.
//!
//! # Defaults
//! | Setting | Default | Reason |
//! |---|---|---|
//! | `concurrency.queue_wait` | 50 ms | [`QUEUE_WAIT`] |
//! | who may wait | as many as `concurrency.max`, 100 at least | the time bounds the line, and this its memory |
//!
//! # Signals
//! `platform_server_queue_wait_seconds`; `platform_server_refusals_total{guard="concurrency"}`.
//!
//! # Traps
//! *A longer `queue_wait` against refusals*: everybody is later by all of it, and the same number is refused. *A queue of one's
//! own behind it* (a pool of connections, a channel): whoever waits there holds a slot, and nobody knows how important it is.

mod config;
mod precedence;

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicU32, AtomicU64,
            Ordering::{Relaxed, SeqCst},
            fence,
        },
    },
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout_at};

pub use config::{Config, QUEUE_WAIT};
pub use precedence::Precedence;

use super::concurrency::{Concurrency, Queue, Ticket};
use crate::{
    admission::Admission as _,
    context::Context,
    tick::{Tick, nanos},
};

/// A limit with a line in front of it.
#[derive(Debug)]
pub struct Line {
    limit: Concurrency,
    /// In nanoseconds.
    longest: AtomicU64,
    most: AtomicU32,
    waiting: AtomicU32,
    epoch: Tick,
    /// Since when there has always been somebody, in nanoseconds since `epoch`.
    since: AtomicU64,
    places: Mutex<Places>,
}

/// Those who wait, by precedence, the oldest first. Who has left is still in it until somebody comes across.
type Places = [VecDeque<Standing>; Precedence::COUNT];

/// One who waits.
#[derive(Debug)]
struct Standing {
    tenant: u32,
    call: oneshot::Sender<Ticket>,
}

/// Why a wait was in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vain {
    /// There was no slot in time.
    TooLong,
    /// As many wait as may, and nobody who is less important.
    Full,
    /// Its deadline passed.
    Expired,
}

impl Line {
    /// Nobody waits.
    pub fn new(config: &Config, now: impl Into<Tick>) -> Self {
        let now = now.into();
        Line {
            limit: Concurrency::with(Queue::up_to(ABOVE_PEAK), &config.limit(), now),
            longest: AtomicU64::new(nanos(config.queue_wait)),
            most: AtomicU32::new(places(config)),
            waiting: AtomicU32::new(0),
            epoch: now,
            since: AtomicU64::new(0),
            places: Mutex::default(),
        }
    }

    /// Goes by these values from now on; what was learnt stays, and who waits already is not refused by them.
    pub fn configure(&self, config: &Config) {
        self.limit.configure(&config.limit());
        self.longest.store(nanos(config.queue_wait), Relaxed);
        self.most.store(places(config), Relaxed);
        self.serve();
    }

    /// The limit that it stands in front of.
    pub fn limit(&self) -> &Concurrency {
        &self.limit
    }

    /// How many wait.
    #[inline]
    pub fn waiting(&self) -> u32 {
        self.waiting.load(Relaxed)
    }

    /// A slot, if there is one and nobody waits for it.
    #[inline]
    pub fn take(&self, now: Tick) -> Option<Ticket> {
        if self.waiting() > 0 {
            return None;
        }
        self.limit.take(now).ok()
    }

    /// Waits for a slot in such a place, from the context's clock reading on. Dropping it leaves the line.
    ///
    /// # Errors
    /// There was none in time.
    pub async fn wait(&self, context: &Context, place: Precedence) -> Result<Ticket, Vain> {
        let now = context.now();
        let longest = Duration::from_nanos(self.longest.load(Relaxed));
        let left = context.deadline().map(|deadline| deadline.remaining(now));
        let until = |wait: Duration| now.instant() + left.map_or(wait, |left| left.min(wait));
        let called = self.stand(place, now).ok_or(Vain::Full).inspect_err(|_| self.limit.refused())?;
        let mut waiter = Waiter { line: self, called, done: false };
        let mut called = timeout_at(until(longest), &mut waiter.called).await;
        let mut waited = longest;
        if called.is_err() && self.has_less_important(place) {
            // Slots may come free all at once, and who has just missed that is not sent away before those who matter
            // less.
            waited = longest * 2;
            called = timeout_at(until(waited), &mut waiter.called).await;
        }
        let vain = match called {
            Ok(Ok(ticket)) => {
                waiter.done = true;
                return Ok(ticket);
            }
            // Somebody more important has the place.
            Ok(Err(_)) => Vain::Full,
            // The last look is for a slot that was handed over at the same moment.
            Err(_) => match waiter.leave() {
                Some(ticket) => return Ok(ticket),
                None if left.is_some_and(|left| left <= waited) => Vain::Expired,
                None => Vain::TooLong,
            },
        };
        self.limit.refused();
        Err(vain)
    }

    /// Does anybody wait who comes after `place`?
    fn has_less_important(&self, place: Precedence) -> bool {
        let mut places = self.lock();
        places[..place.index()].iter_mut().any(|queue| {
            forget(queue);
            !queue.is_empty()
        })
    }

    /// A slot is free.
    #[inline]
    pub fn release(&self) {
        self.limit.release();
        // Who waits says so and then looks for a slot; who leaves frees it and then looks for somebody.
        fence(SeqCst);
        if self.waiting() > 0 {
            self.serve();
        }
    }

    /// Takes back a slot that was [released](Self::release) for a while: who was let in is refused nothing, and comes
    /// before all who wait. If there is none now, it is handed over here, and then [told](Self::is_back). Where nothing
    /// is `exact` it has one in any case.
    pub(crate) fn come_back(&self, now: Tick, exact: bool) -> Option<oneshot::Receiver<Ticket>> {
        match self.take(now) {
            Some(ticket) => self.limit.again(ticket),
            None if exact => return self.stand(Precedence::BACK, now),
            None => self.limit.retake(),
        }
        None
    }

    /// One who came back was handed this slot.
    pub(crate) fn is_back(&self, ticket: Option<Ticket>) {
        self.waiting.fetch_sub(1, SeqCst);
        match ticket {
            Some(ticket) => self.limit.again(ticket),
            None => self.limit.retake(),
        }
    }

    /// One who came back needs none any more.
    pub(crate) fn leave_way_back(&self, called: oneshot::Receiver<Ticket>) {
        drop(Waiter { line: self, called, done: false });
    }

    /// Takes a slot without asking, after it was released for a while.
    pub(crate) fn retake(&self) {
        self.limit.retake();
    }

    fn stand(&self, place: Precedence, now: Tick) -> Option<oneshot::Receiver<Ticket>> {
        let (call, called) = oneshot::channel();
        {
            let mut places = self.lock();
            let is_full = place != Precedence::BACK && self.waiting() >= self.most.load(Relaxed);
            if is_full && !self.make_room(&mut places, place) {
                return None;
            }
            if self.waiting.fetch_add(1, SeqCst) == 0 {
                self.since.store(now.nanos_since(self.epoch), Relaxed);
            }
            if place.is_noisy() {
                send_behind(&mut places, place.tenant());
            }
            places[place.index()].push_back(Standing { tenant: place.tenant(), call });
        }
        fence(SeqCst);
        self.serve();
        Some(called)
    }

    /// Sends away the one who has waited longest of the least important, if that does not come before `place`.
    fn make_room(&self, places: &mut Places, place: Precedence) -> bool {
        places[..=place.index()].iter_mut().any(|queue| {
            forget(queue);
            // Its waiter leaves by itself, and counts itself out.
            queue.pop_front().is_some()
        })
    }

    /// Gives free slots to those who wait.
    #[cold]
    fn serve(&self) {
        let mut places = self.lock();
        let now = Tick::now();
        let stands =
            Duration::from_nanos(now.nanos_since(self.epoch).saturating_sub(self.since.load(Relaxed)));
        let newest_first = stands > Duration::from_nanos(self.longest.load(Relaxed));
        while self.waiting() > 0 {
            let Ok(ticket) = self.limit.take(now) else { return };
            if !hand_over(&mut places, ticket, newest_first) {
                self.limit.release();
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        // Queues are whole between any two statements.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As many as can be served at once, and never so few that a burst finds no room.
fn places(config: &Config) -> u32 {
    config.max.max(FEWEST_PLACES)
}

/// To the most important one; whether there was anybody.
fn hand_over(places: &mut Places, ticket: Ticket, newest_first: bool) -> bool {
    let mut ticket = ticket;
    for (index, queue) in places.iter_mut().enumerate().rev() {
        forget(queue);
        let newest_first = newest_first && index != Precedence::BACK.index();
        while let Some(standing) = if newest_first { queue.pop_back() } else { queue.pop_front() } {
            match standing.call.send(ticket) {
                Ok(()) => return true,
                Err(back) => ticket = back,
            }
        }
    }
    false
}

/// It has turned out that this tenant asks for more than others: what of it stands among those who do not goes behind
/// them, in the order in which it came. Those are few, because what is known to be noisy stands elsewhere.
fn send_behind(places: &mut Places, tenant: u32) {
    for class in 0..Precedence::QUIET {
        let quiet = &mut places[Precedence::QUIET + class];
        if quiet.iter().all(|standing| standing.tenant != tenant) {
            continue;
        }
        let (behind, stays) =
            std::mem::take(quiet).into_iter().partition(|standing| standing.tenant == tenant);
        *quiet = stays;
        let behind: VecDeque<Standing> = behind;
        let later = std::mem::replace(&mut places[class], behind);
        places[class].extend(later);
    }
}

/// Those who have left at the front: where the newest go first, all who leave are there sooner or later.
fn forget(queue: &mut VecDeque<Standing>) {
    while queue.front().is_some_and(|standing| standing.call.is_closed()) {
        queue.pop_front();
    }
}

/// Somebody who waits.
struct Waiter<'a> {
    line: &'a Line,
    called: oneshot::Receiver<Ticket>,
    done: bool,
}

impl Waiter<'_> {
    /// The slot that it may have got meanwhile; from now on it gets none.
    fn leave(&mut self) -> Option<Ticket> {
        self.called.close();
        let ticket = self.called.try_recv().ok();
        self.done = true;
        ticket
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.line.waiting.fetch_sub(1, SeqCst);
        if !self.done && self.leave().is_some() {
            self.line.release();
        }
    }
}

/// A client's limit has five times its peak, because what it refuses is lost. Here a burst waits in the line, and every
/// request above what can be served makes all of them late: at five times a storm would begin with a queue of seconds.
const ABOVE_PEAK: f64 = 2.0;

/// Time bounds a line, and this only its memory: a request that waits costs some kilobytes.
const FEWEST_PLACES: u32 = 100;

#[cfg(test)]
mod tests;
