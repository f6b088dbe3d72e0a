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
    Asked, ClientStack, Sending, Wire,
    ended::{Ended, attach, better, is_final, is_success, read},
    knobs::{Knobs, Terms},
};
use crate::{
    admission::breaker,
    call::Call,
    config::Mode,
    context::{Notes, TraceParent},
    error::Result,
    observe::AttemptKind,
    outcome::{Hint, Mark, Outcome, Verdict},
    recovery::{Decision, Facts, Reason, Recovery, decide, hedge},
    tick::Tick,
};

/// What a call was like before its first attempt.
pub(super) struct Origin<Q> {
    /// The call itself; `None` if its bytes are gone once they are sent. Not shared: a call need not be `Sync`.
    spare: Option<Q>,
    /// What the call has behind it, if that is more than one attempt.
    past: Option<Box<Past>>,
    idempotent: bool,
    chain_stop: bool,
    now: Tick,
}

/// What the attempts after the first need to know.
pub(super) struct Known<'a, Q> {
    origin: &'a mut Origin<Q>,
    /// Of the first attempt.
    asked: &'a Asked,
    notes: Option<&'a Notes>,
    terms: &'a Terms,
}

/// How the one of two ended that counts, and its reply if it is the second.
type Counts<'a, R> = (Result<Ended<'a>>, Option<R>);

/// What a call has behind it.
pub(super) struct Past {
    /// Attempts that were made.
    made: u32,
    /// Who was asked.
    asked: Vec<Arc<str>>,
}

impl<Q: Call> Origin<Q> {
    /// Of a call that has not been sent yet.
    #[inline]
    pub(super) fn of(call: &mut Sending<Q>, knobs: &Knobs) -> Self {
        let call = call.call_mut();
        let spare = if knobs.recovers_by(Recovery::None) { None } else { call.repeat(knobs.body) };
        let context = call.context();
        let (idempotent, chain_stop) = (call.idempotent(), context.stops_chain());
        Origin { spare, past: None, idempotent, chain_stop, now: context.now() }
    }

    /// With all else that an attempt after the first needs; made when there is one.
    #[cold]
    pub(super) fn known<'a>(
        &'a mut self,
        asked: &'a Asked,
        notes: &'a Option<Arc<Notes>>,
        terms: &'a Terms,
    ) -> Known<'a, Q> {
        Known { origin: self, asked, notes: notes.as_deref(), terms }
    }
}

impl<Q: Call> Known<'_, Q> {
    fn copy(&self) -> Option<Q> {
        self.origin.spare.as_ref()?.repeat(self.terms.knobs.body)
    }
}

impl Past {
    /// Of a call that was tried once.
    fn first() -> Self {
        Past { made: 1, asked: Vec::new() }
    }

    /// Whom an attempt asked, however it ended.
    fn note(&mut self, asked: &Asked) {
        self.asked.extend(asked.endpoint());
    }
}

impl ClientStack {
    /// One attempt after the other, for as long as the rules allow; `reply` is that of `result`, and then of what is
    /// returned. Boxed: most calls never come here.
    #[cold]
    pub(super) fn repeat<'a, 'f, W: Wire>(
        &'a self,
        mut result: Result<Ended<'a>>,
        reply: &'f mut Option<W::Reply>,
        known: Known<'f, W::Call>,
        wire: &'f W,
    ) -> Pin<Box<impl Future<Output = Result<Ended<'a>>> + Send + use<'a, 'f, W>>> {
        Box::pin(async move {
            let (terms, notes) = (known.terms, known.notes);
            let mut past = known.origin.past.take().map_or_else(Past::first, |past| *past);
            past.note(known.asked);
            loop {
                let Verdict { outcome, hint, at: now } = read(&result, reply);
                let retry = self.policy.load().retry;
                let left = terms.whole.map(|limit| limit.deadline().remaining(now));
                let facts = Facts {
                    outcome,
                    hint,
                    attempts_made: past.made,
                    idempotent: known.origin.idempotent,
                    repeatable: known.origin.spare.is_some(),
                    chain_stop: known.origin.chain_stop,
                    left,
                    median: self.guards.latencies.median(now),
                    local_refusal: outcome == Outcome::Local,
                    roll: fastrand::u64(..),
                };
                let (kind, after) = match decide(&facts, &retry) {
                    Decision::Stop(reason) => {
                        return self.give_up(result, reason, &reason.explain(&facts, &retry), notes);
                    }
                    Decision::Again { .. } if retry.mode == Mode::Observe => {
                        self.guards.would_repeat.inc();
                        return result;
                    }
                    // Who hedges does not wait: the next attempt is as good as a hedge.
                    Decision::Again { kind, .. }
                        if terms.knobs.recovers_by(Recovery::Hedge) && hint.after.is_none() =>
                    {
                        (kind, Duration::ZERO)
                    }
                    Decision::Again { kind, after } => (kind, after),
                };
                // Last, so that nothing is taken for what would not go.
                if let Err(spent) = self.guards.budget.withdraw(now) {
                    let why = format!("not repeated: {spent}");
                    return self.give_up(result, Reason::BudgetSpent, &why, notes);
                }
                // What failed holds none of the target's slots while the next attempt is made.
                if let Ok(ended) = &mut result {
                    ended.slot = None;
                }
                if let Some(notes) = notes {
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
                let Some(copy) = known.copy() else {
                    return result;
                };
                let (mut call, mut answer) = (Sending::new(copy), None);
                let asked = Asked::again(prepare(&mut call, past.made, now), past.asked.clone());
                let again = self.attempt(kind, &mut call, (&asked, terms), &mut answer, wire).await;
                past.made += 1;
                match again {
                    // Our own guard's no explains nothing to a person; what went wrong before it does.
                    Err(refusal) if refusal.outcome() == Outcome::Local => {
                        return attach(
                            result,
                            &format!("not repeated: {} ({})", refusal.detail(), refusal.layer()),
                        );
                    }
                    again => (result, *reply) = (again, answer),
                }
                known.asked.answered_by(asked.endpoint());
                past.note(&asked);
                if is_final(&result) {
                    return result;
                }
            }
        })
    }

    /// A first attempt beside which there is another one when it is still under way at `late`.
    pub(super) async fn hedged<'a, W: Wire>(
        &'a self,
        late: Instant,
        call: &mut Sending<W::Call>,
        known: Known<'_, W::Call>,
        reply: &mut Option<W::Reply>,
        wire: &W,
    ) -> Result<Ended<'a>> {
        let about = (known.asked, known.terms);
        let (result, other) = {
            let mut first = pin!(self.attempt(AttemptKind::First, call, about, reply, wire));
            match early(first.as_mut(), late).await {
                Some(result) => (result, None),
                None => self.race(first, known, wire).await,
            }
        };
        if other.is_some() {
            *reply = other;
        }
        result
    }

    /// A second attempt beside one that is slow. The first success counts, and never an error while the other
    /// one may still answer. Says how the one ended that counts, with its reply if it is the second. Boxed as well.
    #[cold]
    pub(super) fn race<'a, 'f, W: Wire, F>(
        &'a self,
        mut first: Pin<&'f mut F>,
        known: Known<'f, W::Call>,
        wire: &'f W,
    ) -> Pin<Box<impl Future<Output = Counts<'a, W::Reply>> + Send + use<'a, 'f, W, F>>>
    where
        F: Future<Output = Result<Ended<'a>>> + Send,
    {
        Box::pin(async move {
            let (mut past, begun) = (Past::first(), known.origin.now);
            let now = Tick::now();
            past.note(known.asked);
            let spare = known.copy();
            let Some(spare) = spare.filter(|_| wire.has_other(&past.asked) && self.may_hedge(now)) else {
                return (first.await, None);
            };
            let (mut call, mut reply) = (Sending::new(spare), None);
            let trace = prepare(&mut call, past.made, now);
            let asked = Asked::again(trace, past.asked.clone()).only_others();
            past.made += 1;
            if let Some(notes) = known.notes {
                notes.because(&format!("{}:hedge(after {:?})", self.target(), now.since(begun)));
            }
            let (result, is_second) = {
                let about = (&asked, known.terms);
                let second = self.attempt(AttemptKind::Hedge, &mut call, about, &mut reply, wire);
                match select(first.as_mut(), Box::pin(second)).await {
                    // The first failed: what the other one says counts, if it says anything better.
                    Either::Left((result, second)) if !is_final(&result) => better(result, second.await),
                    Either::Left((result, _second)) => (result, false),
                    Either::Right((result, first)) if !is_success(&result) => better(first.await, result),
                    Either::Right((result, _first)) => {
                        // The loser is cancelled and is no failure; that it took at least so long is known.
                        let now = Tick::now();
                        self.guards.latencies.record(now, now.since(begun));
                        (result, true)
                    }
                }
            };
            // Whichever of the two counts, nobody asks either of them again.
            past.note(&asked);
            known.origin.past = Some(Box::new(past));
            if is_second {
                known.asked.answered_by(asked.endpoint());
                return (result, reply);
            }
            (result, None)
        })
    }

    /// When a hedge would be sent; `None` if none would.
    #[inline]
    pub(super) fn hedge_at<Q>(&self, origin: &Origin<Q>, knobs: &Knobs) -> Option<Instant> {
        if !knobs.recovers_by(Recovery::Hedge)
            || origin.spare.is_none()
            || !origin.idempotent
            || origin.chain_stop
        {
            return None;
        }
        let hedge = self.policy.load().hedge;
        let after = hedge::delay(&hedge, &self.guards.latencies, origin.now)?;
        Some(origin.now.instant() + after)
    }

    /// Asked when a hedge is due: never while the target is in doubt or says that it has too much to do, and only what both
    /// budgets pay for.
    fn may_hedge(&self, now: Tick) -> bool {
        let mode = self.policy.load().hedge.mode;
        if !mode.is_on() || self.guards.breaker.engine().state(now) != breaker::State::Closed {
            return false;
        }
        if !mode.enforces() {
            self.guards.would_repeat.inc();
            return false;
        }
        // Who is late there is late because others wait too, and a copy of a call makes all of them later.
        if self.guards.throttle.engine().hears_overload(now) {
            return false;
        }
        hedge::withdraw(&self.guards.hedges, &self.guards.budget, now).is_ok()
    }

    fn give_up<'a>(
        &self,
        result: Result<Ended<'a>>,
        reason: Reason,
        why: &str,
        notes: Option<&Notes>,
    ) -> Result<Ended<'a>> {
        if let Some(notes) = notes {
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
pub(super) async fn early<F: Future>(mut work: Pin<&mut F>, late: Instant) -> Option<F::Output> {
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
