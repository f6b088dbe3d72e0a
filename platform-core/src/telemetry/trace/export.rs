//! The exporter: which messages does the collector get, and on whose thread?

use std::{sync::mpsc, thread, time::Duration};

use http::Uri;
use opentelemetry::KeyValue;
use opentelemetry_otlp::{
    RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::{Resource, resource::TelemetryResourceDetector, trace::SpanExporter as _};
use tokio::runtime;
use tonic::metadata::MetadataMap;

use super::{
    queue::Outlet,
    settings::{KEY, Protocol, Settings},
};
use crate::{Error, ErrorKind, Result, identity::Identity};

/// Exports what comes out of the queue, on a thread with a runtime of its own: a service that is busy does
/// not hold up its telemetry, and a collector that is slow takes no turn of the service's runtime.
pub(super) fn start(settings: &Settings, target: Uri, identity: &Identity, outlet: Outlet) -> Result<()> {
    let settings = settings.clone();
    let resource = resource(identity);
    let (started, starting) = mpsc::sync_channel(1);
    let work = move || {
        // The channel of gRPC is made inside the runtime that will drive it.
        let built = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| failed("no runtime for the exporting thread").with_source(error))
            .and_then(|runtime| {
                let mut exporter = runtime.block_on(async { exporter(&settings, &target) })?;
                exporter.set_resource(&resource);
                Ok((runtime, exporter))
            });
        match built {
            Ok((runtime, exporter)) => {
                // Whoever started this waits for the word.
                let _ = started.send(Ok(()));
                runtime.block_on(outlet.run(exporter, settings.timeout, &settings.endpoint));
                // A name that is still being looked up must not hold the thread.
                runtime.shutdown_timeout(Duration::ZERO);
            }
            Err(error) => {
                let _ = started.send(Err(error));
            }
        }
    };
    thread::Builder::new()
        .name(THREAD.to_owned())
        .spawn(work)
        .map_err(|error| failed("no exporting thread").with_source(error))?;
    starting.recv().map_err(|_| failed("the exporting thread died"))?
}

fn exporter(settings: &Settings, target: &Uri) -> Result<SpanExporter> {
    let headers = settings.headers.iter().map(|(name, value)| (name.clone(), value.expose().clone()));
    let built = match settings.protocol {
        Protocol::Grpc => SpanExporter::builder()
            .with_tonic()
            .with_endpoint(target.to_string())
            .with_timeout(settings.timeout)
            .with_retry_policy(RetryPolicy::recommended())
            .with_metadata(metadata(settings)?)
            .build(),
        Protocol::Http => {
            metadata(settings)?;
            SpanExporter::builder()
                .with_http()
                .with_endpoint(traces_path(target))
                .with_timeout(settings.timeout)
                .with_retry_policy(RetryPolicy::recommended())
                .with_headers(headers.collect())
                .build()
        }
    };
    built.map_err(|error| Error::config(format!("{KEY}: {error}")))
}

/// Refuses header names and values that could not be sent.
fn metadata(settings: &Settings) -> Result<MetadataMap> {
    let mut headers = http::HeaderMap::new();
    for (name, value) in &settings.headers {
        let refused = |what| Error::config(format!("{KEY}.headers.{name}: not a header {what}"));
        let mut value = http::HeaderValue::from_str(value.expose()).map_err(|_| refused("value"))?;
        value.set_sensitive(true);
        headers.insert(name.parse::<http::HeaderName>().map_err(|_| refused("name"))?, value);
    }
    Ok(MetadataMap::from_headers(headers))
}

/// The endpoint is a base, as `OTEL_EXPORTER_OTLP_ENDPOINT` is; the path of the signal comes after it.
fn traces_path(target: &Uri) -> String {
    let base = target.to_string();
    let base = base.trim_end_matches('/');
    if base.ends_with(TRACES_PATH) { base.to_owned() } else { format!("{base}{TRACES_PATH}") }
}

/// Whose spans these are. Built from nothing but the identity: what the environment says is in there already.
fn resource(identity: &Identity) -> Resource {
    let known = [
        ("service.name", &identity.name),
        ("service.version", &identity.version),
        ("service.instance.id", &identity.instance),
        ("cloud.availability_zone", &identity.zone),
        ("platform.variant", &identity.variant),
        ("platform.owner", &identity.owner),
        ("platform.reports_to", &identity.reports_to),
        ("platform.runbook", &identity.runbook),
        ("platform.why", &identity.why),
    ];
    let known = known.into_iter().filter(|(_, value)| !value.is_empty());
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attributes(known.map(|(key, value)| KeyValue::new(key, value.clone())))
        .build()
}

fn failed(what: &'static str) -> Error {
    Error::new(ErrorKind::Start, format!("{KEY}: {what}"))
}

const THREAD: &str = "platform-traces";
const TRACES_PATH: &str = "/v1/traces";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_the_signal_is_added_once() {
        for (endpoint, path) in [
            ("http://host:4318", "http://host:4318/v1/traces"),
            ("http://host:4318/", "http://host:4318/v1/traces"),
            ("http://host/otlp", "http://host/otlp/v1/traces"),
            ("http://host/v1/traces", "http://host/v1/traces"),
        ] {
            assert_eq!(traces_path(&endpoint.parse().unwrap()), path);
        }
    }

    #[test]
    fn what_is_not_known_is_not_in_the_resource() {
        let identity = Identity { name: "orders".to_owned(), ..Identity::default() };
        let resource = resource(&identity);
        let has = |key: &'static str| resource.get(&key.into());
        assert_eq!(has("service.name"), Some("orders".into()));
        assert_eq!(has("platform.variant"), Some("stable".into()));
        assert_eq!(has("telemetry.sdk.language"), Some("rust".into()));
        assert_eq!((has("platform.owner"), has("service.namespace")), (None, None));
    }

    #[test]
    fn a_header_that_cannot_be_sent_is_named() {
        for (name, value, what) in [("bad name", "v", "header name"), ("x-key", "a\nb", "header value")] {
            let headers = [(name.to_owned(), value.to_owned().into())].into();
            let settings = Settings { headers, ..Settings::default() };
            let error = metadata(&settings).unwrap_err();
            assert!(error.detail().contains(what) && error.detail().contains(name), "{error}");
            assert!(!error.detail().contains(value), "{error}");
        }
    }
}
