//! The JSON hello without anything around it.

use std::{convert::Infallible, io};

use axum::{Json, Router, routing::get};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue},
    service::service_fn,
};
use hyper_util::service::TowerToHyperService;
use serde::Serialize;

use crate::child::{self, Listening};

#[derive(Serialize)]
struct Hello {
    message: &'static str,
}

/// Bare hyper.
pub(crate) async fn hyper(listening: Listening) -> io::Result<()> {
    child::serve(listening, service_fn(async |request| Ok::<_, Infallible>(answer(&request)))).await
}

/// Bare axum on the same connection loop.
pub(crate) async fn axum(listening: Listening) -> io::Result<()> {
    child::serve(listening, TowerToHyperService::new(router())).await
}

/// The router that every stack is put around.
pub(crate) fn router() -> Router {
    Router::new().route("/hello", get(hello))
}

async fn hello() -> Json<Hello> {
    Json(Hello { message: "hello" })
}

fn answer(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let mut response = Response::default();
    if request.method() != Method::GET || request.uri().path() != "/hello" {
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    }
    let body = serde_json::to_vec(&Hello { message: "hello" }).expect("a message is JSON");
    *response.body_mut() = Full::from(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, sync::mpsc};

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;
    use crate::load::{HELLO, Load, Until};

    // The port comes over a std channel: somebody else than the server must wait for it.
    async fn started(
        serve: impl Future<Output = io::Result<()>> + Send + 'static,
        port: mpsc::Receiver<u16>,
    ) -> u16 {
        platform_core::context::spawn(serve);
        tokio::task::spawn_blocking(move || port.recv().unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn the_generator_counts_every_answer_of_bare_axum() {
        let (listening, port) = mpsc::channel();
        let port = started(axum(listening), port).await;
        let mut load = Load::connect(port, 4, HELLO).await.unwrap();
        assert_eq!(load.run(Until::Each(50)).await.unwrap(), 200);
        assert_eq!(load.run(Until::Each(1)).await.unwrap(), 4, "connections are kept");
    }

    #[tokio::test]
    async fn bare_hyper_and_bare_axum_say_the_same() {
        let (listening, port) = mpsc::channel();
        let hyper = said(started(hyper(listening), port).await).await;
        let (listening, port) = mpsc::channel();
        let axum = said(started(axum(listening), port).await).await;
        assert_eq!(hyper, axum);
        assert!(axum.contains(&"{\"message\":\"hello\"}".to_owned()), "{axum:?}");
    }

    /// The answer's lines without the date, in any order.
    async fn said(port: u16) -> Vec<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        stream.write_all(b"GET /hello HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let lines = answer.split("\r\n").filter(|line| !line.starts_with("date:"));
        let mut lines: Vec<String> = lines.map(String::from).collect();
        lines.sort();
        lines
    }
}
