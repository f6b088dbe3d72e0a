//! How is the fleet, now?
//!
//! One line a service: who is there, what they answered in the last seconds and how fast, which versions run, which
//! breakers are open. Percentiles are read from the sum of all instances' buckets, because they cannot be averaged.

mod counts;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io::{self, IsTerminal as _, Write as _},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use http::Method;
use platform_core::{Error, ErrorKind, Result};
use platform_discovery::State;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use self::counts::Counts;
use crate::{
    arguments::{Arguments, Flag},
    check,
    fleet::{self, Fleet, Said, paint, table},
    print, usage,
};

/// `platform top [SERVICE …]`
pub(crate) fn run(given: &[String]) -> Result<ExitCode> {
    let mut flags = fleet::FLAGS.to_vec();
    flags.push(Flag::Alone("--once"));
    let arguments = Arguments::parse(given, &flags)?;
    if arguments.has("--help") {
        return Ok(print(&format!("{HELP}{}", fleet::FLAGS_HELP)));
    }
    let named = arguments.words(0, usize::MAX, "services")?.to_vec();
    let (once, data) = (arguments.has("--once"), arguments.has("--json"));
    let fleet = Fleet::new(&arguments)?;
    let live = !once && !data && io::stdout().is_terminal();
    fleet::run(async move {
        let mut moments: VecDeque<(Instant, Moment)> = VecDeque::new();
        let mut services = named.clone();
        loop {
            if named.is_empty() {
                services = all(&fleet, services).await?;
            }
            let now = look(&fleet, &services).await;
            if once && now.values().all(|service| service.known == 0) {
                let whys: BTreeSet<&str> = now.values().map(|service| service.trouble.as_str()).collect();
                return Err(Error::new(
                    ErrorKind::NoEndpoints,
                    whys.into_iter().collect::<Vec<_>>().join("\n"),
                ));
            }
            moments.push_back((Instant::now(), now));
            while moments.len() > WINDOW {
                moments.pop_front();
            }
            if let (Some((begin, first)), Some((end, last))) = (moments.front(), moments.back())
                && moments.len() > 1
            {
                let rows = rows(first, last, *end - *begin);
                let text = if data { format!("{}\n", as_data(&rows)) } else { shown(&rows) };
                // Home, and everything below is old.
                let text = if live { format!("\u{1b}[H\u{1b}[J{text}") } else { text };
                if write(&text).is_err() || once {
                    let ill = once && rows.iter().any(|row| !row.trouble.is_empty());
                    return Ok(ExitCode::from(u8::from(ill)));
                }
            } else if live {
                // A page of its own begins.
                print("\u{1b}[2J\u{1b}[H");
            }
            sleep(EVERY).await;
        }
    })
}

/// The services of the registry, whoever comes and goes; where it cannot say, those of this folder. `before` is what it
/// said last: one that does not answer for a moment has not forgotten them.
async fn all(fleet: &Fleet, before: Vec<String>) -> Result<Vec<String>> {
    let listed = fleet.services().await;
    let why = match listed {
        Ok(listed) if !listed.is_empty() => return Ok(listed),
        _ if !before.is_empty() => return Ok(before),
        Ok(_) => format!("the registry `{}` knows none", fleet.registry()),
        Err(error) => error.detail().to_owned(),
    };
    let here = check::services(Path::new("."))?;
    if here.is_empty() {
        return Err(usage(format!(
            "name the services, or ask where their platform.toml are: {why}, and there are none below this folder"
        )));
    }
    Ok(here)
}

/// All services at one moment.
type Moment = BTreeMap<String, Service>;

#[derive(Clone, Debug, Default)]
struct Service {
    known: usize,
    ready: usize,
    versions: BTreeSet<String>,
    /// By instance, so that who comes and goes does not change what the others did.
    counts: BTreeMap<String, Counts>,
    trouble: String,
}

struct Row {
    service: String,
    ready: usize,
    known: usize,
    rate: f64,
    errors: f64,
    p50: Option<f64>,
    p99: Option<f64>,
    versions: Vec<String>,
    open: Vec<String>,
    trouble: String,
}

async fn look(fleet: &Fleet, services: &[String]) -> Moment {
    let each = services.iter().map(|service| async move {
        let mut seen = Service::default();
        match fleet.ask(service, &Method::GET, "/metrics", None).await {
            Err(error) => error.detail().clone_into(&mut seen.trouble),
            Ok(answers) => {
                for answer in answers {
                    let instance = &answer.instance;
                    seen.known += 1;
                    seen.ready += usize::from(instance.state == State::Ready);
                    seen.versions.insert(fleet::version(instance));
                    match answer.said {
                        Ok(Said::Text(text)) => {
                            seen.counts.insert(instance.instance.clone(), Counts::read(&text));
                        }
                        Ok(Said::Json(_)) => "its metrics are JSON".clone_into(&mut seen.trouble),
                        Err(error) => seen.trouble = format!("{}: {}", instance.instance, error.detail()),
                    }
                }
            }
        }
        (service.clone(), seen)
    });
    futures_util::future::join_all(each).await.into_iter().collect()
}

fn rows(first: &Moment, last: &Moment, between: Duration) -> Vec<Row> {
    let row = |(name, service): (&String, &Service)| {
        let mut sum = Counts::default();
        for (instance, counts) in &service.counts {
            // Whoever came in between has done everything since.
            let before = first.get(name).and_then(|before| before.counts.get(instance));
            sum.add(&before.map_or_else(|| counts.clone(), |before| counts.since(before)));
        }
        Row {
            service: name.clone(),
            ready: service.ready,
            known: service.known,
            rate: sum.requests / between.as_secs_f64().max(f64::EPSILON),
            errors: if sum.requests > 0.0 { sum.errors / sum.requests } else { 0.0 },
            p50: sum.quantile(0.5),
            p99: sum.quantile(0.99),
            versions: service.versions.iter().filter(|version| !version.is_empty()).cloned().collect(),
            open: sum.open.iter().cloned().collect(),
            trouble: service.trouble.clone(),
        }
    };
    last.iter().map(row).collect()
}

fn shown(rows: &[Row]) -> String {
    let head = ["service", "ready", "rate", "errors", "p50", "p99", "versions", "open breakers"];
    let mut cells = vec![head.map(str::to_owned).to_vec()];
    let ms = |ms: Option<f64>| ms.map_or("-".to_owned(), |ms| format!("{ms:.1}ms"));
    let list = |list: &[String]| if list.is_empty() { "-".to_owned() } else { list.join(", ") };
    for row in rows {
        cells.push(vec![
            row.service.clone(),
            format!("{}/{}", row.ready, row.known),
            format!("{:.1}/s", row.rate),
            format!("{:.1}%", row.errors * 100.0),
            ms(row.p50),
            ms(row.p99),
            list(&row.versions),
            list(&row.open),
        ]);
    }
    let text = table(&cells);
    let mut lines = text.lines();
    let mut out = format!("{}\n", paint(lines.next().unwrap_or_default(), BOLD));
    for (line, row) in lines.zip(rows) {
        let ill = row.errors > 0.0 || row.ready < row.known || row.known == 0 || !row.open.is_empty();
        out.push_str(&if ill { paint(line, RED) } else { line.to_owned() });
        out.push('\n');
    }
    for row in rows.iter().filter(|row| !row.trouble.is_empty()) {
        out.push_str(&format!("{}: {}\n", row.service, row.trouble));
    }
    out
}

fn as_data(rows: &[Row]) -> Value {
    let each = rows.iter().map(|row| {
        json!({
            "service": row.service, "ready": row.ready, "known": row.known, "per_second": row.rate,
            "error_share": row.errors, "p50_ms": row.p50, "p99_ms": row.p99, "versions": row.versions,
            "open_breakers": row.open, "trouble": row.trouble,
        })
    });
    Value::Array(each.collect())
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}

/// A person sees a change within a second.
const EVERY: Duration = Duration::from_secs(1);
/// Looks that are kept: a rate over one second jumps, and a p99 of one second is a handful of requests.
const WINDOW: usize = 6;
const BOLD: &str = "1";
const RED: &str = "31";

const HELP: &str = "\
platform top [SERVICE …]: who is there and how they are, of the last five seconds; without a name every service that the
registry knows, or where it cannot say those whose platform.toml are below this folder. Ctrl-C ends it.

  --once              two looks, and the end
";
