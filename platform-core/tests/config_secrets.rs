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
