//! Serve: services, the admin listener, the registration, and one lifecycle.

use std::process::ExitCode;

use platform_core::{App, Result};

use crate::{Services, joined_catalogue};

/// Serves `services` until a signal, as [`platform_http::serve`] does routes.
///
/// # Errors
/// None: what goes wrong is told on standard error and in the exit status ([`App::run`]).
pub async fn serve(app: App, services: impl IntoServices) -> Result<ExitCode> {
    match services.into_services().and_then(|services| prepare(&app, services)) {
        Ok(()) => app.run().await,
        Err(error) => Ok(app.refuse(&error)),
    }
}

/// Services, or why there are none.
pub trait IntoServices {
    /// The services.
    ///
    /// # Errors
    /// Why they could not be made.
    fn into_services(self) -> Result<Services>;
}

impl IntoServices for Services {
    fn into_services(self) -> Result<Services> {
        Ok(self)
    }
}

impl IntoServices for Result<Services> {
    fn into_services(self) -> Result<Services> {
        self
    }
}

/// Adds what every service has, as [`platform_http::prepare`] does.
///
/// # Errors
/// A section that cannot be meant; descriptors that are none.
pub fn prepare(app: &App, services: Services) -> Result<()> {
    platform_http::prepare(app, services.into_server(app)?)?;
    // The later word of two on one part counts.
    app.describe("metrics", || joined_catalogue().to_json());
    Ok(())
}
