//! Which source wins: every pair of neighbours, and code against the defaults of all clients.

use std::{collections::BTreeMap, fs, time::Duration};

use figment::providers::Serialized;
use platform_core::{
    ErrorKind,
    config::{Config, ConfigBuilder, Mode, Ratio, duration},
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Lifecycle {
    #[serde(with = "duration")]
    grace: Duration,
    #[serde(with = "duration")]
    propagation: Duration,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Lifecycle { grace: Duration::from_secs(20), propagation: Duration::from_secs(5) }
    }
}

#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Client {
    preset: String,
    policy: Policy,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Policy {
    #[serde(with = "duration")]
    timeout: Duration,
    recovery: String,
    retry: Mode,
}

impl Default for Policy {
    fn default() -> Self {
        Policy { timeout: Duration::from_secs(10), recovery: "retry".to_owned(), retry: Mode::Enforce }
    }
}

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn grace(builder: ConfigBuilder) -> Duration {
    let config = builder.load().expect("these sources are good");
    config.section::<Lifecycle>("lifecycle").expect("the section is good").grace
}

const FILE: &str = "[lifecycle]\ngrace = \"1s\"\n[profile.dev.lifecycle]\ngrace = \"2s\"\n";

#[test]
fn each_source_is_stronger_than_the_one_before() {
    let seconds = Duration::from_secs;
    let mut builder = Config::builder();
    assert_eq!(grace(builder), seconds(20), "default");

    builder = Config::builder().toml(FILE);
    assert_eq!(grace(builder), seconds(1), "file over default");

    builder = Config::builder().profile("dev").toml(FILE);
    assert_eq!(grace(builder), seconds(2), "profile over file");

    let own = || Serialized::default("lifecycle.grace", "3s");
    builder = Config::builder().source(own()).profile("dev").toml(FILE);
    assert_eq!(grace(builder), seconds(3), "a source of the service's own over profile");

    let environment = || variables(&[("PLATFORM__LIFECYCLE__GRACE", "4s")]);
    builder = Config::builder().env(environment()).source(own()).profile("dev").toml(FILE);
    assert_eq!(grace(builder), seconds(4), "environment over all files");

    builder = Config::builder().set("lifecycle.grace", "5s").env(environment()).profile("dev").toml(FILE);
    assert_eq!(grace(builder), seconds(5), "flag over environment");
}

#[test]
fn a_stronger_source_changes_its_own_keys_only() {
    let config = Config::builder()
        .toml("[lifecycle]\ngrace = \"1s\"\npropagation = \"1s\"\n[profile.dev.lifecycle]\npropagation = \"0ms\"")
        .profile("dev")
        .env(variables(&[("PLATFORM__LIFECYCLE", "{ grace = \"4s\" }")]))
        .load()
        .unwrap();
    let lifecycle: Lifecycle = config.section("lifecycle").unwrap();
    assert_eq!(lifecycle, Lifecycle { grace: Duration::from_secs(4), propagation: Duration::ZERO });
}

#[test]
fn what_everybody_honours_is_one_rank_weaker_than_our_own_variables() {
    #[derive(Default, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Log {
        filter: String,
    }
    let filter =
        |builder: ConfigBuilder| builder.load().unwrap().section::<Log>("telemetry.log").unwrap().filter;
    let file = "[telemetry]\nlog = { filter = \"warn\" }";
    let convention = ("RUST_LOG", "debug");
    assert_eq!(filter(Config::builder().toml(file).env(variables(&[convention]))), "debug");
    let ours = ("PLATFORM__TELEMETRY__LOG__FILTER", "trace");
    assert_eq!(filter(Config::builder().toml(file).env(variables(&[ours, convention]))), "trace");
}

#[test]
fn a_later_file_and_a_later_flag_win_over_the_earlier() {
    let builder = Config::builder().toml("[lifecycle]\ngrace = \"1s\"").toml("[lifecycle]\ngrace = \"2s\"");
    assert_eq!(grace(builder), Duration::from_secs(2));
    let builder = Config::builder().set("lifecycle.grace", "1s").set("lifecycle.grace", "2s");
    assert_eq!(grace(builder), Duration::from_secs(2));
}

/// Library default < `[defaults]` < code < own section, key by key.
#[test]
fn a_clients_own_code_is_not_overridden_by_a_default_for_all_clients() {
    let config = Config::builder()
        .toml(
            "[defaults.policy]\nrecovery = \"hedge\"\ntimeout = \"8s\"\nretry = \"observe\"\n\
             [clients.ratings.policy]\ntimeout = \"1s\"",
        )
        .load()
        .unwrap();
    let defaults: Client = config.section("defaults").unwrap();
    let mut code = defaults;
    code.policy.recovery = "none".to_owned();
    code.policy.timeout = Duration::from_secs(4);
    let client = config.overlay(&code, "clients.ratings").unwrap();

    assert_eq!(client.policy.recovery, "none", "code over [defaults]");
    assert_eq!(client.policy.timeout, Duration::from_secs(1), "own section over code");
    assert_eq!(client.policy.retry, Mode::Observe, "[defaults] over the library");
    let says = |key: &str| {
        let all = config.effective();
        all.into_iter().find(|effective| effective.key == key).unwrap().origin.to_string()
    };
    assert_eq!(says("clients.ratings.policy.recovery"), "code");
    assert_eq!(says("clients.ratings.policy.timeout"), "inline:6");
    assert_eq!(says("clients.ratings.policy.retry"), "inline:4");
    assert_eq!(says("clients.ratings.preset"), "default");
}

#[test]
fn an_underscore_of_a_variable_stands_for_the_hyphen_of_a_name() {
    let environment = variables(&[("PLATFORM__CLIENTS__FILM_RATINGS__POLICY__TIMEOUT", "7s")]);
    for file in ["", "[clients.film-ratings.policy]\ntimeout = \"1s\""] {
        let config = Config::builder().toml(file).env(environment.clone()).load().unwrap();
        assert_eq!(config.names("clients"), ["film-ratings"]);
        let client: Client = config.section("clients.film-ratings").unwrap();
        assert_eq!(client.policy.timeout, Duration::from_secs(7), "{file}");
        let origin = config.origin("clients.film-ratings.policy.timeout").unwrap();
        assert_eq!(origin.to_string(), "environment PLATFORM__CLIENTS__FILM_RATINGS__POLICY__TIMEOUT");
    }
}

#[test]
fn a_variable_reaches_a_teams_own_hyphenated_key() {
    #[derive(Default, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
    struct Settings {
        max_films: u32,
    }
    let config = Config::builder().env(variables(&[("PLATFORM__SETTINGS__MAX_FILMS", "12")])).load().unwrap();
    assert_eq!(config.section::<Settings>("settings").unwrap().max_films, 12);
    let origin = config.effective().remove(0);
    assert_eq!(
        (origin.key.as_str(), origin.origin.to_string().as_str()),
        ("settings.max-films", "environment PLATFORM__SETTINGS__MAX_FILMS")
    );
}

#[test]
fn text_from_outside_becomes_the_type_that_the_section_has() {
    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Settings {
        version: String,
        ratio: Ratio,
        count: u16,
        on: bool,
        peers: Vec<String>,
        maybe: Option<u32>,
        build: Option<String>,
        headers: BTreeMap<String, String>,
    }
    let config = Config::builder()
        .env(variables(&[
            ("PLATFORM__SETTINGS__VERSION", "1.10"),
            ("PLATFORM__SETTINGS__RATIO", "1"),
            ("PLATFORM__SETTINGS__COUNT", "8080"),
            ("PLATFORM__SETTINGS__ON", "true"),
        ]))
        .set("settings.peers", "[\"a\", \"b\"]")
        .set("settings.maybe", "3")
        .set("settings.build", "1.10")
        .set("settings.headers.x-key", "12345")
        .load()
        .unwrap();
    let expected = Settings {
        version: "1.10".to_owned(),
        ratio: Ratio::ONE,
        count: 8080,
        on: true,
        peers: vec!["a".to_owned(), "b".to_owned()],
        maybe: Some(3),
        build: Some("1.10".to_owned()),
        headers: [("x-key".to_owned(), "12345".to_owned())].into(),
    };
    assert_eq!(config.section::<Settings>("settings").unwrap(), expected);
}

#[test]
fn variables_outside_the_scheme_are_no_keys() {
    let config = Config::builder()
        .env(variables(&[
            ("PLATFORM_CONFIG", "/etc/platform.toml"),
            ("PLATFORM_PROFILE", "dev"),
            ("PLATFORM_REQUIRE_OUTSIDE", "1"),
            ("PLATFORM_SERVICE_HOST", "10.0.0.1"),
            ("PATH", "/bin"),
        ]))
        .load()
        .unwrap();
    config.refuse_unclaimed().unwrap();
    assert!(!config.has("config") && config.profile().is_none());
}

#[test]
fn a_named_file_must_be_there_and_the_usual_one_may_be() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("platform.toml");
    let missing = Config::builder().file(&path).load().unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Config);
    assert!(missing.detail().contains(&path.display().to_string()), "{missing}");
    assert_eq!(grace(Config::builder().file_if_present(&path)), Duration::from_secs(20));

    fs::write(&path, FILE).unwrap();
    for builder in [Config::builder().file(&path), Config::builder().file_if_present(&path)] {
        assert_eq!(grace(builder), Duration::from_secs(1));
    }
    let folder_as_file = Config::builder().file_if_present(folder.path()).load().unwrap_err();
    assert!(folder_as_file.detail().contains("cannot be read"), "{folder_as_file}");
}

#[test]
fn a_flag_is_taken_apart_at_its_first_equals_sign_outside_quotes() {
    let config = Config::builder().flag("settings.\"GET /x?a=b\"=1=2").unwrap().load().unwrap();
    assert_eq!(config.names("settings"), ["GET /x?a=b"]);
    let error = Config::builder().flag("lifecycle.grace").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
}
