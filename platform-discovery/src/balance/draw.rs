//! Whose turn may it be? Draws by weight, at the same price however many there are.

/// A table to draw from: each member has a stretch of a line as long as its weight, and a draw is a point on it.
///
/// A guide says for each of as many equal parts of the line where to begin looking; on average one look is enough and
/// never more than two are expected, whatever the weights.
#[derive(Debug)]
pub(super) struct Draw {
    /// Where each stretch ends; the last at [`LINE`].
    ends: Box<[u64]>,
    /// The first stretch that reaches into each part.
    guide: Box<[u32]>,
    /// Of each: its weight in ordinary ones, turned upside down.
    lightness: Box<[f32]>,
}

impl Draw {
    /// A table for these weights; `None` where all are the same, so that there is nothing to look up. Who weighs
    /// nothing is never drawn, unless all do.
    pub(super) fn by(weights: &[u32]) -> Option<Self> {
        let first = *weights.first()?;
        if weights.iter().all(|weight| *weight == first) {
            return None;
        }
        let total: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
        let count = weights.len();
        let mut sum = 0_u128;
        let ends: Box<[u64]> = weights
            .iter()
            .map(|weight| {
                sum += u128::from(*weight);
                u64::try_from(sum * u128::from(LINE) / total)
                    .expect("a part of the line is no longer than the line")
            })
            .collect();
        let mut at = 0;
        let guide = (0..count as u64)
            .map(|part| {
                let begin = part * LINE / count as u64;
                while ends[at] <= begin {
                    at += 1;
                }
                u32::try_from(at).unwrap_or(u32::MAX)
            })
            .collect();
        let mean = total as f64 / count as f64;
        let lightness = weights.iter().map(|weight| (mean / f64::from((*weight).max(1))) as f32).collect();
        Some(Draw { ends, guide, lightness })
    }

    /// Who has the point `at` of the line.
    pub(super) fn one(&self, at: u64) -> usize {
        let mut index = self.guide[scale(at, self.guide.len())] as usize;
        while self.ends[index] <= at {
            index += 1;
        }
        index
    }

    /// Who has it when `without` has left the line, and the rest moved together; `without` if nobody is left.
    pub(super) fn other(&self, without: usize, at: u64) -> usize {
        let begin = without.checked_sub(1).map_or(0, |before| self.ends[before]);
        let long = self.ends[without] - begin;
        if long == LINE {
            return without;
        }
        let at = at * (LINE - long) / LINE;
        self.one(if at >= begin { at + long } else { at })
    }

    /// One ordinary weight, in those of `index`.
    pub(super) fn lightness(&self, index: usize) -> f32 {
        self.lightness[index]
    }
}

/// Two different indices below `count`, or the same one twice if there is but one.
#[inline]
pub(super) fn two_of(count: usize, draw: Option<&Draw>, roll: u64) -> Option<(usize, usize)> {
    let (high, low) = (roll >> 32, roll & (LINE - 1));
    match (count, draw) {
        (0, _) => None,
        (1, _) => Some((0, 0)),
        (_, None) => {
            let first = scale(high, count);
            let second = scale(low, count - 1);
            // The others, in order, with the first left out.
            Some((first, if second >= first { second + 1 } else { second }))
        }
        (_, Some(draw)) => {
            let first = draw.one(high);
            Some((first, draw.other(first, low)))
        }
    }
}

/// A point of the line as a number below `below`, without a division.
#[inline]
pub(super) fn scale(at: u64, below: usize) -> usize {
    usize::try_from(at * below as u64 / LINE).expect("it is below a usize")
}

/// Points are 32 random bits.
pub(super) const LINE: u64 = 1 << 32;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_weights_need_no_table() {
        for weights in [&[][..], &[0], &[3], &[1, 1, 1], &[0, 0]] {
            assert!(Draw::by(weights).is_none(), "{weights:?}");
        }
    }

    #[test]
    fn every_pair_is_as_likely_as_any_other() {
        let count = 5_usize;
        let mut seen = [[0_u32; 5]; 5];
        let step = LINE / 100;
        let middle = |of: u64| of * step + step / 2;
        for first in 0..100 {
            for second in 0..100 {
                let (a, b) = two_of(count, None, (middle(first) << 32) | middle(second)).unwrap();
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
        /// A walk along the line meets everybody for as long as it weighs, and nobody who weighs nothing.
        #[test]
        fn draws_are_as_the_weights(weights in prop::collection::vec(0_u32..50, 2..60)) {
            prop_assume!(weights.iter().any(|weight| *weight > 0));
            let Some(draw) = Draw::by(&weights) else { return Ok(()) };
            let total: u32 = weights.iter().sum();
            let steps = 100 * u64::from(total);
            let mut seen = vec![0_u64; weights.len()];
            for step in 0..steps {
                seen[draw.one((2 * step + 1) * LINE / (2 * steps))] += 1;
            }
            for (seen, weight) in seen.iter().zip(&weights) {
                prop_assert!(seen.abs_diff(100 * u64::from(*weight)) <= 1, "{:?} {:?}", seen, weights);
            }
        }

        /// The second is drawn from the others, as they weigh among themselves.
        #[test]
        fn the_second_is_another(weights in prop::collection::vec(0_u32..50, 2..40), roll: u64) {
            prop_assume!(weights.iter().filter(|weight| **weight > 0).count() > 1);
            let draw = Draw::by(&weights);
            let (first, second) = two_of(weights.len(), draw.as_ref(), roll).unwrap();
            prop_assert_ne!(first, second);
            prop_assert!(weights[first] > 0 && weights[second] > 0);
            if let Some(draw) = draw {
                let others: u32 = weights.iter().sum::<u32>() - weights[first];
                let steps = 100 * u64::from(others);
                let mut seen = vec![0_u64; weights.len()];
                for step in 0..steps {
                    seen[draw.other(first, (2 * step + 1) * LINE / (2 * steps))] += 1;
                }
                prop_assert_eq!(seen[first], 0);
                for (index, weight) in weights.iter().enumerate().filter(|(index, _)| *index != first) {
                    prop_assert!(seen[index].abs_diff(100 * u64::from(*weight)) <= 1);
                }
            }
        }

        #[test]
        fn a_point_that_is_nobodys_does_not_exist(weights in prop::collection::vec(any::<u32>(), 1..40), at in 0..LINE) {
            if let Some(draw) = Draw::by(&weights) {
                prop_assert!(weights[draw.one(at)] > 0);
            }
        }
    }
}
