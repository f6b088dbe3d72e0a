//! Who is considered for which call? Decided once per change ([`layout`](super::layout)), so that a call only looks it up.
//!
//! ```text
//! ready endpoints ──► a slice for each part of the traffic (variants.rs), and for each name a request may ask for
//!                         └──► a group for each zone (locality.rs), cut to a few (subset.rs): a ready set
//! ```
//!
//! A call draws a slice by the traffic's division, or takes the one it asks for by name; draws one of its groups by
//! locality; and lets [`Pick`] choose in there. What nobody healthy is in is never drawn.

use std::sync::Arc;

use platform_core::Context;

use super::{
    Pick, ReadySet,
    draw::{Draw, scale},
    hash,
    member::Member,
};

/// Everybody who may be asked, by who asks.
pub(super) struct Groups<C> {
    /// All that are considered for something.
    pub(super) whole: Arc<ReadySet<C>>,
    /// That is one group of one slice, and there is nothing to be drawn.
    pub(super) undivided: bool,
    pub(super) slices: Box<[Slice<C>]>,
    pub(super) ordinary: Lots,
    /// The slices that get ordinary traffic, the baseline first; the others are only for who asks for them by name.
    pub(super) shared: Box<[usize]>,
    /// Is there a baseline, where a repeat goes?
    pub(super) has_baseline: bool,
    /// Slices by the names that a request may ask for, in order.
    pub(super) named: Box<[(Box<str>, usize)]>,
}

/// A part of the traffic, by zone.
pub(super) struct Slice<C> {
    pub(super) groups: Box<[Arc<ReadySet<C>>]>,
    pub(super) near: Lots,
    /// For repeats of what failed at home: the others by what they weigh.
    pub(super) far: Lots,
    pub(super) home: Option<usize>,
}

/// How a call came to its endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Route {
    /// As all calls that ask for nothing.
    #[default]
    Ordinary,
    /// It asked for a variant or a version, and this is one.
    Named,
    /// It asked for one that is not there, and got the baseline.
    Fallback,
}

/// What a call asks for.
#[derive(Clone, Copy)]
pub(super) struct Wish<'a> {
    pub(super) context: &'a Context,
    /// The variant or the version that it asks for by name.
    pub(super) wanted: Option<&'a str>,
    pub(super) roll: u64,
}

/// Whom a repeat leaves out.
#[derive(Clone, Copy)]
pub(super) struct Others<'a> {
    pub(super) asked: &'a [Arc<str>],
    /// Nobody rather than one of those.
    pub(super) only: bool,
}

/// Among whom a call chooses.
struct Drawn<'a, C> {
    group: &'a ReadySet<C>,
    route: Route,
    /// Its slice, if the group is home and there are others.
    home: Option<&'a Slice<C>>,
}

type Choice<'a, C> = (&'a Arc<Member<C>>, Route);

impl<C> Groups<C> {
    /// Who is asked; `None` if there is nobody, or nobody that the picker wants.
    pub(super) fn pick<'a>(&'a self, by: &dyn Pick<C>, wish: Wish<'_>) -> Option<Choice<'a, C>>
    where
        C: 'static,
    {
        let Drawn { group, route, home } = self.group(&wish)?;
        let of = |group: &'a ReadySet<C>| {
            by.pick(group, wish.context, wish.roll).and_then(|index| group.members().get(index))
        };
        let picked = of(group);
        if let (Some(slice), Some(member)) = (home, picked)
            && member.load().seems_lost()
            && let Some(away) = slice.away(by, &wish)
        {
            return Some((away, route));
        }
        // A picker of somebody's own may not want any of these, and perhaps one of the others.
        let others = || self.ordinaries().flat_map(|slice| &slice.groups).find_map(|group| of(group));
        picked.or_else(others).map(|member| (member, route))
    }

    /// Is there somebody else for a call that asks for nothing by name?
    pub(super) fn has_other(&self, asked: &[Arc<str>]) -> bool {
        let mut members = self.ordinaries().flat_map(|slice| &slice.groups).flat_map(|group| group.members());
        members.any(|member| !asked.contains(member.label()))
    }

    /// Who is asked after others have been.
    ///
    /// What failed at home goes elsewhere: it may be the zone. What failed at one with a share goes to the baseline:
    /// it may be the version. What asked for a version stays with it while there is somebody new.
    pub(super) fn pick_other(
        &self,
        by: &dyn Pick<C>,
        wish: Wish<'_>,
        others: Others<'_>,
    ) -> Option<Choice<'_, C>>
    where
        C: 'static,
    {
        let dice = hash::mix(wish.roll);
        let (drawn, route) = self.slice(&wish, dice)?;
        // Another version's answer would be a surprise, so a hedge of what asked for one stays with it.
        let stays = route == Route::Named && others.only;
        let first = if route == Route::Named { drawn } else { self.baseline().unwrap_or(drawn) };
        if let Some(member) = first.other(by, &wish, others, dice) {
            return Some((member, route));
        }
        let fallen = if route == Route::Named { Route::Fallback } else { route };
        let mut rest = self.ordinaries().filter(|_| !stays);
        if let Some(member) = rest.find_map(|slice| slice.other(by, &wish, others, dice)) {
            return Some((member, fallen));
        }
        if others.only { None } else { self.pick(by, wish) }
    }

    fn ordinaries(&self) -> impl Iterator<Item = &Slice<C>> {
        self.shared.iter().map(|at| &self.slices[*at])
    }

    fn baseline(&self) -> Option<&Slice<C>> {
        self.ordinaries().next().filter(|_| self.has_baseline)
    }

    /// The group that a call belongs to.
    #[inline]
    fn group(&self, wish: &Wish<'_>) -> Option<Drawn<'_, C>> {
        if self.undivided && wish.wanted.is_none() {
            return Some(Drawn { group: &self.whole, route: Route::Ordinary, home: None });
        }
        // A second number, so that who is compared does not follow from where.
        let dice = hash::mix(wish.roll);
        let (slice, route) = self.slice(wish, dice)?;
        let at = slice.near.draw(dice & LOW)?;
        let home = (slice.home == Some(at) && slice.far.draws()).then_some(slice);
        Some(Drawn { group: slice.groups.get(at)?, route, home })
    }

    /// The slice that a call belongs to.
    fn slice(&self, wish: &Wish<'_>, dice: u64) -> Option<(&Slice<C>, Route)> {
        let Some(name) = wish.wanted else {
            return Some((self.slices.get(self.ordinary.draw(dice >> 32)?)?, Route::Ordinary));
        };
        if let Ok(at) = self.named.binary_search_by(|(known, _)| (**known).cmp(name)) {
            return Some((&self.slices[self.named[at].1], Route::Named));
        }
        let drawn = || self.slices.get(self.ordinary.draw(dice >> 32)?);
        Some((self.baseline().or_else(drawn)?, Route::Fallback))
    }
}

impl<C> Slice<C> {
    /// Is it all one?
    pub(super) fn undivided(&self) -> bool {
        self.groups.len() == 1 && self.near.draws()
    }

    pub(super) fn of_one(all: Arc<ReadySet<C>>) -> Self {
        Slice { groups: Box::new([all]), near: Lots::new(&[1.0]), far: Lots::default(), home: None }
    }

    /// Somebody elsewhere, because whoever would be asked at home failed when it was last asked, or is silent: a picker
    /// that looks at several has found nobody better, so it may be the zone. It takes seconds until that is certain, and a
    /// budget for repeats bears a part of one. A few stay, and find out that home is well again.
    #[cold]
    fn away(&self, by: &dyn Pick<C>, wish: &Wish<'_>) -> Option<&Arc<Member<C>>>
    where
        C: 'static,
    {
        let dice = hash::mix(hash::mix(wish.roll));
        if (dice >> 32).is_multiple_of(STAYS) {
            return None;
        }
        let group = self.groups.get(self.far.draw(dice & LOW)?)?;
        let picked = by.pick(group, wish.context, wish.roll).and_then(|index| group.members().get(index));
        picked.filter(|member| !member.load().seems_lost())
    }

    /// Somebody new, elsewhere than at home if it was asked already.
    fn other(
        &self,
        by: &dyn Pick<C>,
        wish: &Wish<'_>,
        others: Others<'_>,
        dice: u64,
    ) -> Option<&Arc<Member<C>>>
    where
        C: 'static,
    {
        let is_new = |member: &Arc<Member<C>>| !others.asked.contains(member.label());
        let leaves = self.home.is_some_and(|home| !self.groups[home].members().iter().all(is_new));
        let lots = if leaves && self.far.draws() { &self.far } else { &self.near };
        let start = lots.draw(dice & LOW)?;
        let group = self.groups.get(start)?;
        let picked = by.pick(group, wish.context, wish.roll).and_then(|index| group.members().get(index));
        if let Some(member) = picked.filter(|member| is_new(member)) {
            return Some(member);
        }
        let around = self.groups[start..].iter().chain(&self.groups[..start]);
        around.filter_map(|group| other_of(group, wish, others)).next()
    }
}

/// A choice among a few with given shares.
#[derive(Debug, Default)]
pub(super) struct Lots {
    count: usize,
    /// Absent where all have the same.
    draw: Option<Draw>,
}

impl Lots {
    pub(super) fn new(shares: &[f64]) -> Self {
        let total: f64 = shares.iter().sum();
        if total <= 0.0 {
            return Lots::default();
        }
        let weights: Vec<u32> = shares.iter().map(|share| (share / total * FINE) as u32).collect();
        Lots { count: shares.len(), draw: Draw::by(&weights) }
    }

    pub(super) fn draws(&self) -> bool {
        self.count > 0
    }

    /// By 32 random bits.
    fn draw(&self, bits: u64) -> Option<usize> {
        match (&self.draw, self.count) {
            (_, 0) => None,
            (Some(draw), _) => Some(draw.one(bits)),
            (None, count) => Some(scale(bits, count)),
        }
    }
}

/// The cheaper of two that are new.
fn other_of<'a, C>(
    group: &'a ReadySet<C>,
    wish: &Wish<'_>,
    others: Others<'_>,
) -> Option<&'a Arc<Member<C>>> {
    let members = group.members();
    // From a random place on, so that repeats of many calls do not all go to the same neighbour.
    let start = usize::try_from(wish.roll.checked_rem(members.len() as u64)?).unwrap_or_default();
    let is_new = |index: &usize| !others.asked.contains(members[*index].label());
    let mut new = (start..members.len()).chain(0..start).filter(is_new);
    let index = match (new.next()?, new.next()) {
        (one, Some(other)) => group.cheaper(one, other, wish.roll),
        (one, None) => one,
    };
    members.get(index)
}

const LOW: u64 = 0xffff_ffff;
/// One of so many stays where all fail: less than the smallest budget (5 %) repeats.
const STAYS: u64 = 32;
/// To the millionth; whoever has less of the traffic has none.
const FINE: f64 = 1_000_000.0;

#[cfg(test)]
mod tests {
    use super::{super::layout::Layout, *};
    use crate::{
        balance::{
            P2c,
            load::Scale,
            member::Shared,
            metrics::Picks,
            ring_hash::RingHash,
            variants::{Division, Shares},
        },
        endpoint::{Endpoint, EndpointSet},
        standing::Standing,
    };
    use platform_core::{
        Outcome, Tick, Verdict,
        config::Ratio,
        context::wire::{self, Trust},
        identity::Identity,
        telemetry::Metrics,
    };
    use proptest::prelude::*;
    use std::{
        collections::{BTreeMap, HashSet},
        net::SocketAddr,
        time::Duration,
    };
    use tokio::time::Instant;

    /// Zone, variant, version.
    type Said = (&'static str, &'static str, &'static str);

    const A: Said = ("a", "stable", "1");
    const B: Said = ("b", "stable", "1");
    const C: Said = ("c", "stable", "1");
    const CANARY: Said = ("a", "canary", "2");
    const BRANCH: Said = ("a", "pr-123", "1");

    fn members(said: &[Said]) -> Vec<Arc<Member<()>>> {
        let metrics = Metrics::new(&Identity::default());
        let mut picks = Picks::new(&metrics, &Arc::from("catalog"), &Arc::from(""));
        let (ewma, penalty) = (Duration::from_secs(10), Duration::from_secs(5));
        let shared = Arc::new(Shared::new(Scale::new(ewma, penalty), 0).counting_all());
        (1_u16..)
            .zip(said)
            .map(|(port, (zone, variant, version))| {
                let endpoint = Endpoint {
                    instance: format!("catalog-{port}"),
                    zone: (*zone).to_owned(),
                    variant: (*variant).to_owned(),
                    version: (*version).to_owned(),
                    ..Endpoint::at(SocketAddr::from(([127, 0, 0, 1], port)))
                };
                let picks = picks.of(&endpoint);
                Arc::new(Member::new(
                    Arc::new(endpoint),
                    (),
                    picks,
                    &shared,
                    super::super::average::Average::default(),
                ))
            })
            .collect()
    }

    fn shares(of: &[(&str, f64)]) -> Shares {
        of.iter().map(|(name, share)| ((*name).to_owned(), Ratio::new(*share).unwrap())).collect()
    }

    fn layout(zone: &str, variants: &[(&str, f64)]) -> Layout {
        let identity = Identity { zone: zone.into(), instance: "orders-0".into(), ..Identity::default() };
        Layout {
            division: Division::new(&shares(variants), &Shares::new()),
            subset: Some(12),
            by_key: false,
            standing: Arc::new(Standing::of(&identity)),
        }
    }

    /// As many clients as make a subset worth while, all in zone `a`.
    fn crowd() -> EndpointSet {
        let equal = |number| {
            let instance = format!("orders-{number}x");
            Arc::new(Endpoint {
                instance,
                zone: "a".into(),
                ..Endpoint::at(SocketAddr::from(([127, 0, 0, 1], 1)))
            })
        };
        EndpointSet::new((0..200).map(equal).collect(), 1)
    }

    fn divide(layout: &Layout, members: &[Arc<Member<()>>]) -> Groups<()> {
        layout.groups(&Arc::new(ReadySet::new(members.iter().cloned())), &[])
    }

    /// As it arrives from a peer that may ask for a route.
    fn context(route: Option<&str>) -> Context {
        let mut headers = http::HeaderMap::new();
        if let Some(route) = route {
            headers.insert("baggage", format!("platform-route={route}").parse().unwrap());
        }
        wire::read(&headers, Trust { overrides: true, ..Trust::INTERNAL }, Instant::now()).context
    }

    /// How many of 10,000 calls get to which zone and variant, and how many fell back.
    fn picked(groups: &Groups<()>, context: &Context) -> (BTreeMap<String, u32>, u32) {
        let (mut seen, mut fallen) = (BTreeMap::new(), 0);
        let mut dice = fastrand::Rng::with_seed(7);
        for _ in 0..10_000 {
            let wish = Wish { context, wanted: context.route_override("catalog"), roll: dice.u64(..) };
            let (member, route) = groups.pick(&P2c, wish).unwrap();
            let endpoint = member.endpoint();
            *seen.entry(format!("{} {}", endpoint.zone, endpoint.variant)).or_default() += 1;
            fallen += u32::from(route == Route::Fallback);
        }
        (seen, fallen)
    }

    fn names(groups: &Groups<()>, route: Option<&str>) -> Vec<String> {
        picked(groups, &context(route)).0.into_keys().collect()
    }

    #[test]
    fn ordinary_traffic_is_divided_by_share_and_zone() {
        let said = [A, A, A, A, B, B, B, B, C, C, C, C, CANARY, BRANCH];
        let layout = layout("a", &[("canary", 0.05)]);
        let groups = divide(&layout, &members(&said));
        let (seen, fallen) = picked(&groups, &context(None));
        assert_eq!(fallen, 0);
        assert_eq!(seen.keys().collect::<Vec<_>>(), ["a canary", "a stable"], "{seen:?}");
        // Five standard deviations of 500 in 10,000 are 109.
        assert!(seen["a canary"].abs_diff(500) < 110, "{seen:?}");
    }

    #[test]
    fn who_asks_by_name_gets_it_and_who_asks_for_nobody_gets_the_baseline() {
        let said = [A, A, B, B, C, C, CANARY, BRANCH, ("b", "stable", "9")];
        let groups = divide(&layout("", &[("canary", 0.5)]), &members(&said));
        for (asked, fallen, zones) in [
            ("catalog:pr-123", 0, &["a pr-123"][..]),
            ("catalog:canary", 0, &["a canary"]),
            ("catalog:2", 0, &["a canary"]),
            ("catalog:9", 0, &["b stable"]),
            // A branch is built from version 1, and is not meant.
            ("catalog:1", 0, &["a stable", "b stable", "c stable"]),
            ("ratings:canary|catalog:pr-123", 0, &["a pr-123"]),
            ("catalog:pr-9", 10_000, &["a stable", "b stable", "c stable"]),
            ("catalog:", 10_000, &["a stable", "b stable", "c stable"]),
            ("ratings:canary", 0, &["a canary", "a stable", "b stable", "c stable"]),
        ] {
            let (seen, fell) = picked(&groups, &context(Some(asked)));
            let seen: Vec<&str> = seen.keys().map(String::as_str).collect();
            assert_eq!((fell, seen.as_slice()), (fallen, zones), "{asked}");
        }
    }

    #[test]
    fn nobody_is_left_alone_while_somebody_is_there() {
        let only_branch = divide(&layout("a", &[]), &members(&[BRANCH]));
        assert_eq!(names(&only_branch, None), ["a pr-123"]);
        assert_eq!(names(&only_branch, Some("catalog:canary")), ["a pr-123"]);
        let away = divide(&layout("z", &[]), &members(&[A, B]));
        assert_eq!(names(&away, None), ["a stable", "b stable"]);
        let nobody = divide(&layout("a", &[]), &[]);
        let wish = Wish { context: &context(None), wanted: None, roll: 7 };
        assert!(nobody.pick(&P2c, wish).is_none() && nobody.whole.is_empty());
        assert!(nobody.pick_other(&P2c, wish, Others { asked: &[], only: false }).is_none());
    }

    #[test]
    fn an_evacuated_zone_is_asked_only_when_there_is_nobody_else() {
        let (layout, said) =
            (layout("b", &[("canary", 0.5)]), [A, A, B, B, C, C, CANARY, ("b", "pr-1", "1")]);
        let members = members(&said);
        layout.standing.evacuate("b");
        assert_eq!(names(&divide(&layout, &members), None), ["a canary", "a stable", "c stable"]);
        let (seen, fallen) = picked(&divide(&layout, &members), &context(Some("catalog:pr-1")));
        assert_eq!((fallen, seen.len()), (10_000, 2), "it is only there, so it is not there: {seen:?}");
        layout.standing.evacuate("a");
        assert_eq!(names(&divide(&layout, &members), None), ["c stable"]);
        layout.standing.evacuate("c");
        assert_eq!(names(&divide(&layout, &members), None), ["a canary", "b stable"], "at home, if anywhere");
        layout.standing.readmit("a");
        assert_eq!(names(&divide(&layout, &members), None), ["a canary", "a stable"]);
    }

    #[test]
    fn whoever_is_sick_is_counted_and_not_asked() {
        let (layout, said) = (layout("a", &[]), [A, A, A, A, B, B, B, B, C, C, C, C]);
        let members = members(&said);
        let (sick, healthy) = members.split_at(2);
        let healthy = Arc::new(ReadySet::new(healthy.iter().cloned()));
        let (seen, _) = picked(&layout.groups(&healthy, sick), &context(None));
        assert!(seen["a stable"].abs_diff(8_400) < 200 && seen["b stable"].abs_diff(800) < 150, "{seen:?}");
        let (sick, healthy) = members.split_at(4);
        let healthy = Arc::new(ReadySet::new(healthy.iter().cloned()));
        assert_eq!(names(&layout.groups(&healthy, sick), None), ["b stable", "c stable"]);
    }

    #[test]
    fn a_repeat_leaves_the_zone_and_the_canary_and_stays_with_what_was_asked_for() {
        let said = [A, A, A, A, B, B, B, B, CANARY, BRANCH, BRANCH];
        let members = members(&said);
        let groups = divide(&layout("a", &[("canary", 0.05)]), &members);
        let again = |route: Option<&str>, asked: &[usize], only: bool| {
            let context = context(route);
            let asked: Vec<Arc<str>> =
                asked.iter().map(|index| Arc::clone(members[*index].label())).collect();
            let mut seen = std::collections::BTreeSet::new();
            let mut dice = fastrand::Rng::with_seed(3);
            for _ in 0..500 {
                let wish =
                    Wish { context: &context, wanted: context.route_override("catalog"), roll: dice.u64(..) };
                let Some((member, route)) = groups.pick_other(&P2c, wish, Others { asked: &asked, only })
                else {
                    continue;
                };
                let endpoint = member.endpoint();
                seen.insert(format!("{} {} {route:?}", endpoint.zone, endpoint.variant));
                assert!(!asked.contains(member.label()) || !only);
            }
            seen.into_iter().collect::<Vec<_>>()
        };
        assert_eq!(again(None, &[0], false), ["b stable Ordinary"]);
        assert_eq!(
            again(None, &[4], false),
            ["a stable Ordinary"],
            "it had spilled, and home was not asked yet"
        );
        assert_eq!(again(None, &[8], false), ["a stable Ordinary"], "from the canary");
        assert_eq!(again(None, &[0, 4, 5, 6, 7], false), ["a stable Ordinary"], "nobody is left elsewhere");
        let all: Vec<usize> = (0..said.len()).collect();
        assert_eq!(again(None, &all, true), [""; 0]);
        assert_eq!(again(None, &all[..8], true), ["a canary Ordinary"], "nobody asked for the branch");
        assert_eq!(again(None, &all[..9], true), [""; 0]);
        let labels = |count: usize| -> Vec<Arc<str>> {
            members[..count].iter().map(|member| Arc::clone(member.label())).collect()
        };
        assert!(groups.has_other(&labels(8)) && !groups.has_other(&labels(9)));
        assert_eq!(again(Some("catalog:pr-123"), &[9], false), ["a pr-123 Named"]);
        assert_eq!(again(Some("catalog:pr-123"), &[9, 10], false), ["a stable Fallback"]);
        assert_eq!(again(Some("catalog:pr-123"), &[9, 10], true), [""; 0], "a hedge does not mix versions");
    }

    #[test]
    fn a_home_where_all_fail_is_left_but_for_a_few() {
        let members = members(&[A, A, A, A, B, B, B, B, C, C, C, C]);
        let groups = divide(&layout("a", &[]), &members);
        let share = |zone: &str| {
            let (seen, _) = picked(&groups, &context(None));
            f64::from(seen.get(&format!("{zone} stable")).copied().unwrap_or_default()) / 10_000.0
        };
        let answer = |from: usize, to: usize, outcome| {
            let (verdict, took) = (Verdict::new(outcome, Tick::now()), Duration::from_millis(10));
            for member in &members[from..to] {
                member.load().report(&verdict, took.as_nanos() as u64, &member.shared().scale);
            }
        };
        let fail = |from, to| answer(from, to, Outcome::ServerFault);
        answer(0, 12, Outcome::Success);
        assert_eq!(share("a"), 1.0, "all is well");
        fail(0, 2);
        assert!(share("a") > 0.95, "there is somebody better at home: {}", share("a"));
        fail(2, 4);
        let away = [share("a"), share("b"), share("c")];
        assert!((0.02..0.05).contains(&away[0]), "{away:?}");
        assert!((away[1] - away[2]).abs() < 0.05, "{away:?}");
        fail(4, 12);
        assert_eq!(share("a"), 1.0, "nobody is better elsewhere");
    }

    #[test]
    fn very_many_are_cut_in_each_zone_and_variant() {
        let said: Vec<Said> = [A, B, C, CANARY].iter().flat_map(|said| [*said; 40]).collect();
        let members = members(&said);
        let mut layout = layout("a", &[("canary", 0.05)]);
        assert_eq!(
            divide(&layout, &members).whole.len(),
            160,
            "nobody knows of how many clients this is one"
        );
        layout.standing.set_equals(&crowd());
        let groups = divide(&layout, &members);
        let mut count = BTreeMap::new();
        for member in groups.whole.members() {
            let endpoint = member.endpoint();
            *count.entry((endpoint.zone.as_str(), endpoint.variant.as_str())).or_insert(0) += 1;
        }
        let wanted =
            [(("a", "canary"), 12), (("a", "stable"), 12), (("b", "stable"), 12), (("c", "stable"), 12)];
        assert_eq!(count.into_iter().collect::<Vec<_>>(), wanted);
        layout.subset = None;
        assert_eq!(divide(&layout, &members).whole.len(), 160);
    }

    #[test]
    fn a_key_has_one_place_wherever_it_is_asked_from() {
        let said: Vec<Said> = [A, B, C].iter().flat_map(|said| [*said; 10]).collect();
        let members = members(&said);
        let of = |zone: &str| {
            let layout = Layout { by_key: true, ..layout(zone, &[]) };
            divide(&layout, &members)
        };
        let (one, other) = (of("a"), of("c"));
        let context = context(None);
        let mut met = HashSet::new();
        for key in 0..300_u64 {
            let wish =
                Wish { context: &context, wanted: context.route_override("catalog"), roll: hash::mix(key) };
            let [(first, _), (second, _)] =
                [&one, &other].map(|groups| groups.pick(&RingHash, wish).unwrap());
            assert_eq!(first.label(), second.label());
            met.insert(first.label());
        }
        assert!(met.len() >= 28, "{}", met.len());
    }

    #[test]
    fn a_hot_key_does_not_sink_one_endpoint() {
        let members = members(&[A; 10]);
        let groups = divide(&Layout { by_key: true, ..layout("", &[]) }, &members);
        let context = context(None);
        let wish = Wish { context: &context, wanted: context.route_override("catalog"), roll: hash::mix(1) };
        for _ in 0..1_000 {
            groups.pick(&RingHash, wish).unwrap().0.begin();
        }
        let most = members.iter().map(|member| member.in_flight()).max().unwrap();
        assert!(most <= 126, "125 are a quarter above the mean: {most}");
        members.iter().for_each(|member| (0..member.in_flight()).for_each(|_| member.end()));
        let idle = groups.pick(&RingHash, wish).unwrap().0.label();
        assert_eq!(groups.pick(&RingHash, wish).unwrap().0.label(), idle);
    }

    proptest! {
        /// Whatever is said and evacuated, a call finds somebody if anybody is healthy, and never in an evacuated zone
        /// while there is somebody elsewhere.
        #[test]
        fn somebody_is_found_while_anybody_is_healthy(
            of in prop::collection::vec((0_usize..4, 0_usize..3, any::<bool>()), 1..40),
            home in 0_usize..4, evacuated in prop::option::of(0_usize..4), asks in 0_usize..5, roll: u64
        ) {
            const ZONES: [&str; 4] = ["", "a", "b", "c"];
            const VARIANTS: [&str; 3] = ["stable", "canary", "pr-123"];
            let said: Vec<Said> = of.iter().map(|(zone, variant, _)| (ZONES[*zone], VARIANTS[*variant], "1")).collect();
            let members = members(&said);
            let pick = |healthy: bool| -> Vec<_> {
                members.iter().zip(&of).filter(|(_, said)| said.2 == healthy).map(|(member, _)| Arc::clone(member)).collect()
            };
            let (healthy, sick) = (pick(true), pick(false));
            let layout = layout(ZONES[home], &[("canary", 0.3)]);
            if let Some(zone) = evacuated {
                layout.standing.evacuate(ZONES[zone]);
            }
            let groups = layout.groups(&Arc::new(ReadySet::new(healthy.iter().cloned())), &sick);
            let asks = ["", "catalog:stable", "catalog:pr-123", "catalog:1", "catalog:none"][asks];
            let context = context(Some(asks).filter(|asks| !asks.is_empty()));
            let wish = Wish { context: &context, wanted: context.route_override("catalog"), roll };
            let Some((member, route)) = groups.pick(&P2c, wish) else {
                prop_assert!(healthy.is_empty());
                return Ok(());
            };
            prop_assert!(healthy.iter().any(|one| Arc::ptr_eq(one, member)));
            let is_left = |member: &Arc<Member<()>>| {
                evacuated.is_some_and(|zone| member.endpoint().zone == ZONES[zone])
            };
            prop_assert!(!is_left(member) || healthy.iter().all(is_left));
            if asks == "catalog:pr-123" && route == Route::Named {
                prop_assert_eq!(member.endpoint().variant.as_str(), "pr-123");
            }
            let asked = [Arc::clone(member.label())];
            let other = groups.pick_other(&P2c, wish, Others { asked: &asked, only: false });
            prop_assert!(other.is_some());
        }
    }
}
