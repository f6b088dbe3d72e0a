//! Tick: when was that, in one number?
//!
//! A clock reading is compared a dozen times on the way of a call: with a deadline, a window, a limit. Two
//! [`Instant`]s cost some forty instructions to subtract, two numbers cost one. So a reading is turned into
//! nanoseconds once, and everything after that is arithmetic on integers.

use std::{
    hash::{Hash as _, Hasher},
    num::NonZeroU64,
    sync::{
        LazyLock,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

use tokio::time::Instant;

/// A clock reading in nanoseconds. Where a function takes `impl Into<Tick>`, an [`Instant`] will do.
///
/// Ticks are of one process and mean nothing elsewhere. They know 146 years before the process's first reading and
/// 438 after it; what is beyond counts as the end of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(NonZeroU64);

impl Tick {
    /// The clock, read now; in tests tokio's clock, which may stand still.
    #[inline]
    pub fn now() -> Self {
        Tick::from(Instant::now())
    }

    /// The same as tokio's timers take it.
    pub fn instant(self) -> Instant {
        let (nanos, epoch) = (self.0.get(), *EPOCH);
        let moved = match nanos.checked_sub(FIRST) {
            Some(after) => epoch.checked_add(Duration::from_nanos(after)),
            None => epoch.checked_sub(Duration::from_nanos(FIRST - nanos)),
        };
        // A clock that cannot say it has no use for it either.
        moved.unwrap_or(epoch)
    }

    /// How long ago `earlier` was; nothing if it is later.
    #[inline]
    pub fn since(self, earlier: Tick) -> Duration {
        Duration::from_nanos(self.nanos_since(earlier))
    }

    /// The same in nanoseconds.
    #[inline]
    pub fn nanos_since(self, earlier: Tick) -> u64 {
        self.0.get().saturating_sub(earlier.0.get())
    }

    /// The same in milliseconds, what is less than one left out.
    #[inline]
    pub fn millis_since(self, earlier: Tick) -> u64 {
        self.nanos_since(earlier) / NANOS_PER_MILLI
    }

    /// So much later; `None` if that is beyond what a tick can say.
    #[inline]
    pub fn after(self, length: Duration) -> Option<Tick> {
        self.after_nanos(nanos(length))
    }

    /// The same in nanoseconds.
    #[inline]
    pub(crate) fn after_nanos(self, length: u64) -> Option<Tick> {
        self.0.checked_add(length).map(Tick)
    }
}

impl From<Instant> for Tick {
    #[inline]
    fn from(instant: Instant) -> Self {
        let words = Words::of(instant);
        // What every reading comes to, once there has been one.
        if words.seconds < KNOWN.load(Acquire) {
            let nanos = words.nanos().wrapping_add(SHIFT.load(Relaxed));
            return Tick(NonZeroU64::new(nanos).unwrap_or(NonZeroU64::MIN));
        }
        by_distance(instant)
    }
}

/// The seconds and nanoseconds that an [`Instant`] is made of. It gives them away to nobody but a hasher, and to
/// subtract two of them is a call into the standard library of some fifty instructions, twice in every call.
///
/// Whether they are what they seem to be is found out at the first reading ([`shift`]).
#[derive(Clone, Copy, Debug)]
struct Words {
    seconds: u64,
    nanos: u32,
}

impl Words {
    #[inline]
    fn of(instant: Instant) -> Self {
        let mut words = Words { seconds: u64::MAX, nanos: 0 };
        instant.hash(&mut words);
        words
    }

    /// Of fewer seconds than [`MOST_SECS`].
    #[inline]
    fn nanos(self) -> u64 {
        self.seconds * NANOS_PER_SEC + u64::from(self.nanos)
    }
}

impl Hasher for Words {
    #[inline]
    fn write_i64(&mut self, word: i64) {
        // What is negative is more than any clock says, and is left to who can subtract.
        self.seconds = word as u64;
    }

    #[inline]
    fn write_u64(&mut self, word: u64) {
        self.seconds = word;
    }

    #[inline]
    fn write_u32(&mut self, word: u32) {
        self.nanos = word;
    }

    fn write(&mut self, _: &[u8]) {
        // Nothing that is known.
        self.seconds = u64::MAX;
    }

    fn finish(&self) -> u64 {
        self.seconds
    }
}

/// What a tick is more than the [`Words`] of its instant: nothing is known unless they count as instants do, by
/// nanoseconds, seconds and both, from `epoch` on.
fn shift(epoch: Instant) -> Option<u64> {
    let words =
        |instant| Some(Words::of(instant)).filter(|words| words.seconds < MOST_SECS).map(Words::nanos);
    let first = words(epoch)?;
    let counts = |length: &u64| {
        let later = epoch.checked_add(Duration::from_nanos(*length));
        later.and_then(words) == first.checked_add(*length)
    };
    PROBES.iter().all(counts).then(|| FIRST.wrapping_sub(first))
}

/// A tick by its distance from the first, which always holds.
#[cold]
fn by_distance(instant: Instant) -> Tick {
    let epoch = *EPOCH;
    match instant.checked_duration_since(epoch) {
        Some(after) => Tick(ORIGIN.saturating_add(nanos(after))),
        None => before(instant, epoch),
    }
}

/// A test may have a clock of its own, which began before the first one that was read here.
fn before(instant: Instant, epoch: Instant) -> Tick {
    let nanos = FIRST.saturating_sub(nanos(epoch.saturating_duration_since(instant)));
    Tick(NonZeroU64::new(nanos).unwrap_or(NonZeroU64::MIN))
}

/// A length in nanoseconds; what is longer than 584 years is as long.
#[inline]
pub(crate) fn nanos(length: Duration) -> u64 {
    length.as_secs().saturating_mul(NANOS_PER_SEC).saturating_add(u64::from(length.subsec_nanos()))
}

/// The process's first reading.
static EPOCH: LazyLock<Instant> = LazyLock::new(|| {
    let epoch = Instant::now();
    if let Some(shift) = shift(epoch) {
        SHIFT.store(shift, Relaxed);
        KNOWN.store(MOST_SECS, Release);
    }
    epoch
});

/// [`shift`], where it is known.
static SHIFT: AtomicU64 = AtomicU64::new(0);
/// For instants of fewer seconds the shift is known: for none before there is an epoch, and then for all that a clock
/// says.
static KNOWN: AtomicU64 = AtomicU64::new(0);

/// Lengths in nanoseconds by which the parts of an instant are tried: each part alone, what carries over, and a year.
const PROBES: [u64; 5] =
    [1, NANOS_PER_SEC - 1, NANOS_PER_SEC, 90 * NANOS_PER_SEC + 7, 31_557_600 * NANOS_PER_SEC];

/// What the first reading is as a tick: a quarter of all there are, for what was before.
const FIRST: u64 = 1 << 62;
const ORIGIN: NonZeroU64 = NonZeroU64::new(FIRST).expect("it is not 0");

const NANOS_PER_SEC: u64 = 1_000_000_000;
const NANOS_PER_MILLI: u64 = 1_000_000;
/// A hundred years.
const MOST_SECS: u64 = 100 * 31_557_600;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// If it fails, the standard library makes its instants of something else; ticks are as right as before, and slower.
    #[test]
    fn a_reading_is_taken_apart_without_a_subtraction() {
        let now = Tick::now();
        assert_eq!(KNOWN.load(Acquire), MOST_SECS);
        assert_eq!(by_distance(now.instant()), now);
        for length in PROBES {
            let later = now.instant() + Duration::from_nanos(length);
            assert_eq!(
                (Tick::from(later), by_distance(later).nanos_since(now)),
                (by_distance(later), length)
            );
        }
    }

    #[test]
    fn what_is_no_instant_known_is_not_taken_apart() {
        let mut words = Words { seconds: 7, nanos: 0 };
        words.write(b"seven");
        assert_eq!(words.finish(), u64::MAX);
        words.write_i64(-1);
        assert!(words.seconds >= MOST_SECS, "before its beginning");
    }

    #[test]
    fn an_option_of_one_is_as_small() {
        assert_eq!(size_of::<Option<Tick>>(), 8);
    }

    #[test]
    fn what_is_beyond_is_the_end_of_what_can_be_said() {
        let now = Tick::now();
        assert_eq!(now.after(Duration::MAX), None);
        let years = |years: u64| Duration::from_secs(years * 31_557_600);
        assert!(now.after(years(400)).is_some() && now.after(years(450)).is_none());
        assert_eq!(nanos(Duration::MAX), u64::MAX);
        let last = now.after_nanos(u64::MAX - now.0.get()).unwrap();
        assert_eq!(Tick::from(last.instant()), last);
        assert_eq!(now.since(last), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_the_clock_of_a_test_that_stands_still() {
        let begun = Tick::now();
        assert_eq!(Tick::now(), begun);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(Tick::now().since(begun), Duration::from_secs(5));
    }

    proptest! {
        /// Whatever is done with instants gives the same with ticks, also before the first reading.
        #[test]
        fn ticks_do_as_instants_do(
            first in -4_000_000_000_000_000_i64..4_000_000_000_000_000,
            second in -4_000_000_000_000_000_i64..4_000_000_000_000_000,
        ) {
            let base = *EPOCH + Duration::from_secs(100 * 86_400);
            let at = |nanos: i64| match u64::try_from(nanos) {
                Ok(nanos) => base.checked_add(Duration::from_nanos(nanos)),
                Err(_) => base.checked_sub(Duration::from_nanos(nanos.unsigned_abs())),
            };
            // A machine that has just started has no instants so long ago.
            let (Some(first), Some(second)) = (at(first), at(second)) else { return Ok(()) };
            let (one, other) = (Tick::from(first), Tick::from(second));
            prop_assert_eq!(one.instant(), first);
            prop_assert_eq!(one.cmp(&other), first.cmp(&second));
            prop_assert_eq!(one.since(other), first.saturating_duration_since(second));
            let length = second.saturating_duration_since(first);
            prop_assert_eq!(one.after(length).map(Tick::instant), first.checked_add(length));
        }
    }
}
