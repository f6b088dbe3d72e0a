//! Context → headers, last.

use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use platform_core::{call::CarryCall as _, context::wire};

use crate::Body;

/// Who reads what we write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// A service of our own: everything that travels.
    Ours,
    /// Somebody else: the trace, and nothing more.
    Outsider,
}

/// Writes what travels into the request's headers; `agent` is who we are.
pub(crate) fn inject(
    request: &mut Request<Body>,
    reader: Reader,
    agent: &HeaderValue,
    protocol: wire::Protocol,
) {
    let mut headers = std::mem::take(request.headers_mut());
    let context = request.body().context();
    match reader {
        Reader::Ours => {
            if headers.capacity() - headers.len() < USUAL {
                headers.reserve(WRITTEN);
            }
            wire::write(context, &mut headers, protocol);
            headers.entry(header::USER_AGENT).or_insert_with(|| agent.clone());
        }
        Reader::Outsider => {
            conceal(&mut headers);
            wire::write_trace(context, &mut headers);
        }
    }
    *request.headers_mut() = headers;
}

/// A handler that passes a request on as it came would pass on what it came with.
fn conceal(headers: &mut HeaderMap) {
    let inside = |name: &&HeaderName| {
        name.as_str().starts_with(PREFIX) || **name == wire::BAGGAGE || **name == wire::TRACESTATE
    };
    let found: Vec<HeaderName> = headers.keys().filter(inside).cloned().collect();
    for name in found {
        headers.remove(name);
    }
}

/// What all platform headers begin with.
const PREFIX: &str = "platform-";
/// Host, user agent, trace and timeout: what a call of HTTP has, and gRPC has one less.
const USUAL: usize = 4;
/// The same, and room for two that are rare: one growth of the map instead of three.
const WRITTEN: usize = 6;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use platform_core::{
        Context,
        context::{Criticality, Deadline, Tenant},
    };
    use tokio::time::Instant;

    use super::*;

    fn request() -> Request<Body> {
        let now = Instant::now();
        let mut context = Context::root(now);
        context.narrow(Deadline::at(now + Duration::from_millis(250)));
        context.lower(Criticality::Sheddable);
        context.set_tenant(Tenant::parse("acme").unwrap());
        Request::new(Body::empty().under(context))
    }

    fn agent() -> HeaderValue {
        HeaderValue::from_static("edge/1.4.2 platform/0.1.0")
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_of_ours_learns_everything_that_travels() {
        let mut request = request();
        inject(&mut request, Reader::Ours, &agent(), wire::Protocol::Http);
        let text = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(text("platform-timeout-ms"), "250");
        assert_eq!(text("user-agent"), "edge/1.4.2 platform/0.1.0");
        assert!(text("baggage").contains("platform-tenant=acme"));
        let trace = request.body().context().trace().to_header();
        assert_eq!(text("traceparent").as_bytes(), trace);
    }

    #[tokio::test(start_paused = true)]
    async fn an_outsider_learns_the_trace_and_nothing_else() {
        let mut request = request();
        for name in ["platform-retry", "platform-timeout-ms", "baggage", "tracestate", "idempotency-key"] {
            request.headers_mut().insert(name, HeaderValue::from_static("never"));
        }
        inject(&mut request, Reader::Outsider, &agent(), wire::Protocol::Http);
        let mut names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["idempotency-key", "traceparent"]);
    }

    #[test]
    fn a_user_agent_of_the_teams_own_stays() {
        let mut request = request_with("user-agent", "report/7");
        inject(&mut request, Reader::Ours, &agent(), wire::Protocol::Http);
        assert_eq!(request.headers()["user-agent"], "report/7");
    }

    fn request_with(name: &'static str, value: &'static str) -> Request<Body> {
        let mut request = Request::new(Body::empty().under(Context::root(Instant::now())));
        request.headers_mut().insert(name, HeaderValue::from_static(value));
        request
    }
}
