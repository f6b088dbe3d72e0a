//! A verdict in half of its bytes, for as long as a reply carries it.

use std::time::Duration;

use platform_core::{Hint, Mark, Outcome, Tick, Verdict};

/// A verdict. What the target said about coming back is kept in whole milliseconds, rounded up: not sooner than it said.
#[derive(Clone, Copy)]
pub(super) struct Kept {
    at: Tick,
    after_ms: u32,
    outcome: Outcome,
    mark: Option<Mark>,
}

impl Kept {
    #[inline]
    pub(super) fn of(verdict: Verdict) -> Self {
        let Verdict { outcome, at, hint: Hint { after, mark } } = verdict;
        Kept { at, after_ms: after.map_or(NOTHING, whole_ms), outcome, mark }
    }

    #[inline]
    pub(super) fn verdict(self) -> Verdict {
        let after = (self.after_ms != NOTHING).then(|| Duration::from_millis(self.after_ms.into()));
        Verdict::new(self.outcome, self.at).with_hint(Hint { after, mark: self.mark })
    }
}

#[cold]
fn whole_ms(after: Duration) -> u32 {
    let whole = after.as_nanos().div_ceil(NANOS_PER_MILLI);
    u32::try_from(whole).unwrap_or(LONGEST).min(LONGEST)
}

/// Nothing was said.
const NOTHING: u32 = u32::MAX;
/// 49 days; no deadline is so far away.
const LONGEST: u32 = NOTHING - 1;
const NANOS_PER_MILLI: u128 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_comes_back_and_never_sooner_than_was_said() {
        let ms = Duration::from_millis;
        let rows = [
            (None, None),
            (Some(Duration::ZERO), Some(ms(0))),
            (Some(Duration::from_nanos(1)), Some(ms(1))),
            (Some(ms(1)), Some(ms(1))),
            (Some(Duration::from_micros(1_001)), Some(ms(2))),
            (Some(Duration::from_secs(30)), Some(ms(30_000))),
            (Some(Duration::MAX), Some(ms(LONGEST.into()))),
        ];
        for (said, expected) in rows {
            for mark in [None, Some(Mark::Never)] {
                let given =
                    Verdict::new(Outcome::Overload, Tick::now()).with_hint(Hint { after: said, mark });
                let back = Kept::of(given).verdict();
                assert_eq!(back, given.with_hint(Hint { after: expected, mark }), "{said:?}");
            }
        }
    }
}
