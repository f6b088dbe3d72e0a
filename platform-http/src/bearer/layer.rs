//! The layer of a server that asks for tokens, and the keys that it goes by.

use std::{
    convert::Infallible,
    future::{Future, ready},
    pin::Pin,
    sync::Arc,
    task,
};

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use platform_core::{App, Error, ErrorKind, Result, call::Call as _, context::Tenant, lifecycle::OnDeath};
use tower_layer::Layer;
use tower_service::Service;

use super::{Bearer, BearerConfig, Tokens, check::Checks, keys};
use crate::{
    Body,
    layers::Rest,
    problem::{self, challenge},
    rotation::{self, Rotation},
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
    let rotation = Rotation::of(&config.keys);
    let found = keys::load(&config.keys).map_err(|wrong| Error::new(ErrorKind::Start, wrong))?;
    let checks = ArcSwap::from_pointee(Checks::new(config, found));
    let asking = Asking(Arc::new(Inner { checks, config: config.clone() }));
    let refresh = Refresh { asking: asking.clone(), app: app.clone(), rotation };
    app.spawn("bearer keys", OnDeath::Restart, move |drain| {
        let refresh = refresh.clone();
        async move {
            tokio::select! {
                never = refresh.run() => match never {},
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
    rotation: Rotation,
}

impl Refresh {
    async fn run(mut self) -> Infallible {
        rotation::each_second(|| self.look()).await
    }

    fn look(&mut self) {
        let config = &self.asking.0.config;
        let found = self.rotation.look("the keys from before stay in force", || keys::load(&config.keys));
        if let Some(found) = found {
            let what = format!("{}: its files were read again; {} keys", keys::KEYS, found.len());
            self.asking.0.checks.store(Arc::new(Checks::new(config, found)));
            rotation::tell(&self.app, &what);
        }
    }
}

fn token(authorization: &HeaderValue) -> Option<&str> {
    let text = authorization.to_str().ok()?;
    let (scheme, token) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_ascii())
}

const LAYER: &str = "bearer";
