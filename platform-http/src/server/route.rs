//! Which route matched?
//!
//! axum tells it to what stands inside the router only. So the router gets one layer of ours, which notes the
//! route's number on the request's [`Notes`](platform_core::context::Notes); all else of the stack stands
//! outside. The number of a route is found out once per route and then remembered; so is whom it serves. A path without
//! parameters that serves everybody is [learned](Learned), and goes without that layer from then on.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{Arc, OnceLock},
    task::{self, Poll},
};

use axum::{
    body::Body,
    extract::{DefaultBodyLimit, MatchedPath},
    response::Response,
};
use futures_util::future::Either;
use http::Request;
use http_body::Body as _;
use platform_core::context;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    allow::{Lists, OfRoute},
    grown::Grown,
    learned::Learned,
};
use crate::allow::Refusal;

/// The routes of one server, in the order in which they were first asked for; number 0 is no route.
pub(super) struct Routes<T>(Arc<Known<T>>);

struct Known<T> {
    none: T,
    routes: Grown<(Box<str>, T)>,
    make: Box<dyn Fn(&str) -> T + Send + Sync>,
}

impl<T> Routes<T> {
    pub(super) fn new(make: impl Fn(&str) -> T + Send + Sync + 'static) -> Self {
        Routes(Arc::new(Known { none: make(""), routes: Grown::default(), make: Box::new(make) }))
    }

    /// What belongs to the route of this number.
    pub(super) fn of(&self, number: u32) -> &T {
        let index = number.checked_sub(1);
        let route = index.and_then(|index| self.0.routes.get(index as usize));
        route.map_or(&self.0.none, |(_, route)| route)
    }

    /// The number of the route of this path; one path is one route, however many methods it has.
    fn number(&self, path: &str) -> u32 {
        let make = || (Box::from(path), (self.0.make)(path));
        let (index, _) = self.0.routes.find_or_add(|(known, _)| **known == *path, make);
        u32::try_from(index + 1).unwrap_or(0)
    }
}

impl<T> Clone for Routes<T> {
    fn clone(&self) -> Self {
        Routes(Arc::clone(&self.0))
    }
}

/// Gives every route of a router a place to note its number.
pub(super) struct NoteRoute<T> {
    routes: Routes<T>,
    lists: Lists,
    learned: Option<Arc<Learned>>,
}

impl<T> Clone for NoteRoute<T> {
    fn clone(&self) -> Self {
        NoteRoute { routes: self.routes.clone(), lists: self.lists.clone(), learned: self.learned.clone() }
    }
}

impl<T> NoteRoute<T> {
    pub(super) fn new(routes: &Routes<T>, lists: Lists) -> Self {
        NoteRoute { routes: routes.clone(), lists, learned: None }
    }

    /// The same, which tells which paths need nothing of it any more.
    pub(super) fn teaching(self, learned: &Arc<Learned>) -> Self {
        NoteRoute { learned: Some(Arc::clone(learned)), ..self }
    }
}

impl<T> NoteRoute<T> {
    /// What is to be known of the route `route`, which `path` was the first to ask for.
    fn find(&self, route: &str, path: &str) -> Found {
        let (number, serves) = (self.routes.number(route), self.lists.of(route));
        // Which route a path matches does not change, and one that is the path itself is asked for as nothing else.
        if let (Some(learned), None, true) = (&self.learned, &serves, route == path) {
            learned.learn(path, number);
        }
        Found { number, serves }
    }
}

impl<S, T> Layer<S> for NoteRoute<T> {
    type Service = Noted<S, T>;

    fn layer(&self, inner: S) -> Noted<S, T> {
        Noted { inner, route: Arc::new(OfOne { of: self.clone(), found: OnceLock::new() }) }
    }
}

/// One route's service; what is known of it is shared by the clones that axum makes for each request.
pub(super) struct Noted<S, T> {
    inner: S,
    route: Arc<OfOne<T>>,
}

struct OfOne<T> {
    of: NoteRoute<T>,
    found: OnceLock<Found>,
}

/// What is found out of a route once.
struct Found {
    number: u32,
    /// Whom it serves, if not everybody.
    serves: Option<OfRoute>,
}

impl<S: Clone, T> Clone for Noted<S, T> {
    fn clone(&self) -> Self {
        Noted { inner: self.inner.clone(), route: Arc::clone(&self.route) }
    }
}

impl<S, T> Noted<S, T> {
    /// Notes the route, and says who may not ask for it.
    fn meet(&self, request: &Request<Body>) -> Result<(), Box<Refusal>> {
        // The same handler under two paths is two routes in the router, and two of these; only what a nested
        // fallback answers has no path.
        let Some(path) = request.extensions().get::<MatchedPath>() else { return Ok(()) };
        let found = self.route.found.get_or_init(|| self.route.of.find(path.as_str(), request.uri().path()));
        context::with_current(|context| {
            if let Some(notes) = context.notes() {
                notes.set_route(found.number);
            }
        });
        match found.serves.as_ref().and_then(|serves| serves.list(request.uri().path())) {
            Some(list) => list.check(request.extensions()),
            None => Ok(()),
        }
    }
}

impl<S, T> Service<Request<Body>> for Noted<S, T>
where
    S: Service<Request<Body>, Response = Response, Error = Infallible> + Clone,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<S::Future, Ready<Result<Response, Infallible>>>;

    fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if let Err(refusal) = self.meet(&request) {
            return Either::Right(ready(Ok(refusal.reply())));
        }
        if request.body().is_end_stream() {
            return Either::Left(self.inner.call(request));
        }
        // Bodies are limited by server.limits.body, once; axum's own limit would be a second, smaller one. Its
        // switch costs an allocation, which only requests with a body pay.
        Either::Left(DefaultBodyLimit::disable().layer(self.inner.clone()).call(request))
    }
}
