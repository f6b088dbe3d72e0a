//! OpenTelemetry and Rust: the variables that everybody knows, as keys of ours.

use figment::value::Value;

use super::{key::Key, origin::Origin, refusal::shown, sources::Layer};

/// What the honoured variables set, and what is wrong with them. An empty variable counts as unset, as
/// OpenTelemetry specifies.
pub(super) fn layer(environment: &[(String, String)]) -> (Layer, Vec<String>) {
    let mut reading = Reading { environment, layer: Layer::default(), problems: Vec::new() };
    reading.resource_attributes();
    reading.plain("OTEL_SERVICE_NAME", "service.name");
    reading.plain("OTEL_EXPORTER_OTLP_ENDPOINT", "telemetry.traces.endpoint");
    reading.headers();
    reading.plain("OTEL_TRACES_SAMPLER_ARG", "telemetry.traces.ratio");
    reading.plain("RUST_LOG", "telemetry.log.filter");
    reading.with("OTEL_EXPORTER_OTLP_PROTOCOL", "telemetry.traces.protocol", |text| match text {
        "grpc" => Ok(Some("grpc".to_owned())),
        "http/protobuf" => Ok(Some("http".to_owned())),
        other => Err(format!("{} is not spoken here; write grpc or http/protobuf", shown(other))),
    });
    reading.with("OTEL_EXPORTER_OTLP_TIMEOUT", "telemetry.traces.timeout", |text| {
        let millis = text.parse::<u32>();
        let millis =
            millis.map_err(|_| format!("{} is not a number of milliseconds, such as 10000", shown(text)))?;
        Ok(Some(format!("{millis}ms")))
    });
    // Last: who switches the SDK off does not want the endpoint either.
    reading.with("OTEL_SDK_DISABLED", "telemetry.traces.endpoint", |text| {
        Ok(text.eq_ignore_ascii_case("true").then(String::new))
    });
    (reading.layer, reading.problems)
}

struct Reading<'a> {
    environment: &'a [(String, String)],
    layer: Layer,
    problems: Vec<String>,
}

impl<'a> Reading<'a> {
    fn variable(&self, name: &str) -> Option<&'a str> {
        let (_, value) = self.environment.iter().rev().find(|(variable, _)| variable == name)?;
        Some(value.trim()).filter(|value| !value.is_empty())
    }

    fn plain(&mut self, variable: &str, key: &str) {
        self.with(variable, key, |text| Ok(Some(text.to_owned())));
    }

    fn with(&mut self, variable: &str, key: &str, read: impl FnOnce(&str) -> Result<Option<String>, String>) {
        match self.variable(variable).map(read) {
            None | Some(Ok(None)) => {}
            Some(Ok(Some(value))) => self.set(variable, key, value),
            Some(Err(problem)) => self.problems.push(format!("environment {variable}: {problem}")),
        }
    }

    fn set(&mut self, variable: &str, key: &str, value: String) {
        let key = Key::parse(key).expect("the table holds keys");
        self.layer.put(&key, Value::from(value), &Origin::Convention(variable.into()));
    }

    fn resource_attributes(&mut self) {
        for (name, value) in self.pairs(RESOURCE_ATTRIBUTES) {
            if let Some((_, key)) = ATTRIBUTES.iter().find(|(attribute, _)| *attribute == name) {
                self.set(RESOURCE_ATTRIBUTES, key, value);
            }
        }
    }

    fn headers(&mut self) {
        let headers = Key::parse("telemetry.traces.headers").expect("it is a key");
        for (name, value) in self.pairs(HEADERS) {
            let key = headers.child(name.to_lowercase());
            self.layer.put(&key, Value::from(value), &Origin::Convention(HEADERS.into()));
        }
    }

    /// `name=value,name=value`, as W3C baggage.
    fn pairs(&mut self, variable: &str) -> Vec<(&'a str, String)> {
        let mut pairs = Vec::new();
        for pair in self.variable(variable).unwrap_or_default().split(',') {
            match pair.split_once('=') {
                Some((name, value)) => pairs.push((name.trim(), percent_decoded(value.trim()))),
                None if pair.trim().is_empty() => {}
                // Not shown: it may be half of a secret.
                None => self.problems.push(format!(
                    "environment {variable}: a part of it has no `=`; write name=value,name=value"
                )),
            }
        }
        pairs
    }
}

/// The W3C baggage escapes in a resource attribute; what is no escape stays.
fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let escaped = text.get(at + 1..at + 3).filter(|_| *byte == b'%');
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(value) => {
                decoded.push(value);
                at += 3;
            }
            None => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).unwrap_or_else(|_| text.to_owned())
}

const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const RESOURCE_ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";

/// The attributes that say what our identity says; others have no key here.
const ATTRIBUTES: [(&str, &str); 4] = [
    ("service.name", "service.name"),
    ("service.version", "service.version"),
    ("service.instance.id", "service.instance"),
    ("cloud.availability_zone", "service.zone"),
];

#[cfg(test)]
mod tests {
    use super::{super::sources::find, *};

    fn read(pairs: &[(&str, &str)]) -> (Layer, Vec<String>) {
        let pairs: Vec<_> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        layer(&pairs)
    }

    fn value(layer: &Layer, key: &str) -> Option<String> {
        find(&layer.values, Key::parse(key).unwrap().parts())
            .and_then(|value| value.as_str().map(str::to_owned))
    }

    #[test]
    fn what_each_variable_sets() {
        let cases = [
            ("OTEL_SERVICE_NAME", "orders", "service.name", "orders"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317", "telemetry.traces.endpoint", "http://c:4317"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "telemetry.traces.protocol", "grpc"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "telemetry.traces.protocol", "http"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "Api-Key=a%3Db,x=y", "telemetry.traces.headers.api-key", "a=b"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500", "telemetry.traces.timeout", "2500ms"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25", "telemetry.traces.ratio", "0.25"),
            ("OTEL_SDK_DISABLED", "TRUE", "telemetry.traces.endpoint", ""),
            ("RUST_LOG", "debug", "telemetry.log.filter", "debug"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.version=1%2E2,x=y", "service.version", "1.2"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=pod-1", "service.instance", "pod-1"),
        ];
        for (variable, text, key, expected) in cases {
            let (layer, problems) = read(&[(variable, text)]);
            assert_eq!(value(&layer, key).as_deref(), Some(expected), "{variable}");
            assert!(problems.is_empty(), "{problems:?}");
        }
    }

    #[test]
    fn empty_and_negative_variables_set_nothing() {
        let (layer, problems) =
            read(&[("OTEL_SERVICE_NAME", ""), ("OTEL_SDK_DISABLED", "false"), ("RUST_LOG", " ")]);
        assert!(layer.values.is_empty() && problems.is_empty());
    }

    #[test]
    fn a_name_of_its_own_beats_the_attribute_and_off_beats_the_endpoint() {
        let (layer, _) = read(&[
            ("OTEL_SERVICE_NAME", "mine"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other"),
            ("OTEL_SDK_DISABLED", "true"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317"),
        ]);
        assert_eq!(value(&layer, "service.name").as_deref(), Some("mine"));
        assert_eq!(value(&layer, "telemetry.traces.endpoint").as_deref(), Some(""));
    }

    #[test]
    fn what_we_do_not_speak_is_refused() {
        for (variable, text, hint) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "\"http/json\" is not spoken here"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "\"10s\" is not a number of milliseconds"),
            ("OTEL_RESOURCE_ATTRIBUTES", "hunter2", "name=value"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=b,hunter2", "name=value"),
        ] {
            let (_, problems) = read(&[(variable, text)]);
            assert!(problems[0].contains(variable) && problems[0].contains(hint), "{problems:?}");
            assert!(!problems[0].contains("hunter2"), "{problems:?}");
        }
    }

    #[test]
    fn escapes_are_undone_and_what_is_none_stays() {
        for (text, plain) in [
            ("a%20b", "a b"),
            ("100%", "100%"),
            ("%zz", "%zz"),
            ("%c3%a4", "ä"),
            ("%ff", "%ff"),
            ("ä%", "ä%"),
        ] {
            assert_eq!(percent_decoded(text), plain);
        }
    }
}
