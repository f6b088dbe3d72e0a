//! How does an event of `tracing` become a line?

use std::{
    error::Error,
    fmt::{self, Write as _},
    time::SystemTime,
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{
    Layer,
    layer::Context,
    registry::{LookupSpan, SpanRef},
};

use super::{
    Logs, Rank, Style, human,
    json::{self, Escaped},
    time, with_buffer, word,
};
use crate::context::with_current;

/// Writes every event that its filter lets through.
pub(super) struct LogLayer(Logs);

/// The fields of a span, encoded when they are recorded: `,"key":value…` or ` key=value…`, and where each begins.
#[derive(Default)]
struct SpanFields {
    text: Vec<u8>,
    begins: Vec<(&'static str, usize)>,
}

impl SpanFields {
    /// Takes newer values; the older of the same names go, or a span that lives long and says how it goes on
    /// would grow for ever.
    fn replace(&mut self, newer: &SpanFields) {
        for (index, (name, begin)) in newer.begins.iter().enumerate() {
            self.remove(name);
            let end = newer.begins.get(index + 1).map_or(newer.text.len(), |(_, next)| *next);
            self.begins.push((name, self.text.len()));
            self.text.extend_from_slice(&newer.text[*begin..end]);
        }
    }

    fn remove(&mut self, name: &str) {
        let Some(index) = self.begins.iter().position(|(known, _)| *known == name) else { return };
        let (_, begin) = self.begins.remove(index);
        let end = self.begins.get(index).map_or(self.text.len(), |(_, next)| *next);
        self.text.drain(begin..end);
        self.begins[index..].iter_mut().for_each(|(_, later)| *later -= end - begin);
    }
}

impl LogLayer {
    pub(super) fn new(logs: Logs) -> Self {
        LogLayer(logs)
    }

    fn style(&self) -> &Style {
        &self.0.0.style
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogLayer {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = SpanFields::default();
        attributes.record(&mut Fields::of_span(self.style(), &mut fields));
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut newer = SpanFields::default();
        values.record(&mut Fields::of_span(self.style(), &mut newer));
        if let Some(fields) = span.extensions_mut().get_mut::<SpanFields>() {
            fields.replace(&newer);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        // Asked before a byte is written: what is not said costs a look and no more.
        let Some(said) = self.0.admit(|bill, counts| bill.event(metadata, counts)) else { return };
        with_buffer(|out| {
            match self.style() {
                Style::Json { identity } => {
                    write_json(event, &context, identity, said.rate, self.style(), out);
                }
                Style::Human { colour, .. } => write_human(event, &context, *colour, self.style(), out),
            }
            self.0.write(out, *metadata.level(), Rank::of(*metadata.level()), said);
        });
    }
}

fn write_json<S: Subscriber + for<'a> LookupSpan<'a>>(
    event: &Event<'_>,
    context: &Context<'_, S>,
    identity: &[u8],
    rate: u32,
    style: &Style,
    out: &mut Vec<u8>,
) {
    begin_json(SystemTime::now(), *event.metadata().level(), out);
    out.push(b'"');
    event.record(&mut Message(out));
    out.push(b'"');
    out.extend_from_slice(identity);
    json::text("target", event.metadata().target(), out);
    with_current(|request| {
        let trace_id = request.trace().trace_id().to_hex();
        write_ids(&trace_id, request.request_id(), out);
    });
    if rate > 1 {
        json::key("sample_rate", out);
        json::whole(u64::from(rate), out);
    }
    event.record(&mut Fields { style, begins: None, out });
    let mut any = false;
    for_each_span(event, context, |span, fields| {
        json_span(span, fields, &mut any, out);
    });
    out.extend_from_slice(if any { b"]}" } else { b"}" });
}

fn json_span(name: &str, fields: &[u8], any: &mut bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if *any { b",{\"name\":" } else { b",\"spans\":[{\"name\":" });
    *any = true;
    json::string(name, out);
    out.extend_from_slice(fields);
    out.push(b'}');
}

fn write_human<S: Subscriber + for<'a> LookupSpan<'a>>(
    event: &Event<'_>,
    context: &Context<'_, S>,
    colour: bool,
    style: &Style,
    out: &mut Vec<u8>,
) {
    let Style::Human { service, .. } = style else { return };
    human::begin(SystemTime::now(), *event.metadata().level(), service, colour, out);
    out.extend_from_slice(event.metadata().target().as_bytes());
    out.extend_from_slice(b": ");
    event.record(&mut Message(out));
    event.record(&mut Fields { style, begins: None, out });
    for_each_span(event, context, |span, fields| {
        out.extend_from_slice(b" in ");
        json::escape(span, out);
        out.extend_from_slice(fields);
    });
    with_current(|request| {
        out.extend_from_slice(b" trace=");
        out.extend_from_slice(&request.trace().trace_id().to_hex());
    });
}

/// `{"timestamp":"…","level":"…","message":`; the same for every kind of line.
pub(crate) fn begin_json(at: SystemTime, level: Level, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"timestamp\":\"");
    out.extend_from_slice(&time::rfc3339(at));
    out.extend_from_slice(b"\",\"level\":\"");
    out.extend_from_slice(word(level).as_bytes());
    out.extend_from_slice(b"\",\"message\":");
}

/// The two ids that lead from a line to its request. A caller that gave no request id is found by the trace.
pub(crate) fn write_ids(trace_id: &[u8; 32], request_id: Option<&str>, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"trace_id\":\"");
    out.extend_from_slice(trace_id);
    out.extend_from_slice(b"\",\"request_id\":\"");
    match request_id {
        Some(id) => json::escape(id, out),
        None => out.extend_from_slice(trace_id),
    }
    out.push(b'"');
}

/// Shows the spans around an event, outermost first.
fn for_each_span<S: Subscriber + for<'a> LookupSpan<'a>>(
    event: &Event<'_>,
    context: &Context<'_, S>,
    mut show: impl FnMut(&str, &[u8]),
) {
    for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
        let span: SpanRef<'_, S> = span;
        let extensions = span.extensions();
        show(span.name(), extensions.get::<SpanFields>().map_or(&[][..], |fields| &fields.text));
    }
}

/// Writes the message alone, without quotes.
struct Message<'a>(&'a mut Vec<u8>);

impl Visit for Message<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == MESSAGE {
            json::escape(value, self.0);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == MESSAGE {
            write_debug(value, self.0);
        }
    }
}

/// Writes fields behind one another, in either style.
struct Fields<'a> {
    style: &'a Style,
    /// A span's fields begin there; an event's do not ask, and its message is written elsewhere.
    begins: Option<&'a mut Vec<(&'static str, usize)>>,
    out: &'a mut Vec<u8>,
}

impl<'a> Fields<'a> {
    fn of_span(style: &'a Style, fields: &'a mut SpanFields) -> Self {
        Fields { style, begins: Some(&mut fields.begins), out: &mut fields.text }
    }

    fn key(&mut self, field: &Field) -> bool {
        let name = field.name();
        match &mut self.begins {
            Some(begins) => begins.push((name, self.out.len())),
            None if name == MESSAGE => return false,
            None => {}
        }
        match self.style {
            Style::Json { .. } => json_key(name, self.out),
            Style::Human { .. } => {
                self.out.push(b' ');
                self.out.extend_from_slice(name.as_bytes());
                self.out.push(b'=');
            }
        }
        true
    }

    fn quote(&mut self) {
        if let Style::Json { .. } = self.style {
            self.out.push(b'"');
        }
    }

    fn plain(&mut self, field: &Field, value: &dyn fmt::Display) {
        if self.key(field) {
            // Digits and the words `true` and `false` need no escape, and formatting them cannot fail.
            let _ = write!(Escaped(self.out), "{value}");
        }
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if self.key(field) {
            match self.style {
                Style::Json { .. } => json::string(value, self.out),
                Style::Human { .. } => human::value(value, self.out),
            }
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, &value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.plain(field, &value);
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.plain(field, &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, &value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if self.key(field) {
            json::number(value, self.out);
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        if !self.key(field) {
            return;
        }
        self.quote();
        let mut cause = Some(value);
        let mut separator = "";
        while let Some(error) = cause {
            let _ = write!(Escaped(self.out), "{separator}{error}");
            (separator, cause) = ("; because ", error.source());
        }
        self.quote();
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if self.key(field) {
            self.quote();
            write_debug(value, self.out);
            self.quote();
        }
    }
}

/// A team's field of a name that a line has already would make a JSON object with two of them.
pub(crate) fn json_key(name: &str, out: &mut Vec<u8>) {
    if RESERVED.contains(&name) {
        out.extend_from_slice(b",\"field.");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
    } else {
        json::key(name, out);
    }
}

/// A `Debug` that fails half-way has said what it could.
fn write_debug(value: &dyn fmt::Debug, out: &mut Vec<u8>) {
    let _ = write!(Escaped(out), "{value:?}");
}

/// The name under which `tracing` passes the text of an event.
const MESSAGE: &str = "message";
/// The names that lines have of their own.
const RESERVED: [&str; 28] = [
    "attempts",
    "client",
    "criticality",
    "duration_ms",
    "fault",
    "http.request.method",
    "http.response.status_code",
    "http.route",
    "instance",
    "level",
    "message",
    "name",
    "outcome",
    "reason",
    "request_id",
    "rpc.method",
    "rpc.response.status_code",
    "sample_rate",
    "service.name",
    "service.version",
    "spans",
    "target",
    "tenant",
    "timestamp",
    "trace_id",
    "url.scheme",
    "variant",
    "zone",
];
