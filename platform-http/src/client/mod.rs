//! How do we ask another service?
//!
//! ```no_run
//! # use platform_core::{App, Result};
//! # use platform_http::Client;
//! # #[derive(serde::Deserialize)]
//! # struct Stock { items: u32 }
//! # async fn example() -> Result<()> {
//! let app = App::start("orders").await?;
//! let inventory = Client::for_target(&app, "inventory")?;
//! let stock: Stock = inventory.get("/stock/7").send().await?.json().await?;
//! # Ok(())
//! # }
//! ```
//!
//! Deadline, trace, tenant and importance of the request being served go along by themselves. A reply is a
//! reply whatever its status: `send()` fails only when there is none, `json()` also when it is none of success.
//!
//! # Defaults
//! | setting | value | because |
//! |---|---|---|
//! | `policy.timeout`, `policy.attempt_timeout` | 10 s, 3 s | see `platform_core::stack` |
//! | `connect.timeout` | 1 s | [`CONNECT_TIMEOUT`] |
//! | pauses between tries to connect | up to 200 ms, doubled to 9 s | [`Reach`] |
//! | `connect.pool.idle` | 60 s | [`POOL_IDLE`] |
//! | `connect.pool.per_endpoint` | 32 | [`POOL_PER_ENDPOINT`]; of HTTP/2 one for each 100 calls in flight, 10 at most |
//! | `connect.max_response` | 64 MiB | [`MAX_RESPONSE`] |
//!
//! # Signals
//! `platform_client_call_duration_seconds` is what callers felt, `http_client_request_duration_seconds` what
//! each attempt took, `platform_client_attempts_total` how often a target was really asked.
//!
//! # Traps
//! Making a client per request: its connections live as long as it does. Make it once and clone it. Redirects
//! are never followed: between services they hide a wrong address, and to strangers they leak headers.

mod builder;
mod caller;
mod config;
mod connect;
pub mod dialect;
mod exchange;
mod methods;
pub mod metrics;
mod mind;
mod protocol;
mod reach;
mod request;
mod response;
mod single;
pub mod slots;
mod speech;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "plain.rs"]
mod tls;
mod wait;

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
};

use http::{Method, Request};
use platform_core::{
    App, Error, Result,
    stack::{Answered, Row, Sending},
};
use tower_service::Service;

pub use builder::{Builder, described};
pub use caller::{Caller, Calling};
pub use config::{
    CONNECT_TIMEOUT, Connect, MAX_RESPONSE, POOL_IDLE, POOL_PER_ENDPOINT, Pool, Preset, Protocol, Settings,
    Tls, configured,
};
pub use methods::{Making, Spoken};
pub use mind::{Minded, Minds};
pub use reach::{BACKOFF, BACKOFF_MAX, Dial, FRESH, Reach, SPREAD, backoff};
pub use request::RequestBuilder;
pub use response::Response;

use self::{dialect::Dialect, methods::Pages, protocol::Http, slots::Rest, speech::Plain};
use crate::Body;

/// Calls one target. Clones share connections, counts and policy.
#[derive(Clone)]
pub struct Client(Arc<Inner<Plain>>);

struct Inner<D> {
    pages: Arc<Pages>,
    wire: Arc<Http<D>>,
    /// What a team has put into the slot `call`, around both.
    around: Option<Rest>,
}

impl<D: Dialect> Inner<D> {
    // The one box of a call: it hides the types of everything below.
    fn call(self: &Arc<Self>, request: Request<Body>) -> Calling {
        let inner = Arc::clone(self);
        if self.around.is_some() || self.wire.dialect.waits(&request) {
            return Box::pin(async move { inner.call_through(request).await });
        }
        // The request lies in the box from here on, until the wire takes it.
        let mut call = Sending::new(request);
        Box::pin(async move {
            let stack = inner.pages.of(call.call_mut().uri().path());
            stack.call_from(&mut call, &*inner.wire).await
        })
    }

    /// Through the slot `call`, if there is anything in it, and as one that waits for somebody to ask.
    async fn call_through(&self, request: Request<Body>) -> Result<Answered<Reply>> {
        let stack = self.pages.of(request.uri().path());
        match &self.around {
            Some(around) => slots::call(stack, &self.wire, around, request).await,
            None => {
                let inside = slots::inside(&self.pages, &self.wire);
                slots::call(stack, &self.wire, &inside, request).await
            }
        }
    }
}

type Reply = http::Response<Body>;

impl Client {
    /// The client of a target, as its section `[clients.NAME]` sets it.
    ///
    /// # Errors
    /// What cannot be meant: a name that is none, a value in its section, a target without a source.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn for_target(app: &App, name: &str) -> Result<Client> {
        Client::builder(app, name).build()
    }

    /// The same with something of its own set in code.
    pub fn builder(app: &App, name: &str) -> Builder {
        Builder::new(app, name)
    }

    /// A request for `path`, which begins with `/`.
    pub fn get(&self, path: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    /// A request that adds or does something. It is never repeated unless it is declared
    /// [`idempotent`](RequestBuilder::idempotent).
    pub fn post(&self, path: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    /// A request that replaces what is at `path`.
    pub fn put(&self, path: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::PUT, path)
    }

    /// A request that removes what is at `path`.
    pub fn delete(&self, path: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::DELETE, path)
    }

    /// A request that changes what is at `path`.
    pub fn patch(&self, path: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::PATCH, path)
    }

    /// A request for the head of what is at `path`.
    pub fn head(&self, path: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::HEAD, path)
    }

    /// A request with any method.
    pub fn request(&self, method: Method, path: impl AsRef<str>) -> RequestBuilder {
        RequestBuilder::new(self.clone(), method, path.as_ref())
    }

    /// Sends a request that was built elsewhere; of its URI the path and the query count.
    ///
    /// # Errors
    /// When there is no reply: no endpoint, no connection, no answer in time.
    pub async fn send(&self, request: Request<Body>) -> Result<Response> {
        let call = (request.method().clone(), request.uri().clone());
        let answered = self.0.call(request).await?;
        Ok(Response::new(self, call, answered))
    }

    /// What is called.
    pub fn target(&self) -> &Arc<str> {
        self.0.pages.stack.target()
    }

    /// What is set.
    pub fn settings(&self) -> &Settings {
        &self.0.wire.settings
    }

    /// The order in which a call passes its layers, with what is set.
    pub fn describe(&self) -> Vec<Row> {
        self.0.describe()
    }
}

/// For tower's layers, above a whole call. The reply's body is not read under the call's limit.
impl Service<Request<Body>> for Client {
    type Response = Reply;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Reply>> + Send>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answered = self.0.call(request);
        Box::pin(async move { Ok(answered.await?.reply) })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("target", self.target()).finish_non_exhaustive()
    }
}
