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

/// A line, the key in it that is wrong, and what is told.
type Broken = (&'static str, &'static str, &'static str);

/// The rules of every section, each broken once.
const RULES: &[(&str, &[Broken])] = &[
    (
        "service",
        &[
            ("ownr = 'team-b'", "ownr", "did you mean `service.owner`?"),
            ("name = 'Orders'", "name", "did you mean `orders`?"),
        ],
    ),
    (
        "clients.stock.policy",
        &[
            ("timeout = '0ms'", "timeout", "is 0ms"),
            ("attempt_timeout = '0ms'", "attempt_timeout", "is 0ms"),
            ("timeout = 800", "timeout", "\"800ms\""),
            ("recovery = 'again'", "recovery", "retry"),
            ("retry = { mode = 'on' }", "retry.mode", "enforce"),
            ("retry = { backoff = '0ms' }", "retry.backoff", "0ms"),
            ("retry = { backoff_throttled = '0ms' }", "retry.backoff_throttled", "0ms"),
            ("retry = { backoff = '1m' }", "retry.backoff", "backoff_max"),
            ("hedge = { quantile = 0.4 }", "hedge.quantile", "0.5"),
            ("hedge = { extra = 0.0 }", "hedge.extra", "0"),
            ("budget = { window = '1500ms' }", "budget.window", "whole seconds"),
            ("budget = { ratio = 0.0, floor_per_second = 0 }", "budget.ratio", "floor_per_second"),
            ("rate_limit = { per_second = 0.0 }", "rate_limit.per_second", "0"),
            ("rate_limit = { burst = 0 }", "rate_limit.burst", "0"),
            ("rate_limit = { per_second = 0.000001, burst = 1000 }", "rate_limit.burst", "year"),
            ("throttle = { k = 0.5 }", "throttle.k", "0.5"),
            ("throttle = { memory = '1ms' }", "throttle.memory", "100ms"),
            ("throttle = { max_share = 1.0 }", "throttle.max_share", "1"),
            ("bulkhead = { max_in_flight = 0 }", "bulkhead.max_in_flight", "0"),
            ("bulkhead = { max_wait = '2m' }", "bulkhead.max_wait", "longer than 1m"),
            ("breaker = { window = '1ms' }", "breaker.window", "1ms"),
            ("breaker = { consecutive = 0 }", "breaker.consecutive", "at least 1"),
            ("breaker = { failure_ratio = 0.0 }", "breaker.failure_ratio", "write more"),
            ("breaker = { slow_ratio = 0.0 }", "breaker.slow_ratio", "write more"),
            ("breaker = { failure_ratio = 1.5 }", "breaker.failure_ratio", "1.0"),
            ("breaker = { slow_after = '0ms' }", "breaker.slow_after", "\"none\" lifts the rule"),
            ("breaker = { open = '0ms' }", "breaker.open", "protect nobody"),
            ("breaker = { open = '2m' }", "breaker.open", "open_max"),
            ("concurrency = { min = 0 }", "concurrency.min", "0"),
            ("concurrency = { min = 30, max = 25 }", "concurrency.max", "min"),
            ("concurrency = { start = 2000 }", "concurrency.start", "from `min` (1) to `max` (1000)"),
        ],
    ),
    (
        "clients.stock",
        &[("preset = 'fast'", "preset", "interactive"), ("criticality = 'high'", "criticality", "critical")],
    ),
    (
        "clients.stock.connect",
        &[
            ("timeout = '0ms'", "timeout", "nobody can be reached"),
            ("tls = { cert = 'a.pem' }", "tls.cert", "key"),
            ("max_response = '64MB'", "max_response", "MiB"),
            ("protocol = 'h3'", "protocol", "h2"),
        ],
    ),
    (
        "clients.stock.balance",
        &[
            ("pick = 'random'", "pick", "p2c"),
            ("set = { subset = 1 }", "set.subset", "1"),
            ("variants = { stable = 0.5 }", "variants", "stable"),
            ("variants = { canary = 0.6 }\nversions = { '2.0.0' = 0.6 }", "variants", "1"),
            ("key = 'x cart'", "key", "header"),
            ("load = { ewma = '1ms' }", "load.ewma", "100ms"),
            ("load = { failure_penalty = '10m' }", "load.failure_penalty", "300s"),
            ("load = { slow_start = '1h' }", "load.slow_start", "600s"),
            ("eject = { consecutive = 0 }", "eject.consecutive", "1 or more"),
            ("eject = { base = '1ms' }", "eject.base", "nobody gets well sooner"),
            ("eject = { max = '10s' }", "eject.max", "eject.base"),
            ("eject = { max = '2h' }", "eject.max", "the way back is a try"),
            ("health = { mode = 'on' }", "health.mode", "enforce"),
        ],
    ),
    (
        "server",
        &[
            ("listen = 'somewhere'", "listen", "0.0.0.0:8080"),
            (
                "trust = { inbound = 'mtls', peers = ['spiffe://shop/*'] }",
                "tls.client_ca",
                "goes by peers' certificates",
            ),
            (
                "trust = { inbound = 'mtls' }\ntls = { cert = 'a', key = 'b', client_ca = 'c' }",
                "trust.peers",
                "nobody would be believed",
            ),
            ("trust = { peers = ['a'] }", "trust.peers", "only read with"),
            ("tls = { cert = 'a.pem' }", "tls.key", "is missing"),
            ("tls = { key = 'a.pem' }", "tls.key", "would speak cleartext"),
            ("limits = { connections = 0 }", "limits.connections", "nobody could connect"),
            ("limits = { header_fields = 0 }", "limits.header_fields", "even `host` is a field"),
            ("limits = { headers = '1KiB' }", "limits.headers", "8KiB to 16MiB"),
            ("times = { keep_alive = '0ms' }", "times.keep_alive", "end every connection at once"),
            ("bearer = { issuer = 'a' }", "bearer.issuer", "`keys` is not"),
            ("bearer = { leeway = '10m' }", "bearer.leeway", "no two clocks"),
            ("show = { headers = ['cookie'] }", "show.headers", "holds secrets"),
        ],
    ),
    (
        "server.policy",
        &[
            ("timeout = '0ms'", "timeout", "would refuse every request"),
            ("concurrency = { queue_wait = '2m' }", "concurrency.queue_wait", "longer than 1m"),
            ("shed = { sources = [] }", "shed.sources", "off"),
            ("shed = { sources = ['cpu', 'cpu'] }", "shed.sources", "names cpu twice"),
            ("rate_limit = { max_keys = 0 }", "rate_limit.max_keys", "0"),
        ],
    ),
    (
        "server.classes.slow",
        &[("policy = { timeout = '0ms' }", "policy.timeout", "would refuse every request")],
    ),
    (
        "admin",
        &[
            ("peers = ['a']", "peers", "only read with"),
            ("tls = { cert = 'a.pem' }", "tls.key", "is missing"),
        ],
    ),
    ("blocking.films", &[("threads = 0", "threads", "refuse all work")]),
    (
        "discovery",
        &[
            ("registry = 'zookeeper'", "registry", "etcd"),
            ("dir = { poll = '1ms' }", "dir.poll", "10ms"),
            ("removals = { mass = 0.0 }", "removals.mass", "hold back every loss"),
            ("register = { renew = '0ms' }", "register.renew", "a third of the lease"),
            ("etcd = { endpoints = [] }", "etcd.endpoints", "is empty"),
            ("etcd = { endpoints = ['etcd-0'] }", "etcd.endpoints", "etcd-0"),
            ("etcd = { prefix = 'platform' }", "etcd.prefix", "/"),
            ("etcd = { user = 'orders' }", "etcd.user", "password_file"),
            ("etcd = { tls = { cert = 'a' } }", "etcd.tls.cert", "key"),
            ("consul = { address = 'consul' }", "consul.address", "http"),
            ("dns = { port = 0 }", "dns.port", "nobody can be called"),
            ("dns = { server = 'ns.shop' }", "dns.server", "ns.shop"),
            ("kubernetes = { port = '' }", "kubernetes.port", "is empty"),
        ],
    ),
    (
        "telemetry",
        &[
            ("log = { format = 'xml' }", "log.format", "json"),
            ("log = { filter = 'loud,,=' }", "log.filter", "loud"),
            ("traces = { endpoint = 'https://otel:4317' }", "traces.endpoint", "there is no TLS here"),
            ("traces = { endpoint = 'otel' }", "traces.endpoint", "otel"),
            ("log = { bytes_per_second = '1B' }", "log.bytes_per_second", "less than a line"),
            ("log = { first = 0 }", "log.first", "at least 1"),
            ("log = { then_every = 0 }", "log.then_every", "at least 1"),
        ],
    ),
];

/// Each of them as a file with its whole key and what is told of it.
fn broken() -> Vec<(String, String, &'static str)> {
    let of = |section: &str, &(line, key, told): &Broken| {
        let head = if section == "service" { String::new() } else { format!("[{section}]\n") };
        (format!("{OWNED}{head}{line}\n"), format!("`{section}.{key}`"), told)
    };
    RULES.iter().flat_map(|(section, lines)| lines.iter().map(move |line| of(section, line))).collect()
}

#[test]
fn every_rule_of_every_section_is_found_at_its_key() {
    let place = tempfile::tempdir().expect("a folder");
    let broken = broken();
    for (number, (text, ..)) in broken.iter().enumerate() {
        let folder = place.path().join(format!("s{number}"));
        fs::create_dir(&folder).expect("a folder");
        fs::write(folder.join("platform.toml"), text).expect("a file");
    }
    let (status, said) = asked(place.path(), &["--json"]);
    assert_eq!(status, Some(1), "{said}");
    let said: Value = serde_json::from_str(&said).expect("JSON");
    let findings = said["findings"].as_array().expect("findings");
    let mut wrong = Vec::new();
    for (number, (text, key, told)) in broken.iter().enumerate() {
        let file = format!("./s{number}/platform.toml");
        let own: Vec<&Value> =
            findings.iter().filter(|finding| finding["at"]["file"] == file.as_str()).collect();
        let fits = |finding: &&Value| {
            let message = finding["message"].as_str().unwrap_or_default();
            message.contains(key.as_str()) && message.contains(told)
        };
        if own.len() != 1 || !own.iter().all(fits) || own[0]["at"]["line"].is_null() {
            wrong.push(format!("{text} should say {told:?} of {key}: {own:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), broken.len(), wrong.join("\n"));
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
