//! What a target lives through.

use std::time::Duration;

use platform_core::{
    admission::concurrency::{Algorithm, Concurrency, Config},
    testing::{Second, Workers},
};
use tokio::time::Instant;

/// A target, its load, and from which second on it is judged.
pub(super) struct Scene {
    pub(super) key: &'static str,
    pub(super) name: &'static str,
    pub(super) judged_from: usize,
    workers: Workers,
    seconds: usize,
    /// Calls a second.
    rate: fn(usize) -> f64,
    /// How many times slower than usual.
    slower: fn(usize) -> f64,
}

impl Scene {
    pub(super) fn all() -> Vec<Scene> {
        let workers = Workers { slots: 10, service: ms(100), spread: 1.0, patience: ms(3_000) };
        let usual = Scene {
            key: "",
            name: "",
            judged_from: 0,
            workers,
            seconds: 120,
            rate: |_| 60.0,
            slower: |_| 1.0,
        };
        vec![
            Scene {
                key: "healthy_slow",
                name: "healthy, 500 ms at 100/s",
                workers: Workers { slots: 1_000, service: ms(500), ..workers },
                rate: |_| 100.0,
                ..usual
            },
            Scene {
                key: "healthy_fast",
                name: "healthy, 10 ms at 2400/s",
                workers: Workers { slots: 40, service: ms(10), ..workers },
                rate: |_| 2_400.0,
                seconds: 60,
                ..usual
            },
            Scene {
                key: "healthy_long",
                name: "healthy, 1 s at 800/s",
                workers: Workers { slots: 5_000, service: ms(1_000), spread: 0.5, patience: ms(30_000) },
                rate: |_| 800.0,
                seconds: 60,
                ..usual
            },
            Scene {
                key: "twice",
                name: "2x overload for good",
                judged_from: 60,
                seconds: 300,
                rate: |_| 200.0,
                ..usual
            },
            Scene {
                key: "tenfold",
                name: "10x overload for good",
                judged_from: 60,
                seconds: 300,
                rate: |_| 1_000.0,
                ..usual
            },
            Scene {
                key: "after",
                name: "after 30 s of 10x",
                judged_from: 62,
                rate: |second| if (30..60).contains(&second) { 1_000.0 } else { 60.0 },
                ..usual
            },
            Scene {
                key: "slower",
                name: "3x slower for good, with room",
                judged_from: 300,
                workers: Workers { slots: 1_000, service: ms(300), spread: 0.5, patience: ms(30_000) },
                seconds: 400,
                rate: |_| 100.0,
                slower: |second| if second < 60 { 1.0 } else { 3.0 },
            },
        ]
    }

    /// Calls a second that the target can serve when it is judged.
    pub(super) fn capacity(&self) -> f64 {
        self.workers.slots as f64 / (self.workers.service.as_secs_f64() * (self.slower)(self.judged_from))
    }

    #[cfg(test)]
    pub(super) fn is_healthy(&self) -> bool {
        self.key.starts_with("healthy")
    }

    /// Blows over the target under a limit of this rule.
    pub(super) fn run<A: Algorithm>(&self, rule: A, seed: u64) -> Vec<Second> {
        let start = Instant::now();
        let limit = Concurrency::with(rule, &Config::default(), start);
        self.workers.play(&limit, start, seed, self.seconds, self.rate, self.slower)
    }
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
