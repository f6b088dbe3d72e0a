//! A peak-sensitive moving average, as a value of 64 bits.

use std::{f32::consts::LN_2, time::Duration};

/// How long answers take: up at once, down slowly.
///
/// Seconds, and the tick (millisecond) at which they were true. What is measured above the average replaces it at
/// once, because a slow answer is news and a fast one is not; what lies below pulls it down by `e^(-dt/tau)`. While
/// nothing is measured it fades away, so that whoever was too slow to be asked is tried again one day.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Average {
    seconds: f32,
    tick: u32,
}

/// How fast what was measured is forgotten: the exponent of two for each tick.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Decay(f32);

impl Decay {
    /// To `1/e` within `tau`.
    pub(super) const fn over(tau: Duration) -> Self {
        Decay(-std::f32::consts::LOG2_E / (tau.as_secs_f32() * 1e3))
    }

    /// What is left after so many ticks; more than one before them.
    fn after(self, ticks: i32) -> f32 {
        // Of a busy endpoint that is the usual answer.
        if ticks == 0 {
            return 1.0;
        }
        power_of_two(ticks as f32 * self.0)
    }
}

impl Average {
    pub(super) fn of(seconds: f32, tick: u32) -> Self {
        Average { seconds, tick }
    }

    /// The average at `tick`, faded since.
    pub(super) fn at(self, tick: u32, decay: Decay) -> f32 {
        self.seconds * decay.after(self.age(tick))
    }

    /// Within the same millisecond the first sample stands for all that took no longer, which leaves the mean as it is.
    #[inline]
    pub(super) fn stands_for(self, sample: f32, tick: u32) -> bool {
        self.age(tick) == 0 && sample <= self.seconds
    }

    /// The average with another sample.
    pub(super) fn with(self, sample: f32, tick: u32, decay: Decay) -> Self {
        if self.stands_for(sample, tick) {
            return self;
        }
        let age = self.age(tick);
        let kept = decay.after(age);
        let faded = self.seconds * kept;
        Average::of(if sample > faded { sample } else { faded + sample * (1.0 - kept) }, tick)
    }

    /// How it compares with another's: the quotient of both at any one instant, since both fade alike.
    pub(super) fn cost(self, busy: f32, other: Average, decay: Decay) -> f32 {
        self.seconds * busy * decay.after(other.tick.wrapping_sub(self.tick) as i32)
    }

    /// The seconds as they were when they were measured.
    pub(super) fn seconds(self) -> f32 {
        self.seconds
    }

    pub(super) fn to_bits(self) -> u64 {
        u64::from(self.seconds.to_bits()) << 32 | u64::from(self.tick)
    }

    pub(super) fn from_bits(bits: u64) -> Self {
        Average { seconds: f32::from_bits((bits >> 32) as u32), tick: bits as u32 }
    }

    /// Ticks since it was true; a clock that seems to run backwards has not run.
    fn age(self, tick: u32) -> i32 {
        (tick.wrapping_sub(self.tick) as i32).max(0)
    }
}

/// `2^x`, to four digits: two latencies are compared by a fifth of their difference, and the library's seven digits are a
/// hundred instructions a call.
fn power_of_two(x: f32) -> f32 {
    let x = x.clamp(-LARGEST, LARGEST);
    // Where a step between two numbers is one, adding rounds to a whole number, which then stands in the last bits.
    let shifted = x + WHOLE_STEPS;
    let rest = x - (shifted - WHOLE_STEPS);
    // Taylor's series around nothing, from which rest is at most a half away: exact where little has faded.
    let part = 1.0 + rest * (TAYLOR[0] + rest * (TAYLOR[1] + rest * (TAYLOR[2] + rest * TAYLOR[3])));
    // A power of two is an exponent without a fraction.
    part * f32::from_bits((shifted.to_bits() << FRACTION_BITS).wrapping_add(1.0_f32.to_bits()))
}

/// Beyond that there is no normal number.
const LARGEST: f32 = 126.0;
/// One and a half times the first `f32` after which there are no fractions, so that it holds for both signs.
const WHOLE_STEPS: f32 = 1.5 * (1 << FRACTION_BITS) as f32;
/// Powers of the logarithm of two over factorials.
const TAYLOR: [f32; 4] =
    [LN_2, LN_2 * LN_2 / 2.0, LN_2 * LN_2 * LN_2 / 6.0, LN_2 * LN_2 * LN_2 * LN_2 / 24.0];
const FRACTION_BITS: u32 = 23;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TAU: Decay = Decay::over(Duration::from_secs(10));

    #[test]
    fn up_at_once_and_down_in_ten_seconds() {
        let calm = Average::of(0.010, 0);
        let peak = calm.with(0.200, 5, TAU);
        assert_eq!(peak, Average::of(0.200, 5));
        // A sample each 10 ms for ten seconds: what is left of the peak is 1/e of it.
        let after = (1..=1000).fold(peak, |average, n| average.with(0.010, 5 + n * 10, TAU));
        let left = (after.seconds() - 0.010) / 0.190;
        assert!((left - (-1.0_f32).exp()).abs() < 0.01, "{left}");
    }

    #[test]
    fn what_is_not_asked_fades() {
        let failed = Average::of(5.0, 0);
        assert!((failed.at(10_000, TAU) - 5.0 / std::f32::consts::E).abs() < 1e-3);
        // After a minute it is as good as one of 12 ms, and is tried.
        assert!((0.010..0.015).contains(&failed.at(60_000, TAU)));
    }

    #[test]
    fn the_clock_may_wrap_or_seem_to_run_backwards() {
        let before = Average::of(1.0, u32::MAX - 500);
        assert!((before.at(9_499, TAU) - (-1.0_f32).exp()).abs() < 1e-4);
        assert_eq!(Average::of(1.0, 100).at(99, TAU), 1.0);
    }

    #[test]
    fn nothing_has_faded_at_once_and_all_has_in_the_end() {
        let decay = Decay::over(Duration::from_secs(10));
        assert_eq!(decay.after(0), 1.0);
        assert!(decay.after(i32::MAX) < 1e-37 && decay.after(i32::MIN) > 1e37);
    }

    proptest! {
        #[test]
        fn powers_of_two_have_four_digits(x in -120.0_f32..120.0) {
            let (own, library) = (power_of_two(x), x.exp2());
            prop_assert!((own - library).abs() <= 1e-4 * library, "{} {}", own, library);
        }

        #[test]
        fn bits_keep_it(seconds in 0.0_f32..1e6, tick: u32) {
            let average = Average::of(seconds, tick);
            prop_assert_eq!(Average::from_bits(average.to_bits()), average);
        }

        /// Comparing two needs no clock: at whichever time one looks, the same one is cheaper.
        #[test]
        fn who_is_cheaper_does_not_depend_on_when_one_looks(
            one in (1e-4_f32..10.0, 0_u32..60_000, 1_u32..50), other in (1e-4_f32..10.0, 0_u32..60_000, 1_u32..50),
            look in 60_000_u32..90_000
        ) {
            let (a, b) = (Average::of(one.0, one.1), Average::of(other.0, other.1));
            let (busy_a, busy_b) = (one.2 as f32, other.2 as f32);
            let now = (a.at(look, TAU) * busy_a, b.at(look, TAU) * busy_b);
            prop_assume!((now.0 - now.1).abs() > 1e-3 * now.0.max(now.1));
            prop_assert_eq!(a.cost(busy_a, b, TAU) < b.seconds() * busy_b, now.0 < now.1);
        }

        #[test]
        fn it_stays_within_what_was_measured_unless_it_fades(
            samples in prop::collection::vec((1e-4_f32..10.0, 0_u32..5_000), 1..50)
        ) {
            let mut tick = 0;
            let mut average = Average::of(samples[0].0, 0);
            let (mut least, mut most) = (samples[0].0, samples[0].0);
            for (sample, wait) in samples {
                tick += wait;
                average = average.with(sample, tick, TAU);
                least = least.min(sample);
                most = most.max(sample);
                prop_assert!(average.seconds() <= most * 1.0001 && average.seconds() >= least * 0.9999);
                prop_assert!(average.at(tick, TAU) >= sample * 0.9999, "never below the last sample");
            }
        }
    }
}
