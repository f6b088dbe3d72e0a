//! Where may a team insert layers of its own into a client?
//!
//! Three places in the order, each for any tower layer. A layer may change what passes, wait, answer by itself, fail,
//! or ask the [`Rest`] more than once.
//!
//! | slot | stands below | a layer is made | for |
//! |---|---|---|---|
//! | `call` | the whole call's deadline; above limits, repeats and guards | once per client | caches, answers of one's own |
//! | `attempt` | the headers: it sees them all, in each try | once per client | signatures |
//! | `endpoint` | `attempt`, next to the connections | once per endpoint | limits and counts of one endpoint |
//!
//! ```no_run
//! use std::task::{Context, Poll};
//!
//! use http::{HeaderValue, Request};
//! use platform_core::{App, Result};
//! use platform_http::{Body, Client, client::slots::Rest};
//! use tower_layer::layer_fn;
//! use tower_service::Service;
//!
//! /// Signs what is really sent; a real one would take a hash of it.
//! #[derive(Clone)]
//! struct Signed(Rest);
//!
//! impl Service<Request<Body>> for Signed {
//!     type Response = <Rest as Service<Request<Body>>>::Response;
//!     type Error = <Rest as Service<Request<Body>>>::Error;
//!     type Future = <Rest as Service<Request<Body>>>::Future;
//!
//!     fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<std::result::Result<(), Self::Error>> {
//!         self.0.poll_ready(cx)
//!     }
//!
//!     fn call(&mut self, mut request: Request<Body>) -> Self::Future {
//!         request.headers_mut().insert("signature", HeaderValue::from_static("of-all-that-is-there"));
//!         self.0.call(request)
//!     }
//! }
//!
//! # fn example(app: &App) -> Result<()> {
//! let payments = Client::builder(app, "payments").around_attempt(layer_fn(Signed)).build()?;
//! # let _ = payments;
//! # Ok(())
//! # }
//! ```
//!
//! # What counts
//! Whatever a layer does is inside the call's limit, in `attempt` and `endpoint` inside the attempt's too, and ends when
//! nobody waits any more. An `Err` of `call` is the call's end; one of the others is an attempt's, and means to guards
//! and repeats what its outcome says. A reply that a layer makes (`Body::reply`) is judged by its status; one that keeps
//! the body that came keeps its verdict.
//!
//! # Traps
//! A layer in `attempt` or `endpoint` has to pass on the extensions of the request that it was given: they say whom it
//! is for. Whoever waits in `attempt` waits with a slot of the target in hand. A client with a layer in `endpoint` has
//! connections of its own, because they are behind it. An unused slot costs nothing; a used one costs a box for each
//! layer and one for itself.

use std::sync::Arc;

use http::{Request, Response};
use platform_core::{
    Error, ErrorKind, Outcome, Result, Verdict,
    call::CarryReply as _,
    deadline::Limit,
    stack::{Answered, ClientStack, Row, Sending, Storey},
};
use platform_discovery::balance::Picked;
use tokio::time::Instant;
use tower_layer::Layer;

pub use crate::layers::{Around, Rest};
use crate::{
    Body,
    layers::{Below, Reply, Wrap, within},
};

use super::{connect::Connection, dialect::Dialect, methods::Pages, protocol::Http, wait};

/// Whom a request in the slots `attempt` and `endpoint` is for, among its extensions: the endpoint's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct To(pub Arc<str>);

/// The layers in a client's slots.
#[derive(Default)]
pub(super) struct Slots {
    call: Vec<Wrap>,
    attempt: Vec<Wrap>,
    endpoint: Vec<Wrap>,
}

/// What a slot's layers are put into.
#[derive(Clone, Copy)]
pub(super) enum Slot {
    Call,
    Attempt,
    Endpoint,
}

/// The way of attempts through slots.
pub(super) struct Attempts(Rest);

impl Slots {
    pub(super) fn put<L>(&mut self, slot: Slot, layer: L)
    where
        L: Layer<Rest, Service: Around> + Send + Sync + 'static,
    {
        let layers = match slot {
            Slot::Call => &mut self.call,
            Slot::Attempt => &mut self.attempt,
            Slot::Endpoint => &mut self.endpoint,
        };
        layers.push(Wrap::new(layer));
    }

    /// Each slot that has a layer, as it stands in the order.
    pub(super) fn rows(&self) -> Vec<Row> {
        let slots = [
            (Storey::Call, CALL, &self.call),
            (Storey::Endpoint, ATTEMPT, &self.attempt),
            (Storey::Endpoint, ENDPOINT, &self.endpoint),
        ];
        let used = slots.into_iter().filter(|(.., layers)| !layers.is_empty());
        used.map(|(storey, layer, layers)| {
            let names: Vec<&str> = layers.iter().map(|one| one.name).collect();
            Row::new(storey, layer, "What does the team add?")
                .with("layers", &format_args!("{}", names.join(", ")))
        })
        .collect()
    }

    /// What calls go through, if a layer is in their way.
    pub(super) fn calls<D: Dialect>(&self, pages: &Arc<Pages>, wire: &Arc<Http<D>>) -> Option<Rest> {
        (!self.call.is_empty()).then(|| within(&self.call, inside(pages, wire)))
    }

    /// What attempts go through, if a layer is in their way.
    pub(super) fn attempts(&self) -> Option<Attempts> {
        let any = !self.attempt.is_empty() || !self.endpoint.is_empty();
        any.then(|| Attempts(within(&self.attempt, Rest(Arc::new(Chosen)))))
    }

    /// What stands before the connections of an endpoint, if anything does.
    pub(super) fn endpoints(&mut self) -> Option<impl Fn(Connection) -> Connection + Send + Sync + use<>> {
        let layers = std::mem::take(&mut self.endpoint);
        let before = !layers.is_empty();
        let behind = move |connection: Connection| {
            let around = within(&layers, Rest::to(connection.clone()));
            connection.behind(around)
        };
        before.then_some(behind)
    }
}

impl Attempts {
    /// Sends through the layers to the endpoint that was picked.
    pub(super) async fn send(
        &self,
        mut request: Request<Body>,
        picked: &Picked<Connection>,
    ) -> Result<Response<Body>> {
        let connection = picked.service();
        // What is written last of all, so that a signature may cover it.
        connection.address(&mut request);
        let extensions = request.extensions_mut();
        extensions.insert(To(Arc::clone(picked.label())));
        extensions.insert(Way { connection: connection.clone() });
        self.0.0.answer(request).await.map(|reply| reply.map(Body::into_reply))
    }
}

/// All that stands below the slot `call`.
pub(super) fn inside<D: Dialect>(pages: &Arc<Pages>, wire: &Arc<Http<D>>) -> Rest {
    Rest(Arc::new(Inside { pages: Arc::clone(pages), wire: Arc::clone(wire) }))
}

/// A call through the layers around it, which are in `around`.
pub(super) async fn call<D: Dialect>(
    stack: &ClientStack,
    wire: &Http<D>,
    around: &Rest,
    request: Request<Body>,
) -> Result<Answered<Response<Body>>> {
    let mut whole = None;
    let name = wire.dialect.name(&request);
    let through = |mut request: Request<Body>, limit: Option<Limit>| {
        whole = limit;
        if let Some(limit) = limit {
            request.extensions_mut().insert(Whole(limit));
        }
        let answer = around.0.answer(request);
        async move {
            let mut reply = answer.await?.map(Body::into_reply);
            if reply.body().verdict().is_none() {
                // A layer has answered by itself.
                let judged = wire.dialect.judge(&name, &reply);
                let verdict = Verdict::new(judged.outcome, Instant::now()).with_hint(judged.hint);
                reply.body_mut().judge(verdict);
            }
            Ok(reply)
        }
    };
    let mut reply = stack.call_around(request, through).await?;
    let came = reply.extensions_mut().remove::<Came>();
    let (endpoint, attempt) = came.map_or((None, 0), |came| (came.endpoint, came.attempt));
    Ok(Answered { reply, endpoint, attempt, limit: whole })
}

/// The whole call's limit, on its way through the slot `call`.
#[derive(Clone)]
struct Whole(Limit);

/// How a reply was come by, on its way back through it.
#[derive(Clone)]
struct Came {
    endpoint: Option<Arc<str>>,
    attempt: u16,
}

/// The chosen endpoint's connections, on the way through the slot `attempt`.
#[derive(Clone)]
struct Way {
    connection: Connection,
}

/// Below the slot `call`.
struct Inside<D> {
    pages: Arc<Pages>,
    wire: Arc<Http<D>>,
}

impl<D: Dialect> Below for Inside<D> {
    fn answer(&self, request: Request<Body>) -> Reply {
        let (stack, wire) = (self.pages.of(request.uri().path()).clone(), Arc::clone(&self.wire));
        let mut request = request.map(Body::into_request);
        let limit = request.extensions_mut().remove::<Whole>().map(|whole| whole.0);
        if wire.dialect.waits(&request) {
            return Box::pin(async move { wait::call_inside(&stack, &wire, request, limit).await.map(told) });
        }
        let mut call = Sending::new(request);
        Box::pin(async move { stack.call_inside(&mut call, limit, &*wire).await.map(told) })
    }
}

/// With how it was come by, for who waits above the slot.
fn told(answered: Answered<Response<Body>>) -> Response<Body> {
    let Answered { mut reply, endpoint, attempt, .. } = answered;
    reply.extensions_mut().insert(Came { endpoint, attempt });
    reply
}

/// Below the slot `attempt`: the endpoint that was chosen.
struct Chosen;

impl Below for Chosen {
    fn answer(&self, mut request: Request<Body>) -> Reply {
        match request.extensions_mut().remove::<Way>() {
            Some(way) => way.connection.through(request),
            None => Box::pin(std::future::ready(Err(astray()))),
        }
    }
}

impl Rest {
    /// The connections of an endpoint.
    pub(super) fn to(connection: Connection) -> Self {
        Rest(Arc::new(Connected(connection)))
    }
}

/// Below the slot `endpoint`.
struct Connected(Connection);

impl Below for Connected {
    fn answer(&self, request: Request<Body>) -> Reply {
        Box::pin(self.0.send(request))
    }
}

fn astray() -> Error {
    let why = "a layer has made a request without the extensions of the one that it was given, which say whom it is \
               for; pass them on";
    Error::new(ErrorKind::Internal, why).at_layer(ATTEMPT).with_outcome(Outcome::Local)
}

const CALL: &str = "slot-call";
const ATTEMPT: &str = "slot-attempt";
const ENDPOINT: &str = "slot-endpoint";
