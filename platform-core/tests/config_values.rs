//! A value that cannot be meant refuses the start: its type, its unit, its range, its neighbours.

use std::time::Duration;

use platform_core::{
    Error, ErrorKind,
    config::{Config, Mode, Name, Ratio, Refusal, Rules, duration, size},
};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Policy {
    #[serde(with = "duration")]
    timeout: Duration,
    #[serde(with = "duration::or_none")]
    attempt_timeout: Option<Duration>,
    #[serde(with = "size")]
    body: u64,
    #[serde(with = "size::or_none")]
    response: Option<u64>,
    ratio: Ratio,
    mode: Mode,
    class: Name,
    count: u16,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            timeout: Duration::from_secs(10),
            attempt_timeout: Some(Duration::from_secs(3)),
            body: 64 * 1024,
            response: None,
            ratio: Ratio::of(0.1),
            mode: Mode::Enforce,
            class: Name::parse("fast").expect("a name"),
            count: 3,
        }
    }
}

impl Rules for Policy {
    fn refusals(&self) -> Vec<Refusal> {
        let too_long = self.attempt_timeout.filter(|attempt| *attempt > self.timeout);
        let refusal = too_long.map(|attempt| {
            let why = format!(
                "is {attempt:?}, longer than the whole call ({:?}); lower it or raise `timeout`",
                self.timeout
            );
            Refusal::new("attempt_timeout", why).and("timeout")
        });
        refusal.into_iter().collect()
    }
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Client {
    policy: Policy,
}

impl Rules for Client {
    fn refusals(&self) -> Vec<Refusal> {
        self.policy.refusals().into_iter().map(|refusal| refusal.under("policy")).collect()
    }
}

#[track_caller]
fn says(error: &Error, parts: &[&str]) {
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    for part in parts {
        assert!(error.detail().contains(part), "{error}\nhas no {part:?}");
    }
}

fn refused(line: &str) -> Error {
    let config = Config::builder().toml(format!("[defaults.policy]\n{line}")).load().expect("it is TOML");
    config.section::<Client>("defaults").expect_err(line)
}

#[test]
fn every_kind_of_value_is_read() {
    let text = "[defaults.policy]\ntimeout = \"250ms\"\nattempt_timeout = \"none\"\nbody = \"8MiB\"\nresponse = \"none\"\n\
                ratio = 1\nmode = \"observe\"\nclass = \"slow\"\ncount = 5";
    let client: Client = Config::builder().toml(text).load().unwrap().section("defaults").unwrap();
    let policy = Policy {
        timeout: Duration::from_millis(250),
        attempt_timeout: None,
        body: 8 << 20,
        response: None,
        ratio: Ratio::ONE,
        mode: Mode::Observe,
        class: Name::parse("slow").unwrap(),
        count: 5,
    };
    assert_eq!(client.policy, policy);
}

#[test]
fn what_no_value_may_be() {
    let cases = [
        ("timeout = \"5 minutes\"", ["`defaults.policy.timeout`: \"5 minutes\" is not a duration", "\"5m\""]),
        ("timeout = \"5\"", ["\"5\" has no unit", "\"5s\""]),
        ("timeout = 5", ["\"5\" has no unit", "\"5s\""]),
        ("timeout = -5", ["\"-5\" is negative", "such as \"250ms\""]),
        ("timeout = 1.5", ["`defaults.policy.timeout` is 1.5", "a duration such as \"250ms\""]),
        ("timeout = \"5sec\"", ["\"5sec\"", "\"5s\""]),
        ("timeout = \"none\"", ["\"none\" cannot be said here", "\"250ms\""]),
        ("timeout = \"99999999999999h\"", ["longer than a year", "none"]),
        ("attempt_timeout = \"-1s\"", ["\"-1s\" is negative", "ms, s, m or h"]),
        ("attempt_timeout = true", ["is true", "or \"none\""]),
        ("body = \"8MB\"", ["\"8MB\" is not a size", "\"8MiB\""]),
        ("body = 1024", ["\"1024\" has no unit", "\"1024B\""]),
        ("response = \"1XB\"", ["\"1XB\" is not a size", "B, KiB or MiB"]),
        ("ratio = 1.5", ["1.5 is not a ratio", "between 0.0 and 1.0"]),
        ("ratio = -0.1", ["-0.1 is not a ratio", "between 0.0 and 1.0"]),
        ("ratio = 5", ["5 is not a ratio", "5 percent is 0.05"]),
        ("ratio = nan", ["NaN is not a ratio", "between 0.0 and 1.0"]),
        ("ratio = \"half\"", ["is the text \"half\"", "must be a number"]),
        ("mode = \"enfroce\"", ["is not one of off, observe, enforce", "did you mean `enforce`?"]),
        ("mode = true", ["`defaults.policy.mode` is true", "off, observe or enforce"]),
        ("class = \"Not A Name\"", ["\"Not A Name\" is not a name", "did you mean `not-a-name`?"]),
        ("count = -1", ["is -1", "from 0 to 65535"]),
        ("count = 70000", ["is 70000", "from 0 to 65535"]),
        ("count = [1]", ["is a list", "whole number"]),
        ("count = { a = 1 }", ["is a table", "whole number"]),
    ];
    for (line, parts) in cases {
        let error = refused(line);
        says(&error, &["inline:2: "]);
        says(&error, &parts);
    }
}

#[test]
fn a_wrong_value_names_its_variable_and_its_flag() {
    let variable = ("PLATFORM__DEFAULTS__POLICY__TIMEOUT".to_owned(), "5 minutes".to_owned());
    let config = Config::builder()
        .env([variable])
        .set("defaults.policy.ratio", "2")
        .set("defaults.policy.count", "x")
        .load();
    let error = config.unwrap().section::<Client>("defaults").unwrap_err();
    says(
        &error,
        &[
            "3 problems",
            "environment PLATFORM__DEFAULTS__POLICY__TIMEOUT: `defaults.policy.timeout`: \"5 minutes\"",
            "flag --set defaults.policy.ratio: `defaults.policy.ratio`: 2 is not a ratio",
            "flag --set defaults.policy.count: `defaults.policy.count` is the text \"x\"",
        ],
    );
}

#[test]
fn a_wrong_entry_of_a_list_names_the_source_that_won() {
    #[derive(Debug, Default, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Settings {
        ratios: Vec<Ratio>,
    }
    let config = Config::builder().toml("[settings]\nratios = [\n0.5,\n2,\n]");
    let error = config.load().unwrap().section::<Settings>("settings").unwrap_err();
    says(&error, &["inline:4: `settings.ratios.1`: 2 is not a ratio"]);
    let config = Config::builder().toml("[settings]\nratios = [0.5]").set("settings.ratios", "[2]");
    let error = config.load().unwrap().section::<Settings>("settings").unwrap_err();
    says(&error, &["flag --set settings.ratios: `settings.ratios.0`: 2 is not a ratio"]);
}

#[test]
fn what_others_set_for_us_is_refused_by_name_too() {
    #[derive(Default, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Traces {
        ratio: Ratio,
    }
    let config =
        Config::builder().env([("OTEL_TRACES_SAMPLER_ARG".to_owned(), "7".to_owned())]).load().unwrap();
    let error = config.section::<Traces>("telemetry.traces").err().unwrap();
    says(&error, &["environment OTEL_TRACES_SAMPLER_ARG: `telemetry.traces.ratio`: 7 is not a ratio"]);
    let protocol = ("OTEL_EXPORTER_OTLP_PROTOCOL".to_owned(), "http/json".to_owned());
    says(
        &Config::builder().env([protocol]).load().unwrap_err(),
        &["OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"],
    );
}

#[test]
fn what_is_not_toml_names_its_line() {
    let error = Config::builder().toml("[server]\nlisten = \"x\nlimits = 1").load().unwrap_err();
    says(&error, &["inline:2: this is not TOML"]);
    let error = Config::builder().toml("[server]\nlisten = \"x\"\n\nlisten = \"y\"").load().unwrap_err();
    says(&error, &["inline:4: this is not TOML", "duplicate key"]);
    let error = Config::builder().set("server..listen", "x").load().unwrap_err();
    says(&error, &["`server..listen` is not a key"]);
}

#[test]
fn values_that_contradict_each_other_name_both_sources() {
    let text = "[defaults.policy]\nattempt_timeout = \"3s\"\n[clients.ratings.policy]\ntimeout = \"1s\"";
    let config = Config::builder().toml(text).load().unwrap();
    let defaults: Client = config.section("defaults").unwrap();
    config.check("defaults", &defaults).unwrap();
    let client = config.overlay(&defaults, "clients.ratings").unwrap();
    says(
        &config.check("clients.ratings", &client).unwrap_err(),
        &[
            "inline:2: `clients.ratings.policy.attempt_timeout` is 3s, longer than the whole call (1s)",
            "lower it or raise `timeout`",
            "(`clients.ratings.policy.timeout` comes from inline:4)",
        ],
    );
}

#[test]
fn what_no_file_can_say_is_refused_in_code_too() {
    let base = Policy { timeout: Duration::from_micros(1500), ..Policy::default() };
    let error = Config::default().overlay(&base, "clients.ratings").unwrap_err();
    says(&error, &["code: `clients.ratings`", "1.5ms is finer than a millisecond"]);
}
