//! How do we ask another process's admin listener?
//!
//! The fleet view does, and the command `platform`. Whether a listener speaks TLS is said by who registers it
//! (`admin_tls` in its record), because nobody else can know it of every instance; whom to believe then, and who we
//! are, is `admin.fleet`. Each asker has one line to each listener, which is kept while it is used.
//!
//! # Defaults
//! | setting | value | because |
//! |---|---|---|
//! | `admin.fleet.ca` | what this machine believes | only a company knows its own authority |
//! | `admin.fleet.cert`, `key` | none | most listeners ask for a token, or for nothing |
//! | `admin.fleet.server_name` | `{service}` | a service's certificate names the service, wherever it runs |
//!
//! # Traps
//! A record in a registry can be written by more people than may change a service. One that says cleartext would be
//! the way to a token: so where `admin.fleet.ca` is set, no token leaves this machine but over TLS.

mod config;
#[cfg(not(feature = "tls"))]
#[path = "plain.rs"]
mod secure;
#[cfg(feature = "tls")]
mod secure;
#[cfg(feature = "tls")]
mod why;

use std::{
    fmt,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, Uri, header, uri::PathAndQuery};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use platform_core::{Error, ErrorKind, Result};
use tokio::net::TcpStream;
use tower_service::Service;

pub use config::Config;

use secure::{Ours, Secure, Stream};

/// Who asks other admin listeners. Cheap to clone.
#[derive(Clone)]
pub struct Asker(Arc<Ours>);

/// The line to one admin listener. Cheap to clone; a connection stays open while it is used.
#[derive(Clone)]
pub struct Listener {
    client: legacy::Client<Way, Full<Bytes>>,
    at: Arc<str>,
    secure: bool,
    /// No token goes there.
    overheard: bool,
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "nobody shows a certificate"))]
    ours: Arc<Ours>,
}

impl Asker {
    /// Nothing is read before it is needed, or [`check`](Self::check)ed.
    pub fn new(config: Config) -> Self {
        Asker(Arc::new(Ours::new(config)))
    }

    /// Reads the files that are named, so that what is wrong with them is found at once.
    ///
    /// # Errors
    /// [`ErrorKind::Config`]: one of them cannot be read or used.
    pub fn check(&self) -> Result<()> {
        self.0.check()
    }

    /// The line to the listener of `service`, for which `admin` and `tls` are what its record says.
    ///
    /// # Errors
    /// [`ErrorKind::Config`]: its certificate could not have the name that is looked for, or this build has no TLS.
    pub fn instance(&self, service: &str, admin: SocketAddr, tls: bool) -> Result<Listener> {
        let name = tls.then(|| self.0.config().name_of(service));
        self.listener(&admin.to_string(), name.as_deref())
    }

    /// The line to the listener at a URL, `http://HOST:PORT` or `https://HOST:PORT`.
    ///
    /// # Errors
    /// As [`instance`](Self::instance), and a text that is no such URL.
    pub fn url(&self, url: &str) -> Result<Listener> {
        let (tls, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => (false, ""),
        };
        let at = rest.trim_end_matches('/');
        let authority = at.parse::<http::uri::Authority>().ok();
        let authority = authority.filter(|one| one.port().is_some() && !one.as_str().contains('@'));
        let authority = authority.ok_or_else(|| {
            Error::config(format!(
                "{url} is no admin listener; write http://HOST:PORT, or https://HOST:PORT where it speaks TLS, as the \
                 `admin` of its record in the registry says"
            ))
        })?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let name = tls.then(|| self.0.config().name_at(host));
        self.listener(at, name.as_deref())
    }

    fn listener(&self, at: &str, name: Option<&str>) -> Result<Listener> {
        let secure = name.map(|name| Secure::to(&self.0, name)).transpose()?;
        let overheard = secure.is_none() && self.0.config().insists() && !is_here(at);
        let at: Arc<str> = at.into();
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_max_idle_per_host(1).pool_idle_timeout(IDLE);
        Ok(Listener {
            secure: secure.is_some(),
            client: builder.build(Way { at: Arc::clone(&at), secure }),
            at,
            overheard,
            ours: Arc::clone(&self.0),
        })
    }
}

impl Listener {
    /// Asks once; how long that may take is the caller's business. The request's URI is a path.
    ///
    /// # Errors
    /// [`ErrorKind::Unreachable`]: there is no reply; the detail begins with the address and says why, and what to do.
    /// [`ErrorKind::Config`]: a file of `admin.fleet` cannot be used. [`ErrorKind::Forbidden`]: the request has a token,
    /// which others could read on its way.
    pub async fn ask(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>> {
        if self.overheard && request.headers().contains_key(header::AUTHORIZATION) {
            let why = "its record says that it speaks cleartext, in which no token is shown where `admin.fleet.ca` is set; \
                       give it a certificate (`admin.tls`), or ask on its own machine";
            return Err(Error::new(ErrorKind::Forbidden, format!("{}: {why}", self.at)));
        }
        *request.uri_mut() = self.absolute(request.uri())?;
        self.client.request(request).await.map_err(|error| self.explain(&error))
    }

    fn absolute(&self, path: &Uri) -> Result<Uri> {
        let path = path.path_and_query().map_or("/", PathAndQuery::as_str);
        let scheme = if self.secure { "https" } else { "http" };
        let uri = format!("{scheme}://{}{path}", self.at).parse();
        uri.map_err(|error| Error::new(ErrorKind::Usage, format!("{}{path}: {error}", self.at)))
    }

    fn explain(&self, error: &legacy::Error) -> Error {
        let mut cause: &(dyn std::error::Error + 'static) = error;
        let (mut told, mut no_http, mut ended) = (None, false, false);
        loop {
            if let Some(ours) = cause.downcast_ref::<Error>() {
                return ours.clone();
            }
            if let Some(hyper) = cause.downcast_ref::<hyper::Error>() {
                (no_http, ended) = (no_http || hyper.is_parse(), ended || hyper.is_incomplete_message());
            }
            told = told.or_else(|| if self.secure { self.tls_words(cause) } else { None });
            match cause.source() {
                Some(source) => cause = source,
                None => break,
            }
        }
        let what =
            if ended { "it closed the connection without an answer" } else { "what answers is no HTTP/1.1" };
        let why = match told {
            Some(told) => told,
            // An alert is no HTTP, and some close without one.
            None if (no_http || ended) && !self.secure => format!(
                "{what}; does it speak TLS? Then its record has to say so (`admin_tls`), or the address `https://`"
            ),
            None if no_http || ended => what.to_owned(),
            None => cause.to_string(),
        };
        unreachable(&self.at, &why)
    }

    /// In TLS 1.3 a server looks at our certificate when the request is on its way already.
    #[cfg(feature = "tls")]
    fn tls_words(&self, cause: &(dyn std::error::Error + 'static)) -> Option<String> {
        why::of(cause, self.ours.config())
    }

    #[cfg(not(feature = "tls"))]
    fn tls_words(&self, _: &(dyn std::error::Error + 'static)) -> Option<String> {
        None
    }
}

/// Dials one listener, whatever the URI says.
#[derive(Clone)]
struct Way {
    at: Arc<str>,
    secure: Option<Secure>,
}

impl Service<Uri> for Way {
    type Response = Stream;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Stream>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Way { at, secure } = self.clone();
        Box::pin(async move {
            let failed = |error: std::io::Error| unreachable(&at, &error.to_string());
            let tcp = TcpStream::connect(&*at).await.map_err(failed)?;
            tcp.set_nodelay(true).map_err(failed)?;
            match secure {
                Some(secure) => secure.around(TokioIo::new(tcp), &at).await,
                None => Ok(Stream::from(TokioIo::new(tcp))),
            }
        })
    }
}

impl fmt::Debug for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Asker").field(self.0.config()).finish()
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("at", &self.at).field("secure", &self.secure).finish_non_exhaustive()
    }
}

fn unreachable(at: &str, why: &str) -> Error {
    Error::new(ErrorKind::Unreachable, format!("{at}: {why}"))
}

/// What is said to this machine is heard by nobody else.
fn is_here(at: &str) -> bool {
    match at.parse::<SocketAddr>() {
        Ok(address) => address.ip().to_canonical().is_loopback(),
        Err(_) => at.rsplit_once(':').is_some_and(|(host, _)| host.eq_ignore_ascii_case("localhost")),
    }
}

/// Longer than the time between two questions, also to a very large fleet.
const IDLE: Duration = Duration::from_secs(15);
