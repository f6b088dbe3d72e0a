//! Two instances register in a folder, a client finds them, and nobody is called who has left.

#![expect(clippy::unwrap_used, reason = "a test whose scene cannot be set fails")]

use std::{
    fs,
    net::SocketAddr,
    net::TcpListener,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use platform_core::{
    Context, ErrorKind,
    app::{Announce as _, Bound, Withdrawal},
    config::Mode,
    identity::Identity,
    telemetry::Metrics,
};
use platform_discovery::{
    Balance, Config, Discovery, Protocol, Record, Registration, Target, balance,
    config::{Dir, Register},
    register::Announcement,
};
use tokio::time::{self, Instant};

struct Scene {
    folder: tempfile::TempDir,
    path: PathBuf,
    config: Config,
    discovery: Discovery,
    balance: Balance<()>,
}

fn scene() -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry");
    let config = Config { dir: Dir { path: path.clone(), ..Dir::default() }, ..Config::default() };
    let identity = Identity { name: "edge".into(), ..Identity::default() };
    let discovery = Discovery::of(config.clone(), &identity, &Metrics::new(&identity)).unwrap();
    let target = Target::parse("catalog").unwrap();
    let balance = discovery.balance(&target, &balance::Config::default(), |_| ()).unwrap();
    Scene { folder, path, config, discovery, balance }
}

fn registration(config: &Config, instance: &str, port: u16) -> Registration {
    let identity = Identity {
        name: "catalog".into(),
        version: "1.4.2".into(),
        instance: instance.into(),
        zone: "a".into(),
        owner: "team-catalog".into(),
        ..Identity::default()
    };
    let listen = SocketAddr::from(([127, 0, 0, 1], port));
    let record = Record::of(&identity, config, listen, None, Protocol::Http1).unwrap();
    Registration::new(config, record).unwrap()
}

fn ready(balance: &Balance<()>) -> Vec<String> {
    balance.ready().members().iter().map(|member| member.endpoint().instance.clone()).collect()
}

/// One look at the folder, and a little.
async fn look() {
    time::sleep(Duration::from_millis(300)).await;
}

#[tokio::test(start_paused = true)]
async fn who_registers_is_called_and_who_drains_is_not() {
    let Scene { folder: _folder, config, discovery, balance, path, .. } = scene();
    let first = registration(&config, "catalog-1", 7001);
    let second = registration(&config, "catalog-2", 7002);
    first.announce().await.unwrap();
    second.announce().await.unwrap();
    look().await;
    assert_eq!(ready(&balance), ["catalog-1", "catalog-2"]);
    assert!(discovery.ready(Duration::ZERO).await.is_empty());
    let picked = balance.pick(&Context::root(Instant::now()), 0).await.unwrap();
    assert_eq!((picked.endpoint().zone.as_str(), picked.endpoint().owner.as_str()), ("a", "team-catalog"));

    first.draining().await.unwrap();
    look().await;
    assert_eq!(ready(&balance), ["catalog-2"]);
    assert_eq!(balance.endpoints().endpoints().len(), 2, "it is seen to drain");
    first.withdraw().await.unwrap();
    look().await;
    assert_eq!(balance.endpoints().endpoints().len(), 1, "and is not held when it is gone");
    assert!(!path.join("catalog/catalog-1.json").exists());

    let view = discovery.targets().remove(0);
    assert_eq!(view.source, format!("dir {}", path.join("catalog").display()));
    assert!(view.age_ms.unwrap() <= 300);
    second.withdraw().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_is_not_ready_for_a_while_is_not_called_and_comes_back() {
    let Scene { folder: _folder, config, balance, .. } = scene();
    let first = registration(&config, "catalog-1", 7001);
    let second = registration(&config, "catalog-2", 7002);
    first.announce().await.unwrap();
    second.announce().await.unwrap();
    first.ready(false).await.unwrap();
    look().await;
    assert_eq!(ready(&balance), ["catalog-2"]);
    // Renewals say the same.
    time::sleep(Duration::from_secs(25)).await;
    assert_eq!(ready(&balance), ["catalog-2"]);
    first.ready(true).await.unwrap();
    look().await;
    assert_eq!(ready(&balance), ["catalog-1", "catalog-2"]);
    first.draining().await.unwrap();
    first.ready(true).await.unwrap();
    look().await;
    assert_eq!(ready(&balance), ["catalog-2"], "who stops does not come back");
}

#[tokio::test(start_paused = true)]
async fn a_living_instance_stays_for_ever_and_a_dead_one_until_its_lease_ends() {
    let Scene { folder: _folder, config, balance, path, .. } = scene();
    let living = registration(&config, "living", 7001);
    let dying = registration(&config, "dying", 7002);
    living.announce().await.unwrap();
    dying.announce().await.unwrap();
    look().await;
    // Dies without a word.
    drop(dying);
    time::sleep(Duration::from_secs(25)).await;
    assert_eq!(ready(&balance), ["dying", "living"]);
    time::sleep(Duration::from_secs(6)).await;
    assert_eq!(ready(&balance), ["living"]);
    time::sleep(Duration::from_secs(120)).await;
    assert_eq!(ready(&balance), ["living"]);
    assert!(path.join("catalog/dying.json").exists(), "it lies there for whoever wonders");
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_is_wiped_disturbs_nobody() {
    let Scene { folder: _folder, config, balance, path, .. } = scene();
    let registration = registration(&config, "catalog-1", 7001);
    registration.announce().await.unwrap();
    look().await;
    for wiped in [path.join("catalog/catalog-1.json"), path.join("catalog"), path.clone()] {
        if wiped.is_dir() {
            fs::remove_dir_all(&wiped).unwrap();
        } else {
            fs::remove_file(&wiped).unwrap();
        }
        for _ in 0..60 {
            time::sleep(Duration::from_millis(250)).await;
            assert_eq!(ready(&balance), ["catalog-1"]);
        }
        assert!(path.join("catalog/catalog-1.json").exists());
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_lives_elsewhere_is_refused_until_its_holder_is_gone() {
    let Scene { folder: _folder, config, balance, .. } = scene();
    let living = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = living.local_addr().unwrap().port();
    let first = registration(&config, "catalog-1", port);
    first.announce().await.unwrap();
    let second = registration(&config, "catalog-1", 7002);
    let error = second.announce().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Start);
    assert!(error.detail().contains(&format!("127.0.0.1:{port}")), "{error}");
    // Also after further tries.
    time::sleep(Duration::from_secs(60)).await;
    let chosen =
        || async { balance.pick(&Context::root(Instant::now()), 0).await.unwrap().endpoint().address.port() };
    assert_eq!(chosen().await, port);

    // Killed: its lease lives on, and nobody listens where it says.
    drop((first, living));
    time::sleep(Duration::from_secs(11)).await;
    assert_eq!(chosen().await, 7002, "it is tried as often as renewals are");
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_is_down_at_the_start_is_tried_until_it_is_there() {
    let Scene { folder: _folder, config, balance, path, .. } = scene();
    // Nobody can make a folder inside a file.
    fs::write(&path, "in the way").unwrap();
    let registration = registration(&config, "catalog-1", 7001);
    assert!(registration.announce().await.is_err());
    time::sleep(Duration::from_secs(5)).await;
    fs::remove_file(&path).unwrap();
    time::sleep(Duration::from_secs(9)).await;
    assert_eq!(ready(&balance), ["catalog-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_process_announces_where_it_listens() {
    let Scene { folder: _folder, config, balance, path, .. } = scene();
    let identity = Identity { name: "catalog".into(), instance: "catalog-1".into(), ..Identity::default() };
    let bound = |name: &str, address: &str, protocol: &str| Bound {
        name: name.into(),
        address: address.parse().unwrap(),
        protocol: protocol.into(),
        tls: name == "admin",
    };
    let off = Register { mode: Mode::Off, ..Register::default() };
    assert!(Announcement::of(Config { register: off, ..config.clone() }, &identity).is_none());
    let announcement = Announcement::of(config, &identity).unwrap();
    announcement.withdraw(Withdrawal::Draining).await.unwrap();
    assert!(announcement.announce(&[bound("admin", "127.0.0.1:9464", "http1")]).await.is_err());
    let all = [bound("admin", "127.0.0.1:9464", "http1"), bound("http", "127.0.0.1:8080", "h2")];
    announcement.announce(&all).await.unwrap();
    look().await;
    let endpoint = balance.ready().members()[0].endpoint().clone();
    let told = (endpoint.address, endpoint.admin, endpoint.admin_tls);
    assert_eq!(told, (all[1].address, Some(all[0].address), true));
    assert_eq!(endpoint.protocol, Protocol::H2);
    announcement.withdraw(Withdrawal::Draining).await.unwrap();
    look().await;
    assert!(ready(&balance).is_empty());
    announcement.withdraw(Withdrawal::Gone).await.unwrap();
    assert!(!path.join("catalog/catalog-1.json").exists());
}

#[tokio::test(start_paused = true)]
async fn records_of_strangers_that_make_no_sense_cost_nobody() {
    let Scene { folder: _folder, config, balance, path, discovery, .. } = scene();
    registration(&config, "catalog-1", 7001).announce().await.unwrap();
    fs::write(path.join("catalog/torn.json"), "{\"name\":\"cat").unwrap();
    look().await;
    assert_eq!(ready(&balance), ["catalog-1"]);
    assert_eq!(discovery.targets()[0].skipped, 1);
}

#[tokio::test(start_paused = true)]
async fn who_must_not_register_writes_nothing() {
    for mode in [Mode::Off, Mode::Observe] {
        let Scene { folder: _folder, mut config, path, .. } = scene();
        config.register = Register { mode, ..Register::default() };
        let registration = registration(&config, "catalog-1", 7001);
        registration.announce().await.unwrap();
        registration.draining().await.unwrap();
        registration.withdraw().await.unwrap();
        assert!(!path.exists());
    }
}

/// With the real clock: the same, as a person sees it.
#[tokio::test]
async fn a_hundred_instances_are_found_within_a_second_or_so() {
    let Scene { folder: _folder, config, balance, .. } = scene();
    let registrations: Vec<_> = (1..=100)
        .map(|number| registration(&config, &format!("catalog-{number:03}"), 7000 + number))
        .collect();
    let begun = SystemTime::now();
    for registration in &registrations {
        registration.announce().await.unwrap();
    }
    while ready(&balance).len() < 100 {
        assert!(begun.elapsed().unwrap() < Duration::from_secs(20), "{} found", ready(&balance).len());
        time::sleep(Duration::from_millis(20)).await;
    }
    for registration in &registrations {
        registration.draining().await.unwrap();
    }
    while !ready(&balance).is_empty() {
        assert!(begun.elapsed().unwrap() < Duration::from_secs(20), "{} left", ready(&balance).len());
        time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_registry_says_which_services_it_knows() {
    let Scene { folder: _folder, config, discovery, path, .. } = scene();
    let services = async || {
        let services = discovery.services().await.unwrap();
        services.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert!(services().await.is_empty(), "nobody has made the folder yet");
    let one = registration(&config, "catalog-1", 7001);
    one.announce().await.unwrap();
    for (name, file) in [("orders", "orders-1.json"), ("stale", ".orders-2.new"), ("Not_a_name", "x.json")] {
        fs::create_dir_all(path.join(name)).unwrap();
        fs::write(path.join(name).join(file), "{}").unwrap();
    }
    fs::write(path.join("notes"), "a file is no service").unwrap();
    assert_eq!(services().await, ["catalog", "orders"]);
    one.withdraw().await.unwrap();
    assert_eq!(services().await, ["orders"]);
    fs::remove_dir_all(path.join("orders")).unwrap();
    assert!(services().await.is_empty());
}
