//! Who of all endpoints is considered, as a caller sees it.

#![expect(clippy::unwrap_used, reason = "a test whose scene cannot be set fails")]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use http::HeaderMap;
use platform_core::{
    Context, Outcome, Verdict,
    config::Ratio,
    context::wire::{self, Trust},
    identity::Identity,
    telemetry::Metrics,
};
use platform_discovery::{
    Balance, Config, Discovery, Endpoint, EndpointSet, State, Target,
    balance::{self, Key, Picker, Route},
    source::Hand,
};
use tokio::time::{self, Instant};

struct Scene {
    metrics: Metrics,
    discovery: Discovery,
    source: Hand,
    balance: Balance<()>,
}

fn scene(zone: &str, config: &balance::Config) -> Scene {
    let identity = Identity {
        name: "orders".into(),
        instance: "orders-3".into(),
        zone: zone.into(),
        ..Identity::default()
    };
    let metrics = Metrics::new(&identity);
    let discovery = Discovery::of(Config::default(), &identity, &metrics).unwrap();
    let source = Hand::new();
    discovery.use_source("catalog", Arc::new(source.clone()));
    let target = Target::parse("catalog").unwrap();
    let balance = discovery.balance(&target, config, |_| ()).unwrap();
    Scene { metrics, discovery, source, balance }
}

fn endpoint(port: u16, zone: &str, variant: &str) -> Endpoint {
    Endpoint {
        instance: format!("catalog-{port}"),
        zone: zone.into(),
        variant: variant.into(),
        ..Endpoint::at(SocketAddr::from(([127, 0, 0, 1], port)))
    }
}

/// Four in each of three zones.
fn zones() -> Vec<Endpoint> {
    (1..=12).map(|port| endpoint(port, ["a", "b", "c"][usize::from(port - 1) / 4], "stable")).collect()
}

/// As it arrives with this baggage from a peer that may ask for a route.
fn asking(baggage: &str) -> Context {
    let mut headers = HeaderMap::new();
    headers.insert("baggage", baggage.parse().unwrap());
    wire::read(&headers, Trust { overrides: true, ..Trust::INTERNAL }, Instant::now()).context
}

fn ordinary() -> Context {
    Context::root(Instant::now())
}

/// Which zone and variant got how many of 1,000 calls.
fn calls(balance: &Balance<()>, context: &Context) -> BTreeMap<(String, String), u32> {
    let mut seen = BTreeMap::new();
    let mut dice = fastrand::Rng::with_seed(7);
    for _ in 0..1_000 {
        let picked = balance.try_pick(context, dice.u64(..)).unwrap();
        let endpoint = picked.endpoint();
        *seen.entry((endpoint.zone.clone(), endpoint.variant.clone())).or_default() += 1;
    }
    seen
}

fn zones_of(balance: &Balance<()>) -> Vec<String> {
    calls(balance, &ordinary()).into_keys().map(|(zone, _)| zone).collect()
}

fn series(text: &str, locality: &str) -> u64 {
    let wanted = format!("locality=\"{locality}\"}}");
    let lines = text.lines().filter(|line| line.starts_with("platform_balance_picks_total{"));
    let count = |line: &str| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64;
    lines.filter(|line| line.contains(&wanted)).map(count).sum()
}

/// Lets the watch and the pool do what is due now.
async fn settle() {
    time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn calls_stay_at_home_spill_when_it_shrinks_and_come_back() {
    let Scene { source, balance, metrics, .. } = scene("b", &balance::Config::default());
    source.say(zones());
    settle().await;
    assert_eq!(zones_of(&balance), ["b"]);
    assert_eq!((series(&metrics.encode(), "home"), series(&metrics.encode(), "spill")), (1_000, 0));

    // Home drains one after the other.
    let mut said = zones();
    (4..7).for_each(|index| said[index].state = State::Draining);
    source.say(said.clone());
    settle().await;
    let seen = calls(&balance, &ordinary());
    let home = seen[&("b".to_owned(), "stable".to_owned())];
    // 1 of 9 with a reserve of 1.4 carries 47 % of a third.
    assert!((400..540).contains(&home), "{seen:?}");
    let spilled = series(&metrics.encode(), "spill");
    assert_eq!(spilled, u64::from(1_000 - home));
    said[7].state = State::Draining;
    source.say(said);
    settle().await;
    assert_eq!(zones_of(&balance), ["a", "c"]);

    source.say(zones());
    settle().await;
    assert_eq!(zones_of(&balance), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn a_zone_that_goes_silent_is_left_and_found_again() {
    let Scene { source, balance, .. } = scene("a", &balance::Config::default());
    source.say(zones());
    settle().await;
    let mut dice = fastrand::Rng::with_seed(3);
    // Until each of the four has failed five times in a row; a repeat of each finds somebody elsewhere. When all four have
    // failed once, a few of a hundred are left that find out more.
    let (mut home, mut last) = (0, 0);
    for call in 0..3_000 {
        let Some(mut picked) = balance.try_pick(&ordinary(), dice.u64(..)) else { continue };
        if picked.endpoint().zone != "a" {
            picked.report(&Verdict::new(Outcome::Success, Instant::now()));
            continue;
        }
        (home, last) = (home + 1, call);
        let asked = [Arc::clone(picked.label())];
        let other = balance.try_pick_other(&ordinary(), dice.u64(..), &asked, true).unwrap();
        assert_ne!(other.endpoint().zone, "a");
        picked.report(&Verdict::new(Outcome::Timeout, Instant::now()));
        settle().await;
    }
    assert_eq!(zones_of(&balance), ["b", "c"]);
    assert!(home < 60 && last > 10 * home, "{home} of the first {last} calls went home");
    // It is well again, and is asked again when its time is over.
    for _ in 0..400 {
        time::sleep(Duration::from_secs(1)).await;
        let mut picked = balance.try_pick(&ordinary(), dice.u64(..)).unwrap();
        picked.report(&Verdict::new(Outcome::Success, Instant::now()));
    }
    assert_eq!(zones_of(&balance), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn where_our_own_kind_runs_is_taken_into_account() {
    let Scene { source, balance, discovery, .. } = scene("a", &balance::Config::default());
    source.say(zones());
    // Of our own kind all run in zone a, which has a third of the capacity.
    let equals = Hand::new();
    discovery.use_source("orders", Arc::new(equals.clone()));
    let mut followed = discovery.follow(&Target::parse("orders").unwrap()).unwrap();
    equals.say(
        (1..=6).map(|port| Endpoint { instance: format!("orders-{port}x"), ..endpoint(port, "a", "stable") }),
    );
    let set: Arc<EndpointSet> = followed.changed().await;
    settle().await;
    assert_eq!(zones_of(&balance), ["a"], "nobody knows yet");
    discovery.set_equals(&set);
    let seen = calls(&balance, &ordinary());
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert!(seen.values().all(|calls| (260..410).contains(calls)), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn an_evacuated_zone_is_left_at_once_and_the_view_says_so() {
    let Scene { source, balance, discovery, .. } = scene("a", &balance::Config::default());
    source.say(zones());
    settle().await;
    assert_eq!(discovery.zones(), ["a", "b", "c"]);
    assert!(discovery.evacuate("a") && !discovery.evacuate("a"));
    assert_eq!(zones_of(&balance), ["b", "c"]);
    assert_eq!(discovery.targets()[0].evacuated, ["a"]);
    assert_eq!(balance.ready().len(), 8);
    // Repeats do not go back there either.
    let picked = balance.try_pick(&ordinary(), 7).unwrap();
    let asked = [Arc::clone(picked.label())];
    for roll in 0..100 {
        let other = balance.try_pick_other(&ordinary(), roll << 30, &asked, false).unwrap();
        assert_ne!(other.endpoint().zone, "a");
    }
    // One that comes there is not asked, and when nobody else is left everybody there is.
    let mut said = zones();
    said.push(endpoint(13, "a", "stable"));
    source.say(said.clone());
    settle().await;
    assert_eq!(zones_of(&balance), ["b", "c"]);
    said.iter_mut()
        .filter(|endpoint| endpoint.zone != "a")
        .for_each(|endpoint| endpoint.state = State::Draining);
    source.say(said);
    settle().await;
    assert_eq!(zones_of(&balance), ["a"]);
    assert!(discovery.readmit("a") && !discovery.readmit("a"));
    assert!(discovery.targets()[0].evacuated.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_variant_gets_its_share_and_who_asks_by_name_gets_it() {
    let shares = [("canary".to_owned(), Ratio::of(0.1))].into();
    let Scene { source, balance, .. } =
        scene("", &balance::Config { variants: shares, ..balance::Config::default() });
    let mut said = zones();
    said.extend([endpoint(13, "a", "canary"), endpoint(14, "a", "pr-123")]);
    source.say(said.clone());
    settle().await;
    let by_variant = |context: &Context| {
        let mut seen: BTreeMap<String, u32> = BTreeMap::new();
        calls(&balance, context)
            .into_iter()
            .for_each(|((_, variant), calls)| *seen.entry(variant).or_default() += calls);
        seen
    };
    let seen = by_variant(&ordinary());
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["canary", "stable"], "nobody asked for the branch");
    assert!((60..140).contains(&seen["canary"]), "{seen:?}");
    let branch = asking("platform-route=catalog:pr-123");
    assert_eq!(by_variant(&branch), [("pr-123".to_owned(), 1_000)].into());
    assert_eq!(balance.try_pick(&branch, 7).unwrap().route(), Route::Named);
    // Whoever calls it by another name asks for it by either.
    let target = Target::parse("dir://catalog").unwrap().named("films");
    let Scene { discovery, source: films, .. } = scene("", &balance::Config::default());
    discovery.use_source("films", Arc::new(films.clone()));
    let balance_films = discovery.balance(&target, &balance::Config::default(), |_| ()).unwrap();
    for (baggage, wanted) in [
        ("platform-route=catalog:pr-123", Some("pr-123")),
        ("platform-route=catalog:a|films:b", Some("b")),
        ("platform-route=ratings:pr-123", None),
    ] {
        assert_eq!(balance_films.wanted(&asking(baggage)), wanted);
    }

    // It dies in the middle of the test: not one call fails.
    said.pop();
    source.say(
        said.iter().cloned().chain([Endpoint { state: State::Draining, ..endpoint(14, "a", "pr-123") }]),
    );
    settle().await;
    assert_eq!(by_variant(&branch), [("stable".to_owned(), 1_000)].into());
    assert_eq!(balance.try_pick(&branch, 7).unwrap().route(), Route::Fallback);
    assert_eq!(balance.try_pick(&ordinary(), 7).unwrap().route(), Route::Ordinary);
}

#[tokio::test(start_paused = true)]
async fn very_many_endpoints_are_shared_out_among_the_clients() {
    let Scene { source, balance, discovery, .. } = scene("", &balance::Config::default());
    source.say((1..=200).map(|port| endpoint(port, "", "stable")));
    settle().await;
    assert_eq!(balance.ready().len(), 200, "nobody knows of how many clients this is one");
    let equals = Hand::new();
    discovery.use_source("orders", Arc::new(equals.clone()));
    let mut followed = discovery.follow(&Target::parse("orders").unwrap()).unwrap();
    equals
        .say((0..50).map(|n| Endpoint { instance: format!("orders-{n}"), ..endpoint(n + 1, "", "stable") }));
    let set = followed.changed().await;
    discovery.set_equals(&set);
    let ports = |ready: &balance::ReadySet<()>| -> BTreeSet<u16> {
        ready.members().iter().map(|member| member.endpoint().address.port()).collect()
    };
    let before = ports(&balance.ready());
    assert_eq!(before.len(), 12);
    // What comes and goes elsewhere costs at most a connection.
    source.say((1..=201).map(|port| endpoint(port, "", "stable")));
    settle().await;
    assert!(ports(&balance.ready()).difference(&before).count() <= 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_goes_to_one_endpoint_and_only_what_it_must_moves() {
    let config = balance::Config { pick: Picker::RingHash, ..balance::Config::default() };
    let Scene { source, balance, .. } = scene("a", &config);
    assert_eq!(config.key, Key::Tenant);
    source.say(zones());
    settle().await;
    let place = |tenant: usize| {
        let context = asking(&format!("platform-tenant=t{tenant}"));
        let roll = balance.roll(&context, None);
        assert_eq!(roll, balance.roll(&context, None), "the tenant's, not the dice's");
        balance.try_pick(&context, roll).unwrap().endpoint().address.port()
    };
    let before: Vec<u16> = (0..300).map(place).collect();
    assert_eq!(before.iter().collect::<BTreeSet<_>>().len(), 12, "in every zone");
    assert_eq!((0..300).map(place).collect::<Vec<_>>(), before);
    let mut said = zones();
    said[4].state = State::Draining;
    source.say(said);
    settle().await;
    for (tenant, before) in before.iter().enumerate() {
        assert!(place(tenant) == *before || *before == 5, "{tenant}");
    }
    // What is given counts before the tenant, and without a key anybody will do.
    let context = asking("platform-tenant=t1");
    assert_ne!(balance.roll(&context, Some(b"cart-1")), balance.roll(&context, None));
    assert_eq!(balance.roll(&context, Some(b"cart-1")), balance.roll(&ordinary(), Some(b"cart-1")));
    assert_ne!(balance.roll(&ordinary(), None), balance.roll(&ordinary(), None));
}

/// What others have in flight is no room for the two of one version.
#[tokio::test(start_paused = true)]
async fn a_hot_key_of_one_version_is_shared_by_its_endpoints_however_much_others_have() {
    let config = balance::Config { pick: Picker::RingHash, ..balance::Config::default() };
    let Scene { source, balance, .. } = scene("a", &config);
    let mut said = zones();
    for new in &mut said[..2] {
        new.version = "2.0.0".to_owned();
    }
    source.say(said);
    settle().await;
    let pick = |baggage: &str| {
        let context = asking(baggage);
        let wanted = balance.roll(&context, None);
        balance.try_pick(&context, wanted).unwrap()
    };
    let mut held: Vec<_> = (0..60).map(|tenant| pick(&format!("platform-tenant=t{tenant}"))).collect();
    held.extend((0..24).map(|_| pick("platform-tenant=hot,platform-route=catalog:2.0.0")));
    let mut each = [0_u32; 13];
    held.iter().for_each(|picked| each[usize::from(picked.endpoint().address.port())] += 1);
    let (here, most) = (each[1] + each[2], each[1].max(each[2]));
    assert!(here >= 24, "{each:?}");
    // A quarter above the mean, rounded up.
    assert!(f64::from(most) <= (1.25 * f64::from(here + 1) / 2.0).ceil(), "{each:?}");
}

#[test]
fn what_makes_no_sense_is_refused_by_its_key() {
    use platform_core::config;
    let read = |text: &str| -> platform_core::Result<balance::Config> {
        let config = config::Config::builder().toml(format!("[defaults.balance]\n{text}")).load().unwrap();
        let section: balance::Config = config.section("defaults.balance")?;
        config.check("defaults.balance", &section)?;
        Ok(section)
    };
    let good = "pick = \"ring_hash\"\nkey = \"X-Cart\"\nset = { subset = \"none\" }\n\
                variants = { canary = 0.05, old = 0.0 }\nversions = { \"2.0.0\" = 0.95 }";
    let section = read(good).unwrap();
    assert_eq!((section.key, section.set.subset), (Key::Header("x-cart".into()), None));
    assert_eq!(read("").unwrap().set.subset, Some(12));
    for (wrong, why) in [
        ("set = { subset = 1 }", "nobody for a repeat"),
        ("set = { subset = \"all\" }", "neither a number"),
        ("variants = { canary = 5 }", "0.05"),
        ("variants = { stable = 0.5 }", "gets what is left"),
        ("variants = { a = 0.6 }\nversions = { b = 0.5 }", "add up to 1.1"),
        ("key = \"\"", "no header's name"),
        ("key = \"x cart\"", "no header's name"),
    ] {
        let error = read(wrong).unwrap_err();
        assert!(error.detail().contains(why), "{wrong}: {error}");
    }
}
