//! Our own full server stack.

use std::io;

use platform_core::{App, config::Config};
use platform_http::Server;

use super::hello;
use crate::child::Listening;

/// Serves the hello router as a service of the platform does; `line` says whether each request writes its
/// canonical line to standard output.
pub(crate) async fn serve(listening: Listening, line: bool) -> io::Result<()> {
    let config = Config::builder()
        .set("server.listen", "127.0.0.1:0")
        .set("telemetry.log.format", "json")
        // Every line is told, however many there are: one that is suppressed costs less.
        .set("telemetry.log.bytes_per_second", "none")
        // One request in a hundred is recorded, as with the peers; the spans go where nobody listens.
        .set("telemetry.traces.endpoint", "http://127.0.0.1:9")
        .load()
        .map_err(io::Error::other)?;
    let app = App::builder("hello")
        .version(env!("CARGO_PKG_VERSION"))
        .config(config)
        .start()
        .await
        .map_err(io::Error::other)?;
    app.add(Server::new(hello::router()).canonical_lines(line));
    let running = app.clone().run_until_stopped();
    let announce = async {
        app.phases().reached(platform_core::lifecycle::Phase::Ready).await;
        let address = app.address("http").expect("a server that is ready has its address");
        listening.send(address.port()).map_err(io::Error::other)?;
        std::future::pending::<io::Result<()>>().await
    };
    tokio::select! {
        ended = running => ended.map(drop).map_err(io::Error::other),
        told = announce => told,
    }
}
