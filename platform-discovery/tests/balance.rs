//! What a call may rely on when it asks for an endpoint.

#![expect(clippy::unwrap_used, reason = "a test whose scene cannot be set fails")]

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use platform_core::{
    Context, Error, ErrorKind, Hint, Outcome, Verdict, config::Mode, context::Deadline, identity::Identity,
    telemetry::Metrics,
};
use platform_discovery::{
    Balance, Config, Discovery, Endpoint, Found, Resolve, Snapshot, State, Target, balance,
    balance::{Picker, ReadySet},
    source::Hand,
};
use tokio::time::{self, Instant};

struct Scene {
    metrics: Metrics,
    discovery: Discovery,
    source: Hand,
    balance: Balance<Arc<str>>,
}

fn scene(config: &balance::Config) -> Scene {
    let identity = Identity { zone: "a".into(), ..Identity::default() };
    let metrics = Metrics::new(&identity);
    let discovery = Discovery::of(Config::default(), &identity, &metrics).unwrap();
    let source = Hand::new();
    discovery.use_source("catalog", Arc::new(source.clone()));
    let target = Target::parse("catalog").unwrap();
    let balance =
        discovery.balance(&target, config, |endpoint| Arc::from(endpoint.instance.as_str())).unwrap();
    Scene { metrics, discovery, source, balance }
}

fn endpoint(port: u16) -> Endpoint {
    let mut endpoint = Endpoint::at(SocketAddr::from(([127, 0, 0, 1], port)));
    endpoint.instance = format!("i{port}");
    endpoint
}

fn draining(port: u16) -> Endpoint {
    Endpoint { state: State::Draining, ..endpoint(port) }
}

fn context() -> Context {
    Context::root(Instant::now())
}

fn ports<C>(ready: &ReadySet<C>) -> Vec<u16> {
    ready.members().iter().map(|member| member.endpoint().address.port()).collect()
}

/// Lets the watch and the pool do what is due now.
async fn settle() {
    time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn calls_go_to_who_has_less_to_do() {
    let Scene { source, balance, .. } = scene(&balance::Config::default());
    source.say([endpoint(1), endpoint(2)]);
    let first = balance.pick(&context(), 0).await.unwrap();
    for roll in [0, u64::MAX, 1 << 63] {
        let second = balance.pick(&context(), roll).await.unwrap();
        assert_ne!(first.endpoint().address, second.endpoint().address);
        assert_eq!(**second.service(), *second.endpoint().instance);
        assert_eq!(**second.label(), *second.endpoint().address.to_string());
    }
    assert_eq!(balance.ready().members().iter().map(|member| member.in_flight()).sum::<u32>(), 1);
    let guard = first.into_guard();
    assert_eq!(balance.ready().members().iter().map(|member| member.in_flight()).sum::<u32>(), 1);
    drop(guard);
    assert_eq!(balance.ready().members().iter().map(|member| member.in_flight()).sum::<u32>(), 0);
}

/// Calls of `millis` each, one after the other; whom `fails` names fails at once. Returns who was asked how often.
async fn calls(
    balance: &Balance<Arc<str>>,
    count: usize,
    millis: u64,
    fails: impl Fn(u16) -> bool,
) -> BTreeMap<u16, usize> {
    let mut asked = BTreeMap::new();
    let mut dice = fastrand::Rng::with_seed(count as u64);
    for _ in 0..count {
        let mut picked = balance.pick(&context(), dice.u64(..)).await.unwrap();
        let port = picked.endpoint().address.port();
        *asked.entry(port).or_default() += 1;
        let failed = fails(port);
        time::sleep(Duration::from_millis(if failed { 0 } else { millis })).await;
        let outcome = if failed { Outcome::ServerFault } else { Outcome::Success };
        picked.report(&Verdict::new(outcome, Instant::now()));
    }
    asked
}

#[tokio::test(start_paused = true)]
async fn who_fails_at_once_is_nobodys_favourite() {
    let Scene { source, balance, .. } = scene(&balance::Config::default());
    source.say((1..=10).map(endpoint));
    settle().await;
    let asked = calls(&balance, 2_000, 10, |port| port == 3).await;
    assert!(asked[&3] <= 3, "{asked:?}");
    assert!(asked.values().all(|times| *times < 400), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn whom_a_call_waited_for_in_vain_depends_on_who_ended_it() {
    let config = balance::Config { pick: Picker::RoundRobin, ..balance::Config::default() };
    let Scene { source, balance, .. } = scene(&config);
    source.say([endpoint(1)]);
    let latency = || balance.ready().members()[0].latency(Instant::now());
    let until = |millis| {
        let mut context = context();
        context.narrow(Deadline::at(Instant::now() + Duration::from_millis(millis)));
        context
    };
    let mut picked = balance.pick(&until(250), 0).await.unwrap();
    assert_eq!(latency(), None);
    time::sleep(Duration::from_millis(20)).await;
    picked.report(&Verdict::new(Outcome::Success, Instant::now()));
    picked.report(&Verdict::new(Outcome::ServerFault, Instant::now()));
    drop(picked);
    assert_eq!(latency().unwrap().as_millis(), 20, "only the first word counts");

    // The caller left, or another attempt was faster: at least so long, and no failure.
    let picked = balance.pick(&until(250), 0).await.unwrap();
    time::sleep(Duration::from_millis(100)).await;
    drop(picked);
    assert_eq!(latency().unwrap().as_millis(), 100);

    // The attempt's own time was up.
    let picked = balance.pick(&until(250), 0).await.unwrap();
    time::sleep(Duration::from_millis(250)).await;
    drop(picked);
    assert_eq!(latency().unwrap().as_millis(), 5_000);

    // A delay that the target asks for binds for this endpoint.
    let hint = Hint { after: Some(Duration::from_secs(30)), mark: None };
    let mut picked = balance.pick(&until(250), 0).await.unwrap();
    picked.report(&Verdict::new(Outcome::Overload, Instant::now()).with_hint(hint));
    assert_eq!(latency().unwrap().as_millis(), 30_000);
    // Our own refusal says nothing.
    let mut picked = balance.pick(&until(250), 0).await.unwrap();
    picked.report(&Verdict::new(Outcome::Local, Instant::now()));
    assert_eq!(latency().unwrap().as_millis(), 30_000);
}

fn eject(mode: Mode) -> balance::Config {
    let eject = balance::EjectConfig { mode, ..balance::EjectConfig::default() };
    balance::Config { pick: Picker::RoundRobin, eject, ..balance::Config::default() }
}

#[tokio::test(start_paused = true)]
async fn who_fails_five_times_in_a_row_is_left_out_and_comes_back_through_a_probe() {
    let Scene { source, balance, metrics, discovery } = scene(&eject(Mode::Enforce));
    source.say((1..=3).map(endpoint));
    settle().await;
    let asked = calls(&balance, 60, 10, |port| port == 2).await;
    assert_eq!(asked[&2], 5, "{asked:?}");
    assert_eq!(ports(&balance.ready()), [1, 3]);

    let view = discovery.targets().remove(0);
    let sick = &view.endpoints[1];
    assert!(sick.ejected && !view.endpoints[0].ejected);
    let why = sick.sick.as_deref().unwrap();
    assert!(why.starts_with("5 consecutive failures, the last one server, back in "), "{why}");
    assert_eq!((sick.failures, sick.last_failure, view.panic), (5, Some("server"), None));
    let text = metrics.encode();
    for line in [
        "platform_discovery_endpoints{",
        "target=\"catalog\",state=\"ready\"} 2.0",
        "target=\"catalog\",state=\"ejected\"} 1.0",
        "platform_balance_ejections_total{",
        "target=\"catalog\",reason=\"consecutive\",mode=\"enforce\"} 1",
        "target=\"catalog\",reason=\"probe\",mode=\"enforce\"} 0",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }

    // It is still sick: one call finds out.
    time::sleep(Duration::from_secs(30)).await;
    let asked = calls(&balance, 300, 10, |port| port == 2).await;
    assert_eq!(asked[&2], 1, "{asked:?}");
    assert!(metrics.encode().contains("reason=\"probe\",mode=\"enforce\"} 1"));

    // And now it is well, and gets its share back little by little.
    while balance.ready().len() < 3 {
        time::sleep(Duration::from_secs(1)).await;
    }
    let asked = calls(&balance, 300, 10, |_| false).await;
    assert!((1..25).contains(&asked[&2]), "{asked:?}");
    time::sleep(Duration::from_secs(30)).await;
    let asked = calls(&balance, 300, 10, |_| false).await;
    assert!(asked[&2].abs_diff(100) <= 2, "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_run_of_failures_does_not_wait_for_the_next_look() {
    let Scene { source, balance, .. } = scene(&eject(Mode::Enforce));
    source.say((1..=2).map(endpoint));
    settle().await;
    for _ in 0..10 {
        let mut picked = balance.pick(&context(), 0).await.unwrap();
        let failed = picked.endpoint().address.port() == 1;
        let outcome = if failed { Outcome::Unreachable } else { Outcome::Success };
        picked.report(&Verdict::new(outcome, Instant::now()));
    }
    tokio::task::yield_now().await;
    assert_eq!(ports(&balance.ready()), [2]);
}

#[tokio::test(start_paused = true)]
async fn an_operator_says_whether_anybody_is_left_out() {
    let Scene { source, balance, discovery, metrics } = scene(&eject(Mode::Enforce));
    source.say((1..=2).map(endpoint));
    settle().await;
    let one_fails = || calls(&balance, 40, 10, |port| port == 1);
    one_fails().await;
    assert_eq!(ports(&balance.ready()), [2]);
    let told = discovery.lay_eject_mode("night", Some("catalog"), Mode::Observe);
    assert_eq!(told, [(Arc::from("catalog"), Mode::Observe)]);
    assert_eq!(ports(&balance.ready()), [1, 2], "at once");
    let sick = discovery.targets().remove(0).endpoints.remove(0);
    assert!(!sick.ejected && sick.sick.unwrap().contains("it would be back"), "still told");
    discovery.lay_eject_mode("later", None, Mode::Off);
    assert!(discovery.targets().remove(0).endpoints.iter().all(|endpoint| endpoint.sick.is_none()));
    one_fails().await;
    assert_eq!((balance.eject_mode(), ports(&balance.ready())), (Mode::Off, vec![1, 2]));
    // Who comes later is told as well.
    let target = Target::parse("catalog").unwrap();
    let other = discovery.balance(&target, &eject(Mode::Enforce), |_| ()).unwrap();
    assert_eq!(other.eject_mode(), Mode::Off);
    discovery.lift_eject_mode("later");
    assert_eq!(balance.eject_mode(), Mode::Observe);
    one_fails().await;
    time::sleep(Duration::from_secs(2)).await;
    assert_eq!(ports(&balance.ready()), [1, 2]);
    let counted = metrics.encode();
    let observed = counted.lines().find(|line| {
        line.starts_with("platform_balance_ejections_total{")
            && line.contains("mode=\"observe\"")
            && !line.ends_with(" 0")
    });
    assert!(observed.is_some(), "{counted}");
    discovery.lift_eject_mode("night");
    assert_eq!((balance.eject_mode(), ports(&balance.ready())), (Mode::Enforce, vec![2]));
}

#[tokio::test(start_paused = true)]
async fn when_too_many_are_sick_all_are_asked_and_it_is_said() {
    let Scene { source, balance, discovery, .. } = scene(&eject(Mode::Enforce));
    source.say((1..=4).map(endpoint));
    settle().await;
    let asked = calls(&balance, 400, 10, |port| port < 4).await;
    assert!(asked.values().all(|times| *times >= 90), "{asked:?}");
    assert_eq!(ports(&balance.ready()), [1, 2, 3, 4]);
    let view = discovery.targets().remove(0);
    assert_eq!(view.panic.as_deref(), Some("3 of 4 are sick, so all are asked"));
    assert!(view.endpoints.iter().all(|endpoint| !endpoint.ejected));
    // They get well, and it is over.
    calls(&balance, 400, 10, |_| false).await;
    assert_eq!(discovery.targets().remove(0).panic, None);
    time::sleep(Duration::from_secs(30)).await;
    assert!(discovery.targets().remove(0).endpoints.iter().all(|endpoint| endpoint.sick.is_none()));
}

#[tokio::test(start_paused = true)]
async fn the_only_one_is_never_left_out() {
    let Scene { source, balance, discovery, .. } = scene(&eject(Mode::Enforce));
    source.say([endpoint(1)]);
    settle().await;
    calls(&balance, 100, 10, |_| true).await;
    assert_eq!(ports(&balance.ready()), [1]);
    assert_eq!(discovery.targets().remove(0).panic, None);
}

#[tokio::test(start_paused = true)]
async fn our_own_errors_and_callers_that_leave_are_held_against_nobody() {
    let Scene { source, balance, .. } = scene(&eject(Mode::Enforce));
    source.say((1..=2).map(endpoint));
    settle().await;
    for _ in 0..100 {
        let mut picked = balance.pick(&context(), 0).await.unwrap();
        picked.report(&Verdict::new(Outcome::Local, Instant::now()));
        drop(balance.pick(&context(), 0).await.unwrap());
        time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(ports(&balance.ready()), [1, 2]);
    assert!(balance.ready().members().iter().all(|member| member.latency(Instant::now()).is_none()));
}

/// Whatever is answered, to observe is to choose as if there were no such rule, and to count what it would have done.
#[test]
fn to_observe_changes_no_choice() {
    use proptest::{prelude::*, test_runner::TestRunner};
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let play = |mode: Mode, sick: Vec<bool>, seed: u64| {
        runtime().block_on(async move {
            let Scene { source, balance, metrics, .. } = scene(&eject(mode));
            source.say((1..=sick.len() as u16).map(endpoint));
            settle().await;
            let mut dice = fastrand::Rng::with_seed(seed);
            let mut asked = Vec::new();
            // Everybody's turns begin somewhere.
            while balance.pick(&context(), 0).await.unwrap().endpoint().address.port() != 1 {}
            for _ in 0..300 {
                let mut picked = balance.pick(&context(), dice.u64(..)).await.unwrap();
                let port = picked.endpoint().address.port();
                time::sleep(Duration::from_millis(dice.u64(1..40))).await;
                let failed = sick[usize::from(port) - 1] && dice.u8(..) < 200;
                let outcome = if failed { Outcome::ServerFault } else { Outcome::Success };
                picked.report(&Verdict::new(outcome, Instant::now()));
                asked.push(port);
            }
            let text = metrics.encode();
            let counted = text.lines().filter(|line| {
                line.starts_with("platform_balance_ejections_total{") && !line.ends_with(" 0")
            });
            (asked, ports(&balance.ready()), counted.map(str::to_owned).collect::<Vec<_>>())
        })
    };
    let mut runner = TestRunner::new(ProptestConfig { cases: 24, ..ProptestConfig::default() });
    runner
        .run(&(prop::collection::vec(any::<bool>(), 2..6), any::<u64>()), |(sick, seed)| {
            let (off, off_ready, off_counted) = play(Mode::Off, sick.clone(), seed);
            let (observed, ready, counted) = play(Mode::Observe, sick.clone(), seed);
            prop_assert_eq!(off, observed);
            prop_assert_eq!((off_ready.len(), ready.len()), (sick.len(), sick.len()));
            prop_assert!(off_counted.is_empty());
            let is_observed = counted.iter().all(|line| line.contains("mode=\"observe\""));
            prop_assert!(is_observed, "{:?}", counted);
            prop_assert_eq!(!counted.is_empty(), sick.contains(&true), "{:?} {:?}", sick, counted);
            Ok(())
        })
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_is_asked_a_little_first_and_one_call_at_a_time() {
    let Scene { source, balance, .. } = scene(&balance::Config::default());
    source.say((1..=4).map(endpoint));
    settle().await;
    calls(&balance, 400, 10, |_| false).await;
    source.say((1..=5).map(endpoint));
    settle().await;
    // Nobody has had its answer yet: however many come, one of them waits for it.
    let mut dice = fastrand::Rng::with_seed(1);
    let mut waiting = Vec::new();
    for _ in 0..400 {
        waiting.push(balance.pick(&context(), dice.u64(..)).await.unwrap());
    }
    assert_eq!(waiting.iter().filter(|picked| picked.endpoint().address.port() == 5).count(), 1);
    for mut picked in waiting.drain(..) {
        picked.report(&Verdict::new(Outcome::Success, Instant::now() + Duration::from_millis(10)));
    }
    let asked = calls(&balance, 2_000, 1, |_| false).await;
    assert!(asked[&5] < 120, "a tenth of its fifth: {asked:?}");
    time::sleep(Duration::from_secs(30)).await;
    let asked = calls(&balance, 2_000, 1, |_| false).await;
    assert!((300..500).contains(&asked[&5]), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn weights_are_honoured_whoever_chooses() {
    for pick in [Picker::P2c, Picker::LeastRequest, Picker::RoundRobin] {
        let Scene { source, balance, .. } = scene(&balance::Config { pick, ..balance::Config::default() });
        source.say((1..=3).map(|port| Endpoint { weight: u32::from(port), ..endpoint(port) }));
        settle().await;
        let asked = calls(&balance, 6_000, 1, |_| false).await;
        for port in 1..=3 {
            let wanted = 1_000 * usize::from(port);
            assert!(asked[&port].abs_diff(wanted) < 150, "{pick:?}: {asked:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn round_robin_gives_everybody_the_same() {
    let config = balance::Config { pick: Picker::RoundRobin, ..balance::Config::default() };
    let Scene { source, balance, metrics, .. } = scene(&config);
    let away = Endpoint { zone: "b".into(), ..endpoint(3) };
    source.say([endpoint(1), endpoint(2), away]);
    let mut calls = std::collections::HashMap::new();
    for _ in 0..30 {
        let picked = balance.pick(&context(), 0).await.unwrap();
        *calls.entry(picked.endpoint().address.port()).or_insert(0) += 1;
    }
    assert_eq!(calls, [(1, 10), (2, 10), (3, 10)].into());
    let text = metrics.encode();
    let count = |locality: &str| {
        let wanted = format!("target=\"catalog\",target_variant=\"stable\",locality=\"{locality}\"");
        text.lines().find(|line| line.contains(&wanted)).unwrap().rsplit(' ').next().unwrap().to_owned()
    };
    assert_eq!((count("home").as_str(), count("spill").as_str()), ("20", "10"));
}

#[tokio::test(start_paused = true)]
async fn an_empty_set_fails_after_a_second_and_says_who_was_expected() {
    let Scene { source, balance, .. } = scene(&balance::Config::default());
    let begun = Instant::now();
    let error = balance.pick(&context(), 0).await.unwrap_err();
    assert_eq!(begun.elapsed(), Duration::from_secs(1));
    assert_eq!(error.kind(), ErrorKind::NoEndpoints);
    assert_eq!((error.target(), error.layer()), (Some("catalog"), "balance"));
    assert!(error.detail().contains("a test has not answered yet"), "{error}");

    source.answer(Ok(Snapshot::new([Found::new(draining(1))]).skipping(2)));
    time::sleep(Duration::from_secs(3)).await;
    let error = balance.pick(&context(), 0).await.unwrap_err();
    for part in ["answered 4.0s ago", "0 ready and 1 draining", "2 records make no sense"] {
        assert!(error.detail().contains(part), "{part}: {error}");
    }
    source.fail(Error::new(ErrorKind::Unreachable, "the registry is down"));
    let error = balance.pick(&context(), 0).await.unwrap_err();
    assert!(error.detail().contains("it fails now: unreachable: the registry is down"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_beyond_the_deadline() {
    let Scene { balance, .. } = scene(&balance::Config::default());
    let begun = Instant::now();
    let mut context = context();
    context.narrow(Deadline::at(begun + Duration::from_millis(200)));
    let error = balance.pick(&context, 0).await.unwrap_err();
    assert_eq!((error.kind(), begun.elapsed()), (ErrorKind::NoEndpoints, Duration::from_millis(200)));
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_served_as_soon_as_somebody_appears() {
    let Scene { source, balance, .. } = scene(&balance::Config::default());
    source.say([]);
    let begun = Instant::now();
    let appear = async {
        time::sleep(Duration::from_millis(300)).await;
        source.say([endpoint(1)]);
    };
    let context = context();
    let (picked, ()) = tokio::join!(balance.pick(&context, 0), appear);
    assert_eq!(picked.unwrap().endpoint().address.port(), 1);
    assert!(begun.elapsed() < Duration::from_millis(310));
}

#[tokio::test(start_paused = true)]
async fn an_error_is_not_an_empty_set_and_the_age_shows() {
    let Scene { source, balance, discovery, metrics } = scene(&balance::Config::default());
    source.say([endpoint(1), endpoint(2)]);
    settle().await;
    source.fail(Error::new(ErrorKind::Unreachable, "the registry is down"));
    time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(ports(&balance.ready()), [1, 2]);
    balance.pick(&context(), 0).await.unwrap();
    let view = discovery.targets().remove(0);
    assert!(view.age_ms.unwrap() >= 3_600_000);
    assert!(view.failing.unwrap().contains("the registry is down"));
    let text = metrics.encode();
    let age = text.lines().find(|line| line.starts_with("platform_discovery_age_seconds{")).unwrap();
    assert!(age.contains("target=\"catalog\"") && age.contains(" 3600."), "{age}");
    assert!(text.contains("target=\"catalog\",result=\"error\"} 1"), "{text}");

    source.say([endpoint(2)]);
    settle().await;
    let view = discovery.targets().remove(0);
    assert_eq!((view.failing, view.held, view.endpoints.len()), (None, 1, 2));
}

#[tokio::test(start_paused = true)]
async fn draining_is_obeyed_at_once_and_vanishing_after_ten_seconds() {
    let Scene { source, balance, metrics, .. } = scene(&balance::Config::default());
    source.say([endpoint(1), endpoint(2), endpoint(3)]);
    settle().await;
    let picked = balance.ready();
    source.say([draining(1), endpoint(2)]);
    settle().await;
    assert_eq!(ports(&balance.ready()), [2, 3], "1 drains, 3 only vanished");
    let text = metrics.encode();
    assert!(text.contains("target=\"catalog\",state=\"draining\"} 1.0"), "{text}");
    time::sleep(Duration::from_millis(9_990)).await;
    assert_eq!(ports(&balance.ready()), [2, 3]);
    time::sleep(Duration::from_millis(10)).await;
    assert_eq!(ports(&balance.ready()), [2]);
    // The one that stayed is the one that it was.
    assert!(Arc::ptr_eq(picked.members()[1].service(), balance.ready().members()[0].service()));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_not_renewed_ends() {
    let Scene { source, balance, .. } = scene(&balance::Config::default());
    let leased = |seconds: u64| Found {
        expires: Some(Instant::now() + Duration::from_secs(seconds)),
        ..Found::new(endpoint(1))
    };
    let said = Snapshot::new([leased(30), Found::new(endpoint(2))]);
    for _ in 0..31 {
        source.answer(Ok(said.clone()));
        settle().await;
        assert_eq!(ports(&balance.ready()), [1, 2]);
        time::sleep(Duration::from_millis(960)).await;
    }
    time::sleep(Duration::from_secs(1)).await;
    source.answer(Ok(said));
    settle().await;
    assert_eq!(ports(&balance.ready()), [2]);
}

#[tokio::test(start_paused = true)]
async fn two_clients_of_one_target_share_a_watch_and_the_view_adds_up() {
    let Scene { source, balance, discovery, .. } = scene(&balance::Config::default());
    let target = Target::parse("catalog").unwrap();
    let other = discovery.balance(&target, &balance::Config::default(), |_| ()).unwrap();
    source.say([endpoint(1)]);
    let _first = balance.pick(&context(), 0).await.unwrap();
    let _second = other.pick(&context(), 0).await.unwrap();
    let views = discovery.targets();
    assert_eq!(views.len(), 1);
    assert_eq!(views[0].endpoints[0].in_flight, 2);
    let json = serde_json::to_value(&views[0]).unwrap();
    assert_eq!(json["target"], "catalog");
    assert_eq!(json["endpoints"][0]["state"], "ready");
    assert_eq!(json["endpoints"][0]["address"], "127.0.0.1:1");
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_with_its_last_client_and_its_series_go_with_it() {
    let Scene { source, balance, discovery, metrics } = scene(&balance::Config::default());
    source.say([endpoint(1)]);
    let picked = balance.pick(&context(), 0).await.unwrap();
    assert!(metrics.encode().contains("platform_discovery_age_seconds{"));
    assert!(source.is_heard());
    let second = balance.clone();
    drop(balance);
    settle().await;
    assert!(source.is_heard());
    drop(second);
    settle().await;
    assert!(!source.is_heard());
    assert!(discovery.targets().is_empty());
    assert!(!metrics.encode().contains("platform_discovery_age_seconds{"));
    drop(picked);
}

#[tokio::test(start_paused = true)]
async fn a_start_waits_for_first_answers_and_then_says_who_is_missing() {
    let Scene { source, balance, discovery, .. } = scene(&balance::Config::default());
    let begun = Instant::now();
    let missing = discovery.ready(discovery.start_wait()).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
    assert_eq!(&*missing[0].target, "catalog");
    assert!(missing[0].why.contains("has not answered yet"));

    source.say([]);
    let missing = discovery.ready(Duration::from_secs(5)).await;
    assert!(missing[0].why.contains("0 ready"), "{}", missing[0].why);
    source.say([endpoint(1)]);
    settle().await;
    assert!(discovery.ready(Duration::from_secs(5)).await.is_empty());
    assert_eq!(begun.elapsed(), Duration::from_millis(5_001));
    drop(balance);
}

#[tokio::test(start_paused = true)]
async fn fixed_addresses_are_there_and_never_age() {
    let identity = Identity::default();
    let discovery = Discovery::of(Config::default(), &identity, &Metrics::new(&identity)).unwrap();
    let target = Target::parse("fixed://127.0.0.1:1,127.0.0.1:2").unwrap().named("ratings");
    let balance = discovery.balance(&target, &balance::Config::default(), |_| ()).unwrap();
    balance.pick(&context(), 0).await.unwrap();
    time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(ports(&balance.ready()), [1, 2]);
    let view = discovery.targets().remove(0);
    assert_eq!((view.target.as_str(), view.source.as_str(), view.age_ms), ("ratings", "fixed", Some(0)));
}

#[tokio::test(start_paused = true)]
async fn a_source_of_ones_own_may_end_without_a_word() {
    struct Silent;
    impl Resolve for Silent {
        fn resolve(&self, _target: &Target) -> platform_discovery::Snapshots {
            Box::pin(futures_util::stream::empty())
        }
    }
    let Scene { discovery, .. } = scene(&balance::Config::default());
    discovery.use_source("silent", Arc::new(Silent));
    let target = Target::parse("silent").unwrap();
    let balance = discovery.balance(&target, &balance::Config::default(), |_| ()).unwrap();
    let error = balance.pick(&context(), 0).await.unwrap_err();
    assert!(error.detail().contains("ended without an answer"), "{error}");
}
