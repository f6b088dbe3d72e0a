//! Server: a team's routes, and what stands around them.

use std::{convert::Infallible, future::Future, sync::Arc, time::Duration};

use axum::Router;
use futures_util::future::Either;
use http::{HeaderName, HeaderValue, Request, Response};
use platform_core::{
    App, Error, ErrorKind, Result,
    admission::rate_limit::PerTenant,
    app::{Bound, Boxed, Serve, Served},
    context::Criticality,
    lifecycle::{Drain, OnDeath},
    stack::Servers,
};
use tower_http::{cors::CorsLayer, sensitive_headers::SetSensitiveRequestHeadersLayer};
use tower_layer::Layer;
use tower_service::Service;

use super::{
    Config, Connections, Listener, Peer, TlsConfig,
    admit::Door,
    allow::Lists,
    classes::Named,
    crossing::Crossing,
    dialect::Dialect,
    edge::{Answer, Edge, Whole},
    learned::Learned,
    metrics::SCHEMES,
    observe::Observer,
    of_the_key,
    route::NoteRoute,
    show::Show,
    slots::{Around, Rest, Slots},
    stack::{Settings, Stack},
};
use crate::{
    Body,
    admin::Views,
    bearer,
    tls::{self, Acceptor, Refresh},
};

/// An HTTP server: HTTP/1.1 and HTTP/2 on one listener, with everything the platform puts around a request.
///
/// ```no_run
/// use axum::{Router, routing::get};
/// use platform_core::App;
/// use platform_http::Server;
///
/// # fn add(app: &App) {
/// app.add(Server::new(Router::new().route("/hello", get(|| async { "hello" }))));
/// # }
/// ```
#[must_use]
pub struct Server {
    serving: Serving,
    cors: Option<CorsLayer>,
    slots: Slots,
    named: Named,
    lines: bool,
    dialect: Option<Arc<dyn Dialect>>,
    protocol: &'static str,
    bound: Option<Ready>,
}

/// What answers requests.
enum Serving {
    Routes(Router),
    Service(Box<dyn Begin>),
}

impl Serving {
    fn routes(&self) -> Option<&Router> {
        match self {
            Serving::Routes(routes) => Some(routes),
            Serving::Service(_) => None,
        }
    }
}

/// What was made when the address was taken.
struct Ready {
    listener: Listener,
    connections: Connections,
    refresh: Option<Refresh>,
    lists: Lists,
    observer: Observer,
    settings: Settings,
    crossing: Option<Crossing>,
    app: App,
}

impl Server {
    /// A server of an axum router.
    pub fn new(routes: Router) -> Self {
        Server::of(Serving::Routes(routes))
    }

    /// A server of any tower service on our [`Body`].
    pub fn service<S>(service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send,
    {
        Server::of(Serving::Service(Box::new(Whole(service))))
    }

    fn of(serving: Serving) -> Self {
        Server {
            serving,
            cors: None,
            slots: Slots::default(),
            named: Named::default(),
            lines: true,
            dialect: None,
            protocol: PROTOCOL,
            bound: None,
        }
    }

    /// Speaks something else as well, where a request does; `protocol` is what others learn from the registry:
    /// `http1`, `h2` or `grpc`.
    pub fn speaking(mut self, dialect: Arc<dyn Dialect>, protocol: &'static str) -> Self {
        self.dialect = Some(dialect);
        self.protocol = protocol;
        self
    }

    /// Writes the canonical line of each request (as it does unless told otherwise), or leaves that to somebody
    /// in front.
    pub fn canonical_lines(mut self, write: bool) -> Self {
        self.lines = write;
        self
    }

    /// Puts a layer into the slot `identity`: who asks, and on whose behalf? It sees a request that is alive and
    /// not too large; the tenant that it sets is true for everything below and stands in the canonical line. Of
    /// several the first sees a request first. See [`slots`](super::slots).
    pub fn identity<L>(mut self, layer: L) -> Self
    where
        L: Layer<Rest, Service: Around> + Send + Sync + 'static,
    {
        self.slots.identity(layer);
        self
    }

    /// Puts a layer into the slot `handler`, directly around the routes. Of several the first sees a request
    /// first. A layer that is wanted around some routes only belongs into the router: `Router::layer`.
    pub fn handler<L>(mut self, layer: L) -> Self
    where
        L: Layer<Rest, Service: Around> + Send + Sync + 'static,
    {
        self.slots.handler(layer);
        self
    }

    /// Requests with these paths (as routes are written: `/reports/{id}`; a gRPC method is `/film.Ratings/Get`) belong
    /// to the class `name`: they have a limit and a line of their own, and `[server.classes.NAME]` says which. What is
    /// slow on purpose, a report or a long poll, then neither fills the limit of what is fast nor teaches it that all
    /// is slow.
    pub fn class(mut self, name: &str, paths: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.named.class(name, paths.into_iter().map(Into::into).collect());
        self
    }

    /// Requests with these paths are so important: where strangers come in, exactly so; from services of ours, at
    /// most.
    pub fn criticality(
        mut self,
        criticality: Criticality,
        paths: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.named.criticality(criticality, paths.into_iter().map(Into::into).collect());
        self
    }

    /// Answers browsers of other origins as `cors` says; of several the last counts. It stands around all that asks who
    /// calls (`server.bearer`, `server.allow`, the slot `identity`): a browser asks first whether it may, and shows no
    /// credentials with that (the Fetch standard's preflight), and a page may read a refusal only if `cors` lets it; what
    /// the server itself refuses too, and that first question takes no place of `server.policy`. Routes only.
    pub fn cors(mut self, cors: CorsLayer) -> Self {
        self.cors = Some(cors);
        self
    }

    /// Compresses replies with gzip for callers that accept it. Routes only.
    #[cfg(feature = "compression")]
    pub fn compression(self) -> Self {
        self.around(|routes| routes.layer(tower_http::compression::CompressionLayer::new()))
    }

    /// Hides the values of these headers wherever a request is printed. Routes only.
    pub fn sensitive_headers(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        let layer = SetSensitiveRequestHeadersLayer::new(names);
        self.around(|routes| routes.layer(layer))
    }

    fn around(mut self, wrap: impl FnOnce(Router) -> Router) -> Self {
        if let Serving::Routes(routes) = self.serving {
            self.serving = Serving::Routes(wrap(routes));
        }
        self
    }
}

impl Serve for Server {
    fn bind<'a>(&'a mut self, app: &'a App) -> Boxed<'a, Result<Bound>> {
        Box::pin(async move {
            let config = Config::of(app)?;
            let (secured, refresh) = Acceptor::open(app, &config.tls, tls::SERVER)?.unzip();
            if let Some(asking) = bearer::open(app, &config.bearer)? {
                self.slots.identity_first(asking);
            }
            let lists = Lists::new(&config.allow);
            lists.check(self.serving.routes(), self.dialect.as_deref()).await?;
            let listener = Listener::bind(&config.listen).await;
            let listener = listener.map_err(|error| of_the_key(app, "server.listen", &error))?;
            let address = listener.local_addr();
            let (guards, paths) = self.named.guards(app, &config.policy, &config.classes)?;
            Servers::of(app).add(&guards);
            let (shown, metrics) = (Arc::clone(&guards), app.metrics().clone());
            Views::of(app)
                .add("stack", move || serde_json::json!({ "server": NAME, "layers": shown.describe() }));
            let watched = Arc::clone(&guards);
            app.spawn("server pressure", OnDeath::Restart, move |drain| {
                let watch = Arc::clone(&watched).watch(metrics.clone());
                async move {
                    // Asked after the last request, so a drain is watched too.
                    tokio::select! {
                        () = watch => {}
                        () = drain.asked() => {}
                    }
                    Ok(())
                }
            });
            let tls = secured.is_some();
            let crossing = self.cors.clone().filter(|_| self.serving.routes().is_some()).map(Crossing);
            self.bound = Some(Ready {
                listener,
                observer: Observer::new(app, self.lines, self.dialect.take(), scheme(&config.tls)),
                settings: Settings {
                    trust: config.trust,
                    show: Show::new(&config.show),
                    asks_below: self.slots.has_identity(),
                    crossed: crossing.is_some(),
                    quota: quota(&config.policy.rate_limit),
                    guards,
                    paths: Arc::new(paths),
                    body: config.limits.body,
                    body_idle: config.times.body_idle,
                },
                connections: Connections::new(config.limits, config.times).secured(secured),
                refresh,
                lists,
                crossing,
                app: app.clone(),
            });
            Ok(Bound { name: NAME.to_owned(), address, protocol: self.protocol.to_owned(), tls })
        })
    }

    fn serve(self: Box<Self>, drain: Drain, grace: Duration) -> Boxed<'static, Result<Served>> {
        let Server { serving, cors, slots, bound, .. } = *self;
        let Some(ready) = bound else {
            let error =
                Error::new(ErrorKind::Internal, "a server serves only after it has taken its address");
            return Box::pin(async { Err(error) });
        };
        let door = ready.door();
        match serving {
            Serving::Routes(routes) => {
                let note = |lists| NoteRoute::new(ready.observer.routes(), lists);
                let learned = Arc::new(Learned::default());
                let noting = routes.clone().layer(note(ready.lists.clone()).teaching(&learned));
                // Where identities are found out above the routes, it has to stand above that; else it stands in them,
                // and what it answers has a route.
                let (inside, outside) = if slots.has_identity() { (None, cors) } else { (cors, None) };
                let (noting, plain) = match inside {
                    Some(cors) => {
                        (noting.layer(cors.clone()).layer(note(Lists::default())), routes.layer(cors))
                    }
                    None => (noting, routes),
                };
                // `with_state` makes services of all handlers now; axum would do it, layer included, per request.
                let noting = noting.with_state(());
                if slots.is_empty() {
                    let edge = Edge::new(noting, plain.with_state(()), learned);
                    return Box::pin(ready.serve(edge, drain, grace));
                }
                let rest = Rest::routes(noting);
                Box::pin(ready.serve(Whole(slots.around(rest, door, outside)), drain, grace))
            }
            Serving::Service(service) if slots.is_empty() => service.begin(ready, drain, grace),
            Serving::Service(service) => {
                Box::pin(ready.serve(Whole(slots.around(service.rest(), door, None)), drain, grace))
            }
        }
    }
}

impl Ready {
    /// Where the guards are asked, if not by the page.
    fn door(&self) -> Option<Door> {
        let Settings { guards, paths, asks_below, .. } = &self.settings;
        asks_below.then(|| Door { guards: Arc::clone(guards), paths: Arc::clone(paths) })
    }

    fn serve<S: Answer>(
        self,
        service: S,
        drain: Drain,
        grace: Duration,
    ) -> impl Future<Output = Result<Served>> + Send {
        let stack = Stack::new(self.observer, self.app.identity().clone(), self.settings, service);
        async move {
            let answer = move |mut request: Request<_>, peer: &Peer| {
                let trust = stack.meet(&mut request, peer);
                stack.clone().answer(request, trust)
            };
            let (connections, listener) = (self.connections, self.listener);
            let serving = match self.crossing {
                None => Either::Left(connections.serve(listener, drain, grace, answer)),
                Some(crossing) => {
                    let answer = move |request: Request<_>, peer: &Peer| {
                        let crossed = crossing.of(&request);
                        let answered = answer(request, peer);
                        async move {
                            match crossed {
                                None => answered.await,
                                Some(crossed) => crossed.told(answered.await).await,
                            }
                        }
                    };
                    Either::Right(connections.serve(listener, drain, grace, answer))
                }
            };
            let served = match self.refresh {
                None => serving.await,
                Some(refresh) => tokio::select! {
                    served = serving => served,
                    never = refresh.run() => match never {},
                },
            };
            Ok(Served { cut: served.cut })
        }
    }
}

/// A service whose type is known here and nowhere else.
trait Begin: Send + Sync {
    fn begin(self: Box<Self>, ready: Ready, drain: Drain, grace: Duration) -> Boxed<'static, Result<Served>>;

    /// The service below slots.
    fn rest(self: Box<Self>) -> Rest;
}

impl<S> Begin for Whole<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    fn begin(self: Box<Self>, ready: Ready, drain: Drain, grace: Duration) -> Boxed<'static, Result<Served>> {
        Box::pin(ready.serve(*self, drain, grace))
    }

    fn rest(self: Box<Self>) -> Rest {
        Rest::service(self.0)
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

fn scheme(tls: &TlsConfig) -> &'static str {
    SCHEMES[usize::from(!tls.is_off())]
}

/// `q` requests in `w` seconds, as draft-ietf-httpapi-ratelimit-headers writes it.
fn quota(rate: &PerTenant) -> Option<HeaderValue> {
    let (requests, window) = if rate.per_second >= 1.0 {
        (rate.per_second.floor() as u64, 1)
    } else {
        (1, (1.0 / rate.per_second).ceil() as u64)
    };
    HeaderValue::try_from(format!("\"tenant\";q={requests};w={window}")).ok()
}

/// What the address is called in the registry and by [`App::address`].
const NAME: &str = "http";
/// What a client should speak unless it knows better.
const PROTOCOL: &str = "http1";
