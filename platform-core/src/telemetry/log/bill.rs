//! Which lines are said, which are not, and who is told?
//!
//! A place in the code that says the same a thousand times a second is heard a few times; a process that says more than
//! its budget gives up details first, then ordinary lines and a share of the requests that went well. Warnings, errors,
//! requests that failed, and all that is said for a request which somebody asked to be kept, are always said. What was
//! not said is counted, and told by one line now and then.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use tracing::{Level, Metadata};

use super::{
    Style, begin_json,
    budget::{Budget, Worth},
    human, json,
    metrics::{By, Counts},
    sampler::{Place, Sampler},
};
use crate::{
    context::{TraceId, with_current},
    telemetry::trace,
    tick::Tick,
};

/// Decides about every line of a process.
#[derive(Debug)]
pub(super) struct Bill {
    began: Tick,
    sampler: Sampler,
    budget: Option<Budget>,
    /// Lines of events and of requests that were not said since somebody was told.
    events: AtomicU64,
    requests: AtomicU64,
    /// Is there something to tell?
    untold: AtomicBool,
}

/// What a line that is said stands for and costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// How many lines it stands for.
    pub(super) rate: u32,
    from: From,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Events,
    Requests,
    Fuller,
}

impl Said {
    /// Where nobody pays.
    pub(super) const FREE: Said = Said { rate: 1, from: From::Fuller };
}

impl Bill {
    /// What `first`, `then_every` and the budget in bytes a second allow, from `now` on.
    pub(super) fn new(first: u32, then_every: u32, budget: Option<u64>, now: Tick) -> Self {
        Bill {
            began: now,
            sampler: Sampler::new(first, then_every),
            budget: budget.map(|rate| Budget::new(rate, now)),
            events: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            untold: AtomicBool::new(false),
        }
    }

    /// Is this event said? If not it is counted; whether somebody has to be told of that, who was not before, is the
    /// error.
    pub(super) fn event(&self, metadata: &'static Metadata<'static>, counts: &Counts) -> Result<Said, bool> {
        let level = *metadata.level();
        let (recorded, debug) =
            with_current(|request| (request.trace().is_sampled(), request.is_debug())).unwrap_or_default();
        if level <= Level::WARN || debug {
            return Ok(Said { rate: 1, from: From::Fuller });
        }
        let now = Tick::now();
        let place = self.sampler.place(metadata);
        let second = now.nanos_since(self.began) / NANOS_PER_SEC;
        let heard = place.map_or(Some(1), |place| self.sampler.hears(place, second));
        // A trace that is kept has its lines, and they are few.
        let heard = if recorded { Some(1) } else { heard };
        let Some(rate) = heard else { return Err(self.suppress(place, level, By::Sampler, counts)) };
        let worth = match (level, recorded) {
            (Level::INFO, true) => Worth::Recorded,
            (Level::INFO, false) => Worth::Ordinary,
            _ => Worth::Detail,
        };
        match &self.budget {
            Some(budget) if !budget.has_room(worth, now) => {
                Err(self.suppress(place, level, By::Budget, counts))
            }
            _ => Ok(Said { rate, from: From::Events }),
        }
    }

    /// Is the line of this request said? `must` it be, it is.
    pub(super) fn request(
        &self,
        must: bool,
        trace: TraceId,
        level: Level,
        counts: &Counts,
    ) -> Result<Said, bool> {
        if must {
            return Ok(Said { rate: 1, from: From::Fuller });
        }
        let rate = self.budget.as_ref().map_or(1, |budget| budget.stands_for(Tick::now));
        if rate == 1 || trace::is_one_of(trace, rate) {
            return Ok(Said { rate, from: From::Requests });
        }
        counts.dropped(level, By::Budget, 1);
        self.requests.fetch_add(1, Relaxed);
        Err(!self.untold.swap(true, Relaxed))
    }

    /// A line was said, and this long.
    pub(super) fn pay(&self, said: Said, bytes: usize) {
        let Some(budget) = &self.budget else { return };
        match said.from {
            From::Events => budget.event(bytes),
            From::Requests => budget.request(bytes),
            From::Fuller => budget.grave(bytes),
        }
    }

    /// Appends the line that tells what was not said, if there is something to tell.
    pub(super) fn tell(&self, style: &Style, out: &mut Vec<u8>) {
        if !self.untold.swap(false, Relaxed) {
            return;
        }
        let (events, requests) = (self.events.swap(0, Relaxed), self.requests.swap(0, Relaxed));
        let (mut places, mut worst) = (0, None);
        self.sampler.told(|metadata, lines| {
            places += 1;
            if worst.is_none_or(|(_, most)| most < lines) {
                worst = Some((metadata, lines));
            }
        });
        let before = out.len();
        let notice = Notice { events, requests, places, worst };
        notice.write(style, out);
        out.push(b'\n');
        if let Some(budget) = &self.budget {
            budget.event(out.len() - before);
        }
    }

    fn suppress(&self, place: Option<&Place>, level: Level, by: By, counts: &Counts) -> bool {
        if let Some(place) = place {
            place.suppress();
        }
        counts.dropped(level, by, 1);
        self.events.fetch_add(1, Relaxed);
        !self.untold.swap(true, Relaxed)
    }
}

/// What was not said since the last one.
struct Notice {
    events: u64,
    requests: u64,
    /// From how many places in the code, and which was the loudest.
    places: u64,
    worst: Option<(&'static Metadata<'static>, u64)>,
}

impl Notice {
    fn write(&self, style: &Style, out: &mut Vec<u8>) {
        let worst = self.worst.map(|(metadata, lines)| {
            let at = metadata.file().unwrap_or(metadata.target());
            (format!("{at}:{}", metadata.line().unwrap_or_default()), lines)
        });
        let numbers =
            [("suppressed", self.events), ("suppressed_requests", self.requests), ("places", self.places)];
        match style {
            Style::Json { identity } => {
                begin_json(SystemTime::now(), Level::INFO, out);
                json::string(MESSAGE, out);
                out.extend_from_slice(identity);
                json::text("target", module_path!(), out);
                for (key, number) in numbers {
                    json::key(key, out);
                    json::whole(number, out);
                }
                if let Some((worst, lines)) = worst {
                    json::text("worst", &worst, out);
                    json::key("worst_suppressed", out);
                    json::whole(lines, out);
                }
                out.push(b'}');
            }
            Style::Human { service, colour } => {
                human::begin(SystemTime::now(), Level::INFO, service, *colour, out);
                out.extend_from_slice(MESSAGE.as_bytes());
                for (key, number) in numbers {
                    out.extend_from_slice(format!(" {key}={number}").as_bytes());
                }
                if let Some((worst, lines)) = worst {
                    out.extend_from_slice(b" worst=");
                    human::value(&worst, out);
                    out.extend_from_slice(format!(" worst_suppressed={lines}").as_bytes());
                }
            }
        }
    }
}

/// What the line says that tells of others.
const MESSAGE: &str = "lines suppressed";
/// How long what was not said waits to be told: a line in ten seconds is no bill of its own.
pub(super) const TELL_AFTER: Duration = Duration::from_secs(10);
const NANOS_PER_SEC: u64 = 1_000_000_000;
