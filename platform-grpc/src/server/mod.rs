//! Which services are served?
//!
//! ```no_run
//! # mod film { pub fn ratings() -> axum::Router { axum::Router::new() } }
//! # use platform_core::App;
//! # async fn main_(app: App) -> platform_core::Result<std::process::ExitCode> {
//! use platform_grpc::{Services, serve};
//!
//! let services = Services::new(); // .service(RatingsServer::new(ratings)).descriptors(film::DESCRIPTORS)
//! serve(app, services).await
//! # }
//! ```
//!
//! Whatever stands around an HTTP request stands around a call: one context, one clock, one line, one drain. It is
//! spoken to in its own words: a refusal is a status with details, the metric and the line go by the status in the
//! trailers, a caller's `grpc-timeout` ends the call with DEADLINE_EXCEEDED to its last message.
//!
//! Besides the team's there are `grpc.health.v1`, fed by the App's health, and reflection (feature `reflection`).
//!
//! # Defaults
//! | setting | value | because |
//! |---|---|---|
//! | `server.policy.timeout` | 30 s | to the first word of the reply; a stream may last longer than its server's patience for a page, and ends with its caller's deadline |
//! | a message's size | 4 MiB | tonic's; raise it on the generated server: `.max_decoding_message_size(…)`. `server.limits.body` is for HTTP |
//! | `server.times.body_idle` | not for calls | a stream may be silent |
//!
//! # Signals
//! `rpc_server_call_duration_seconds`, and the server's other metrics; the canonical line has `rpc.method`.
//!
//! # Traps
//! A stream that nobody ends is cut at the end of the grace. Whoever writes one ends it when
//! [`App::phases`](platform_core::App::phases) has reached `Draining`.

mod dialect;
mod health;
pub(crate) mod metrics;
mod observe;
#[cfg(feature = "reflection")]
mod reflection;

use std::{
    convert::Infallible,
    fmt,
    sync::Arc,
    task::{self, Poll},
};

use axum::Router;
use http::{Request, Response};
use platform_core::{App, Result};
use platform_http::Server;
use tonic::server::NamedService;
use tower_service::Service;

use self::{dialect::Grpc, observe::Observer};
use crate::methods::{Methods, methods};

/// The services of one listener, and HTTP routes beside them.
#[must_use = "services are served when they are handed to `serve`"]
#[derive(Default)]
pub struct Services {
    routes: Router,
    names: Vec<&'static str>,
    descriptors: Vec<&'static [u8]>,
}

impl Services {
    /// None yet.
    pub fn new() -> Self {
        Services::default()
    }

    /// Another service: what the generated `…Server::new` makes.
    ///
    /// # Panics
    /// If it is added twice.
    pub fn service<S>(mut self, service: S) -> Self
    where
        S: Service<Request<tonic::body::Body>, Response = Response<tonic::body::Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.names.push(S::NAME);
        self.route(service)
    }

    /// What the protos say of themselves (`tonic::include_file_descriptor_set!`): for reflection, and so that a
    /// method that never succeeded has its name in the metric.
    pub fn descriptors(mut self, descriptors: &'static [u8]) -> Self {
        self.descriptors.push(descriptors);
        self
    }

    /// HTTP routes on the same port.
    ///
    /// # Panics
    /// If a path is there twice.
    pub fn beside(mut self, routes: Router) -> Self {
        self.routes = self.routes.merge(routes);
        self
    }

    /// The server of these services, for who puts layers into its slots; health and reflection included.
    ///
    /// # Errors
    /// Descriptors that are none.
    pub fn into_server(self, app: &App) -> Result<Server> {
        let mut known = Methods::new();
        for descriptors in &self.descriptors {
            known.extend(methods(descriptors)?);
        }
        known.extend(methods(tonic_health::pb::FILE_DESCRIPTOR_SET)?);
        let observer = Observer::new(app.metrics(), app.objectives(), known.into_keys());
        let health = health::service(app, &self.names);
        let services = self.route(health);
        #[cfg(feature = "reflection")]
        let services = reflection::add(services)?;
        Ok(Server::new(services.routes).speaking(Arc::new(Grpc::new(observer)), PROTOCOL))
    }

    fn route<S>(mut self, service: S) -> Self
    where
        S: Service<Request<tonic::body::Body>, Response = Response<tonic::body::Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        // Not tonic's own router: it answers every path, and could not stand beside another one.
        self.routes = self.routes.route_service(&format!("/{}/{{method}}", S::NAME), Routed(service));
        self
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").field("names", &self.names).finish_non_exhaustive()
    }
}

/// A tonic service as a route of axum.
#[derive(Clone)]
struct Routed<S>(S);

impl<S> Service<Request<axum::body::Body>> for Routed<S>
where
    S: Service<Request<tonic::body::Body>, Response = Response<tonic::body::Body>, Error = Infallible>,
{
    type Response = S::Response;
    type Error = Infallible;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<axum::body::Body>) -> S::Future {
        self.0.call(request.map(tonic::body::Body::new))
    }
}

/// What others learn from the registry.
const PROTOCOL: &str = "grpc";
