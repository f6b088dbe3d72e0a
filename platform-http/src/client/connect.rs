//! One endpoint → one service with pooled connections.

use std::{
    error::Error as _,
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    task::{self, Poll},
    time::Duration,
};

use futures_util::{FutureExt as _, future::Either};
use http::{
    HeaderValue, Method, Request, Response, Uri, Version, header,
    uri::{Authority, PathAndQuery, Scheme},
};
use http_body::Body as _;
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use platform_core::{
    Error, ErrorKind, Outcome, Result,
    call::{CarryReply as _, Guard, Release},
};
use platform_discovery::{Endpoint, Place, Protocol as Spoken, Target, balance::Link};
use tokio::net::TcpStream;
use tower_service::Service;

use super::{
    config::{Connect, Pool, Protocol},
    mind::{Mind, Minded, Minds},
    reach::{Dial, Reach},
    single::{Lost, Single},
    tls::{Stream, Tls, tcp},
};
use crate::{
    Body,
    body::BoxError,
    layers::{Reply, Rest},
};

/// How the endpoints of one target are reached.
pub(super) struct Connector {
    settings: Connect,
    scheme: Scheme,
    authority: Authority,
    host: HeaderValue,
    tls: Option<Tls>,
}

/// The connections to one endpoint.
#[derive(Clone)]
pub(super) struct Connection {
    /// Of HTTP/2 each lane is one connection, and the first is enough for [`STREAMS`] calls at a time; HTTP/1 has one
    /// lane, and a connection in it for each call.
    lanes: Box<[Arc<Lane>]>,
    scheme: Scheme,
    authority: Authority,
    host: HeaderValue,
    /// HTTP/2 says whom a request is for in a field of its own.
    h2: bool,
    /// The layers in the slot `endpoint`, where there are any.
    around: Option<Rest>,
    /// What listens to the endpoint, where something does.
    mind: Option<Arc<Mind>>,
}

/// Connections, of HTTP/2 one, and the calls that are under way on them.
struct Lane {
    connections: Connections,
    in_flight: AtomicU32,
}

enum Connections {
    /// HTTP/1: one for each call at a time.
    Pool(Box<legacy::Client<Way, Body>>),
    /// HTTP/2.
    Single(Single<Tcp>),
}

impl Release for Lane {
    fn release(&self, _ticket: u64) {
        self.in_flight.fetch_sub(1, Relaxed);
    }
}

impl Connector {
    /// # Errors
    /// A certificate that cannot be read, a name that no certificate can carry, `https://` without the feature.
    pub(super) fn new(target: &Target, settings: &Connect) -> Result<Self> {
        let text = target.authority();
        let unfit = |_| Error::config(format!("target \"{target}\": \"{text}\" cannot stand in a URI"));
        // Who says whom to believe in a registry means that those speak TLS; an `http://` target says for itself.
        let host = matches!(target.place(), Place::Host { .. });
        let secure = target.is_tls() || (!host && !settings.tls.ca.as_os_str().is_empty());
        let tls = secure.then(|| Tls::new(target, settings)).transpose()?;
        Ok(Connector {
            settings: settings.clone(),
            scheme: if secure { Scheme::HTTPS } else { Scheme::HTTP },
            authority: text.parse().map_err(unfit)?,
            host: HeaderValue::from_str(&text).expect("what can stand in a URI can stand in a header"),
            tls,
        })
    }

    /// Connections to `endpoint`. None is made before it is needed, unless others serve and this one is new to them:
    /// then it is prepared, and `link` says when it is.
    pub(super) fn to(&self, endpoint: &Endpoint, link: Link) -> Connection {
        let h2 = match self.settings.protocol {
            Protocol::Auto => endpoint.protocol != Spoken::Http1,
            Protocol::Http1 => false,
            Protocol::H2 => true,
        };
        let (address, timeout, tls) = (endpoint.address, self.settings.timeout, self.tls.clone());
        let reach = Reach::new(Tcp { address, timeout, tls, h2 }, link);
        let pool = &self.settings.pool;
        let lanes = if h2 { pool.per_endpoint.clamp(1, LANES) } else { 1 };
        let connections = || match h2 {
            true => Connections::Single(Single::new(reach.clone(), pool.idle)),
            false => pooled(reach.clone(), pool),
        };
        let lane = || Arc::new(Lane { connections: connections(), in_flight: AtomicU32::new(0) });
        Connection {
            lanes: std::iter::repeat_with(lane).take(lanes).collect(),
            scheme: self.scheme.clone(),
            authority: self.authority.clone(),
            host: self.host.clone(),
            h2,
            around: None,
            mind: None,
        }
    }
}

impl Connection {
    /// The same with layers before it, which [`through`](Self::through) goes through.
    pub(super) fn behind(self, around: Rest) -> Self {
        Connection { around: Some(around), ..self }
    }

    /// The same, listened to from its first request on.
    pub(super) fn minded(self, minds: &Minds, link: Link, label: Arc<str>, agent: HeaderValue) -> Self {
        let mind = minds.to(Minded { connections: Rest::to(self.clone()), link, label, agent });
        Connection { mind: Some(Arc::new(mind)), ..self }
    }

    /// [`send`](Self::send), through the layers of the slot `endpoint`.
    pub(super) fn through(&self, request: Request<Body>) -> Reply {
        match &self.around {
            Some(around) => around.0.answer(request),
            None => Box::pin(self.send(request)),
        }
    }

    /// Sends the request over a connection that is idle, else over a new one.
    ///
    /// One that was closed before the request was written is replaced: nothing was sent, so it is no repeat.
    ///
    /// No `async fn`, so that the request moves straight on into hyper's future and is not kept in ours.
    pub(super) fn send(
        &self,
        mut request: Request<Body>,
    ) -> impl Future<Output = Result<Response<Body>>> + Send + use<> {
        if let Some(mind) = &self.mind {
            mind.asked();
        }
        if self.h2 {
            self.aim(&mut request);
            // `:authority` is made of the URI. Beside it `host` would say the same again, and some servers refuse two.
            request.headers_mut().remove(header::HOST);
        } else {
            self.address(&mut request);
        }
        let (lane, counted) = self.lane();
        let reply = match &lane.connections {
            Connections::Pool(pool) => Either::Left(pool.request(request)),
            Connections::Single(single) => Either::Right(single.send(request)),
        };
        async move {
            let reply = match reply {
                Either::Left(reply) => reply.await.map_err(|error| {
                    let connecting = error.is_connect();
                    explain(error, connecting)
                }),
                Either::Right(reply) => reply.await.map_err(|lost| {
                    let connecting = matches!(lost, Lost::Unconnected(_));
                    explain(lost, connecting)
                }),
            };
            let mut reply = reply?.map(Body::answered);
            if let Some(counted) = counted {
                reply.body_mut().hold(counted);
            }
            Ok(reply)
        }
    }

    /// Writes whom the request is for, in the header `host` too.
    #[inline]
    pub(super) fn address(&self, request: &mut Request<Body>) {
        self.aim(request);
        request.headers_mut().insert(header::HOST, self.host.clone());
    }

    /// Writes whom the request is for into its URI, and what no peer should have to guess.
    #[inline]
    fn aim(&self, request: &mut Request<Body>) {
        *request.uri_mut() = self.absolute(request.uri());
        *request.version_mut() = Version::HTTP_11; // What is spoken is the connection's business.
        if lacks_length(request) {
            request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(0));
        }
    }

    /// The first lane that has room, so that a peak leaves nothing behind; where none has, the emptiest. Where there is
    /// but one nothing has to be counted.
    fn lane(&self) -> (&Lane, Option<Guard>) {
        let [only] = &*self.lanes else {
            let in_flight = |lane: &Lane| lane.in_flight.load(Relaxed);
            let roomy = self.lanes.iter().find(|lane| in_flight(lane) < STREAMS);
            let lane = roomy.or_else(|| self.lanes.iter().min_by_key(|lane| in_flight(lane)));
            let lane = lane.expect("there is always a lane");
            lane.in_flight.fetch_add(1, Relaxed);
            return (lane, Some(Guard::new(Arc::clone(lane) as Arc<dyn Release>, 0)));
        };
        (only, None)
    }

    /// The request's path at this target: whatever host a request names, it goes nowhere else.
    fn absolute(&self, uri: &Uri) -> Uri {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        let root = || PathAndQuery::from_static("/");
        parts.path_and_query = Some(uri.path_and_query().cloned().unwrap_or_else(root));
        Uri::from_parts(parts).expect("scheme, authority and path make a URI")
    }
}

/// A method that brings something, without bytes: some servers wait for a length, or answer 411 (RFC 9110, section
/// 8.6). hyper says nothing of an empty body.
fn lacks_length(request: &Request<Body>) -> bool {
    let brings = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH);
    brings && request.body().is_end_stream()
}

/// Dials one address, whatever the URI says.
#[derive(Clone)]
struct Tcp {
    address: SocketAddr,
    timeout: Duration,
    tls: Option<Tls>,
    h2: bool,
}

impl Dial for Tcp {
    type Stream = Stream;

    async fn dial(&self) -> io::Result<Stream> {
        let connected = async {
            let tcp = TcpStream::connect(self.address).await?;
            // Requests are written whole; waiting for more to send only delays them.
            tcp.set_nodelay(true)?;
            match &self.tls {
                Some(tls) => tls.secure(TokioIo::new(tcp), self.h2).await,
                None => Ok(Stream::from(TokioIo::new(tcp))),
            }
        };
        tokio::time::timeout(self.timeout, connected).await.unwrap_or_else(|_| {
            let text = format!("no connection within {:?} (connect.timeout)", self.timeout);
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        })
    }

    fn is_alive(&self, stream: &Stream) -> bool {
        // Nothing to read yet is life, and so is something; an end is none, and neither is an error.
        !matches!(tcp(stream).peek(&mut [0]).now_or_never(), Some(Ok(0) | Err(_)))
    }
}

/// The way to one endpoint, as hyper's pool asks for it.
#[derive(Clone)]
struct Way(Reach<Tcp>);

impl Service<Uri> for Way {
    type Response = Stream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let way = self.clone();
        Box::pin(async move { way.0.connect().await })
    }
}

/// The connections of HTTP/1.
fn pooled(reach: Reach<Tcp>, pool: &Pool) -> Connections {
    let client = legacy::Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(pool.idle)
        .pool_max_idle_per_host(pool.per_endpoint)
        .set_host(false)
        .build(Way(reach));
    Connections::Pool(Box::new(client))
}

/// What a transport's failure means: was anything sent? Not while it was `connecting`.
fn explain(error: impl std::error::Error + Send + Sync + 'static, connecting: bool) -> Error {
    let cause = root(&error);
    let hyper = error.source().and_then(|source| source.downcast_ref::<hyper::Error>());
    let told = if let Some(alert) = not_let_in(&error) {
        // In TLS 1.3 the request is on its way when the server looks at the certificate, and before it looks at that.
        let text = format!(
            "the server did not let us in, so nothing was done: it answered our certificate with the TLS alert {alert}; \
             connect.tls.cert and connect.tls.key say who we are, and the server whom it believes"
        );
        Error::new(ErrorKind::Unreachable, text)
    } else if connecting {
        Error::new(ErrorKind::Unreachable, format!("could not connect, nothing was sent: {cause}"))
    } else if hyper.is_some_and(hyper::Error::is_canceled) {
        let text = format!("the connection was closed before the request was sent: {cause}");
        Error::new(ErrorKind::Unreachable, text)
    } else if hyper.is_some_and(was_refused) {
        let text = format!("the target turned the request away before it looked at it: {cause}");
        Error::new(ErrorKind::Unreachable, text)
    } else if hyper.is_some_and(|hyper| hyper.is_user() && !hyper.is_body_write_aborted()) {
        // Our own body or our own request; the target has done nothing wrong.
        Error::new(ErrorKind::Internal, format!("the request could not be written: {cause}"))
            .with_outcome(Outcome::Local)
    } else if hyper.is_some_and(hyper::Error::is_parse) {
        let text =
            format!("what came back is no reply of the protocol that was spoken (connect.protocol): {cause}");
        Error::new(ErrorKind::Upstream, text)
    } else {
        let text = format!(
            "the connection was lost after the request had been sent, so it may have been done or not: {cause}"
        );
        Error::new(ErrorKind::Upstream, text)
    };
    told.at_layer("connect").with_source(BoxError::from(error))
}

/// The TLS alert by which the server refused our certificate, or that we showed none. Only a handshake has these.
///
/// h2 keeps the text of what went wrong below it, and not the error, so both protocols go by the text.
fn not_let_in(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut cause = error;
    loop {
        let text = cause.to_string();
        // rustls' words, which a test holds it to.
        if let Some((_, alert)) = text.split_once("received fatal alert: ")
            && REFUSALS.contains(&alert)
        {
            return Some(alert.to_owned());
        }
        cause = cause.source()?;
    }
}

/// Did an HTTP/2 peer say that it has not begun, and will not (RFC 9113, section 8.7)?
///
/// A remote GOAWAY is the error only of streams above the last that the peer looks at: those below fail with the
/// connection, and nobody knows about them.
fn was_refused(error: &hyper::Error) -> bool {
    let Some(h2) = error.source().and_then(|source| source.downcast_ref::<h2::Error>()) else { return false };
    let refused = h2.is_reset() && h2.reason() == Some(h2::Reason::REFUSED_STREAM);
    h2.is_remote() && (h2.is_go_away() || refused)
}

/// The innermost cause: "client error (Connect)" helps nobody.
fn root(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// What TLS says of a certificate that is not accepted (RFC 8446, section 6.2), in rustls' spelling.
const REFUSALS: [&str; 9] = [
    "AccessDenied",
    "BadCertificate",
    "CertificateExpired",
    "CertificateRequired",
    "CertificateRevoked",
    "CertificateUnknown",
    "DecryptError",
    "UnknownCA",
    "UnsupportedCertificate",
];
/// What every server of HTTP/2 allows on one connection (RFC 9113 asks for no less); many allow no more, and what is
/// beyond waits in our own memory where no limit of ours sees it.
const STREAMS: u32 = 100;
/// As many calls as a bulkhead lets through (`bulkhead.max_in_flight`), all to one endpoint.
const LANES: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_goes_to_its_target_whatever_host_it_names() {
        let target = Target::parse("dir://catalog").unwrap();
        let connection = |uri: &str| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let _inside = runtime.enter();
            let connector = Connector::new(&target, &Connect::default()).unwrap();
            let endpoint = Endpoint::at("127.0.0.1:1".parse().unwrap());
            connector.to(&endpoint, Link::default()).absolute(&uri.parse().unwrap()).to_string()
        };
        assert_eq!(connection("/films/1?full"), "http://catalog/films/1?full");
        assert_eq!(connection("http://elsewhere:99/films"), "http://catalog/films");
        assert_eq!(connection("http://elsewhere"), "http://catalog/");
    }
}
