//! How do we call another service?
//!
//! ```no_run
//! # use platform_core::{App, Result};
//! # use platform_grpc_protos::{self as film, Word, echo_client::EchoClient as RatingsClient};
//! # async fn main_(app: App) -> Result<()> {
//! use platform_grpc::Channel;
//!
//! let channel = Channel::builder(&app, "ratings").descriptors(film::DESCRIPTORS).build()?;
//! let mut ratings = RatingsClient::new(channel);
//! let reply = ratings.say(Word::default()).await;
//! # Ok(())
//! # }
//! ```
//!
//! A call passes the same page as a call of HTTP's client, over the same kind of connections: discovery, balance,
//! breaker, budget, deadline, faults. Deadline, trace, tenant and importance of the request being served go along by
//! themselves, and `[clients.NAME]` sets it.
//!
//! What fails here comes back as a status that names the layer and the reason ([`error`](crate::error) finds the
//! error in it); what the target answers, as it came.
//!
//! # What is repeated
//! A call whose messages were at hand when it was made, up to `retry.body`: unless the target said that it had not
//! begun, only a method whose proto says `idempotency_level` (give the channel its
//! [`descriptors`](Builder::descriptors)). A call that was answered with a first message is never repeated. What a
//! method has of its own, and gRPC's service config: [`policy`].
//!
//! # Signals
//! `rpc_client_call_duration_seconds` per attempt, and those of every client.
//!
//! # Traps
//! Without descriptors nobody knows which methods stream: a reply that says nothing for [`PEEK`] after its head counts
//! as begun, and only a caller's own deadline ends it. With them a unary call is judged by its status, and a stream
//! when its head is there; what becomes of it later is told to the balancer. A stream is never cut by `policy.timeout`
//! once it has begun; set a timeout of its own on the request, or `stream_timeout` and `stream_idle` of the method.

mod calling;
mod dialect;
mod follow;
pub mod health;
pub(crate) mod metrics;
mod peek;
pub mod policy;
mod reply;
mod request;

use std::{
    fmt,
    sync::Arc,
    task::{self, Poll},
};

use http::{Request, Response};
use platform_core::{
    App, Error, Result,
    stack::{ClientPolicy, Row},
};
use platform_discovery::balance;
use platform_http::client::{
    self, Caller, Connect, Making, Preset, Settings, Spoken,
    slots::{Around, Rest},
};
use tonic::Status;
use tower_layer::Layer;
use tower_service::Service;

pub use calling::Calling;
pub use peek::PEEK;
pub use policy::{Codes, MethodSettings};
pub use reply::Reply;
pub use request::WaitForReady;

use self::{
    dialect::Grpc,
    metrics::Meters,
    policy::{Edits, HEALTH, ServiceConfig, Wanted},
    request::make,
};
use crate::methods::{Methods, methods};

/// Calls one target; what a generated client takes. Clones share connections, counts and policy.
#[derive(Clone)]
pub struct Channel(Caller<Grpc>);

/// A channel in the making. What is said here is stronger than `[defaults]` and weaker than the client's own section.
#[must_use = "a builder makes nothing until it is built"]
pub struct Builder {
    inner: client::Builder,
    descriptors: Vec<&'static [u8]>,
    edits: Edits,
    service_config: Option<String>,
}

impl Channel {
    /// The channel of a target, as its section `[clients.NAME]` sets it.
    ///
    /// # Errors
    /// What cannot be meant: a name that is none, a value in its section, a target without a source.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn for_target(app: &App, name: &str) -> Result<Channel> {
        Channel::builder(app, name).build()
    }

    /// The same with something of its own set in code.
    pub fn builder(app: &App, name: &str) -> Builder {
        let inner = platform_http::Client::builder(app, name);
        Builder { inner, descriptors: Vec::new(), edits: Vec::new(), service_config: None }
    }

    /// What is called.
    pub fn target(&self) -> &Arc<str> {
        self.0.target()
    }

    /// What is set.
    pub fn settings(&self) -> &Settings {
        self.0.settings()
    }

    /// The order in which a call passes its layers, with what is set.
    pub fn describe(&self) -> Vec<Row> {
        self.0.describe()
    }
}

impl Service<Request<tonic::body::Body>> for Channel {
    type Response = Response<Reply>;
    type Error = Status;
    type Future = Calling;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        // Made here, where the request being served is known.
        match make(request, self.0.dialect(), self.0.settings().policy.retry.body) {
            Ok(made) => Calling::of(&self.0, made),
            Err(status) => Calling::refused(status),
        }
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("target", self.target()).finish_non_exhaustive()
    }
}

impl Builder {
    /// What the protos say of themselves (`tonic::include_file_descriptor_set!`): which methods may be repeated
    /// (`idempotency_level`), and which stream.
    pub fn descriptors(mut self, descriptors: &'static [u8]) -> Self {
        self.descriptors.push(descriptors);
        self
    }

    /// Changes what a method (`film.Ratings/Get`), or all of a service (`film.Ratings/*`), has of its own.
    pub fn method(
        mut self,
        name: impl Into<String>,
        change: impl Fn(&mut MethodSettings) + Send + 'static,
    ) -> Self {
        self.edits.push((name.into(), Box::new(change)));
        self
    }

    /// What the target's owner recommends to its callers: gRPC's service config, as JSON. It is weaker than what the
    /// code and the file say of the same methods, and a file that the client's section names (`service_config`) takes
    /// its place; which fields are read: [`policy`].
    pub fn service_config(mut self, json: impl Into<String>) -> Self {
        self.service_config = Some(json.into());
        self
    }

    /// The values that suit a kind of dependency.
    pub fn preset(self, preset: Preset) -> Self {
        Builder { inner: self.inner.preset(preset), ..self }
    }

    /// What is called, if not the service of the client's name: `dir://NAME`, `fixed://IP:PORT`, `https://HOST`.
    pub fn target(self, target: impl Into<String>) -> Self {
        Builder { inner: self.inner.target(target), ..self }
    }

    /// Changes the policy.
    pub fn policy(self, change: impl FnOnce(&mut ClientPolicy) + Send + 'static) -> Self {
        Builder { inner: self.inner.policy(change), ..self }
    }

    /// Changes how endpoints are reached.
    pub fn connect(self, change: impl FnOnce(&mut Connect) + Send + 'static) -> Self {
        Builder { inner: self.inner.connect(change), ..self }
    }

    /// Changes how endpoints are chosen.
    pub fn balance(self, change: impl FnOnce(&mut balance::Config) + Send + 'static) -> Self {
        Builder { inner: self.inner.balance(change), ..self }
    }

    /// Puts a layer into the slot `call`: around all that stands below the call's deadline. Of several in a slot the
    /// first sees a call first. See [`platform_http::client::slots`]; a request's path is the method, its body the
    /// messages as gRPC frames them.
    pub fn around_call<L>(self, layer: L) -> Self
    where
        L: Layer<Rest, Service: Around> + Send + Sync + 'static,
    {
        Builder { inner: self.inner.around_call(layer), ..self }
    }

    /// Puts a layer into the slot `attempt`: around each try, below the headers.
    pub fn around_attempt<L>(self, layer: L) -> Self
    where
        L: Layer<Rest, Service: Around> + Send + Sync + 'static,
    {
        Builder { inner: self.inner.around_attempt(layer), ..self }
    }

    /// Puts a layer into the slot `endpoint`: one for each endpoint, around its connections.
    pub fn around_endpoint<L>(self, layer: L) -> Self
    where
        L: Layer<Rest, Service: Around> + Send + Sync + 'static,
    {
        Builder { inner: self.inner.around_endpoint(layer), ..self }
    }

    /// The channel.
    ///
    /// # Errors
    /// As [`Channel::for_target`]; descriptors that are none, a service config that cannot be meant, a method that is
    /// not in the descriptors.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn build(self) -> Result<Channel> {
        let mut known = Methods::new();
        for descriptors in self.descriptors {
            known.extend(methods(descriptors)?);
        }
        let Builder { inner, edits, service_config: handed, .. } = self;
        let caller = inner.speaking(|making| {
            let file = &making.settings.service_config;
            let service_config = match handed {
                _ if !file.as_os_str().is_empty() => ServiceConfig::read_file(file)
                    .map_err(|error| Error::config(format!("[{}]: {}", making.section, error.detail())))?,
                Some(json) => ServiceConfig::parse(&json)?,
                None => ServiceConfig::default(),
            };
            let wanted = Wanted { service_config, edits };
            let Making { app, target, .. } = *making;
            let (listens, service) = whose_health(making, &wanted.service_config);
            let mut unread: Vec<&str> = wanted.service_config.unread.iter().map(String::as_str).collect();
            unread.extend((!listens && wanted.service_config.health_service.is_some()).then_some(HEALTH));
            if !unread.is_empty() {
                let fields = unread.join(", ");
                tracing::info!(target = &**target, fields, "these fields of its service config are not read");
            }
            let methods = wanted.resolve(making, &mut known)?;
            let meters = app.once(target, || Ok(Meters::new(target, app.metrics())))?;
            let minds = listens.then(|| health::minds(service));
            let health_service = Some(service.to_owned());
            Ok(Spoken { dialect: Grpc::new(known, meters), methods, minds, health_service })
        })?;
        Ok(Channel(caller))
    }
}

/// What is written for all clients.
const DEFAULTS: &str = "defaults";

/// Is anybody's health asked for, and whose? The name that its owner recommends is weaker than one that is set here.
fn whose_health<'a>(making: &'a Making<'_>, recommended: &'a ServiceConfig) -> (bool, &'a str) {
    let set = &making.settings.balance.health;
    let is_written = |section: &str| making.app.config().has(&format!("{section}.balance.health.service"));
    let recommended = recommended.health_service.as_deref();
    let service = match recommended {
        Some(name) if set.service.is_empty() && !is_written(making.section) && !is_written(DEFAULTS) => name,
        _ => &set.service,
    };
    (set.mode.is_on(), service)
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").finish_non_exhaustive()
    }
}
