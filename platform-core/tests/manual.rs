//! The manual says what is so.

mod pages;

use std::{fs, path::Path};

use platform_core::{
    identity::Identity,
    stack::{ClientPolicy, ServerGuards, ServerPolicy},
    telemetry::Metrics,
    testing::{Bench, Does, Target},
};

use pages::{DEFAULTS, flat, has_every_default, rows, section};

const SERVING: &str = include_str!("../src/manual/serving.rs");
const ORDERING: &str = include_str!("../src/manual/ordering.rs");

#[test]
fn every_default_is_in_the_manual_with_its_reason() {
    let policy = serde_json::to_value(ClientPolicy::default()).expect("JSON");
    has_every_default(DEFAULTS, "A client's policy", &policy);
}

#[test]
fn the_servers_guards_and_defaults_are_in_the_manual() {
    let mut told: Vec<_> =
        section(SERVING, "Defaults").into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    told.sort();
    assert_eq!(told, flat(&serde_json::to_value(ServerPolicy::default()).expect("JSON")));
    let metrics = Metrics::new(&Identity::default());
    let guards = ServerGuards::new(&ServerPolicy::default(), &[], &metrics, tokio::time::Instant::now());
    let runs: Vec<&str> = guards.describe().iter().map(|row| row.layer).collect();
    let order: Vec<String> = section(SERVING, "Order").into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(order, runs);
}

/// Each guard's page, where its source is.
const GUARDS: [&str; 19] = [
    "platform-core/src/deadline/mod.rs",
    "platform-core/src/recovery/mod.rs",
    "platform-core/src/admission/breaker/mod.rs",
    "platform-core/src/admission/bulkhead/mod.rs",
    "platform-core/src/admission/concurrency/mod.rs",
    "platform-core/src/admission/rate_limit/mod.rs",
    "platform-core/src/admission/throttle/mod.rs",
    "platform-core/src/admission/line/mod.rs",
    "platform-core/src/admission/shed/mod.rs",
    "platform-core/src/fallback/mod.rs",
    "platform-core/src/fault/mod.rs",
    "platform-core/src/lifecycle/mod.rs",
    "platform-core/src/blocking/mod.rs",
    "platform-core/src/manual/serving.rs",
    "platform-core/src/telemetry/log/mod.rs",
    "platform-discovery/src/balance/mod.rs",
    "platform-discovery/src/balance/eject/mod.rs",
    "platform-discovery/src/register/mod.rs",
    "platform-http/src/server/mod.rs",
];
/// The same with a heading for why.
const WITH_WHY: [&str; 2] = ["platform-http/src/tls/mod.rs", "platform-http/src/bearer/mod.rs"];

/// The documentation of a module.
fn door(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
    lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

#[test]
fn each_guard_has_a_page_of_the_same_shape() {
    for path in GUARDS.into_iter().chain(WITH_WHY) {
        let door = door(path);
        let (question, rest) = door.split_once("\n\n").unwrap_or_else(|| panic!("{path} is one line"));
        assert!(
            question.ends_with('?') || path.ends_with("serving.rs"),
            "{path} begins with no question: {question}"
        );
        // Why, in words, before the first heading or below one of its own.
        let why = rest.strip_prefix("# Why\n").unwrap_or(rest);
        let prose = why.split("\n# ").next().unwrap_or_default();
        assert!(prose.len() > 80 || path.ends_with("serving.rs"), "{path} does not say why: {prose}");
        for part in ["Defaults", "Signals", "Traps"] {
            let (_, below) =
                door.split_once(&format!("# {part}\n")).unwrap_or_else(|| panic!("{path} has no {part}"));
            let below = below.split("\n# ").next().unwrap_or_default().trim();
            assert!(below.len() > 20, "{path}: nothing is said of {part}");
        }
    }
}

/// rustdoc looks after the links within a crate; those into crates that stand above this one are looked after here.
#[test]
fn every_link_of_the_manual_into_another_crate_leads_to_a_page() {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/manual");
    let mut seen = 0;
    for page in fs::read_dir(manual).expect("the manual").flatten() {
        let text = fs::read_to_string(page.path()).expect("a page");
        for link in text.split("](../../../").skip(1) {
            let link = link.split(')').next().unwrap_or_default();
            let mut steps: Vec<&str> = link.split('/').collect();
            let (krate, page) = (steps.remove(0), steps.pop().expect("a page"));
            let source =
                Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(krate.replace('_', "-")).join("src");
            match page.split_once('.').expect("html") {
                ("index", _) => {
                    let module = source.join(steps.join("/"));
                    let found = module.join("mod.rs").is_file() || module.with_extension("rs").is_file();
                    assert!(found, "{link}: there is no {}", module.display());
                    // Each step of the way is shown to others.
                    let mut parent = source.join("lib.rs");
                    for (index, step) in steps.iter().enumerate() {
                        let declared = fs::read_to_string(&parent).expect("a parent");
                        assert!(
                            declared.contains(&format!("pub mod {step};")),
                            "{link}: {step} is not public"
                        );
                        parent = source.join(steps[..=index].join("/")).join("mod.rs");
                    }
                }
                ("trait" | "struct", item) => {
                    let name = item.trim_end_matches(".html");
                    let lib = fs::read_to_string(source.join("lib.rs")).expect("a crate");
                    assert!(lib.contains(name), "{link}: {krate} has no {name}");
                }
                other => panic!("{link}: {other:?} is no page that is known here"),
            }
            seen += 1;
        }
    }
    assert!(seen > 5, "there are such links");
}

#[tokio::test]
async fn the_order_in_the_manual_is_the_order_that_runs() {
    let _ = Metrics::new(&Identity::default());
    let bench = Bench::new(Target::new("catalog", 1, |_| Does::Nothing), |_| {});
    let rows: Vec<String> = rows(ORDERING).into_iter().map(|row| format!("{} {}", row[0], row[1])).collect();
    let runs: Vec<String> = bench
        .stack
        .describe(&bench.target)
        .iter()
        .map(|row| {
            format!(
                "{} {}",
                serde_json::to_value(row.storey).expect("JSON").as_str().expect("a word"),
                row.layer
            )
        })
        .collect();
    assert_eq!(rows, runs[..runs.len() - 1], "all but the wire's own");
}
