//! What stands in for TLS in a build without it.

use std::{convert::Infallible, io};

use hyper_util::rt::TokioIo;
use platform_core::{Error, Result};
use platform_discovery::Target;
use tokio::net::TcpStream;

use super::config::Connect;

pub(super) type Stream = TokioIo<TcpStream>;

/// What is underneath.
pub(super) fn tcp(stream: &Stream) -> &TcpStream {
    stream.inner()
}

/// There is none.
#[derive(Clone)]
pub(super) struct Tls(Infallible);

impl Tls {
    pub(super) fn new(target: &Target, _: &Connect) -> Result<Self> {
        Err(Error::config(format!("target \"{target}\": this build has no TLS (feature \"tls\")")))
    }

    pub(super) async fn secure(&self, _: Stream, _: bool) -> io::Result<Stream> {
        match self.0 {}
    }
}
