//! Who says the same again and again?
//!
//! A place in the code is known by its static metadata, so that nothing is hashed but an address, and no value that a
//! line carries makes it a different one. In each second a place is heard a few times, then every so often.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use tracing::Metadata;

/// How often each place is heard.
#[derive(Debug)]
pub(super) struct Sampler {
    first: u64,
    then_every: u64,
    places: Box<[Place]>,
}

/// A place in the code, and what it said.
#[derive(Debug, Default)]
pub(super) struct Place {
    metadata: OnceLock<&'static Metadata<'static>>,
    /// The second in the upper half, how often it spoke in it in the lower.
    spoken: AtomicU64,
    /// Since somebody was told.
    suppressed: AtomicU64,
}

impl Sampler {
    pub(super) fn new(first: u32, then_every: u32) -> Self {
        let places = (0..PLACES).map(|_| Place::default()).collect();
        Sampler { first: u64::from(first), then_every: u64::from(then_every.max(1)), places }
    }

    /// Where this one is counted; `None` when there are more places than any program has.
    pub(super) fn place(&self, metadata: &'static Metadata<'static>) -> Option<&Place> {
        let address = std::ptr::from_ref(metadata).addr() as u64;
        let start = (address >> 3).wrapping_mul(GOLDEN) >> (u64::BITS - PLACES.trailing_zeros());
        (0..TRIES).find_map(|step| {
            let place = &self.places[(start as usize + step) % PLACES];
            let known = *place.metadata.get_or_init(|| metadata);
            std::ptr::eq(known, metadata).then_some(place)
        })
    }

    /// How many lines this one stands for; `None` if it is not heard.
    pub(super) fn hears(&self, place: &Place, second: u64) -> Option<u32> {
        let spoken = place.speak(second);
        if spoken <= self.first {
            return Some(1);
        }
        let nth = (spoken - self.first).is_multiple_of(self.then_every);
        nth.then(|| u32::try_from(self.then_every).unwrap_or(u32::MAX))
    }

    /// Shows every place that was not always heard since it was asked last, and how often not.
    pub(super) fn told(&self, mut show: impl FnMut(&'static Metadata<'static>, u64)) {
        for place in &self.places {
            let Some(metadata) = place.metadata.get() else { continue };
            let suppressed = place.suppressed.swap(0, Relaxed);
            if suppressed > 0 {
                show(metadata, suppressed);
            }
        }
    }
}

impl Place {
    /// Counts a line that was not said.
    pub(super) fn suppress(&self) {
        self.suppressed.fetch_add(1, Relaxed);
    }

    /// How often it spoke in this second, this time included.
    fn speak(&self, second: u64) -> u64 {
        let now = (second & SECONDS) << 32;
        let before = self.spoken.load(Relaxed);
        if before & !COUNT != now && self.spoken.compare_exchange(before, now | 1, Relaxed, Relaxed).is_ok() {
            return 1;
        }
        // Four thousand million lines in a second would carry into the second, which begins a new count.
        (self.spoken.fetch_add(1, Relaxed) & COUNT) + 1
    }
}

/// Places that are told apart, a power of two: programs have some hundreds from which lines are said at all.
const PLACES: usize = 1024;
/// How far a place is looked for: in a table that is half full none is further.
const TRIES: usize = 64;
/// Spreads addresses, which are multiples of something, over the table.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
const COUNT: u64 = u32::MAX as u64;
const SECONDS: u64 = u32::MAX as u64;

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// Places that exist for a test; each call makes others.
    fn places() -> [&'static Metadata<'static>; 2] {
        struct Nowhere;
        impl tracing::Callsite for Nowhere {
            fn set_interest(&self, _: tracing::subscriber::Interest) {}

            fn metadata(&self) -> &Metadata<'_> {
                unreachable!("nobody registers it")
            }
        }
        static NOWHERE: Nowhere = Nowhere;
        ["one", "two"].map(|name| {
            let fields = tracing::field::FieldSet::new(&[], tracing::callsite::Identifier(&NOWHERE));
            let kind = tracing::metadata::Kind::EVENT;
            let metadata = Metadata::new(name, "test", tracing::Level::INFO, None, None, None, fields, kind);
            &*Box::leak(Box::new(metadata))
        })
    }

    fn told(sampler: &Sampler) -> Vec<(&'static str, u64)> {
        let mut told = Vec::new();
        sampler.told(|metadata, suppressed| told.push((metadata.name(), suppressed)));
        told.sort_unstable();
        told
    }

    #[test]
    fn each_place_is_heard_a_few_times_a_second_and_then_every_so_often() {
        let sampler = Sampler::new(3, 10);
        let [one, two] = places();
        for second in [0, 1, 4] {
            let place = sampler.place(one).unwrap();
            let heard: Vec<_> = (1..=33).filter_map(|n| Some((n, sampler.hears(place, second)?))).collect();
            assert_eq!(heard, [(1, 1), (2, 1), (3, 1), (13, 10), (23, 10), (33, 10)], "second {second}");
            // Nobody else's count moves.
            assert_eq!(sampler.hears(sampler.place(two).unwrap(), second), Some(1));
        }
        assert!(told(&sampler).is_empty());
        let [first, second] = places().map(|metadata| sampler.place(metadata).unwrap());
        (0..7).for_each(|_| first.suppress());
        second.suppress();
        assert_eq!(told(&sampler), [("one", 7), ("two", 1)]);
        assert!(told(&sampler).is_empty(), "told once");
    }

    #[test]
    fn every_line_is_one_of_many() {
        let sampler = Sampler::new(1, 1);
        let place = sampler.place(places()[0]).unwrap();
        assert!((0..100).all(|_| sampler.hears(place, 7) == Some(1)));
    }

    #[test]
    fn a_place_is_found_again_however_many_there_are() {
        let sampler = Sampler::new(10, 100);
        let many: Vec<_> = (0..PLACES / 4).flat_map(|_| places()).collect();
        for metadata in &many {
            sampler.place(metadata).unwrap().suppress();
        }
        assert_eq!(told(&sampler).len(), many.len(), "no two share a count");
        for metadata in &many {
            sampler.place(metadata).unwrap().suppress();
        }
        assert!(told(&sampler).iter().all(|(_, suppressed)| *suppressed == 1));
    }

    #[test]
    fn many_threads_count_each_line_once() {
        let sampler = Sampler::new(10, 100);
        let place = sampler.place(places()[0]).unwrap();
        let hear = || (0..10_000).filter(|_| sampler.hears(place, 9).is_some()).count();
        let heard: usize = thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(hear)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(heard, 10 + (40_000 - 10) / 100);
    }
}
