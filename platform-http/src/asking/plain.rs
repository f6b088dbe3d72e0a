//! What stands in for TLS in a build without it.

use std::{convert::Infallible, sync::Arc};

use hyper_util::rt::TokioIo;
use platform_core::{Error, Result};
use tokio::net::TcpStream;

use super::Config;

pub(super) type Stream = TokioIo<TcpStream>;

/// What is set; nobody reads its files.
pub(super) struct Ours(Config);

/// There is none.
#[derive(Clone)]
pub(super) struct Secure(Infallible);

impl Ours {
    pub(super) fn new(config: Config) -> Self {
        Ours(config)
    }

    pub(super) fn config(&self) -> &Config {
        &self.0
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.0 == Config::default() { Ok(()) } else { Err(none("`admin.fleet` is set")) }
    }
}

impl Secure {
    pub(super) fn to(_: &Arc<Ours>, _: &str) -> Result<Self> {
        Err(none("its listener speaks TLS"))
    }

    pub(super) async fn around(&self, _: Stream, _: &str) -> Result<Stream> {
        match self.0 {}
    }
}

fn none(why: &str) -> Error {
    Error::config(format!("{why}, and this build has no TLS (feature \"tls\")"))
}
