//! `[telemetry] traces`: where do spans go, and how many?

use std::{collections::BTreeMap, fmt, time::Duration};

use http::Uri;
use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    config::{Refusal, Secret, duration},
};

/// The section `traces` of `[telemetry]`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The collector: `http://HOST:4317` for gRPC, `http://HOST:4318` for HTTP; empty exports nothing.
    pub endpoint: String,
    /// How to speak to it.
    pub protocol: Protocol,
    /// The share of traces that begin here and are kept, 0 to 1.
    pub ratio: f64,
    /// Sent with every export, credentials for the most part.
    pub headers: BTreeMap<String, Secret<String>>,
    /// The longest that one export may take, its repeats included.
    #[serde(with = "duration")]
    pub timeout: Duration,
}

/// What the collector understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// OTLP over gRPC.
    Grpc,
    /// OTLP as protobuf in a POST to `/v1/traces`.
    #[serde(alias = "http/protobuf")]
    Http,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            endpoint: String::new(),
            protocol: Protocol::Grpc,
            ratio: DEFAULT_RATIO,
            headers: BTreeMap::new(),
            timeout: DEFAULT_TIMEOUT,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("endpoint", &self.endpoint)
            .field("protocol", &self.protocol)
            .field("ratio", &self.ratio)
            .field("headers", &self.headers.keys())
            .field("timeout", &self.timeout)
            .finish()
    }
}

impl Settings {
    /// Where exports go, if anywhere; refuses what cannot work before the service starts.
    pub(super) fn target(&self) -> Result<Option<Uri>> {
        self.collector().map_err(|(key, why)| Error::config(format!("`{KEY}.{key}` {why}")))
    }

    /// The same for who knows where the key was set.
    pub(in crate::telemetry) fn refusal(&self) -> Option<Refusal> {
        self.collector().err().map(|(key, why)| Refusal::new(key, why))
    }

    /// Where exports go, or the key that is wrong and why.
    fn collector(&self) -> Result<Option<Uri>, (&'static str, String)> {
        if !(0.0..=1.0).contains(&self.ratio) {
            return Err(("ratio", format!("is {}; a ratio is 0.0 to 1.0", self.ratio)));
        }
        if self.endpoint.is_empty() {
            return Ok(None);
        }
        let refused = |why: &str| ("endpoint", format!("is {:?}; {why}, {EXAMPLE}", self.endpoint));
        let uri: Uri = self.endpoint.parse().map_err(|error| refused(&format!("it is no URL ({error})")))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(refused("there is no TLS here; send to a collector nearby that forwards"));
            }
            _ => return Err(refused("it must begin with http://")),
        }
        if uri.host().is_none_or(str::is_empty) {
            return Err(refused("it names no host"));
        }
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        if authority.contains('@') {
            // Not shown: they are credentials.
            return Err(("endpoint", format!("holds credentials; they belong into `{KEY}.headers`")));
        }
        if uri.port_u16().is_none() && uri.host() != Some(authority) {
            return Err(refused("its port is no number below 65536"));
        }
        if uri.query().is_some() {
            return Err(refused("it must not have a query"));
        }
        if self.timeout.is_zero() {
            return Err(("timeout", "is 0ms; no export could end in time".to_owned()));
        }
        Ok(Some(uri))
    }
}

/// Where these settings stand.
pub(super) const KEY: &str = "telemetry.traces";
const EXAMPLE: &str = "as in \"http://127.0.0.1:4317\"";
/// One trace in a hundred shows what is usual; what is rare is on the canonical lines.
const DEFAULT_RATIO: f64 = 0.01;
/// OpenTelemetry's own.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{ErrorKind, config::Config};

    fn at(endpoint: &str) -> Settings {
        Settings { endpoint: endpoint.to_owned(), ..Settings::default() }
    }

    #[test]
    fn an_endpoint_is_an_http_url_or_nothing() {
        assert_eq!(at("").target().unwrap(), None);
        for good in ["http://127.0.0.1:4317", "http://collector", "http://[::1]:4318/otlp"] {
            assert_eq!(at(good).target().unwrap().unwrap(), good.parse::<Uri>().unwrap());
        }
    }

    #[test]
    fn a_bad_endpoint_is_refused_with_the_key_and_what_to_write() {
        for (bad, why) in [
            ("localhost:4317", "must begin with http://"),
            ("127.0.0.1", "must begin with http://"),
            ("grpc://localhost:4317", "must begin with http://"),
            ("https://collector.example", "no TLS"),
            ("http://", "it is no URL"),
            ("http://host:port", "port"),
            ("http://host:70000", "port"),
            ("http://host:4317?a=b", "query"),
            ("http://a b", "it is no URL"),
        ] {
            let error = at(bad).target().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{bad}");
            for part in ["telemetry.traces.endpoint", bad, why, "http://127.0.0.1:4317"] {
                assert!(error.detail().contains(part), "{bad}: {error} does not say {part}");
            }
        }
    }

    #[test]
    fn credentials_in_the_endpoint_are_refused_and_not_repeated() {
        let error = at("http://me:hunter2@host:4317").target().unwrap_err();
        assert!(error.detail().contains("telemetry.traces.headers"), "{error}");
        assert!(!error.detail().contains("hunter2"), "{error}");
    }

    #[test]
    fn a_ratio_outside_its_range_is_refused_even_without_an_endpoint() {
        for ratio in [-0.1, 1.1, f64::NAN] {
            let error = Settings { ratio, ..Settings::default() }.target().unwrap_err();
            assert!(error.detail().contains("telemetry.traces.ratio"), "{error}");
        }
    }

    #[test]
    fn settings_read_as_they_are_written_and_refuse_the_unknown() {
        let settings: Settings = serde_json::from_value(json!({
            "endpoint": "http://collector:4318",
            "protocol": "http/protobuf",
            "headers": { "authorization": "Bearer 1" },
            "timeout": "2s",
        }))
        .unwrap();
        assert_eq!((settings.protocol, settings.timeout), (Protocol::Http, Duration::from_secs(2)));
        let settings = Settings { headers: BTreeMap::new(), ..settings };
        let again: Settings = serde_json::from_value(serde_json::to_value(&settings).unwrap()).unwrap();
        assert_eq!(again, settings);
        assert!(serde_json::from_value::<Settings>(json!({ "ratoi": 1.0 })).is_err());
        assert!(serde_json::from_value::<Settings>(json!({ "protocol": "http/json" })).is_err());
    }

    #[test]
    fn header_values_never_print() {
        let variable = ("OTEL_EXPORTER_OTLP_HEADERS".to_owned(), "authorization=Bearer%201".to_owned());
        let config = Config::builder().env([variable]).load().unwrap();
        let settings: Settings = config.section(KEY).unwrap();
        assert_eq!(settings.headers["authorization"].expose(), "Bearer 1");
        for printed in [format!("{settings:?}"), config.render(), format!("{:?}", config.effective())] {
            assert!(printed.contains("authorization") && !printed.contains("Bearer"), "{printed}");
        }
    }
}
