//! Who is left out for a while?
//!
//! An engine without a clock, a lock or a task: once a second, and as soon as a run of failures is long enough, the
//! balancer's task shows it what was counted, and it says who goes, who comes back and why.
//!
//! | rule | who | because |
//! |---|---|---|
//! | `consecutive` | 5 failures in a row | needs no traffic to compare with, so it works for two endpoints and for one call a second |
//! | `share` | half of at least 10 answers failed, and a quarter more than of the others' | a run is broken by a success now and then |
//! | `rate` | of at least 100 answers, more failed than is chance: 10 % and 4 deviations above the others; of 5 or more endpoints also below the mean by 1.9 deviations of their success rates | what fails only now and then, where there is enough to compare |
//! | `probe` | the first answer after it came back was a failure | one call is enough to find out |
//!
//! Answers are counted exactly, in ten buckets of three seconds: averages that fade hide a short burst.
//!
//! **Few endpoints.** At most `max_share` of them are out, but always one, and never the last. Who should go and cannot
//! stays and counts as sick. When fewer than `set.panic` of them are well, all are asked again: most likely it is not they
//! who are sick, and the rest could not carry the load.
//!
//! **Back.** Out for `base` times the number of times that it happened, at most `max`, of which the dice leave half or
//! more, so that clients do not come back together. Then one call tries it, and after that it warms up as a new one does.
//! Each healthy `base` takes one from the count.
//!
//! # Defaults
//! | setting | value | because |
//! |---|---|---|
//! | `eject.mode` | enforce | whoever fails costs a repeat each time |
//! | `eject.consecutive` | 5 | Envoy's, and most people's: one in a thousand of those that fail a quarter of all gets there by chance |
//! | `eject.base`, `eject.max` | 30 s, 300 s | Envoy's: long enough for a restart; who is sick for longer than the second is removed by somebody |
//! | `eject.max_share` | 0.5 | a zone of three may be lost, and what is left carries twice its load |
//! | `set.panic` | 0.5 | Envoy's: when fewer are well, most likely it is not they who are sick |
//!
//! # Signals
//! `platform_balance_ejections_total` by reason and mode, `platform_discovery_endpoints{state="ejected"}`, a warning with the
//! counts, and `sick` in `/platform/targets`.
//!
//! # Traps
//! *Ejection is no breaker*: where all fail, all are asked again, and the breaker refuses. *Few calls find little*: how long it
//! takes with few endpoints and few calls is a table ([`few`](super::few)).

mod case;
mod why;

pub(super) use case::Case;
pub(super) use why::Why;

use std::time::Duration;

use platform_core::Outcome;
use tokio::time::Instant;

use self::case::Counts;
use super::load::Tally;

/// The rules.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) consecutive: u32,
    pub(super) base: Duration,
    pub(super) max: Duration,
    /// Of all endpoints, how many may be out.
    pub(super) max_share: f64,
    /// All are asked when fewer than this share are well.
    pub(super) panic: f64,
    /// Are its rulings obeyed? If not, whoever is out has not been away.
    pub(super) enforce: bool,
}

/// One endpoint before the bench.
pub(super) struct Row<'a> {
    pub(super) case: &'a mut Case,
    pub(super) tally: Tally,
    pub(super) last_failure: Outcome,
}

/// What was ruled about the row of this index.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    /// Out from now on.
    Out { index: usize, why: Why, time: Duration },
    /// Back; with a probe unless it was asked all the time.
    Back { index: usize, probe: bool },
}

/// What was ruled about all of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ruling {
    pub(super) changes: Vec<Change>,
    /// So few are well that all are asked.
    pub(super) panic: bool,
    /// Those who are out, and those who should be.
    pub(super) sick: usize,
    /// Was there any answer since the last time?
    pub(super) heard: bool,
}

/// Looks at all ready endpoints. `panic` is what the last ruling said; `dice` are 64 random bits.
pub(super) fn rule(
    rules: &Rules,
    rows: &mut [Row<'_>],
    panic: bool,
    now: Instant,
    mut dice: impl FnMut() -> u64,
) -> Ruling {
    let mut ruling = Ruling::default();
    for row in rows.iter_mut() {
        ruling.heard |= row.case.count(row.tally, now);
    }
    for (index, row) in rows.iter_mut().enumerate() {
        // Who is asked all the same and answers again need not wait.
        let recovered = panic && row.tally.streak <= -(rules.consecutive.min(MOST_ASKED) as i32);
        if row.case.ends(now) || (recovered && row.case.is_out()) {
            let probe = rules.enforce && !panic;
            row.case.come_back(now, probe);
            if probe {
                // Nobody has asked it since it went.
                row.tally.streak = 0;
            }
            ruling.changes.push(Change::Back { index, probe });
        }
    }
    // One pass for all of them: a set may have thousands, and each is looked at once a second.
    let all = All::of(rows);
    let found: Vec<Option<Why>> = rows.iter().map(|row| convict(rules, row, rows.len(), &all)).collect();
    let mut guilty: Vec<usize> = (0..rows.len()).filter(|index| found[*index].is_some()).collect();
    // The worst first, because not all may go.
    guilty.sort_by_key(|index| {
        std::cmp::Reverse((rows[*index].tally.streak, rows[*index].case.counts().failures))
    });
    let most = ((rules.max_share * rows.len() as f64) as usize).max(1).min(rows.len().saturating_sub(1));
    let mut out = rows.iter().filter(|row| row.case.is_out()).count();
    for index in guilty {
        let Some(why) = found[index] else { continue };
        let case = &mut *rows[index].case;
        if out < most && !panic {
            let time = case.go(rules, why, now, dice());
            ruling.changes.push(Change::Out { index, why, time });
            out += 1;
        } else {
            case.hold(why);
        }
    }
    for (index, row) in rows.iter_mut().enumerate() {
        if found[index].is_none() {
            row.case.is_well(rules, now);
        }
    }
    ruling.sick = rows.iter().filter(|row| row.case.is_sick()).count();
    let well = rows.len() - ruling.sick;
    ruling.panic = rows.len() > 1 && (well as f64) < rules.panic * rows.len() as f64;
    ruling
}

/// What those who are not out did together.
struct All {
    counts: Counts,
    /// Below this success rate is an outlier; nothing where too few have answered enough to tell.
    outlier: Option<f64>,
}

impl All {
    fn of(rows: &[Row<'_>]) -> Self {
        let known: Vec<Counts> =
            rows.iter().filter(|row| !row.case.is_out()).map(|row| row.case.counts()).collect();
        let rates: Vec<f64> = known
            .iter()
            .filter(|counts| counts.answers() >= ENOUGH)
            .map(|counts| 1.0 - counts.share())
            .collect();
        // Of fewer than five there is no telling: even the only bad one of four is within the deviations.
        let outlier = (rates.len() >= FEWEST_FOR_DEVIATION).then(|| {
            let mean = rates.iter().sum::<f64>() / rates.len() as f64;
            let variance = rates.iter().map(|rate| (rate - mean).powi(2)).sum::<f64>() / rates.len() as f64;
            mean - DEVIATIONS * variance.sqrt()
        });
        All { counts: known.into_iter().fold(Counts::default(), |sum, counts| sum + counts), outlier }
    }
}

/// What speaks against this one of `count`; nothing where there is nobody else, and nothing new if it is out.
fn convict(rules: &Rules, row: &Row<'_>, count: usize, all: &All) -> Option<Why> {
    if count < 2 || row.case.is_out() {
        return None;
    }
    let own = row.case.counts();
    let last = row.last_failure;
    if row.case.is_on_trial() && own.failures > 0 {
        return Some(Why::Probe { last });
    }
    if row.tally.streak >= i32::try_from(rules.consecutive).unwrap_or(i32::MAX) {
        return Some(Why::Consecutive { failures: row.tally.streak.unsigned_abs(), last });
    }
    // It is not out, so it is one of all.
    let others = Counts {
        successes: all.counts.successes.saturating_sub(own.successes),
        failures: all.counts.failures.saturating_sub(own.failures),
    };
    if own.answers() >= FEW && own.share() >= SICK_SHARE && own.share() - others.share() >= SICK_GAP {
        return Some(Why::Share { failures: own.failures, answers: own.answers() });
    }
    let is_enough = own.answers() >= ENOUGH && others.answers() >= ENOUGH;
    let gap = own.share() - others.share();
    if is_enough
        && gap >= RATE_GAP
        && gap >= CHANCE * others.deviation(own.answers())
        && all.outlier.is_none_or(|bound| 1.0 - own.share() < bound)
    {
        return Some(Why::Rate { share: own.share(), answers: own.answers(), others: others.share() });
    }
    None
}

/// Fewer answers than that say little about a share: five of ten from one that fails a tenth are once in 600 windows.
const FEW: u32 = 10;
/// Whoever fails every second call is of no use.
const SICK_SHARE: f64 = 0.5;
/// If the others are hardly better, it is not this one that is sick.
const SICK_GAP: f64 = 0.25;
/// Envoy's: with a hundred answers, ten points are more than chance.
const ENOUGH: u32 = 100;
/// A repeat costs less than doing without an endpoint that fails less than that.
const RATE_GAP: f64 = 0.1;
/// Chance goes that far once in thirty thousand windows.
const CHANCE: f64 = 4.0;
/// Envoy's and gRPC's factor.
const DEVIATIONS: f64 = 1.9;
/// With four, one that fails always is 1.7 deviations below the mean.
const FEWEST_FOR_DEVIATION: usize = 5;
/// Successes in a row that are counted, at least.
const MOST_ASKED: u32 = 64;

#[cfg(test)]
mod tests;
