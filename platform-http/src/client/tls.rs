//! `https://` targets, and those of a registry whose servers have certificates: whom to believe, and who we are.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use platform_core::{Error, Result};
use platform_discovery::{Place, Target, tls};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::config::{Connect, Tls as Settings};
use crate::rotation::Rotation;

/// A connection, with TLS or without.
pub(super) type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// What is underneath.
pub(super) fn tcp(stream: &Stream) -> &TcpStream {
    match stream {
        MaybeHttpsStream::Http(tcp) => tcp.inner(),
        MaybeHttpsStream::Https(tls) => tls.inner().get_ref().0.inner().inner(),
    }
}

/// The TLS side of a target. Cheap to clone.
///
/// The files are looked at for each connection and read again when they changed, so that a renewed certificate costs
/// none; those that cannot be used change nothing.
#[derive(Clone)]
pub(super) struct Tls {
    files: Arc<Files>,
    name: ServerName<'static>,
}

struct Files {
    settings: Settings,
    known: Mutex<Known>,
}

/// What is in force.
struct Known {
    rotation: Rotation,
    read: Read,
}

/// What stood in the files.
struct Read {
    /// Offers HTTP/1.1 only.
    http1: Arc<ClientConfig>,
    /// Offers HTTP/2 only.
    h2: Arc<ClientConfig>,
}

impl Tls {
    pub(super) fn new(target: &Target, settings: &Connect) -> Result<Self> {
        let named = &settings.tls.server_name;
        let host = match target.place() {
            _ if !named.is_empty() => named.clone(),
            Place::Host { host, .. } => host.to_string(),
            _ => target.authority().to_string(),
        };
        let name = ServerName::try_from(host.clone()).map_err(|_| {
            Error::config(format!("connect.tls.server_name: \"{host}\" cannot be the name in a certificate"))
        })?;
        let settings = settings.tls.clone();
        let rotation = Rotation::of([&settings.ca, &settings.cert, &settings.key]);
        let known = Known { rotation, read: Read::of(&settings)? };
        let files = Files { settings, known: Mutex::new(known) };
        Ok(Tls { files: Arc::new(files), name })
    }

    pub(super) async fn secure(&self, tcp: TokioIo<TcpStream>, h2: bool) -> io::Result<Stream> {
        let connector = TlsConnector::from(self.files.current(h2));
        Ok(Stream::from(connector.connect(self.name.clone(), TokioIo::new(tcp)).await?))
    }
}

impl Files {
    /// What stands in the files now, or what stood there before they were spoilt.
    fn current(&self, h2: bool) -> Arc<ClientConfig> {
        // Both are whole between any two statements.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let load = || Read::of(&self.settings).map_err(|error| error.detail().to_owned());
        if let Some(read) = known.rotation.look("what stood in the files before stays in force", load) {
            known.read = read;
        }
        Arc::clone(if h2 { &known.read.h2 } else { &known.read.http1 })
    }
}

impl Read {
    fn of(settings: &Settings) -> Result<Self> {
        let files = tls::Files { ca: &settings.ca, cert: &settings.cert, key: &settings.key };
        let mut http1 = tls::client_config(files, "connect.tls")?;
        let mut h2 = http1.clone();
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        h2.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Read { http1: Arc::new(http1), h2: Arc::new(h2) })
    }
}
