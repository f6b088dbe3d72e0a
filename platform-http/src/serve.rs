//! Serve: the server, the admin listener, the registration, and one lifecycle.

use std::{process::ExitCode, sync::Arc};

use axum::Router;
use platform_core::{App, Result};
use platform_discovery::register::Announcement;
use serde_json::{Value, json};

use crate::{Admin, Server, admin::Views, client, discovery, server};

/// Serves `routes` until a signal: on the address of `[server]`, with the admin listener beside it, registered
/// while ready. This is the last line of a service's `main`.
///
/// Routes that could not be made are as good an argument: where clients and settings are read in a function of
/// their own, what is refused there ends the process with its own status (78 for a configuration) instead of the
/// 1 that a `main` gets for its `?`.
///
/// ```no_run
/// use std::{process::ExitCode, sync::Arc};
///
/// use axum::Router;
/// use platform_core::{App, Result};
/// use platform_http::{Client, serve};
///
/// fn routes(app: &App) -> Result<Router> {
///     let catalog = Client::for_target(app, "catalog")?;
///     Ok(Router::new().with_state(catalog))
/// }
///
/// # async fn main_() -> Result<ExitCode> {
/// let app = App::start("edge").await?;
/// let routes = routes(&app);
/// serve(app, routes).await
/// # }
/// ```
///
/// # Errors
/// None: what goes wrong is told on standard error and in the exit status ([`App::run`]).
pub async fn serve(app: App, routes: impl IntoRoutes) -> Result<ExitCode> {
    match routes.into_routes().and_then(|routes| prepare(&app, Server::new(routes))) {
        Ok(()) => app.run().await,
        Err(error) => Ok(app.refuse(&error)),
    }
}

/// Routes, or why there are none.
pub trait IntoRoutes {
    /// The routes.
    ///
    /// # Errors
    /// Why they could not be made.
    fn into_routes(self) -> Result<Router>;
}

impl IntoRoutes for Router {
    fn into_routes(self) -> Result<Router> {
        Ok(self)
    }
}

impl IntoRoutes for Result<Router> {
    fn into_routes(self) -> Result<Router> {
        self
    }
}

/// Adds what every service has: `server`, the admin listener, the registration while it is ready.
///
/// For a server that is set in code: `prepare(&app, Server::new(routes).cors(cors))?`, then
/// [`App::run`].
///
/// In a test, on free ports and known to nobody:
///
/// ```
/// use axum::{Router, routing::get};
/// use platform_core::{App, Result, config::Config, context, lifecycle::Phase};
/// use platform_http::{Client, Server, prepare};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let config = "
///     [server]
///     listen = \"127.0.0.1:0\"
///     [admin]
///     listen = \"127.0.0.1:0\"
///     [discovery]
///     register = { mode = \"off\" }
/// ";
/// let app = App::builder("orders").config(Config::builder().toml(config).load()?).start().await?;
/// prepare(&app, Server::new(Router::new().route("/hello", get(|| async { "hello" }))))?;
/// let running = context::spawn(app.clone().run_until_stopped());
/// app.phases().reached(Phase::Ready).await;
///
/// let address = app.address("http").expect("ready, so it listens");
/// let client = Client::builder(&app, "myself").target(format!("fixed://{address}")).build()?;
/// assert_eq!(client.get("/hello").send().await?.text().await?, "hello");
///
/// app.stop("the test", "it is over");
/// assert_eq!(running.await.expect("it does not panic")?.code(), 0);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// A section that cannot be meant.
pub fn prepare(app: &App, server: Server) -> Result<()> {
    // Read again when the address is taken; here so that `--check` finds what is wrong with it.
    server::Config::of(app)?;
    app.add(Admin::new(app)?);
    app.add(server);
    app.describe("metrics", || crate::joined_catalogue().to_json());
    let views = Views::of(app);
    let (clients, found) = (app.clone(), discovery(app)?);
    let known = Arc::clone(&found);
    let stack = move || -> Value {
        let clients = client::described(&clients);
        clients.into_iter().map(|(target, layers)| json!({ "target": &*target, "layers": layers })).collect()
    };
    app.describe("stack", stack.clone());
    views.add("stack", stack);
    views.add("targets", move || json!(found.targets()));
    let discovery = platform_discovery::Config::of(app.config())?;
    if let Some(announcement) = Announcement::of(discovery, app.identity()) {
        app.announce(announcement);
        discovery::count_equals(app, known)?;
    }
    Ok(())
}
