//! Is there another attempt? The same storey as the whole call, apart because most calls never come here.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Poll, ready},
    time::Duration,
};

use futures_util::future::{Either, select};
use tokio::time::{Sleep, sleep_until};

use super::{
    Asked, ClientStack, Wire,
    client::{Sending, Tried},
    knobs::Knobs,
};
use crate::{
    admission::breaker,
    call::{Call, Reply},
    config::Mode,
    context::{Notes, TraceParent},
    deadline::Limit,
    error::{Error, Result},
    observe::{self, AttemptKind},
    outcome::{Again, Hint, Mark, Outcome},
    recovery::{Decision, Facts, Reason, Recovery, decide, hedge},
    tick::Tick,
};

/// What a call is repeated from, and what it has behind it.
struct Past<'a, Q> {
    /// The call as it was before its first attempt; `None` if its bytes are gone once they are sent. It stays where
    /// it was made. Not shared: a call need not be `Sync`.
    spare: &'a mut Option<Q>,
    origin: Origin,
    /// Attempts that were made.
    made: u32,
    /// Who was asked.
    asked: Vec<Arc<str>>,
    notes: Option<&'a Notes>,
}

/// What the first attempt was like.
#[derive(Clone, Copy)]
struct Origin {
    idempotent: bool,
    chain_stop: bool,
}

impl<'a, Q: Call> Past<'a, Q> {
    /// After the first attempt.
    fn new(spare: &'a mut Option<Q>, origin: Origin, notes: &'a Option<Arc<Notes>>) -> Self {
        Past { spare, origin, made: 1, asked: Vec::new(), notes: notes.as_deref() }
    }

    fn copy(&self, body: u64) -> Option<Q> {
        self.spare.as_ref()?.repeat(body)
    }
}

impl ClientStack {
    /// The first attempt, and those that follow from it.
    pub(super) async fn recover<'a, W: Wire>(
        &'a self,
        call: &mut Sending<W::Call>,
        whole: Option<Limit>,
        knobs: &Knobs,
        notes: &Option<Arc<Notes>>,
        wire: &W,
    ) -> Result<Tried<'a, W::Reply>> {
        let asked = Asked::first(call.context_mut().trace());
        if knobs.recovery == Recovery::None {
            return pin!(self.attempt(call, AttemptKind::First, &asked, whole, knobs, wire)).await;
        }
        let mut spare = call.call_mut().repeat(knobs.body);
        let origin =
            Origin { idempotent: call.call_mut().idempotent(), chain_stop: call.context_mut().stops_chain() };
        let now = call.context_mut().now();
        let hedge_after = match spare {
            Some(_) => self.hedge_after(origin, knobs, now),
            None => None,
        };
        // Pinned once and polled where it lies: it is most of a call.
        let mut first = pin!(self.attempt(call, AttemptKind::First, &asked, whole, knobs, wire));
        let done = match hedge_after {
            None => Some(first.as_mut().await),
            Some(after) => early(first.as_mut(), now.instant() + after).await,
        };
        // In this order, and apart: what is matched on is kept for as long as the match waits for something.
        if let Some(result) = done {
            if outcome(&result).readings().again == Again::Never {
                return result;
            }
            let mut past = Past::new(&mut spare, origin, notes);
            past.asked.extend(asked.endpoint());
            return Box::pin(self.repeat(result, past, whole, knobs, wire)).await;
        }
        // It is slow, so nobody minds a box.
        Box::pin(async {
            let mut past = Past::new(&mut spare, origin, notes);
            let result = self.race((first, now, &asked), &mut past, whole, knobs, wire).await;
            if outcome(&result).readings().again == Again::Never {
                return result;
            }
            past.asked.extend(asked.endpoint());
            self.repeat(result, past, whole, knobs, wire).await
        })
        .await
    }

    /// One attempt after the other, for as long as the rules allow.
    async fn repeat<'a, W: Wire>(
        &'a self,
        mut result: Result<Tried<'a, W::Reply>>,
        mut past: Past<'_, W::Call>,
        whole: Option<Limit>,
        knobs: &Knobs,
        wire: &W,
    ) -> Result<Tried<'a, W::Reply>> {
        loop {
            let (outcome, hint, now) = read(&result);
            let retry = self.policy.load().retry;
            let left = whole.map(|limit| limit.deadline().remaining(now));
            let facts = Facts {
                outcome,
                hint,
                attempts_made: past.made,
                idempotent: past.origin.idempotent,
                repeatable: past.spare.is_some(),
                chain_stop: past.origin.chain_stop,
                left,
                median: self.guards.latencies.median(now),
                local_refusal: outcome == Outcome::Local,
                roll: fastrand::u64(..),
            };
            let (kind, after) = match decide(&facts, &retry) {
                Decision::Stop(reason) => {
                    return self.give_up(result, reason, &reason.explain(&facts, &retry), &past);
                }
                Decision::Again { .. } if retry.mode == Mode::Observe => {
                    self.guards.would_repeat.inc();
                    return result;
                }
                // Who hedges does not wait: the next attempt is as good as a hedge.
                Decision::Again { kind, .. } if knobs.recovery == Recovery::Hedge && hint.after.is_none() => {
                    (kind, Duration::ZERO)
                }
                Decision::Again { kind, after } => (kind, after),
            };
            // Last, so that nothing is taken for what would not go.
            if let Err(spent) = self.guards.budget.withdraw(now) {
                let why = format!("not repeated: {spent}");
                return self.give_up(result, Reason::BudgetSpent, &why, &past);
            }
            // What failed holds none of the target's slots while the next attempt is made.
            if let Ok(tried) = &mut result {
                tried.slot = None;
            }
            if let Some(notes) = past.notes {
                notes.because(&format!(
                    "{}:{}({outcome})",
                    self.target(),
                    kind.label(),
                    outcome = outcome.label()
                ));
            }
            let mut now = now;
            if !after.is_zero() {
                sleep_until(now.instant() + after).await;
                now = Tick::now();
            }
            let mut next = Sending(past.copy(knobs.body));
            if next.0.is_none() {
                return result;
            }
            let asked = Asked::again(prepare(&mut next, past.made, now), past.asked.clone());
            let again = self.attempt(&mut next, kind, &asked, whole, knobs, wire).await;
            past.made += 1;
            match again {
                // Our own guard's no explains nothing to a person; what went wrong before it does.
                Err(refusal) if refusal.outcome() == Outcome::Local => {
                    return attach(
                        result,
                        &format!("not repeated: {} ({})", refusal.detail(), refusal.layer()),
                    );
                }
                next => result = next,
            }
            past.asked.extend(asked.endpoint());
            if self::outcome(&result).readings().again == Again::Never {
                return result;
            }
        }
    }

    /// A second attempt beside one that is slow. The first success counts, and never an error while the other
    /// one may still answer.
    async fn race<'a, W: Wire, F>(
        &'a self,
        (mut first, begun, first_asked): (Pin<&mut F>, Tick, &Asked),
        past: &mut Past<'_, W::Call>,
        whole: Option<Limit>,
        knobs: &Knobs,
        wire: &W,
    ) -> Result<Tried<'a, W::Reply>>
    where
        F: Future<Output = Result<Tried<'a, W::Reply>>> + Send,
    {
        let now = Tick::now();
        let Some(spare) = past.copy(knobs.body) else {
            return first.await;
        };
        past.asked.extend(first_asked.endpoint());
        if !wire.has_other(&past.asked) || !self.may_hedge(now) {
            return first.await;
        }
        let mut call = Sending(Some(spare));
        let asked = Asked::again(prepare(&mut call, past.made, now), past.asked.clone()).only_others();
        past.made += 1;
        if let Some(notes) = past.notes {
            notes.because(&format!("{}:hedge(after {:?})", self.target(), now.since(begun)));
        }
        let second = Box::pin(self.attempt(&mut call, AttemptKind::Hedge, &asked, whole, knobs, wire));
        let result = match select(first.as_mut(), second).await {
            Either::Left((result, second)) if outcome(&result).readings().again != Again::Never => {
                // The first failed: what the other one says counts, if it says anything better.
                better(result, second.await)
            }
            Either::Left((result, _second)) => result,
            Either::Right((result, first)) if !is_success(&result) => better(first.await, result),
            Either::Right((result, _first)) => {
                // The loser is cancelled and is no failure; that it took at least so long is known.
                let now = Tick::now();
                self.guards.latencies.record(now, now.since(begun));
                result
            }
        };
        past.asked.extend(asked.endpoint());
        result
    }

    /// After how long a hedge would be sent; `None` if none would.
    fn hedge_after(&self, origin: Origin, knobs: &Knobs, now: Tick) -> Option<Duration> {
        if knobs.recovery != Recovery::Hedge || !origin.idempotent || origin.chain_stop {
            return None;
        }
        let hedge = self.policy.load().hedge;
        hedge::delay(&hedge, &self.guards.latencies, now)
    }

    /// Asked when a hedge is due: never while the target is in doubt, and only what both budgets pay for.
    fn may_hedge(&self, now: Tick) -> bool {
        let mode = self.policy.load().hedge.mode;
        if !mode.is_on() || self.guards.breaker.engine().state(now) != breaker::State::Closed {
            return false;
        }
        if !mode.enforces() {
            self.guards.would_repeat.inc();
            return false;
        }
        hedge::withdraw(&self.guards.hedges, &self.guards.budget, now).is_ok()
    }

    fn give_up<'a, R, Q>(
        &self,
        result: Result<Tried<'a, R>>,
        reason: Reason,
        why: &str,
        past: &Past<'_, Q>,
    ) -> Result<Tried<'a, R>> {
        if let Some(notes) = past.notes {
            notes.because(&format!("{}:gave-up({})", self.target(), reason.as_str()));
        }
        let result = attach(result, why);
        // Who has tried what could be tried tells its own callers not to begin anew.
        if is_exhaustion(reason) {
            return result.map_err(|error| {
                let hint = Hint { mark: Some(Mark::Never), ..error.hint() };
                error.with_hint(hint)
            });
        }
        result
    }
}

/// The next attempt's call: its number, its clock, and that nobody below repeats in turn. Returns the span that it
/// stands under.
fn prepare<Q: Call>(call: &mut Sending<Q>, made: u32, now: Tick) -> TraceParent {
    let context = call.context_mut();
    let trace = context.trace();
    context.stop_chain();
    context.begin_attempt(u16::try_from(made).unwrap_or(u16::MAX), now);
    context.set_trace(trace);
    trace
}

/// Nothing is left to be tried here, so that beginning anew above would only add load.
fn is_exhaustion(reason: Reason) -> bool {
    matches!(reason, Reason::AttemptsSpent | Reason::BudgetSpent | Reason::ToldNever | Reason::ChainStop)
}

/// The work's end, or `None` when it is not there at `late`. The timer is made when the work was once pending.
async fn early<F: Future>(mut work: Pin<&mut F>, late: tokio::time::Instant) -> Option<F::Output> {
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|cx| {
        if let Poll::Ready(output) = work.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(late)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(None)
    })
    .await
}

/// What an attempt meant, as [`read`] says, for all who need no more.
fn outcome<R: Reply>(result: &Result<Tried<'_, R>>) -> Outcome {
    match result {
        Ok(tried) => tried.reply.verdict().map_or(Outcome::Success, |verdict| verdict.outcome),
        Err(error) => error.outcome(),
    }
}

fn read<R: Reply>(result: &Result<Tried<'_, R>>) -> (Outcome, Hint, Tick) {
    let verdict = observe::verdict(result.as_ref().map(|tried| &tried.reply));
    (verdict.outcome, verdict.hint, verdict.at)
}

fn is_success<R: Reply>(result: &Result<Tried<'_, R>>) -> bool {
    outcome(result).is_success()
}

/// Of two that ended: the success; else the reply before the error; else the first.
fn better<'a, R: Reply>(first: Result<Tried<'a, R>>, second: Result<Tried<'a, R>>) -> Result<Tried<'a, R>> {
    if is_success(&first) || (first.is_ok() && !is_success(&second)) {
        return first;
    }
    match second {
        Ok(second) => Ok(second),
        Err(_) => first,
    }
}

fn attach<'a, R>(result: Result<Tried<'a, R>>, why: &str) -> Result<Tried<'a, R>> {
    result.map_err(|error: Error| error.noting(why))
}
