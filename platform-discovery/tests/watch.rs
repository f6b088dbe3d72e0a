//! What is believed while the registry lies, sleeps or is gone.

#![expect(clippy::unwrap_used, reason = "a test whose scene cannot be set fails")]

use std::{fs, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use platform_core::{Context, Error, ErrorKind, config::Ratio, identity::Identity, telemetry::Metrics};
use platform_discovery::{
    Balance, Config, Discovery, Endpoint, State, Target, TargetView, balance,
    config::{Dir, Removals},
    source::Hand,
};
use tokio::time::{self, Instant};

struct Scene {
    metrics: Metrics,
    discovery: Discovery,
    source: Hand,
    balance: Balance<()>,
}

fn scene(config: Config, source: Hand) -> Scene {
    let identity = Identity::default();
    let metrics = Metrics::new(&identity);
    let discovery = Discovery::of(config, &identity, &metrics).unwrap();
    discovery.use_source("catalog", Arc::new(source.clone()));
    let target = Target::parse("catalog").unwrap();
    let balance = discovery.balance(&target, &balance::Config::default(), |_| ()).unwrap();
    Scene { metrics, discovery, source, balance }
}

impl Scene {
    fn view(&self) -> TargetView {
        self.discovery.targets().remove(0)
    }

    fn ready(&self) -> usize {
        self.balance.ready().len()
    }

    fn counted(&self, result: &str) -> u64 {
        let label = format!("target=\"catalog\",result=\"{result}\"");
        let text = self.metrics.encode();
        let line = text.lines().find(|line| line.contains(&label)).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    fn age(&self) -> f64 {
        let text = self.metrics.encode();
        let line = text.lines().find(|line| line.starts_with("platform_discovery_age_seconds{")).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }
}

fn endpoints(ports: std::ops::Range<u16>) -> Vec<Endpoint> {
    ports
        .map(|port| Endpoint {
            instance: format!("i{port}"),
            ..Endpoint::at(SocketAddr::from(([127, 0, 0, 1], port)))
        })
        .collect()
}

fn down() -> Error {
    Error::new(ErrorKind::Unreachable, "the registry is down")
}

fn context() -> Context {
    Context::root(Instant::now())
}

async fn settle() {
    time::sleep(Duration::from_millis(1)).await;
}

/// Where the lists of this scene are kept.
fn kept_in(folder: &Path) -> Config {
    let dir = Dir { path: folder.join("registry"), ..Dir::default() };
    Config { dir, ..Config::default() }
}

/// A process that was there before the registry went.
async fn earlier(config: &Config, endpoints: Vec<Endpoint>) {
    let scene = scene(config.clone(), Hand::new().remembered());
    scene.source.say(endpoints);
    time::sleep(Duration::from_secs(6)).await;
    assert_eq!(scene.view().age_ms, Some(6_000));
}

fn lists(folder: &Path) -> Vec<std::path::PathBuf> {
    let listing = fs::read_dir(folder.join("snapshots")).unwrap();
    listing.map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_is_held_until_it_is_confirmed_and_everybody_can_see_it() {
    let scene = scene(Config::default(), Hand::new());
    scene.source.say(endpoints(1..11));
    settle().await;
    for second in 0..30 {
        scene.source.say([]);
        settle().await;
        assert_eq!(scene.ready(), 10, "after {second} s");
        scene.balance.pick(&context(), 7).await.unwrap();
        time::sleep(Duration::from_millis(999)).await;
    }
    let view = scene.view();
    assert!(view.suspect.unwrap().contains("it told of 0 where there were 10 30.0s ago"));
    assert_eq!((view.held, scene.counted("suspect")), (10, 30));
    assert!(scene.age() >= 30.0, "what is not believed makes nothing younger: {}", scene.age());
    scene.source.say([]);
    settle().await;
    assert_eq!((scene.ready(), scene.view().suspect), (0, None));
    assert!(scene.age() < 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_first_empty_answer_is_an_answer_and_without_a_limit_only_the_hold_remains() {
    let none = Removals { mass: None, ..Removals::default() };
    let scene = scene(Config { removals: none, ..Config::default() }, Hand::new());
    scene.source.say([]);
    settle().await;
    assert_eq!((scene.view().age_ms, scene.view().suspect), (Some(1), None));
    scene.source.say(endpoints(1..11));
    scene.source.say([]);
    time::sleep(Duration::from_millis(9_990)).await;
    assert_eq!(scene.ready(), 10);
    time::sleep(Duration::from_millis(20)).await;
    assert_eq!((scene.ready(), scene.counted("suspect")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_limit_is_the_one_that_is_set() {
    let strict = Removals { mass: Ratio::new(0.2), ..Removals::default() };
    let scene = scene(Config { removals: strict, ..Config::default() }, Hand::new());
    scene.source.say(endpoints(1..11));
    scene.source.say(endpoints(1..10));
    settle().await;
    assert_eq!(scene.view().suspect, None);
    scene.source.say(endpoints(1..9));
    settle().await;
    assert!(scene.view().suspect.is_some());
    // An announced stop of all is believed at once.
    let draining =
        endpoints(1..11).into_iter().map(|endpoint| Endpoint { state: State::Draining, ..endpoint });
    scene.source.say(draining);
    settle().await;
    assert_eq!((scene.ready(), scene.view().suspect), (0, None));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_says_nothing_more_is_asked_anew() {
    let scene = scene(Config::default(), Hand::new());
    scene.source.say(endpoints(1..11));
    scene.source.say(endpoints(1..4));
    time::sleep(Duration::from_millis(29_990)).await;
    assert_eq!((scene.ready(), scene.counted("suspect")), (10, 1));
    // Whoever is resolved again tells the last that it knows.
    time::sleep(Duration::from_millis(10_020)).await;
    assert_eq!((scene.ready(), scene.counted("suspect")), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_start_while_the_registry_is_down_serves_from_the_saved_list_within_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let config = kept_in(folder.path());
    earlier(&config, endpoints(1..4)).await;
    for fails in [false, true] {
        let begun = Instant::now();
        let scene = scene(config.clone(), Hand::new().remembered());
        if fails {
            scene.source.fail(down());
        }
        let missing = scene.discovery.ready(scene.discovery.start_wait()).await;
        assert_eq!(missing, []);
        scene.balance.pick(&context(), 0).await.unwrap();
        assert!(begun.elapsed() <= Duration::from_secs(1), "{:?}", begun.elapsed());
        let view = scene.view();
        assert!(view.saved && view.endpoints.len() == 3 && view.failing.is_some() == fails);
        // Its age is counted from when it was true, also over an hour of outage.
        time::sleep(Duration::from_secs(3_600)).await;
        assert!(scene.age() >= 3_600.0 && scene.ready() == 3);

        scene.source.say(endpoints(3..6));
        settle().await;
        let view = scene.view();
        assert_eq!((view.saved, view.held, scene.ready()), (false, 0, 3), "the source wins");
        assert!(scene.age() < 1.0);
        // What it said is the list of the next start; back to the first for the next round.
        scene.source.say(endpoints(1..4));
        time::sleep(Duration::from_secs(15)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_comes_back_empty_does_not_take_the_saved_list_away() {
    let folder = tempfile::tempdir().unwrap();
    let config = kept_in(folder.path());
    earlier(&config, endpoints(1..4)).await;
    let scene = scene(config, Hand::new().remembered());
    scene.source.fail(down());
    settle().await;
    for _ in 0..11 {
        scene.source.say([]);
        time::sleep(Duration::from_secs(1)).await;
        scene.balance.pick(&context(), 0).await.unwrap();
        assert!(scene.view().saved && scene.view().suspect.is_some());
    }
    scene.source.say(endpoints(1..4));
    settle().await;
    assert_eq!((scene.view().saved, scene.view().suspect, scene.ready()), (false, None, 3));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_answers_is_never_kept_waiting_and_a_bad_list_is_as_good_as_none() {
    let folder = tempfile::tempdir().unwrap();
    let config = kept_in(folder.path());
    earlier(&config, endpoints(1..4)).await;
    let quick = scene(config.clone(), Hand::new().remembered());
    quick.source.say(endpoints(7..8));
    time::sleep(Duration::from_secs(2)).await;
    assert_eq!((quick.ready(), quick.view().saved), (1, false));

    let [list] = lists(folder.path()).try_into().unwrap();
    fs::write(&list, "not a list").unwrap();
    let scene = scene(config, Hand::new().remembered());
    let error = scene.balance.pick(&context(), 0).await.unwrap_err();
    assert!(error.detail().contains("has not answered yet"), "{error}");
    assert!(!scene.view().saved);
}

#[tokio::test(start_paused = true)]
async fn what_needs_no_list_keeps_none_and_neither_does_who_wants_none() {
    let folder = tempfile::tempdir().unwrap();
    let config = kept_in(folder.path());
    earlier(&Config { snapshot: "none".into(), ..config.clone() }, endpoints(1..4)).await;
    let forgetful = scene(config.clone(), Hand::new());
    forgetful.source.say(endpoints(1..4));
    let target = Target::parse("fixed://127.0.0.1:1").unwrap();
    let _fixed = forgetful.discovery.balance(&target, &balance::Config::default(), |_| ()).unwrap();
    time::sleep(Duration::from_secs(1)).await;
    assert!(!folder.path().join("snapshots").exists());

    let elsewhere = folder.path().join("lists");
    earlier(&Config { snapshot: elsewhere.clone(), ..config }, endpoints(1..4)).await;
    assert_eq!(fs::read_dir(elsewhere).unwrap().count(), 1);
}
