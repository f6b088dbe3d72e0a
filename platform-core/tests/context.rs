//! What travels with a request: it only narrows, crosses the wire whole, and believes no outsider.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use platform_core::context::{
    self, Context, Criticality, Deadline, FaultScope, Item, Tenant, TraceParent,
    wire::{self, Field, Protocol, Trust},
};
use proptest::prelude::*;
use tokio::time::Instant;

const OVERRIDES: Trust = Trust { internal: true, overrides: true };

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

fn read(pairs: &[(&'static str, &str)], trust: Trust) -> wire::Arrival {
    wire::read(&headers(pairs), trust, Instant::now())
}

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

#[derive(Clone, Debug)]
enum Step {
    Child,
    Narrow(u64),
    Lower(Criticality),
    Faults(Vec<u8>),
    Attempt(u16),
    StopChain,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Child),
        (0..20_000_u64).prop_map(Step::Narrow),
        (0..4_usize).prop_map(|i| Step::Lower(Criticality::ALL[i])),
        proptest::collection::vec(0..5_u8, 0..4).prop_map(Step::Faults),
        (0..5_u16).prop_map(Step::Attempt),
        Just(Step::StopChain),
    ]
}

fn fault_entries(scope: &FaultScope) -> Vec<String> {
    scope.as_str().split('|').filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
}

proptest! {
    /// A child's deadline is never later, its criticality never higher, its fault scope never wider, and a
    /// stopped chain stays stopped: whatever is done to it.
    #[test]
    fn a_context_only_narrows(steps in proptest::collection::vec(step(), 0..20)) {
        let now = Instant::now();
        let arrived = read(
            &[("platform-timeout-ms", "10000"), ("baggage", "platform-fault=f0:abort=503|f1:abort=503|f2:abort=503|f3:abort=503")],
            OVERRIDES,
        );
        let mut context = arrived.context;
        for step in steps {
            let before = context.clone();
            match step {
                Step::Child => context = context.child(now),
                Step::Narrow(ms) => context.narrow(Deadline::at(now + Duration::from_millis(ms))),
                Step::Lower(criticality) => context.lower(criticality),
                Step::Faults(names) => {
                    let scope: Vec<String> = names.iter().map(|n| format!("f{n}:abort=503")).collect();
                    context.narrow_faults(&FaultScope::new(&scope.join("|")));
                }
                Step::Attempt(n) => context.begin_attempt(n, now),
                Step::StopChain => context.stop_chain(),
            }
            prop_assert!(context.deadline().unwrap() <= before.deadline().unwrap());
            prop_assert!(context.criticality() <= before.criticality());
            prop_assert!(context.stops_chain() || !before.stops_chain());
            let wider = fault_entries(context.faults()).into_iter().any(|e| !fault_entries(before.faults()).contains(&e));
            prop_assert!(!wider);
            prop_assert_eq!(context.trace().trace_id(), before.trace().trace_id());
        }
    }

    #[test]
    fn what_is_written_is_read_back(
        ms in 0..99_999_999_u64,
        criticality in 0..4_usize,
        tenant in "[A-Za-z0-9._-]{1,64}",
        basket in "\\PC{0,40}",
        attempt in 0..9_u16,
        grpc in any::<bool>(),
    ) {
        let now = Instant::now();
        let mut context = Context::root(now);
        context.lower(Criticality::ALL[criticality]);
        context.set_tenant(Tenant::parse(&tenant).unwrap());
        context.carry(&Basket(basket.clone()));
        context.narrow(Deadline::at(now + Duration::from_millis(ms)));
        context.begin_attempt(attempt, now);

        let mut map = HeaderMap::new();
        wire::write(&context, &mut map, if grpc { Protocol::Grpc } else { Protocol::Http });
        let arrived = wire::read(&map, Trust::INTERNAL, now);

        prop_assert!(arrived.rejected.is_empty(), "{:?}", arrived.rejected);
        prop_assert_eq!(arrived.parent, Some(context.trace().span_id()));
        let arrived = arrived.context;
        prop_assert_eq!(arrived.trace().trace_id(), context.trace().trace_id());
        prop_assert_ne!(arrived.trace().span_id(), context.trace().span_id());
        prop_assert_eq!(arrived.deadline(), context.deadline());
        prop_assert_eq!(arrived.criticality(), context.criticality());
        prop_assert_eq!(arrived.tenant(), context.tenant());
        prop_assert_eq!(arrived.attempt(), attempt);
        prop_assert_eq!(arrived.stops_chain(), attempt > 0);
        prop_assert_eq!(arrived.item::<Basket>().unwrap().0, basket);
    }

    /// Whatever a peer sends, the request goes on, and nothing panics.
    #[test]
    fn no_header_refuses_a_request(name in 0..9_usize, value in proptest::collection::vec(any::<u8>(), 0..200)) {
        let name = ["traceparent", "tracestate", "baggage", "x-request-id", "grpc-timeout", "platform-timeout-ms",
            "platform-previous-attempts", "platform-retry", "grpc-previous-rpc-attempts"][name];
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            let mut map = HeaderMap::new();
            map.insert(name, value);
            for trust in [Trust::EDGE, Trust::INTERNAL, OVERRIDES] {
                let arrived = wire::read(&map, trust, Instant::now());
                wire::write(&arrived.context, &mut HeaderMap::new(), Protocol::Http);
            }
        }
    }

    /// Our few lines agree with OpenTelemetry's propagator on what a good `traceparent` is.
    #[test]
    fn traceparents_are_read_as_opentelemetry_reads_them(
        text in prop_oneof![
            "0[01]-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3](-x)?",
            "(00|ff|0g)-(0{32}|[0-9a-fA-F]{32})-(0{16}|[0-9a-f]{16})-[0-9a-f]{2}",
        ]
    ) {
        use opentelemetry::{propagation::TextMapPropagator as _, trace::TraceContextExt as _};
        let carrier = std::collections::HashMap::from([("traceparent".to_owned(), text.clone())]);
        let theirs = opentelemetry_sdk::propagation::TraceContextPropagator::new().extract(&carrier);
        let theirs = theirs.span().span_context().clone();
        match TraceParent::parse(&text) {
            Some(ours) => {
                prop_assert!(theirs.is_valid(), "only we accept {text}");
                prop_assert_eq!(ours.trace_id().to_bytes(), theirs.trace_id().to_bytes());
                prop_assert_eq!(ours.span_id().to_bytes(), theirs.span_id().to_bytes());
                prop_assert_eq!(ours.is_sampled(), theirs.is_sampled());
            }
            // They accept a later version of any length, and version 00 with flags we read more strictly.
            None => prop_assert!(!theirs.is_valid() || text.len() != 55, "only they accept {text}"),
        }
    }
}

#[test]
fn tracestate_in_several_headers_is_one_list() {
    const PARENT: (&str, &str) = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let written = |pairs: &[(&'static str, &str)]| {
        let arrival = read(pairs, Trust::INTERNAL);
        let mut out = HeaderMap::new();
        wire::write(&arrival.context, &mut out, Protocol::Http);
        let state = out.get("tracestate").map(|state| state.to_str().unwrap().to_owned());
        (state, arrival.rejected.contains(Field::Tracestate))
    };
    let (one, two) = (("tracestate", "a=1"), ("tracestate", "b=2,c=3"));
    assert_eq!(written(&[PARENT, one, two]), (Some("a=1,b=2,c=3".to_owned()), false));
    let long = "d=".to_owned() + &"4".repeat(510);
    assert_eq!(written(&[PARENT, ("tracestate", &long)]), (Some(long.clone()), false));
    assert_eq!(
        written(&[PARENT, one, ("tracestate", &long), two]),
        (None, true),
        "half of it would be a lie"
    );
}

#[test]
fn the_later_of_two_attempts_counts() {
    let (ours, grpc) = (("platform-previous-attempts", "2"), ("grpc-previous-rpc-attempts", "0"));
    for pairs in [[ours, grpc], [grpc, ours]] {
        let context = read(&pairs, Trust::INTERNAL).context;
        assert_eq!((context.attempt(), context.stops_chain()), (2, true));
    }
}

#[test]
fn malformed_values_are_ignored_and_named() {
    let cases: &[(&'static str, &str, Field)] = &[
        ("traceparent", "00-nonsense", Field::Traceparent),
        ("platform-timeout-ms", "soon", Field::Timeout),
        ("platform-timeout-ms", "123456789", Field::Timeout),
        ("grpc-timeout", "5x", Field::Timeout),
        ("x-request-id", "has spaces", Field::RequestId),
        ("x-request-id", "", Field::RequestId),
        ("platform-previous-attempts", "-1", Field::Attempt),
        ("platform-retry", "maybe", Field::Retry),
        ("baggage", "no-equals-sign", Field::Baggage),
        ("baggage", "platform-criticality=very", Field::Criticality),
        ("baggage", "platform-tenant=a b", Field::Tenant),
        ("baggage", "platform-cohort=128", Field::Cohort),
        ("baggage", "platform-fault=payments:abort=503", Field::Override),
        ("baggage", "platform-route=checkout:pr-1", Field::Override),
    ];
    for (name, value, field) in cases {
        let arrived = read(&[(name, value)], Trust::INTERNAL);
        assert_eq!(arrived.rejected.iter().collect::<Vec<_>>(), [*field], "{name}: {value}");
        assert_eq!(arrived.context.deadline(), None);
        assert_eq!(arrived.context.criticality(), Criticality::Critical);
        assert!(arrived.context.faults().is_empty());
    }
}

#[test]
fn two_parents_are_none() {
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let arrived = read(&[("traceparent", parent), ("traceparent", parent)], Trust::INTERNAL);
    assert!(arrived.rejected.contains(Field::Traceparent));
    assert_ne!(arrived.context.trace().trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
}

#[test]
fn the_smallest_timeout_wins() {
    let now = Instant::now();
    let map = headers(&[
        ("platform-timeout-ms", "900"),
        ("x-envoy-expected-rq-timeout-ms", "300"),
        ("grpc-timeout", "2S"),
    ]);
    let arrived = wire::read(&map, Trust::INTERNAL, now);
    assert_eq!(arrived.context.deadline(), Deadline::after(now, Duration::from_millis(300)));
}

#[test]
fn oversized_baggage_is_ignored_whole() {
    let many: Vec<String> = (0..65).map(|n| format!("k{n}=v")).collect();
    let long = format!("platform-tenant=acme,k={}", "v".repeat(8192));
    for text in [many.join(","), long] {
        let arrived = read(&[("baggage", &text)], Trust::INTERNAL);
        assert!(arrived.rejected.contains(Field::Baggage));
        assert_eq!(arrived.context.tenant(), None);
        let mut out = HeaderMap::new();
        wire::write(&arrived.context, &mut out, Protocol::Http);
        assert!(!out.contains_key("baggage"));
    }
}

#[test]
fn members_that_are_not_ours_pass_through() {
    let arrived = read(
        &[
            ("baggage", "userId=alice;prop=1, platform-tenant=acme"),
            ("baggage", "platform-later=1,other=%20x"),
        ],
        Trust::INTERNAL,
    );
    let mut out = HeaderMap::new();
    wire::write(&arrived.context, &mut out, Protocol::Http);
    let baggage = out["baggage"].to_str().unwrap();
    assert_eq!(baggage, "platform-tenant=acme,userId=alice;prop=1,platform-later=1,other=%20x");
}

#[test]
fn an_outsider_is_not_believed() {
    let arrived = read(
        &[
            ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            ("platform-timeout-ms", "500"),
            ("platform-previous-attempts", "3"),
            ("platform-retry", "never"),
            (
                "baggage",
                "platform-criticality=critical-plus,platform-tenant=acme,platform-debug=1,platform-x=1,theirs=1",
            ),
        ],
        Trust::EDGE,
    );
    let context = &arrived.context;
    assert_eq!(
        context.trace().trace_id().to_string(),
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "kept, to find it again"
    );
    assert!(!context.trace().is_sampled() && !arrived.decided, "whether to record is our decision");
    assert!(context.deadline().is_some(), "it may shorten its own wait");
    assert_eq!((context.attempt(), context.stops_chain(), context.is_debug()), (0, false, false));
    assert_eq!((context.criticality(), context.tenant()), (Criticality::Critical, None));

    let mut out = HeaderMap::new();
    wire::write(context, &mut out, Protocol::Http);
    assert_eq!(out["baggage"], "theirs=1");
}

#[test]
fn overrides_need_permission() {
    let pairs: &[(&'static str, &str)] = &[(
        "baggage",
        "platform-fault=payments:abort=503:delay=200ms,platform-route=checkout:pr-1|cart:pr-2,platform-debug=1",
    )];
    let arrived = read(pairs, OVERRIDES);
    assert!(arrived.rejected.is_empty());
    assert_eq!(arrived.context.faults().of("payments"), Some("abort=503:delay=200ms"));
    assert_eq!(arrived.context.faults().of("pay"), None);
    assert_eq!(arrived.context.route_override("cart"), Some("pr-2"));
    assert!(arrived.context.is_debug());

    let arrived = read(pairs, Trust::INTERNAL);
    assert!(arrived.context.faults().is_empty() && !arrived.context.is_debug());
    assert_eq!(arrived.context.route_override("cart"), None);
}

#[test]
fn a_first_attempt_says_little() {
    let mut out = HeaderMap::new();
    wire::write(&Context::root(Instant::now()), &mut out, Protocol::Http);
    assert_eq!(out.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["traceparent"]);
}

#[test]
fn a_peer_outside_sees_the_trace_and_nothing_else() {
    let mut context =
        read(&[("baggage", "platform-tenant=acme"), ("x-request-id", "abc")], Trust::INTERNAL).context;
    context.narrow(Deadline::at(Instant::now() + Duration::from_secs(1)));
    let mut out = HeaderMap::new();
    wire::write_trace(&context, &mut out);
    assert_eq!(out.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["traceparent"]);
}

#[tokio::test(start_paused = true)]
async fn business_code_finds_the_context_of_its_request_and_spawned_work_keeps_it() {
    assert!(context::current().is_none());
    let mut served = Context::root(Instant::now());
    served.narrow(Deadline::at(Instant::now() + Duration::from_secs(1)));
    let trace = served.trace();

    context::scope(served, async move {
        assert_eq!(context::current().unwrap().trace(), trace);
        let (kept, detached) = (
            context::spawn(async { context::current() }),
            context::spawn_detached(async { context::current() }),
        );
        let (kept, detached) = (kept.await.unwrap().unwrap(), detached.await.unwrap().unwrap());
        assert_eq!((kept.trace(), detached.trace()), (trace, trace));
        assert!(kept.deadline().is_some(), "part of the answer ends with it");
        assert!(detached.deadline().is_none(), "work that must finish does not");
        assert_eq!(context::inherit(Instant::now()).deadline(), kept.deadline());
    })
    .await;
    assert!(context::current().is_none());
}

#[test]
fn a_user_stays_in_one_cohort() {
    let of = |tenant: &str| {
        let mut context = Context::root(Instant::now());
        context.set_tenant(Tenant::parse(tenant).unwrap());
        context.cohort()
    };
    assert_eq!(of("acme"), of("acme"));
    let mut seen: Vec<u8> = (0..2000).map(|n| of(&format!("tenant-{n}"))).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 128, "every cohort is somebody's");
}

/// The hot part is inline and copied into every request; 250 bytes more cost 1,700 instructions.
#[test]
fn a_context_stays_small() {
    assert!(size_of::<Context>() <= 96, "{}", size_of::<Context>());
}
