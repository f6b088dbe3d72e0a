//! The one timer.

use std::{
    future::Future,
    pin::Pin,
    task::{self, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep_until};

use super::Limit;
use crate::error::Result;

/// Runs `work` until `limit`; what was reached is the error. Without a limit it runs to its end.
pub fn within<F: Future>(limit: Option<Limit>, work: F) -> Within<F> {
    Within { limit, work, timer: None }
}

pin_project! {
    /// The future of [`within`].
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct Within<F> {
        limit: Option<Limit>,
        #[pin]
        work: F,
        // Registering a timer costs as much as all guards together, and an answer that is there at the
        // first look needs none.
        #[pin]
        timer: Option<Sleep>,
    }
}

impl<F: Future> Future for Within<F> {
    type Output = Result<F::Output, Limit>;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.work.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        poll_limit(*this.limit, this.timer, cx).map(Err)
    }
}

/// [`within`] for what answers, or fails, itself: what was reached is the error that it tells.
///
/// The answer is put into its place at once, because it is large and whoever hands it on moves it.
#[inline]
pub(crate) fn answered_within<'a, T, F>(
    limit: Option<Limit>,
    work: Pin<&'a mut F>,
    answer: &'a mut Option<T>,
) -> AnsweredWithin<'a, T, F> {
    AnsweredWithin { limit, work, answer, timer: None }
}

pin_project! {
    /// The future of [`answered_within`].
    #[must_use = "futures do nothing unless polled"]
    pub(crate) struct AnsweredWithin<'a, T, F> {
        limit: Option<Limit>,
        work: Pin<&'a mut F>,
        answer: &'a mut Option<T>,
        #[pin]
        timer: Option<Sleep>,
    }
}

impl<T, F: Future<Output = Result<T>>> Future for AnsweredWithin<'_, T, F> {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Result<()>> {
        let this = self.project();
        match this.work.as_mut().poll(cx) {
            Poll::Ready(Ok(answer)) => {
                **this.answer = Some(answer);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => poll_limit(*this.limit, this.timer, cx).map(|limit| Err(limit.exceeded())),
        }
    }
}

/// The one timer: made when it is first asked for, because an answer that is there at the first look needs none.
fn poll_limit(
    limit: Option<Limit>,
    mut timer: Pin<&mut Option<Sleep>>,
    cx: &mut task::Context<'_>,
) -> Poll<Limit> {
    let Some(limit) = limit else { return Poll::Pending };
    if timer.is_none() {
        timer.set(Some(sleep_until(limit.deadline().instant())));
    }
    // A timer that is made and not polled is not registered, and nobody would ever be woken.
    ready!(timer.as_pin_mut().expect("armed above").poll(cx));
    Poll::Ready(limit)
}

#[cfg(test)]
mod tests {
    use std::{future::pending, time::Duration};

    use tokio::time::{Instant, sleep};

    use super::*;

    fn limit(ms: u64) -> Option<Limit> {
        Limit::of_call(None, Some(Duration::from_millis(ms)), Instant::now())
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_at_the_limit_and_not_before() {
        let begun = Instant::now();
        let ended = within(limit(250), pending::<()>()).await.unwrap_err();
        assert_eq!(begun.elapsed(), Duration::from_millis(250));
        assert_eq!(Some(ended), Limit::of_call(None, Some(Duration::from_millis(250)), begun));
    }

    #[tokio::test(start_paused = true)]
    async fn what_answers_in_time_is_left_alone() {
        let answer = async {
            sleep(Duration::from_millis(249)).await;
            7
        };
        assert_eq!(within(limit(250), answer).await, Ok(7));
    }

    /// Not even when it is over already: an answer that is there is worth more than a rule.
    #[tokio::test(start_paused = true)]
    async fn what_answers_at_once_needs_no_time() {
        assert_eq!(within(limit(0), async { 7 }).await, Ok(7));
    }

    #[tokio::test]
    async fn no_timer_is_armed_before_the_work_was_pending() {
        let mut work = std::pin::pin!(within(limit(250), async { 7 }));
        assert!(work.timer.is_none());
        assert_eq!(work.as_mut().await, Ok(7));
        assert!(work.timer.is_none(), "the answer was there at the first look");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_it_waits() {
        let late = async {
            sleep(Duration::from_secs(86_400)).await;
            7
        };
        assert_eq!(within(None, late).await, Ok(7));
    }
}
