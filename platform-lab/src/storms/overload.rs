//! S3 and S6: more is asked than can be served. How much is served, and whose requests are they?

use std::{sync::Arc, time::Duration};

use platform_core::{
    Context, Result,
    context::{Criticality, Tenant},
    stack::ServerPolicy,
    testing::Ask,
};
use platform_http::client::Preset;
use tokio::time::Instant;

use super::{
    client::{Client, Felt, Way},
    runs::{MEAN, Scale, Seen, clients, interactive},
    told::refusals,
    town::{Town, Weather, chance, gap, roll, seed},
};

/// S3: twice, five and ten times of what can be served, and then less than can be.
pub(crate) async fn s3(number: u64, scale: Scale) -> Result<Seen> {
    let (mut rows, mut passed) = (Vec::new(), true);
    let naive = || Way::Naive {
        attempts: 5,
        attempt: Preset::Interactive.policy().attempt_timeout.unwrap_or(MEAN),
        whole: Duration::from_secs(1),
    };
    for (times, bar) in [(2.0, 0.95), (5.0, 0.92), (10.0, 0.90)] {
        for (arm, guarded, way) in [("5 attempts at once", false, naive()), ("ours", true, interactive())] {
            seed(number);
            let town = town(guarded, scale);
            let clients = clients(&town, &way)?;
            let storm = Duration::from_secs(scale.storm);
            let phases = [(0.6, CALM), (times, storm), (0.7, AFTER)];
            let begun = Instant::now();
            let told = crowd((&clients, scale), &phases, |_| Ask::under(Context::root(Instant::now()))).await;
            let felt: Vec<Felt> = told.into_iter().map(|(felt, ())| felt).collect();
            let within = |felt: &&Felt, from: Duration, to: Duration| {
                let came = felt.at - felt.took;
                came >= begun + from && came < begun + to
            };
            let end = CALM + storm;
            let good = felt
                .iter()
                .filter(|felt| felt.good && felt.at >= begun + CALM && felt.at < begun + end)
                .count() as f64;
            let capacity = town.capacity(SLOTS);
            let goodput = good / scale.storm as f64 / capacity.max(1.0);
            let calls = felt.iter().filter(|felt| within(felt, CALM, end)).count();
            let per_call = (town.requests() as f64) / felt.len().max(1) as f64;
            // The first second after which all is well again: 99 of 100 that came in it were served.
            let well = (0..AFTER.as_secs() * 2).find(|half| {
                let from = end + Duration::from_millis(500) * u32::try_from(*half).unwrap_or(u32::MAX);
                let of: Vec<bool> = felt
                    .iter()
                    .filter(|felt| within(felt, from, from + Duration::from_millis(500)))
                    .map(|felt| felt.good)
                    .collect();
                let good = of.iter().filter(|good| **good).count();
                good * 100 >= of.len() * 99
            });
            let seconds = well.map(|half| half as f64 / 2.0);
            if guarded {
                passed &= goodput >= bar && per_call <= 1.1 && seconds.is_some_and(|seconds| seconds <= 2.0);
            }
            rows.push(vec![
                "S3".into(),
                format!("{times}x"),
                arm.into(),
                number.to_string(),
                format!("{:.1}", 100.0 * (1.0 - good / calls.max(1) as f64)),
                format!("{per_call:.3}"),
                String::new(),
                String::new(),
                String::new(),
                format!(
                    "goodput {:.1} % of {capacity:.0}/s, well after {}, {} refused{}",
                    100.0 * goodput,
                    seconds.map_or("never".to_owned(), |seconds| format!("{seconds} s")),
                    town.refused(),
                    refusals(&clients)
                ),
            ]);
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    }
    Ok(Seen { rows, passed })
}

/// S6: twice of what can be served, of which a quarter is important; then one tenant of ten sends nine tenths of it.
pub(crate) async fn s6(number: u64, scale: Scale) -> Result<Seen> {
    let (mut rows, mut passed) = (Vec::new(), true);
    let tenants: Vec<Tenant> =
        (0..10).map(|tenant| Tenant::parse(&format!("tenant-{tenant}")).expect("a token")).collect();
    let tenants = Arc::new(tenants);
    for what in ["priority surge", "noisy neighbour"] {
        for (arm, guarded) in [("no guards at the server", false), ("ours", true)] {
            seed(number);
            let town = town(guarded, scale);
            let clients = clients(&town, &interactive())?;
            let storm = Duration::from_secs(scale.storm);
            let begun = Instant::now();
            let tenants = Arc::clone(&tenants);
            let make = move |storms: bool| {
                let mut context = Context::root(Instant::now());
                // Who is measured: what is important, and those who are quiet.
                let special = if what == "priority surge" {
                    let special = chance(0.25);
                    if !special {
                        context.lower(Criticality::Sheddable);
                    }
                    special
                } else {
                    let special = !storms || chance(0.1);
                    let tenant = if special { 1 + roll(9) } else { 0 };
                    context.set_tenant(tenants[tenant].clone());
                    special
                };
                (Ask::under(context), special)
            };
            let told = crowd_of((&clients, scale), &[(0.6, CALM), (2.0, storm)], make).await;
            let from = begun + CALM + Duration::from_secs(1);
            let end = begun + CALM + storm;
            let came: Vec<&(Felt, bool)> = told
                .iter()
                .filter(|(felt, _)| felt.at - felt.took >= from && felt.at - felt.took < end)
                .collect();
            let special = came.iter().filter(|(_, special)| *special).count();
            let served = came.iter().filter(|(felt, special)| *special && felt.good).count();
            let good = told.iter().filter(|(felt, _)| felt.good && felt.at >= from && felt.at < end).count();
            let capacity = town.capacity(SLOTS);
            let goodput = good as f64 / (scale.storm - 1) as f64 / capacity.max(1.0);
            let share = served as f64 / special.max(1) as f64;
            if guarded {
                let bar = if what == "priority surge" { 0.994 } else { 0.999 };
                passed &= share >= bar && goodput >= 0.95;
            }
            rows.push(vec![
                "S6".into(),
                what.into(),
                arm.into(),
                number.to_string(),
                format!("{:.2}", 100.0 * (1.0 - share)),
                format!("{:.3}", town.requests() as f64 / told.len().max(1) as f64),
                String::new(),
                String::new(),
                String::new(),
                format!(
                    "{:.2} % of those served, goodput {:.1} %{}",
                    100.0 * share,
                    100.0 * goodput,
                    refusals(&clients)
                ),
            ]);
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    }
    Ok(Seen { rows, passed })
}

fn town(guarded: bool, scale: Scale) -> Town {
    let weather = Weather::fair(MEAN);
    if guarded {
        Town::guarded(scale.replicas, SLOTS, weather, &ServerPolicy::default())
    } else {
        Town::new(scale.replicas, SLOTS, weather)
    }
}

async fn crowd(
    whose: (&[Client], Scale),
    phases: &[(f64, Duration)],
    mut make: impl FnMut(bool) -> Ask,
) -> Vec<(Felt, ())> {
    crowd_of(whose, phases, move |storms| (make(storms), ())).await
}

/// Calls arrive one after the other, at such parts of the capacity for so long each; each is told with what is
/// known of it. `make` hears whether it is the storm's.
async fn crowd_of<T: Send + 'static>(
    (clients, scale): (&[Client], Scale),
    phases: &[(f64, Duration)],
    mut make: impl FnMut(bool) -> (Ask, T),
) -> Vec<(Felt, T)> {
    let begun = Instant::now();
    let mut calls = tokio::task::JoinSet::new();
    let mut told = Vec::new();
    let (mut due, mut end, mut number) = (Duration::ZERO, Duration::ZERO, 0_usize);
    for (phase, (part, length)) in phases.iter().enumerate() {
        end += *length;
        loop {
            due += gap(part * scale.capacity());
            if due >= end {
                due = end;
                break;
            }
            tokio::time::sleep_until(begun + due).await;
            let client = clients[number % clients.len()].clone();
            number += 1;
            let (ask, about) = make(phase == 1);
            calls.spawn(async move { (client.call_as(ask).await, about) });
            while let Some(Ok(done)) = calls.try_join_next() {
                told.push(done);
            }
        }
    }
    while let Some(Ok(done)) = calls.join_next().await {
        told.push(done);
    }
    told
}

const SLOTS: usize = 4;
/// Long enough for limits to have been found,
const CALM: Duration = Duration::from_secs(5);
/// and to see whether all is well again.
const AFTER: Duration = Duration::from_secs(6);
