//! The whole fleet as one instance sees it: merged, quick, and without a freeze when somebody does not answer.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use platform_core::context;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::Instant,
};

use crate::{
    live::Stream,
    town::{House, Town, ask, soon},
};

/// The fleet, once it is as `wanted`.
pub(crate) async fn fleet(house: &House, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut stream = Stream::open_at(house, "/platform/stream?of=fleet", "").await;
    let mut last = Value::Null;
    for _ in 0..20 {
        last = stream.next().await;
        if wanted(&last) {
            return last;
        }
    }
    panic!("it never comes to that: {last:#}")
}

pub(crate) fn service<'a>(fleet: &'a Value, name: &str) -> &'a Value {
    let services = fleet["services"].as_array().expect("a list");
    services.iter().find(|service| service["service"] == name).unwrap_or(&Value::Null)
}

#[tokio::test]
async fn one_instance_shows_all_that_are_called_and_what_they_come_to() {
    let town = Town::new();
    let one = town.catalog("catalog-1", "[service]\nzone = \"a\"").await;
    let two = town.catalog("catalog-2", "[service]\nversion = \"2.0.0\"\nvariant = \"canary\"").await;
    let edge = town.edge("[clients.catalog.balance]\nvariants = { canary = 0.5 }").await;
    let film = || async {
        for _ in 0..40 {
            edge.get("/films/1", "").await;
        }
    };
    film().await;
    let seen =
        tokio::join!(fleet(&edge, |seen| service(seen, "catalog")["calls"].as_u64() >= Some(20)), async {
            tokio::time::sleep(Duration::from_millis(2_500)).await;
            film().await;
        });
    let (seen, catalog) = (&seen.0, service(&seen.0, "catalog"));
    assert_eq!(seen["instances"], 3, "{seen:#}");
    assert_eq!(catalog["states"], json!({ "ready": 2 }), "{seen:#}");
    let versions = catalog["versions"].as_array().expect("a list");
    assert_eq!(versions.len(), 2, "{catalog:#}");
    let calls = |one: &Value| one["calls"].as_u64().expect("a number");
    assert_eq!(versions.iter().map(calls).sum::<u64>(), calls(catalog), "{catalog:#}");
    assert!(catalog["p50"]["ms"].as_f64() > Some(4.0), "a film takes 5 ms: {catalog:#}");
    assert_eq!(service(seen, "edge")["states"], json!({ "ready": 1 }), "{seen:#}");
    let once = soon(ask(edge.admin, "/platform/fleet", "")).await;
    assert_eq!(once.json()["instances"], 3, "{}", once.body);

    one.end().await;
    let seen = fleet(&edge, |seen| seen["instances"] == 2).await;
    assert_eq!(service(&seen, "catalog")["instances"], 1, "{seen:#}");
    edge.end().await;
    two.end().await;
}

#[tokio::test]
async fn who_is_called_by_nobody_stands_in_the_registry_all_the_same() {
    let town = Town::new();
    let catalog = town.catalog("catalog-1", "").await;
    // A stranger's record, which names no admin listener, is none of our services.
    let folder = town.registry().join("printer");
    fs::create_dir_all(&folder).expect("a folder");
    let record = json!({ "name": "printer", "instance": "p-1", "address": "127.0.0.1:9", "expires_unix_ms": 4_000_000_000_000_u64 });
    fs::write(folder.join("p-1.json"), record.to_string()).expect("it is written");
    // Nobody calls the edge, and the one that shows the fleet calls nobody.
    let edge = town.edge("").await;
    let seen = fleet(&catalog, |seen| service(seen, "edge")["states"]["ready"] == 1).await;
    assert_eq!(service(&seen, "printer"), &Value::Null, "{seen:#}");
    assert_eq!((&seen["unlisted"], &seen["instances"]), (&Value::Null, &json!(2)), "{seen:#}");
    edge.end().await;
    fleet(&catalog, |seen| *service(seen, "edge") == Value::Null).await;
    catalog.end().await;
}

/// Kubernetes and DNS are such registries.
#[tokio::test]
async fn a_registry_that_cannot_say_is_asked_once_and_the_view_goes_on() {
    let town = Town::new();
    let catalog = town.catalog("catalog-1", "[discovery]\nregistry = \"dns\"").await;
    let says_so = |seen: &Value| {
        let why = seen["unlisted"].as_str().unwrap_or_default();
        why.contains("does not say which services it knows")
    };
    let mut stream = Stream::open_at(&catalog, "/platform/stream?of=fleet", "").await;
    for _ in 0..2 {
        let seen = stream.next().await;
        assert!(says_so(&seen) && service(&seen, "catalog")["states"]["ready"] == 1, "{seen:#}");
    }
    let once = soon(ask(catalog.admin, "/platform/fleet", "")).await;
    assert!(says_so(&once.json()), "{}", once.body);
    drop(stream);
    catalog.end().await;
}

/// Answers for every instance at an address of the network 127.0.0.0/8; what asks one that hangs gets no answer.
async fn simulated(hangs: impl Fn(IpAddr) -> bool + Send + Sync + Copy + 'static) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    context::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            context::spawn(async move {
                let address = socket.local_addr().expect("it is connected").ip();
                let (mut request, mut served) = (vec![0; 4_096], 0_u64);
                while socket.read(&mut request).await.is_ok_and(|read| read > 0) {
                    if hangs(address) {
                        std::future::pending::<()>().await;
                    }
                    served += 10;
                    let pulse = json!({
                        "name": "catalog", "instance": name(address), "version": "1.4.2", "variant": "stable",
                        "phase": "ready", "started_unix_ms": 1,
                        "served": { "outcomes": { "ok": served }, "bounds": [10_000_000], "buckets": [served, 0] },
                    })
                    .to_string();
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", pulse.len());
                    if socket.write_all((head + &pulse).as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

fn address(number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    IpAddr::from([127, 1, high, low])
}

fn name(address: IpAddr) -> String {
    format!("catalog-{address}")
}

fn register(registry: &Path, number: u16, port: u16, state: &str) {
    let at = SocketAddr::new(address(number), port);
    let instance = name(at.ip());
    write_record(
        registry,
        &instance,
        &json!({
            "name": "catalog", "instance": instance, "address": at, "admin": at, "state": state, "version": "1.4.2",
        }),
    );
}

/// Writes a record as an instance does, with a lease of ten minutes.
pub(crate) fn write_record(registry: &Path, instance: &str, record: &Value) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    let mut record = record.clone();
    record["expires_unix_ms"] = json!(u64::try_from(now).expect("soon enough") + 600_000);
    let folder = registry.join("catalog");
    let beside = folder.join(format!(".{instance}.new"));
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(&beside, record.to_string()).expect("it is written");
    fs::rename(&beside, folder.join(format!("{instance}.json"))).expect("it is there");
}

/// Processor time of this process in seconds.
fn cpu() -> f64 {
    platform_core::telemetry::Process::of_this_process().usage().cpu_seconds.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_instances_are_seen_within_two_seconds_though_some_hang() {
    const ALL: u16 = 500;
    let town = Town::new();
    // Every fiftieth hangs: it holds a place for a second, and nobody else waits for it.
    let port = simulated(|address| match address {
        IpAddr::V4(address) => address.octets()[3] % 50 == 7,
        IpAddr::V6(_) => false,
    })
    .await;
    let edge = town
        .open(("edge", "edge-1"), "", |app| {
            let catalog = platform_http::Client::for_target(app, "catalog").expect("a client");
            axum::Router::new().with_state(()).route(
                "/unused",
                axum::routing::get(move || async move {
                    drop(catalog);
                    "never asked"
                }),
            )
        })
        .await;
    (0..ALL).for_each(|number| register(&town.registry(), number, port, "ready"));
    let mut stream = Stream::open_at(&edge, "/platform/stream?of=fleet", "").await;
    let count =
        |seen: &Value, state: &str| service(seen, "catalog")["states"][state].as_u64().unwrap_or_default();
    let began = Instant::now();
    let seen = loop {
        let seen = stream.next().await;
        if count(&seen, "ready") >= 480 && count(&seen, "silent") >= 10 {
            break seen;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{}", seen["states"]);
    };
    let first = began.elapsed();
    assert_eq!(seen["instances"], 501);

    let (mut delays, used, measured) = (Vec::new(), cpu(), Instant::now());
    for change in 0..20_u64 {
        // One more each second time, and one that drains.
        let changed = Instant::now();
        if change % 2 == 0 {
            register(&town.registry(), ALL + u16::try_from(change).expect("few"), port, "ready");
        } else {
            register(&town.registry(), 20 + u16::try_from(change).expect("few"), port, "draining");
        }
        let (instances, drain) = (501 + change / 2 + 1, change.div_ceil(2));
        loop {
            let seen = stream.next().await;
            if seen["instances"] == instances && count(&seen, "draining") == drain {
                break;
            }
            assert!(changed.elapsed() < Duration::from_secs(30), "change {change}: {}", seen["states"]);
        }
        delays.push(changed.elapsed());
    }
    delays.sort_unstable();
    let (median, share) = (delays[delays.len() / 2], (cpu() - used) / measured.elapsed().as_secs_f64());
    println!("result: fleet_first_look_ms {}", first.as_millis());
    println!("result: fleet_change_median_ms {}", median.as_millis());
    println!("result: fleet_cpu_share {share:.2} (with the instances themselves, unoptimized)");
    assert!(median < Duration::from_secs(2), "{delays:?}");
    drop(stream);
    edge.end().await;
}
