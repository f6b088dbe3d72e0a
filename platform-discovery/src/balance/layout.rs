//! Who is considered for what? Drawn when the set changes, an endpoint's health, or where the process stands.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use platform_core::identity::DEFAULT_VARIANT;

use super::{
    ReadySet,
    groups::{Groups, Lots, Slice},
    locality::{self, Zone},
    member::Member,
    variants::{Division, Part},
};
use crate::standing::{Now, Standing};

/// What is set about who is considered.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) division: Division,
    /// To how many a group is cut at most; all if nobody says.
    pub(super) subset: Option<usize>,
    /// A key has one place, whoever asks and wherever from: neither zones nor subsets.
    pub(super) by_key: bool,
    pub(super) standing: Arc<Standing>,
}

/// One division in the making.
struct Surveyor<'a, C> {
    layout: &'a Layout,
    now: Now,
    candidates: &'a [Candidate<C>],
    healthy: &'a Arc<ReadySet<C>>,
}

/// Somebody who may be considered.
struct Candidate<C> {
    member: Arc<Member<C>>,
    healthy: bool,
}

/// The slices there will be, as indices of candidates; the same ones once.
#[derive(Default)]
struct Plan {
    slices: Vec<Vec<usize>>,
}

impl Layout {
    /// Divides those that are `healthy`; `sick` are ready as well, and only counted.
    pub(super) fn groups<C>(&self, healthy: &Arc<ReadySet<C>>, sick: &[Arc<Member<C>>]) -> Groups<C> {
        let now = self.standing.now();
        let stays = |member: &Arc<Member<C>>| !now.evacuated.contains(&member.endpoint().zone);
        // If nobody else is left, an evacuated endpoint is better than none.
        let all = !healthy.members().iter().any(stays);
        let of = |members: &[Arc<Member<C>>], healthy: bool| {
            let members = members.iter().filter(|member| all || stays(member));
            members.map(move |member| Candidate { member: Arc::clone(member), healthy }).collect::<Vec<_>>()
        };
        let mut candidates = of(healthy.members(), true);
        candidates.extend(of(sick, false));
        Surveyor { layout: self, now, candidates: &candidates, healthy }.groups()
    }
}

impl<C> Surveyor<'_, C> {
    fn groups(&self) -> Groups<C> {
        let mut plan = Plan::default();
        let (shares, has_baseline) = self.ordinary(&mut plan);
        // The parts come in order, the baseline first, and so did their slices.
        let shared = shares.keys().copied().collect();
        let named = self.named(&mut plan);
        let slices: Box<[Slice<C>]> = plan.slices.iter().map(|indices| self.slice(indices)).collect();
        let whole = match &*slices {
            [Slice { groups, .. }] if groups.len() == 1 => Arc::clone(&groups[0]),
            slices => Arc::new(everybody(self.healthy, slices)),
        };
        let shares: Vec<f64> =
            (0..slices.len()).map(|at| shares.get(&at).copied().unwrap_or_default()).collect();
        let ordinary = Lots::new(&shares);
        let undivided = matches!(&*slices, [slice] if slice.undivided()) && ordinary.draws();
        Groups { whole, undivided, slices, ordinary, shared, has_baseline, named }
    }

    /// The slices of ordinary traffic with their shares, and whether the first of them is the baseline.
    fn ordinary(&self, plan: &mut Plan) -> (BTreeMap<usize, f64>, bool) {
        let mut parts: BTreeMap<Part, Vec<usize>> = BTreeMap::new();
        for (index, candidate) in self.candidates.iter().enumerate() {
            let endpoint = candidate.member.endpoint();
            let part = self.layout.division.part(&endpoint.variant, &endpoint.version);
            parts.entry(part).or_default().push(index);
        }
        parts.retain(|_, indices| self.any_healthy(indices));
        let there: Vec<Part> = parts.keys().copied().collect();
        let mut shares = BTreeMap::new();
        let mut has_baseline = false;
        for ((part, indices), share) in parts.into_iter().zip(self.layout.division.shares(&there)) {
            if share > 0.0 {
                let slice = plan.add(indices);
                *shares.entry(slice).or_default() += share;
                has_baseline |= part == Part::Baseline;
            }
        }
        (shares, has_baseline)
    }

    /// A slice for each variant and each version that somebody is. Where both are called the same, the variant counts.
    fn named(&self, plan: &mut Plan) -> Box<[(Box<str>, usize)]> {
        let mut variants: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        let mut versions: BTreeMap<&str, [Vec<usize>; 2]> = BTreeMap::new();
        for (index, candidate) in self.candidates.iter().enumerate() {
            let endpoint = candidate.member.endpoint();
            variants.entry(&endpoint.variant).or_default().push(index);
            // A branch is built from a version as well, and is not what is meant by it.
            let branch = usize::from(endpoint.variant != DEFAULT_VARIANT);
            versions.entry(&endpoint.version).or_default()[branch].push(index);
        }
        let versions = versions.into_iter().map(|(name, [stable, branches])| {
            (name, if self.any_healthy(&stable) { stable } else { branches })
        });
        let mut named: BTreeMap<&str, usize> = BTreeMap::new();
        for (name, indices) in versions.chain(variants) {
            if !name.is_empty() && self.any_healthy(&indices) {
                named.insert(name, plan.add(indices));
            }
        }
        named.into_iter().map(|(name, slice)| (Box::from(name), slice)).collect()
    }

    fn slice(&self, indices: &[usize]) -> Slice<C> {
        let candidates = || indices.iter().map(|index| &self.candidates[*index]);
        let healthy =
            || candidates().filter(|candidate| candidate.healthy).map(|candidate| &candidate.member);
        if self.layout.by_key {
            return Slice::of_one(Arc::new(ReadySet::with_ring(healthy().cloned(), self.healthy)));
        }
        let mut zones: BTreeMap<&str, Vec<&Candidate<C>>> = BTreeMap::new();
        for candidate in candidates() {
            zones.entry(&candidate.member.endpoint().zone).or_default().push(candidate);
        }
        let known: Vec<Zone> = zones.iter().map(|(name, there)| self.zone(name, there)).collect();
        let home = zones.keys().position(|zone| !zone.is_empty() && **zone == **self.layout.standing.zone());
        let equals = self.now.equals.values().map(|equals| f64::from(*equals)).sum();
        let Some(shares) = locality::shares(&known, home, equals) else {
            return Slice::of_one(self.cut(healthy().collect()));
        };
        let mut far: Vec<f64> = known.iter().map(|zone| zone.capacity).collect();
        if let Some(home) = home {
            far[home] = 0.0;
        }
        let groups = zones.into_values().map(|there| {
            let healthy = there.into_iter().filter(|candidate| candidate.healthy);
            self.cut(healthy.map(|candidate| &candidate.member).collect())
        });
        Slice { groups: groups.collect(), near: Lots::new(&shares), far: Lots::new(&far), home }
    }

    /// What locality needs to know of a zone.
    fn zone(&self, name: &str, there: &[&Candidate<C>]) -> Zone {
        let healthy = there.iter().filter(|candidate| candidate.healthy);
        Zone {
            endpoints: there.len(),
            capacity: healthy.map(|candidate| f64::from(candidate.member.endpoint().weight)).sum(),
            peers: self.now.equals.get(name).copied().unwrap_or_default().into(),
            nowhere: name.is_empty(),
        }
    }

    fn cut(&self, mut members: Vec<&Arc<Member<C>>>) -> Arc<ReadySet<C>> {
        if let Some(at_least) = self.layout.subset.filter(|at_least| members.len() > *at_least) {
            // Who weighs nothing is not asked anyway, and takes nobody's place.
            if members.iter().any(|member| member.endpoint().weight > 0) {
                members.retain(|member| member.endpoint().weight > 0);
            }
            let names = members.iter().map(|member| member.endpoint().instance.as_str());
            let kept = self.now.seat.subset(names, at_least);
            members = kept.into_iter().map(|index| members[index]).collect();
        }
        if members.len() == self.healthy.len() {
            return Arc::clone(self.healthy);
        }
        Arc::new(ReadySet::new(members.into_iter().cloned()))
    }

    fn any_healthy(&self, indices: &[usize]) -> bool {
        indices.iter().any(|index| self.candidates[*index].healthy)
    }
}

impl Plan {
    fn add(&mut self, indices: Vec<usize>) -> usize {
        if let Some(at) = self.slices.iter().position(|known| *known == indices) {
            return at;
        }
        self.slices.push(indices);
        self.slices.len() - 1
    }
}

/// All members of all groups, once.
fn everybody<C>(healthy: &ReadySet<C>, slices: &[Slice<C>]) -> ReadySet<C> {
    let groups = slices.iter().flat_map(|slice| &slice.groups);
    let considered: HashSet<*const Member<C>> =
        groups.flat_map(|group| group.members()).map(Arc::as_ptr).collect();
    ReadySet::new(
        healthy.members().iter().filter(|member| considered.contains(&Arc::as_ptr(member))).cloned(),
    )
}
