//! The layer of a server that asks for tokens, and the keys that it goes by.

use std::{
    future::{Future, ready},
    pin::Pin,
    sync::Arc,
    task,
    time::Duration,
};

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use platform_core::{
    App, Error, ErrorKind, Result,
    app::{ChangeKind, PLATFORM},
    call::Call as _,
    context::Tenant,
    lifecycle::OnDeath,
};
use platform_discovery::{Stamp, tls::Wrong};
use tokio::time::MissedTickBehavior;
use tower_layer::Layer;
use tower_service::Service;

use super::{Bearer, BearerConfig, Tokens, check::Checks, keys};
use crate::{
    Body,
    layers::Rest,
    problem::{self, challenge},
};

/// What a server asks of its callers; cheap to clone.
#[derive(Clone)]
pub(crate) struct Asking(Arc<Inner>);

struct Inner {
    checks: ArcSwap<Checks>,
    config: BearerConfig,
}

/// The routes behind it.
#[derive(Clone)]
pub(crate) struct Asked {
    asking: Asking,
    rest: Rest,
}

/// The layer that `server.bearer` asks for; `None` where it asks for none. Its files are looked at once a second for as
/// long as the process serves.
///
/// # Errors
/// [`ErrorKind::Start`]: a file cannot be read or used.
pub(crate) fn open(app: &App, config: &BearerConfig) -> Result<Option<Asking>> {
    if config.is_off() {
        return Ok(None);
    }
    let stamps = stamps(config);
    let found = keys::load(&config.keys).map_err(|wrong| Error::new(ErrorKind::Start, wrong))?;
    let checks = ArcSwap::from_pointee(Checks::new(config, found));
    let asking = Asking(Arc::new(Inner { checks, config: config.clone() }));
    let refresh = Refresh { asking: asking.clone(), app: app.clone(), read: stamps, told: None };
    app.spawn("bearer keys", OnDeath::Restart, move |drain| {
        let refresh = refresh.clone();
        async move {
            tokio::select! {
                () = refresh.run() => {}
                () = drain.asked() => {}
            }
            Ok(())
        }
    });
    Ok(Some(asking))
}

impl Asking {
    /// Whom the request's token names; nobody, where none is required and there is none.
    fn whose(&self, headers: &HeaderMap) -> Result<Option<Bearer>, Why> {
        let mut shown = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (shown.next(), shown.next()) else {
            return match headers.contains_key(header::AUTHORIZATION) {
                true => Err(Why::Bad("two `authorization` headers: which one is meant?")),
                false if self.0.config.tokens == Tokens::Required => Err(Why::Missing),
                false => Ok(None),
            };
        };
        let Some(token) = token(value) else {
            return Err(Why::Bad("it is no bearer token: write `authorization: Bearer TOKEN`"));
        };
        self.0.checks.load().check(token).map(Some).map_err(Why::Bad)
    }
}

/// Why somebody is not let in.
enum Why {
    /// There is no token.
    Missing,
    /// There is one that is not good.
    Bad(&'static str),
}

impl Why {
    fn reply(self) -> Response<Body> {
        let (detail, error) = match self {
            Why::Missing => ("send a token: `authorization: Bearer TOKEN`".to_owned(), None),
            Why::Bad(why) => (format!("this token is not good: {why}"), Some(("invalid_token", why))),
        };
        let mut reply = problem::refused(Error::new(ErrorKind::Unauthenticated, detail).at_layer(LAYER));
        reply.headers_mut().insert(header::WWW_AUTHENTICATE, challenge(error, &[]));
        reply
    }
}

impl Layer<Rest> for Asking {
    type Service = Asked;

    fn layer(&self, rest: Rest) -> Asked {
        Asked { asking: self.clone(), rest }
    }
}

impl Service<Request<Body>> for Asked {
    type Response = Response<Body>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>>> + Send>>;

    fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> task::Poll<Result<()>> {
        self.rest.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let bearer = match self.asking.whose(request.headers()) {
            Ok(bearer) => bearer,
            Err(why) => return Box::pin(ready(Ok(why.reply()))),
        };
        if let Some(bearer) = bearer {
            self.asking.0.tell(&bearer, &mut request);
            request.extensions_mut().insert(bearer);
        }
        // Whoever prints the request prints no token.
        if let Some(value) = request.headers_mut().get_mut(header::AUTHORIZATION) {
            value.set_sensitive(true);
        }
        Box::pin(self.rest.call(request))
    }
}

impl Inner {
    fn tell(&self, bearer: &Bearer, request: &mut Request<Body>) {
        let context = request.context_mut();
        if let Some(notes) = context.notes() {
            notes.add("subject", bearer.subject().to_owned());
        }
        let named = bearer.claim(&self.config.tenant).and_then(|tenant| tenant.as_str());
        if let Some(tenant) = named.and_then(Tenant::parse) {
            context.set_tenant(tenant);
        }
    }
}

/// Looks at the files and swaps what is in force.
#[derive(Clone)]
struct Refresh {
    asking: Asking,
    app: App,
    read: Vec<Option<Stamp>>,
    /// What was said last, so that it is said once and not every second.
    told: Option<Wrong>,
}

impl Refresh {
    async fn run(mut self) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            self.look();
        }
    }

    /// Short local files: asking for them elsewhere would take longer than reading them here.
    fn look(&mut self) {
        let config = &self.asking.0.config;
        let stamps = stamps(config);
        if stamps == self.read {
            return;
        }
        match keys::load(&config.keys) {
            Ok(found) => {
                let what = format!("{}: its files were read again; {} keys", keys::KEYS, found.len());
                self.asking.0.checks.store(Arc::new(Checks::new(config, found)));
                tracing::info!("{what}");
                self.app.changes().record(ChangeKind::Config, PLATFORM, &what, "the files changed");
                (self.read, self.told) = (stamps, None);
            }
            Err(wrong) => {
                if self.told.as_ref() != Some(&wrong) {
                    tracing::warn!("{wrong}; the keys from before stay in force until the files are mended");
                    self.told = Some(wrong);
                }
            }
        }
    }
}

fn stamps(config: &BearerConfig) -> Vec<Option<Stamp>> {
    config.keys.iter().map(|path| Stamp::of(path)).collect()
}

fn token(authorization: &HeaderValue) -> Option<&str> {
    let text = authorization.to_str().ok()?;
    let (scheme, token) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_ascii())
}

const LAYER: &str = "bearer";
/// Issuers announce keys long before they sign with them; a second is for the one who waits for it.
const LOOK: Duration = Duration::from_secs(1);
