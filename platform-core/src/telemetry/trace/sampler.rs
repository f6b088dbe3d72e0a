//! The head sampler: is this trace kept?
//!
//! Decided once, at the head of a request, before any span exists: what is not kept then costs nothing more.

use crate::context::TraceId;

/// Keeps a share of all traces, the same ones in every service that keeps that share.
///
/// The decision is OpenTelemetry's `TraceIdRatioBased`: it reads the trace id and nothing else, so services
/// of any language agree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sampler {
    /// Ids below it are kept; 0 keeps none.
    bound: u64,
    ratio: f64,
}

impl Sampler {
    pub(super) const NONE: Sampler = Sampler { bound: 0, ratio: 0.0 };

    /// `ratio` is 0 to 1; what lies outside counts as the nearer end.
    pub(super) fn new(ratio: f64) -> Self {
        let ratio = if ratio.is_nan() { 0.0 } else { ratio.clamp(0.0, 1.0) };
        Sampler { bound: (ratio * IDS) as u64, ratio }
    }

    pub(super) fn samples(self, trace: TraceId) -> bool {
        let [.., a, b, c, d, e, f, g, h] = trace.to_bytes();
        u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1 < self.bound
    }

    pub(super) fn rate(self) -> Option<f64> {
        (self.bound > 0).then(|| self.ratio.recip())
    }
}

/// The sampler reads 63 random bits of an id.
const IDS: f64 = (1_u64 << 63) as f64;

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanKind, TraceId as OtelTraceId};
    use opentelemetry_sdk::trace::{Sampler as OtelSampler, SamplingDecision, ShouldSample as _};
    use proptest::prelude::*;

    use super::*;

    fn opentelemetry_samples(ratio: f64, id: u128) -> bool {
        let trace = OtelTraceId::from_bytes(id.to_be_bytes());
        let result = OtelSampler::TraceIdRatioBased(ratio).should_sample(
            None,
            trace,
            "",
            &SpanKind::Internal,
            &[],
            &[],
        );
        result.decision == SamplingDecision::RecordAndSample
    }

    proptest! {
        #[test]
        fn decides_as_opentelemetry_does(ratio in 0.0..=1.0_f64, id in 1_u128..) {
            let trace = TraceId::from_bytes(id.to_be_bytes()).unwrap();
            prop_assert_eq!(Sampler::new(ratio).samples(trace), opentelemetry_samples(ratio, id));
        }

        /// Random ids seldom fall beside the bound; these do.
        #[test]
        fn decides_as_opentelemetry_does_at_the_bound(ratio in 0.0..=1.0_f64, step in -2_i64..=2) {
            let low = ((ratio * IDS) as u64).saturating_add_signed(step).min(u64::MAX >> 1) << 1;
            let id = (1 << 64) | u128::from(low);
            let trace = TraceId::from_bytes(id.to_be_bytes()).unwrap();
            prop_assert_eq!(Sampler::new(ratio).samples(trace), opentelemetry_samples(ratio, id));
        }
    }

    #[test]
    fn all_keeps_all_and_none_keeps_none() {
        for id in [1, u128::MAX, u128::from(u64::MAX), 1 << 64] {
            let trace = TraceId::from_bytes(id.to_be_bytes()).unwrap();
            assert!(Sampler::new(1.0).samples(trace), "{id:x}");
            for none in [Sampler::NONE, Sampler::new(0.0), Sampler::new(-1.0), Sampler::new(f64::NAN)] {
                assert!(!none.samples(trace), "{id:x}");
            }
        }
    }

    #[test]
    fn the_rate_is_how_many_requests_one_kept_trace_stands_for() {
        assert_eq!(Sampler::new(0.01).rate(), Some(100.0));
        assert_eq!(Sampler::new(1.0).rate(), Some(1.0));
        assert_eq!(Sampler::new(0.0).rate(), None);
        assert_eq!(Sampler::NONE.rate(), None);
    }

    #[test]
    fn keeps_about_the_share_it_was_asked_for() {
        let sampler = Sampler::new(0.1);
        let kept = (0..100_000).filter(|_| sampler.samples(TraceId::random())).count();
        assert!((9_000..11_000).contains(&kept), "{kept}");
    }
}
