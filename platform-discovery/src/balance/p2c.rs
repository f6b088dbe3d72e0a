//! The cheaper of two.

use platform_core::Context;

use super::{Pick, ReadySet};

/// Looks at two endpoints drawn by weight and takes the one where a call is expected to cost less: the average latency
/// times the calls in flight there, and a failure is as good as a slow answer.
///
/// Two looks are exponentially better than one, and a third adds little (Mitzenmacher, *The power of two
/// choices*). Looking at all would send every client to the same idle endpoint at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct P2c;

impl<C> Pick<C> for P2c {
    #[inline]
    fn pick(&self, ready: &ReadySet<C>, _context: &Context, roll: u64) -> Option<usize> {
        let (first, second) = ready.two_by(roll)?;
        // Even: the first, which is as random as the second.
        let (chosen, fails) = ready.cheaper_and_fails(first, second, roll);
        Some(if fails { elsewhere(ready, chosen, roll) } else { chosen })
    }
}

/// The better of two failed when it was last asked: where a third of all are down, every eleventh pair is two of those.
/// So a few more are looked at, and still none of them if all fail.
#[cold]
fn elsewhere<C>(ready: &ReadySet<C>, mut chosen: usize, mut roll: u64) -> usize {
    for _ in 0..MORE_PAIRS {
        // Another roll from the same dice (Steele and others, the odd constant of SplitMix's last step).
        roll = (roll ^ (roll >> 31)).wrapping_mul(0x94d0_49bb_1331_11eb);
        if let Some((first, second)) = ready.two_by(roll ^ (roll >> 29)) {
            let other = ready.cheaper(first, second, roll);
            chosen = ready.cheaper(chosen, other, roll);
        }
        if !ready.fails(chosen) {
            break;
        }
    }
    chosen
}

/// With half of all down three pairs are all bad once in 64 times.
const MORE_PAIRS: u32 = 2;

#[cfg(test)]
mod tests {
    use super::{
        super::{
            draw::{LINE, two_of},
            ready::tests::{Like, set, set_of},
        },
        *,
    };
    use proptest::prelude::*;
    use tokio::time::Instant;

    fn pick(loads: &[u32], roll: u64) -> Option<usize> {
        P2c.pick(&set(loads), &Context::root(Instant::now()), roll)
    }

    const HIGH: u64 = (LINE - 1) << 32;

    #[test]
    fn the_roll_decides_who_is_compared_and_the_load_who_wins() {
        let table: [(&[u32], u64, Option<usize>); 9] = [
            (&[], 7, None),
            (&[9], u64::MAX, Some(0)),
            (&[0, 0], 0, Some(0)),
            (&[0, 0], HIGH, Some(1)),
            (&[1, 0], 0, Some(1)),
            (&[1, 0], HIGH, Some(1)),
            (&[0, 1, 2, 3], 0, Some(0)),
            (&[5, 1, 2, 3], 0, Some(1)),
            (&[5, 1, 2, 3], u64::MAX, Some(2)),
        ];
        for (loads, roll, wanted) in table {
            assert_eq!(pick(loads, roll), wanted, "{loads:?} {roll:#x}");
        }
    }

    /// Latency times calls, for the weight; who was never answered yet gets one call at a time.
    #[test]
    fn the_cost_is_latency_times_calls() {
        let like = |calls, millis| Like { calls, millis, ..Like::default() };
        let table: [(&str, Like, Like, usize); 9] = [
            ("the faster one", like(0, 20), like(0, 10), 1),
            ("busy and fast against idle and slow", like(2, 10), like(0, 40), 0),
            ("busier and fast against idle and slow", like(5, 10), like(0, 40), 1),
            ("one that failed is as one that takes 5 s", like(0, 5_000), like(9, 100), 1),
            ("nobody was asked: only calls are known", like(1, 0), like(0, 0), 1),
            ("who is unknown is tried", like(0, 10), Like { untried: true, ..like(0, 0) }, 1),
            ("and then waited for", like(50, 100), Like { untried: true, ..like(1, 0) }, 0),
            (
                "twice the weight, less than twice the calls",
                Like { weight: 2, ..like(5, 10) },
                like(4, 10),
                0,
            ),
            ("twice the weight and three times the calls", Like { weight: 2, ..like(9, 10) }, like(3, 10), 1),
        ];
        for (what, one, other, wanted) in table {
            let ready = set_of(&[one, other]);
            assert_eq!(ready.cheaper(0, 1, 0), wanted, "{what}");
            assert_eq!(ready.cheaper(1, 0, 0), wanted, "{what}, the other way round");
        }
    }

    #[test]
    fn a_small_difference_is_chance_and_the_draw_decides() {
        let like = |millis| Like { millis, ..Like::default() };
        assert_eq!(set_of(&[like(12), like(10)]).cheaper(0, 1, 0), 0);
        assert_eq!(set_of(&[like(12), like(10)]).cheaper(1, 0, 0), 1);
        assert_eq!(set_of(&[like(13), like(10)]).cheaper(0, 1, 0), 1);
    }

    #[test]
    fn two_that_failed_are_no_choice() {
        let failed = Like { millis: 5_000, failed: true, ..Like::default() };
        let well = Like { millis: 10, ..Like::default() };
        let context = Context::root(Instant::now());
        let share = |likes: &[Like]| {
            let (ready, mut dice) = (set_of(likes), fastrand::Rng::with_seed(9));
            let bad = |_: &u32| likes[P2c.pick(&ready, &context, dice.u64(..)).unwrap()].failed;
            (0..50_000).filter(bad).count() as f64 / 50_000.0
        };
        let third = [[failed; 4].as_slice(), &[well; 8]].concat();
        // One pair would be both bad in 9.1 % of all draws.
        assert!(share(&third) < 0.003, "{}", share(&third));
        assert_eq!(share(&[failed; 3]), 1.0);
    }

    #[test]
    fn who_warms_up_gets_a_part_of_its_share() {
        let cold = Like { millis: 10, warmth: 0.1, ..Like::default() };
        let warm = Like { millis: 10, ..Like::default() };
        let ready = set_of(&[cold, warm, warm, warm, warm]);
        let context = Context::root(Instant::now());
        let (mut asked, rolls) = (0, 100_000);
        let mut dice = fastrand::Rng::with_seed(7);
        for _ in 0..rolls {
            asked += u32::from(P2c.pick(&ready, &context, dice.u64(..)) == Some(0));
        }
        let share = f64::from(asked) / f64::from(rolls);
        assert!((0.018..0.022).contains(&share), "a tenth of a fifth: {share}");
        // Where all are new, nobody is.
        let ready = set_of(&[cold, cold]);
        let mut asked = 0;
        for _ in 0..rolls {
            asked += u32::from(P2c.pick(&ready, &context, dice.u64(..)) == Some(0));
        }
        assert!((0.49..0.51).contains(&(f64::from(asked) / f64::from(rolls))));
    }

    proptest! {
        #[test]
        fn it_takes_the_less_loaded_of_two_different_ones_and_nobody_else(
            loads in prop::collection::vec(0_u32..4, 1..40), roll: u64
        ) {
            let picked = pick(&loads, roll).unwrap();
            let (first, second) = two_of(loads.len(), None, roll).unwrap();
            prop_assert!(first < loads.len() && second < loads.len());
            prop_assert!(loads.len() == 1 || first != second);
            prop_assert!(picked == first || picked == second);
            prop_assert_eq!(loads[picked], loads[first].min(loads[second]));
        }

        /// Where all are idle and equally fast, everybody gets what it weighs.
        #[test]
        fn idle_ones_get_what_they_weigh(weights in prop::collection::vec(0_u32..6, 2..12), seed: u64) {
            let total: u32 = weights.iter().sum();
            prop_assume!(total > 0);
            let likes: Vec<Like> =
                weights.iter().map(|weight| Like { weight: *weight, millis: 10, ..Like::default() }).collect();
            let ready = set_of(&likes);
            let context = Context::root(Instant::now());
            let mut dice = fastrand::Rng::with_seed(seed);
            let mut asked = vec![0_u32; weights.len()];
            for _ in 0..20_000 {
                asked[P2c.pick(&ready, &context, dice.u64(..)).unwrap()] += 1;
            }
            for (asked, weight) in asked.iter().zip(&weights) {
                let wanted = 20_000.0 * f64::from(*weight) / f64::from(total);
                // Five deviations of a draw of that share.
                prop_assert!((f64::from(*asked) - wanted).abs() <= 5.0 * wanted.sqrt() + 1.0, "{:?}", weights);
            }
        }
    }
}
