//! Span: what one step of a request was, once it is over.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, SystemTime},
};

use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId as OtelSpanId, TraceFlags, TraceId as OtelTraceId,
    trace::{SpanContext, SpanKind, Status as OtelStatus, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use crate::context::{SpanId, TraceParent};

/// One finished step of a sampled request: a plain record, built when the step is over.
///
/// Names and attribute keys follow OpenTelemetry's semantic conventions; the caller gives them.
#[derive(Clone, Debug)]
pub struct Span {
    /// The trace, and this span's own id in it.
    pub trace: TraceParent,
    /// The span above it: the caller's for [`Kind::Server`], ours for the others.
    pub parent: Option<SpanId>,
    /// Which side of a call.
    pub kind: Kind,
    /// A name of few values: `GET /films/{id}`, never the path itself.
    pub name: Cow<'static, str>,
    /// When it began.
    pub start: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// How it ended.
    pub status: Status,
    /// What else is known.
    pub attributes: Vec<(&'static str, Value)>,
}

/// Which side of a call a span describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A call made to another service.
    Client,
    /// Work inside this one.
    Internal,
    /// A request served.
    Server,
}

/// How a span ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Nothing to remark; what the conventions ask of a library when all went well.
    #[default]
    Unset,
    /// Someone who can know says that it went well.
    Ok,
    /// It failed; why, in few words.
    Error(Cow<'static, str>),
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Yes or no.
    Bool(bool),
    /// A fraction.
    Float(f64),
    /// A whole number.
    Int(i64),
    /// Text that is shared with others.
    Shared(Arc<str>),
    /// Text.
    Text(Cow<'static, str>),
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Value::Float(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Value::Int(value)
    }
}

impl From<u16> for Value {
    fn from(value: u16) -> Self {
        Value::Int(value.into())
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Value::Int(value.into())
    }
}

impl From<Arc<str>> for Value {
    fn from(value: Arc<str>) -> Self {
        Value::Shared(value)
    }
}

impl From<&'static str> for Value {
    fn from(value: &'static str) -> Self {
        Value::Text(Cow::Borrowed(value))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Value::Text(Cow::Owned(value))
    }
}

impl Span {
    pub(super) fn into_record(self) -> SpanData {
        SpanData {
            span_context: span_context(self.trace),
            parent_span_id: self.parent.map_or(OtelSpanId::INVALID, otel_span_id),
            parent_span_is_remote: self.kind == Kind::Server && self.parent.is_some(),
            span_kind: self.kind.into(),
            name: self.name,
            start_time: self.start,
            end_time: self.start + self.took,
            attributes: self.attributes.into_iter().map(|(key, value)| attribute(key, value)).collect(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: self.status.into(),
            instrumentation_scope: scope(),
        }
    }
}

impl From<Kind> for SpanKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Client => SpanKind::Client,
            Kind::Internal => SpanKind::Internal,
            Kind::Server => SpanKind::Server,
        }
    }
}

impl From<Status> for OtelStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Unset => OtelStatus::Unset,
            Status::Ok => OtelStatus::Ok,
            Status::Error(description) => OtelStatus::Error { description },
        }
    }
}

/// The span that is under way, as OpenTelemetry writes it.
pub(super) fn span_context(trace: TraceParent) -> SpanContext {
    SpanContext::new(
        otel_trace_id(trace),
        otel_span_id(trace.span_id()),
        TraceFlags::default().with_sampled(trace.is_sampled()),
        false,
        TraceState::NONE,
    )
}

/// Who made the spans: this crate.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope::builder(env!("CARGO_PKG_NAME")).with_version(env!("CARGO_PKG_VERSION")).build()
}

pub(super) fn otel_trace_id(trace: TraceParent) -> OtelTraceId {
    OtelTraceId::from_bytes(trace.trace_id().to_bytes())
}

fn otel_span_id(id: SpanId) -> OtelSpanId {
    OtelSpanId::from_bytes(id.to_bytes())
}

fn attribute(key: &'static str, value: Value) -> KeyValue {
    match value {
        Value::Bool(value) => KeyValue::new(key, value),
        Value::Float(value) => KeyValue::new(key, value),
        Value::Int(value) => KeyValue::new(key, value),
        Value::Shared(value) => KeyValue::new(key, value),
        Value::Text(value) => KeyValue::new(key, value),
    }
}
