//! Inject: what happens to this one call?

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{
    abort::Abort,
    metrics::Injected,
    rule::{DEFAULT_MAX_ACTIVE, Effect},
    rule_set::Faults,
};
use crate::{context::Context, tick::Tick};

/// What happens to one call. It counts as active until it is dropped, or its delay has ended.
#[derive(Debug)]
#[must_use = "a fault that is planned and not carried out was counted all the same"]
pub struct Injection {
    /// The rule's name, or `consent`.
    pub rule: Arc<str>,
    /// First this.
    pub delay: Option<Duration>,
    /// Then this, instead of asking.
    pub abort: Option<Abort>,
    active: Active,
}

/// One of the faults under way.
#[derive(Debug)]
struct Active(Arc<AtomicU32>);

impl Faults {
    /// What happens to a call of `target` at `endpoint` in `zone`, mostly nothing: a rule's effect, else what the
    /// request itself consented to. `rolls` are two draws, for the delay and for the abort.
    ///
    /// What it decides is counted, and noted for the canonical line of the request being served.
    #[inline]
    pub fn plan(
        &self,
        context: &Context,
        target: &str,
        endpoint: Option<&str>,
        zone: &str,
        now: impl Into<Tick>,
        rolls: [u64; 2],
    ) -> Option<Injection> {
        if !self.is_armed() && context.faults().is_empty() {
            return None;
        }
        self.plan_one(context, target, endpoint, zone, now.into().instant(), rolls)
    }

    #[cold]
    fn plan_one(
        &self,
        context: &Context,
        target: &str,
        endpoint: Option<&str>,
        zone: &str,
        now: tokio::time::Instant,
        rolls: [u64; 2],
    ) -> Option<Injection> {
        let (mut draws, mut over) = (Draws { rolls, asked: 0 }, false);
        let mut planned = None;
        for armed in self.rules().iter() {
            let rule = &*armed.rule;
            if rule.is_over(now) {
                over = true;
            } else if rule.matches(context, target, endpoint, zone) {
                let asked = Asked { fault: &rule.name, effect: &rule.effect, max_active: rule.max_active };
                planned = self.inject(&asked, draws.next(), &armed.injected);
                if planned.is_some() {
                    break;
                }
            }
        }
        if over {
            self.forget_over(now);
        }
        let planned = planned.or_else(|| {
            // Whatever a stranger wrote there must not make a call fail in another way than it says.
            let effect: Effect = context.faults().of(target)?.parse().ok()?;
            let (fault, injected) = self.consent();
            let asked = Asked { fault, effect: &effect, max_active: DEFAULT_MAX_ACTIVE };
            self.inject(&asked, draws.next(), injected)
        })?;
        if let Some(notes) = context.notes() {
            notes.set_fault(&planned.rule);
        }
        Some(planned)
    }

    fn inject(&self, asked: &Asked<'_>, rolls: [u64; 2], injected: &Injected) -> Option<Injection> {
        let (delay, abort) = asked.effect.draw(rolls);
        if delay.is_none() && abort.is_none() {
            return None;
        }
        let Some(active) = Active::one_of(self.gauge(), asked.max_active) else {
            injected.overflow.inc();
            return None;
        };
        if delay.is_some() {
            injected.delay.inc();
        }
        if abort.is_some() {
            injected.abort.inc();
        }
        Some(Injection { rule: Arc::clone(asked.fault), delay, abort, active })
    }
}

impl Injection {
    /// Waits for the delay, and says what to answer then instead of asking. From then on it is active no more.
    ///
    /// Nothing may be sent before. The caller's deadline is around it, as around everything else here.
    pub async fn wait(self) -> Option<Abort> {
        let Injection { delay, abort, active, .. } = self;
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        drop(active);
        abort
    }
}

struct Asked<'a> {
    fault: &'a Arc<str>,
    effect: &'a Effect,
    max_active: u32,
}

/// A pair of draws for each fault that is asked: with the same pair for all, a second rule of the same share would
/// hit exactly those calls that the first one does.
struct Draws {
    rolls: [u64; 2],
    asked: u64,
}

impl Draws {
    fn next(&mut self) -> [u64; 2] {
        let turn = self.asked;
        self.asked += 1;
        // The first is what the caller drew, so that a test can say what happens.
        if turn == 0 {
            self.rolls
        } else {
            self.rolls.map(|roll| mixed(roll.wrapping_add(turn.wrapping_mul(GOLDEN))))
        }
    }
}

impl Active {
    /// One more, if fewer than `most` are.
    fn one_of(gauge: &Arc<AtomicU32>, most: u32) -> Option<Self> {
        let more = |active| (active < most).then(|| active + 1);
        gauge.fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(Active(Arc::clone(gauge)))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// The finish of splitmix64: every bit of the draw moves every bit of the result.
fn mixed(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// splitmix64's step, odd and far from every pattern.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
