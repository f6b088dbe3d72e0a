//! The share to turn away, as arithmetic.

use crate::config::Ratio;

/// What the target answered of late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Answers {
    pub(super) all: u64,
    pub(super) accepted: u64,
}

/// The share of calls that are not worth sending.
pub(super) fn share(answers: Answers, k: f64, most: Ratio) -> f64 {
    let Answers { all, accepted } = answers;
    if all < FEWEST_ANSWERS {
        return 0.0;
    }
    // The one in the divisor keeps a few answers from meaning certainty.
    let share = (all as f64 - k * accepted as f64) / (all as f64 + 1.0);
    share.clamp(0.0, most.as_f64())
}

/// Of fewer, three unlucky ones are a third. At ten a second a client is no part of anybody's overload.
const FEWEST_ANSWERS: u64 = 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MOST: Ratio = Ratio::of(0.8);

    #[test]
    fn the_table_of_shares() {
        // Answers, accepted, k, share.
        let table = [
            (0, 0, 2.0, 0.0),
            (9, 0, 2.0, 0.0),
            (10, 0, 2.0, 0.8),
            (10, 5, 2.0, 0.0),
            (100, 100, 2.0, 0.0),
            (100, 50, 2.0, 0.0),
            (100, 49, 2.0, 2.0 / 101.0),
            (100, 25, 2.0, 50.0 / 101.0),
            (100, 0, 2.0, 0.8),
            (100, 50, 1.1, 45.0 / 101.0),
            (100, 100, 1.0, 0.0),
            (100, 99, 1.0, 1.0 / 101.0),
        ];
        for (all, accepted, k, expected) in table {
            let share = share(Answers { all, accepted }, k, MOST);
            assert!((share - expected).abs() < 1e-9, "{accepted} of {all}, k = {k}: {share}");
        }
    }

    proptest! {
        #[test]
        fn it_is_a_share_within_its_bound_and_falls_with_what_is_accepted(
            all in 0_u64..100_000,
            good in 0.0_f64..=1.0,
            k in 1.0_f64..10.0,
            most in 0.0_f64..=1.0,
        ) {
            let accepted = (all as f64 * good) as u64;
            let most = Ratio::new(most).expect("made as a ratio");
            let now = share(Answers { all, accepted }, k, most);
            prop_assert!((0.0..=most.as_f64()).contains(&now));
            prop_assert!(share(Answers { all, accepted: all }, k, most) <= 0.0, "all is well");
            if accepted < all {
                let better = share(Answers { all, accepted: accepted + 1 }, k, most);
                prop_assert!(better <= now);
            }
        }
    }
}
