//! Flow: what share of those that come cannot be served?

use std::{
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::tick::Tick;

/// What came and what went on in one look at a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Requests that asked, whatever became of them.
    pub arrived: u32,
    /// Requests that got a slot.
    pub admitted: u32,
    /// Was there always somebody who waited?
    pub stood: bool,
}

impl Flow {
    /// The share to be refused from now on.
    ///
    /// A line that never emptied says that all slots were busy: what went on is what can be served. One that emptied
    /// says that a little more may come. Either way the share is made of this look alone: there is no integral that
    /// could wind up while the storm lasts, and nothing to be unwound after it.
    pub fn share(self) -> f64 {
        let served = f64::from(self.admitted) * if self.stood { 1.0 } else { PROBE };
        let arrived = f64::from(self.arrived);
        if arrived <= served { 0.0 } else { (1.0 - served / arrived).min(MOST) }
    }

    /// Is a look of this length long enough to be believed?
    pub fn is_told(self, elapsed: Duration) -> bool {
        elapsed >= SHORTEST && (self.admitted >= FEW || elapsed >= LONGEST)
    }
}

/// One look after the other, while somebody waits and until nothing has to go any more.
#[derive(Debug)]
pub struct Looks {
    epoch: Tick,
    on: AtomicBool,
    /// In nanoseconds since `epoch`.
    began: AtomicU64,
    arrived: AtomicU32,
    admitted: AtomicU32,
    emptied: AtomicBool,
    /// The bits of an `f32`.
    share: AtomicU32,
}

impl Looks {
    /// Nobody looks yet.
    pub fn new(epoch: impl Into<Tick>) -> Self {
        Looks {
            epoch: epoch.into(),
            on: AtomicBool::new(false),
            began: AtomicU64::new(0),
            arrived: AtomicU32::new(0),
            admitted: AtomicU32::new(0),
            emptied: AtomicBool::new(false),
            share: AtomicU32::new(0),
        }
    }

    /// Is anybody looking? Then every arrival, admission and emptied line has to be told.
    #[inline]
    pub fn are_on(&self) -> bool {
        self.on.load(Relaxed)
    }

    /// Somebody has to wait.
    pub fn begin(&self, now: Tick) {
        if !self.on.swap(true, Relaxed) {
            self.restart(now.nanos_since(self.epoch));
        }
    }

    /// One more asks, while so many wait. Ends a look that is long enough.
    pub fn arrive(&self, now: Tick, waiting: u32) {
        self.arrived.fetch_add(1, Relaxed);
        let (now, began) = (now.nanos_since(self.epoch), self.began.load(Relaxed));
        let elapsed = Duration::from_nanos(now.saturating_sub(began));
        if !self.flow().is_told(elapsed) {
            return;
        }
        // Whoever is first ends it.
        if self.began.compare_exchange(began, now, Relaxed, Relaxed).is_err() {
            return;
        }
        // After a pause nobody knows what was: a line that stood for seconds was asked by somebody.
        let share = if elapsed > 2 * LONGEST { 0.0 } else { self.flow().share() };
        self.share.store((share as f32).to_bits(), Relaxed);
        self.restart(now);
        if share <= 0.0 && waiting == 0 {
            self.on.store(false, Relaxed);
        }
    }

    /// One more got a slot.
    pub fn admit(&self) {
        self.admitted.fetch_add(1, Relaxed);
    }

    /// Nobody waits any more.
    pub fn empty(&self) {
        self.emptied.store(true, Relaxed);
    }

    /// The share that has to go.
    pub fn share(&self) -> f64 {
        f64::from(f32::from_bits(self.share.load(Relaxed)))
    }

    /// The same for who looks on: nothing once nobody has asked for long.
    pub fn share_at(&self, now: Tick) -> f64 {
        let idle = now.nanos_since(self.epoch).saturating_sub(self.began.load(Relaxed));
        if Duration::from_nanos(idle) > 2 * LONGEST { 0.0 } else { self.share() }
    }

    fn flow(&self) -> Flow {
        Flow {
            arrived: self.arrived.load(Relaxed),
            admitted: self.admitted.load(Relaxed),
            stood: !self.emptied.load(Relaxed),
        }
    }

    fn restart(&self, now: u64) {
        self.began.store(now, Relaxed);
        self.arrived.store(0, Relaxed);
        self.admitted.store(0, Relaxed);
        self.emptied.store(false, Relaxed);
    }
}

/// With a quarter more each time, from a tenth to all takes ten looks: a second.
const PROBE: f64 = 1.25;

/// Something always comes through, or nobody would find out that it may.
pub(super) const MOST: f64 = 0.95;

/// A breath more than the wait that is allowed, so that a burst which passes is over before it.
const SHORTEST: Duration = Duration::from_millis(100);
/// Where slots are few and work is long,
const LONGEST: Duration = Duration::from_secs(1);
/// so many make a number that means something.
const FEW: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_what_came_less_what_went_on() {
        let table = [
            (100, 100, true, 0.0),
            (100, 50, true, 0.5),
            (100, 10, true, 0.9),
            (100, 0, true, MOST),
            (0, 0, true, 0.0),
            (10, 20, true, 0.0),
            (100, 50, false, 0.375),
            (100, 80, false, 0.0),
        ];
        for (arrived, admitted, stood, expected) in table {
            let share = Flow { arrived, admitted, stood }.share();
            assert!((share - expected).abs() < 1e-9, "{arrived} {admitted} {stood}: {share}");
        }
    }

    #[test]
    fn after_a_tenfold_storm_all_is_let_in_within_a_second() {
        // A tenth came through; now no more comes than can be served, and what is let in is served at once.
        let (mut share, mut looks) = (0.9_f64, 0);
        while share > 0.0 {
            let admitted = (100.0 * (1.0 - share)).ceil() as u32;
            share = Flow { arrived: 100, admitted, stood: false }.share();
            looks += 1;
            assert!(looks <= 11, "{share}");
        }
    }

    #[test]
    fn a_look_is_as_long_as_it_takes_to_see_something() {
        let flow = |admitted| Flow { arrived: 0, admitted, stood: true };
        for (admitted, millis, told) in
            [(100, 99, false), (100, 100, true), (7, 100, false), (7, 999, false), (0, 1000, true)]
        {
            assert_eq!(flow(admitted).is_told(Duration::from_millis(millis)), told, "{admitted} {millis}");
        }
    }

    #[test]
    fn looks_begin_when_somebody_waits_and_end_when_all_is_let_in() {
        let begin = tokio::time::Instant::now();
        let at = |ms| Tick::from(begin + Duration::from_millis(ms));
        let looks = Looks::new(begin);
        assert!(!looks.are_on());
        looks.begin(at(0));
        for ms in 0..100 {
            looks.arrive(at(ms), 5);
            if ms % 2 == 0 {
                looks.admit();
            }
        }
        assert_eq!(looks.share(), 0.0, "not before the look is over");
        looks.arrive(at(100), 5);
        assert!((looks.share() - 0.5).abs() < 0.01, "{}", looks.share());
        // What comes now is served.
        for ms in 101..=200 {
            looks.empty();
            looks.admit();
            looks.arrive(at(ms), 0);
        }
        assert!(!looks.are_on() && looks.share() == 0.0);
    }

    #[test]
    fn a_share_is_forgotten_where_nobody_asks() {
        let begin = tokio::time::Instant::now();
        let at = |ms| Tick::from(begin + Duration::from_millis(ms));
        let looks = Looks::new(begin);
        looks.begin(at(0));
        (0..=200).for_each(|_| looks.arrive(at(1_000), 5));
        assert!(looks.share() > 0.9);
        assert!(looks.share_at(at(1_500)) > 0.9 && looks.share_at(at(4_000)) == 0.0);
        looks.arrive(at(10_000), 0);
        assert!(!looks.are_on() && looks.share() == 0.0);
    }
}
