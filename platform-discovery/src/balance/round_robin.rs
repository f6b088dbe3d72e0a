//! One after the other.

use std::sync::atomic::{AtomicUsize, Ordering};

use platform_core::Context;

use super::{Pick, ReadySet};

/// Gives each endpoint its turn.
///
/// Fair to the call, and blind to load: for targets whose calls all cost the same.
#[derive(Debug)]
pub struct RoundRobin {
    turn: AtomicUsize,
}

impl RoundRobin {
    /// Begins anywhere: clients that start together should not all begin with the same endpoint.
    pub fn starting_at(turn: usize) -> Self {
        RoundRobin { turn: AtomicUsize::new(turn) }
    }
}

impl<C> Pick<C> for RoundRobin {
    fn pick(&self, ready: &ReadySet<C>, _context: &Context, _roll: u64) -> Option<usize> {
        self.turn.fetch_add(1, Ordering::Relaxed).checked_rem(ready.len())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::ready::tests::set, *};
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

    proptest! {
        #[test]
        fn turns_are_shared_exactly(count in 1_usize..40, rounds in 1_usize..10, start in 0_usize..1000) {
            let context = Context::root(Instant::now());
            let ready = set(&vec![0; count]);
            let picker = RoundRobin::starting_at(start);
            let mut turns = vec![0; count];
            for _ in 0..count * rounds {
                turns[picker.pick(&ready, &context, 0).unwrap()] += 1;
            }
            prop_assert!(turns.iter().all(|taken| *taken == rounds));
        }
    }
}
