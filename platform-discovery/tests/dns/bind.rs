//! BIND, with changes while it runs.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    net::SocketAddr,
    process::{Command, Stdio},
    time::Duration,
};

use platform_core::{Context, identity::Identity, telemetry::Metrics};
use platform_discovery::{Config, Discovery, Target, balance, config};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::ground::{Heard, Outside, addresses, free_port, missing};

/// A BIND that answers for the zone `shop`, where names hold for a second.
struct Bind {
    address: SocketAddr,
    folder: TempDir,
    running: Option<Outside>,
}

impl Bind {
    async fn start(records: &str) -> Option<Self> {
        // Debian packs it apart from the server.
        if let Err(error) = Command::new("nsupdate").arg("-V").output() {
            missing("nsupdate", &error);
            return None;
        }
        let address = free_port();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().display();
        let config = format!(
            r#"
            options {{
                directory "{path}";
                listen-on port {port} {{ 127.0.0.1; }};
                listen-on-v6 {{ none; }};
                pid-file none;
                session-keyfile none;
                recursion no;
                max-records-per-type 0;
            }};
            controls {{ }};
            zone "shop" {{ type primary; file "shop.zone"; allow-update {{ 127.0.0.1; }}; }};
            "#,
            port = address.port()
        );
        fs::write(folder.path().join("named.conf"), config).expect("room for it");
        let zone =
            format!("$TTL 1\n@ IN SOA ns root 1 60 60 60 1\n@ IN NS ns\nns IN A 127.0.0.1\n{records}\n");
        fs::write(folder.path().join("shop.zone"), zone).expect("room for it");
        let mut bind = Bind { address, folder, running: None };
        bind.resume().await?;
        Some(bind)
    }

    async fn resume(&mut self) -> Option<()> {
        let config = self.folder.path().join("named.conf").display().to_string();
        self.running = Some(Outside::start("named", &["-c", &config, "-f", "-n", "1"], self.address).await?);
        Some(())
    }

    fn update(&self, changes: &str) {
        let mut child = Command::new("nsupdate")
            .stdin(Stdio::piped())
            .spawn()
            .expect("it was there when the server was started");
        let port = self.address.port();
        let script = format!("server 127.0.0.1 {port}\nzone shop\n{changes}\nsend\n");
        child.stdin.take().expect("it is piped").write_all(script.as_bytes()).expect("it reads");
        assert!(child.wait().expect("it ends").success(), "{changes}");
    }
}

#[tokio::test]
async fn what_changes_in_the_zone_is_seen_when_its_time_has_come() {
    let Some(bind) = Bind::start("catalog IN A 10.0.0.1\ncatalog IN A 10.0.0.2").await else { return };
    let mut heard = Heard::of(bind.address, "dns://catalog.shop:8080");
    let first = heard.next().await.expect("an answer");
    assert_eq!(addresses(&first), ["10.0.0.1:8080", "10.0.0.2:8080"]);
    let second = heard.next().await.expect("an answer");
    assert!(std::sync::Arc::ptr_eq(first.found(), second.found()), "in whatever order BIND says it");

    bind.update("update add catalog.shop. 1 A 10.0.0.3\nupdate delete catalog.shop. A 10.0.0.1");
    let took = heard.until(&["10.0.0.2:8080", "10.0.0.3:8080"]).await;
    assert!(took < Duration::from_secs(3), "{took:?}");

    bind.update("update delete catalog.shop. A");
    heard.until(&[]).await;
    bind.update("update add catalog.shop. 1 A 10.0.0.4");
    heard.until(&["10.0.0.4:8080"]).await;
}

#[tokio::test]
async fn a_bare_name_is_called_where_dns_is_the_registry_and_a_move_needs_no_broken_connection() {
    let Some(bind) = Bind::start("catalog IN A 10.0.0.1").await else { return };
    let dns = config::Dns { suffix: "shop".into(), port: 8080, server: bind.address.to_string() };
    let config = Config { registry: config::Registry::Dns, dns, ..Config::default() };
    let identity = Identity::default();
    let discovery = Discovery::of(config, &identity, &Metrics::new(&identity)).expect("a discovery");
    let target = Target::parse("catalog").expect("a target");
    let balance = discovery
        .balance(&target, &balance::Config::default(), |endpoint| endpoint.address)
        .expect("a balance");
    assert!(discovery.ready(Duration::from_secs(5)).await.is_empty());
    let context = Context::root(Instant::now());
    let picked = balance.pick(&context, 0).await.expect("an endpoint");
    assert_eq!(picked.service().to_string(), "10.0.0.1:8080");

    // Nobody calls, nothing breaks.
    bind.update("update add catalog.shop. 1 A 10.0.0.2");
    let begun = Instant::now();
    while discovery.targets()[0].endpoints.len() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(5), "the new address is not seen");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn srv_records_are_the_lowest_priority_with_its_weights_and_ports() {
    let records = "
        _http._tcp.catalog IN SRV 10 3 8081 a
        _http._tcp.catalog IN SRV 10 1 8082 b
        _http._tcp.catalog IN SRV 20 1 8083 backup
        a IN A 10.0.0.1
        b IN A 10.0.0.2
        backup IN A 10.0.0.9";
    let records: String = records.lines().map(|line| format!("{}\n", line.trim())).collect();
    let Some(bind) = Bind::start(&records).await else { return };
    let mut heard = Heard::of(bind.address, "dns+srv://_http._tcp.catalog.shop");
    let answer = heard.next().await.expect("an answer");
    let seen: Vec<_> = answer
        .found()
        .iter()
        .map(|found| {
            (found.endpoint.address.to_string(), found.endpoint.instance.clone(), found.endpoint.weight)
        })
        .collect();
    let wanted = [("10.0.0.1:8081", "a.shop:8081", 3), ("10.0.0.2:8082", "b.shop:8082", 1)];
    assert_eq!(seen, wanted.map(|(address, name, weight)| (address.to_owned(), name.to_owned(), weight)));

    bind.update("update add b.shop. 1 A 10.0.0.3");
    heard.until(&["10.0.0.1:8081", "10.0.0.2:8082", "10.0.0.3:8082"]).await;
    bind.update("update delete _http._tcp.catalog.shop. SRV 10 1 8082 b.shop.");
    heard.until(&["10.0.0.1:8081"]).await;
    bind.update("update delete a.shop. A");
    heard.until(&["10.0.0.9:8083"]).await;
    bind.update("update add a.shop. 1 A 10.0.0.1");
    heard.until(&["10.0.0.1:8081"]).await;
    bind.update(
        "update delete _http._tcp.catalog.shop. SRV\nupdate add _http._tcp.catalog.shop. 1 SRV 0 0 0 .",
    );
    heard.until(&[]).await;
}

#[tokio::test]
async fn aliases_are_followed_and_ipv6_is_there_where_ipv4_is_not() {
    let records =
        "one IN CNAME two\ntwo IN CNAME three\nthree IN A 10.0.0.1\nthree IN AAAA ::1\nsix IN AAAA ::1";
    let Some(bind) = Bind::start(records).await else { return };
    for (target, wanted) in [
        ("dns://one.shop", "10.0.0.1:80"),
        ("http://one.shop:8080", "10.0.0.1:8080"),
        ("dns://six.shop", "[::1]:80"),
    ] {
        assert_eq!(Heard::of(bind.address, target).addresses().await, [wanted], "{target}");
    }
}

#[tokio::test]
async fn a_thousand_addresses_come_by_tcp() {
    let mut records = String::new();
    for n in 0..1_000 {
        writeln!(records, "crowd IN A 10.1.{}.{}", n / 250, n % 250).expect("text");
    }
    let Some(bind) = Bind::start(&records).await else { return };
    assert_eq!(Heard::of(bind.address, "dns://crowd.shop").addresses().await.len(), 1_000);
}

#[tokio::test]
async fn a_refusal_is_no_answer_and_a_no_is_one() {
    let Some(bind) = Bind::start("here IN TXT \"and no address\"").await else { return };
    for target in ["dns://nobody.shop", "dns://here.shop", "dns+srv://_http._tcp.here.shop"] {
        assert!(Heard::of(bind.address, target).addresses().await.is_empty(), "{target}");
    }
    let error = Heard::of(bind.address, "dns://catalog.elsewhere").error().await;
    assert!(error.contains("catalog.elsewhere A: the server answered REFUSED"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_down_is_an_error_and_its_return_is_seen() {
    let Some(mut bind) = Bind::start("catalog IN A 10.0.0.1").await else { return };
    let mut heard = Heard::of(bind.address, "dns://catalog.shop");
    let before = heard.next().await.expect("an answer");
    bind.running = None;
    let error = heard.error().await;
    assert!(error.contains("DNS: catalog.shop A: "), "{error}");
    bind.resume().await.expect("it was there before");
    let after = loop {
        if let Ok(answer) = heard.next().await {
            break answer;
        }
    };
    assert!(std::sync::Arc::ptr_eq(before.found(), after.found()), "nothing changed");
}
