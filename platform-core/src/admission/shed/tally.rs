//! Tally: who was seen lately, and how often each tenant?

use std::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};

use super::Rank;

/// The last [`SEEN`] ranks, and how many of them are each tenant's: known at once, without a look at all of them.
#[derive(Debug)]
pub(super) struct Tally {
    /// Ranks as words.
    seen: Box<[AtomicU64]>,
    /// By two parts of a tenant's hash. Two tenants that share a place in both are one in a million.
    counts: [Box<[AtomicU32]>; 2],
    /// Places of the first that are not 0: about as many tenants as there are.
    tenants: AtomicU32,
}

impl Tally {
    pub(super) fn new() -> Self {
        let counts = || (0..=PLACES).map(|_| AtomicU32::new(0)).collect();
        Tally {
            seen: (0..SEEN).map(|_| AtomicU64::new(NOBODY)).collect(),
            counts: [counts(), counts()],
            tenants: AtomicU32::new(0),
        }
    }

    /// One more, in place of the one that was seen [`SEEN`] before it.
    pub(super) fn add(&self, number: usize, rank: Rank) {
        // Before its word can be seen: whoever takes that out may count it out at once, and a count has no debts. Each
        // word that was put in is taken out once, whoever does it, so nothing is counted twice.
        self.count_in(rank);
        let before = self.seen[number % SEEN].swap(rank.word(), AcqRel);
        self.count_out(before);
    }

    /// The first so many, or all.
    pub(super) fn ranks(&self, many: usize) -> Vec<Rank> {
        let words = self.seen[..many.min(SEEN)].iter().map(|word| word.load(Relaxed));
        words.filter(|word| *word != NOBODY).map(Rank::of_word).collect()
    }

    /// Nobody was seen.
    pub(super) fn clear(&self) {
        for word in &self.seen {
            self.count_out(word.swap(NOBODY, Acquire));
        }
    }

    /// Does its tenant ask for clearly more than an equal share of so many?
    pub(super) fn is_noisy(&self, rank: Rank, many: usize) -> bool {
        // Who has no tenant is never noisy: there may be thousands behind it.
        if rank.tenant() == 0 {
            return false;
        }
        let [one, other] = places(rank.tenant());
        let count = self.counts[0][one].load(Relaxed).min(self.counts[1][other].load(Relaxed));
        let tenants = self.tenants.load(Relaxed) as usize;
        f64::from(count) > clearly_above(many.min(SEEN), tenants)
    }

    fn count_in(&self, rank: Rank) {
        let [one, other] = places(rank.tenant());
        self.counts[1][other].fetch_add(1, Relaxed);
        if self.counts[0][one].fetch_add(1, Relaxed) == 0 {
            self.tenants.fetch_add(1, Relaxed);
        }
    }

    fn count_out(&self, word: u64) {
        if word == NOBODY {
            return;
        }
        let [one, other] = places(Rank::of_word(word).tenant());
        self.counts[1][other].fetch_sub(1, Relaxed);
        if self.counts[0][one].fetch_sub(1, Relaxed) == 1 {
            self.tenants.fetch_sub(1, Relaxed);
        }
    }
}

/// From how many of `all` requests on a tenant asks for clearly more than its equal share: what equal tenants ask for by
/// chance is no noise. With fewer than two there is nothing to compare.
pub(super) fn clearly_above(all: usize, tenants: usize) -> f64 {
    if tenants < 2 {
        return f64::INFINITY;
    }
    let equal = all as f64 / tenants as f64;
    equal + SPREAD * equal.sqrt()
}

/// Those without a tenant have a place of their own.
fn places(tenant: u32) -> [usize; 2] {
    if tenant == 0 {
        return [PLACES; 2];
    }
    let part = |shift: u32| (tenant >> shift) as usize % PLACES;
    [part(0), part(16)]
}

/// What Cinnamon and failsafe-go remember: enough for a quantile of one in a hundred.
pub(super) const SEEN: usize = 1024;

/// As many as can be seen.
const PLACES: usize = 1024;

/// Three deviations: of a thousand equal tenants, one is called noisy by mistake.
const SPREAD: f64 = 3.0;

/// No rank: those have 48 bits.
const NOBODY: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    /// A tenant whose hash is spread over all bits, as those of names are.
    fn tenant(number: u32) -> Rank {
        Rank::new(256, (number + 1).wrapping_mul(0x9e37_79b1))
    }

    #[test]
    fn one_that_asks_for_more_is_known_at_once_and_forgotten_with_what_it_asked() {
        let tally = Tally::new();
        for number in 0..32 {
            tally.add(number, tenant(if number % 8 == 0 { number as u32 } else { 99 }));
        }
        assert!(tally.is_noisy(tenant(99), 32) && !tally.is_noisy(tenant(8), 32));
        for number in 32..32 + SEEN {
            tally.add(number, tenant(number as u32 % 8));
        }
        assert_eq!(tally.tenants.load(Relaxed), 8);
        assert!(
            (0..8).all(|number| !tally.is_noisy(tenant(number), SEEN)) && !tally.is_noisy(tenant(99), SEEN)
        );
        tally.clear();
        assert!(tally.ranks(SEEN).is_empty());
        assert_eq!(tally.tenants.load(Relaxed), 0);
        assert!(tally.counts.iter().flatten().all(|count| count.load(Relaxed) == 0));
    }

    #[test]
    fn nobody_in_particular_is_never_noisy_and_one_alone_is_not_either() {
        let tally = Tally::new();
        (0..100).for_each(|number| tally.add(number, Rank::new(256, 0)));
        tally.add(100, tenant(1));
        assert!(!tally.is_noisy(Rank::new(256, 0), 101) && !tally.is_noisy(tenant(1), 101));
        tally.clear();
        (0..100).for_each(|number| tally.add(number, tenant(1)));
        assert!(!tally.is_noisy(tenant(1), 100));
    }

    #[test]
    fn no_count_is_ever_below_nothing() {
        const THREADS: u32 = 4;
        let tally = Tally::new();
        let counts = |thread: u32| {
            let [one, other] = places(tenant(thread).tenant());
            [tally.counts[0][one].load(Relaxed), tally.counts[1][other].load(Relaxed)]
        };
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (tally, counts) = (&tally, &counts);
                scope.spawn(move || {
                    for _ in 0..200_000 {
                        // All in one place: each takes out what another has just put in.
                        tally.add(0, tenant(thread));
                        // Of each tenant the last one, and what each thread has not taken out yet.
                        let all = [0, 1, 2, 3].map(counts);
                        assert!(all.iter().flatten().all(|count| *count <= 1 + THREADS), "{all:?}");
                    }
                });
            }
        });
    }

    #[test]
    fn threads_that_see_and_forget_at_once_leave_the_counts_whole() {
        let tally = Tally::new();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let tally = &tally;
                scope.spawn(move || {
                    for number in 0..20_000 {
                        tally.add(number * 7 + thread, tenant((number % 50) as u32));
                        if number % 5_000 == 0 {
                            tally.clear();
                        }
                    }
                });
            }
        });
        let all: u32 = tally.counts[0].iter().map(|count| count.load(Relaxed)).sum();
        assert_eq!(all as usize, tally.ranks(SEEN).len());
        tally.clear();
        assert!(tally.counts.iter().flatten().all(|count| count.load(Relaxed) == 0));
        assert_eq!(tally.tenants.load(Relaxed), 0);
    }
}
