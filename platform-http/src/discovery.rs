//! One discovery per process.

use std::sync::Arc;

use platform_core::{
    App, Result,
    lifecycle::{Drain, OnDeath},
    stack::Targets,
};
use platform_discovery::{Config, Discovery, State, Target};

/// What this process knows about others; made when it is first asked for, and shared by all its clients.
///
/// A start waits for the first answer about each target, `discovery.start_wait` at most.
///
/// # Errors
/// A `[discovery]` section that cannot be meant.
pub fn discovery(app: &App) -> Result<Arc<Discovery>> {
    app.once("", || {
        let discovery = Discovery::of(Config::of(app.config())?, app.identity(), app.metrics())?;
        let targets = discovery.clone();
        app.on_start("targets", move || async move {
            // Who is missing may still come; discovery has said so in the log, and calls fail fast until then.
            targets.ready(targets.start_wait()).await;
            Ok(())
        });
        Ok(discovery)
    })
}

/// Counts the instances of this service in its registry, because they share the floor of each target's budget:
/// a hundred instances that each repeat ten times a second for nothing are a thousand. And they share out what they
/// call: which of very many endpoints each knows, and how much of a zone's traffic stays there.
///
/// # Errors
/// When this build cannot read that registry.
pub(crate) fn count_equals(app: &App, discovery: Arc<Discovery>) -> Result<()> {
    let Ok(own) = Target::parse(&app.identity().name) else {
        // Nor can it be registered, and that is where it is told.
        return Ok(());
    };
    // Said now, and not once a second by a task that cannot begin.
    discovery.can_watch(&own)?;
    let targets = Targets::of(app);
    app.spawn("equals", OnDeath::Restart, move |drain: Drain| {
        let (targets, discovery) = (Arc::clone(&targets), Arc::clone(&discovery));
        let equals = discovery.follow(&own);
        async move {
            let mut equals = equals?;
            loop {
                let set = tokio::select! {
                    set = equals.changed() => set,
                    () = drain.asked() => return Ok(()),
                };
                discovery.set_equals(&set);
                let known = set.count(State::Ready);
                targets.set_clients(u32::try_from(known).unwrap_or(u32::MAX).max(1));
            }
        }
    });
    Ok(())
}
