//! Simulated targets in virtual time: so many slots, a service time, a queue.

use std::time::Duration;

use tokio::time::Instant;

use super::{Concurrency, Config};
use crate::testing::{Second, Workers};

/// Calls at `rate(second)` a second for `seconds`.
fn blow(on: Workers, seed: u64, seconds: usize, rate: impl Fn(usize) -> f64) -> Vec<Second> {
    changing(on, seed, seconds, rate, |_| 1.0)
}

fn changing(
    on: Workers,
    seed: u64,
    seconds: usize,
    rate: impl Fn(usize) -> f64,
    slower: impl Fn(usize) -> f64,
) -> Vec<Second> {
    let start = Instant::now();
    on.play(&Concurrency::new(&Config::default(), start), start, seed, seconds, rate, slower)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const STORM: Workers = Workers { slots: 10, service: ms(100), spread: 1.0, patience: ms(3_000) };

fn refused(seconds: &[Second]) -> u32 {
    seconds.iter().map(|second| second.refused).sum()
}

#[test]
fn healthy_services_are_left_alone_from_a_cold_start() {
    // Slots, service time, spread, rate.
    let table = [
        (1_000, 500, 0.0, 100.0),
        (1_000, 500, 1.0, 100.0),
        (40, 10, 1.0, 2_400.0),
        (4, 10, 1.0, 240.0),
        (5_000, 1_000, 0.0, 800.0),
        (5_000, 1_000, 0.5, 800.0),
    ];
    for (slots, service, spread, rate) in table {
        for seed in 1..4 {
            let workers = Workers { slots, service: ms(service), spread, patience: ms(30_000) };
            let seconds = blow(workers, seed, 60, |_| rate);
            assert_eq!(refused(&seconds), 0, "{service} ms at {rate}/s: {seconds:?}");
        }
    }
}

/// Of twenty calls that begin together the fast ones end first, and say nothing of the slow ones that are out.
#[test]
fn a_cold_start_does_not_take_the_fast_calls_for_all() {
    let slow = Workers { slots: 1_000, service: ms(1_000), spread: 1.0, patience: ms(30_000) };
    let wrong: Vec<(u64, u32)> = (1..41)
        .map(|seed| {
            let start = Instant::now();
            let limit = Concurrency::with(super::Queue::up_to(2.0), &Config::default(), start);
            let seconds = slow.play(&limit, start, seed, 20, |_| 150.0, |_| 1.0);
            (seed, refused(&seconds))
        })
        .filter(|(_, refused)| *refused > 0)
        .collect();
    // One of forty: twenty calls may all be fast by chance.
    assert!(wrong.len() <= 2, "{wrong:?}");
}

#[test]
fn under_permanent_overload_the_limit_comes_near_the_capacity_and_stays() {
    for spread in [0.0, 1.0] {
        for times in [2.0, 5.0, 10.0] {
            for seed in 1..4 {
                let seconds = blow(Workers { spread, ..STORM }, seed, 600, |_| 100.0 * times);
                let late = &seconds[60..];
                let most = late.iter().map(|second| second.limit).max().unwrap_or(0);
                let done = late.iter().map(|second| second.done).sum::<u32>() as f64 / late.len() as f64;
                assert!(most <= 60, "{times}x: {most} for 10 slots");
                // What is lacking is the looks: a quarter less for a seventh of the time, if the limit is exact.
                assert!(done >= 93.0, "{times}x: {done} of 100");
            }
        }
    }
}

#[test]
fn a_storm_is_over_when_it_is_over() {
    for seed in 1..4 {
        let seconds =
            blow(STORM, seed, 120, |second| if (30..60).contains(&second) { 1_000.0 } else { 60.0 });
        assert_eq!(refused(&seconds[..30]), 0, "before");
        let limits: Vec<u32> = seconds.iter().map(|second| second.limit).collect();
        assert!(limits[50..60].iter().all(|limit| *limit <= 60), "within twenty seconds: {limits:?}");
        let after = refused(&seconds[62..]);
        assert!(after <= 35, "under one in a hundred of 3480 calls: {after}");
    }
}

#[test]
fn a_target_that_is_slower_for_good_is_believed_in_the_end() {
    for seed in 1..4 {
        // 30 calls under way, then 90; the target has room for 1000.
        let roomy = Workers { slots: 1_000, service: ms(300), spread: 0.5, patience: ms(30_000) };
        let seconds = changing(roomy, seed, 400, |_| 100.0, |second| if second < 60 { 1.0 } else { 3.0 });
        let late = refused(&seconds[300..]);
        assert!(late <= 100, "one in a hundred of the last 10000: {late}");
    }
}

#[test]
fn idle_freezes_and_never_decays() {
    let seconds = blow(STORM, 1, 300, |second| if (60..240).contains(&second) { 0.5 } else { 60.0 });
    assert_eq!(refused(&seconds), 0, "{seconds:?}");
    // A second in which nothing ended has no reading.
    assert!(seconds[60..240].iter().all(|second| second.limit == 0 || second.limit >= 20), "{seconds:?}");
}
