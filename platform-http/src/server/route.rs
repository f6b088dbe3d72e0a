//! Which route matched?
//!
//! axum tells it to what stands inside the router only. So the router gets one layer of ours, which notes the
//! route's number on the request's [`Notes`](platform_core::context::Notes); all else of the stack stands
//! outside. The number of a route is found out once per route and then remembered.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    task::{self, Poll},
};

use arc_swap::ArcSwap;
use axum::extract::MatchedPath;
use http::Request;
use platform_core::context;
use tower_service::Service;

/// The routes of one server, in the order in which they were first asked for; number 0 is no route.
#[derive(Clone)]
pub(super) struct Routes<T> {
    known: Arc<ArcSwap<Vec<Arc<T>>>>,
    adding: Arc<Mutex<()>>,
    make: Arc<dyn Fn(&str) -> T + Send + Sync>,
}

impl<T> Routes<T> {
    pub(super) fn new(make: impl Fn(&str) -> T + Send + Sync + 'static) -> Self {
        let none = Arc::new(make(""));
        Routes { known: Arc::new(ArcSwap::from_pointee(vec![none])), adding: Arc::default(), make: Arc::new(make) }
    }

    /// What belongs to the route of this number.
    pub(super) fn of(&self, number: u32) -> Arc<T> {
        let known = self.known.load();
        Arc::clone(known.get(number as usize).unwrap_or(&known[0]))
    }

    fn add(&self, path: &str) -> u32 {
        let _one_at_a_time = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let mut routes = Vec::clone(&self.known.load());
        routes.push(Arc::new((self.make)(path)));
        let number = routes.len() - 1;
        self.known.store(Arc::new(routes));
        u32::try_from(number).unwrap_or(0)
    }
}

/// Gives every route of a router a place to note its number.
#[derive(Clone)]
pub(super) struct NoteRoute<T> {
    routes: Routes<T>,
}

impl<T> NoteRoute<T> {
    pub(super) fn new(routes: &Routes<T>) -> Self {
        NoteRoute { routes: routes.clone() }
    }
}

impl<S, T> tower_layer::Layer<S> for NoteRoute<T>
where
    Routes<T>: Clone,
{
    type Service = Noted<S, T>;

    fn layer(&self, inner: S) -> Noted<S, T> {
        Noted { inner, routes: self.routes.clone(), number: Arc::default() }
    }
}

/// One route's service; the number is shared by the clones that axum makes for each request.
#[derive(Clone)]
pub(super) struct Noted<S, T> {
    inner: S,
    routes: Routes<T>,
    number: Arc<OnceLock<u32>>,
}

impl<S, T, B> Service<Request<B>> for Noted<S, T>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        // The same handler under two paths is two routes in the router, and two of these; only what a nested
        // fallback answers has no path.
        if let Some(path) = request.extensions().get::<MatchedPath>() {
            let number = *self.number.get_or_init(|| self.routes.add(path.as_str()));
            context::with_current(|context| {
                if let Some(notes) = context.notes() {
                    notes.set_route(number);
                }
            });
        }
        self.inner.call(request)
    }
}
