//! The service that every stack is put around.

use std::{
    fmt,
    hint::black_box,
    task::{Context, Poll},
};

use tower::Service;

use crate::child::Answer;

/// Answers a number with itself.
#[derive(Clone, Copy)]
pub(crate) struct Number {
    /// At the second look?
    pub(crate) pending: bool,
}

/// It never fails; the stacks want an error all the same.
pub(crate) type Answered = Result<u64, fmt::Error>;

impl Service<u64> for Number {
    type Response = u64;
    type Error = fmt::Error;
    type Future = Answer<Answered>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), fmt::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, number: u64) -> Self::Future {
        Answer::new(self.pending, Ok(black_box(number)))
    }
}

impl layered::Service<u64> for Number {
    type Out = Answered;

    fn execute(&self, number: u64) -> impl Future<Output = Answered> + Send {
        Answer::new(self.pending, Ok(black_box(number)))
    }
}

/// What is asked.
pub(crate) const NUMBER: u64 = 7;
