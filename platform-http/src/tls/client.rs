//! The side that connects: a stream, and files that are read again when they change.

use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use platform_core::Result;
use platform_discovery::tls;
use rustls::ClientConfig;
use tokio::net::TcpStream;

use crate::rotation::Rotation;

/// A connection, with TLS or without.
pub(crate) type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// What is made of a section's files.
///
/// They are looked at for each connection and read again when they changed, so that a renewed certificate costs none;
/// those that cannot be used change nothing.
pub(crate) struct Renewed<T> {
    ca: PathBuf,
    cert: PathBuf,
    key: PathBuf,
    section: &'static str,
    make: fn(ClientConfig) -> T,
    known: Mutex<Known<T>>,
}

/// What is in force.
struct Known<T> {
    rotation: Rotation,
    made: T,
}

impl<T: Clone> Renewed<T> {
    /// Reads them; `section` is named in errors.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](platform_core::ErrorKind::Config): one of them cannot be read or used.
    pub(crate) fn open(
        files: tls::Files<'_>,
        section: &'static str,
        make: fn(ClientConfig) -> T,
    ) -> Result<Self> {
        let rotation = Rotation::of([files.ca, files.cert, files.key]);
        let made = make(tls::client_config(files, section)?);
        let tls::Files { ca, cert, key } = files;
        let [ca, cert, key] = [ca, cert, key].map(ToOwned::to_owned);
        Ok(Renewed { ca, cert, key, section, make, known: Mutex::new(Known { rotation, made }) })
    }

    /// What stands in the files now, or what stood there before they were spoilt.
    pub(crate) fn current(&self) -> T {
        // Both are whole between any two statements.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let files = tls::Files { ca: &self.ca, cert: &self.cert, key: &self.key };
        let load = || {
            let read = tls::client_config(files, self.section);
            read.map(self.make).map_err(|error| error.detail().to_owned())
        };
        if let Some(made) = known.rotation.look("what stood in the files before stays in force", load) {
            known.made = made;
        }
        known.made.clone()
    }
}
