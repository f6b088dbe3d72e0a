//! `platform check`: every message, by an input that is broken in that way.

mod ground;

use std::{fs, path::Path};

use ground::platform_in;
use serde_json::Value;

const OWNED: &str = "[service]\nowner = \"team-a\"\n";

/// Writes each file into a service's folder, and asks. Status and what was printed.
fn check(files: &[(&str, &str)], more: &[&str]) -> (Option<i32>, String) {
    let place = tempfile::tempdir().expect("a folder");
    for (service, text) in files {
        let folder = place.path().join(service);
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("platform.toml"), format!("{OWNED}{text}")).expect("a file");
    }
    asked(place.path(), more)
}

fn asked(folder: &Path, more: &[&str]) -> (Option<i32>, String) {
    let out = platform_in(folder, &[&["check"], more].concat());
    let told = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    (out.status.code(), told)
}

#[test]
fn what_is_wrong_in_a_file_is_told_with_its_place() {
    for (text, told, place, underlined) in [
        ("[server]\nlisten = 8080\n", "must be a text", "4:1", "listen = 8080"),
        ("[server]\nlisen = \"a\"\n", "did you mean `server.listen`?", "4:1", "lisen = \"a\""),
        ("[sever]\nlisten = \"a\"\n", "unknown section `sever`; did you mean `server`?", "3:1", "[sever]"),
        ("[lifecycle]\ngrace = \"20\"\n", "`lifecycle.grace`", "4:1", "grace = \"20\""),
        ("[lifecycle]\ngrace = 20s\n", "this is not TOML", "4:1", "grace = 20s"),
        ("[admin]\nlisten = \"here\"\n", "`admin.listen`", "4:1", "listen = \"here\""),
        (
            "[discovery]\nregister = { lease = \"10s\", renew = \"9s\" }\n",
            "more than half of the lease",
            "4:29",
            "renew = \"9s\"",
        ),
        ("[telemetry]\ntraces = { ratio = 2.0 }\n", "`telemetry.traces.ratio`", "4:12", "ratio = 2.0"),
        ("[service]\n", "this is not TOML", "3:1", "[service]"),
        (
            "[clients.stock]\npolicy = { retry = { max_attempts = 9 } }\n",
            "`clients.stock.policy.retry.max_attempts`",
            "4:22",
            "max_attempts = 9",
        ),
        (
            "[clients.stock]\npolicy = { timeout = \"1s\", attempt_timeout = \"2s\" }\n",
            "longer than the whole call",
            "4:28",
            "attempt_timeout = \"2s\"",
        ),
        (
            "[clients.stock]\nservice_config = \"stock.json\"\n",
            "stock.json: cannot be read",
            "4:1",
            "service_config = \"stock.json\"",
        ),
        ("[clients.stock]\ntarget = \"ftp://x\"\n", "`clients.stock.target`", "4:1", "target = \"ftp://x\""),
        ("[clients.Stock]\n", "did you mean `stock`?", "3:1", "[clients.Stock]"),
        ("[defaults]\ntarget = \"stock\"\n", "would send every client", "", ""),
        ("[defaults.policy]\nbreaker = { min_calls = 0 }\n", "min_calls", "4:13", "min_calls = 0"),
        (
            "[clients.stock]\npreset = \"interactive\"\npolicy = { budget = { ratio = 0.0 } }\n",
            "there is no budget for a hedge",
            "5:23",
            "ratio = 0.0",
        ),
        (
            "[clients.stock]\npreset = \"interactive\"\npolicy = { hedge = { extra = 0.4 } }\n",
            "hedges would spend what repeats need",
            "5:22",
            "extra = 0.4",
        ),
        ("[slo]\navailability = 0.8\n", "`slo.availability`", "4:1", "availability = 0.8"),
        (
            "[slo]\nlatency = { bound = \"2s\", share = 0.99 }\n[server]\npolicy = { timeout = \"2s\" }\n",
            "its alert is dead",
            "4:13",
            "bound = \"2s\"",
        ),
        ("[profile.dev.lifecycle]\ngrace = \"soon\"\n", "`lifecycle.grace`", "4:1", "grace = \"soon\""),
    ] {
        let (status, said) = check(&[("orders", text)], &[]);
        assert_eq!(status, Some(1), "{text}: {said}");
        assert!(said.contains("error: ") && said.contains(told), "{text}: {said}");
        assert!(said.ends_with("1 file: 1 error\n"), "{text}: {said}");
        if !place.is_empty() {
            assert!(said.contains(&format!("--> ./orders/platform.toml:{place}\n")), "{text}: {said}");
            let lines: Vec<&str> = said.lines().collect();
            let carets = lines.iter().position(|line| line.contains('^')).expect("something is underlined");
            let (from, to) = (lines[carets].find('^'), lines[carets].rfind('^'));
            let (from, to) = (from.expect("a caret"), to.expect("a caret"));
            assert_eq!(&lines[carets - 1][from..=to], underlined, "{said}");
        }
    }
}

/// The rules of every section, each broken once: what is told, and of which key.
const RULES: &[(&str, &str, &str)] = &[
    // A service.
    ("ownr = \"team-b\"\n", "service.ownr", "did you mean `service.owner`?"),
    ("name = \"Orders\"\n", "service.name", "did you mean `orders`?"),
    // A client's policy.
    ("[clients.stock.policy]\ntimeout = \"0ms\"\n", "clients.stock.policy.timeout", "is 0ms"),
    ("[clients.stock.policy]\nattempt_timeout = \"0ms\"\n", "clients.stock.policy.attempt_timeout", "is 0ms"),
    ("[clients.stock.policy]\ntimeout = 800\n", "clients.stock.policy.timeout", "\"800ms\""),
    ("[clients.stock.policy]\nrecovery = \"again\"\n", "clients.stock.policy.recovery", "retry"),
    ("[clients.stock.policy]\nretry = { mode = \"on\" }\n", "clients.stock.policy.retry.mode", "enforce"),
    ("[clients.stock.policy]\nretry = { backoff = \"0ms\" }\n", "clients.stock.policy.retry.backoff", "0ms"),
    (
        "[clients.stock.policy]\nretry = { backoff_throttled = \"0ms\" }\n",
        "clients.stock.policy.retry.backoff_throttled",
        "0ms",
    ),
    (
        "[clients.stock.policy]\nretry = { backoff = \"1m\" }\n",
        "clients.stock.policy.retry.backoff",
        "backoff_max",
    ),
    ("[clients.stock.policy]\nhedge = { quantile = 0.4 }\n", "clients.stock.policy.hedge.quantile", "0.5"),
    ("[clients.stock.policy]\nhedge = { extra = 0.0 }\n", "clients.stock.policy.hedge.extra", "0"),
    (
        "[clients.stock.policy]\nbudget = { window = \"1500ms\" }\n",
        "clients.stock.policy.budget.window",
        "whole seconds",
    ),
    (
        "[clients.stock.policy]\nbudget = { ratio = 0.0, floor_per_second = 0 }\n",
        "clients.stock.policy.budget.ratio",
        "floor_per_second",
    ),
    (
        "[clients.stock.policy]\nrate_limit = { per_second = 0.0 }\n",
        "clients.stock.policy.rate_limit.per_second",
        "0",
    ),
    ("[clients.stock.policy]\nrate_limit = { burst = 0 }\n", "clients.stock.policy.rate_limit.burst", "0"),
    (
        "[clients.stock.policy]\nrate_limit = { per_second = 0.000001, burst = 1000 }\n",
        "clients.stock.policy.rate_limit.burst",
        "year",
    ),
    ("[clients.stock.policy]\nthrottle = { k = 0.5 }\n", "clients.stock.policy.throttle.k", "0.5"),
    (
        "[clients.stock.policy]\nthrottle = { memory = \"1ms\" }\n",
        "clients.stock.policy.throttle.memory",
        "100ms",
    ),
    (
        "[clients.stock.policy]\nthrottle = { max_share = 1.0 }\n",
        "clients.stock.policy.throttle.max_share",
        "1",
    ),
    (
        "[clients.stock.policy]\nbulkhead = { max_in_flight = 0 }\n",
        "clients.stock.policy.bulkhead.max_in_flight",
        "0",
    ),
    (
        "[clients.stock.policy]\nbulkhead = { max_wait = \"2m\" }\n",
        "clients.stock.policy.bulkhead.max_wait",
        "longer than 1m",
    ),
    (
        "[clients.stock.policy]\nbreaker = { window = \"1ms\" }\n",
        "clients.stock.policy.breaker.window",
        "1ms",
    ),
    (
        "[clients.stock.policy]\nbreaker = { consecutive = 0 }\n",
        "clients.stock.policy.breaker.consecutive",
        "at least 1",
    ),
    (
        "[clients.stock.policy]\nbreaker = { failure_ratio = 0.0 }\n",
        "clients.stock.policy.breaker.failure_ratio",
        "write more",
    ),
    (
        "[clients.stock.policy]\nbreaker = { slow_ratio = 0.0 }\n",
        "clients.stock.policy.breaker.slow_ratio",
        "write more",
    ),
    (
        "[clients.stock.policy]\nbreaker = { failure_ratio = 1.5 }\n",
        "clients.stock.policy.breaker.failure_ratio",
        "1.0",
    ),
    (
        "[clients.stock.policy]\nbreaker = { slow_after = \"0ms\" }\n",
        "clients.stock.policy.breaker.slow_after",
        "\"none\" lifts the rule",
    ),
    (
        "[clients.stock.policy]\nbreaker = { open = \"0ms\" }\n",
        "clients.stock.policy.breaker.open",
        "protect nobody",
    ),
    (
        "[clients.stock.policy]\nbreaker = { open = \"2m\" }\n",
        "clients.stock.policy.breaker.open",
        "open_max",
    ),
    ("[clients.stock.policy]\nconcurrency = { min = 0 }\n", "clients.stock.policy.concurrency.min", "0"),
    (
        "[clients.stock.policy]\nconcurrency = { min = 30, max = 25 }\n",
        "clients.stock.policy.concurrency.max",
        "min",
    ),
    (
        "[clients.stock.policy]\nconcurrency = { start = 2000 }\n",
        "clients.stock.policy.concurrency.start",
        "from `min` (1) to `max` (1000)",
    ),
    // Its other sections.
    ("[clients.stock]\npreset = \"fast\"\n", "clients.stock.preset", "interactive"),
    ("[clients.stock]\ncriticality = \"high\"\n", "clients.stock.criticality", "critical"),
    (
        "[clients.stock.connect]\ntimeout = \"0ms\"\n",
        "clients.stock.connect.timeout",
        "nobody can be reached",
    ),
    ("[clients.stock.connect]\ntls = { cert = \"a.pem\" }\n", "clients.stock.connect.tls.cert", "key"),
    ("[clients.stock.connect]\nmax_response = \"64MB\"\n", "clients.stock.connect.max_response", "MiB"),
    ("[clients.stock.connect]\nprotocol = \"h3\"\n", "clients.stock.connect.protocol", "h2"),
    ("[clients.stock.balance]\npick = \"random\"\n", "clients.stock.balance.pick", "p2c"),
    ("[clients.stock.balance]\nset = { subset = 1 }\n", "clients.stock.balance.set.subset", "1"),
    ("[clients.stock.balance]\nvariants = { stable = 0.5 }\n", "clients.stock.balance.variants", "stable"),
    (
        "[clients.stock.balance]\nvariants = { canary = 0.6 }\nversions = { \"2.0.0\" = 0.6 }\n",
        "clients.stock.balance.variants",
        "1",
    ),
    ("[clients.stock.balance]\nkey = \"x cart\"\n", "clients.stock.balance.key", "header"),
    ("[clients.stock.balance]\nload = { ewma = \"1ms\" }\n", "clients.stock.balance.load.ewma", "100ms"),
    (
        "[clients.stock.balance]\nload = { failure_penalty = \"10m\" }\n",
        "clients.stock.balance.load.failure_penalty",
        "300s",
    ),
    (
        "[clients.stock.balance]\nload = { slow_start = \"1h\" }\n",
        "clients.stock.balance.load.slow_start",
        "600s",
    ),
    (
        "[clients.stock.balance]\neject = { consecutive = 0 }\n",
        "clients.stock.balance.eject.consecutive",
        "1 or more",
    ),
    (
        "[clients.stock.balance]\neject = { base = \"1ms\" }\n",
        "clients.stock.balance.eject.base",
        "nobody gets well sooner",
    ),
    ("[clients.stock.balance]\neject = { max = \"10s\" }\n", "clients.stock.balance.eject.max", "eject.base"),
    (
        "[clients.stock.balance]\neject = { max = \"2h\" }\n",
        "clients.stock.balance.eject.max",
        "the way back is a try",
    ),
    // A server.
    ("[server]\nlisten = \"somewhere\"\n", "server.listen", "0.0.0.0:8080"),
    (
        "[server]\ntrust = { inbound = \"mtls\", peers = [\"spiffe://shop/*\"] }\n",
        "server.tls.client_ca",
        "goes by peers' certificates",
    ),
    (
        "[server]\ntrust = { inbound = \"mtls\" }\ntls = { cert = \"a\", key = \"b\", client_ca = \"c\" }\n",
        "server.trust.peers",
        "nobody would be believed",
    ),
    ("[server]\ntrust = { peers = [\"a\"] }\n", "server.trust.peers", "only read with"),
    ("[server]\ntls = { cert = \"a.pem\" }\n", "server.tls.key", "is missing"),
    ("[server]\ntls = { key = \"a.pem\" }\n", "server.tls.key", "would speak cleartext"),
    ("[server]\nlimits = { connections = 0 }\n", "server.limits.connections", "nobody could connect"),
    ("[server]\nlimits = { header_fields = 0 }\n", "server.limits.header_fields", "even `host` is a field"),
    ("[server]\nlimits = { headers = \"1KiB\" }\n", "server.limits.headers", "8KiB to 16MiB"),
    (
        "[server]\ntimes = { keep_alive = \"0ms\" }\n",
        "server.times.keep_alive",
        "end every connection at once",
    ),
    ("[server.policy]\ntimeout = \"0ms\"\n", "server.policy.timeout", "would refuse every request"),
    (
        "[server.policy]\nconcurrency = { queue_wait = \"2m\" }\n",
        "server.policy.concurrency.queue_wait",
        "longer than 1m",
    ),
    ("[server.policy]\nshed = { sources = [] }\n", "server.policy.shed.sources", "off"),
    (
        "[server.policy]\nshed = { sources = [\"cpu\", \"cpu\"] }\n",
        "server.policy.shed.sources",
        "names cpu twice",
    ),
    ("[server.policy]\nrate_limit = { max_keys = 0 }\n", "server.policy.rate_limit.max_keys", "0"),
    (
        "[server.classes.slow]\npolicy = { timeout = \"0ms\" }\n",
        "server.classes.slow.policy.timeout",
        "would refuse every request",
    ),
    // What finds others.
    ("[discovery]\nregistry = \"zookeeper\"\n", "discovery.registry", "etcd"),
    ("[discovery]\ndir = { poll = \"1ms\" }\n", "discovery.dir.poll", "10ms"),
    ("[discovery]\nremovals = { mass = 0.0 }\n", "discovery.removals.mass", "hold back every loss"),
    ("[discovery]\nregister = { renew = \"0ms\" }\n", "discovery.register.renew", "a third of the lease"),
    ("[discovery]\netcd = { endpoints = [] }\n", "discovery.etcd.endpoints", "is empty"),
    ("[discovery]\netcd = { endpoints = [\"etcd-0\"] }\n", "discovery.etcd.endpoints", "etcd-0"),
    ("[discovery]\netcd = { prefix = \"platform\" }\n", "discovery.etcd.prefix", "/"),
    ("[discovery]\netcd = { user = \"orders\" }\n", "discovery.etcd.user", "password_file"),
    ("[discovery]\netcd = { tls = { cert = \"a\" } }\n", "discovery.etcd.tls.cert", "key"),
    ("[discovery]\nconsul = { address = \"consul\" }\n", "discovery.consul.address", "http"),
    ("[discovery]\ndns = { port = 0 }\n", "discovery.dns.port", "nobody can be called"),
    ("[discovery]\ndns = { server = \"ns.shop\" }\n", "discovery.dns.server", "ns.shop"),
    ("[discovery]\nkubernetes = { port = \"\" }\n", "discovery.kubernetes.port", "is empty"),
    // What is seen.
    ("[telemetry]\nlog = { format = \"xml\" }\n", "telemetry.log.format", "json"),
    ("[telemetry]\nlog = { filter = \"loud,,=\" }\n", "telemetry.log.filter", "loud"),
    (
        "[telemetry]\ntraces = { endpoint = \"https://otel:4317\" }\n",
        "telemetry.traces.endpoint",
        "there is no TLS here",
    ),
    ("[telemetry]\ntraces = { endpoint = \"otel\" }\n", "telemetry.traces.endpoint", "otel"),
];

#[test]
fn every_rule_of_every_section_is_found_at_its_key() {
    let place = tempfile::tempdir().expect("a folder");
    for (number, (text, ..)) in RULES.iter().enumerate() {
        let folder = place.path().join(format!("s{number}"));
        fs::create_dir(&folder).expect("a folder");
        fs::write(folder.join("platform.toml"), format!("{OWNED}{text}")).expect("a file");
    }
    let (status, said) = asked(place.path(), &["--json"]);
    assert_eq!(status, Some(1), "{said}");
    let said: Value = serde_json::from_str(&said).expect("JSON");
    let findings = said["findings"].as_array().expect("findings");
    let mut wrong = Vec::new();
    for (number, (text, key, told)) in RULES.iter().enumerate() {
        let file = format!("./s{number}/platform.toml");
        let own: Vec<&Value> =
            findings.iter().filter(|finding| finding["at"]["file"] == file.as_str()).collect();
        let fits = |finding: &&Value| {
            let message = finding["message"].as_str().unwrap_or_default();
            message.contains(&format!("`{key}`")) && message.contains(told)
        };
        if own.len() != 1 || !own.iter().all(fits) || own[0]["at"]["line"].is_null() {
            wrong.push(format!("{text} should say {told:?} of {key}: {own:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), RULES.len(), wrong.join("\n"));
}

#[test]
fn several_problems_are_several_findings() {
    let (status, said) =
        check(&[("orders", "[server]\nlisen = \"a\"\n[lifecycle]\ngrace = \"x\"\nflush = \"y\"\n")], &[]);
    assert_eq!(status, Some(1));
    assert!(said.ends_with("1 file: 3 errors\n"), "{said}");
}

#[test]
fn nobody_owns_it() {
    let place = tempfile::tempdir().expect("a folder");
    fs::write(place.path().join("platform.toml"), "[service]\nname = \"orders\"\nversion = \"1\"\n")
        .expect("a file");
    let (status, said) = asked(place.path(), &[]);
    assert_eq!(status, Some(1));
    assert!(said.contains("nobody owns orders") && said.contains("platform.toml:1:1"), "{said}");
}

#[test]
fn what_services_do_to_each_other_is_told_with_both_places() {
    let waits = |name: &str, limit: &str| format!("[clients.{name}]\npolicy = {{ timeout = \"{limit}\" }}\n");
    let fast = waits("stock", "1s");
    let (slow, alike, good) = (waits("depot", "2s"), waits("depot", "1s"), waits("depot", "800ms"));
    let endless = "[clients.depot]\npolicy = { timeout = \"none\" }\n";
    for (text, told) in [
        (slow.as_str(), "stock waits 2s for depot, and orders waits 1s for stock"),
        (&alike, "stock waits 1s for depot, and orders waits 1s for stock"),
        (endless, "stock waits for ever for depot"),
        ("[clients.depot]\n", "stock waits 10s for depot"),
    ] {
        let (status, said) = check(&[("orders", &fast), ("stock", text), ("depot", "")], &[]);
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains(told), "{said}");
        assert!(
            said.contains("--> ./stock/platform.toml:") && said.contains("--> ./orders/platform.toml:4:12"),
            "{said}"
        );
        assert!(said.contains("note: orders waits for stock here"), "{said}");
        assert!(said.ends_with("3 files: 1 error\n"), "{said}");
    }
    let (status, said) = check(&[("orders", &fast), ("stock", &good), ("depot", "")], &[]);
    assert_eq!(status, Some(0), "{said}");
    // Limits that nobody set are alike, and no mistake.
    let (status, said) =
        check(&[("orders", "[clients.stock]\n"), ("stock", "[clients.depot]\n"), ("depot", "")], &[]);
    assert_eq!((status, said.as_str()), (Some(0), "3 files: fine\n"));
}

#[test]
fn attempts_that_multiply_are_found() {
    let stranger = "[clients.stock]\ntarget = \"http://stock.shop.svc:8080\"\n";
    let files = [("orders", stranger), ("stock", "[clients.depot]\n"), ("depot", "")];
    let (status, said) = check(&files, &[]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("3 attempts here and 3 there are 9 at depot"), "{said}");
    assert!(said.contains("--> ./orders/platform.toml:4:1"), "{said}");
    let once = format!("{stranger}policy = {{ recovery = \"none\" }}\n");
    let (status, said) = check(&[("orders", &once), files[1], files[2]], &[]);
    assert_eq!(status, Some(0), "{said}");

    let generous = |name: &str| format!("[clients.{name}]\npolicy = {{ budget = {{ ratio = 0.5 }} }}\n");
    let (orders, stock) = (generous("stock"), generous("depot"));
    let (status, said) = check(&[("orders", &orders), ("stock", &stock), ("depot", "")], &[]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("orders → stock → depot") && said.contains("2.2 times for each request"), "{said}");
    assert!(said.contains("--> ./stock/platform.toml:4:23"), "{said}");
}

#[test]
fn a_circle_is_found_once_and_so_is_a_name_that_two_have() {
    let files = [("orders", "[clients.stock]\n"), ("stock", "[clients.orders]\n")];
    let (status, said) = check(&files, &[]);
    assert_eq!(status, Some(1));
    assert!(
        said.contains("orders → stock → orders is a circle") && said.ends_with("2 files: 1 error\n"),
        "{said}"
    );

    let (status, said) = check(&[("a/orders", ""), ("b/orders", "")], &[]);
    assert_eq!(status, Some(1));
    assert!(said.contains("two services are called orders"), "{said}");
}

#[test]
fn a_script_reads_it_as_data() {
    let (status, said) = check(&[("orders", "[server]\nlisen = \"a\"\n")], &["--json"]);
    assert_eq!(status, Some(1));
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(said["findings"][0]["at"]["line"], 4);
    assert_eq!(said["findings"][0]["at"]["column"], 1);
    let (status, said) = check(&[("orders", "")], &["--json"]);
    assert_eq!(status, Some(0));
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(
        (&said["findings"], &said["files"][0]),
        (&Value::Array(vec![]), &Value::from("./orders/platform.toml"))
    );
}

#[test]
fn asked_wrongly_it_ends_with_2() {
    let place = tempfile::tempdir().expect("a folder");
    for (more, told) in
        [(&[][..], "there is no platform.toml"), (&["nowhere"], "nowhere"), (&["--yaml"], "is no flag")]
    {
        let (status, said) = asked(place.path(), more);
        assert_eq!(status, Some(2), "{said}");
        assert!(said.contains(told), "{said}");
    }
}

#[test]
fn a_service_config_beside_the_file_is_read_and_a_whole_path_belongs_to_another_machine() {
    let place = tempfile::tempdir().expect("a folder");
    let write = |path: &str, json: &str| {
        let toml = format!("{OWNED}[clients.stock]\nservice_config = \"{path}\"\n");
        fs::write(place.path().join("platform.toml"), toml).expect("a file");
        fs::write(place.path().join("stock.json"), json).expect("a file");
    };
    write("stock.json", r#"{"methodConfig": [{"name": [{}], "timeout": "1s"}]}"#);
    assert_eq!(asked(place.path(), &[]).0, Some(0));
    write("stock.json", "{\"methodConfig\": [\n{\"name\": [{}],\n\"timeout\": 1}]}");
    let (status, told) = asked(place.path(), &[]);
    assert!(
        status == Some(1) && told.contains("stock.json:3: `methodConfig[0].timeout` is 1; write"),
        "{told}"
    );
    write("/etc/nowhere/stock.json", "{}");
    assert_eq!(asked(place.path(), &[]).0, Some(0));
}
