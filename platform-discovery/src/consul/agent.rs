//! How do we speak with Consul's agent?

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use platform_core::{Error, ErrorKind, Result};
use tokio::{fs, time};

use crate::{
    config,
    task::aside,
    tls::{Files, client_config},
};

/// The agent, asked over HTTP: it stands on this machine; or over TLS, for one that stands elsewhere.
#[derive(Clone)]
pub(crate) struct Agent {
    address: Arc<str>,
    token_file: PathBuf,
    tls: config::Tls,
    /// `None` after a failure: certificates change while we run, and the next who asks reads them anew.
    client: Arc<Mutex<Option<Client>>>,
}

#[derive(Clone)]
enum Client {
    Plain(legacy::Client<HttpConnector, Full<Bytes>>),
    Tls(legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>),
}

/// What it answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Agent {
    /// The agent of this configuration; nobody is asked yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if a certificate is needed and cannot be read.
    pub(crate) fn of(config: &config::Consul) -> Result<Self> {
        let client = Client::new(&config.address, &config.tls)?;
        Ok(Agent {
            address: Arc::from(config.address.as_str()),
            token_file: config.token_file.clone(),
            tls: config.tls.clone(),
            client: Arc::new(Mutex::new(Some(client))),
        })
    }

    /// Asks, and waits for the whole answer at most so long.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: String,
        limit: Duration,
    ) -> Result<Reply> {
        let asked = time::timeout(limit, self.exchange(method, path, body)).await;
        asked.unwrap_or_else(|_| {
            Err(self.failed(ErrorKind::Timeout, &format!("did not answer within {limit:?}")))
        })
    }

    /// The same where anything but a 200 is a failure.
    pub(crate) async fn done(&self, method: Method, path: &str, body: String) -> Result<Reply> {
        let reply = self.ask(method, path, body, QUICK).await?;
        if reply.status.is_success() { Ok(reply) } else { Err(self.refused(&reply)) }
    }

    /// An answer that is none, with Consul's own words.
    pub(crate) fn refused(&self, reply: &Reply) -> Error {
        let said = String::from_utf8_lossy(&reply.body);
        let said: String = said.trim().chars().take(200).collect();
        let hint = match reply.status {
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED if self.token_file.as_os_str().is_empty() => {
                "; set discovery.consul.token_file"
            }
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => "; the token may not do this",
            _ => "",
        };
        self.failed(ErrorKind::Unreachable, &format!("answered {}: {said}{hint}", reply.status.as_u16()))
    }

    pub(crate) fn failed(&self, kind: ErrorKind, how: &str) -> Error {
        Error::new(kind, format!("Consul's agent {} {how}", self.address))
    }

    async fn exchange(&self, method: Method, path: &str, body: String) -> Result<Reply> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.address));
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        // Read every time, because tokens are replaced while we run.
        if let Some(token) = self.token().await? {
            request = request.header("x-consul-token", token);
        }
        let request = request.body(Full::from(body)).map_err(|error| {
            self.failed(ErrorKind::Config, "cannot be asked: the token or the address makes no sense")
                .with_source(error)
        })?;
        let broken = |error: Box<dyn std::error::Error + Send + Sync>| {
            *self.known() = None;
            self.failed(ErrorKind::Unreachable, "cannot be reached").with_source(error)
        };
        let (head, body) =
            self.client().await?.request(request).await.map_err(|error| broken(error.into()))?.into_parts();
        let body = Limited::new(body, LARGEST).collect().await.map_err(broken)?.to_bytes();
        Ok(Reply { status: head.status, headers: head.headers, body })
    }

    /// The client that is known, else a new one.
    async fn client(&self) -> Result<Client> {
        if let Some(client) = &*self.known() {
            return Ok(client.clone());
        }
        let (address, tls) = (Arc::clone(&self.address), self.tls.clone());
        let client = aside(move || Client::new(&address, &tls)).await??;
        Ok(self.known().get_or_insert(client).clone())
    }

    fn known(&self) -> MutexGuard<'_, Option<Client>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn token(&self) -> Result<Option<String>> {
        if self.token_file.as_os_str().is_empty() {
            return Ok(None);
        }
        let read = fs::read_to_string(&self.token_file).await.map_err(|error| {
            let path = self.token_file.display();
            Error::config(format!("the token of Consul ({path}, discovery.consul.token_file) cannot be read"))
                .with_source(error)
        })?;
        Ok(Some(read.trim().to_owned()))
    }
}

impl Client {
    /// Blocks: certificates are read where they are needed.
    fn new(address: &str, tls: &config::Tls) -> Result<Self> {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        let builder = legacy::Client::builder(TokioExecutor::new());
        if !address.starts_with("https://") {
            return Ok(Client::Plain(builder.build(connector)));
        }
        let files = Files { ca: &tls.ca, cert: &tls.cert, key: &tls.key };
        let tls = client_config(files, "discovery.consul.tls")?;
        // Whom to speak TLS with is said by the address; the connector below only connects.
        connector.enforce_http(false);
        Ok(Client::Tls(builder.build(HttpsConnector::from((connector, tls)))))
    }

    async fn request(
        &self,
        request: Request<Full<Bytes>>,
    ) -> std::result::Result<Response<Incoming>, legacy::Error> {
        match self {
            Client::Plain(client) => client.request(request).await,
            Client::Tls(client) => client.request(request).await,
        }
    }
}

impl Reply {
    /// A header that is a number.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.headers.get(name)?.to_str().ok()?.parse().ok()
    }

    /// A header that is `true` or `false`.
    pub(crate) fn is(&self, name: &str, value: &str) -> bool {
        self.headers.get(name).is_some_and(|found| found == value)
    }
}

impl fmt::Display for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the agent {}", self.address)
    }
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent").field("address", &self.address).finish_non_exhaustive()
    }
}

/// The agent is on this machine.
const CONNECT: Duration = Duration::from_secs(1);
/// What changes something is answered at once, or not at all.
pub(crate) const QUICK: Duration = Duration::from_secs(2);
/// Ten thousand instances with all their checks.
const LARGEST: usize = 64 << 20;
