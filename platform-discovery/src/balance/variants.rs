//! Which version gets how much of the traffic?
//!
//! Endpoints say which variant they are (`stable`, `canary`, `pr-123`) and which version they run. Ordinary traffic
//! goes to `stable`, but for the shares that `balance.variants` and `balance.versions` give to others:
//!
//! | an endpoint | gets |
//! |---|---|
//! | of a variant that has a share | that share of all calls, together with its like |
//! | `stable`, of a version that has a share | that share |
//! | `stable` otherwise: the **baseline** | what is left |
//! | of any other variant: **aside** | nothing, unless a request asks for it by name |
//!
//! A share whose endpoints are not there falls to the baseline; if there is no baseline, the shares divide all; and
//! if there is nobody with a share either, those aside are asked, because an answer from them is better than none.

use std::collections::BTreeMap;

use platform_core::{config::Ratio, identity::DEFAULT_VARIANT};

/// Shares by name, as configured.
pub type Shares = BTreeMap<String, Ratio>;

/// Where an endpoint stands. The order is the order of parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Part {
    /// What is left.
    Baseline,
    /// One with a share, by its number.
    Shared(usize),
    /// Only for who asks by name.
    Aside,
}

/// The division of one target's traffic.
#[derive(Clone, Debug, Default)]
pub(super) struct Division {
    /// Variants first, then versions.
    shares: Vec<(Kind, String, f64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Variant,
    Version,
}

impl Division {
    pub(super) fn new(variants: &Shares, versions: &Shares) -> Self {
        let of = |kind, shares: &Shares| {
            let shares = shares.iter().map(move |(name, share)| (kind, name.clone(), share.as_f64()));
            shares.collect::<Vec<_>>()
        };
        Division { shares: [of(Kind::Variant, variants), of(Kind::Version, versions)].concat() }
    }

    /// Where an endpoint of this variant and version stands.
    pub(super) fn part(&self, variant: &str, version: &str) -> Part {
        let find = |kind, name: &str| {
            self.shares.iter().position(|(known, called, _)| *known == kind && called == name)
        };
        match find(Kind::Variant, variant) {
            Some(number) => Part::Shared(number),
            None if variant != DEFAULT_VARIANT => Part::Aside,
            None => find(Kind::Version, version).map_or(Part::Baseline, Part::Shared),
        }
    }

    /// The share of the ordinary traffic for each of the parts that somebody stands in; together 1, or all 0 if
    /// there is nobody at all. What has a share of 0 gets something only if nobody else is there.
    pub(super) fn shares(&self, there: &[Part]) -> Vec<f64> {
        let given: f64 = self.shares.iter().map(|(_, _, share)| share).sum();
        let present = |part: &Part| match part {
            Part::Shared(number) => self.shares[*number].2,
            _ => 0.0,
        };
        let asked: f64 = there.iter().map(present).sum();
        // Which part takes what is left, if any is there: the baseline.
        let rest = if there.contains(&Part::Baseline) { (1.0 - asked).max(0.0) } else { 0.0 };
        let total = asked + rest;
        debug_assert!(given <= 1.0 + 1e-9, "checked with the configuration");
        if total > 0.0 {
            let share = |part: &Part| if *part == Part::Baseline { rest } else { present(part) };
            return there.iter().map(|part| share(part) / total).collect();
        }
        // Nobody has a share: those who were given none on purpose, and only then those aside.
        let last = there.iter().filter(|part| **part != Part::Aside).count();
        let alike = if last > 0 { last } else { there.len() };
        let counts = |part: &Part| last == 0 || *part != Part::Aside;
        there.iter().map(|part| if counts(part) { 1.0 / alike as f64 } else { 0.0 }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Part::*, *};
    use proptest::prelude::*;

    fn shares(of: &[(&str, f64)]) -> Shares {
        of.iter().map(|(name, share)| ((*name).to_owned(), Ratio::new(*share).unwrap())).collect()
    }

    #[test]
    fn an_endpoint_stands_where_its_variant_or_version_says() {
        let division = Division::new(&shares(&[("canary", 0.05)]), &shares(&[("2.0.0", 0.2)]));
        let table = [
            ("stable", "1.0.0", Baseline),
            ("stable", "", Baseline),
            ("stable", "2.0.0", Shared(1)),
            ("canary", "2.0.0", Shared(0)),
            ("pr-123", "2.0.0", Aside),
            ("pr-123", "1.0.0", Aside),
            ("", "1.0.0", Aside),
        ];
        for (variant, version, part) in table {
            assert_eq!(division.part(variant, version), part, "{variant} {version}");
        }
        assert_eq!(Division::default().part("canary", "1"), Aside, "without a share nobody is a canary");
    }

    #[test]
    fn what_is_missing_falls_to_the_rest_and_nobody_is_left_alone() {
        let canary = Division::new(&shares(&[("canary", 0.05), ("old", 0.0)]), &Shares::new());
        let green = Division::new(&shares(&[("blue", 0.25), ("green", 0.75)]), &Shares::new());
        let none = Division::default();
        let table: [(&Division, &[Part], &[f64]); 12] = [
            (&canary, &[Baseline, Shared(0)], &[0.95, 0.05]),
            (&canary, &[Baseline], &[1.0]),
            (&canary, &[Shared(0)], &[1.0]),
            (&canary, &[Baseline, Shared(1)], &[1.0, 0.0]),
            (&canary, &[Shared(1)], &[1.0]),
            (&canary, &[Shared(1), Aside], &[1.0, 0.0]),
            (&canary, &[Baseline, Shared(0), Aside], &[0.95, 0.05, 0.0]),
            (&green, &[Shared(0), Shared(1)], &[0.25, 0.75]),
            (&green, &[Shared(0)], &[1.0]),
            (&none, &[Baseline, Aside], &[1.0, 0.0]),
            (&none, &[Aside], &[1.0]),
            (&none, &[], &[]),
        ];
        for (division, there, wanted) in table {
            assert_eq!(division.shares(there), wanted, "{there:?}");
        }
    }

    proptest! {
        #[test]
        fn all_traffic_goes_somewhere_and_aside_only_at_last(
            given in prop::collection::vec(0.0_f64..0.25, 0..4), there in prop::collection::btree_set(0_usize..6, 1..6)
        ) {
            let names: Vec<(String, f64)> =
                given.iter().enumerate().map(|(at, share)| (format!("v{at}"), *share)).collect();
            let names: Vec<(&str, f64)> = names.iter().map(|(name, share)| (name.as_str(), *share)).collect();
            let division = Division::new(&shares(&names), &Shares::new());
            let parts: Vec<Part> = there.iter().filter_map(|at| match at {
                0 => Some(Baseline),
                5 => Some(Aside),
                at => (at - 1 < given.len()).then(|| Shared(at - 1)),
            }).collect();
            prop_assume!(!parts.is_empty());
            let shares = division.shares(&parts);
            prop_assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            for (part, share) in parts.iter().zip(&shares) {
                prop_assert!(*share >= 0.0);
                prop_assert!(*part != Aside || *share == 0.0 || parts == [Aside]);
            }
        }
    }
}
