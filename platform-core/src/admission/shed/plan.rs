//! Plan: who goes, if so many of those that were seen lately have to.

use std::collections::HashMap;

use super::{Rank, tally::clearly_above};

/// Who is refused. Made of what was seen lately, for what comes next.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    all: Cut,
    /// The tenants above an equal share.
    tenants: Vec<(u32, Cut)>,
}

/// Everybody below a level, and a share of those on it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Cut {
    level: u16,
    share: f64,
}

/// Why a plan refuses a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turned {
    /// Its tenant asks for more than an equal share.
    Tenant,
    /// Others are more important.
    Level,
}

impl Plan {
    /// The plan that refuses `share` (0 to 1) of requests like these.
    ///
    /// First go the requests of tenants that ask for more than others do, down to what all could have if nobody had
    /// more (max-min fairness); of each such tenant the least important ones. What is left to be refused goes by
    /// level alone. Without `fair` all goes by level, and what fairness would do is planned beside it.
    pub fn of(seen: &[Rank], share: f64, fair: bool) -> Plan {
        let mut refuse = share.clamp(0.0, 1.0) * seen.len() as f64;
        let mut tenants = Vec::new();
        for (tenant, mut levels, excess) in noisy(seen, refuse) {
            tenants.push((tenant, Cut::of(&mut levels, excess)));
            if fair {
                refuse -= excess;
            }
        }
        let plan = Plan { all: Cut::default(), tenants };
        let mut left: Levels = seen
            .iter()
            .map(|rank| (rank.level(), if fair { 1.0 - plan.tenant_share(*rank) } else { 1.0 }))
            .collect();
        Plan { all: Cut::of(&mut left, refuse.max(0.0)), ..plan }
    }

    /// Would a request of this rank be refused? `die` is a throw from 0 to 1, for those that stand on the edge.
    pub fn turns_away(&self, rank: Rank, fair: bool, die: f64) -> Option<Turned> {
        let tenant = if fair { self.tenant_share(rank) } else { 0.0 };
        if tenant > die {
            return Some(Turned::Tenant);
        }
        // One throw is enough: who came so far has used up a part of it.
        let die = if tenant > 0.0 { (die - tenant) / (1.0 - tenant) } else { die };
        (self.all.share_of(rank.level()) > die).then_some(Turned::Level)
    }

    fn tenant_share(&self, rank: Rank) -> f64 {
        let cut = self.tenants.iter().find(|(tenant, _)| *tenant == rank.tenant());
        cut.map_or(0.0, |(_, cut)| cut.share_of(rank.level()))
    }
}

impl Cut {
    /// The cut that takes `refuse` of these.
    fn of(levels: &mut [(u16, f64)], refuse: f64) -> Cut {
        // Below a cut everybody goes, also who was not seen: where nobody has to, there is none.
        if refuse < NOTHING {
            return Cut::default();
        }
        levels.sort_unstable_by_key(|(level, _)| *level);
        let mut taken = 0.0;
        for same in levels.chunk_by(|one, other| one.0 == other.0) {
            let weight: f64 = same.iter().map(|(_, weight)| weight).sum();
            if taken + weight > refuse {
                return Cut { level: same[0].0, share: (refuse - taken) / weight };
            }
            taken += weight;
        }
        // All of them; levels that nobody has seen are above it.
        levels.last().map_or(Cut::default(), |(level, _)| Cut { level: *level, share: 1.0 })
    }

    /// How much of this level it takes.
    fn share_of(self, level: u16) -> f64 {
        match level.cmp(&self.level) {
            std::cmp::Ordering::Less => 1.0,
            std::cmp::Ordering::Equal => self.share,
            std::cmp::Ordering::Greater => 0.0,
        }
    }
}

/// Less than what is left when one sum is taken from another that is as large.
const NOTHING: f64 = 1e-6;

/// Levels with weights.
type Levels = Vec<(u16, f64)>;

/// The tenants that ask for clearly more than an equal share, with the levels of their requests, and how many of
/// those are too many if `refuse` of all have to go.
fn noisy(seen: &[Rank], refuse: f64) -> Vec<(u32, Levels, f64)> {
    let mut levels: HashMap<u32, Levels> = HashMap::new();
    for rank in seen {
        levels.entry(rank.tenant()).or_default().push((rank.level(), 1.0));
    }
    // Who has no tenant is one among others, and never noisy: there may be thousands behind it.
    if levels.len() < 2 || refuse <= 0.0 {
        return Vec::new();
    }
    let counts: Vec<f64> = levels.values().map(|levels| levels.len() as f64).collect();
    let most = water_level(counts, seen.len() as f64 - refuse);
    let clear = clearly_above(seen.len(), levels.len());
    let mut noisy: Vec<_> = levels
        .into_iter()
        .map(|(tenant, levels)| (tenant, levels.len() as f64, levels))
        .filter(|(tenant, count, _)| *tenant != 0 && *count > clear && *count > most)
        .map(|(tenant, count, levels)| (tenant, levels, count - most))
        .collect();
    noisy.sort_unstable_by_key(|(tenant, ..)| *tenant);
    noisy
}

/// The most that each may have, so that together they have no more than `capacity`.
fn water_level(mut counts: Vec<f64>, capacity: f64) -> f64 {
    counts.sort_unstable_by(f64::total_cmp);
    let (mut left, mut many) = (capacity, counts.len() as f64);
    for count in counts {
        if count * many > left {
            return left / many;
        }
        left -= count;
        many -= 1.0;
    }
    f64::INFINITY
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen(groups: &[(usize, u16, u32)]) -> Vec<Rank> {
        groups.iter().flat_map(|&(count, level, tenant)| vec![Rank::new(level, tenant); count]).collect()
    }

    /// The share of each group that a plan refuses.
    fn refused(groups: &[(usize, u16, u32)], share: f64, fair: bool) -> Vec<f64> {
        let plan = Plan::of(&seen(groups), share, fair);
        let of = |&(_, level, tenant): &(usize, u16, u32)| {
            let dice = (0..1000).map(|die| f64::from(die) / 1000.0);
            let rank = Rank::new(level, tenant);
            dice.filter(|die| plan.turns_away(rank, fair, *die).is_some()).count() as f64 / 1000.0
        };
        groups.iter().map(of).collect()
    }

    #[test]
    fn who_goes_if_so_many_have_to() {
        type Groups = &'static [(usize, u16, u32)];
        let table: [(&str, f64, Groups, &[f64]); 10] = [
            ("nothing", 0.0, &[(50, 0, 0), (50, 300, 0)], &[0.0, 0.0]),
            ("all", 1.0, &[(50, 0, 0), (50, 300, 0)], &[1.0, 1.0]),
            ("the least important first", 0.5, &[(50, 0, 0), (50, 300, 0)], &[1.0, 0.0]),
            ("and a part of those on the edge", 0.25, &[(50, 0, 0), (50, 300, 0)], &[0.5, 0.0]),
            ("all alike", 0.3, &[(100, 256, 0)], &[0.3]),
            ("a noisy tenant pays", 0.5, &[(10, 256, 1), (90, 256, 2)], &[0.0, 0.555]),
            ("however important it calls itself", 0.5, &[(10, 0, 1), (90, 511, 2)], &[0.0, 0.555]),
            ("by its least important ones", 0.4, &[(10, 0, 1), (40, 0, 2), (50, 256, 2)], &[0.0, 1.0, 0.0]),
            ("no noise: importance", 0.5, &[(50, 0, 1), (50, 256, 2)], &[1.0, 0.0]),
            ("nobody's requests are no tenant's", 0.5, &[(10, 256, 1), (90, 0, 0)], &[0.0, 0.555]),
        ];
        for (what, share, groups, expected) in table {
            let told = refused(groups, share, true);
            let near = told.iter().zip(expected).all(|(told, expected)| (told - expected).abs() < 0.01);
            assert!(near, "{what}: {told:?} instead of {expected:?}");
        }
    }

    #[test]
    fn without_fairness_the_quiet_pay_as_well() {
        let told = refused(&[(10, 256, 1), (90, 256, 2)], 0.5, false);
        assert!(told.iter().all(|told| (told - 0.5).abs() < 0.01), "{told:?}");
    }

    #[test]
    fn where_a_noisy_tenant_pays_for_all_no_level_goes_that_was_not_seen() {
        for share in [0.05, 0.3, 0.5, 0.7] {
            let plan = Plan::of(&seen(&[(100, 300, 1), (900, 290, 2)]), share, true);
            let unseen = [Rank::new(140, 1), Rank::new(0, 3), Rank::new(256, 0)];
            assert!(
                unseen.iter().all(|rank| plan.turns_away(*rank, true, 0.0).is_none()),
                "{share}: {plan:?}"
            );
        }
    }

    #[test]
    fn two_noisy_tenants_end_equal() {
        let told =
            refused(&[(10, 256, 1), (400, 256, 2), (600, 256, 3), (10, 256, 4), (10, 256, 5)], 0.5, true);
        let left = [400.0 * (1.0 - told[1]), 600.0 * (1.0 - told[2])];
        assert!((left[0] - left[1]).abs() < 5.0, "{left:?}");
        assert_eq!((told[0], told[3], told[4]), (0.0, 0.0, 0.0));
    }

    #[test]
    fn equal_tenants_are_not_called_noisy_by_chance() {
        let mut dice = fastrand::Rng::with_seed(7);
        let seen: Vec<Rank> = (0..1024).map(|_| Rank::new(256, 1 + dice.u32(..20))).collect();
        let plan = Plan::of(&seen, 0.3, true);
        assert!(plan.tenants.is_empty(), "{plan:?}");
    }

    proptest! {
        #[test]
        fn it_refuses_what_was_wanted_and_never_a_more_important_one_of_the_same_tenant(
            ranks in prop::collection::vec((0_u16..512, 0_u32..5), 1..300),
            share in 0.0_f64..=1.0,
            fair: bool,
        ) {
            let seen: Vec<Rank> = ranks.iter().map(|&(level, tenant)| Rank::new(level, tenant)).collect();
            let plan = Plan::of(&seen, share, fair);
            let gone = |rank: Rank| {
                let tenant = if fair { plan.tenant_share(rank) } else { 0.0 };
                tenant + (1.0 - tenant) * plan.all.share_of(rank.level())
            };
            let refused: f64 = seen.iter().map(|rank| gone(*rank)).sum();
            let wanted = share * seen.len() as f64;
            prop_assert!((refused - wanted).abs() < 1e-6 * wanted.max(1.0), "{refused} of {wanted}");
            for one in &seen {
                for other in seen.iter().filter(|other| other.tenant() == one.tenant()) {
                    prop_assert!(one.level() <= other.level() || gone(*one) <= gone(*other) + 1e-9);
                }
            }
        }
    }
}
