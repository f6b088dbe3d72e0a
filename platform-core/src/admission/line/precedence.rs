//! Precedence: who of those that wait comes before whom?

use crate::{admission::shed::Rank, context::Criticality};

/// A place in a line: the higher goes first.
///
/// Whoever asks for more than others waits behind all who do not, however important it calls itself: else the first
/// burst of one tenant would stand before everybody else's requests until somebody has counted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Precedence {
    place: u8,
    tenant: u32,
}

impl Precedence {
    /// As important as `rank` is; `noisy` says whether its tenant asks for more than others do.
    pub fn of(rank: Rank, noisy: bool) -> Self {
        let place = rank.class() as u8 + if noisy { 0 } else { CLASSES as u8 };
        Precedence { place, tenant: rank.tenant() }
    }

    /// Behind everybody. That says nothing about its tenant, which may ask for no more than others: what else of that
    /// tenant waits stays where it is.
    pub fn last() -> Self {
        Precedence { place: 0, tenant: NOBODY }
    }

    /// Before everybody: it was let in before.
    pub(super) const BACK: Precedence = Precedence { place: 2 * CLASSES as u8, tenant: 0 };

    /// How many there are.
    pub(super) const COUNT: usize = 2 * CLASSES + 1;

    /// The places of those who ask for no more than others begin here; as many before are those of the others.
    pub(super) const QUIET: usize = CLASSES;

    pub(super) fn index(self) -> usize {
        usize::from(self.place)
    }

    pub(super) fn tenant(self) -> u32 {
        self.tenant
    }

    /// Is it known that its tenant asks for more than others?
    pub(super) fn is_noisy(self) -> bool {
        self.index() < Precedence::QUIET && self.tenant != NOBODY
    }
}

const CLASSES: usize = Criticality::ALL.len();

/// A rank's word for no tenant.
const NOBODY: u32 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quiet_come_before_the_noisy_and_the_important_before_the_others() {
        let levels = [0, 127, 128, 256, 384];
        let order =
            [true, false].map(|noisy| levels.map(|level| Precedence::of(Rank::new(level, 7), noisy).index()));
        assert_eq!(order, [[0, 0, 1, 2, 3], [4, 4, 5, 6, 7]]);
        assert_eq!((Precedence::BACK.index(), Precedence::COUNT), (8, 9));
    }
}
