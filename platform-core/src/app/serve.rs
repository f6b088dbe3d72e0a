//! Serve: what a server implements to be run by an App.

use std::{future::Future, net::SocketAddr, pin::Pin, time::Duration};

use super::App;
use crate::{error::Result, lifecycle::Drain};

/// A future behind one box; servers and announcements are started once per process.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A server that an App runs: it takes its address first and serves later, so that a taken port fails the
/// start before anybody is told about the instance.
pub trait Serve: Send + 'static {
    /// Takes the address.
    fn bind<'a>(&'a mut self, app: &'a App) -> Boxed<'a, Result<Bound>>;

    /// Serves until `drain` asks, then ends what is begun within `grace`.
    fn serve(self: Box<Self>, drain: Drain, grace: Duration) -> Boxed<'static, Result<Served>>;

    /// When in the life of the process.
    fn stage(&self) -> Stage {
        Stage::Service
    }
}

/// When in the life of the process a server serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// First up and last down: probes and metrics are asked while everything else starts and stops.
    Admin,
    /// From just before ready until the drain.
    Service,
}

/// An address that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// What listens there, in a word: `http`, `admin`.
    pub name: String,
    /// Where.
    pub address: SocketAddr,
    /// What it speaks: `http1`, `h2`, `grpc`.
    pub protocol: String,
    /// Is TLS around it?
    pub tls: bool,
}

/// How serving ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Requests that were cut at the end of the grace.
    pub cut: usize,
}

/// Tells the world about this instance: registration with a registry.
pub trait Announce: Send + Sync + 'static {
    /// The instance is ready and serves at these addresses; others may ask it from now on.
    ///
    /// Serving waits for none of this. A process that stops drops an announcement that is under way, and goes on with
    /// [`withdraw`](Self::withdraw).
    fn announce<'a>(&'a self, bound: &'a [Bound]) -> Boxed<'a, Result<()>>;

    /// The instance was announced, and its checks fail now (`false`) or pass again: others are told to ask somebody else
    /// meanwhile.
    fn readiness(&self, ready: bool) -> Boxed<'_, Result<()>> {
        let _ = ready;
        Box::pin(async { Ok(()) })
    }

    /// The instance is going: say so (`leaving`), and later that it is gone.
    fn withdraw(&self, step: Withdrawal) -> Boxed<'_, Result<()>>;
}

/// The two steps of leaving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withdrawal {
    /// Ask nothing new of me.
    Draining,
    /// Forget me.
    Gone,
}
