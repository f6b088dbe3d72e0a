//! Calls over loopback: our client, and the pooled client that it is built on.

use std::io;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Uri};
use hyper_util::{
    client::legacy::{Client as Pooled, connect::HttpConnector},
    rt::TokioExecutor,
};
use platform_core::{App, config::Config};
use platform_http::Client;

use crate::child::{IN_FLIGHT, LIMIT, Orders, Taken, loaded, runtime};

/// hyper-util's client alone.
pub(crate) fn pooled(orders: Orders) -> io::Result<Taken> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Pooled::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(connector);
    let address: Uri = format!("http://127.0.0.1:{}/hello", orders.port).parse().map_err(io::Error::other)?;
    runtime()?.block_on(loaded(orders, move || {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = address.clone();
        let reply = client.request(request);
        async move {
            let Ok(reply) = reply.await else { return false };
            let succeeded = reply.status().is_success();
            let body = reply.into_body().collect().await;
            succeeded && body.is_ok_and(|body| !body.to_bytes().is_empty())
        }
    }))
}

/// Ours, with everything that is on by default.
pub(crate) fn platform(orders: Orders) -> io::Result<Taken> {
    runtime()?.block_on(async {
        let config = Config::builder()
            .set("telemetry.log.format", "json")
            // Every line is told, however many there are: one that is suppressed costs less.
            .set("telemetry.log.bytes_per_second", "none")
            // As in the server: one call in a hundred is recorded, for nobody.
            .set("telemetry.traces.endpoint", "http://127.0.0.1:9")
            .load()
            .map_err(io::Error::other)?;
        let app = App::builder("caller").config(config).start().await.map_err(io::Error::other)?;
        let client = Client::builder(&app, "hello")
            .target(format!("fixed://127.0.0.1:{}", orders.port))
            .policy(|policy| {
                policy.timeout = Some(LIMIT);
                policy.attempt_timeout = Some(LIMIT);
            })
            // As many connections as the other clients keep.
            .connect(|connect| connect.pool.per_endpoint = IN_FLIGHT as usize)
            .build()
            .map_err(io::Error::other)?;
        loaded(orders, move || {
            let request = client.get("/hello");
            async move {
                let Ok(reply) = request.send().await else { return false };
                reply.status().is_success() && reply.bytes().await.is_ok_and(|body| !body.is_empty())
            }
        })
        .await
    })
}
