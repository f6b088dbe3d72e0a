//! What goes wrong on purpose: as often as was asked for, no longer, for nobody else, and always countable.
//!
//! The first four are the rules of gRPC's A33.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue};
use platform_core::{
    App, Context,
    config::{Config, Ratio},
    context::{
        FaultScope, Notes,
        wire::{self, Trust},
    },
    fault::{Abort, Effect, Faults, Injection, MAX_RULES, Rule, Scope},
    identity::Identity,
    telemetry::Metrics,
};
use proptest::prelude::*;
use tokio::time::Instant;

const HOUR: Duration = Duration::from_secs(3600);
const SLOW: Duration = Duration::from_millis(500);
/// What never hits a share below all, and what hits every share above nothing.
const MISS: [u64; 2] = [u64::MAX; 2];
const HIT: [u64; 2] = [0; 2];

struct Ground {
    faults: Faults,
    metrics: Metrics,
    now: Instant,
}

impl Ground {
    fn new() -> Self {
        let metrics = Metrics::new(&Identity::default());
        Ground { faults: Faults::new(&metrics), metrics, now: Instant::now() }
    }

    fn with(rule: Rule) -> Self {
        let ground = Ground::new();
        ground.faults.start(rule, ground.now).unwrap();
        ground
    }

    fn call(&self, context: &Context) -> Option<Injection> {
        self.faults.plan(context, "payments", Some("10.0.0.7:8080"), "zone-a", self.now, HIT)
    }

    fn counted(&self, fault: &str, kind: &str) -> u64 {
        let text = self.metrics.encode();
        let wanted = [format!("fault=\"{fault}\""), format!("kind=\"{kind}\"")];
        let series = text.lines().filter(|line| line.starts_with("platform_faults_injected_total{"));
        let found = series.filter(|line| wanted.iter().all(|label| line.contains(label.as_str())));
        let mut values = found.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap());
        values.next().unwrap_or_else(|| panic!("{fault} {kind} is not counted from 0 on: {text}"))
    }
}

fn down() -> Effect {
    Effect::abort(Abort::with_status(503).unwrap())
}

fn rule(effect: Effect) -> Rule {
    Rule::new("pay-down", "payments", effect, Instant::now() + HOUR)
}

fn plain() -> Context {
    Context::root(Instant::now())
}

/// A request as it comes in from a trusted peer.
fn consenting(value: &str) -> Context {
    arrived(value, Trust { internal: true, overrides: true })
}

fn arrived(value: &str, trust: Trust) -> Context {
    let mut headers = HeaderMap::new();
    headers.insert("baggage", HeaderValue::from_str(&format!("platform-fault={value}")).unwrap());
    wire::read(&headers, trust, Instant::now()).context
}

#[tokio::test(start_paused = true)]
async fn a_fifth_delayed_and_a_twentieth_aborted_touch_24_percent() {
    let effect = Effect::delay(SLOW).delay_share(Ratio::of(0.2)).then_abort(Abort::Unreachable);
    let ground = Ground::with(rule(effect.abort_share(Ratio::of(0.05))));
    let (context, mut dice) = (plain(), fastrand::Rng::with_seed(33));
    let (mut touched, mut delayed, mut aborted, mut both) = (0, 0, 0, 0);
    const CALLS: u32 = 100_000;
    for _ in 0..CALLS {
        let rolls = [dice.u64(..), dice.u64(..)];
        let planned = ground.faults.plan(&context, "payments", None, "", ground.now, rolls);
        if let Some(Injection { delay, abort, .. }) = planned {
            touched += 1;
            delayed += u32::from(delay.is_some());
            aborted += u32::from(abort.is_some());
            both += u32::from(delay.is_some() && abort.is_some());
        }
    }
    for (what, count, expected) in [
        ("touched", touched, 0.24),
        ("delayed", delayed, 0.2),
        ("aborted", aborted, 0.05),
        ("both", both, 0.01),
    ] {
        let share = f64::from(count) / f64::from(CALLS);
        assert!((share - expected).abs() <= 0.005, "{what}: {share} instead of {expected}");
    }
    assert_eq!(ground.counted("pay-down", "delay"), u64::from(delayed));
    assert_eq!(ground.counted("pay-down", "abort"), u64::from(aborted));
    assert_eq!((ground.counted("pay-down", "overflow"), ground.faults.active()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_beyond_max_active_is_counted_and_not_injected() {
    let ground = Ground::with(rule(Effect::delay(SLOW)).max_active(2));
    let other = Rule::new("ratings-slow", "ratings", Effect::delay(SLOW), ground.now + HOUR).max_active(3);
    ground.faults.start(other, ground.now).unwrap();
    let ratings = || ground.faults.plan(&plain(), "ratings", None, "", ground.now, HIT);

    let held = [ground.call(&plain()).unwrap(), ground.call(&plain()).unwrap()];
    assert!(ground.call(&plain()).is_none());
    assert_eq!((ground.faults.active(), ground.counted("pay-down", "overflow")), (2, 1));
    let third = ratings().unwrap();
    assert!(ratings().is_none(), "the gauge is the process's, not the rule's");
    drop(held);
    drop(third);
    assert_eq!(ground.faults.active(), 0);
    assert_eq!(ground.counted("pay-down", "delay"), 2);
    assert!(ground.call(&plain()).is_some());
}

#[tokio::test(start_paused = true)]
async fn the_delay_comes_before_the_abort_and_counts_until_it_ends() {
    let ground = Ground::with(rule("abort=503:delay=500ms".parse().unwrap()));

    let begun = Instant::now();
    let waiting = ground.call(&plain()).unwrap().wait();
    assert_eq!(ground.faults.active(), 1);
    tokio::pin!(waiting);
    let early = tokio::time::timeout(SLOW - Duration::from_millis(1), waiting.as_mut()).await;
    assert!(early.is_err() && ground.faults.active() == 1);
    assert_eq!(waiting.await, Abort::with_status(503));
    assert_eq!((begun.elapsed(), ground.faults.active()), (SLOW, 0));

    // A caller who leaves ends it too.
    let left = tokio::time::timeout(SLOW / 2, ground.call(&plain()).unwrap().wait()).await;
    assert!(left.is_err());
    assert_eq!(ground.faults.active(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_request_asks_for_is_done_if_it_makes_sense_and_was_trusted() {
    let ground = Ground::new();
    let asked = ground.call(&consenting("ratings:delay=1s|payments:abort=503:delay=200ms")).unwrap();
    assert_eq!((&*asked.rule, asked.delay), ("consent", Some(Duration::from_millis(200))));
    assert_eq!(asked.abort, Abort::with_status(503));
    assert_eq!(ground.counted("consent", "abort"), 1);

    for invalid in [
        "payments:abort=5o3",
        "payments:abort=503:delay=5",
        "payments:abort=99",
        "payments:",
        "payments",
        "payments:share=20%25",
        "paymentsx:abort=503",
        "pay:abort=503",
        "|:|=",
    ] {
        assert!(ground.call(&consenting(invalid)).is_none(), "{invalid}");
    }
    for trust in [Trust { internal: true, overrides: false }, Trust { internal: false, overrides: true }] {
        assert!(ground.call(&arrived("payments:abort=503", trust)).is_none(), "{trust:?}");
    }
    assert_eq!(ground.counted("consent", "abort"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_rule_is_asked_before_what_the_request_wants() {
    let ground = Ground::with(rule(down().share(Ratio::of(0.5))));
    let request = consenting("payments:abort=404");
    assert_eq!(&*ground.call(&request).unwrap().rule, "pay-down");
    let missed = ground.faults.plan(&request, "payments", None, "", ground.now, MISS).unwrap();
    assert_eq!((&*missed.rule, missed.abort), ("consent", Abort::with_status(404)));
}

#[tokio::test(start_paused = true)]
async fn a_rule_hits_its_target_its_endpoint_and_its_zone_only() {
    let ground = Ground::with(rule(down()).endpoint("10.0.0.7:8080").zone("zone-a"));
    let context = plain();
    for (target, endpoint, zone, hit) in [
        ("payments", Some("10.0.0.7:8080"), "zone-a", true),
        ("ratings", Some("10.0.0.7:8080"), "zone-a", false),
        ("payments", Some("10.0.0.8:8080"), "zone-a", false),
        ("payments", None, "zone-a", false),
        ("payments", Some("10.0.0.7:8080"), "", false),
    ] {
        let planned = ground.faults.plan(&context, target, endpoint, zone, ground.now, HIT);
        assert_eq!(planned.is_some(), hit, "{target} {endpoint:?} {zone}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rule_is_dead_at_its_end_and_costs_nothing_afterwards() {
    let ground = Ground::with(rule(down()));
    let at = |later: Duration| {
        ground
            .faults
            .plan(&plain(), "payments", None, "", ground.now + later, HIT)
            .map(|planned| planned.rule)
    };
    assert!(at(HOUR - Duration::from_millis(1)).is_some());
    assert!(at(HOUR).is_none());
    assert!(ground.faults.list(ground.now + HOUR).is_empty());
    assert!(at(Duration::ZERO).is_none(), "whoever saw the end took the rule away");
    assert!(!ground.faults.stop("pay-down", ground.now));
}

#[tokio::test(start_paused = true)]
async fn the_kill_switch_ends_every_rule_at_once() {
    let ground = Ground::with(rule(down()));
    let other = Rule::new("ratings-down", "ratings", down(), ground.now + HOUR);
    ground.faults.start(other, ground.now).unwrap();
    let clone = ground.faults.clone();
    let ended = clone.stop_all(ground.now);
    assert_eq!(ended.iter().map(|rule| &**rule.name()).collect::<Vec<_>>(), ["pay-down", "ratings-down"]);
    assert!(ground.call(&plain()).is_none());
    assert!(ground.faults.list(ground.now).is_empty());
    assert!(ground.faults.stop_all(ground.now).is_empty(), "it may be pressed again");
    ground.faults.start(rule(down()), ground.now).unwrap();
    assert!(ground.call(&plain()).is_some(), "and a new one may begin");
}

#[tokio::test(start_paused = true)]
async fn the_same_name_replaces_and_one_name_stops_one_rule() {
    let ground = Ground::with(rule(down()));
    ground.faults.start(rule(Effect::delay(SLOW)), ground.now).unwrap();
    let [only] = &ground.faults.list(ground.now)[..] else { panic!("{:?}", ground.faults) };
    assert_eq!(only.effect().to_string(), "delay=500ms");
    for n in 1..MAX_RULES {
        let more = Rule::new(&format!("more-{n}"), "ratings", down(), ground.now + HOUR);
        ground.faults.start(more, ground.now).unwrap();
    }
    let many = Rule::new("one-more", "ratings", down(), ground.now + HOUR);
    let told = ground.faults.start(many, ground.now).unwrap_err().to_string();
    assert!(told.contains("32 faults are in force already"), "{told}");
    ground.faults.start(rule(down()), ground.now).unwrap();

    assert!(ground.faults.stop("pay-down", ground.now) && !ground.faults.stop("pay-down", ground.now));
    assert_eq!(ground.faults.list(ground.now).len(), MAX_RULES - 1);
}

#[tokio::test(start_paused = true)]
async fn two_rules_for_one_target_draw_for_themselves() {
    let half = Ratio::of(0.5);
    let ground = Ground::with(rule(down().share(half)));
    let second = Rule::new("pay-slow", "payments", Effect::delay(SLOW).share(half), ground.now + HOUR);
    ground.faults.start(second, ground.now).unwrap();
    let (context, mut dice) = (plain(), fastrand::Rng::with_seed(7));
    let mut slow = 0;
    for _ in 0..10_000 {
        let rolls = [dice.u64(..), dice.u64(..)];
        let planned = ground.faults.plan(&context, "payments", None, "", ground.now, rolls);
        slow += u32::from(planned.is_some_and(|planned| &*planned.rule == "pay-slow"));
    }
    assert!((2_300..2_700).contains(&slow), "half of the half that the first left alone: {slow}");
}

#[tokio::test(start_paused = true)]
async fn an_injected_fault_is_noted_and_the_first_one_is_told() {
    let ground = Ground::with(rule(down()));
    let notes = Arc::new(Notes::default());
    let mut context = consenting("ratings:abort=503");
    context.set_notes(Arc::clone(&notes));
    assert!(ground.faults.plan(&context, "catalog", None, "", ground.now, HIT).is_none());
    assert_eq!(notes.fault(), None);
    drop(ground.call(&context.child(ground.now)).unwrap());
    drop(ground.faults.plan(&context, "ratings", None, "", ground.now, HIT).unwrap());
    assert_eq!(notes.fault(), Some("pay-down"));
}

#[tokio::test]
async fn a_process_has_one_set_of_faults() {
    let app = App::builder("orders").config(Config::default()).start().await.unwrap();
    let (now, faults) = (Instant::now(), app.faults().clone());
    app.faults().start(rule(down()), now).unwrap();
    assert_eq!(faults.list(now).len(), 1);
    assert!(app.metrics().encode().contains("fault=\"pay-down\""), "{}", app.metrics().encode());
}

proptest! {
    /// However often a scope is narrowed, nothing goes wrong that the request did not consent to, and what was
    /// taken from it stays taken.
    #[test]
    fn consent_only_narrows(
        consented in proptest::collection::vec(0..4_usize, 0..4),
        kept in proptest::collection::vec(0..4_usize, 0..4),
        rule_too in any::<bool>(),
    ) {
        const TARGETS: [&str; 4] = ["payments", "ratings", "catalog", "users"];
        let scope = |of: &[usize]| {
            let entries: Vec<String> = of.iter().map(|i| format!("{}:abort=503", TARGETS[*i])).collect();
            entries.join("|")
        };
        let ground = Ground::new();
        if rule_too {
            for target in TARGETS {
                let rule = Rule::new(target, target, down(), ground.now + HOUR).scope(Scope::Consent);
                ground.faults.start(rule, ground.now).unwrap();
            }
        }
        let context = consenting(&scope(&consented));
        let mut narrowed = context.child(ground.now);
        narrowed.narrow_faults(&FaultScope::new(&scope(&kept)));
        for (i, target) in TARGETS.into_iter().enumerate() {
            let hit = |context: &Context| {
                ground.faults.plan(context, target, None, "", ground.now, HIT).is_some()
            };
            prop_assert_eq!(hit(&context), consented.contains(&i));
            prop_assert_eq!(hit(&narrowed), consented.contains(&i) && kept.contains(&i));
            prop_assert!(!hit(&plain()));
        }
    }
}
