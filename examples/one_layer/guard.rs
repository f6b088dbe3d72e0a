//! One guard as a tower layer, around any service: here a breaker of one's own around a client.

use platform_core::{
    Error, ErrorKind, Result,
    admission::{
        AdmissionLayer, Gate, Place,
        breaker::{self, Breaker},
        metrics::Refusals,
    },
    config::Mode,
};
use platform_http::{Body, Client};
use tokio::time::Instant;
use tower_layer::Layer as _;
use tower_service::Service as _;

/// Clones share the breaker.
#[derive(Clone)]
pub(super) struct Guarded {
    layer: AdmissionLayer<Breaker>,
    inner: Client,
}

impl Guarded {
    pub(super) fn new(inner: Client) -> Guarded {
        let config = breaker::Config { consecutive: IN_A_ROW, ..breaker::Config::default() };
        let breaker = Breaker::new(config, Instant::now(), breaker::Meters::default());
        let place = Place { layer: "own-breaker", kind: ErrorKind::BreakerOpen };
        let layer = AdmissionLayer::new(Gate::new(breaker, place, Mode::Enforce, Refusals::default()));
        Guarded { layer, inner }
    }

    pub(super) async fn stock(&self) -> Result<String> {
        let request = http::Request::get("/stock").body(Body::empty());
        let request = request.map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
        // The client is always ready; another service would have to be waited for first.
        let reply = self.layer.layer(self.inner.clone()).call(request).await?;
        if !reply.status().is_success() {
            return Err(Error::new(ErrorKind::Upstream, format!("the inventory says {}", reply.status())));
        }
        let (_, body) = reply.into_parts();
        let bytes = http_body_util::BodyExt::collect(body).await;
        let bytes = bytes.map_err(|error| Error::new(ErrorKind::Upstream, error.to_string()))?.to_bytes();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Failures in a row that open it.
pub(super) const IN_A_ROW: u32 = 3;
