//! The layer for a team's own `tracing` spans: what else happened in a sampled request?
//!
//! The usual layer of tracing-opentelemetry builds each span before it asks whether anybody wants it. Here a
//! filter asks first, and the answer stands in the request's context: an unsampled request pays one look at
//! a task-local.

use std::cell::RefCell;

use opentelemetry::{Context as OtelContext, ContextGuard, trace::TraceContextExt as _};
use opentelemetry_sdk::trace::SdkTracer;
use tracing::{Metadata, Subscriber, level_filters::LevelFilter, span, subscriber::Interest};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::{
    Layer,
    layer::{Context, Filter},
    registry::LookupSpan,
};

use super::span::{otel_trace_id, span_context};
use crate::context::{SpanId, TraceParent, with_current};

/// The layer; `None` takes part in nothing.
pub(super) fn layer<S>(tracer: SdkTracer) -> impl Layer<S> + Send + Sync + use<S>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let spans = OpenTelemetryLayer::new(tracer).with_tracked_inactivity(false).with_threads(false);
    Enter.and_then(spans).and_then(Leave).with_filter(Sampled)
}

/// The span that a call made now belongs under: a team's innermost one if it is recorded, else the request's.
pub fn innermost(request: TraceParent) -> SpanId {
    let inner = OtelContext::map_current(|context| {
        let span = context.span();
        let known = span.span_context();
        (known.trace_id() == otel_trace_id(request)).then(|| known.span_id().to_bytes())
    });
    inner.and_then(SpanId::from_bytes).unwrap_or(request.span_id())
}

/// Lets through what happens inside a sampled request.
struct Sampled;

impl<S> Filter<S> for Sampled {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        *metadata.level() <= FINEST && with_current(|context| context.trace().is_sampled()) == Some(true)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if *metadata.level() <= FINEST { Interest::sometimes() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(FINEST)
    }
}

/// Stands before the layer that makes spans: puts the request's span where that layer looks for a parent.
struct Enter;

impl<S: Subscriber> Layer<S> for Enter {
    fn on_new_span(&self, _: &span::Attributes<'_>, _: &span::Id, _: Context<'_, S>) {
        let Some(request) = with_current(|context| context.trace()) else { return };
        let inside = OtelContext::map_current(|context| {
            context.span().span_context().trace_id() == otel_trace_id(request)
        });
        if !inside {
            let parent = OtelContext::new().with_remote_span_context(span_context(request));
            PARENT.replace(Some(parent.attach()));
        }
    }
}

/// Stands behind it: puts things back.
struct Leave;

impl<S: Subscriber> Layer<S> for Leave {
    fn on_new_span(&self, _: &span::Attributes<'_>, _: &span::Id, _: Context<'_, S>) {
        PARENT.take();
    }
}

thread_local! {
    /// Written by [`Enter`], emptied by [`Leave`], both while one span is made.
    static PARENT: RefCell<Option<ContextGuard>> = const { RefCell::new(None) };
}

/// Finer spans are for logs, switched on by a filter; recorded for every sampled request they would cost a
/// look at the context in every inner loop of an unsampled one.
const FINEST: LevelFilter = LevelFilter::INFO;
