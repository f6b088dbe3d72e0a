//! Keys: a rate for each of many, in bounded memory.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{Config, Gcra, Rule};
use crate::{admission::Answer, tick::Tick};

/// A rate limit for each key: a tenant, a partner, an address.
///
/// At most `max_keys` are known at a time, whatever callers make up. A key is kept as a fingerprint of 128 bits:
/// each costs the same few words however long its text is, and nobody's credentials lie in memory.
///
/// # Fairness
/// A key that has come back to its full burst is no different from an unknown one, so forgetting it changes
/// nothing. Only where there is none of these, the key that *owes the least* of a few that are looked at is
/// forgotten, and gets back what it owed: an attacker that makes up keys displaces others like his own, and a
/// caller that has used up its burst stays refused. Size `max_keys` for the keys that ask within one burst's time.
///
/// Keys share short locks by their fingerprint; an engine with one key ([`RateLimit`](super::RateLimit)) has none.
#[derive(Debug)]
pub struct Keyed {
    epoch: Tick,
    // Two, because a hash has 64 bits and a collision would be two callers with one limit.
    fingerprints: [RandomState; 2],
    shards: Box<[Mutex<Shard>]>,
}

#[derive(Debug)]
struct Shard {
    rule: Rule,
    most: usize,
    places: HashMap<u128, usize>,
    entries: Vec<Entry>,
    hand: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: u128,
    arrival: u64,
}

impl Keyed {
    /// The rate of `config` for each of at most `max_keys` keys (at least one).
    pub fn new(config: &Config, max_keys: usize, epoch: impl Into<Tick>) -> Self {
        let max_keys = max_keys.max(1);
        let shards = (max_keys / KEYS_FOR_A_SHARD).clamp(1, MOST_SHARDS);
        let shard = |index| {
            // The bound is exact: the first shards take what does not divide evenly.
            let most = max_keys / shards + usize::from(index < max_keys % shards);
            Mutex::new(Shard {
                rule: Rule::new(config),
                most,
                places: HashMap::new(),
                entries: Vec::new(),
                hand: 0,
            })
        };
        Keyed {
            epoch: epoch.into(),
            fingerprints: [RandomState::new(), RandomState::new()],
            shards: (0..shards).map(shard).collect(),
        }
    }

    /// May `key` call at `now`? Going counts.
    pub fn ask(&self, key: &str, now: impl Into<Tick>) -> Answer<()> {
        let [first, second] = &self.fingerprints;
        let (first, second) = (first.hash_one(key), second.hash_one(key));
        let key = (u128::from(first) << 64) | u128::from(second);
        let place = usize::try_from(first % self.shards.len() as u64).expect("an index of a shard fits");
        lock(&self.shards[place]).ask(key, now.into().nanos_since(self.epoch))
    }

    /// Allows what `config` says from `now` on. What a key has used stays used, in calls, and never counts for more
    /// than an empty burst.
    pub fn configure(&self, config: &Config, now: impl Into<Tick>) {
        let now = now.into().nanos_since(self.epoch);
        for shard in &self.shards {
            let mut shard = lock(shard);
            let rule = Rule::new(config);
            let before = std::mem::replace(&mut shard.rule, rule.clone()).gcra;
            for entry in &mut shard.entries {
                entry.arrival = rule.gcra.take_over(before, entry.arrival, now);
            }
        }
    }

    /// How many keys are known.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).entries.len()).sum()
    }

    /// Is none known?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Shard {
    fn ask(&mut self, key: u128, now: u64) -> Answer<()> {
        if let Some(&place) = self.places.get(&key) {
            let entry = &mut self.entries[place];
            return match self.rule.gcra.next(entry.arrival, now) {
                Ok(next) => {
                    entry.arrival = next;
                    Answer::Go(())
                }
                Err(after) => Answer::No(self.rule.refusal(after)),
            };
        }
        // An unknown key has its whole burst.
        let arrival = self.rule.gcra.next(0, now).unwrap_or(now);
        self.make_room(now);
        self.places.insert(key, self.entries.len());
        self.entries.push(Entry { key, arrival });
        Answer::Go(())
    }

    /// Forgets what a hand that goes round finds full again, and the one that owes the least if that is not enough.
    fn make_room(&mut self, now: u64) {
        let mut least: Option<(u64, usize)> = None;
        let mut looks = LOOKS.min(self.entries.len());
        while looks > 0 {
            looks -= 1;
            if self.hand >= self.entries.len() {
                self.hand = 0;
                if self.entries.is_empty() {
                    return;
                }
            }
            let arrival = self.entries[self.hand].arrival;
            if Gcra::is_full(arrival, now) {
                // The last entry comes to this place, and is looked at next.
                self.forget(self.hand);
                least = None;
            } else {
                least = least.into_iter().chain([(arrival, self.hand)]).min();
                self.hand += 1;
            }
        }
        if self.entries.len() >= self.most
            && let Some((_, place)) = least
        {
            self.forget(place);
        }
    }

    fn forget(&mut self, place: usize) {
        let gone = self.entries.swap_remove(place);
        self.places.remove(&gone.key);
        if let Some(moved) = self.entries.get(place) {
            self.places.insert(moved.key, place);
        }
    }
}

/// A shard is whole between any two statements that could panic, so what a panic left is used on.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// More than the cores that ask at once on the machines that services get.
const MOST_SHARDS: usize = 16;

/// Fewer keys than this in a shard, and which of them is forgotten would be a matter of luck.
const KEYS_FOR_A_SHARD: usize = 64;

/// Entries that a new key looks at. It brings one and may forget eight, so what is full again goes faster than new
/// keys come; and the least of eight owes less than seven eighths of all.
const LOOKS: usize = 8;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use tokio::time::Instant;

    use super::*;
    use crate::admission::rate_limit::RateLimit;

    fn config(per_second: f64, burst: u32) -> Config {
        Config { per_second, burst, ..Config::default() }
    }

    fn goes(answer: &Answer<()>) -> bool {
        matches!(answer, Answer::Go(()))
    }

    #[test]
    fn each_key_has_its_own_rate() {
        let now = Instant::now();
        let keyed = Keyed::new(&config(10.0, 3), 100, now);
        for key in ["a", "b", "c"] {
            assert_eq!((0..5).filter(|_| goes(&keyed.ask(key, now))).count(), 3, "{key}");
        }
        assert_eq!(keyed.len(), 3);
        assert!(goes(&keyed.ask("a", now + Duration::from_millis(100))));
        assert!(!goes(&keyed.ask("a", now + Duration::from_millis(100))));
    }

    #[test]
    fn keys_that_are_full_again_are_forgotten_first() {
        let now = Instant::now();
        let keyed = Keyed::new(&config(10.0, 3), 60, now);
        for i in 0..60 {
            assert!(goes(&keyed.ask(&format!("early {i}"), now)));
        }
        let later = now + Duration::from_millis(100);
        for i in 0..60 {
            assert!(goes(&keyed.ask(&format!("late {i}"), later)));
        }
        assert!(keyed.len() <= 60);
        // None of the late ones was forgotten: each has used exactly one.
        for i in 0..60 {
            assert_eq!((0..3).filter(|_| goes(&keyed.ask(&format!("late {i}"), later))).count(), 2);
        }
    }

    #[test]
    fn made_up_keys_do_not_wash_away_a_caller_that_has_used_its_burst() {
        let now = Instant::now();
        let keyed = Keyed::new(&config(1.0, 100), 1_000, now);
        assert_eq!((0..200).filter(|_| goes(&keyed.ask("greedy", now))).count(), 100);
        for i in 0..20_000 {
            assert!(goes(&keyed.ask(&format!("made up {i}"), now)));
            assert!(keyed.len() <= 1_000);
        }
        assert!(!goes(&keyed.ask("greedy", now)));
    }

    #[test]
    fn a_change_reaches_every_key() {
        let now = Instant::now();
        let keyed = Keyed::new(&config(10.0, 10), 1_000, now);
        for i in 0..100 {
            (0..5).for_each(|_| assert!(goes(&keyed.ask(&i.to_string(), now))));
        }
        keyed.configure(&config(1.0, 8), now);
        for i in 0..100 {
            assert_eq!((0..9).filter(|_| goes(&keyed.ask(&i.to_string(), now))).count(), 3);
        }
    }

    proptest! {
        #[test]
        fn never_more_keys_than_the_bound_and_room_for_all_is_exact(
            max_keys in 1_usize..300,
            asks in prop::collection::vec((0_u32..400, 0_u64..50), 1..600),
        ) {
            let epoch = Instant::now();
            let keyed = Keyed::new(&config(20.0, 4), max_keys, epoch);
            let roomy = Keyed::new(&config(20.0, 4), 400 * MOST_SHARDS, epoch);
            let mut alone: HashMap<u32, RateLimit> = HashMap::new();
            let mut now = epoch;
            for (key, millis) in asks {
                now += Duration::from_millis(millis);
                let text = key.to_string();
                let _ = keyed.ask(&text, now);
                prop_assert!(keyed.len() <= max_keys);
                let one = alone.entry(key).or_insert_with(|| RateLimit::new(&config(20.0, 4), epoch));
                let expected = goes(&one.ask_at(now));
                prop_assert_eq!(goes(&roomy.ask(&text, now)), expected, "nothing is forgotten that matters");
            }
            for shard in &keyed.shards {
                let shard = lock(shard);
                prop_assert_eq!(shard.places.len(), shard.entries.len());
                prop_assert!(shard.entries.iter().enumerate().all(|(i, e)| shard.places[&e.key] == i));
            }
        }
    }
}
