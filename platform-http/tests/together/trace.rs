//! One request through two services, as a collector sees it.

use std::time::Duration;

use axum::{Router, body::Body, routing::get};
use futures_util::stream;
use platform_core::{Error, ErrorKind};
use serde_json::Value;

use crate::{sink::Sink, town::Town};

fn traced(sink: &Sink) -> String {
    // Whatever is exported was asked for by the caller.
    format!("[telemetry.traces]\nendpoint = \"http://127.0.0.1:{}\"\nratio = 0.0", sink.port)
}

#[tokio::test]
async fn a_sampled_request_is_one_chain_of_spans_and_one_that_is_not_is_none() {
    let Some(sink) = Sink::start("grpc", "answer") else { return };
    let town = Town::new();
    let catalog = town.catalog("catalog-1", &traced(&sink)).await;
    let edge = town.edge(&traced(&sink)).await;

    let (quiet, kept) = ("11111111111111111111111111111111", "22222222222222222222222222222222");
    let caller = "00f067aa0ba902b7";
    for (trace, flags) in [(quiet, "00"), (kept, "01"), (quiet, "00")] {
        let reply = edge.get("/films/7", &format!("traceparent: 00-{trace}-{caller}-{flags}\r\n")).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
    }
    // The lines of both are there, whether a trace is kept or not.
    assert_eq!(edge.lines(quiet, 2).await.len(), 2);
    assert_eq!(catalog.lines(quiet, 2).await.len(), 2);
    edge.end().await;
    catalog.end().await;

    let spans: Vec<Value> = (0..3).map(|_| sink.line()).collect();
    assert!(spans.iter().all(|span| span["trace"] == kept), "{spans:#?}");
    let under = |parent: &Value| {
        let found: Vec<&Value> = spans.iter().filter(|span| span["parent"] == *parent).collect();
        assert_eq!(found.len(), 1, "one span under {parent}: {spans:#?}");
        found[0]
    };
    let served = under(&Value::from(caller));
    let asked = under(&served["span"]);
    let answered = under(&asked["span"]);
    for (span, service, kind, name) in [
        (served, "edge", "SPAN_KIND_SERVER", "GET /films/{id}"),
        (asked, "edge", "SPAN_KIND_CLIENT", "GET"),
        (answered, "catalog", "SPAN_KIND_SERVER", "GET /films/{id}"),
    ] {
        assert_eq!(span["resource"]["service.name"], service);
        assert_eq!((&span["kind"], &span["name"]), (&Value::from(kind), &Value::from(name)));
    }
    assert_eq!(asked["attributes"]["platform.target"], "catalog");
    assert!(asked["attributes"]["network.peer.address"].is_string(), "{asked}");
    // A child lies within its parent; the clocks of one machine are one clock, read twice.
    for (outer, inner) in [(served, asked), (asked, answered)] {
        let time = |span: &Value, end: &str| span[end].as_u64().expect("a time");
        assert!(time(outer, "start") <= time(inner, "start") + SLACK, "{outer} {inner}");
        assert!(time(inner, "end") <= time(outer, "end") + SLACK, "{outer} {inner}");
    }
    assert!(sink.says_no_more(), "what is not sampled is not exported");
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_a_failed_span_as_long_as_it_lasted() {
    let Some(sink) = Sink::start("grpc", "answer") else { return };
    let town = Town::new();
    let edge = town
        .open(("edge", "edge-1"), &traced(&sink), |_| {
            let pieces = || {
                stream::unfold(0, |n| async move {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    let piece =
                        if n < 2 { Ok("piece") } else { Err(Error::new(ErrorKind::Upstream, "gone")) };
                    Some((piece, n + 1))
                })
            };
            Router::new().route("/pieces", get(move || async move { Body::from_stream(pieces()) }))
        })
        .await;
    let trace = "33333333333333333333333333333333";
    let reply = edge.get("/pieces", &format!("traceparent: 00-{trace}-00f067aa0ba902b7-01\r\n")).await;
    assert_eq!(reply.status, 200, "{}", reply.head);
    edge.end().await;
    let span = sink.line();
    assert_eq!((&span["trace"], &span["name"]), (&Value::from(trace), &Value::from("GET /pieces")));
    assert_eq!(
        (&span["status"], &span["message"]),
        (&Value::from("STATUS_CODE_ERROR"), &Value::from("upstream"))
    );
    let time = |end: &str| span[end].as_u64().expect("a time");
    assert!(time("end") - time("start") >= 300_000_000, "{span}");
}

/// Nanoseconds between two readings of the wall clock around one event.
const SLACK: u64 = 2_000_000;
