//! Admin: the listener, its paths and their rights.

use std::{fmt, sync::Arc, time::Duration};

use axum::{
    Router, middleware,
    routing::{delete, get, post, put},
};
use platform_core::{
    App, Error, ErrorKind, Result,
    app::{Bound, Boxed, Serve, Served, Stage},
    lifecycle::Drain,
};

use super::{
    access::{Door, Right, host_part},
    answer::{answer, guard, not_found, wrong_method},
    changes,
    config::Config,
    console, drain, faults, health,
    in_force::InForce,
    info, log_filter, metrics, switches,
    tokens::Tokens,
    views::Views,
    zones,
};
use crate::{
    asking::Asker,
    console::Console,
    server::{Connections, Limits, Listener, Times, of_the_key},
    tls::{self, Acceptor, Refresh},
};

/// The admin listener of one process.
#[must_use]
pub struct Admin {
    config: Config,
    bound: Option<Ready>,
}

/// What was made when the address was taken.
struct Ready {
    listener: Listener,
    connections: Connections,
    refresh: Option<Refresh>,
    desk: Desk,
}

/// What the paths are answered from; cheap to clone.
#[derive(Clone)]
pub(super) struct Desk(Arc<Inner>);

pub(super) struct Inner {
    pub(super) app: App,
    pub(super) views: Arc<Views>,
    pub(super) in_force: InForce,
    pub(super) door: Door,
    pub(super) tokens: Option<Tokens>,
    pub(super) console: Console,
}

impl Admin {
    /// The admin listener of this process, as `[admin]` says.
    ///
    /// # Errors
    /// A section that cannot be meant. That the address is taken or the token file unreadable is found when the
    /// process starts.
    pub fn new(app: &App) -> Result<Self> {
        let config: Config = app.config().section(SECTION)?;
        app.config().check(SECTION, &config)?;
        Ok(Admin { config, bound: None })
    }
}

impl Serve for Admin {
    fn bind<'a>(&'a mut self, app: &'a App) -> Boxed<'a, Result<Bound>> {
        Box::pin(async move {
            let config = &self.config;
            let tokens = match config.token_file.as_str() {
                "" => None,
                path => Some(Tokens::open(path)?),
            };
            let (secured, refresh) = Acceptor::open(app, &config.tls, tls::ADMIN)?.unzip();
            let asker = Asker::new(config.fleet.clone());
            asker.check().map_err(|error| Error::new(ErrorKind::Start, error.detail().to_owned()))?;
            let listener = Listener::bind(&config.listen).await;
            let listener = listener.map_err(|error| of_the_key(app, "admin.listen", &error))?;
            let address = listener.local_addr();
            let tls = secured.is_some();
            let door = Door {
                bound: address,
                name: host_part(&config.listen).to_owned(),
                pod_ip: app.pod_ip(),
                has_tokens: tokens.is_some(),
                peers: config.peers.clone(),
                secure: tls,
            };
            let views = Views::of(app);
            let told = console::Told { app: app.clone(), views: Arc::clone(&views) };
            let desk = Desk(Arc::new(Inner {
                console: Console::new(app, told, asker, tls),
                views,
                in_force: InForce::new(app.changes().clone()),
                app: app.clone(),
                door,
                tokens,
            }));
            let connections = Connections::new(limits(), times()).secured(secured);
            self.bound = Some(Ready { listener, connections, refresh, desk });
            Ok(Bound { name: SECTION.to_owned(), address, protocol: PROTOCOL.to_owned(), tls })
        })
    }

    fn serve(self: Box<Self>, drain: Drain, grace: Duration) -> Boxed<'static, Result<Served>> {
        Box::pin(async move {
            let Some(Ready { listener, connections, refresh, desk }) = self.bound else {
                return Err(Error::new(
                    ErrorKind::Internal,
                    "a server serves only after it has taken its address",
                ));
            };
            let routes = routes(&desk);
            let inner = desk.clone();
            inner.console.until(&drain);
            let answer = move |request, peer: &crate::server::Peer| {
                answer(routes.clone(), desk.clone(), request, peer.clone())
            };
            let serving = connections.serve(listener, drain, grace.min(GRACE), answer);
            let refreshing = async {
                match refresh {
                    Some(refresh) => refresh.run().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                served = serving => Ok(Served { cut: served.cut }),
                never = refreshing => match never {},
                never = inner.in_force.run() => match never {},
                never = inner.console.run() => match never {},
            }
        })
    }

    fn stage(&self) -> Stage {
        Stage::Admin
    }
}

impl std::ops::Deref for Desk {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("config", &self.config).finish_non_exhaustive()
    }
}

/// The paths, each behind its right. A path that does not exist is nobody's secret.
fn routes(desk: &Desk) -> Router {
    let open = Router::new()
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/startupz", get(health::started))
        .route("/metrics", get(metrics::scrape))
        .route("/platform/pulse", get(console::pulse))
        .route("/", get(console::root));
    let read = Router::new()
        .route("/platform/state", get(console::state))
        .route("/platform/stream", get(console::stream))
        .route("/platform/fleet", get(console::fleet))
        .route("/platform/info", get(info::info))
        .route("/platform/config", get(info::config))
        .route("/platform/changes", get(changes::latest))
        .route("/platform/{view}", get(info::view));
    let change = Router::new()
        .route("/platform/changes/{id}", delete(changes::undo))
        .route("/platform/log", put(log_filter::put))
        // Reading stands here too, because one path has one guard; it asks no name of who only reads.
        .route("/platform/faults", get(faults::list).post(faults::start).delete(faults::stop_all))
        .route("/platform/faults/{name}", delete(faults::stop))
        .route("/platform/modes/{guard}", put(switches::mode))
        .route("/platform/modes/server/{guard}", put(switches::server_mode))
        .route("/platform/breakers/{target}", put(switches::breaker))
        .route("/platform/policy/{client}", put(switches::policy))
        .route("/platform/zones/{zone}", put(zones::evacuate))
        .route("/platform/drain", post(drain::post));
    let guarded = |right| middleware::from_fn_with_state((desk.clone(), right), guard);
    let behind = |routes: Router<Desk>, right| {
        routes.method_not_allowed_fallback(wrong_method).route_layer(guarded(right))
    };
    let strange = Router::new().fallback(not_found).layer(guarded(Right::Open));
    behind(open, Right::Open)
        .merge(behind(read, Right::Read))
        .merge(behind(change, Right::Change))
        .merge(strange)
        .with_state(desk.clone())
}

fn limits() -> Limits {
    Limits { headers: HEADERS, connections: CONNECTIONS, ..Limits::default() }
}

fn times() -> Times {
    Times { connection_age: None, ..Times::default() }
}

/// The section, and the name of the address.
const SECTION: &str = "admin";
const PROTOCOL: &str = "http1";
/// Probes, scrapers and a few people; beyond that somebody is being impolite.
const CONNECTIONS: u32 = 256;
/// A token, a name, and what a browser adds.
const HEADERS: u64 = 16 * 1024;
/// A probe or a scrape under way ends in this; the process is about to exit and must not wait for a slow reader.
const GRACE: Duration = Duration::from_millis(200);
