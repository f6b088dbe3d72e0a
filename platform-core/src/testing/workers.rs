//! A simulated target: so many slots, a service time, a queue without an end.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use tokio::time::Instant;

use crate::{
    Context, Outcome, Verdict,
    admission::{
        Admission as _, Answer,
        concurrency::{Algorithm, Concurrency},
    },
};

/// A target that serves so many calls at once, each for a while, and lets all others wait.
///
/// It is played in virtual time and without tasks, so that ten minutes of a thousand calls a second take a second: what
/// a limit of concurrency does to it can be asked for many rules and many seeds.
#[derive(Clone, Copy, Debug)]
pub struct Workers {
    /// How many calls it serves at once.
    pub slots: usize,
    /// How long it serves each, on average.
    pub service: Duration,
    /// How much of that is drawn exponentially, from 0 (all take the same) to 1 (the spread of a real service).
    pub spread: f64,
    /// How long a caller waits before it leaves; its work is done all the same.
    pub patience: Duration,
}

/// What a second looked like.
#[derive(Clone, Debug, Default)]
pub struct Second {
    /// The limit after the last call that ended in it; 0 if none did.
    pub limit: u32,
    /// Calls that wanted to be served.
    pub offered: u32,
    /// Calls that the limit refused.
    pub refused: u32,
    /// Calls that were answered in it.
    pub done: u32,
    /// Calls whose caller left in it.
    pub late: u32,
    /// Of the calls that ended in it, in milliseconds.
    pub latencies: Vec<f64>,
}

impl Workers {
    /// Plays `seconds` of calls under `limit`, in each second `rate` of them on average, served `slower` times slower than
    /// usual. `limit` is expected to know of nothing before `start`.
    pub fn play<A: Algorithm>(
        &self,
        limit: &Concurrency<A>,
        start: Instant,
        seed: u64,
        seconds: usize,
        rate: impl Fn(usize) -> f64,
        slower: impl Fn(usize) -> f64,
    ) -> Vec<Second> {
        let at = |micros: u64| start + Duration::from_micros(micros);
        let mut dice = fastrand::Rng::with_seed(seed);
        let mut exponential = move || -(1.0 - dice.f64()).ln();
        // When each slot is free, and when calls end.
        let mut free: BinaryHeap<Reverse<u64>> = (0..self.slots).map(|_| Reverse(0)).collect();
        let mut ends: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
        let mut calls = Vec::new();
        let mut all = vec![Second::default(); seconds];
        let mut now = 0.0_f64;
        loop {
            let second = (now / MICROS) as usize;
            now += exponential() * MICROS / rate(second);
            let arrival = now as u64;
            while let Some(&Reverse((end, id))) = ends.peek().filter(|Reverse((end, _))| *end <= arrival) {
                ends.pop();
                let (ticket, begun, late): (_, u64, bool) = calls[id];
                let outcome = if late { Outcome::Timeout } else { Outcome::Success };
                limit.report(ticket, &Verdict::new(outcome, at(end)));
                limit.release();
                if let Some(second) = all.get_mut((end as f64 / MICROS) as usize) {
                    second.limit = limit.limit();
                    second.latencies.push((end - begun) as f64 / 1e3);
                    *(if late { &mut second.late } else { &mut second.done }) += 1;
                }
            }
            let Some(seen) = all.get_mut((now / MICROS) as usize) else { return all };
            seen.offered += 1;
            let Answer::Go(ticket) = limit.ask(&Context::root(at(arrival))) else {
                seen.refused += 1;
                continue;
            };
            let Some(Reverse(begins)) = free.pop() else {
                // Who has no slots serves nobody.
                ends.push(Reverse((arrival + micros(self.patience), calls.len())));
                calls.push((ticket, arrival, true));
                continue;
            };
            let service = self.service.as_secs_f64() * MICROS * slower(second);
            let service = service * (1.0 - self.spread + self.spread * exponential());
            let end = begins.max(arrival) + service as u64;
            free.push(Reverse(end));
            let given_up = arrival + micros(self.patience);
            ends.push(Reverse((end.min(given_up), calls.len())));
            calls.push((ticket, arrival, end > given_up));
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Of a second.
const MICROS: f64 = 1e6;
