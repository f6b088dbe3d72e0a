//! One discovery per process.

use std::sync::Arc;

use platform_core::{App, Result};
use platform_discovery::Discovery;

/// What this process knows about others; made when it is first asked for, and shared by all its clients.
///
/// A start waits for the first answer about each target, `discovery.start_wait` at most.
///
/// # Errors
/// A `[discovery]` section that cannot be meant.
pub fn discovery(app: &App) -> Result<Arc<Discovery>> {
    app.once("", || {
        let discovery = Discovery::of(app.config().section("discovery")?, app.identity(), app.metrics())?;
        let targets = discovery.clone();
        app.on_start("targets", move || async move {
            // Who is missing may still come; discovery has said so in the log, and calls fail fast until then.
            targets.ready(targets.start_wait()).await;
            Ok(())
        });
        Ok(discovery)
    })
}
