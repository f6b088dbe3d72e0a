//! Promise: one line per request says all that the contract names, whatever the values are.

use std::{
    borrow::Cow,
    time::{Duration, UNIX_EPOCH},
};

use platform_core::{
    Outcome,
    context::{Criticality, Notes, TraceId},
    identity::Identity,
    telemetry::{
        Logs, Metrics,
        canonical::{Line, Operation},
        log::{Captured, Format, Output, Settings},
    },
};
use proptest::prelude::*;
use serde_json::Value;

fn written(format: Format, line: &Line<'_>) -> String {
    let identity = Identity { name: "orders".to_owned(), version: "1.4.2".to_owned(), ..Identity::default() };
    let captured = Captured::default();
    let config = Settings { format, ..Settings::default() };
    let output = Output::to(captured.clone());
    let logs =
        Logs::start(&config, &identity, &Metrics::new(&identity), output).expect("a good configuration");
    logs.write_line(line);
    assert!(logs.flush(Duration::from_secs(5)));
    captured.text()
}

fn json(line: &Line<'_>) -> Value {
    let text = written(Format::Json, line);
    assert_eq!(text.matches('\n').count(), 1);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn trace() -> TraceId {
    TraceId::from_bytes([0xab; 16]).expect("not all zero")
}

fn line<'a>() -> Line<'a> {
    Line {
        at: UNIX_EPOCH + Duration::from_micros(1_709_164_800_123_456),
        trace_id: trace(),
        request_id: Some("req-1"),
        operation: Operation::Http { method: "GET", route: "/films/{id}", status: 503 },
        duration: Duration::from_micros(3_214),
        outcome: Outcome::Overload,
        reason: "overloaded",
        attempts: 2,
        criticality: Criticality::SheddablePlus,
        tenant: Some("acme"),
        client: Some("edge/1.4.2 platform/0.1.0"),
        fault: Some("payments:abort=503"),
        debug: false,
        notes: None,
    }
}

#[test]
fn the_line_has_every_field_of_the_contract() {
    let notes = Notes::default();
    notes.add("film", "7");
    notes.add("tenant", "not the tenant");
    let expected = serde_json::json!({
        "timestamp": "2024-02-29T00:00:00.123456Z",
        "level": "warn",
        "message": "request",
        "service.name": "orders",
        "service.version": "1.4.2",
        "variant": "stable",
        "instance": "",
        "zone": "",
        "trace_id": "ab".repeat(16),
        "request_id": "req-1",
        "http.request.method": "GET",
        "http.route": "/films/{id}",
        "http.response.status_code": 503,
        "duration_ms": 3.214,
        "outcome": "overload",
        "reason": "overloaded",
        "attempts": 2,
        "criticality": "sheddable-plus",
        "tenant": "acme",
        "client": "edge/1.4.2 platform/0.1.0",
        "fault": "payments:abort=503",
        "sample_rate": 1,
        "film": "7",
        "field.tenant": "not the tenant",
    });
    assert_eq!(json(&Line { notes: Some(&notes), ..line() }), expected);
}

#[test]
fn a_call_is_named_by_its_method() {
    let operation = Operation::Rpc { method: "film.Ratings/Get", status: "OK" };
    let value = json(&Line { operation, request_id: None, ..line() });
    assert_eq!(value["rpc.method"], "film.Ratings/Get");
    assert_eq!(value["rpc.response.status_code"], "OK");
    assert!(value.get("http.route").is_none());
    assert_eq!(value["request_id"], "ab".repeat(16), "without an id of the caller's, the trace id serves");
}

#[test]
fn only_what_somebody_should_look_at_is_an_error() {
    for outcome in Outcome::ALL {
        let expected = match outcome.label() {
            "ok" | "caller" | "abandoned" => "info",
            "overload" => "warn",
            _ => "error",
        };
        assert_eq!(json(&Line { outcome, ..line() })["level"], expected);
    }
}

#[test]
fn people_read_it_on_one_line() {
    let notes = Notes::default();
    notes.add("film", "The Third Man");
    let text = written(Format::Human, &Line { notes: Some(&notes), ..line() });
    let id = "ab".repeat(16);
    assert_eq!(
        text,
        format!(
            "00:00:00.123456  WARN orders GET /films/{{id}} 503 3.214ms overload attempts=2 reason=overloaded \
             criticality=sheddable-plus tenant=acme client=\"edge/1.4.2 platform/0.1.0\" fault=\"payments:abort=503\" \
             film=\"The Third Man\" trace={id}\n"
        )
    );
    let plain = Line {
        attempts: 0,
        reason: "",
        criticality: Criticality::Critical,
        tenant: None,
        client: None,
        fault: None,
        outcome: Outcome::Success,
        ..line()
    };
    assert!(written(Format::Human, &plain).ends_with(&format!("503 3.214ms ok trace={id}\n")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn whatever_callers_send_it_stays_one_json_line(
        id in any::<String>(), client in any::<String>(), note in any::<String>(), micros in any::<u64>()
    ) {
        let notes = Notes::default();
        notes.add("note", Cow::Owned(note.clone()));
        let duration = Duration::from_micros(micros);
        let value = json(&Line { request_id: Some(&id), client: Some(&client), notes: Some(&notes), duration, ..line() });
        prop_assert_eq!(&value["request_id"], &id);
        prop_assert_eq!(&value["client"], &client);
        prop_assert_eq!(&value["note"], &note);
        let millis = value["duration_ms"].as_f64().unwrap();
        prop_assert!((millis - micros as f64 / 1000.0).abs() <= millis * 1e-12);
        let human = written(Format::Human, &Line { client: Some(&client), notes: Some(&notes), ..line() });
        prop_assert_eq!(human.matches('\n').count(), 1);
        prop_assert!(!human[..human.len() - 1].contains(|c: char| (c as u32) < 0x20));
    }
}
