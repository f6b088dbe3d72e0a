//! The algorithm: a window in, a limit out.

use std::time::Duration;

/// Finds a limit. It is asked by one at a time, once for each window, and keeps what it remembers in itself.
pub trait Algorithm: Send + 'static {
    /// The limit after a window like this one. What is below the configured minimum or above the maximum is
    /// brought back between them.
    fn update(&mut self, sample: &Sample) -> f64;
}

/// What one window showed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// The limit at its end, with its fraction.
    pub limit: f64,
    /// How long the window was.
    pub elapsed: Duration,
    /// Nine of ten calls that ended were no slower; `None` if there was no sample.
    pub latency: Option<Duration>,
    /// The same for the calls that began when no more were under way than the limit was to start with. Only in
    /// the first window, which has no limit that is worth its name.
    pub quiet: Option<Duration>,
    /// The most calls that were under way at a time.
    pub peak: u32,
    /// Calls that ended and are a latency sample.
    pub done: u32,
    /// Calls that ended in overload or a timeout.
    pub drops: u32,
    /// Calls that were refused, or would have been.
    pub refused: u32,
}

impl Sample {
    /// Calls a second that ended well.
    pub fn throughput(&self) -> f64 {
        f64::from(self.done) / self.elapsed.as_secs_f64().max(1e-9)
    }
}
