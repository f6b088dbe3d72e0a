//! What stands for a reply that no caller should read, and what every reply says beside itself.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body::Body as _;
use platform_core::{
    Error, ErrorKind, Result,
    context::wire,
    deadline::{Limit, Whose},
    stack::Guarding,
};

use super::{Ended, Shared};
use crate::{
    Body,
    problem::{self, Refused, Teller, render_as},
    server::{admit::Carried, dialect::Dialect, observe::Seen},
};

impl Shared {
    /// Leaves the reply as it is, or puts there what stands for it.
    pub(super) fn judge(&self, ended: Result<Ended>, reply: &mut Option<Response<Body>>, seen: &mut Seen) {
        let cut = seen.context().notes().and_then(|notes| notes.reason()).cloned();
        let instead = match (ended, cut) {
            (Err(refusal), _) => Some(self.refuse(refusal, seen)),
            // What cut the body is the reason, whatever the handler made of it.
            (Ok(_), Some(cut)) => Some(self.refuse(cut, seen)),
            (Ok(Ok(Ok(()))), None) => reply.as_ref().and_then(|reply| self.instead(reply, seen)),
            (Ok(Ok(Err(panic))), None) => {
                let error = seen.panicked(&*panic);
                Some(self.refuse(error, seen))
            }
            (Ok(Err(limit)), None) => Some(self.refuse(out_of_time(limit), seen)),
        };
        if let Some(mut instead) = instead {
            // The place that was taken below an identity layer is that of the request, whatever is answered.
            if let Some(carried) = reply.as_mut().and_then(|reply| reply.extensions_mut().remove::<Carried>())
            {
                instead.extensions_mut().insert(carried);
            }
            *reply = Some(instead);
        }
    }

    /// What stands for a reply that is not what a caller should read.
    fn instead(&self, reply: &Response<Body>, seen: &mut Seen) -> Option<Response<Body>> {
        match seen.dialect() {
            Some(dialect) => {
                let dialect = Arc::clone(dialect);
                self.translate(&*dialect, reply, seen)
            }
            None if reply.status().is_success() => None,
            None => refusal(reply, seen).map(|error| self.complete(reply, error, seen)),
        }
    }

    /// A reply in the dialect stays; any other is said in its words. What a team's layer refused is an error of ours.
    fn translate(
        &self,
        dialect: &dyn Dialect,
        reply: &Response<Body>,
        seen: &mut Seen,
    ) -> Option<Response<Body>> {
        if dialect.is_reply(reply.headers()) {
            return None;
        }
        Some(match reply.extensions().get::<Refused>() {
            Some(Refused(error)) => self.refuse(error.clone(), seen),
            None => dialect.translate(reply.status()),
        })
    }

    /// Every reply names its request.
    pub(super) fn name(&self, response: &mut Response<Body>, seen: &Seen) {
        let context = seen.context();
        let id = match context.request_id() {
            Some(id) => HeaderValue::from_str(id),
            None => HeaderValue::from_bytes(&context.trace().trace_id().to_hex()),
        };
        let id = wire::once(id.expect("a request id is a token or hex"));
        response.headers_mut().insert(&wire::REQUEST_ID, id);
    }

    /// A reply that is made without a dependency says so; strangers learn that, and not without which.
    #[inline]
    pub(super) fn tell_degraded(&self, response: &mut Response<Body>, seen: &Seen) {
        let Some(names) = seen.context().notes().and_then(|notes| notes.degraded()) else { return };
        self.observer.count_degraded(&names);
        let told = if seen.is_internal() { names.as_str() } else { "yes" };
        if let Ok(value) = HeaderValue::from_str(told) {
            response.headers_mut().insert(&wire::DEGRADED, value);
        }
    }

    /// The reply to a refusal is a problem document, or what a dialect has for it.
    fn refuse(&self, error: Error, seen: &mut Seen) -> Response<Body> {
        if let Some(dialect) = seen.dialect() {
            let response = dialect.refuse(&error, !seen.is_internal());
            seen.refuses(error);
            return response;
        }
        self.refuse_as(problem::status(error.kind()), error, seen)
    }

    /// What a tenant may ask, and when again (the IETF's RateLimit fields).
    #[cold]
    fn tell_quota(&self, response: &mut Response<Body>, error: &Error) {
        // A handler's own limit is not ours to explain.
        let (Some(policy), true) = (&self.quota, error.layer() == Guarding::RateLimit.as_str()) else {
            return;
        };
        let seconds = error.hint().after.map_or(0, problem::whole_seconds);
        let left = HeaderValue::try_from(format!("\"tenant\";r=0;t={seconds}"));
        response.headers_mut().insert(RATE_POLICY, policy.clone());
        if let Ok(left) = left {
            response.headers_mut().insert(RATE_LEFT, left);
        }
    }

    fn refuse_as(&self, status: StatusCode, error: Error, seen: &mut Seen) -> Response<Body> {
        let context = seen.context();
        let trace_id = context.trace().trace_id().to_hex();
        let named = || std::str::from_utf8(&trace_id).expect("hex digits are ASCII");
        let teller = Teller {
            service: &self.identity.name,
            request_id: context.request_id().unwrap_or_else(named),
            to_strangers: !seen.is_internal(),
        };
        let mut response = render_as(status, &error, &teller);
        if error.kind() == ErrorKind::RateLimited {
            self.tell_quota(&mut response, &error);
        }
        seen.refuses(error);
        response
    }

    /// The same for a handler's own problem: what else it set on its reply stays.
    fn complete(&self, reply: &Response<Body>, error: Error, seen: &mut Seen) -> Response<Body> {
        let mut response = self.refuse_as(reply.status(), error, seen);
        let ours = std::mem::replace(response.headers_mut(), reply.headers().clone());
        let headers = response.headers_mut();
        // These were about the body that is replaced; a compressing layer inside has been at it.
        for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::CONTENT_ENCODING] {
            headers.remove(name);
        }
        for (name, value) in &ours {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        response
    }
}

/// draft-ietf-httpapi-ratelimit-headers.
const RATE_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATE_LEFT: HeaderName = HeaderName::from_static("ratelimit");

/// The error behind a reply: a handler's [`Problem`](crate::Problem), or a router that knows no such path. What a
/// handler says without a word more than the status is its own affair.
fn refusal(response: &Response<Body>, seen: &Seen) -> Option<Error> {
    if let Some(Refused(error)) = response.extensions().get() {
        return Some(error.clone());
    }
    let bare = response.body().is_end_stream() || response.body().size_hint().exact() == Some(0);
    match response.status() {
        StatusCode::NOT_FOUND if bare && !seen.is_routed() => {
            Some(Error::new(ErrorKind::NotFound, "there is no such path"))
        }
        StatusCode::METHOD_NOT_ALLOWED if bare => {
            Some(Error::new(ErrorKind::Invalid, "this path has no such method"))
        }
        _ => None,
    }
}

/// The server's own words for a limit that was reached.
pub(in crate::server) fn out_of_time(limit: Limit) -> Error {
    let why = match limit.whose() {
        Whose::Caller => "all that the caller had left",
        _ => "the limit of this server (server.policy.timeout)",
    };
    Error::new(ErrorKind::Timeout, format!("no answer within {:?}, {why}", limit.length()))
        .at_layer("deadline")
}
