//! A secret is used, and never printed.

use platform_core::config::{Config, Secret};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    password: Secret<String>,
    pin: Secret<u32>,
    keys: Vec<Secret<String>>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { password: "from code".to_owned().into(), pin: 4242.into(), keys: Vec::new() }
    }
}

const FILE: &str = "[settings]\npassword = \"hunter2\"\nkeys = [\"hunter2\", \"hunter2\"]";

#[test]
fn it_arrives_as_it_is() {
    let settings: Settings = Config::builder().toml(FILE).load().unwrap().section("settings").unwrap();
    assert_eq!(settings.password.expose(), "hunter2");
    assert_eq!(settings.keys[1].expose(), "hunter2");
}

/// The way through serde that a base value takes must not turn it into stars.
#[test]
fn it_survives_from_code_when_no_source_sets_it() {
    let config = Config::default();
    let settings: Settings = config.section("settings").unwrap();
    assert_eq!((settings.password.expose().as_str(), *settings.pin.expose()), ("from code", 4242));
    let again = config.overlay(&settings, "settings").unwrap();
    assert_eq!(again.password.expose(), "from code");
}

#[test]
fn nothing_that_can_be_printed_holds_it() {
    let config = Config::builder().toml(FILE).set("settings.pin", "8675309").load().unwrap();
    let settings: Settings = config.section("settings").unwrap();
    assert_eq!(*settings.pin.expose(), 8_675_309);
    let texts = [
        format!("{settings:?}"),
        serde_json::to_string(&settings).unwrap(),
        format!("{config:?}"),
        format!("{:?}", config.effective()),
        serde_json::to_string(&config.effective()).unwrap(),
        config.render(),
        format!("{:?}", Config::builder().toml(FILE).set("settings.pin", "8675309")),
    ];
    for text in texts {
        for secret in ["hunter2", "8675309", "from code", "4242"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    assert!(config.render().contains("password = \"***\""));
}

#[test]
fn no_error_holds_it() {
    let wrong_type = "[settings]\npassword = 8675309\npin = \"hunter2\"\nkeys = [\"a\", 8675309]";
    let error =
        Config::builder().toml(wrong_type).load().unwrap().section::<Settings>("settings").unwrap_err();
    let broken = Config::builder().toml("[settings]\npassword = \"hunter2\n").load().unwrap_err();
    let twice = Config::builder().toml("[settings]\npassword = \"hunter2\"\npassword = \"hunter2\"").load();
    for error in [error, broken, twice.unwrap_err()] {
        for text in [error.to_string(), format!("{error:?}")] {
            assert!(!text.contains("hunter2") && !text.contains("8675309"), "{text}");
            assert!(text.contains("inline:"), "{text}");
        }
    }
}

/// A password in a URL is nobody's secret to the types, and shown all the same it would be nobody's any more.
#[test]
fn a_url_is_told_without_its_password() {
    let file = "[telemetry]\ntraces = { endpoint = \"http://ann:hunter2@collector:4317\" }\n\
                [settings]\nplaces = [{ at = \"postgres://ann:hunter2@db/orders\" }]\n";
    let config = Config::builder().toml(file).load().unwrap();
    let telemetry: platform_core::telemetry::Settings = config.section("telemetry").unwrap();
    assert_eq!(telemetry.traces.endpoint, "http://ann:hunter2@collector:4317", "it is used as it is");
    config.section::<serde_json::Map<String, serde_json::Value>>("settings").unwrap();
    let shown = [serde_json::to_string(&config.effective()).unwrap(), config.render()];
    for text in shown {
        assert!(!text.contains("hunter2") && text.contains("postgres://***@db/orders"), "{text}");
    }
    let wrong = Config::builder().toml("[lifecycle]\ngrace = \"http://ann:hunter2@host\"").load().unwrap();
    let error = wrong.section::<platform_core::lifecycle::Config>("lifecycle").unwrap_err().to_string();
    assert!(!error.contains("hunter2") && error.contains("http://***@host"), "{error}");
}
