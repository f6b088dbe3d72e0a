//! seatbelt: retry, breaker and timeout.

use std::fmt;

use layered::{Service, Stack};
use seatbelt::{RecoveryInfo, ResilienceContext, breaker::Breaker, retry::Retry, timeout::Timeout};
use tick::Clock;

use super::service::{Answered, NUMBER, Number};
use crate::child::LIMIT;

/// The three around the service, driven by tokio's clock.
pub(crate) fn stack(pending: bool) -> impl Service<u64, Out = Answered> {
    let context = ResilienceContext::new(Clock::new_tokio()).name("peer");
    (
        Retry::layer("retry", &context).clone_input().recovery_with(|answered, _| recovery(answered)),
        Breaker::layer("breaker", &context)
            .recovery_with(|answered, _| recovery(answered))
            .rejected_input_error(|_, _| fmt::Error),
        Timeout::layer("timeout", &context).timeout(LIMIT).timeout_error(|_| fmt::Error),
        Number { pending },
    )
        .into_service()
}

/// One call; did it succeed?
pub(crate) async fn ask(stack: &impl Service<u64, Out = Answered>) -> bool {
    stack.execute(NUMBER).await.is_ok_and(|answer| answer == NUMBER)
}

fn recovery(answered: &Answered) -> RecoveryInfo {
    match answered {
        Ok(_) => RecoveryInfo::never(),
        Err(_) => RecoveryInfo::retry(),
    }
}
