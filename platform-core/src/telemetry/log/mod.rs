//! What does a service say, and who is made to wait for it?
//!
//! Nobody is. A line is encoded straight into a buffer of its thread and handed to a thread that writes; when
//! the output blocks, lines are dropped and counted, warnings and errors last.
//!
//! Lines are JSON, or for people on a terminal one readable line. Each carries the service's identity and, inside
//! a request, its `trace_id` and `request_id`. A team writes `tracing::info!(order = 7, "packed")` and knows
//! nothing of this.
//!
//! # The bill
//! A place in the code is heard [`first`](Settings::first) times a second and then every
//! [`then_every`](Settings::then_every)-th time, and the process has a budget. What is beyond it gives way in this
//! order: debug and below; info; the lines of requests that went well, of which a share is told, chosen by trace id as
//! the head chooses traces, with its `sample_rate`. Never: warnings, errors, lines of requests that failed, and
//! whatever belongs to a request that carries `platform-debug` from somebody who may ask for that; such a request is
//! heard at debug too, whatever the filter says. Lines said for a request whose trace is recorded pass the sampler, and
//! give way last among their like. One line in ten seconds tells what was suppressed, and which place said most.
//!
//! On a terminal nothing is suppressed: nobody sends a bill for it.
//!
//! # Defaults
//! | setting | value | because |
//! |---|---|---|
//! | `format` | `auto` | people read terminals, machines read the rest |
//! | `filter` | `info` | the one line per request says most of what is asked later |
//! | `bytes_per_second` | 256 KiB | the lines of 400 requests a second; 22 GB a day at most |
//! | `first`, `then_every` | 10, 100 | what is rare is heard whole, what is said in a loop is heard |
//!
//! # Signals
//! `platform_log_bytes_total{level}`, `platform_log_lines_dropped_total{level,reason}`, `platform_log_budget_bytes`.
//!
//! # Traps
//! A filter is not a knob for the canonical line: it is the record of what was served, and the filter does not apply
//! to it. Whoever counts requests by lines adds up `sample_rate`.

mod bill;
mod budget;
mod debug;
mod filter;
pub(super) mod human;
pub(super) mod json;
mod layer;
mod metrics;
mod output;
mod queue;
mod sampler;
mod time;

use std::{cell::RefCell, fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tracing_subscriber::{Layer, layer::SubscriberExt as _, registry::LookupSpan};

use super::{Metrics, canonical::Line};
use crate::{
    config::{Refusal, Rules, size},
    error::Result,
    identity::Identity,
    tick::Tick,
};

pub use filter::Filter;
pub use metrics::{DroppedLabels, LOG_BUDGET, LOG_BYTES, LOG_LINES_DROPPED, LevelLabels};
pub use output::{Captured, Output};

pub(super) use layer::{begin_json, json_key, write_ids};

pub(super) use metrics::OUTPUT;
use metrics::word;

use bill::{Bill, Said};
use layer::LogLayer;
use metrics::Counts;
use queue::{Queue, Rank};

/// `[telemetry] log`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How lines look.
    pub format: Format,
    /// Which are written: a level, or directives such as `info,orders::stock=debug`.
    pub filter: String,
    /// Bytes that the process may write a second, over a day; `None` for as many as it likes. At least 1 KiB.
    #[serde(with = "size::or_none")]
    pub bytes_per_second: Option<u64>,
    /// How often each place in the code is heard in a second, at least once; of warnings and errors always.
    pub first: u32,
    /// Beyond that every how many-th time, in the same second; 1 is always.
    pub then_every: u32,
}

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people on a terminal, else JSON.
    #[default]
    Auto,
    /// One readable line.
    Human,
    /// One JSON object a line.
    Json,
}

/// What writes a process's log. Clones write to the same output.
#[derive(Clone)]
pub struct Logs(Arc<Inner>);

struct Inner {
    style: Arc<Style>,
    queue: Arc<Queue>,
    filter: Filter,
    /// `None` where nobody pays.
    bill: Option<Arc<Bill>>,
}

/// How this process writes: decided once.
pub(super) enum Style {
    Json {
        /// `,"service.name":"orders",…`
        identity: Vec<u8>,
    },
    Human {
        service: String,
        colour: bool,
    },
}

impl Logs {
    /// Begins to write to `output`. Events of `tracing` arrive once [`layer`](Logs::layer) is in place.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) for a filter that means nothing, [`Start`](crate::ErrorKind::Start) without a thread to write.
    pub fn start(config: &Settings, identity: &Identity, metrics: &Metrics, output: Output) -> Result<Logs> {
        let human = match config.format {
            Format::Auto => output.terminal,
            Format::Human => true,
            Format::Json => false,
        };
        let style = if human {
            Style::Human { service: identity.name.clone(), colour: output.colour }
        } else {
            Style::Json { identity: encode_identity(identity) }
        };
        let style = Arc::new(style);
        let filter = Filter::new(&config.filter)?;
        let bill = (!output.terminal).then(|| Arc::new(config.bill()));
        let budget = config.bytes_per_second.filter(|_| bill.is_some());
        // Nothing can be compared with no budget; a gauge of infinity says so.
        metrics.gauge(&LOG_BUDGET).with(&()).set(budget.map_or(f64::INFINITY, |bytes| bytes as f64));
        let tell = {
            let (bill, style) = (bill.clone(), Arc::clone(&style));
            move |out: &mut Vec<u8>| {
                if let Some(bill) = &bill {
                    bill.tell(&style, out);
                }
            }
        };
        let queue = Queue::start(output.sink, Counts::new(metrics), tell)?;
        Ok(Logs(Arc::new(Inner { style, queue, filter, bill })))
    }

    /// What brings `tracing` events here. The filter follows the layer that was made last.
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    {
        LogLayer::new(self.clone()).with_filter(self.0.filter.attach())
    }

    /// Makes this the place where the whole process's `tracing` events go. False if there was one before,
    /// which keeps them: a process logs once, however many Apps its tests start.
    pub fn install(&self) -> bool {
        let subscriber = tracing_subscriber::registry().with(self.layer());
        tracing::subscriber::set_global_default(subscriber).is_ok()
    }

    /// Writes the line of a request, past `tracing` and its filter. Of those that went well a share, where they are too
    /// many.
    pub fn write_line(&self, line: &Line<'_>) {
        let level = line.level();
        let must = line.debug || level <= tracing::Level::WARN;
        let said = self.admit(|bill, counts| bill.request(must, line.trace_id, level, counts));
        let Some(said) = said else { return };
        with_buffer(|buffer| {
            line.encode(&self.0.style, said.rate, buffer);
            self.write(buffer, level, Rank::Canonical, said);
        });
    }

    /// From now on what is said for requests that ask to be kept whole is heard at debug, whatever the filter says. Called
    /// when the first of them arrives, because until then nobody should pay for the question.
    pub fn hear_debug(&self) {
        self.0.filter.hear_debug();
    }

    /// Is it said? If not, that is told later.
    fn admit(&self, ask: impl FnOnce(&Bill, &Counts) -> Result<Said, bool>) -> Option<Said> {
        let Some(bill) = &self.0.bill else { return Some(Said::FREE) };
        match ask(bill, self.0.queue.counts()) {
            Ok(said) => Some(said),
            Err(first) => {
                if first {
                    self.0.queue.tell_later();
                }
                None
            }
        }
    }

    /// Ends a line and hands it to the writer.
    fn write(&self, line: &mut Vec<u8>, level: tracing::Level, rank: Rank, said: Said) {
        line.push(b'\n');
        if let Some(bill) = &self.0.bill {
            bill.pay(said, line.len());
        }
        self.0.queue.push(line, level, rank);
    }

    /// Which events are written, changeable while running.
    pub fn filter(&self) -> &Filter {
        &self.0.filter
    }

    /// Waits until everything said so far is written, at most `limit`; false if the output did not take it.
    /// This blocks the thread.
    pub fn flush(&self, limit: Duration) -> bool {
        self.0.queue.flush(limit)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logs").field("filter", &self.0.filter.text()).finish_non_exhaustive()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            format: Format::Auto,
            filter: DEFAULT_FILTER.to_owned(),
            bytes_per_second: Some(BYTES_PER_SECOND),
            first: FIRST,
            then_every: THEN_EVERY,
        }
    }
}

impl Settings {
    fn bill(&self) -> Bill {
        Bill::new(self.first, self.then_every, self.bytes_per_second, Tick::now())
    }
}

impl Rules for Settings {
    fn refusals(&self) -> Vec<Refusal> {
        let filter = filter::parse(&self.filter).err();
        let filter = filter.map(|why| Refusal::new("filter", format!("is {:?}: {why}", self.filter)));
        let least = |key: &str, number: u32| {
            (number == 0).then(|| Refusal::new(key, "is 0, and at least 1 is needed; 1 is the least"))
        };
        let budget = self.bytes_per_second.filter(|bytes| *bytes < LEAST_BYTES).map(|bytes| {
            let why = format!(
                "is {}, less than a line or two; write at least {}, or \"none\" to lift the budget",
                size::format(bytes),
                size::format(LEAST_BYTES)
            );
            Refusal::new("bytes_per_second", why)
        });
        [filter, budget, least("first", self.first), least("then_every", self.then_every)]
            .into_iter()
            .flatten()
            .collect()
    }
}

fn encode_identity(identity: &Identity) -> Vec<u8> {
    let mut out = Vec::new();
    json::text("service.name", &identity.name, &mut out);
    json::text("service.version", &identity.version, &mut out);
    json::text("variant", &identity.variant, &mut out);
    json::text("instance", &identity.instance, &mut out);
    json::text("zone", &identity.zone, &mut out);
    out
}

/// Lends this thread's buffer, empty. A value that logs while it is being logged gets one of its own.
fn with_buffer(write: impl FnOnce(&mut Vec<u8>)) {
    thread_local! {
        static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    let taken =
        BUFFER.try_with(|buffer| buffer.try_borrow_mut().map(|mut buffer| std::mem::take(&mut *buffer)));
    let mut buffer = taken.ok().and_then(Result::ok).unwrap_or_default();
    write(&mut buffer);
    buffer.clear();
    buffer.shrink_to(KEPT);
    // A thread that is ending has no buffer to give it back to.
    let _ = BUFFER.try_with(|kept| kept.replace(buffer));
}

/// The line per request says most; debug is switched on where it is needed, while running.
pub const DEFAULT_FILTER: &str = "info";
/// The lines of 400 requests a second, which is more than most instances serve; 22 GB a day, which is less than what
/// anybody would be surprised by.
pub const BYTES_PER_SECOND: u64 = 256 * 1024;
/// zap's: what happens ten times a second is told each time.
pub const FIRST: u32 = 10;
/// zap's: what is said in a loop is still heard, and costs a hundredth.
pub const THEN_EVERY: u32 = 100;
/// A line of a request is 600 bytes.
const LEAST_BYTES: u64 = 1024;
/// What a thread keeps: the longest of the usual lines.
const KEPT: usize = 16 * 1024;
