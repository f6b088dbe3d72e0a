//! Is there another attempt? The same storey as the whole call, apart because most calls never come here.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Poll, ready},
    time::Duration,
};

use futures_util::future::{Either, select};
use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    Asked, ClientStack, Wire,
    client::{Knobs, Sending, Tried},
};
use crate::{
    admission::breaker,
    call::{Call, Reply},
    config::Mode,
    context::Notes,
    deadline::Limit,
    error::{Error, Result},
    observe::{self, AttemptKind},
    outcome::{Again, Hint, Mark, Outcome},
    recovery::{Decision, Facts, Reason, Recovery, decide, hedge},
};

/// What a call is repeated from, and what it has behind it.
struct Past<Q> {
    /// The call as it was before its first attempt; `None` if its bytes are gone once they are sent.
    spare: Option<Q>,
    idempotent: bool,
    chain_stop: bool,
    /// Attempts that were made.
    made: u32,
    /// Who was asked.
    asked: Vec<Arc<str>>,
    notes: Option<Arc<Notes>>,
}

impl<Q: Call> Past<Q> {
    fn of(call: &Q, body: u64) -> Self {
        Past {
            spare: call.repeat(body),
            idempotent: call.idempotent(),
            chain_stop: call.context().stops_chain(),
            made: 1,
            asked: Vec::new(),
            notes: call.context().notes().cloned(),
        }
    }
}

impl ClientStack {
    /// The first attempt, and those that follow from it.
    pub(super) async fn recover<'a, W: Wire>(
        &'a self,
        call: &mut Sending<W::Call>,
        whole: Option<Limit>,
        knobs: Knobs,
        wire: &W,
    ) -> Result<Tried<'a, W::Reply>> {
        let asked = Asked::first(call.context_mut().trace());
        let mut past = None;
        let mut hedge_after = None;
        let now = call.context_mut().now();
        if knobs.recovery != Recovery::None {
            let call = call.call_mut();
            let kept = Past::of(call, knobs.body);
            hedge_after = self.hedge_after(&kept, knobs, now);
            past = Some(kept);
        }
        // Pinned once and polled where it lies: it is most of a call.
        let mut first = pin!(self.attempt(call, AttemptKind::First, &asked, whole, knobs, wire));
        let done = match hedge_after {
            None => Some(first.as_mut().await),
            Some(after) => early(first.as_mut(), now + after).await,
        };
        let Some(mut past) = past else {
            return done.expect("without recovery there is no hedge to be early for");
        };
        let result = match done {
            Some(result) => result,
            // It is slow, so nobody minds a box.
            None => Box::pin(self.race((first, now, &asked), &mut past, whole, knobs, wire)).await,
        };
        let outcome = match &result {
            Ok(tried) => tried.reply.verdict().map_or(Outcome::Success, |verdict| verdict.outcome),
            Err(error) => error.outcome(),
        };
        if outcome.readings().again == Again::Never {
            return result;
        }
        past.asked.extend(asked.endpoint().cloned());
        Box::pin(self.repeat(result, past, whole, knobs, wire)).await
    }

    /// One attempt after the other, for as long as the rules allow.
    async fn repeat<'a, W: Wire>(
        &'a self,
        mut result: Result<Tried<'a, W::Reply>>,
        mut past: Past<W::Call>,
        whole: Option<Limit>,
        knobs: Knobs,
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
                idempotent: past.idempotent,
                repeatable: past.spare.is_some(),
                chain_stop: past.chain_stop,
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
            if let Some(notes) = &past.notes {
                notes.because(&format!(
                    "{}:{}({outcome})",
                    self.target(),
                    kind.label(),
                    outcome = outcome.label()
                ));
            }
            let mut now = now;
            if !after.is_zero() {
                sleep_until(now + after).await;
                now = Instant::now();
            }
            let mut next = Sending(past.spare.as_ref().and_then(|spare| spare.repeat(knobs.body)));
            if next.0.is_none() {
                return result;
            }
            let asked = self.prepare(&mut next, &past, now);
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
            past.asked.extend(asked.endpoint().cloned());
            if read(&result).0.readings().again == Again::Never {
                return result;
            }
        }
    }

    /// A second attempt beside one that is slow. The first success counts, and never an error while the other
    /// one may still answer.
    async fn race<'a, W: Wire, F>(
        &'a self,
        (mut first, begun, first_asked): (Pin<&mut F>, Instant, &Asked),
        past: &mut Past<W::Call>,
        whole: Option<Limit>,
        knobs: Knobs,
        wire: &W,
    ) -> Result<Tried<'a, W::Reply>>
    where
        F: Future<Output = Result<Tried<'a, W::Reply>>> + Send,
    {
        let now = Instant::now();
        let Some(spare) = past.spare.as_ref().and_then(|spare| spare.repeat(knobs.body)) else {
            return first.await;
        };
        past.asked.extend(first_asked.endpoint().cloned());
        if !wire.has_other(&past.asked) || !self.may_hedge(now) {
            return first.await;
        }
        let mut call = Sending(Some(spare));
        let asked = self.prepare(&mut call, past, now).only_others();
        past.made += 1;
        if let Some(notes) = &past.notes {
            notes.because(&format!(
                "{}:hedge(after {:?})",
                self.target(),
                now.saturating_duration_since(begun)
            ));
        }
        let second = Box::pin(self.attempt(&mut call, AttemptKind::Hedge, &asked, whole, knobs, wire));
        let result = match select(first.as_mut(), second).await {
            Either::Left((result, second)) if read(&result).0.readings().again != Again::Never => {
                // The first failed: what the other one says counts, if it says anything better.
                better(result, second.await)
            }
            Either::Left((result, _second)) => result,
            Either::Right((result, first)) if !is_success(&result) => better(first.await, result),
            Either::Right((result, _first)) => {
                // The loser is cancelled and is no failure; that it took at least so long is known.
                let now = Instant::now();
                self.guards.latencies.record(now, now.saturating_duration_since(begun));
                result
            }
        };
        past.asked.extend(asked.endpoint().cloned());
        result
    }

    /// The next attempt's call: its number, its clock, and that nobody below repeats in turn.
    fn prepare<Q: Call>(&self, call: &mut Sending<Q>, past: &Past<Q>, now: Instant) -> Asked {
        let context = call.context_mut();
        let trace = context.trace();
        context.stop_chain();
        context.begin_attempt(u16::try_from(past.made).unwrap_or(u16::MAX), now);
        context.set_trace(trace);
        Asked::again(trace, past.asked.clone())
    }

    /// After how long a hedge would be sent; `None` if none would.
    fn hedge_after<Q>(&self, past: &Past<Q>, knobs: Knobs, now: Instant) -> Option<Duration> {
        if knobs.recovery != Recovery::Hedge || !past.idempotent || past.chain_stop || past.spare.is_none() {
            return None;
        }
        let hedge = self.policy.load().hedge;
        hedge::delay(&hedge, &self.guards.latencies, now)
    }

    /// Asked when a hedge is due: never while the target is in doubt, and only what both budgets pay for.
    fn may_hedge(&self, now: Instant) -> bool {
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
        past: &Past<Q>,
    ) -> Result<Tried<'a, R>> {
        if let Some(notes) = &past.notes {
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

/// Nothing is left to be tried here, so that beginning anew above would only add load.
fn is_exhaustion(reason: Reason) -> bool {
    matches!(reason, Reason::AttemptsSpent | Reason::BudgetSpent | Reason::ToldNever | Reason::ChainStop)
}

/// The work's end, or `None` when it is not there at `late`. The timer is made when the work was once pending.
async fn early<F: Future>(mut work: Pin<&mut F>, late: Instant) -> Option<F::Output> {
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

fn read<R: Reply>(result: &Result<Tried<'_, R>>) -> (Outcome, Hint, Instant) {
    let verdict = observe::verdict(result.as_ref().map(|tried| &tried.reply));
    (verdict.outcome, verdict.hint, verdict.at)
}

fn is_success<R: Reply>(result: &Result<Tried<'_, R>>) -> bool {
    read(result).0.is_success()
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
