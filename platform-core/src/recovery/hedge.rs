//! Hedge: when does a second copy go beside a slow first, and who pays?

use std::time::Duration;

use super::{
    budget::{Budget, Spent},
    config::{BudgetConfig, Hedge},
    latency::{LONGEST, Latencies},
};
use crate::tick::Tick;

/// How long the first may take before a second is sent.
///
/// `None` sends no second: while it is not known what is slow, and when the target is so slow that the time is
/// beyond what is measured, where a second copy would not be faster either.
pub fn delay(hedge: &Hedge, latencies: &Latencies, now: impl Into<Tick>) -> Option<Duration> {
    if !hedge.mode.is_on() {
        return None;
    }
    let slow = latencies.quantile(now, hedge.quantile.as_f64())?;
    (slow < LONGEST).then_some(slow.max(hedge.min_delay))
}

/// What hedges alone may cost: the share `hedge.extra` of the calls, and nothing where there are none. A quiet client
/// needs no hedges, it has nobody to learn from. `window` is that of the budget for repeats.
pub fn budget(hedge: &Hedge, window: Duration, now: impl Into<Tick>) -> Budget {
    Budget::named("hedge.extra", settings(hedge, window), now)
}

/// The settings of [`budget`], for [`Budget::configure`].
pub fn settings(hedge: &Hedge, window: Duration) -> BudgetConfig {
    BudgetConfig { ratio: hedge.extra, window, floor_per_second: 0 }
}

/// Pays for one hedge, from the budget of hedges and then from that of all extra attempts.
///
/// What the first gave is not put back when the second refuses: it stands for a hedge that was wanted, and leaks.
///
/// # Errors
/// [`Spent`], with the numbers of the one that refused.
pub fn withdraw(hedges: &Budget, repeats: &Budget, now: impl Into<Tick>) -> Result<(), Spent> {
    let now = now.into();
    hedges.withdraw(now)?;
    repeats.withdraw(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    use crate::config::{Mode, Ratio};

    const MS: Duration = Duration::from_millis(1);
    const S: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_second_goes_when_the_first_is_slower_than_most() {
        let now = Instant::now();
        let latencies = Latencies::new(now);
        let hedge = Hedge::default();
        assert_eq!(delay(&hedge, &latencies, now), None, "nothing is known");
        (1..=100).for_each(|n| latencies.record(now, n * MS));
        let later = now + S;
        let slow = delay(&hedge, &latencies, later).unwrap();
        assert!(slow >= 89 * MS && slow <= 101 * MS, "{slow:?}");
        let table = [
            (Hedge { mode: Mode::Off, ..hedge }, None),
            (Hedge { mode: Mode::Observe, ..hedge }, Some(slow)),
            (Hedge { min_delay: S, ..hedge }, Some(S)),
        ];
        for (hedge, expected) in table {
            assert_eq!(delay(&hedge, &latencies, later), expected);
        }
        let median = delay(&Hedge { quantile: Ratio::of(0.5), ..hedge }, &latencies, later).unwrap();
        assert!(median >= 46 * MS && median <= 54 * MS, "{median:?}");
        (0..100).for_each(|_| latencies.record(later, 70 * S));
        assert_eq!(delay(&hedge, &latencies, later + S), None, "beyond what is measured");
    }

    #[tokio::test(start_paused = true)]
    async fn a_hedge_is_paid_twice_and_never_from_a_floor() {
        let now = Instant::now();
        let hedges = budget(&Hedge::default(), 10 * S, now);
        let repeats = Budget::new(BudgetConfig::default(), now);
        let text = withdraw(&hedges, &repeats, now).unwrap_err().to_string();
        assert!(text.ends_with("5% of 0 good calls in the last 10s (hedge.extra = 0.05)"), "{text}");
        (0..1000).for_each(|_| {
            hedges.deposit(now);
            repeats.deposit(now);
        });
        let sent = (0..1000).filter(|_| withdraw(&hedges, &repeats, now).is_ok()).count();
        assert_eq!(sent, 50);
        assert!((repeats.ratio(now) - 150.0 / 200.0).abs() < 1e-9, "{}", repeats.ratio(now));
        (0..150).for_each(|_| assert!(repeats.withdraw(now).is_ok()));
        (0..1000).for_each(|_| hedges.deposit(now));
        let text = withdraw(&hedges, &repeats, now).unwrap_err().to_string();
        assert!(text.ends_with("(budget.ratio = 0.1)"), "{text}");
    }
}
