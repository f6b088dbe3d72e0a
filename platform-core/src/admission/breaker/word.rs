//! Word: phase, generation and time of a breaker in one atomic, so that every transition is one exchange.
//!
//! A *generation* is the life of one phase: every transition that empties the evidence begins a new one, and a
//! call is judged only in the generation that admitted it. Because generation and phase are one word, a late
//! report cannot change a phase that it has not seen.
//!
//! ```text
//!  63          24 23      5 4    3 2   0
//! ┌──────────────┬─────────┬──────┬─────┐
//! │ at: 40 (ms)  │ gen: 19 │ hand │phase│
//! └──────────────┴─────────┴──────┴─────┘
//! ```
//!
//! 40 bits of milliseconds are 34 years. Four generations hold at least one time open, so with the defaults a call
//! would have to be under way for most of a day of outages to be taken for one of a later generation.
//!
//! This file imports nothing of the crate: the loom tests (`platform-core/loom`) compile it alone.

mod sync {
    #[cfg(loom)]
    pub(super) use loom::sync::atomic::{AtomicU64, Ordering};
    #[cfg(not(loom))]
    pub(super) use std::sync::atomic::{AtomicU64, Ordering};
}

use sync::{AtomicU64, Ordering};

/// The word, shared by all calls to one target.
#[derive(Debug)]
pub(super) struct Word(AtomicU64);

/// One reading of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen(u64);

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It goes on.
    Closed,
    /// It does not, until `at`.
    Open,
    /// It becomes the probe.
    HalfOpen,
    /// It does not: a probe is under way since `at`.
    Probing,
    /// It may be one of a share that grows since `at`.
    Ramp,
}

/// What a person has decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hand {
    /// Nothing: the evidence decides.
    Off,
    /// No call goes on.
    Open,
    /// Every call goes on.
    Closed,
}

impl Seen {
    fn of(phase: Phase, hand: Hand, generation: u32, at: u64) -> Self {
        let generation = u64::from(generation) & GENERATIONS;
        Seen(at.min(LATEST) << AT | generation << GENERATION | (hand as u64) << HAND | phase as u64)
    }

    /// Closed, and nobody's hand on it: the one question that every call asks.
    #[inline]
    pub(super) fn is_closed(self) -> bool {
        self.0 & ((1 << GENERATION) - 1) == 0
    }

    #[inline]
    pub(super) fn phase(self) -> Phase {
        match self.0 & PHASES {
            0 => Phase::Closed,
            1 => Phase::Open,
            2 => Phase::HalfOpen,
            3 => Phase::Probing,
            _ => Phase::Ramp,
        }
    }

    #[inline]
    pub(super) fn hand(self) -> Hand {
        match self.0 >> HAND & HANDS {
            0 => Hand::Off,
            1 => Hand::Open,
            _ => Hand::Closed,
        }
    }

    #[inline]
    pub(super) fn generation(self) -> u32 {
        (self.0 >> GENERATION & GENERATIONS) as u32
    }

    /// Milliseconds since the breaker was made.
    pub(super) fn at(self) -> u64 {
        self.0 >> AT
    }

    /// The next generation.
    fn next(self, phase: Phase, at: u64) -> Self {
        Seen::of(phase, Hand::Off, self.generation().wrapping_add(1), at)
    }
}

impl Word {
    pub(super) fn new() -> Self {
        Word(AtomicU64::new(Seen::of(Phase::Closed, Hand::Off, 0, 0).0))
    }

    #[inline]
    pub(super) fn see(&self) -> Seen {
        Seen(self.0.load(Ordering::Acquire))
    }

    /// The evidence of `generation` speaks against the target. Nothing happens if another call of it came first.
    pub(super) fn trip(&self, generation: u32, until: u64) -> Option<Seen> {
        self.change(|seen| {
            let may = seen.is_in(generation)
                && matches!(seen.phase(), Phase::Closed | Phase::Probing | Phase::Ramp);
            may.then(|| seen.next(Phase::Open, until))
        })
    }

    /// Becomes the probe, if nothing has happened since `seen`. The caller has looked at the time.
    pub(super) fn claim(&self, seen: Seen, now: u64) -> Option<Seen> {
        if seen.hand() != Hand::Off {
            return None;
        }
        let probing = match seen.phase() {
            Phase::Open | Phase::HalfOpen => Seen::of(Phase::Probing, Hand::Off, seen.generation(), now),
            // Instead of a probe that nobody heard of again: what it may still say is of a past generation.
            Phase::Probing => seen.next(Phase::Probing, now),
            Phase::Closed | Phase::Ramp => return None,
        };
        self.exchange(seen, probing)
    }

    /// The probe of `generation` said nothing: the next call is one.
    pub(super) fn let_go(&self, generation: u32) -> Option<Seen> {
        self.change(|seen| {
            let may = seen.is_in(generation) && seen.phase() == Phase::Probing;
            may.then(|| Seen::of(Phase::HalfOpen, Hand::Off, generation, seen.at()))
        })
    }

    /// The probe of `generation` came back well.
    pub(super) fn ramp(&self, generation: u32, now: u64) -> Option<Seen> {
        self.change(|seen| {
            let may = seen.is_in(generation) && seen.phase() == Phase::Probing;
            may.then(|| seen.next(Phase::Ramp, now))
        })
    }

    /// The ramp has come to its end, if nothing has happened since `seen`.
    pub(super) fn close(&self, seen: Seen) -> Option<Seen> {
        match seen.phase() {
            Phase::Ramp => self.exchange(seen, seen.next(Phase::Closed, 0)),
            _ => None,
        }
    }

    /// Begins anew under this hand, if it is another one: closed, without evidence.
    pub(super) fn force(&self, hand: Hand) -> Option<Seen> {
        self.change(|seen| {
            let other = seen.hand() != hand;
            other.then(|| Seen::of(Phase::Closed, hand, seen.generation().wrapping_add(1), 0))
        })
    }

    /// Forgets the evidence where there may be some.
    pub(super) fn forget(&self) {
        self.change(|seen| {
            let counts = matches!(seen.phase(), Phase::Closed | Phase::Ramp);
            // The exchange also where nothing changes: it publishes what was stored before it.
            let generation = seen.generation().wrapping_add(u32::from(counts));
            Some(Seen::of(seen.phase(), seen.hand(), generation, seen.at()))
        });
    }

    fn change(&self, to: impl Fn(Seen) -> Option<Seen>) -> Option<Seen> {
        let mut seen = self.see();
        loop {
            let next = to(seen)?;
            match self.0.compare_exchange(seen.0, next.0, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(next),
                Err(other) => seen = Seen(other),
            }
        }
    }

    fn exchange(&self, seen: Seen, next: Seen) -> Option<Seen> {
        self.0.compare_exchange(seen.0, next.0, Ordering::AcqRel, Ordering::Acquire).ok().map(|_| next)
    }
}

impl Seen {
    /// Does evidence of `generation` count?
    fn is_in(self, generation: u32) -> bool {
        self.generation() == generation && self.hand() == Hand::Off
    }
}

const PHASES: u64 = (1 << HAND) - 1;
const HAND: u32 = 3;
const HANDS: u64 = 3;
const GENERATION: u32 = 5;
const GENERATIONS: u64 = (1 << (AT - GENERATION)) - 1;
const AT: u32 = 24;
const LATEST: u64 = (1 << (64 - AT)) - 1;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_word_says_what_was_put_into_it() {
        let phases = [Phase::Closed, Phase::Open, Phase::HalfOpen, Phase::Probing, Phase::Ramp];
        for phase in phases {
            for hand in [Hand::Off, Hand::Open, Hand::Closed] {
                for (generation, at) in [(0, 0), (1, 1), (0x7_ffff, LATEST)] {
                    let seen = Seen::of(phase, hand, generation, at);
                    let said = (seen.phase(), seen.hand(), seen.generation(), seen.at());
                    assert_eq!(said, (phase, hand, generation, at));
                    assert_eq!(seen.is_closed(), phase == Phase::Closed && hand == Hand::Off);
                }
            }
        }
        let last = Seen::of(Phase::Closed, Hand::Off, 0x7_ffff, 7);
        assert_eq!(
            (last.next(Phase::Open, u64::MAX).generation(), last.next(Phase::Open, u64::MAX).at()),
            (0, LATEST)
        );
    }

    #[test]
    fn only_the_generation_that_lives_is_heard() {
        let word = Word::new();
        assert!(word.trip(1, 10).is_none());
        assert_eq!(word.trip(0, 10).map(|seen| (seen.generation(), seen.at())), Some((1, 10)));
        assert!(word.trip(0, 20).is_none(), "a second call of the same generation");
        assert!(word.trip(1, 20).is_none(), "nothing was admitted while open");
        let probe = word.claim(word.see(), 10).unwrap();
        assert!(word.trip(0, 20).is_none() && word.ramp(0, 20).is_none() && word.let_go(0).is_none());
        assert_eq!(word.let_go(probe.generation()).map(Seen::phase), Some(Phase::HalfOpen));
        let probe = word.claim(word.see(), 11).unwrap();
        let later = word.claim(word.see(), 99).unwrap();
        assert!(word.ramp(probe.generation(), 99).is_none(), "the probe that was given up");
        assert_eq!(word.ramp(later.generation(), 99).map(Seen::phase), Some(Phase::Ramp));
        assert_eq!(word.close(word.see()).map(Seen::phase), Some(Phase::Closed));
    }

    #[test]
    fn under_a_hand_no_evidence_counts() {
        let word = Word::new();
        word.force(Hand::Closed).unwrap();
        assert!(word.trip(word.see().generation(), 10).is_none());
        assert!(!word.see().is_closed());
        word.force(Hand::Off).unwrap();
        assert!(word.force(Hand::Off).is_none());
        assert!(word.see().is_closed());
        assert_eq!(word.see().generation(), 2);
    }

    #[test]
    fn forgetting_leaves_a_probe_its_generation() {
        let word = Word::new();
        word.forget();
        assert_eq!(word.see().generation(), 1);
        word.trip(1, 10).unwrap();
        let probe = word.claim(word.see(), 10).unwrap();
        word.forget();
        assert!(word.see() == probe);
    }
}
