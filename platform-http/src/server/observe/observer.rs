//! What does one server count, and where does it tell its requests?

use std::sync::Arc;

use platform_core::{
    App, Tick,
    context::wire::{Field, Rejected},
    telemetry::{Counter, CounterFamily, Gauge, Logs, Traces},
};

use crate::server::{
    dialect::Dialect,
    durations::{METHODS, Route},
    load::Load,
    metrics::{
        ACTIVE, ActiveLabels, DEGRADED, DURATION, DegradedLabels, FieldLabels, PANICS, REJECTED, RouteLabels,
        SLOW_POLLS,
    },
    route::Routes,
};

/// Tells every request of one server; cheap to clone.
#[derive(Clone)]
pub(in crate::server) struct Observer(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) routes: Routes<Route>,
    pub(super) active: [Gauge; METHODS.len()],
    pub(super) rejected: [Counter; Field::ALL.len()],
    pub(super) panics: Counter,
    pub(super) degraded: CounterFamily<DegradedLabels>,
    pub(super) slow_polls: CounterFamily<RouteLabels>,
    pub(super) traces: Traces,
    pub(super) logs: Logs,
    pub(super) lines: bool,
    pub(super) scheme: &'static str,
    pub(super) dialect: Option<Arc<dyn Dialect>>,
    pub(super) load: Load,
}

impl Observer {
    /// The observer of `app`'s server; `lines` says whether it writes canonical lines, `dialect` what else is spoken,
    /// `scheme` whether TLS is around it.
    pub(in crate::server) fn new(
        app: &App,
        lines: bool,
        dialect: Option<Arc<dyn Dialect>>,
        scheme: &'static str,
    ) -> Self {
        let metrics = app.metrics();
        let objectives = app.objectives();
        let durations = metrics.histogram_with_bounds(&DURATION, &objectives.bounds());
        let promised = objectives.any();
        let slow_polls = metrics.counter(&SLOW_POLLS);
        let of_route = slow_polls.clone();
        let (active, rejected) = (metrics.gauge(&ACTIVE), metrics.counter(&REJECTED));
        Observer(Arc::new(Inner {
            routes: Routes::new(move |path| Route::new(path, scheme, durations.clone(), promised, &of_route)),
            active: METHODS.map(|method| active.with(&ActiveLabels { method, scheme })),
            rejected: Field::ALL.map(|field| rejected.with(&FieldLabels(field))),
            panics: metrics.counter(&PANICS).with(&()),
            degraded: metrics.counter(&DEGRADED),
            slow_polls,
            traces: app.traces().clone(),
            logs: app.logs().clone(),
            lines,
            scheme,
            dialect,
            load: Load::new(Tick::now()),
        }))
    }

    pub(in crate::server) fn routes(&self) -> &Routes<Route> {
        &self.0.routes
    }

    /// A request is here of which everything is kept.
    pub(in crate::server) fn hear_debug(&self) {
        self.0.logs.hear_debug();
    }

    pub(in crate::server) fn traces(&self) -> &Traces {
        &self.0.traces
    }

    /// A reply is made without each of `names`.
    #[cold]
    pub(in crate::server) fn count_degraded(&self, names: &str) {
        for name in names.split(',') {
            self.0.degraded.with(&DegradedLabels(Arc::from(name))).inc();
        }
    }

    pub(in crate::server) fn count_rejected(&self, rejected: Rejected) {
        for field in rejected.iter() {
            self.0.rejected[field as usize].inc();
        }
    }
}
