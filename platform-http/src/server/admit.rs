//! Admission below an identity layer: a tenant that is found out here counts in fair shares and rate limits.
//!
//! Without an identity layer the page asks the guards itself, above the routes.

use std::sync::{Arc, Mutex, PoisonError};

use http::Response;
use platform_core::{
    Context, Error, Outcome, Result, Tick,
    context::Deadline,
    stack::{Entry, ServerGuards, Slot},
};

use crate::{Body, problem};

/// A request's slot until the page has it: on the way back it travels in the reply's extensions.
#[derive(Clone)]
pub(super) struct Carried(Arc<Mutex<Option<Slot>>>);

impl Carried {
    fn new(slot: Slot) -> Self {
        Carried(Arc::new(Mutex::new(Some(slot))))
    }

    /// The slot, once.
    pub(super) fn take(&self) -> Option<Slot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The way in: a slot, which is lent while a body is waited for; none, or the refusal. After a wait the context's clock reading is new.
pub(super) async fn enter(
    guards: &Arc<ServerGuards>,
    class: u16,
    context: &mut Context,
    has_body: bool,
) -> Result<Option<Slot>> {
    let mut slot = match guards.enter(class, context) {
        Entry::Now(entered) => entered?,
        Entry::Wait(place) => guards.wait(class, place, context).await?,
    };
    if has_body && let (Some(slot), Some(notes)) = (&mut slot, context.notes()) {
        slot.lends(notes);
    }
    Ok(slot)
}

/// A slot whose request is being served; dropped with it, the request was cut or abandoned.
pub(super) struct Serving {
    slot: Option<Slot>,
    deadline: Option<Deadline>,
}

impl Serving {
    pub(super) fn new(slot: Option<Slot>, context: &Context) -> Self {
        Serving { slot, deadline: context.deadline() }
    }

    /// The slot goes on with the reply, whose page reports it.
    pub(super) fn answered(mut self, reply: Result<Response<Body>>) -> Response<Body> {
        let mut reply = reply.unwrap_or_else(problem::refused);
        if let Some(slot) = self.slot.take() {
            reply.extensions_mut().insert(Carried::new(slot));
        }
        reply
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            let now = Tick::now();
            let passed = self.deadline.is_some_and(|deadline| deadline.has_passed(now));
            let outcome = if passed { Outcome::Timeout } else { Outcome::Abandoned };
            slot.report(outcome, now);
        }
    }
}

/// What a slots' page needs to ask.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) guards: Arc<ServerGuards>,
    pub(super) paths: Arc<super::classes::Paths>,
}

impl Door {
    pub(super) async fn enter(
        &self,
        path: &str,
        context: &mut Context,
        has_body: bool,
    ) -> Result<Serving, Error> {
        let class = self.paths.of(path).class;
        let slot = enter(&self.guards, class, context, has_body).await?;
        Ok(Serving::new(slot, context))
    }
}
