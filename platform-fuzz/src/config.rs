//! A file, and an environment.

use platform_core::{
    Result,
    config::Config,
    lifecycle, ops,
    stack::{ClientPolicy, ServerPolicy},
    telemetry,
};
use serde_json::{Map, Value};

use crate::assert_one_line;

/// TOML, and after a line `---` variables, one `NAME=VALUE` a line.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (toml, variables) = text.split_once("\n---\n").unwrap_or((text, ""));
    let variables = variables.lines().filter_map(|line| line.split_once('='));
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    match Config::builder().toml(toml).env(variables).load() {
        Ok(config) => {
            read(&config);
            can_be_shown(&config);
        }
        Err(error) => error.detail().lines().for_each(assert_one_line),
    }
}

/// Every section that this crate can see, as a service would.
fn read(config: &Config) {
    let told = [
        both(config, "server", |config| {
            let section: platform_http::server::Config = config.section("server")?;
            config.check("server", &section)
        }),
        both(config, "server.policy", |config| config.section::<ServerPolicy>("server.policy").map(drop)),
        both(config, "defaults.policy", |config| config.section::<ClientPolicy>("defaults.policy").map(drop)),
        both(config, "telemetry", |config| config.section::<telemetry::Settings>("telemetry").map(drop)),
        both(config, "lifecycle", |config| config.section::<lifecycle::Config>("lifecycle").map(drop)),
        both(config, "slo", |config| config.section::<ops::Objectives>("slo").map(drop)),
        both(config, "discovery", |config| platform_discovery::Config::of(config).map(drop)),
        both(config, "settings", |config| config.section::<Map<String, Value>>("settings").map(drop)),
        config.refuse_unclaimed().err().map(|error| error.detail().to_owned()),
    ];
    for told in told.iter().flatten() {
        told.lines().for_each(assert_one_line);
    }
}

/// What it says, which is the same whenever it is asked.
fn both(config: &Config, section: &str, read: fn(&Config) -> Result<()>) -> Option<String> {
    let first = read(config).err().map(|error| error.detail().to_owned());
    assert_eq!(first, read(config).err().map(|error| error.detail().to_owned()), "{section}");
    first
}

/// What is in force can be written as a file, and read back: all but its secrets, which show as three stars.
fn can_be_shown(config: &Config) {
    let text = config.render();
    let again = Config::builder().toml(text.clone()).load();
    let again = again.unwrap_or_else(|error| panic!("what was shown is no configuration: {error}\n{text}"));
    for value in config.effective().iter().filter(|value| !value.value.is_null()) {
        assert!(again.origin(&value.key).is_some(), "{} is not in what was shown:\n{text}", value.key);
    }
}
