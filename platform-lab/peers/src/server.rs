//! What does the usual axum server cost?
//!
//! The layers that a team adds before its first production day, each in the form its manual recommends:
//! request id, tracing span with OpenTelemetry at 1 %, timeout, panic catch, Prometheus metrics.

use std::{io, time::Duration};

use axum::{Json, Router, http::StatusCode, routing::get};
use axum_prometheus::PrometheusMetricLayer;
use hyper_util::service::TowerToHyperService;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{Sampler, SdkTracerProvider, SpanData, SpanExporter},
};
use serde::Serialize;
use tower::ServiceBuilder;
use tower_http::{
    ServiceBuilderExt,
    catch_panic::CatchPanicLayer,
    request_id::MakeRequestUuid,
    timeout::TimeoutLayer,
    trace::{DefaultMakeSpan, DefaultOnResponse, TraceLayer},
};
use tracing::Level;
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

use crate::child::{self, Listening};

/// A collector that takes every batch at once.
#[derive(Debug)]
struct Discard;

impl SpanExporter for Discard {
    async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
        Ok(())
    }
}

#[derive(Serialize)]
struct Hello {
    message: &'static str,
}

/// Serves the hello with the usual middleware; `access_line`: one JSON line per request on standard output.
pub(crate) async fn serve(listening: Listening, access_line: bool) -> io::Result<()> {
    let traces = SdkTracerProvider::builder()
        .with_batch_exporter(Discard)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(SAMPLED))))
        .build();
    let line = access_line.then(|| tracing_subscriber::fmt::layer().json().boxed());
    tracing_subscriber::registry()
        .with(EnvFilter::new("info"))
        .with(tracing_opentelemetry::layer().with_tracer(traces.tracer("hello")))
        .with(line)
        .init();

    // The line is what tower-http itself says on a response, inside the request's span.
    let told = if access_line { Level::INFO } else { Level::DEBUG };
    let (metrics, scrape) = PrometheusMetricLayer::pair();
    let layers = ServiceBuilder::new()
        .set_x_request_id(MakeRequestUuid)
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(DefaultMakeSpan::new().level(Level::INFO))
                .on_response(DefaultOnResponse::new().level(told)),
        )
        .propagate_x_request_id()
        .layer(metrics)
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, TIMEOUT))
        .layer(CatchPanicLayer::new());
    let router = Router::new()
        .route("/hello", get(hello))
        .route("/metrics", get(async move || scrape.render()))
        .layer(layers);
    child::serve(listening, TowerToHyperService::new(router)).await
}

async fn hello() -> Json<Hello> {
    Json(Hello { message: "hello" })
}

/// The share of traces kept: what a busy service can afford.
const SAMPLED: f64 = 0.01;
/// Long enough never to fire here; its timer is what costs.
const TIMEOUT: Duration = Duration::from_secs(10);
