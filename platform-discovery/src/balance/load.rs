//! How busy is an endpoint with our calls, and how long do they take?

use std::{
    sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use platform_core::{Outcome, Tick, Verdict, outcome::Evidence};

use super::average::{Average, Decay};

/// What this process knows of one endpoint from its own calls.
///
/// All of it on one cache line of its own: every call writes it twice, and two endpoints side by side would slow
/// each other down. Written by the calls, read by the picks; nothing here locks, allocates or waits.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Load {
    in_flight: AtomicU32,
    /// Which share of its weight it gets while it warms up, of [`WHOLE`]; 0 is all, so that most read a zero.
    warming: AtomicU32,
    /// An [`Average`] as bits.
    average: AtomicU64,
    /// Milliseconds that calls have waited for it in vain since its last answer.
    silence: AtomicU32,
    /// Nobody knows yet how it answers: one call at a time, until the first answer.
    untried: AtomicBool,
    /// The last failure's outcome, as its number in [`Outcome::ALL`].
    last_failure: AtomicU8,
    /// Failures in a row as a positive number, successes as a negative one.
    streak: AtomicI32,
    successes: AtomicU32,
    failures: AtomicU32,
    /// How many requests it has under way by its own word, from whomever: that plus one, and one bit for what was said
    /// before the last look; 0 if it has not said.
    told: AtomicU32,
    /// When it last answered as asked, by the scale's clock.
    answered: AtomicU32,
}

/// The rules of a balancer that a report needs, and the clock that its averages count by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    pub(super) epoch: Tick,
    /// How long the memory of a latency lasts.
    pub(super) decay: Decay,
    /// What a failed answer is said to have taken, at least.
    pub(super) penalty: Duration,
}

/// What a report leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failures {
    /// The last answer was none, or nothing follows from it.
    None,
    /// So many, one after the other.
    InARow(u32),
    /// The first answer was one.
    AtOnce,
}

/// What has been counted, for who judges endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Answers as asked, since the beginning of time; it wraps.
    pub(super) successes: u32,
    /// Failures, the same.
    pub(super) failures: u32,
    /// Failures in a row; negative for successes in a row.
    pub(super) streak: i32,
}

impl Scale {
    pub(super) fn new(ewma: Duration, penalty: Duration) -> Self {
        Scale { epoch: Tick::now(), decay: Decay::over(ewma), penalty }
    }

    /// Milliseconds since the epoch. They wrap after 49 days; only differences are used.
    pub(super) fn tick(&self, at: impl Into<Tick>) -> u32 {
        at.into().millis_since(self.epoch) as u32
    }
}

impl Load {
    /// One that nobody has asked yet, taken to be as fast as `like`.
    pub(super) fn untried(like: Average) -> Self {
        let load = Load::default();
        load.begin_anew(like);
        load
    }

    /// Forgets what it was like: it comes back, or it is new.
    pub(super) fn begin_anew(&self, like: Average) {
        self.average.store(like.to_bits(), Relaxed);
        self.silence.store(0, Relaxed);
        self.streak.store(0, Relaxed);
        self.untried.store(true, Relaxed);
    }

    /// As if it had been asked before.
    #[cfg(test)]
    pub(super) fn tried_for_a_test(&self) {
        self.untried.store(false, Relaxed);
    }

    /// As if its last answer had been a failure.
    #[cfg(test)]
    pub(super) fn failed_for_a_test(&self) {
        self.streak.store(1, Relaxed);
    }

    // Relaxed, here and everywhere: a pick that sees a number of a moment ago chooses a little worse, and nothing
    // else depends on it.
    pub(super) fn begin(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    pub(super) fn end(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    pub(super) fn average(&self) -> Average {
        Average::from_bits(self.average.load(Relaxed))
    }

    pub(super) fn is_untried(&self) -> bool {
        self.untried.load(Relaxed)
    }

    /// The share of its weight that it gets now, of [`WHOLE`].
    pub(super) fn warmth(&self) -> u32 {
        match self.warming.load(Relaxed) {
            0 => WHOLE,
            part => part,
        }
    }

    pub(super) fn is_as_warm_as(&self, other: &Load) -> bool {
        self.warming.load(Relaxed) == other.warming.load(Relaxed)
    }

    pub(super) fn warm_to(&self, share: u32) {
        self.warming.store(if share >= WHOLE { 0 } else { share.max(1) }, Relaxed);
    }

    /// It says itself how many requests it has under way.
    pub(super) fn tell(&self, under_way: u32) {
        self.told.store(under_way.min(MOST_TOLD).saturating_add(1) << 1, Relaxed);
    }

    /// How many requests it has under way, if it said so a moment ago.
    pub(super) fn told(&self) -> Option<u32> {
        (self.told.load(Relaxed) >> 1).checked_sub(1)
    }

    /// A look, once a second: what was said before the last one is not true any more.
    pub(super) fn age_told(&self) {
        let older = |told: u32| Some(if told & OLD == 0 { told | OLD } else { 0 }).filter(|_| told != 0);
        // Whatever is said in between is news.
        let _ = self.told.fetch_update(Relaxed, Relaxed, older);
    }

    pub(super) fn tally(&self) -> Tally {
        Tally {
            successes: self.successes.load(Relaxed),
            failures: self.failures.load(Relaxed),
            streak: self.streak.load(Relaxed),
        }
    }

    /// Was its last answer a failure?
    pub(super) fn fails(&self) -> bool {
        self.streak.load(Relaxed) > 0
    }

    /// Was its last answer a failure, or have calls waited for it in vain for longer than chance explains?
    pub(super) fn seems_lost(&self) -> bool {
        self.fails() || self.silence.load(Relaxed) >= SILENT
    }

    /// What the last failure was; a success if there was none.
    pub(super) fn last_failure(&self) -> Outcome {
        Outcome::ALL[usize::from(self.last_failure.load(Relaxed)) % Outcome::ALL.len()]
    }

    /// What one attempt said, which took `took` nanoseconds. Returns how many failures in a row that makes.
    ///
    /// A failed answer is recorded as a slow one: whoever fails at once would otherwise be everybody's favourite.
    #[inline(always)]
    pub(super) fn report(&self, verdict: &Verdict, took: u64, scale: &Scale) -> Failures {
        let now = scale.tick(verdict.at);
        if verdict.outcome.readings().ejection == Evidence::Success {
            self.successes.fetch_add(1, Relaxed);
            self.learn(took, now, scale);
            self.answered.store(now, Relaxed);
            self.succeed();
            return Failures::None;
        }
        // By value: what is given away by reference has to lie somewhere, for the good ones too.
        self.report_otherwise(*verdict, Duration::from_nanos(took), now, scale)
    }

    #[cold]
    fn report_otherwise(&self, verdict: Verdict, took: Duration, now: u32, scale: &Scale) -> Failures {
        match verdict.outcome.readings().ejection {
            Evidence::Failure => {
                self.failures.fetch_add(1, Relaxed);
                let told = verdict.hint.after.unwrap_or_default().min(LONGEST_TOLD);
                let first = self.learn_failure(took.max(scale.penalty).max(told), now, scale);
                let number = Outcome::ALL.iter().position(|outcome| *outcome == verdict.outcome);
                self.last_failure.store(number.unwrap_or_default() as u8, Relaxed);
                // The slowest of many come last, and where nobody else is asked any more they come in a row. One that
                // began before the last good answer says nothing about what came after it.
                let straggles = verdict.outcome == Outcome::Timeout && self.has_answered_since(took, now);
                let streak = if straggles { None } else { Some(self.fail()) };
                if first { Failures::AtOnce } else { streak.map_or(Failures::None, Failures::InARow) }
            }
            Evidence::Success | Evidence::Ignore => {
                if verdict.outcome == Outcome::Abandoned {
                    self.wait_in_vain(took, now, scale);
                }
                Failures::None
            }
        }
    }

    /// A sample of how long a good answer took, in nanoseconds.
    #[inline(always)]
    fn learn(&self, took: u64, now: u32, scale: &Scale) {
        self.silence.store(0, Relaxed);
        let took = (took as f64 * 1e-9) as f32;
        let first = self.is_first();
        // Of many answers in a row most change nothing, and then nothing is written.
        if first || !self.average().stands_for(took, now) {
            self.relearn(took, now, scale, first);
        }
    }

    #[inline(never)]
    fn relearn(&self, took: f32, now: u32, scale: &Scale, first: bool) {
        self.change(|average| match first {
            true => Average::of(took, now),
            false => average.with(took, now, scale.decay),
        });
    }

    /// The same of a failed one. Was it the first of all?
    fn learn_failure(&self, took: Duration, now: u32, scale: &Scale) -> bool {
        self.silence.store(0, Relaxed);
        let took = took.as_secs_f32();
        let first = self.is_first();
        self.change(|average| match first {
            true => Average::of(took, now),
            // Never better than it was.
            false => Average::of(took.max(average.at(now, scale.decay)), now),
        });
        first
    }

    /// Is this the first answer of all?
    #[inline]
    fn is_first(&self) -> bool {
        self.untried.load(Relaxed) && self.untried.swap(false, Relaxed)
    }

    /// Nobody waited for this answer any longer, which is no failure. But it would have taken at least so long, and so
    /// would the others that were waited for in vain since the last answer: one that is silent loses hedge after
    /// hedge, each after a short time, and would look as fast as the hedges are.
    fn wait_in_vain(&self, took: Duration, now: u32, scale: &Scale) {
        let millis = u32::try_from(took.as_millis()).unwrap_or(u32::MAX);
        let before = self.silence.fetch_update(Relaxed, Relaxed, |sum| Some(sum.saturating_add(millis)));
        let silent = Duration::from_millis(u64::from(before.unwrap_or_default())) + took;
        let least = silent.as_secs_f32();
        self.change(
            |average| {
                if least > average.at(now, scale.decay) { Average::of(least, now) } else { average }
            },
        );
    }

    fn change(&self, change: impl Fn(Average) -> Average) {
        let mut seen = self.average.load(Relaxed);
        loop {
            let changed = change(Average::from_bits(seen)).to_bits();
            match self.average.compare_exchange_weak(seen, changed, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }

    /// Has there been a good answer since a call began that took until now?
    fn has_answered_since(&self, took: Duration, now: u32) -> bool {
        let tally = self.successes.load(Relaxed);
        let age = now.wrapping_sub(self.answered.load(Relaxed));
        tally > 0 && u128::from(age) < took.as_millis()
    }

    fn fail(&self) -> u32 {
        let more = |streak: i32| streak.max(0).saturating_add(1);
        let before = self.streak.fetch_update(Relaxed, Relaxed, |streak| Some(more(streak)));
        before.map_or(1, more).unsigned_abs()
    }

    fn succeed(&self) {
        // Beyond that nobody asks, and most calls write nothing here.
        if self.streak.load(Relaxed) > -LONGEST_STREAK {
            let fewer = |streak: i32| Some(streak.min(0).saturating_sub(1));
            let _ = self.streak.fetch_update(Relaxed, Relaxed, fewer);
        }
    }
}

/// All of a weight: a fixed point of 16 bits.
pub(super) const WHOLE: u32 = 1 << 16;
/// A target that asks for more than five minutes is down; it is asked again all the same.
const LONGEST_TOLD: Duration = Duration::from_secs(300);
/// Of what is told: it was so at the last look too.
const OLD: u32 = 1;
/// More than any process has under way.
const MOST_TOLD: u32 = 1 << 30;
/// Successes in a row that are still counted.
const LONGEST_STREAK: i32 = 64;
/// In milliseconds, of all calls together that waited in vain since its last answer: an answer in between ends it, so a
/// slow one that answers never comes so far, and one that is silent does with its first few calls.
const SILENT: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use platform_core::Hint;

    fn scale() -> Scale {
        Scale::new(Duration::from_secs(10), Duration::from_secs(5))
    }

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn nanos(length: Duration) -> u64 {
        u64::try_from(length.as_nanos()).unwrap()
    }

    #[test]
    fn it_is_one_cache_line() {
        assert_eq!((size_of::<Load>(), align_of::<Load>()), (64, 64));
    }

    /// What each outcome does to the average, the counts and the streak: the column "Ejection" of the verdict's table.
    #[test]
    fn each_outcome_is_read_as_the_table_of_verdicts_says() {
        let told = |seconds| Hint { after: Some(Duration::from_secs(seconds)), mark: None };
        let table = [
            (Outcome::Success, Hint::NONE, 0.020, (1, 0, -1)),
            (Outcome::CallerFault, Hint::NONE, 0.020, (1, 0, -1)),
            (Outcome::ServerFault, Hint::NONE, 5.0, (0, 1, 1)),
            (Outcome::Overload, told(60), 60.0, (0, 1, 1)),
            (Outcome::Overload, told(1), 5.0, (0, 1, 1)),
            (Outcome::Overload, told(86_400), 300.0, (0, 1, 1)),
            (Outcome::Timeout, Hint::NONE, 5.0, (0, 1, 1)),
            (Outcome::Unreachable, Hint::NONE, 5.0, (0, 1, 1)),
            (Outcome::Local, Hint::NONE, 0.010, (0, 0, 0)),
            (Outcome::Abandoned, Hint::NONE, 0.020, (0, 0, 0)),
        ];
        let scale = scale();
        for (outcome, hint, seconds, (successes, failures, streak)) in table {
            let load = Load::untried(Average::of(0.010, 0));
            load.untried.store(false, Relaxed);
            load.report(&Verdict::new(outcome, scale.epoch).with_hint(hint), nanos(ms(20)), &scale);
            let average = load.average().at(0, scale.decay);
            assert!((average - seconds).abs() < 1e-6, "{outcome:?}: {average}");
            assert_eq!(load.tally(), Tally { successes, failures, streak }, "{outcome:?}");
            if failures > 0 {
                assert_eq!(load.last_failure(), outcome);
            }
        }
    }

    #[test]
    fn the_first_answer_is_believed_whole() {
        let scale = scale();
        let load = Load::untried(Average::of(0.5, 0));
        assert!(load.is_untried());
        load.report(&Verdict::new(Outcome::Success, scale.epoch), nanos(ms(20)), &scale);
        assert!(!load.is_untried());
        assert!((load.average().at(0, scale.decay) - 0.02).abs() < 1e-6);
    }

    #[test]
    fn who_is_silent_for_long_seems_lost_until_it_answers() {
        let (load, scale) = (Load::default(), Scale::new(Duration::from_secs(10), Duration::from_secs(5)));
        let waits = |millis| load.wait_in_vain(Duration::from_millis(millis), 0, &scale);
        waits(40);
        waits(40);
        assert!(!load.seems_lost(), "chance");
        waits(40);
        assert!(load.seems_lost());
        let well = Verdict::new(Outcome::Success, scale.epoch);
        load.report(&well, nanos(Duration::from_millis(10)), &scale);
        assert!(!load.seems_lost());
        load.report(
            &Verdict::new(Outcome::ServerFault, scale.epoch),
            nanos(Duration::from_millis(250)),
            &scale,
        );
        assert!(load.seems_lost());
    }

    #[test]
    fn silence_adds_up_until_there_is_an_answer() {
        let scale = scale();
        let load = Load::untried(Average::of(0.1, 0));
        load.untried.store(false, Relaxed);
        let lost = |took| load.report(&Verdict::new(Outcome::Abandoned, scale.epoch), nanos(took), &scale);
        let average = || (load.average().at(0, scale.decay) * 1e3).round() as u32;
        lost(ms(40));
        assert_eq!(average(), 100, "nothing new: it may take that long");
        lost(ms(40));
        lost(ms(40));
        assert_eq!(average(), 120);
        load.report(&Verdict::new(Outcome::Success, scale.epoch), nanos(ms(30)), &scale);
        lost(ms(40));
        assert_eq!(average(), 120, "an answer began the count anew");
        assert_eq!(load.tally().failures, 0);
    }

    #[test]
    fn the_slow_ones_among_many_are_no_row_of_failures() {
        let scale = scale();
        let load = Load::default();
        let at = |millis| Tick::from(scale.epoch.instant() + ms(millis));
        load.report(&Verdict::new(Outcome::Success, at(5_000)), nanos(ms(900)), &scale);
        let late = |end: u64, took: u64| {
            load.report(&Verdict::new(Outcome::Timeout, at(end)), nanos(ms(took)), &scale)
        };
        for end in [5_100, 5_200, 5_300] {
            assert_eq!(late(end, 3_000), Failures::None, "begun before the last good answer");
        }
        assert_eq!(load.tally().failures, 3, "failures all the same");
        assert_eq!((late(8_100, 3_000), late(8_200, 3_000)), (Failures::InARow(1), Failures::InARow(2)));
        assert_eq!(
            load.report(&Verdict::new(Outcome::ServerFault, at(8_201)), nanos(ms(5_000)), &scale),
            Failures::InARow(3),
            "an answer that is wrong is no straggler"
        );
    }

    #[test]
    fn a_streak_is_broken_by_the_other_kind_and_by_nothing_else() {
        let scale = scale();
        let load = Load::default();
        let report = |outcome| load.report(&Verdict::new(outcome, scale.epoch), nanos(ms(1)), &scale);
        for n in 1..=3 {
            assert_eq!(report(Outcome::ServerFault), Failures::InARow(n));
        }
        report(Outcome::Abandoned);
        report(Outcome::Local);
        assert_eq!(report(Outcome::Timeout), Failures::InARow(4));
        assert_eq!(report(Outcome::Success), Failures::None);
        assert_eq!(load.tally().streak, -1);
        for _ in 0..100 {
            report(Outcome::Success);
        }
        assert_eq!(load.tally().streak, -LONGEST_STREAK);
        assert_eq!(report(Outcome::Unreachable), Failures::InARow(1));
        load.begin_anew(Average::default());
        assert_eq!(report(Outcome::Unreachable), Failures::AtOnce);
    }

    #[test]
    fn what_it_says_of_itself_is_forgotten_at_the_second_look() {
        let load = Load::default();
        assert_eq!(load.told(), None);
        load.age_told();
        for under_way in [0, 7, MOST_TOLD, u32::MAX] {
            load.tell(under_way);
            load.age_told();
            assert_eq!(load.told(), Some(under_way.min(MOST_TOLD)));
            load.age_told();
            assert_eq!(load.told(), None);
        }
    }

    #[test]
    fn what_fails_is_never_thought_better_of() {
        let scale = scale();
        let load = Load::untried(Average::of(0.0, 0));
        let mut verdict = Verdict::new(Outcome::Overload, scale.epoch);
        verdict.hint.after = Some(Duration::from_secs(100));
        load.report(&verdict, nanos(ms(1)), &scale);
        load.report(
            &Verdict::new(Outcome::ServerFault, scale.epoch.after(ms(1)).unwrap()),
            nanos(ms(1)),
            &scale,
        );
        assert!(load.average().at(1, scale.decay) > 99.9);
    }
}
