//! Promise: a process that says ten times too much keeps its budget and loses nothing that matters, and every line is
//! accounted for.

#![expect(clippy::unwrap_used, reason = "what helps a test may panic: the test fails")]

use std::{collections::BTreeMap, time::Duration};

use platform_core::{
    Context, Outcome,
    context::{
        self, Criticality, TraceId, TraceParent,
        wire::{self, Trust},
    },
    identity::Identity,
    telemetry::{
        Logs, Metrics,
        canonical::{Line, Operation},
        log::{Captured, Format, Output, Settings},
    },
};
use serde_json::Value;
use tokio::time::{self, Instant};
use tracing_subscriber::layer::SubscriberExt as _;

struct House {
    logs: Logs,
    metrics: Metrics,
    captured: Captured,
    _guard: tracing::subscriber::DefaultGuard,
}

impl House {
    fn new(settings: &Settings) -> House {
        let identity = Identity { name: "orders".to_owned(), ..Identity::default() };
        let (metrics, captured) = (Metrics::new(&identity), Captured::default());
        let logs = Logs::start(settings, &identity, &metrics, Output::to(captured.clone())).unwrap();
        let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(logs.layer()));
        House { logs, metrics, captured, _guard }
    }

    fn lines(&self) -> Vec<Value> {
        assert!(self.logs.flush(Duration::from_secs(10)));
        self.captured.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Lines that were not written, by reason.
    fn dropped(&self) -> BTreeMap<String, u64> {
        let text = self.metrics.encode();
        let mut dropped = BTreeMap::new();
        for line in text.lines().filter(|line| line.starts_with("platform_log_lines_dropped_total")) {
            let (labels, count) = line.rsplit_once(' ').unwrap();
            let reason = labels.split("reason=\"").nth(1).unwrap().split('"').next().unwrap();
            *dropped.entry(reason.to_owned()).or_default() += count.parse::<u64>().unwrap();
        }
        dropped
    }
}

fn settings() -> Settings {
    Settings { format: Format::Json, ..Settings::default() }
}

fn request(trace_id: TraceId, outcome: Outcome) -> Line<'static> {
    Line {
        at: std::time::UNIX_EPOCH,
        trace_id,
        request_id: None,
        operation: Operation::Http { method: "GET", route: "/films/{id}", status: 200 },
        duration: Duration::from_millis(3),
        outcome,
        reason: "",
        attempts: 0,
        criticality: Criticality::Critical,
        tenant: Some("acme"),
        client: Some("edge/1.4.2 platform/0.1.0"),
        fault: None,
        debug: false,
        notes: None,
    }
}

/// Ids as random as any, and the same in every run.
struct Traces(fastrand::Rng);

impl Traces {
    fn new() -> Traces {
        Traces(fastrand::Rng::with_seed(7))
    }

    fn next(&mut self) -> TraceId {
        TraceId::from_bytes(self.0.u128(1..).to_be_bytes()).unwrap()
    }
}

fn is(line: &Value, message: &str) -> bool {
    line["message"] == message
}

/// Places in the code that are told apart.
macro_rules! places {
    ($number:expr, $($place:literal)*) => {
        match $number % [$($place),*].len() as u64 {
            $($place => tracing::info!(place = $place, filler = "about as long as an ordinary line is, said again and again", "storm"),)*
            _ => unreachable!("the remainder is one of them"),
        }
    };
}

#[tokio::test(start_paused = true)]
async fn a_storm_keeps_its_budget_and_loses_no_error() {
    const BUDGET: u64 = 64 * 1024;
    // The sampler stands aside: what is shown here is the budget.
    let house = House::new(&Settings { bytes_per_second: Some(BUDGET), then_every: 1, ..settings() });
    let (mut offered, mut errors, mut failures, mut asked) = (0, 0, 0, 0_u64);
    let (mut each_second, mut traces) = (Vec::new(), Traces::new());
    for second in 0..30_u64 {
        let before = house.captured.text().len();
        // 250 bytes and 560: ten times the budget, half of it requests. Ten errors and ten failures among them.
        for step in 0..100_u64 {
            time::advance(Duration::from_millis(10)).await;
            for number in 0..13 {
                places!(second + step + number, 0 1 2 3 4 5 6 7 8 9);
                offered += 1;
            }
            for _ in 0..6 {
                asked += 1;
                house.logs.write_line(&request(traces.next(), Outcome::Success));
                offered += 1;
            }
            if step % 10 == 0 {
                tracing::error!(number = errors, "the line that matters");
                house.logs.write_line(&request(traces.next(), Outcome::ServerFault));
                (errors, failures, offered) = (errors + 1, failures + 1, offered + 2);
            }
        }
        assert!(house.logs.flush(Duration::from_secs(10)));
        each_second.push((house.captured.text().len() - before) as u64);
    }
    let steady: u64 = each_second[15..].iter().sum();
    let wanted = 15 * BUDGET;
    assert!(steady.abs_diff(wanted) * 20 < wanted, "{steady} of {wanted}: {each_second:?}");

    let lines = house.lines();
    let said = |message: &'static str| lines.iter().filter(move |line| is(line, message));
    assert_eq!(said("the line that matters").count(), errors);
    assert_eq!(said("request").filter(|line| line["outcome"] == "server").count(), failures);
    let notices: Vec<&Value> = said("lines suppressed").collect();
    let emitted = lines.len() - notices.len();
    let dropped = house.dropped();
    assert_eq!(dropped["output"], 0);
    assert_eq!(emitted as u64 + dropped.values().sum::<u64>(), offered, "{dropped:?}");
    let total = |key: &str| notices.iter().map(|notice| notice[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!(total("suppressed") + total("suppressed_requests"), dropped["budget"], "told to the line");
    assert!(notices.len() < 40, "{}", notices.len());
    let last = notices.last().unwrap();
    assert!(last["worst"].as_str().unwrap().contains("log_bill.rs:"), "{last}");
    assert_eq!(last["places"], 10);

    // What is told counts for what is not.
    let counted: u64 = said("request")
        .filter(|line| line["outcome"] == "ok")
        .map(|line| line["sample_rate"].as_u64().unwrap())
        .sum();
    assert!(counted.abs_diff(asked) * 100 < asked * 3, "{counted} were told of {asked}");
    let events = said("storm").count();
    let requests = said("request").count();
    assert!(events > 1000 && requests > 1000, "neither starves the other: {events}, {requests}");
}

#[tokio::test(start_paused = true)]
async fn a_place_that_says_it_a_million_times_is_heard_a_few_and_counted() {
    let house = House::new(&settings());
    for _ in 0..4 {
        (0..50_000).for_each(|number| tracing::info!(number, "again"));
        tracing::info!("once");
        tracing::warn!("always");
        time::advance(Duration::from_secs(1)).await;
    }
    let lines = house.lines();
    let said = |message: &str| lines.iter().filter(|line| is(line, message)).count() as u64;
    // First ten, then each hundredth, in each second.
    assert_eq!(said("again"), 4 * (10 + 499));
    assert_eq!((said("once"), said("always")), (4, 4));
    assert_eq!(house.dropped()["sampler"], 4 * 50_000 - said("again"));
    let counted: u64 = lines
        .iter()
        .filter(|line| is(line, "again"))
        .map(|line| line["sample_rate"].as_u64().unwrap_or(1))
        .sum();
    assert!(counted.abs_diff(200_000) < 4 * 100, "{counted}");
}

#[tokio::test(start_paused = true)]
async fn everything_is_kept_of_a_request_that_asks_for_it() {
    // A budget of nothing, as good as used up.
    let house =
        House::new(&Settings { bytes_per_second: Some(1024), first: 1, then_every: 1000, ..settings() });
    let now = Instant::now();
    let of = |baggage: &'static str, trust: Trust| {
        let mut headers = http::HeaderMap::new();
        headers.insert("baggage", http::HeaderValue::from_static(baggage));
        wire::read(&headers, trust, now).context
    };
    let chosen = of("platform-debug=1", Trust { internal: true, overrides: true });
    let stranger = of("platform-debug=1", Trust { internal: true, overrides: false });
    assert!(chosen.is_debug() && !stranger.is_debug());
    let talk = async |name: &'static str| {
        for number in 0..100 {
            tracing::info!(number, "info {name}");
            tracing::debug!(number, "debug {name}");
            tracing::trace!(number, "trace {name}");
        }
    };
    context::scope(chosen.clone(), talk("before the server says so")).await;
    house.logs.hear_debug();
    context::scope(chosen.clone(), talk("chosen")).await;
    context::scope(stranger, talk("stranger")).await;
    talk("nobody").await;
    let mut traces = Traces::new();
    for _ in 0..100 {
        house.logs.write_line(&Line { debug: true, ..request(traces.next(), Outcome::Success) });
    }
    let lines = house.lines();
    let said = |message: &str| lines.iter().filter(|line| is(line, message)).count();
    assert_eq!((said("info before the server says so"), said("debug before the server says so")), (100, 0));
    assert_eq!((said("info chosen"), said("debug chosen"), said("trace chosen")), (100, 100, 0));
    assert_eq!(said("debug stranger") + said("debug nobody"), 0);
    assert!(said("info stranger") + said("info nobody") <= 2, "one place, one second");
    assert_eq!(said("request"), 100);
}

#[tokio::test(start_paused = true)]
async fn a_recorded_trace_has_its_lines() {
    let house = House::new(&Settings { first: 1, then_every: 1000, ..settings() });
    let talk = async |name: &'static str| (0..50).for_each(|number| tracing::info!(number, "{name}"));
    let of = |sampled| Context::with_trace(Instant::now(), TraceParent::random().sampled(sampled));
    context::scope(of(true), talk("recorded")).await;
    context::scope(of(false), talk("not recorded")).await;
    let lines = house.lines();
    let said = |message: &str| lines.iter().filter(|line| is(line, message)).count();
    assert_eq!(said("recorded"), 50);
    assert!(said("not recorded") <= 1, "{}", said("not recorded"));
}

#[tokio::test(start_paused = true)]
async fn services_tell_of_the_same_requests() {
    // Two services with little room, one far busier than the other.
    let houses = [1, 4].map(|lines| {
        let house = House::new(&Settings { bytes_per_second: Some(8 * 1024), ..settings() });
        (lines, house)
    });
    let mut traces = Traces::new();
    for _ in 0..3000 {
        time::advance(Duration::from_millis(10)).await;
        let trace = traces.next();
        for (lines, house) in &houses {
            (0..*lines).for_each(|_| house.logs.write_line(&request(trace, Outcome::Success)));
        }
    }
    let [quiet, busy] = houses.map(|(_, house)| {
        let lines = house.lines();
        let late = lines.iter().filter(|line| line["sample_rate"].as_u64().is_some_and(|rate| rate > 1));
        late.map(|line| line["trace_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    });
    let both = busy.iter().filter(|id| quiet.contains(id)).count();
    assert!(busy.len() > 50 && both * 10 >= busy.len() * 9, "{both} of {} are in both", busy.len());
}

#[test]
fn nobody_pays_for_a_terminal() {
    let identity = Identity { name: "orders".to_owned(), ..Identity::default() };
    let (metrics, captured) = (Metrics::new(&identity), Captured::default());
    let tight = Settings { bytes_per_second: Some(1024), first: 1, ..Settings::default() };
    let output = Output::to(captured.clone()).terminal(true).colour(false);
    let logs = Logs::start(&tight, &identity, &metrics, output).unwrap();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(logs.layer()), || {
        (0..500).for_each(|number| tracing::info!(number, "said"));
    });
    assert!(logs.flush(Duration::from_secs(5)));
    assert_eq!(captured.text().lines().count(), 500);
    assert!(metrics.encode().contains("platform_log_budget_bytes{"), "it is still to be scraped");
}

#[test]
fn what_cannot_be_a_budget_is_refused() {
    use platform_core::config::Config;
    for (toml, why) in [
        ("bytes_per_second = \"100B\"", "less than a line or two"),
        ("first = 0", "at least 1 is needed"),
        ("then_every = 0", "at least 1 is needed"),
        ("bytes_per_second = 5", "has no unit"),
    ] {
        let text = format!("[telemetry.log]\n{toml}");
        let config = Config::builder().toml(&text).load().unwrap();
        let error = config.section::<Settings>("telemetry.log").and_then(|settings| {
            config.check("telemetry.log", &settings)?;
            Ok(settings)
        });
        let error = error.unwrap_err().to_string();
        assert!(error.contains(why), "{toml}: {error}");
    }
    let config = Config::builder().toml("[telemetry.log]\nbytes_per_second = \"none\"").load().unwrap();
    let settings: Settings = config.section("telemetry.log").unwrap();
    assert_eq!(settings.bytes_per_second, None);
}
