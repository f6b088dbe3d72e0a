//! Traces: what a collector receives, and that a bad one is nobody's problem but the traces'.
//!
//! The collector is a program of OpenTelemetry's own Python messages (`otlp_sink.py`).
#![cfg(feature = "otlp")]
#![expect(clippy::unwrap_used, reason = "a test may; clippy knows only the marked functions")]

mod sink;

use std::{
    net::TcpListener,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use opentelemetry::{Context as OtelContext, trace::TraceContextExt as _};
use platform_core::{
    Context, ErrorKind,
    context::{self, SpanId, TraceId, TraceParent},
    identity::Identity,
    telemetry::trace::{self, Kind, Protocol, Settings, Span, Status, Traces},
};
use serde_json::json;
use tokio::time::Instant;
use tracing::Instrument as _;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::sink::{ENOUGH, Sink};

fn collector(protocol: Protocol, mode: &str) -> Option<Sink> {
    Sink::start(if protocol == Protocol::Grpc { "grpc" } else { "http" }, mode)
}

fn settings_of(sink: &Sink, protocol: Protocol) -> Settings {
    Settings { protocol, ..at(sink.port) }
}

fn at(port: u64) -> Settings {
    Settings { endpoint: format!("http://127.0.0.1:{port}"), ratio: 1.0, ..Settings::default() }
}

/// A collector that is not there.
fn nobody() -> Settings {
    at(TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().into())
}

fn identity() -> Identity {
    Identity {
        name: "orders".to_owned(),
        version: "1.4.2".to_owned(),
        variant: "canary".to_owned(),
        instance: "orders-7d4f".to_owned(),
        zone: "a".to_owned(),
        owner: "team-orders".to_owned(),
        reports_to: "commerce".to_owned(),
        runbook: "https://runbooks.example/orders".to_owned(),
        why: "takes orders".to_owned(),
    }
}

fn work() -> Span {
    Span {
        trace: sampled(),
        parent: None,
        kind: Kind::Internal,
        name: "work".into(),
        start: UNIX_EPOCH,
        took: Duration::from_millis(1),
        status: Status::Unset,
        attributes: Vec::new(),
    }
}

fn sampled() -> TraceParent {
    TraceParent::random().sampled(true)
}

fn serving(request: TraceParent) -> Context {
    Context::with_trace(Instant::now(), request)
}

async fn a_request_arrives_whole(protocol: Protocol) {
    let Some(sink) = collector(protocol, "answer") else { return };
    let mut settings = settings_of(&sink, protocol);
    settings.headers.insert("x-team".to_owned(), "orders".to_owned().into());
    let traces = Traces::start(&settings, &identity()).unwrap();

    let caller = SpanId::random();
    let server = sampled();
    let client = server.child();
    let start = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    traces.end(Span {
        trace: client,
        parent: Some(server.span_id()),
        kind: Kind::Client,
        name: "GET".into(),
        start: start + Duration::from_millis(1),
        took: Duration::from_millis(10),
        status: Status::Error("503".into()),
        attributes: vec![("server.address", "inventory".into()), ("platform.attempt", 1_u16.into())],
    });
    traces.end(Span {
        trace: server,
        parent: Some(caller),
        kind: Kind::Server,
        name: "GET /stock/{id}".into(),
        start,
        took: Duration::from_millis(12),
        status: Status::Unset,
        attributes: vec![
            ("http.request.method", "GET".into()),
            ("http.response.status_code", 200_u16.into()),
            ("platform.route.fallback", true.into()),
            ("share", 0.5.into()),
        ],
    });
    traces.flush(ENOUGH).await.unwrap();

    let (first, second) = (sink.line(), sink.line());
    assert_eq!(first["trace"], server.trace_id().to_string());
    assert_eq!(first["span"], client.span_id().to_string());
    assert_eq!(first["parent"], server.span_id().to_string());
    assert_eq!((&first["name"], &first["kind"]), (&json!("GET"), &json!("SPAN_KIND_CLIENT")));
    assert_eq!((&first["status"], &first["message"]), (&json!("STATUS_CODE_ERROR"), &json!("503")));
    assert_eq!(first["attributes"], json!({ "server.address": "inventory", "platform.attempt": 1 }));
    assert_eq!((&first["remote_parent"], &first["sampled"]), (&json!(false), &json!(true)));

    assert_eq!(second["trace"], server.trace_id().to_string());
    assert_eq!(second["span"], server.span_id().to_string());
    assert_eq!(second["parent"], caller.to_string());
    assert_eq!((&second["name"], &second["kind"]), (&json!("GET /stock/{id}"), &json!("SPAN_KIND_SERVER")));
    assert_eq!(second["status"], "STATUS_CODE_UNSET");
    assert_eq!(second["start"], 1_700_000_000_000_000_000_u64);
    assert_eq!(second["end"], 1_700_000_000_012_000_000_u64);
    assert_eq!(second["remote_parent"], true);
    let attributes = json!({
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "platform.route.fallback": true,
        "share": 0.5,
    });
    assert_eq!(second["attributes"], attributes);

    let resource = second["resource"].as_object().unwrap();
    for (key, value) in [
        ("service.name", "orders"),
        ("service.version", "1.4.2"),
        ("service.instance.id", "orders-7d4f"),
        ("cloud.availability_zone", "a"),
        ("platform.variant", "canary"),
        ("platform.owner", "team-orders"),
        ("platform.reports_to", "commerce"),
        ("platform.runbook", "https://runbooks.example/orders"),
        ("platform.why", "takes orders"),
    ] {
        assert_eq!(resource[key], value, "{key}");
    }
    assert!(!resource.contains_key("service.namespace"), "{resource:?}");
    assert_eq!(second["headers"]["x-team"], "orders");
    assert_eq!(traces.dropped(), 0);
}

#[tokio::test]
async fn a_collector_receives_a_request_by_grpc() {
    a_request_arrives_whole(Protocol::Grpc).await;
}

#[tokio::test]
async fn a_collector_receives_a_request_by_http() {
    a_request_arrives_whole(Protocol::Http).await;
}

/// A team's handler; answers under which span it would have made a call.
#[tracing::instrument(skip_all, fields(film = 7))]
async fn look_up(request: TraceParent) -> SpanId {
    tracing::info!("looked");
    tracing::debug_span!("too fine").in_scope(|| ());
    tracing::info_span!("rank").in_scope(|| trace::innermost(request))
}

#[tokio::test]
async fn a_teams_own_spans_hang_below_the_request_and_only_a_sampled_one() {
    let Some(sink) = collector(Protocol::Grpc, "answer") else { return };
    let traces = Traces::start(&settings_of(&sink, Protocol::Grpc), &identity()).unwrap();
    let subscriber = tracing_subscriber::registry().with(traces.layer());
    let _subscriber = tracing::subscriber::set_default(subscriber);

    let request = sampled();
    let quiet = request.sampled(false);
    let under = context::scope(serving(quiet), look_up(quiet)).await;
    assert_eq!(under, quiet.span_id(), "an unsampled request has no spans below its own");
    look_up(request).await; // Outside every request.
    let under = context::scope(serving(request), async {
        let under = look_up(request).await;
        context::spawn(async {}.instrument(tracing::info_span!("in a task"))).await.unwrap();
        assert_eq!(trace::innermost(request), request.span_id());
        under
    })
    .await;
    assert!(!OtelContext::map_current(|here| here.has_active_span()), "nothing is left behind on the thread");
    traces.flush(ENOUGH).await.unwrap();

    let (inner, outer, task) = (sink.line(), sink.line(), sink.line());
    for (span, name) in [(&inner, "rank"), (&outer, "look_up"), (&task, "in a task")] {
        assert_eq!((&span["name"], &span["kind"]), (&json!(name), &json!("SPAN_KIND_INTERNAL")));
        assert_eq!(span["trace"], request.trace_id().to_string(), "{name}");
    }
    assert_eq!(outer["parent"], request.span_id().to_string());
    assert_eq!(inner["parent"], outer["span"]);
    assert_eq!(inner["span"], under.to_string());
    assert_eq!(task["parent"], request.span_id().to_string());
    assert_eq!(outer["attributes"]["film"], 7);
    assert_eq!(outer["events"], json!(["looked"]));
    assert_eq!(outer["resource"]["service.name"], "orders");

    assert!(sink.says_no_more());
}

/// A test or a gateway may serve a request in place, while it is inside a span of another.
#[tokio::test]
async fn a_request_inside_a_request_keeps_to_its_own_trace() {
    let Some(sink) = collector(Protocol::Grpc, "answer") else { return };
    let traces = Traces::start(&settings_of(&sink, Protocol::Grpc), &identity()).unwrap();
    let subscriber = tracing_subscriber::registry().with(traces.layer());
    let _subscriber = tracing::subscriber::set_default(subscriber);

    let (outer, inner) = (sampled(), sampled());
    let served = context::scope(serving(inner), async { tracing::info_span!("inner").in_scope(|| ()) });
    context::scope(serving(outer), async { served.instrument(tracing::info_span!("outer")).await }).await;
    traces.flush(ENOUGH).await.unwrap();

    for (name, request) in [("inner", inner), ("outer", outer)] {
        let span = sink.line();
        assert_eq!(span["name"], name);
        assert_eq!(span["trace"], request.trace_id().to_string(), "{name}");
        assert_eq!(span["parent"], request.span_id().to_string(), "{name}");
    }
}

async fn a_hanging_collector_stops_nobody(protocol: Protocol) {
    let Some(sink) = collector(protocol, "hang") else { return };
    let settings = Settings { timeout: Duration::from_millis(700), ..settings_of(&sink, protocol) };
    let traces = Traces::start(&settings, &identity()).unwrap();

    let begun = SystemTime::now();
    (0..5_000).for_each(|_| traces.end(work()));
    let took = begun.elapsed().unwrap();
    assert!(took < Duration::from_millis(500), "5,000 spans took {took:?} to hand in");
    assert!(traces.dropped() > 0, "the queue is bounded");
    assert_eq!(sink.line()["calls"], 1);

    let begun = SystemTime::now();
    let error = traces.flush(Duration::from_millis(300)).await.unwrap_err();
    let took = begun.elapsed().unwrap();
    assert!(took < Duration::from_secs(2), "a flush of 300 ms took {took:?}");
    assert_eq!(error.kind(), ErrorKind::Timeout);

    // Each batch it sits on is given up after the timeout, so that all is counted in the end.
    let begun = SystemTime::now();
    while traces.dropped() < 5_000 {
        let dropped = traces.dropped();
        assert!(begun.elapsed().unwrap() < ENOUGH, "{dropped} of 5,000 dropped");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(traces.dropped(), 5_000);
}

#[tokio::test]
async fn a_collector_that_hangs_stops_nobody_by_grpc() {
    a_hanging_collector_stops_nobody(Protocol::Grpc).await;
}

#[tokio::test]
async fn a_collector_that_hangs_stops_nobody_by_http() {
    a_hanging_collector_stops_nobody(Protocol::Http).await;
}

async fn a_refusing_collector_is_asked_again(protocol: Protocol) {
    let Some(sink) = collector(protocol, "refuse") else { return };
    let traces = Traces::start(&settings_of(&sink, protocol), &identity()).unwrap();
    traces.end(work());
    traces.end(work());
    traces.flush(ENOUGH).await.unwrap();
    assert_eq!(traces.dropped(), 2);
    assert_eq!([sink.line(), sink.line()], [json!({ "calls": 1 }), json!({ "calls": 2 })]);
}

#[tokio::test]
async fn a_collector_that_refuses_is_asked_again_and_then_the_spans_are_counted_by_grpc() {
    a_refusing_collector_is_asked_again(Protocol::Grpc).await;
}

#[tokio::test]
async fn a_collector_that_refuses_is_asked_again_and_then_the_spans_are_counted_by_http() {
    a_refusing_collector_is_asked_again(Protocol::Http).await;
}

#[tokio::test]
async fn a_collector_that_is_down_is_no_reason_not_to_start() {
    for protocol in [Protocol::Grpc, Protocol::Http] {
        let traces = Traces::start(&Settings { protocol, ..nobody() }, &identity()).unwrap();
        traces.end(work());
        traces.flush(ENOUGH).await.unwrap();
        assert_eq!(traces.dropped(), 1, "{protocol:?}");
    }
}

#[test]
fn traces_start_and_take_spans_outside_a_runtime() {
    let traces = Traces::start(&nobody(), &identity()).unwrap();
    traces.end(work());
    assert!(traces.exports());
}

#[test]
fn nothing_is_sampled_where_nothing_is_exported() {
    let silent = Settings { ratio: 1.0, ..Settings::default() };
    for traces in [Traces::disabled(), Traces::start(&silent, &identity()).unwrap()] {
        assert!(!traces.exports());
        assert!((0..1_000).all(|_| !traces.samples(TraceId::random())));
        assert_eq!(traces.sample_rate(), None);
        traces.end(work());
        assert_eq!(traces.dropped(), 0, "what nobody asked for is not lost");
    }
    let all = Traces::start(&nobody(), &identity()).unwrap();
    assert!((0..1_000).all(|_| all.samples(TraceId::random())));
    assert_eq!(all.sample_rate(), Some(1.0));
}

#[test]
fn a_malformed_endpoint_refuses_the_start() {
    for endpoint in ["localhost:4317", "https://collector.example", "http://", "::"] {
        let settings = Settings { endpoint: endpoint.to_owned(), ..Settings::default() };
        let error = Traces::start(&settings, &identity()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{endpoint}");
        assert!(error.detail().contains("telemetry.traces.endpoint"), "{error}");
    }
}
