//! A simulated target: so many slots, a service time, a queue without an end.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use platform_core::{
    Context, Outcome, Verdict,
    admission::{
        Admission as _, Answer,
        concurrency::{Algorithm, Concurrency, Config},
    },
};
use tokio::time::Instant;

/// A target, its load, and from which second on it is judged.
pub(super) struct Scene {
    pub(super) key: &'static str,
    pub(super) name: &'static str,
    pub(super) judged_from: usize,
    slots: usize,
    service_ms: f64,
    /// An exponential share of the service time: 0 is fixed, 1 has the spread of a real service.
    spread: f64,
    timeout_ms: u64,
    seconds: usize,
    /// Calls a second.
    rate: fn(usize) -> f64,
    /// How many times slower than usual.
    slower: fn(usize) -> f64,
}

/// What a second looked like.
#[derive(Clone, Debug, Default)]
pub(super) struct Second {
    pub(super) limit: u32,
    pub(super) offered: u32,
    pub(super) refused: u32,
    pub(super) done: u32,
    pub(super) late: u32,
    /// Of the calls that ended in it, in milliseconds.
    pub(super) latencies: Vec<f64>,
}

impl Scene {
    pub(super) fn all() -> Vec<Scene> {
        let usual = Scene {
            key: "",
            name: "",
            judged_from: 0,
            slots: 10,
            service_ms: 100.0,
            spread: 1.0,
            timeout_ms: 3_000,
            seconds: 120,
            rate: |_| 60.0,
            slower: |_| 1.0,
        };
        vec![
            Scene {
                key: "healthy_slow",
                name: "healthy, 500 ms at 100/s",
                slots: 1_000,
                service_ms: 500.0,
                rate: |_| 100.0,
                ..usual
            },
            Scene {
                key: "healthy_fast",
                name: "healthy, 10 ms at 2400/s",
                slots: 40,
                service_ms: 10.0,
                rate: |_| 2_400.0,
                seconds: 60,
                ..usual
            },
            Scene {
                key: "healthy_long",
                name: "healthy, 1 s at 800/s",
                slots: 5_000,
                service_ms: 1_000.0,
                spread: 0.5,
                timeout_ms: 30_000,
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
                slots: 1_000,
                service_ms: 300.0,
                spread: 0.5,
                timeout_ms: 30_000,
                seconds: 400,
                rate: |_| 100.0,
                slower: |second| if second < 60 { 1.0 } else { 3.0 },
            },
        ]
    }

    /// Calls a second that the target can serve when it is judged.
    pub(super) fn capacity(&self) -> f64 {
        self.slots as f64 * 1e3 / (self.service_ms * (self.slower)(self.judged_from))
    }

    #[cfg(test)]
    pub(super) fn is_healthy(&self) -> bool {
        self.key.starts_with("healthy")
    }

    /// Blows over the target under a limit of this rule.
    pub(super) fn run<A: Algorithm>(&self, rule: A, seed: u64) -> Vec<Second> {
        let start = Instant::now();
        let at = |micros: u64| start + Duration::from_micros(micros);
        let limit = Concurrency::with(rule, &Config::default(), start);
        let mut dice = fastrand::Rng::with_seed(seed);
        let mut exponential = move || -(1.0 - dice.f64()).ln();
        // When each slot is free, and when calls end.
        let mut free: BinaryHeap<Reverse<u64>> = (0..self.slots).map(|_| Reverse(0)).collect();
        let mut ends: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
        let mut calls = Vec::new();
        let mut all = vec![Second::default(); self.seconds];
        let mut now = 0.0_f64;
        loop {
            let second = (now / 1e6) as usize;
            now += exponential() * 1e6 / (self.rate)(second);
            let arrival = now as u64;
            while let Some(&Reverse((end, id))) = ends.peek().filter(|Reverse((end, _))| *end <= arrival) {
                ends.pop();
                let (ticket, begun, late): (_, u64, bool) = calls[id];
                let outcome = if late { Outcome::Timeout } else { Outcome::Success };
                limit.report(ticket, &Verdict::new(outcome, at(end)));
                limit.release();
                if let Some(second) = all.get_mut((end / 1_000_000) as usize) {
                    second.limit = limit.limit();
                    second.latencies.push((end - begun) as f64 / 1e3);
                    *(if late { &mut second.late } else { &mut second.done }) += 1;
                }
            }
            let Some(seen) = all.get_mut((arrival / 1_000_000) as usize) else { return all };
            seen.offered += 1;
            let Answer::Go(ticket) = limit.ask(&Context::root(at(arrival))) else {
                seen.refused += 1;
                continue;
            };
            let Reverse(begins) = free.pop().expect("a target has slots");
            let service = self.service_ms * 1e3 * (self.slower)(second);
            let service = service * (1.0 - self.spread + self.spread * exponential());
            let end = begins.max(arrival) + service as u64;
            free.push(Reverse(end));
            let given_up = arrival + self.timeout_ms * 1_000;
            ends.push(Reverse((end.min(given_up), calls.len())));
            calls.push((ticket, arrival, end > given_up));
        }
    }
}
