//! The server's side: its certificate, whom it asks for theirs, and what becomes of both when the files change.

use std::{
    convert::Infallible,
    io,
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use platform_core::{App, Error, ErrorKind, Result};
use platform_discovery::tls::{NamedFile, Wrong};
use rustls::{ServerConfig, server::WebPkiClientVerifier, sign::SingleCertAndKey};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsAcceptor;

use super::{
    Identity, Section, Stream,
    files::pair_of,
    validity::{Told, Validity},
};
use crate::{
    rotation::{self, Rotation},
    server::{Clients, TlsConfig},
};

/// Makes TLS of connections, with the certificates that are in force; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Acceptor(Arc<ArcSwap<ServerConfig>>);

/// Looks at the files and swaps what is in force.
pub(crate) struct Refresh {
    acceptor: Acceptor,
    files: Files,
    section: Section,
    rotation: Rotation,
    told: Told,
    app: App,
}

#[derive(Clone)]
struct Files(TlsConfig);

impl Acceptor {
    /// What `section` says; `None` where it says nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Start`]: a file cannot be read or used, the key is another certificate's, the certificate has
    /// ended or not begun.
    pub(crate) fn open(
        app: &App,
        config: &TlsConfig,
        section: Section,
    ) -> Result<Option<(Acceptor, Refresh)>> {
        if config.is_off() {
            return Ok(None);
        }
        let rotation = Rotation::of([&config.cert, &config.key, &config.client_ca]);
        let files = Files(config.clone());
        let (settings, validity) =
            files.load(section, SystemTime::now()).map_err(|wrong| Error::new(ErrorKind::Start, wrong))?;
        let acceptor = Acceptor(Arc::new(ArcSwap::from_pointee(settings)));
        let told = Told::new(app.metrics(), section.cert);
        told.tell(validity);
        let refresh =
            Refresh { acceptor: acceptor.clone(), files, section, rotation, told, app: app.clone() };
        Ok(Some((acceptor, refresh)))
    }

    /// The handshake. How long it may take is the connection's business.
    pub(crate) async fn accept(&self, tcp: TcpStream) -> io::Result<(Stream, Option<Identity>)> {
        let accepted = TlsAcceptor::from(self.0.load_full()).accept(tcp).into_fallible().await;
        let stream = match accepted {
            Ok(stream) => stream,
            Err((error, tcp)) => {
                linger(tcp).await;
                return Err(error);
            }
        };
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let identity = shown.and_then(Identity::of);
        Ok((Stream::Tls(Box::new(stream)), identity))
    }
}

impl Refresh {
    /// Looks once a second, for as long as it is polled.
    pub(crate) async fn run(mut self) -> Infallible {
        rotation::each_second(|| self.look()).await
    }

    fn look(&mut self) {
        let found = self.rotation.look("the certificate from before stays in force", || {
            self.files.load(self.section, SystemTime::now())
        });
        if let Some((settings, validity)) = found {
            self.acceptor.0.store(Arc::new(settings));
            self.told.tell(validity);
            let until = httpdate::fmt_http_date(validity.until);
            let what = format!("{}: its files were read again; valid until {until}", self.section.name);
            rotation::tell(&self.app, &what);
        }
    }
}

impl Files {
    fn load(
        &self,
        section: Section,
        now: SystemTime,
    ) -> std::result::Result<(ServerConfig, Validity), Wrong> {
        let Files(TlsConfig { cert, key, client_ca, clients }) = self;
        let cert = NamedFile { key: section.cert, path: cert };
        let (pair, validity) = pair_of(cert, NamedFile { key: section.key, path: key }, now)?;
        // Said here and not left to a process-wide default, which any other crate could set first.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| cert.wrong(error))?;
        let builder = if client_ca.as_os_str().is_empty() {
            builder.with_no_client_auth()
        } else {
            let authorities = NamedFile { key: section.client_ca, path: client_ca };
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(authorities.roots()?), provider);
            let verifier = match clients {
                Clients::Required => verifier,
                Clients::Optional => verifier.allow_unauthenticated(),
            };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| authorities.wrong(error))?)
        };
        let mut settings = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
        settings.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok((settings, validity))
    }
}

/// Lets the peer read why. In TLS 1.3 it has sent a request by then, and a close with bytes that nobody read is a reset,
/// which destroys the alert.
async fn linger(mut tcp: TcpStream) {
    let rest = async {
        tcp.shutdown().await?;
        let mut scratch = [0; 4096];
        while tcp.read(&mut scratch).await? > 0 {}
        io::Result::Ok(())
    };
    // Who has left already is not waited for, and neither is who goes on sending.
    let _ = tokio::time::timeout(LINGER, rest).await;
}

/// A round trip around the world, several times over.
const LINGER: Duration = Duration::from_secs(1);
