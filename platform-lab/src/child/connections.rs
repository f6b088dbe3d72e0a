//! The connection loop that every server without one of its own shares, so that only the stacks differ.

use std::{error::Error, io, net::Ipv4Addr};

use hyper::{
    Request, Response,
    body::{Body, Incoming},
    service::Service,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use tokio::net::TcpListener;

use super::Listening;

/// Serves HTTP/1 and HTTP/2 on a free loopback port, with upgrades as `axum::serve` has them.
///
/// # Errors
/// The port could not be bound, or accepting failed.
#[expect(clippy::disallowed_methods, reason = "a connection has no request context to lose")]
pub(crate) async fn serve<S, B>(listening: Listening, service: S) -> io::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    // Nobody listens when the lab has given up; serving on does no harm.
    let _ = listening.send(listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = service.clone();
        tokio::spawn(async move {
            // A connection that the lab closes in the middle is no news.
            let _ = Builder::new(TokioExecutor::new())
                .serve_connection_with_upgrades(TokioIo::new(stream), service)
                .await;
        });
    }
}
