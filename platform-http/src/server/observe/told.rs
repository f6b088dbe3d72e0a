//! How is a request told? Its canonical line, and its span if it is recorded.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use platform_core::{
    ErrorKind, Outcome,
    context::Notes,
    telemetry::{
        Line, Operation,
        trace::{Kind, Span, Status, Value},
    },
};

use super::Seen;
use crate::server::{durations::METHODS, show::is_shown};

impl Seen {
    pub(in crate::server) fn write_line(
        &self,
        operation: Operation<'_>,
        reason: Option<ErrorKind>,
        outcome: Outcome,
        duration: Duration,
    ) {
        let inner = &*self.observer.0;
        if !inner.lines {
            return;
        }
        let notes = self.context.notes().map(|notes| &**notes);
        inner.logs.write_line(&Line {
            at: SystemTime::now(),
            trace_id: self.context.trace().trace_id(),
            request_id: self.context.request_id(),
            operation,
            duration,
            outcome,
            reason: reason.map_or("", ErrorKind::as_str),
            attempts: notes.map_or(0, Notes::attempts),
            criticality: self.context.criticality(),
            tenant: notes.and_then(Notes::tenant).or(self.context.tenant()).map(|tenant| tenant.as_str()),
            client: self.client.as_ref().and_then(|client| client.to_str().ok()),
            fault: notes.and_then(Notes::fault),
            debug: self.context.is_debug(),
            notes,
        });
    }

    pub(super) fn record(&self, route: &str, duration: Duration) {
        let method = METHODS[usize::from(self.method)];
        // A stream fails after its head has said that all is well.
        let broke_off = self.reason.is_some() && self.status.as_u16() < 400;
        let status = if self.status.is_server_error() || broke_off {
            Status::Error(self.reason.map_or("", ErrorKind::as_str).into())
        } else {
            Status::Unset
        };
        let mut attributes = vec![
            ("http.request.method", method.into()),
            ("http.response.status_code", i64::from(self.status.as_u16()).into()),
            ("url.scheme", self.observer.0.scheme.into()),
        ];
        if !route.is_empty() {
            attributes.push(("http.route", route.to_owned().into()));
        }
        if let Some(reason) = self.reason {
            attributes.push(("error.type", reason.as_str().into()));
        }
        let name = if route.is_empty() { method.into() } else { format!("{method} {route}").into() };
        self.end_span(name, attributes, status, duration);
    }

    /// The request's own span, if it is recorded, with what may be seen of the request (`server.show`).
    pub(in crate::server) fn end_span(
        &self,
        name: Cow<'static, str>,
        mut attributes: Vec<(&'static str, Value)>,
        status: Status,
        took: Duration,
    ) {
        if let Some(notes) = self.context.notes() {
            notes.for_each(|key, value| {
                if is_shown(key) {
                    attributes.push((key, value.to_owned().into()));
                }
            });
        }
        self.observer.0.traces.end(Span {
            trace: self.context.trace(),
            parent: self.parent,
            kind: Kind::Server,
            name,
            start: SystemTime::now() - took,
            took,
            status,
            attributes,
        });
    }
}
