//! What travels with a request, as it is written and as every version has written it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::{fmt::Write as _, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};
use platform_core::context::{
    Context, Criticality, Deadline, Item, TraceParent,
    wire::{self, Protocol, Trust},
};
use tokio::time::Instant;

mod golden;

const INSIDE: Trust = Trust { internal: true, overrides: true };
const LEFT: Duration = Duration::from_millis(1500);
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A team's own.
struct Basket(String);

impl Item for Basket {
    const KEY: &'static str = "shop-basket";

    fn encode(&self) -> String {
        self.0.clone()
    }

    fn decode(text: &str) -> Option<Self> {
        Some(Basket(text.to_owned()))
    }
}

/// A request with everything that one can have, on its second repeat.
fn full(now: Instant) -> Context {
    let mut head = HeaderMap::new();
    for (name, value) in [
        ("traceparent", PARENT),
        ("tracestate", "vendor=1"),
        ("x-request-id", "r-7"),
        (
            "baggage",
            "platform-criticality=sheddable-plus,platform-debug=1,platform-tenant=acme,platform-cohort=17,\
             platform-route=checkout:pr-123,platform-fault=payments:abort=503:delay=200ms:share=0.2,\
             platform-arm=colour:red,platform-later=of-a-newer-version,vendor=left%20alone",
        ),
    ] {
        head.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let mut context = wire::read(&head, INSIDE, now).context;
    context.carry(&Basket("3 films".to_owned()));
    context.narrow(Deadline::after(now, LEFT).unwrap());
    context.begin_attempt(2, now);
    // An attempt has a span of its own.
    context.set_trace(TraceParent::parse(PARENT).unwrap());
    context
}

fn written(context: &Context, protocol: Protocol) -> String {
    let mut head = HeaderMap::new();
    wire::write(context, &mut head, protocol);
    text(&head)
}

fn text(head: &HeaderMap) -> String {
    let mut lines: Vec<String> =
        head.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    lines.sort();
    lines.iter().fold(String::new(), |mut all, line| {
        let _ = writeln!(all, "{line}");
        all
    })
}

fn head(text: &str) -> HeaderMap {
    let fields = text.lines().map(|line| {
        let (name, value) = line.split_once(": ").unwrap();
        (HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap())
    });
    fields.collect()
}

#[tokio::test(start_paused = true)]
async fn a_request_is_written_as_ever() {
    let now = Instant::now();
    golden::is("request.http.txt", &written(&full(now), Protocol::Http));
    golden::is("request.grpc.txt", &written(&full(now), Protocol::Grpc));
    // Nobody's request, which is most of them.
    let mut plain = Context::with_trace(now, TraceParent::parse(PARENT).unwrap());
    plain.narrow(Deadline::after(now, LEFT).unwrap());
    golden::is("request.plain.http.txt", &written(&plain, Protocol::Http));
    let mut stranger = HeaderMap::new();
    wire::write_trace(&full(now), &mut stranger);
    golden::is("request.stranger.http.txt", &text(&stranger));
}

#[tokio::test(start_paused = true)]
async fn what_every_version_has_written_is_read_whole() {
    let now = Instant::now();
    for name in ["request.http.txt", "request.grpc.txt"] {
        for (version, text) in golden::of_every_version(name) {
            let arrived = wire::read(&head(&text), INSIDE, now);
            let told = format!("{name} of {version}");
            assert!(arrived.rejected.is_empty(), "{told}: {:?}", arrived.rejected);
            let context = arrived.context;
            assert_eq!(arrived.parent, TraceParent::parse(PARENT).map(|parent| parent.span_id()), "{told}");
            assert_eq!(context.trace().trace_id(), TraceParent::parse(PARENT).unwrap().trace_id(), "{told}");
            assert!(context.trace().is_sampled(), "{told}");
            assert_eq!(context.deadline().unwrap().remaining(now), LEFT, "{told}");
            assert_eq!((context.attempt(), context.stops_chain()), (2, true), "{told}");
            assert_eq!(context.criticality(), Criticality::SheddablePlus, "{told}");
            assert_eq!(context.tenant().unwrap().as_str(), "acme", "{told}");
            assert_eq!((context.cohort(), context.request_id()), (17, Some("r-7")), "{told}");
            assert_eq!(context.route_override("checkout"), Some("pr-123"), "{told}");
            assert!(context.faults().of("payments").is_some() && context.is_debug(), "{told}");
            assert_eq!(context.item::<Basket>().unwrap().0, "3 films", "{told}");
            // What nobody here knows goes on as it came, and all else too.
            let mut onwards = context.child(now);
            onwards.set_trace(TraceParent::parse(PARENT).unwrap());
            let protocol = if name.contains("grpc") { Protocol::Grpc } else { Protocol::Http };
            for member in
                ["platform-later=of-a-newer-version", "vendor=left%20alone", "platform-arm=colour:red"]
            {
                assert!(written(&onwards, protocol).contains(member), "{told}: {member}");
            }
        }
    }
    for (version, text) in golden::of_every_version("request.stranger.http.txt") {
        assert_eq!(text, format!("traceparent: {PARENT}\n"), "{version} tells strangers nothing else");
    }
}
