//! From a context to headers.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

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
        let start = end;
        end += decimal(whole_ms(deadline.remaining(context.now())), &mut block[start..]);
        if protocol == Protocol::Grpc {
            block[end] = b'm';
            end += 1;
        }
        start..end
    });
    let block = Bytes::copy_from_slice(&block[..end]);

    carrier.write(&TRACEPARENT, value(block.slice(..trace.len())));
    if let Some(range) = timeout {
        let name = if protocol == Protocol::Grpc { &GRPC_TIMEOUT } else { &TIMEOUT_MS };
        carrier.write(name, value(block.slice(range)));
    }
    write_rare(context, carrier, protocol);
}

/// Writes the trace and nothing else: what a peer outside may see.
pub fn write_trace(context: &Context, carrier: &mut impl Carrier) {
    let trace = context.trace().to_header();
    carrier.write(&TRACEPARENT, value(Bytes::copy_from_slice(&trace)));
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
        write_text(carrier, &REQUEST_ID, rest.request_id.as_deref());
    }
    write_text(carrier, &BAGGAGE, baggage::header(context).as_deref());
}

/// Text that was checked when it came in; a value that no header can hold is left out rather than refused.
fn write_text(carrier: &mut impl Carrier, name: &'static HeaderName, text: Option<&str>) {
    if let Some(value) = text.and_then(|text| HeaderValue::from_str(text).ok()) {
        carrier.write(name, value);
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

/// A traceparent, eight digits and a unit.
const BLOCK: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_decimals() {
        for n in [0, 7, 10, 99, 100, 99_999_999] {
            let mut out = [0; 8];
            let end = decimal(n, &mut out);
            assert_eq!(std::str::from_utf8(&out[..end]).unwrap(), n.to_string());
        }
    }
}
