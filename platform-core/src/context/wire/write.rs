//! From a context to headers.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{
    baggage,
    names::{
        BAGGAGE, GRPC_PREVIOUS_ATTEMPTS, GRPC_TIMEOUT, PREVIOUS_ATTEMPTS, REQUEST_ID, RETRY, TIMEOUT_MS,
        TRACEPARENT, TRACESTATE,
    },
    timeout::whole_ms,
};
use crate::{
    context::{Carrier, Context},
    outcome::Mark,
};

/// Which names a peer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC's own names for the deadline and the attempt.
    Grpc,
    /// Ours.
    Http,
}

/// Writes everything that travels, with the time left at `context.now()`.
///
/// By hand and out of one buffer: the formatting machinery costs more than all guards together.
pub fn write(context: &Context, carrier: &mut impl Carrier, protocol: Protocol) {
    let mut block = [0; BLOCK];
    let trace = context.trace().to_header();
    block[..trace.len()].copy_from_slice(&trace);
    let mut end = trace.len();
    let timeout = context.deadline().map(|deadline| {
        let (start, left) = (end, deadline.remaining(context.now()));
        end += decimal(whole_ms(left), &mut block[start..]);
        if protocol == Protocol::Grpc {
            block[end] = b'm';
            end += 1;
        }
        // What a call was given whole it is given again; what is left of somebody's else is another number each time.
        (start..end, left.subsec_nanos() % NANOS_PER_MILLI == 0)
    });
    let block = Bytes::copy_from_slice(&block[..end]);

    carrier.write(&TRACEPARENT, once(value(block.slice(..trace.len()))));
    if let Some((range, comes_again)) = timeout {
        let name = if protocol == Protocol::Grpc { &GRPC_TIMEOUT } else { &TIMEOUT_MS };
        let left = value(block.slice(range));
        carrier.write(name, if comes_again { left } else { once(left) });
    }
    write_rare(context, carrier, protocol);
}

/// Writes the trace and nothing else: what a peer outside may see.
pub fn write_trace(context: &Context, carrier: &mut impl Carrier) {
    let trace = context.trace().to_header();
    carrier.write(&TRACEPARENT, once(value(Bytes::copy_from_slice(&trace))));
}

fn write_rare(context: &Context, carrier: &mut impl Carrier, protocol: Protocol) {
    if context.attempt() > 0 {
        let name = if protocol == Protocol::Grpc { &GRPC_PREVIOUS_ATTEMPTS } else { &PREVIOUS_ATTEMPTS };
        carrier.write(name, HeaderValue::from(context.attempt()));
    }
    if context.attempt() > 0 || context.stops_chain() {
        carrier.write(&RETRY, HeaderValue::from_static(Mark::Never.as_str()));
    }
    if let Some(rest) = &context.rest {
        write_text(carrier, &TRACESTATE, rest.tracestate.as_deref());
        if let Some(id) = rest.request_id.as_deref().and_then(|id| HeaderValue::from_str(id).ok()) {
            carrier.write(&REQUEST_ID, once(id));
        }
    }
    write_text(carrier, &BAGGAGE, baggage::header(context).as_deref());
}

/// Text that was checked when it came in; a value that no header can hold is left out rather than refused.
fn write_text(carrier: &mut impl Carrier, name: &'static HeaderName, text: Option<&str>) {
    if let Some(value) = text.and_then(|text| HeaderValue::from_str(text).ok()) {
        carrier.write(name, value);
    }
}

/// A value that comes once and never again. HTTP/2 then writes it as it is: put into the connection's table of fields it
/// would push out what does come again, and both sides would compare each next one with dozens of those before it
/// (RFC 7541, section 7.1.3, "never indexed"; in `http`'s word a sensitive value, which `Debug` does not show).
pub fn once(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

/// What [`once`] marked among these fields is put into the table after all: with the first message of a connection, so that
/// the names are there and those who follow need not spell them.
pub fn lay_names(fields: &mut HeaderMap) {
    for name in [&TRACEPARENT, &GRPC_TIMEOUT, &TIMEOUT_MS, &REQUEST_ID] {
        if let Some(value) = fields.get_mut(name) {
            value.set_sensitive(false);
        }
    }
}

fn value(digits: Bytes) -> HeaderValue {
    HeaderValue::from_maybe_shared(digits).expect("hex, digits and dashes are header text")
}

/// Writes `n` into the head of `out` and says how many digits that took.
fn decimal(n: u64, out: &mut [u8]) -> usize {
    let digits = n.checked_ilog10().map_or(1, |log| log as usize + 1);
    let mut left = n;
    for place in out[..digits].iter_mut().rev() {
        *place = b'0' + (left % 10) as u8;
        left /= 10;
    }
    digits
}

const NANOS_PER_MILLI: u32 = 1_000_000;
/// A traceparent, eight digits and a unit.
const BLOCK: usize = 64;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::context::Deadline;

    #[test]
    fn what_never_comes_again_takes_no_place_in_a_table() {
        let now = tokio::time::Instant::now();
        let written = |left: Duration| {
            let mut context = Context::root(now);
            context.narrow(Deadline::after(context.now(), left).expect("not far away"));
            let mut headers = HeaderMap::new();
            write(&context, &mut headers, Protocol::Grpc);
            (headers[&TRACEPARENT].is_sensitive(), headers[&GRPC_TIMEOUT].is_sensitive())
        };
        assert_eq!(written(Duration::from_millis(250)), (true, false), "the same limit for each call");
        assert_eq!(written(Duration::from_micros(249_999)), (true, true), "what is left of a caller's");

        let mut first = HeaderMap::new();
        write_trace(&Context::root(now), &mut first);
        lay_names(&mut first);
        assert!(!first[&TRACEPARENT].is_sensitive());
    }

    #[test]
    fn writes_decimals() {
        for n in [0, 7, 10, 99, 100, 99_999_999] {
            let mut out = [0; 8];
            let end = decimal(n, &mut out);
            assert_eq!(std::str::from_utf8(&out[..end]).unwrap(), n.to_string());
        }
    }
}
