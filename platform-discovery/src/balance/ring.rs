//! Where on a ring does each key belong?
//!
//! Every endpoint stands at many places of a ring; a key belongs to the next place clockwise. Where an endpoint
//! stands follows from its name alone, so that all clients agree, and so that an endpoint that comes takes keys only
//! to itself and one that leaves gives away only its own.

use super::hash;

/// The places of a set of endpoints, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Ring {
    places: Box<[Place]>,
    /// The weight of all.
    weight: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    at: u32,
    endpoint: u32,
}

impl Ring {
    /// From names and weights. Who weighs nothing stands nowhere, unless nobody weighs anything.
    pub(super) fn new<'a>(endpoints: impl Iterator<Item = (&'a str, u32)> + Clone) -> Self {
        let heaviest = endpoints.clone().map(|(_, weight)| weight).max().unwrap_or_default();
        let total = weight(endpoints.clone().map(|(_, weight)| weight));
        // A power of two, so that the number of places rarely changes with the weight of somebody else.
        let full = u64::from(heaviest.max(1)).next_power_of_two();
        let mut places = Vec::new();
        for (number, (name, own)) in (0_u32..).zip(endpoints) {
            let own = u64::from(if heaviest == 0 { 1 } else { own });
            let seed = hash::of(name);
            let places_here = (own * PLACES).div_ceil(full);
            places.extend((0..places_here).map(|step| {
                // The upper half is as random as the whole, and 2³² places are enough for anybody.
                let at = (hash::mix(seed ^ hash::golden(step)) >> 32) as u32;
                Place { at, endpoint: number }
            }));
        }
        places.sort_unstable();
        Ring { places: places.into(), weight: total }
    }

    /// The weight of all endpoints.
    pub(super) fn weight(&self) -> u64 {
        self.weight
    }

    /// The endpoints in the order in which they are to be asked for `key`, one after the other; an endpoint may
    /// come again. Empty if there are none.
    pub(super) fn from(&self, key: u64) -> impl Iterator<Item = usize> + '_ {
        let key = (key >> 32) as u32;
        let start = self.places.partition_point(|place| place.at < key);
        let (before, after) = self.places.split_at(start);
        after.iter().chain(before).map(|place| place.endpoint as usize)
    }
}

/// What endpoints of such weights weigh together. Where nobody weighs anything all weigh the same.
pub(super) fn weight(weights: impl Iterator<Item = u32> + Clone) -> u64 {
    match weights.clone().map(u64::from).sum() {
        0 => weights.count() as u64,
        sum => sum,
    }
}

/// For an endpoint of the heaviest weight: each has its share of the keys to within a tenth or so (1/√128), for
/// 1 KiB of memory.
pub(super) const PLACES: u64 = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ring(names: &[(String, u32)]) -> Ring {
        Ring::new(names.iter().map(|(name, weight)| (name.as_str(), *weight)))
    }

    fn names(count: usize) -> Vec<(String, u32)> {
        (0..count).map(|number| (format!("catalog-{number}"), 1)).collect()
    }

    fn owner<'a>(ring: &Ring, names: &'a [(String, u32)], key: u64) -> Option<&'a str> {
        ring.from(hash::mix(key)).next().map(|index| names[index].0.as_str())
    }

    #[test]
    fn keys_are_shared_by_weight() {
        // The lightest stand at the fewest places, and are the least exact.
        for (weights, least, most) in [([1; 10], 0.75, 1.3), ([1, 1, 1, 4, 0, 1, 1, 1, 1, 1], 0.6, 1.5)] {
            let names: Vec<(String, u32)> =
                names(10).into_iter().zip(weights).map(|((name, _), weight)| (name, weight)).collect();
            let ring = ring(&names);
            let mut owned = [0_u32; 10];
            for key in 0..120_000 {
                owned[ring.from(hash::mix(key)).next().unwrap()] += 1;
            }
            let total: u32 = weights.iter().sum();
            assert_eq!(ring.weight(), u64::from(total));
            for (owned, weight) in owned.into_iter().zip(weights) {
                let fair = 120_000.0 * f64::from(weight) / f64::from(total);
                let owned = f64::from(owned);
                assert!((fair * least..=fair * most).contains(&owned), "{owned} of {fair}, weight {weight}");
            }
        }
    }

    #[test]
    fn nobody_one_and_none_that_weighs() {
        assert_eq!(Ring::default().from(7).next(), None);
        assert_eq!(ring(&[("a".into(), 5)]).from(u64::MAX).next(), Some(0));
        let weightless = ring(&[("a".into(), 0), ("b".into(), 0)]);
        let both: std::collections::BTreeSet<usize> = weightless.from(0).collect();
        assert_eq!(both, [0, 1].into());
    }

    proptest! {
        /// Who leaves gives away its own keys and nobody else's; read backwards, who comes takes keys only to itself.
        #[test]
        fn only_the_keys_of_who_left_move(count in 2_usize..30, gone in 0_usize..30, keys in prop::collection::vec(any::<u64>(), 50)) {
            let before = names(count);
            let mut after = before.clone();
            let (gone, _) = after.remove(gone % count);
            let rings = (ring(&before), ring(&after));
            for key in keys {
                let was = owner(&rings.0, &before, key).unwrap();
                let is = owner(&rings.1, &after, key).unwrap();
                prop_assert!(was == is || was == gone, "{key}: from {was} to {is}, {gone} left");
            }
        }

        #[test]
        fn everybody_is_somewhere_on_the_way_around(count in 1_usize..30, key: u64) {
            let ring = ring(&names(count));
            let met: std::collections::BTreeSet<usize> = ring.from(key).collect();
            prop_assert_eq!(met.len(), count);
        }
    }
}
