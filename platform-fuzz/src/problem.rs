//! What another service says of what went wrong there.

use std::{
    future::ready,
    sync::{Arc, LazyLock, Mutex},
};

use http::{HeaderValue, Request, Response, StatusCode, header};
use platform_core::{App, ErrorKind, config::Config};
use platform_http::{Body, Client, client::slots::Rest};
use tokio::runtime::{Builder, Runtime};
use tower::service_fn;
use tower_layer::layer_fn;

use crate::assert_one_line;

/// A problem document, as an answer to a call.
pub fn problem(bytes: &[u8]) {
    let ground = &*GROUND;
    *ground.said.lock().expect("nobody panics with it") = bytes.to_vec();
    let asked = async { ground.client.get("/films").send().await?.error_for_status().await };
    let error = ground.runtime.block_on(asked).expect_err("a 503 is an error");
    assert_eq!(error.kind(), ErrorKind::Upstream);
    let told = error.to_string();
    assert_one_line(&told);
    assert!(told.contains("503"), "whatever was said, the status is told: {told}");
    // Four texts of 500 characters, of which one has four bytes at most.
    assert!(told.len() <= 4 * 4 * 500 + 512, "{} bytes for a line of a log", told.len());
}

/// A client whose calls are answered before they cost anything.
struct Ground {
    runtime: Runtime,
    client: Client,
    said: Arc<Mutex<Vec<u8>>>,
}

static GROUND: LazyLock<Ground> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let said = Arc::new(Mutex::default());
    let answers = Arc::clone(&said);
    let made = async {
        let app = App::builder("fuzz").config(Config::default()).start().await?;
        let layer = layer_fn(move |_: Rest| {
            let said = Arc::clone(&answers);
            service_fn(move |_: Request<Body>| ready(Ok(answer(&said))))
        });
        Client::builder(&app, "catalog").target("fixed://127.0.0.1:1").around_call(layer).build()
    };
    let client = runtime.block_on(made).expect("a client");
    Ground { runtime, client, said }
});

/// A reply with what was said.
fn answer(said: &Mutex<Vec<u8>>) -> Response<Body> {
    let said = said.lock().expect("nobody panics with it").clone();
    let mut reply = Response::new(Body::reply(said));
    *reply.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    reply
}
