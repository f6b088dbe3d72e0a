//! The less loaded of two.

use platform_core::Context;

use super::{Pick, ReadySet};

/// Looks at two endpoints chosen at random and takes the one with fewer calls in flight.
///
/// Two looks are exponentially better than one, and a third adds little (Mitzenmacher, *The power of two
/// choices*). Looking at all would send every client to the same idle endpoint at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct P2c;

impl<C> Pick<C> for P2c {
    fn pick(&self, ready: &ReadySet<C>, _context: &Context, roll: u64) -> Option<usize> {
        let (first, second) = two_of(ready.len(), roll)?;
        // Even: the first, which is as random as the second.
        Some(if ready.in_flight(second) < ready.in_flight(first) { second } else { first })
    }
}

/// Two different indices below `count`, or the same one twice if there is but one.
fn two_of(count: usize, roll: u64) -> Option<(usize, usize)> {
    match count {
        0 => None,
        1 => Some((0, 0)),
        _ => {
            let first = scale(roll >> 32, count);
            let second = scale(roll & LOW, count - 1);
            // The others, in order, with the first left out.
            Some((first, if second >= first { second + 1 } else { second }))
        }
    }
}

/// 32 random bits as a number below `below`, without a division.
fn scale(bits: u64, below: usize) -> usize {
    let product = u128::from(bits) * below as u128;
    usize::try_from(product >> 32).expect("it is below a usize")
}

const LOW: u64 = 0xffff_ffff;

#[cfg(test)]
mod tests {
    use super::{super::ready::tests::set, *};
    use proptest::prelude::*;
    use tokio::time::Instant;

    fn pick(loads: &[u32], roll: u64) -> Option<usize> {
        P2c.pick(&set(loads), &Context::root(Instant::now()), roll)
    }

    #[test]
    fn the_roll_decides_who_is_compared_and_the_load_who_wins() {
        let high = LOW << 32;
        let table: [(&[u32], u64, Option<usize>); 9] = [
            (&[], 7, None),
            (&[9], u64::MAX, Some(0)),
            (&[0, 0], 0, Some(0)),
            (&[0, 0], high, Some(1)),
            (&[1, 0], 0, Some(1)),
            (&[1, 0], high, Some(1)),
            (&[0, 1, 2, 3], 0, Some(0)),
            (&[5, 1, 2, 3], 0, Some(1)),
            (&[5, 1, 2, 3], u64::MAX, Some(2)),
        ];
        for (loads, roll, wanted) in table {
            assert_eq!(pick(loads, roll), wanted, "{loads:?} {roll:#x}");
        }
    }

    #[test]
    fn every_pair_is_as_likely_as_any_other() {
        let count = 5_usize;
        let mut seen = [[0_u32; 5]; 5];
        let step = (1_u64 << 32) / 100;
        let middle = |of: u64| of * step + step / 2;
        for first in 0..100 {
            for second in 0..100 {
                let (a, b) = two_of(count, (middle(first) << 32) | middle(second)).unwrap();
                seen[a][b] += 1;
            }
        }
        for (a, row) in seen.iter().enumerate() {
            for (b, times) in row.iter().enumerate() {
                assert_eq!(*times, if a == b { 0 } else { 500 }, "{a} {b}");
            }
        }
    }

    proptest! {
        #[test]
        fn it_takes_the_less_loaded_of_two_different_ones_and_nobody_else(
            loads in prop::collection::vec(0_u32..4, 1..40), roll: u64
        ) {
            let picked = pick(&loads, roll).unwrap();
            let (first, second) = two_of(loads.len(), roll).unwrap();
            prop_assert!(first < loads.len() && second < loads.len());
            prop_assert!(loads.len() == 1 || first != second);
            prop_assert!(picked == first || picked == second);
            prop_assert_eq!(loads[picked], loads[first].min(loads[second]));
        }
    }
}
