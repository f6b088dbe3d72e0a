//! What does a line cost, and one that is not said?
//!
//! The line of a request and a team's own, through the log of the platform to an output that takes everything. The
//! thread that writes is part of the count. Then the same where a budget or a sampler keeps it from being said.

use std::{
    io,
    sync::Arc,
    time::{Duration, SystemTime},
};

use platform_core::{
    Context, Error, ErrorKind, Outcome, Result,
    context::{Criticality, Notes, TraceParent},
    identity::Identity,
    telemetry::{
        Line, Logs, Metrics, Operation,
        log::{Format, Output, Settings},
    },
};
use tokio::time::Instant;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::{
    child::{Orders, Program, Taken, repeated, runtime, take},
    measure::{has_valgrind, instructions_of_calls},
    options::Options,
    table::{Report, Table},
};

/// A kind of line, and whether it is said.
struct Scene {
    name: &'static str,
    about: &'static str,
    settings: fn() -> Settings,
    say: fn(&Ground, u64),
}

/// What says it.
struct Ground {
    logs: Logs,
    metrics: Metrics,
    context: Context,
    notes: Arc<Notes>,
}

/// Says it again and again, and prints what it took: `say SCENE N`.
///
/// # Errors
/// A scene that does not exist; a system that does not tell the time spent on a CPU; a line that the output lost.
pub(crate) fn say(words: &[String]) -> Result<()> {
    let usage = |why: String| Error::new(ErrorKind::Usage, why);
    let (name, orders) = words.split_first().ok_or_else(|| usage("which scene?".to_owned()))?;
    let scene = SCENES.iter().find(|scene| scene.name == name);
    let scene = scene.ok_or_else(|| usage(format!("no scene is named {name}")))?;
    let orders =
        Orders::parse(orders.iter().map(String::as_str)).ok_or_else(|| usage(format!("{SAY} {name}: N")))?;
    let taken = said(scene, orders)
        .map_err(|error| Error::new(ErrorKind::Start, format!("{name} cannot be said")).with_source(error))?;
    println!("{taken}");
    Ok(())
}

fn said(scene: &Scene, orders: Orders) -> io::Result<Taken> {
    let ground = Ground::new(scene).map_err(io::Error::other)?;
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(ground.logs.layer()));
    let mut number = 0;
    let taken = runtime()?.block_on(repeated(orders, async || {
        number += 1;
        (scene.say)(&ground, number);
        // A busy service's lines are taken as they come; valgrind runs one thread at a time.
        number % GATHERED != 0 || ground.logs.flush(PATIENCE)
    }))?;
    if !ground.logs.flush(PATIENCE) || ground.lost() {
        return Err(io::Error::other("the output lost lines, and those cost less"));
    }
    Ok(taken)
}

impl Ground {
    fn new(scene: &Scene) -> Result<Self> {
        let identity = Identity {
            name: "orders".to_owned(),
            version: "1.4.2".to_owned(),
            instance: "orders-7d4f".to_owned(),
            zone: "eu-1a".to_owned(),
            ..Identity::default()
        };
        let metrics = Metrics::new(&identity);
        let logs = Logs::start(&(scene.settings)(), &identity, &metrics, Output::to(io::sink()))?;
        let context = Context::with_trace(Instant::now(), TraceParent::random());
        Ok(Ground { logs, metrics, context, notes: Arc::new(Notes::default()) })
    }

    fn lost(&self) -> bool {
        let text = self.metrics.encode();
        let mut lost = text.lines().filter(|line| line.contains("reason=\"output\""));
        lost.any(|line| !line.ends_with(" 0"))
    }
}

/// The measurement.
///
/// # Errors
/// A child cannot be run.
pub(crate) fn run(options: &Options) -> Result<Report> {
    let mut report = Report {
        table: Table::new(&["what", "instructions", "ns", "allocations"]),
        remarks: vec!["The thread that writes is in the instructions, and not in the nanoseconds.".into()],
        results: Vec::new(),
    };
    let counts = options.instructions && has_valgrind();
    if options.instructions && !counts {
        report.remarks.push("Without valgrind no instructions are counted.".into());
    }
    for scene in &SCENES {
        let this = Program::this()?;
        let calling = |calls: u64| this.with([SAY, scene.name, &calls.to_string()].map(str::to_owned));
        let calls = options.stretch.to;
        let taken = take(calling(calls).under::<&str>(&[]))?;
        let each = |all: u64| all as f64 / calls as f64;
        let instructions =
            if counts { Some(instructions_of_calls(calling, &[], options.stretch)?) } else { None };
        let shown = instructions.map_or_else(|| "-".to_owned(), |count| format!("{count:.0}"));
        let allocations = format!("{:.2}", each(taken.allocations));
        report.table.row(vec![
            scene.about.to_owned(),
            shown.clone(),
            format!("{:.0}", each(taken.nanoseconds)),
            allocations.clone(),
        ]);
        if instructions.is_some() {
            report.results.push((format!("{}_instructions", scene.name), shown));
        }
        report.results.push((format!("{}_allocations", scene.name), allocations));
    }
    Ok(report)
}

/// The line of a request that went well, as an HTTP server has it.
fn request(ground: &Ground, _: u64) {
    ground.logs.write_line(&Line {
        at: SystemTime::now(),
        trace_id: ground.context.trace().trace_id(),
        request_id: None,
        operation: Operation::Http { method: "GET", route: "/films/{id}", status: 200 },
        duration: Duration::from_micros(3_214),
        outcome: Outcome::Success,
        reason: "",
        attempts: ground.notes.attempts(),
        criticality: Criticality::Critical,
        tenant: Some("acme"),
        client: Some("edge/1.4.2 platform/0.1.0"),
        fault: None,
        debug: false,
        notes: Some(&ground.notes),
    });
}

/// What a team says.
fn event(_: &Ground, number: u64) {
    tracing::info!(order = number, parts = 3, "packed");
}

fn free() -> Settings {
    Settings { format: Format::Json, bytes_per_second: None, then_every: 1, ..Settings::default() }
}

/// What is left after the first rush is a line or two.
fn poor() -> Settings {
    Settings { bytes_per_second: Some(1024), ..free() }
}

fn loud() -> Settings {
    Settings { first: 1, then_every: u32::MAX, ..free() }
}

/// The hidden first argument that makes this binary say something.
pub(crate) const SAY: &str = "say";
/// Lines between two looks at whether the writer keeps up.
const GATHERED: u64 = 1000;
const PATIENCE: Duration = Duration::from_secs(30);
const SCENES: [Scene; 4] = [
    Scene { name: "canonical_line", about: "the line of a request, as JSON", settings: free, say: request },
    Scene {
        name: "canonical_line_thinned",
        about: "the same beyond the budget, told of few",
        settings: poor,
        say: request,
    },
    Scene { name: "event", about: "a team's line with two fields, as JSON", settings: free, say: event },
    Scene {
        name: "event_suppressed",
        about: "the same from a place that says too many",
        settings: loud,
        say: event,
    },
];
