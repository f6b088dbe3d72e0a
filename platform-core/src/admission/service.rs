//! Admit: the only admission service in the platform, and its layer.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{self, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{Admission, Gate, Permit, gate::Turn};
use crate::{
    call::{Call, Guard, Release, Reply},
    error::Error,
    observe,
};

/// Makes a gate a tower layer. Every service that it makes shares the gate.
#[derive(Debug)]
pub struct AdmissionLayer<A>(Arc<Gate<A>>);

impl<A: Admission> AdmissionLayer<A> {
    /// The layer of a gate.
    pub fn new(gate: impl Into<Arc<Gate<A>>>) -> Self {
        AdmissionLayer(gate.into())
    }
}

impl<A> Clone for AdmissionLayer<A> {
    fn clone(&self) -> Self {
        AdmissionLayer(Arc::clone(&self.0))
    }
}

impl<S, A: Admission> Layer<S> for AdmissionLayer<A> {
    type Service = Admit<S, A>;

    fn layer(&self, inner: S) -> Admit<S, A> {
        Admit { inner, gate: Arc::clone(&self.0) }
    }
}

/// A service behind a gate. What a reply meant is read from [`Reply::verdict`]; a reply without one is a success,
/// and an error says it itself.
#[derive(Debug)]
pub struct Admit<S, A> {
    inner: S,
    gate: Arc<Gate<A>>,
}

impl<S: Clone, A> Clone for Admit<S, A> {
    fn clone(&self) -> Self {
        Admit { inner: self.inner.clone(), gate: Arc::clone(&self.gate) }
    }
}

impl<S, Q, A> Service<Q> for Admit<S, A>
where
    Q: Call,
    A: Admission,
    S: Service<Q> + Clone + Send + 'static,
    S::Response: Reply,
    S::Error: Into<Error>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = Error;
    type Future = AdmitFuture<S::Future, S::Response, A>;

    // R8 Nothing is decided here: a permit that is taken while polling is lost when the service is cloned.
    fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, call: Q) -> Self::Future {
        let state = match self.gate.turn(call.context()) {
            Turn::Now(Ok(ticket)) => {
                let permit = Permit::new(Arc::clone(&self.gate), ticket, call.context().deadline());
                State::Running { permit: Some(permit), inner: self.inner.call(call) }
            }
            Turn::Now(Err(error)) => State::Refused { error: Some(error) },
            Turn::Wait => {
                // The service that was polled ready waits with the call; a clone stays behind to be readied anew.
                let clone = self.inner.clone();
                let ready = mem::replace(&mut self.inner, clone);
                State::Waiting { all: Box::pin(after_a_wait(Arc::clone(&self.gate), ready, call)) }
            }
        };
        AdmitFuture { state }
    }
}

async fn after_a_wait<S, Q, A>(gate: Arc<Gate<A>>, mut inner: S, mut call: Q) -> Result<S::Response, Error>
where
    Q: Call,
    A: Admission,
    S: Service<Q>,
    S::Response: Reply,
    S::Error: Into<Error>,
{
    let ticket = gate.wait(call.context_mut()).await?;
    let permit = Permit::new(gate, ticket, call.context().deadline());
    let result = inner.call(call).await.map_err(Into::into);
    end(permit, result)
}

/// Reports, and keeps the capacity for as long as the reply is read.
fn end<R: Reply, A: Admission>(
    permit: Permit<Arc<Gate<A>>, A>,
    result: Result<R, Error>,
) -> Result<R, Error> {
    let kept = permit.report(&observe::verdict(result.as_ref()));
    let mut reply = result?;
    if let Some(gate) = kept.pass_on() {
        reply.hold(Guard::new(gate, 0));
    }
    Ok(reply)
}

impl<A: Admission> Release for Gate<A> {
    fn release(&self, _ticket: u64) {
        self.engine().release();
    }
}

pin_project! {
    /// The future of [`Admit`].
    #[must_use = "futures do nothing unless polled"]
    pub struct AdmitFuture<F, R, A: Admission> {
        #[pin]
        state: State<F, R, A>,
    }
}

pin_project! {
    #[project = Project]
    enum State<F, R, A: Admission> {
        // It goes on. The permit stands first, so that it reports before what it guards is dropped.
        Running { permit: Option<Permit<Arc<Gate<A>>, A>>, #[pin] inner: F },
        // It waits for its turn, and then goes on.
        Waiting { all: Pin<Box<dyn Future<Output = Result<R, Error>> + Send>> },
        // It may not.
        Refused { error: Option<Error> },
    }
}

impl<F, R, E, A> Future for AdmitFuture<F, R, A>
where
    F: Future<Output = Result<R, E>>,
    R: Reply,
    E: Into<Error>,
    A: Admission,
{
    type Output = Result<R, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            Project::Running { permit, inner } => {
                let result = ready!(inner.poll(cx)).map_err(Into::into);
                let permit = permit.take().expect("polled once to its end");
                Poll::Ready(end(permit, result))
            }
            Project::Waiting { all } => all.as_mut().poll(cx),
            Project::Refused { error } => Poll::Ready(Err(error.take().expect("polled once to its end"))),
        }
    }
}
