//! Serve: the server, the admin listener, the registration, and one lifecycle.

use std::process::ExitCode;

use axum::Router;
use platform_core::{App, Result, telemetry::catalogue::Catalogue};
use platform_discovery::register::Announcement;
use serde_json::{Value, json};

use crate::{Admin, Server, admin::Views, client, discovery, server};

/// Serves `routes` until a signal: on the address of `[server]`, with the admin listener beside it, registered
/// while ready. This is the last line of a service's `main`.
///
/// # Errors
/// None: what goes wrong is told on standard error and in the exit status ([`App::run`]).
pub async fn serve(app: App, routes: Router) -> Result<ExitCode> {
    match prepare(&app, Server::new(routes)) {
        Ok(()) => app.run().await,
        Err(error) => Ok(app.refuse(&error)),
    }
}

/// Adds what every service has: `server`, the admin listener, the registration while it is ready.
///
/// For a server that is set in code: `prepare(&app, Server::new(routes).cors(cors))?`, then
/// [`App::run`].
///
/// # Errors
/// A section that cannot be meant.
pub fn prepare(app: &App, server: Server) -> Result<()> {
    // Read again when the address is taken; here so that `--check` finds what is wrong with it.
    server::Config::of(app)?;
    app.add(Admin::new(app)?);
    app.add(server);
    app.describe("metrics", || {
        platform_core::catalogue()
            .join(Catalogue::default().room("discovery", platform_discovery::catalogue(), vec![]))
            .join(Catalogue::default().room("http", crate::catalogue(), vec![]))
            .to_json()
    });
    let views = Views::of(app);
    let (clients, found) = (app.clone(), discovery(app)?);
    let stack = move || -> Value {
        let clients = client::described(&clients).unwrap_or_default();
        clients.into_iter().map(|(target, layers)| json!({ "target": &*target, "layers": layers })).collect()
    };
    app.describe("stack", stack.clone());
    views.add("stack", stack);
    views.add("targets", move || json!(found.targets()));
    let discovery: platform_discovery::Config = app.config().section("discovery")?;
    if let Some(announcement) = Announcement::of(discovery, app.identity()) {
        app.announce(announcement);
    }
    Ok(())
}
