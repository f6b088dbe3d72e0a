//! Calls over loopback: the clients that a team would take.

use std::io;

use http_body_util::{BodyExt, Empty};
use hyper::{Request, Uri, body::Bytes};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tower::{Service, ServiceExt};

use super::resilience::stack;
use crate::child::{LIMIT, Orders, Taken, loaded};

/// reqwest with its timeout on.
pub(crate) async fn reqwest(orders: Orders) -> io::Result<Taken> {
    let client = reqwest::Client::builder().timeout(LIMIT).no_proxy().build().map_err(io::Error::other)?;
    let address = reqwest::Url::parse(&address(orders.port)).map_err(io::Error::other)?;
    loaded(orders, move || {
        let request = client.get(address.clone());
        async move {
            let Ok(reply) = request.send().await else { return false };
            reply.status().is_success() && reply.bytes().await.is_ok_and(|body| !body.is_empty())
        }
    })
    .await
}

/// tower-resilience's four layers around hyper-util's pooled client.
pub(crate) async fn resilience(orders: Orders) -> io::Result<Taken> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(connector);
    let stack = stack::<_, Request<Empty<Bytes>>>(client)?;
    let address: Uri = address(orders.port).parse().map_err(io::Error::other)?;
    loaded(orders, move || {
        let mut stack = stack.clone();
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = address.clone();
        async move {
            let Ok(ready) = stack.ready().await else { return false };
            let Ok(reply) = ready.call(request).await else { return false };
            let succeeded = reply.status().is_success();
            let body = reply.into_body().collect().await;
            succeeded && body.is_ok_and(|body| !body.to_bytes().is_empty())
        }
    })
    .await
}

fn address(port: u16) -> String {
    format!("http://127.0.0.1:{port}/hello")
}
