//! What is said about every request, once?
//!
//! One line with all that is worth asking later: which route, how it ended, how long it took, on whose behalf,
//! which trace. It is plain borrowed data, encoded straight into a buffer, and whoever serves the request
//! writes it when the request ends in any way, a panic and a caller who left included.
//!
//! # Levels
//! | level | outcome | because |
//! |---|---|---|
//! | error | failed: server, timeout, unreachable, local | somebody should look |
//! | warn | overload | turned away on purpose; under pressure there are many |
//! | info | everything else | it did its work, or nobody waited for it |

use std::time::{Duration, SystemTime};

use tracing::Level;

use super::log::{Style, begin_json, human, json, json_key, write_ids};
use crate::{
    context::{Criticality, Notes, TraceId},
    outcome::Outcome,
};

/// What happened to one request.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// When it ended.
    pub at: SystemTime,
    /// Its trace.
    pub trace_id: TraceId,
    /// The caller's id for it; without one the trace id serves.
    pub request_id: Option<&'a str>,
    /// What was asked and answered.
    pub operation: Operation<'a>,
    /// From the head of the request to the end of the answer.
    pub duration: Duration,
    /// What it meant.
    pub outcome: Outcome,
    /// The kind of error or refusal, `""` when there was none.
    pub reason: &'a str,
    /// Attempts that clients made while serving it.
    pub attempts: u32,
    /// How important it was.
    pub criticality: Criticality,
    /// On whose behalf.
    pub tenant: Option<&'a str>,
    /// Who called: its `user-agent`.
    pub client: Option<&'a str>,
    /// The fault that was injected into a call made while serving it.
    pub fault: Option<&'a str>,
    /// Is everything of this request to be kept? Then its line is, too.
    pub debug: bool,
    /// What handlers noted.
    pub notes: Option<&'a Notes>,
}

/// What was asked and answered.
#[derive(Clone, Copy, Debug)]
pub enum Operation<'a> {
    /// An HTTP request.
    Http {
        /// `GET`.
        method: &'a str,
        /// The route's template, never the path: `/films/{id}`.
        route: &'a str,
        /// 499 if the caller left.
        status: u16,
    },
    /// A gRPC call.
    Rpc {
        /// `film.Ratings/Get`.
        method: &'a str,
        /// `OK`, `DEADLINE_EXCEEDED`.
        status: &'a str,
    },
}

impl Line<'_> {
    /// How loud the line is.
    pub fn level(&self) -> Level {
        match self.outcome {
            Outcome::Success | Outcome::CallerFault | Outcome::Abandoned => Level::INFO,
            Outcome::Overload => Level::WARN,
            Outcome::Local | Outcome::ServerFault | Outcome::Timeout | Outcome::Unreachable => Level::ERROR,
        }
    }

    /// `rate`: how many requests it stands for.
    pub(super) fn encode(&self, style: &Style, rate: u32, out: &mut Vec<u8>) {
        match style {
            Style::Json { identity } => self.encode_json(identity, rate, out),
            Style::Human { service, colour } => self.encode_human(service, *colour, out),
        }
    }

    fn encode_json(&self, identity: &[u8], rate: u32, out: &mut Vec<u8>) {
        begin_json(self.at, self.level(), out);
        out.extend_from_slice(b"\"request\"");
        out.extend_from_slice(identity);
        write_ids(&self.trace_id.to_hex(), self.request_id, out);
        match self.operation {
            Operation::Http { method, route, status } => {
                text(b",\"http.request.method\":", method, out);
                text(b",\"http.route\":", route, out);
                out.extend_from_slice(b",\"http.response.status_code\":");
                json::whole(u64::from(status), out);
            }
            Operation::Rpc { method, status } => {
                text(b",\"rpc.method\":", method, out);
                text(b",\"rpc.response.status_code\":", status, out);
            }
        }
        out.extend_from_slice(b",\"duration_ms\":");
        millis(self.duration, out);
        text(b",\"outcome\":", self.outcome.label(), out);
        text(b",\"reason\":", self.reason, out);
        out.extend_from_slice(b",\"attempts\":");
        json::whole(u64::from(self.attempts), out);
        text(b",\"criticality\":", self.criticality.as_str(), out);
        text(b",\"tenant\":", self.tenant.unwrap_or_default(), out);
        text(b",\"client\":", self.client.unwrap_or_default(), out);
        text(b",\"fault\":", self.fault.unwrap_or_default(), out);
        out.extend_from_slice(b",\"sample_rate\":");
        json::whole(u64::from(rate), out);
        if let Some(notes) = self.notes {
            notes.for_each(|key, value| {
                json_key(key, out);
                json::string(value, out);
            });
        }
        out.push(b'}');
    }

    /// `12:03:04.123456  INFO orders GET /films/{id} 200 3.214ms ok attempts=2 tenant=acme trace=…`
    fn encode_human(&self, service: &str, colour: bool, out: &mut Vec<u8>) {
        human::begin(self.at, self.level(), service, colour, out);
        match self.operation {
            Operation::Http { method, route, status } => {
                word(method, out);
                word(route, out);
                json::whole(u64::from(status), out);
            }
            Operation::Rpc { method, status } => {
                word(method, out);
                json::escape(status, out);
            }
        }
        out.push(b' ');
        millis(self.duration, out);
        out.extend_from_slice(b"ms ");
        json::escape(self.outcome.label(), out);
        if self.attempts > 0 {
            out.extend_from_slice(b" attempts=");
            json::whole(u64::from(self.attempts), out);
        }
        let unusual = Some(self.criticality).filter(|known| *known != Criticality::default());
        let optional = [
            ("reason", Some(self.reason).filter(|reason| !reason.is_empty())),
            ("criticality", unusual.map(Criticality::as_str)),
            ("tenant", self.tenant),
            ("client", self.client),
            ("fault", self.fault),
        ];
        for (key, value) in optional {
            if let Some(value) = value {
                pair(key, value, out);
            }
        }
        if let Some(notes) = self.notes {
            notes.for_each(|key, value| pair(key, value, out));
        }
        out.extend_from_slice(b" trace=");
        out.extend_from_slice(&self.trace_id.to_hex());
    }
}

fn text(key: &[u8], value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(key);
    json::string(value, out);
}

fn word(text: &str, out: &mut Vec<u8>) {
    json::escape(text, out);
    out.push(b' ');
}

fn pair(key: &str, value: &str, out: &mut Vec<u8>) {
    out.push(b' ');
    json::escape(key, out);
    out.push(b'=');
    human::value(value, out);
}

/// Milliseconds with three digits behind the point: floating-point formatting costs more than the whole line.
fn millis(duration: Duration, out: &mut Vec<u8>) {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    json::whole(micros / 1000, out);
    let rest = micros % 1000;
    out.push(b'.');
    out.extend([rest / 100, rest / 10 % 10, rest % 10].map(|digit| b'0' + digit as u8));
}
