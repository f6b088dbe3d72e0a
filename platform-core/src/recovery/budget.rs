//! Budget: what all extra attempts to one target may cost together.

use std::{
    fmt,
    sync::atomic::{
        AtomicU32,
        Ordering::{Relaxed, SeqCst},
    },
    time::Duration,
};

use super::{
    config::BudgetConfig,
    ledger::{Ledger, MILLION, Moment, Sums, Terms},
};
use crate::tick::Tick;

/// A budget that calls fill and extra attempts empty; what is not used within the window is gone.
///
/// One for each target of a client, shared by retries, requeues and hedges. A call deposits a share of a repeat, a
/// repeat withdraws a whole one; a floor lets a client repeat that makes few calls. Withdrawals are exact under
/// contention: never more than the sums allow.
///
/// The floor may be taken in one burst, once per window.
#[derive(Debug)]
pub struct Budget {
    origin: Tick,
    /// The setting that a refusal names.
    key: &'static str,
    /// Read together by nobody who would mind a mixture: after a change, one call may be judged by old and new.
    ratio: AtomicU32,
    width: AtomicU32,
    floor: AtomicU32,
    clients: AtomicU32,
    ledger: Ledger<BUCKETS>,
}

/// Why nothing could be withdrawn, in numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spent {
    /// Calls in the window.
    pub calls: u64,
    /// Withdrawals in the window.
    pub repeats: u64,
    /// Withdrawals per call.
    pub ratio: f64,
    /// How long a call counts.
    pub window: Duration,
    /// Withdrawals per second that need no calls: the share of this client's instance.
    pub floor: f64,
    key: &'static str,
}

impl Budget {
    /// A budget with nothing in it but its floor.
    pub fn new(config: BudgetConfig, now: impl Into<Tick>) -> Self {
        Budget::named("budget.ratio", config, now)
    }

    /// A budget whose refusals name another setting.
    pub(super) fn named(key: &'static str, config: BudgetConfig, now: impl Into<Tick>) -> Self {
        let budget = Budget {
            origin: now.into(),
            key,
            ratio: AtomicU32::new(0),
            width: AtomicU32::new(1),
            floor: AtomicU32::new(0),
            clients: AtomicU32::new(1),
            ledger: Ledger::new(),
        };
        budget.configure(config);
        budget
    }

    /// The first attempt of a call was answered as asked; a repeat that was puts nothing in.
    #[inline]
    pub fn deposit(&self, now: impl Into<Tick>) {
        self.ledger.deposit(self.moment(now));
    }

    /// The same into `other` too, whose time began with this one's and is divided as it is.
    #[inline]
    pub(crate) fn deposit_in_both(&self, other: &Budget, now: Tick) {
        let moment = self.moment(now);
        self.ledger.deposit(moment);
        other.ledger.deposit(moment);
    }

    /// Pays for one extra attempt.
    ///
    /// # Errors
    /// [`Spent`], with the numbers that say why.
    pub fn withdraw(&self, now: impl Into<Tick>) -> Result<(), Spent> {
        let terms = self.terms();
        self.ledger.withdraw(self.moment(now), &terms).map_err(|sums| self.spent(sums))
    }

    /// The share of what the window allows that is left, from 0 to 1; 0 as well where nothing is allowed.
    pub fn ratio(&self, now: impl Into<Tick>) -> f64 {
        let sums = self.ledger.sums(self.moment(now));
        let capacity = self.terms().capacity(sums.deposits);
        let used = sums.withdrawals * MILLION;
        if capacity == 0 { 0.0 } else { capacity.saturating_sub(used) as f64 / capacity as f64 }
    }

    /// Takes other settings from here on. What was deposited stays, but for a changed window, which may forget some
    /// of what was deposited and withdrawn.
    pub fn configure(&self, config: BudgetConfig) {
        // A ratio has no more digits than people write; as whole millionths, sums are exact.
        let ratio = (config.ratio.as_f64() * MILLION as f64).round() as u32;
        let window = config.window.clamp(Duration::from_millis(u64::from(TICK_MS)), LONGEST);
        let ticks = window.as_millis().div_ceil(u128::from(TICK_MS) * BUCKETS as u128);
        self.width.store(u32::try_from(ticks).expect("the longest window has few ticks"), SeqCst);
        self.ratio.store(ratio, SeqCst);
        self.floor.store(config.floor_per_second, SeqCst);
    }

    /// So many instances of this client are known, this one included; they share the floor. None is as good as one.
    pub fn set_clients(&self, known: u32) {
        self.clients.store(known.max(1), SeqCst);
    }

    /// How many instances share the floor.
    pub fn clients(&self) -> u32 {
        self.clients.load(Relaxed)
    }

    #[inline]
    fn moment(&self, now: impl Into<Tick>) -> Moment {
        // Ticks last for 13 years; the cast cuts nothing before.
        let tick = (now.into().nanos_since(self.origin) / TICK_NANOS) as u32;
        Moment::new(FIRST + tick, self.width.load(Relaxed))
    }

    fn terms(&self) -> Terms {
        let (floor, width) = (self.floor.load(Relaxed), self.width.load(Relaxed));
        let ratio = u64::from(self.ratio.load(Relaxed));
        if floor == 0 {
            return Terms { ratio, reserve: 0, idle: u32::MAX };
        }
        let window_ms = u64::from(width * TICK_MS) * BUCKETS as u64;
        let share = u64::from(floor) * window_ms * (MILLION / 1000) / u64::from(self.clients.load(Relaxed));
        let reserve = share.max(window_ms * MILLION / LEAST_MS);
        // A short window cannot save up for a whole one.
        let idle = if reserve < MILLION { LEAST_MS as u32 / TICK_MS } else { u32::MAX };
        Terms { ratio, reserve, idle }
    }

    fn spent(&self, sums: Sums) -> Spent {
        let floor = self.floor.load(Relaxed);
        let share = f64::from(floor) / f64::from(self.clients.load(Relaxed));
        Spent {
            calls: sums.deposits,
            repeats: sums.withdrawals,
            ratio: f64::from(self.ratio.load(Relaxed)) / MILLION as f64,
            window: Duration::from_millis(u64::from(self.width.load(Relaxed) * TICK_MS) * BUCKETS as u64),
            floor: if floor == 0 { 0.0 } else { share.max(1000.0 / LEAST_MS as f64) },
            key: self.key,
        }
    }
}

impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spent { calls, window, ratio, key, .. } = self;
        // Two digits of a percentage; 0.07 as a binary fraction would be 7.000000000000001.
        let percent = (ratio * 10_000.0).round() / 100.0;
        write!(
            f,
            "the budget for repeats is spent: {percent}% of {calls} good calls in the last {window:?}"
        )?;
        if self.floor > 0.0 {
            write!(f, ", and at least {} a second", (self.floor * 100.0).round() / 100.0)?;
        }
        write!(f, " ({key} = {ratio})")
    }
}

/// As in every window of this platform: an edge that moves by a tenth.
const BUCKETS: usize = 10;

/// The finest bucket: a tenth of the shortest window. In 32 bits, ticks last for 13 years.
const TICK_MS: u32 = 100;
const TICK_NANOS: u64 = TICK_MS as u64 * 1_000_000;

/// Longer than the longest window and [`LEAST_MS`], in ticks: whatever was never used has long expired.
const FIRST: u32 = 1000;

/// The least that the floor is divided to: one repeat in ten seconds is felt by nobody, and a client that may never
/// repeat turns every lost connection into an error.
const LEAST_MS: u64 = 10_000;

/// The longest window, for a configuration made in code without being checked.
const LONGEST: Duration = super::config::LONGEST_WINDOW;

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        sync::atomic::{AtomicU64, AtomicUsize},
        thread,
    };

    use proptest::prelude::*;

    use super::*;
    use tokio::time::Instant;

    use crate::config::Ratio;

    const S: Duration = Duration::from_secs(1);

    fn config(ratio: f64, floor_per_second: u32) -> BudgetConfig {
        BudgetConfig { ratio: Ratio::of(ratio), floor_per_second, window: 10 * S }
    }

    fn drain(budget: &Budget, now: Instant) -> u64 {
        (0..).take_while(|_| budget.withdraw(now).is_ok()).count() as u64
    }

    /// The row of other libraries' tests: the ratio that is asked for is the ratio that is got.
    #[tokio::test(start_paused = true)]
    async fn ten_thousand_calls_pay_for_their_share_of_repeats() {
        let now = Instant::now();
        for (ratio, share) in
            [(0.1, 1000), (0.3, 3000), (0.4, 4000), (0.6, 6000), (0.75, 7500), (0.9, 9000), (1.0, 10_000)]
        {
            let budget = Budget::new(config(ratio, 0), now);
            // Spread over 9 s, so that everything is in the window at its end.
            (0..10_000).for_each(|n| budget.deposit(now + S * 9 * n / 10_000));
            let end = now + 9 * S;
            assert!((budget.ratio(end) - 1.0).abs() < 1e-9);
            assert_eq!(drain(&budget, end), share, "{ratio}");
            assert_eq!(budget.ratio(end), 0.0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_used_leaks_bucket_by_bucket() {
        let now = Instant::now();
        let budget = Budget::new(config(0.5, 0), now);
        for second in 0..10 {
            (0..20).for_each(|_| budget.deposit(now + second * S));
        }
        // 100 in all; ten leak with each second, and a withdrawal is forgotten with its own.
        let at = |second: u32| now + second * S;
        assert_eq!(drain(&budget, at(9)), 100);
        for second in 10..19 {
            assert!(budget.withdraw(at(second)).is_err(), "{second}");
        }
        budget.deposit(at(19));
        assert!(budget.withdraw(at(19)).is_err());
        budget.deposit(at(19));
        assert_eq!(drain(&budget, at(19)), 1);
        (0..100).for_each(|_| budget.deposit(at(20)));
        assert_eq!(drain(&budget, at(1_000_000)), 0, "a long idle time leaves nothing");
        (0..100).for_each(|_| budget.deposit(at(1_000_000)));
        assert_eq!(drain(&budget, at(1_000_009)), 50);
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_client_has_its_floor_and_shares_it() {
        let now = Instant::now();
        // (clients, granted at once, granted once more after so many seconds)
        for (clients, burst, after) in [(0, 100, 10), (1, 100, 10), (10, 10, 10), (500, 1, 10)] {
            let budget = Budget::new(config(0.0, 10), now);
            budget.set_clients(clients);
            assert_eq!(drain(&budget, now), burst, "{clients}");
            assert_eq!(drain(&budget, now + (after - 1) * S), 0, "{clients}");
            assert_eq!(drain(&budget, now + after * S), burst, "{clients}");
        }
        for window in [1, 2, 60] {
            let budget = Budget::new(BudgetConfig { window: window * S, ..config(0.0, 10) }, now);
            budget.set_clients(500);
            let granted = (0..6000).filter(|n| budget.withdraw(now + S * *n / 10).is_ok()).count();
            // The first bucket is not a whole one, so that the longest window begins an eleventh time.
            assert!((59..=66).contains(&granted), "{granted} in 600 s with a window of {window} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_says_its_numbers() {
        let now = Instant::now();
        let budget = Budget::new(config(0.1, 10), now);
        (0..240).for_each(|_| budget.deposit(now));
        assert_eq!(drain(&budget, now), 124);
        let spent = budget.withdraw(now).unwrap_err();
        assert_eq!((spent.calls, spent.repeats), (240, 124));
        assert_eq!(
            spent.to_string(),
            "the budget for repeats is spent: 10% of 240 good calls in the last 10s, and at least 10 a second \
             (budget.ratio = 0.1)"
        );
        budget.configure(config(0.07, 0));
        let text = budget.withdraw(now).unwrap_err().to_string();
        assert!(text.ends_with("7% of 240 good calls in the last 10s (budget.ratio = 0.07)"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn other_settings_keep_what_was_deposited() {
        let now = Instant::now();
        let budget = Budget::new(config(0.1, 0), now);
        (0..100).for_each(|_| budget.deposit(now));
        budget.configure(config(0.5, 0));
        assert_eq!(drain(&budget, now), 50);
        budget.configure(config(0.4, 0));
        assert_eq!((drain(&budget, now), budget.ratio(now)), (0, 0.0));
        budget.configure(BudgetConfig { window: 60 * S, ..config(1.0, 0) });
        (0..100).for_each(|_| budget.deposit(now + 59 * S));
        assert!(drain(&budget, now + 59 * S) >= 100);
        // Nonsense that was never checked stays arithmetic.
        budget.configure(BudgetConfig { window: Duration::ZERO, ..config(1.0, u32::MAX) });
        assert!(budget.withdraw(now + 100 * S).is_ok());
        budget.configure(BudgetConfig { window: Duration::MAX, ..config(1.0, u32::MAX) });
        assert!(budget.withdraw(now + 100 * S).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn threads_together_get_exactly_what_there_is() {
        let now = Instant::now();
        let budget = Budget::new(config(0.5, 0), now);
        let granted = AtomicU64::new(0);
        (0..20_000).for_each(|_| budget.deposit(now));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| granted.fetch_add(drain(&budget, now), SeqCst));
            }
        });
        assert_eq!(granted.into_inner(), 10_000);
    }

    #[tokio::test(start_paused = true)]
    async fn threads_that_pay_and_take_across_buckets_never_get_more_than_was_paid() {
        let start = Instant::now();
        let budget = Budget::new(config(0.25, 0), start);
        let (paid, granted, clock) = (AtomicU64::new(0), AtomicU64::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        // All of it happens within 8 s, so that nothing leaks.
                        let now = start + S * (clock.fetch_add(1, SeqCst) / 10_000) as u32;
                        budget.deposit(now);
                        paid.fetch_add(1, SeqCst);
                        granted.fetch_add(u64::from(budget.withdraw(now).is_ok()), SeqCst);
                    }
                });
            }
        });
        let (paid, granted) = (paid.into_inner(), granted.into_inner());
        assert!(granted * 4 <= paid, "{granted} of {paid}");
        assert_eq!(granted + drain(&budget, start + 8 * S), paid / 4);
    }

    proptest! {
        /// Against the plain definition, decision by decision; and in any ten buckets no more than they allow.
        #[test]
        fn it_is_the_sum_over_ten_buckets(
            steps in prop::collection::vec((0u64..4000, 0u32..40, 0u32..8), 1..120),
            ratio in prop::sample::select(vec![0.0, 0.05, 0.1, 0.2, 0.5, 1.0]),
            floor in 0u32..3,
            window in 1u32..=60,
        ) {
            let start = Instant::now();
            let budget = Budget::new(BudgetConfig { window: window * S, ..config(ratio, floor) }, start);
            let reserve = f64::from(floor * window).max(if floor > 0 { f64::from(window) / 10.0 } else { 0.0 });
            let (mut passed, mut deposits, mut grants) = (0, VecDeque::new(), VecDeque::new());
            let mut last = None;
            for (wait, calls, repeats) in steps {
                passed += wait;
                let now = start + Duration::from_millis(passed);
                // The budget's ticks begin at 1000, which is no multiple of every bucket's width.
                let bucket = (passed / 100 + 1000) / u64::from(window);
                let expired = |seen: &u64| bucket - seen >= 10;
                while deposits.front().is_some_and(expired) { deposits.pop_front(); }
                while grants.front().is_some_and(expired) { grants.pop_front(); }
                for _ in 0..calls {
                    budget.deposit(now);
                    deposits.push_back(bucket);
                }
                for _ in 0..repeats {
                    let idle = floor > 0 && reserve < 1.0 && last.is_none_or(|last| (bucket - last) * u64::from(window) >= 100);
                    let allowed = deposits.len() as f64 * ratio + reserve + 1e-9;
                    let expected = (grants.len() + 1) as f64 <= allowed || idle;
                    prop_assert_eq!(budget.withdraw(now).is_ok(), expected);
                    if expected {
                        grants.push_back(bucket);
                        last = Some(bucket);
                        prop_assert!(grants.len() as f64 <= allowed.max(1.0));
                    }
                }
                let left = budget.ratio(now);
                prop_assert!((0.0..=1.0).contains(&left));
            }
        }
    }
}
