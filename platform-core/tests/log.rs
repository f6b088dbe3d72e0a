//! Promise: whatever is said can be read again, leads to its request, and never makes a request wait.

use std::{
    fmt,
    io::{self, Write},
    sync::{Arc, mpsc},
    time::Duration,
};

use platform_core::{
    Context,
    context::{self, TraceId, TraceParent},
    identity::Identity,
    telemetry::{
        Logs, Metrics,
        canonical::{Line, Operation},
        log::{Captured, Format, Output, Settings},
    },
};
use proptest::prelude::*;
use serde_json::Value;
use tokio::time::Instant;
use tracing_subscriber::layer::SubscriberExt as _;

fn identity() -> Identity {
    Identity {
        name: "orders".to_owned(),
        version: "1.4.2".to_owned(),
        instance: "orders-1".to_owned(),
        ..Identity::default()
    }
}

/// The bill is another test's; here every line is said.
fn config(format: Format, filter: &str) -> Settings {
    Settings {
        format,
        filter: filter.to_owned(),
        bytes_per_second: None,
        then_every: 1,
        ..Settings::default()
    }
}

/// What `say` logs, as text.
fn said(config: &Settings, terminal: bool, colour: bool, say: impl FnOnce(&Logs)) -> String {
    let captured = Captured::default();
    let output = Output::to(captured.clone()).terminal(terminal).colour(colour);
    let logs =
        Logs::start(config, &identity(), &Metrics::new(&identity()), output).expect("a good configuration");
    let subscriber = tracing_subscriber::registry().with(logs.layer());
    tracing::subscriber::with_default(subscriber, || say(&logs));
    assert!(logs.flush(Duration::from_secs(5)));
    captured.text()
}

fn json(say: impl FnOnce(&Logs)) -> Vec<Value> {
    let text = said(&config(Format::Json, "info"), false, false, say);
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

fn canonical(trace_id: TraceId) -> Line<'static> {
    Line {
        at: std::time::UNIX_EPOCH,
        trace_id,
        request_id: None,
        operation: Operation::Http { method: "GET", route: "/", status: 200 },
        duration: Duration::ZERO,
        outcome: platform_core::Outcome::Success,
        reason: "",
        attempts: 0,
        criticality: context::Criticality::Critical,
        tenant: None,
        client: None,
        fault: None,
        debug: false,
        notes: None,
    }
}

#[test]
fn a_line_says_what_when_and_who() {
    let lines =
        json(|_| tracing::info!(order = 7, share = 0.5, paid = true, note = "a \"b\"\n", "packed {}", "it"));
    let line = &lines[0];
    assert_eq!(line["message"], "packed it");
    assert_eq!(line["level"], "info");
    assert_eq!(line["service.name"], "orders");
    assert_eq!(line["service.version"], "1.4.2");
    assert_eq!(line["variant"], "stable");
    assert_eq!(line["instance"], "orders-1");
    assert_eq!(line["zone"], "");
    assert_eq!(line["target"], "log");
    assert_eq!((&line["order"], &line["share"], &line["paid"]), (&7.into(), &0.5.into(), &true.into()));
    assert_eq!(line["note"], "a \"b\"\n");
    assert_eq!(line["timestamp"].as_str().unwrap().len(), 27);
    assert!(line.get("trace_id").is_none(), "nothing is served here");
}

#[test]
fn whatever_a_field_holds_the_line_is_json() {
    struct Fails;
    impl fmt::Debug for Fails {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("half \"way\"")?;
            Err(fmt::Error)
        }
    }
    struct Talks;
    impl fmt::Debug for Talks {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            tracing::info!("from inside");
            f.write_str("outside")
        }
    }
    let error = io::Error::other(io::Error::other("disk \"full\""));
    let lines = json(|_| {
        tracing::warn!(
            nan = f64::NAN,
            big = u128::MAX,
            small = i64::MIN,
            fails = ?Fails,
            error = &error as &dyn std::error::Error,
            level = "mine",
            trace_id = 1,
            "\u{0}\u{1b}[31m"
        );
        tracing::info!(talks = ?Talks, "again");
    });
    assert_eq!(lines[0]["nan"], "NaN");
    assert_eq!(lines[0]["fails"], "half \"way\"");
    assert_eq!(lines[0]["error"], "disk \"full\"");
    assert_eq!(lines[0]["level"], "warn");
    assert_eq!(lines[0]["field.level"], "mine");
    assert_eq!(lines[0]["field.trace_id"], 1);
    assert_eq!(lines[0]["message"], "\u{0}\u{1b}[31m");
    // Whether the inner event is heard is up to `tracing`; the outer one must survive it.
    assert_eq!(lines.last().unwrap()["talks"], "outside");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_text_is_read_back_as_it_was_said(message in any::<String>(), value in any::<String>()) {
        let lines = json(|_| tracing::info!(value, shown = %value, "{message}"));
        prop_assert_eq!(&lines[0]["message"], &message);
        prop_assert_eq!(&lines[0]["value"], &value);
        prop_assert_eq!(&lines[0]["shown"], &value);
    }
}

#[tokio::test]
async fn a_line_said_while_serving_leads_to_its_request() {
    let captured = Captured::default();
    let output = Output::to(captured.clone());
    let logs = Logs::start(&Settings::default(), &identity(), &Metrics::new(&identity()), output).unwrap();
    let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(logs.layer()));
    let trace = TraceParent::random();
    context::scope(Context::with_trace(Instant::now(), trace), async { tracing::info!("here") }).await;
    drop(guard);
    logs.flush(Duration::from_secs(5));
    let line: Value = serde_json::from_str(&captured.text()).unwrap();
    assert_eq!(line["trace_id"], trace.trace_id().to_string());
    assert_eq!(line["request_id"], trace.trace_id().to_string());
}

#[test]
fn a_field_that_a_span_records_again_is_replaced() {
    let lines = json(|_| {
        let span = tracing::info_span!("feed", part = 3, lag = 0, seen = tracing::field::Empty).entered();
        for lag in 1..=1000 {
            span.record("lag", lag);
        }
        span.record("seen", "yes").record("part", "four");
        tracing::info!("here");
    });
    let fields = &lines[0]["spans"][0];
    assert_eq!(*fields, serde_json::json!({"name": "feed", "lag": 1000, "seen": "yes", "part": "four"}));
    let text = said(&config(Format::Human, "info"), false, false, |_| {
        let span = tracing::info_span!("feed", part = 3, lag = 0, end = "x").entered();
        span.record("lag", 100).record("lag", 2);
        tracing::info!("here");
    });
    assert!(text.ends_with(" in feed part=3 end=x lag=2\n"), "{text}");
}

#[test]
fn a_teams_own_spans_are_named_outermost_first() {
    let lines = json(|_| {
        let outer = tracing::info_span!("pack", order = 7, late = tracing::field::Empty).entered();
        outer.record("late", "very");
        tracing::info_span!("wrap").in_scope(|| tracing::info!("done"));
    });
    assert_eq!(
        lines[0]["spans"],
        serde_json::json!([{"name": "pack", "order": 7, "late": "very"}, {"name": "wrap"}])
    );
}

#[test]
fn people_get_one_readable_line() {
    let human = config(Format::Auto, "info");
    let text = said(&human, true, false, |_| {
        tracing::info_span!("pack", order = 7)
            .in_scope(|| tracing::warn!(left = 2, why = "no tape", "two\nlines"));
    });
    assert_eq!(text.lines().count(), 1, "{text}");
    let (_, rest) = text.split_once(' ').unwrap();
    assert_eq!(rest, " WARN orders log: two\\nlines left=2 why=\"no tape\" in pack order=7\n");
    assert!(!text.contains('\u{1b}'));
    let coloured = said(&human, true, true, |_| tracing::warn!("x"));
    assert!(coloured.contains("\u{1b}[33m WARN\u{1b}[0m "), "{coloured:?}");
}

#[test]
fn auto_is_json_where_nobody_looks() {
    let text = said(&config(Format::Auto, "info"), false, false, |_| tracing::info!("x"));
    assert!(text.starts_with("{\"timestamp\":"), "{text}");
}

#[test]
fn the_filter_changes_while_running() {
    let lines = json(|logs| {
        tracing::debug!("unheard");
        assert_eq!(logs.filter().set("warn,log=debug").unwrap(), "info");
        tracing::debug!("heard");
        let error = logs.filter().set("loud").unwrap_err();
        assert!(error.to_string().contains("`loud` is no level"), "{error}");
        assert_eq!(logs.filter().text(), "warn,log=debug");
        logs.filter().set("error").unwrap();
        tracing::warn!("unheard");
    });
    let heard: Vec<&Value> = lines.iter().map(|line| &line["message"]).collect();
    assert_eq!(heard, ["heard"]);
}

#[test]
fn a_bad_filter_refuses_the_start() {
    let refused = Logs::start(
        &config(Format::Json, "info,orders=loud"),
        &identity(),
        &Metrics::new(&identity()),
        Output::to(Captured::default()),
    );
    assert_eq!(refused.unwrap_err().kind(), platform_core::ErrorKind::Config);
}

/// An output that nobody reads until the test lets go.
struct Stuck {
    gate: mpsc::Receiver<()>,
    into: Captured,
}

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // The sender is dropped to open the gate for good.
        let _ = self.gate.recv();
        self.into.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_output_that_blocks_stops_nobody_and_errors_are_lost_last() {
    let (open, gate) = mpsc::channel();
    let captured = Captured::default();
    let metrics = Metrics::new(&identity());
    let dropped = |level: &str| -> u64 {
        let text = metrics.encode();
        let line = text
            .lines()
            .find(|line| {
                line.starts_with("platform_log_lines_dropped_total")
                    && line.contains(level)
                    && line.contains("reason=\"output\"")
            })
            .unwrap();
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    };
    let output = Output::to(Stuck { gate, into: captured.clone() });
    let logs = Logs::start(&config(Format::Json, "info"), &identity(), &metrics, output).unwrap();
    let line = canonical(TraceId::random());
    let mut said = (0, 0, 0);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(logs.layer()), || {
        let long = "x".repeat(1000);
        while dropped("info") == 0 {
            (0..100).for_each(|_| tracing::info!(long));
            said.0 += 100;
        }
        let lost = dropped("info");
        assert!(lost < said.0);
        // Ordinary lines are refused by now; requests, and what is grave, are not.
        logs.write_line(&line);
        said.1 += 1;
        tracing::error!(long, "the line that matters");
        said.2 += 1;
        assert_eq!((dropped("info"), dropped("error")), (lost, 0));
        while dropped("info") == lost {
            (0..100).for_each(|_| logs.write_line(&line));
            said.1 += 100;
        }
        assert_eq!(dropped("error"), 0, "requests are lost before errors");
        while dropped("error") == 0 {
            (0..100).for_each(|_| tracing::error!(long));
            said.2 += 100;
        }
    });
    assert!(!logs.flush(Duration::from_millis(1)), "nobody reads yet");
    drop(open);
    assert!(logs.flush(Duration::from_secs(10)));
    let written = captured.text().lines().count() as u64;
    assert_eq!(
        written + dropped("info") + dropped("error"),
        said.0 + said.1 + said.2,
        "every line is accounted for"
    );
    assert!(captured.text().contains("the line that matters"));
}

#[test]
fn the_bill_is_counted_by_level() {
    let metrics = Metrics::new(&identity());
    let captured = Captured::default();
    let logs =
        Logs::start(&config(Format::Json, "info"), &identity(), &metrics, Output::to(captured.clone()))
            .unwrap();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(logs.layer()), || {
        tracing::warn!("a");
        tracing::warn!("b");
    });
    logs.flush(Duration::from_secs(5));
    let bytes = captured.text().len();
    let text = metrics.encode();
    assert!(text.lines().any(|line| line.contains("platform_log_bytes_total{")
        && line.ends_with(&format!("level=\"warn\"}} {bytes}"))));
}

#[test]
fn an_output_that_is_gone_is_counted() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let metrics = Metrics::new(&identity());
    let logs = Logs::start(&Settings::default(), &identity(), &metrics, Output::to(Gone)).unwrap();
    logs.write_line(&canonical(TraceId::random()));
    assert!(logs.flush(Duration::from_secs(5)));
    assert!(metrics.encode().contains("level=\"info\",reason=\"output\"} 1\n"));
}

#[test]
fn a_second_app_in_one_process_does_not_panic() {
    let start = || {
        let output = Output::to(Captured::default());
        Logs::start(&Settings::default(), &identity(), &Metrics::new(&identity()), output).unwrap()
    };
    let (first, second) = (start(), start());
    assert!(first.install());
    assert!(!second.install());
    assert_eq!(first.filter().set("debug").unwrap(), "info");
    let error = second.filter().set("debug").unwrap_err();
    assert!(error.to_string().contains("started first"), "{error}");
}

#[test]
fn many_threads_keep_their_lines_whole() {
    let captured = Captured::default();
    let output = Output::to(captured.clone());
    let logs =
        Logs::start(&config(Format::Json, "info"), &identity(), &Metrics::new(&identity()), output).unwrap();
    let subscriber: Arc<dyn tracing::Subscriber + Send + Sync> =
        Arc::new(tracing_subscriber::registry().with(logs.layer()));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let subscriber = Arc::clone(&subscriber);
            scope.spawn(move || {
                tracing::subscriber::with_default(subscriber, || {
                    (0..500).for_each(|n| tracing::info!(thread, n, "said"));
                });
            });
        }
    });
    logs.flush(Duration::from_secs(5));
    let text = captured.text();
    assert_eq!(text.lines().filter(|line| serde_json::from_str::<Value>(line).is_ok()).count(), 2000);
}
