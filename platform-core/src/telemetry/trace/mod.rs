//! What did this one request do, and where was its time spent?
//!
//! A share of all traces is kept, chosen at the head of a request from nothing but the trace id. Only a kept
//! request pays: the server's and the clients' spans are plain [`Span`] records, made when the step is over,
//! and a team's own `tracing` spans pass a filter that asks the request's context first. tracing-opentelemetry
//! alone costs 1.4 µs and 21 allocations for a span that nobody will see.
//!
//! Spans wait in a bounded queue for a thread that sends them by OTLP. A collector that is slow, hangs or is
//! gone costs spans, which are counted, and never a request.
//!
//! ```
//! use std::time::{Duration, SystemTime};
//!
//! use platform_core::context::TraceParent;
//! use platform_core::telemetry::trace::{Kind, Span, Status, Traces};
//!
//! let traces = Traces::disabled();
//! let trace = TraceParent::random();
//! let trace = trace.sampled(traces.samples(trace.trace_id()));
//! // … the request is served …
//! if trace.is_sampled() {
//!     traces.end(Span {
//!         trace,
//!         parent: None,
//!         kind: Kind::Server,
//!         name: "GET /films/{id}".into(),
//!         start: SystemTime::now(),
//!         took: Duration::from_millis(12),
//!         status: Status::Unset,
//!         attributes: vec![("http.response.status_code", 200_u16.into())],
//!     });
//! }
//! ```
//!
//! # Defaults
//!
//! | setting | value | because |
//! |---|---|---|
//! | `endpoint` | empty | nobody is sent anything unasked |
//! | `protocol` | `grpc` | OpenTelemetry's first; `http` where a proxy stands between |
//! | `ratio` | 0.01 | shows what is usual; what is rare is on the canonical lines |
//! | `timeout` | 10 s | OpenTelemetry's own |
//!
//! # Signals
//!
//! [`Traces::dropped`] counts what was lost, and a warning names the collector and the reason, at most once
//! a minute.
//!
//! # Traps
//!
//! A path or an id in a span's name: every backend groups by name. A `tracing` span with `parent: None`: it
//! says that it belongs to no request, so it is not exported.

#[cfg(feature = "otlp")]
mod export;
mod layer;
#[cfg_attr(all(not(feature = "otlp"), not(test)), expect(dead_code, reason = "nothing takes spans out"))]
mod queue;
mod sampler;
mod settings;
mod span;

use std::{fmt, sync::Arc, time::Duration};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{Sampler as OtelSampler, SdkTracer, SdkTracerProvider};
use tracing::Subscriber;
use tracing_subscriber::{Layer, registry::LookupSpan};

use self::{queue::Queue, sampler::Sampler};
use crate::{Result, context::TraceId, identity::Identity};

pub use layer::innermost;
pub use settings::{Protocol, Settings};
pub use span::{Kind, Span, Status, Value};

/// The traces of this process: which are kept, and the way to the collector. Cheap to clone.
#[derive(Clone)]
pub struct Traces {
    sampler: Sampler,
    export: Option<Arc<Export>>,
}

struct Export {
    queue: Queue,
    tracer: SdkTracer,
}

impl Traces {
    /// Starts exporting as `settings` say.
    ///
    /// # Errors
    ///
    /// An endpoint that cannot be one, a ratio outside 0 to 1, a header that cannot be sent. A collector
    /// that is not there is no error: it may come.
    pub fn start(settings: &Settings, identity: &Identity) -> Result<Self> {
        let Some(target) = settings.target()? else { return Ok(Traces::disabled()) };
        let (queue, outlet) = queue::queue();
        start_export(settings, target, identity, outlet)?;
        let provider = SdkTracerProvider::builder()
            // The filter has let only sampled requests through, whose spans have a sampled parent.
            .with_sampler(OtelSampler::ParentBased(Box::new(OtelSampler::AlwaysOff)))
            .with_span_processor(queue.clone())
            .build();
        let tracer = provider.tracer_with_scope(span::scope());
        Ok(Traces { sampler: Sampler::new(settings.ratio), export: Some(Arc::new(Export { queue, tracer })) })
    }

    /// Keeps nothing and sends nothing.
    pub fn disabled() -> Self {
        Traces { sampler: Sampler::NONE, export: None }
    }

    /// Is a trace that begins here kept? Always the same answer for the same id; false if nothing is exported.
    pub fn samples(&self, trace: TraceId) -> bool {
        self.sampler.samples(trace)
    }

    /// How many requests one kept trace stands for; `None` if none is kept.
    pub fn sample_rate(&self) -> Option<f64> {
        self.sampler.rate()
    }

    /// Is anything sent? If not, a caller need not build a [`Span`] for a trace that was sampled elsewhere.
    pub fn exports(&self) -> bool {
        self.export.is_some()
    }

    /// Hands in a finished span of a sampled request. Never waits; what does not fit is dropped and counted.
    pub fn end(&self, span: Span) {
        if let Some(export) = &self.export {
            export.queue.offer(span.into_record());
        }
    }

    /// The layer that exports a team's own `tracing` spans, `INFO` and above, inside sampled requests.
    ///
    /// They hang below the span of the request's [`Context`](crate::Context).
    pub fn layer<S>(&self) -> Option<impl Layer<S> + Send + Sync + use<S>>
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        self.export.as_ref().map(|export| layer::layer(export.tracer.clone()))
    }

    /// Spans lost since the start: the queue was full, or the collector did not take them.
    pub fn dropped(&self) -> u64 {
        self.export.as_ref().map_or(0, |export| export.queue.dropped())
    }

    /// Sends what was handed in before; at the end of a process.
    ///
    /// # Errors
    ///
    /// [`Timeout`](crate::ErrorKind::Timeout) after `within`, with how much is left.
    pub async fn flush(&self, within: Duration) -> Result<()> {
        match &self.export {
            Some(export) => export.queue.flush(within).await,
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Traces");
        shown.field("exports", &self.exports()).field("dropped", &self.dropped()).finish_non_exhaustive()
    }
}

/// Is this one of every `rate`-th trace, chosen as the head chooses those that are recorded?
pub(super) fn is_one_of(trace: TraceId, rate: u32) -> bool {
    Sampler::new(f64::from(rate).recip()).samples(trace)
}

#[cfg(feature = "otlp")]
use export::start as start_export;

#[cfg(not(feature = "otlp"))]
fn start_export(settings: &Settings, _: http::Uri, _: &Identity, _: queue::Outlet) -> Result<()> {
    Err(crate::Error::config(format!(
        "{}.endpoint = {:?}: this service was built without the feature \"otlp\" of platform-core",
        settings::KEY,
        settings.endpoint
    )))
}
