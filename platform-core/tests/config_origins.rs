//! Every effective value says where it came from.

use std::{collections::BTreeMap, fs, time::Duration};

use platform_core::config::{Config, Origin, Ratio, Secret, duration};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Server {
    listen: String,
    peers: Vec<String>,
    share: Ratio,
    name: Option<String>,
    times: Times,
    routes: BTreeMap<String, Times>,
    token: Secret<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Times {
    #[serde(with = "duration")]
    header: Duration,
    #[serde(with = "duration::or_none")]
    body: Option<Duration>,
}

impl Default for Server {
    fn default() -> Self {
        Server {
            listen: "0.0.0.0:8080".to_owned(),
            peers: Vec::new(),
            share: Ratio::of(0.5),
            name: None,
            times: Times::default(),
            routes: BTreeMap::new(),
            token: Secret::default(),
        }
    }
}

impl Default for Times {
    fn default() -> Self {
        Times { header: Duration::from_secs(10), body: None }
    }
}

const FILE: &str = "\
[server]
peers = [\"a \\\"quoted\\\" one\"]

[server.routes.\"GET /films/{id}\"]
header = \"1s\"

[profile.dev.server]
share = 0.25
";

fn all_sources(file: &std::path::Path) -> Config {
    Config::builder()
        .file(file)
        .profile("dev")
        .env([("PLATFORM__SERVER__TIMES__HEADER".to_owned(), "4s".to_owned())])
        .set("server.times.body", "6s")
        .load()
        .expect("these sources are good")
}

#[test]
fn of_each_source() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("platform.toml");
    fs::write(&path, FILE).unwrap();
    let config = all_sources(&path);
    config.section::<Server>("server").unwrap();
    let file = path.display();
    let expected = [
        ("server.listen", "\"0.0.0.0:8080\"", "default".to_owned()),
        ("server.name", "null", "default".to_owned()),
        ("server.peers", "[\"a \\\"quoted\\\" one\"]", format!("{file}:2")),
        ("server.routes.\"GET /films/{id}\".body", "\"none\"", "default".to_owned()),
        ("server.routes.\"GET /films/{id}\".header", "\"1s\"", format!("{file}:5")),
        ("server.share", "0.25", format!("{file}:8 (profile dev)")),
        ("server.times.body", "\"6s\"", "flag --set server.times.body".to_owned()),
        ("server.times.header", "\"4s\"", "environment PLATFORM__SERVER__TIMES__HEADER".to_owned()),
        ("server.token", "\"***\"", "default".to_owned()),
    ];
    let effective: Vec<_> = config
        .effective()
        .into_iter()
        .map(|effective| (effective.key, effective.value.to_string(), effective.origin.to_string()))
        .collect();
    let expected: Vec<_> =
        expected.into_iter().map(|(key, value, origin)| (key.to_owned(), value.to_owned(), origin)).collect();
    assert_eq!(effective, expected);
    assert!(matches!(config.origin("server.peers"), Some(Origin::File { line: 2, .. })));
    assert_eq!(config.origin("server.listen"), None, "nobody set it");
}

#[test]
fn of_what_code_changed() {
    let config = Config::default();
    let base = Server { listen: "127.0.0.1:0".to_owned(), ..Server::default() };
    config.overlay(&base, "server").unwrap();
    let origin = |key: &str| config.effective().into_iter().find(|found| found.key == key).unwrap().origin;
    assert_eq!(origin("server.listen"), Origin::Code);
    assert_eq!(origin("server.share"), Origin::Default);
}

#[test]
fn the_printed_configuration_is_a_file_that_sets_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("platform.toml");
    fs::write(&path, FILE).unwrap();
    let config = all_sources(&path);
    let server: Server = config.section("server").unwrap();
    let text = config.render();
    assert!(text.starts_with("# What we listen on"), "{text}");
    assert!(text.contains("[server.routes.\"GET /films/{id}\"]"), "{text}");
    assert!(text.contains("header = \"4s\"  # environment PLATFORM__SERVER__TIMES__HEADER"), "{text}");
    assert!(text.contains("# name is not set"), "{text}");
    let again: Server = Config::builder().toml(text).load().unwrap().section("server").unwrap();
    assert_eq!(again, Server { token: "***".to_owned().into(), ..server });
}
