//! From headers to a context.

use std::{borrow::Cow, sync::Arc, time::Duration};

use super::{
    baggage::Baggage,
    timeout::{parse_grpc, parse_ms},
};
use crate::{
    context::{Carrier, Context, Deadline, SpanId, TraceId, TraceParent, tenant::is_token},
    tick::Tick,
};

/// How far what a peer says is believed (`server.trust`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trust {
    /// Is the peer one of ours? Otherwise every `platform-` name is dropped but the timeout.
    pub internal: bool,
    /// May it also choose versions, faults and experiment arms, and ask for everything to be kept?
    pub overrides: bool,
}

impl Trust {
    /// A peer inside: believed, but for overrides.
    pub const INTERNAL: Trust = Trust { internal: true, overrides: false };
    /// Anybody.
    pub const EDGE: Trust = Trust { internal: false, overrides: false };
}

/// What came with a request.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The context for serving it, under a new span.
    pub context: Context,
    /// The caller's span, if it named one.
    pub parent: Option<SpanId>,
    /// The caller decided whether to record, and is believed.
    pub decided: bool,
    /// What was malformed or not allowed.
    pub rejected: Rejected,
}

/// A field that was ignored (`platform_context_rejected_total`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Field {
    /// `platform-previous-attempts` or its gRPC name.
    Attempt,
    /// A malformed or oversized `baggage`.
    Baggage,
    /// `platform-cohort`.
    Cohort,
    /// `platform-criticality`.
    Criticality,
    /// A route, fault, arm or debug member that is not allowed here.
    Override,
    /// `x-request-id`.
    RequestId,
    /// `platform-retry`.
    Retry,
    /// `platform-tenant`.
    Tenant,
    /// `platform-timeout-ms` or one of its other names.
    Timeout,
    /// `traceparent`.
    Traceparent,
    /// `tracestate`.
    Tracestate,
}

impl Field {
    /// Every field.
    pub const ALL: [Field; 11] = [
        Field::Attempt,
        Field::Baggage,
        Field::Cohort,
        Field::Criticality,
        Field::Override,
        Field::RequestId,
        Field::Retry,
        Field::Tenant,
        Field::Timeout,
        Field::Traceparent,
        Field::Tracestate,
    ];

    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Field::Attempt => "attempt",
            Field::Baggage => "baggage",
            Field::Cohort => "cohort",
            Field::Criticality => "criticality",
            Field::Override => "override",
            Field::RequestId => "request_id",
            Field::Retry => "retry",
            Field::Tenant => "tenant",
            Field::Timeout => "timeout",
            Field::Traceparent => "traceparent",
            Field::Tracestate => "tracestate",
        }
    }
}

/// The set of fields that were ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rejected(u16);

impl Rejected {
    /// Was nothing ignored?
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Was `field` ignored?
    pub fn contains(self, field: Field) -> bool {
        self.0 & (1 << field as u8) != 0
    }

    /// The ignored fields.
    pub fn iter(self) -> impl Iterator<Item = Field> {
        Field::ALL.into_iter().filter(move |field| self.contains(*field))
    }

    pub(super) fn add(&mut self, field: Field) {
        self.0 |= 1 << field as u8;
    }
}

/// Reads what came with a request that arrived at `now`.
///
/// The trace id of an outsider is kept, so that its users' questions can be answered, but not its decision to
/// record, which would let it fill our trace store.
pub fn read(carrier: &impl Carrier, trust: Trust, now: impl Into<Tick>) -> Arrival {
    let now = now.into();
    let mut seen = Seen::default();
    carrier.each(&mut |name, value| seen.take(name, value));

    let mut rejected = seen.rejected;
    let trace = match seen.traceparent {
        // Two parents are none: nobody can say which one is meant.
        Once::One(header) => std::str::from_utf8(header).ok().and_then(TraceParent::parse),
        Once::None | Once::Many => None,
    };
    if trace.is_none() && seen.traceparent != Once::None {
        rejected.add(Field::Traceparent);
    }
    let (trace_id, parent, sampled) = match trace {
        Some(parent) => (parent.trace_id(), Some(parent.span_id()), parent.is_sampled()),
        None => (TraceId::random(), None, false),
    };
    let mut context =
        Context::with_trace(now, TraceParent::new(trace_id, SpanId::random(), sampled && trust.internal));

    if let Some(length) = seen.timeout {
        context.plain.deadline = Deadline::after(now, length);
    }
    if trust.internal {
        context.plain.chain_stop = seen.chain_stop || seen.attempt > 0;
        context.plain.attempt = seen.attempt;
    }
    if let (Some(state), true) = (seen.tracestate, trace.is_some()) {
        context.rest_mut().tracestate = Some(Arc::from(state));
    }
    if let Some(id) = seen.request_id {
        context.rest_mut().request_id = Some(Arc::from(id));
    }
    if let Some(baggage) = seen.baggage {
        baggage.fill(&mut context, trust, &mut rejected);
    }
    Arrival { context, parent, decided: parent.is_some() && trust.internal, rejected }
}

/// What one pass over the headers found.
#[derive(Default)]
struct Seen<'a> {
    traceparent: Once<'a>,
    tracestate: Option<Cow<'a, str>>,
    timeout: Option<Duration>,
    attempt: u16,
    chain_stop: bool,
    request_id: Option<&'a str>,
    baggage: Option<Baggage<'a>>,
    rejected: Rejected,
}

#[derive(Default, PartialEq, Eq)]
enum Once<'a> {
    #[default]
    None,
    One(&'a [u8]),
    Many,
}

impl<'a> Seen<'a> {
    fn take(&mut self, name: &str, value: &'a [u8]) {
        match name {
            "traceparent" => {
                self.traceparent = if self.traceparent == Once::None { Once::One(value) } else { Once::Many };
            }
            "tracestate" => match std::str::from_utf8(value) {
                Ok(state) => self.add_state(state),
                Err(_) => self.rejected.add(Field::Tracestate),
            },
            "baggage" => self.baggage.get_or_insert_default().add(value),
            "x-request-id" => match std::str::from_utf8(value) {
                Ok(id) if is_token(id) => self.request_id = Some(id),
                _ => self.rejected.add(Field::RequestId),
            },
            "platform-timeout-ms" | "x-envoy-expected-rq-timeout-ms" => self.shorten(parse_ms(value)),
            "grpc-timeout" => self.shorten(parse_grpc(value)),
            "platform-previous-attempts" | "grpc-previous-rpc-attempts" => {
                match std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()) {
                    // Under both of its names the later attempt counts: it is the one that stops a chain.
                    Some(attempt) => self.attempt = self.attempt.max(attempt),
                    None => self.rejected.add(Field::Attempt),
                }
            }
            "platform-retry" => match value {
                b"never" => self.chain_stop = true,
                _ => self.rejected.add(Field::Retry),
            },
            _ => {}
        }
    }

    /// Several headers are one list, as the W3C says; one that is too long as a whole is ignored as a whole.
    fn add_state(&mut self, state: &'a str) {
        let whole = match self.tracestate.take() {
            Some(known) => Cow::Owned(format!("{known},{state}")),
            None => Cow::Borrowed(state),
        };
        if whole.len() > MAX_TRACESTATE {
            self.rejected.add(Field::Tracestate);
        } else if !self.rejected.contains(Field::Tracestate) {
            self.tracestate = Some(whole);
        }
    }

    /// The smallest of several wins.
    fn shorten(&mut self, length: Option<Duration>) {
        match length {
            Some(length) => self.timeout = Some(self.timeout.map_or(length, |known| known.min(length))),
            None => self.rejected.add(Field::Timeout),
        }
    }
}

/// The W3C asks for at least 512 to be passed on.
const MAX_TRACESTATE: usize = 512;
