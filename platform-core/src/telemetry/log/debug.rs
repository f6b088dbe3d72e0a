//! Who asked that everything about this request be kept?
//!
//! A request that carries `platform-debug` from somebody who may ask for it is heard at debug, and no other is. Until
//! the first of them arrives the filter is the one that is configured, and a `debug!` costs a comparison; after that one
//! costs a look at the request's context.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use tracing::{Event, Metadata, Subscriber, level_filters::LevelFilter, span, subscriber::Interest};
use tracing_subscriber::layer::{Context, Filter};

use crate::context::with_current;

/// Has there been such a request? Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard(Arc<AtomicBool>);

impl Heard {
    /// The first one is here.
    pub(super) fn on(&self) {
        if !self.0.load(Relaxed) && !self.0.swap(true, Relaxed) {
            // Each place in the code remembers whether anybody listens.
            tracing::callsite::rebuild_interest_cache();
        }
    }

    fn may(&self, metadata: &Metadata<'_>) -> bool {
        self.0.load(Relaxed) && *metadata.level() <= FINEST
    }
}

/// A filter, and beside it those requests.
pub(super) struct HearDebug<F> {
    filter: F,
    heard: Heard,
}

impl<F> HearDebug<F> {
    pub(super) fn new(filter: F, heard: Heard) -> Self {
        HearDebug { filter, heard }
    }
}

impl<S: Subscriber, F: Filter<S>> Filter<S> for HearDebug<F> {
    fn enabled(&self, metadata: &Metadata<'_>, context: &Context<'_, S>) -> bool {
        self.filter.enabled(metadata, context)
            || (self.heard.may(metadata) && with_current(|request| request.is_debug()) == Some(true))
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        let interest = self.filter.callsite_enabled(metadata);
        if interest.is_never() && self.heard.may(metadata) { Interest::sometimes() } else { interest }
    }

    fn event_enabled(&self, event: &Event<'_>, context: &Context<'_, S>) -> bool {
        self.filter.event_enabled(event, context)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let hint = self.filter.max_level_hint();
        if self.heard.0.load(Relaxed) { hint.map(|hint| hint.max(FINEST)) } else { hint }
    }

    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        self.filter.on_new_span(attributes, id, context);
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        self.filter.on_record(id, values, context);
    }

    fn on_enter(&self, id: &span::Id, context: Context<'_, S>) {
        self.filter.on_enter(id, context);
    }

    fn on_exit(&self, id: &span::Id, context: Context<'_, S>) {
        self.filter.on_exit(id, context);
    }

    fn on_close(&self, id: span::Id, context: Context<'_, S>) {
        self.filter.on_close(id, context);
    }
}

/// Trace is for whoever wrote a library: a connection alone says hundreds of such lines for a request.
const FINEST: LevelFilter = LevelFilter::DEBUG;
