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
    Context, Outcome, Result,
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
    child::{Orders, Taken, repeated, runtime},
    options::Options,
    scenes::{Scene, Scenes},
    table::Report,
};

/// A kind of line, and whether it is said.
pub(crate) struct Kind {
    name: &'static str,
    about: &'static str,
    settings: fn() -> Settings,
    say: fn(&Ground, u64),
}

/// What says it.
pub(crate) struct Ground {
    logs: Logs,
    metrics: Metrics,
    context: Context,
    notes: Arc<Notes>,
}

impl Scene for Kind {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn result(&self, what: &str) -> String {
        format!("{}_{what}", self.name)
    }

    /// Says it; a line that the output lost is an error.
    fn play(&self, orders: Orders) -> io::Result<Taken> {
        let ground = Ground::new(self).map_err(io::Error::other)?;
        let _guard =
            tracing::subscriber::set_default(tracing_subscriber::registry().with(ground.logs.layer()));
        let mut number = 0;
        let taken = runtime()?.block_on(repeated(orders, async || {
            number += 1;
            (self.say)(&ground, number);
            // A busy service's lines are taken as they come; valgrind runs one thread at a time.
            number % GATHERED != 0 || ground.logs.flush(PATIENCE)
        }))?;
        if !ground.logs.flush(PATIENCE) || ground.lost() {
            return Err(io::Error::other("the output lost lines, and those cost less"));
        }
        Ok(taken)
    }
}

impl Ground {
    fn new(kind: &Kind) -> Result<Self> {
        let identity = Identity {
            name: "orders".to_owned(),
            version: "1.4.2".to_owned(),
            instance: "orders-7d4f".to_owned(),
            zone: "eu-1a".to_owned(),
            ..Identity::default()
        };
        let metrics = Metrics::new(&identity);
        let logs = Logs::start(&(kind.settings)(), &identity, &metrics, Output::to(io::sink()))?;
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
    SCENES.cost(options, "The thread that writes is in the instructions, and not in the nanoseconds.")
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

/// Lines between two looks at whether the writer keeps up.
const GATHERED: u64 = 1000;
const PATIENCE: Duration = Duration::from_secs(30);
/// What this binary says where it is told to.
pub(crate) const SCENES: Scenes<Kind> = Scenes { verb: "say", all: &KINDS };
const KINDS: [Kind; 4] = [
    Kind { name: "canonical_line", about: "the line of a request, as JSON", settings: free, say: request },
    Kind {
        name: "canonical_line_thinned",
        about: "the same beyond the budget, told of few",
        settings: poor,
        say: request,
    },
    Kind { name: "event", about: "a team's line with two fields, as JSON", settings: free, say: event },
    Kind {
        name: "event_suppressed",
        about: "the same from a place that says too many",
        settings: loud,
        say: event,
    },
];
