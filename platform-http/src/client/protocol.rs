//! The wire of the client's page: everything below the attempt's clock, in HTTP.

use std::sync::Arc;

use http::{HeaderValue, Request, Response};
use platform_core::{
    Context, Error, Outcome, Result, Verdict,
    call::{CarryCall as _, CarryReply as _},
    context::Criticality,
    fault::{Faults, Injection},
    stack::{Asked, Row, Sending, Storey, Wire},
    telemetry::Traces,
};
use platform_discovery::{
    Balance,
    balance::{self, Key, Picked, Picker, Route},
};
use serde::Serialize;
use tokio::time::Instant;

use super::{
    config::Settings,
    connect::Connection,
    dialect::{Dialect, Judged, Late},
    exchange::Exchange,
    slots::Attempts,
};
use crate::{
    Body,
    wire::{Reader, inject},
};

/// HTTP, or what is spoken over it, to the endpoints of one target.
pub(super) struct Http<D> {
    pub(super) target: Arc<str>,
    pub(super) balance: Arc<Balance<Connection>>,
    pub(super) reader: Reader,
    pub(super) agent: HeaderValue,
    pub(super) criticality: Option<Criticality>,
    pub(super) dialect: D,
    pub(super) traces: Traces,
    pub(super) faults: Faults,
    pub(super) settings: Settings,
    /// What a team has put into slots, in order, and the way through those below the choice.
    pub(super) slots: Vec<Row>,
    pub(super) slotted: Option<Attempts>,
}

impl<D: Dialect> Wire for Http<D> {
    type Call = Request<Body>;
    type Reply = Response<Body>;

    async fn send(&self, sending: &mut Sending<Request<Body>>, asked: &Asked) -> Result<Response<Body>> {
        // It stays where it is for as long as it can: each move of a request costs as much as a guard.
        let call = sending.call_mut();
        let context = call.body_mut().context_mut();
        if let Some(class) = self.criticality {
            context.lower(class);
        }
        // R1 Measured from here; a reply that never comes is reported when this future is dropped.
        let parts = (&self.dialect, &self.traces, &self.target);
        let mut exchange = Exchange::begin(parts, call, asked.parent());

        // Choose as late as possible, so that a repeat may choose another.
        let roll = self.roll(call);
        let mut picked = match self.balance.pick_for(call.body_mut().context_mut(), asked, roll).await {
            Ok(picked) => picked,
            Err(error) => return Err(exchange.failed(error)),
        };
        asked.set(picked.label());
        exchange.asks(picked.label());
        if picked.route() == Route::Fallback {
            exchange.falls_back();
            self.note_fallback(call.body().context());
        }
        // R6 Below all that must survive it, so that a rule may name an endpoint, and what it does is cut, repeated
        //    and counted as a real failure would be.
        let injected = match self.injection(call.body_mut().context_mut(), &picked) {
            Some(injection) => Box::pin(self.suffer(injection, call, &mut exchange)).await,
            None => Ok(None),
        };
        let sent = match injected {
            Ok(Some(reply)) => Ok(reply),
            Ok(None) => {
                // R7 Headers last: the choice may have waited, and the time that is left has to be true.
                inject(call, self.reader, &self.agent, D::HEADERS);
                self.dialect.sends(&exchange.name, call);
                match &self.slotted {
                    // Apart: a plain call has no room for it.
                    Some(slotted) => Box::pin(slotted.send(sending.take(), &picked)).await,
                    None => picked.service().send(sending.take()).await,
                }
            }
            Err(error) => Err(error),
        };
        let mut reply = match sent {
            Ok(reply) => reply,
            Err(error) => return Err(failed(exchange, &mut picked, error)),
        };
        // The judge: once per attempt.
        let judged = if D::LISTENS {
            self.dialect.listen(&exchange.name, &mut reply).await
        } else {
            Ok(self.dialect.judge(&exchange.name, &reply))
        };
        let judged = match judged {
            Ok(judged) => judged,
            Err(error) => return Err(failed(exchange, &mut picked, error)),
        };
        let Judged { outcome, hint, answer, under_way } = judged;
        // The second of the attempt's two clock readings.
        let verdict = Verdict::new(outcome, Instant::now()).with_hint(hint);
        if D::LISTENS && outcome == Outcome::Success {
            self.dialect.follow(&exchange.name, &mut reply, || {
                let late = picked.late();
                Late::of(move |verdict, under_way| late.report(verdict, under_way))
            });
        }
        reply.body_mut().judge(verdict);
        // The next choice goes by it. A choice that is dropped without a report was cut off, and knows why.
        picked.report(&verdict);
        if let Some(under_way) = under_way {
            picked.told(under_way);
        }
        // In flight until the reply has been read: an endpoint that streams to us is busy with us.
        reply.body_mut().hold(picked.into_guard());
        exchange.replied(answer, verdict.at);
        Ok(reply)
    }

    fn has_other(&self, asked: &[Arc<str>]) -> bool {
        self.balance.has_other(asked)
    }

    fn describe(&self) -> Vec<Row> {
        use Storey::Endpoint;
        let Settings { balance, connect, .. } = &self.settings;
        let reader = if self.reader == Reader::Ours { "everything" } else { "traceparent" };
        let (above, below): (Vec<Row>, Vec<Row>) =
            self.slots.iter().cloned().partition(|slot| slot.storey == Storey::Call);
        let mut rows = above;
        rows.extend([
            Row::new(Endpoint, "balance", "Which one do we ask?")
                .with("pick", &format_args!("{}", balance.pick.as_str()))
                .with("set.empty_wait", &balance.set.empty_wait)
                .with("health.mode", &format_args!("{}", balance.health.mode))
                .with("health.service", &format_args!("{}", balance.health.service))
                .with("set.panic", &format_args!("{}", balance.set.panic))
                .with(
                    "set.subset",
                    &format_args!("{}", balance.set.subset.map_or("none".into(), |most| most.to_string())),
                )
                .with("variants", &format_args!("{}", shares(&balance.variants)))
                .with("versions", &format_args!("{}", shares(&balance.versions)))
                .with("key", &format_args!("{}", String::from(balance.key.clone())))
                .with("eject.mode", &format_args!("{}", self.balance.eject_mode()))
                .with("eject.consecutive", &format_args!("{}", balance.eject.consecutive))
                .with("eject.base", &balance.eject.base)
                .with("eject.max", &balance.eject.max)
                .with("eject.max_share", &format_args!("{}", balance.eject.max_share))
                .with("load.ewma", &balance.load.ewma)
                .with("load.failure_penalty", &balance.load.failure_penalty)
                .with("load.slow_start", &balance.load.slow_start),
            Row::new(Endpoint, "fault", "What if it went wrong on purpose?").with(
                "rules",
                &format_args!(
                    "{}",
                    self.faults
                        .list(Instant::now())
                        .iter()
                        .filter(|rule| rule.target() == &*self.target)
                        .count()
                ),
            ),
            Row::new(Endpoint, "inject", "Who reads what travels?").with("sends", &format_args!("{reader}")),
        ]);
        rows.extend(below);
        rows.extend([
            Row::new(Endpoint, "connect", "How is it reached?")
                .with("timeout", &connect.timeout)
                .with("pool.idle", &connect.pool.idle)
                .with("pool.per_endpoint", &format_args!("{}", connect.pool.per_endpoint))
                .with("protocol", &format_args!("{}", written(&connect.protocol))),
            Row::new(Endpoint, "judge", "What does this answer mean?"),
        ]);
        rows
    }
}

impl<D: Dialect> Http<D> {
    /// What goes wrong on purpose; mostly nothing, and then it is one look.
    fn injection(&self, context: &Context, picked: &Picked<Connection>) -> Option<Injection> {
        let (label, zone) = (picked.label(), picked.endpoint().zone.as_str());
        let rolls = [fastrand::u64(..), fastrand::u64(..)];
        self.faults.plan(context, &self.target, Some(label), zone, context.now(), rolls)
    }

    /// Waits, and answers in the endpoint's stead if that is what was planned. Nothing is sent before.
    async fn suffer(
        &self,
        injection: Injection,
        call: &mut Request<Body>,
        exchange: &mut Exchange<'_, D>,
    ) -> Result<Option<Response<Body>>> {
        let fault = Arc::clone(&injection.rule);
        exchange.suffers(&fault);
        let abort = injection.wait().await;
        // The wait was real, so the clock is read again.
        call.body_mut().context_mut().set_now(Instant::now());
        let Some(abort) = abort else { return Ok(None) };
        match self.dialect.abort(abort) {
            Some(reply) => Ok(Some(reply)),
            None => Err(abort.error(&fault)),
        }
    }

    /// The dice; of ring_hash the key, which may be a header.
    fn roll(&self, call: &Request<Body>) -> u64 {
        let given = match &self.settings.balance {
            balance::Config { pick: Picker::RingHash, key: Key::Header(name), .. } => {
                call.headers().get(name)
            }
            _ => None,
        };
        self.balance.roll(call.body().context(), given.map(HeaderValue::as_bytes))
    }

    /// Somebody asked for a version and wonders whose answer this is.
    #[cold]
    fn note_fallback(&self, context: &Context) {
        if let Some(notes) = context.notes() {
            let wanted = self.balance.wanted(context).unwrap_or_default();
            notes.because(&format!("{}:route({wanted} is not there)", self.target));
        }
    }
}

/// No reply, or one that broke off.
#[cold]
fn failed<D: Dialect>(exchange: Exchange<'_, D>, picked: &mut Picked<Connection>, error: Error) -> Error {
    picked.report(&Verdict::new(error.outcome(), Instant::now()).with_hint(error.hint()));
    exchange.failed(error)
}

/// `canary=0.05 old=0`, or `none`.
fn shares(of: &balance::Shares) -> String {
    if of.is_empty() {
        return "none".to_owned();
    }
    of.iter().map(|(name, share)| format!("{name}={share}")).collect::<Vec<_>>().join(" ")
}

/// A choice as it would be written in a file.
fn written(choice: &impl Serialize) -> String {
    serde_json::to_value(choice).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
