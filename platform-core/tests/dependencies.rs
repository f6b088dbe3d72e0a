//! What may stand in `Cargo.lock`: one version of what everything rests on, and nothing that needs more than a
//! C compiler.

use std::collections::BTreeMap;

/// Two versions of one of these are two worlds whose types do not fit together.
const ONCE: [&str; 18] = [
    "axum",
    "bytes",
    "h2",
    "http",
    "http-body",
    "hyper",
    "hyper-util",
    "opentelemetry",
    "opentelemetry_sdk",
    "prometheus-client",
    "prost",
    "rustls",
    "serde",
    "tokio",
    "tonic",
    "tower",
    "tower-service",
    "tracing",
];

/// These need cmake, protoc, OpenSSL or a second TLS; `ring` needs a C compiler and no more.
const NEVER: [&str; 12] = [
    "aws-lc-rs",
    "aws-lc-sys",
    "cmake",
    "metrics",
    "native-tls",
    "openssl",
    "openssl-sys",
    "prost-wkt-build",
    "protoc-bin-vendored",
    "reqwest",
    "rustls-pemfile",
    "serde_yaml",
];

#[test]
fn one_version_of_what_everything_rests_on() {
    let packages = packages();
    for name in ONCE {
        let versions = packages.get(name).map(Vec::as_slice).unwrap_or_default();
        assert_eq!(
            versions.len(),
            1,
            "{name} has the versions {versions:?}; `cargo tree -i {name}` says who asks for each"
        );
    }
}

#[test]
fn nothing_that_needs_more_than_a_c_compiler() {
    let packages = packages();
    let found: Vec<&str> = NEVER.into_iter().filter(|name| packages.contains_key(*name)).collect();
    assert!(
        found.is_empty(),
        "{found:?} came in; `cargo tree -i NAME` says through whom, a feature of it can be switched off"
    );
}

/// It runs protoc unless it is handed descriptors, which is what platform-grpc-build does.
#[test]
fn protos_are_compiled_in_one_place() {
    let lock = lock();
    let asking = lock.split("[[package]]").filter(|package| package.contains("\n \"prost-build\""));
    let asking: Vec<_> = asking.filter_map(|package| package.split('"').nth(1)).collect();
    assert_eq!(asking, ["tonic-prost-build"], "these may look for protoc");
    let asking = lock.split("[[package]]").filter(|package| package.contains("\n \"tonic-prost-build\""));
    let asking: Vec<_> = asking.filter_map(|package| package.split('"').nth(1)).collect();
    assert_eq!(asking, ["platform-grpc-build"]);
}

fn lock() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock");
    std::fs::read_to_string(path).expect("the workspace has a lock file")
}

/// Names and their versions, as the lock file of the workspace has them.
fn packages() -> BTreeMap<String, Vec<String>> {
    let lock = lock();
    let mut packages = BTreeMap::<String, Vec<String>>::new();
    let mut name = "";
    for line in lock.lines() {
        if let Some(value) = line.strip_prefix("name = ") {
            name = value.trim_matches('"');
        } else if let (Some(value), false) = (line.strip_prefix("version = "), name.is_empty()) {
            packages.entry(name.to_owned()).or_default().push(value.trim_matches('"').to_owned());
            name = "";
        }
    }
    assert!(packages.len() > 100, "the lock file was not read: {} packages", packages.len());
    packages
}
