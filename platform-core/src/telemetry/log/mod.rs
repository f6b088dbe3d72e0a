//! What does a service say, and who is made to wait for it?
//!
//! Nobody is. A line is encoded straight into a buffer of its thread and handed to a thread that writes; when
//! the output blocks, lines are dropped and counted, warnings and errors last.
//!
//! Lines are JSON, or for people on a terminal one readable line. Each carries the service's identity and, inside
//! a request, its `trace_id` and `request_id`. A team writes `tracing::info!(order = 7, "packed")` and knows
//! nothing of this.
//!
//! # Defaults
//! | setting | value | because |
//! |---|---|---|
//! | `format` | `auto` | people read terminals, machines read the rest |
//! | `filter` | `info` | the one line per request says most of what is asked later |
//!
//! # Signals
//! `platform_log_bytes_total{level}`, `platform_log_lines_dropped_total{level}`.
//!
//! # Traps
//! A filter is not a knob for the canonical line: it is the record of what was served, and is written whatever
//! the filter says.

mod filter;
pub(super) mod human;
pub(super) mod json;
mod layer;
mod metrics;
mod output;
mod queue;
mod time;

use std::{cell::RefCell, fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tracing_subscriber::{Layer, layer::SubscriberExt as _, registry::LookupSpan};

use super::{Metrics, canonical::Line};
use crate::{error::Result, identity::Identity};

pub use filter::Filter;
pub(super) use filter::parse as parse_filter;
pub use metrics::{LOG_BYTES, LOG_LINES_DROPPED, LevelLabels};
pub use output::{Captured, Output};

pub(super) use layer::{begin_json, json_key, write_ids};

use metrics::word;

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
    style: Style,
    queue: Arc<Queue>,
    filter: Filter,
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
        let filter = Filter::new(&config.filter)?;
        let queue = Queue::start(output.sink, Counts::new(metrics))?;
        Ok(Logs(Arc::new(Inner { style, queue, filter })))
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

    /// Writes the line of a request, past `tracing` and its filter.
    pub fn write_line(&self, line: &Line<'_>) {
        with_buffer(|buffer| {
            line.encode(&self.0.style, buffer);
            self.0.queue.push(buffer, line.level(), Rank::Canonical);
        });
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
        Settings { format: Format::Auto, filter: DEFAULT_FILTER.to_owned() }
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
/// What a thread keeps: the longest of the usual lines.
const KEPT: usize = 16 * 1024;
