//! `https://` targets, and those of a registry whose servers have certificates: whom to believe, and who we are.

use std::{io, sync::Arc};

use hyper_util::rt::TokioIo;
use platform_core::{Error, Result};
use platform_discovery::{Place, Target, tls::Files};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::config::{Connect, Tls as Settings};
use crate::tls::client::Renewed;

pub(super) use crate::tls::client::Stream;

/// What is underneath.
pub(super) fn tcp(stream: &Stream) -> &TcpStream {
    match stream {
        Stream::Http(tcp) => tcp.inner(),
        Stream::Https(tls) => tls.inner().get_ref().0.inner().inner(),
    }
}

/// The TLS side of a target. Cheap to clone.
#[derive(Clone)]
pub(super) struct Tls {
    files: Arc<Renewed<Read>>,
    name: ServerName<'static>,
}

/// What stood in the files.
#[derive(Clone)]
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
        let Settings { ca, cert, key, .. } = &settings.tls;
        let files = Renewed::open(Files { ca, cert, key }, "connect.tls", Read::of)?;
        Ok(Tls { files: Arc::new(files), name })
    }

    pub(super) async fn secure(&self, tcp: TokioIo<TcpStream>, h2: bool) -> io::Result<Stream> {
        let read = self.files.current();
        let connector = TlsConnector::from(if h2 { read.h2 } else { read.http1 });
        Ok(Stream::from(connector.connect(self.name.clone(), TokioIo::new(tcp)).await?))
    }
}

impl Read {
    fn of(mut http1: ClientConfig) -> Self {
        let mut h2 = http1.clone();
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        h2.alpn_protocols = vec![b"h2".to_vec()];
        Read { http1: Arc::new(http1), h2: Arc::new(h2) }
    }
}
