//! The one table of wire names.

use http::HeaderName;

/// W3C trace context: the trace, the caller's span, the sampled flag.
pub static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// W3C trace context: what vendors add; passed through.
pub static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// W3C baggage: ours under `platform-`, a team's own under any other name.
pub static BAGGAGE: HeaderName = HeaderName::from_static("baggage");
/// Time left in whole milliseconds, on HTTP.
pub static TIMEOUT_MS: HeaderName = HeaderName::from_static("platform-timeout-ms");
/// The same from an Envoy in front of us; read, never written.
pub static ENVOY_TIMEOUT_MS: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");
/// The same on gRPC.
pub static GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// Earlier attempts of the same call, on HTTP.
pub static PREVIOUS_ATTEMPTS: HeaderName = HeaderName::from_static("platform-previous-attempts");
/// The same on gRPC.
pub static GRPC_PREVIOUS_ATTEMPTS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");
/// `never` on a request: do not repeat in turn. On a reply: `never`, or `safe` when refused before any work.
pub static RETRY: HeaderName = HeaderName::from_static("platform-retry");
/// The dependencies that a reply is made without, joined by commas.
pub static DEGRADED: HeaderName = HeaderName::from_static("platform-degraded");
/// How busy the endpoint was that replied: ORCA's text form.
pub static LOAD_REPORT: HeaderName = HeaderName::from_static("endpoint-load-metrics");
/// The same in trailers: ORCA's message.
pub static LOAD_REPORT_BIN: HeaderName = HeaderName::from_static("endpoint-load-metrics-bin");
/// The id that a caller gave its request; always returned.
pub static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Baggage members of ours begin so.
pub(super) const MEMBER_PREFIX: &str = "platform-";
pub(super) const CRITICALITY: &str = "platform-criticality";
pub(super) const TENANT: &str = "platform-tenant";
pub(super) const COHORT: &str = "platform-cohort";
pub(super) const ROUTE: &str = "platform-route";
pub(super) const FAULT: &str = "platform-fault";
pub(super) const ARM: &str = "platform-arm";
pub(super) const DEBUG: &str = "platform-debug";
