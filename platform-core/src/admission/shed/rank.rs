//! Rank: how early does a request go when not all can stay?

use crate::context::{Context, Criticality};

/// A request's place among all: its importance, then its user's cohort; and its tenant, if it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rank {
    level: u16,
    /// A hash, never 0; 0 is nobody's.
    tenant: u32,
}

impl Rank {
    /// The rank of a request with this context, on behalf of `tenant`, if the server itself has found one out.
    ///
    /// A repeat or a hedge counts as one class less important: somebody else has had this request before.
    pub fn of(context: &Context) -> Rank {
        let class = class_of(context);
        let tenant = context.tenant().map_or(0, |tenant| hash(tenant.as_str().as_bytes()));
        Rank { level: class as u16 * COHORTS + u16::from(context.cohort()), tenant }
    }

    /// One of `4 * 128`; the lowest goes first.
    pub fn level(self) -> u16 {
        self.level
    }

    /// The class in it.
    pub(crate) fn class(self) -> Criticality {
        Criticality::ALL[usize::from(self.level / COHORTS).min(Criticality::ALL.len() - 1)]
    }

    /// A hash of it; 0 is nobody's.
    pub(crate) fn tenant(self) -> u32 {
        self.tenant
    }

    pub(super) fn word(self) -> u64 {
        u64::from(self.tenant) << 16 | u64::from(self.level)
    }

    pub(super) fn of_word(word: u64) -> Rank {
        // Both were what they become before they were a word.
        Rank { level: word as u16, tenant: (word >> 16) as u32 }
    }

    #[cfg(test)]
    pub(crate) fn new(level: u16, tenant: u32) -> Rank {
        Rank { level, tenant }
    }
}

/// The class that counts here: a repeat's is one lower.
pub fn class_of(context: &Context) -> Criticality {
    if context.attempt() == 0 { context.criticality() } else { one_lower(context.criticality()) }
}

/// The class below it, if there is one.
fn one_lower(class: Criticality) -> Criticality {
    match class {
        Criticality::CriticalPlus => Criticality::Critical,
        Criticality::Critical => Criticality::SheddablePlus,
        Criticality::SheddablePlus | Criticality::Sheddable => Criticality::Sheddable,
    }
}

/// FNV-1a on 32 bits; two tenants of one hash share one share.
fn hash(bytes: &[u8]) -> u32 {
    let hash =
        bytes.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    hash.max(1)
}

/// The cohorts of a class.
const COHORTS: u16 = 128;

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::context::Tenant;

    #[test]
    fn importance_counts_before_the_cohort_and_a_repeat_is_one_class_lower() {
        let mut context = Context::root(Instant::now());
        let cohort = u16::from(context.cohort());
        assert_eq!(Rank::of(&context), Rank { level: 2 * 128 + cohort, tenant: 0 });
        context.begin_attempt(1, Instant::now());
        assert_eq!(Rank::of(&context).level(), 128 + cohort);
        context.lower(Criticality::Sheddable);
        assert_eq!(Rank::of(&context).level(), cohort);
    }

    #[test]
    fn a_tenant_has_one_level_and_one_word() {
        let of = |name: &str| {
            let mut context = Context::root(Instant::now());
            context.set_tenant(Tenant::parse(name).unwrap());
            Rank::of(&context)
        };
        assert_eq!(of("acme"), of("acme"));
        assert_ne!(of("acme").tenant(), of("emca").tenant());
        assert_eq!(Rank::of_word(of("acme").word()), of("acme"));
    }
}
