//! A build without TLS.

use std::{convert::Infallible, io};

use platform_core::{App, Error, ErrorKind, Result};
use tokio::net::TcpStream;

use super::{Identity, Section, Stream};
use crate::server::TlsConfig;

/// Nobody makes one.
#[derive(Clone, Debug)]
pub(crate) struct Acceptor(Infallible);

/// Nobody makes one.
#[derive(Debug)]
pub(crate) struct Refresh(Infallible);

impl Acceptor {
    /// # Errors
    /// There are settings for it.
    pub(crate) fn open(
        _app: &App,
        config: &TlsConfig,
        section: Section,
    ) -> Result<Option<(Acceptor, Refresh)>> {
        if config.is_off() {
            return Ok(None);
        }
        let why = format!("{} is set, and this build has no TLS (feature \"tls\")", section.name);
        Err(Error::new(ErrorKind::Start, why))
    }

    pub(crate) async fn accept(&self, _tcp: TcpStream) -> io::Result<(Stream, Option<Identity>)> {
        match self.0 {}
    }
}

impl Refresh {
    pub(crate) async fn run(self) -> Infallible {
        self.0
    }
}
