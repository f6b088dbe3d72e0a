//! The smallest service: one route, and everything that comes with the platform.

use std::process::ExitCode;

use axum::{Router, extract::Path, routing::get};
use platform_core::{App, Result};

async fn hello(Path(name): Path<String>) -> String {
    format!("Hello, {name}!\n")
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let app = App::start("hello").await?;
    let routes = Router::new().route("/hello/{name}", get(hello));
    platform_http::serve(app, routes).await
}
