//! How is one number taken?
//!
//! Instructions and allocations repeat to about 1 % on any machine: they are what to hold on to. Time drifts
//! with the machine, so it is taken in short rounds over all variants in turn and read as a ratio.

mod allocations;
mod cpu;
mod instructions;
mod rounds;

pub(crate) use allocations::allocations;
pub(crate) use cpu::run_time;
pub(crate) use instructions::{has_valgrind, instructions, instructions_of_calls};
pub(crate) use rounds::{Samples, ratio, shuffled};

/// Requests, or calls, before and after the counted stretch; the difference leaves start and warm-up out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    /// Requests in the first reading.
    pub(crate) from: u64,
    /// Requests in the second reading.
    pub(crate) to: u64,
}

impl Stretch {
    /// What one request adds, given both readings.
    pub(crate) fn per_request(self, readings: [u64; 2]) -> f64 {
        let [before, after] = readings;
        (after.saturating_sub(before)) as f64 / (self.to - self.from) as f64
    }
}

/// Few, so that each request is served alone and batching does not blur the count.
const CONNECTIONS: u64 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_costs_the_difference_over_the_stretch() {
        let rows = [([1_000, 61_000], 10.0), ([5, 5], 0.0), ([0, 3_000], 0.5)];
        for (readings, expected) in rows {
            assert_eq!(Stretch { from: 2_000, to: 8_000 }.per_request(readings), expected);
        }
    }
}
