//! What do many short windows say together?

/// One variant's readings, one for each round, in the order of the rounds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    /// Adds the reading of the next round.
    pub(crate) fn push(&mut self, reading: f64) {
        self.0.push(reading);
    }

    /// The middle reading; of an even number the mean of both. NaN without readings.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        match (sorted.len() / 2, sorted.len() % 2) {
            (0, 0) => f64::NAN,
            (middle, 0) => f64::midpoint(sorted[middle - 1], sorted[middle]),
            (middle, _) => sorted[middle],
        }
    }

    /// The smallest reading: the machine in its fast phase. NaN without readings.
    pub(crate) fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::NAN, f64::min)
    }
}

/// How many times `base` a variant costs: the smaller of the ratio of medians and the ratio of minima.
///
/// Noise of the machine only ever adds, and rarely to both readings alike: the smaller ratio is nearer the truth.
pub(crate) fn ratio(variant: &Samples, base: &Samples) -> f64 {
    (variant.median() / base.median()).min(variant.min() / base.min())
}

/// The numbers below `count` in random order: whoever comes after whom is thrown anew each round.
pub(crate) fn shuffled(count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    fastrand::shuffle(&mut order);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(readings: &[f64]) -> Samples {
        Samples(readings.to_vec())
    }

    #[test]
    fn the_median_is_the_middle_and_the_minimum_the_fastest() {
        let rows: [(&[f64], f64, f64); 4] = [
            (&[3.0], 3.0, 3.0),
            (&[9.0, 1.0, 2.0], 2.0, 1.0),
            (&[4.0, 1.0, 3.0, 100.0], 3.5, 1.0),
            (&[2.0, 2.0], 2.0, 2.0),
        ];
        for (readings, median, min) in rows {
            assert_eq!((samples(readings).median(), samples(readings).min()), (median, min), "{readings:?}");
        }
    }

    #[test]
    fn no_reading_is_no_number() {
        assert!(samples(&[]).median().is_nan());
        assert!(samples(&[]).min().is_nan());
    }

    #[test]
    fn the_smaller_ratio_counts() {
        let rows: [(&[f64], &[f64], f64); 3] = [
            // One disturbed round in the variant: the minima tell.
            (&[2.0, 9.0, 9.0], &[2.0, 2.0, 2.0], 1.0),
            // One lucky round in the base: the medians tell.
            (&[3.0, 3.0, 3.0], &[1.0, 2.0, 2.0], 1.5),
            (&[4.0, 4.0], &[2.0, 2.0], 2.0),
        ];
        for (variant, base, expected) in rows {
            assert_eq!(ratio(&samples(variant), &samples(base)), expected);
        }
    }
}
