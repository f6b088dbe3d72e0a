//! Whom do routes serve, as a file says it?
//!
//! `[server.allow]` names routes as the router writes them, and a gRPC method by its path; who is on a list, and what
//! becomes of others, [`allow`](crate::allow()) says. A list is asked where the router has found the route, so that
//! no other reading of a path gets past it.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};

use axum::{Router, body::Body, extract::MatchedPath, response::Response};
use http::Request;
use platform_core::{Error, Result, config::Refusal};
use tower_layer::layer_fn;
use tower_service::Service;

use super::dialect::Dialect;
use crate::allow::{Allow, Name, allow};

/// Names by route: `[server.allow]`.
pub(super) type AllowConfig = BTreeMap<String, Vec<String>>;

/// The lists of one server by the path that they are written under.
#[derive(Clone, Debug, Default)]
pub(super) struct Lists(Arc<BTreeMap<String, Allow>>);

/// The lists of one route.
#[derive(Clone, Debug, Default)]
pub(super) struct OfRoute {
    /// Its own.
    whole: Option<Allow>,
    /// Those of single methods of a gRPC service, by path; they count instead of its own.
    methods: BTreeMap<String, Allow>,
}

impl Lists {
    pub(super) fn new(config: &AllowConfig) -> Self {
        let lists =
            config.iter().map(|(path, names)| (path.clone(), allow(names.iter().map(String::as_str))));
        Lists(Arc::new(lists.collect()))
    }

    /// Those that belong to the route of this template; `None` if it serves everybody.
    pub(super) fn of(&self, template: &str) -> Option<OfRoute> {
        let whole = self.0.get(template).cloned();
        let methods: BTreeMap<_, _> = match template.strip_suffix(METHOD) {
            Some(service) => {
                let under = self.0.iter().filter(|(path, _)| is_method_of(path, service));
                under.map(|(path, list)| (path.clone(), list.clone())).collect()
            }
            None => BTreeMap::new(),
        };
        (whole.is_some() || !methods.is_empty()).then_some(OfRoute { whole, methods })
    }

    /// Refuses a list of a route that is not there: a slip of the pen would leave the route that was meant open.
    ///
    /// # Errors
    /// Every list that belongs to nothing.
    pub(super) async fn check(&self, routes: Option<&Router>, dialect: Option<&dyn Dialect>) -> Result<()> {
        let mut unknown = Vec::new();
        let probes = routes.filter(|_| !self.0.is_empty()).map(probes);
        for path in self.0.keys() {
            let matched = match &probes {
                Some(probes) => matched(probes, path).await,
                None => None,
            };
            let known = match matched.as_deref() {
                Some(template) if template == path => true,
                // Its methods have no routes of ours; what the protos say of them does.
                Some(template) => {
                    let service = template.strip_suffix(METHOD).filter(|service| is_method_of(path, service));
                    service.is_some() && dialect.is_some_and(|dialect| dialect.knows(path).unwrap_or(true))
                }
                None => false,
            };
            if !known {
                let found = matched.map(|template| format!(" (it would be answered by `{template}`)"));
                unknown.push(format!("`{path}`{}", found.unwrap_or_default()));
            }
        }
        if unknown.is_empty() {
            return Ok(());
        }
        Err(Error::config(format!(
            "`server.allow` has a list for {}, and this server has no such route; write it as the router does, with its \
             braces, and a gRPC method as in /film.Ratings/Get, or take it away",
            unknown.join(", ")
        )))
    }
}

impl OfRoute {
    /// The list that counts for this path.
    pub(super) fn list(&self, path: &str) -> Option<&Allow> {
        if self.methods.is_empty() {
            return self.whole.as_ref();
        }
        self.methods.get(path).or(self.whole.as_ref())
    }
}

/// What can be wrong with the lists themselves. `tokens` and `certificates`: may callers show any?
pub(super) fn refusals(config: &AllowConfig, tokens: bool, certificates: bool) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    for (path, names) in config {
        let key = match path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\')) {
            true => format!("allow.\"{path}\""),
            // What no part of a key can be quoted as is told by the section.
            false => "allow".to_owned(),
        };
        let mut wrong = |why: String| refusals.push(Refusal::new(&*key, why));
        if !path.starts_with('/') {
            wrong("is no path; it begins with `/`".to_owned());
        }
        if names.is_empty() {
            wrong("is an empty list, and nobody could ask for it; take the route away instead".to_owned());
        }
        for name in names {
            match Name::of(name) {
                Name::Peer(_) if !certificates => wrong(format!(
                    "lets in {name:?}, which a certificate would have to say, and `server.tls.client_ca` is not set; \
                     a token's are `sub:NAME` and `scope:NAME`"
                )),
                Name::Subject(_) | Name::Scope(_) if !tokens => wrong(format!(
                    "lets in {name:?}, which a token would have to say, and `server.bearer` is not set"
                )),
                Name::Peer("") | Name::Subject("") | Name::Scope("") => {
                    wrong(format!("has {name:?}, which is nobody"));
                }
                Name::Scope(scope) if !is_scope(scope) => {
                    wrong(format!("has {name:?}: a scope is printable, without spaces and quotes"));
                }
                _ => {}
            }
        }
    }
    refusals
}

/// RFC 6749, section 3.3.
fn is_scope(scope: &str) -> bool {
    scope.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'))
}

fn is_method_of(path: &str, service: &str) -> bool {
    path.strip_prefix(service).is_some_and(|method| !method.is_empty() && !method.contains(['/', '{']))
}

/// The same routes, each of which only says which one it is: nothing of a team's runs.
fn probes(routes: &Router) -> Router {
    routes.clone().layer(layer_fn(|_| Probe)).with_state(())
}

/// The template that the router finds for a request with the path that `written` stands for.
async fn matched(probes: &Router, written: &str) -> Option<String> {
    let request = Request::builder().uri(example(written)).body(Body::empty()).ok()?;
    let reply = probes.clone().call(request).await.unwrap_or_else(|never| match never {});
    reply.extensions().get::<Found>().map(|found| found.0.clone())
}

/// `/films/{id}/{*rest}` as a request would ask for it.
fn example(written: &str) -> String {
    let mut example = String::new();
    let mut rest = written;
    while let Some((before, after)) = rest.split_once('{') {
        example.push_str(before);
        example.push('x');
        rest = after.split_once('}').map_or("", |(_, after)| after);
    }
    example + rest
}

/// The route that a probe met.
#[derive(Clone)]
struct Found(String);

/// Stands in the place of every route and says which one it is.
#[derive(Clone)]
struct Probe;

impl Service<Request<Body>> for Probe {
    type Response = Response;
    type Error = Infallible;
    type Future = Ready<Result<Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let mut reply = Response::new(Body::empty());
        if let Some(path) = request.extensions().get::<MatchedPath>() {
            reply.extensions_mut().insert(Found(path.as_str().to_owned()));
        }
        ready(Ok(reply))
    }
}

/// What a gRPC service's route ends with (platform-grpc writes it so).
const METHOD: &str = "{method}";

#[cfg(test)]
mod tests {
    use axum::routing::{get, post};

    use super::*;

    fn lists(paths: &[&str]) -> Lists {
        Lists::new(&paths.iter().map(|path| ((*path).to_owned(), vec!["sub:ann".to_owned()])).collect())
    }

    #[tokio::test]
    async fn a_list_of_a_route_that_is_not_there_is_refused() {
        async fn handler() -> &'static str {
            panic!("a probe runs no handler")
        }
        let routes: Router = Router::new()
            .route("/films/{id}", get(handler))
            .route("/files/{*path}", get(handler))
            .route("/refunds", post(handler))
            .nest("/v2", Router::new().route("/films", get(handler)))
            .route("/film.Ratings/{method}", post(handler))
            .fallback(handler);
        let check = async |path: &str| {
            lists(&[path]).check(Some(&routes), None).await.map_err(|error| error.to_string())
        };
        for known in ["/films/{id}", "/files/{*path}", "/refunds", "/v2/films", "/film.Ratings/{method}"] {
            assert_eq!(check(known).await, Ok(()), "{known}");
        }
        // The last is a method, and nothing else than HTTP is spoken.
        for unknown in [
            "/film/{id}",
            "/films",
            "/films/7",
            "/films/{name}",
            "/refunds/",
            "/v2",
            "/{x}",
            "/film.Ratings/Get",
        ] {
            let told = check(unknown).await.unwrap_err();
            assert!(told.contains(&format!("`{unknown}`")), "{told}");
        }
        assert!(check("/films/7").await.unwrap_err().contains("answered by `/films/{id}`"));
        assert!(lists(&["/refunds"]).check(None, None).await.is_err(), "a service of its own has no routes");
    }

    #[test]
    fn a_method_s_list_counts_instead_of_its_services() {
        let lists = lists(&["/film.Ratings/{method}", "/film.Ratings/Put", "/films/{id}"]);
        let ratings = lists.of("/film.Ratings/{method}").unwrap();
        assert!(ratings.methods.contains_key("/film.Ratings/Put") && ratings.methods.len() == 1);
        assert!(ratings.list("/film.Ratings/Put").is_some() && ratings.list("/film.Ratings/Get").is_some());
        assert!(lists.of("/films/{id}").is_some_and(|films| films.methods.is_empty()));
        assert!(lists.of("/films").is_none() && lists.of("/film.Other/{method}").is_none());
    }

    #[test]
    fn names_that_nobody_could_show_are_refused() {
        let told = |names: &[&str], tokens, certificates| {
            let config = [("/a".to_owned(), names.iter().map(ToString::to_string).collect())].into();
            refusals(&config, tokens, certificates).len()
        };
        assert_eq!(told(&["spiffe://shop/a", "sub:ann", "scope:a.b"], true, true), 0);
        assert_eq!(told(&["spiffe://shop/a"], true, false), 1);
        assert_eq!(told(&["sub:ann", "scope:a"], false, true), 2);
        assert_eq!(told(&[], true, true), 1);
        assert_eq!(told(&["", "sub:", "scope:", "scope:a b", "scope:a\""], true, true), 5);
        assert_eq!(refusals(&[("films".to_owned(), vec!["sub:ann".to_owned()])].into(), true, true).len(), 1);
    }
}
