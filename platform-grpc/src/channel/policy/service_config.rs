//! gRPC's service config, as a source of policy (gRFC A2, A6, A17).
//!
//! | field | here |
//! |---|---|
//! | `timeout` | `policy.timeout`; an attempt may take no longer either |
//! | `retryPolicy` | `recovery = "retry"`; `maxAttempts` above 5 is 5; `initialBackoff` and `maxBackoff` are those of `retry`; `retryableStatusCodes` are `retry_codes` |
//! | `hedgingPolicy` | `recovery = "hedge"`, idempotent; no hedge is sent before `hedgingDelay`, nor before the call is slower than most; `nonFatalStatusCodes` are `retry_codes` |
//! | `waitForReady` | `wait_for_ready` |
//! | `backoffMultiplier` | read: a wait of ours doubles, and is random from nothing to its whole |
//! | `healthCheckConfig` | its `serviceName` is `balance.health.service` where neither the code nor a section names one; whether endpoints are asked at all is still `balance.health.mode` |
//!
//! Lengths are rounded up to whole milliseconds. What is said of message sizes, balancing and throttling is not read,
//! because the platform has settings of its own for it; a line in the log names it, and the name of a service while
//! nobody is asked for its health. Anything else is refused.

use std::{collections::BTreeMap, fmt, fs, path::Path, time::Duration};

use platform_core::{Error, Result, recovery::Recovery};
use serde_json::{Map, Value};
use tonic::Code;

use super::{Codes, MethodSettings, place::line_of};

/// A service config, read and found good.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::channel) struct ServiceConfig {
    /// By service and method; both may be empty, and then it is for all that have nothing more fitting.
    methods: BTreeMap<(String, String), Policy>,
    /// Whose health endpoints are to be asked for; an empty name is the whole process.
    pub(in crate::channel) health_service: Option<String>,
    /// What nobody here goes by.
    pub(in crate::channel) unread: Vec<String>,
}

/// One `methodConfig`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Policy {
    timeout: Option<Duration>,
    wait_for_ready: Option<bool>,
    repeats: Option<Repeats>,
}

#[derive(Clone, Debug, PartialEq)]
enum Repeats {
    Retry { max_attempts: u32, backoff: Duration, backoff_max: Duration, codes: Codes },
    Hedge { max_attempts: u32, delay: Duration, codes: Codes },
}

impl ServiceConfig {
    /// # Errors
    /// With the field that is wrong, its line, and what to write.
    pub(in crate::channel) fn parse(json: &str) -> Result<Self> {
        Self::parsed(json).map_err(|(line, why)| Error::config(format!("service config, line {line}: {why}")))
    }

    /// What stands in a file.
    ///
    /// # Errors
    /// A file that cannot be read, or is longer than [`LONGEST`]; what [`parse`](Self::parse) refuses, with the file.
    pub(in crate::channel) fn read_file(path: &Path) -> Result<Self> {
        let unread = |why: &dyn fmt::Display| {
            Error::config(format!("service config {}: cannot be read: {why}", path.display()))
        };
        let length = fs::metadata(path).map_err(|error| unread(&error))?.len();
        if length > LONGEST {
            return Err(unread(&format_args!("it has {length} bytes, at most {LONGEST} are read")));
        }
        let json = fs::read_to_string(path).map_err(|error| unread(&error))?;
        Self::parsed(&json)
            .map_err(|(line, why)| Error::config(format!("service config {}:{line}: {why}", path.display())))
    }

    /// With the line of what is wrong.
    fn parsed(json: &str) -> Result<Self, (usize, String)> {
        let whole: Value =
            serde_json::from_str(json).map_err(|error| (error.line(), format!("no JSON: {error}")))?;
        let mut config = ServiceConfig::default();
        config.read(&whole).map_err(|why| {
            // What is wrong is told with its field first.
            let field = why.split('`').nth(1).unwrap_or_default();
            (line_of(json, field), why)
        })?;
        Ok(config)
    }

    fn read(&mut self, whole: &Value) -> Result<(), String> {
        let fields = object(whole, "the whole of it")?;
        for (field, value) in fields {
            match field.as_str() {
                "methodConfig" => {
                    for (number, one) in list(value, field)?.iter().enumerate() {
                        self.read_methods(one, &format!("{field}[{number}]"))?;
                    }
                }
                HEALTH => self.health_service = health_service(value)?,
                field if UNREAD.contains(&field) => self.unread.push(field.to_owned()),
                field => return Err(unknown(field, &["methodConfig", HEALTH])),
            }
        }
        Ok(())
    }

    fn read_methods(&mut self, one: &Value, at: &str) -> Result<(), String> {
        let mut policy = Policy::default();
        let fields = object(one, at)?;
        for (field, value) in fields {
            let at = format!("{at}.{field}");
            match field.as_str() {
                "name" => {}
                "timeout" => policy.timeout = Some(length(value, &at)?),
                "waitForReady" => {
                    let waits = value.as_bool();
                    let waits = waits.ok_or_else(|| format!("`{at}` is {value}; write true or false"))?;
                    policy.wait_for_ready = Some(waits);
                }
                "retryPolicy" => policy.repeat(Repeats::retry(object(value, &at)?, &at)?, &at)?,
                "hedgingPolicy" => policy.repeat(Repeats::hedge(object(value, &at)?, &at)?, &at)?,
                name if UNREAD_OF_METHODS.contains(&name) => self.unread.push(at),
                _ => {
                    let known = ["name", "timeout", "waitForReady", "retryPolicy", "hedgingPolicy"];
                    return Err(unknown(&at, &known));
                }
            }
        }
        let at = format!("{at}.name");
        let names = list(fields.get("name").unwrap_or(&Value::Null), &at)?;
        if names.is_empty() {
            return Err(format!("`{at}` names nothing; write [{{\"service\": \"film.Ratings\"}}]"));
        }
        for (number, name) in names.iter().enumerate() {
            let at = format!("{at}[{number}]");
            let fields = object(name, &at)?;
            if let Some(field) = fields.keys().find(|field| !matches!(field.as_str(), "service" | "method")) {
                return Err(unknown(&format!("{at}.{field}"), &["service", "method"]));
            }
            let of = |field: &str| match fields.get(field) {
                None => Ok(String::new()),
                Some(Value::String(text)) => Ok(text.clone()),
                Some(value) => Err(format!("`{at}.{field}` is {value}; write a name")),
            };
            let (service, method) = (of("service")?, of("method")?);
            if service.is_empty() && !method.is_empty() {
                return Err(format!("`{at}` has a method and no `service`; write both"));
            }
            if self.methods.insert((service, method), policy.clone()).is_some() {
                return Err(format!("`{at}` is there twice; write each name once"));
            }
        }
        Ok(())
    }

    /// Whom something is said of.
    pub(super) fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.methods.keys().map(|(service, method)| (service.as_str(), method.as_str()))
    }

    /// What counts for a method: the most fitting, and nothing of the others.
    pub(super) fn of(&self, service: &str, method: &str) -> Option<&Policy> {
        let keys = [(service, method), (service, ""), ("", "")];
        keys.into_iter().find_map(|(service, method)| self.methods.get(&(service.into(), method.into())))
    }
}

impl Policy {
    fn repeat(&mut self, repeats: Repeats, at: &str) -> Result<(), String> {
        match self.repeats.replace(repeats) {
            None => Ok(()),
            Some(_) => Err(format!("`{at}`: a method is retried or hedged; write one of the two")),
        }
    }

    pub(super) fn apply(&self, own: &mut MethodSettings) {
        let policy = &mut own.policy;
        if let Some(timeout) = self.timeout {
            policy.timeout = Some(timeout);
            policy.attempt_timeout = policy.attempt_timeout.map(|attempt| attempt.min(timeout));
        }
        own.wait_for_ready = self.wait_for_ready.unwrap_or(own.wait_for_ready);
        match self.repeats {
            None => {}
            Some(Repeats::Retry { max_attempts, backoff, backoff_max, codes }) => {
                policy.recovery = Recovery::Retry;
                policy.retry.max_attempts = max_attempts;
                (policy.retry.backoff, policy.retry.backoff_max) = (backoff, backoff_max);
                policy.retry.backoff_throttled = policy.retry.backoff_throttled.min(backoff_max);
                own.retry_codes = codes;
            }
            Some(Repeats::Hedge { max_attempts, delay, codes }) => {
                policy.recovery = Recovery::Hedge;
                policy.retry.max_attempts = max_attempts;
                policy.hedge.min_delay = policy.hedge.min_delay.max(delay);
                own.idempotent = true;
                own.retry_codes = codes;
            }
        }
    }
}

impl Repeats {
    fn retry(fields: &Map<String, Value>, at: &str) -> Result<Self, String> {
        const KNOWN: [&str; 5] =
            ["maxAttempts", "initialBackoff", "maxBackoff", "backoffMultiplier", "retryableStatusCodes"];
        only(fields, &KNOWN, at)?;
        let max_attempts = attempts(fields, at)?;
        let first = length(needed(fields, "initialBackoff", at)?, &format!("{at}.initialBackoff"))?;
        let most = length(needed(fields, "maxBackoff", at)?, &format!("{at}.maxBackoff"))?;
        let multiplier = needed(fields, "backoffMultiplier", at)?;
        if !multiplier.as_f64().is_some_and(|number| number > 0.0) {
            return Err(format!("`{at}.backoffMultiplier` is {multiplier}; write a number above 0"));
        }
        let codes =
            codes(needed(fields, "retryableStatusCodes", at)?, &format!("{at}.retryableStatusCodes"))?;
        if codes.is_empty() {
            return Err(format!("`{at}.retryableStatusCodes` has none; write [\"UNAVAILABLE\"]"));
        }
        Ok(Repeats::Retry { max_attempts, backoff: first.min(most), backoff_max: most, codes })
    }

    fn hedge(fields: &Map<String, Value>, at: &str) -> Result<Self, String> {
        only(fields, &["maxAttempts", "hedgingDelay", "nonFatalStatusCodes"], at)?;
        let max_attempts = attempts(fields, at)?;
        let at_once = |value: &Value| value.as_str() == Some("0s");
        let delay = match fields.get("hedgingDelay") {
            None => Duration::ZERO,
            Some(value) if at_once(value) => Duration::ZERO,
            Some(value) => length(value, &format!("{at}.hedgingDelay"))?,
        };
        let codes = match fields.get("nonFatalStatusCodes") {
            None => Codes::NONE,
            Some(value) => codes(value, &format!("{at}.nonFatalStatusCodes"))?,
        };
        Ok(Repeats::Hedge { max_attempts, delay, codes })
    }
}

/// The name, if there is one.
fn health_service(value: &Value) -> Result<Option<String>, String> {
    let fields = object(value, HEALTH)?;
    only(fields, &["serviceName"], HEALTH)?;
    match fields.get("serviceName") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(name)) => Ok(Some(name.clone())),
        Some(value) => Err(format!("`{HEALTH}.serviceName` is {value}; write a name")),
    }
}

fn object<'a>(value: &'a Value, at: &str) -> Result<&'a Map<String, Value>, String> {
    value.as_object().ok_or_else(|| format!("`{at}` is {value}; write an object"))
}

fn list<'a>(value: &'a Value, at: &str) -> Result<&'a [Value], String> {
    match value {
        Value::Null => Ok(&[]),
        Value::Array(list) => Ok(list),
        value => Err(format!("`{at}` is {value}; write a list")),
    }
}

fn needed<'a>(fields: &'a Map<String, Value>, field: &str, at: &str) -> Result<&'a Value, String> {
    fields.get(field).ok_or_else(|| format!("`{at}.{field}` is missing; a policy needs it"))
}

fn only(fields: &Map<String, Value>, known: &[&str], at: &str) -> Result<(), String> {
    match fields.keys().find(|field| !known.contains(&field.as_str())) {
        None => Ok(()),
        Some(field) => Err(unknown(&format!("{at}.{field}"), known)),
    }
}

fn unknown(at: &str, known: &[&str]) -> String {
    format!("`{at}` is unknown; there is {}", known.join(", "))
}

/// 2 to 5: who writes more gets five, as gRPC has it.
fn attempts(fields: &Map<String, Value>, at: &str) -> Result<u32, String> {
    let value = needed(fields, "maxAttempts", at)?;
    match value.as_u64() {
        Some(number) if number >= 2 => Ok(u32::try_from(number).unwrap_or(MOST_ATTEMPTS).min(MOST_ATTEMPTS)),
        _ => Err(format!("`{at}.maxAttempts` is {value}; write 2 to {MOST_ATTEMPTS}")),
    }
}

/// `"1.5s"`, in whole milliseconds; above nothing.
fn length(value: &Value, at: &str) -> Result<Duration, String> {
    let wrong = || format!("`{at}` is {value}; write seconds above 0 as \"1.5s\"");
    let text = value.as_str().and_then(|text| text.strip_suffix('s')).ok_or_else(wrong)?;
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > MOST_DIGITS || part.len() > 9 || !digits(whole) || !digits(part) {
        return Err(wrong());
    }
    let seconds: u64 = whole.parse().map_err(|_| wrong())?;
    let nanos: u64 = format!("{part:0<9}").parse().map_err(|_| wrong())?;
    let length = Duration::from_millis(seconds * 1_000 + nanos.div_ceil(1_000_000));
    if length.is_zero() { Err(wrong()) } else { Ok(length) }
}

/// Names as in the specification, or numbers, in either case.
fn codes(value: &Value, at: &str) -> Result<Codes, String> {
    let read = |one: &Value| match one {
        Value::String(word) => Codes::parse(&word.to_ascii_uppercase()),
        one => match one.as_u64() {
            Some(number @ 1..=16) => Ok(Code::from_i32(number as i32)),
            _ => Err(format!("{one} is no code of a failure; write \"UNAVAILABLE\"")),
        },
    };
    let codes: Result<Vec<_>, _> = list(value, at)?.iter().map(read).collect();
    codes.map(Codes::of).map_err(|why| format!("`{at}`: {why}"))
}

/// gRPC's own limit is what fits a DNS record; a hundred methods have a fiftieth of this.
const LONGEST: u64 = 1024 * 1024;
/// gRFC A6: where others stop too.
const MOST_ATTEMPTS: u32 = 5;
/// Three hundred thousand years.
const MOST_DIGITS: usize = 13;
pub(in crate::channel) const HEALTH: &str = "healthCheckConfig";
const UNREAD: [&str; 3] = ["loadBalancingPolicy", "loadBalancingConfig", "retryThrottling"];
const UNREAD_OF_METHODS: [&str; 2] = ["maxRequestMessageBytes", "maxResponseMessageBytes"];

#[cfg(test)]
mod tests {
    use super::*;

    fn config(fields: &str) -> Result<ServiceConfig> {
        ServiceConfig::parse(&format!(
            r#"{{"methodConfig": [{{"name": [{{"service": "film.Ratings", "method": "Get"}}]{fields}}}]}}"#
        ))
    }

    fn applied(config: &ServiceConfig, service: &str, method: &str) -> MethodSettings {
        let mut own = MethodSettings::default();
        if let Some(policy) = config.of(service, method) {
            policy.apply(&mut own);
        }
        own
    }

    const RETRY: &str =
        r#""maxAttempts": 9, "initialBackoff": "0.1s", "maxBackoff": "0.5s", "backoffMultiplier": 1.5"#;

    #[test]
    fn each_field_becomes_a_setting() {
        let ms = Duration::from_millis;
        let text = format!(
            r#", "timeout": "1.0000001s", "waitForReady": true, "retryPolicy": {{{RETRY}, "retryableStatusCodes": ["UNAVAILABLE", "aborted", 8]}}"#
        );
        let own = applied(&config(&text).unwrap(), "film.Ratings", "Get");
        assert_eq!((own.policy.timeout, own.policy.attempt_timeout), (Some(ms(1001)), Some(ms(1001))));
        let retry = own.policy.retry;
        assert_eq!((retry.max_attempts, retry.backoff, retry.backoff_max), (5, ms(100), ms(500)));
        assert_eq!(own.retry_codes, Codes::of([Code::Unavailable, Code::Aborted, Code::ResourceExhausted]));
        assert!(own.wait_for_ready);
        assert!(platform_core::config::Rules::refusals(&own).is_empty());

        let text = r#", "hedgingPolicy": {"maxAttempts": 2, "hedgingDelay": "0.5s", "nonFatalStatusCodes": ["INTERNAL"]}"#;
        let own = applied(&config(text).unwrap(), "film.Ratings", "Get");
        assert_eq!((own.policy.recovery, own.policy.hedge.min_delay), (Recovery::Hedge, ms(500)));
        assert!(own.idempotent && own.retry_codes.contain(Code::Internal) && !own.wait_for_ready);
    }

    #[test]
    fn the_most_fitting_counts_and_nothing_of_the_others() {
        let text = r#"{"methodConfig": [
            {"name": [{}], "timeout": "3s"},
            {"name": [{"service": "film.Ratings"}, {"service": "film.Films"}], "timeout": "2s"},
            {"name": [{"service": "film.Ratings", "method": "Get"}]}],
            "loadBalancingConfig": [{"round_robin": {}}]}"#;
        let config = ServiceConfig::parse(text).unwrap();
        let timeout = |service, method| applied(&config, service, method).policy.timeout.unwrap().as_secs();
        assert_eq!(timeout("film.Ratings", "Put"), 2);
        assert_eq!(timeout("film.Actors", "Get"), 3);
        assert_eq!(timeout("film.Ratings", "Get"), 10, "its entry says nothing");
        assert_eq!(config.unread, ["loadBalancingConfig"]);
    }

    #[test]
    fn whose_health_is_asked_for_is_a_name_and_may_be_the_empty_one() {
        let table = [
            ("{}", None),
            (r#"{"healthCheckConfig": {}}"#, None),
            (r#"{"healthCheckConfig": {"serviceName": null}}"#, None),
            (r#"{"healthCheckConfig": {"serviceName": ""}}"#, Some("")),
            (r#"{"healthCheckConfig": {"serviceName": "film.Ratings"}}"#, Some("film.Ratings")),
        ];
        for (text, name) in table {
            let config = ServiceConfig::parse(text).unwrap();
            assert_eq!((config.health_service.as_deref(), config.unread), (name, Vec::new()), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let retry = |fields: &str| format!(r#", "retryPolicy": {{{fields}}}"#);
        let table = [
            (r#", "timeout": "3""#.to_owned(), "`methodConfig[0].timeout` is \"3\"; write seconds"),
            (r#", "timeout": "0s""#.to_owned(), "above 0"),
            (r#", "timeout": "99999999999999s""#.to_owned(), "timeout"),
            (r#", "timeout": "-1s""#.to_owned(), "timeout"),
            (r#", "waitForReady": "yes""#.to_owned(), "write true or false"),
            (r#", "retrypolicy": {}"#.to_owned(), "`methodConfig[0].retrypolicy` is unknown"),
            (retry(""), "`methodConfig[0].retryPolicy.maxAttempts` is missing"),
            (retry(RETRY), "retryableStatusCodes` is missing"),
            (retry(&format!(r#"{RETRY}, "retryableStatusCodes": []"#)), "has none"),
            (retry(&format!(r#"{RETRY}, "retryableStatusCodes": ["OK"]"#)), "\"OK\" is no code"),
            (retry(&format!(r#"{RETRY}, "retryableStatusCodes": [17]"#)), "17 is no code"),
            (retry(&RETRY.replace('9', "1")), "maxAttempts` is 1; write 2 to 5"),
            (retry(&RETRY.replace("1.5", "0")), "backoffMultiplier` is 0"),
            (retry(&RETRY.replace("0.5s", "0s")), "maxBackoff"),
            (
                r#", "hedgingPolicy": {"maxAttempts": 2, "delay": "1s"}"#.to_owned(),
                "hedgingPolicy.delay` is unknown",
            ),
            (
                format!(
                    r#", "hedgingPolicy": {{"maxAttempts": 2}}, "retryPolicy": {{{RETRY}, "retryableStatusCodes": ["ABORTED"]}}"#
                ),
                "retried or hedged",
            ),
        ];
        for (fields, words) in table {
            let error = config(&fields).unwrap_err();
            assert!(error.detail().contains(words), "{fields}: {}", error.detail());
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "{\n\"methodConfig\": [\n{\"name\": [{}], \"timeout\": 3}]}").unwrap();
        let error = ServiceConfig::read_file(file.path()).unwrap_err();
        let place =
            format!("service config {}:3: `methodConfig[0].timeout` is 3; write", file.path().display());
        assert!(error.detail().starts_with(&place), "{error}");
        fs::write(file.path(), vec![b' '; 1024 * 1024 + 1]).unwrap();
        let error = ServiceConfig::read_file(file.path()).unwrap_err();
        assert!(error.detail().contains("at most 1048576"), "{error}");
        let error = ServiceConfig::read_file(Path::new("/nowhere/at/all.json")).unwrap_err();
        assert!(error.detail().starts_with("service config /nowhere/at/all.json: cannot be read"), "{error}");
        for (text, words) in [
            ("{", "service config, line 1: no JSON"),
            ("[]", "write an object"),
            (r#"{"methodConfig": [{}]}"#, "`methodConfig[0].name` names nothing"),
            (r#"{"methodConfig": [{"name": [{"method": "Get"}]}]}"#, "no `service`"),
            (r#"{"methodConfig": [{"name": [{}, {}]}]}"#, "is there twice"),
            (
                r#"{"methodConfigs": []}"#,
                "`methodConfigs` is unknown; there is methodConfig, healthCheckConfig",
            ),
            (
                r#"{"healthCheckConfig": "film.Ratings"}"#,
                "`healthCheckConfig` is \"film.Ratings\"; write an object",
            ),
            (
                r#"{"healthCheckConfig": {"serviceName": 1}}"#,
                "`healthCheckConfig.serviceName` is 1; write a name",
            ),
            (
                r#"{"healthCheckConfig": {"name": ""}}"#,
                "`healthCheckConfig.name` is unknown; there is serviceName",
            ),
        ] {
            let error = ServiceConfig::parse(text).unwrap_err();
            assert!(error.detail().contains(words), "{text}: {}", error.detail());
        }
    }
}
