//! May a call wait until there is somebody to ask?
//!
//! Mostly it may not, beyond `balance.set.empty_wait`: who waits for a page wants to hear soon that there is none. A call
//! that says so (gRPC's wait-for-ready) waits as long as its limit allows, below the call's clock and above all that costs
//! the target or holds a place. It goes on again and again where nothing was sent: there was nobody, no connection could
//! be made, or the breaker believed as much. What was sent is never sent again for its sake.

use http::Request;
use platform_core::{
    Error, ErrorKind, Result,
    call::Call as _,
    deadline::Limit,
    stack::{Answered, ClientStack, Sending},
};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{Reply, dialect::Dialect, protocol::Http, reach::backoff};
use crate::Body;

/// [`ClientStack::call_inside`], as often as it takes for somebody to be asked.
pub(super) async fn call_inside<D: Dialect>(
    stack: &ClientStack,
    wire: &Http<D>,
    mut call: Request<Body>,
    limit: Option<Limit>,
) -> Result<Answered<Reply>> {
    let (mut last, mut tries, mut next) = (None, 0, None);
    loop {
        let ready = async move {
            if let Some(next) = next {
                sleep_until(next).await;
            }
            wire.balance.reachable().await;
        };
        let waited = match limit {
            Some(limit) => timeout_at(limit.deadline().instant(), ready).await.map_err(|_| limit),
            None => {
                ready.await;
                Ok(())
            }
        };
        if let Err(limit) = waited {
            return Err(in_vain(limit, last.as_ref()));
        }
        let again = call.repeat(stack.policy().retry.body);
        let error = match stack.call_inside(&mut Sending::new(call), limit, wire).await {
            Err(error) if is_nobody(&error) => error,
            ended => return ended,
        };
        let Some(again) = again else { return Err(error) };
        call = again;
        // A breaker says when it asks again. Others are waited for above; this is for those who come and go.
        let told = error.hint().after.unwrap_or_default();
        tries = if error.kind() == ErrorKind::BreakerOpen { 1 } else { MOST_TRIES.min(tries + 1) };
        next = Some(Instant::now() + told + backoff(tries, fastrand::f64()));
        last = Some(error);
    }
}

/// Was nothing sent because there was nobody to send it to?
fn is_nobody(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NoEndpoints | ErrorKind::Unreachable | ErrorKind::BreakerOpen)
}

fn in_vain(limit: Limit, last: Option<&Error>) -> Error {
    match last {
        Some(error) => limit.exceeded_by(&format!("nobody was there to ask (the last try: {error})")),
        None => limit.exceeded_by("nobody was there to ask"),
    }
}

/// Pauses grow to 1.6 s, which one who waits does not mind.
const MOST_TRIES: u32 = 4;
