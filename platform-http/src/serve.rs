//! Serve: the server, the admin listener, the registration, and one lifecycle.

use std::process::ExitCode;

use axum::Router;
use platform_core::{App, Result};

use crate::Server;

/// Serves `routes` until a signal: on the address of `[server]`, with the admin listener beside it, registered
/// while ready. This is the last line of a service's `main`.
///
/// # Errors
/// None: what goes wrong is told on standard error and in the exit status ([`App::run`]).
pub async fn serve(app: App, routes: Router) -> Result<ExitCode> {
    app.add(Server::new(routes));
    app.run().await
}
