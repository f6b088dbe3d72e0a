//! Do two numbers move together?

use std::collections::VecDeque;

/// The last pairs of two numbers.
#[derive(Debug, Default)]
pub(super) struct Correlation {
    pairs: VecDeque<(f64, f64)>,
}

/// How two numbers move together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Together {
    /// From -1 (opposite) to 1; 0 if one of them does not move.
    pub(super) slope: f64,
    /// Are there enough pairs to say so?
    pub(super) is_known: bool,
}

impl Correlation {
    pub(super) fn add(&mut self, first: f64, second: f64) -> Together {
        if self.pairs.len() == MOST_PAIRS {
            self.pairs.pop_front();
        }
        self.pairs.push_back((first, second));
        let is_known = self.pairs.len() >= FEWEST_PAIRS;
        Together { slope: if is_known { self.pearson() } else { 0.0 }, is_known }
    }

    /// The standard deviation of the second numbers as a share of their mean.
    pub(super) fn spread_of_second(&self) -> f64 {
        let (mean, deviation) = self.moments(|pair| pair.1);
        if mean == 0.0 { 0.0 } else { deviation / mean }
    }

    fn pearson(&self) -> f64 {
        let ((mean_a, a), (mean_b, b)) = (self.moments(|pair| pair.0), self.moments(|pair| pair.1));
        let products = self.pairs.iter().map(|pair| (pair.0 - mean_a) * (pair.1 - mean_b));
        let covariance = products.sum::<f64>() / self.pairs.len() as f64;
        // A thousandth of the mean is no movement; dividing by it would make direction out of rounding.
        if a <= mean_a.abs() * 1e-3 || b <= mean_b.abs() * 1e-3 {
            return 0.0;
        }
        (covariance / (a * b)).clamp(-1.0, 1.0)
    }

    fn moments(&self, of: impl Fn(&(f64, f64)) -> f64) -> (f64, f64) {
        let count = self.pairs.len().max(1) as f64;
        let mean = self.pairs.iter().map(&of).sum::<f64>() / count;
        let variance = self.pairs.iter().map(|pair| (of(pair) - mean).powi(2)).sum::<f64>() / count;
        (mean, variance.sqrt())
    }
}

/// failsafe-go's numbers: a minute or so of windows, and no word before ten.
const MOST_PAIRS: usize = 50;
const FEWEST_PAIRS: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_together() {
        type Second = fn(f64) -> f64;
        let table: [(Second, f64); 4] =
            [(|x| 2.0 * x, 1.0), (|x| 100.0 - x, -1.0), (|_| 5.0, 0.0), (|x| x % 2.0, 0.0)];
        for (second, expected) in table {
            let mut correlation = Correlation::default();
            let mut last = correlation.add(0.0, second(0.0));
            assert_eq!(last, Together { slope: 0.0, is_known: false });
            for i in 1..60 {
                last = correlation.add(f64::from(i), second(f64::from(i)));
            }
            assert!(last.is_known && (last.slope - expected).abs() < 0.1, "{last:?} for {expected}");
            assert_eq!(correlation.pairs.len(), MOST_PAIRS);
        }
    }
}
