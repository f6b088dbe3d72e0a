//! The same call over and over: the loop that all call variants share, so that only the stacks differ.

use std::{
    fmt,
    future::{Future, poll_fn},
    hint::black_box,
    io,
    pin::{Pin, pin},
    str::FromStr,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    runtime::{Builder, Runtime},
    task::unconstrained,
    time::sleep,
};

use super::{counting, on_cpu::on_cpu};

/// What a child is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Orders {
    /// How many calls to make, and count.
    pub(crate) calls: u64,
    /// Is the service pending once, as every network is, or ready at once?
    pub(crate) pending: bool,
    /// On how many threads at once.
    pub(crate) threads: usize,
    /// Where the server listens, for calls that leave the process.
    pub(crate) port: u16,
}

impl Orders {
    /// Reads `N [--pending] [--threads N] [--port N]`.
    pub(crate) fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut words = words.into_iter();
        let calls = words.next()?.parse().ok()?;
        let mut orders = Orders { calls, pending: false, threads: 1, port: 0 };
        while let Some(word) = words.next() {
            match word {
                "--pending" => orders.pending = true,
                "--threads" => orders.threads = words.next()?.parse().ok()?,
                "--port" => orders.port = words.next()?.parse().ok()?,
                _ => return None,
            }
        }
        Some(orders)
    }
}

/// What the calls took together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Calls that did not succeed; a figure with any is worth nothing.
    pub(crate) failed: u64,
    /// Allocations.
    pub(crate) allocations: u64,
    /// Nanoseconds on a CPU, of the thread that made the calls.
    pub(crate) nanoseconds: u64,
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Taken { failed, allocations, nanoseconds } = self;
        write!(f, "failed {failed} allocations {allocations} nanoseconds {nanoseconds}")
    }
}

impl FromStr for Taken {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let ["failed", failed, "allocations", allocations, "nanoseconds", nanoseconds] = words[..] else {
            return Err(());
        };
        let number = |text: &str| text.parse::<u64>().map_err(drop);
        Ok(Taken {
            failed: number(failed)?,
            allocations: number(allocations)?,
            nanoseconds: number(nanoseconds)?,
        })
    }
}

/// A runtime of this thread alone: nothing else is in the count.
///
/// # Errors
/// The system gives none.
pub(crate) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Makes the calls of `orders` one after the other; `call` says whether it succeeded.
///
/// A call that is pending is polled again at once, so that the stack is measured and not the scheduler.
///
/// # Errors
/// The system does not tell the time spent on a CPU.
pub(crate) async fn repeated(orders: Orders, mut call: impl AsyncFnMut() -> bool) -> io::Result<Taken> {
    // A timer before all that the stacks arm: without one, arming wakes tokio's driver each time, a system
    // call that a busy service with its many timers does not see. The driver notices it when it next sleeps.
    let mut nearer = pin!(sleep(NEARER));
    poll_fn(|cx| Poll::Ready(nearer.as_mut().poll(cx).is_ready())).await;

    each(WARM_UP, &mut call).await;
    let (since, allocations) = (on_cpu().await?, counting::allocations());
    let failed = each(orders.calls, &mut call).await;
    let allocations = counting::allocations() - allocations;
    Ok(Taken { failed, allocations, nanoseconds: on_cpu().await? - since })
}

/// Makes `calls` calls; says how many failed.
async fn each(calls: u64, call: &mut impl AsyncFnMut() -> bool) -> u64 {
    unconstrained(async {
        let mut failed = 0;
        for _ in 0..calls {
            // Pinned where it lies: moving a future of a kilobyte is a cost that no caller has.
            let mut future = pin!(call());
            let succeeded = poll_fn(|cx| match future.as_mut().poll(cx) {
                Poll::Pending => future.as_mut().poll(cx),
                ready => ready,
            });
            failed += u64::from(!black_box(succeeded.await));
        }
        failed
    })
    .await
}

/// A service's answer: there at the first look, or at the second.
///
/// It wakes nobody: the loop looks twice.
#[must_use = "futures do nothing unless polled"]
pub(crate) struct Answer<T> {
    pending: bool,
    reply: Option<T>,
}

impl<T> Answer<T> {
    /// Answers with `reply`.
    pub(crate) fn new(pending: bool, reply: T) -> Self {
        Answer { pending, reply: Some(reply) }
    }
}

impl<T: Unpin> Future for Answer<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
        if std::mem::take(&mut self.pending) {
            return Poll::Pending;
        }
        Poll::Ready(self.reply.take().expect("nobody polls what is done"))
    }
}

/// Nearer than [`LIMIT`], and further away than the end of any run.
const NEARER: Duration = Duration::from_secs(300);
/// The limit of every call in every variant: it never fires, and is armed like any other.
pub(crate) const LIMIT: Duration = Duration::from_secs(900);
/// Calls before the count: whatever is made once exists then.
const WARM_UP: u64 = 100;
