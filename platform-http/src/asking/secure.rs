//! TLS around a line, with files that may change.

use std::sync::{Arc, Mutex, PoisonError};

use hyper_util::rt::TokioIo;
use platform_core::{Error, Result};
use platform_discovery::tls::Files;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Config, unreachable, why};
use crate::tls::client::Renewed;

pub(super) use crate::tls::client::Stream;

/// What is set, and what stands in its files once somebody has asked.
pub(super) struct Ours {
    config: Config,
    read: Mutex<Option<Arc<Renewed<Arc<ClientConfig>>>>>,
}

/// TLS to the listener whose certificate has this name.
#[derive(Clone)]
pub(super) struct Secure {
    ours: Arc<Ours>,
    name: ServerName<'static>,
}

impl Ours {
    pub(super) fn new(config: Config) -> Self {
        Ours { config, read: Mutex::default() }
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn check(&self) -> Result<()> {
        // Without files there is nothing that could be wrong with them; what the machine believes is asked for when it
        // is needed.
        let Config { ca, cert, .. } = &self.config;
        if ca.as_os_str().is_empty() && cert.as_os_str().is_empty() {
            Ok(())
        } else {
            self.current().map(drop)
        }
    }

    /// What stands in the files now. Those that could not be used when they were first needed are tried again.
    fn current(&self) -> Result<Arc<ClientConfig>> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let renewed = match &*read {
            Some(renewed) => Arc::clone(renewed),
            None => {
                let Config { ca, cert, key, .. } = &self.config;
                let renewed = Renewed::open(Files { ca, cert, key }, SECTION, http1)?;
                Arc::clone(read.insert(Arc::new(renewed)))
            }
        };
        drop(read);
        Ok(renewed.current())
    }
}

impl Secure {
    /// # Errors
    /// What can be the name in no certificate.
    pub(super) fn to(ours: &Arc<Ours>, name: &str) -> Result<Self> {
        let name = ServerName::try_from(name.to_owned()).map_err(|_| {
            Error::config(format!("{SECTION}.server_name: \"{name}\" cannot be the name in a certificate"))
        })?;
        Ok(Secure { ours: Arc::clone(ours), name })
    }

    pub(super) async fn around(&self, tcp: TokioIo<TcpStream>, at: &str) -> Result<Stream> {
        let connector = TlsConnector::from(self.ours.current()?);
        let connected = connector.connect(self.name.clone(), TokioIo::new(tcp)).await;
        let stream = connected.map_err(|error| {
            let why = why::of(&error, &self.ours.config).unwrap_or_else(|| why::of_an_end(&error));
            unreachable(at, &why)
        })?;
        Ok(Stream::from(stream))
    }
}

fn http1(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

const SECTION: &str = "admin.fleet";
