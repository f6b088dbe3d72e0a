//! One after the other.

use std::sync::atomic::{AtomicU32, Ordering};

use platform_core::Context;

use super::{Pick, ReadySet};

/// Gives each endpoint its turn, as often as it weighs.
///
/// Fair to the call, and blind to load: for targets whose calls all cost the same. Where weights differ, turns are
/// points that fill a line evenly, so that nobody's turns come in a heap.
#[derive(Debug)]
pub struct RoundRobin {
    turn: AtomicU32,
}

impl RoundRobin {
    /// Begins anywhere: clients that start together should not all begin with the same endpoint.
    pub fn starting_at(turn: u32) -> Self {
        RoundRobin { turn: AtomicU32::new(turn) }
    }
}

impl<C> Pick<C> for RoundRobin {
    fn pick(&self, ready: &ReadySet<C>, _context: &Context, roll: u64) -> Option<usize> {
        let mut index = ready.turn(self.turn.fetch_add(1, Ordering::Relaxed))?;
        for skipped in 1..MOST_SKIPPED {
            if ready.is_warm_enough(index, roll.rotate_left(skipped)) {
                break;
            }
            index = ready.turn(self.turn.fetch_add(1, Ordering::Relaxed))?;
        }
        Some(index)
    }
}

/// Turns that those who warm up may let pass; where all do, somebody has to be asked.
const MOST_SKIPPED: u32 = 8;

#[cfg(test)]
mod tests {
    use super::{
        super::ready::tests::{Like, set, set_of},
        *,
    };
    use proptest::prelude::*;
    use tokio::time::Instant;

    #[test]
    fn nobody_has_a_second_turn_before_everybody_had_the_first() {
        let context = Context::root(Instant::now());
        let ready = set(&[9, 0, 0]);
        let picker = RoundRobin::starting_at(4);
        let picked: Vec<_> = (0..7).map(|_| picker.pick(&ready, &context, 0).unwrap()).collect();
        assert_eq!(picked, [1, 2, 0, 1, 2, 0, 1]);
        assert_eq!(picker.pick(&set(&[]), &context, 0), None);
    }

    #[test]
    fn who_warms_up_lets_turns_pass() {
        let context = Context::root(Instant::now());
        let warm = Like::default();
        let ready = set_of(&[Like { warmth: 0.1, ..warm }, warm, warm]);
        let picker = RoundRobin::starting_at(0);
        let mut dice = fastrand::Rng::with_seed(5);
        let turns = (0..30_000).filter(|_| picker.pick(&ready, &context, dice.u64(..)) == Some(0)).count();
        // A tenth of one share, of two whole ones and that.
        assert!((1_350..1_520).contains(&turns), "{turns}");
    }

    proptest! {
        #[test]
        fn turns_are_shared_exactly(count in 1_usize..40, rounds in 1_usize..10, start in 0_u32..1000) {
            let context = Context::root(Instant::now());
            let ready = set(&vec![0; count]);
            let picker = RoundRobin::starting_at(start);
            let mut turns = vec![0; count];
            for _ in 0..count * rounds {
                turns[picker.pick(&ready, &context, 0).unwrap()] += 1;
            }
            prop_assert!(turns.iter().all(|taken| *taken == rounds));
        }

        /// Over any stretch of turns everybody had its share, give or take a few.
        #[test]
        fn turns_follow_the_weights_closely(
            weights in prop::collection::vec(0_u32..20, 2..20), rounds in 1_u32..2_000, start: u32
        ) {
            let total: u32 = weights.iter().sum();
            prop_assume!(total > 0);
            let ready = set_of(
                &weights.iter().map(|weight| Like { weight: *weight, ..Like::default() }).collect::<Vec<_>>(),
            );
            let context = Context::root(Instant::now());
            let picker = RoundRobin::starting_at(start);
            let mut turns = vec![0_u32; weights.len()];
            for _ in 0..rounds {
                turns[picker.pick(&ready, &context, 0).unwrap()] += 1;
            }
            for (turns, weight) in turns.iter().zip(&weights) {
                let wanted = f64::from(rounds) * f64::from(*weight) / f64::from(total);
                prop_assert!((f64::from(*turns) - wanted).abs() <= 12.0, "{} of {}: {:?}", turns, rounds, weights);
            }
        }
    }
}
