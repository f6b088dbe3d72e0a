//! Time of the calling thread on a CPU, user and kernel: what others on the machine take is not in it.

use std::{fs, io, time::Duration};

use tokio::time::sleep;

/// Nanoseconds so far.
///
/// # Errors
/// The system does not keep these statistics.
pub(super) async fn on_cpu() -> io::Result<u64> {
    // The scheduler's account is exact for a thread that has just slept.
    sleep(Duration::from_millis(1)).await;
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let first = text.split_ascii_whitespace().next().and_then(|word| word.parse().ok());
    first.ok_or_else(|| io::Error::other("/proc/thread-self/schedstat has no number"))
}
