//! A layer of one's own in a client's slot: it signs what is really sent, once for each try.

use std::task::{Context, Poll};

use axum::http::{HeaderName, HeaderValue, Request};
use platform_http::{Body, client::slots::Rest};
use tower_service::Service;

#[derive(Clone)]
pub(super) struct Signed(pub(super) Rest);

impl Service<Request<Body>> for Signed {
    type Response = <Rest as Service<Request<Body>>>::Response;
    type Error = <Rest as Service<Request<Body>>>::Error;
    type Future = <Rest as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // Below the choice of the endpoint: the host is known.
        let host = request.headers().get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
        let signed = signature(request.method().as_str(), request.uri().path(), host);
        if let Ok(signed) = HeaderValue::try_from(signed) {
            request.headers_mut().insert(HeaderName::from_static("signature"), signed);
        }
        self.0.call(request)
    }
}

/// FNV-1a of what both sides know. A real one takes a key and a cryptographic hash: this one shows the place.
pub(super) fn signature(method: &str, path: &str, host: &str) -> String {
    let bytes = [method, " ", path, " ", host].concat().into_bytes();
    let hash = bytes.into_iter().fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    format!("{hash:016x}")
}

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;
