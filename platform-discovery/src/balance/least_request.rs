//! The idler of two.

use platform_core::Context;

use super::{Pick, ReadySet};

/// Looks at two endpoints drawn by weight and takes the one with fewer calls in flight for its weight.
///
/// It does not look at latency, so one that fails at once is its favourite until it is ejected. For targets whose
/// latency says nothing about load, such as long polls.
#[derive(Clone, Copy, Debug, Default)]
pub struct LeastRequest;

impl<C> Pick<C> for LeastRequest {
    fn pick(&self, ready: &ReadySet<C>, _context: &Context, roll: u64) -> Option<usize> {
        let (first, second) = ready.two_by(roll)?;
        Some(ready.idler(first, second, roll))
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::ready::tests::{Like, set_of},
        *,
    };
    use tokio::time::Instant;

    #[test]
    fn calls_decide_and_latency_does_not() {
        let like = |calls, millis, weight| Like { calls, millis, weight, ..Like::default() };
        let table = [
            ("idle and slow", like(1, 10, 1), like(0, 5_000, 1), 1),
            ("even: the first", like(2, 10, 1), like(2, 1, 1), 0),
            ("heavier", like(3, 10, 4), like(1, 10, 1), 0),
        ];
        let context = Context::root(Instant::now());
        for (what, one, other, wanted) in table {
            assert_eq!(LeastRequest.pick(&set_of(&[one, other]), &context, 0), Some(wanted), "{what}");
        }
    }

    #[test]
    fn calls_that_stay_are_shared_as_the_weights_say() {
        let ready = set_of(&[1, 2, 3].map(|weight| Like { weight, ..Like::default() }));
        let context = Context::root(Instant::now());
        let mut dice = fastrand::Rng::with_seed(3);
        for _ in 0..600 {
            let index = LeastRequest.pick(&ready, &context, dice.u64(..)).unwrap();
            ready.members()[index].load().begin();
        }
        for (index, wanted) in [100_u32, 200, 300].into_iter().enumerate() {
            assert!(ready.in_flight(index).abs_diff(wanted) <= 6, "{index}: {}", ready.in_flight(index));
        }
    }
}
