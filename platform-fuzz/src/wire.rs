//! From headers to a context, and back.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use platform_core::{
    Context, Tick,
    context::{
        Carrier, Criticality,
        wire::{Arrival, Field, Protocol, Trust, parse_grpc_timeout, read, write},
    },
};

/// Lines `name: value`, as a carrier shows them; the first byte says how far they are believed.
pub fn wire(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let lines: Vec<(String, &[u8])> = rest
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = String::from_utf8_lossy(&line[..colon]).to_lowercase();
            Some((name, line[colon + 1..].trim_ascii()))
        })
        .collect();
    let trust = Trust { internal: first & 1 == 1, overrides: first & 2 == 2 };
    holds(&Lines(lines), trust);
}

/// One `baggage` header after the other, a line each, from a service of ours that may choose everything.
pub fn baggage(bytes: &[u8]) {
    let lines = bytes.split(|byte| *byte == b'\n').map(|line| ("baggage".to_owned(), line)).collect();
    let lines = Lines(lines);
    holds(&lines, Trust { internal: true, overrides: true });
    holds(&lines, Trust::EDGE);
}

/// A `grpc-timeout`.
pub fn grpc_timeout(bytes: &[u8]) {
    let read_as = parse_grpc_timeout(bytes);
    // The specification: TimeoutValue, 1 to 8 ASCII digits; TimeoutUnit, one of six letters.
    let wanted = std::str::from_utf8(bytes).ok().and_then(|text| {
        let (unit, nanos) =
            [("H", 3_600_000_000_000), ("M", 60_000_000_000), ("S", 1_000_000_000), ("m", 1_000_000)]
                .into_iter()
                .chain([("u", 1_000), ("n", 1_u128)])
                .find(|(unit, _)| text.ends_with(unit))?;
        let digits = text.strip_suffix(unit)?;
        let are_digits = (1..=8).contains(&digits.len()) && digits.chars().all(|c| c.is_ascii_digit());
        are_digits.then(|| digits.parse::<u128>().expect("eight digits are a number") * nanos)
    });
    assert_eq!(read_as.map(|length| length.as_nanos()), wanted, "{bytes:?}");
    let lines = Lines(vec![("grpc-timeout".to_owned(), bytes)]);
    holds(&lines, Trust::EDGE);
}

fn holds(carrier: &Lines<'_>, trust: Trust) {
    let now = Tick::now();
    let arrival = read(carrier, trust, now);
    shortest_wins(carrier, &arrival, now);
    if !trust.internal {
        outsider_chose_nothing(&arrival);
    }
    if !trust.overrides {
        assert!(arrival.context.faults().is_empty() && !arrival.context.is_debug());
        assert_eq!(arrival.context.route_override("catalog"), None);
    }
    for protocol in [Protocol::Http, Protocol::Grpc] {
        survives(&arrival.context, protocol, now);
    }
}

/// What is written is well-formed, and what is read from it writes the same again.
fn survives(context: &Context, protocol: Protocol, now: Tick) {
    let all = Trust { internal: true, overrides: true };
    let mut first = HeaderMap::new();
    write(context, &mut first, protocol);
    let again = read(&first, all, now);
    assert!(
        again.rejected.is_empty(),
        "we wrote what we refuse: {:?}",
        again.rejected.iter().collect::<Vec<Field>>()
    );
    let mut second = HeaderMap::new();
    write(&again.context, &mut second, protocol);
    let (one, other) = (first.remove("traceparent"), second.remove("traceparent"));
    let trace = |value: &Option<HeaderValue>| value.as_ref().map(|value| value.as_bytes()[..35].to_vec());
    assert_eq!(trace(&one), trace(&other), "a trace keeps its id");
    assert_eq!(first, second);
    for (name, value) in &first {
        let most = if name == "baggage" { 8192 } else { 512 };
        assert!(value.len() <= most, "{name} has {} bytes", value.len());
    }
    let known = &again.context;
    assert_eq!(known.criticality(), context.criticality());
    assert_eq!(known.tenant(), context.tenant());
    assert_eq!(known.attempt(), context.attempt());
}

/// Whoever names a length is never given more than that.
fn shortest_wins(carrier: &Lines<'_>, arrival: &Arrival, now: Tick) {
    let named = carrier.0.iter().filter(|(name, _)| name == "grpc-timeout");
    if let Some(least) = named.filter_map(|(_, value)| parse_grpc_timeout(value)).min() {
        match arrival.context.deadline() {
            Some(deadline) => assert!(deadline.remaining(now) <= least, "{deadline:?} of {least:?}"),
            // What no clock can say is no deadline.
            None => assert!(least > LIFE_OF_A_CLOCK, "{least:?} was named"),
        }
    }
}

fn outsider_chose_nothing(arrival: &Arrival) {
    let context = &arrival.context;
    assert!(context.tenant().is_none() && context.faults().is_empty() && !context.is_debug());
    assert!(!context.stops_chain() && context.attempt() == 0 && !arrival.decided);
    assert_eq!(context.criticality(), Criticality::default());
    assert!(!context.trace().is_sampled());
    let mut written = HeaderMap::new();
    write(context, &mut written, Protocol::Http);
    let baggage = written.get("baggage").map(HeaderValue::as_bytes).unwrap_or_default();
    let ours = baggage.split(|byte| *byte == b',').any(|member| member.starts_with(b"platform-"));
    assert!(!ours, "an outsider's member goes on under our name: {:?}", written.get("baggage"));
}

/// Some fourteen years: what a `u64` of nanoseconds has left in any case.
const LIFE_OF_A_CLOCK: Duration = Duration::from_secs(14 * 365 * 86_400);

/// Names and values in any order and number, which no map would hold.
struct Lines<'a>(Vec<(String, &'a [u8])>);

impl Carrier for Lines<'_> {
    fn each<'a>(&'a self, show: &mut dyn FnMut(&'a str, &'a [u8])) {
        for (name, value) in &self.0 {
            show(name, value);
        }
    }

    fn write(&mut self, _name: &'static HeaderName, _value: HeaderValue) {
        unreachable!("nobody writes to what a stranger sent");
    }
}
