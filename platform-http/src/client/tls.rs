//! `https://` targets: whom to believe, and who we are.

use std::{io, path::Path, sync::Arc};

use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use platform_core::{Error, Result};
use platform_discovery::{Place, Target};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
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
        let config = |alpn: &[u8]| -> Result<Arc<ClientConfig>> {
            let mut config = client_config(settings)?;
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

fn client_config(settings: &Connect) -> Result<ClientConfig> {
    let tls = &settings.tls;
    // Said here and not left to a process-wide default, which any other crate could set first.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring knows TLS 1.2 and 1.3");
    let believing = versions.with_root_certificates(roots(&tls.ca)?);
    if tls.cert.as_os_str().is_empty() {
        return Ok(believing.with_no_client_auth());
    }
    let chain = certificates(&tls.cert, "connect.tls.cert")?;
    let key = PrivateKeyDer::from_pem_file(&tls.key)
        .map_err(|error| unreadable("connect.tls.key", &tls.key, &error))?;
    believing
        .with_client_auth_cert(chain, key)
        .map_err(|error| unreadable("connect.tls.cert", &tls.cert, &error))
}

fn roots(ca: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    if !ca.as_os_str().is_empty() {
        for certificate in certificates(ca, "connect.tls.ca")? {
            roots.add(certificate).map_err(|error| unreadable("connect.tls.ca", ca, &error))?;
        }
        return Ok(roots);
    }
    let Some(bundle) = BUNDLES.iter().map(Path::new).find(|bundle| bundle.exists()) else {
        return Err(Error::config(format!(
            "this machine has no certificates to believe ({}); set connect.tls.ca",
            BUNDLES.join(", ")
        )));
    };
    // A bundle of the world holds a few that no library reads; the others are what counts.
    let (added, _ignored) = roots.add_parsable_certificates(certificates(bundle, "connect.tls.ca")?);
    if added == 0 {
        return Err(unreadable("connect.tls.ca", bundle, &"no certificate in it can be used"));
    }
    Ok(roots)
}

fn certificates(path: &Path, key: &str) -> Result<Vec<CertificateDer<'static>>> {
    let read =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>);
    match read {
        Ok(found) if found.is_empty() => Err(unreadable(key, path, &"there is no PEM certificate in it")),
        Ok(found) => Ok(found),
        Err(error) => Err(unreadable(key, path, &error)),
    }
}

fn unreadable(key: &str, path: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::config(format!("{key} = \"{}\": {why}", path.display()))
}

/// Where systems keep what they believe: Debian and Alpine, Fedora, openSUSE, FreeBSD and macOS.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
