//! Which zone gets how much of our traffic?
//!
//! Staying in one's own zone is faster and costs nothing; staying there at any price overloads a zone that has lost
//! half of its endpoints. So each zone *keeps* as much of its own traffic as its endpoints can carry, and what is
//! too much *spills* to the others, in proportion to what they have to spare.
//!
//! Both sides are shares of the whole: a zone's share of the capacity is the weight of its healthy endpoints; its
//! share of the traffic is
//!
//! * the share of our own kind that runs there, if this service is registered and can count its equals (each kind of
//!   client shares out its own traffic, so that all together are shared out);
//! * otherwise the same for each zone, and then a zone is taken to have [`RESERVE`]: one endpoint more or less, or
//!   a quarter of them restarting, moves nobody. A zone that is much too small for an even share spills from the
//!   beginning, and one that has lost a third of its endpoints begins to.
//!
//! Nobody keeps a count of failures here: the shares follow from who is healthy now, so traffic goes home as soon
//! as home has recovered.
//!
//! Zones are ignored, and everybody is asked alike, where there are too few endpoints for a choice ([`FEWEST`],
//! [`FEWEST_EACH`]), where we have no zone, and where nobody healthy is in ours. Endpoints that name no zone always
//! get their share of the capacity.

/// One zone, as far as it matters here.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Zone {
    /// How many endpoints there are, whatever their health: whether zones matter must not depend on it.
    pub(super) endpoints: usize,
    /// The weight of the healthy ones.
    pub(super) capacity: f64,
    /// How many of our own kind run there.
    pub(super) peers: f64,
    /// These endpoints name no zone.
    pub(super) nowhere: bool,
}

/// The share of our traffic for each zone, together 1; `None` where zones are ignored.
///
/// `home` is ours among them. `peers` is how many of our own kind there are in all zones; 0 if nobody knows.
pub(super) fn shares(zones: &[Zone], home: Option<usize>, peers: f64) -> Option<Vec<f64>> {
    let capacity: f64 = zones.iter().map(|zone| zone.capacity).sum();
    let home = home.filter(|home| zones[*home].capacity > 0.0 && matter(zones))?;
    let even: Vec<f64> = zones.iter().map(|zone| zone.capacity / capacity).collect();
    Some(near(zones, &even, home, peers))
}

/// Home first; `even` is each zone's share of the capacity.
fn near(zones: &[Zone], even: &[f64], home: usize, peers: f64) -> Vec<f64> {
    let named: f64 = zones.iter().zip(even).filter(|(zone, _)| !zone.nowhere).map(|(_, share)| share).sum();
    let known = peers > 0.0 && zones[home].peers > 0.0;
    let reserve = if known { 1.0 } else { RESERVE };
    let inhabited = zones.iter().filter(|zone| !zone.nowhere).count();
    let demand = |zone: &Zone| match (zone.nowhere, known) {
        (true, _) => 0.0,
        (false, true) => zone.peers / peers,
        (false, false) => 1.0 / inhabited as f64,
    };
    let carries = |index: usize| if zones[index].nowhere { 0.0 } else { even[index] / named * reserve };
    let kept = (carries(home) / demand(&zones[home])).min(1.0);

    let spare: Vec<f64> = (0..zones.len())
        .map(|index| if index == home { 0.0 } else { (carries(index) - demand(&zones[index])).max(0.0) })
        .collect();
    let room: f64 = spare.iter().sum();
    let spilled = 1.0 - kept;
    (0..zones.len())
        .map(|index| {
            // What names no zone is neither near nor far.
            if zones[index].nowhere {
                return even[index];
            }
            let own = if index == home { kept } else { 0.0 };
            let spill = if room > 0.0 { spilled * spare[index] / room } else { 0.0 };
            // Nobody has room, which only rounding can bring about: home keeps it all.
            let rest = if room <= 0.0 && index == home { spilled } else { 0.0 };
            named * (own + spill + rest)
        })
        .collect()
}

/// Whether there is enough to choose from.
fn matter(zones: &[Zone]) -> bool {
    let inhabited = zones.iter().filter(|zone| !zone.nowhere).count();
    let endpoints: usize = zones.iter().filter(|zone| !zone.nowhere).map(|zone| zone.endpoints).sum();
    inhabited > 1 && endpoints >= FEWEST && endpoints >= FEWEST_EACH * inhabited
}

/// Envoy's `overprovisioning_factor` and `min_cluster_size` mark what is usual: 1.4 and 6.
pub(super) const RESERVE: f64 = 1.4;
/// With fewer endpoints than this, one that fails is most of a zone.
pub(super) const FEWEST: usize = 6;
/// With fewer for each zone than this, a repeat would have to leave it at once.
pub(super) const FEWEST_EACH: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What it is about, healthy endpoints of all in each zone, which zone is ours, and percent.
    type Row = (&'static str, &'static [(usize, usize)], Option<usize>, &'static [i64]);

    /// Healthy endpoints of all.
    fn zone(healthy: usize, endpoints: usize) -> Zone {
        Zone { endpoints, capacity: healthy as f64, ..Zone::default() }
    }

    /// In percent; empty where zones are ignored.
    fn percent(shares: Option<Vec<f64>>) -> Vec<i64> {
        shares.into_iter().flatten().map(|share| (share * 100.0).round() as i64).collect()
    }

    #[test]
    fn home_keeps_what_it_can_carry_and_the_rest_spills_in_proportion() {
        let table: [Row; 14] = [
            ("all is well", &[(4, 4), (4, 4), (4, 4)], Some(0), &[100, 0, 0]),
            ("one of four is missing", &[(3, 4), (4, 4), (4, 4)], Some(0), &[100, 0, 0]),
            ("two of four", &[(2, 4), (4, 4), (4, 4)], Some(0), &[84, 8, 8]),
            ("three of four", &[(1, 4), (4, 4), (4, 4)], Some(0), &[47, 27, 27]),
            ("home is lost", &[(0, 4), (4, 4), (4, 4)], Some(0), &[]),
            ("and is back", &[(4, 4), (4, 4), (4, 4)], Some(0), &[100, 0, 0]),
            ("the others spill, we do not", &[(4, 4), (0, 4), (4, 4)], Some(0), &[100, 0, 0]),
            ("a small zone spills always", &[(2, 2), (10, 10)], Some(0), &[47, 53]),
            ("the larger spare takes more", &[(1, 4), (4, 4), (8, 8)], Some(0), &[32, 11, 57]),
            ("no zone of our own", &[(2, 2), (6, 6)], None, &[]),
            ("fewer than six", &[(3, 3), (2, 2)], Some(0), &[]),
            ("fewer than two each", &[(4, 4), (1, 1), (1, 1), (1, 1)], Some(0), &[]),
            ("one zone", &[(8, 8)], Some(0), &[]),
            ("nobody", &[(0, 4), (0, 4)], Some(0), &[]),
        ];
        for (what, zones, home, wanted) in table {
            let zones: Vec<Zone> = zones.iter().map(|(healthy, all)| zone(*healthy, *all)).collect();
            assert_eq!(percent(shares(&zones, home, 0.0)), wanted, "{what}");
        }
    }

    #[test]
    fn where_our_own_kind_runs_decides_if_it_is_known() {
        let zones = |peers: [f64; 3], healthy: [usize; 3]| {
            [0, 1, 2].map(|n| Zone { peers: peers[n], ..zone(healthy[n], 4) })
        };
        // A third of the capacity carries half of the traffic: a third of that half is too much.
        let table = [
            ([6.0, 3.0, 3.0], [4, 4, 4], [67, 17, 17]),
            ([12.0, 0.0, 0.0], [4, 4, 4], [33, 33, 33]),
            ([4.0, 4.0, 4.0], [4, 4, 4], [100, 0, 0]),
            // Without a reserve that nobody knows to be there, one missing endpoint is felt at once.
            ([4.0, 4.0, 4.0], [3, 4, 4], [82, 9, 9]),
            // None of us is in our own zone: then it cannot be true, and nobody knows.
            ([0.0, 4.0, 4.0], [4, 4, 4], [100, 0, 0]),
        ];
        for (peers, healthy, wanted) in table {
            let all: f64 = peers.iter().sum();
            assert_eq!(
                percent(shares(&zones(peers, healthy), Some(0), all)),
                wanted,
                "{peers:?} {healthy:?}"
            );
        }
        // Some of us run where there is no endpoint: they spill too, so that the others have less to spare.
        let lonely = percent(shares(&zones([6.0, 0.0, 3.0], [4, 4, 4]), Some(0), 12.0));
        assert_eq!(lonely, [67, 27, 7]);
    }

    #[test]
    fn who_names_no_zone_gets_an_even_share() {
        let nowhere = Zone { nowhere: true, ..zone(4, 4) };
        let zones = [zone(4, 4), zone(4, 4), nowhere];
        assert_eq!(percent(shares(&zones, Some(0), 0.0)), [67, 0, 33]);
        assert_eq!(shares(&[zone(4, 4), nowhere], Some(0), 0.0), None, "one zone is no choice");
        assert_eq!(shares(&[zone(0, 4), zone(0, 4), nowhere], Some(0), 0.0), None);
    }

    fn any_zones() -> impl Strategy<Value = Vec<Zone>> {
        let one = (1_usize..20, 0.0_f64..=1.0, 0_u32..10, prop::bool::weighted(0.2));
        let zone = one.prop_map(|(endpoints, healthy, peers, nowhere)| Zone {
            endpoints,
            capacity: (endpoints as f64 * healthy).round(),
            peers: if nowhere { 0.0 } else { peers.into() },
            nowhere,
        });
        prop::collection::vec(zone, 1..8).prop_map(|mut zones| {
            // Only one group can be that of no zone.
            let first = zones.iter().position(|zone| zone.nowhere);
            zones.iter_mut().enumerate().for_each(|(at, zone)| zone.nowhere &= Some(at) == first);
            zones
        })
    }

    proptest! {
        #[test]
        fn shares_are_conserved(zones in any_zones(), home: prop::sample::Index, know: bool) {
            let home = home.index(zones.len());
            let home = Some(home).filter(|home| !zones[*home].nowhere);
            let peers = if know { zones.iter().map(|zone| zone.peers).sum() } else { 0.0 };
            let Some(shares) = shares(&zones, home, peers) else { return Ok(()) };
            prop_assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{shares:?}");
            for (share, zone) in shares.iter().zip(&zones) {
                prop_assert!(*share >= 0.0);
                prop_assert!(*share == 0.0 || zone.capacity > 0.0, "nobody is there");
            }
        }

        /// All zones together: no zone carries more than its capacity (and its reserve), whatever the demand.
        #[test]
        fn no_zone_is_beyond_its_capacity_while_others_have_spare(
            sizes in prop::collection::vec((1_usize..20, 1_u32..20), 2..8), know: bool
        ) {
            let zones: Vec<Zone> =
                sizes.iter().map(|(size, peers)| Zone { peers: (*peers).into(), ..zone(*size, *size) }).collect();
            prop_assume!(matter(&zones));
            let all_peers: f64 = zones.iter().map(|zone| zone.peers).sum();
            let capacity: f64 = zones.iter().map(|zone| zone.capacity).sum();
            let (peers, reserve) = if know { (all_peers, 1.0) } else { (0.0, RESERVE) };
            let mut load = vec![0.0; zones.len()];
            for home in 0..zones.len() {
                let demand = if know { zones[home].peers / all_peers } else { 1.0 / zones.len() as f64 };
                for (load, share) in load.iter_mut().zip(shares(&zones, Some(home), peers).unwrap()) {
                    *load += demand * share;
                }
            }
            for (load, zone) in load.iter().zip(&zones) {
                prop_assert!(*load <= zone.capacity / capacity * reserve + 1e-9, "{load} of {zone:?}");
            }
        }

        /// More health at home never sends more away.
        #[test]
        fn recovery_brings_traffic_home(others in prop::collection::vec(2_usize..12, 1..5), home in 2_usize..12) {
            let mut before = 0.0;
            for healthy in 0..=home {
                let mut zones = vec![zone(healthy, home)];
                zones.extend(others.iter().map(|size| zone(*size, *size)));
                // Ignored means asked alike.
                let total: usize = zones.iter().map(|zone| zone.endpoints).sum();
                let alike = healthy as f64 / (total - home + healthy) as f64;
                let share = shares(&zones, Some(0), 0.0).map_or(alike, |shares| shares[0]);
                prop_assert!(share >= before - 1e-9, "{healthy} of {home}: {share} after {before}");
                before = share;
            }
        }
    }
}
