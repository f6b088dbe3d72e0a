//! Instances register in a real etcd and are found there, whatever becomes of it.

#![cfg(all(target_os = "linux", feature = "etcd"))]
#![expect(clippy::unwrap_used, reason = "a test whose scene cannot be set fails")]

#[path = "../common/authority.rs"]
mod authority;
mod gate;
mod outside;

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    time::{Duration, SystemTime},
};

use futures_util::StreamExt as _;
use platform_core::{ErrorKind, identity::Identity, telemetry::Metrics};
use platform_discovery::{
    Balance, Config, Discovery, Protocol, Record, Registration, Resolve as _, Snapshot, Snapshots, State,
    Target, balance,
    config::{self, Register, Registry, Tls},
    source,
};
use tokio::time::{Instant, sleep, timeout};

use self::{authority::Authority, gate::Gate, outside::Etcd};

const PREFIX: &str = "/platform/services/catalog/";

fn config(etcd: &Etcd) -> Config {
    at(etcd.endpoints())
}

fn at(endpoints: Vec<String>) -> Config {
    Config {
        registry: Registry::Etcd,
        etcd: config::Etcd { endpoints, ..config::Etcd::default() },
        register: Register {
            lease: Duration::from_secs(3),
            renew: Duration::from_secs(1),
            ..Register::default()
        },
        ..Config::default()
    }
}

fn registration(config: &Config, instance: &str, port: u16) -> Registration {
    let identity = Identity {
        name: "catalog".into(),
        version: "1.4.2".into(),
        instance: instance.into(),
        zone: "a".into(),
        ..Identity::default()
    };
    let listen = SocketAddr::from(([127, 0, 0, 1], port));
    let record = Record::of(&identity, config, listen, None, Protocol::Http1).unwrap();
    Registration::new(config, record).unwrap()
}

/// What a client of the whole crate believes.
struct Client {
    discovery: Discovery,
    _balance: Balance<()>,
}

impl Client {
    fn of(config: &Config) -> Client {
        let identity = Identity { name: "edge".into(), ..Identity::default() };
        let discovery = Discovery::of(config.clone(), &identity, &Metrics::new(&identity)).unwrap();
        let target = Target::parse("catalog").unwrap();
        let balance = discovery.balance(&target, &balance::Config::default(), |_| ()).unwrap();
        Client { discovery, _balance: balance }
    }

    fn ready(&self) -> Vec<String> {
        let targets = self.discovery.targets();
        let ready = targets[0].endpoints.iter().filter(|endpoint| endpoint.state == State::Ready);
        ready.map(|endpoint| endpoint.instance.clone()).collect()
    }

    fn failing(&self) -> Option<String> {
        self.discovery.targets()[0].failing.clone()
    }

    fn age(&self) -> Duration {
        self.discovery.targets()[0].age_ms.map_or(Duration::MAX, Duration::from_millis)
    }

    async fn until_ready(&self, wanted: &[&str]) {
        let begun = Instant::now();
        while self.ready() != wanted {
            assert!(begun.elapsed() < LIMIT, "{:?} and not {wanted:?}; {:?}", self.ready(), self.failing());
            sleep(LOOK).await;
        }
    }
}

/// The source alone, without the hold of what vanished.
fn follow(config: &Config) -> Snapshots {
    source::Etcd::of(&config.etcd).unwrap().resolve(&Target::parse("etcd://catalog").unwrap())
}

fn instances(snapshot: &Snapshot) -> Vec<String> {
    snapshot.found().iter().map(|found| found.endpoint.instance.clone()).collect()
}

/// Reads on until the set is this one, over errors; says how many there were.
async fn until(answers: &mut Snapshots, wanted: &[&str]) -> usize {
    let mut errors = Vec::new();
    let mut last = None;
    let read = async {
        loop {
            match answers.next().await.unwrap() {
                Ok(snapshot) if instances(&snapshot) == wanted => return,
                Ok(snapshot) => last = Some(instances(&snapshot)),
                Err(error) => errors.push(error.to_string()),
            }
        }
    };
    if timeout(LIMIT, read).await.is_err() {
        panic!("never {wanted:?}; at last {last:?}, errors {errors:?}");
    }
    errors.len()
}

/// A record as a program of others would write it.
fn put(etcd: &Etcd, instance: &str, port: u16) {
    let text = format!(
        r#"{{"name":"catalog","instance":"{instance}","address":"127.0.0.1:{port}","expires_unix_ms":4000000000000}}"#
    );
    etcd.ctl(&["put", &format!("{PREFIX}{instance}"), &text]);
}

/// The key as it is stored: its record, its lease and how often it was written.
fn stored(etcd: &Etcd, instance: &str) -> Option<(Record, u64, u64)> {
    let said = etcd.ctl(&["get", &format!("{PREFIX}{instance}"), "-w", "json"]);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let kv = said.pointer("/kvs/0")?;
    let value = decode(kv["value"].as_str().unwrap());
    let number = |key: &str| kv.get(key).and_then(serde_json::Value::as_u64).unwrap_or(0);
    Some((serde_json::from_slice(&value).unwrap(), number("lease"), number("version")))
}

/// Base64, as `etcdctl` writes bytes.
fn decode(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut held, mut bytes) = (0_u32, 0, Vec::new());
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        bits = bits << 6 | u32::try_from(ALPHABET.iter().position(|known| *known == byte).unwrap()).unwrap();
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}

async fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < LIMIT, "never {what}");
        sleep(LOOK).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_registers_is_found_and_who_drains_is_not_called() {
    let Some(etcd) = Etcd::start(1).await else { return };
    etcd.ready().await;
    let config = config(&etcd);
    let client = Client::of(&config);
    let first = registration(&config, "catalog-1", 7001);
    let second = registration(&config, "catalog-2", 7002);
    first.announce().await.unwrap();
    second.announce().await.unwrap();
    client.until_ready(&["catalog-1", "catalog-2"]).await;

    let asked = Instant::now();
    first.draining().await.unwrap();
    client.until_ready(&["catalog-2"]).await;
    assert!(asked.elapsed() < Duration::from_millis(500), "a watch tells at once: {:?}", asked.elapsed());
    assert_eq!(stored(&etcd, "catalog-1").unwrap().0.state, State::Draining);
    first.withdraw().await.unwrap();
    assert_eq!(stored(&etcd, "catalog-1"), None);
    second.withdraw().await.unwrap();
    let leases = etcd.ctl(&["lease", "list"]);
    assert!(leases.starts_with("found 0 leases"), "{leases}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_says_which_services_it_knows() {
    let Some(etcd) = Etcd::start(1).await else { return };
    etcd.ready().await;
    let identity = Identity { name: "edge".into(), ..Identity::default() };
    let discovery = Discovery::of(config(&etcd), &identity, &Metrics::new(&identity)).unwrap();
    assert!(discovery.services().await.unwrap().is_empty());
    for key in ["catalog/a", "catalog/b", "orders/o-1", "orders/o-1/notes", "No_Name/x"] {
        etcd.ctl(&["put", &format!("/platform/services/{key}"), "{}"]);
    }
    etcd.ctl(&["put", "/platform/services-of-others/x/y", "{}"]);
    let services: Vec<String> = discovery.services().await.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(services, ["catalog", "orders"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn record_and_lease_end_together_and_renewals_write_nothing() {
    let Some(etcd) = Etcd::start(1).await else { return };
    etcd.ready().await;
    let config = config(&etcd);
    let registration = registration(&config, "catalog-1", 7001);
    let before = SystemTime::now();
    registration.announce().await.unwrap();
    let (record, lease, version) = stored(&etcd, "catalog-1").unwrap();
    let ends = SystemTime::UNIX_EPOCH + Duration::from_millis(record.expires_unix_ms);
    let lives = ends.duration_since(before).unwrap();
    assert!((2.9..3.5).contains(&lives.as_secs_f64()), "{lives:?}");
    let said = etcd.ctl(&["lease", "timetolive", &format!("{lease:x}")]);
    assert!(said.contains("granted with TTL(3s)"), "{said}");

    // Longer than the lease: it is renewed, and nobody who watches is woken.
    sleep(Duration::from_secs(5)).await;
    assert_eq!(stored(&etcd, "catalog-1").unwrap(), (record, lease, version));
    assert!(etcd.ctl(&["lease", "list"]).starts_with("found 1 leases"), "one for each registration");

    // Dead without a word: nobody is left to renew it.
    drop(registration);
    let died = Instant::now();
    eventually("gone", || stored(&etcd, "catalog-1").is_none()).await;
    assert!(died.elapsed() < Duration::from_secs(5), "{:?}", died.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_lives_elsewhere_is_refused() {
    let Some(etcd) = Etcd::start(1).await else { return };
    etcd.ready().await;
    let config = config(&etcd);
    let living = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = living.local_addr().unwrap().port();
    let first = registration(&config, "catalog-1", port);
    first.announce().await.unwrap();

    let second = registration(&config, "catalog-1", 7002);
    let error = second.announce().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Start);
    assert!(error.detail().contains(&format!("127.0.0.1:{port} and its lease lives for")), "{error}");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(stored(&etcd, "catalog-1").unwrap().0.address.port(), port, "tried again, and refused again");
    second.withdraw().await.unwrap();
    assert!(stored(&etcd, "catalog-1").is_some(), "not its own to remove");

    // One who drains gives the name back, and does not remove what is no longer his.
    let third = registration(&config, "catalog-1", 7003);
    first.draining().await.unwrap();
    third.announce().await.unwrap();
    first.withdraw().await.unwrap();
    assert_eq!(stored(&etcd, "catalog-1").unwrap().0.address.port(), 7003);

    // Nobody listens on 7003: killed, and its successor need not wait.
    let fourth = registration(&config, "catalog-1", port);
    drop(third);
    fourth.announce().await.unwrap();
    assert_eq!(stored(&etcd, "catalog-1").unwrap().0.address.port(), port);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_somebody_removed_is_back_before_anybody_misses_it() {
    let Some(etcd) = Etcd::start(1).await else { return };
    etcd.ready().await;
    let config = config(&etcd);
    let client = Client::of(&config);
    let registration = registration(&config, "catalog-1", 7001);
    registration.announce().await.unwrap();
    client.until_ready(&["catalog-1"]).await;
    etcd.ctl(&["del", "--prefix", PREFIX]);
    let removed = Instant::now();
    eventually("back", || stored(&etcd, "catalog-1").is_some()).await;
    assert!(removed.elapsed() < Duration::from_secs(6), "{:?}", removed.elapsed());
    assert_eq!(client.ready(), ["catalog-1"], "held meanwhile");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_frozen_past_the_leases_life_loses_nobody() {
    let Some(etcd) = Etcd::start(1).await else { return };
    etcd.ready().await;
    let config = config(&etcd);
    let client = Client::of(&config);
    let registrations =
        [1, 2, 3].map(|number| registration(&config, &format!("catalog-{number}"), 7000 + number));
    for registration in &registrations {
        registration.announce().await.unwrap();
    }
    let all = ["catalog-1", "catalog-2", "catalog-3"];
    client.until_ready(&all).await;
    let leases = all.map(|instance| stored(&etcd, instance).unwrap().1);

    etcd.freeze(0);
    // A quiet watch is asked after five seconds and left after six; then nobody is left to ask.
    for _ in 0..110 {
        sleep(Duration::from_millis(100)).await;
        assert_eq!(client.ready(), all, "the last good set");
    }
    assert!(
        client.failing().is_some_and(|why| why.contains("etcd at http://127.0.0.1:")),
        "{:?}",
        client.failing()
    );
    assert!(client.age() > Duration::from_secs(1));

    etcd.thaw(0);
    let thawed = Instant::now();
    // etcd deletes every key: their leases have ended.
    let back = |instance: &str, old: u64| stored(&etcd, instance).is_some_and(|(_, lease, _)| lease != old);
    while !all.iter().zip(leases).all(|(instance, old)| back(instance, old)) {
        assert_eq!(client.ready(), all);
        assert!(thawed.elapsed() < Duration::from_secs(9), "before the hold of vanished endpoints ends");
        sleep(LOOK).await;
    }
    eprintln!("registered again {:?} after the thaw", thawed.elapsed());
    sleep(Duration::from_secs(2)).await;
    assert_eq!((client.ready().len(), client.failing()), (3, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_restarts_is_followed_from_where_it_was() {
    let Some(mut etcd) = Etcd::start(1).await else { return };
    etcd.ready().await;
    let config = config(&etcd);
    let mut answers = follow(&config);
    put(&etcd, "a", 1);
    until(&mut answers, &["a"]).await;
    etcd.kill(0);
    let error = timeout(LIMIT, async {
        loop {
            if let Err(error) = answers.next().await.unwrap() {
                return error;
            }
        }
    });
    let error = error.await.unwrap();
    assert!(error.detail().starts_with("etcd at http://127.0.0.1:"), "{error}");
    etcd.begin(0);
    etcd.ready().await;
    put(&etcd, "b", 2);
    until(&mut answers, &["a", "b"]).await;
    etcd.ctl(&["del", &format!("{PREFIX}a")]);
    assert_eq!(until(&mut answers, &["b"]).await, 0, "it follows again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_compacted_while_nobody_listened_is_listed_anew() {
    let Some(etcd) = Etcd::start(1).await else { return };
    etcd.ready().await;
    let gate = Gate::before(etcd.client_port(0)).await;
    let config = at(vec![format!("http://{}", gate.address)]);
    let mut answers = follow(&config);
    put(&etcd, "a", 1);
    put(&etcd, "b", 2);
    until(&mut answers, &["a", "b"]).await;
    gate.cut();
    etcd.ctl(&["del", &format!("{PREFIX}a")]);
    put(&etcd, "c", 3);
    let said = etcd.ctl(&["get", "nothing", "-w", "json"]);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    etcd.ctl(&["compact", &said["header"]["revision"].to_string()]);
    gate.open();
    let opened = Instant::now();
    until(&mut answers, &["b", "c"]).await;
    assert!(opened.elapsed() < Duration::from_secs(8), "not by the list that is made in any case");
    put(&etcd, "d", 4);
    assert_eq!(until(&mut answers, &["b", "c", "d"]).await, 0, "it follows again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_fell_silent_is_left() {
    let Some(etcd) = Etcd::start(1).await else { return };
    etcd.ready().await;
    let gate = Gate::before(etcd.client_port(0)).await;
    let config = at(vec![format!("http://{}", gate.address)]);
    let mut answers = follow(&config);
    let registration = registration(&config, "catalog-1", 7001);
    registration.announce().await.unwrap();
    until(&mut answers, &["catalog-1"]).await;
    gate.hush();
    put(&etcd, "a", 1);
    let hushed = Instant::now();
    assert_eq!(until(&mut answers, &["a", "catalog-1"]).await, 0);
    let waited = hushed.elapsed();
    assert!(waited < Duration::from_secs(8), "{waited:?}");
    // Longer than the lease: renewals found another way too.
    assert!(waited > Duration::from_secs(3) && stored(&etcd, "catalog-1").is_some(), "{waited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_starts_before_the_registry_is_found_when_it_is_there() {
    let Some(mut etcd) = Etcd::start(1).await else { return };
    etcd.ready().await;
    etcd.kill(0);
    let config = config(&etcd);
    let client = Client::of(&config);
    let registration = registration(&config, "catalog-1", 7001);
    let error = registration.announce().await.unwrap_err();
    assert!(error.detail().starts_with("etcd at http://127.0.0.1:"), "{error}");
    let missing = client.discovery.ready(Duration::from_millis(200)).await;
    assert!(missing[0].why.contains("has not answered yet; it fails now"), "{}", missing[0].why);
    etcd.begin(0);
    client.until_ready(&["catalog-1"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_service_comes_in_pages_and_its_changes_in_parts() {
    let Some(etcd) = Etcd::start(1).await else { return };
    etcd.ready().await;
    let gate = Gate::before(etcd.client_port(0)).await;
    let config = at(vec![format!("http://{}", gate.address)]);
    // As large as records may be: 90 of them are as much as one transaction takes.
    let pairs = |round: usize| -> Vec<(String, String)> {
        let numbers = (0..90).map(|number| round * 90 + number);
        let pair = |number: usize| {
            let (instance, owner) = (format!("i{number:04}"), "x".repeat(15_000));
            let text = format!(
                r#"{{"name":"catalog","instance":"{instance}","address":"127.0.0.1:{}","owner":"{owner}","expires_unix_ms":4000000000000}}"#,
                number + 1
            );
            (format!("{PREFIX}{instance}"), text)
        };
        numbers.map(pair).collect()
    };
    for round in 0..7 {
        etcd.put_together(&pairs(round));
    }
    let count = async |answers: &mut Snapshots, wanted: usize| {
        let read = async {
            loop {
                match answers.next().await.unwrap() {
                    Ok(snapshot) if snapshot.found().len() == wanted && snapshot.skipped() == 0 => return,
                    Ok(_) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        };
        timeout(LIMIT, read).await.unwrap_or_else(|_| panic!("never {wanted}"));
    };
    let mut answers = follow(&config);
    count(&mut answers, 630).await;
    // The watch is told of ten megabytes at once when it is back.
    gate.cut();
    for round in 7..14 {
        etcd.put_together(&pairs(round));
    }
    gate.open();
    count(&mut answers, 1260).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_was_wiped_is_taken_at_its_word_and_filled_again() {
    let Some(mut etcd) = Etcd::start(1).await else { return };
    etcd.ready().await;
    let config = config(&etcd);
    let mut answers = follow(&config);
    let registration = registration(&config, "catalog-1", 7001);
    registration.announce().await.unwrap();
    for port in 1..9 {
        put(&etcd, "ghost", port);
    }
    until(&mut answers, &["catalog-1", "ghost"]).await;
    etcd.kill(0);
    etcd.wipe(0);
    // The same name and addresses, so that the cluster has the same number as before.
    etcd.begin(0);
    let begun = Instant::now();
    until(&mut answers, &["catalog-1"]).await;
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    etcd.ready().await;
    put(&etcd, "new", 2);
    until(&mut answers, &["catalog-1", "new"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_was_wiped_and_refilled_unseen_is_found_out() {
    let Some(mut etcd) = Etcd::start(1).await else { return };
    etcd.ready().await;
    let gate = Gate::before(etcd.client_port(0)).await;
    let config = at(vec![format!("http://{}", gate.address)]);
    let mut answers = follow(&config);
    put(&etcd, "a", 1);
    put(&etcd, "ghost", 2);
    until(&mut answers, &["a", "ghost"]).await;
    gate.cut();
    etcd.kill(0);
    etcd.wipe(0);
    etcd.begin(0);
    etcd.ready().await;
    for port in 1..9 {
        put(&etcd, "other", port);
    }
    gate.open();
    // Number, term and revision of the cluster are as good as before.
    timeout(Duration::from_secs(45), async {
        while !matches!(answers.next().await, Some(Ok(snapshot)) if instances(&snapshot) == ["other"]) {}
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_of_three_may_lose_any_member() {
    let Some(mut etcd) = Etcd::start(3).await else { return };
    etcd.ready().await;
    let config = config(&etcd);
    let client = Client::of(&config);
    let mut answers = follow(&config);
    let registration = registration(&config, "catalog-1", 7001);
    registration.announce().await.unwrap();
    client.until_ready(&["catalog-1"]).await;
    for (index, instance) in ["a", "b", "c"].into_iter().enumerate() {
        etcd.kill(index);
        let killed = Instant::now();
        // Through those that are left.
        eventually("written", || {
            let text = format!(
                r#"{{"name":"catalog","instance":"{instance}","address":"127.0.0.1:{}","expires_unix_ms":4000000000000}}"#,
                index + 1
            );
            etcd.try_ctl(&["put", &format!("{PREFIX}{instance}"), &text]).0
        })
        .await;
        let written = killed.elapsed();
        let wanted: Vec<&str> = ["a", "b", "c"][..=index].iter().copied().chain(["catalog-1"]).collect();
        let errors = until(&mut answers, &wanted).await;
        let seen = killed.elapsed() - written;
        eprintln!(
            "member {index} was killed; written after {written:?}, seen {seen:?} later, {errors} errors"
        );
        etcd.begin(index);
        etcd.ready().await;
        assert!(stored(&etcd, "catalog-1").is_some());
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(client.ready(), ["a", "b", "c", "catalog-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_of_three_may_lose_its_leader_or_freeze_it() {
    let Some(mut etcd) = Etcd::start(3).await else { return };
    etcd.ready().await;
    let config = config(&etcd);
    let client = Client::of(&config);
    let registration = registration(&config, "catalog-1", 7001);
    registration.announce().await.unwrap();
    client.until_ready(&["catalog-1"]).await;
    for round in 0..2 {
        let leader = etcd.leader();
        if round == 0 {
            etcd.kill(leader);
        } else {
            etcd.freeze(leader);
        }
        // More than two leases.
        for _ in 0..70 {
            sleep(Duration::from_millis(100)).await;
            assert_eq!(client.ready(), ["catalog-1"]);
        }
        assert!(client.age() < Duration::from_secs(8), "{:?}: {:?}", client.age(), client.failing());
        assert!(stored(&etcd, "catalog-1").is_some(), "renewed through the others");
        if round == 0 {
            etcd.begin(leader);
        } else {
            etcd.thaw(leader);
        }
        etcd.ready().await;
        sleep(Duration::from_secs(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_has_lost_the_others_is_not_believed() {
    let Some(etcd) = Etcd::start(3).await else { return };
    etcd.ready().await;
    put(&etcd, "a", 1);
    let mut answers = follow(&at(vec![etcd.endpoint(2)]));
    until(&mut answers, &["a"]).await;
    // Frozen behind open connections, so that the third has no leader.
    etcd.freeze(0);
    etcd.freeze(1);
    let begun = Instant::now();
    let error = timeout(LIMIT, async {
        loop {
            match answers.next().await.unwrap() {
                Ok(snapshot) => assert_eq!(instances(&snapshot), ["a"]),
                Err(error) => return error,
            }
        }
    })
    .await
    .unwrap();
    eprintln!("{:?} until: {error}", begun.elapsed());
    etcd.thaw(0);
    etcd.thaw(1);
    etcd.ready().await;
    put(&etcd, "b", 2);
    until(&mut answers, &["a", "b"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_frozen_is_left_for_those_who_agree() {
    let Some(etcd) = Etcd::start(3).await else { return };
    etcd.ready().await;
    put(&etcd, "a", 1);
    // Each begins with a member of its own choice, so that nearly always one has chosen the frozen one.
    let mut clients: Vec<_> = (0..10).map(|_| follow(&config(&etcd))).collect();
    for answers in &mut clients {
        until(answers, &["a"]).await;
    }
    let frozen = etcd.leader();
    etcd.freeze(frozen);
    eventually("written through the others", || {
        let text =
            r#"{"name":"catalog","instance":"b","address":"127.0.0.1:2","expires_unix_ms":4000000000000}"#;
        etcd.try_ctl(&["put", &format!("{PREFIX}b"), text]).0
    })
    .await;
    let written = Instant::now();
    futures_util::future::join_all(clients.iter_mut().map(|answers| until(answers, &["a", "b"]))).await;
    eprintln!("all have heard of it {:?} later", written.elapsed());
    etcd.thaw(frozen);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_a_password_is_known_again_after_a_restart() {
    let Some(mut etcd) = Etcd::start(1).await else { return };
    etcd.ready().await;
    for question in [
        &["user", "add", "root:rootpw"][..],
        &["user", "grant-role", "root", "root"],
        &["role", "add", "services"],
        &["role", "grant-permission", "services", "readwrite", "--prefix=true", "/platform/services/"],
        &["user", "add", "orders:s3cret"],
        &["user", "grant-role", "orders", "services"],
        &["user", "add", "stranger:other"],
        &["auth", "enable"],
    ] {
        if question == ["user", "grant-role", "root", "root"] {
            // etcd makes the role by itself since 3.5 or so.
            etcd.try_ctl(&["role", "add", "root"]);
        }
        etcd.ctl(question);
    }
    etcd.ctl = vec!["--user=root:rootpw".to_owned()];
    let password = etcd.folder.path().join("password");
    let with = |user: &str, text: &str| {
        fs::write(&password, text).unwrap();
        fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
        let mut config = config(&etcd);
        if !user.is_empty() {
            (config.etcd.user, config.etcd.password_file) = (user.to_owned(), password.clone());
        }
        config
    };
    for (user, text, why) in [
        ("", "", "set discovery.etcd.user and password_file"),
        ("orders", "wrong\n", "see discovery.etcd.user and password_file"),
        ("stranger", "other\n", "readwrite on discovery.etcd.prefix"),
    ] {
        let config = with(user, text);
        let error = follow(&config).next().await.unwrap().unwrap_err();
        assert!(error.detail().contains(why), "{user}: {error}");
        assert!(!format!("{error:?}").contains("other\n"), "no password in an error");
        let error = registration(&config, "catalog-1", 7001).announce().await.unwrap_err();
        assert!(error.detail().contains(why), "{user}: {error}");
    }

    let config = with("orders", "s3cret\n");
    let mut answers = follow(&config);
    let first = registration(&config, "catalog-1", 7001);
    first.announce().await.unwrap();
    until(&mut answers, &["catalog-1"]).await;
    // Tokens live in a member's memory: afterwards nobody knows ours.
    etcd.kill(0);
    etcd.begin(0);
    etcd.ready().await;
    put(&etcd, "b", 2);
    until(&mut answers, &["b", "catalog-1"]).await;
    first.draining().await.unwrap();
    assert_eq!(stored(&etcd, "catalog-1").unwrap().0.state, State::Draining);
    first.withdraw().await.unwrap();
    until(&mut answers, &["b"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_shown_and_asked_for() {
    let ours = Authority::new();
    let Some(mut etcd) = Etcd::start_with(1, "https", |folder| {
        ours.sign(folder, "server");
        ours.sign(folder, "client");
        let file = |name: &str| folder.join(name).display().to_string();
        vec![
            "--client-cert-auth".to_owned(),
            format!("--trusted-ca-file={}", file("ca.pem")),
            format!("--cert-file={}", file("server.pem")),
            format!("--key-file={}", file("server.key")),
        ]
    })
    .await
    else {
        return;
    };
    let file = |name: &str| etcd.folder.path().join(name);
    let (ca, cert, key) = (file("ca.pem"), file("client.pem"), file("client.key"));
    etcd.ctl = vec![
        format!("--cacert={}", ca.display()),
        format!("--cert={}", cert.display()),
        format!("--key={}", key.display()),
    ];
    etcd.ready().await;
    let mut config = config(&etcd);
    config.etcd.tls = Tls { ca: ca.clone(), cert, key };
    let mut answers = follow(&config);
    let registration = registration(&config, "catalog-1", 7001);
    registration.announce().await.unwrap();
    until(&mut answers, &["catalog-1"]).await;

    // Who shows no certificate, or believes in another authority, is told so and finds nobody.
    config.etcd.tls = Tls { ca, ..Tls::default() };
    assert!(follow(&config).next().await.unwrap().is_err());
    let other = tempfile::tempdir().unwrap();
    Authority::new().sign(other.path(), "client");
    config.etcd.tls.ca = other.path().join("ca.pem");
    let error = follow(&config).next().await.unwrap().unwrap_err();
    assert!(error.detail().contains("invalid peer certificate"), "{error}");
}

/// Nothing here takes so long unless it hangs.
const LIMIT: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);
