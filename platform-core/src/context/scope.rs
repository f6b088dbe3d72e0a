//! The one bridge to business code.
//!
//! One writer, the server's stack around a handler; one reader, a client whose request has no context.

use std::{borrow::Cow, future::Future};

use tokio::task::JoinHandle;
use tracing::Instrument as _;

use super::Context;
use crate::tick::Tick;

tokio::task_local! {
    static CURRENT: Context;
}

/// Runs `work` with `context` beside it.
pub fn scope<F: Future>(context: Context, work: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(context, work)
}

/// The context of the request being served, if one is.
pub fn current() -> Option<Context> {
    CURRENT.try_with(Clone::clone).ok()
}

/// What a call begun at `now` starts with: the context of the request being served, else a new root.
pub fn inherit(now: impl Into<Tick>) -> Context {
    let now = now.into();
    with_current(|context| context.child(now)).unwrap_or_else(|| Context::root(now))
}

/// Looks at the context of the request being served without cloning it.
pub fn with_current<T>(look: impl FnOnce(&Context) -> T) -> Option<T> {
    CURRENT.try_with(look).ok()
}

/// Adds a field to the canonical line of the request being served; does nothing outside one.
pub fn note(key: &'static str, value: impl Into<Cow<'static, str>>) {
    with_current(|context| {
        if let Some(notes) = context.notes() {
            notes.add(key, value);
        }
    });
}

/// Spawns a task that keeps the request's context, deadline included: what it does is part of the answer.
pub fn spawn<F>(work: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    spawn_under(current(), work)
}

/// Spawns a task for work that must finish although the caller's deadline passes: it keeps the trace and the
/// tenant, and loses the deadline.
pub fn spawn_detached<F>(work: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    spawn_under(current().map(Context::without_deadline), work)
}

#[expect(clippy::disallowed_methods, reason = "this is the spawn that keeps the context")]
fn spawn_under<F>(context: Option<Context>, work: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    let work = work.in_current_span();
    match context {
        Some(context) => tokio::spawn(CURRENT.scope(context, work)),
        None => tokio::spawn(work),
    }
}
