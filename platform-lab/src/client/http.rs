//! A call as HTTP makes it, without a connection: what moving a request of its size through the stack costs.

use std::hint::black_box;

use hyper::{
    HeaderMap, Request, Response,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue},
};
use platform_core::{Context, call::Call as _};
use platform_http::Body;

use super::platform::Subject;

impl Subject for Request<Body> {
    type Reply = Response<Body>;

    fn under(context: Context) -> Self {
        Request::new(Body::empty().under(context))
    }

    fn answer(self) -> Response<Body> {
        black_box(&self);
        Response::new(Body::empty_reply())
    }

    fn answered(reply: &Response<Body>) -> bool {
        reply.status().is_success()
    }
}

/// A request that is made and dropped, `headers` long, and a `copy` of it if one is kept for a retry.
pub(crate) fn made(context: &Context, headers: &HeaderMap, copy: bool) -> bool {
    let mut request = Request::under(context.clone());
    if !headers.is_empty() {
        request.headers_mut().clone_from(headers);
    }
    let kept = copy.then(|| request.repeat(u64::MAX));
    black_box(&request);
    black_box(&kept).is_some() == copy
}

/// What business code sets on most requests.
pub(crate) fn headers() -> HeaderMap {
    let value = HeaderValue::from_static;
    HeaderMap::from_iter([
        (ACCEPT, value("application/json")),
        (CONTENT_TYPE, value("application/json")),
        (AUTHORIZATION, value("Bearer 0123456789abcdef")),
    ])
}
