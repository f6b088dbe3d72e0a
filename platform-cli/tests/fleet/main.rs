//! The commands that look at services and act on them: on every instance that a registry knows.

#![expect(clippy::unwrap_used, reason = "what helps a test may panic: the test fails")]

#[path = "../../../platform-http/tests/ground/authority.rs"]
mod authority;
#[path = "../ground/mod.rs"]
mod ground;
mod secured;
mod town;

use std::{fs, time::Duration};

use platform_core::{app::ChangeKind, lifecycle::Phase};
use serde_json::Value;
use town::{Instance, Town};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_is_seen_and_changed_as_a_whole() {
    let town = Town::new();
    let registry = town.registry();
    let stock = Instance::start(&registry, "stock", "stock-1", "east").await;
    let far = Instance::start(&registry, "stock", "stock-2", "west").await;
    let one = Instance::start(&registry, "orders", "orders-1", "east").await;
    let two = Instance::start(&registry, "orders", "orders-2", "east").await;
    assert_eq!((one.page().await, two.page().await), (200, 200));

    // Whom it calls, for a person and for a script.
    let (status, said, wrong) = town.platform(&["targets", "orders"]).await;
    assert_eq!(status, Some(0), "{wrong}");
    for told in ["stock-1", "stock-2", "orders-1", "orders-2", "east", "1.2.0", "ready"] {
        assert!(said.contains(told), "{told}: {said}");
    }
    assert!(!said.contains('\u{1b}'), "no colours where nobody sees them");
    let (_, said, _) = town.platform(&["targets", "orders", "--json"]).await;
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said[1]["instance"], "orders-2");
    assert_eq!(said[1]["targets"].as_array().unwrap().len(), 2, "and itself");

    // A fault hits the calls of each instance, until it is ended.
    let fault = ["fault", "orders", "--target", "stock", "--abort", "500", "--why", "INC-7", "--as", "ann"];
    let (status, said, wrong) = town.platform(&fault).await;
    assert_eq!(status, Some(0), "{said}{wrong}");
    assert!(said.contains("orders-1  done") && said.contains("orders-2  done"), "{said}");
    assert_eq!((one.page().await, two.page().await), (502, 502));
    let record = one.app.changes().latest().into_iter().find(|change| change.why == "INC-7").unwrap();
    assert_eq!(record.who, "ann");
    let (status, said, wrong) = town.platform(&["fault", "orders", "--clear", "--why", "over"]).await;
    assert_eq!(status, Some(0), "{said}{wrong}");
    assert_eq!((one.page().await, two.page().await), (200, 200));

    // A guard of one instance only.
    let mode =
        ["mode", "orders", "breaker", "observe", "--why", "a test", "--for", "5m", "--instance", "orders-1"];
    let (status, said, wrong) = town.platform(&[&mode[..], &["--json"]].concat()).await;
    assert_eq!(status, Some(0), "{said}{wrong}");
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said.as_array().unwrap().len(), 1);
    assert_eq!((&said[0]["instance"], &said[0]["done"]), (&Value::from("orders-1"), &Value::from(true)));
    assert_eq!(said[0]["answer"]["kind"], "mode");

    // A zone that nobody has is refused by each, with the zones that there are.
    let (status, said, _) = town.platform(&["evacuate", "orders", "north", "--why", "a test"]).await;
    assert_eq!(status, Some(1));
    assert!(said.contains("FAILED") && said.contains("east"), "{said}");
    let (status, said, _) = town.platform(&["evacuate", "orders", "west", "--why", "a test"]).await;
    assert_eq!(status, Some(0), "{said}");
    let (_, said, _) = town.platform(&["targets", "orders", "--json"]).await;
    let said: Value = serde_json::from_str(&said).unwrap();
    for instance in said.as_array().unwrap() {
        let targets = instance["targets"].as_array().unwrap();
        let stock = targets.iter().find(|target| target["target"] == "stock").unwrap();
        assert_eq!(stock["evacuated"][0], "west", "{instance}");
    }

    // What is set there, and what differs.
    let (status, said, wrong) = town.platform(&["config", "show", "orders"]).await;
    assert_eq!(status, Some(0), "{wrong}");
    assert!(said.contains("\"orders-2\"  # flag --set service.instance [orders-2]"), "{said}");
    let (_, said, _) = town.platform(&["config", "explain", "lifecycle.propagation", "orders"]).await;
    let told = "lifecycle.propagation of orders-1\n  value    \"0ms\"\n  from     flag --set lifecycle.propagation\n  default  \"5s\"\n";
    assert!(said.contains(told), "{said}");

    // How all of them are: the service of this folder, and one by its name.
    let (status, said, wrong) = town.platform(&["top", "--once", "orders", "stock"]).await;
    assert_eq!(status, Some(0), "{wrong}");
    let lines: Vec<&str> = said.lines().collect();
    assert!(
        lines[1].starts_with("orders") && lines[1].contains("2/2") && lines[1].contains("1.2.0"),
        "{said}"
    );
    // Without a name, all that the registry knows.
    let (_, said, _) = town.platform(&["top", "--once", "--json"]).await;
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said[0]["service"], &said[0]["ready"]), (&Value::from("orders"), &Value::from(2)));
    assert_eq!((&said[1]["service"], &said[1]["ready"]), (&Value::from("stock"), &Value::from(2)));
    let (status, said, wrong) = town.platform(&["targets"]).await;
    assert_eq!(status, Some(0), "{wrong}");
    let lines: Vec<&str> = said.lines().map(str::trim_end).collect();
    assert_eq!(
        lines[1..],
        ["orders   2/2    1.2.0     east        -", "stock    2/2    1.2.0     east, west  -"],
        "{said}"
    );

    // What was done to the service is taken back as a whole, and what was done to one of them is not.
    let modes = |instance: &Instance| {
        instance
            .app
            .changes()
            .latest()
            .into_iter()
            .filter(|one| !one.undone && one.until_unix_ms.is_some())
            .count()
    };
    assert_eq!((modes(&one), modes(&two)), (2, 1), "a mode, and a zone of both");
    let (status, said, wrong) = town.platform(&["undo", "orders", "--why", "it is dry"]).await;
    assert_eq!(status, Some(0), "{said}{wrong}");
    assert!(
        said.contains("orders-1  done") && said.contains("orders-2  done") && said.contains("west"),
        "{said}"
    );
    assert_eq!((modes(&one), modes(&two)), (1, 0));
    let (status, said, wrong) = town.platform(&["undo", "orders", "--why", "seen", "--json"]).await;
    assert_eq!(status, Some(0), "{said}{wrong}");
    let said: Value = serde_json::from_str(&said).unwrap();
    let answers = |at: usize| said[at]["answer"].as_array().map(Vec::len);
    assert_eq!((answers(0), answers(1), modes(&one)), (Some(1), Some(0), 0), "{said}");
    let (status, _, wrong) = town.platform(&["undo", "orders", "--why", "again"]).await;
    assert_eq!(status, Some(1));
    assert!(wrong.contains("nothing to undo in orders"), "{wrong}");

    // One instance ends, in order; the other stays.
    let (status, _, wrong) = town.platform(&["drain", "orders", "--why", "a test"]).await;
    assert_eq!(status, Some(2));
    assert!(wrong.contains("no way back"), "{wrong}");
    let (status, said, wrong) =
        town.platform(&["drain", "orders", "--instance", "orders-2", "--why", "a test"]).await;
    assert_eq!(status, Some(0), "{said}{wrong}");
    assert_eq!(two.ended().await, 0);
    assert_eq!(one.app.phases().current(), Phase::Ready);

    for instance in [one, stock, far] {
        instance.stop().await;
    }
}

#[tokio::test]
async fn nobody_there_and_wrong_uses_are_told() {
    let town = Town::new();
    for (arguments, status, told) in [
        (&["targets", "orders"][..], 1, "nobody answers for orders in the registry `dir`"),
        (&["top", "--once", "orders"], 1, "nobody answers for orders"),
        (&["fault", "orders", "--target", "stock", "--delay", "1s", "--why", "x"], 1, "nobody answers"),
        (&["targets"], 1, "the registry `dir` knows no service"),
        (&["targets", "--set", "discovery.registry=dns"], 78, "does not say which services it knows"),
        (&["undo", "--why", "x"], 2, "a service is missing"),
        (&["undo", "orders"], 2, "--why is missing"),
        (&["undo", "orders", "--why", "x"], 1, "nobody answers for orders"),
        (&["undo", "orders", "--why", "x", "--change", "7"], 2, "with one --instance NAME"),
        (&["undo", "orders", "--why", "x", "--change", "7", "--all"], 2, "not both"),
        (&["targets", "Orders"], 2, "did you mean `orders`?"),
        (&["fault", "orders", "--target", "stock", "--delay", "1s"], 2, "--why is missing"),
        (&["fault", "orders", "--why", "x"], 2, "--target is missing"),
        (&["fault", "orders", "--target", "stock", "--why", "x"], 2, "say --delay"),
        (
            &["fault", "orders", "--target", "s", "--abort", "503", "--share", "x", "--why", "x"],
            2,
            "--share x",
        ),
        (&["mode", "orders", "breaker", "--why", "x"], 2, "a service, a guard and a mode is missing"),
        (&["evacuate", "orders", "a/b", "--why", "x"], 2, "is no name"),
        (&["drain", "orders", "--all", "--why", " "], 2, "--why is missing"),
        (&["config"], 2, "show or explain KEY is missing"),
        (&["config", "explain"], 2, "say `config show"),
        (&["config", "explain", "server.lisen"], 1, "nothing is called `server.lisen`"),
        (&["targets", "orders", "--set", "discovery.registry=zoo"], 78, "discovery.registry"),
        (&["targets", "orders", "--token-file", "nowhere"], 2, "--token-file nowhere"),
    ] {
        let (code, _, wrong) = town.platform(arguments).await;
        assert_eq!(code, Some(status), "{arguments:?}: {wrong}");
        assert!(wrong.contains(told), "{arguments:?}: {wrong}");
    }
    // What is set here needs nobody.
    let (code, said, wrong) = town.platform(&["config", "explain", "discovery.start_wait"]).await;
    assert_eq!(code, Some(0), "{wrong}");
    assert!(
        said.contains("from     platform.toml:5") && said.contains("PLATFORM__DISCOVERY__START_WAIT"),
        "{said}"
    );
    let films = ["config", "explain", "blocking.films", "--set", "blocking.films.threads=4"];
    let (code, said, wrong) = town.platform(&films).await;
    assert_eq!(code, Some(0), "{wrong}");
    let threads =
        "blocking.films.threads\n  value    4\n  from     flag --set blocking.films.threads\n  default  16\n";
    assert!(said.contains(threads) && said.contains("default  \"50ms\"\n"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_gone_or_silent_is_a_failure_of_its_own() {
    let town = Town::new();
    let registry = town.registry();
    let one = Instance::start(&registry, "orders", "orders-1", "").await;
    // A record of an instance at whose admin address nobody listens any more.
    let file = registry.join("orders/orders-1.json");
    let mut record: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    record["instance"] = "orders-9".into();
    for field in ["address", "admin"] {
        record[field] = free.to_string().into();
    }
    fs::write(registry.join("orders/orders-9.json"), record.to_string()).unwrap();

    let (status, said, _) =
        town.platform(&["mode", "orders", "breaker", "off", "--why", "x", "--json"]).await;
    assert_eq!(status, Some(1), "{said}");
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said[1]["instance"], &said[1]["done"]), (&Value::from("orders-9"), &Value::from(false)));
    assert!(said[1]["error"].as_str().unwrap().contains(&free.to_string()), "{said}");

    let (status, said, _) = town.platform(&["top", "--once", "orders"]).await;
    assert!(status == Some(1) && said.contains("orders: orders-9: "), "{said}");

    // What cannot be taken back keeps nobody from taking back the rest.
    let changes = one.app.changes();
    changes.record_for(ChangeKind::Config, "orders", "a switch of its own", "x", Duration::from_secs(300));
    let all = ["undo", "orders", "--all", "--instance", "orders-1", "--why", "y", "--json"];
    let (status, said, wrong) = town.platform(&all).await;
    assert_eq!(status, Some(1), "{said}{wrong}");
    let said: Value = serde_json::from_str(&said).unwrap();
    let (own, mode) = (&said[0]["answer"][0], &said[0]["answer"][1]);
    assert!(own["what"] == "a switch of its own" && own["error"] == said[0]["error"], "{said}");
    assert!(own["error"].as_str().unwrap().contains("cannot be undone"), "{said}");
    assert!(mode["kind"] == "mode" && mode["error"].is_null() && said[0]["done"] == false, "{said}");
    assert_eq!(
        changes
            .latest()
            .iter()
            .filter(|change| !change.undone
                && change.kind == ChangeKind::Mode
                && change.until_unix_ms.is_some())
            .count(),
        0
    );

    // A service whose only record is none is told beside the others, and in the status.
    fs::create_dir(registry.join("stock")).unwrap();
    fs::write(registry.join("stock/stock-1.json"), "{").unwrap();
    let (status, said, _) = town.platform(&["targets", "--json"]).await;
    assert_eq!(status, Some(1), "{said}");
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said[0]["known"], &said[0]["trouble"]), (&Value::from(2), &Value::from("")), "{said}");
    let trouble = said[1]["trouble"].as_str().unwrap();
    assert!(said[1]["known"] == 0 && trouble.contains("nobody answers for stock"), "{said}");
    let (status, said, _) = town.platform(&["targets"]).await;
    assert!(status == Some(1) && said.contains("stock: nobody answers for stock"), "{said}");
    one.stop().await;
}
