//! A key that nobody knows refuses the start, and the message says which was meant.

use platform_core::{Error, ErrorKind, config::Config};
use serde::{Deserialize, Serialize};

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Server {
    listen: String,
    limits: Limits,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Limits {
    connections: u32,
}

fn environment(name: &str, value: &str) -> [(String, String); 1] {
    [(name.to_owned(), value.to_owned())]
}

#[track_caller]
fn says(error: &Error, parts: &[&str]) {
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    for part in parts {
        assert!(error.detail().contains(part), "{error}\nhas no {part:?}");
    }
}

#[test]
fn in_a_section_of_a_file() {
    let config = Config::builder().toml("[server]\n\nlistn = \"x\"").load().unwrap();
    let error = config.section::<Server>("server").unwrap_err();
    says(
        &error,
        &[
            "inline:3: unknown key `server.listn`",
            "did you mean `server.listen`?",
            "(`server` has limits, listen)",
        ],
    );
}

#[test]
fn deep_in_a_section_of_a_file() {
    for text in ["server = { limits = { conections = 1 } }", "[server.limits]\nconections = 1"] {
        let config = Config::builder().toml(text).load().unwrap();
        let error = config.section::<Server>("server").unwrap_err();
        says(
            &error,
            &["unknown key `server.limits.conections`", "did you mean `server.limits.connections`?"],
        );
    }
}

#[test]
fn in_a_profile() {
    let text = "[profile.dev.server]\nlistn = \"x\"";
    let config = Config::builder().toml(text).profile("dev").load().unwrap();
    let error = config.section::<Server>("server").unwrap_err();
    says(&error, &["inline:2 (profile dev): unknown key `server.listn`", "did you mean `server.listen`?"]);
}

#[test]
fn in_the_environment() {
    let config = Config::builder().env(environment("PLATFORM__SERVER__LISTN", "x")).load().unwrap();
    let error = config.section::<Server>("server").unwrap_err();
    says(
        &error,
        &["environment PLATFORM__SERVER__LISTN: unknown key", "did you mean `PLATFORM__SERVER__LISTEN`?"],
    );
}

#[test]
fn in_a_flag() {
    let config = Config::builder().set("server.lisen", "x").load().unwrap();
    let error = config.section::<Server>("server").unwrap_err();
    says(&error, &["flag --set server.lisen: unknown key", "did you mean `server.listen`?"]);
}

#[test]
fn all_problems_of_a_section_at_once() {
    let text = "[server]\nlistn = \"x\"\nlisten = 5\n[server.limits]\nconnections = \"many\"";
    let error = Config::builder().toml(text).load().unwrap().section::<Server>("server").unwrap_err();
    says(
        &error,
        &[
            "3 problems",
            "inline:2: unknown key `server.listn`",
            "inline:3: `server.listen` is 5; it must be a text",
            "inline:5: `server.limits.connections` is the text \"many\"; it must be a whole number",
        ],
    );
}

#[test]
fn as_a_section_of_every_source() {
    let error = Config::builder().toml("[servr]\nlisten = \"x\"").load().unwrap_err();
    says(&error, &["inline:1: unknown section `servr`; did you mean `server`?", "[settings]"]);
    let error = Config::builder().toml("[profile.dev.servr]\nlisten = \"x\"").load().unwrap_err();
    says(&error, &["inline:1 (profile dev): unknown section `servr`"]);
    let error = Config::builder().env(environment("PLATFORM__SERVR__LISTEN", "x")).load().unwrap_err();
    says(&error, &["environment PLATFORM__SERVR__LISTEN", "did you mean `PLATFORM__SERVER__LISTEN`?"]);
    let error = Config::builder().set("servr.listen", "x").load().unwrap_err();
    says(&error, &["flag --set servr.listen: unknown section `servr`; did you mean `server`?"]);
    let error = Config::builder().env(environment("PLATFORM_SERVER__LISTEN", "x")).load().unwrap_err();
    says(&error, &["did you mean `PLATFORM__SERVER__LISTEN`?"]);
}

#[test]
fn a_section_that_is_no_table() {
    says(&Config::builder().toml("server = 5").load().unwrap_err(), &["inline:1: `server` is a section"]);
    let error = Config::builder().env(environment("PLATFORM__SERVER", "x")).load().unwrap_err();
    says(&error, &["environment PLATFORM__SERVER: `server` is a section, not a value"]);
    let config = Config::builder().toml("[clients]\nratings = 5").load().unwrap();
    says(
        &config.section::<Server>("clients.ratings").unwrap_err(),
        &["inline:2: `clients.ratings` is a section"],
    );
}

#[test]
fn a_client_that_nobody_made() {
    let text = "[clients.ratngs]\nlisten = \"x\"\n[clients.catalog]\nlisten = \"y\"";
    let config = Config::builder().toml(text).load().unwrap();
    says(&config.refuse_unclaimed().unwrap_err(), &["no client named `catalog`", "it makes none"]);
    for client in ["catalog", "ratings"] {
        config.section::<Server>(&format!("clients.{client}")).unwrap();
    }
    let error = config.refuse_unclaimed().unwrap_err();
    says(&error, &["inline:1: no client named `ratngs` is made by this service; did you mean `ratings`?"]);
    assert!(!error.detail().contains("problems"), "{error}");
}

#[test]
fn a_section_that_nobody_read() {
    let config =
        Config::builder().toml("[slo]\navailability = 0.9\n[telemetry.metrics]\non = true").load().unwrap();
    config.section::<Limits>("telemetry.log").unwrap();
    config.section::<Limits>("telemetry.traces").unwrap();
    let error = config.refuse_unclaimed().unwrap_err();
    says(
        &error,
        &[
            "2 problems",
            "inline:1: nothing in this service reads [slo]",
            "inline:3: unknown key `telemetry.metrics`",
            "(`telemetry` has log, traces)",
        ],
    );
    config.claim("slo").unwrap();
    config.claim("telemetry").unwrap();
    config.refuse_unclaimed().unwrap();
}

#[test]
fn a_section_that_is_claimed_after_it_was_read_is_still_shown() {
    let config = Config::builder().toml("[telemetry.log]\nconnections = 7").load().unwrap();
    config.section::<Limits>("telemetry.log").unwrap();
    let read = config.effective();
    config.claim("telemetry.log").unwrap();
    assert!(!read.is_empty());
    assert_eq!(config.effective(), read);
}

#[test]
fn variables_of_other_programs_may_be_set_for_nothing() {
    let config = Config::builder().env(environment("RUST_LOG", "debug")).load().unwrap();
    config.refuse_unclaimed().unwrap();
}

#[test]
fn an_unknown_profile() {
    let text = "[profile.dev.server]\nlisten = \"x\"\n[profile.prod.server]\nlisten = \"y\"";
    let error = Config::builder().toml(text).profile("pord").load().unwrap_err();
    says(&error, &["unknown profile `pord`", "the file has dev, prod", "did you mean `prod`?"]);
    let error = Config::builder().profile("dev").load().unwrap_err();
    says(&error, &["unknown profile `dev`", "[profile.dev.SECTION]"]);
    let error =
        Config::builder().env(environment("PLATFORM__PROFILE__DEV__SERVER__LISTEN", "x")).load().unwrap_err();
    says(&error, &["profiles stand in a file"]);
}

/// figment knows some values by keys of its own, and would take a table for one of them.
#[test]
fn a_key_that_figment_takes_for_its_own() {
    let why = "no key begins with `___figment_`; choose another name";
    for key in ["___figment_value_id", "___figment_relative_path", "___figment_"] {
        let file = format!("[settings.deep]\n{key} = 1");
        let error = Config::builder().toml(file).load().unwrap_err();
        says(&error, &[&format!("inline:2: `settings.deep.{key}`"), why]);
        let dotted = format!("settings.{key}.a.a = 0");
        says(&Config::builder().toml(dotted).load().unwrap_err(), &[&format!("`settings.{key}`"), why]);
        let table = format!("{{ {key} = 1 }}");
        let environment = Config::builder().env(environment("PLATFORM__SETTINGS__DEEP", &table));
        says(&environment.load().unwrap_err(), &["PLATFORM__SETTINGS__DEEP", why]);
        let flag = Config::builder().set("settings.deep", &table);
        says(&flag.load().unwrap_err(), &["flag --set settings.deep", why]);
        let profile = format!("[profile.dev.settings]\n{key} = 1");
        says(&Config::builder().toml(profile).load().unwrap_err(), &[why]);
    }
}

#[test]
fn an_invalid_name() {
    let error = Config::builder().toml("[clients.Film_Ratings]\n").load().unwrap_err();
    says(&error, &["inline:1: `clients.Film_Ratings`", "did you mean `film-ratings`?"]);
    let error = Config::builder().toml("[server.classes.\"a b\"]\n").load().unwrap_err();
    says(&error, &["inline:1: `server.classes.\"a b\"`", "is not a name"]);
}
