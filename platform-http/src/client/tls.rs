//! `https://` targets: whom to believe, and who we are.

use std::{io, sync::Arc};

use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use platform_core::{Error, Result};
use platform_discovery::{
    Place, Target,
    tls::{Files, client_config},
};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::config::Connect;

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
#[derive(Clone)]
pub(super) struct Tls {
    /// Offers HTTP/1.1 only.
    http1: Arc<ClientConfig>,
    /// Offers HTTP/2 only.
    h2: Arc<ClientConfig>,
    name: ServerName<'static>,
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
        let tls = &settings.tls;
        let files = Files { ca: &tls.ca, cert: &tls.cert, key: &tls.key };
        let config = |alpn: &[u8]| -> Result<Arc<ClientConfig>> {
            let mut config = client_config(files, "connect.tls")?;
            config.alpn_protocols = vec![alpn.to_vec()];
            Ok(Arc::new(config))
        };
        Ok(Tls { http1: config(b"http/1.1")?, h2: config(b"h2")?, name })
    }

    pub(super) async fn secure(&self, tcp: TokioIo<TcpStream>, h2: bool) -> io::Result<Stream> {
        let config = if h2 { &self.h2 } else { &self.http1 };
        let connector = TlsConnector::from(Arc::clone(config));
        Ok(Stream::from(connector.connect(self.name.clone(), TokioIo::new(tcp)).await?))
    }
}
